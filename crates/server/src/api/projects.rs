//! `/api/v1/projects`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::access::CreateProject;
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_domain::access::Project;

use super::{after, name_before, page};
use crate::ApiError;
use crate::extract::{Admin, Json, Path, Query, Viewer};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list, create)).routes(routes!(get))
}

/// The projects that the caller may know of, by id: all of them for keys of the project `default`, else its own.
#[utoipa::path(get, path = "/api/v1/projects", operation_id = "list_projects", tag = "projects", params(PageQuery),
    responses((status = 200, body = Page<Project>), (status = 400, body = ErrorResponse)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<Project>>, ApiError> {
    let projects = ops.projects().list(name_before(query.cursor.as_deref())?, query.limit() + 1).await?;
    Ok(Answer(page(projects, query.limit(), |project| after(&project.id.0))))
}

/// Makes a project. Only admins of the project `default` can.
#[utoipa::path(post, path = "/api/v1/projects", operation_id = "create_project", tag = "projects",
    request_body = CreateProject,
    responses((status = 201, body = Project), (status = 409, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn create(
    Admin(ops): Admin,
    Json(request): Json<CreateProject>,
) -> Result<(StatusCode, Answer<Project>), ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.projects().create(request).await?)))
}

/// One project.
#[utoipa::path(get, path = "/api/v1/projects/{project}", operation_id = "get_project", tag = "projects",
    params(("project" = String, Path)),
    responses((status = 200, body = Project), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(project): Path<String>) -> Result<Answer<Project>, ApiError> {
    Ok(Answer(ops.projects().get(&project).await?))
}
