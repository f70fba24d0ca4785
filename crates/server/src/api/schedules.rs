//! `/api/v1/schedules`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_api::schedules::{Firing, Preview, PreviewQuery, Schedule, ScheduleSpec};

use super::{after, name_before, page, value_before};
use crate::ApiError;
use crate::extract::{Json, Operator, Path, Query, Viewer};

/// Firings of a preview when the caller names no number.
const DEFAULT_PREVIEW: u32 = 5;

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, put))
        .routes(routes!(get, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(run))
        .routes(routes!(preview))
        .routes(routes!(firings))
}

/// Schedules, by name.
#[utoipa::path(get, path = "/api/v1/schedules", operation_id = "list_schedules", tag = "schedules", params(PageQuery),
    responses((status = 200, body = Page<Schedule>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<Schedule>>, ApiError> {
    let limit = query.limit();
    let schedules = ops.schedules().list(name_before(query.cursor.as_deref())?, limit + 1).await?;
    Ok(Answer(page(schedules, limit, |schedule| after(&schedule.spec.name))))
}

/// Makes a schedule, or replaces the one of its name. What it runs must be possible now.
#[utoipa::path(post, path = "/api/v1/schedules", operation_id = "put_schedule", tag = "schedules",
    request_body = ScheduleSpec,
    responses((status = 200, body = Schedule), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn put(Operator(ops): Operator, Json(spec): Json<ScheduleSpec>) -> Result<Answer<Schedule>, ApiError> {
    Ok(Answer(ops.schedules().put(spec).await?))
}

/// One schedule.
#[utoipa::path(get, path = "/api/v1/schedules/{schedule}", operation_id = "get_schedule", tag = "schedules",
    params(("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(name): Path<String>) -> Result<Answer<Schedule>, ApiError> {
    Ok(Answer(ops.schedules().get(&name).await?))
}

/// Removes a schedule and the list of its firings; its runs stay.
#[utoipa::path(delete, path = "/api/v1/schedules/{schedule}", operation_id = "delete_schedule", tag = "schedules",
    params(("schedule" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorResponse)))]
async fn delete(Operator(ops): Operator, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    ops.schedules().remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps a schedule from firing until it is resumed.
#[utoipa::path(post, path = "/api/v1/schedules/{schedule}/pause", operation_id = "pause_schedule", tag = "schedules",
    params(("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorResponse)))]
async fn pause(Operator(ops): Operator, Path(name): Path<String>) -> Result<Answer<Schedule>, ApiError> {
    Ok(Answer(ops.schedules().pause(&name).await?))
}

/// Lets a paused schedule fire again, from its next time on.
#[utoipa::path(post, path = "/api/v1/schedules/{schedule}/resume", operation_id = "resume_schedule",
    tag = "schedules", params(("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorResponse)))]
async fn resume(Operator(ops): Operator, Path(name): Path<String>) -> Result<Answer<Schedule>, ApiError> {
    Ok(Answer(ops.schedules().resume(&name).await?))
}

/// Fires a schedule now, paused or not. A worker makes the run.
#[utoipa::path(post, path = "/api/v1/schedules/{schedule}/run", operation_id = "run_schedule", tag = "schedules",
    params(("schedule" = String, Path)),
    responses((status = 202, body = Firing), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn run(Operator(ops): Operator, Path(name): Path<String>) -> Result<(StatusCode, Answer<Firing>), ApiError> {
    Ok((StatusCode::ACCEPTED, Answer(ops.schedules().run_now(&name).await?)))
}

/// The next firings of a schedule, paused or not.
#[utoipa::path(get, path = "/api/v1/schedules/{schedule}/preview", operation_id = "preview_schedule",
    tag = "schedules", params(("schedule" = String, Path), PreviewQuery),
    responses((status = 200, body = Preview), (status = 404, body = ErrorResponse)))]
async fn preview(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<PreviewQuery>,
) -> Result<Answer<Preview>, ApiError> {
    let count = query.count.unwrap_or(DEFAULT_PREVIEW);
    Ok(Answer(ops.schedules().preview(&name, count).await?))
}

/// Firings of a schedule, newest first.
#[utoipa::path(get, path = "/api/v1/schedules/{schedule}/firings", operation_id = "list_firings", tag = "schedules",
    params(("schedule" = String, Path), PageQuery),
    responses((status = 200, body = Page<Firing>), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn firings(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Firing>>, ApiError> {
    let limit = query.limit();
    let before = value_before(query.cursor.as_deref())?;
    let firings = ops.schedules().firings(&name, before, limit + 1).await?;
    Ok(Answer(page(firings, limit, |firing| firing.fire_at.to_string())))
}
