//! `Idempotency-Key`: a POST that may be sent again is carried out once, and answered the same each time.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use llmops::LlmOps;
use llmops_api::{ErrorBody, ErrorCode};
use llmops_storage::{Claim, KeptAnswer, KeyedRequest, Store};
use sha2::{Digest, Sha256};

use crate::caller::Caller;
use crate::{ApiError, MAX_BODY};

const HEADER: &str = "idempotency-key";
/// Says that an answer was kept from the first time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long answers are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// After this time whoever carries a request out is taken for dead. Longer than any request may take.
const LOCK: SignedDuration = SignedDuration::from_mins(3);
/// Longest key.
const LONGEST: usize = 255;
/// Answers with secrets, which are nowhere kept.
const SECRET: [&str; 1] = ["/api/v1/keys"];

/// Carries keyed requests out once.
pub(crate) async fn once(State(ops): State<LlmOps>, request: Request, next: Next) -> Response {
    let is_keyed = *request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.uri().path().starts_with("/api/v1/")
        && request.uri().path() != "/api/v1/session";
    if !is_keyed {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // Who may not ask is told so by the handler.
    let Some(Ok(principal)) = parts.extensions.get::<Caller>().map(|caller| caller.0.clone()) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let body = match read(body).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let Some(key) = key_of(&parts) else {
        let message = format!("Idempotency-Key is none: expected 1 to {LONGEST} visible characters of ASCII");
        return ApiError::from(ErrorBody::new(ErrorCode::InvalidRequest, message)).into_response();
    };
    let caller = principal.key.map_or_else(|| "local".to_owned(), |key| key.0);
    let request = KeyedRequest { project: principal.project, caller, key, request: fingerprint(&parts, &body) };
    let now = llmops_domain::clock::now();
    match ops.store().claim_request(&request, now, now + LOCK, now + KEPT).await {
        Ok(Claim::New) => {
            carry_out(ops.store().clone(), request, Request::from_parts(parts, Body::from(body)), next).await
        }
        Ok(Claim::Answered(answer)) => replay(answer),
        Ok(Claim::Busy) => {
            refuse(ErrorCode::IdempotencyConflict, "the request with this Idempotency-Key is being carried out")
        }
        Ok(Claim::Different) => {
            refuse(ErrorCode::IdempotencyMismatch, "this Idempotency-Key belongs to another request: take a new one")
        }
        Err(error) => ApiError::from(llmops::Error::from(error)).into_response(),
    }
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let limited = http_body_util::Limited::new(body, MAX_BODY);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|e| {
        if e.is::<http_body_util::LengthLimitError>() {
            let message = format!("a body with an Idempotency-Key may have {MAX_BODY} bytes");
            return ErrorBody::new(ErrorCode::TooLarge, message)
                .hint("leave the key out: the same samples again are the version that exists")
                .into();
        }
        ErrorBody::new(ErrorCode::InvalidRequest, "the body broke off").into()
    })
}

fn key_of(parts: &Parts) -> Option<String> {
    let key = parts.headers.get(HEADER)?.to_str().ok()?;
    let is_plain = (1..=LONGEST).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    is_plain.then(|| key.to_owned())
}

/// What makes two requests the same one.
fn fingerprint(parts: &Parts, body: &Bytes) -> [u8; 32] {
    let mut digest = Sha256::new();
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("", axum::http::uri::PathAndQuery::as_str);
    for part in [target.as_bytes(), kind, &body[..]] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Runs the request to its end, even if the caller leaves: it will ask again.
async fn carry_out(store: Store, keyed: KeyedRequest, request: Request, next: Next) -> Response {
    let is_secret = SECRET.contains(&request.uri().path());
    let work = async move {
        let (parts, body) = next.run(request).await.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let kept = if parts.status.is_success() {
            store.keep_answer(&keyed, &kept(is_secret, &parts, &body)).await
        } else {
            store.forget_request(&keyed).await
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
        }
        Response::from_parts(parts, Body::from(body))
    };
    let span = tracing::Span::current();
    match tokio::spawn(tracing::Instrument::instrument(work, span)).await {
        Ok(response) => response,
        Err(_) => crate::error::panicked(Box::new(())),
    }
}

fn kept(is_secret: bool, parts: &axum::http::response::Parts, body: &Bytes) -> KeptAnswer {
    if is_secret {
        let message = "this request was carried out before; its answer held a secret, which is not kept";
        let error = ErrorBody::new(ErrorCode::Conflict, message).hint("make another key, and revoke this one");
        let body = serde_json::to_vec(&llmops_api::error::ErrorResponse { error }).unwrap_or_default();
        return KeptAnswer { status: 409, content_type: Some("application/json".to_owned()), body };
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    KeptAnswer { status: parts.status.as_u16(), content_type: kind, body: body.to_vec() }
}

fn replay(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    match answer.content_type.and_then(|kind| HeaderValue::from_str(&kind).ok()) {
        Some(kind) => response.headers_mut().insert(header::CONTENT_TYPE, kind),
        None => response.headers_mut().remove(header::CONTENT_TYPE),
    };
    response
}

fn refuse(code: ErrorCode, message: &str) -> Response {
    ApiError::from(ErrorBody::new(code, message)).into_response()
}
