//! The queue of jobs: work that any process may take, under a lease.
//!
//! A job that is taken becomes due again when its lease ends. So a worker that dies costs its lease and nothing else, and one
//! column tells both when a job may be taken first and when it may be taken over.

use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::id::ProjectId;

use crate::db::{check_name, count, execute, fetch, micros, micros_after, prose, time};
use crate::{Store, StoreError};

/// A job that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// What names the work.
    pub name: String,
    /// Whose it is.
    pub project: ProjectId,
    /// What is to be done, as JSON.
    pub body: String,
    /// Who took it.
    pub owner: String,
    /// How often it was taken, this time included.
    pub attempt: u32,
    /// How often in a row it failed.
    pub failures: u32,
}

/// What waits and what is in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Jobs that nobody holds.
    pub waiting: u64,
    /// Jobs that somebody holds, or held until its lease ended.
    pub taken: u64,
    /// Of the waiting, those that failed before.
    pub failing: u64,
    /// Since when the job that waits longest has been due; may lie in the future. Null when none waits.
    pub due: Option<Timestamp>,
}

impl Store {
    /// Queues work under a name. Work of this name that waits already stays as it is, but becomes due at `due` if that is earlier.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a NUL character in the name.
    pub async fn push_job(
        &self,
        project: &ProjectId,
        (name, body): (&str, &str),
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        check_name("the job's name", name)?;
        let sql = "INSERT INTO jobs (name, project_id, body, due_at, created_at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (name) DO UPDATE SET due_at = CASE WHEN jobs.owner IS NULL \
                   AND excluded.due_at < jobs.due_at THEN excluded.due_at ELSE jobs.due_at END";
        let mut tx = self.write().await?;
        execute!(tx, sql, name, project.as_str(), body, micros(due), micros(now))?;
        tx.commit().await
    }

    /// Takes the job that has been due longest, until `now + lease`. Null when none is due. No job is given to two owners.
    pub async fn take_job(&self, owner: &str, lease: Duration, now: Timestamp) -> Result<Option<TakenJob>, StoreError> {
        // Most looks find nothing, and a look shall not take SQLite's write lock.
        if self.next_job_due().await?.is_none_or(|due| due > now) {
            return Ok(None);
        }
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "UPDATE jobs SET owner = $1, due_at = $2, attempt = attempt + 1 WHERE name = \
             (SELECT name FROM jobs WHERE due_at <= $3 ORDER BY due_at, name LIMIT 1) \
             RETURNING name, project_id, body, attempt, failures",
            "UPDATE jobs SET owner = $1, due_at = $2, attempt = attempt + 1 WHERE name = \
             (SELECT name FROM jobs WHERE due_at <= $3 ORDER BY due_at, name LIMIT 1 FOR UPDATE SKIP LOCKED) \
             RETURNING name, project_id, body, attempt, failures",
        );
        let row = fetch!(
            fetch_optional,
            tx,
            (String, String, String, i64, i64),
            sql,
            owner,
            micros_after(now, lease),
            micros(now)
        )?;
        tx.commit().await?;
        let Some((name, project, body, attempt, failures)) = row else { return Ok(None) };
        Ok(Some(TakenJob {
            name,
            project: ProjectId(project),
            body,
            owner: owner.to_owned(),
            attempt: count(attempt)?,
            failures: count(failures)?,
        }))
    }

    /// When the next job may be taken; null when there is none. May lie in the past.
    pub async fn next_job_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut conn = self.read().await?;
        let (due,) = fetch!(fetch_one, conn, (Option<i64>,), "SELECT MIN(due_at) FROM jobs")?;
        due.map(time).transpose()
    }

    /// Keeps a job that was taken until `now + lease`. False: it was given to somebody else, or withdrawn.
    pub async fn renew_job(&self, job: &TakenJob, lease: Duration, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET due_at = $4 WHERE name = $1 AND owner = $2 AND attempt = $3";
        let mut tx = self.write().await?;
        let held = execute!(tx, sql, &job.name, &job.owner, i64::from(job.attempt), micros_after(now, lease))?;
        tx.commit().await?;
        Ok(held > 0)
    }

    /// Removes a job that is done. False: it was given to somebody else, or withdrawn.
    pub async fn finish_job(&self, job: &TakenJob) -> Result<bool, StoreError> {
        let sql = "DELETE FROM jobs WHERE name = $1 AND owner = $2 AND attempt = $3";
        let mut tx = self.write().await?;
        let held = execute!(tx, sql, &job.name, &job.owner, i64::from(job.attempt))?;
        tx.commit().await?;
        Ok(held > 0)
    }

    /// Puts a job back, to be taken at `due`, with the reason where it failed. False: it was given to somebody else.
    pub async fn return_job(&self, job: &TakenJob, due: Timestamp, failure: Option<&str>) -> Result<bool, StoreError> {
        let sql = "UPDATE jobs SET owner = NULL, due_at = $4, failures = CASE WHEN $5 IS NULL THEN 0 \
                   ELSE failures + 1 END, error = $5 WHERE name = $1 AND owner = $2 AND attempt = $3";
        let failure = failure.map(prose);
        let mut tx = self.write().await?;
        let held = execute!(tx, sql, &job.name, &job.owner, i64::from(job.attempt), micros(due), failure.as_deref())?;
        tx.commit().await?;
        Ok(held > 0)
    }

    /// Removes a job whoever holds it. False: there is none of this name.
    pub async fn withdraw_job(&self, name: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let removed = execute!(tx, "DELETE FROM jobs WHERE name = $1", name)?;
        tx.commit().await?;
        Ok(removed > 0)
    }

    /// Counts the jobs.
    pub async fn count_jobs(&self) -> Result<JobCounts, StoreError> {
        let sql = "SELECT COUNT(CASE WHEN owner IS NULL THEN 1 END), COUNT(owner), \
                   COUNT(CASE WHEN owner IS NULL AND failures > 0 THEN 1 END), \
                   MIN(CASE WHEN owner IS NULL THEN due_at END) FROM jobs";
        let mut conn = self.read().await?;
        let (waiting, taken, failing, due) = fetch!(fetch_one, conn, (i64, i64, i64, Option<i64>), sql)?;
        Ok(JobCounts {
            waiting: count(waiting)?,
            taken: count(taken)?,
            failing: count(failing)?,
            due: due.map(time).transpose()?,
        })
    }
}
