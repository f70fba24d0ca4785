//! What an answer says: read from the bytes that the caller already has.

use std::borrow::Cow;

use llmops_domain::chat::Usage;
use llmops_domain::record::Door;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::without_mark;

/// What is read of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The text of the first choice.
    pub(crate) text: String,
    /// Names of the tools that it wants called.
    pub(crate) called_tools: Vec<String>,
    /// Arguments of these calls, for those who read the record.
    arguments: Vec<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) usage: Option<Usage>,
    /// Whether the model marked it as a refusal.
    pub(crate) is_refusal: bool,
    /// An error inside it.
    pub(crate) error: Option<String>,
}

impl Answer {
    /// As records keep it: the text, or the calls.
    pub(crate) fn shown(&self) -> String {
        if !self.text.is_empty() || self.called_tools.is_empty() {
            return self.text.clone();
        }
        let calls = self.called_tools.iter().zip(&self.arguments);
        calls.map(|(name, arguments)| format!("{name}({arguments})")).collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, piece: Piece<'_>) {
        keep(&mut self.model, piece.model);
        keep(&mut self.fingerprint, piece.system_fingerprint);
        if let Some(usage) = piece.usage {
            let before = self.usage.unwrap_or_default();
            let prompt = usage.prompt_tokens.or(usage.input_tokens);
            let completion = usage.completion_tokens.or(usage.output_tokens);
            self.usage = Some(Usage {
                prompt_tokens: prompt.unwrap_or(before.prompt_tokens),
                completion_tokens: completion.unwrap_or(before.completion_tokens),
            });
        }
        if let Some(error) = piece.error.filter(|error| !error.is_null()) {
            let message = error.get("message").and_then(Value::as_str).map(str::to_owned);
            self.error =
                Some(message.or_else(|| error.as_str().map(str::to_owned)).unwrap_or_else(|| error.to_string()));
        }
        for choice in piece.choices.into_iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0) {
            keep(&mut self.finish_reason, choice.finish_reason);
            if let Some(said) = choice.message.or(choice.delta) {
                self.say(said);
            }
        }
        // Anthropic's format, whole and streamed.
        keep(&mut self.finish_reason, piece.stop_reason);
        for block in piece.content.into_iter().flatten().chain(piece.content_block) {
            self.block(block);
        }
        if let Some(delta) = piece.delta {
            keep(&mut self.finish_reason, delta.stop_reason);
            self.text.push_str(delta.text.as_ref().map_or("", |text| &text.0));
            if let (Some(more), Some(last)) = (delta.partial_json, self.arguments.last_mut()) {
                last.push_str(&more);
            }
        }
        if let Some(message) = piece.message {
            self.take(*message);
        }
    }

    fn say(&mut self, said: Said<'_>) {
        match said.content.map(RawValue::get) {
            Some(content) if content.starts_with('[') => {
                let parts: Vec<Value> = serde_json::from_str(content).unwrap_or_default();
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.for_each(|text| self.text.push_str(text));
            }
            Some(content) if content.starts_with('"') => {
                if let Ok(Text(text)) = serde_json::from_str(content) {
                    self.text.push_str(&text);
                }
            }
            _ => {}
        }
        if let Some(Text(refusal)) = said.refusal {
            self.is_refusal = true;
            self.text.push_str(&refusal);
        }
        for call in said.tool_calls.into_iter().flatten() {
            let function = call.function.unwrap_or_default();
            if let Some(name) = function.name {
                self.called_tools.push(name);
                self.arguments.push(function.arguments.unwrap_or_default());
                continue;
            }
            // The pieces of a streamed call follow its name, by the call's index.
            let at = call.index.unwrap_or_else(|| self.arguments.len().saturating_sub(1));
            if let (Some(more), Some(arguments)) = (function.arguments, self.arguments.get_mut(at)) {
                arguments.push_str(&more);
            }
        }
    }

    fn block(&mut self, block: Block) {
        match block.kind.as_str() {
            "text" => self.text.push_str(block.text.as_deref().unwrap_or_default()),
            "tool_use" => {
                self.called_tools.push(block.name.unwrap_or_default());
                // A streamed block begins with an empty input, whose pieces follow.
                let input = block.input.filter(|input| input.as_object().is_none_or(|fields| !fields.is_empty()));
                self.arguments.push(input.map(|input| input.to_string()).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// What was said last counts. Most pieces of a stream say what the ones before them said.
fn keep(known: &mut Option<String>, said: Option<Text<'_>>) {
    if let Some(Text(said)) = said
        && known.as_deref() != Some(&*said)
    {
        *known = Some(said.into_owned());
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A whole answer, or one event of a streamed one, in either format. Everything may be missing.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Piece<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    system_fingerprint: Option<Text<'a>>,
    usage: Option<WireUsage>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    error: Option<Value>,
    content: Option<Vec<Block>>,
    content_block: Option<Block>,
    #[serde(borrow)]
    delta: Option<AnthropicDelta<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    message: Option<Box<Piece<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names of the two formats")]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default, borrow)]
    message: Option<Said<'a>>,
    #[serde(default, borrow)]
    delta: Option<Said<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said<'a> {
    /// A text, or a list of parts.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    tool_calls: Option<Vec<WireCall>>,
}

#[derive(Deserialize)]
struct WireCall {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    function: Option<WireFunction>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireFunction {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AnthropicDelta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    partial_json: Option<String>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
}

/// Reads an answer. What cannot be read is left out: the caller has it as it was.
pub(crate) fn read(door: Door, stream: bool, body: &[u8]) -> Answer {
    let body = without_mark(body);
    let mut answer = Answer::default();
    if door == Door::Embeddings || !stream || !looks_streamed(body) {
        if let Ok(piece) = serde_json::from_slice::<Piece<'_>>(body) {
            answer.take(piece);
        }
        return answer;
    }
    for line in body.split(|byte| *byte == b'\n') {
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        // Comments, keep-alives and `[DONE]` are no objects.
        if let Ok(piece) = serde_json::from_slice::<Piece<'_>>(data.trim_ascii()) {
            answer.take(piece);
        }
    }
    answer
}

/// Whether a body is a stream of events: an error may be a whole answer even where a stream was asked for.
fn looks_streamed(body: &[u8]) -> bool {
    !body.trim_ascii_start().starts_with(b"{")
}

/// What a request says about the answer that it wants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asks {
    /// Names of the tools that it offers; absent where it offers none, or nobody called one.
    pub(crate) tools: Option<Vec<String>>,
    pub(crate) response_format: Option<Value>,
}

/// Reads what a request wants. Most want nothing, which a look at its bytes tells.
pub(crate) fn asks(request: &[u8], with_tools: bool) -> Asks {
    #[derive(Deserialize)]
    struct Wants {
        #[serde(default)]
        tools: Vec<Value>,
        #[serde(default)]
        response_format: Option<Value>,
    }
    if !with_tools && !has_field(request, b"\"json_schema\"") {
        return Asks::default();
    }
    let Ok(wants) = serde_json::from_slice::<Wants>(request) else { return Asks::default() };
    // OpenAI's and Anthropic's places of a name, then Gemini's.
    let name = |tool: &Value| tool.pointer("/function/name").or_else(|| tool.get("name"))?.as_str().map(str::to_owned);
    let declared = |tool: &Value| tool.get("functionDeclarations").and_then(Value::as_array).cloned();
    let mut names: Vec<String> = wants.tools.iter().filter_map(name).collect();
    names.extend(wants.tools.iter().filter_map(declared).flatten().filter_map(|function| name(&function)));
    Asks { tools: (!names.is_empty()).then_some(names), response_format: wants.response_format }
}

fn has_field(bytes: &[u8], name: &[u8]) -> bool {
    memchr::memmem::find(bytes, name).is_some()
}

/// Characters of the texts in a request, to estimate tokens by.
pub(crate) fn prompt_chars(request: &[u8]) -> usize {
    fn texts(value: &Value) -> usize {
        match value {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.iter().map(texts).sum(),
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| matches!(&***name, "content" | "text" | "input" | "parts"))
                .map(|(_, v)| texts(v))
                .sum(),
            _ => 0,
        }
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(request) else { return 0 };
    ["messages", "system", "input", "contents"].iter().filter_map(|name| fields.get(*name)).map(texts).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(events: &[&str]) -> Answer {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        read(Door::Chat, true, body.as_bytes())
    }

    #[test]
    fn reads_a_whole_answer() {
        let body = r#"{"model": "m-1", "system_fingerprint": "fp", "choices": [{"message": {"content": "hi"}, "finish_reason":
            "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}"#;
        let answer = read(Door::Chat, false, body.as_bytes());
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("hi", Some("stop")));
        assert_eq!(answer.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 1 }));
        assert_eq!((answer.model.as_deref(), answer.fingerprint.as_deref()), (Some("m-1"), Some("fp")));
    }

    #[test]
    fn reads_texts_with_escapes_and_in_parts() {
        let check = |content: &str, expected: &str| {
            let body = format!(r#"{{"mod\u0065l": "m\n", "choices": [{{"message": {{"content": {content}}}}}]}}"#);
            let answer = read(Door::Chat, false, body.as_bytes());
            assert_eq!((&*answer.text, answer.model.as_deref()), (expected, Some("m\n")), "{content}");
        };
        check(r#""a \"b\" \u00e9\ud83d\ude00""#, "a \"b\" é😀");
        check(r#"[{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "\u0062"}]"#, "ab");
        check("null", "");
        check("{\"text\": 3}", "");
    }

    #[test]
    fn reads_a_streamed_answer_with_comments_and_usage() {
        let answer = streamed(&[
            r#"{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "usage": null}"#,
            r#"{"choices": [{"index": 0, "delta": {"content": "Hé"}}, {"index": 1, "delta": {"content": "no"}}]}"#,
            r#"{"choices": [{"index": 0, "delta": {"content": "llo"}, "finish_reason": "stop"}]}"#,
            r#"{"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}"#,
            "[DONE]",
        ]);
        assert_eq!(answer.text, "Héllo");
        assert_eq!(answer.usage.unwrap().completion_tokens, 2);
        let commented = read(Door::Chat, true, b": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n");
        assert_eq!(commented.text, "a");
    }

    #[test]
    fn reads_streamed_tool_calls() {
        let answer = streamed(&[
            r#"{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}]}}]}"#,
            r#"{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"a\":"}}]}}]}"#,
            r#"{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}}]}"#,
        ]);
        assert_eq!(answer.called_tools, ["f"]);
        assert_eq!(answer.shown(), r#"f({"a":1})"#);
    }

    #[test]
    fn reads_errors_inside_a_success() {
        assert_eq!(streamed(&[r#"{"error": {"message": "overloaded", "code": 502}}"#]).error.unwrap(), "overloaded");
        let whole = read(Door::Chat, true, br#"{"error": "no such model"}"#);
        assert_eq!(whole.error.unwrap(), "no such model");
    }

    #[test]
    fn reads_anthropics_format() {
        let body = r#"{"model": "claude", "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "name": "f",
            "input": {"a": 1}}], "stop_reason": "tool_use", "usage": {"input_tokens": 4, "output_tokens": 2}}"#;
        let answer = read(Door::Messages, false, body.as_bytes());
        assert_eq!((&*answer.text, answer.called_tools.len()), ("hi", 1));
        assert_eq!(answer.usage, Some(Usage { prompt_tokens: 4, completion_tokens: 2 }));
        let events = [
            r#"{"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 4, "output_tokens": 1}}}"#,
            r#"{"type": "content_block_start", "content_block": {"type": "text", "text": ""}}"#,
            r#"{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}"#,
            r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}"#,
        ];
        let body: String = events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect();
        let answer = read(Door::Messages, true, body.as_bytes());
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("hi", Some("end_turn")));
        assert_eq!(answer.usage, Some(Usage { prompt_tokens: 4, completion_tokens: 7 }));
    }

    #[test]
    fn counts_what_a_request_says() {
        let request = r#"{"model": "mmm", "messages": [{"role": "user", "content": "abcd"}, {"role": "user", "content":
            [{"type": "text", "text": "ef"}]}]}"#;
        assert_eq!(prompt_chars(request.as_bytes()), 6);
        let offered = asks(br#"{"tools": [{"function": {"name": "f"}}, {"name": "g"}]}"#, true);
        assert_eq!(offered.tools.unwrap(), ["f", "g"]);
        assert_eq!(asks(b"{}", true), Asks::default());
        let format = asks(br#"{"response_format": {"type": "json_schema"}}"#, false).response_format;
        assert_eq!(format.unwrap()["type"], "json_schema");
    }
}
