//! What an answer says: read from the bytes that the caller already has.

mod asks;

use std::borrow::Cow;

use llmops_domain::chat::Usage;
use llmops_providers::http_client::error_message;
use llmops_providers::odd;
use llmops_providers::stream::{WholeEvents, goes_on, without_mark};
use llmops_providers::usage::WireUsage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json;

pub(crate) use self::asks::{asks, prompt_chars};

/// What is read of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The text of the first choice.
    pub(crate) text: String,
    /// Names of the tools that it wants called.
    pub(crate) called_tools: Vec<String>,
    /// These calls, for those who read the record.
    calls: Vec<Call>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) usage: Option<Usage>,
    /// Whether the model marked it as a refusal.
    pub(crate) is_refusal: bool,
    /// An error inside it.
    pub(crate) error: Option<String>,
    /// Whether there is something in it that is neither text nor a call, or that could not be read.
    pub(crate) is_opaque: bool,
    /// Whether it stopped before its end.
    pub(crate) is_cut: bool,
    /// The other choices, where several were asked for, by their places.
    others: Vec<(u32, Self)>,
}

/// As many choices as OpenAI gives at most: no memory is set aside for more.
const MOST_CHOICES: usize = 128;

/// A call of a tool.
#[derive(Debug, Default, PartialEq)]
struct Call {
    index: Option<usize>,
    id: Option<String>,
    arguments: String,
}

impl Answer {
    /// As records keep it: the text, and the calls behind it.
    pub(crate) fn shown(&self) -> String {
        let calls = self.called_tools.iter().zip(&self.calls);
        let calls = calls.map(|(name, call)| format!("{name}({})", call.arguments));
        let text = (!self.text.is_empty()).then(|| self.text.clone());
        text.into_iter().chain(calls).collect::<Vec<_>>().join("\n")
    }

    /// All choices: this one and the others.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.others.iter().map(|(_, other)| other))
    }

    /// Characters that the model wrote, to estimate tokens by.
    pub(crate) fn chars(&self) -> usize {
        let calls = self.called_tools.iter().chain(self.calls.iter().map(|call| &call.arguments));
        let own: usize = std::iter::once(&self.text).chain(calls).map(|text| text.chars().count()).sum();
        own + self.others.iter().map(|(_, other)| other.chars()).sum::<usize>()
    }

    /// Reads a whole answer, or one event.
    fn read(&mut self, data: &[u8]) {
        if let Ok(piece) = json::read::<Piece<'_>>(data) {
            return self.take(piece);
        }
        let fitting = odd::fitting(data);
        match fitting.as_deref().map(serde_json::from_str::<Piece<'_>>) {
            Some(Ok(piece)) => self.take(piece),
            _ => self.is_opaque = true,
        }
    }

    fn take(&mut self, piece: Piece<'_>) {
        keep(&mut self.model, piece.model);
        keep(&mut self.fingerprint, piece.system_fingerprint);
        for usage in piece.usage.into_iter().chain(piece.x_groq.and_then(|elsewhere| elsewhere.usage)) {
            self.usage = usage.after(self.usage);
        }
        if let Some(error) = piece.error.filter(|error| !error.is_null()) {
            let message = error.get("message").and_then(Value::as_str).map(str::to_owned);
            self.error =
                Some(message.or_else(|| error.as_str().map(str::to_owned)).unwrap_or_else(|| error.to_string()));
        }
        for mut choice in piece.choices.into_iter().flatten() {
            if let Some(usage) = choice.usage.take() {
                self.usage = usage.after(self.usage);
            }
            match choice.index.unwrap_or(0) {
                0 => self.choose(choice),
                index => self.other(index, choice),
            }
        }
        // Anthropic's format, whole and streamed.
        self.is_cut &= piece.stop_reason.is_none() && piece.kind.is_none_or(|kind| kind.0 != "message_stop");
        keep(&mut self.finish_reason, piece.stop_reason);
        for block in piece.content.into_iter().flatten().chain(piece.content_block) {
            self.block(block);
        }
        if let Some(delta) = piece.delta {
            self.is_cut &= delta.stop_reason.is_none();
            keep(&mut self.finish_reason, delta.stop_reason);
            self.text.push_str(delta.text.as_ref().map_or("", |text| &text.0));
            if let (Some(more), Some(last)) = (delta.partial_json, self.calls.last_mut()) {
                last.arguments.push_str(&more);
            }
        }
        if let Some(message) = piece.message {
            self.take(*message);
        }
    }

    /// More of a choice.
    fn choose(&mut self, choice: Choice<'_>) {
        // Some servers say with every piece that there is no reason yet.
        let reason = choice.finish_reason.filter(|reason| !reason.0.is_empty());
        self.is_cut &= reason.is_none();
        keep(&mut self.finish_reason, reason);
        if let Some(said) = choice.message.or(choice.delta) {
            self.say(said);
        }
    }

    fn other(&mut self, index: u32, choice: Choice<'_>) {
        let known = self.others.iter().position(|(known, _)| *known == index);
        let at = known.unwrap_or(self.others.len());
        if known.is_none() && at < MOST_CHOICES {
            self.others.push((index, Self::default()));
        }
        if let Some((_, other)) = self.others.get_mut(at) {
            other.choose(choice);
        }
    }

    fn say(&mut self, said: Said<'_>) {
        let before = self.text.len();
        match said.content.map(RawValue::get) {
            Some(content) if content.starts_with('[') => self.parts(content),
            Some(content) if content.starts_with('"') => self.text.push_str(&text_of(content)),
            None => {}
            Some(_) => self.is_opaque = true,
        }
        if let Some(Text(refusal)) = said.refusal {
            self.is_refusal = true;
            self.text.push_str(&refusal);
        }
        // What is spoken stands beside an empty content.
        if let Some(Text(transcript)) =
            said.audio.and_then(|audio| audio.transcript).filter(|_| self.text.len() == before)
        {
            self.text.push_str(&transcript);
        }
        // Pictures are an answer.
        self.is_opaque |= said.images.is_some_and(|images| !matches!(images.get(), "null" | "[]"));
        let only = said.function_call.map(|function| WireCall {
            index: Some(0),
            function: Some(function),
            ..WireCall::default()
        });
        for call in said.tool_calls.into_iter().flatten().chain(only) {
            self.call(call);
        }
    }

    fn parts(&mut self, content: &str) {
        let parts = odd::value(content.as_bytes());
        for part in parts.as_ref().and_then(Value::as_array).into_iter().flatten() {
            match part.get("text").and_then(Value::as_str) {
                Some(text) => self.text.push_str(text),
                // Thoughts are no answer.
                None => self.is_opaque |= part.get("type").is_none_or(|kind| kind != "thinking"),
            }
        }
    }

    /// A call, or more of one: a streamed call is named at its beginning, and by some providers with every piece.
    fn call(&mut self, call: WireCall<'_>) {
        let function = call.function.or(call.custom).unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let id = call.id.filter(|id| !id.is_empty());
        let arguments = function.arguments.map(RawValue::get).map(text_of).unwrap_or_default();
        let piece = (call.index, id.as_deref());
        let known =
            self.calls.iter().rposition(|known| goes_on((known.index, known.id.as_deref()), piece, !name.is_empty()));
        match known {
            Some(at) => self.calls[at].arguments.push_str(&arguments),
            None if name.is_empty() => self.is_opaque = true,
            None => {
                self.called_tools.push(name);
                self.calls.push(Call { index: call.index, id, arguments: arguments.into_owned() });
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
                let arguments = input.map(|input| input.to_string()).unwrap_or_default();
                self.calls.push(Call { arguments, ..Call::default() });
            }
            "thinking" | "redacted_thinking" => {}
            _ => self.is_opaque = true,
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

/// What a JSON string says; what is no string stays as it is.
fn text_of(json: &str) -> Cow<'_, str> {
    match serde_json::from_str(json) {
        Ok(Text(text)) => text,
        Err(_) => match odd::value(json.as_bytes()) {
            Some(Value::String(text)) => Cow::Owned(text),
            _ => Cow::Borrowed(json),
        },
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A whole answer, or one event of a streamed one, in either format. Everything may be missing.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Piece<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    system_fingerprint: Option<Text<'a>>,
    usage: Option<WireUsage>,
    /// Groq's place for what a stream counts.
    x_groq: Option<Elsewhere>,
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
    /// Moonshot's place for what a stream counts.
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// Counts that do not stand where the format has them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Elsewhere {
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said<'a> {
    /// A text, or a list of parts.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    audio: Option<Audio<'a>>,
    /// OpenRouter's place for pictures, and ours for Gemini's.
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
    /// The only call, in the words of 2023.
    #[serde(borrow)]
    function_call: Option<WireFunction<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Audio<'a> {
    #[serde(borrow)]
    transcript: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCall<'a> {
    index: Option<usize>,
    id: Option<String>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
    /// A tool whose input is free text.
    #[serde(borrow)]
    custom: Option<WireFunction<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireFunction<'a> {
    name: Option<String>,
    /// A text, of some servers the object itself.
    #[serde(borrow, alias = "input")]
    arguments: Option<&'a RawValue>,
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

/// Reads an answer, whichever way it was asked for: providers answer with a stream where none was wanted, and the other way
/// round. What cannot be read is left out: the caller has it as it was.
pub(crate) fn read(body: &[u8]) -> Answer {
    let mut answer = Answer::default();
    let body = without_mark(body);
    if !looks_streamed(body) {
        answer.read(body);
        answer.is_cut = answer.is_opaque && serde_json::from_slice::<IgnoredAny>(body).is_err();
        return answer;
    }
    answer.is_cut = true;
    for event in WholeEvents::new(body) {
        let data = event.data.trim_ascii();
        // What follows the end is nobody's any more.
        if data == b"[DONE]" {
            answer.is_cut = false;
            break;
        }
        if !data.is_empty() {
            answer.read(data);
        }
        if event.name.trim_ascii() == b"error" && answer.error.is_none() {
            answer.error = Some(error_message(data));
        }
    }
    answer
}

/// Reads an answer of which the middle is missing: the events that are there, or else what was counted.
pub(crate) fn read_ends(ends: &[u8]) -> Answer {
    if looks_streamed(ends) {
        return read(ends);
    }
    // Counts stand behind the answer, or before it.
    let counts = memchr::memmem::rfind_iter(ends, b"\"usage\"").filter_map(|at| {
        let value = ends[at..].strip_prefix(b"\"usage\"")?.trim_ascii_start().strip_prefix(b":")?;
        serde_json::Deserializer::from_slice(value).into_iter::<WireUsage>().next()?.ok()?.after(None)
    });
    Answer { usage: counts.into_iter().next(), is_opaque: true, ..Answer::default() }
}

/// Whether a body is a stream of events: an error may be a whole answer even where a stream was asked for.
fn looks_streamed(body: &[u8]) -> bool {
    !matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(events: &[&str]) -> Answer {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        read(body.as_bytes())
    }

    #[test]
    fn reads_a_whole_answer() {
        let body = r#"{"model": "m-1", "system_fingerprint": "fp", "choices": [{"message": {"content": "hi"}, "finish_reason":
            "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}"#;
        let answer = read(body.as_bytes());
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("hi", Some("stop")));
        assert_eq!(answer.usage, Some(Usage::new(3, 1)));
        assert_eq!((answer.model.as_deref(), answer.fingerprint.as_deref()), (Some("m-1"), Some("fp")));
    }

    #[test]
    fn reads_texts_with_escapes_and_in_parts() {
        let check = |content: &str, expected: &str| {
            let body = format!(r#"{{"mod\u0065l": "m\n", "choices": [{{"message": {{"content": {content}}}}}]}}"#);
            let answer = read(body.as_bytes());
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
        let commented = read(b": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n");
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
    fn calls_are_shown_behind_the_text() {
        let body = r#"{"content": [{"type": "text", "text": "Let me see."}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]}"#;
        assert_eq!(read(body.as_bytes()).shown(), "Let me see.\nf({\"a\":1})");
    }

    #[test]
    fn every_choice_is_read() {
        let said = |answer: &Answer| {
            answer.choices().map(|choice| choice.text.clone()).chain([answer.chars().to_string()]).collect::<Vec<_>>()
        };
        let body =
            r#"{"choices": [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "bc"}}]}"#;
        assert_eq!(said(&read(body.as_bytes())), ["a", "bc", "3"]);
        let piece = |index: u32, text: &str| {
            format!(r#"{{"choices": [{{"index": {index}, "delta": {{"content": "{text}"}}}}]}}"#)
        };
        let events = [piece(1, "b"), piece(0, "a"), piece(2, "d"), piece(1, "c")];
        assert_eq!(said(&streamed(&events.each_ref().map(String::as_str))), ["a", "bc", "d", "4"]);
        let many: Vec<String> = (0..1000).map(|index| piece(index, "x")).collect();
        assert_eq!(streamed(&many.iter().map(String::as_str).collect::<Vec<_>>()).choices().count(), 129);
    }

    #[test]
    fn counts_stand_in_more_than_one_place() {
        let check = |event: &str| assert_eq!(streamed(&[event]).usage, Some(Usage::new(21, 9)), "{event}");
        check(r#"{"choices": [], "x_groq": {"id": "r", "usage": {"prompt_tokens": 21, "completion_tokens": 9}}}"#);
        check(r#"{"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 21, "completion_tokens": 9}}]}"#);
    }

    #[test]
    fn reads_what_strict_readers_refuse() {
        let check = |body: &str, shown: &str, usage: (u64, u64)| {
            let answer = read(body.as_bytes());
            let (prompt_tokens, completion_tokens) = usage;
            let expected = (usage != (0, 0)).then_some(Usage::new(prompt_tokens, completion_tokens));
            assert_eq!((&*answer.shown(), answer.usage), (shown, expected), "{body}");
            assert!(!answer.is_opaque, "{body}");
        };
        let message =
            |message: &str| format!(r#"{{"choices": [{{"message": {message}}}], "usage": {{"prompt_tokens": 3}}}}"#);
        let counted = |usage: &str| format!(r#"{{"choices": [{{"message": {{"content": "a"}}}}], "usage": {usage}}}"#);
        check(&counted(r#"{"prompt_tokens": 3.0, "completion_tokens": 1e1}"#), "a", (3, 10));
        check(&counted(r#"{"prompt_tokens": "3", "completion_tokens": 1}"#), "a", (0, 1));
        check(&counted("[]"), "a", (0, 0));
        check(&counted("{}"), "a", (0, 0));
        check(&counted(r#"{"prompt_tokens": 1, "prompt_tokens": 2}, "usage": {"prompt_tokens": 3}"#), "a", (3, 0));
        check(&format!("{}, \"message\": \"m\", \"model\": 3}}", counted("null").trim_end_matches('}')), "a", (0, 0));
        check(&message(r#"{"content": "a\ud83d b"}"#), "a\u{fffd} b", (3, 0));
        check(&message(r#"{"content": "a", "refusal": 3, "role": 7}"#), "a", (3, 0));
        check(&message(r#"{"content": "b", "content": "a"}"#), "a", (3, 0));
        check(&message(r#"{"content": [{"type": "thinking"}, {"text": "a\ude00"}]}"#), "a\u{fffd}", (3, 0));
        check(&message(r#"{"content": null, "audio": {"id": "x", "data": "UklG", "transcript": "a"}}"#), "a", (3, 0));
        check(&message(r#"{"function_call": {"name": "f", "arguments": "{}"}}"#), "f({})", (3, 0));
        let called = |call: &str| message(&format!(r#"{{"content": null, "tool_calls": [{call}]}}"#));
        check(&called(r#"{"id": "1", "type": "custom", "custom": {"name": "f", "input": "a b"}}"#), "f(a b)", (3, 0));
        check(&called(r#"{"id": 1, "function": {"name": "f", "arguments": {"a": 1}}}"#), r#"f({"a":1})"#, (3, 0));
        check(
            &called(r#"{"function": {"name": "f", "arguments": "{\"a\": \"\ud83d\"}"}}"#),
            "f({\"a\": \"\u{fffd}\"})",
            (3, 0),
        );
        check(&format!("\u{feff}{}", counted(r#"{"prompt_tokens": 3}"#)), "a", (3, 0));
        let anthropic = r#"{"content": [{"type": "text", "text": "a\ud83d"}], "usage": {"input_tokens": 2.0}}"#;
        check(anthropic, "a\u{fffd}", (2, 0));
    }

    #[test]
    fn what_cannot_be_read_is_not_empty() {
        let check = |body: &str, expected: bool| assert_eq!(read(body.as_bytes()).is_opaque, expected, "{body}");
        check("{\"choices\": [", true);
        check(r#"{"choices": [{"message": {"content": {"a": 1}}}]}"#, true);
        check(r#"{"choices": [{"message": {"content": [{"type": "image_url"}]}}]}"#, true);
        check(r#"{"content": [{"type": "server_tool_use", "name": "web_search"}]}"#, true);
        check("data: {\"choices\"\n\ndata: [DONE]\n\n", true);
        check(r#"{"choices": [{"message": {"content": "", "images": [{"type": "image_url"}]}}]}"#, true);
        check(r#"{"choices": [{"message": {"content": "", "images": []}}]}"#, false);
        check(r#"{"choices": [{"message": {"content": ""}}]}"#, false);
        check(r#"{"choices": [{"message": {"content": []}}]}"#, false);
        check(r#"{"content": [{"type": "thinking", "thinking": "hm"}]}"#, false);
        check("data: {\"choices\": []}\n\ndata: [DONE]\n\n", false);
    }

    #[test]
    fn streamed_calls_begin_once() {
        let check = |deltas: &[&str], expected: &str| {
            let events = deltas.iter().map(|delta| format!(r#"{{"choices": [{{"delta": {delta}}}]}}"#));
            let events: Vec<String> = events.collect();
            let answer = streamed(&events.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!((answer.shown().as_str(), answer.is_opaque), (expected, false), "{deltas:?}");
        };
        for name in ["f", ""] {
            let more =
                format!(r#"{{"tool_calls": [{{"index": 0, "function": {{"name": "{name}", "arguments": ":1}}"}}}}]}}"#);
            let begin =
                r#"{"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\""}}]}"#;
            check(&[begin, &more], r#"f({"x":1})"#);
        }
        let call = |place: &str, name: &str| {
            format!(r#"{{"tool_calls": [{{{place}, "function": {{"name": "{name}", "arguments": "1"}}}}]}}"#)
        };
        check(&[&call(r#""index": 0"#, "f"), &call(r#""index": 1"#, "g"), &call(r#""index": 0"#, "f")], "f(11)\ng(1)");
        // Calls that all have the first place are told apart by their ids.
        check(&[&call(r#""index": 0, "id": "a""#, "f"), &call(r#""index": 0, "id": "b""#, "f")], "f(1)\nf(1)");
        check(&[&call(r#""id": "a""#, "f"), &call(r#""id": "b""#, "g"), &call(r#""id": "a""#, "f")], "f(11)\ng(1)");
        check(
            &[r#"{"function_call": {"name": "f", "arguments": ""}}"#, r#"{"function_call": {"arguments": "1"}}"#],
            "f(1)",
        );
        check(&[r#"{"content": "a"}"#, r#"{"audio": {"transcript": "b"}}"#], "ab");
    }

    #[test]
    fn tells_where_a_stream_ends() {
        let check = |stream: &str, is_cut: bool| assert_eq!(read(stream.as_bytes()).is_cut, is_cut, "{stream}");
        let text = r#"data: {"choices": [{"delta": {"content": "Hel"}, "finish_reason": null}]}"#;
        check(&format!("{text}\n\n"), true);
        check(": ping\n\n", true);
        check(&format!("{text}\n\ndata: [DONE]\n\n"), false);
        check(r#"data: {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]}"#, false);
        check(r#"data: {"choices": [{"delta": {"content": "lo"}, "finish_reason": ""}]}"#, true);
        check(r#"data: {"type": "message_start", "message": {"content": [], "stop_reason": null}}"#, true);
        check(r#"data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}"#, false);
        check("event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n", false);
        check(r#"{"choices": []}"#, false);
        check(r#"{"choices": [{"message": {"content": "Hel"#, true);
        check(r#"{"choices": [{"message": {"content": "Hel\ud83d"}}]}"#, false);
        let after = format!("{text}\n\ndata: [DONE]\n\ndata: {{\"usage\": {{\"prompt_tokens\": 1}}}}\n\n");
        assert_eq!(read(after.as_bytes()).usage, None);
    }

    #[test]
    fn reads_the_ends_of_what_is_too_long() {
        let check = |ends: &str, expected: Option<u64>| {
            assert_eq!(read_ends(ends.as_bytes()).usage.map(|usage| usage.prompt_tokens), expected, "{ends}");
        };
        check(r#"{"data": [[0.1, 0.2], "usage" : {"prompt_tokens": 7, "total_tokens": 7}, "model": "m"}"#, Some(7));
        check(r#"{"usage": {"prompt_tokens": 7}, "data": [[0.1, 0.2], "#, Some(7));
        check(r#"{"text": "\"usage\": {\"prompt_tokens\": 7}", "data": [[0."#, None);
        check("data: {\"cho\n\n\ndata: {\"usage\": {\"prompt_tokens\": 7}}\n\n", Some(7));
    }

    #[test]
    fn tokens_of_anthropics_cache_are_read_tokens() {
        let body = r#"{"content": [], "usage": {"input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens":
            1000, "output_tokens": 5}}"#;
        let expected = Some(Usage { cached_tokens: 1000, cache_write_tokens: 100, ..Usage::new(1110, 5) });
        assert_eq!(read(body.as_bytes()).usage, expected);
        let start =
            r#"{"type": "message_start", "message": {"usage": {"input_tokens": 10, "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 1000, "output_tokens": 1}}}"#
                .replace('\n', "");
        for end in [r#"{"usage": {"output_tokens": 5}}"#, r#"{"usage": {"input_tokens": 10, "output_tokens": 5}}"#] {
            assert_eq!(streamed(&[&start, end]).usage, expected, "{end}");
        }
    }

    #[test]
    fn tokens_of_openais_cache_are_among_those_read() {
        let check = |usage: &str, expected: Usage| {
            let body =
                format!(r#"{{"choices": [], "usage": {{"prompt_tokens": 9, "completion_tokens": 1, {usage}}}}}"#);
            assert_eq!(read(body.as_bytes()).usage, Some(expected), "{usage}");
            assert_eq!(streamed(&[&body]).usage, Some(expected), "{usage}");
        };
        let cached = Usage { cached_tokens: 6, ..Usage::new(9, 1) };
        check(r#""prompt_tokens_details": {"cached_tokens": 6, "audio_tokens": 0}"#, cached);
        check(r#""prompt_tokens_details": {"cached_tokens": 6.0}, "model": 3"#, cached);
        check(r#""prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3"#, cached);
        let details = r#""prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 2}"#;
        check(details, Usage { cache_write_tokens: 2, ..cached });
        for none in [r#""prompt_tokens_details": null"#, r#""prompt_tokens_details": []"#, r#""x": 1"#] {
            check(none, Usage::new(9, 1));
        }
    }

    #[test]
    fn reads_errors_inside_a_success() {
        let named = read(b"event: error\ndata: {\"message\": \"busy\"}\n\n");
        assert_eq!(named.error.as_deref(), Some("busy"));

        assert_eq!(streamed(&[r#"{"error": {"message": "overloaded", "code": 502}}"#]).error.unwrap(), "overloaded");
        let flat = r#"{"object": "error", "message": "boom", "code": 500}"#;
        assert_eq!(streamed(&[flat]).error.as_deref(), Some("boom"));
        assert_eq!(read(flat.as_bytes()).error.as_deref(), Some("boom"));
        let whole = read(br#"{"error": "no such model"}"#);
        assert_eq!(whole.error.unwrap(), "no such model");
    }

    #[test]
    fn reads_anthropics_format() {
        let body = r#"{"model": "claude", "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "name": "f",
            "input": {"a": 1}}], "stop_reason": "tool_use", "usage": {"input_tokens": 4, "output_tokens": 2}}"#;
        let answer = read(body.as_bytes());
        assert_eq!((&*answer.text, answer.called_tools.len()), ("hi", 1));
        assert_eq!(answer.usage, Some(Usage::new(4, 2)));
        let events = [
            r#"{"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 4, "output_tokens": 1}}}"#,
            r#"{"type": "content_block_start", "content_block": {"type": "text", "text": ""}}"#,
            r#"{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}"#,
            r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}"#,
        ];
        let body: String = events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect();
        let answer = read(body.as_bytes());
        assert_eq!((&*answer.text, answer.finish_reason.as_deref()), ("hi", Some("end_turn")));
        assert_eq!(answer.usage, Some(Usage::new(4, 7)));
    }
}
