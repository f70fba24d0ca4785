//! Errors as answers.

use axum::Json;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use llmops_api::error::ErrorResponse;
use llmops_api::{ErrorBody, ErrorCode};
use serde_json::json;

/// Any error of a handler, on its way to the caller.
#[derive(Debug)]
pub struct ApiError(pub ErrorBody);

impl From<llmops::Error> for ApiError {
    fn from(error: llmops::Error) -> Self {
        let body = error.to_body();
        if body.code == ErrorCode::Internal {
            // The caller is told nothing about our insides; the log is.
            tracing::error!(error = ?error, "internal error");
        }
        Self(body)
    }
}

impl From<ErrorBody> for ApiError {
    fn from(body: ErrorBody) -> Self {
        Self(body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, retry_after) = (self.0.code, self.0.retry_after);
        let mut response = (code.status(), Json(ErrorResponse { error: self.0 })).into_response();
        if code == ErrorCode::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(crate) fn no_route(uri: &Uri, headers: &HeaderMap) -> Response {
    if uri.path().starts_with("/v1/") {
        return no_door(uri.path(), headers);
    }
    let message = format!("there is nothing at {}", uri.path());
    ApiError(ErrorBody::new(ErrorCode::NotFound, message).hint("GET /openapi.json lists all paths")).into_response()
}

/// What clients of OpenAI and Anthropic ask for beside what the gateway has, in the shape that they read.
fn no_door(path: &str, headers: &HeaderMap) -> Response {
    let is_anthropics = headers.contains_key("anthropic-version") || path.starts_with("/v1/messages/");
    let body = if is_anthropics {
        let message = format!("the gateway has nothing at {path}: only /v1/messages and /v1/models");
        json!({"type": "error", "error": {"type": "not_found_error", "message": message}})
    } else {
        let message = format!(
            "the gateway has nothing at {path}: only /v1/chat/completions, /v1/embeddings and /v1/models; set the client to \
             chat completions"
        );
        json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": "not_found"}})
    };
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> ApiError {
    ErrorBody::new(ErrorCode::MethodNotAllowed, format!("{} does not take {method}", uri.path())).into()
}

pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError(ErrorBody::new(ErrorCode::Internal, "something went wrong inside llmops")).into_response()
}
