//! What a caller asked, read back from the body that a request record keeps.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::chat::{Message, Role, functions};
use crate::record::{Door, RequestRecord};

/// The question of a request, in the parts of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// The text that the user said last; empty where the conversation ends with something else.
    pub input: String,
    /// The conversation before it.
    pub messages: Vec<Message>,
    /// Values of the prompt's variables.
    pub variables: BTreeMap<String, Value>,
}

/// Why a record does not say what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotAsked {
    /// The deployment keeps no bodies, or only their hashes.
    #[error("the record keeps no text of the request")]
    NotKept,
    /// It was no conversation.
    #[error("the request is no conversation")]
    NoChat,
}

/// What was asked, without the messages of the deployment itself.
///
/// # Errors
/// [`NotAsked`] where the record does not say.
pub fn asked(record: &RequestRecord) -> Result<Asked, NotAsked> {
    if record.door == Door::Embeddings {
        return Err(NotAsked::NoChat);
    }
    let body = record.request_body.as_deref().ok_or(NotAsked::NotKept)?;
    let body: Value = serde_json::from_str(body).map_err(|_| NotAsked::NotKept)?;
    let items = body.get("messages").and_then(Value::as_array).ok_or(NotAsked::NotKept)?;
    let mut messages: Vec<Message> = Vec::with_capacity(items.len() + 1);
    // Anthropic's format has the system's text beside the messages.
    let system = body.get("system").map(text_of).filter(|text| !text.is_empty());
    messages.extend(system.map(|text| Message::text(Role::System, text)));
    messages.extend(functions::as_tool_calls(items).iter().filter_map(message));
    let variables = body.pointer("/llmops/variables").and_then(Value::as_object);
    let variables = variables.map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default();
    let mut asked = Asked { input: String::new(), messages, variables };
    // A question with an image is more than its text: it stays a message.
    let is_words = |m: &Message| m.content.as_array().is_none_or(|parts| parts.iter().all(is_text));
    let ends_with_words = |m: &Message| m.role == Role::User && is_words(m) && !m.as_text().trim().is_empty();
    if asked.messages.last().is_some_and(ends_with_words)
        && let Some(last) = asked.messages.pop()
    {
        asked.input = last.as_text().into_owned();
    }
    if asked.input.is_empty() && asked.messages.is_empty() { Err(NotAsked::NotKept) } else { Ok(asked) }
}

/// The tools that the caller offered, in OpenAI's shape; none of those that have no place in it, and none where the record
/// does not say.
pub fn offered_tools(record: &RequestRecord) -> Vec<Value> {
    let body: Option<Value> = record.request_body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    body.as_ref().and_then(Value::as_object).into_iter().flat_map(functions::offered).filter_map(tool).collect()
}

/// A tool in OpenAI's shape; Anthropic's is flat, and calls the schema otherwise.
fn tool(tool: Value) -> Option<Value> {
    if tool.get("function").is_some_and(Value::is_object) {
        return Some(tool);
    }
    let mut function = Map::from_iter([("name".to_owned(), tool.get("name")?.clone())]);
    function.insert("parameters".to_owned(), tool.get("input_schema")?.clone());
    function.extend(tool.get("description").map(|text| ("description".to_owned(), text.clone())));
    Some(json!({"type": "function", "function": function}))
}

/// The text of the answer, where the record keeps it.
pub fn answer_text(record: &RequestRecord) -> Option<&str> {
    let text = record.response_body.as_deref().filter(|text| !text.trim().is_empty())?;
    // A deployment that keeps hashes keeps them of both bodies.
    let is_hash = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    (!is_hash).then_some(text)
}

/// The answer as it was said to a person: none where the record keeps none, or the model called tools, for whose calls the
/// record has no more than a text to read.
pub fn answer_in_words(record: &RequestRecord) -> Option<&str> {
    let calls = ["tool_calls", "function_call", "tool_use"];
    let is_call = record.finish_reason.as_deref().is_some_and(|reason| calls.contains(&reason));
    answer_text(record).filter(|_| !is_call)
}

fn is_text(part: &Value) -> bool {
    part.get("type").is_none_or(|kind| kind == "text")
}

/// A message with the fields that we know; what is none is left out.
fn message(value: &Value) -> Option<Message> {
    let role = serde_json::from_value(value.get("role")?.clone()).ok()?;
    let known = |name: &str| value.get(name).cloned().unwrap_or_default();
    Some(Message {
        role,
        content: known("content"),
        name: value.get("name").and_then(Value::as_str).map(str::to_owned),
        tool_calls: serde_json::from_value(known("tool_calls")).unwrap_or_default(),
        tool_call_id: value.get("tool_call_id").and_then(Value::as_str).map(str::to_owned),
    })
}

fn text_of(content: &Value) -> String {
    Message { content: content.clone(), ..Message::text(Role::System, "") }.as_text().into_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::chat::Usage;
    use crate::record::CallOutcome;

    fn record(door: Door, body: Option<&str>) -> RequestRecord {
        let value = json!({"id": "req_1", "at": Timestamp::UNIX_EPOCH, "door": door, "model": "sim/small",
            "stream": false, "usage": Usage::default(), "total_ms": 1.0, "status": 200, "outcome": CallOutcome::Ok,
            "attempts": [], "request_body": body});
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(door: Door, body: &str, expected: Result<(&str, &[&str]), NotAsked>) {
        let found = asked(&record(door, Some(body)));
        let found = found.map(|asked| {
            let before = asked.messages.iter().map(|m| format!("{}: {}", m.role.as_str(), m.as_text())).collect();
            (asked.input, before)
        });
        let expected = expected
            .map(|(input, before)| (input.to_owned(), before.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()));
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn questions_of_both_formats() {
        let hi = r#"{"role": "user", "content": "Hi"}"#;
        check(Door::Chat, &format!(r#"{{"messages": [{hi}]}}"#), Ok(("Hi", &[])));
        let more = r#"{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "a"}],
            "cache_control": {}}, {"role": "assistant", "content": "b"}"#;
        let before = ["system: Be kind.", "user: a", "assistant: b"];
        check(Door::Chat, &format!(r#"{{"messages": [{more}, {hi}]}}"#), Ok(("Hi", &before)));
        check(Door::Chat, &format!(r#"{{"messages": [{more}]}}"#), Ok(("", &before)));
        check(
            Door::Messages,
            &format!(r#"{{"system": [{{"type": "text", "text": "S"}}], "messages": [{hi}]}}"#),
            Ok(("Hi", &["system: S"])),
        );
        let parts = r#"{"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]}"#;
        check(Door::Chat, &format!(r#"{{"messages": [{parts}]}}"#), Ok(("1\n2", &[])));
        check(Door::Messages, &format!(r#"{{"messages": [{parts}, {hi}]}}"#), Ok(("Hi", &["user: 1\n2"])));
        let cut = r#"{"role": "assistant", "content": [{"type": "text", "text": "It is "}, {"type": "text", "text": "12."}]}"#;
        check(Door::Messages, &format!(r#"{{"messages": [{cut}, {hi}]}}"#), Ok(("Hi", &["assistant: It is 12."])));
        let image = r#"{"role": "user", "content": [{"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}]}"#;
        check(Door::Chat, &format!(r#"{{"messages": [{image}]}}"#), Ok(("", &["user: What is it?"])));
    }

    #[test]
    fn variables_come_along() {
        let body = r#"{"messages": [{"role": "user", "content": "x"}], "llmops": {"variables": {"language": "Go"}}}"#;
        let asked = asked(&record(Door::Chat, Some(body))).unwrap();
        assert_eq!(asked.variables, BTreeMap::from([("language".to_owned(), json!("Go"))]));
    }

    #[test]
    fn what_is_not_kept() {
        assert_eq!(asked(&record(Door::Chat, None)), Err(NotAsked::NotKept));
        check(Door::Chat, &"ab".repeat(32), Err(NotAsked::NotKept));
        check(Door::Chat, r#"{"messages": []}"#, Err(NotAsked::NotKept));
        check(Door::Chat, r#"{"messages": "x"}"#, Err(NotAsked::NotKept));
        check(Door::Embeddings, r#"{"input": "x"}"#, Err(NotAsked::NoChat));
    }

    #[test]
    fn tools_are_those_that_were_offered() {
        let check = |door: Door, body: Option<&str>, expected: Value| {
            assert_eq!(Value::from(offered_tools(&record(door, body))), expected, "{body:?}");
        };
        let function = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
        check(Door::Chat, Some(&json!({"messages": [], "tools": function}).to_string()), function);
        let flat = r#"{"tools": [{"name": "f", "description": "d", "input_schema": {}}, {"type": "web_search", "name": "w"}]}"#;
        let expected = json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]);
        check(Door::Messages, Some(flat), expected);
        let legacy = r#"{"functions": [{"name": "f", "parameters": {"type": "object"}}], "function_call": "auto"}"#;
        check(
            Door::Chat,
            Some(legacy),
            json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
        );
        for none in [None, Some("{}"), Some(r#"{"tools": null}"#), Some("not kept")] {
            check(Door::Chat, none, json!([]));
        }
    }
}
