//! Answers of providers that bytes cannot be forwarded to: those whose format is translated, and those in process. The
//! request is read into types, asked through the same clients that evaluations use, and answered in OpenAI's format.

use bytes::Bytes;
use llmops_domain::chat::{ChatRequest, ChatResponse, Parameters, RequestOrigin};
use serde_json::{Value, json};

use crate::error::GatewayError;
use crate::request::Fields;

/// The caller's fields as parameters. Those that have no type stay as they are, and go where the provider takes them.
pub(crate) fn parameters(fields: &Fields<'_>) -> Result<Parameters, GatewayError> {
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
    Ok(parameters)
}

/// A call that names a model directly.
pub(crate) fn direct(fields: &Fields<'_>, model: &str) -> Result<ChatRequest, GatewayError> {
    Ok(ChatRequest {
        model: model.to_owned(),
        messages: fields.read("messages")?.unwrap_or_default(),
        parameters: parameters(fields)?,
        tools: fields.read("tools")?.unwrap_or_default(),
        response_format: fields.read("response_format")?,
        origin: RequestOrigin::default(),
    })
}

/// What identifies an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) id: &'a str,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The model that was asked.
    pub(crate) model: &'a str,
}

fn model<'a>(head: Head<'a>, answer: &'a ChatResponse) -> &'a str {
    if answer.model.is_empty() { head.model } else { &answer.model }
}

fn usage(answer: &ChatResponse) -> Value {
    let usage = answer.usage;
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}

fn finish_reason(answer: &ChatResponse) -> &str {
    let default = if answer.tool_calls.is_empty() { "stop" } else { "tool_calls" };
    answer.finish_reason.as_deref().unwrap_or(default)
}

/// A whole answer in OpenAI's format.
pub(crate) fn completion(head: Head<'_>, answer: &ChatResponse) -> Bytes {
    let content = (!answer.text.is_empty() || answer.tool_calls.is_empty()).then_some(&answer.text);
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !answer.tool_calls.is_empty() {
        message["tool_calls"] = json!(answer.tool_calls);
    }
    let body = json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": model(head, answer),
        "choices": [
            {"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(answer)},
        ],
        "usage": usage(answer),
    });
    Bytes::from(body.to_string())
}

/// The same as a stream of events. Providers that are translated answer in one piece, so the text comes in one piece.
pub(crate) fn events(head: Head<'_>, answer: &ChatResponse, include_usage: bool) -> Bytes {
    let event = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": model(head, answer),
            "choices": choices,
        });
        if include_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut body = event(choice(json!({"role": "assistant", "content": ""}), None), None);
    if !answer.text.is_empty() {
        body += &event(choice(json!({"content": answer.text}), None), None);
    }
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let mut call = json!(call);
        call["index"] = json!(index);
        body += &event(choice(json!({"tool_calls": [call]}), None), None);
    }
    body += &event(choice(json!({}), Some(finish_reason(answer))), None);
    if include_usage {
        body += &event(json!([]), Some(usage(answer)));
    }
    body += "data: [DONE]\n\n";
    Bytes::from(body)
}
