//! Anthropic's Messages API.
//!
//! System messages are joined into `system`; consecutive messages of one side become one. A JSON schema is asked for by
//! a tool that must be called, whose input is the answer; plain JSON by a sentence in the system text, as is a schema where the
//! model thinks: it cannot be made to call a tool then. `seed` and the penalties have no counterpart and are left out, as is
//! `top_p: 1`, which newer models refuse beside a temperature.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;
use llmops_domain::chat::{ChatRequest, ChatResponse, FunctionCall, Message, Role, ToolCall};
use llmops_domain::config::providers::RemoteConfig;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::beside::{Beside, Citation, ThinkingBlock, Whole};
use crate::http_client::{Endpoint, HttpClient};
use crate::kinds::Kind;
use crate::provider::{ChatProvider, ProviderError};
use crate::text::Text;
use crate::translate::{self, AsWritten, Format, Object, Part, Speaker, Turn};
use crate::usage::WireUsage;
use crate::{odd, openai, reasoning, remote};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const API_VERSION: &str = "2023-06-01";
/// The API insists on a limit.
const DEFAULT_MAX_TOKENS: u32 = 4096;
/// The tool that stands for a JSON schema.
pub(crate) const ANSWER_TOOL: &str = "give_answer";
const JSON_INSTRUCTION: &str = "Answer with one JSON object and nothing else.";

/// A client of the Messages API.
pub struct AnthropicProvider {
    client: Arc<HttpClient>,
    endpoint: Endpoint,
}

impl AnthropicProvider {
    pub(crate) fn new(
        client: Arc<HttpClient>,
        kind: &'static Kind,
        config: &RemoteConfig,
    ) -> Result<Self, ProviderError> {
        Ok(Self { client, endpoint: endpoint(kind, config)? })
    }
}

/// Where messages go, with key and version among the headers.
pub(crate) fn endpoint(kind: &Kind, config: &RemoteConfig) -> Result<Endpoint, ProviderError> {
    let url = format!("{}/messages", remote::base_url(kind, config)?);
    let endpoint = remote::endpoint(kind, config, &url)?;
    if endpoint.headers.contains_key(VERSION) {
        return Ok(endpoint);
    }
    Ok(Endpoint { default_header: Some(VERSION), ..endpoint.header(VERSION.as_str(), API_VERSION)? })
}

/// The fields that parameters, tools and response format become, by name, for requests that others write in this format: they
/// would not know the tool that stands for a schema, so `system` says how to answer.
pub(crate) fn settings(request: &ChatRequest) -> Map<String, Value> {
    let mut fields = fields(request, &AsWritten::default(), false);
    fields.remove("model");
    fields.into_map()
}

#[async_trait]
impl ChatProvider for AnthropicProvider {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let body = body(request, &AsWritten::default(), false)?;
        let reply = self.client.post_json(&self.endpoint, body).await?;
        Ok(read(&self.endpoint, &reply.body, reply.latency_ms)?.response)
    }
}

/// Reads a whole answer.
pub(crate) fn read(endpoint: &Endpoint, body: &[u8], latency_ms: f64) -> Result<Whole, ProviderError> {
    let answer: Body = odd::answer(endpoint, body)?;
    match answer.error {
        Some(error) if !error.is_null() => Err(openai::embedded_error(endpoint, &error, body)),
        _ if answer.content.is_none() => Err(endpoint.format_error("there is no `content`", body)),
        _ => Ok(response(answer, latency_ms)),
    }
}

/// A request in the API's format.
pub(crate) fn body(request: &ChatRequest, as_written: &AsWritten<'_>, stream: bool) -> Result<Vec<u8>, ProviderError> {
    let mut fields = fields(request, as_written, true);
    if stream {
        fields.put("stream", &true);
    }
    let messages = translate::turns(request)?.into_iter().map(message).collect::<Result<Vec<_>, _>>()?;
    translate::written(fields, "messages", &messages)
}

/// Everything but the messages. `with_tool`: a tool may stand for a schema.
fn fields(request: &ChatRequest, as_written: &AsWritten<'_>, with_tool: bool) -> Object {
    let parameters = &request.parameters;
    let mut body = Object::default();
    body.put("model", &request.model);
    let budget = thinking_budget(request);
    body.put("max_tokens", &parameters.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS + budget.unwrap_or(0)));
    let thinks = budget.is_some() || thinks(parameters.extra_body.get("thinking"));
    let mut system = system(request);
    let mut tools: Vec<Object> = translate::functions(request, as_written).map(tool).collect();
    let mut forced = None;
    match translate::format(request, as_written) {
        Format::Schema(schema) if with_tool && tools.is_empty() && !thinks => {
            tools.push(tool(translate::Function {
                name: ANSWER_TOOL,
                description: Some("Gives the answer."),
                parameters: Some(schema),
                cache_mark: None,
            }));
            forced = Some(translate::Choice::Function(ANSWER_TOOL));
        }
        Format::Schema(schema) => {
            let schema = translate::compact(&schema);
            append(&mut system, &format!("{JSON_INSTRUCTION} It must conform to this JSON schema: {schema}"));
        }
        Format::Json => append(&mut system, JSON_INSTRUCTION),
        Format::Text => {}
    }
    body.put_some("system", system);
    // Who thinks chooses at random as it likes.
    body.put_some("temperature", parameters.temperature.filter(|_| !thinks));
    body.put_some("top_p", parameters.top_p.filter(|top_p| *top_p < 1.0));
    body.put_some("stop_sequences", (!parameters.stop.is_empty()).then_some(&parameters.stop));
    let has_tools = !tools.is_empty();
    body.put_some("tools", has_tools.then_some(tools));
    body.put_some("tool_choice", forced.map(|choice| tool_choice(&choice)));
    if let Some(Value::String(user)) = parameters.extra_body.get("user") {
        body.put("metadata", &json!({"user_id": user}));
    }
    body.put_some("thinking", budget.map(|budget| json!({"type": "enabled", "budget_tokens": budget})));
    body.overlay(&parameters.extra_body);
    body.remove("user");
    body.remove("parallel_tool_calls");
    if translate::thinking_budget(request).is_some() {
        body.remove("reasoning_effort");
    }
    match translate::choice(request) {
        // Without tools there is nothing to choose, and the API refuses to be told so.
        Some(translate::Choice::Auto | translate::Choice::None) if !has_tools => {
            body.remove("tool_choice");
        }
        // A choice of the caller is one among their own tools, and leaves the answer's tool alone.
        Some(theirs) => body.put("tool_choice", &tool_choice(&forced.unwrap_or(theirs))),
        None => {}
    }
    if translate::one_call_at_most(request) && has_tools {
        let mut choice = body.remove("tool_choice").unwrap_or_else(|| tool_choice(&translate::Choice::Auto));
        if choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = true.into();
        }
        body.put("tool_choice", &choice);
    }
    body
}

/// Whether the API's `thinking` turns it on.
fn thinks(thinking: Option<&Value>) -> bool {
    thinking.is_some_and(|thinking| thinking["type"] == "enabled" || thinking["type"] == "adaptive")
}

/// The tokens that the model may think for, where the request has words for that and the API lets it: not where a tool must be
/// called, where the answer may have no more tokens than the shortest thoughts, or among calls of tools whose thoughts the caller
/// does not hand back. A half of the answer's tokens at least is left for the answer.
fn thinking_budget(request: &ChatRequest) -> Option<u32> {
    let budget = translate::thinking_budget(request).filter(|budget| *budget > 0)?;
    let is_forced =
        matches!(translate::choice(request), Some(translate::Choice::Required | translate::Choice::Function(_)));
    let round = request.messages.rsplit(|message| message.role == Role::User).next().unwrap_or_default();
    let first = round.iter().find(|message| message.role == Role::Assistant);
    let is_among_calls = first.is_some_and(|message| !begins_with_thoughts(message));
    let most =
        request.parameters.max_tokens.map_or(budget, |most| (most / 2).max(reasoning::LOW.min(most.saturating_sub(1))));
    let budget = budget.min(most);
    (!is_forced && !is_among_calls && budget >= reasoning::LOW).then_some(budget)
}

fn begins_with_thoughts(message: &Message) -> bool {
    let kind = message.content.get(0).and_then(|part| part["type"].as_str());
    matches!(kind, Some("thinking" | "redacted_thinking"))
}

/// The system texts: in blocks where one is marked for the cache.
fn system(request: &ChatRequest) -> Option<Value> {
    let messages = || request.messages.iter().filter(|message| translate::is_system(message));
    let parts = || messages().filter_map(|message| message.content.as_array()).flatten();
    if !parts().any(|part| translate::cache_mark(part).is_some()) {
        return translate::system(request).map(Value::String);
    }
    let block = |text: &str, mark: Option<&Value>| {
        let mut block = json!({"type": "text", "text": text});
        if let Some(mark) = mark {
            block["cache_control"] = mark.clone();
        }
        (!text.is_empty()).then_some(block)
    };
    let blocks = messages().flat_map(|message| match &message.content {
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| block(part["text"].as_str().unwrap_or_default(), translate::cache_mark(part)))
            .collect(),
        _ => block(&message.as_text(), None).into_iter().collect::<Vec<_>>(),
    });
    Some(blocks.collect())
}

/// Which tool must be called, in the API's words.
fn tool_choice(choice: &translate::Choice<'_>) -> Value {
    match choice {
        translate::Choice::Auto => json!({"type": "auto"}),
        translate::Choice::None => json!({"type": "none"}),
        translate::Choice::Required => json!({"type": "any"}),
        translate::Choice::Function(name) => json!({"type": "tool", "name": name}),
    }
}

fn append(system: &mut Option<Value>, sentence: &str) {
    *system = Some(match system.take() {
        Some(Value::Array(mut blocks)) => {
            blocks.push(json!({"type": "text", "text": sentence}));
            blocks.into()
        }
        Some(Value::String(text)) => format!("{text}\n\n{sentence}").into(),
        _ => sentence.into(),
    });
}

fn tool(function: translate::Function<'_>) -> Object {
    let mut tool = Object::default();
    tool.put("name", function.name);
    tool.put_some("description", function.description);
    tool.put("input_schema", &function.parameters.unwrap_or_else(|| translate::raw(&json!({"type": "object"}))));
    tool.put_some("cache_control", function.cache_mark);
    tool
}

#[derive(Serialize)]
struct OutgoingMessage<'a> {
    role: &'static str,
    content: OutgoingContent<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutgoingContent<'a> {
    Text(Value),
    Blocks(Vec<OutgoingBlock<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutgoingBlock<'a> {
    Plain(Value),
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        id: &'a str,
        name: &'a str,
        input: Box<RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Value>,
    },
}

fn message(turn: Turn<'_>) -> Result<OutgoingMessage<'_>, ProviderError> {
    let role = match turn.speaker {
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    // The plain form for the plain case keeps requests readable.
    if let [Part::Text(text)] = turn.parts.as_slice() {
        return Ok(OutgoingMessage { role, content: OutgoingContent::Text(text.as_ref().into()) });
    }
    let mut blocks = Vec::with_capacity(turn.parts.len());
    for part in turn.parts {
        add_block(part, &mut blocks)?;
    }
    Ok(OutgoingMessage { role, content: OutgoingContent::Blocks(blocks) })
}

fn add_block<'a>(part: Part<'a>, blocks: &mut Vec<OutgoingBlock<'a>>) -> Result<(), ProviderError> {
    let block = match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::ImageUrl(url) => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Part::ImageData { media_type, data } => {
            json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}})
        }
        Part::File { media_type: media_type @ "application/pdf", data, name } => {
            let source = json!({"type": "base64", "media_type": media_type, "data": data});
            let mut document = json!({"type": "document", "source": source});
            if let Some(name) = name {
                document["title"] = name.into();
            }
            document
        }
        Part::File { media_type, .. } => {
            return Err(translate::unsaid(format!(
                "`messages`: a file of the type `{media_type}` cannot be said to Anthropic, which takes application/pdf"
            )));
        }
        Part::Audio { .. } => {
            return Err(translate::unsaid("`messages`: Anthropic takes no `input_audio`: send its text"));
        }
        Part::ToolCall { id, name, arguments } => {
            blocks.push(OutgoingBlock::Call { kind: "tool_use", id, name, input: arguments, cache_control: None });
            return Ok(());
        }
        Part::ToolResult { id, text, .. } => json!({"type": "tool_result", "tool_use_id": id, "content": text}),
        Part::Thinking(block) => block.clone(),
        Part::CacheMark(mark) => {
            match blocks.last_mut() {
                Some(OutgoingBlock::Plain(block)) => block["cache_control"] = mark.clone(),
                Some(OutgoingBlock::Call { cache_control, .. }) => *cache_control = Some(mark.clone()),
                None => {}
            }
            return Ok(());
        }
    };
    blocks.push(OutgoingBlock::Plain(block));
    Ok(())
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    content: Option<Vec<Block>>,
    /// Some servers report errors inside a 200.
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// A block of any kind: thinking and whatever will be added, too.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Text,
    id: String,
    name: String,
    input: Option<Box<RawValue>>,
    thinking: Text,
    signature: String,
    data: String,
    citations: Option<Value>,
}

fn response(body: Body, latency_ms: f64) -> Whole {
    let mut text = String::new();
    let mut tool_calls = Vec::new();
    let mut structured = false;
    let mut beside = Beside::default();
    for block in body.content.into_iter().flatten() {
        let input = || block.input.as_deref().map_or_else(|| "{}".to_owned(), translate::compact);
        match block.kind.as_str() {
            // Words beside the answer would spoil the JSON.
            "text" if structured => {}
            "text" => {
                let start = text.chars().count();
                text.push_str(&block.text.into_string());
                let place = (start, text.chars().count());
                let cited = block.citations.as_ref().and_then(Value::as_array).into_iter().flatten();
                beside.citations.extend(cited.filter_map(|citation| Citation::of_anthropic(citation, place)));
            }
            "thinking" => {
                let thinking = block.thinking.into_string();
                beside.thoughts.push_str(&thinking);
                beside.blocks.push(ThinkingBlock::Thinking { thinking, signature: block.signature });
            }
            "redacted_thinking" => beside.blocks.push(ThinkingBlock::RedactedThinking { data: block.data }),
            "tool_use" if block.name == ANSWER_TOOL => {
                structured = true;
                text = input();
                beside.citations.clear();
            }
            "tool_use" => {
                let function = FunctionCall { arguments: input(), name: block.name };
                tool_calls.push(ToolCall { id: block.id, kind: "function".to_owned(), function });
            }
            _ => {}
        }
    }
    beside.blocks.retain(ThinkingBlock::is_signed);
    let response = ChatResponse {
        text,
        tool_calls,
        finish_reason: body.stop_reason.map(|reason| finish_reason(reason, structured)),
        model: body.model.unwrap_or_default(),
        usage: body.usage.and_then(|usage| usage.after(None)).unwrap_or_default(),
        latency_ms,
    };
    Whole { response, beside }
}

/// OpenAI's name for a stop reason; an unknown one stays as it is.
pub(crate) fn finish_reason(reason: String, structured: bool) -> String {
    match reason.as_str() {
        "end_turn" | "stop_sequence" | "pause_turn" => "stop".to_owned(),
        "tool_use" if structured => "stop".to_owned(),
        "tool_use" => "tool_calls".to_owned(),
        "max_tokens" | "model_context_window_exceeded" => "length".to_owned(),
        "refusal" => "content_filter".to_owned(),
        _ => reason,
    }
}
