//! Evaluation runs, comparisons, baselines and gates on the wire.

use std::collections::BTreeMap;

use llmops_domain::chat::Parameters;
use llmops_domain::gate::{GateConfig, ReferenceScores};
use llmops_domain::manifest::{Manifest, deserialize_sent};
use llmops_domain::run::{ResultOrder, ResultStatus, RunStatus, SampleSelection};
use llmops_domain::scoring::ScoringSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Creates an evaluation run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// A name for people; absent: made from target and dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The suite it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// What is evaluated.
    pub target: TargetSpec,
    /// The dataset: `NAME`, or `NAME@VERSION` with the beginning of a version's hash.
    pub dataset: String,
    /// Weight of each category; empty: all weigh the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub category_weights: BTreeMap<String, f64>,
    /// Scorers, weights, thresholds.
    pub scoring: ScoringSpec,
    /// Trials per sample, 1 to 1,000.
    #[serde(default = "one")]
    pub repeat: u32,
    /// Only the first samples of those that are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only some samples; absent: all. Like `limit`, it makes a run that lets nothing go live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<SampleSelection>,
    /// Whether answers may come from the response cache.
    #[serde(default = "yes")]
    pub cache: bool,
    /// Start it at once.
    #[serde(default = "yes")]
    pub start: bool,
    /// Tags, such as `branch=main`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Anything else: commit, author …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// What a reader of the results should know about how the request was made: metrics left out …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// What is evaluated: a manifest, or what is resolved to one when the run is created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The target's name.
    pub name: String,
    /// Exactly this manifest, as one is deployed; nothing else but the name stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_sent")]
    pub manifest: Option<Manifest>,
    /// Exactly the stored manifest whose hash begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_hash: Option<String>,
    /// `NAME`, `NAME@VERSION` or `NAME@HASH`; absent: the input is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// `provider/model`; absent: the prompt's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Models of which the verifier takes the healthy one with the best score when the run is created, instead of `model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// The provider's version or date of the model, where it is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// System message instead of the prompt's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Laid over the prompt's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// The retriever's index the answers rest on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retriever_index_version: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Runs of this prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The same as `prompt`, under its longer name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_name: Option<String>,
    /// Runs of this version of their prompt, such as `1.2.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// The same as `model`, under its longer name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    /// Runs of this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Runs on this dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Runs of this suite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Runs in this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<RunStatus>,
    /// Runs with this tag, `key=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Created at or after (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// Created before (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// How to look at a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct GetRunQuery {
    /// Answer only when the run has ended, or after this many milliseconds (at most 30,000).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// For `latest` and `baseline`: of this dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

/// Which sample results to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ResultQuery {
    /// Results of this category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// `passed`, `failed` or `errored`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<ResultStatus>,
    /// `worst` (as it is left out), `best`, or `ordinal`: by sample and trial. A cursor goes on in the order that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub order: Option<ResultOrder>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Asks for a verdict on a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GateRequest {
    /// The rules.
    pub config: GateConfig,
    /// The run to compare with; absent: the dataset's baseline.
    pub baseline: Option<String>,
    /// Scores to compare with where no run is: those of a baseline that another system keeps.
    pub reference: Option<ReferenceScores>,
    /// What the reader of the report should know about the comparison.
    pub notices: Vec<String>,
}

/// Makes a run the baseline of its dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteBaseline {
    /// The run.
    pub run: String,
    /// Promote a run that failed or has errors all the same.
    #[serde(default)]
    pub force: bool,
}

/// A dataset's baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Baseline {
    /// The dataset.
    pub dataset: String,
    /// The run tagged `env=production`.
    pub run: llmops_domain::run::EvaluationRun,
}
