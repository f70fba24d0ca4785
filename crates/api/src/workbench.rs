//! Trying things out: a prompt on a model, the size of an experiment.

use std::collections::BTreeMap;

use llmops_domain::chat::{Message, Parameters, ToolCall, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks a model once with a prompt version, as a run would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlayPrompt {
    /// `NAME`, `NAME@VERSION` or `NAME@HASH`.
    pub prompt: String,
    /// `provider/model`; absent: the prompt's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Laid over the prompt's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// Values by variable.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// What the user says.
    #[serde(default)]
    pub input: String,
}

/// What the model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlayedPrompt {
    /// The model asked, as `provider/model`.
    pub model: String,
    /// What was sent.
    pub messages: Vec<Message>,
    /// The answer, after post-processing.
    pub output: String,
    /// Tools the model wanted called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// Milliseconds to the last byte.
    pub latency_ms: f64,
    /// USD; absent where the model has no price.
    pub cost: Option<f64>,
}

/// How large an experiment must be. With `sd` it compares means, without it rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanExperiment {
    /// The rate of today, between 0 and 1; for means it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// The smallest change worth finding, in the unit of the metric; not 0.
    pub effect: f64,
    /// Standard deviation of the metric, for means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
    /// How often a change is found where there is none; default 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// How often a change of this size is found; default 0.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Units that come a day, all variants together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_per_day: Option<u64>,
    /// Variants, the control among them, of the same size: 2 (the default) to 100. With more than two, each comparison with the
    /// control is planned at `alpha` shared by all of them, which suffices for the correction (Holm) of the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<u32>,
}

/// The size of an experiment, for one look at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedExperiment {
    /// Units of each variant.
    pub n_per_variant: u64,
    /// Units of all variants.
    pub n_total: u64,
    /// Days, where the units of a day are known.
    pub days: Option<u64>,
}
