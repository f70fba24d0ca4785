//! OpenAI's chat format from the server's side.

use bytes::Bytes;
use llmops_domain::chat::{ChatRequest, Message, Parameters, RequestOrigin, Role, ToolCall, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SimulatedAnswer;

/// Characters of a streamed piece: about a token.
const PIECE_CHARS: usize = 4;
const FINGERPRINT: &str = "fp_simulator";

/// What is read of a request. Unknown fields are ignored, as real servers do.
#[derive(Deserialize)]
pub(super) struct Incoming {
    model: String,
    messages: Vec<IncomingMessage>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    response_format: Option<Value>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    n: Option<u32>,
}

#[derive(Deserialize)]
struct IncomingMessage {
    role: Role,
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// How the answer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream { include_usage: bool },
}

impl Incoming {
    /// How many answers are asked for.
    pub(super) fn choices(&self) -> u32 {
        self.n.unwrap_or(1)
    }

    pub(super) fn into_request(self) -> (ChatRequest, Delivery) {
        let message = |message: IncomingMessage| Message {
            role: message.role,
            content: message.content,
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        let parameters = Parameters {
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            stop: match self.stop {
                Some(Stop::One(stop)) => vec![stop],
                Some(Stop::Many(stops)) => stops,
                None => Vec::new(),
            },
            seed: self.seed,
            extra_body: self.tool_choice.map(|choice| ("tool_choice".to_owned(), choice)).into_iter().collect(),
            ..Parameters::default()
        };
        let request = ChatRequest {
            model: self.model,
            messages: self.messages.into_iter().map(message).collect(),
            parameters,
            tools: self.tools.unwrap_or_default(),
            response_format: self.response_format,
            origin: RequestOrigin::default(),
        };
        let include_usage = self.stream_options.unwrap_or_default().include_usage;
        let delivery = if self.stream.unwrap_or(false) { Delivery::Stream { include_usage } } else { Delivery::Whole };
        (request, delivery)
    }
}

/// What identifies a response.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) id: &'a str,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a, C> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    choices: C,
    #[serde(skip_serializing_if = "UsageField::is_absent")]
    usage: UsageField,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: OutgoingMessage<'a>,
    logprobs: (),
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct OutgoingMessage<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "<[ToolCall]>::is_empty")]
    tool_calls: &'a [ToolCall],
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCallDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolCallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The `usage` of a response.
#[derive(Serialize, Clone, Copy)]
#[serde(untagged)]
enum UsageField {
    /// The field is left out.
    Absent,
    Null,
    Tokens {
        prompt_tokens: u64,
        completion_tokens: u64,
        total_tokens: u64,
    },
}

impl UsageField {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl From<Usage> for UsageField {
    fn from(usage: Usage) -> Self {
        Self::Tokens {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        }
    }
}

/// The content as the wire has it: null beside tool calls without text.
fn content(answer: &SimulatedAnswer) -> Option<&str> {
    (!answer.text.is_empty() || answer.tool_calls.is_empty()).then_some(answer.text.as_str())
}

/// What all answers to one request take: it is read once.
fn usage(answers: &[SimulatedAnswer]) -> UsageField {
    let prompt_tokens = answers.first().map_or(0, |answer| answer.usage.prompt_tokens);
    let completion_tokens = answers.iter().map(|answer| answer.usage.completion_tokens).sum();
    Usage::new(prompt_tokens, completion_tokens).into()
}

/// A complete response.
pub(super) fn completion(head: Head<'_>, answers: &[SimulatedAnswer]) -> Bytes {
    let choices: Vec<Choice<'_>> = (0..).zip(answers).map(|(index, answer)| choice(index, answer)).collect();
    to_json(&Envelope {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        system_fingerprint: FINGERPRINT,
        choices,
        usage: usage(answers),
    })
}

fn choice(index: u32, answer: &SimulatedAnswer) -> Choice<'_> {
    let message =
        OutgoingMessage { role: "assistant", content: content(answer), refusal: (), tool_calls: &answer.tool_calls };
    Choice { index, message, logprobs: (), finish_reason: answer.finish_reason }
}

/// A response as server-sent events: of each answer the role, the text in pieces, tool calls and the finish reason; then the
/// usage where it is asked for, and `[DONE]`.
pub(super) fn stream(head: Head<'_>, answers: &[SimulatedAnswer], include_usage: bool) -> Vec<Bytes> {
    let mut events = Vec::new();
    for (index, answer) in (0..).zip(answers) {
        stream_one(&mut events, head, index, answer, include_usage);
    }
    if include_usage {
        let none: [ChunkChoice<'_>; 0] = [];
        events.push(event(&chunk(head, none, usage(answers))));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn stream_one(events: &mut Vec<Bytes>, head: Head<'_>, index: u32, answer: &SimulatedAnswer, include_usage: bool) {
    // With usage asked for, every chunk has the field, and it is null in all but the last.
    let usage = if include_usage { UsageField::Null } else { UsageField::Absent };
    let mut push = |delta, finish_reason| {
        let choice = ChunkChoice { index, delta, logprobs: (), finish_reason };
        events.push(event(&chunk(head, [choice], usage)));
    };
    let first = Delta { role: Some("assistant"), content: content(answer).map(|_| ""), ..Delta::default() };
    push(first, None);
    for piece in pieces(&answer.text) {
        push(Delta { content: Some(piece), ..Delta::default() }, None);
    }
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let mut call_delta = |id, kind, name, arguments| {
            let delta = ToolCallDelta { index, id, kind, function: FunctionDelta { name, arguments } };
            push(Delta { tool_calls: Some([delta]), ..Delta::default() }, None);
        };
        call_delta(Some(call.id.as_str()), Some("function"), Some(call.function.name.as_str()), "");
        for piece in pieces(&call.function.arguments) {
            call_delta(None, None, None, piece);
        }
    }
    push(Delta::default(), Some(answer.finish_reason));
}

fn chunk<C>(head: Head<'_>, choices: C, usage: UsageField) -> Envelope<'_, C> {
    Envelope {
        id: head.id,
        object: "chat.completion.chunk",
        created: head.created,
        model: head.model,
        system_fingerprint: FINGERPRINT,
        choices,
        usage,
    }
}

/// An error in OpenAI's shape.
pub(super) fn error(message: &str, kind: &str) -> Bytes {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        error: Detail<'a>,
    }
    #[derive(Serialize)]
    struct Detail<'a> {
        message: &'a str,
        r#type: &'a str,
        param: (),
        code: (),
    }
    to_json(&ErrorBody { error: Detail { message, r#type: kind, param: (), code: () } })
}

/// The list of models.
pub(super) fn models(names: &[&str]) -> Bytes {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<Model<'a>>,
    }
    #[derive(Serialize)]
    struct Model<'a> {
        id: &'a str,
        object: &'static str,
        created: u64,
        owned_by: &'static str,
    }
    let data = names.iter().map(|id| Model { id, object: "model", created: 0, owned_by: "simulator" }).collect();
    to_json(&List { object: "list", data })
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(PIECE_CHARS).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn event(chunk: &impl Serialize) -> Bytes {
    let mut event = b"data: ".to_vec();
    write_json(&mut event, chunk);
    event.extend_from_slice(b"\n\n");
    event.into()
}

fn to_json(value: &impl Serialize) -> Bytes {
    let mut json = Vec::with_capacity(512);
    write_json(&mut json, value);
    json.into()
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    // These types have string keys and no foreign code: writing them to memory cannot fail.
    if let Err(error) = serde_json::to_writer(out, value) {
        tracing::error!(%error, "a simulated response could not be written");
    }
}
