//! How long a request may take.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use llmops_api::{ErrorBody, ErrorCode};

use crate::ApiError;

/// Longest that a request may take until its answer begins.
const REQUEST: Duration = Duration::from_mins(1);
/// The same for uploads, which are streams of any length.
const UPLOAD: Duration = Duration::from_hours(1);

/// Ends requests that take too long.
pub(crate) async fn limit(request: Request, next: Next) -> Response {
    // Observations come as tables too.
    let is_upload = request.uri().path().ends_with("/observations/import")
        || request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-ndjson");
    let patience = if is_upload { UPLOAD } else { REQUEST };
    if let Ok(response) = tokio::time::timeout(patience, next.run(request)).await {
        return response;
    }
    let message = format!("the request took longer than {} s", patience.as_secs());
    ApiError::from(ErrorBody::new(ErrorCode::Timeout, message)).into_response()
}
