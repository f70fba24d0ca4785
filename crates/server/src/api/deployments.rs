//! `/api/v1/deployments` and `/api/v1/manifests`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use llmops_api::Page;
use llmops_api::deployments::{
    Deploy, Deployed, EnvironmentQuery, Rehearsal, Rollback, SafeModeSwitched, SoftFailureQuery, SoftFailureRate,
    SwitchSafeMode,
};
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_domain::deployment::{Deployment, DeploymentChange};
use llmops_domain::manifest::Manifest;

use super::{no_cursor, page};
use crate::ApiError;
use crate::extract::{Json, Operator, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(deploy))
        .routes(routes!(rollback))
        .routes(routes!(safe_mode))
        .routes(routes!(history))
        .routes(routes!(rehearse))
        .routes(routes!(soft_failures))
        .routes(routes!(manifest))
}

/// Deployments by name and environment.
#[utoipa::path(get, path = "/api/v1/deployments", operation_id = "list_deployments", tag = "deployments",
    params(PageQuery), responses((status = 200, body = Page<Deployment>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<Deployment>>, ApiError> {
    let after = match &query.cursor {
        None => None,
        Some(cursor) => Some(cursor.split_once('@').ok_or_else(no_cursor)?),
    };
    let limit = query.limit();
    let items = ops.deployments().list(after, limit + 1).await?;
    Ok(Answer(page(items, limit, |d| format!("{}@{}", d.name, d.environment))))
}

/// One deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{name}", operation_id = "get_deployment", tag = "deployments",
    params(("name" = String, Path), EnvironmentQuery),
    responses((status = 200, body = Deployment), (status = 404, body = ErrorResponse)))]
async fn get(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<Answer<Deployment>, ApiError> {
    Ok(Answer(ops.deployments().get(&name, query.environment.as_deref()).await?))
}

/// Points a deployment to a manifest, and makes the deployment where there is none.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/deploy", operation_id = "deploy", tag = "deployments",
    params(("name" = String, Path)), request_body = Deploy,
    responses((status = 200, body = Deployed), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn deploy(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<Deploy>,
) -> Result<Answer<Deployed>, ApiError> {
    Ok(Answer(ops.deployments().deploy(&name, request).await?))
}

/// Points a deployment to a manifest that was live before.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rollback", operation_id = "rollback", tag = "deployments",
    params(("name" = String, Path)), request_body = Rollback,
    responses((status = 200, body = Deployed), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn rollback(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<Rollback>,
) -> Result<Answer<Deployed>, ApiError> {
    Ok(Answer(ops.deployments().rollback(&name, request).await?))
}

/// Switches the safe mode on or off.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/safe-mode", operation_id = "switch_safe_mode",
    tag = "deployments", params(("name" = String, Path)), request_body = SwitchSafeMode,
    responses((status = 200, body = SafeModeSwitched), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse)))]
async fn safe_mode(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(request): Json<SwitchSafeMode>,
) -> Result<Answer<SafeModeSwitched>, ApiError> {
    Ok(Answer(ops.deployments().safe_mode(&name, request).await?))
}

/// Every change of a deployment, newest first.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/history", operation_id = "deployment_history",
    tag = "deployments", params(("name" = String, Path), EnvironmentQuery),
    responses((status = 200, body = Page<DeploymentChange>), (status = 404, body = ErrorResponse)))]
async fn history(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<Answer<Page<DeploymentChange>>, ApiError> {
    let mut items = ops.deployments().history(&name, query.environment.as_deref()).await?;
    items.reverse();
    Ok(Answer(Page { items, next_cursor: None }))
}

/// Checks whether the manifests that were live could take over. Live traffic is not touched.
#[utoipa::path(post, path = "/api/v1/deployments/{name}/rehearse", operation_id = "rehearse", tag = "deployments",
    params(("name" = String, Path)), request_body = EnvironmentQuery,
    responses((status = 200, body = Rehearsal), (status = 404, body = ErrorResponse)))]
async fn rehearse(
    Operator(ops): Operator,
    Path(name): Path<String>,
    Json(query): Json<EnvironmentQuery>,
) -> Result<Answer<Rehearsal>, ApiError> {
    Ok(Answer(ops.deployments().rehearse(&name, query.environment.as_deref()).await?))
}

/// How many answers of a deployment failed softly, with the interval of their share.
#[utoipa::path(get, path = "/api/v1/deployments/{name}/soft-failures", operation_id = "soft_failure_rate",
    tag = "deployments", params(("name" = String, Path), SoftFailureQuery),
    responses((status = 200, body = SoftFailureRate), (status = 400, body = ErrorResponse),
        (status = 404, body = ErrorResponse)))]
async fn soft_failures(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<SoftFailureQuery>,
) -> Result<Answer<SoftFailureRate>, ApiError> {
    Ok(Answer(ops.deployments().soft_failures(&name, query.environment.as_deref(), query.window).await?))
}

/// A manifest by the beginning of its hash.
#[utoipa::path(get, path = "/api/v1/manifests/{hash}", operation_id = "get_manifest", tag = "deployments",
    params(("hash" = String, Path)),
    responses((status = 200, body = Manifest), (status = 404, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn manifest(Viewer(ops): Viewer, Path(hash): Path<String>) -> Result<Answer<Manifest>, ApiError> {
    Ok(Answer(ops.deployments().manifest(&hash).await?.1))
}
