//! The doors of the gateway.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, AsHeaderName, CONTENT_LENGTH, EXPECT, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use llmops_domain::deployment::DEFAULT_ENVIRONMENT;
use llmops_domain::id::ProjectId;
use llmops_domain::limits::Limits;
use llmops_domain::record::Door;
use llmops_providers::turns::write_kept;
use serde_json::json;

use crate::asked::Asked;
use crate::assign::{Assign, BoxFuture, Subject};
use crate::canary;
use crate::direct;
use crate::error::GatewayError;
use crate::limits::{Limiter, LocalLedger};
use crate::recorder::{CallWatch, Recorder};
use crate::reply::{Answer, json_answer, model_object, refuse, with_header};
use crate::request::{self, Extension};
use crate::serve;
use crate::snapshot::Snapshot;
use crate::unpack;

/// Largest request.
pub const MAX_REQUEST: usize = 32 << 20;
/// Reading more takes so long that nobody's answer shall wait for it.
const LONG_READ: usize = 64 << 10;
/// Longest that the body of a request may take to arrive.
const LONGEST_ARRIVAL: Duration = Duration::from_mins(1);
/// Most bytes of a request that are read for its client's sake, behind those that its answer is known by.
const MOST_DISCARDED: usize = 2 * MAX_REQUEST;
/// Longest that this may take.
const LONGEST_DISCARDED: Duration = Duration::from_secs(5);
/// The header that every client of Anthropic's sends.
const ANTHROPIC: HeaderName = HeaderName::from_static("anthropic-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-llmops-request-id");

/// Who calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The project whose deployments may be called.
    pub project: ProjectId,
    /// The id of the key.
    pub key: Option<String>,
    /// What may be spent with the key; absent: as much as anybody likes.
    pub limits: Option<Arc<Limits>>,
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
    limiter: Limiter,
    assign: Arc<dyn Assign>,
}

/// Where nobody runs experiments.
struct NoExperiments;

impl Assign for NoExperiments {
    fn assign<'a>(&'a self, _: Subject<'a>) -> BoxFuture<'a, Option<usize>> {
        Box::pin(std::future::ready(None))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway over a snapshot that may be swapped.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>, gatekeeper: Arc<dyn Gatekeeper>, recorder: Recorder) -> Self {
        let limiter = Limiter::new(Arc::new(LocalLedger::default()));
        Self { snapshot, gatekeeper, recorder, limiter, assign: Arc::new(NoExperiments) }
    }

    /// The same with limits that others count, too.
    #[must_use]
    pub fn with_limiter(self, limiter: Limiter) -> Self {
        Self { limiter, ..self }
    }

    /// The same with experiments.
    #[must_use]
    pub fn with_experiments(self, assign: Arc<dyn Assign>) -> Self {
        Self { assign, ..self }
    }

    /// Answers a request at one of the doors.
    pub async fn handle<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let mut body = pin!(body);
        let door = match parts.uri.path() {
            "/v1/embeddings" => Door::Embeddings,
            "/v1/messages" => Door::Messages,
            _ => Door::Chat,
        };
        let caller = match self.entered(&parts, door) {
            ControlFlow::Continue(caller) => caller,
            ControlFlow::Break(answer) => {
                discard(&parts.headers, body).await;
                return answer;
            }
        };
        let mut watch = CallWatch::begin(&self.recorder, caller.project.clone(), caller.key.clone(), door);
        let id = watch.id().to_owned();
        let read = match unpack::encoding(&parts.headers) {
            None if announced(&parts.headers) > MAX_REQUEST as u64 => Err(GatewayError::too_large(MAX_REQUEST)),
            None => read_body(body.as_mut()).await,
            Some(_) => Err(GatewayError::packed()),
        };
        if read.as_ref().is_err_and(|error| error.status != StatusCode::REQUEST_TIMEOUT) {
            discard(&parts.headers, body).await;
        }
        let answer = match read {
            Ok(body) => {
                if body.len() > LONG_READ {
                    write_kept();
                }
                watch.with(|call| {
                    (call.asked, call.request) = (body.clone(), body.clone());
                    call.trace_id = request::trace_id(&parts.headers);
                    call.traceparent = text(&parts.headers, request::TRACEPARENT).map(str::to_owned);
                });
                match Asked::read(door, &body, &parts.headers, &caller.project) {
                    // Pinned in place, here and below: what is awaited by value is copied once a level, and it is large.
                    Ok(asked) => pin!(self.answer(&caller, asked, watch)).await,
                    Err(error) => refuse(error, watch, door),
                }
            }
            Err(error) => refuse(error, watch, door),
        };
        with_header(answer, REQUEST_ID, &id)
    }

    /// Who calls, where something is to be answered for them; else the answer.
    fn entered(&self, parts: &Parts, door: Door) -> ControlFlow<Answer, Caller> {
        let path = parts.uri.path();
        let Some(caller) = self.gatekeeper.admit(secret(&parts.headers)) else {
            return ControlFlow::Break(GatewayError::unauthenticated().into_response(door));
        };
        let model = path.strip_prefix("/v1/models/");
        let method = match path {
            "/v1/chat/completions" | "/v1/embeddings" | "/v1/messages" => Method::POST,
            "/v1/models" => Method::GET,
            _ if model.is_some() => Method::GET,
            _ => return ControlFlow::Break(GatewayError::no_route(path).into_response(door)),
        };
        if parts.method != method {
            let refused = GatewayError::wrong_method(path, &method).into_response(door);
            return ControlFlow::Break(with_header(refused, ALLOW, method.as_str()));
        }
        let is_anthropic = parts.headers.contains_key(ANTHROPIC);
        match model {
            Some(name) => ControlFlow::Break(self.model(&caller, &decoded(name), is_anthropic)),
            None if method == Method::GET => ControlFlow::Break(self.models(&caller, is_anthropic)),
            None => ControlFlow::Continue(caller),
        }
    }

    async fn answer(&self, caller: &Caller, asked: Asked<'_>, mut watch: CallWatch) -> Answer {
        let door = asked.door;
        watch.with(|call| {
            call.said = Extension { variables: std::collections::BTreeMap::new(), ..asked.said.clone() };
            call.stream = asked.stream;
            call.model.clone_from(&asked.model);
        });
        if let (Some(key), Some(limits)) = (&caller.key, &caller.limits)
            && let Err(exceeded) = self.limiter.admit(&caller.project, "key", key, limits).await
        {
            return refuse(GatewayError::limited(&exceeded), watch, door);
        }
        if let Some(error) = contradiction(&asked) {
            return refuse(error, watch, door);
        }
        // One snapshot answers one request, whatever is deployed meanwhile.
        let snapshot = self.snapshot.load_full();
        let named;
        let name = match &asked.said.environment {
            Some(environment) if !asked.model.contains('@') => {
                named = format!("{}@{environment}", asked.model);
                &named
            }
            _ => &asked.model,
        };
        match snapshot.route(&caller.project, name) {
            Some(Ok(route)) => {
                let deployment = &route.deployment;
                let limits = &deployment.settings.limits;
                if !limits.is_empty() {
                    let name = format!("{}@{}", deployment.name, deployment.environment);
                    if let Err(exceeded) = self.limiter.admit(&caller.project, "deployment", &name, limits).await {
                        watch.with(|call| call.route = Some(route.clone()));
                        return refuse(GatewayError::limited(&exceeded), watch, door);
                    }
                }
                // Vectors of two models have nothing in common: a candidate's are no answer, and are compared with none.
                let route = match door {
                    Door::Embeddings => route.clone(),
                    Door::Chat | Door::Messages => canary::choose(route, &asked.said, &mut watch),
                };
                pin!(serve::deployed(&*self.assign, &asked, &route, watch)).await
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a deployment was called that cannot answer");
                refuse(GatewayError::misconfigured(format!("the deployment `{name}` cannot answer now")), watch, door)
            }
            None => match direct::candidate(&snapshot, caller, &asked) {
                Ok(candidate) => Box::pin(direct::answer(&snapshot, &asked, &candidate, watch)).await,
                Err(error) => refuse(error, watch, door),
            },
        }
    }

    /// Each deployment once: the name without an environment is that of production.
    fn models(&self, caller: &Caller, anthropic: bool) -> Answer {
        let snapshot = self.snapshot.load();
        let names = snapshot.names(&caller.project).into_iter();
        let names: Vec<&str> =
            names.filter(|name| name.split_once('@').is_none_or(|(_, place)| place != DEFAULT_ENVIRONMENT)).collect();
        let created = |name: &str| snapshot.created(&caller.project, name);
        let data: Vec<_> = names.iter().map(|&name| model_object(name, created(name), anthropic)).collect();
        let list = if anthropic {
            json!({"data": data, "has_more": false, "first_id": names.first(), "last_id": names.last()})
        } else {
            json!({"object": "list", "data": data})
        };
        json_answer(StatusCode::OK, &list)
    }

    fn model(&self, caller: &Caller, name: &str, anthropic: bool) -> Answer {
        let snapshot = self.snapshot.load();
        if snapshot.route(&caller.project, name).is_some() {
            let created = snapshot.created(&caller.project, name);
            return json_answer(StatusCode::OK, &model_object(name, created, anthropic));
        }
        let door = if anthropic { Door::Messages } else { Door::Chat };
        GatewayError::not_found(format!("there is no deployment `{name}`")).into_response(door)
    }
}

/// Two environments in one call: whichever answers, it is not the one that was meant.
fn contradiction(asked: &Asked<'_>) -> Option<GatewayError> {
    let environment = asked.said.environment.as_deref()?;
    let (name, named) = asked.model.split_once('@').filter(|(name, _)| !name.contains('/'))?;
    let message = format!(
        "two environments are named: `model` is `{name}@{named}`, and `llmops.environment` or x-llmops-environment says \
         `{environment}`: leave one of them out"
    );
    (named != environment).then(|| GatewayError::bad_request(message).at("model"))
}

/// The length that a request's body says to have; 0 where it says none.
fn announced(headers: &HeaderMap) -> u64 {
    text(headers, CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Reads the rest of a request that is answered without it, up to a limit, and lets it go. A connection that is closed while
/// its client sends is a broken one to most of them: they report that, or send all of it again, and never see the answer.
async fn discard<B: Body<Data = Bytes>>(headers: &HeaderMap, mut body: Pin<&mut B>) {
    // Who waits to be told to go on sends nothing before.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let reading = async {
        let mut left = MOST_DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
            left = rest;
        }
    };
    // In time or not, the answer is the same.
    let _is_whole = tokio::time::timeout(LONGEST_DISCARDED, reading).await.is_ok();
}

async fn read_body<B>(body: B) -> Result<Bytes, GatewayError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let reading = tokio::time::timeout(LONGEST_ARRIVAL, Limited::new(body, MAX_REQUEST).collect());
    let Ok(read) = reading.await else { return Err(GatewayError::slow(LONGEST_ARRIVAL)) };
    match read {
        Ok(body) => Ok(let_go(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::too_large(MAX_REQUEST)),
        Err(_) => Err(GatewayError::bad_request("the request broke off")),
    }
}

/// A part of a path as it was before it was escaped, such as `bot%40staging`; as it is where it has escapes that are none.
fn decoded(part: &str) -> Cow<'_, str> {
    let mut pieces = part.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(Ok(byte)) = byte.map(|digits| u8::from_str_radix(digits, 16)) else { return Cow::Borrowed(part) };
        bytes.push(byte);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(part), Cow::Owned)
}

/// Bytes that are a part of the buffer that a connection reads into keep all of it, and the connection needs another one.
/// Few bytes are copied instead.
pub(crate) fn let_go(bytes: Bytes) -> Bytes {
    const FEW: usize = 4096;
    if bytes.len() <= FEW { Bytes::copy_from_slice(&bytes) } else { bytes }
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// The secret of a request, as OpenAI's, Anthropic's and Azure's clients send it.
fn secret(headers: &HeaderMap) -> Option<&str> {
    let bearer = text(headers, AUTHORIZATION).and_then(|value| {
        let (scheme, secret) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
    });
    bearer
        .or_else(|| text(headers, "x-api-key"))
        .or_else(|| text(headers, "api-key"))
        .filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// A body that never comes.
    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let slow = read_body(Never).await.unwrap_err().into_response(Door::Chat);
        assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
    }

    /// A body of pieces that counts what is left of it.
    struct Pieces(usize);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            const PIECE: &[u8] = &[0; 1 << 20];
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_request_is_read_up_to_a_limit() {
        let check = async |headers: &[(HeaderName, &'static str)], megabytes: usize, left: usize| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            let mut body = Pieces(megabytes);
            discard(&headers, Pin::new(&mut body)).await;
            assert_eq!(body.0, left, "{headers:?} {megabytes}");
        };
        check(&[], 20, 0).await;
        check(&[], 1000, 1000 - 65).await;
        check(&[(EXPECT, "100-continue")], 20, 20).await;
        // Not forever, either.
        discard(&HeaderMap::new(), Pin::new(&mut Never)).await;
    }

    #[test]
    fn lengths_are_known_before_anything_is_read() {
        let check = |length: &'static str, expected: u64| {
            let headers = [(CONTENT_LENGTH, length.parse().unwrap())].into_iter().collect();
            assert_eq!(announced(&headers), expected, "{length}");
        };
        check("12", 12);
        check("99999999999", 99_999_999_999);
        check("x", 0);
    }

    #[test]
    fn parts_of_paths() {
        let check = |part: &str, expected: &str| assert_eq!(decoded(part), expected, "{part}");
        check("bot", "bot");
        check("bot@staging", "bot@staging");
        check("bot%40staging", "bot@staging");
        check("Zo%C3%ab%25", "Zoë%");
        for none in ["", "a%", "a%4", "a%4x", "a%+4", "a%é", "a%ff"] {
            check(none, none);
        }
    }
}
