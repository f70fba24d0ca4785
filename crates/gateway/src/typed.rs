//! Requests read into types, for providers whose format is another one than the caller's, and for those in process.

use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin};
use serde_json::Value;

use crate::error::GatewayError;
use crate::request::Fields;
use crate::rewrite::{self, Conversation};
use crate::snapshot::Route;

/// The caller's fields as parameters.
fn parameters(fields: &Fields<'_>) -> Result<Parameters, GatewayError> {
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
    // Each provider has words of its own for these.
    for name in ["tool_choice", "parallel_tool_calls"] {
        if let Some(value) = fields.read(name)? {
            parameters.extra_body.insert(name.to_owned(), value);
        }
    }
    Ok(parameters)
}

/// Completes a request that is going to be translated: the caller's user has a counterpart somewhere, and what has none
/// anywhere is refused. Hints that leave the answer what it is, such as `service_tier`, are left out.
pub(crate) fn translated(fields: &Fields<'_>, mut request: ChatRequest) -> Result<ChatRequest, GatewayError> {
    for name in UNTRANSLATED {
        if let Some(value) = fields.read::<Value>(name)?.filter(|value| asks_for_something(name, value)) {
            let message = format!(
                "`{name}`: {value} cannot be said to the model provider behind this name, which speaks another format: leave \
                 it out"
            );
            return Err(GatewayError::bad_request(message).at(name));
        }
    }
    if let Some(at) = request.tools.iter().position(|tool| tool.get("function").is_none()) {
        let kind = request.tools[at]["type"].as_str().unwrap_or_default();
        let message = format!(
            "tools[{at}]: a tool of the type `{kind}` cannot be said to the model provider behind this name: use `function`"
        );
        return Err(GatewayError::bad_request(message).at("tools"));
    }
    if let Some(user) = fields.read("user")? {
        request.parameters.extra_body.entry("user".to_owned()).or_insert(user);
    }
    Ok(request)
}

/// Fields without a counterpart in any other format.
const UNTRANSLATED: [&str; 6] = ["n", "logprobs", "logit_bias", "modalities", "functions", "web_search_options"];

/// Whether a field says more than its default.
fn asks_for_something(name: &str, value: &Value) -> bool {
    match name {
        "n" => value.as_f64() != Some(1.0),
        "logprobs" => *value == Value::Bool(true),
        "modalities" => value.as_array().is_none_or(|all| all.iter().any(|one| one != "text")),
        "logit_bias" => value.as_object().is_none_or(|tokens| !tokens.is_empty()),
        "functions" => value.as_array().is_none_or(|all| !all.is_empty()),
        _ => true,
    }
}

/// Messages as types. What a translated format cannot say is left out, as the translation would.
pub(crate) fn messages<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<Message>, GatewayError> {
    let read = |text: &str| {
        let mut value: Value = serde_json::from_str(text)?;
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, value| {
                matches!(&**name, "role" | "content" | "name" | "tool_calls" | "tool_call_id") && !value.is_null()
            });
        }
        serde_json::from_value(value)
    };
    texts
        .map(read)
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| GatewayError::bad_request(format!("messages: {error}")).at("messages"))
}

/// A call that names a model directly.
pub(crate) fn direct(fields: &Fields<'_>, model: &str) -> Result<ChatRequest, GatewayError> {
    let raw: Vec<&serde_json::value::RawValue> = fields.read("messages")?.unwrap_or_default();
    Ok(ChatRequest {
        model: model.to_owned(),
        messages: messages(raw.iter().map(|message| message.get()))?,
        parameters: parameters(fields)?,
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
    model: &str,
) -> Result<ChatRequest, GatewayError> {
    let theirs = parameters(fields)?;
    let allowed = |name: &str| rewrite::is_allowed(&route.deployment.settings, name);
    let mut request = ChatRequest {
        model: model.to_owned(),
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
    Ok(request)
}
