//! Requests in Anthropic's Messages format, said in OpenAI's: for providers that speak that one, or are translated to from
//! it.

mod tools;
mod unsigned;

use bytes::Bytes;
use llmops_providers::reasoning;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::GatewayError;
use crate::request::{EXTENSION, Fields};
use crate::rewrite::{Writer, to_json};

pub(crate) use self::unsigned::without_unsigned;

/// Fields that mean the same in both formats, or in that of many who speak OpenAI's.
const SAME: [&str; 6] = ["model", "max_tokens", "temperature", "top_p", "top_k", EXTENSION];
/// Fields that have a counterpart by another name.
const TRANSLATED: [&str; 10] = [
    "messages",
    "system",
    "stop_sequences",
    "metadata",
    "tools",
    "tool_choice",
    "stream",
    "thinking",
    "output_config",
    "output_format",
];
/// Hints that leave the answer what it is.
const LEFT_OUT: [&str; 4] = ["service_tier", "cache_control", "context_management", "speed"];

/// The body of the same request in OpenAI's format.
pub(crate) fn to_openai(fields: &Fields<'_>) -> Result<Bytes, GatewayError> {
    let is_known = |name: &str| [&SAME[..], &TRANSLATED, &LEFT_OUT].iter().any(|names| names.contains(&name));
    for (name, _) in fields.iter().filter(|(name, _)| !is_known(name)) {
        if fields.read::<Value>(name)?.is_some_and(|value| says_something(&value)) {
            return Err(cannot_be_said(name));
        }
    }
    let mut body = Writer::new();
    for name in SAME {
        if let Some(value) = fields.get(name) {
            body.raw(name, value.get())?;
        }
    }
    body.raw("messages", &to_json(&messages(fields)?)?)?;
    // OpenAI refuses an empty list, which says as much as none.
    let has_stops = fields.read::<Value>("stop_sequences")?.is_some_and(|stops| says_something(&stops));
    if let Some(stops) = fields.get("stop_sequences").filter(|_| has_stops) {
        body.raw("stop", stops.get())?;
    }
    if let Some(user) = fields.read::<Value>("metadata")?.and_then(|metadata| metadata.get("user_id").cloned()) {
        body.raw("user", &to_json(&user)?)?;
    }
    let tools = tools::read(fields)?;
    if !tools.is_empty() {
        body.raw("tools", &to_json(&tools)?)?;
        let choice = fields.read::<Value>("tool_choice")?.unwrap_or_default();
        if let Some(choice) = tool_choice(&choice) {
            body.raw("tool_choice", &to_json(&choice)?)?;
        }
        if choice["disable_parallel_tool_use"] == true {
            body.raw("parallel_tool_calls", "false")?;
        }
    }
    let config: Option<Fields<'_>> = fields.read("output_config")?;
    if let Some(format) = answer_format(fields, config.as_ref())? {
        body.raw("response_format", &format)?;
    }
    if let Some(effort) = effort(fields, config.as_ref())? {
        body.text("reasoning_effort", &effort)?;
    }
    if fields.read("stream")?.unwrap_or(false) {
        // The format always tells the tokens.
        body.raw("stream", "true")?;
        body.raw("stream_options", r#"{"include_usage":true}"#)?;
    }
    Ok(body.finish())
}

/// Whether a value is more than the absence of one.
pub(crate) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

/// A field without a counterpart.
pub(crate) fn cannot_be_said(name: &str) -> GatewayError {
    let message = format!(
        "`{name}` cannot be said to the model provider behind this name, which speaks another format: leave it out"
    );
    GatewayError::bad_request(message).at(name)
}

/// The JSON schema of the answer, as it was written, in OpenAI's `response_format`.
fn answer_format(fields: &Fields<'_>, config: Option<&Fields<'_>>) -> Result<Option<String>, GatewayError> {
    for (name, value) in config.into_iter().flat_map(Fields::iter) {
        let is_known = matches!(name, "effort" | "format");
        if !is_known && serde_json::from_str(value.get()).is_ok_and(|value| says_something(&value)) {
            return Err(cannot_be_said(&format!("output_config.{name}")));
        }
    }
    let (name, format) = match config.and_then(|config| config.get("format")) {
        Some(format) => ("output_config.format", format),
        None => match fields.get("output_format") {
            Some(format) => ("output_format", format),
            None => return Ok(None),
        },
    };
    let unsaid = |_| cannot_be_said(name);
    let format = Fields::parse(format.get().as_bytes()).map_err(unsaid)?;
    let (kind, schema) = (format.text("type").map_err(unsaid)?, format.get("schema"));
    let Some(schema) = schema.filter(|schema| schema.get().starts_with('{') && kind.as_deref() == Some("json_schema"))
    else {
        return Err(cannot_be_said(name));
    };
    let strict = serde_json::from_str(schema.get()).is_ok_and(|schema| tools::is_strict(&schema));
    let named = format!(r#"{{"name":"answer","schema":{schema},"strict":{strict}}}"#);
    Ok(Some(format!(r#"{{"type":"json_schema","json_schema":{named}}}"#)))
}

/// Whether the caller wants the model to think, and to see what.
pub(crate) fn asks_for_thoughts(fields: &Fields<'_>) -> bool {
    let thinking = fields.read::<Value>("thinking").ok().flatten().unwrap_or_default();
    thinking["type"] == "enabled" || thinking["type"] == "adaptive"
}

/// How hard the model should think, in OpenAI's words.
fn effort(fields: &Fields<'_>, config: Option<&Fields<'_>>) -> Result<Option<String>, GatewayError> {
    if let Some(effort) = config.and_then(|config| config.text("effort").transpose()).transpose()? {
        // Beyond `high` everybody has words of their own.
        return Ok(Some(if matches!(&*effort, "xhigh" | "max") { "high".to_owned() } else { effort.into_owned() }));
    }
    let thinking: Value = fields.read("thinking")?.unwrap_or_default();
    match thinking["type"].as_str() {
        Some("enabled") => {
            let budget = thinking["budget_tokens"].as_u64().ok_or_else(|| cannot_be_said("thinking"))?;
            Ok(Some(reasoning::effort(budget).to_owned()))
        }
        Some("disabled" | "adaptive") => Ok(None),
        None if thinking.is_null() => Ok(None),
        _ => Err(cannot_be_said("thinking")),
    }
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
        ("document", _) if block["citations"]["enabled"] == true => return Err(unsaid("document` with `citations")),
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
            "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 2048}, "service_tier": "auto", "mcp_servers": [],
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
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
            "top_k": 5, "reasoning_effort": "medium", "response_format": {"type": "json_schema", "json_schema": {
                "name": "answer", "schema": {"type": "object"}, "strict": false}},
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
    fn an_empty_list_of_stops_is_none() {
        let check = |stops: &str, expected: Value| {
            let body = format!(r#"{{"messages": [], "stop_sequences": {stops}}}"#);
            let said = to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap();
            assert_eq!(
                serde_json::from_slice::<Value>(&said).unwrap().get("stop").cloned(),
                Some(expected).filter(|stops| !stops.is_null())
            );
        };
        check("[ ]", Value::Null);
        check("null", Value::Null);
        check(r#"["a"]"#, json!(["a"]));
    }

    #[test]
    fn how_hard_to_think() {
        let check = |fields: &str, expected: Value| {
            let body = format!(r#"{{"messages": [], {fields}}}"#);
            let said = to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&said).unwrap()["reasoning_effort"], expected, "{fields}");
        };
        check(r#""thinking": {"type": "disabled"}"#, Value::Null);
        check(r#""thinking": {"type": "adaptive"}"#, Value::Null);
        check(r#""thinking": {"type": "enabled", "budget_tokens": 1024}"#, json!("low"));
        check(r#""thinking": {"type": "enabled", "budget_tokens": 32000}"#, json!("high"));
        check(r#""thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}"#, json!("low"));
        check(r#""output_config": {"effort": "max"}"#, json!("high"));
        check(r#""output_config": {"effort": null}"#, Value::Null);
    }

    #[test]
    fn schemas_are_said_as_they_were_written() {
        let check = |schema: &str, strict: &str, expected: &str| {
            let tools = format!(r#"[{{"name": "f", "input_schema": {schema}{strict}}}]"#);
            let said = to_openai(&Fields::parse(format!(r#"{{"tools": {tools}}}"#).as_bytes()).unwrap()).unwrap();
            let said = String::from_utf8(said.to_vec()).unwrap();
            assert!(said.contains(&format!(r#""function":{{"name":"f","parameters":{schema}{expected}}}"#)), "{said}");
        };
        check(r#"{"type": "object", "maximum": 12345678901234567890123}"#, "", "");
        let all = r#"{"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}"#;
        check(all, r#", "strict": true"#, r#","strict":true"#);
        let some = r#"{"type": "object", "properties": {"a": {}}, "additionalProperties": false}"#;
        check(some, r#", "strict": true"#, "");
    }

    #[test]
    fn schemas_of_answers_are_said_as_they_were_written() {
        let schema = r#"{"type": "object", "maximum": 12345678901234567890123, "multipleOf": 0.10000000000000000001}"#;
        let format = format!(r#"{{"type": "json_schema", "schema": {schema}}}"#);
        for body in
            [format!(r#"{{"output_config": {{"format": {format}}}}}"#), format!(r#"{{"output_format": {format}}}"#)]
        {
            let said = to_openai(&Fields::parse(body.as_bytes()).unwrap()).unwrap();
            let said = String::from_utf8(said.to_vec()).unwrap();
            assert!(said.contains(&format!(r#""schema":{schema},"strict":false"#)), "{said}");
        }
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
        check(r#"{"mcp_servers": [{"type": "url"}]}"#, "`mcp_servers` cannot be said");
        check(r#"{"container": "c"}"#, "`container` cannot be said");
        check(r#"{"new_one": 1}"#, "`new_one` cannot be said");
        check(r#"{"messages": [], "thinking": {"type": "new"}}"#, "`thinking` cannot be said");
        check(r#"{"messages": [], "output_config": {"task_budget": {"total": 1}}}"#, "`output_config.task_budget`");
        check(r#"{"messages": [], "output_config": {"format": {"type": "xml"}}}"#, "`output_config.format`");
        check(r#"{"messages": [], "output_config": {"format": "xml"}}"#, "`output_config.format`");
        check(r#"{"messages": [], "output_config": {"format": {"type": "json_schema"}}}"#, "`output_config.format`");
        check(r#"{"messages": [], "output_config": 3}"#, "`output_config`");
        check(r#"{"messages": [], "output_format": {"type": "xml"}}"#, "`output_format`");
        for kind in ["bash_20250124", "web_search_20250305"] {
            let tools = format!(r#"{{"messages": [], "tools": [{{"type": "{kind}", "name": "t"}}]}}"#);
            check(&tools, &format!("tools[0]: a tool of the type `{kind}`"));
        }
        check(r#"{"messages": [], "tools": [{"name": "f"}]}"#, "tools[0]: `input_schema` is missing");
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
