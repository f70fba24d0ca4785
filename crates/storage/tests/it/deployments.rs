use llmops_domain::deployment::{Deployment, DeploymentAction, DeploymentChange, DeploymentSettings};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_storage::{Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, project};

fn hash(name: &str) -> ContentHash {
    ContentHash::of_bytes(name.as_bytes())
}

fn deployment(name: &str, environment: &str, manifest: &str, revision: u64) -> Deployment {
    Deployment {
        name: name.to_owned(),
        environment: environment.to_owned(),
        manifest: hash(manifest),
        revision,
        safe_mode: false,
        settings: DeploymentSettings { retries: 3, ..DeploymentSettings::default() },
        created_at: at(0),
        updated_at: at(0),
        updated_by: Some("dana".to_owned()),
    }
}

async fn change(store: &Store, deployment: &Deployment) -> Result<DeploymentChange, StoreError> {
    let change = DeploymentChange {
        revision: deployment.revision,
        action: DeploymentAction::Deploy,
        from: (deployment.revision > 1).then(|| hash("before")),
        to: deployment.manifest.clone(),
        at: deployment.updated_at,
        by: deployment.updated_by.clone(),
        reason: Some("quicker \0 answers".to_owned()),
    };
    store.change_deployment(&project(), deployment, &change).await?;
    Ok(DeploymentChange { reason: Some("quicker \u{FFFD} answers".to_owned()), ..change })
}

#[tokio::test]
async fn a_deployment_and_its_history() {
    on_backends(async |store| {
        assert_eq!(store.find_deployment(&project(), "bot", "production").await.unwrap(), None);
        assert_eq!(store.deployments_revision().await.unwrap(), 0);
        let first = change(store, &deployment("bot", "production", "a", 1)).await.unwrap();
        let known = store.deployments_revision().await.unwrap();
        let now = Deployment { safe_mode: true, updated_at: at(5), ..deployment("bot", "production", "b", 2) };
        let second = change(store, &now).await.unwrap();
        assert!(store.deployments_revision().await.unwrap() > known);
        assert_eq!(store.find_deployment(&project(), "bot", "production").await.unwrap(), Some(now));
        assert_eq!(store.deployment_history(&project(), "bot", "production").await.unwrap(), [first, second]);
        assert_eq!(store.deployment_history(&project(), "bot", "staging").await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn two_who_change_it_at_once_do_not_both_win() {
    on_backends(async |store| {
        change(store, &deployment("bot", "production", "a", 1)).await.unwrap();
        let (one, other) = (deployment("bot", "production", "b", 2), deployment("bot", "production", "c", 2));
        let (one, other) = tokio::join!(change(store, &one), change(store, &other));
        let lost = one.is_err().then_some(one.err()).or(Some(other.err())).flatten().unwrap();
        assert!(matches!(lost, StoreError::Conflict(_)), "{lost:?}");
        assert_eq!(store.deployment_history(&project(), "bot", "production").await.unwrap().len(), 2);
        assert!(matches!(change(store, &deployment("bot", "production", "d", 1)).await, Err(StoreError::Conflict(_))));
    })
    .await;
}

#[tokio::test]
async fn deployments_are_listed_by_name_and_environment() {
    on_backends(async |store| {
        for (name, environment) in [("b", "staging"), ("a", "production"), ("b", "production")] {
            change(store, &deployment(name, environment, "m", 1)).await.unwrap();
        }
        let listed = |found: Vec<Deployment>| -> Vec<String> {
            found.into_iter().map(|d| format!("{}@{}", d.name, d.environment)).collect()
        };
        let all = store.list_deployments(&project(), None, 10).await.unwrap();
        assert_eq!(listed(all), ["a@production", "b@production", "b@staging"]);
        let rest = store.list_deployments(&project(), Some(("b", "production")), 10).await.unwrap();
        assert_eq!(listed(rest), ["b@staging"]);
        let other = ProjectId("other".to_owned());
        assert_eq!(store.list_deployments(&other, None, 10).await.unwrap(), []);
        assert_eq!(store.all_deployments().await.unwrap().len(), 3);
    })
    .await;
}
