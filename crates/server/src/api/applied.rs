//! `/api/v1/applied`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::applied::PutApplied;
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_domain::apply::AppliedPiece;

use super::{no_cursor, page};
use crate::ApiError;
use crate::extract::{Editor, Json, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list, put))
}

/// What `llmops apply` brought here last, piece by piece: whoever applies again sees by it what was edited elsewhere.
#[utoipa::path(get, path = "/api/v1/applied", operation_id = "list_applied", tag = "operations", params(PageQuery),
    responses((status = 200, body = Page<AppliedPiece>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<AppliedPiece>>, ApiError> {
    let limit = query.limit();
    let cursor = query.cursor.unwrap_or_default();
    let after = match cursor.split_once('/') {
        Some(after) => after,
        None if cursor.is_empty() => ("", ""),
        None => return Err(no_cursor()),
    };
    let pieces = ops.applied(after, limit + 1).await?;
    Ok(Answer(page(pieces, limit, |piece| format!("{}/{}", piece.kind, piece.name))))
}

/// Says what was applied of a piece, after it was.
#[utoipa::path(put, path = "/api/v1/applied", operation_id = "put_applied", tag = "operations", request_body = PutApplied,
    responses((status = 204), (status = 422, body = ErrorResponse)))]
async fn put(Editor(ops): Editor, Json(request): Json<PutApplied>) -> Result<StatusCode, ApiError> {
    ops.note_applied(request.kind, &request.name, request.hash.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
