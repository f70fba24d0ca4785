//! Extractors that fail in the API's own words, and the caller's scope.

use std::sync::Arc;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use llmops::LlmOps;
use llmops_api::{ErrorBody, ErrorCode, Problem};
use llmops_domain::access::{Actor, Role};
use llmops_domain::config::server::MetricsAccess;
use llmops_domain::id::ProjectId;
use llmops_domain::suggest;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::ApiError;
use crate::caller::{self, Authenticator, Principal};
use crate::request_id::RequestId;

/// The installation as the caller may see it, one project of it, if the caller has the role or a stronger one. It comes
/// first among a handler's arguments, so that nothing else is told to those who may not ask.
macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name(pub(crate) LlmOps);

            impl<S: Send + Sync> FromRequestParts<S> for $name
            where
                LlmOps: FromRef<S>,
            {
                type Rejection = ApiError;

                async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
                    scope(parts, &LlmOps::from_ref(state), Role::$name).map(Self)
                }
            }
        )+
    };
}

roles! {
    /// Whoever may call deployments.
    Caller,
    /// Whoever may read.
    Viewer,
    /// Whoever may change prompts, datasets and runs.
    Editor,
    /// Whoever may move live traffic and schedules.
    Operator,
    /// Whoever may manage keys and projects.
    Admin,
}

/// Who calls, for handlers in which the content of the request decides on the role that it needs.
pub(crate) struct Standing(Principal);

impl Standing {
    pub(crate) fn has(&self, least: Role) -> bool {
        self.0.role >= least
    }

    /// Refuses who has a weaker role.
    pub(crate) fn needs(&self, least: Role) -> Result<(), ApiError> {
        if self.has(least) {
            return Ok(());
        }
        let message = format!("this needs the role {least}; the key `{}` has {}", self.0.name, self.0.role);
        Err(ErrorBody::new(ErrorCode::Forbidden, message)
            .hint("an admin makes keys: llmops key create NAME --role ROLE")
            .into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Standing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        principal(parts).map(Self)
    }
}

fn scope(parts: &Parts, ops: &LlmOps, least: Role) -> Result<LlmOps, ApiError> {
    let standing = Standing(principal(parts)?);
    standing.needs(least)?;
    let Standing(principal) = standing;
    let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.to_string());
    let actor = Actor { name: principal.name, key: principal.key, request_id };
    Ok(ops.for_actor(principal.project, actor))
}

/// The installation for whoever may read the metrics of the process, which are of all projects.
pub(crate) struct Metered(pub(crate) LlmOps);

impl<S: Send + Sync> FromRequestParts<S> for Metered
where
    LlmOps: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let authenticator = parts.extensions.get::<Arc<Authenticator>>();
        let access = authenticator.map_or(MetricsAccess::Key, |authenticator| authenticator.options.metrics);
        match access {
            MetricsAccess::Open => return Ok(Self(LlmOps::from_ref(state))),
            MetricsAccess::Off => return Err(ErrorBody::new(ErrorCode::NotFound, "metrics are switched off").into()),
            MetricsAccess::Key => {}
        }
        let ops = scope(parts, &LlmOps::from_ref(state), Role::Viewer)?;
        if *ops.project() != ProjectId::default_project() {
            let message = "metrics are of all projects: this needs a key of the project `default`";
            return Err(ErrorBody::new(ErrorCode::Forbidden, message).into());
        }
        Ok(Self(ops))
    }
}

/// Who calls.
pub(crate) fn principal(parts: &Parts) -> Result<Principal, ApiError> {
    let caller = parts.extensions.get::<caller::Caller>().cloned();
    // Without the layer that looks at callers, nobody is let in.
    caller
        .map_or_else(|| Err(ErrorBody::new(ErrorCode::Unauthenticated, "nobody looked who calls")), |c| c.0)
        .map_err(ApiError)
}

/// A JSON object in the body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (value, is_list) = json(request, state).await?;
        // A list of a form's fields, in their order, would be taken for the form.
        if is_list {
            return Err(ErrorBody::new(ErrorCode::InvalidContent, "expected a JSON object, found a list").into());
        }
        Ok(Self(value))
    }
}

/// A JSON object in the body, or no body, which is the default.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::from_request(request, state).await.map(|Json(value)| Self(value))
    }
}

/// A JSON object, or a list of such, in the body.
pub(crate) struct JsonOrList<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonOrList<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        json(request, state).await.map(|(value, _)| Self(value))
    }
}

/// A JSON body, and whether it is a list.
async fn json<S: Send + Sync, T: DeserializeOwned>(request: Request, state: &S) -> Result<(T, bool), ApiError> {
    let refused = |status: StatusCode, message: String| {
        let code = match status.as_u16() {
            413 => ErrorCode::TooLarge,
            415 => ErrorCode::UnsupportedMediaType,
            422 => ErrorCode::InvalidContent,
            _ => ErrorCode::InvalidRequest,
        };
        ApiError(ErrorBody::new(code, message))
    };
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
        .await
        .map_err(|rejection| refused(rejection.status(), rejection.body_text()))?;
    let is_list = body.trim_ascii_start().starts_with(b"[");
    let axum::Json(value) = axum::Json::<T>::from_request(Request::from_parts(parts, body.into()), state)
        .await
        .map_err(|rejection| refused(rejection.status(), rejection.body_text()))?;
    Ok((value, is_list))
}

/// A query string. A parameter that the API does not know is refused: misspelt, it would be taken for no wish at all.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        if !parts.uri.query().unwrap_or_default().is_empty() {
            refuse_unknown(parts, &T::into_params(|| Some(ParameterIn::Query)))?;
        }
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(ErrorBody::new(ErrorCode::InvalidRequest, format!("the query cannot be read: {why}")).into())
            }
        }
    }
}

/// The query string of a list that takes no parameters.
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        refuse_unknown(parts, &[]).map(|()| Self)
    }
}

/// Refuses parameters that a route of the API does not have, all of them at once. Probes and the doors of other protocols may be asked
/// with what they do not look at.
fn refuse_unknown(parts: &Parts, known: &[Parameter]) -> Result<(), ApiError> {
    if !parts.uri.path().starts_with("/api/") {
        return Ok(());
    }
    // What cannot be read is refused by who reads it.
    let Ok(given) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else { return Ok(()) };
    let known: Vec<&str> = known.iter().map(|parameter| parameter.name.as_str()).collect();
    let mut problems: Vec<Problem> = Vec::new();
    for (name, _) in given.0.into_iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let near = suggest::nearest(&name, known.iter().copied());
        let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let message = format!("unknown query parameter `{name}`; {near}{}", suggest::one_of(&known));
        problems.push(Problem { line: None, field: Some(name), message });
    }
    let Some(first) = problems.first() else { return Ok(()) };
    let body = ErrorBody::new(ErrorCode::InvalidRequest, first.message.clone());
    Err(ErrorBody { problems, ..body }.into())
}

/// Path parameters.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(ErrorBody::new(ErrorCode::InvalidRequest, rejection.body_text()).into()),
        }
    }
}
