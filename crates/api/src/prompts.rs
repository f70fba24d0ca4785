//! Prompts on the wire.

use std::collections::BTreeMap;

use llmops_domain::chat::Message;
use llmops_domain::prompt::{PromptSpec, PromptVersion};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the version number of a pushed prompt is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BumpMode {
    /// The version that the prompt names; 1.0.0 for a first version without one.
    #[default]
    None,
    /// Derived from what changed in the contract.
    Auto,
    /// The next major version.
    Major,
    /// The next minor version.
    Minor,
    /// The next patch version.
    Patch,
}

/// Pushes a prompt version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushPrompt {
    /// The prompt.
    pub prompt: PromptSpec,
    /// How its version number is chosen.
    #[serde(default)]
    pub bump: BumpMode,
    /// Make it the active version.
    #[serde(default)]
    pub activate: bool,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushedPrompt {
    /// The version in the registry.
    pub prompt: PromptVersion,
    /// False when identical content was there already.
    pub created: bool,
    /// Why the number was chosen, where it was derived.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Things worth a look: placeholders without a declared variable …
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Values to render a prompt with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenderPrompt {
    /// Values by variable.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
}

/// A rendered prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RenderedPrompt {
    /// The messages that would be sent.
    pub messages: Vec<Message>,
    /// The text of the last message.
    pub text: String,
}

/// Which versions to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CompareQuery {
    /// The older version: a number, or 12 hex digits of its hash.
    pub from: String,
    /// The newer version. Absent: the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}
