//! What a queue of jobs can do, wherever it is kept.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use llmops_storage::StoreError;

pub use llmops_storage::{JobCounts, TakenJob};

/// A durable queue. A job that is taken is due again when its lease ends.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Queues work under a name. Work of this name that waits already stays as it is, but becomes due at `due` if that is
    /// earlier.
    async fn push(
        &self,
        project: &ProjectId,
        job: (&str, &str),
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), QueueError>;
    /// Takes the job that has been due longest, until `now + lease`. No job is given to two owners.
    async fn take(&self, owner: &str, lease: Duration, now: Timestamp) -> Result<Option<TakenJob>, QueueError>;
    /// Keeps a job until `now + lease`. False: it was given to somebody else, or withdrawn.
    async fn renew(&self, job: &TakenJob, lease: Duration, now: Timestamp) -> Result<bool, QueueError>;
    /// Removes a job that is done. False: it was given to somebody else, or withdrawn.
    async fn finish(&self, job: &TakenJob) -> Result<bool, QueueError>;
    /// Puts a job back, to be taken at `due`, with the reason where it failed. False: it was given to somebody else.
    async fn put_back(&self, job: &TakenJob, due: Timestamp, failure: Option<&str>) -> Result<bool, QueueError>;
    /// Removes a job whoever holds it. False: there is none of this name.
    async fn withdraw(&self, name: &str) -> Result<bool, QueueError>;
    /// Whether the queue can be reached.
    async fn ping(&self) -> Result<(), QueueError>;
    /// Counts the jobs.
    async fn counts(&self) -> Result<JobCounts, QueueError>;
}

/// A queue that cannot do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The store that keeps the queue failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis failed.
    #[error("the queue in Redis failed: {0}")]
    Redis(String),
    /// The address is none that a queue can be kept at.
    #[error("{0}")]
    Address(String),
    /// A queued job cannot be read.
    #[error("a queued job is damaged: {0}")]
    Damaged(String),
}
