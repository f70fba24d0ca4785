//! Requests in Anthropic's Messages format, said in OpenAI's: for providers that speak that one, or are translated to from
//! it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
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

/// What is read of a message.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(default)]
    role: Option<String>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

fn messages(fields: &Fields<'_>) -> Result<Vec<Value>, GatewayError> {
    let mut messages = Vec::new();
    let system = fields.read::<Value>("system")?.map(|system| plain_text(&system)).filter(|text| !text.is_empty());
    messages.extend(system.map(|text| json!({"role": "system", "content": text})));
    for (i, said) in fields.read::<Vec<Said<'_>>>("messages")?.unwrap_or_default().into_iter().enumerate() {
        let wrong = |what: &str| GatewayError::bad_request(format!("messages[{i}]: {what}")).at("messages");
        let role = said.role.ok_or_else(|| wrong("`role` is missing: expected user or assistant"))?;
        let content = said.content.map_or("", RawValue::get);
        if content.starts_with('"') {
            let text: Value = serde_json::from_str(content).map_err(|error| wrong(&error.to_string()))?;
            messages.push(json!({"role": role, "content": text}));
            continue;
        }
        let blocks: Vec<&RawValue> = serde_json::from_str(content)
            .map_err(|_| wrong("`content` is missing: expected a text or a list of blocks"))?;
        match role.as_str() {
            "assistant" => messages.push(assistant(&blocks).map_err(|what| wrong(&what))?),
            _ => messages.extend(user(&role, &blocks).map_err(|what| wrong(&what))?),
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

fn read(block: &RawValue) -> Result<Value, String> {
    serde_json::from_str(block.get()).map_err(|error| error.to_string())
}

fn assistant(blocks: &[&RawValue]) -> Result<Value, String> {
    let mut text = String::new();
    let mut calls = Vec::new();
    for raw in blocks {
        let block = read(raw)?;
        match block["type"].as_str().unwrap_or_default() {
            "text" => text.push_str(block["text"].as_str().unwrap_or_default()),
            "tool_use" => {
                let function = json!({"name": block["name"], "arguments": input(raw)?});
                calls.push(json!({"id": block["id"], "type": "function", "function": function}));
            }
            // A model's thoughts are for itself.
            "thinking" | "redacted_thinking" => {}
            kind => return Err(unsaid(kind)),
        }
    }
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
    let mut message = json!({"role": "assistant", "content": content});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

/// The input of a call as it was written: a number may be larger than any that is read.
fn input(block: &RawValue) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Call<'a> {
        #[serde(borrow, default)]
        input: Option<&'a RawValue>,
    }
    let call: Call<'_> = serde_json::from_str(block.get()).map_err(|error| error.to_string())?;
    Ok(call.input.map_or("{}", RawValue::get).to_owned())
}

/// What tools answered comes first, each in a message of its own; the rest is what the user says. A tool's message has text
/// only, so its pictures and documents are among what the user says.
fn user(role: &str, blocks: &[&RawValue]) -> Result<Vec<Value>, String> {
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for raw in blocks {
        let block = read(raw)?;
        if block["type"] != "tool_result" {
            add_parts(&block, &mut parts)?;
            continue;
        }
        let mut text = plain_text(&block["content"]);
        if block["is_error"] == true {
            text.insert_str(0, "Error: ");
        }
        for shown in block["content"].as_array().into_iter().flatten().filter(|shown| shown["type"] != "text") {
            add_parts(shown, &mut parts)?;
        }
        messages.push(json!({"role": "tool", "tool_call_id": block["tool_use_id"], "content": text}));
    }
    match parts.as_slice() {
        [] => {}
        [one] if one["type"] == "text" => messages.push(json!({"role": role, "content": one["text"]})),
        _ => messages.push(json!({"role": role, "content": parts})),
    }
    Ok(messages)
}

/// A block as parts of OpenAI's content.
fn add_parts(block: &Value, parts: &mut Vec<Value>) -> Result<(), String> {
    let source = &block["source"];
    let (kind, from) = (block["type"].as_str().unwrap_or_default(), source["type"].as_str().unwrap_or_default());
    match (kind, from) {
        ("text", _) => parts.push(json!({"type": "text", "text": block["text"]})),
        ("image", "url") => parts.push(json!({"type": "image_url", "image_url": {"url": source["url"]}})),
        ("image", "base64") => parts.push(json!({"type": "image_url", "image_url": {"url": embedded(source)}})),
        ("document", "base64") => {
            let name = block["title"].as_str().unwrap_or("document.pdf");
            parts.push(json!({"type": "file", "file": {"filename": name, "file_data": embedded(source)}}));
        }
        ("document", "text") => parts.push(json!({"type": "text", "text": source["data"]})),
        ("document", "content") => match &source["content"] {
            Value::Array(blocks) => blocks.iter().try_for_each(|block| add_parts(block, parts))?,
            text => parts.push(json!({"type": "text", "text": text})),
        },
        ("image" | "document", from) => return Err(unsaid(&format!("{kind}` with a source of the type `{from}"))),
        (kind, _) => return Err(unsaid(kind)),
    }
    Ok(())
}

fn embedded(source: &Value) -> String {
    let text = |name: &str| source[name].as_str().unwrap_or_default();
    format!("data:{};base64,{}", text("media_type"), text("data"))
}

fn unsaid(kind: &str) -> String {
    format!(
        "a block of the type `{kind}` cannot be said to the model provider behind this name, which speaks another format"
    )
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
    fn blocks_of_users_and_tools() {
        let check = |role: &str, content: &str, expected: Value| {
            let body = format!(r#"{{"messages": [{{"role": "{role}", "content": {content}}}]}}"#);
            let said = to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&said).unwrap()["messages"], expected, "{content}");
        };
        let pdf =
            r#"{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}"#;
        let file = json!({"type": "file", "file": {
            "filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="}});
        check("user", &format!("[{pdf}]"), json!([{"role": "user", "content": [file]}]));
        let text = r#"[{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}}]"#;
        check("user", text, json!([{"role": "user", "content": "hello"}]));
        let parts =
            r#"[{"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}}]"#;
        check("user", parts, json!([{"role": "user", "content": "a"}]));
        let seen = r#"[{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "url", "url": "https://x"}}]}]"#;
        let image = json!([{"type": "image_url", "image_url": {"url": "https://x"}}]);
        let tool = json!({"role": "tool", "tool_call_id": "t", "content": "see"});
        check("user", seen, json!([tool, {"role": "user", "content": image}]));
        let call = r#"[{"type": "tool_use", "id": "t", "name": "f", "input": {"id": 12345678901234567890123}}]"#;
        let function = json!({"name": "f", "arguments": "{\"id\": 12345678901234567890123}"});
        let calls = json!([{"id": "t", "type": "function", "function": function}]);
        check("assistant", call, json!([{"role": "assistant", "content": null, "tool_calls": calls}]));
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
        let blocks =
            |role: &str, block: &str| format!(r#"{{"messages": [{{"role": "{role}", "content": [{block}]}}]}}"#);
        check(&blocks("user", r#"{"type": "new_one"}"#), "messages[0]: a block of the type `new_one`");
        check(&blocks("assistant", r#"{"type": "server_tool_use"}"#), "`server_tool_use`");
        let document = r#"{"type": "document", "source": {"type": "url", "url": "https://x"}}"#;
        check(&blocks("user", document), "`document` with a source of the type `url`");
        let result = format!(r#"{{"type": "tool_result", "tool_use_id": "t", "content": [{document}]}}"#);
        check(&blocks("user", &result), "`document` with a source of the type `url`");
    }
}
