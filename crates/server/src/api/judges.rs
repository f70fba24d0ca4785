//! `/api/v1/judges`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops::evaluator::{CalibrationRequest, RunRef};
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::judges::{CalibrateJudge, CalibrationQuery};
use llmops_domain::calibration::{CalibrationFilter, JudgeCalibration};

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Editor, Json, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list, calibrate)).routes(routes!(get))
}

/// Calibrations of judges against people, newest first.
#[utoipa::path(get, path = "/api/v1/judges/calibrations", operation_id = "list_calibrations", tag = "judges",
    params(CalibrationQuery),
    responses((status = 200, body = Page<JudgeCalibration>), (status = 400, body = ErrorResponse)))]
async fn list(
    Viewer(ops): Viewer,
    Query(query): Query<CalibrationQuery>,
) -> Result<Answer<Page<JudgeCalibration>>, ApiError> {
    let limit = page_size(query.limit);
    let before = id_before(query.cursor.as_deref(), "calibration_")?.map(str::to_owned);
    let filter = CalibrationFilter { judge: query.judge, run: query.run, before, limit: Some(limit + 1) };
    let items = ops.evaluator().calibrations(&filter).await?;
    Ok(Answer(page(items, limit, |calibration| calibration.id.0.clone())))
}

/// Compares the judge of a run with what people said about its answers, and keeps what came out.
#[utoipa::path(post, path = "/api/v1/judges/calibrations", operation_id = "calibrate_judge", tag = "judges",
    request_body = CalibrateJudge,
    responses((status = 201, body = JudgeCalibration), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn calibrate(
    Editor(ops): Editor,
    Json(request): Json<CalibrateJudge>,
) -> Result<(StatusCode, Answer<JudgeCalibration>), ApiError> {
    let CalibrateJudge { run, metric, threshold, labels } = request;
    let asked = CalibrationRequest { metric, threshold, labels };
    let made = ops.evaluator().calibrate(&RunRef::from(run.as_str()), asked).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// One calibration.
#[utoipa::path(get, path = "/api/v1/judges/calibrations/{id}", operation_id = "get_calibration", tag = "judges",
    params(("id" = String, Path, description = "The calibration's id")),
    responses((status = 200, body = JudgeCalibration), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(id): Path<String>) -> Result<Answer<JudgeCalibration>, ApiError> {
    Ok(Answer(ops.evaluator().calibration(&id).await?))
}
