//! Refusals and failures of the gateway itself, in the shape that the caller's client expects.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use llmops_domain::record::Door;
use serde_json::json;

use crate::body::GatewayBody;

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
}

impl GatewayError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, message: message.into(), param: None, retry_after: None }
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

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request is larger than {} MB", limit >> 20);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "too_large", message)
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

    pub(crate) fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "provider_misconfigured", message)
    }

    /// Names the field that is wrong.
    #[must_use]
    pub(crate) fn at(mut self, field: &str) -> Self {
        self.param = Some(field.to_owned());
        self
    }

    /// The answer, in the format of the door.
    pub(crate) fn into_response(self, door: Door) -> Response<GatewayBody> {
        let body = match door {
            Door::Messages => json!({"type": "error", "error": {"type": self.kind, "message": self.message}}),
            Door::Chat | Door::Embeddings => json!({"error": {
                "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
            }}),
        };
        let mut response = Response::new(GatewayBody::whole(Bytes::from(body.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
