//! `/api/v1/prompts`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use llmops::prompts::read_selector;
use llmops_api::Page;
use llmops_api::error::ErrorResponse;
use llmops_api::page::PageQuery;
use llmops_api::prompts::{CompareQuery, PushPrompt, PushedPrompt, RenderPrompt, RenderedPrompt};
use llmops_domain::prompt::{PromptSelector, PromptVersion};
use llmops_domain::prompt_diff::PromptDiff;

use super::{after, name_before, page};
use crate::extract::{Editor, Json, NoQuery, Path, Query, Viewer};
use crate::{ApiError, etag};

pub(crate) fn router() -> Routes {
    Routes::new()
        .routes(routes!(list, push))
        .routes(routes!(get))
        .routes(routes!(versions))
        .routes(routes!(version, delete))
        .routes(routes!(activate))
        .routes(routes!(render))
        .routes(routes!(compare))
}

/// The active version of every prompt, by name.
#[utoipa::path(get, path = "/api/v1/prompts", operation_id = "list_prompts", tag = "prompts", params(PageQuery),
    responses((status = 200, body = Page<PromptVersion>)))]
async fn list(Viewer(ops): Viewer, Query(query): Query<PageQuery>) -> Result<Answer<Page<PromptVersion>>, ApiError> {
    let prompts = ops.prompts().list_all(name_before(query.cursor.as_deref())?, query.limit() + 1).await?;
    let prompts = ops.prompts().with_status(prompts).await?;
    Ok(Answer(page(prompts, query.limit(), |p| after(&p.name))))
}

/// Pushes a version. Identical content is the version that exists (200); new content is a new version (201); the same
/// number with other content is a conflict.
#[utoipa::path(post, path = "/api/v1/prompts", operation_id = "push_prompt", tag = "prompts", request_body = PushPrompt,
    responses((status = 201, body = PushedPrompt), (status = 200, body = PushedPrompt),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn push(
    Editor(ops): Editor,
    Json(request): Json<PushPrompt>,
) -> Result<(StatusCode, Answer<PushedPrompt>), ApiError> {
    let pushed = ops.prompts().create(request).await?;
    Ok((if pushed.created { StatusCode::CREATED } else { StatusCode::OK }, Answer(pushed)))
}

/// The active version of a prompt.
#[utoipa::path(get, path = "/api/v1/prompts/{name}", operation_id = "get_prompt", tag = "prompts",
    params(("name" = String, Path), ("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    responses((status = 200, body = PromptVersion, headers(("ETag" = String, description = "Names this state"))),
        (status = 304, description = "It is the one that is known"), (status = 404, body = ErrorResponse)))]
async fn get(Viewer(ops): Viewer, Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(etag::answer(&headers, &ops.prompts().look_at(&name, &PromptSelector::Active).await?))
}

/// All versions of a prompt, newest first.
#[utoipa::path(get, path = "/api/v1/prompts/{name}/versions", operation_id = "list_prompt_versions", tag = "prompts",
    params(("name" = String, Path)),
    responses((status = 200, body = Page<PromptVersion>), (status = 404, body = ErrorResponse)))]
async fn versions(
    Viewer(ops): Viewer,
    _: NoQuery,
    Path(name): Path<String>,
) -> Result<Answer<Page<PromptVersion>>, ApiError> {
    let versions = ops.prompts().list(&name).await?;
    Ok(Answer(Page { items: ops.prompts().with_scores(versions).await?, next_cursor: None }))
}

/// One version: a number, 12 or more hex digits of its hash, or `active`.
#[utoipa::path(get, path = "/api/v1/prompts/{name}/versions/{version}", operation_id = "get_prompt_version",
    tag = "prompts", params(("name" = String, Path), ("version" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    responses((status = 200, body = PromptVersion, headers(("ETag" = String, description = "Names this state"))),
        (status = 304, description = "It is the one that is known"), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn version(
    Viewer(ops): Viewer,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(etag::answer(&headers, &ops.prompts().look_at(&name, &read_selector(&version)?).await?))
}

/// Deletes a version. The active one cannot be deleted.
#[utoipa::path(delete, path = "/api/v1/prompts/{name}/versions/{version}", operation_id = "delete_prompt",
    tag = "prompts", params(("name" = String, Path), ("version" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version, as the caller saw it")),
    responses((status = 204), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse),
        (status = 412, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn delete(
    Editor(ops): Editor,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    if headers.contains_key(header::IF_MATCH) {
        let present = ops.prompts().look_at(&name, &read_selector(&version)?).await?;
        check_seen(&headers, &present)?;
    }
    ops.prompts().delete(&name, &version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a version the active one.
#[utoipa::path(post, path = "/api/v1/prompts/{name}/versions/{version}/activate", operation_id = "activate_prompt",
    tag = "prompts", params(("name" = String, Path), ("version" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of the active version, as the caller saw it")),
    responses((status = 200, body = PromptVersion), (status = 404, body = ErrorResponse),
        (status = 409, body = ErrorResponse), (status = 412, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn activate(
    Editor(ops): Editor,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer<PromptVersion>, ApiError> {
    if headers.contains_key(header::IF_MATCH) {
        let seen = ops.prompts().look_at(&name, &PromptSelector::Active).await?;
        check_seen(&headers, &seen)?;
        return Ok(Answer(ops.prompts().activate_from(&seen, &version).await?));
    }
    Ok(Answer(ops.prompts().activate(&name, &version).await?))
}

fn check_seen(headers: &HeaderMap, present: &PromptVersion) -> Result<(), ApiError> {
    if etag::still(headers, present) == Some(false) {
        let message = format!("{}@{} is not what If-Match names", present.name, present.version);
        return Err(llmops::Error::Precondition(message).into());
    }
    Ok(())
}

/// Renders a version with values for its variables.
#[utoipa::path(post, path = "/api/v1/prompts/{name}/versions/{version}/render", operation_id = "render_prompt",
    tag = "prompts", params(("name" = String, Path), ("version" = String, Path)), request_body = RenderPrompt,
    responses((status = 200, body = RenderedPrompt), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn render(
    Viewer(ops): Viewer,
    Path((name, version)): Path<(String, String)>,
    Json(request): Json<RenderPrompt>,
) -> Result<Answer<RenderedPrompt>, ApiError> {
    Ok(Answer(ops.prompts().render(&name, &read_selector(&version)?, request.variables).await?))
}

/// What differs between two versions.
#[utoipa::path(get, path = "/api/v1/prompts/{name}/compare", operation_id = "compare_prompts", tag = "prompts",
    params(("name" = String, Path), CompareQuery),
    responses((status = 200, body = PromptDiff), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn compare(
    Viewer(ops): Viewer,
    Path(name): Path<String>,
    Query(query): Query<CompareQuery>,
) -> Result<Answer<PromptDiff>, ApiError> {
    let to = query.to.as_deref().map_or(Ok(PromptSelector::Active), read_selector)?;
    Ok(Answer(ops.prompts().compare(&name, &read_selector(&query.from)?, &to).await?))
}
