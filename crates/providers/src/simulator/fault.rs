//! Faults: what goes wrong on the wire.

use std::time::Duration;

use llmops_domain::config::providers::FaultRates;

use super::draw::{Purpose, RequestKey};
use crate::provider::ProviderError;

/// One fault of a simulated call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429 with Retry-After.
    RateLimit,
    /// 500.
    ServerError,
    /// No answer, ever.
    Hang,
    /// The connection is cut in the middle of the answer.
    Cut,
    /// A 200 whose body is not JSON.
    Garbage,
    /// The connection is closed before any answer.
    Reset,
    /// The answer comes one byte at a time.
    Drip,
}

/// What a body that is no JSON looks like.
pub(super) const GARBAGE: &str = "<!doctype html><title>Service</title><p>This is not the answer you expect";

/// Name of the simulator in messages of calls within the process.
const NAME: &str = "simulator";

impl Fault {
    /// The fault that the call number `attempt` (from 0) for this request meets. Every attempt draws anew, so that a
    /// call that is tried again can succeed.
    pub(super) fn draw(rates: &FaultRates, key: RequestKey, attempt: u32) -> Option<Self> {
        let shares = [
            (rates.rate_limit, Self::RateLimit),
            (rates.server_error, Self::ServerError),
            (rates.hang, Self::Hang),
            (rates.cut, Self::Cut),
            (rates.garbage, Self::Garbage),
            (rates.reset, Self::Reset),
            (rates.drip, Self::Drip),
        ];
        let drawn = key.unit(Purpose::Fault, attempt);
        let mut upper = 0.0;
        shares.into_iter().find_map(|(share, fault)| {
            upper += share;
            (drawn < upper).then_some(fault)
        })
    }

    /// What a caller within the process sees, or `None` for a call that never ends.
    pub(super) fn error(self, retry_after: Duration) -> Option<ProviderError> {
        let endpoint = NAME.to_owned();
        let status = |code, message: &str, retry_after| ProviderError::Status {
            endpoint: NAME.to_owned(),
            code,
            message: message.to_owned(),
            retry_after,
            should_retry: None,
        };
        Some(match self {
            Self::RateLimit => status(429, RATE_LIMIT_MESSAGE, Some(retry_after)),
            Self::ServerError => status(500, SERVER_ERROR_MESSAGE, None),
            Self::Cut => ProviderError::Cut { endpoint, cause: "simulated".to_owned() },
            Self::Reset => ProviderError::Connect { endpoint, cause: "simulated reset".to_owned() },
            Self::Garbage => {
                ProviderError::Format { endpoint, message: "not JSON".to_owned(), excerpt: GARBAGE.to_owned() }
            }
            // A drip outlasts every timeout that is worth setting.
            Self::Hang | Self::Drip => return None,
        })
    }
}

/// The message of a simulated 429.
pub(super) const RATE_LIMIT_MESSAGE: &str = "simulated rate limit";
/// The message of a simulated 500.
pub(super) const SERVER_ERROR_MESSAGE: &str = "simulated server error";
