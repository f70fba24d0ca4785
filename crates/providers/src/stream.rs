//! Streamed answers of every wire format, read into the same pieces.
//!
//! [`Events`] cuts bytes into the events of a stream; a [`StreamReader`] says what an event means. Nothing waits here: bytes
//! go in as they come, pieces come out.

mod anthropic;
mod events;
mod gemini;
mod openai;

use llmops_domain::chat::{ChatResponse, Usage};
use serde::de::DeserializeOwned;

pub use self::events::{Event, Events, SentEvent, WholeEvents, without_mark};
use crate::beside::{Beside, Citation, ThinkingBlock};
use crate::http_client::error_message;
use crate::odd;
use crate::upstream::Dialect;

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The model that answers, as the provider names it.
    Model(String),
    /// The provider's `system_fingerprint`.
    Fingerprint(String),
    /// More of what the model thinks.
    Thought(String),
    /// A block of such thoughts has ended that Anthropic wants back: all of it, once more.
    Thinking(ThinkingBlock),
    /// More of the text.
    Text(String),
    /// A picture, as a `data:` address.
    Picture(String),
    /// What a part of the text refers to.
    Citation(Citation),
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
    /// The provider says that this is all.
    End,
}

/// The pieces of an answer that came whole.
pub fn pieces(answer: &ChatResponse, beside: &Beside) -> Vec<Piece> {
    let mut pieces = vec![Piece::Model(answer.model.clone())];
    if !beside.thoughts.is_empty() {
        pieces.push(Piece::Thought(beside.thoughts.clone()));
    }
    pieces.extend(beside.blocks.iter().cloned().map(Piece::Thinking));
    if !answer.text.is_empty() {
        pieces.push(Piece::Text(answer.text.clone()));
    }
    pieces.extend(beside.pictures.iter().cloned().map(Piece::Picture));
    pieces.extend(beside.citations.iter().cloned().map(Piece::Citation));
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

/// Whether a piece of a streamed call goes on with a known one; both are given with the place and the id that they came with. A
/// call is named at its beginning, and by some servers with every piece; some give every call the same place. Calls without
/// places are whole, or go on under their id.
pub fn goes_on(known: (Option<usize>, Option<&str>), piece: (Option<usize>, Option<&str>), is_named: bool) -> bool {
    let ((known_place, known_id), (place, id)) = (known, piece);
    match place {
        Some(_) => known_place == place && (!is_named || known_id.is_none() || id.is_none() || known_id == id),
        None => !is_named || (id.is_some() && known_id == id),
    }
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

    /// What an event says. One that is an error by its name is an error whatever its data is.
    pub fn read_event(&mut self, event: &SentEvent) -> Vec<Piece> {
        let pieces = self.read(&event.data);
        if !event.is_error || pieces.iter().any(|piece| matches!(piece, Piece::Error(_))) {
            return pieces;
        }
        vec![Piece::Error(error_message(&event.data))]
    }

    /// What an event's data says. What cannot be read says nothing: providers add events as they please.
    pub fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        // OpenAI's word, which servers of other formats say as well.
        if data.trim_ascii() == b"[DONE]" {
            return vec![Piece::End];
        }
        match &mut self.0 {
            Format::OpenAi(reader) => reader.read(data),
            Format::Anthropic(reader) => reader.read(data),
            Format::Gemini(reader) => reader.read(data),
        }
    }
}

/// An event as a type, read as leniently as may be. What cannot be read says nothing, unless the format's own fields are in it:
/// the answer would lack something then, and look whole.
fn parsed<T: DeserializeOwned>(data: &[u8]) -> Result<T, Vec<Piece>> {
    const SAYING: [&str; 5] = ["choices", "candidates", "delta", "content_block", "error"];
    odd::event(data).ok_or_else(|| {
        let says = odd::value(data).is_some_and(|value| SAYING.iter().any(|name| value.get(name).is_some()));
        let error = says.then(|| Piece::Error("an event of the model provider's stream cannot be read".to_owned()));
        error.into_iter().collect()
    })
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

    fn thought(text: &str) -> Piece {
        Piece::Thought(text.to_owned())
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
        Piece::Usage(Usage::new(prompt_tokens, completion_tokens))
    }

    fn cached(usage: Piece, cached_tokens: u64) -> Piece {
        let Piece::Usage(usage) = usage else { return usage };
        Piece::Usage(Usage { cached_tokens, ..usage })
    }

    #[test]
    fn characters_in_two_pieces() {
        let openai = |text: &str| format!(r#"{{"choices":[{{"delta":{{"content":{text}}}}}]}}"#);
        let events = [r#""A\ud83d""#, r#""\ude00B""#, r#"[{"type":"text","text":"C"}]"#].map(openai);
        let pieces = read(Dialect::OpenAi, &events.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(pieces, [text("A"), text("😀B"), text("C")]);
        let anthropic = |kind: &str, name: &str, text: &str| {
            format!(r#"{{"type":"content_block_delta","delta":{{"type":"{kind}","{name}":"{text}"}}}}"#)
        };
        let events = [
            anthropic("text_delta", "text", r"A\ud83d"),
            anthropic("text_delta", "text", r"\ude00B"),
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t1","name":"f"}}"#.to_owned(),
            anthropic("input_json_delta", "partial_json", r"\ud83d"),
            anthropic("input_json_delta", "partial_json", r"x"),
        ];
        let pieces = read(Dialect::Anthropic, &events.iter().map(String::as_str).collect::<Vec<_>>());
        let all = [text("A"), text("😀B"), call(0, "t1", "f"), arguments(0, "\u{FFFD}x")];
        assert_eq!(pieces, all);
        let gemini = |text: &str| format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}}}}]}}"#);
        let pieces = read(Dialect::Gemini, &[&gemini(r"A\ud83d"), &gemini(r"\ude00B")]);
        assert_eq!(pieces, [text("A"), text("😀B")]);
    }

    #[test]
    fn calls_are_told_apart() {
        let check = |calls: &[&str], expected: &[Piece]| {
            let events = calls.iter().map(|call| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#));
            let events: Vec<String> = events.collect();
            let pieces = read(Dialect::OpenAi, &events.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(pieces, expected, "{calls:?}");
        };
        // The name again, and empty.
        let repeated = [
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}"#,
            r#"{"index":0,"id":"a","function":{"name":"f","arguments":"\"x\""}}"#,
            r#"{"index":0,"id":"","function":{"name":"","arguments":":1}"}}"#,
            r#"{"index":0,"id":"b","function":{"arguments":" "}}"#,
        ];
        let one = [call(0, "a", "f"), arguments(0, "{"), arguments(0, "\"x\""), arguments(0, ":1}"), arguments(0, " ")];
        check(&repeated, &one);
        // Every call under one number, or under none.
        let whole = |id: &str, number: &str| {
            format!(r#"{{{number}"id":"{id}","function":{{"name":"f","arguments":{{"x": 1}}}}}}"#)
        };
        for number in ["", r#""index":0,"#] {
            let two = [call(0, "a", "f"), arguments(0, "{\"x\":1}"), call(1, "b", "f"), arguments(1, "{\"x\":1}")];
            check(&[&whole("a", number), &whole("b", number)], &two);
            let more = two.into_iter().chain([arguments(0, "{\"x\":1}")]).collect::<Vec<_>>();
            check(&[&whole("a", number), &whole("b", number), &whole("a", number)], &more);
        }
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
                r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
                "[DONE]",
                r#"{"error":{"message":"overloaded"}}"#,
            ],
        );
        let model = Piece::Model("m-1".to_owned());
        let error = Piece::Error("overloaded".to_owned());
        let said = [model, text("Hé"), call(0, "c1", "f"), arguments(0, "{}"), finish("tool_calls")];
        let said = [&said[..], &[cached(usage(5, 2), 4)]].concat();
        assert_eq!(pieces, [&said[..], &[Piece::End, error]].concat());
    }

    #[test]
    fn anthropic() {
        let web = r#"{"type":"web_search_result_location","url":"https://a","title":"A","cited_text":"hi"}"#;
        let cited = Citation { url: "https://a".to_owned(), title: "A".to_owned(), start: 0, end: 2 };
        let pieces = read(
            Dialect::Anthropic,
            &[
                r#"{"type":"message_start","message":{"model":"claude","usage":{"input_tokens":4,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"."}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s+"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"1"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
                r#"{"type":"content_block_stop","index":1}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"hi"}}"#,
                &format!(
                    r#"{{"type":"content_block_delta","index":1,"delta":{{"type":"citations_delta","citation":{web}}}}}"#
                ),
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"f","input":{}}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        );
        let expected = [
            Piece::Model("claude".to_owned()),
            cached(usage(7, 1), 3),
            thought("hm"),
            thought("."),
            Piece::Thinking(ThinkingBlock::Thinking { thinking: "hm.".to_owned(), signature: "s+1".to_owned() }),
            Piece::Thinking(ThinkingBlock::RedactedThinking { data: "x".to_owned() }),
            text("hi"),
            Piece::Citation(cited.clone()),
            call(0, "t1", "f"),
            arguments(0, "{\"a\":1}"),
            finish("tool_calls"),
            cached(usage(7, 7), 3),
            Piece::End,
        ];
        assert_eq!(pieces, expected);
        let failed =
            read(Dialect::Anthropic, &[r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#]);
        assert_eq!(failed, [Piece::Error("busy".to_owned())]);
    }

    #[test]
    fn inputs_of_anthropic_that_come_in_no_pieces() {
        let check = |name: &str, input: &str, pieces: &[&str], expected: &[Piece]| {
            let start = format!(
                r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t","name":"{name}"{input}}}}}"#
            );
            let delta = |json: &&str| {
                let delta = format!(r#"{{"type":"input_json_delta","partial_json":{json}}}"#);
                format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#)
            };
            for end in [r#"{"type":"content_block_stop","index":0}"#, r#"{"type":"message_delta"}"#] {
                let events: Vec<String> =
                    [start.clone()].into_iter().chain(pieces.iter().map(delta)).chain([end.to_owned()]).collect();
                let read = read(Dialect::Anthropic, &events.iter().map(String::as_str).collect::<Vec<_>>());
                assert_eq!(read, expected, "{start} {pieces:?}");
            }
        };
        let empty = "\"\"";
        check("f", r#","input":{}"#, &[empty], &[call(0, "t", "f"), arguments(0, "{}")]);
        check("f", "", &[], &[call(0, "t", "f"), arguments(0, "{}")]);
        check("f", r#","input":{"a": 1}"#, &["null"], &[call(0, "t", "f"), arguments(0, r#"{"a":1}"#)]);
        let pieces = [empty, r#""{\"a\":1}""#];
        check("f", r#","input":{}"#, &pieces, &[call(0, "t", "f"), arguments(0, r#"{"a":1}"#)]);
        check("give_answer", r#","input":{"a":1}"#, &[], &[text(r#"{"a":1}"#)]);
    }

    #[test]
    fn thoughts_in_openais_format() {
        let check = |delta: &str, expected: &[Piece]| {
            let event = format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#);
            assert_eq!(read(Dialect::OpenAi, &[&event]), expected, "{delta}");
        };
        check(r#"{"reasoning_content":"hm"}"#, &[thought("hm")]);
        check(r#"{"reasoning":"hm","reasoning_content":"","content":""}"#, &[thought("hm")]);
        check(r#"{"reasoning":"hm","reasoning_content":"hm"}"#, &[thought("hm")]);
        check(r#"{"reasoning":{"effort":"low"},"content":"a"}"#, &[text("a")]);
        check(r#"{"reasoning":null,"reasoning_content":null,"content":"a"}"#, &[text("a")]);
    }

    #[test]
    fn what_gemini_cites_is_said_once() {
        let event = |text: &str| {
            let chunks = r#"[{"web":{"uri":"https://a","title":"A"}}]"#;
            let supports = r#"[{"segment":{"startIndex":0,"endIndex":3},"groundingChunkIndices":[0]}]"#;
            let grounding = format!(r#"{{"groundingChunks":{chunks},"groundingSupports":{supports}}}"#);
            format!(r#"{{"candidates":[{{"content":{{"parts":[{text}]}},"groundingMetadata":{grounding}}}]}}"#)
        };
        let pieces = read(Dialect::Gemini, &[&event(r#"{"text":"Hé"}"#), &event(r#"{"text":"!"}"#), &event("")]);
        let cited = Citation { url: "https://a".to_owned(), title: "A".to_owned(), start: 0, end: 2 };
        assert_eq!(pieces, [text("Hé"), Piece::Citation(cited), text("!")]);
    }

    #[test]
    fn what_is_an_error_by_its_name_is_one() {
        let check = |data: &'static str, expected: &str| {
            for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
                let event = SentEvent { is_error: true, data: data.into() };
                let pieces = StreamReader::new(dialect).read_event(&event);
                assert_eq!(pieces, [Piece::Error(expected.to_owned())], "{dialect:?} {data}");
                let plain = StreamReader::new(dialect).read_event(&SentEvent { is_error: false, ..event });
                assert!(!plain.contains(&Piece::Error(data.to_owned())), "{dialect:?} {data}");
            }
        };
        check("upstream went away", "upstream went away");
        check(r#"{"message": "busy"}"#, "busy");
        check(r#"{"type": "error", "error": {"message": "busy"}}"#, "busy");
        check("[DONE]", "[DONE]");
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
                r#"{"candidates":[{"content":{"parts":[{"text":"h"},{"text":"secret","thought":true},{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"inlineData":{"mimeType":"audio/wav","data":"AA=="}}]}}],"modelVersion":"g-1"}"#,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"c1","name":"f","args":{"a": 1}},"thoughtSignature":"s+w="}]},"finishReason":"STOP"}],
                    "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1},"modelVersion":"g-1"}"#,
            ],
        );
        let expected = [
            Piece::Model("g-1".to_owned()),
            text("h"),
            thought("secret"),
            Piece::Picture("data:image/png;base64,AA==".to_owned()),
            call(0, "c1__thought__s-w", "f"),
            arguments(0, "{\"a\":1}"),
            finish("tool_calls"),
            Piece::Usage(Usage { reasoning_tokens: 1, ..Usage::new(3, 3) }),
        ];
        assert_eq!(pieces, expected);
        let blocked = read(Dialect::Gemini, &[r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#]);
        assert_eq!(blocked, [finish("content_filter")]);
    }

    #[test]
    fn what_fits_of_an_odd_event_is_said_and_what_is_lost_is_an_error() {
        let check = |dialect: Dialect, event: &str, expected: &[Piece]| {
            assert_eq!(read(dialect, &[event]), expected, "{event}");
        };
        let (openai, anthropic, gemini) = (Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini);
        let delta = |more: &str| format!(r#"{{"choices":[{{{more}"delta":{{"content":"a"}}}}]}}"#);
        check(openai, &delta(r#""index":"0","#), &[text("a")]);
        check(openai, &delta(r#""finish_reason":"","#), &[text("a")]);
        let counted = delta("").replacen('{', r#"{"usage":{"prompt_tokens":3.0,"completion_tokens":1},"#, 1);
        check(openai, &counted, &[text("a"), usage(3, 1)]);
        let lost = [Piece::Error("an event of the model provider's stream cannot be read".to_owned())];
        check(openai, r#"{"choices":[{"delta":{"content":{"a":1}}}]}"#, &lost);
        check(
            anthropic,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":{"a":1},"text":3}}"#,
            &[],
        );
        check(anthropic, r#"{"type":"message_delta","delta":{"stop_reason":""}}"#, &[]);
        let odd = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":3.0}}"#;
        check(gemini, odd, &[text("a"), usage(3, 0)]);
        let error = [Piece::Error("boom".to_owned())];
        for event in [r#"{"object":"error","message":"boom","code":500}"#, r#"[{"error":{"message":"boom"}}]"#] {
            check(openai, event, &error);
        }
        check(gemini, r#"[{"error":{"message":"boom"}}]"#, &error);
    }

    #[test]
    fn counts_elsewhere_and_refusals_of_openais_format() {
        let check =
            |events: &[&str], expected: &[Piece]| assert_eq!(read(Dialect::OpenAi, events), expected, "{events:?}");
        let counts = r#"{"prompt_tokens":21,"completion_tokens":9}"#;
        let stop = |more: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop"{more}}}]"#);
        check(&[&format!(r#"{},"x_groq":{{"usage":{counts}}}}}"#, stop(""))], &[finish("stop"), usage(21, 9)]);
        check(&[&format!("{}}}", stop(&format!(r#","usage":{counts}"#)))], &[finish("stop"), usage(21, 9)]);
        let refusal = r#"{"choices":[{"delta":{"refusal":"No."}}]}"#;
        check(&[refusal, &format!("{}}}", stop(""))], &[text("No."), finish("content_filter")]);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
            assert_eq!(read(dialect, &[" [DONE]"]), [Piece::End]);
            assert_eq!(read(dialect, &["", "{", "[]", "{}", r#"{"type":"ping"}"#, "null"]), []);
        }
    }
}
