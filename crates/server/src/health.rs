//! Health of the process.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use llmops::LlmOps;
use llmops_api::{ErrorBody, ErrorCode};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiError;

pub(crate) fn router() -> OpenApiRouter<LlmOps> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// How the process is.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ProcessHealth)]
struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of llmops.
    version: &'static str,
}

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(OK)
}

/// The process can do its work: its store answers.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = llmops_api::error::ErrorResponse)))]
async fn ready(State(ops): State<LlmOps>) -> Result<Json<Health>, ApiError> {
    match tokio::time::timeout(PATIENCE, ops.datasets().list(None, 1)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(ErrorBody::new(ErrorCode::StoreUnavailable, "the store does not answer").into()),
    };
    Ok(Json(OK))
}
