//! `/api/v1/canaries`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use llmops_api::Page;
use llmops_api::canaries::{
    CanaryQuery, CanaryReport, ChangeCanary, DecisionQuery, PairQuery, StartCanary, StartedCanary,
};
use llmops_api::deployments::EnvironmentQuery;
use llmops_api::error::ErrorResponse;
use llmops_domain::canary::{Canary, LoggedDecision, PairStatus, ShadowPair, ShadowRow};
use llmops_storage::PairFilter;

use super::{id_before, page, page_size, value_before};
use crate::ApiError;
use crate::extract::{Json, Operator, Path, Query, Viewer};
use crate::ndjson::ndjson;

/// Pairs that are exported at a time.
const EXPORT_PAGE: u32 = 200;

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, start))
        .routes(routes!(report))
        .routes(routes!(pairs))
        .routes(routes!(decisions))
        .routes(routes!(export))
        .routes(routes!(begin))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(approve))
        .routes(routes!(promote))
        .routes(routes!(abort))
}

/// Canaries, newest first.
#[utoipa::path(get, path = "/api/v1/canaries", operation_id = "list_canaries", tag = "canaries", params(CanaryQuery),
    responses((status = 200, body = Page<Canary>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<CanaryQuery>) -> Result<Answer<Page<Canary>>, ApiError> {
    let limit = page_size(query.limit);
    let before = id_before(query.cursor.as_deref(), "canary_")?;
    let found = ops.canaries().list(query.status.as_deref(), before, limit + 1).await?;
    Ok(Answer(page(found, limit, |canary| canary.id.0.clone())))
}

/// Puts a candidate beside what a deployment answers with, and starts.
#[utoipa::path(post, path = "/api/v1/canaries", operation_id = "start_canary", tag = "canaries",
    request_body = StartCanary,
    responses((status = 201, body = StartedCanary), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn start(Operator(ops): Operator, Json(request): Json<StartCanary>) -> Result<Response, ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.canaries().start(request).await?)).into_response())
}

/// How a canary stands: its sums, its bounds against the policy's limits, and what would be decided now. It is named by its
/// id, the beginning of it, or its deployment.
#[utoipa::path(get, path = "/api/v1/canaries/{canary}", operation_id = "get_canary", tag = "canaries",
    params(("canary" = String, Path), EnvironmentQuery),
    responses((status = 200, body = CanaryReport), (status = 404, body = ErrorResponse)))]
async fn report(
    Viewer(ops): Viewer,
    Path(canary): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<Answer<CanaryReport>, ApiError> {
    Ok(Answer(ops.canaries().report(&canary, query.environment.as_deref()).await?))
}

/// Pairs of a canary, in the order in which their requests came.
#[utoipa::path(get, path = "/api/v1/canaries/{canary}/pairs", operation_id = "list_canary_pairs", tag = "canaries",
    params(("canary" = String, Path), PairQuery),
    responses((status = 200, body = Page<ShadowPair>), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn pairs(
    Viewer(ops): Viewer,
    Path(canary): Path<String>,
    Query(query): Query<PairQuery>,
) -> Result<Answer<Page<ShadowPair>>, ApiError> {
    let canaries = ops.canaries();
    let canary = canaries.get(&canary, query.environment.as_deref()).await?;
    let limit = page_size(query.limit);
    let after = id_before(query.cursor.as_deref(), "req_")?.map(str::to_owned);
    let filter = PairFilter { verdict: query.verdict, status: query.status, after };
    let found = canaries.pairs(&canary, &filter, limit + 1).await?;
    Ok(Answer(page(found, limit, |pair| pair.id.clone())))
}

/// The log of a canary's decisions, oldest first, each with everything that it was made from.
#[utoipa::path(get, path = "/api/v1/canaries/{canary}/decisions", operation_id = "list_canary_decisions",
    tag = "canaries", params(("canary" = String, Path), DecisionQuery),
    responses((status = 200, body = Page<LoggedDecision>), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn decisions(
    Viewer(ops): Viewer,
    Path(canary): Path<String>,
    Query(query): Query<DecisionQuery>,
) -> Result<Answer<Page<LoggedDecision>>, ApiError> {
    let canaries = ops.canaries();
    let canary = canaries.get(&canary, query.environment.as_deref()).await?;
    let after = value_before(query.cursor.as_deref())?.unwrap_or(0);
    let limit = page_size(query.limit);
    let found = canaries.decisions(&canary, after, limit + 1).await?;
    Ok(Answer(page(found, limit, |decision| decision.number.to_string())))
}

/// All settled pairs as NDJSON, one row each: `ts`, `prompt_hash`, `prod_model`, `shadow_model`, `prod_score`,
/// `shadow_score`, `delta`, and what else was seen.
#[utoipa::path(get, path = "/api/v1/canaries/{canary}/export", operation_id = "export_canary", tag = "canaries",
    params(("canary" = String, Path), EnvironmentQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = 404, body = ErrorResponse)))]
async fn export(
    Viewer(ops): Viewer,
    Path(canary): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<Response, ApiError> {
    let canaries = ops.canaries();
    let canary = canaries.get(&canary, query.environment.as_deref()).await?;
    Ok(ndjson(String::new(), move |after| {
        let (canaries, canary) = (canaries.clone(), canary.clone());
        async move {
            let filter = PairFilter { after: Some(after), ..PairFilter::default() };
            let pairs = canaries.pairs(&canary, &filter, EXPORT_PAGE).await?;
            let Some(next) = pairs.last().map(|last| last.id.clone()) else { return Ok::<_, llmops::Error>(None) };
            let settled = pairs.into_iter().filter(|pair| pair.status != PairStatus::Waiting);
            Ok(Some((settled.map(|pair| ShadowRow::new(&canary, pair)).collect::<Vec<_>>(), next)))
        }
    }))
}

/// Starts a draft.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/begin", operation_id = "begin_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn begin(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().begin(&canary, change).await?))
}

/// Takes the candidate out of traffic until it is resumed: it answers nothing, seen or unseen.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/pause", operation_id = "pause_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn pause(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().pause(&canary, change).await?))
}

/// Goes on after a pause, at the stage that it was paused at.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/resume", operation_id = "resume_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn resume(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().resume(&canary, change).await?))
}

/// Lets a candidate go on that has proved itself and waits for an approval. Not by the key that started the canary.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/approve", operation_id = "approve_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn approve(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().approve(&canary, change).await?))
}

/// Points the deployment to the candidate now, whatever the numbers say. Where the policy asks for an approval, not by the
/// key that started the canary.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/promote", operation_id = "promote_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 403, body = ErrorResponse), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn promote(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().promote(&canary, change).await?))
}

/// Ends a canary at once: the candidate answers nobody any more.
#[utoipa::path(post, path = "/api/v1/canaries/{canary}/abort", operation_id = "abort_canary", tag = "canaries",
    params(("canary" = String, Path)), request_body = ChangeCanary,
    responses((status = 200, body = Canary), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn abort(
    Operator(ops): Operator,
    Path(canary): Path<String>,
    Json(change): Json<ChangeCanary>,
) -> Result<Answer<Canary>, ApiError> {
    Ok(Answer(ops.canaries().abort(&canary, change).await?))
}
