//! From one candidate to an answer in the caller's format: bytes as they are where both speak it, translated where they do
//! not, written where the provider is in process.

use std::pin::pin;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use llmops_domain::chat::{ChatRequest, ChatResponse, Usage};
use llmops_domain::record::Door;
use llmops_providers::beside::Beside;
use llmops_providers::http_client::error_message;
use llmops_providers::stream::without_mark;
use llmops_providers::upstream::Dialect;
use llmops_providers::{ProviderError, Target};
use tokio::time::Instant;

use crate::answer;
use crate::asked::Asked;
use crate::attempts::Attempts;
use crate::body::{GatewayBody, Translation};
use crate::call::{self, Opened, Patience, Place, Reply};
use crate::error::{GatewayError, error_body};
use crate::incoming::Incoming;
use crate::messages;
use crate::recorder::{CallWatch, End};
use crate::reply::Answer;
use crate::request::Fields;
use crate::rewrite::{self, Conversation};
use crate::snapshot::{Candidate, Forward, Route};
use crate::told::Told;
use crate::typed;
use crate::write::{self, EventWriter, Head};

/// What every attempt of a call needs.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) patience: Patience,
    pub(crate) attempts: &'a Attempts,
    /// The call's id.
    pub(crate) id: &'a str,
}

/// How a candidate is asked.
pub(crate) enum Way<'a> {
    /// With a body in its own format.
    Network(Place<'a>),
    /// In this process.
    InProcess { target: &'a Target, name: &'a str, request: Box<ChatRequest> },
}

/// An answer, or an error that is the caller's.
pub(crate) struct Arrived {
    status: StatusCode,
    headers: HeaderMap,
    content: Content,
    /// What the provider said, where this is a translation of it.
    told: Option<Told>,
    /// Whether it is an error, whatever its status says.
    is_error: bool,
}

enum Content {
    Whole(Bytes),
    Stream { first: Option<Bytes>, rest: Incoming, translation: Option<Box<Translation>> },
}

/// Why a candidate gave no answer.
pub(crate) enum Miss {
    /// It refuses for now, or refuses us; others may not.
    Refusal(Box<Arrived>),
    /// Nothing came.
    Failure(ProviderError),
    /// The request cannot be answered by anybody.
    Refused(GatewayError),
}

/// The format that a door speaks.
pub(crate) fn dialect(door: Door) -> Dialect {
    match door {
        Door::Chat | Door::Embeddings => Dialect::OpenAi,
        Door::Messages => Dialect::Anthropic,
    }
}

/// Whether a candidate speaks the format of the door.
pub(crate) fn is_native(door: Door, candidate: &Candidate) -> bool {
    candidate.forward.as_ref().is_some_and(|forward| forward.upstream.dialect() == dialect(door))
}

/// How a candidate is asked for a deployment. `fields` are the caller's, in the candidate's own format where that is the
/// door's, else in OpenAI's; the conversation is rendered from them.
pub(crate) fn deployed<'a>(
    asked: &Asked<'_>,
    route: &Route,
    candidate: &'a Candidate,
    (fields, conversation): (&Fields<'_>, &Conversation),
) -> Result<Way<'a>, GatewayError> {
    let (name, model) = (&*candidate.name, candidate.target.model());
    let translate = !is_native(asked.door, candidate);
    let Some(forward) = &candidate.forward else {
        let (request, _) = typed::deployed(fields, route, conversation, candidate)?;
        return Ok(Way::InProcess { target: &candidate.target, name, request: Box::new(request) });
    };
    let body = if !translate {
        native(asked.door, rewrite::deployed(fields, route, conversation, forward, model)?)
    } else if forward.upstream.dialect() == Dialect::OpenAi {
        rewrite::deployed(&in_openais_words(fields, forward, model), route, conversation, forward, model)?
    } else {
        let (request, as_written) = typed::deployed(fields, route, conversation, candidate)?;
        written(forward.upstream.body(&request, &as_written, asked.stream))?
    };
    let endpoint = forward.endpoint(asked.stream);
    let place = Place { model: name, upstream: &forward.upstream, endpoint, body, is_native: !translate };
    Ok(Way::Network(place))
}

/// How a candidate is asked for embeddings.
pub(crate) fn embeddings<'a>(
    asked: &Asked<'_>,
    route: &Route,
    candidate: &'a Candidate,
) -> Result<Way<'a>, GatewayError> {
    let place = candidate.forward.as_ref().and_then(|forward| Some((forward, forward.embeddings.as_deref()?)));
    let Some((forward, endpoint)) = place else { return Err(GatewayError::no_embeddings(&candidate.name)) };
    let body = rewrite::embeddings(&asked.fields, route, forward, candidate.target.model())?;
    let place = Place { model: &candidate.name, upstream: &forward.upstream, endpoint, body, is_native: true };
    Ok(Way::Network(place))
}

/// How a model is asked that the caller names.
pub(crate) fn direct<'a>(
    asked: &Asked<'_>,
    candidate: &'a Candidate,
    openai: &Fields<'_>,
) -> Result<Way<'a>, GatewayError> {
    let (name, model) = (&*candidate.name, candidate.target.model());
    let Some(forward) = &candidate.forward else {
        let (request, _) = typed::direct(openai, candidate)?;
        return Ok(Way::InProcess { target: &candidate.target, name, request: Box::new(request) });
    };
    let translate = !is_native(asked.door, candidate);
    let body = if !translate {
        native(asked.door, rewrite::direct(&asked.fields, model)?)
    } else if forward.upstream.dialect() == Dialect::OpenAi {
        rewrite::direct(&in_openais_words(openai, forward, model), model)?
    } else {
        let (request, as_written) = typed::direct(openai, candidate)?;
        written(forward.upstream.body(&request, &as_written, asked.stream))?
    };
    let endpoint = forward.endpoint(asked.stream);
    let place = Place { model: name, upstream: &forward.upstream, endpoint, body, is_native: !translate };
    Ok(Way::Network(place))
}

/// A body in the format of the door, where the provider speaks it.
fn native(door: Door, body: Bytes) -> Bytes {
    if door == Door::Messages { messages::without_unsigned(body) } else { body }
}

/// Fields that Anthropic's clients always have, as OpenAI's models take them: those that reason refuse `max_tokens` by this
/// name and choose at random as they like, others do not know how hard they should think.
fn in_openais_words<'a>(fields: &Fields<'a>, forward: &Forward, model: &str) -> Fields<'a> {
    let reasons = forward.upstream.reasons(model);
    fields.adapted(|name| match (&**name, reasons) {
        ("max_tokens", Some(true)) => {
            *name = "max_completion_tokens".into();
            true
        }
        ("temperature" | "top_p" | "top_k", Some(true)) | ("reasoning_effort", Some(false)) => false,
        _ => true,
    })
}

fn written(body: Result<Vec<u8>, ProviderError>) -> Result<Bytes, GatewayError> {
    body.map(Bytes::from).map_err(|error| GatewayError::bad_request(error.to_string()))
}

impl Way<'_> {
    /// What is sent.
    pub(crate) fn body(&self) -> Bytes {
        match self {
            Self::Network(place) => place.body.clone(),
            Self::InProcess { request, .. } => Bytes::from(serde_json::to_vec(request).unwrap_or_default()),
        }
    }
}

/// Asks, within the patience, and answers when there is something for the caller. `whole`: not before all of it is there.
pub(crate) async fn ask(context: Context<'_>, way: Way<'_>, whole: bool) -> Result<Arrived, Miss> {
    let place = match way {
        Way::Network(place) => place,
        Way::InProcess { target, name, request } => {
            return Box::pin(in_process(context, target, name, &request)).await;
        }
    };
    // What is rare is boxed: a call is moved from future to future, with room for the largest branch.
    let reply = pin!(call::ask(&place, context.headers, context.patience, context.attempts)).await;
    match reply {
        Reply::Failure(error) => Err(Miss::Failure(error)),
        Reply::Refusal(opened) => {
            let refused = Box::pin(error_of(context, opened, &place)).await;
            Err(Miss::Refusal(Box::new(refused)))
        }
        Reply::Answer(opened) if !opened.status.is_success() || opened.failure.is_some() => {
            Ok(Box::pin(error_of(context, opened, &place)).await)
        }
        Reply::Answer(opened) if !place.is_native => Box::pin(translated(context, opened, &place)).await,
        Reply::Answer(mut opened) => {
            // Most answers that are not streamed come in one piece, with their head.
            if whole || call::is_over(&opened) {
                let body =
                    call::whole(&mut opened, place.endpoint, context.patience.deadline).await.map_err(Miss::Failure)?;
                return Ok(Arrived::new(opened.status, opened.headers, Content::Whole(body)));
            }
            let content = Content::Stream { first: opened.first, rest: opened.rest, translation: None };
            Ok(Arrived::new(opened.status, opened.headers, content))
        }
    }
}

/// An error of the provider, whole, with keys taken out of it, in the caller's format. Where that is the provider's own, one
/// inside a success stays what it was sent as.
async fn error_of(context: Context<'_>, mut opened: Opened, place: &Place<'_>) -> Arrived {
    let failure = opened.failure.take();
    if let Some(error) = failure.filter(|_| !place.is_native) {
        return error_inside(context, opened.headers, &error);
    }
    let (response, body) = call::whole_error(opened, place.endpoint, context.patience.deadline).await;
    let (parts, ()) = response.into_parts();
    let message = match body {
        Ok(body) if place.is_native => {
            return Arrived { is_error: true, ..Arrived::new(parts.status, parts.headers, Content::Whole(body)) };
        }
        Ok(body) => place.endpoint.redact(error_message(&body)),
        Err(why) => format!("the model provider's error cannot be read: {why}"),
    };
    let body = error_body(context.asked.door, parts.status, &message);
    Arrived { is_error: true, ..Arrived::new(parts.status, json_headers(parts.headers), Content::Whole(body)) }
}

/// An error inside a success, said in the caller's format as any other.
fn error_inside(context: Context<'_>, headers: HeaderMap, error: &ProviderError) -> Arrived {
    let (status, message) = match error {
        ProviderError::Status { code, message, .. } => (StatusCode::from_u16(*code).ok(), message.clone()),
        _ => (None, error.to_string()),
    };
    let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
    let content = Content::Whole(error_body(context.asked.door, status, &message));
    Arrived { is_error: true, ..Arrived::new(status, json_headers(headers), content) }
}

fn json_headers(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

async fn translated(context: Context<'_>, mut opened: Opened, place: &Place<'_>) -> Result<Arrived, Miss> {
    let head = context.head(place.model);
    let asked = context.asked;
    if asked.stream && is_stream(&opened) {
        if let Some(error) = opened.first.as_ref().and_then(|first| place.upstream.failure(place.endpoint, first)) {
            return failed_inside(context, opened.headers, error);
        }
        let translation = Translation::new(place.upstream.reader(), EventWriter::new(asked.door, head));
        let mut headers = opened.headers;
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let content =
            Content::Stream { first: opened.first, rest: opened.rest, translation: Some(Box::new(translation)) };
        return Ok(Arrived { told: Some(Told::default()), ..Arrived::new(opened.status, headers, content) });
    }
    let body = call::whole(&mut opened, place.endpoint, context.patience.deadline).await.map_err(Miss::Failure)?;
    match place.upstream.answer(place.endpoint, without_mark(&body)) {
        Ok(answer) => Ok(context.written(json_headers(opened.headers), head, (&answer.response, &answer.beside))),
        Err(error) => failed_inside(context, opened.headers, error),
    }
}

/// Whether a success is a stream of events: by its header, or where that says nothing of the kind, by how it begins.
fn is_stream(opened: &Opened) -> bool {
    let looks_like_one =
        || opened.first.as_deref().is_some_and(|first| !first.trim_ascii().is_empty() && !call::is_json(first));
    call::is_event_stream(&opened.headers) || looks_like_one()
}

/// An error inside a success is the caller's like any other, and somebody else may be asked where that helps.
fn failed_inside(context: Context<'_>, headers: HeaderMap, error: ProviderError) -> Result<Arrived, Miss> {
    if !matches!(error, ProviderError::Status { .. }) {
        return Err(Miss::Failure(error));
    }
    let arrived = error_inside(context, headers, &error);
    let may_others = error.is_retryable() || call::refuses_us(arrived.status);
    if may_others { Err(Miss::Refusal(Box::new(arrived))) } else { Ok(arrived) }
}

/// Asks a provider that lives in this process.
async fn in_process(context: Context<'_>, target: &Target, name: &str, request: &ChatRequest) -> Result<Arrived, Miss> {
    let mut tries_left = context.patience.retries;
    loop {
        let pending = context.attempts.begin(name);
        let asking = tokio::time::timeout_at(context.patience.deadline, target.attempt(request));
        let patience = context.patience.first_byte;
        let error = match asking.await.unwrap_or(Err(ProviderError::Timeout { after: patience })) {
            Ok(answer) => {
                pending.answered(200);
                return Ok(context.written(
                    HeaderMap::new(),
                    context.head(name),
                    (&answer.response, &Beside::default()),
                ));
            }
            Err(error) => error,
        };
        pending.failed(&error);
        if tries_left == 0 || !error.is_retryable() {
            return Err(Miss::Failure(error));
        }
        tries_left -= 1;
        tokio::time::sleep(call::pause_at_random()).await;
    }
}

impl Context<'_> {
    fn head(&self, model: &str) -> Head {
        Head {
            id: self.id.to_owned(),
            created: llmops_domain::clock::now().as_second(),
            model: model.split_once('/').map_or(model, |(_, model)| model).to_owned(),
            include_usage: self.asked.wants_usage(),
            shows_thoughts: self.asked.shows_thoughts(),
        }
    }

    fn written(&self, mut headers: HeaderMap, head: Head, answer: (&ChatResponse, &Beside)) -> Arrived {
        let (body, kind) = write::answer(self.asked.door, self.asked.stream, head, answer);
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let told = Some(Told::of(answer.0, answer.1));
        Arrived { told, ..Arrived::new(StatusCode::OK, headers, Content::Whole(body)) }
    }
}

impl Arrived {
    fn new(status: StatusCode, headers: HeaderMap, content: Content) -> Self {
        Self { status, headers, content, told: None, is_error: false }
    }

    /// An answer of ours, as text. `usage`: what the caller is told that it took, in the answers before it.
    pub(crate) fn made(asked: &Asked<'_>, text: &str, id: &str, usage: Usage) -> Self {
        let (text, model) = (text.to_owned(), asked.model.clone());
        let answer = ChatResponse { text, model, usage, ..ChatResponse::default() };
        let created = llmops_domain::clock::now().as_second();
        let head = Head {
            id: id.to_owned(),
            created,
            model: asked.model.clone(),
            include_usage: asked.wants_usage(),
            shows_thoughts: false,
        };
        let (body, kind) = write::answer(asked.door, asked.stream, head, (&answer, &Beside::default()));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if asked.stream {
            headers.insert(HeaderName::from_static("cache-control"), HeaderValue::from_static("no-cache"));
        }
        Self { told: Some(Told::free()), ..Self::new(StatusCode::OK, headers, Content::Whole(body)) }
    }

    /// Whether it is an answer.
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_success() && !self.is_error
    }

    /// The same with another body.
    pub(crate) fn with_body(mut self, body: Bytes) -> Self {
        self.headers.remove(CONTENT_LENGTH);
        self.content = Content::Whole(body);
        self
    }

    /// All of it, where it is there.
    pub(crate) fn body(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Whole(body) => Some(body),
            Content::Stream { .. } => None,
        }
    }

    /// What it says, where all of it is there.
    pub(crate) fn read(&self) -> Option<answer::Answer> {
        let mut read = answer::read(self.body()?);
        if let Some(told) = &self.told {
            told.correct(&mut read);
        }
        Some(read)
    }

    /// The tokens that its provider counted.
    pub(crate) fn usage(&self) -> Usage {
        self.read().and_then(|read| read.usage).unwrap_or_default()
    }

    /// Hands it to the caller.
    pub(crate) fn hand_on(self, deadline: Instant, mut watch: CallWatch) -> Answer {
        watch.with(|call| {
            call.status = self.status.as_u16();
            call.told = self.told;
            if let Some(fill) = &mut call.fill {
                fill.kind = self.headers.get(CONTENT_TYPE).cloned();
            }
        });
        let body = match self.content {
            Content::Whole(body) => {
                watch.capture(&body);
                watch.end(End::Complete);
                GatewayBody::whole(body)
            }
            Content::Stream { first, rest, translation: None } => GatewayBody::forwarded(first, rest, deadline, watch),
            Content::Stream { first, rest, translation: Some(translation) } => {
                GatewayBody::translated(first, rest, deadline, watch, translation)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
