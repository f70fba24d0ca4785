//! Google's Gemini API (`generateContent`).
//!
//! System messages are joined into `systemInstruction`; consecutive messages of one side become one. An answer that the
//! filter blocked has the finish reason `content_filter` and no text. Thinking counts among the completion's tokens.

use std::sync::Arc;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse, FunctionCall, ToolCall, Usage};
use llmops_domain::config::providers::RemoteConfig;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::beside::{Beside, Whole, citations_of_gemini};
use crate::http_client::{Endpoint, HttpClient};
use crate::kinds::Kind;
use crate::provider::{ChatProvider, ProviderError};
use crate::text::Text;
use crate::translate::{self, AsWritten, Format, Object, Part, Speaker};
use crate::{odd, openai, remote};

/// What stands between a call's id and the signature of the thoughts before it.
const SIGNATURE: &str = "__thought__";

/// A client of the Gemini API.
pub struct GeminiProvider {
    client: Arc<HttpClient>,
    base: String,
    endpoint: Endpoint,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The whole answer.
    Whole,
    /// The answer as it is made.
    Stream,
}

/// Where a model is asked, with the key among the headers.
pub(crate) fn endpoint(
    kind: &Kind,
    config: &RemoteConfig,
    model: &str,
    method: Method,
) -> Result<Endpoint, ProviderError> {
    let base = remote::base_url(kind, config)?;
    remote::endpoint(kind, config, &url(&base, model, method)?)
}

fn url(base: &str, model: &str, method: Method) -> Result<String, ProviderError> {
    let mut url = remote::parsed(base)?;
    let verb = match method {
        Method::Whole => "generateContent",
        Method::Stream => "streamGenerateContent",
    };
    if let Ok(mut path) = url.path_segments_mut() {
        // Tuned models are named `tunedModels/NAME`; all others live under `models`.
        let (folder, name) = model.split_once('/').unwrap_or(("models", model));
        path.pop_if_empty().extend([folder, &format!("{name}:{verb}")]);
    }
    if method == Method::Stream {
        url.query_pairs_mut().append_pair("alt", "sse");
    }
    Ok(url.into())
}

impl GeminiProvider {
    pub(crate) fn new(
        client: Arc<HttpClient>,
        kind: &'static Kind,
        config: &RemoteConfig,
    ) -> Result<Self, ProviderError> {
        let base = remote::base_url(kind, config)?;
        let endpoint = remote::endpoint(kind, config, &base)?;
        Ok(Self { client, base, endpoint })
    }
}

#[async_trait]
impl ChatProvider for GeminiProvider {
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError> {
        let endpoint = self.endpoint.at(&url(&self.base, &request.model, Method::Whole)?)?;
        let body = body(request, &AsWritten::default())?;
        let reply = self.client.post_json(&endpoint, body).await?;
        Ok(read(&endpoint, &reply.body, reply.latency_ms)?.response)
    }
}

/// Reads a whole answer.
pub(crate) fn read(endpoint: &Endpoint, body: &[u8], latency_ms: f64) -> Result<Whole, ProviderError> {
    response(endpoint, odd::answer(endpoint, body)?, body, latency_ms)
}

/// The fields that parameters, tools and response format become, by name.
pub(crate) fn settings(request: &ChatRequest) -> Map<String, Value> {
    let mut fields = fields(request, &AsWritten::default());
    fields.remove("systemInstruction");
    fields.into_map()
}

/// A request in the API's format.
pub(crate) fn body(request: &ChatRequest, as_written: &AsWritten<'_>) -> Result<Vec<u8>, ProviderError> {
    let mut contents = Vec::new();
    for turn in translate::turns(request)? {
        let role = match turn.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "model",
        };
        contents.push(OutgoingTurn { role, parts: turn.parts.into_iter().filter_map(part).collect() });
    }
    translate::written(fields(request, as_written), "contents", &contents)
}

/// Everything but the messages.
fn fields(request: &ChatRequest, as_written: &AsWritten<'_>) -> Object {
    let parameters = &request.parameters;
    let mut config = Object::default();
    config.put_some("temperature", parameters.temperature);
    config.put_some("topP", parameters.top_p);
    config.put_some("maxOutputTokens", parameters.max_tokens);
    config.put_some("stopSequences", (!parameters.stop.is_empty()).then_some(&parameters.stop));
    config.put_some("seed", parameters.seed);
    config.put_some("presencePenalty", parameters.presence_penalty);
    config.put_some("frequencyPenalty", parameters.frequency_penalty);
    config.put_some("topK", parameters.extra_body.get("top_k"));
    let budget = translate::thinking_budget(request);
    config.put_some("thinkingConfig", budget.map(thinking_config));
    config.put_some("responseModalities", parameters.extra_body.get("modalities").and_then(modalities));
    match translate::format(request, as_written) {
        Format::Schema(schema) => {
            config.put("responseMimeType", "application/json");
            config.put("responseJsonSchema", &schema);
        }
        Format::Json => config.put("responseMimeType", "application/json"),
        Format::Text => {}
    }
    let mut body = Object::default();
    body.put_some("systemInstruction", translate::system(request).map(|text| json!({"parts": [{"text": text}]})));
    let mut declarations = Object::default();
    let functions: Vec<Object> = translate::functions(request, as_written).map(declaration).collect();
    declarations.put_some("functionDeclarations", (!functions.is_empty()).then_some(functions));
    body.put_some("tools", (!declarations.is_empty()).then_some([declarations]));
    if !config.is_empty() {
        body.put("generationConfig", &config);
    }
    body.overlay(&parameters.extra_body);
    if let Some(choice) = translate::choice(request) {
        body.remove("tool_choice");
        body.put("toolConfig", &json!({"functionCallingConfig": calling(&choice)}));
    }
    // The API knows no end users, and calls functions in parallel as it likes, also where Google's own door for OpenAI's clients
    // is told otherwise. The others have been said.
    for name in ["parallel_tool_calls", "user", "top_k", "modalities"] {
        body.remove(name);
    }
    if budget.is_some() {
        body.remove("reasoning_effort");
    }
    body
}

/// How long the model thinks, and that it tells what where it does.
fn thinking_config(budget: u32) -> Value {
    if budget == 0 { json!({"thinkingBudget": 0}) } else { json!({"thinkingBudget": budget, "includeThoughts": true}) }
}

/// What the answer is made of, in the API's words: where it is text alone there is nothing to say.
fn modalities(all: &Value) -> Option<Vec<String>> {
    let all: Vec<String> = all.as_array()?.iter().filter_map(|one| Some(one.as_str()?.to_uppercase())).collect();
    all.iter().any(|one| one != "TEXT").then_some(all)
}

/// Which function must be called, in the API's words.
fn calling(choice: &translate::Choice<'_>) -> Value {
    match choice {
        translate::Choice::Auto => json!({"mode": "AUTO"}),
        translate::Choice::None => json!({"mode": "NONE"}),
        translate::Choice::Required => json!({"mode": "ANY"}),
        translate::Choice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

fn declaration(function: translate::Function<'_>) -> Object {
    let mut declaration = Object::default();
    declaration.put("name", function.name);
    declaration.put_some("description", function.description);
    declaration.put_some("parametersJsonSchema", function.parameters);
    declaration
}

#[derive(Serialize)]
struct OutgoingTurn<'a> {
    role: &'static str,
    parts: Vec<OutgoingPart<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutgoingPart<'a> {
    Plain(Value),
    #[serde(rename_all = "camelCase")]
    Call {
        function_call: OutgoingCall<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        thought_signature: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    Result {
        function_response: OutgoingResult<'a>,
    },
}

#[derive(Serialize)]
struct OutgoingCall<'a> {
    name: &'a str,
    args: Box<RawValue>,
}

#[derive(Serialize)]
struct OutgoingResult<'a> {
    name: &'a str,
    response: Response,
}

/// The API wants an object; what is none is put into one.
#[derive(Serialize)]
#[serde(untagged)]
enum Response {
    Object(Box<RawValue>),
    Text { result: String },
}

/// A part; nothing where the API keeps what it likes in its cache, and for thoughts of others.
fn part(part: Part<'_>) -> Option<OutgoingPart<'_>> {
    Some(OutgoingPart::Plain(match part {
        Part::Text(text) => json!({"text": text}),
        Part::ImageUrl(url) => json!({"fileData": {"fileUri": url}}),
        Part::ImageData { media_type, data } | Part::File { media_type, data, .. } => {
            json!({"inlineData": {"mimeType": media_type, "data": data}})
        }
        Part::Audio { format, data } => json!({"inlineData": {"mimeType": format!("audio/{format}"), "data": data}}),
        Part::ToolCall { id, name, arguments } => {
            let function_call = OutgoingCall { name, args: arguments };
            return Some(OutgoingPart::Call { function_call, thought_signature: signature(id) });
        }
        Part::ToolResult { name, text, .. } => {
            let response = match translate::raw_object(&text) {
                Some(object) => Response::Object(object),
                None => Response::Text { result: text.into_owned() },
            };
            return Some(OutgoingPart::Result { function_response: OutgoingResult { name, response } });
        }
        Part::Thinking(_) | Part::CacheMark(_) => return None,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    #[serde(default)]
    pub(crate) candidates: Vec<Candidate>,
    #[serde(default)]
    pub(crate) prompt_feedback: Option<PromptFeedback>,
    #[serde(default)]
    pub(crate) usage_metadata: Option<WireUsage>,
    #[serde(default)]
    pub(crate) model_version: Option<String>,
    /// In the middle of a stream, or instead of an answer.
    #[serde(default)]
    pub(crate) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptFeedback {
    #[serde(default)]
    pub(crate) block_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    #[serde(default)]
    pub(crate) content: Option<Content>,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
    /// What the text is grounded in.
    #[serde(default)]
    pub(crate) grounding_metadata: Option<Value>,
    /// What it was taken from.
    #[serde(default)]
    pub(crate) citation_metadata: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Content {
    #[serde(default)]
    pub(crate) parts: Vec<WirePart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WirePart {
    #[serde(default)]
    pub(crate) text: Option<Text>,
    #[serde(default)]
    pub(crate) thought: bool,
    #[serde(default)]
    pub(crate) thought_signature: Option<String>,
    #[serde(default)]
    pub(crate) function_call: Option<WireCall>,
    #[serde(default)]
    inline_data: Option<InlineData>,
}

impl WirePart {
    /// The address of a picture that is in the part itself.
    pub(crate) fn picture(&self) -> Option<String> {
        let InlineData { mime_type, data } = self.inline_data.as_ref()?;
        mime_type.starts_with("image/").then(|| format!("data:{mime_type};base64,{data}"))
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct InlineData {
    mime_type: String,
    data: String,
}

#[derive(Deserialize)]
pub(crate) struct WireCall {
    #[serde(default)]
    id: Option<String>,
    name: String,
    #[serde(default)]
    args: Option<Box<RawValue>>,
}

impl WireCall {
    /// The call in OpenAI's shape. Newer models want the signature of their thoughts back with the call; callers hand
    /// back nothing but the id for certain, so the signature is a part of that.
    pub(crate) fn read(self, signature: Option<&str>) -> ToolCall {
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(translate::new_call_id);
        let arguments = self.args.map_or_else(|| "{}".to_owned(), |args| translate::compact(&args));
        ToolCall {
            id: signature.map_or_else(|| id.clone(), |signature| signed(&id, signature)),
            kind: "function".to_owned(),
            function: FunctionCall { name: self.name, arguments },
        }
    }
}

/// An id with a signature in base 64, in letters that every provider takes in an id.
fn signed(id: &str, signature: &str) -> String {
    let signature = signature.trim_end_matches('=').replace('+', "-").replace('/', "_");
    format!("{id}{SIGNATURE}{signature}")
}

/// The signature in a call's id, as the API wrote it.
fn signature(id: &str) -> Option<String> {
    let (_, signature) = id.split_once(SIGNATURE)?;
    let mut signature = signature.replace('-', "+").replace('_', "/");
    while !signature.len().is_multiple_of(4) {
        signature.push('=');
    }
    Some(signature)
}

/// Every count may be null.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct WireUsage {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
    /// Part of the prompt's.
    #[serde(rename = "cachedContentTokenCount")]
    cached: Option<u64>,
}

impl WireUsage {
    /// Tokens read and written.
    pub(crate) fn total(&self) -> Usage {
        let thoughts = self.thoughts.unwrap_or(0);
        let written = self.candidates.unwrap_or(0).saturating_add(thoughts);
        let (cached_tokens, reasoning_tokens) = (self.cached.unwrap_or(0), thoughts);
        Usage { cached_tokens, reasoning_tokens, ..Usage::new(self.prompt.unwrap_or(0), written) }
    }
}

fn response(endpoint: &Endpoint, mut body: Body, raw: &[u8], latency_ms: f64) -> Result<Whole, ProviderError> {
    let blocked = body.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
    let candidate = if body.candidates.is_empty() { None } else { Some(body.candidates.swap_remove(0)) };
    if candidate.is_none() && !blocked {
        return Err(match body.error.filter(|error| !error.is_null()) {
            Some(error) => openai::embedded_error(endpoint, &error, raw),
            None => endpoint.format_error("there is no `candidates[0]`", raw),
        });
    }
    let Candidate { content, finish_reason: reason, grounding_metadata, citation_metadata } =
        candidate.unwrap_or_default();
    let mut text = String::new();
    let mut tool_calls: Vec<ToolCall> = Vec::new();
    let mut beside = Beside::default();
    for part in content.map(|content| content.parts).unwrap_or_default() {
        beside.pictures.extend(part.picture().filter(|_| !part.thought));
        if let Some(piece) = part.text {
            let told = if part.thought { &mut beside.thoughts } else { &mut text };
            told.push_str(&piece.into_string());
        }
        if let Some(call) = part.function_call {
            tool_calls.push(call.read(part.thought_signature.as_deref()));
        }
    }
    beside.citations = citations_of_gemini(grounding_metadata.as_ref(), citation_metadata.as_ref(), &text);
    let response = ChatResponse {
        finish_reason: if blocked {
            Some("content_filter".to_owned())
        } else {
            reason.map(|reason| finish_reason(&reason, !tool_calls.is_empty()))
        },
        text,
        tool_calls,
        model: body.model_version.unwrap_or_default(),
        usage: body.usage_metadata.unwrap_or_default().total(),
        latency_ms,
    };
    Ok(Whole { response, beside })
}

/// OpenAI's name for a finish reason; an unknown one stays, in lower case.
pub(crate) fn finish_reason(reason: &str, has_calls: bool) -> String {
    match reason {
        "STOP" if has_calls => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            "content_filter"
        }
        other => return other.to_lowercase(),
    }
    .to_owned()
}
