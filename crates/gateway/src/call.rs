//! Attempts: one provider after the other, again and again, until the first byte of an answer. After it nothing is
//! tried again, because the caller may have it.

use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use llmops_domain::record::CallOutcome;
use llmops_providers::ProviderError;
use llmops_providers::http_client::{Endpoint, MAX_RESPONSE_BYTES, retry_after, should_retry};
use llmops_providers::secrets::Secrets;
use llmops_providers::stream::without_mark;
use llmops_providers::upstream::Upstream;
use memchr::memmem::Finder;
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::error::GatewayError;
use crate::gateway::let_go;
use crate::incoming::{Incoming, Unreadable};
use crate::recorder::CallWatch;
use crate::unpack::UnpackError;

/// The most that is waited before an attempt, without a word of the provider; half of it is drawn at random.
const PAUSE: Duration = Duration::from_millis(100);
/// A provider that asks to be left alone for longer is not asked again by this call.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for the rest of what may be an error inside a success.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Longest wait for the rest of an error.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an error that are read to look for keys in it.
const MAX_ERROR: usize = 1 << 20;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Prefix of the headers in which the gateway is told something, and tells.
const OURS: &str = "x-llmops-";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Bodies are read for the records, so they come as they are.
const PLAIN: HeaderValue = HeaderValue::from_static("identity");

/// Headers of the caller that go no further: those of the connection, those that say who calls, and ours.
const KEPT_BACK: [HeaderName; 19] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::FORWARDED,
    header::ORIGIN,
    header::REFERER,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    // What is sent is ours, and said below.
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT_ENCODING,
];
const KEPT_BACK_PREFIXES: [&str; 3] = [OURS, "x-forwarded-", "sec-"];

/// Whether a header by such a name goes no further: other places of keys and whose they are, as the key that goes out is ours;
/// and where the end user sits, as proxies before us say it. Every header of every call is looked at, so lengths come first.
fn is_kept_back(name: &str) -> bool {
    match name.len() {
        7 => name == "api-key",
        9 => matches!(name, "x-api-key" | "x-real-ip"),
        11 => name == "x-client-ip",
        12 => name == "cf-ipcountry",
        14 => matches!(name, "x-goog-api-key" | "openai-project" | "true-client-ip" | "cf-pseudo-ipv4"),
        16 => matches!(name, "fastly-client-ip" | "cf-connecting-ip"),
        18 => name == "cf-connecting-ipv6",
        19 => matches!(name, "openai-organization" | "x-cluster-client-ip"),
        _ => false,
    }
}

/// Headers of the provider that go no further.
const NOT_ANSWERED: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::SET_COOKIE,
    header::PROXY_AUTHENTICATE,
];

/// One place to ask.
pub(crate) struct Place<'a> {
    /// `provider/model`
    pub(crate) model: &'a str,
    pub(crate) upstream: &'a Upstream,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) body: Bytes,
    /// Whether the body is in the caller's own format: what the caller says of it in headers holds, too.
    pub(crate) is_native: bool,
}

/// How long and how often a place is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retries: u32,
    /// Longest wait of one attempt for its first byte.
    pub(crate) first_byte: Duration,
    /// The end of the whole call.
    pub(crate) deadline: Instant,
}

impl Patience {
    /// Longest wait for a first byte now.
    fn wait(&self) -> Duration {
        self.first_byte.min(self.deadline.saturating_duration_since(Instant::now()))
    }
}

/// An answer that has begun.
pub(crate) struct Opened {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its first piece; absent where the body is empty, and where it is an error that cannot be read yet.
    pub(crate) first: Option<Bytes>,
    pub(crate) rest: Incoming,
    /// The error that it is, where its status is a success.
    pub(crate) failure: Option<Box<ProviderError>>,
}

impl Opened {
    /// The status, or that of the error that a success is.
    fn error_status(&self) -> StatusCode {
        match self.failure.as_deref() {
            Some(ProviderError::Status { code, .. }) => StatusCode::from_u16(*code).unwrap_or(StatusCode::BAD_GATEWAY),
            _ => self.status,
        }
    }
}

/// What asking a place came to.
pub(crate) enum Reply {
    /// An answer, or an error that is the caller's: asking anybody else would not help.
    Answer(Opened),
    /// The provider refuses for now, or refuses us: somebody else may not.
    Refusal(Opened),
    /// There was no answer.
    Failure(ProviderError),
}

/// The headers that go to a provider.
pub(crate) fn outgoing(theirs: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(theirs.len() + 2);
    for (name, value) in theirs {
        let text = name.as_str();
        let is_kept_back = KEPT_BACK.contains(name)
            || is_kept_back(text)
            || KEPT_BACK_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if !is_kept_back {
            headers.append(name.clone(), value.clone());
        }
    }
    for value in theirs.get_all(header::CONNECTION) {
        remove_named(value, &mut headers);
    }
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::ACCEPT_ENCODING, PLAIN);
    headers
}

/// Removes the headers that a value of `connection` says to be about the connection.
fn remove_named(connection: &HeaderValue, headers: &mut HeaderMap) {
    for name in connection.to_str().unwrap_or_default().split(',') {
        headers.remove(name.trim());
    }
}

/// Leaves only those headers of a provider that are the caller's business.
fn for_the_caller(headers: &mut HeaderMap) {
    let names_none = |value: &&HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"Keep-Alive" | b"close");
    let naming: Vec<_> =
        headers.get_all(header::CONNECTION).iter().filter(|value| !names_none(value)).cloned().collect();
    for value in &naming {
        remove_named(value, headers);
    }
    for name in NOT_ANSWERED {
        headers.remove(name);
    }
    // A provider may be another gateway, whose guard and cache are not this one's.
    while let Some(name) = headers.keys().find(|name| name.as_str().starts_with(OURS)).cloned() {
        headers.remove(name);
    }
}

/// Asks one place until an answer begins or there is no use in asking it again. Every attempt is noted.
pub(crate) async fn ask(place: &Place<'_>, headers: &HeaderMap, patience: Patience, attempts: &Attempts) -> Reply {
    for tries_left in (0..=patience.retries).rev() {
        let pending = attempts.begin(place.model);
        let attempt = pin!(attempt(place, headers, patience.wait())).await;
        match &attempt {
            Ok(Opened { failure: None, status, .. }) => pending.answered(status.as_u16()),
            Ok(Opened { failure: Some(error), .. }) => pending.failed(error),
            Err(error) => pending.failed(error),
        }
        let give_up = tries_left == 0 || patience.wait().is_zero();
        let pause = match attempt {
            Ok(opened) if opened.status.is_success() && opened.failure.is_none() => return Reply::Answer(opened),
            Ok(opened) => {
                let status = opened.error_status();
                let may_repeat = is_worth_repeating(status);
                let asked = retry_after(&opened.headers, std::time::SystemTime::now());
                let is_final = give_up || asked.is_some_and(|asked| asked > LONGEST_PAUSE);
                // The provider knows best what is worth asking it again.
                if is_final || !should_retry(&opened.headers).unwrap_or(may_repeat) {
                    let is_theirs = !may_repeat && !refuses_us(status);
                    return if is_theirs { Reply::Answer(opened) } else { Reply::Refusal(opened) };
                }
                asked
            }
            Err(error) if give_up || !error.is_retryable() => return Reply::Failure(error),
            Err(_) => None,
        };
        tokio::time::sleep(pause.unwrap_or_else(pause_at_random)).await;
    }
    Reply::Failure(ProviderError::Config("no attempt was made".to_owned()))
}

/// Pauses that differ keep callers that failed together from coming back together.
pub(crate) fn pause_at_random() -> Duration {
    PAUSE.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// Statuses of errors after which the same request may succeed. Whatever says that the request is wrong is not among them.
fn is_worth_repeating(status: StatusCode) -> bool {
    let (endpoint, message) = (String::new(), String::new());
    let (retry_after, should_retry) = (None, None);
    ProviderError::Status { endpoint, code: status.as_u16(), message, retry_after, should_retry }.is_retryable()
}

/// Statuses with which a provider says something about our account or its models, and nothing about the request: another place
/// may answer it.
pub(crate) fn refuses_us(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401..=404)
}

/// Notes that no provider answered, and says so to the caller.
pub(crate) fn refusal(error: &ProviderError, watch: &mut CallWatch) -> GatewayError {
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
        ProviderError::Status { code: code @ (..200 | 304), .. } => GatewayError::no_answer(*code),
        ProviderError::Status { code: 300..=399, .. } => GatewayError::misconfigured(
            "the model provider redirects to another address, which is not followed: its `base_url` must name that one",
        ),
        ProviderError::Format { .. } | ProviderError::TooLarge { .. } => GatewayError::unreadable(),
        _ => GatewayError::unavailable(false),
    }
}

/// Sends the request and waits for the first piece of the answer.
async fn attempt(place: &Place<'_>, headers: &HeaderMap, first_byte: Duration) -> Result<Opened, ProviderError> {
    let opening = pin!(open(place, headers));
    let opened = tokio::time::timeout(first_byte, opening).await;
    opened.unwrap_or(Err(ProviderError::Timeout { after: first_byte }))
}

async fn open(place: &Place<'_>, headers: &HeaderMap) -> Result<Opened, ProviderError> {
    let mut request = Request::new(Full::new(place.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = place.endpoint.uri.clone();
    let outgoing = request.headers_mut();
    outgoing.clone_from(headers);
    for (name, value) in &place.endpoint.headers {
        let is_theirs = place.is_native && place.endpoint.default_header.as_ref() == Some(name);
        if !is_theirs || !outgoing.contains_key(name) {
            outgoing.insert(name.clone(), value.clone());
        }
    }
    let response = pin!(place.upstream.client().open(place.endpoint, request)).await?;
    let (mut parts, body) = response.into_parts();
    if let Some(message) = why_no_answer(parts.status) {
        let (endpoint, code) = (place.endpoint.name(), parts.status.as_u16());
        let (retry_after, should_retry) = (None, Some(false));
        return Err(ProviderError::Status { endpoint, code, message: message.to_owned(), retry_after, should_retry });
    }
    for_the_caller(&mut parts.headers);
    place.endpoint.secrets.cover_headers(&mut parts.headers);
    if !parts.status.is_success() {
        let mut rest = Incoming::new(&mut parts.headers, body, Secrets::default());
        // Most errors are one piece: with it, the connection may serve the next attempt.
        let first = if rest.is_packed() { None } else { next_piece(&mut rest).await.and_then(Result::ok) };
        return Ok(Opened { status: parts.status, headers: parts.headers, first, rest, failure: None });
    }
    let mut rest = Incoming::new(&mut parts.headers, body, place.endpoint.secrets.clone());
    let first = match next_piece(&mut rest).await {
        None => None,
        Some(Ok(piece)) => Some(let_go(piece)),
        Some(Err(error)) => return Err(unreadable(&error, place.endpoint)),
    };
    if !is_plausible(first.as_deref().unwrap_or_default(), rest.is_end_stream(), &parts.headers) {
        let message = "neither JSON nor a stream of events";
        return Err(place.endpoint.format_error(message, first.as_deref().unwrap_or_default()));
    }
    let mut opened = Opened { status: parts.status, headers: parts.headers, first, rest, failure: None };
    if names_error(opened.first.as_deref().unwrap_or_default()) {
        opened.failure = Box::pin(error_instead(place, &mut opened)).await?.map(Box::new);
    }
    Ok(opened)
}

/// Whether the beginning of a success may be that of an error. A few hundred bytes are looked at, and no more of any answer:
/// errors are short, and say early what they are. Inside of texts the marks would be escaped.
fn names_error(first: &[u8]) -> bool {
    const LOOKED_AT: usize = 384;
    const MARK: &[u8] = b"\"error\"";
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
    let beginning = &first[..first.len().min(LOOKED_AT)];
    if beginning.starts_with(b"event: error") || beginning.starts_with(b"event:error") {
        return true;
    }
    FINDER.find(beginning).is_some_and(|at| {
        // Some servers say with every answer that there is none.
        let value = first[at + MARK.len()..].trim_ascii_start().strip_prefix(b":");
        !value.is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
    })
}

/// The error that a success is, if it is one. What is read of it on the way is kept.
async fn error_instead(place: &Place<'_>, opened: &mut Opened) -> Result<Option<ProviderError>, ProviderError> {
    let first = opened.first.as_deref().unwrap_or_default();
    if !is_json(first) {
        return Ok(place.upstream.failure(place.endpoint, first));
    }
    // Whoever asks waits for the first byte, and no longer.
    let body = whole(opened, place.endpoint, Instant::now() + LONGEST_WAIT).await?;
    let error = place.upstream.error_instead(place.endpoint, without_mark(&body));
    opened.first = Some(body);
    Ok(error)
}

/// Whether a body begins as JSON does, and not as a stream of events.
pub(crate) fn is_json(first: &[u8]) -> bool {
    matches!(without_mark(first).trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Why a status is none that an answer has, or an error: nobody has asked for what it means.
fn why_no_answer(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        101 => Some("it wants to speak another protocol"),
        ..200 => Some("it promises an answer and sends none"),
        304 => Some("it says that the answer is the one that is known already"),
        // Whoever follows it, we or the caller's client, hands keys and questions to an address that nobody configured.
        300..400 => Some("it redirects to another address"),
        _ => None,
    }
}

fn unreadable(error: &Unreadable, endpoint: &Endpoint) -> ProviderError {
    match error {
        Unreadable::BrokenOff(error) => ProviderError::Cut { endpoint: endpoint.name(), cause: error.to_string() },
        Unreadable::Packed(error) => endpoint.format_error(error.to_string(), b""),
    }
}

/// Whether the beginning of a success looks like one: JSON, or a stream of events. What is garbage from its first byte on
/// is not handed to the caller.
fn is_plausible(first: &[u8], is_all: bool, headers: &HeaderMap) -> bool {
    let text = without_mark(first).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') if is_all => serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok(),
        Some(b'{' | b'[' | b':') => true,
        // White space alone says nothing yet.
        None => !is_all && !first.is_empty(),
        // A stream that says that it is one may have fields that nobody knows.
        Some(letter) if letter.is_ascii_alphabetic() && is_event_stream(headers) => true,
        // The name of an event's field may come in pieces.
        Some(_) => [&b"data:"[..], b"event:", b"id:", b"retry:"]
            .iter()
            .any(|field| text.starts_with(field) || !is_all && field.starts_with(text)),
    }
}

/// Whether the headers say that a stream of events is below them.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..KIND.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

async fn next_piece(body: &mut Incoming) -> Option<Result<Bytes, Unreadable>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The whole body of an error, with what must not be seen taken out of it, or why it cannot be read.
pub(crate) async fn whole_error(
    mut opened: Opened,
    endpoint: &Endpoint,
    deadline: Instant,
) -> (Response<()>, Result<Bytes, UnpackError>) {
    let mut body = opened.first.take().map(|first| first.to_vec()).unwrap_or_default();
    // An error that hangs or breaks off is as good as what is there of it.
    let deadline = deadline.min(Instant::now() + ERROR_PATIENCE);
    let read = loop {
        match tokio::time::timeout_at(deadline, next_piece(&mut opened.rest)).await {
            Ok(Some(Ok(piece))) if body.len() < MAX_ERROR => body.extend_from_slice(&piece),
            Ok(Some(Err(Unreadable::Packed(error)))) => break Err(error),
            _ => break Ok(()),
        }
    };
    let redacted = |body| match String::from_utf8(body) {
        Ok(text) => Bytes::from(endpoint.redact(text)),
        Err(error) => endpoint.secrets.cover(error.into_bytes().into()),
    };
    let mut response = Response::new(());
    *response.status_mut() = opened.status;
    *response.headers_mut() = opened.headers;
    response.headers_mut().remove(header::CONTENT_LENGTH);
    (response, read.map(|()| redacted(body)))
}

/// The whole body, until the deadline.
pub(crate) async fn whole(opened: &mut Opened, endpoint: &Endpoint, deadline: Instant) -> Result<Bytes, ProviderError> {
    let first = opened.first.take().unwrap_or_default();
    if opened.rest.is_end_stream() {
        return Ok(first);
    }
    let reading = async {
        let mut body = first.to_vec();
        while let Some(piece) = next_piece(&mut opened.rest).await {
            body.extend_from_slice(&piece.map_err(|error| unreadable(&error, endpoint))?);
            if body.len() > MAX_RESPONSE_BYTES {
                return Err(ProviderError::TooLarge { endpoint: endpoint.name(), limit: MAX_RESPONSE_BYTES });
            }
        }
        Ok(Bytes::from(body))
    };
    let began = Instant::now();
    let read = tokio::time::timeout_at(deadline, reading).await;
    read.unwrap_or_else(|_| Err(ProviderError::Timeout { after: began.elapsed() }))
}

/// Whether a body is known to have ended.
pub(crate) fn is_over(opened: &Opened) -> bool {
    opened.first.is_none() || opened.rest.is_end_stream()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_early_what_they_are() {
        let check = |first: &str, expected: bool| assert_eq!(names_error(first.as_bytes()), expected, "{first}");
        check(r#"{"error":{"message":"x"}}"#, true);
        check(r#"data: {"id":"a","error" : "x"}"#, true);
        check(r#"{"object":"error","message":"x"}"#, true);
        check("event: error\ndata: overloaded\n\n", true);
        check(r#"{"error": null, "id": "a"}"#, false);
        check(r#"{"choices":[{"message":{"content":"{\"error\": 1}"}}]}"#, false);
        check(&format!(r#"{{"id":"{}","error":1}}"#, "a".repeat(400)), false);
        check("", false);
    }

    #[test]
    fn garbage_is_told_from_answers() {
        let check_of = |kind: &'static str, first: &str, is_all: bool, expected: bool| {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
            assert_eq!(is_plausible(first.as_bytes(), is_all, &headers), expected, "{kind} {first:?} {is_all}");
        };
        let check = |first: &str, is_all: bool, expected: bool| check_of("application/json", first, is_all, expected);
        check("{\"a\": 1}", true, true);
        check("{\"a\": 1", true, false);
        check("{\"a\": 1", false, true);
        check("\u{feff}{\"a\": 1}", true, true);
        check("\u{feff}", false, true);
        check("\u{feff}", true, false);
        check("data: {}\n\n", true, true);
        check("\u{feff}data: {}\n\n", false, true);
        check(": ping\n\n", false, true);
        check("da", false, true);
        check("da", true, false);
        check("dada", false, false);
        check("\n", false, true);
        check("", true, false);
        check("<html>", false, false);
        check("\u{1}\u{2}garbage", true, false);
        check("foo: bar\ndata: {}\n\n", false, false);
        let check = |first: &str, expected: bool| {
            for kind in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
                check_of(kind, first, false, expected);
            }
        };
        check("foo: bar\ndata: {}\n\n", true);
        check("f", true);
        check("<html>", false);
        check("\u{1}\u{2}garbage", false);
        check_of("text/event", "foo: bar\ndata: {}\n\n", false, false);
    }
}
