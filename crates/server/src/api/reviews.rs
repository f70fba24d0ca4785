//! `/api/v1/reviews`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops::evaluator::RunRef;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::feedback::{CollectReviews, CollectedReviews, Decided};
use llmops_domain::review::{Decide, ReviewFilter, ReviewItem};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Editor, Json, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(decide)).routes(routes!(collect))
}

/// Items of the review queue, newest first.
#[utoipa::path(get, path = "/api/v1/reviews", operation_id = "list_reviews", tag = "reviews", params(ReviewFilter),
    responses((status = 200, body = Page<ReviewItem>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(filter): Query<ReviewFilter>) -> Result<Answer<Page<ReviewItem>>, ApiError> {
    let limit = page_size(filter.limit);
    id_before(filter.cursor.as_deref(), "review_")?;
    let items = ops.reviews().list(&filter, limit + 1).await?;
    Ok(Answer(page(items, limit, |item| item.id.to_string())))
}

/// One item, by its id, by a beginning of it that fits no other, or `latest`: the newest open one.
#[utoipa::path(get, path = "/api/v1/reviews/{id}", operation_id = "get_review", tag = "reviews",
    params(("id" = String, Path)),
    responses((status = 200, body = ReviewItem), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(id): Path<String>) -> Result<Answer<ReviewItem>, ApiError> {
    Ok(Answer(ops.reviews().get(&id).await?))
}

/// Decides on an item, once: accept, correct, label or dismiss. An answer that is good by it becomes a sample of a dataset,
/// which says where it came from.
#[utoipa::path(post, path = "/api/v1/reviews/{id}/decision", operation_id = "decide_review", tag = "reviews",
    params(("id" = String, Path)), request_body = Decide,
    responses((status = 200, body = Decided), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn decide(
    Editor(ops): Editor,
    Path(id): Path<String>,
    Json(request): Json<Decide>,
) -> Result<Answer<Decided>, ApiError> {
    Ok(Answer(ops.reviews().decide(&id, request).await?))
}

/// Adds the answers of a run that its judges are uncertain of.
#[utoipa::path(post, path = "/api/v1/reviews/collect", operation_id = "collect_reviews", tag = "reviews",
    request_body = CollectReviews,
    responses((status = 200, body = CollectedReviews), (status = 404, body = ErrorResponse)))]
async fn collect(
    Editor(ops): Editor,
    Json(request): Json<CollectReviews>,
) -> Result<Answer<CollectedReviews>, ApiError> {
    Ok(Answer(ops.reviews().collect(&RunRef::from(request.run.as_str())).await?))
}
