//! Health of the process.

use axum::Json;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiError;
use crate::extract::Scope;

pub(crate) fn router() -> OpenApiRouter<llmops::LlmOps> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// How the process is.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
    /// The version of llmops.
    version: &'static str,
}

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(OK)
}

/// The process can do its work: its store answers.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = llmops_api::error::ErrorResponse)))]
async fn ready(Scope(ops): Scope) -> Result<Json<Health>, ApiError> {
    ops.datasets().list(None, 1).await?;
    Ok(Json(OK))
}
