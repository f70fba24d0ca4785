//! Errors as they travel: `{"error": {"code", "message", "hint", "problems"}}`.

use serde::{Deserialize, Serialize};

/// The closed table of error codes. Codes are stable; messages are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is not well-formed (400).
    InvalidRequest,
    /// The request is well-formed and its content is wrong; `problems` lists everything (422).
    InvalidContent,
    /// A key is needed (401).
    Unauthenticated,
    /// The key does not allow this (403).
    Forbidden,
    /// There is no such thing (404).
    NotFound,
    /// The path exists, the method does not (405).
    MethodNotAllowed,
    /// It exists already with other content, or is in use (409).
    Conflict,
    /// The step is not possible in the present status (409).
    InvalidTransition,
    /// What the caller saw (`If-Match`) is no longer what is there (412).
    PreconditionFailed,
    /// The request with this `Idempotency-Key` is being carried out (409).
    IdempotencyConflict,
    /// This `Idempotency-Key` belongs to another request (422).
    IdempotencyMismatch,
    /// The body is larger than allowed (413).
    TooLarge,
    /// The body has a type that is not read here (415).
    UnsupportedMediaType,
    /// Too many requests (429).
    RateLimited,
    /// A bug (500).
    Internal,
    /// The store cannot be reached at the moment (503).
    StoreUnavailable,
    /// A model provider cannot be reached or refuses (503).
    ProviderUnavailable,
    /// The process starts, stops, or lacks something that it needs (503).
    NotReady,
    /// It took too long (504).
    Timeout,
}

impl ErrorCode {
    /// The HTTP status that goes with the code.
    pub fn status(self) -> http::StatusCode {
        use http::StatusCode as S;
        match self {
            Self::InvalidRequest => S::BAD_REQUEST,
            Self::InvalidContent | Self::IdempotencyMismatch => S::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated => S::UNAUTHORIZED,
            Self::Forbidden => S::FORBIDDEN,
            Self::NotFound => S::NOT_FOUND,
            Self::MethodNotAllowed => S::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::InvalidTransition | Self::IdempotencyConflict => S::CONFLICT,
            Self::PreconditionFailed => S::PRECONDITION_FAILED,
            Self::TooLarge => S::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => S::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => S::TOO_MANY_REQUESTS,
            Self::Internal => S::INTERNAL_SERVER_ERROR,
            Self::StoreUnavailable | Self::ProviderUnavailable | Self::NotReady => S::SERVICE_UNAVAILABLE,
            Self::Timeout => S::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::IdempotencyConflict
                | Self::StoreUnavailable
                | Self::ProviderUnavailable
                | Self::NotReady
                | Self::Timeout
        )
    }
}

/// One thing that is wrong with a request's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Line of the body, from 1, where the body has lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The field, as a dotted path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

/// The inside of an error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What kind of error, stable.
    pub code: ErrorCode,
    /// What happened, for people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Everything that is wrong with the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Seconds after which the same request may succeed; the header `retry-after` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl ErrorBody {
    /// An error without hint and problems.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            problems: Vec::new(),
            retry_after: code.is_temporary().then_some(1),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorBody,
}
