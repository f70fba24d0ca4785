//! Streamed answers of every wire format, read into the same pieces.
//!
//! [`Events`] cuts bytes into the events of a stream; a [`StreamReader`] says what an event means. Nothing waits here: bytes
//! go in as they come, pieces come out.

mod anthropic;
mod gemini;
mod openai;

use bytes::{Bytes, BytesMut};
use llmops_domain::chat::{ChatResponse, Usage};

use crate::upstream::Dialect;

/// Longest event that is waited for: no provider writes longer ones.
const MAX_EVENT: usize = 8 << 20;

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The model that answers, as the provider names it.
    Model(String),
    /// More of the text.
    Text(String),
    /// A call of a tool begins.
    Call {
        /// Its place among the answer's calls, from 0.
        index: usize,
        /// Its id.
        id: String,
        /// The function's name.
        name: String,
    },
    /// More of a call's arguments.
    Arguments {
        /// The call's place.
        index: usize,
        /// A piece of JSON.
        text: String,
    },
    /// Why the model stopped, in OpenAI's words.
    Finish(String),
    /// Tokens so far; the last one counts.
    Usage(Usage),
    /// The provider gives up in the middle: its words.
    Error(String),
}

/// The pieces of an answer that came whole.
pub fn pieces(answer: &ChatResponse) -> Vec<Piece> {
    let mut pieces = vec![Piece::Model(answer.model.clone())];
    if !answer.text.is_empty() {
        pieces.push(Piece::Text(answer.text.clone()));
    }
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let function = &call.function;
        pieces.push(Piece::Call { index, id: call.id.clone(), name: function.name.clone() });
        pieces.push(Piece::Arguments { index, text: function.arguments.clone() });
    }
    let default = if answer.tool_calls.is_empty() { "stop" } else { "tool_calls" };
    pieces.push(Piece::Finish(answer.finish_reason.clone().unwrap_or_else(|| default.to_owned())));
    pieces.push(Piece::Usage(answer.usage));
    pieces
}

/// Cuts a stream of server-sent events into the data of its events.
#[derive(Debug, Default)]
pub struct Events {
    rest: BytesMut,
}

impl Events {
    /// Adds bytes as they came; answers with the data of all events that are complete. Comments and events without data are
    /// left out.
    ///
    /// ```
    /// use llmops_providers::stream::Events;
    ///
    /// let mut events = Events::default();
    /// assert!(events.push(b": ping\n\ndata: {\"a\"").is_empty());
    /// assert_eq!(events.push(b":1}\r\n\r\ndata: [DONE]\n\n"), ["{\"a\":1}", "[DONE]"]);
    /// ```
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = event_end(&self.rest) {
            events.extend(data(&self.rest.split_to(end)));
        }
        if self.rest.len() > MAX_EVENT {
            self.rest.clear();
        }
        events
    }

    /// The data of a last event that no empty line ended.
    pub fn finish(&mut self) -> Option<Bytes> {
        data(&std::mem::take(&mut self.rest))
    }
}

/// The bytes of the first event, the empty line after it included.
fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\n').map(|at| from + at) {
        match &bytes[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => from = at + 1,
        }
    }
    None
}

/// The `data:` lines of one event, joined.
fn data(event: &[u8]) -> Option<Bytes> {
    let line = |line: &[u8]| {
        let value = line.strip_prefix(b"data:")?;
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        Some(value.strip_prefix(b" ").unwrap_or(value).to_vec())
    };
    let lines: Vec<Vec<u8>> = event.split(|byte| *byte == b'\n').filter_map(line).collect();
    (!lines.is_empty()).then(|| Bytes::from(lines.join(&b'\n')))
}

/// Knows what the events of one stream mean.
#[derive(Debug)]
pub struct StreamReader(Format);

#[derive(Debug)]
enum Format {
    OpenAi(openai::Reader),
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
}

impl StreamReader {
    /// For a stream in this format.
    pub fn new(dialect: Dialect) -> Self {
        Self(match dialect {
            Dialect::OpenAi => Format::OpenAi(openai::Reader::default()),
            Dialect::Anthropic => Format::Anthropic(anthropic::Reader::default()),
            Dialect::Gemini => Format::Gemini(gemini::Reader::default()),
        })
    }

    /// What an event's data says. What cannot be read says nothing: providers add events as they please.
    pub fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        match &mut self.0 {
            Format::OpenAi(reader) => reader.read(data),
            Format::Anthropic(reader) => reader.read(data),
            Format::Gemini(reader) => reader.read(data),
        }
    }
}

/// The words of an error object, in any of the shapes that providers use.
fn error_text(error: &serde_json::Value) -> String {
    let message = error.get("message").unwrap_or(error);
    message.as_str().map_or_else(|| message.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, events: &[&str]) -> Vec<Piece> {
        let mut reader = StreamReader::new(dialect);
        events.iter().flat_map(|event| reader.read(event.as_bytes())).collect()
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn call(index: usize, id: &str, name: &str) -> Piece {
        Piece::Call { index, id: id.to_owned(), name: name.to_owned() }
    }

    fn arguments(index: usize, text: &str) -> Piece {
        Piece::Arguments { index, text: text.to_owned() }
    }

    fn finish(reason: &str) -> Piece {
        Piece::Finish(reason.to_owned())
    }

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Piece {
        Piece::Usage(Usage { prompt_tokens, completion_tokens })
    }

    #[test]
    fn events_come_in_any_pieces() {
        let stream = "event: a\ndata: {\"x\":1}\n\n: comment\n\ndata: one\ndata: two\r\n\r\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let all: Vec<Bytes> = stream.as_bytes().chunks(size).flat_map(|piece| events.push(piece)).collect();
            assert_eq!(all, ["{\"x\":1}", "one\ntwo", "[DONE]"], "{size}");
        }
        let mut events = Events::default();
        assert!(events.push(b"data: last").is_empty());
        assert_eq!(events.finish().unwrap(), "last");
    }

    #[test]
    fn openai() {
        let pieces = read(
            Dialect::OpenAi,
            &[
                r#"{"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
                r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"Hé"}},{"index":1,"delta":{"content":"no"}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
                "[DONE]",
                r#"{"error":{"message":"overloaded"}}"#,
            ],
        );
        let model = Piece::Model("m-1".to_owned());
        let error = Piece::Error("overloaded".to_owned());
        let expected =
            [model, text("Hé"), call(0, "c1", "f"), arguments(0, "{}"), finish("tool_calls"), usage(5, 2), error];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn anthropic() {
        let pieces = read(
            Dialect::Anthropic,
            &[
                r#"{"type":"message_start","message":{"model":"claude","usage":{"input_tokens":4,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hi"}}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        );
        let expected = [
            Piece::Model("claude".to_owned()),
            usage(7, 1),
            text("hi"),
            call(0, "t1", "f"),
            arguments(0, "{\"a\":1}"),
            finish("tool_calls"),
            usage(7, 7),
        ];
        assert_eq!(pieces, expected);
        let failed =
            read(Dialect::Anthropic, &[r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#]);
        assert_eq!(failed, [Piece::Error("busy".to_owned())]);
    }

    #[test]
    fn a_schema_of_anthropic_is_text() {
        let pieces = read(
            Dialect::Anthropic,
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"give_answer","input":{}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
            ],
        );
        assert_eq!(pieces, [text("{\"a\":1}"), finish("stop"), usage(0, 7)]);
    }

    #[test]
    fn gemini() {
        let pieces = read(
            Dialect::Gemini,
            &[
                r#"{"candidates":[{"content":{"parts":[{"text":"h"},{"text":"secret","thought":true}]}}],"modelVersion":"g-1"}"#,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}}]},"finishReason":"STOP"}],
                    "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1},"modelVersion":"g-1"}"#,
            ],
        );
        let expected = [
            Piece::Model("g-1".to_owned()),
            text("h"),
            call(0, "call_0", "f"),
            arguments(0, "{\"a\":1}"),
            finish("tool_calls"),
            usage(3, 3),
        ];
        assert_eq!(pieces, expected);
        let blocked = read(Dialect::Gemini, &[r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#]);
        assert_eq!(blocked, [finish("content_filter")]);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
            assert_eq!(read(dialect, &["", "[DONE]", "{", "[]", "{}", r#"{"type":"ping"}"#, "null"]), []);
        }
    }
}
