//! What can go wrong in a use case, in words for its caller.

use llmops_api::{ErrorBody, ErrorCode, Problem};
use llmops_providers::ProviderError;
use llmops_storage::StoreError;

use crate::jobs::QueueError;
use crate::models::ModelError;
const READ_AGAIN: &str = "read it again, and decide anew";

/// An error of a use case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of a request is wrong; everything that is wrong is listed.
    #[error("{message}")]
    Invalid {
        /// In one sentence.
        message: String,
        /// Everything.
        problems: Vec<Problem>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// It is in conflict with what exists.
    #[error("{message}")]
    Conflict {
        /// In one sentence.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// What it was looked up by.
        id: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What the caller saw is no longer what is there.
    #[error("{0}")]
    Precondition(String),
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// The step is not possible in the present status.
    #[error(transparent)]
    Transition(#[from] llmops_domain::run::InvalidTransition),
    /// The step is not possible in the experiment's present status.
    #[error("{1} (experiment `{0}`)")]
    Experiment(llmops_domain::id::ExperimentId, llmops_domain::experiment::lifecycle::InvalidStep),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue of jobs failed.
    #[error(transparent)]
    Queue(#[from] crate::jobs::QueueError),
    /// A provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// No candidate can be called at the moment.
    #[error("none of {} is healthy", .candidates.join(", "))]
    NoHealthyProvider {
        /// The candidates.
        candidates: Vec<String>,
    },
    /// An embedding model is not to be had.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An answer could not be judged.
    #[error("{reason}: {message}")]
    Unscored {
        /// Short and stable.
        reason: String,
        /// The whole story.
        message: String,
    },
    /// Something that cannot happen did.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<llmops_stats::StatsError> for Error {
    /// What goes into the statistics was scored by us and is finite: an error there is ours.
    fn from(error: llmops_stats::StatsError) -> Self {
        Self::Internal(format!("statistics: {error}"))
    }
}

impl Error {
    /// Content that is wrong in one way.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), problems: Vec::new(), hint: None }
    }

    /// A missing thing.
    pub fn not_found(what: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { what, id: id.into(), hint: None }
    }

    /// Adds what to do about it, where the kind of error has room for it.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Invalid { hint, .. } | Self::Conflict { hint, .. } | Self::NotFound { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Whether trying again may help: the store or the queue is away.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)) | Self::Queue(_))
    }

    /// The error as it travels. Internal detail stays behind.
    pub fn to_body(&self) -> ErrorBody {
        let body =
            |code, hint: &Option<String>| ErrorBody { hint: hint.clone(), ..ErrorBody::new(code, self.to_string()) };
        match self {
            Self::Invalid { problems, hint, .. } => {
                ErrorBody { problems: problems.clone(), ..body(ErrorCode::InvalidContent, hint) }
            }
            Self::Conflict { hint, .. } => body(ErrorCode::Conflict, hint),
            Self::NotFound { hint, .. } => body(ErrorCode::NotFound, hint),
            Self::Precondition(_) => body(ErrorCode::PreconditionFailed, &Some(READ_AGAIN.to_owned())),
            Self::Forbidden(_) => body(ErrorCode::Forbidden, &None),
            Self::Transition(_) | Self::Experiment(..) => body(ErrorCode::InvalidTransition, &None),
            Self::Provider(error) => {
                let code =
                    if error.is_unavailable() { ErrorCode::ProviderUnavailable } else { ErrorCode::InvalidContent };
                body(code, &error.hint().map(str::to_owned))
            }
            Self::NoHealthyProvider { .. } => {
                ErrorBody::new(ErrorCode::ProviderUnavailable, self.to_string()).hint("llmops provider check tells why")
            }
            Self::Model(error) => {
                let code =
                    if error.is_temporary() { ErrorCode::ProviderUnavailable } else { ErrorCode::InvalidContent };
                // Its message has its source, and not what caused that.
                let source = std::error::Error::source(error).and_then(std::error::Error::source);
                let cause = source.map(|cause| format!(": {cause}")).unwrap_or_default();
                ErrorBody { message: format!("{error}{cause}"), ..body(code, &Some(error.hint().to_owned())) }
            }
            Self::Store(error) | Self::Queue(QueueError::Store(error)) => store_body(error),
            Self::Queue(_) => ErrorBody::new(ErrorCode::StoreUnavailable, "the queue of jobs cannot be reached"),
            Self::Unscored { .. } => body(ErrorCode::ProviderUnavailable, &None),
            Self::Internal(_) => ErrorBody::new(ErrorCode::Internal, "something went wrong inside llmops"),
        }
    }
}

/// An error with what caused it: many a text leaves out why.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut said: Vec<String> = causes.map(ToString::to_string).collect();
    // Some repeat their cause.
    said.dedup_by(|cause, of| of.contains(cause.as_str()));
    said.join(": ")
}

impl Error {
    /// Whether it is of a change, and the store's file may only be read.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_read_only())
    }
}

fn store_body(error: &StoreError) -> ErrorBody {
    let code = match error {
        StoreError::NotFound { .. } => ErrorCode::NotFound,
        StoreError::Conflict(_) | StoreError::Ambiguous { .. } | StoreError::LeaseLost { .. } => ErrorCode::Conflict,
        StoreError::Transition(_) => ErrorCode::InvalidTransition,
        StoreError::Invalid(_) => ErrorCode::InvalidContent,
        StoreError::Unavailable(_) => {
            let message = "the store cannot be reached at the moment";
            return match error.file_trouble() {
                Some(trouble) if error.is_read_only() => {
                    ErrorBody::new(ErrorCode::StoreUnavailable, format!("the store takes no changes: {trouble}"))
                        .hint("its file and its folder must be writable: look at their permissions")
                }
                Some(trouble) => ErrorBody::new(ErrorCode::StoreUnavailable, format!("{message}: {trouble}"))
                    .hint("look after the disk and the folder of the store, then try again"),
                None => ErrorBody::new(ErrorCode::StoreUnavailable, message)
                    .hint("try again in a moment; over HTTP, `retry-after` says when"),
            };
        }
        StoreError::Open(_) | StoreError::Corrupt(_) | StoreError::Db(_) => {
            return ErrorBody::new(ErrorCode::Internal, "the store failed");
        }
    };
    ErrorBody::new(code, error.to_string())
}
