//! Requests in Anthropic's Messages format, said in OpenAI's: for providers that speak that one, or are translated to from
//! it.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::GatewayError;
use crate::request::{EXTENSION, Fields};

/// Fields that mean the same in both formats.
const SAME: [&str; 4] = ["model", "max_tokens", "temperature", "top_p"];

/// The body of the same request in OpenAI's format.
pub(crate) fn to_openai(fields: &Fields<'_>) -> Result<Bytes, GatewayError> {
    let mut body = Map::new();
    for name in SAME.into_iter().chain([EXTENSION]) {
        if let Some(value) = fields.read::<Value>(name)? {
            body.insert(name.to_owned(), value);
        }
    }
    body.insert("messages".to_owned(), messages(fields)?.into());
    if let Some(stops) = fields.read::<Value>("stop_sequences")? {
        body.insert("stop".to_owned(), stops);
    }
    if let Some(user) = fields.read::<Value>("metadata")?.and_then(|metadata| metadata.get("user_id").cloned()) {
        body.insert("user".to_owned(), user);
    }
    let tools: Vec<Value> = fields.read::<Vec<Value>>("tools")?.unwrap_or_default().iter().filter_map(tool).collect();
    if !tools.is_empty() {
        body.insert("tools".to_owned(), tools.into());
        let choice = fields.read::<Value>("tool_choice")?.unwrap_or_default();
        body.extend(tool_choice(&choice).map(|choice| ("tool_choice".to_owned(), choice)));
        if choice["disable_parallel_tool_use"] == true {
            body.insert("parallel_tool_calls".to_owned(), false.into());
        }
    }
    if fields.read("stream")?.unwrap_or(false) {
        body.insert("stream".to_owned(), true.into());
        // The format always tells the tokens.
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    Ok(Bytes::from(Value::Object(body).to_string()))
}

fn messages(fields: &Fields<'_>) -> Result<Vec<Value>, GatewayError> {
    let mut messages = Vec::new();
    let system = fields.read::<Value>("system")?.map(|system| plain_text(&system)).filter(|text| !text.is_empty());
    messages.extend(system.map(|text| json!({"role": "system", "content": text})));
    for (i, message) in fields.read::<Vec<Value>>("messages")?.unwrap_or_default().iter().enumerate() {
        let wrong = |what: &str| GatewayError::bad_request(format!("messages[{i}]: {what}")).at("messages");
        let role = message["role"].as_str().ok_or_else(|| wrong("`role` is missing: expected user or assistant"))?;
        match (&message["content"], role) {
            (Value::String(text), _) => messages.push(json!({"role": role, "content": text})),
            (Value::Array(blocks), "assistant") => messages.push(assistant(blocks)),
            (Value::Array(blocks), _) => messages.extend(user(role, blocks)),
            _ => return Err(wrong("`content` is missing: expected a text or a list of blocks")),
        }
    }
    Ok(messages)
}

/// The texts of a text, or of a list of blocks.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n\n")
        }
        _ => String::new(),
    }
}

fn assistant(blocks: &[Value]) -> Value {
    let texts: String = blocks.iter().filter(|b| b["type"] == "text").filter_map(|b| b["text"].as_str()).collect();
    let calls: Vec<Value> = blocks
        .iter()
        .filter(|block| block["type"] == "tool_use")
        .map(|block| {
            let arguments = if block["input"].is_null() { "{}".to_owned() } else { block["input"].to_string() };
            let function = json!({"name": block["name"], "arguments": arguments});
            json!({"id": block["id"], "type": "function", "function": function})
        })
        .collect();
    let content = if texts.is_empty() && !calls.is_empty() { Value::Null } else { texts.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

/// What tools answered comes first, each in a message of its own; the rest is what the user says.
fn user(role: &str, blocks: &[Value]) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for block in blocks {
        match block["type"].as_str() {
            Some("tool_result") => {
                let mut text = plain_text(&block["content"]);
                if block["is_error"] == true {
                    text.insert_str(0, "Error: ");
                }
                messages.push(json!({"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}));
            }
            Some("text") => parts.push(json!({"type": "text", "text": block["text"]})),
            Some("image") => parts.extend(image(&block["source"])),
            _ => {}
        }
    }
    match parts.as_slice() {
        [] => {}
        [one] if one["type"] == "text" => messages.push(json!({"role": role, "content": one["text"]})),
        _ => messages.push(json!({"role": role, "content": parts})),
    }
    messages
}

fn image(source: &Value) -> Option<Value> {
    let url = match source["type"].as_str()? {
        "url" => source["url"].as_str()?.to_owned(),
        "base64" => format!("data:{};base64,{}", source["media_type"].as_str()?, source["data"].as_str()?),
        _ => return None,
    };
    Some(json!({"type": "image_url", "image_url": {"url": url}}))
}

/// Tools of the caller; those that Anthropic runs itself have no counterpart.
fn tool(tool: &Value) -> Option<Value> {
    let schema = tool.get("input_schema")?;
    let mut function = json!({"name": tool["name"], "parameters": schema});
    if let Some(description) = tool.get("description") {
        function["description"] = description.clone();
    }
    Some(json!({"type": "function", "function": function}))
}

fn tool_choice(choice: &Value) -> Option<Value> {
    Some(match choice["type"].as_str()? {
        "any" => "required".into(),
        "tool" => json!({"type": "function", "function": {"name": choice["name"]}}),
        same => same.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_has_a_counterpart_is_said() {
        let body = json!({
            "model": "bot", "max_tokens": 9, "system": [{"type": "text", "text": "Be kind."}],
            "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "ana"},
            "llmops": {"session": "s"},
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}, {"type": "web_search"}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "messages": [
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]},
                    {"type": "text", "text": "go on"}]},
            ],
        })
        .to_string();
        let said: Value =
            serde_json::from_slice(&to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap()).unwrap();
        let expected = json!({
            "model": "bot", "max_tokens": 9, "stop": ["END"], "user": "ana", "llmops": {"session": "s"},
            "stream": true, "stream_options": {"include_usage": true},
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
            "tool_choice": "required", "parallel_tool_calls": false,
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": "42"},
                {"role": "user", "content": "go on"},
            ],
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: &str, part: &str| {
            let error = to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{body}: {error}");
        };
        check(r#"{"messages": [{"content": "a"}]}"#, "messages[0]: `role` is missing");
        check(r#"{"messages": [{"role": "user"}]}"#, "messages[0]: `content` is missing");
        check(r#"{"messages": 3}"#, "`messages`");
    }
}
