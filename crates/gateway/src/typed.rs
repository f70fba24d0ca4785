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
    // Each provider has words of its own for it.
    if let Some(choice) = fields.read("tool_choice")? {
        parameters.extra_body.insert("tool_choice".to_owned(), choice);
    }
    Ok(parameters)
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
