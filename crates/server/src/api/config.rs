//! `/api/v1/config`

use std::sync::Arc;

use crate::routes::{Routes, routes};
use axum::Json as Answer;
use axum::extract::Request;
use futures::future::BoxFuture;
use llmops::LlmOps;
use llmops_api::config::Reloaded;
use llmops_api::error::ErrorResponse;
use llmops_api::{ErrorBody, ErrorCode};
use llmops_domain::id::ProjectId;

use crate::ApiError;
use crate::caller::Authenticator;
use crate::extract::Operator;

/// Reads the configuration of the process again.
pub trait Reload: Send + Sync + std::fmt::Debug {
    /// Reads it, checks it, and lets it hold where it changed; `ops` is the installation as the caller sees it. What is wrong
    /// with it comes all at once, and the old configuration stays then.
    fn reload(&self, ops: LlmOps) -> BoxFuture<'_, Result<Reloaded, ErrorBody>>;
}

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(reload))
}

/// Reads the configuration file of this process again, as SIGHUP does. It is checked first: what is wrong comes all at once
/// (422), and the old configuration stays. For keys of the project `default`. Other replicas read their own.
#[utoipa::path(post, path = "/api/v1/config/reload", operation_id = "reload_config", tag = "operations",
    responses((status = 200, body = Reloaded), (status = 409, body = ErrorResponse), (status = 422, body = ErrorResponse)))]
async fn reload(Operator(ops): Operator, request: Request) -> Result<Answer<Reloaded>, ApiError> {
    if *ops.project() != ProjectId::default_project() {
        let message = "the configuration is that of the installation: this needs a key of the project `default`";
        return Err(ErrorBody::new(ErrorCode::Forbidden, message).into());
    }
    let reload =
        request.extensions().get::<Arc<Authenticator>>().and_then(|authenticator| authenticator.options.reload.clone());
    let Some(reload) = reload else {
        let message = "this process has no configuration file that it could read again";
        return Err(ErrorBody::new(ErrorCode::Conflict, message)
            .hint("start `llmops serve` in a project folder")
            .into());
    };
    Ok(Answer(reload.reload(ops).await?))
}
