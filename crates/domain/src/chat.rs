//! Chat messages, requests and answers, in the shape that every provider is translated from and to.

pub(crate) mod functions;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::render::joined;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the application.
    System,
    /// Newer name of `system` at some providers.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The answer of a tool.
    Tool,
}

impl Role {
    /// The name as written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text, or a list of OpenAI content parts; null beside tool calls.
    #[serde(default)]
    pub content: Value,
    /// Speaker's name, where several share a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Calls the assistant made, in OpenAI's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A plain text message.
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: Value::String(content.into()), name: None, tool_calls: Vec::new(), tool_call_id: None }
    }

    /// The text of the message: a string content as it is, else the texts of its parts, joined by line ends. What a model
    /// says in parts is one text that was cut, such as at citations, and is put together again as it was.
    pub fn as_text(&self) -> std::borrow::Cow<'_, str> {
        match &self.content {
            Value::String(text) => std::borrow::Cow::Borrowed(text),
            Value::Array(parts) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                if self.role == Role::Assistant { texts.collect::<String>() } else { joined(texts) }.into()
            }
            _ => std::borrow::Cow::Borrowed(""),
        }
    }
}

/// A call of a tool, as the model asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ToolCall {
    /// The call's id.
    #[serde(default)]
    pub id: String,
    /// Always `function` today.
    #[serde(rename = "type", default = "function_kind")]
    pub kind: String,
    /// What is called.
    pub function: FunctionCall,
}

fn function_kind() -> String {
    "function".to_owned()
}

/// Name and arguments of a called function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The arguments: JSON as text, exactly as the model wrote it.
    pub arguments: String,
}

/// Sampling parameters of a request. Absent means: the provider decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Randomness, 0 to 2. Evaluation targets and judges default to 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Most tokens to answer with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed for providers that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Penalty on tokens that occurred, −2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub presence_penalty: Option<f64>,
    /// Penalty on frequent tokens, −2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub frequency_penalty: Option<f64>,
    /// Anything else the provider takes, put into the request body as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_body: BTreeMap<String, Value>,
}

impl Parameters {
    /// These parameters with every value that `over` sets.
    #[must_use]
    pub fn overlaid(mut self, over: &Parameters) -> Self {
        self.temperature = over.temperature.or(self.temperature);
        self.top_p = over.top_p.or(self.top_p);
        self.max_tokens = over.max_tokens.or(self.max_tokens);
        self.seed = over.seed.or(self.seed);
        self.presence_penalty = over.presence_penalty.or(self.presence_penalty);
        self.frequency_penalty = over.frequency_penalty.or(self.frequency_penalty);
        if !over.stop.is_empty() {
            self.stop.clone_from(&over.stop);
        }
        self.extra_body.extend(over.extra_body.iter().map(|(k, v)| (k.clone(), v.clone())));
        self
    }

    /// Whether a temperature, or what stands for one, is named.
    pub fn chooses_randomness(&self) -> bool {
        self.temperature.is_some() || self.top_p.is_some()
    }

    /// Takes over what `theirs` sets under the names that are `allowed`.
    pub fn let_win(&mut self, theirs: &Parameters, allowed: impl Fn(&str) -> bool) {
        fn take<T: Clone>(own: &mut Option<T>, theirs: Option<&T>, is_allowed: bool) {
            if let Some(value) = theirs.filter(|_| is_allowed) {
                *own = Some(value.clone());
            }
        }
        take(&mut self.temperature, theirs.temperature.as_ref(), allowed("temperature"));
        take(&mut self.top_p, theirs.top_p.as_ref(), allowed("top_p"));
        take(&mut self.max_tokens, theirs.max_tokens.as_ref(), allowed("max_tokens"));
        take(&mut self.seed, theirs.seed.as_ref(), allowed("seed"));
        take(&mut self.presence_penalty, theirs.presence_penalty.as_ref(), allowed("presence_penalty"));
        take(&mut self.frequency_penalty, theirs.frequency_penalty.as_ref(), allowed("frequency_penalty"));
        if allowed("stop") && !theirs.stop.is_empty() {
            self.stop.clone_from(&theirs.stop);
        }
        for (name, value) in theirs.extra_body.iter().filter(|(name, _)| allowed(name)) {
            self.extra_body.insert(name.clone(), value.clone());
        }
    }
}

/// What a provider is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The model's name at the provider (without the provider).
    pub model: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Sampling parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// Tools in OpenAI's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    /// OpenAI's `response_format`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// What the request is about; never sent to model providers. The `outputs`, `http` and `command` kinds use it.
    #[serde(default)]
    pub origin: RequestOrigin,
}

impl ChatRequest {
    /// The text of the last user message, or the empty string.
    pub fn last_user_text(&self) -> std::borrow::Cow<'_, str> {
        self.messages
            .iter()
            .rev()
            .find(|m| m.role == Role::User)
            .map_or(std::borrow::Cow::Borrowed(""), Message::as_text)
    }
}

/// Where a request comes from: the sample and its variables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestOrigin {
    /// The sample's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_id: Option<String>,
    /// The trial, from 0. Trials of one sample are different requests.
    #[serde(default)]
    pub trial: u32,
    /// The variables the prompt was rendered with, `input` among them.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
}

/// What a provider answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatResponse {
    /// The answer's text; empty beside tool calls.
    pub text: String,
    /// Tools the model wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it stopped: `stop`, `length`, `tool_calls`, `content_filter` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The model that answered, as the provider names it.
    #[serde(default)]
    pub model: String,
    /// Tokens.
    #[serde(default)]
    pub usage: Usage,
    /// Milliseconds from sending the request that succeeded to its last byte.
    #[serde(default)]
    pub latency_ms: f64,
}

/// Token counts of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens read.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens written.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Of the tokens read, those that the provider had in its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Of the tokens read, those that the provider put into its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// Of the tokens written, those that the model thought with, for callers of another format; nobody keeps them.
    #[serde(skip)]
    pub reasoning_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

/// What counts of tokens are cut to: no call has as many, and sums of any number of calls fit the databases' 64 bits.
pub const MOST_TOKENS: u64 = 1 << 32;

impl Usage {
    /// Tokens read and written, none of them from a cache.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens, completion_tokens, ..Self::default() }
    }

    /// The tokens of two calls.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn with(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            prompt_tokens: of(self.prompt_tokens, other.prompt_tokens),
            completion_tokens: of(self.completion_tokens, other.completion_tokens),
            cached_tokens: of(self.cached_tokens, other.cached_tokens),
            cache_write_tokens: of(self.cache_write_tokens, other.cache_write_tokens),
            reasoning_tokens: of(self.reasoning_tokens, other.reasoning_tokens),
        }
    }

    /// The counts, each at most [`MOST_TOKENS`]: providers and applications report what they like.
    #[must_use]
    pub fn bounded(self) -> Self {
        self.with(self, |tokens, _| tokens.min(MOST_TOKENS))
    }
}
