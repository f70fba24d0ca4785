//! What was asked and answered in the call of a span, brought from the shapes of the conventions into the one that the gateway
//! keeps: the request as JSON with `messages`, the answer as its text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Span;
use crate::render::joined;

/// Names of what was asked: lists of messages, then what may be anything. `input.value` is `OpenInference`'s.
const ASKED: [&str; 3] = ["gen_ai.input.messages", "gen_ai.prompt", "input.value"];
/// Names of what was answered.
const ANSWERED: [&str; 3] = ["gen_ai.output.messages", "gen_ai.completion", "output.value"];
/// `OpenLLMetry` and `OpenInference` number their messages: `gen_ai.prompt.0.role`, `llm.input_messages.0.message.role`.
const NUMBERED_ASKED: [&str; 2] = ["gen_ai.prompt.", "llm.input_messages."];
/// The same of answers.
const NUMBERED_ANSWERED: [&str; 2] = ["gen_ai.completion.", "llm.output_messages."];
/// Parts of a numbered name that are looked at: as many as `message.tool_calls.0.tool_call.function.name` has.
const DEEPEST: usize = 6;
/// Fields of a message, by which it is told from other JSON.
const FIELDS: [&str; 3] = ["role", "parts", "message"];
/// Roles of who answers.
const ASSISTANTS: [&str; 3] = ["assistant", "ai", "model"];

impl Span {
    /// The value of the first of these attributes that says anything.
    fn content(&self, names: &[&str]) -> Option<&Value> {
        names.iter().filter_map(|name| self.attributes.get(*name)).find(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        })
    }

    /// The messages that are spread over attributes with numbers in their names.
    fn numbered(&self, prefixes: &[&str]) -> Vec<Value> {
        let of = |prefix: &&str| {
            let mut found = BTreeMap::<u64, Value>::new();
            for (name, value) in &self.attributes {
                let Some((number, field)) = name.strip_prefix(prefix).and_then(|rest| rest.split_once('.')) else {
                    continue;
                };
                let Ok(number) = number.parse() else { continue };
                put(found.entry(number).or_default(), field.splitn(DEEPEST, '.'), value);
            }
            found.into_values().map(lists).collect::<Vec<_>>()
        };
        prefixes.iter().map(of).find(|messages| !messages.is_empty()).unwrap_or_default()
    }

    /// The request, as its caller would have sent it to the gateway; what is no conversation stays as it is.
    pub(super) fn asked(&self) -> Option<String> {
        let numbered = conversation(&self.numbered(&NUMBERED_ASKED)).filter(|_| self.content(&ASKED[..1]).is_none());
        if let Some(messages) = numbered {
            return Some(self.with_tools(json!({"messages": messages})).to_string());
        }
        let value = self.content(&ASKED)?;
        let read = parsed(value);
        let body = match &*read {
            Value::Array(items) if items.iter().all(is_message) => {
                let instructions = self.content(&["gen_ai.system_instructions"]).map(parsed);
                let system = instructions.map(|parts| json!({"role": "system", "parts": parts}));
                conversation(system.iter().chain(items)).map(|messages| json!({"messages": messages}))
            }
            Value::Object(fields) if is_message(&read) && !fields.contains_key("messages") => {
                conversation([&*read]).map(|messages| json!({"messages": messages}))
            }
            Value::Object(fields) => {
                fields.get("messages").and_then(Value::as_array).and_then(conversation).map(|found| {
                    let mut fields = fields.clone();
                    fields.insert("messages".to_owned(), found);
                    Value::Object(fields)
                })
            }
            _ => value.as_str().map(|text| json!({"messages": [{"role": "user", "content": text}]})),
        };
        Some(body.map_or_else(|| as_text(value), |body| self.with_tools(body).to_string()))
    }

    /// The request with the tools that it offered, which have attributes of their own.
    fn with_tools(&self, mut request: Value) -> Value {
        let told = self.content(&["gen_ai.tool.definitions"]).map(parsed);
        let mut tools: Vec<Value> =
            told.as_deref().and_then(Value::as_array).into_iter().flatten().filter_map(tool).collect();
        let numbered = self.numbered(&["llm.tools."]);
        tools.extend(numbered.iter().filter_map(|one| tool(&parsed(one.pointer("/tool/json_schema")?))));
        if !tools.is_empty() && request.get("tools").is_none_or(Value::is_null) {
            request["tools"] = tools.into();
        }
        request
    }

    /// What was embedded: the text, or the JSON of several or of what is none. It may be in messages, or in the whole request.
    pub(super) fn embedded(&self) -> Option<String> {
        let numbered: Vec<Value> = self.numbered(&["embedding.embeddings."]);
        let texts: Vec<&Value> = numbered.iter().filter_map(|one| one.pointer("/embedding/text")).collect();
        if !texts.is_empty() {
            return Some(one_or_all(&texts));
        }
        let value = self.content(&ASKED)?;
        let read = parsed(value);
        let asked = match &*read {
            Value::Array(items) if items.iter().all(is_message) => conversation(items).and_then(|messages| {
                let contents: Vec<&Value> =
                    messages.as_array()?.iter().filter_map(|message| message.get("content")).collect();
                Some(one_or_all(&contents))
            }),
            Value::Object(fields) => fields.get("input").map(as_text),
            _ => None,
        };
        Some(asked.unwrap_or_else(|| as_text(value)))
    }

    /// What the call was made with, by the first of these names that says anything, as `OpenInference` keeps it.
    pub(super) fn parameter(&self, names: &[&str]) -> Option<String> {
        let all = self.content(&["llm.invocation_parameters", "embedding.invocation_parameters"]).map(parsed)?;
        let found = names.iter().filter_map(|name| all.get(name)).filter(|value| !value.is_null());
        found.map(as_text).find(|text| !text.trim().is_empty())
    }

    /// The model in the request as a whole, which `OpenInference` keeps of calls.
    pub(super) fn model_of_request(&self) -> Option<String> {
        self.attributes.get("openinference.span.kind")?;
        let request = self.content(&["input.value"]).map(parsed)?;
        request.get("model")?.as_str().filter(|model| !model.trim().is_empty()).map(str::to_owned)
    }

    /// The text of the answer, or the calls of tools, written as the gateway writes them.
    pub(super) fn answered(&self) -> Option<String> {
        match self.answer() {
            Some(message) => Some(shown(&message)).filter(|text| !text.is_empty()),
            None => self.content(&ANSWERED).map(as_text),
        }
    }

    /// Why the model stopped, where the answer's message says it.
    pub(super) fn finish_reason_of_answer(&self) -> Option<String> {
        self.answer()?.get("finish_reason")?.as_str().map(str::to_owned)
    }

    /// The message of the answer; of several choices, the first.
    fn answer(&self) -> Option<Value> {
        if self.content(&ANSWERED[..1]).is_none()
            && let Some(first) = self.numbered(&NUMBERED_ANSWERED).into_iter().next()
        {
            return Some(first);
        }
        let value = parsed(self.content(&ANSWERED)?);
        let message = match &*value {
            Value::Array(items) => items.first(),
            // What a provider answered, as a whole. Else it is an answer that was asked for as JSON.
            Value::Object(fields) => {
                let is_message = fields.get("role").and_then(Value::as_str).is_some_and(|r| ASSISTANTS.contains(&r));
                value.pointer("/choices/0/message").or(is_message.then_some(&*value))
            }
            _ => None,
        };
        message.filter(|message| is_message(message)).cloned()
    }
}

/// JSON that is written in a text; everything else as it is.
fn parsed(value: &Value) -> Cow<'_, Value> {
    let text = value.as_str().filter(|text| text.trim_start().starts_with(['[', '{']));
    text.and_then(|text| serde_json::from_str(text).ok()).map_or(Cow::Borrowed(value), Cow::Owned)
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// One text as it is, several values as JSON.
fn one_or_all(values: &[&Value]) -> String {
    match values {
        [one] => as_text(one),
        all => json!(all).to_string(),
    }
}

fn is_message(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| FIELDS.iter().any(|field| fields.contains_key(*field)))
}

/// Puts a value to the place in nested objects that its name says.
fn put<'a>(to: &mut Value, mut path: impl Iterator<Item = &'a str>, value: &Value) {
    let Some(name) = path.next() else {
        *to = value.clone();
        return;
    };
    if !to.is_object() {
        *to = Value::Object(Map::new());
    }
    put(&mut to[name], path, value);
}

/// Objects whose fields are numbers are lists.
fn lists(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let numbers: Option<BTreeMap<u64, &Value>> =
        fields.iter().map(|(name, value)| Some((name.parse().ok()?, value))).collect();
    match numbers {
        Some(items) => items.into_values().cloned().map(lists).collect(),
        None => fields.into_iter().map(|(name, value)| (name, lists(value))).collect(),
    }
}

/// The messages in OpenAI's shape, where there are any.
fn conversation<'a>(said: impl IntoIterator<Item = &'a Value>) -> Option<Value> {
    let mut messages = Vec::new();
    for message in said {
        add(message, &mut messages);
    }
    (!messages.is_empty()).then(|| messages.into())
}

/// Adds a message in OpenAI's shape; results of tools that it has among its parts are messages of their own there.
fn add(said: &Value, to: &mut Vec<Value>) {
    let said = said.get("message").unwrap_or(said);
    let Parts { content, calls, results } = Parts::of(said);
    to.extend(results);
    if content.is_empty() && calls.is_empty() {
        return;
    }
    let mut message = Map::new();
    let role = role(said.get("role").and_then(Value::as_str));
    message.insert("role".to_owned(), role.into());
    let texts: Option<Vec<&str>> = content.iter().map(text_of).collect();
    // As in messages of the gateway: what a model says in parts is one text, what others say are texts of their own.
    let text = texts.map(|texts| if role == "assistant" { texts.concat() } else { joined(texts.into_iter()) });
    // Pictures and the like stay parts beside the texts.
    let in_parts = || content.iter().map(|part| text_of(part).map_or_else(|| part.clone(), text_part)).collect();
    let content = if content.is_empty() { Value::Null } else { text.map_or_else(in_parts, Value::from) };
    message.insert("content".to_owned(), content);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    for name in ["name", "tool_call_id"] {
        message.extend(said.get(name).filter(|value| value.is_string()).map(|value| (name.to_owned(), value.clone())));
    }
    to.push(Value::Object(message));
}

/// Names of roles that frameworks have beside those of OpenAI.
fn role(name: Option<&str>) -> &str {
    match name {
        Some("human") | None => "user",
        Some(known) if ASSISTANTS.contains(&known) => "assistant",
        Some("function") => "tool",
        Some(known) => known,
    }
}

/// What a message consists of.
#[derive(Default)]
struct Parts {
    content: Vec<Value>,
    /// In OpenAI's shape.
    calls: Vec<Value>,
    /// Messages with the role `tool`.
    results: Vec<Value>,
}

impl Parts {
    fn of(message: &Value) -> Self {
        let mut parts = Self::default();
        let field = |name: &&str| message.get(*name).filter(|value| !value.is_null());
        if let Some(content) = ["parts", "contents", "content"].iter().find_map(field) {
            match &*parsed(content) {
                // A text may be a list in JSON, too, which has no parts.
                Value::Array(items) if items.iter().all(|item| content.is_array() || item.get("type").is_some()) => {
                    for item in items {
                        parts.add(item);
                    }
                }
                _ => parts.add(&as_text(content).into()),
            }
        }
        let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
        parts.calls.extend(calls.map(call));
        parts
    }

    fn add(&mut self, part: &Value) {
        let part = part.get("message_content").unwrap_or(part);
        match part.get("type").and_then(Value::as_str) {
            Some("tool_call" | "tool_use") => self.calls.push(call(part)),
            Some("tool_call_response" | "tool_result") => {
                let result = ["response", "result", "content"].iter().find_map(|name| part.get(*name));
                let id = ["id", "tool_use_id"].iter().find_map(|name| part.get(*name)?.as_str());
                let content = result.map(as_text).unwrap_or_default();
                self.results.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
            }
            // No part of the answer, and nothing that a model is sent again.
            Some("reasoning" | "thinking") => {}
            _ if text_of(part).is_some_and(str::is_empty) => {}
            _ => self.content.push(part.clone()),
        }
    }
}

/// The text of a part; nothing for a part that is none.
fn text_of(part: &Value) -> Option<&str> {
    let kind = part.get("type").and_then(Value::as_str);
    let is_text = kind.is_none_or(|kind| matches!(kind, "text" | "input_text" | "output_text"));
    let inside = ["content", "text"].iter().find_map(|name| part.get(*name)?.as_str());
    part.as_str().or(inside.filter(|_| is_text))
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// A call of a tool in OpenAI's shape.
fn call(said: &Value) -> Value {
    let said = said.get("tool_call").unwrap_or(said);
    let function = said.get("function").unwrap_or(said);
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let arguments = ["arguments", "input"].iter().find_map(|name| function.get(*name)).map(as_text);
    json!({"id": text(said, "id"), "type": "function",
        "function": {"name": text(function, "name"), "arguments": arguments.unwrap_or_default()}})
}

/// A tool in OpenAI's shape; the conventions have the function's fields beside its type.
fn tool(said: &Value) -> Option<Value> {
    if said.get("function").is_some_and(Value::is_object) {
        return Some(said.clone());
    }
    let mut function = said.as_object().filter(|fields| fields.contains_key("name"))?.clone();
    function.remove("type");
    Some(json!({"type": "function", "function": function}))
}

/// A message as the gateway keeps an answer.
fn shown(message: &Value) -> String {
    let Parts { content, calls, .. } = Parts::of(message.get("message").unwrap_or(message));
    let text: String = content.iter().filter_map(text_of).collect();
    if !text.is_empty() {
        return text;
    }
    let call = |call: &Value| {
        let field = |name: &str| call["function"][name].as_str().unwrap_or_default();
        format!("{}({})", field("name"), field("arguments"))
    };
    calls.iter().map(call).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Door, RequestRecord};
    use crate::review::{answer_text, asked};

    fn record(attributes: &Value) -> RequestRecord {
        let mut attributes = attributes.as_object().cloned().unwrap();
        attributes.insert("gen_ai.request.model".to_owned(), "m".into());
        let span = Span {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            start: 1_764_000_000_000_000_000,
            attributes,
            ..Span::default()
        };
        span.to_record(jiff::Timestamp::from_second(1_764_000_000).unwrap()).unwrap().unwrap()
    }

    /// What the review queue makes of a span: the question, what was said before it, and the answer.
    #[track_caller]
    fn check(attributes: &Value, question: &str, before: &[&str], answer: Option<&str>) {
        let record = record(attributes);
        let asked = asked(&record).unwrap_or_else(|error| panic!("{error}: {record:?}"));
        let said = asked.messages.iter().map(|m| format!("{}: {}", m.role.as_str(), m.as_text()));
        assert_eq!(
            (&*asked.input, said.collect::<Vec<_>>()),
            (question, before.iter().map(|&s| s.to_owned()).collect())
        );
        assert_eq!(answer_text(&record), answer);
    }

    #[test]
    fn messages_with_parts() {
        let asked = json!([
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "Yes?"}]},
            {"role": "user", "parts": [{"type": "text", "content": "Price?"}, {"type": "text", "content": "New?"}]},
        ]);
        let answered = json!([{"role": "assistant", "parts": [{"type": "text", "content": "4.90"}],
            "finish_reason": "stop"}]);
        let instructions = json!([{"type": "text", "content": "Be kind."}]);
        let span = json!({"gen_ai.input.messages": asked, "gen_ai.output.messages": answered,
            "gen_ai.system_instructions": instructions});
        let before = ["system: Be kind.", "user: Hi", "assistant: Yes?"];
        check(&span, "Price?\nNew?", &before, Some("4.90"));
        assert_eq!(record(&span).finish_reason.as_deref(), Some("stop"));
        // Most exporters write lists as JSON in a text.
        let span = json!({"gen_ai.input.messages": asked.to_string(), "gen_ai.output.messages": answered.to_string()});
        check(&span, "Price?\nNew?", &before[1..], Some("4.90"));
    }

    #[test]
    fn texts_and_older_messages() {
        check(&json!({"gen_ai.prompt": "Hi", "gen_ai.completion": "Ho"}), "Hi", &[], Some("Ho"));
        check(
            &json!({"gen_ai.prompt": "[1, 2]", "gen_ai.completion": "{\"role\": \"admin\"}"}),
            "[1, 2]",
            &[],
            Some("{\"role\": \"admin\"}"),
        );
        let messages = r#"[{"role": "system", "content": "S"}, {"role": "human", "content": "[3]"}]"#;
        let answer = r#"[{"role": "assistant", "content": "Ho"}]"#;
        check(&json!({"gen_ai.prompt": messages, "gen_ai.completion": answer}), "[3]", &["system: S"], Some("Ho"));
        let request = format!(r#"{{"model": "m", "messages": {messages}}}"#);
        let response = r#"{"choices": [{"message": {"role": "assistant", "content": "Ho"}}]}"#;
        check(&json!({"input.value": request, "output.value": response}), "[3]", &["system: S"], Some("Ho"));
        check(&json!({"gen_ai.input.messages": "ana@example.org"}), "[email]", &[], None);
        let other = r#"{"messages": [[{"lc": 1}]]}"#;
        assert_eq!(record(&json!({"input.value": other})).request_body.as_deref(), Some(other));
    }

    #[test]
    fn messages_with_numbers_in_their_names() {
        check(
            &json!({"gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "S", "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": r#"[{"type": "text", "text": "Hi"}]"#, "gen_ai.prompt.10.content": "There?",
                "gen_ai.prompt.x.content": "?", "gen_ai.completion.0.content": "Ho",
                "gen_ai.completion.0.finish_reason": "stop"}),
            "There?",
            &["system: S", "user: Hi"],
            Some("Ho"),
        );
        check(
            &json!({"llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.contents.0.message_content.type": "text",
                "llm.input_messages.0.message.contents.0.message_content.text": "Hi", "input.value": "{}",
                "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Ho"}),
            "Hi",
            &[],
            Some("Ho"),
        );
        let deep = format!("gen_ai.prompt.0.{}", "a.".repeat(100_000));
        assert_eq!(record(&json!({deep: "x"})).request_body, None);
    }

    #[test]
    fn tools_and_pictures() {
        let call = json!({"type": "tool_call", "id": "c1", "name": "look", "arguments": {"q": 1}});
        let span = json!({
            "gen_ai.input.messages": [
                {"role": "user", "parts": [{"type": "text", "content": "What?"}, {"type": "uri", "uri": "https://x.example/p.png"}]},
                {"role": "assistant", "parts": [call]},
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"found": 2}}]},
            ],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [call], "finish_reason": "tool_call"}],
        });
        let record = record(&span);
        let body: Value = serde_json::from_str(record.request_body.as_deref().unwrap()).unwrap();
        let call = json!({"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"q\":1}"}});
        let expected = json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "uri", "uri": "https://x.example/p.png"}]},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "{\"found\":2}"},
        ]});
        assert_eq!(body, expected);
        assert_eq!(record.response_body.as_deref(), Some("look({\"q\":1})"));
        assert_eq!(record.finish_reason.as_deref(), Some("tool_calls"));
        assert_eq!(asked(&record).unwrap().messages[1].tool_calls[0].function.name, "look");
    }

    #[test]
    fn tools_that_were_offered() {
        let function = json!({"name": "look", "parameters": {"type": "object"}});
        let check = |more: Value| {
            let mut span = json!({"gen_ai.input.messages": "[{\"role\": \"user\", \"content\": \"Hi\"}]"});
            span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let tools = crate::review::offered_tools(&record(&span));
            assert_eq!(Value::from(tools), json!([{"type": "function", "function": function}]), "{more}");
        };
        let flat = json!([{"type": "function", "name": "look", "parameters": {"type": "object"}}]);
        check(json!({"gen_ai.tool.definitions": flat}));
        check(json!({"gen_ai.tool.definitions": flat.to_string()}));
        let whole = json!({"type": "function", "function": function});
        check(json!({"llm.tools.0.tool.json_schema": whole.to_string(), "llm.tools.1.tool.json_schema": "no JSON"}));
    }

    #[test]
    fn what_was_embedded() {
        let body = |value: Value| {
            record(&json!({"gen_ai.operation.name": "embeddings", "gen_ai.input.messages": value})).request_body
        };
        assert_eq!(body(json!("a text")).as_deref(), Some("a text"));
        assert_eq!(body(json!(["a", "b"])).as_deref(), Some("[\"a\",\"b\"]"));
        let message = |text: &str| json!({"role": "user", "parts": [{"type": "text", "content": text}]});
        assert_eq!(body(json!([message("a text")])).as_deref(), Some("a text"));
        assert_eq!(body(json!([message("a"), message("b")]).to_string().into()).as_deref(), Some("[\"a\",\"b\"]"));
        let numbered = json!({"gen_ai.operation.name": "embeddings", "input.value": "{\"input\": [1, 2]}",
            "embedding.embeddings.0.embedding.text": "a text", "embedding.embeddings.0.embedding.vector": [0.1]});
        assert_eq!(record(&numbered).request_body.as_deref(), Some("a text"));
        assert_eq!(Door::Embeddings, record(&json!({"gen_ai.operation.name": "embeddings"})).door);
    }
}
