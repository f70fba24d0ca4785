//! `/api/v1/experiments`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::experiments::{
    AssignUnit, Assignment, CompleteExperiment, CreateModelExperiment, CreatePromptExperiment, ExperimentQuery,
};
use llmops_domain::access::Role;
use llmops_domain::experiment::{Experiment, ExperimentSpec};
use serde_json::{Map, Value};

use super::{bad_request, id_before, page, page_size};
use crate::extract::{Caller, Editor, Json, Operator, OptionalJson, Path, Query, Standing, Viewer};
use crate::{ApiError, etag};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, create))
        .routes(routes!(create_prompt))
        .routes(routes!(create_model))
        .routes(routes!(get, update, delete))
        .routes(routes!(start))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(complete))
        .routes(routes!(cancel))
        .routes(routes!(assign))
}

/// An experiment with its revision as ETag.
fn tagged(status: StatusCode, experiment: &Experiment) -> Response {
    (status, [(header::ETAG, tag_of(experiment))], Answer(experiment)).into_response()
}

fn tag_of(experiment: &Experiment) -> String {
    format!("\"{}\"", experiment.revision)
}

/// The revision that `If-Match` names.
fn expected_revision(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(tag) = headers.get(header::IF_MATCH).filter(|tag| tag.as_bytes() != b"*") else { return Ok(None) };
    let revision = tag.to_str().ok().and_then(|tag| tag.trim().trim_matches('"').parse().ok());
    revision.map(Some).ok_or_else(|| bad_request("If-Match is no ETag of an experiment: expected a number in quotes"))
}

/// Experiments, newest first.
#[utoipa::path(get, path = "/api/v1/experiments", operation_id = "list_experiments", tag = "experiments",
    params(ExperimentQuery),
    responses((status = 200, body = Page<Experiment>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<ExperimentQuery>) -> Result<Answer<Page<Experiment>>, ApiError> {
    let limit = page_size(query.limit);
    let before = id_before(query.cursor.as_deref(), "exp_")?;
    let found = ops.experiments().list(query.status, before, limit + 1).await?;
    Ok(Answer(page(found, limit, |experiment| experiment.id.0.clone())))
}

/// Makes a draft. What is left out is filled in: ids of variants, control, equal shares.
#[utoipa::path(post, path = "/api/v1/experiments", operation_id = "create_experiment", tag = "experiments",
    request_body = ExperimentSpec,
    responses((status = 201, body = Experiment), (status = 422, body = ErrorResponse)))]
async fn create(Editor(ops): Editor, Json(spec): Json<ExperimentSpec>) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::CREATED, &ops.experiments().create(spec).await?))
}

/// Makes a draft of two prompts, and registers prompts that are not there yet.
#[utoipa::path(post, path = "/api/v1/experiments/prompt", operation_id = "create_prompt_experiment",
    tag = "experiments", request_body = CreatePromptExperiment,
    responses((status = 201, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn create_prompt(Editor(ops): Editor, Json(create): Json<CreatePromptExperiment>) -> Result<Response, ApiError> {
    let CreatePromptExperiment { name, control, treatment, traffic_split } = create;
    let made = ops.create_prompt_experiment(&name, control, treatment, traffic_split).await?;
    Ok(tagged(StatusCode::CREATED, &made))
}

/// Makes a draft of two or more models with the same parameters.
#[utoipa::path(post, path = "/api/v1/experiments/model", operation_id = "create_model_experiment",
    tag = "experiments", request_body = CreateModelExperiment,
    responses((status = 201, body = Experiment), (status = 422, body = ErrorResponse)))]
async fn create_model(Editor(ops): Editor, Json(create): Json<CreateModelExperiment>) -> Result<Response, ApiError> {
    let CreateModelExperiment { name, models, parameters } = create;
    Ok(tagged(StatusCode::CREATED, &ops.create_model_experiment(&name, &models, parameters).await?))
}

/// One experiment: an id, the beginning of one, or a key. Of several with one key it is the one that is running or paused, else
/// the newest.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}", operation_id = "get_experiment", tag = "experiments",
    params(("experiment" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    responses((status = 200, body = Experiment), (status = 304), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(experiment): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let experiment = ops.experiments().get(&experiment).await?;
    let tag = tag_of(&experiment);
    if etag::is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    Ok(tagged(StatusCode::OK, &experiment))
}

/// Changes the fields that are given; null takes a field back to its default. A draft may become anything. While it is running or
/// paused, name, description, metadata and split may change, and the coverage may rise; afterwards name, description and metadata.
/// With `If-Match`, only if nobody changed it since. Editors do that; the split and coverage of what is running or paused move live
/// traffic, and need an operator.
#[utoipa::path(patch, path = "/api/v1/experiments/{experiment}", operation_id = "update_experiment",
    tag = "experiments", params(("experiment" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of the experiment, as the caller saw it")),
    request_body = std::collections::HashMap<String, Value>,
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn update(
    Editor(ops): Editor,
    standing: Standing,
    Path(experiment): Path<String>,
    headers: HeaderMap,
    Json(changes): Json<Map<String, Value>>,
) -> Result<Response, ApiError> {
    let mut revision = expected_revision(&headers)?;
    if !standing.has(Role::Operator) {
        let (moves, seen) = ops.experiments().moves_traffic(&experiment, &changes).await?;
        if moves {
            standing.needs(Role::Operator)?;
        }
        // What was looked at is what is changed.
        revision = revision.or(Some(seen));
    }
    Ok(tagged(StatusCode::OK, &ops.experiments().update(&experiment, &changes, revision).await?))
}

/// Deletes a draft. What was started is kept: it can be cancelled.
#[utoipa::path(delete, path = "/api/v1/experiments/{experiment}", operation_id = "delete_experiment",
    tag = "experiments", params(("experiment" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn delete(Editor(ops): Editor, Path(experiment): Path<String>) -> Result<StatusCode, ApiError> {
    ops.experiments().delete(&experiment).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a draft, or resumes what is paused.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/start", operation_id = "start_experiment",
    tag = "experiments", params(("experiment" = String, Path)),
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn start(Operator(ops): Operator, Path(experiment): Path<String>) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, &ops.experiments().start(&experiment).await?))
}

/// Pauses: no unit is added, and those that are in keep their variant.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/pause", operation_id = "pause_experiment",
    tag = "experiments", params(("experiment" = String, Path)),
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn pause(Operator(ops): Operator, Path(experiment): Path<String>) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, &ops.experiments().pause(&experiment).await?))
}

/// Goes on after a pause.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/resume", operation_id = "resume_experiment",
    tag = "experiments", params(("experiment" = String, Path)),
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn resume(Operator(ops): Operator, Path(experiment): Path<String>) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, &ops.experiments().resume(&experiment).await?))
}

/// Ends it, with a winner or without; no body is without.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/complete", operation_id = "complete_experiment",
    tag = "experiments", params(("experiment" = String, Path)), request_body = Option<CompleteExperiment>,
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn complete(
    Operator(ops): Operator,
    Path(experiment): Path<String>,
    OptionalJson(complete): OptionalJson<CompleteExperiment>,
) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, &ops.experiments().complete(&experiment, complete.winner.as_deref()).await?))
}

/// Gives it up.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/cancel", operation_id = "cancel_experiment",
    tag = "experiments", params(("experiment" = String, Path)),
    responses((status = 200, body = Experiment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn cancel(Operator(ops): Operator, Path(experiment): Path<String>) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, &ops.experiments().cancel(&experiment).await?))
}

/// The variant of a unit. A unit's first exposure is stored before the answer; asking again writes nothing.
#[utoipa::path(post, path = "/api/v1/experiments/{experiment}/assign", operation_id = "assign_variant",
    tag = "experiments", params(("experiment" = String, Path)), request_body = AssignUnit,
    responses((status = 200, body = Assignment), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn assign(
    Caller(ops): Caller,
    Path(experiment): Path<String>,
    Json(unit): Json<AssignUnit>,
) -> Result<Answer<Assignment>, ApiError> {
    Ok(Answer(ops.experiments().assign(&experiment, unit.unit.as_deref(), &unit.attributes).await?))
}
