//! What a provider does, and how it fails.

use std::time::Duration;

use async_trait::async_trait;
use llmops_domain::chat::{ChatRequest, ChatResponse};
use llmops_domain::config::duration::HumanDuration;

/// Something that answers conversations.
///
/// An implementation makes one attempt and does not limit its time: concurrency, timeouts and retries are added around
/// it by [`Providers`](crate::registry::Providers). A dropped future is a cancelled call and must leave nothing running.
#[async_trait]
pub trait ChatProvider: Send + Sync {
    /// Answers `request`, whose `model` is the name at the provider.
    ///
    /// # Errors
    /// Any [`ProviderError`]; no message contains a secret.
    async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ProviderError>;

    /// Whether an answer may be kept and given again for an equal request. False where the answer depends on something
    /// that the request does not show, such as the user's own program.
    fn cacheable(&self) -> bool {
        true
    }

    /// How many answers it has to give, where that is a fixed number.
    fn answers(&self) -> Option<u64> {
        None
    }
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProviderError {
    /// The provider answered with an error.
    #[error("{endpoint} answered {code}: {message}")]
    Status {
        /// Host and port.
        endpoint: String,
        /// HTTP status, or what stands for it inside a 200.
        code: u16,
        /// The provider's own words, shortened.
        message: String,
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
        /// Whether the same request may succeed, where the provider says so itself (`x-should-retry`).
        should_retry: Option<bool>,
    },
    /// No complete answer in time.
    #[error("no complete answer within {}", HumanDuration(*.after))]
    Timeout {
        /// The time it was given.
        after: Duration,
    },
    /// No connection.
    #[error("cannot connect to {endpoint}: {cause}")]
    Connect {
        /// Host and port.
        endpoint: String,
        /// What the system said.
        cause: String,
    },
    /// The connection ended in the middle of the exchange.
    #[error("{endpoint} cut the connection before its answer was complete: {cause}")]
    Cut {
        /// Host and port.
        endpoint: String,
        /// What was seen.
        cause: String,
    },
    /// A success whose content is not what was agreed.
    #[error("{endpoint} sent an answer that cannot be read: {message}; it begins with: {excerpt}")]
    Format {
        /// Host and port, or the program.
        endpoint: String,
        /// What was expected and where.
        message: String,
        /// The beginning of what came.
        excerpt: String,
    },
    /// An answer beyond the limit of what is kept in memory.
    #[error("{endpoint} sent more than {limit} bytes")]
    TooLarge {
        /// Host and port, or the program.
        endpoint: String,
        /// The limit.
        limit: usize,
    },
    /// The configuration does not allow the call. The message says what to set.
    #[error("{0}")]
    Config(String),
    /// The file of outputs has none for the sample.
    #[error("{path} has no output for the sample `{id}`")]
    OutputNotFound {
        /// The sample's id.
        id: String,
        /// The file.
        path: String,
    },
    /// The user's program failed.
    #[error("`{program}` {status}{}", stderr_suffix(.stderr))]
    Command {
        /// The program's name.
        program: String,
        /// How it ended: `exited with 1`, `was killed by signal 9`.
        status: String,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
}

fn stderr_suffix(stderr: &str) -> String {
    if stderr.is_empty() { "; it wrote nothing to standard error".to_owned() } else { format!(": {stderr}") }
}

impl ProviderError {
    /// Whether the same request may succeed when it is sent again.
    ///
    /// Of the statuses these are 408, 409, 425, 429 and 5xx without 501 and 505, never 400, 401, 403, 404, unless the provider
    /// says otherwise.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { should_retry: Some(should_retry), .. } => *should_retry,
            Self::Status { code, .. } => {
                matches!(code, 408 | 409 | 425 | 429) || (*code >= 500 && !matches!(code, 501 | 505))
            }
            Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::Cut { .. }
            | Self::Format { .. }
            | Self::Command { .. } => true,
            Self::TooLarge { .. } | Self::Config(_) | Self::OutputNotFound { .. } => false,
        }
    }

    /// Whether the provider could not be reached or could not take the call: nothing can be concluded about its answers.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 429) || *code >= 500,
            Self::Timeout { .. } | Self::Connect { .. } | Self::Cut { .. } => true,
            _ => false,
        }
    }

    /// Whether the provider is asked too much: what makes the concurrency shrink.
    pub fn is_overload(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 429 | 503 | 504 | 529),
            Self::Timeout { .. } => true,
            _ => false,
        }
    }

    /// How long the provider asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A short label to count by, such as `provider: 500`. It does not change between versions.
    pub fn reason(&self) -> String {
        let what = match self {
            Self::Status { code, .. } => return format!("provider: {code}"),
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "no connection",
            Self::Cut { .. } => "connection cut",
            Self::Format { .. } => "unreadable answer",
            Self::TooLarge { .. } => "answer too large",
            Self::Config(_) => "configuration",
            Self::OutputNotFound { .. } => "no output",
            Self::Command { .. } => "command failed",
        };
        format!("provider: {what}")
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Status { code: 401 | 403, .. } => "check the provider's `api_key` and what it may use",
            Self::Status { code: 404, .. } => "check the model's name and the provider's `base_url`",
            Self::Status { code: 429, .. } => "lower `max_concurrency`, raise `retries`, or check the account's quota",
            Self::Timeout { .. } => "raise the provider's `timeout`, or check that it is up",
            Self::Connect { .. } => "check that the server is running and that `base_url` is right",
            Self::Format { .. } => "check that `base_url` leads to a chat API",
            Self::OutputNotFound { .. } => "add a line {\"id\": …, \"output\": …} for the sample",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> ProviderError {
        ProviderError::Status {
            endpoint: "x".to_owned(),
            code,
            message: "m".to_owned(),
            retry_after: None,
            should_retry: None,
        }
    }

    #[test]
    fn what_is_tried_again() {
        for code in [400, 401, 402, 403, 404, 405, 410, 413, 422, 501, 505] {
            assert!(!status(code).is_retryable(), "{code}");
        }
        for code in [408, 409, 425, 429, 500, 502, 503, 504, 520, 529] {
            assert!(status(code).is_retryable(), "{code}");
        }
        assert!(!ProviderError::Config("x".to_owned()).is_retryable());
        for (code, said) in [(400, true), (500, false), (429, false)] {
            let ProviderError::Status { endpoint, code, message, retry_after, .. } = status(code) else { panic!() };
            let told = ProviderError::Status { endpoint, code, message, retry_after, should_retry: Some(said) };
            assert_eq!(told.is_retryable(), said, "{code}: the provider knows better");
        }
    }

    #[test]
    fn what_makes_the_provider_unavailable() {
        for (code, expected) in [(400, false), (401, false), (404, false), (409, false), (429, true), (500, true)] {
            assert_eq!(status(code).is_unavailable(), expected, "{code}");
        }
        assert!(ProviderError::Timeout { after: Duration::from_secs(1) }.is_unavailable());
    }

    #[test]
    fn words() {
        assert_eq!(status(500).reason(), "provider: 500");
        assert_eq!(
            ProviderError::Timeout { after: Duration::from_secs(90) }.to_string(),
            "no complete answer within 90s"
        );
        let failed = |stderr: &str| ProviderError::Command {
            program: "bot".to_owned(),
            status: "exited with 1".to_owned(),
            stderr: stderr.to_owned(),
        };
        assert_eq!(failed("boom").to_string(), "`bot` exited with 1: boom");
        assert_eq!(failed("").to_string(), "`bot` exited with 1; it wrote nothing to standard error");
    }
}
