//! `/api/v1/playground`, `/api/v1/experiments/power`: trying things out.

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::error::ErrorResponse;
use llmops_api::workbench::{PlanExperiment, PlannedExperiment, PlayPrompt, PlayedPrompt};

use crate::ApiError;
use crate::extract::{Editor, Json, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(play)).routes(routes!(power))
}

/// Asks a model once with a prompt version, as a run would. Nothing is kept of it.
#[utoipa::path(post, path = "/api/v1/playground", operation_id = "play_prompt", tag = "prompts",
    request_body = PlayPrompt,
    responses((status = 200, body = PlayedPrompt), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse), (status = 503, body = ErrorResponse)))]
async fn play(Editor(ops): Editor, Json(request): Json<PlayPrompt>) -> Result<Answer<PlayedPrompt>, ApiError> {
    Ok(Answer(ops.workbench().play(request).await?))
}

/// How large an experiment must be, of two variants or more.
#[utoipa::path(post, path = "/api/v1/experiments/power", operation_id = "plan_experiment", tag = "experiments",
    request_body = PlanExperiment,
    responses((status = 200, body = PlannedExperiment), (status = 422, body = ErrorResponse)))]
async fn power(
    Viewer(ops): Viewer,
    Json(request): Json<PlanExperiment>,
) -> Result<Answer<PlannedExperiment>, ApiError> {
    Ok(Answer(ops.workbench().plan(&request)?))
}
