//! The manifest: the immutable, content-addressed unit that is evaluated and deployed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::Parameters;
use crate::hash::ContentHash;
use crate::prompt::{Example, PostProcessing, PromptVersion};

/// The temperature of a manifest where nobody names one: an evaluation that cannot be repeated decides nothing.
pub(crate) const DEFAULT_TEMPERATURE: f64 = 0.0;

/// Everything that decides an answer. It is resolved: it does not depend on what is active later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct Manifest {
    /// The model, as `provider/model`.
    pub model: String,
    /// The provider's version or date of the model, where it is pinned.
    #[serde(default)]
    pub model_version: Option<String>,
    /// The prompt's name; null when the input is sent as it is.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The prompt's version.
    #[serde(default)]
    pub prompt_version: Option<String>,
    /// Hash of the prompt's body.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub prompt_hash: Option<ContentHash>,
    /// System message.
    #[serde(default)]
    pub system: Option<String>,
    /// Few-shot examples.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Sampling parameters, stop sequences apart.
    #[serde(default)]
    pub parameters: Parameters,
    /// Stop sequences.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Tools in OpenAI's shape.
    #[serde(default)]
    pub tools: Vec<Value>,
    /// OpenAI's `response_format`.
    #[serde(default)]
    pub response_format: Option<Value>,
    /// Steps applied to the answer.
    #[serde(default)]
    pub post_processing: Vec<PostProcessing>,
    /// The retriever's index the answers rest on.
    #[serde(default)]
    pub retriever_index_version: Option<String>,
}

impl Manifest {
    /// Resolves a prompt version and a model to a manifest. `parameters` are laid over the prompt's; the temperature is
    /// 0 where neither names one.
    pub fn resolve(prompt: Option<&PromptVersion>, model: &str, parameters: &Parameters) -> Self {
        let body = prompt.map(|p| p.body.clone()).unwrap_or_default();
        let mut parameters = body.parameters.overlaid(parameters);
        let stop = std::mem::take(&mut parameters.stop);
        parameters.temperature = parameters.temperature.or(Some(DEFAULT_TEMPERATURE));
        Self {
            model: model.to_owned(),
            model_version: None,
            prompt: prompt.map(|p| p.name.clone()),
            prompt_version: prompt.map(|p| p.version.to_string()),
            prompt_hash: prompt.map(|p| p.hash.clone()),
            system: body.system,
            examples: body.examples,
            parameters,
            stop,
            tools: body.tools,
            response_format: body.response_format,
            post_processing: body.post_processing,
            retriever_index_version: None,
        }
    }

    /// The manifest's id: the hash of its canonical JSON.
    ///
    /// # Errors
    /// When a parameter is NaN or infinite.
    pub fn id(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of_json(self)
    }

    /// `NAME@VERSION` of the prompt, or null.
    pub fn prompt_label(&self) -> Option<String> {
        Some(format!("{}@{}", self.prompt.as_ref()?, self.prompt_version.as_deref().unwrap_or("?")))
    }
}
