//! Refusals and failures of the gateway itself, in the shape that the caller's client expects.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use llmops_domain::limits::Spending;
use llmops_domain::record::{CallOutcome, Door};
use serde_json::{Value, json};

use crate::body::GatewayBody;
use crate::limits::Exceeded;

/// An error of a provider whose format is another one than the door's, in that of the door.
pub(crate) fn error_body(door: Door, status: StatusCode, message: &str) -> Bytes {
    shaped(door, &json!({"message": message, "type": kind(door, status), "param": null, "code": code(status)}))
}

/// The type of the errors with a status: Anthropic's, which OpenAI's clients get too where OpenAI has none of its own.
fn kind(door: Door, status: StatusCode) -> &'static str {
    match (status.as_u16(), door) {
        (402, Door::Messages) => "billing_error",
        (402, _) => "insufficient_quota",
        (413, Door::Messages) => "request_too_large",
        (504, Door::Messages) => "timeout_error",
        (400 | 405 | 413 | 415 | 422, _) => "invalid_request_error",
        (401, _) => "authentication_error",
        (403, _) => "permission_error",
        (404, _) => "not_found_error",
        (429, _) => "rate_limit_error",
        (529, _) => "overloaded_error",
        _ => "api_error",
    }
}

/// OpenAI's code of the errors with a status, as the gateway's own errors have it.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "invalid_api_key",
        402 => "insufficient_quota",
        403 => "forbidden",
        404 => "model_not_found",
        408 | 504 => "upstream_timeout",
        413 => "too_large",
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_request",
        _ => "upstream_error",
    }
}

/// OpenAI's error object; Anthropic's has less.
fn shaped(door: Door, error: &Value) -> Bytes {
    let body = match door {
        Door::Messages => json!({"type": "error", "error": {"type": error["type"], "message": error["message"]}}),
        Door::Chat | Door::Embeddings => json!({"error": error}),
    };
    Bytes::from(body.to_string())
}

/// Why the gateway answers itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct GatewayError {
    pub(crate) status: StatusCode,
    /// OpenAI's `type`.
    kind: &'static str,
    /// Stable, for programs.
    code: &'static str,
    pub(crate) message: String,
    /// The field that is wrong.
    param: Option<String>,
    /// Seconds after which it may go better.
    retry_after: Option<u64>,
    /// Whether it is the deployment that fails here, and not its caller.
    is_failure: bool,
}

impl GatewayError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, message: message.into(), param: None, retry_after: None, is_failure: false }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_request", message)
    }

    pub(crate) fn unauthenticated() -> Self {
        let message = "no valid key: send one as `Authorization: Bearer llmops_…` (llmops key create makes keys)";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", "forbidden", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message)
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let message = format!("the gateway has nothing at {path}");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
    }

    pub(crate) fn wrong_method(path: &str, method: &Method) -> Self {
        let message = format!("{path} takes {method} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message)
    }

    /// The body has a `content-encoding`.
    pub(crate) fn packed() -> Self {
        let message = "the request's body is packed: send it as it is, without content-encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", "unsupported_media_type", message)
    }

    /// The request itself took too long to arrive.
    pub(crate) fn slow(longest: Duration) -> Self {
        let message = format!("the request did not arrive within {} s", longest.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "request_timeout", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request is larger than {} MB", limit >> 20);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "too_large", message)
    }

    /// A model that embeds nothing, as far as the gateway can ask it.
    pub(crate) fn no_embeddings(model: &str) -> Self {
        Self::bad_request(format!("the provider of `{model}` has no embeddings in OpenAI's format")).at("model")
    }

    /// A fixed answer is given instead of all others, and is no embedding.
    pub(crate) fn in_safe_mode(deployment: &str) -> Self {
        let message = format!("the deployment `{deployment}` is in safe mode, which has no embeddings");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", "safe_mode", message)
    }

    /// A limit is used up.
    pub(crate) fn limited(exceeded: &Exceeded) -> Self {
        let message = format!("the limit of this {} is used up: {}", exceeded.whose, exceeded.limit);
        let (status, kind) = (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error");
        let code = if exceeded.limit.spending == Spending::Cost { "insufficient_quota" } else { "rate_limit_exceeded" };
        Self { retry_after: Some(exceeded.retry_after), ..Self::new(status, kind, code, message) }
    }

    /// No provider answered. Its words are not for the caller when they name addresses; the record has them.
    pub(crate) fn unavailable(timed_out: bool) -> Self {
        let (status, code, message) = if timed_out {
            (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "the model provider did not answer in time")
        } else {
            (StatusCode::BAD_GATEWAY, "upstream_unavailable", "the model provider could not be reached")
        };
        Self { retry_after: Some(1), ..Self::new(status, "api_error", code, message) }
    }

    /// There was an answer, which is none.
    pub(crate) fn unreadable() -> Self {
        let message = "the model provider sent an answer that cannot be read";
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "upstream_unreadable", message)
    }

    /// A status that no answer to a call has.
    pub(crate) fn no_answer(status: u16) -> Self {
        let message = format!("the model provider sent the status {status}, which is no answer: check its `base_url`");
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "upstream_unreadable", message)
    }

    pub(crate) fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "provider_misconfigured", message).failing()
    }

    /// A deployment's prompt has no words for this call: what it wants and callers do not give is known when it fails them all.
    pub(crate) fn unrendered(message: impl Into<String>) -> Self {
        Self::bad_request(message).failing()
    }

    fn failing(self) -> Self {
        Self { is_failure: true, ..self }
    }

    /// What a call is that ends with this.
    pub(crate) fn outcome(&self) -> CallOutcome {
        if self.is_failure { CallOutcome::Unavailable } else { CallOutcome::Refused }
    }

    /// Names the field that is wrong.
    #[must_use]
    pub(crate) fn at(mut self, field: &str) -> Self {
        self.param = Some(field.to_owned());
        self
    }

    /// The answer, in the format of the door.
    pub(crate) fn into_response(self, door: Door) -> Response<GatewayBody> {
        let message = &self.message;
        let kind = if door == Door::Messages { kind(door, self.status) } else { self.kind };
        let body = shaped(door, &json!({"message": message, "type": kind, "param": self.param, "code": self.code}));
        let mut response = Response::new(GatewayBody::whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
