//! `/api/v1/incidents`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::incidents::{AddNote, CloseIncident, ClosedIncident, OpenIncident, OpenedIncident};
use llmops_domain::incident::{Incident, IncidentFilter, Timeline};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Json, Operator, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, open))
        .routes(routes!(get))
        .routes(routes!(timeline))
        .routes(routes!(note))
        .routes(routes!(close))
}

/// Incidents, the newest first.
#[utoipa::path(get, path = "/api/v1/incidents", operation_id = "list_incidents", tag = "incidents", params(IncidentFilter),
    responses((status = 200, body = Page<Incident>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(filter): Query<IncidentFilter>) -> Result<Answer<Page<Incident>>, ApiError> {
    let limit = page_size(filter.limit);
    id_before(filter.cursor.as_deref(), "inc_")?;
    let items = ops.incidents().list(&filter, limit + 1).await?;
    Ok(Answer(page(items, limit, |incident| incident.id.to_string())))
}

/// Opens an incident: from now on nothing is promoted to the deployment. Switches the safe mode on or rolls back, where told so.
#[utoipa::path(post, path = "/api/v1/incidents", operation_id = "open_incident", tag = "incidents",
    request_body = OpenIncident,
    responses((status = 201, body = OpenedIncident), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn open(
    Operator(ops): Operator,
    Json(request): Json<OpenIncident>,
) -> Result<(StatusCode, Answer<OpenedIncident>), ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.incidents().open(request).await?)))
}

/// One incident: by its id, a beginning of it, or the name of the deployment (`NAME`, `NAME@ENVIRONMENT`) whose incident is open.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}", operation_id = "get_incident", tag = "incidents",
    params(("incident" = String, Path)),
    responses((status = 200, body = Incident), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(which): Path<String>) -> Result<Answer<Incident>, ApiError> {
    Ok(Answer(ops.incidents().get(&which).await?))
}

/// What happened around an incident, from a day before it on.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/timeline", operation_id = "incident_timeline",
    tag = "incidents", params(("incident" = String, Path)),
    responses((status = 200, body = Timeline), (status = 404, body = ErrorResponse)))]
async fn timeline(Viewer(ops): Viewer, Path(which): Path<String>) -> Result<Answer<Timeline>, ApiError> {
    Ok(Answer(ops.incidents().timeline(&which).await?))
}

/// Writes something down.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/notes", operation_id = "note_incident", tag = "incidents",
    params(("incident" = String, Path)), request_body = AddNote,
    responses((status = 200, body = Incident), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn note(
    Operator(ops): Operator,
    Path(which): Path<String>,
    Json(request): Json<AddNote>,
) -> Result<Answer<Incident>, ApiError> {
    Ok(Answer(ops.incidents().note(&which, &request.text).await?))
}

/// Closes an incident: with the draft of a post-mortem, and a regression dataset of the inputs that failed.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/close", operation_id = "close_incident", tag = "incidents",
    params(("incident" = String, Path)), request_body = CloseIncident,
    responses((status = 200, body = ClosedIncident), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn close(
    Operator(ops): Operator,
    Path(which): Path<String>,
    Json(request): Json<CloseIncident>,
) -> Result<Answer<ClosedIncident>, ApiError> {
    Ok(Answer(ops.incidents().close(&which, request).await?))
}
