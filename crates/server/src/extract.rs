//! Extractors that fail in the API's own words, and the caller's scope.

use std::convert::Infallible;

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use llmops::LlmOps;
use llmops_api::{ErrorBody, ErrorCode};
use serde::de::DeserializeOwned;

use crate::ApiError;

/// The installation as the caller may see it: one project of it.
///
/// Authentication belongs here: a request's key decides project and role. Until it exists, the router is only mounted
/// in process and on loopback, and everybody works in the default project.
pub(crate) struct Scope(pub(crate) LlmOps);

impl<S: Send + Sync> FromRequestParts<S> for Scope
where
    LlmOps: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(LlmOps::from_ref(state)))
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => {
                let code = match rejection.status().as_u16() {
                    413 => ErrorCode::TooLarge,
                    415 => ErrorCode::UnsupportedMediaType,
                    422 => ErrorCode::InvalidContent,
                    _ => ErrorCode::InvalidRequest,
                };
                Err(ErrorBody::new(code, rejection.body_text()).into())
            }
        }
    }
}

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ErrorBody::new(ErrorCode::InvalidRequest, rejection.body_text()).into()),
        }
    }
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
