//! `/api/v1/releases` and `/api/v1/approvals`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::deployments::Deployed;
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_api::releases::{CancelRelease, StartRelease, WaiveStep};
use llmops_domain::approval::Approval;
use llmops_domain::release::{Release, ReleaseFilter};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Json, Operator, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list))
        .routes(routes!(get, start))
        .routes(routes!(advance))
        .routes(routes!(waive))
        .routes(routes!(approve))
        .routes(routes!(cancel))
        .routes(routes!(approvals))
        .routes(routes!(approve_promotion))
        .routes(routes!(reject_promotion))
}

/// Releases, the newest first.
#[utoipa::path(get, path = "/api/v1/releases", operation_id = "list_releases", tag = "releases", params(ReleaseFilter),
    responses((status = 200, body = Page<Release>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(filter): Query<ReleaseFilter>) -> Result<Answer<Page<Release>>, ApiError> {
    let limit = page_size(filter.limit);
    id_before(filter.cursor.as_deref(), "rel_")?;
    let items = ops.releases().list(&filter, limit + 1).await?;
    Ok(Answer(page(items, limit, |release| release.id.to_string())))
}

/// The release of a deployment that is on its way; or any, by its id.
#[utoipa::path(get, path = "/api/v1/releases/{deployment}", operation_id = "get_release", tag = "releases",
    params(("deployment" = String, Path)),
    responses((status = 200, body = Release), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(name): Path<String>) -> Result<Answer<Release>, ApiError> {
    Ok(Answer(ops.releases().find(&name).await?))
}

/// Begins a release: gate, staging, an experiment on a tenth of the users, approval, production. It walks as far as it can, and
/// says what it waits for.
#[utoipa::path(post, path = "/api/v1/releases/{deployment}", operation_id = "start_release", tag = "releases",
    params(("deployment" = String, Path)), request_body = StartRelease,
    responses((status = 201, body = Release), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn start(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<StartRelease>,
) -> Result<(StatusCode, Answer<Release>), ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.releases().start(&name, request).await?)))
}

/// Goes on as far as it can.
#[utoipa::path(post, path = "/api/v1/releases/{deployment}/advance", operation_id = "advance_release", tag = "releases",
    params(("deployment" = String, Path)),
    responses((status = 200, body = Release), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn advance(Operator(ops): Operator, Path(name): Path<String>) -> Result<Answer<Release>, ApiError> {
    Ok(Answer(ops.releases().advance(&name).await?))
}

/// Lets the present step pass without its evidence, for a reason, and goes on.
#[utoipa::path(post, path = "/api/v1/releases/{deployment}/waive", operation_id = "waive_release_step", tag = "releases",
    params(("deployment" = String, Path)), request_body = WaiveStep,
    responses((status = 200, body = Release), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn waive(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<WaiveStep>,
) -> Result<Answer<Release>, ApiError> {
    Ok(Answer(ops.releases().waive(&name, request).await?))
}

/// Allows a release, and goes on. Where the deployment asks for a second key, who began it may not.
#[utoipa::path(post, path = "/api/v1/releases/{deployment}/approve", operation_id = "approve_release", tag = "releases",
    params(("deployment" = String, Path)),
    responses((status = 200, body = Release), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn approve(Operator(ops): Operator, Path(name): Path<String>) -> Result<Answer<Release>, ApiError> {
    Ok(Answer(ops.releases().approve(&name).await?))
}

/// Gives a release up. What is live stays live.
#[utoipa::path(post, path = "/api/v1/releases/{deployment}/cancel", operation_id = "cancel_release", tag = "releases",
    params(("deployment" = String, Path)), request_body = CancelRelease,
    responses((status = 200, body = Release), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn cancel(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<CancelRelease>,
) -> Result<Answer<Release>, ApiError> {
    Ok(Answer(ops.releases().cancel(&name, &request.reason).await?))
}

/// Promotions that waited for a second key or still do, the newest first.
#[utoipa::path(get, path = "/api/v1/approvals", operation_id = "list_approvals", tag = "releases", params(PageQuery),
    responses((status = 200, body = Page<Approval>), (status = 400, body = ErrorResponse)))]
async fn approvals(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<Approval>>, ApiError> {
    let before = id_before(query.cursor.as_deref(), "approval_")?;
    let items = ops.deployments().approvals(before, query.limit() + 1).await?;
    Ok(Answer(page(items, query.limit(), |approval| approval.id.to_string())))
}

/// Allows a promotion that another key asked for, and carries it out.
#[utoipa::path(post, path = "/api/v1/approvals/{approval}/approve", operation_id = "approve_promotion", tag = "releases",
    params(("approval" = String, Path)),
    responses((status = 200, body = Deployed), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn approve_promotion(Operator(ops): Operator, Path(id): Path<String>) -> Result<Answer<Deployed>, ApiError> {
    Ok(Answer(ops.deployments().approve(&id).await?))
}

/// Refuses a promotion.
#[utoipa::path(post, path = "/api/v1/approvals/{approval}/reject", operation_id = "reject_promotion", tag = "releases",
    params(("approval" = String, Path)),
    responses((status = 200, body = Approval), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn reject_promotion(Operator(ops): Operator, Path(id): Path<String>) -> Result<Answer<Approval>, ApiError> {
    Ok(Answer(ops.deployments().reject(&id).await?))
}
