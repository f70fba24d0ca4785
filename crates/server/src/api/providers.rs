//! `/api/v1/providers`: the models of the configured providers.

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::error::ErrorResponse;
use llmops_api::models::{CheckModels, SetModelScore};
use llmops_api::{ErrorBody, ErrorCode, Page};
use llmops_domain::verifier::ModelStatus;

use super::bad_request;
use crate::ApiError;
use crate::extract::{Editor, Json, NoQuery, Viewer};

/// Models that one request may check.
const MOST_CHECKED: usize = 100;

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list)).routes(routes!(check)).routes(routes!(score))
}

/// The models that runs, scores and prices know: health, score, price. Health is that of the process that answers.
#[utoipa::path(get, path = "/api/v1/providers", operation_id = "list_providers", tag = "providers",
    responses((status = 200, body = Page<ModelStatus>)))]
async fn list(Viewer(ops): Viewer, _: NoQuery) -> Result<Answer<Page<ModelStatus>>, ApiError> {
    Ok(Answer(Page { items: ops.models().list().await?, next_cursor: None }))
}

/// Asks each model for a word, to see that it answers.
#[utoipa::path(post, path = "/api/v1/providers/check", operation_id = "check_providers", tag = "providers",
    request_body = CheckModels,
    responses((status = 200, body = Page<ModelStatus>), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn check(Editor(ops): Editor, Json(request): Json<CheckModels>) -> Result<Answer<Page<ModelStatus>>, ApiError> {
    if !(1..=MOST_CHECKED).contains(&request.models.len()) {
        return Err(bad_request(format!("{} models: expected 1 to {MOST_CHECKED}", request.models.len())));
    }
    Ok(Answer(Page { items: ops.models().probe(&request.models).await?, next_cursor: None }))
}

/// Sets a model's score by hand, in place of what runs measure, or forgets it.
#[utoipa::path(put, path = "/api/v1/providers/score", operation_id = "set_provider_score", tag = "providers",
    request_body = SetModelScore,
    responses((status = 200, body = ModelStatus), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn score(Editor(ops): Editor, Json(request): Json<SetModelScore>) -> Result<Answer<ModelStatus>, ApiError> {
    match request.score {
        Some(score) => drop(ops.models().set_score(&request.model, score).await?),
        None => ops.models().clear_score(&request.model).await?,
    }
    let status = ops.models().status(&[request.model]).await?.pop();
    status.map(Answer).ok_or_else(|| ErrorBody::new(ErrorCode::Internal, "the verifier does not know the model").into())
}
