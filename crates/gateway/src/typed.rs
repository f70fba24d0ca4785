//! Requests read into types, for providers whose format is another one than the caller's, and for those in process.

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin};
use llmops_providers::beside::ThinkingBlock;
use llmops_providers::reasoning;
use llmops_providers::translate::AsWritten;
use llmops_providers::upstream::Dialect;
use serde_json::value::RawValue;
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
        "modalities" if dialect == Some(Dialect::Gemini) => Fate::HandedOn,
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
        "modalities" => {
            value.as_array().is_some_and(|all| all.iter().all(|one| matches!(one.as_str(), Some("text" | "image"))))
        }
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

/// A request, and what of it is known as its caller wrote it.
pub(crate) type Read<'a> = (ChatRequest, AsWritten<'a>);

/// Takes over the caller's tools and format of the answer, where they have them and may choose them.
fn take_over<'a>(
    request: &mut ChatRequest,
    fields: &Fields<'a>,
    (tools, response_format): (bool, bool),
) -> Result<AsWritten<'a>, GatewayError> {
    let mut as_written = AsWritten::default();
    if tools && let Some(all) = fields.read("tools")? {
        request.tools = all;
        as_written.tools = fields.read("tools")?;
    }
    if response_format && let Some(format) = fields.read("response_format")? {
        request.response_format = Some(format);
        as_written.response_format = fields.get("response_format");
    }
    Ok(as_written)
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
fn messages<'a>(texts: impl Iterator<Item = &'a str>, dialect: Option<Dialect>) -> Result<Vec<Message>, GatewayError> {
    texts
        .enumerate()
        .map(|(at, text)| {
            message(text, dialect)
                .map_err(|what| GatewayError::bad_request(format!("messages[{at}]: {what}")).at("messages"))
        })
        .collect()
}

fn message(text: &str, dialect: Option<Dialect>) -> Result<Message, String> {
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
    if dialect == Some(Dialect::Anthropic) && value["role"] == "assistant" {
        think_first(&mut value);
    }
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, value| {
            matches!(&**name, "role" | "content" | "name" | "tool_calls" | "tool_call_id") && !value.is_null()
        });
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Puts the thoughts that a caller hands back before what was said, as far as Anthropic would take them.
fn think_first(message: &mut Value) {
    let blocks = message["thinking_blocks"].as_array().into_iter().flatten();
    let blocks = blocks.filter_map(|block| serde_json::from_value::<ThinkingBlock>(block.clone()).ok());
    let mut parts: Vec<Value> = blocks.filter(ThinkingBlock::is_signed).map(|block| json!(block)).collect();
    if parts.is_empty() {
        return;
    }
    match message["content"].take() {
        Value::Array(said) => parts.extend(said),
        Value::String(text) if !text.is_empty() => parts.push(json!({"type": "text", "text": text})),
        _ => {}
    }
    message["content"] = parts.into();
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
pub(crate) fn direct<'a>(fields: &Fields<'a>, candidate: &Candidate) -> Result<Read<'a>, GatewayError> {
    let raw: Vec<&RawValue> = fields.read("messages")?.unwrap_or_default();
    let mut request = ChatRequest {
        model: candidate.target.model().to_owned(),
        messages: messages(raw.iter().map(|message| message.get()), dialect(candidate))?,
        parameters: parameters(fields, dialect(candidate))?,
        tools: Vec::new(),
        response_format: None,
        origin: RequestOrigin::default(),
    };
    let as_written = take_over(&mut request, fields, (true, true))?;
    Ok((with_functions_only(request)?, as_written))
}

/// A call to a deployment. What the manifest leaves open is the caller's; what it decides is too where the deployment
/// allows it.
pub(crate) fn deployed<'a>(
    fields: &Fields<'a>,
    route: &Route,
    conversation: &Conversation,
    candidate: &Candidate,
) -> Result<Read<'a>, GatewayError> {
    let theirs = parameters(fields, dialect(candidate))?;
    let allowed = |name: &str| rewrite::is_allowed(&route.deployment.settings, name);
    let mut request = ChatRequest {
        model: candidate.target.model().to_owned(),
        messages: messages(conversation.texts(), dialect(candidate))?,
        parameters: route.target.parameters_for_call(&theirs, allowed),
        ..route.target.bare_request()
    };
    let may_choose =
        (request.tools.is_empty() || allowed("tools"), request.response_format.is_none() || allowed("response_format"));
    let as_written = take_over(&mut request, fields, may_choose)?;
    Ok((with_functions_only(request)?, as_written))
}
