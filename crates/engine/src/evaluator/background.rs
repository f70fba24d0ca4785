//! Runs in the background: queued, worked on by any number of processes at the same time, left without harm.
//!
//! Workers meet at the shards of a run. The queue only brings them there, so a job that is delivered twice or lost changes
//! nothing but who works.

use std::time::Duration;

use llmops_domain::id::RunId;
use llmops_domain::run::{EvaluationRun, RunStatus};
use llmops_storage::{StatusChange, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use super::execution::StopReason;
use super::{ContinuousEvaluator, RunRef};
use crate::Error;
use crate::jobs::Job;

/// What came of joining a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It needs nobody any more.
    Ended,
    /// This process works on it now.
    Here,
    /// There is nothing to do for this process at the moment.
    Nothing,
}

impl ContinuousEvaluator {
    /// Marks a run as running and queues it.
    pub(super) async fn enqueue(&self, run: EvaluationRun) -> Result<EvaluationRun, Error> {
        let run = if run.status == RunStatus::Running {
            run
        } else {
            let key = self.services.store.run_key(&self.project, &run.id).await?;
            self.prepare(&run, &key).await?
        };
        if let Err(error) = self.services.push_job(&self.project, &Job::Run { run: run.id.clone() }, None).await {
            // It is running, and running runs that nobody works on are found.
            tracing::warn!(run = %run.id, %error, "the run waits until the queue can be reached");
        }
        Ok(run)
    }

    /// Joins in the work on a running run, in the background. The place is held as long as this process works on it.
    pub(crate) async fn join_run(&self, id: &RunId, place: OwnedSemaphorePermit) -> Result<Joined, Error> {
        let run = match self.get_run(&RunRef::Id(id.0.clone()), None).await {
            Ok(run) => run,
            Err(Error::Store(StoreError::NotFound { .. })) => return Ok(Joined::Ended),
            Err(error) => return Err(error),
        };
        if run.status != RunStatus::Running {
            return Ok(Joined::Ended);
        }
        if self.services.runs.get(id).is_some() {
            return Ok(Joined::Nothing);
        }
        let execution = self.execution(&run).await?;
        if !self.services.store.has_work(&execution.key, self.services.clock.now()).await? {
            return Ok(Joined::Nothing);
        }
        tracing::info!(run = %id, "joins the run");
        Ok(if self.spawn(execution, Some(place)) { Joined::Here } else { Joined::Nothing })
    }

    /// Fails a run that no worker can work on.
    pub(crate) async fn give_up(&self, id: &RunId, why: &Error) -> Result<(), Error> {
        let error = why.to_string();
        let change = StatusChange {
            from: RunStatus::Running,
            to: RunStatus::Failed,
            at: self.services.clock.now(),
            error: Some(&error),
            results: None,
        };
        match self.services.store.update_run_status(&self.project, id, change).await {
            Ok(_) | Err(StoreError::Transition(_) | StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the work of this process on all runs: answers on their way still reach the disk, and other workers go on at once.
    pub(crate) async fn leave_runs(&self) {
        let runs = self.services.runs.all();
        for run in &runs {
            run.execution.stop.because(StopReason::Leaving);
        }
        for run in runs {
            let mut ended = run.ended.clone();
            // An error means that it has ended.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Waits for the end of a run that others work on, at most `patience`.
    pub(super) async fn wait_for_others(&self, id: &RunId, patience: Duration) -> Result<EvaluationRun, Error> {
        const LOOK: Duration = Duration::from_millis(200);
        let key = self.services.store.run_key(&self.project, id).await?;
        let end = tokio::time::Instant::now() + patience;
        while let now = tokio::time::Instant::now()
            && now < end
            && !self.services.store.run_status(&key).await?.0.is_final()
        {
            tokio::time::sleep(LOOK.min(end - now)).await;
        }
        self.get_run(&RunRef::Id(id.0.clone()), None).await
    }
}
