//! The `targets` section: what is evaluated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::Parameters;

/// A prompt with a model and its parameters: what a run evaluates. It resolves to a manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TargetConfig {
    /// The prompt: `NAME` for `prompts/NAME.yaml`, `NAME@1.2.0` or `NAME@HASH` to pin a version. Absent: the input is
    /// sent as it is.
    pub prompt: Option<String>,
    /// The model, as `provider/model`. Absent: the prompt's own.
    pub model: Option<String>,
    /// Models, as `provider/model`, of which each run takes the healthy one with the best score, instead of `model`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// The provider's version or date of the model, where it is pinned.
    pub model_version: Option<String>,
    /// Sampling parameters, laid over the prompt's. The temperature is 0 where neither names one.
    pub parameters: Parameters,
    /// System message. Replaces the prompt's.
    pub system: Option<String>,
    /// The retriever's index that answers rest on.
    pub retriever_index_version: Option<String>,
}
