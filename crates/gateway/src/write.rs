//! Answers written in the format of the door: whole, or as a stream of events.

mod blocks;

use bytes::Bytes;
use llmops_domain::chat::{ChatResponse, Usage};
use llmops_domain::record::Door;
use llmops_providers::beside::{Beside, Citation, ThinkingBlock};
use llmops_providers::stream::{Piece, pieces};
use llmops_providers::translate::arguments_object;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::blocks::Blocks;
use crate::recorder::CUT;

/// What identifies an answer.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The model that was asked, until the provider names the one that answers.
    pub(crate) model: String,
    /// Whether a stream ends with the usage: OpenAI's clients ask for it.
    pub(crate) include_usage: bool,
    /// Whether Anthropic's client asked the model to think: who did not takes the first block for the answer.
    pub(crate) shows_thoughts: bool,
}

/// An answer that is there already, in the format that was asked for, and that format's content type.
pub(crate) fn answer(
    door: Door,
    stream: bool,
    head: Head,
    (answer, beside): (&ChatResponse, &Beside),
) -> (Bytes, &'static str) {
    if !stream {
        return (whole(door, &head, answer, beside), "application/json");
    }
    let mut writer = EventWriter::new(door, head);
    let mut out = Vec::new();
    for piece in pieces(answer, beside) {
        writer.write(piece, &mut out);
    }
    writer.finish(&mut out);
    (Bytes::from(out), "text/event-stream")
}

/// A whole answer.
fn whole(door: Door, head: &Head, answer: &ChatResponse, beside: &Beside) -> Bytes {
    let model = if answer.model.is_empty() { &head.model } else { &answer.model };
    match door {
        Door::Messages => message(head, model, answer, beside),
        Door::Chat | Door::Embeddings => Bytes::from(completion(head, model, answer, beside).to_string()),
    }
}

fn completion(head: &Head, model: &str, answer: &ChatResponse, beside: &Beside) -> Value {
    let content = (!answer.text.is_empty() || answer.tool_calls.is_empty()).then_some(&answer.text);
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !answer.tool_calls.is_empty() {
        message["tool_calls"] = json!(answer.tool_calls);
    }
    if !beside.thoughts.is_empty() {
        message["reasoning_content"] = json!(beside.thoughts);
    }
    let lists = [
        ("thinking_blocks", beside.blocks.iter().map(thinking_block).collect::<Vec<_>>()),
        ("images", beside.pictures.iter().map(|url| image(url)).collect()),
        ("annotations", beside.citations.iter().map(annotation).collect()),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        message[name] = list.into();
    }
    let default = if answer.tool_calls.is_empty() { "stop" } else { "tool_calls" };
    let reason = listed(answer.finish_reason.as_deref().unwrap_or(default));
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
        "usage": openai_usage(answer.usage),
    })
}

/// A block of thoughts as LiteLLM's clients know it, and hand it back.
fn thinking_block(block: &ThinkingBlock) -> Value {
    json!(block)
}

/// A picture as OpenRouter's clients know it.
fn image(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

fn annotation(citation: &Citation) -> Value {
    let Citation { url, title, start, end } = citation;
    json!({"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": start, "end_index": end}})
}

/// How many of each list a stream has said: OpenAI's clients put such pieces together by their index.
#[derive(Debug, Default)]
struct Lists {
    blocks: usize,
    images: usize,
    annotations: usize,
}

impl Lists {
    /// The delta that says a piece; nothing where it is said elsewhere.
    fn delta(&mut self, said: Piece) -> Option<Value> {
        let one = |name: &str, count: &mut usize, mut item: Value| {
            item["index"] = (*count).into();
            *count += 1;
            json!({name: [item]})
        };
        Some(match said {
            Piece::Text(text) => json!({"content": text}),
            Piece::Thought(text) => json!({"reasoning_content": text}),
            Piece::Thinking(block) => one("thinking_blocks", &mut self.blocks, thinking_block(&block)),
            Piece::Picture(url) => one("images", &mut self.images, image(&url)),
            Piece::Citation(citation) => one("annotations", &mut self.annotations, annotation(&citation)),
            Piece::Call { index, id, name } => json!({"tool_calls": [
                {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}},
            ]}),
            Piece::Arguments { index, text } => {
                json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
            }
            Piece::Model(_)
            | Piece::Fingerprint(_)
            | Piece::Finish(_)
            | Piece::Usage(_)
            | Piece::Error(_)
            | Piece::End => return None,
        })
    }
}

fn openai_usage(usage: Usage) -> Value {
    let mut fields = json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
    });
    if usage.cached_tokens > 0 || usage.cache_write_tokens > 0 {
        fields["prompt_tokens_details"] = json!({"cached_tokens": usage.cached_tokens});
    }
    if usage.cache_write_tokens > 0 {
        fields["prompt_tokens_details"]["cache_write_tokens"] = usage.cache_write_tokens.into();
    }
    if usage.reasoning_tokens > 0 {
        fields["completion_tokens_details"] = json!({"reasoning_tokens": usage.reasoning_tokens});
    }
    fields
}

/// Anthropic's usage, whose `input_tokens` are those that are not of the cache.
fn anthropic_usage(usage: Usage) -> Value {
    let (cached, written) = (usage.cached_tokens, usage.cache_write_tokens);
    let others = usage.prompt_tokens.saturating_sub(cached).saturating_sub(written);
    let mut fields = json!({"input_tokens": others, "output_tokens": usage.completion_tokens});
    if cached > 0 || written > 0 {
        fields["cache_read_input_tokens"] = cached.into();
        fields["cache_creation_input_tokens"] = written.into();
    }
    fields
}

/// Anthropic's message.
#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'a str,
    stop_sequence: Option<&'a str>,
    usage: Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Thinking { thinking: &'a str, signature: &'static str },
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Box<RawValue> },
}

fn message(head: &Head, model: &str, answer: &ChatResponse, beside: &Beside) -> Bytes {
    let mut content = Vec::new();
    if head.shows_thoughts && !beside.thoughts.is_empty() {
        content.push(Block::Thinking { thinking: &beside.thoughts, signature: "" });
    }
    if !answer.text.is_empty() || answer.tool_calls.is_empty() {
        content.push(Block::Text { text: &answer.text });
    }
    content.extend(answer.tool_calls.iter().map(|call| Block::ToolUse {
        id: &call.id,
        name: &call.function.name,
        input: arguments_object(&call.function.arguments),
    }));
    let default = if answer.tool_calls.is_empty() { "stop" } else { "tool_calls" };
    let message = Message {
        id: &head.id,
        kind: "message",
        role: "assistant",
        model,
        content,
        stop_reason: stop_reason(answer.finish_reason.as_deref().unwrap_or(default), !answer.tool_calls.is_empty()),
        stop_sequence: None,
        usage: anthropic_usage(answer.usage),
    };
    Bytes::from(serde_json::to_vec(&message).unwrap_or_default())
}

/// A reason of OpenAI's list: this one, or the nearest. Clients with closed lists fail on any other; records have the
/// provider's own word.
pub(crate) fn listed(reason: &str) -> &'static str {
    match reason {
        "length" | "model_length" | "max_tokens" => "length",
        "tool_calls" | "tool_use" => "tool_calls",
        "function_call" => "function_call",
        // Gemini's `OTHER` names nothing, and is said of what it will not answer.
        "content_filter" | "refusal" | "other" => "content_filter",
        // What Gemini adds about pictures and policies.
        reason if ["safety", "prohibited", "recitation", "model_armor"].iter().any(|word| reason.contains(word)) => {
            "content_filter"
        }
        _ => "stop",
    }
}

/// Anthropic's word for OpenAI's. Who has to call a certain tool stops there, in the words of many servers; Anthropic's clients
/// run tools where they are told to.
fn stop_reason(finish_reason: &str, has_calls: bool) -> &'static str {
    match listed(finish_reason) {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ if has_calls => "tool_use",
        _ => "end_turn",
    }
}

/// Writes a stream piece by piece.
#[derive(Debug)]
pub(crate) struct EventWriter {
    head: Head,
    usage: Usage,
    finish_reason: Option<String>,
    has_begun: bool,
    has_failed: bool,
    has_ended: bool,
    format: Format,
}

#[derive(Debug)]
enum Format {
    OpenAi(Lists),
    Anthropic(Blocks),
}

impl EventWriter {
    pub(crate) fn new(door: Door, head: Head) -> Self {
        let format = match door {
            Door::Messages => Format::Anthropic(Blocks::new(head.shows_thoughts)),
            Door::Chat | Door::Embeddings => Format::OpenAi(Lists::default()),
        };
        Self {
            head,
            usage: Usage::default(),
            finish_reason: None,
            has_begun: false,
            has_failed: false,
            has_ended: false,
            format,
        }
    }

    /// Adds the events that say a piece.
    pub(crate) fn write(&mut self, piece: Piece, out: &mut Vec<u8>) {
        match piece {
            // Nothing follows the word that the stream broke off.
            _ if self.has_failed => {}
            Piece::Model(model) if !model.is_empty() && !self.has_begun => self.head.model = model,
            // Anthropic's format has no place for a fingerprint, and nobody else's stream has one to translate.
            Piece::Model(_) | Piece::Fingerprint(_) => {}
            Piece::End => self.has_ended = true,
            Piece::Usage(usage) => self.usage = usage,
            Piece::Finish(reason) => self.finish_reason = Some(reason),
            Piece::Error(message) => {
                self.has_failed = true;
                self.error(&message, out);
            }
            said => {
                self.begin(out);
                match &mut self.format {
                    Format::OpenAi(lists) => {
                        if let Some(delta) = lists.delta(said) {
                            let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
                            self.event(&json!([choice]), None, out);
                        }
                    }
                    Format::Anthropic(blocks) => blocks.write(said, out),
                }
            }
        }
    }

    /// Whether the provider said that this is all.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether neither a reason to stop, nor an error, nor the end was said so far.
    pub(crate) fn is_cut(&self) -> bool {
        self.finish_reason.is_none() && !self.has_failed && !self.has_ended
    }

    /// Ends the stream. One that failed or broke off ends without the word that all is well.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_cut() {
            self.error(CUT, out);
            return;
        }
        if self.has_failed {
            return;
        }
        self.begin(out);
        let reason = self.finish_reason.take().unwrap_or_else(|| "stop".to_owned());
        match &mut self.format {
            Format::OpenAi(_) => {
                let reason = listed(&reason);
                let last = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": reason}]);
                self.event(&last, None, out);
                if self.head.include_usage {
                    self.event(&json!([]), Some(openai_usage(self.usage)), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
            Format::Anthropic(blocks) => {
                blocks.finish(out);
                let usage = anthropic_usage(self.usage);
                let reason = stop_reason(&reason, blocks.has_calls);
                let delta = json!({"stop_reason": reason, "stop_sequence": null});
                named("message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage}), out);
                named("message_stop", &json!({"type": "message_stop"}), out);
            }
        }
    }

    /// Says that the stream breaks off here.
    fn error(&self, message: &str, out: &mut Vec<u8>) {
        match self.format {
            Format::OpenAi(_) => {
                let error = json!({"message": message, "type": "api_error", "param": null, "code": "upstream_error"});
                data(&json!({"error": error}), out);
            }
            Format::Anthropic(_) => {
                let error = json!({"type": "api_error", "message": message});
                named("error", &json!({"type": "error", "error": error}), out);
            }
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        match &self.format {
            Format::OpenAi(_) => {
                let delta = json!({"role": "assistant", "content": ""});
                let first = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
                self.event(&first, None, out);
            }
            Format::Anthropic(_) => {
                let message = json!({
                    "id": self.head.id, "type": "message", "role": "assistant", "model": self.head.model, "content": [],
                    "stop_reason": null, "stop_sequence": null,
                    "usage": anthropic_usage(Usage { completion_tokens: 0, ..self.usage }),
                });
                named("message_start", &json!({"type": "message_start", "message": message}), out);
            }
        }
    }

    fn event(&self, choices: &Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let head = &self.head;
        let mut chunk = json!({
            "id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model,
            "choices": choices,
        });
        if head.include_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        data(&chunk, out);
    }
}

fn data(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("data: {value}\n\n").as_bytes());
}

fn named(name: &str, value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\ndata: {value}\n\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use llmops_domain::chat::{FunctionCall, ToolCall};

    use super::*;

    fn head() -> Head {
        Head { id: "req_1".to_owned(), created: 7, model: "m".to_owned(), include_usage: true, shows_thoughts: true }
    }

    fn asked() -> ChatResponse {
        let function = FunctionCall { name: "f".to_owned(), arguments: r#"{"a":1}"#.to_owned() };
        ChatResponse {
            text: "hi".to_owned(),
            tool_calls: vec![ToolCall { id: "c".to_owned(), kind: "function".to_owned(), function }],
            finish_reason: Some("tool_calls".to_owned()),
            model: "m-1".to_owned(),
            usage: Usage::new(3, 2),
            latency_ms: 0.0,
        }
    }

    #[test]
    fn anthropics_stream() {
        let (stream, kind) = answer(Door::Messages, true, head(), (&asked(), &Beside::default()));
        assert_eq!(kind, "text/event-stream");
        insta::assert_snapshot!(String::from_utf8_lossy(&stream), @r#"
        event: message_start
        data: {"type":"message_start","message":{"id":"req_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}

        event: content_block_start
        data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

        event: content_block_stop
        data: {"type":"content_block_stop","index":0}

        event: content_block_start
        data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}

        event: content_block_delta
        data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}

        event: content_block_stop
        data: {"type":"content_block_stop","index":1}

        event: message_delta
        data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":3,"output_tokens":2}}

        event: message_stop
        data: {"type":"message_stop"}
        "#);
    }

    #[test]
    fn openais_stream_ends_with_the_usage() {
        let (stream, _) = answer(Door::Chat, true, head(), (&asked(), &Beside::default()));
        let stream = String::from_utf8_lossy(&stream).into_owned();
        let chunks: Vec<Value> =
            stream.split("\n\n").filter_map(|e| serde_json::from_str(e.strip_prefix("data: ")?).ok()).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "hi");
        assert_eq!(chunks[2]["choices"][0]["delta"]["tool_calls"][0]["id"], "c");
        assert_eq!(chunks[3]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
        assert_eq!(chunks[4]["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!((&chunks[5]["choices"], &chunks[5]["usage"]["total_tokens"]), (&json!([]), &json!(5)));
        assert!(chunks[..5].iter().all(|chunk| chunk["usage"].is_null() && chunk["model"] == "m-1"));
        assert!(stream.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn a_stream_that_fails_says_so_and_does_not_end_well() {
        for door in [Door::Chat, Door::Messages] {
            let mut writer = EventWriter::new(door, head());
            let mut out = Vec::new();
            writer.write(Piece::Text("Hel".to_owned()), &mut out);
            writer.write(Piece::Error("overloaded".to_owned()), &mut out);
            writer.finish(&mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(
                text.contains("overloaded") && !text.contains("[DONE]") && !text.contains("message_stop"),
                "{text}"
            );
        }
    }

    #[test]
    fn anthropics_blocks_of_calls_at_once() {
        let call = |index, name: &str| Piece::Call { index, id: format!("id{index}"), name: name.to_owned() };
        let more = |index, text: &str| Piece::Arguments { index, text: text.to_owned() };
        let say = |text: &str| Piece::Text(text.to_owned());
        let check = |pieces: Vec<Piece>, expected: &str| {
            let mut writer = EventWriter::new(Door::Messages, head());
            let mut out = Vec::new();
            for piece in pieces.into_iter().chain([Piece::Finish("stop".to_owned())]) {
                writer.write(piece, &mut out);
            }
            writer.finish(&mut out);
            let mut said = String::new();
            for event in String::from_utf8(out).unwrap().lines().filter_map(|line| line.strip_prefix("data: ")) {
                let event: Value = serde_json::from_str(event).unwrap();
                let block = &event["content_block"];
                let delta = ["text", "partial_json"].iter().find_map(|name| event["delta"][name].as_str());
                match event["type"].as_str().unwrap() {
                    "content_block_start" => said += block["name"].as_str().unwrap_or("text"),
                    "content_block_delta" => said += &format!("<{}>", delta.unwrap()),
                    "content_block_stop" => said += &format!("#{} ", event["index"]),
                    _ => {}
                }
            }
            assert_eq!(said, expected);
        };
        let (f, g) = (|| call(0, "f"), || call(1, "g"));
        check(
            vec![say("a"), f(), more(0, "{\"x\""), more(0, ":1}"), g(), more(1, "{"), more(1, "}")],
            r#"text<a>#0 f<{"x"><:1}>#1 g<{><}>#2 "#,
        );
        check(vec![f(), g(), more(0, "{\"x\":1}"), more(1, "{"), more(1, "}")], r#"f<{"x":1}>#0 g<{><}>#1 "#);
        check(vec![f(), g(), more(1, "{"), more(0, "{"), more(1, "}"), more(0, "}")], "f<{><}>#0 g<{}>#1 ");
        check(vec![f(), more(0, "{"), say("a"), say("b"), more(0, "}"), say("c")], "f<{><}>#0 text<ab><c>#1 ");
        check(vec![f(), more(0, "{"), g(), more(1, "{}")], "f<{>#0 g<{}>#1 ");
        let pieces = vec![f(), more(0, r#"{"a":"}\"#), g(), more(1, "{}"), more(0, r#""]}","b":[{}"#), more(0, "]}")];
        check(pieces, r#"f<{"a":"}\><"]}","b":[{}><]}>#0 g<{}>#1 "#);
    }

    #[test]
    fn whole_arguments_are_what_the_model_wrote() {
        let check = |arguments: &str, expected: &str| {
            let mut answer = asked();
            answer.tool_calls[0].function.arguments = arguments.to_owned();
            let body = String::from_utf8(whole(Door::Messages, &head(), &answer, &Beside::default()).to_vec()).unwrap();
            assert!(body.contains(&format!(r#""name":"f","input":{expected}}}"#)), "{arguments}: {body}");
        };
        check(r#"{"id": 12345678901234567890123}"#, r#"{"id": 12345678901234567890123}"#);
        check("", "{}");
        check(r#"{"x": "tru"#, r#"{"arguments":"{\"x\": \"tru"}"#);
        check("[1]", r#"{"arguments":"[1]"}"#);
    }

    #[test]
    fn whole_answers() {
        let message: Value =
            serde_json::from_slice(&whole(Door::Messages, &head(), &asked(), &Beside::default())).unwrap();
        assert_eq!(message["stop_reason"], "tool_use");
        assert_eq!(message["content"][1]["input"], json!({"a": 1}));
        assert_eq!(message["usage"], json!({"input_tokens": 3, "output_tokens": 2}));
        let completion: Value =
            serde_json::from_slice(&whole(Door::Chat, &head(), &asked(), &Beside::default())).unwrap();
        assert_eq!(completion["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
        assert_eq!(completion["usage"]["total_tokens"], 5);
    }

    #[test]
    fn reasons_are_of_each_formats_list() {
        let check = |reason: &str, openai: &str, anthropic: &str| {
            assert_eq!((listed(reason), stop_reason(reason, false)), (openai, anthropic), "{reason}");
        };
        check("stop", "stop", "end_turn");
        check("length", "length", "max_tokens");
        check("model_length", "length", "max_tokens");
        check("tool_calls", "tool_calls", "tool_use");
        check("function_call", "function_call", "tool_use");
        check("content_filter", "content_filter", "refusal");
        check("other", "content_filter", "refusal");
        check("image_prohibited_content", "content_filter", "refusal");
        check("malformed_function_call", "stop", "end_turn");
        check("eos", "stop", "end_turn");
        assert_eq!(stop_reason("eos", true), "tool_use");
    }

    #[test]
    fn tokens_of_thoughts_are_told_to_openais_clients() {
        let usage = Usage { reasoning_tokens: 7, ..Usage::new(9, 12) };
        let answer = ChatResponse { usage, ..asked() };
        let completion: Value =
            serde_json::from_slice(&whole(Door::Chat, &head(), &answer, &Beside::default())).unwrap();
        let expected = json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
            "completion_tokens_details": {"reasoning_tokens": 7}});
        assert_eq!(completion["usage"], expected);
        assert_eq!(crate::answer::read(completion.to_string().as_bytes()).usage, Some(usage));
    }

    #[test]
    fn tokens_of_the_cache_are_told_in_each_format() {
        let usage = Usage { cached_tokens: 4, cache_write_tokens: 3, ..Usage::new(9, 2) };
        let answer = ChatResponse { usage, ..asked() };
        let message: Value =
            serde_json::from_slice(&whole(Door::Messages, &head(), &answer, &Beside::default())).unwrap();
        let expected = json!({"input_tokens": 2, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3});
        assert_eq!(message["usage"], expected);
        let completion: Value =
            serde_json::from_slice(&whole(Door::Chat, &head(), &answer, &Beside::default())).unwrap();
        let expected = json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}});
        assert_eq!(completion["usage"], expected);
        // Records read it back from there.
        for answer in [&message, &completion] {
            assert_eq!(crate::answer::read(answer.to_string().as_bytes()).usage, Some(usage));
        }
    }

    /// What a model of Anthropic's thinks, with a picture and a source that it would not have.
    fn beside() -> Beside {
        let thinking = ThinkingBlock::Thinking { thinking: "hm".to_owned(), signature: "s".to_owned() };
        Beside {
            thoughts: "hm".to_owned(),
            blocks: vec![thinking, ThinkingBlock::RedactedThinking { data: "x".to_owned() }],
            pictures: vec!["data:image/png;base64,AA==".to_owned()],
            citations: vec![Citation { url: "https://a".to_owned(), title: "A".to_owned(), start: 0, end: 2 }],
            fingerprint: None,
        }
    }

    #[test]
    fn what_stands_beside_an_answer_is_said_to_openais_clients() {
        let lists = json!({
            "reasoning_content": "hm",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}],
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
            "annotations": [{"type": "url_citation", "url_citation": {
                "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}}],
        });
        let completion: Value = serde_json::from_slice(&whole(Door::Chat, &head(), &asked(), &beside())).unwrap();
        let (stream, _) = answer(Door::Chat, true, head(), (&asked(), &beside()));
        let stream = String::from_utf8_lossy(&stream).into_owned();
        let deltas = stream.lines().filter_map(|line| {
            let chunk: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
            Some(chunk["choices"][0]["delta"].clone())
        });
        let deltas: Vec<Value> = deltas.collect();
        for (name, expected) in lists.as_object().unwrap() {
            assert_eq!(&completion["choices"][0]["message"][name], expected);
            let mut said = deltas.iter().map(|delta| delta[name].clone()).filter(|said| !said.is_null());
            let Value::Array(items) = expected else {
                assert_eq!((said.next().as_ref(), said.next()), (Some(expected), None));
                continue;
            };
            for (index, (item, said)) in items.iter().zip(said.by_ref()).enumerate() {
                let mut item = item.clone();
                item["index"] = index.into();
                assert_eq!(said, json!([item]));
            }
            assert_eq!(said.next(), None, "{name}");
        }
    }

    #[test]
    fn thoughts_are_said_to_anthropics_clients_that_asked_for_them() {
        for shows_thoughts in [true, false] {
            let head = || Head { shows_thoughts, ..head() };
            let message: Value = serde_json::from_slice(&whole(Door::Messages, &head(), &asked(), &beside())).unwrap();
            let kinds: Vec<&str> =
                message["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
            let (stream, _) = answer(Door::Messages, true, head(), (&asked(), &beside()));
            let stream = String::from_utf8_lossy(&stream).into_owned();
            let begun = r#""content_block":{"type":"thinking","thinking":"","signature":""}"#;
            let delta = r#""delta":{"type":"thinking_delta","thinking":"hm"}"#;
            assert_eq!([begun, delta].map(|part| stream.contains(part)), [shows_thoughts; 2], "{stream}");
            if shows_thoughts {
                assert_eq!(kinds, ["thinking", "text", "tool_use"]);
                assert_eq!(message["content"][0], json!({"type": "thinking", "thinking": "hm", "signature": ""}));
            } else {
                assert_eq!(kinds, ["text", "tool_use"]);
            }
        }
    }
}
