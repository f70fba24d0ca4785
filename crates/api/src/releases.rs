//! Releases on the wire.

use llmops_domain::canary::CanaryPolicy;
use llmops_domain::manifest::{Manifest, deserialize_sent};
use llmops_domain::release::ReleaseStep;
use serde::{Deserialize, Serialize};

/// What is released: a manifest, or one resolved from prompt and model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StartRelease {
    /// A manifest as it is.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_sent")]
    pub manifest: Option<Manifest>,
    /// The beginning of a stored manifest's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// The prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The model, as `provider/model`; absent: the prompt's own, else the one that is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What decides a canary in staging, beside what answers there; absent: calls that do not fail are enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<CanaryPolicy>>,
}

/// Lets a step pass without its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaiveStep {
    /// The step that the release is at: gate, staging or experiment.
    pub step: ReleaseStep,
    /// Why.
    pub reason: String,
}

/// Gives a release up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CancelRelease {
    /// Why.
    pub reason: String,
}
