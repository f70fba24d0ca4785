//! Requests read into types, for providers whose format is another one than the caller's, and for those in process.

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin};
use llmops_providers::reasoning;
use llmops_providers::upstream::Dialect;
use serde_json::{Value, json};

use crate::error::GatewayError;
use crate::messages::{cannot_be_said, says_something};
use crate::request::{EXTENSION, Fields};
use crate::rewrite::{self, Conversation};
use crate::snapshot::{Candidate, Route};

/// What becomes of a field of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is read into a type.
    Typed,
    /// The provider has words of its own for it, or takes it as it is.
    HandedOn,
    /// It leaves the answer what it is, or says something to a neighbour that is refused.
    LeftOut,
    /// It has no counterpart.
    Refused,
}

/// `dialect`: the provider's format; nothing where it is in this process and takes what it is given.
fn fate(name: &str, dialect: Option<Dialect>) -> Fate {
    match name {
        "model"
        | "messages"
        | "temperature"
        | "top_p"
        | "max_tokens"
        | "max_completion_tokens"
        | "seed"
        | "stop"
        | "stream"
        | "tools"
        | "response_format"
        | EXTENSION => Fate::Typed,
        "presence_penalty" | "frequency_penalty" if dialect != Some(Dialect::Anthropic) => Fate::Typed,
        "tool_choice" | "parallel_tool_calls" | "reasoning_effort" | "top_k" | "user" => Fate::HandedOn,
        "thinking" | "cache_control" if dialect == Some(Dialect::Anthropic) => Fate::HandedOn,
        "audio"
        | "cache_control"
        | "function_call"
        | "metadata"
        | "prediction"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "safety_identifier"
        | "service_tier"
        | "store"
        | "stream_options"
        | "top_logprobs" => Fate::LeftOut,
        "n" | "logprobs" | "logit_bias" | "modalities" | "functions" | "web_search_options" => Fate::Refused,
        _ if dialect.is_none() => Fate::HandedOn,
        _ => Fate::Refused,
    }
}

/// The caller's fields as parameters of a provider. What has no counterpart there is refused; hints that leave the answer what
/// it is, such as `service_tier`, are left out.
fn parameters(fields: &Fields<'_>, dialect: Option<Dialect>) -> Result<Parameters, GatewayError> {
    let mut parameters = Parameters {
        temperature: fields.read("temperature")?,
        top_p: fields.read("top_p")?,
        max_tokens: match fields.read("max_completion_tokens")? {
            Some(most) => Some(most),
            None => fields.read("max_tokens")?,
        },
        seed: fields.read("seed")?,
        presence_penalty: fields.read("presence_penalty")?,
        frequency_penalty: fields.read("frequency_penalty")?,
        ..Parameters::default()
    };
    parameters.stop = match fields.read::<Value>("stop")? {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop],
        Some(list) => serde_json::from_value(list)
            .map_err(|error| GatewayError::bad_request(format!("`stop`: {error}")).at("stop"))?,
    };
    for (name, _) in fields.iter() {
        let fate = fate(name, dialect);
        if matches!(fate, Fate::Typed | Fate::LeftOut) {
            continue;
        }
        let Some(value) = fields.read::<Value>(name)? else { continue };
        if fate == Fate::Refused || (dialect.is_some() && !has_counterpart(name, &value)) {
            if asks_for_something(name, &value) {
                return Err(cannot_be_said(name));
            }
        } else {
            parameters.extra_body.insert(name.to_owned(), value);
        }
    }
    Ok(parameters)
}

/// Whether a field that has a counterpart has one for this value.
fn has_counterpart(name: &str, value: &Value) -> bool {
    match name {
        "tool_choice" => value.is_string() || value.pointer("/function/name").is_some(),
        "reasoning_effort" => value.as_str().is_some_and(|effort| reasoning::budget(effort).is_some()),
        _ => true,
    }
}

/// Whether a field says more than its default.
fn asks_for_something(name: &str, value: &Value) -> bool {
    match name {
        "n" => value.as_f64() != Some(1.0),
        "presence_penalty" | "frequency_penalty" => value.as_f64() != Some(0.0),
        "modalities" => value.as_array().is_none_or(|all| all.iter().any(|one| one != "text")),
        "verbosity" => value != "medium",
        // Empty options have a meaning.
        "web_search_options" => true,
        _ => says_something(value),
    }
}

/// Refuses what only OpenAI's own tools say.
fn with_functions_only(request: ChatRequest) -> Result<ChatRequest, GatewayError> {
    if let Some(at) = request.tools.iter().position(|tool| tool.get("function").is_none()) {
        let kind = request.tools[at]["type"].as_str().unwrap_or_default();
        let message = format!(
            "tools[{at}]: a tool of the type `{kind}` cannot be said to the model provider behind this name: use `function`"
        );
        return Err(GatewayError::bad_request(message).at("tools"));
    }
    Ok(request)
}

/// Messages as types. What only describes a message, such as `annotations`, is left out, as the translation would.
pub(crate) fn messages<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Message>, GatewayError> {
    texts
        .enumerate()
        .map(|(at, text)| {
            message(text).map_err(|what| GatewayError::bad_request(format!("messages[{at}]: {what}")).at("messages"))
        })
        .collect()
}

fn message(text: &str) -> Result<Message, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for (name, instead) in [("function_call", "`tool_calls`"), ("audio", "its text")] {
        if says_something(&value[name]) {
            return Err(format!("`{name}` cannot be said to the model provider behind this name: use {instead}"));
        }
    }
    // A refusal stands beside an empty content.
    if let (false, Value::String(refusal)) = (says_something(&value["content"]), &value["refusal"]) {
        value["content"] = refusal.clone().into();
    }
    if let Some(mark) = value.get("cache_control").filter(|mark| mark.is_object()).cloned() {
        mark_end(&mut value["content"], mark);
    }
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, value| {
            matches!(&**name, "role" | "content" | "name" | "tool_calls" | "tool_call_id") && !value.is_null()
        });
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Marks the last part of a content for the provider's cache.
fn mark_end(content: &mut Value, mark: Value) {
    match content {
        Value::Array(parts) => {
            if let Some(last) = parts.last_mut().and_then(Value::as_object_mut) {
                last.entry("cache_control").or_insert(mark);
            }
        }
        Value::String(text) if !text.is_empty() => {
            *content = json!([{"type": "text", "text": text, "cache_control": mark}]);
        }
        _ => {}
    }
}

fn dialect(candidate: &Candidate) -> Option<Dialect> {
    candidate.forward.as_ref().map(|forward| forward.upstream.dialect())
}

/// A call that names a model directly.
pub(crate) fn direct(fields: &Fields<'_>, candidate: &Candidate) -> Result<ChatRequest, GatewayError> {
    let raw: Vec<&serde_json::value::RawValue> = fields.read("messages")?.unwrap_or_default();
    with_functions_only(ChatRequest {
        model: candidate.target.model().to_owned(),
        messages: messages(raw.iter().map(|message| message.get()))?,
        parameters: parameters(fields, dialect(candidate))?,
        tools: fields.read("tools")?.unwrap_or_default(),
        response_format: fields.read("response_format")?,
        origin: RequestOrigin::default(),
    })
}

/// A call to a deployment. What the manifest leaves open is the caller's; what it decides is too where the deployment
/// allows it.
pub(crate) fn deployed(
    fields: &Fields<'_>,
    route: &Route,
    conversation: &Conversation,
    candidate: &Candidate,
) -> Result<ChatRequest, GatewayError> {
    let theirs = parameters(fields, dialect(candidate))?;
    let allowed = |name: &str| rewrite::is_allowed(&route.deployment.settings, name);
    let mut request = ChatRequest {
        model: candidate.target.model().to_owned(),
        messages: messages(conversation.texts())?,
        parameters: route.target.parameters_for_call(&theirs, allowed),
        ..route.target.bare_request()
    };
    if request.tools.is_empty() || allowed("tools") {
        request.tools = fields.read("tools")?.unwrap_or(request.tools);
    }
    if request.response_format.is_none() || allowed("response_format") {
        request.response_format = fields.read("response_format")?.or(request.response_format);
    }
    with_functions_only(request)
}
