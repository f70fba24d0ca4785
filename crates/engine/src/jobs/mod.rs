//! Jobs: work in the background that any process of an installation may take.
//!
//! A [`Queue`] keeps jobs until they are done and gives each to one worker at a time, under a lease. It is thin on purpose:
//! jobs may be delivered more than once, so what a job does must be harmless when done again. The truth about runs and
//! schedules is in the store; the queue only brings workers to it, and what it loses is queued again (see [`worker`]).

mod queue;
mod redis;
mod stored;
pub(crate) mod worker;

use jiff::Timestamp;
use llmops_domain::id::{CanaryId, ProjectId, QuestionId, RunId};
use serde::{Deserialize, Serialize};

pub use self::redis::RedisQueue;
pub use queue::{JobCounts, Queue, QueueError, TakenJob};
pub use stored::StoredQueue;
pub use worker::{Worker, WorkerOptions};

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Join in the work on a run. The job lives as long as the run does: whoever takes it joins and puts it back, so that
    /// others join too, and whoever finds the run ended removes it.
    Run {
        /// The run.
        run: RunId,
    },
    /// Start what a schedule runs.
    Fire {
        /// The schedule's name.
        schedule: String,
        /// The firing.
        fire_at: Timestamp,
    },
    /// Answer a question about an experiment from its observations.
    Answer {
        /// The question.
        question: QuestionId,
    },
    /// Ask a canary's candidate, and judge the pair.
    Shadow {
        /// The canary.
        canary: CanaryId,
        /// The pair.
        pair: String,
    },
}

impl Job {
    /// What names the work: the same work is queued once.
    pub fn name(&self, project: &ProjectId) -> String {
        match self {
            Self::Run { run } => format!("run/{project}/{run}"),
            Self::Shadow { canary, pair } => format!("shadow/{project}/{canary}/{pair}"),
            Self::Fire { schedule, fire_at } => format!("fire/{project}/{schedule}/{fire_at}"),
            Self::Answer { question } => format!("answer/{project}/{question}"),
        }
    }
}

impl crate::Services {
    /// Queues a job, to be taken at `due` or at once. Nothing happens where no queue is set up.
    pub(crate) async fn push_job(
        &self,
        project: &ProjectId,
        job: &Job,
        due: Option<Timestamp>,
    ) -> Result<(), QueueError> {
        let Some(queue) = &self.options.queue else { return Ok(()) };
        let now = self.clock.now();
        let body = serde_json::to_string(job).map_err(|e| QueueError::Damaged(e.to_string()))?;
        queue.push(project, (&job.name(project), &body), due.unwrap_or(now), now).await?;
        self.job_pushed.notify_one();
        Ok(())
    }
}
