//! Deployments on the wire.

use llmops_domain::approval::Approval;
use llmops_domain::chat::Parameters;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::deployment::{Deployment, DeploymentSettings};
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::{Manifest, deserialize_sent};
use serde::{Deserialize, Serialize};

/// Points a deployment to a manifest: one that is given, one that is stored, or one resolved from prompt and model. What is
/// live stays where no prompt is named: with the model, parameters, versions and settings that are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Deploy {
    /// The environment; absent: `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// A manifest as it is.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_sent")]
    pub manifest: Option<Manifest>,
    /// The beginning of a stored manifest's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// The prompt, as `NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the one that is live. A `manifest` without one has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The model, as `provider/model`; absent: the prompt's own, else the one that is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's version of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// Laid over the prompt's parameters, or over those that are live where prompt or model come from there.
    pub parameters: Parameters,
    /// The index that the retriever reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retriever_index_version: Option<String>,
    /// How calls are handled from now on; absent: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<DeploymentSettings>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A deployment after a change, and what a person should know about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployed {
    /// As it is now.
    pub deployment: Deployment,
    /// What answers now.
    pub manifest: Manifest,
    /// The manifest before; absent for a new deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ContentHash>,
    /// False where it pointed there already.
    pub changed: bool,
    /// Such as: the retriever's index changes too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// What waits for a second key; nothing changes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// Points a deployment to a manifest that was live before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    /// The environment; absent: `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The beginning of the manifest's hash; absent: the one before the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Switches the safe mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchSafeMode {
    /// The environment; absent: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// On or off.
    pub on: bool,
    /// A fixed answer to use from now on, where none is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A deployment whose safe mode was switched, and what a person should know about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SafeModeSwitched {
    /// As it is now.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// Such as: a canary was paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// Which environment is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[into_params(parameter_in = Query)]
pub struct EnvironmentQuery {
    /// The environment; absent: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// Whether earlier manifests could take over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rehearsal {
    /// Whether all could.
    pub ready: bool,
    /// Each manifest that was live, the present one first.
    pub manifests: Vec<RehearsedManifest>,
}

/// Whether one manifest could take over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RehearsedManifest {
    /// Its hash.
    pub manifest: ContentHash,
    /// Whether it answers now.
    pub is_live: bool,
    /// Its model.
    pub model: String,
    /// Its prompt, as `NAME@VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What would go wrong; empty where nothing would.
    pub problems: Vec<String>,
}

/// Which time of which environment is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SoftFailureQuery {
    /// The environment; absent: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The last `1h`, `30m` …, at most five weeks; absent: the window of the deployment's alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub window: Option<HumanDuration>,
}

/// How many answers of a deployment failed softly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SoftFailureRate {
    /// Calls that were answered.
    pub calls: u64,
    /// Those that failed softly.
    pub soft_failed: u64,
    /// Their share, from 0 to 1; null without calls.
    pub rate: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// In the last so long.
    #[schema(value_type = String)]
    pub window: HumanDuration,
}

/// Whose records are deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureQuery {
    /// The end user.
    pub user: String,
}

/// What was deleted. Of experiments, only the name and the attributes of the user's units are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Erased {
    /// Records.
    pub records: u64,
    /// What the user said, and what was said of the user's answers.
    #[serde(default)]
    pub feedback: u64,
    /// Items of the review queue about the user's answers.
    #[serde(default)]
    pub review_items: u64,
    /// Pairs of canaries that the user's calls made.
    #[serde(default)]
    pub shadow_pairs: u64,
    /// Samples that llmops made of the user's calls by itself, of what a canary lost or of an incident, and that the newest versions
    /// of their datasets do not have any more.
    #[serde(default)]
    pub samples: u64,
    /// Post-mortems of incidents that repeated what users said of the user's answers, or what the user said, and that have lost the
    /// words.
    #[serde(default)]
    pub post_mortems: u64,
    /// Datasets in which such samples stay in earlier versions, which never change.
    #[serde(default)]
    pub datasets_left: Vec<String>,
}
