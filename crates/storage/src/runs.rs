//! Evaluation runs: creation, status, tags, progress.

use std::sync::Arc;

use jiff::Timestamp;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::{EvaluationFilter, EvaluationRun, Progress, RunResults, RunStatus};

use crate::{Store, StoreError};

/// Names a run inside the store, for the calls that are made once per batch or shard. Found with [`Store::run_key`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    pub(crate) key: i64,
    /// Trials per sample: pair `i` is sample `i / repeat`, trial `i % repeat`.
    pub(crate) repeat: u32,
    pub(crate) project: Arc<str>,
}

/// A change of a run's status, made only when the run still has the status that the caller saw.
#[derive(Debug, Clone, Copy)]
pub struct StatusChange<'a> {
    /// The status the caller saw.
    pub from: RunStatus,
    /// The new status.
    pub to: RunStatus,
    /// When. Becomes `start_time` on the first step to running and `end_time` on a step to a final status.
    pub at: Timestamp,
    /// Why the run failed. A step to running clears the one before.
    pub error: Option<&'a str>,
    /// The aggregated results. A step to running clears those before.
    pub results: Option<&'a RunResults>,
}

impl Store {
    /// Stores a new run with its shards: ranges `[start, end)` of pair indices, where pair `i` is sample `i / repeat`, trial
    /// `i % repeat`. Progress starts at nothing done; `run.progress.total` is kept.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn create_run(
        &self,
        project: &ProjectId,
        run: &EvaluationRun,
        shards: &[(u64, u64)],
    ) -> Result<RunKey, StoreError> {
        todo!()
    }

    /// The key of a run, by its whole id.
    pub async fn run_key(&self, project: &ProjectId, id: &RunId) -> Result<RunKey, StoreError> {
        todo!()
    }

    /// A run by its id or a beginning of it that fits no other run.
    pub async fn get_run(&self, project: &ProjectId, id: &str) -> Result<EvaluationRun, StoreError> {
        todo!()
    }

    /// Runs, newest first; at most `filter.limit` (default 50, at most 1,000).
    pub async fn list_runs(
        &self,
        project: &ProjectId,
        filter: &EvaluationFilter,
    ) -> Result<Vec<EvaluationRun>, StoreError> {
        todo!()
    }

    /// Changes a run's status and answers with the run as it is then.
    ///
    /// # Errors
    /// [`StoreError::Transition`] when the step is not allowed; [`StoreError::Conflict`] when the run no longer has the status
    /// `change.from`.
    pub async fn update_run_status(
        &self,
        project: &ProjectId,
        id: &RunId,
        change: StatusChange<'_>,
    ) -> Result<EvaluationRun, StoreError> {
        todo!()
    }

    /// Sets a tag, written `key=value`; a tag of the same key is replaced.
    pub async fn tag_run(&self, project: &ProjectId, id: &RunId, tag: &str, at: Timestamp) -> Result<(), StoreError> {
        todo!()
    }

    /// Removes the tag with this key, where there is one.
    pub async fn untag_run(&self, project: &ProjectId, id: &RunId, key: &str) -> Result<(), StoreError> {
        todo!()
    }

    /// The run of this dataset that was given the tag (`env=production`) last.
    pub async fn latest_baseline(
        &self,
        project: &ProjectId,
        dataset: &str,
        tag: &str,
    ) -> Result<Option<EvaluationRun>, StoreError> {
        todo!()
    }

    /// How far a run is. Cheap: the counters are kept with each commit.
    pub async fn progress(&self, run: &RunKey) -> Result<Progress, StoreError> {
        todo!()
    }
}
