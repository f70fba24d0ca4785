//! `/api/v1/keys`

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::http::StatusCode;
use llmops_api::Page;
use llmops_api::access::{CreateKey, CreatedKey, KeyProject, KeyQuery};
use llmops_api::error::ErrorResponse;
use llmops_domain::access::ApiKey;
use llmops_domain::limits::Limits;

use super::{id_before, page, page_size};
use crate::ApiError;
use crate::extract::{Admin, Json, Path, Query};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(list, create)).routes(routes!(get, revoke)).routes(routes!(limit))
}

/// The keys of a project, the oldest first, revoked ones too. Secrets are not among what is known of them.
#[utoipa::path(get, path = "/api/v1/keys", operation_id = "list_keys", tag = "keys", params(KeyQuery),
    responses((status = 200, body = Page<ApiKey>), (status = 404, body = ErrorResponse)))]
async fn list(Admin(ops): Admin, Query(query): Query<KeyQuery>) -> Result<Answer<Page<ApiKey>>, ApiError> {
    let limit = page_size(query.limit);
    let after = id_before(query.cursor.as_deref(), "key_")?;
    let keys = ops.keys().list(query.project.as_deref(), after, limit + 1).await?;
    Ok(Answer(page(keys, limit, |key| key.id.0.clone())))
}

/// Makes a key. The answer holds its secret, this once.
#[utoipa::path(post, path = "/api/v1/keys", operation_id = "create_key", tag = "keys", request_body = CreateKey,
    responses((status = 201, body = CreatedKey), (status = 404, body = ErrorResponse),
        (status = 422, body = ErrorResponse)))]
async fn create(
    Admin(ops): Admin,
    Json(request): Json<CreateKey>,
) -> Result<(StatusCode, Answer<CreatedKey>), ApiError> {
    Ok((StatusCode::CREATED, Answer(ops.keys().create(request).await?)))
}

/// One key.
#[utoipa::path(get, path = "/api/v1/keys/{key}", operation_id = "get_key", tag = "keys",
    params(("key" = String, Path), KeyProject),
    responses((status = 200, body = ApiKey), (status = 404, body = ErrorResponse)))]
async fn get(
    Admin(ops): Admin,
    Path(key): Path<String>,
    Query(query): Query<KeyProject>,
) -> Result<Answer<ApiKey>, ApiError> {
    Ok(Answer(ops.keys().get(query.project.as_deref(), &key).await?))
}

/// Sets what may be spent with a key at the gateway, in place of what was set before: every replica keeps to it within a
/// second.
#[utoipa::path(put, path = "/api/v1/keys/{key}/limits", operation_id = "limit_key", tag = "keys",
    params(("key" = String, Path), KeyProject), request_body = Limits,
    responses((status = 200, body = ApiKey), (status = 404, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn limit(
    Admin(ops): Admin,
    Path(key): Path<String>,
    Query(query): Query<KeyProject>,
    Json(limits): Json<Limits>,
) -> Result<Answer<ApiKey>, ApiError> {
    Ok(Answer(ops.keys().limit(query.project.as_deref(), &key, &limits).await?))
}

/// Revokes a key: every replica refuses it within a second. It stays in the list. A key cannot revoke itself.
#[utoipa::path(delete, path = "/api/v1/keys/{key}", operation_id = "revoke_key", tag = "keys",
    params(("key" = String, Path), KeyProject),
    responses((status = 200, body = ApiKey), (status = 404, body = ErrorResponse), (status = 409, body = ErrorResponse)))]
async fn revoke(
    Admin(ops): Admin,
    Path(key): Path<String>,
    Query(query): Query<KeyProject>,
) -> Result<Answer<ApiKey>, ApiError> {
    Ok(Answer(ops.keys().revoke(query.project.as_deref(), &key).await?))
}
