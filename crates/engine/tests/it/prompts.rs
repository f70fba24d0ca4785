//! The prompt registry.

use std::collections::BTreeMap;

use llmops::Error;
use llmops::domain::prompt::{PromptBody, PromptSelector, PromptSpec, Variable, VariableType};
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, installation, right};

fn push(version: Option<&str>, content: &str, bump: BumpMode) -> PushPrompt {
    let variable = |name: &str| Variable {
        name: name.to_owned(),
        kind: VariableType::String,
        required: true,
        default: None,
        description: None,
        validation: None,
    };
    let names: Vec<&str> = ["language", "code"].into_iter().filter(|name| content.contains(name)).collect();
    let body = PromptBody {
        content: Some(content.to_owned()),
        variables: names.into_iter().map(variable).collect(),
        ..PromptBody::default()
    };
    let version = version.map(|v| v.parse().unwrap());
    PushPrompt {
        prompt: PromptSpec { name: "review".to_owned(), version, body, ..PromptSpec::default() },
        bump,
        activate: false,
    }
}

#[tokio::test]
async fn versions_are_immutable_and_pushes_idempotent() {
    on_backends(async |store| {
        let prompts = installation(store, &Scripted::new(right)).prompts();
        let first = prompts.create(push(Some("1.0.0"), "Review {{ code }}", BumpMode::None)).await.unwrap();
        assert!(first.created && first.prompt.is_active);
        let again = prompts.create(push(Some("1.0.0"), "Review {{ code }}", BumpMode::None)).await.unwrap();
        assert!(!again.created);
        let conflict = prompts.create(push(Some("1.0.0"), "Look at {{ code }}", BumpMode::None)).await;
        assert!(matches!(conflict, Err(Error::Conflict { .. })), "{conflict:?}");
    })
    .await;
}

#[tokio::test]
async fn the_contract_decides_the_next_version() {
    on_backends(async |store| {
        let prompts = installation(store, &Scripted::new(right)).prompts();
        let mut versions = Vec::new();
        for content in ["Review {{ code }}", "Please review {{ code }}", "Review this {{ language }}: {{ code }}"] {
            versions
                .push(prompts.create(push(None, content, BumpMode::Auto)).await.unwrap().prompt.version.to_string());
        }
        assert_eq!(versions, ["1.0.0", "1.0.1", "2.0.0"]);
        assert_eq!(prompts.get_latest("review").await.unwrap().version.to_string(), "1.0.0");
        prompts.activate("review", "2.0.0").await.unwrap();
        assert_eq!(prompts.get_latest("review").await.unwrap().version.to_string(), "2.0.0");
        assert!(matches!(prompts.delete("review", "2.0.0").await, Err(Error::Conflict { .. })));
        prompts.delete("review", "1.0.1").await.unwrap();
        assert_eq!(prompts.list("review").await.unwrap().len(), 2);
        // The number of a deleted version stays its own.
        let refused = prompts.create(push(Some("1.0.1"), "Look at {{ code }}", BumpMode::None)).await.unwrap_err();
        assert!(refused.to_string().contains("review@1.0.1 had other content before it was deleted"), "{refused}");
        prompts.create(push(None, "Look: {{ language }} {{ code }}", BumpMode::Auto)).await.unwrap();
        prompts.delete("review", "2.0.1").await.unwrap();
        let next = prompts.create(push(None, "See: {{ language }} {{ code }}", BumpMode::Auto)).await.unwrap();
        assert_eq!(next.prompt.version.to_string(), "2.0.2");
    })
    .await;
}

#[tokio::test]
async fn values_are_never_rendered_again() {
    on_backends(async |store| {
        let prompts = installation(store, &Scripted::new(right)).prompts();
        prompts.create(push(Some("1.0.0"), "Review {{ code }}", BumpMode::None)).await.unwrap();
        let values = BTreeMap::from([("code".to_owned(), json!("{{ language }} {% raw %}"))]);
        let rendered = prompts.render("review", &PromptSelector::Active, values).await.unwrap();
        assert_eq!(rendered.text, "Review {{ language }} {% raw %}");
        let missing = prompts.render("review", &PromptSelector::Active, BTreeMap::new()).await.unwrap_err();
        assert!(missing.to_string().contains("code"), "{missing}");
    })
    .await;
}
