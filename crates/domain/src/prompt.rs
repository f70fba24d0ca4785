//! Prompts: named templates with typed variables, in immutable versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::{Message, Parameters};
use crate::hash::ContentHash;
use crate::id::RunId;
use crate::run::Estimate;

/// Type of a template variable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VariableType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A list.
    Array,
    /// A map.
    Object,
}

/// A typed variable of a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// The name used in the template.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type", default)]
    pub kind: VariableType,
    /// Whether rendering fails without it. A default satisfies it.
    #[serde(default)]
    pub required: bool,
    /// The value when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A regular expression that the whole value (as text) must match, or a list of allowed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// What values a variable may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(untagged)]
pub enum Validation {
    /// A regular expression over the whole value.
    Regex(String),
    /// The allowed values.
    Enum(Vec<Value>),
}

/// A few-shot example, put before the input as a user and an assistant message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What the user would say.
    pub input: String,
    /// What the model should answer.
    pub output: String,
}

/// A step applied to the model's answer before it is scored or returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostProcessing {
    /// Removes white space at both ends.
    Trim,
    /// Removes a Markdown code fence around the whole answer.
    StripFences,
    /// Takes one value out of a JSON answer: `{json_path: "$.answer"}`.
    JsonPath(String),
    /// Takes the first group (or the whole match) of a regular expression: `{regex: "Answer: (.*)"}`.
    Regex(String),
}

/// What decides the answer: the part of a prompt that its hash covers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct PromptBody {
    /// The template text, sent as the last user message. Either this or `messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The template as chat messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// System message, put first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Few-shot examples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// Declared variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// The model it was written for, as `provider/model`. A target may name another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Sampling parameters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parameters: Parameters,
    /// OpenAI's `response_format`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// Tools in OpenAI's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// Steps applied to the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_processing: Vec<PostProcessing>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl PromptBody {
    /// The content hash: SHA-256 over the canonical JSON of these fields, absent and empty ones left out.
    ///
    /// # Errors
    /// When a parameter is NaN or infinite.
    pub fn hash(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of_json(self)
    }
}

/// A semantic version, in full.
const VERSION_PATTERN: &str =
    r"^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$";

/// A prompt as it stands in `prompts/NAME.yaml` and as it is pushed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct PromptSpec {
    /// The prompt's name: at most 128 letters, digits, `.`, `_`, `/` and `-`, a letter or digit first.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,127}$"))]
    #[schema(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,127}$")]
    pub name: String,
    /// Semantic version, such as 1.0.0. Absent: 1.0.0 of a new prompt; later pushes say how it is chosen (`bump`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    #[schemars(with = "Option<String>", extend("pattern" = VERSION_PATTERN))]
    pub version: Option<Version>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What changed against the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Anything else worth keeping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// What decides the answer.
    #[serde(flatten)]
    pub body: PromptBody,
}

impl PromptSpec {
    /// Whether a text can be the name of a prompt.
    pub fn is_name(text: &str) -> bool {
        let others = |c: u8| c.is_ascii_alphanumeric() || b"._/-".contains(&c);
        (1..=128).contains(&text.len())
            && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && text.bytes().all(others)
    }
}

/// Where a version stands on its way to users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromptStatus {
    /// Written, not used.
    #[default]
    Draft,
    /// In use in a staging environment.
    Staging,
    /// In use in production.
    Production,
}

/// An immutable version of a prompt in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PromptVersion {
    /// The prompt's name.
    pub name: String,
    /// Semantic version.
    #[schema(value_type = String, example = "1.2.0")]
    pub version: Version,
    /// Hash of the body.
    pub hash: ContentHash,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What changed against the version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// Anything else worth keeping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// What decides the answer.
    #[serde(flatten)]
    pub body: PromptBody,
    /// Where it is in use now.
    #[serde(default)]
    pub status: PromptStatus,
    /// What its newest completed evaluations found, one for each dataset and model, newest first. Lists of several prompts are
    /// without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<PromptScore>,
    /// Whether it is the version that `get_latest` answers.
    #[serde(default)]
    pub is_active: bool,
    /// When it was pushed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What an evaluation of a prompt version found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PromptScore {
    /// The run.
    pub run: RunId,
    /// The dataset.
    pub dataset: String,
    /// The model that answered.
    pub model: String,
    /// The overall score, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall: Option<Estimate>,
    /// The share of samples that passed.
    pub pass_rate: Estimate,
    /// When the run was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// How people name a version: `NAME`, `NAME@1.2.0`, `NAME@HASH` (12 or more hex digits).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptRef {
    /// The prompt's name.
    pub name: String,
    /// Which version.
    pub selector: PromptSelector,
}

/// The part behind `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSelector {
    /// No `@`: the active version.
    Active,
    /// A semantic version.
    Version(Version),
    /// The beginning of a content hash, at least 12 hex digits.
    Hash(String),
}

/// A prompt reference that is neither a version nor a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no prompt version: write NAME, NAME@1.2.0 or NAME@HASH with at least 12 hex digits")]
pub struct PromptRefError(pub String);

impl std::str::FromStr for PromptRef {
    type Err = PromptRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, selector) = match text.split_once('@') {
            None => (text, PromptSelector::Active),
            Some((name, at)) => (name, parse_selector(at).ok_or_else(|| PromptRefError(text.to_owned()))?),
        };
        if name.is_empty() {
            return Err(PromptRefError(text.to_owned()));
        }
        Ok(Self { name: name.to_owned(), selector })
    }
}

/// Reads what stands behind the `@`: a semantic version or a hash.
pub fn parse_selector(text: &str) -> Option<PromptSelector> {
    if let Ok(version) = text.parse() {
        return Some(PromptSelector::Version(version));
    }
    let is_hash = (crate::hash::SHORT_LEN..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| PromptSelector::Hash(text.to_ascii_lowercase()))
}

impl std::fmt::Display for PromptRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.selector {
            PromptSelector::Active => f.write_str(&self.name),
            PromptSelector::Version(v) => write!(f, "{}@{v}", self.name),
            PromptSelector::Hash(h) => write!(f, "{}@{h}", self.name),
        }
    }
}
