//! The queue in a table of the store.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use llmops_storage::Store;

use super::queue::{JobCounts, Queue, QueueError, TakenJob};

/// Keeps jobs in a store, which is the installation's own unless another is named.
#[derive(Debug, Clone)]
pub struct StoredQueue(pub Store);

#[async_trait]
impl Queue for StoredQueue {
    async fn push(
        &self,
        project: &ProjectId,
        job: (&str, &str),
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        Ok(self.0.push_job(project, job, due, now).await?)
    }

    async fn take(&self, owner: &str, lease: Duration, now: Timestamp) -> Result<Option<TakenJob>, QueueError> {
        Ok(self.0.take_job(owner, lease, now).await?)
    }

    async fn renew(&self, job: &TakenJob, lease: Duration, now: Timestamp) -> Result<bool, QueueError> {
        Ok(self.0.renew_job(job, lease, now).await?)
    }

    async fn finish(&self, job: &TakenJob) -> Result<bool, QueueError> {
        Ok(self.0.finish_job(job).await?)
    }

    async fn put_back(&self, job: &TakenJob, due: Timestamp, failure: Option<&str>) -> Result<bool, QueueError> {
        Ok(self.0.return_job(job, due, failure).await?)
    }

    async fn withdraw(&self, name: &str) -> Result<bool, QueueError> {
        Ok(self.0.withdraw_job(name).await?)
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.0.next_job_due().await?;
        Ok(())
    }

    async fn counts(&self) -> Result<JobCounts, QueueError> {
        Ok(self.0.count_jobs().await?)
    }
}
