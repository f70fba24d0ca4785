//! Going back to a manifest that was live before.

use llmops_api::deployments::{Deployed, Rollback};
use llmops_domain::deployment::{
    self, DEFAULT_ENVIRONMENT, Deployment, DeploymentAction, DeploymentSettings, RollbackError,
};
use llmops_domain::hash::ContentHash;

use super::Deployments;
use super::change::interruption;
use crate::Error;

impl Deployments {
    /// Points a deployment to a manifest that was live before: the one before the present one, or the one named. It answers
    /// everybody: an experiment assigns nobody any more.
    pub async fn rollback(&self, name: &str, request: Rollback) -> Result<Deployed, Error> {
        let before = self.get(name, request.environment.as_deref()).await?;
        let history = self.services.store.deployment_history(&self.project, name, &before.environment).await?;
        let target =
            match deployment::rollback_target(&history, request.to.as_deref()) {
                // Then the way back is from the variants to what is live.
                Err(
                    RollbackError::NothingEarlier | RollbackError::OnlyLater { .. } | RollbackError::AlreadyLive(_),
                ) if before.settings.experiment.is_some() => before.manifest.clone(),
                found => found.map_err(|error| Error::Conflict {
                    message: format!("cannot roll back {name} in {}: {error}", before.environment),
                    hint: Some(way_on(&before, &error)),
                })?,
            };
        let (hash, manifest) = self.services.store.get_manifest(&self.project, target.as_str()).await?;
        let previous = before.manifest.clone();
        let mut notices = self.notices(Some(&previous), &manifest).await?;
        let release = self.releases().that_routes(&before).await?;
        match (&release, &before.settings.experiment) {
            (Some(release), _) => notices.push(interruption(release)),
            (None, Some(key)) => notices.push(format!(
                "the experiment {key} assigns nobody any more: settings with `experiment: {key}` let it again"
            )),
            (None, None) => {}
        }
        if hash != previous {
            notices.push(format!("{} takes {} again", command(&before, &previous), previous.short()));
        }
        let settings = DeploymentSettings { experiment: None, ..before.settings.clone() };
        let next = Deployment { manifest: hash, settings, ..before };
        let deployment = self.change(next, DeploymentAction::Rollback, Some(previous.clone()), request.reason).await?;
        self.interrupt(release).await;
        Ok(Deployed { deployment, manifest, previous: Some(previous), changed: true, notices, approval: None })
    }
}

/// The command that takes a manifest.
fn command(of: &Deployment, manifest: &ContentHash) -> String {
    let (name, environment) = (&of.name, &of.environment);
    let place =
        if environment == DEFAULT_ENVIRONMENT { String::new() } else { format!(" --environment {environment}") };
    format!("llmops rollback {name}{place} --to {}", manifest.short())
}

/// What helps who cannot go back.
fn way_on(of: &Deployment, error: &RollbackError) -> String {
    match error {
        RollbackError::OnlyLater { later, .. } if !later.is_empty() => {
            format!("{} takes the one that was live last", command(of, &later[0]))
        }
        _ => format!("llmops history {} lists what was live", of.name),
    }
}
