//! `/api/v1/session`: browsers sign in with a key and go on with a cookie.

use std::sync::Arc;

use crate::routes::{Routes, routes};
use axum::Extension;
use axum::Json as Answer;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use llmops::LlmOps;
use llmops_api::access::{Session, SignIn};
use llmops_api::error::ErrorResponse;
use llmops_api::{ErrorBody, ErrorCode};
use llmops_domain::access::Role;

use crate::caller::{Authenticator, Client, throttled};
use crate::extract::{Json, principal};
use crate::{ApiError, cookie, origin};

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(get, sign_in, sign_out))
}

/// Who the caller is, by key or by cookie.
#[utoipa::path(get, path = "/api/v1/session", operation_id = "get_session", tag = "session",
    responses((status = 200, body = Session), (status = 401, body = ErrorResponse)))]
async fn get(parts: Parts) -> Result<Answer<Session>, ApiError> {
    let caller = principal(&parts)?;
    Ok(Answer(Session {
        name: caller.name,
        key: caller.key,
        project: caller.project,
        role: caller.role,
        expires_at: caller.until,
    }))
}

/// Signs in: a key for a cookie that lasts twelve hours at most. Attempts are limited.
#[utoipa::path(post, path = "/api/v1/session", operation_id = "sign_in", tag = "session", request_body = SignIn,
    security(()),
    responses((status = 200, body = Session), (status = 401, body = ErrorResponse),
        (status = 403, body = ErrorResponse), (status = 429, body = ErrorResponse)))]
async fn sign_in(
    State(ops): State<LlmOps>,
    authenticator: Option<Extension<Arc<Authenticator>>>,
    client: Option<Extension<Client>>,
    parts: Parts,
    Json(request): Json<SignIn>,
) -> Result<Response, ApiError> {
    let (Some(Extension(authenticator)), Some(Extension(client))) = (authenticator, client) else {
        return Err(ErrorBody::new(ErrorCode::Forbidden, "there are no sessions in the same process").into());
    };
    // Otherwise another site could sign its visitors in with a key of its own.
    if !origin::may_be_own(&parts.headers, &parts.uri) {
        return Err(ErrorBody::new(ErrorCode::Forbidden, "the request comes from a page of another site").into());
    }
    authenticator.sign_ins.check(client.address).map_err(throttled)?;
    let Some(key) = ops.access().authenticate(request.key.trim()).await? else {
        authenticator.sign_ins.count(client.address);
        return Err(ErrorBody::new(ErrorCode::Unauthenticated, "the key is unknown, expired or revoked").into());
    };
    if key.role < Role::Viewer {
        let message =
            format!("the key `{}` calls deployments and reads nothing: signing in needs the role viewer", key.name);
        return Err(ErrorBody::new(ErrorCode::Forbidden, message).into());
    }
    let (token, until) = ops.access().begin_session(&key).await?;
    let seconds = until.duration_since(llmops_domain::clock::now()).as_secs();
    let session =
        Session { name: key.name, key: Some(key.id), project: key.project, role: key.role, expires_at: Some(until) };
    Ok(with_cookie(Answer(session).into_response(), &token, seconds, client.https))
}

/// Signs out: the session ends on every replica, and the cookie goes.
#[utoipa::path(delete, path = "/api/v1/session", operation_id = "sign_out", tag = "session", security(()),
    responses((status = 204)))]
async fn sign_out(
    State(ops): State<LlmOps>,
    client: Option<Extension<Client>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(token) = cookie::token(&headers) {
        ops.access().end_session(token).await?;
    }
    let https = client.is_some_and(|Extension(client)| client.https);
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0, https))
}

fn with_cookie(mut response: Response, token: &str, seconds: i64, https: bool) -> Response {
    if let Some(cookie) = cookie::set(token, seconds, https) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
