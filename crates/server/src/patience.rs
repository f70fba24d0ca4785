//! How long a request may take.

use std::time::Duration;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use llmops_api::{ErrorBody, ErrorCode};

use crate::ApiError;

/// Longest that a request may take until its answer begins.
const REQUEST: Duration = Duration::from_mins(1);
/// The same for uploads, which are streams of any length.
const UPLOAD: Duration = Duration::from_hours(1);

/// Whether a request brings observations or samples.
fn is_upload(method: &Method, path: &str) -> bool {
    let is_dataset = || path.starts_with("/api/v1/datasets/") && path.ends_with("/versions");
    method == Method::POST && (path.ends_with("/observations/import") || is_dataset())
}

/// Ends requests that take too long.
pub(crate) async fn limit(request: Request, next: Next) -> Response {
    let patience = if is_upload(request.method(), request.uri().path()) { UPLOAD } else { REQUEST };
    if let Ok(response) = tokio::time::timeout(patience, next.run(request)).await {
        return response;
    }
    let message = format!("the request took longer than {} s", patience.as_secs());
    ApiError::from(ErrorBody::new(ErrorCode::Timeout, message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_told_by_their_paths() {
        let check = |method: Method, path: &str, expected: bool| {
            assert_eq!(is_upload(&method, path), expected, "{method} {path}");
        };
        check(Method::POST, "/api/v1/datasets/golden/versions", true);
        check(Method::POST, "/api/v1/experiments/e/observations/import", true);
        check(Method::GET, "/api/v1/datasets/golden/versions", false);
        check(Method::POST, "/api/v1/prompts/p/versions", false);
        check(Method::POST, "/api/v1/prompts", false);
    }
}
