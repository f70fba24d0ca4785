//! Health of the process.

use crate::routes::{Routes, routes};
use axum::Json;
use axum::extract::State;
use llmops::{LlmOps, ReadyCheck};
use llmops_api::{ErrorBody, ErrorCode, Problem};
use serde::{Deserialize, Serialize};

use crate::ApiError;
use crate::extract::Query;

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(live)).routes(routes!(ready))
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

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// Everything that the process does.
    #[default]
    All,
    /// Calls through the gateway, which do without store and queue for a while.
    Gateway,
}

/// Which part of the process is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ReadyQuery {
    /// `all`, or `gateway` alone.
    #[param(inline)]
    part: Part,
}

/// The process runs. It says so while it starts, stops, or waits for its store, too.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(OK)
}

/// The process can do its work: it neither starts nor stops, its store answers and has the tables that this version knows, its
/// queue can be reached, and its gateway hears of changes. Else `problems` lists all that is wrong.
#[utoipa::path(get, path = "/readyz", tag = "operations", params(ReadyQuery),
    responses((status = 200, body = Health), (status = 503, body = llmops_api::error::ErrorResponse)))]
async fn ready(State(ops): State<LlmOps>, Query(query): Query<ReadyQuery>) -> Result<Json<Health>, ApiError> {
    let checks = ops.check_readiness().await;
    let counts = |check: &&ReadyCheck| query.part == Part::All || !check.spares_gateway;
    let problem = |check: &ReadyCheck| Some((check.name, check.problem.clone()?));
    let problems: Vec<_> = checks.iter().filter(counts).filter_map(problem).collect();
    let Some((first, message)) = problems.first() else { return Ok(Json(OK)) };
    let code = if *first == "store" { ErrorCode::StoreUnavailable } else { ErrorCode::NotReady };
    let mut body = ErrorBody::new(code, message.clone());
    body.problems = problems
        .into_iter()
        .map(|(name, message)| Problem { line: None, field: Some(name.to_owned()), message })
        .collect();
    Err(body.into())
}
