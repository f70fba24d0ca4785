//! Counts and news for the page that a person sees first.

use jiff::Timestamp;
use llmops_domain::alert::Severity;
use llmops_domain::event::{EventType, StoredEvent};
use llmops_domain::id::ProjectId;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::run::RunStatus;

use crate::alerts::severity_of;
use crate::db::{count, decode, fetch, micros, time};
use crate::{Store, StoreError};

/// Runs by status: those that are not finished, and those created lately.
pub type RunCounts = Vec<(RunStatus, u64)>;

impl Store {
    /// How many alerts are open, by severity.
    pub async fn count_open_alerts(&self, project: &ProjectId) -> Result<Vec<(Severity, u64)>, StoreError> {
        let sql =
            "SELECT severity, COUNT(*) FROM alerts WHERE project_id = $1 AND resolved_at IS NULL GROUP BY severity";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (i64, i64), sql, project.as_str())?;
        rows.into_iter().map(|(severity, n)| Ok((severity_of(severity)?, count(n)?))).collect()
    }

    /// How many runs were created since then, by status; those that wait or work count whenever they were created.
    pub async fn count_runs(&self, project: &ProjectId, since: Timestamp) -> Result<RunCounts, StoreError> {
        let sql = "SELECT status, COUNT(*) FROM runs WHERE project_id = $1 \
                   AND (created_at >= $2 OR status = 'running' OR status = 'pending') GROUP BY status";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, i64), sql, project.as_str(), micros(since))?;
        rows.into_iter().map(|(status, n)| Ok((status.parse().map_err(StoreError::Corrupt)?, count(n)?))).collect()
    }

    /// The datasets whose runs came last, newest first, each with the number of its runs.
    pub async fn evaluated_datasets(&self, project: &ProjectId, limit: u32) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT dataset, COUNT(*) FROM runs WHERE project_id = $1 AND status = 'completed' \
                   GROUP BY dataset ORDER BY MAX(created_at) DESC, dataset LIMIT $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, i64), sql, project.as_str(), i64::from(limit))?;
        rows.into_iter().map(|(dataset, n)| Ok((dataset, count(n)?))).collect()
    }

    /// What happened since then, newest first, without the beginnings and progress of runs, and without versions of prompts
    /// and datasets: a push or a review makes many of them, which would leave no room for others.
    pub async fn events_since(
        &self,
        project: &ProjectId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT id, at, document FROM events WHERE project_id = $1 AND at >= $2 \
                   AND type <> $3 AND type <> $4 AND type <> $5 AND type <> $6 ORDER BY id DESC LIMIT $7";
        let mut conn = self.read().await?;
        let left_out = [EventType::RunProgress, EventType::RunStarted, EventType::Prompt, EventType::Dataset];
        let [progress, started, prompt, dataset] = left_out.map(EventType::as_str);
        let rows = fetch!(
            fetch_all,
            conn,
            (i64, i64, String),
            sql,
            project.as_str(),
            micros(since),
            progress,
            started,
            prompt,
            dataset,
            i64::from(limit)
        )?;
        rows.into_iter()
            .map(|(id, at, document)| {
                Ok(StoredEvent { id: count(id)?, at: time(at)?, event: decode("an event", &document)? })
            })
            .collect()
    }

    /// Prompt versions added since then, newest first.
    pub async fn prompts_since(
        &self,
        project: &ProjectId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<PromptVersion>, StoreError> {
        let sql = "SELECT document FROM prompt_versions WHERE project_id = $1 AND created_at >= $2 \
                   ORDER BY created_at DESC, name LIMIT $3";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), micros(since), i64::from(limit))?;
        rows.iter().map(|(document,)| decode("a prompt version", document)).collect()
    }
}
