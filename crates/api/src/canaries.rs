//! Canaries on the wire.

use std::collections::BTreeMap;

use llmops_domain::canary::{
    Canary, CanaryPolicy, Decision, Evidence, PairStatus, PairVerdict, Situation, StageEvidence,
};
use llmops_domain::chat::Parameters;
use llmops_domain::manifest::{Manifest, deserialize_sent};
use serde::{Deserialize, Serialize};

/// Puts a candidate beside what a deployment answers with: a manifest that is given, one that is stored, or one resolved
/// from prompt and model. Where only one of these two is named, the rest is as it is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartCanary {
    /// The deployment.
    pub deployment: String,
    /// Its environment; absent: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The candidate as it is.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_sent")]
    pub manifest: Option<Manifest>,
    /// The beginning of a stored manifest's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// The candidate's prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the live one, where a model is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The candidate's model, as `provider/model`; absent: the live one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Laid over the parameters: those that are live, or the prompt's where prompt and model are named.
    #[serde(default)]
    pub parameters: Parameters,
    /// What decides.
    pub policy: CanaryPolicy,
    /// Whether decisions are only written down.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether it is only made, to be started later.
    #[serde(default)]
    pub draft: bool,
}

/// A canary with what a person should know about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StartedCanary {
    /// As it is now.
    pub canary: Canary,
    /// Such as: the candidate's model has no price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// How a canary stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CanaryReport {
    /// The canary.
    pub canary: Canary,
    /// What its pairs add up to.
    pub evidence: Evidence,
    /// USD in this hour of the clock.
    pub spent_this_hour: f64,
    /// Pairs that the candidate has not answered yet.
    pub waiting: u64,
    /// Requests that were drawn and made no pair, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What users saw at each stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<u64, StageEvidence>,
    /// What a decision would be made from now.
    pub situation: Situation,
    /// What it would be.
    pub decision: Decision,
    /// Why that waits, such as an incident that is open: it is done once that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// Which canary is meant, and why it is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeCanary {
    /// The environment, where the canary is named by its deployment; absent: `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which canaries are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct CanaryQuery {
    /// In this status, such as `shadowing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Canaries on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Which decisions are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct DecisionQuery {
    /// The environment, where the canary is named by its deployment; absent: `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Entries on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Which pairs are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct PairQuery {
    /// The environment, where the canary is named by its deployment; absent: `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// With this verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub verdict: Option<PairVerdict>,
    /// In this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<PairStatus>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Entries on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
