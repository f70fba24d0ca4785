//! The doors of the gateway.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use llmops_domain::chat::ChatRequest;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallAttempt, CallOutcome, Door};
use llmops_providers::upstream::{Dialect, Purpose};
use llmops_providers::{ProviderError, Target};
use serde_json::json;
use tokio::time::Instant;

use crate::body::GatewayBody;
use crate::call::{self, Opened, Patience, Place};
use crate::error::GatewayError;
use crate::local::{self, Head};
use crate::recorder::{CallWatch, End, Recorder};
use crate::reply::{Answer, json_answer, model_object, refuse, typed, with_header};
use crate::request::{Extension, Fields};
use crate::rewrite::{self, Conversation};
use crate::snapshot::{Candidate, Route, Snapshot};

/// Largest request.
pub const MAX_REQUEST: usize = 32 << 20;
/// Patience with a model that is named directly, which has no settings.
const DIRECT_PATIENCE: Patience = Patience { retries: 1, first_byte: Duration::from_mins(1) };
/// Longest that an answer of such a model may take.
const DIRECT_TOTAL: Duration = Duration::from_mins(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-llmops-request-id");
const MANIFEST: HeaderName = HeaderName::from_static("x-llmops-manifest");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-llmops-deployment");
const SAFE_MODE: HeaderName = HeaderName::from_static("x-llmops-safe-mode");

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The project whose deployments may be called.
    pub project: ProjectId,
    /// The id of the key.
    pub key: Option<String>,
    /// Whether models may be named directly, past the deployments.
    pub may_pass_through: bool,
}

/// Decides who may call. It is asked on the hot path: it neither waits nor asks a store.
pub trait Gatekeeper: Send + Sync {
    /// The caller that a secret belongs to; nothing where it is not valid, or missing and needed.
    fn admit(&self, secret: Option<&str>) -> Option<Caller>;
}

/// The gateway. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    snapshot: Arc<ArcSwap<Snapshot>>,
    gatekeeper: Arc<dyn Gatekeeper>,
    recorder: Recorder,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

/// A request that was read.
struct Asked<'a> {
    door: Door,
    fields: Fields<'a>,
    headers: &'a HeaderMap,
    model: String,
    said: Extension,
    stream: bool,
}

impl Gateway {
    /// A gateway over a snapshot that may be swapped.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, gatekeeper: Arc<dyn Gatekeeper>, recorder: Recorder) -> Self {
        Self { snapshot, gatekeeper, recorder }
    }

    /// Answers a request at one of the doors.
    pub async fn handle<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let door = match path {
            "/v1/embeddings" => Door::Embeddings,
            "/v1/messages" => Door::Messages,
            _ => Door::Chat,
        };
        let Some(caller) = self.gatekeeper.admit(secret(&parts.headers)) else {
            return GatewayError::unauthenticated().into_response(door);
        };
        match (&parts.method, path) {
            (&Method::GET, "/v1/models") => return self.models(&caller),
            (&Method::POST, "/v1/chat/completions" | "/v1/embeddings" | "/v1/messages") => {}
            (&Method::GET, _) if path.strip_prefix("/v1/models/").is_some() => {
                return self.model(&caller, path.strip_prefix("/v1/models/").unwrap_or_default());
            }
            _ => return GatewayError::no_route(path).into_response(door),
        }
        let mut watch = CallWatch::begin(&self.recorder, caller.project.clone(), caller.key.clone(), door);
        let id = watch.id().to_owned();
        let answer = match read_body(body).await {
            Ok(body) => {
                watch.with(|call| {
                    (call.asked, call.request) = (body.clone(), body.clone());
                    call.trace_id = crate::request::trace_id(&parts.headers);
                });
                match Asked::read(door, &body, &parts.headers) {
                    Ok(asked) => self.answer(&caller, asked, watch).await,
                    Err(error) => refuse(error, watch, door),
                }
            }
            Err(error) => refuse(error, watch, door),
        };
        with_header(answer, REQUEST_ID, &id)
    }

    async fn answer(&self, caller: &Caller, asked: Asked<'_>, mut watch: CallWatch) -> Answer {
        let door = asked.door;
        watch.with(|call| {
            call.said = Extension { variables: std::collections::BTreeMap::new(), ..asked.said.clone() };
            call.stream = asked.stream;
            call.model.clone_from(&asked.model);
        });
        // One snapshot answers one request, whatever is deployed meanwhile.
        let snapshot = self.snapshot.load_full();
        let name = match &asked.said.environment {
            Some(environment) if !asked.model.contains('@') => format!("{}@{environment}", asked.model),
            _ => asked.model.clone(),
        };
        match snapshot.route(&caller.project, &name) {
            Some(Ok(route)) => self.deployed(&asked, route.clone(), watch).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "a deployment was called that cannot answer");
                refuse(GatewayError::misconfigured(format!("the deployment `{name}` cannot answer now")), watch, door)
            }
            None => match direct_model(&snapshot, caller, &asked) {
                Ok(candidate) => self.direct(&snapshot, &asked, candidate, watch).await,
                Err(error) => refuse(error, watch, door),
            },
        }
    }

    async fn deployed(&self, asked: &Asked<'_>, route: Arc<Route>, mut watch: CallWatch) -> Answer {
        watch.with(|call| call.route = Some(route.clone()));
        let answer = if let Some(text) = &route.fixed_answer {
            fixed(asked, text, watch)
        } else {
            match self.ask_candidates(asked, &route, watch).await {
                Ok(answer) => answer,
                Err((error, watch)) => refuse(error, watch, asked.door),
            }
        };
        let answer = with_header(answer, MANIFEST, route.manifest_id.as_str());
        let answer = with_header(answer, DEPLOYMENT, &route.deployment.name);
        if route.deployment.safe_mode { with_header(answer, SAFE_MODE, "on") } else { answer }
    }

    async fn ask_candidates(
        &self,
        asked: &Asked<'_>,
        route: &Route,
        mut watch: CallWatch,
    ) -> Result<Answer, (GatewayError, CallWatch)> {
        let settings = &route.deployment.settings;
        let patience = Patience { retries: settings.retries, first_byte: settings.timeout_first_byte.0 };
        let deadline = Instant::now() + settings.timeout_total.0;
        let headers = call::outgoing(asked.headers);
        let last = route.candidates.len() - 1;
        for (i, candidate) in route.candidates.iter().enumerate() {
            watch.with(|call| call.target = Some(candidate.target.clone()));
            let forward = candidate.forward.as_ref().filter(|forward| forward.dialect() == dialect(asked.door));
            let Some(forward) = forward else {
                match self.translated(asked, route, candidate, &mut watch).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if i == last => return Err((error, watch)),
                    Err(_) => continue,
                }
            };
            let body = match deployed_body(asked, route, forward, candidate.target.model()) {
                Ok(body) => body,
                Err(error) => return Err((error, watch)),
            };
            watch.with(|call| call.request = body.clone());
            let (upstream, endpoint) = (&forward.upstream, &forward.endpoint);
            let place = Place { model: &candidate.name, upstream, endpoint, body };
            match call::ask(&place, &headers, patience, i == last, &mut watch).await {
                Ok(Some(opened)) => return Ok(hand_on(opened, &place, deadline, watch).await),
                Ok(None) => {}
                Err(error) => return Err((error, watch)),
            }
        }
        Err((GatewayError::unavailable(false), watch))
    }

    /// An answer of a provider that is translated to, or that is in process.
    async fn translated(
        &self,
        asked: &Asked<'_>,
        route: &Route,
        candidate: &Candidate,
        watch: &mut CallWatch,
    ) -> Result<Answer, GatewayError> {
        let conversation = Conversation::render(route, &asked.fields, &asked.said, false)?;
        let bare = route.target.bare_request();
        let theirs = local::parameters(&asked.fields)?;
        let allowed = |name: &str| route.deployment.settings.allow_override.iter().any(|a| a == name);
        let mut request = ChatRequest { messages: conversation.to_messages()?, ..bare };
        // What the manifest leaves open is the caller's; what it decides is too where the deployment allows it.
        let ours = std::mem::take(&mut request.parameters);
        let mut parameters = theirs.clone().overlaid(&ours);
        if allowed("temperature") {
            parameters.temperature = theirs.temperature.or(parameters.temperature);
        }
        if allowed("top_p") {
            parameters.top_p = theirs.top_p.or(parameters.top_p);
        }
        if allowed("max_tokens") {
            parameters.max_tokens = theirs.max_tokens.or(parameters.max_tokens);
        }
        request.parameters = parameters;
        if request.tools.is_empty() || allowed("tools") {
            request.tools = asked.fields.read("tools")?.unwrap_or(request.tools);
        }
        if request.response_format.is_none() || allowed("response_format") {
            request.response_format = asked.fields.read("response_format")?.or(request.response_format);
        }
        asked.ask_target(&candidate.target, &candidate.name, request, watch).await
    }

    async fn direct(
        &self,
        snapshot: &Snapshot,
        asked: &Asked<'_>,
        candidate: Candidate,
        mut watch: CallWatch,
    ) -> Answer {
        watch.with(|call| call.target = Some(candidate.target.clone()));
        let model = candidate.target.model();
        let place = match asked.door {
            Door::Embeddings => snapshot.endpoint(&candidate.target, Purpose::Embeddings),
            Door::Chat | Door::Messages => candidate
                .forward
                .as_ref()
                .filter(|forward| forward.dialect() == dialect(asked.door))
                .map(|forward| Ok((forward.upstream.clone(), forward.endpoint.clone()))),
        };
        let (upstream, endpoint) = match place {
            Some(Ok(place)) => place,
            Some(Err(message)) => return refuse(GatewayError::misconfigured(message), watch, asked.door),
            None => {
                let answer = match local::direct(&asked.fields, model) {
                    Ok(request) => asked.ask_target(&candidate.target, &candidate.name, request, &mut watch).await,
                    Err(error) => Err(error),
                };
                return answer.unwrap_or_else(|error| refuse(error, watch, asked.door));
            }
        };
        let body = match rewrite::direct(&asked.fields, model) {
            Ok(body) => body,
            Err(error) => return refuse(error, watch, asked.door),
        };
        let place = Place { model: &candidate.name, upstream: &upstream, endpoint: &endpoint, body };
        let headers = call::outgoing(asked.headers);
        match call::ask(&place, &headers, DIRECT_PATIENCE, true, &mut watch).await {
            Ok(Some(opened)) => hand_on(opened, &place, Instant::now() + DIRECT_TOTAL, watch).await,
            Ok(None) => refuse(GatewayError::unavailable(false), watch, asked.door),
            Err(error) => refuse(error, watch, asked.door),
        }
    }

    fn models(&self, caller: &Caller) -> Answer {
        let snapshot = self.snapshot.load();
        let data: Vec<_> = snapshot.names(&caller.project).into_iter().map(model_object).collect();
        json_answer(StatusCode::OK, &json!({"object": "list", "data": data}))
    }

    fn model(&self, caller: &Caller, name: &str) -> Answer {
        let snapshot = self.snapshot.load();
        if snapshot.route(&caller.project, name).is_some() {
            return json_answer(StatusCode::OK, &model_object(name));
        }
        GatewayError::not_found(format!("there is no deployment `{name}`")).into_response(Door::Chat)
    }
}

impl<'a> Asked<'a> {
    fn read(door: Door, body: &'a [u8], headers: &'a HeaderMap) -> Result<Self, GatewayError> {
        let fields = Fields::parse(body)?;
        let model = fields
            .text("model")?
            .ok_or_else(|| GatewayError::bad_request("the field `model` is missing: name a deployment").at("model"))?
            .into_owned();
        let said = Extension::read(&fields, headers)?;
        let stream = fields.read("stream")?.unwrap_or(false);
        Ok(Self { door, fields, headers, model, said, stream })
    }

    /// Asks a provider through its client and answers in OpenAI's format.
    async fn ask_target(
        &self,
        target: &Target,
        name: &str,
        request: ChatRequest,
        watch: &mut CallWatch,
    ) -> Result<Answer, GatewayError> {
        if self.door != Door::Chat {
            let message = format!("`{name}` answers at /v1/chat/completions only: its provider speaks another format");
            return Err(GatewayError::bad_request(message).at("model"));
        }
        let started = std::time::Instant::now();
        let answered = target.chat(&request).await;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        let status = match &answered {
            Ok(_) => Some(200),
            Err(ProviderError::Status { code, .. }) => Some(*code),
            Err(_) => None,
        };
        let error = answered.as_ref().err().map(ToString::to_string);
        watch.with(|call| call.attempts.push(CallAttempt { model: name.to_owned(), status, error, ms }));
        let answer = answered.map_err(|error| provider_error(&error, watch))?;
        let id = watch.id().to_owned();
        let head = Head { id: &id, created: Timestamp::now().as_second(), model: target.model() };
        let include_usage = self
            .fields
            .read::<serde_json::Value>("stream_options")?
            .is_some_and(|options| options["include_usage"] == true);
        let (body, kind) = if self.stream {
            (local::events(head, &answer.response, include_usage), "text/event-stream")
        } else {
            (local::completion(head, &answer.response), "application/json")
        };
        watch.with(|call| call.status = 200);
        watch.capture(&body);
        watch.end(End::Complete);
        Ok(typed(StatusCode::OK, body, kind))
    }
}

fn provider_error(error: &ProviderError, watch: &mut CallWatch) -> GatewayError {
    let outcome = match error {
        ProviderError::Status { .. } | ProviderError::Format { .. } => CallOutcome::UpstreamError,
        _ => CallOutcome::Unavailable,
    };
    watch.with(|call| {
        call.error = Some(error.to_string());
        call.outcome = Some(outcome);
    });
    match error {
        ProviderError::Timeout { .. } => GatewayError::unavailable(true),
        ProviderError::Status { code: 400 | 422, message, .. } => GatewayError::bad_request(message.clone()),
        ProviderError::Config(_) => GatewayError::misconfigured("the model provider is not set up for this"),
        _ => GatewayError::unavailable(false),
    }
}

fn direct_model(snapshot: &Snapshot, caller: &Caller, asked: &Asked<'_>) -> Result<Candidate, GatewayError> {
    let name = &asked.model;
    let is_direct =
        name.split_once('/').is_some_and(|(provider, _)| snapshot.providers().names().any(|n| n == provider));
    if !is_direct {
        let hint = snapshot.nearest(&caller.project, name).map(|near| format!("; did you mean `{near}`?"));
        let message = format!("there is no deployment `{name}`{}", hint.unwrap_or_default());
        return Err(GatewayError::not_found(message).at("model"));
    }
    if !caller.may_pass_through {
        return Err(GatewayError::forbidden(format!("this key may call deployments only, not `{name}` directly")));
    }
    snapshot.candidate(name, None).map_err(GatewayError::misconfigured)
}

fn deployed_body(
    asked: &Asked<'_>,
    route: &Route,
    forward: &crate::snapshot::Forward,
    model: &str,
) -> Result<Bytes, GatewayError> {
    if asked.door == Door::Embeddings {
        return Err(GatewayError::bad_request("a deployment answers chats: name a model for embeddings").at("model"));
    }
    let apart = forward.dialect() == Dialect::Anthropic;
    let conversation = Conversation::render(route, &asked.fields, &asked.said, apart)?;
    rewrite::deployed(&asked.fields, route, &conversation, forward, model)
}

fn dialect(door: Door) -> Dialect {
    match door {
        Door::Chat | Door::Embeddings => Dialect::OpenAi,
        Door::Messages => Dialect::Anthropic,
    }
}

/// Hands an answer on: an error whole, with keys taken out of it; anything else as it comes.
async fn hand_on(opened: Opened, place: &Place<'_>, deadline: Instant, mut watch: CallWatch) -> Answer {
    watch.with(|call| call.status = opened.status.as_u16());
    if !opened.status.is_success() {
        let (response, body) = call::whole_error(opened, place.endpoint).await;
        watch.capture(&body);
        watch.end(End::Complete);
        return response.map(|()| GatewayBody::whole(body));
    }
    if call::is_over(&opened) {
        // Most answers that are not streamed come in one piece, with their head.
        let body = opened.first.unwrap_or_default();
        watch.capture(&body);
        watch.end(End::Complete);
        let mut response = Response::new(GatewayBody::whole(body));
        *response.status_mut() = opened.status;
        *response.headers_mut() = opened.headers;
        return response;
    }
    let mut response = Response::new(GatewayBody::forwarded(opened.first, opened.rest, deadline, watch));
    *response.status_mut() = opened.status;
    *response.headers_mut() = opened.headers;
    response
}

/// The prepared answer of a deployment's safe mode.
fn fixed(asked: &Asked<'_>, text: &str, mut watch: CallWatch) -> Answer {
    let id = watch.id().to_owned();
    let (body, kind) = if asked.door == Door::Messages {
        let body = json!({
            "id": id, "type": "message", "role": "assistant", "model": asked.model, "stop_sequence": null,
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 0, "output_tokens": 0},
        });
        (Bytes::from(body.to_string()), "application/json")
    } else {
        let head = Head { id: &id, created: Timestamp::now().as_second(), model: &asked.model };
        let answer = llmops_domain::chat::ChatResponse {
            text: text.to_owned(),
            tool_calls: Vec::new(),
            finish_reason: None,
            model: String::new(),
            usage: llmops_domain::chat::Usage::default(),
            latency_ms: 0.0,
        };
        if asked.stream {
            (local::events(head, &answer, false), "text/event-stream")
        } else {
            (local::completion(head, &answer), "application/json")
        }
    };
    watch.with(|call| call.status = 200);
    watch.capture(&body);
    watch.end(End::Complete);
    typed(StatusCode::OK, body, kind)
}

async fn read_body<B>(body: B) -> Result<Bytes, GatewayError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::too_large(MAX_REQUEST)),
        Err(_) => Err(GatewayError::bad_request("the request broke off")),
    }
}

/// The secret of a request, as OpenAI's, Anthropic's and Azure's clients send it.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text("authorization").and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key")).filter(|secret| !secret.is_empty())
}
