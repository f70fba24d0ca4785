//! The `queue` section: where work in the background is queued, and how workers take it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::HumanDuration;

/// The queue of jobs, for `llmops serve` and `llmops worker`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QueueConfig {
    /// Where jobs are queued: `redis://HOST`, `rediss://HOST`, or another database than the store, `postgres://…` or
    /// `sqlite:PATH`. Absent: in the store. `LLMOPS_QUEUE_URL` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The queue's name in Redis: installations that share a server need different ones.
    #[schemars(regex(pattern = super::NAME_PATTERN))]
    pub name: String,
    /// How long the work of a process that died stays with it before others take it over; at least 1s.
    pub lease: HumanDuration,
    /// Runs that a process works on at the same time. 0: `llmops serve` leaves all work to `llmops worker`.
    #[schemars(range(max = 1000))]
    pub concurrency: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { url: None, name: "llmops".to_owned(), lease: HumanDuration::from_secs(30), concurrency: 4 }
    }
}
