//! The OpenAI chat format, which most providers speak.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, FunctionCall, ToolCall};
use llmops_domain::config::providers::RemoteConfig;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::beside::{Beside, Whole};
use crate::http_client::{Endpoint, HttpClient};
use crate::kinds::{self, Kind};
use crate::odd;
use crate::provider::{ChatProvider, ProviderError};
use crate::remote;
use crate::text::{Arguments, Text};
use crate::translate::new_call_id;
use crate::usage::WireUsage;

/// Azure's version of the API where none is configured.
const AZURE_API_VERSION: &str = "2024-10-21";

/// A client of one provider that speaks OpenAI's chat format.
pub struct OpenAiProvider {
    client: Arc<HttpClient>,
    kind: &'static Kind,
    address: Address,
}

enum Address {
    /// The model is named in the body.
    Fixed(Endpoint),
    /// Azure: the model is part of the path. The endpoint's own address is never asked.
    PerModel { endpoint: Endpoint, base: String, api_version: String },
}

impl OpenAiProvider {
    pub(crate) fn new(
        client: Arc<HttpClient>,
        kind: &'static Kind,
        config: &RemoteConfig,
    ) -> Result<Self, ProviderError> {
        let base = remote::base_url(kind, config)?;
        let endpoint = remote::endpoint(kind, config, &format!("{base}/chat/completions"))?;
        let address = if is_per_model(kind, &base) {
            let api_version = config.api_version.clone().unwrap_or_else(|| AZURE_API_VERSION.to_owned());
            Address::PerModel { endpoint, base, api_version }
        } else {
            Address::Fixed(endpoint)
        };
        Ok(Self { client, kind, address })
    }

    fn endpoint(&self, model: &str) -> Result<Cow<'_, Endpoint>, ProviderError> {
        match &self.address {
            Address::Fixed(endpoint) => Ok(Cow::Borrowed(endpoint)),
            Address::PerModel { endpoint, base, api_version } => {
                let url = azure_url(base, model, &["chat", "completions"], api_version)?;
                Ok(Cow::Owned(endpoint.at(&url)?))
            }
        }
    }
}

/// Azure's address of a model: the deployment is part of the path.
fn azure_url(base: &str, model: &str, path: &[&str], api_version: &str) -> Result<String, ProviderError> {
    let mut url = remote::parsed(base)?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
        if !base.ends_with("/openai") {
            segments.push("openai");
        }
        segments.extend(["deployments", model]).extend(path);
    }
    url.query_pairs_mut().append_pair("api-version", api_version);
    Ok(url.into())
}

/// Where a provider of OpenAI's format takes requests of one kind for one model, such as `["embeddings"]`.
pub(crate) fn url(kind: &Kind, config: &RemoteConfig, model: &str, path: &[&str]) -> Result<String, ProviderError> {
    let base = remote::base_url(kind, config)?;
    if is_per_model(kind, &base) {
        return azure_url(&base, model, path, config.api_version.as_deref().unwrap_or(AZURE_API_VERSION));
    }
    Ok(format!("{base}/{}", path.join("/")))
}

/// Azure's newer addresses end in /openai/v1 and work like OpenAI's own.
fn is_per_model(kind: &Kind, base: &str) -> bool {
    kind.name == "azure" && !base.ends_with("/v1")
}

#[async_trait]
impl ChatProvider for OpenAiProvider {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let endpoint = self.endpoint(&request.model)?;
        let body = body(self.kind, request)?;
        let reply = self.client.post_json(&endpoint, body).await?;
        Ok(read(&endpoint, &reply.body, reply.latency_ms)?.response)
    }
}

/// Reads a whole answer.
pub(crate) fn read(endpoint: &Endpoint, body: &[u8], latency_ms: f64) -> Result<Whole, ProviderError> {
    response(endpoint, odd::answer(endpoint, body)?, body, latency_ms)
}

/// A request as the provider takes it.
pub(crate) fn body(kind: &Kind, request: &ChatRequest) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, &Outgoing { kind, request })
        .map_err(|error| ProviderError::Config(format!("the request cannot be written as JSON: {error}")))?;
    Ok(body)
}

/// Writes a request straight to JSON. A key of `extra_body` replaces the field of that name, and null removes it.
struct Outgoing<'a> {
    kind: &'a Kind,
    request: &'a ChatRequest,
}

/// The fields of a body that `extra` does not take over.
struct Fields<'a, M> {
    map: M,
    extra: &'a BTreeMap<String, Value>,
}

impl<M: SerializeMap> Fields<'_, M> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), M::Error> {
        if self.extra.contains_key(name) { Ok(()) } else { self.map.serialize_entry(name, value) }
    }

    fn put_some<T: Serialize>(&mut self, name: &'static str, value: Option<T>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.put(name, &value))
    }
}

impl Serialize for Outgoing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        let mut fields = Fields { map: serializer.serialize_map(None)?, extra: &request.parameters.extra_body };
        fields.put("model", &request.model)?;
        fields.put("messages", &request.messages)?;
        fields.put_settings(self.kind, request)?;
        fields.map.end()
    }
}

impl<M: SerializeMap> Fields<'_, M> {
    /// Everything but model and messages.
    fn put_settings(&mut self, kind: &Kind, request: &ChatRequest) -> Result<(), M::Error> {
        let parameters = &request.parameters;
        if kind.reasoning_rules && kinds::is_reasoning_model(&request.model) {
            self.put_some("max_completion_tokens", parameters.max_tokens)?;
        } else {
            self.put_some("max_tokens", parameters.max_tokens)?;
            self.put_some("temperature", parameters.temperature)?;
            self.put_some("top_p", parameters.top_p)?;
            self.put_some("presence_penalty", parameters.presence_penalty)?;
            self.put_some("frequency_penalty", parameters.frequency_penalty)?;
        }
        self.put_some("stop", (!parameters.stop.is_empty()).then_some(&parameters.stop))?;
        self.put_some(kind.seed, parameters.seed)?;
        self.put_some("tools", (!request.tools.is_empty()).then_some(&request.tools))?;
        self.put_some("response_format", request.response_format.as_ref())?;
        for (name, value) in parameters.extra_body.iter().filter(|(_, value)| !value.is_null()) {
            self.map.serialize_entry(name, value)?;
        }
        Ok(())
    }
}

/// The request without its model and messages.
struct Settings<'a>(Outgoing<'a>);

impl Serialize for Settings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let extra = &self.0.request.parameters.extra_body;
        let mut fields = Fields { map: serializer.serialize_map(None)?, extra };
        fields.put_settings(self.0.kind, self.0.request)?;
        fields.map.end()
    }
}

/// The fields that a request's parameters, tools and response format become for this kind of provider, by name.
pub(crate) fn settings(kind: &Kind, request: &ChatRequest) -> Result<serde_json::Map<String, Value>, ProviderError> {
    match serde_json::to_value(Settings(Outgoing { kind, request })) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(serde_json::Map::new()),
        Err(error) => Err(ProviderError::Config(format!("the request cannot be written as JSON: {error}"))),
    }
}

/// What is read of an answer. Every field may be missing somewhere.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    system_fingerprint: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    /// OpenRouter and some servers report upstream errors inside a 200.
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<WireMessage>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireMessage {
    content: Option<Text>,
    refusal: Option<Text>,
    tool_calls: Option<Vec<WireCall>>,
    /// DeepSeek's name for what the model thought, and OpenRouter's.
    reasoning_content: Option<Text>,
    reasoning: Option<Text>,
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default)]
    id: Option<String>,
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    arguments: Option<Arguments>,
}

impl WireCall {
    fn read(self) -> ToolCall {
        ToolCall {
            id: self.id.filter(|id| !id.is_empty()).unwrap_or_else(new_call_id),
            kind: "function".to_owned(),
            function: FunctionCall {
                name: self.function.name,
                arguments: self.function.arguments.unwrap_or_default().0.into_string(),
            },
        }
    }
}

fn response(endpoint: &Endpoint, body: Body, raw: &[u8], latency_ms: f64) -> Result<Whole, ProviderError> {
    let mut choices = body.choices.unwrap_or_default();
    if choices.is_empty() {
        return Err(match body.error {
            Some(error) if !error.is_null() => embedded_error(endpoint, &error, raw),
            _ => endpoint.format_error("there is no `choices[0]`", raw),
        });
    }
    let choice = choices.swap_remove(0);
    let message = choice.message.ok_or_else(|| endpoint.format_error("there is no `choices[0].message`", raw))?;
    // A model that declines a structured answer says so beside an empty content.
    let mut text = message.content.unwrap_or_default().into_string();
    let mut finish_reason = choice.finish_reason;
    if text.is_empty() {
        text = message.refusal.unwrap_or_default().into_string();
        finish_reason = finish_reason.map(|reason| after_refusal(reason, !text.is_empty()));
    }
    let thoughts = thoughts(message.reasoning_content, message.reasoning).unwrap_or_default().into_string();
    let response = ChatResponse {
        text,
        tool_calls: message.tool_calls.into_iter().flatten().map(WireCall::read).collect(),
        finish_reason,
        model: body.model.unwrap_or_default(),
        usage: body.usage.and_then(|usage| usage.after(None)).unwrap_or_default(),
        latency_ms,
    };
    Ok(Whole { response, beside: Beside { thoughts, fingerprint: body.system_fingerprint, ..Beside::default() } })
}

/// What the model thought: some servers say it by both names.
pub(crate) fn thoughts(deepseeks: Option<Text>, openrouters: Option<Text>) -> Option<Text> {
    deepseeks.filter(|text| !text.is_empty()).or(openrouters)
}

/// Why an answer ended: that of a model which declines is no answer like others, whatever the reason says.
pub(crate) fn after_refusal(reason: String, has_refused: bool) -> String {
    if has_refused && reason == "stop" { "content_filter".to_owned() } else { reason }
}

/// An error inside a 200, with its own code where that is a status, or the one that its type has at Anthropic; a 502 otherwise,
/// since the upstream failed.
pub(crate) fn embedded_error(endpoint: &Endpoint, error: &Value, raw: &[u8]) -> ProviderError {
    let of_type = || match error["type"].as_str()? {
        "invalid_request_error" => Some(400),
        "authentication_error" => Some(401),
        "permission_error" => Some(403),
        "not_found_error" => Some(404),
        "request_too_large" => Some(413),
        "rate_limit_error" => Some(429),
        "overloaded_error" => Some(529),
        _ => None,
    };
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).or_else(of_type);
    ProviderError::Status {
        endpoint: endpoint.name(),
        code: code.filter(|code| (400..600).contains(code)).unwrap_or(502),
        message: endpoint.redact(crate::http_client::error_message(raw)),
        retry_after: None,
        should_retry: None,
    }
}
