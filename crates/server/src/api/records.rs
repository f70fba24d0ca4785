//! `/api/v1/records`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::Page;
use llmops_api::deployments::{Erased, ErasureQuery};
use llmops_api::error::ErrorResponse;
use llmops_domain::record::{RecordFilter, RequestRecord};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Admin, Json, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(erase))
}

/// Request records, newest first.
#[utoipa::path(get, path = "/api/v1/records", operation_id = "list_records", tag = "records", params(RecordFilter),
    responses((status = 200, body = Page<RequestRecord>), (status = 400, body = ErrorResponse)))]
async fn list(
    Viewer(ops): Viewer,
    Query(filter): Query<RecordFilter>,
) -> Result<Answer<Page<RequestRecord>>, ApiError> {
    let limit = page_size(filter.limit);
    id_before(filter.cursor.as_deref(), "req_")?;
    let items = ops.records().list(&filter, limit + 1).await?;
    Ok(Answer(page(items, limit, |record| record.id.clone())))
}

/// One request record.
#[utoipa::path(get, path = "/api/v1/records/{id}", operation_id = "get_record", tag = "records",
    params(("id" = String, Path)),
    responses((status = 200, body = RequestRecord), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(id): Path<String>) -> Result<Answer<RequestRecord>, ApiError> {
    Ok(Answer(ops.records().get(&id).await?))
}

/// Deletes everything that is kept of a user's calls: records, feedback, items of the review queue. Samples that people made of
/// them stay.
#[utoipa::path(post, path = "/api/v1/records/erase", operation_id = "erase_records", tag = "records",
    request_body = ErasureQuery, responses((status = 200, body = Erased), (status = 422, body = ErrorResponse)))]
async fn erase(Admin(ops): Admin, Json(query): Json<ErasureQuery>) -> Result<Answer<Erased>, ApiError> {
    Ok(Answer(ops.records().erase_user(&query.user).await?))
}
