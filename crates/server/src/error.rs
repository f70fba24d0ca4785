//! Errors as answers.

use axum::Json;
use axum::http::{Method, Uri, header};
use axum::response::{IntoResponse, Response};
use llmops_api::error::ErrorResponse;
use llmops_api::{ErrorBody, ErrorCode};

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

pub(crate) async fn no_route(uri: Uri) -> ApiError {
    let message = format!("there is nothing at {}", uri.path());
    ErrorBody::new(ErrorCode::NotFound, message).hint("GET /openapi.json lists all paths").into()
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> ApiError {
    ErrorBody::new(ErrorCode::MethodNotAllowed, format!("{} does not take {method}", uri.path())).into()
}

pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError(ErrorBody::new(ErrorCode::Internal, "something went wrong inside llmops")).into_response()
}
