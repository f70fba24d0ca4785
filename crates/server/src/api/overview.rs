//! `/api/v1/overview`, `/api/v1/quality`, `/api/v1/traffic`: what a person looks at first, in one answer each.

use axum::Json as Answer;
use llmops::LlmOps;
use llmops_api::error::ErrorResponse;
use llmops_api::overview::{Overview, QualityQuery, QualitySeries};
use llmops_domain::traffic::{Traffic, TrafficFilter};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiError;
use crate::extract::{Query, Viewer};

pub(crate) fn router() -> OpenApiRouter<LlmOps> {
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(quality)).routes(routes!(traffic))
}

/// The state of the project at a glance, and what changed since yesterday.
#[utoipa::path(get, path = "/api/v1/overview", operation_id = "get_overview", tag = "overview",
    responses((status = 200, body = Overview)))]
async fn overview(Viewer(ops): Viewer) -> Result<Answer<Overview>, ApiError> {
    Ok(Answer(ops.overview().overview().await?))
}

/// Scores of completed runs over time, with what they are the scores of.
#[utoipa::path(get, path = "/api/v1/quality", operation_id = "get_quality", tag = "overview", params(QualityQuery),
    responses((status = 200, body = QualitySeries), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn quality(Viewer(ops): Viewer, Query(query): Query<QualityQuery>) -> Result<Answer<QualitySeries>, ApiError> {
    Ok(Answer(ops.overview().quality(&query).await?))
}

/// Live traffic in sums, hour by hour.
#[utoipa::path(get, path = "/api/v1/traffic", operation_id = "get_traffic", tag = "overview", params(TrafficFilter),
    responses((status = 200, body = Traffic), (status = 400, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn traffic(Viewer(ops): Viewer, Query(filter): Query<TrafficFilter>) -> Result<Answer<Traffic>, ApiError> {
    Ok(Answer(ops.overview().traffic(&filter).await?))
}
