//! `/api/v1/alerts`, `/api/v1/silences`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::alerts::{AlertQuery, AlertStatus, CreateAlert, CreateSilence, RaisedAlert};
use llmops_api::error::ErrorResponse;
use llmops_domain::alert::{Alert, AlertDraft, AlertFilter, Silence};
use llmops_domain::id::AlertId;

use super::{bad_request, id_before, page, page_size, time};
use crate::ApiError;
use crate::extract::{Editor, Json, NoQuery, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(acknowledge))
        .routes(routes!(resolve))
        .routes(routes!(silences, silence))
        .routes(routes!(end_silence))
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", operation_id = "list_alerts", tag = "alerts", params(AlertQuery),
    responses((status = 200, body = Page<Alert>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<AlertQuery>) -> Result<Answer<Page<Alert>>, ApiError> {
    let limit = page_size(query.limit);
    let filter = AlertFilter {
        types: names("types", query.types.as_deref())?,
        severities: names("severities", query.severities.as_deref())?,
        source: query.source,
        unacked: query.unacked.unwrap_or(false),
        open: query.status.map(|status| status == AlertStatus::Open),
        start_time: time("start_time", query.start_time.as_deref())?,
        end_time: time("end_time", query.end_time.as_deref())?,
        before: id_before(query.cursor.as_deref(), "alert_")?.map(AlertId::from),
        limit: Some(limit + 1),
    };
    Ok(Answer(page(ops.alerts().list(&filter).await?, limit, |alert| alert.id.0.clone())))
}

/// Names with commas between them.
fn names<T: std::str::FromStr<Err = String>>(field: &str, text: Option<&str>) -> Result<Vec<T>, ApiError> {
    let names = text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::parse).collect::<Result<_, _>>().map_err(|e: String| bad_request(format!("{field}: {e}")))
}

/// Raises an alert, or counts it on the open alert of its cause.
#[utoipa::path(post, path = "/api/v1/alerts", operation_id = "create_alert", tag = "alerts", request_body = CreateAlert,
    responses((status = 201, body = RaisedAlert), (status = 422, body = ErrorResponse)))]
async fn create(
    Editor(ops): Editor,
    Json(request): Json<CreateAlert>,
) -> Result<(StatusCode, Answer<RaisedAlert>), ApiError> {
    let mut draft = AlertDraft::new(request.kind, request.severity, &request.source, request.message)
        .measured(request.threshold, request.actual_value);
    (draft.source_id, draft.metric, draft.metadata) = (request.source_id, request.metric, request.metadata);
    let raised = ops.alerts().create(draft.keyed(request.cause.as_deref())).await?;
    Ok((StatusCode::CREATED, Answer(RaisedAlert { alert: raised.alert, telling: raised.telling })))
}

/// One alert: an id, or the beginning of one.
#[utoipa::path(get, path = "/api/v1/alerts/{alert}", operation_id = "get_alert", tag = "alerts",
    params(("alert" = String, Path)), responses((status = 200, body = Alert), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(alert): Path<String>) -> Result<Answer<Alert>, ApiError> {
    Ok(Answer(ops.alerts().get(&alert).await?))
}

/// Marks an alert as seen: channels hear no more of it unless it becomes more severe.
#[utoipa::path(post, path = "/api/v1/alerts/{alert}/acknowledge", operation_id = "acknowledge_alert", tag = "alerts",
    params(("alert" = String, Path)), responses((status = 200, body = Alert), (status = 404, body = ErrorResponse)))]
async fn acknowledge(Editor(ops): Editor, Path(alert): Path<String>) -> Result<Answer<Alert>, ApiError> {
    Ok(Answer(ops.alerts().acknowledge(&alert).await?))
}

/// Resolves an alert, and tells the channels that were told of it.
#[utoipa::path(post, path = "/api/v1/alerts/{alert}/resolve", operation_id = "resolve_alert", tag = "alerts",
    params(("alert" = String, Path)), responses((status = 200, body = Alert), (status = 404, body = ErrorResponse)))]
async fn resolve(Editor(ops): Editor, Path(alert): Path<String>) -> Result<Answer<Alert>, ApiError> {
    Ok(Answer(ops.alerts().resolve(&alert).await?))
}

/// The silences that have not ended.
#[utoipa::path(get, path = "/api/v1/silences", operation_id = "list_silences", tag = "alerts",
    responses((status = 200, body = Page<Silence>)))]
async fn silences(Viewer(ops): Viewer, _: NoQuery) -> Result<Answer<Page<Silence>>, ApiError> {
    Ok(Answer(Page { items: ops.alerts().silences().await?, next_cursor: None }))
}

/// Silences alerts for a time: they are kept, and no channel is told.
#[utoipa::path(post, path = "/api/v1/silences", operation_id = "create_silence", tag = "alerts",
    request_body = CreateSilence, responses((status = 201, body = Silence), (status = 422, body = ErrorResponse)))]
async fn silence(
    Editor(ops): Editor,
    Json(request): Json<CreateSilence>,
) -> Result<(StatusCode, Answer<Silence>), ApiError> {
    let silence = ops.alerts().silence(request.matcher, request.ends_at, &request.comment).await?;
    Ok((StatusCode::CREATED, Answer(silence)))
}

/// Ends a silence.
#[utoipa::path(delete, path = "/api/v1/silences/{silence}", operation_id = "end_silence", tag = "alerts",
    params(("silence" = String, Path)), responses((status = 204), (status = 404, body = ErrorResponse)))]
async fn end_silence(Editor(ops): Editor, Path(silence): Path<String>) -> Result<StatusCode, ApiError> {
    ops.alerts().end_silence(&silence).await?;
    Ok(StatusCode::NO_CONTENT)
}
