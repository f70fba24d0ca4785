//! Experiments: each a document, with the columns that it is found by.

use std::sync::Arc;

use jiff::Timestamp;
use llmops_domain::experiment::{Experiment, ExperimentStatus};
use llmops_domain::id::ProjectId;

use crate::audit::{Change, record};
use crate::db::{Tx, big, check_name, decode, encode, execute, fetch, fitting, micros, prefix_end};
use crate::{Store, StoreError};

/// Experiments of a page where the caller names no limit, and the most of one.
const MOST_EXPERIMENTS: u32 = 1000;

/// Names an experiment inside the store, for the calls that are made per batch of units.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExperimentKey {
    pub(crate) key: i64,
    pub(crate) project: Arc<str>,
}

impl ExperimentKey {
    /// A number that no other experiment of this store has.
    pub fn number(&self) -> i64 {
        self.key
    }
}

/// An experiment with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExperiment {
    /// The key.
    pub key: ExperimentKey,
    /// The experiment.
    pub experiment: Experiment,
}

type Row = (i64, String, String);

fn stored((key, project, document): Row) -> Result<StoredExperiment, StoreError> {
    let experiment = decode("an experiment", &document)?;
    Ok(StoredExperiment { key: ExperimentKey { key, project: project.into() }, experiment })
}

impl Store {
    /// Stores a new experiment.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn create_experiment(
        &self,
        project: &ProjectId,
        experiment: &Experiment,
    ) -> Result<ExperimentKey, StoreError> {
        let document = encode("the experiment", experiment)?;
        let (id, key) = (experiment.id.as_str(), experiment.spec.key.as_str());
        check_name("the experiment's key", key)?;
        let sql = "INSERT INTO experiments (project_id, id, flag_key, status, revision, document) \
                   VALUES ($1, $2, $3, $4, $5, $6) RETURNING key";
        let (status, revision) = (experiment.status.as_str(), big(experiment.revision));
        let mut tx = self.write().await?;
        let inserted = fetch!(fetch_one, tx, (i64,), sql, project.as_str(), id, key, status, revision, document);
        let (key,) = inserted.map_err(|e| conflict(e, experiment).of_project(project))?;
        record(&mut tx, self.actor(), project, &Change::new("experiment.created", id).after(experiment)).await?;
        tx.commit().await?;
        Ok(ExperimentKey { key, project: project.as_str().into() })
    }

    /// The experiment with this id, with this beginning of an id that fits no other, or else with this flag key: the one that is running or
    /// paused, else the newest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub async fn get_experiment(&self, project: &ProjectId, name: &str) -> Result<StoredExperiment, StoreError> {
        check_name("the experiment", name)?;
        let by_key = "SELECT key, project_id, document FROM experiments WHERE project_id = $1 AND flag_key = $2 \
                      ORDER BY CASE WHEN status IN ('running', 'paused') THEN 0 ELSE 1 END, key DESC LIMIT 1";
        let mut conn = self.read().await?;
        if name.starts_with("exp_") {
            let by_id = "SELECT key, project_id, document FROM experiments \
                         WHERE project_id = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2";
            let rows = fetch!(fetch_all, conn, Row, by_id, project.as_str(), name, prefix_end(name))?;
            let found = rows.into_iter().map(stored).collect::<Result<Vec<_>, _>>()?;
            if let Some(found) = fitting(found, |f| f.experiment.id.as_str() == name, "experiment", name)? {
                return Ok(found);
            }
        }
        match fetch!(fetch_optional, conn, Row, by_key, project.as_str(), name)? {
            Some(row) => stored(row),
            None => Err(StoreError::not_found("experiment", name)),
        }
    }

    /// The experiments with this flag key that were started, newest first, a hundred at most.
    pub async fn started_experiments(&self, project: &ProjectId, key: &str) -> Result<Vec<Experiment>, StoreError> {
        check_name("the experiment", key)?;
        let sql = "SELECT key, project_id, document FROM experiments WHERE project_id = $1 AND flag_key = $2 \
                   AND status <> 'draft' ORDER BY key DESC LIMIT 100";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, Row, sql, project.as_str(), key)?;
        let found = rows.into_iter().map(|row| Ok(stored(row)?.experiment)).collect::<Result<Vec<_>, StoreError>>()?;
        // A draft that was cancelled never began.
        Ok(found.into_iter().filter(|experiment| experiment.start_time.is_some()).collect())
    }

    /// Replaces an experiment by the revision that follows it. Of experiments that go live at the same moment with parts of a
    /// namespace that overlap, one does.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it since, when another live experiment has its flag key, or a part
    /// of its part of the namespace; [`StoreError::NotFound`].
    pub async fn update_experiment(&self, project: &ProjectId, experiment: &Experiment) -> Result<(), StoreError> {
        let document = encode("the experiment", experiment)?;
        check_name("the experiment's key", &experiment.spec.key)?;
        let (id, key) = (experiment.id.as_str(), experiment.spec.key.as_str());
        let (status, revision) = (experiment.status.as_str(), big(experiment.revision));
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "SELECT document FROM experiments WHERE project_id = $1 AND id = $2",
            "SELECT document FROM experiments WHERE project_id = $1 AND id = $2 FOR UPDATE",
        );
        let before = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id)?;
        let Some((before,)) = before else { return Err(StoreError::not_found("experiment", id)) };
        let before: Experiment = decode("an experiment", &before)?;
        if before.revision + 1 != experiment.revision {
            let message = format!("experiment `{id}` was changed in the meantime: read it again");
            return Err(StoreError::Conflict(message));
        }
        if !before.status.is_live() && experiment.status.is_live() {
            claim_namespace(&mut tx, project, experiment).await?;
        }
        // Whatever ends is looked at once more, so that its alerts end too.
        let sql = "UPDATE experiments SET flag_key = $3, status = $4, revision = $5, document = $6, \
                   review_at = CASE WHEN $4 IN ('completed', 'cancelled') AND status <> $4 THEN 0 ELSE review_at END \
                   WHERE project_id = $1 AND id = $2";
        execute!(tx, sql, project.as_str(), id, key, status, revision, document)
            .map_err(|e| conflict(e, experiment))?;
        let change = Change::new(action(&before, experiment), id).before(&before).after(experiment);
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and [`StoreError::Conflict`] for what was started.
    pub async fn delete_draft(&self, project: &ProjectId, experiment: &Experiment) -> Result<(), StoreError> {
        let id = experiment.id.as_str();
        let mut tx = self.write().await?;
        let sql = "DELETE FROM experiments WHERE project_id = $1 AND id = $2 AND status = 'draft' RETURNING key";
        if fetch!(fetch_optional, tx, (i64,), sql, project.as_str(), id)?.is_none() {
            let sql = "SELECT key FROM experiments WHERE project_id = $1 AND id = $2";
            return match fetch!(fetch_optional, tx, (i64,), sql, project.as_str(), id)? {
                Some(_) => Err(StoreError::Conflict(format!("experiment `{id}` was started: only drafts are deleted"))),
                None => Err(StoreError::not_found("experiment", id)),
            };
        }
        record(&mut tx, self.actor(), project, &Change::new("experiment.deleted", id).before(experiment)).await?;
        tx.commit().await
    }

    /// Takes an experiment that is to be looked at, and puts its next look off to `next`; nothing when none is due. Drafts
    /// never are, and what has ended is until [`Store::end_experiment_reviews`].
    pub async fn claim_experiment_review(
        &self,
        next: Timestamp,
        now: Timestamp,
    ) -> Result<Option<(ProjectId, StoredExperiment)>, StoreError> {
        let sql = "SELECT key FROM experiments WHERE status <> 'draft' AND review_at <= $1 LIMIT 1";
        // Mostly nothing is due: find that out without taking the lock of writers.
        let mut conn = self.read().await?;
        let due = fetch!(fetch_optional, conn, (i64,), sql, micros(now))?;
        drop(conn);
        if due.is_none() {
            return Ok(None);
        }
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "UPDATE experiments SET review_at = $1 WHERE key = (SELECT key FROM experiments WHERE status <> 'draft' \
             AND review_at <= $2 ORDER BY review_at, key LIMIT 1) RETURNING key, project_id, document",
            "UPDATE experiments SET review_at = $1 WHERE key = (SELECT key FROM experiments WHERE status <> 'draft' \
             AND review_at <= $2 ORDER BY review_at, key LIMIT 1 FOR UPDATE SKIP LOCKED) \
             RETURNING key, project_id, document",
        );
        let row = fetch!(fetch_optional, tx, Row, sql, micros(next), micros(now))?;
        tx.commit().await?;
        row.map(|row| Ok((ProjectId(row.1.clone()), stored(row)?))).transpose()
    }

    /// The experiment has ended and everything that follows from it is done.
    pub async fn end_experiment_reviews(&self, experiment: &ExperimentKey) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        execute!(tx, "UPDATE experiments SET review_at = $2 WHERE key = $1", experiment.key, i64::MAX)?;
        tx.commit().await
    }

    /// Experiments, newest first, with a status and an id below `before` where these are given.
    pub async fn list_experiments(
        &self,
        project: &ProjectId,
        status: Option<ExperimentStatus>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Experiment>, StoreError> {
        let sql = "SELECT key, project_id, document FROM experiments WHERE project_id = $1 \
                   AND ($2 = '' OR status = $2) AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4";
        let (status, before) = (status.map_or("", ExperimentStatus::as_str), before.unwrap_or(""));
        let limit = i64::from(limit.min(MOST_EXPERIMENTS));
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, Row, sql, project.as_str(), status, before, limit)?;
        rows.into_iter().map(|row| stored(row).map(|s| s.experiment)).collect()
    }

    /// A number for each project that changes when any of its experiments does.
    pub async fn experiment_changes(&self) -> Result<Vec<(ProjectId, u64)>, StoreError> {
        // Revisions only rise, so their sum does.
        let sql = "SELECT project_id, CAST(SUM(revision) AS BIGINT) FROM experiments GROUP BY project_id";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, i64), sql)?;
        Ok(rows.into_iter().map(|(id, sum)| (ProjectId(id), sum.unsigned_abs())).collect())
    }

    /// What a project's clients can ask for: every experiment that is running or paused, and of each other flag key the newest
    /// that was completed.
    pub async fn flag_experiments(&self, project: &ProjectId) -> Result<Vec<StoredExperiment>, StoreError> {
        let sql = "SELECT key, project_id, document FROM experiments AS e WHERE project_id = $1 \
                   AND (status IN ('running', 'paused') OR (status = 'completed' AND NOT EXISTS ( \
                       SELECT 1 FROM experiments AS o WHERE o.project_id = $1 AND o.flag_key = e.flag_key \
                       AND (o.status IN ('running', 'paused') OR (o.status = 'completed' AND o.key > e.key))))) \
                   ORDER BY flag_key";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, Row, sql, project.as_str())?;
        rows.into_iter().map(stored).collect()
    }
}

/// What the step from one revision to the next is called in the record of changes.
fn action(before: &Experiment, after: &Experiment) -> &'static str {
    use ExperimentStatus::{Cancelled, Completed, Draft, Paused, Running};
    match (before.status, after.status) {
        (Draft, Running) => "experiment.started",
        (Paused, Running) => "experiment.resumed",
        (Running, Paused) => "experiment.paused",
        (Draft | Running | Paused, Completed) => "experiment.completed",
        (Draft | Running | Paused, Cancelled) => "experiment.cancelled",
        _ if after.allocations[before.allocations.len().min(after.allocations.len())..]
            .iter()
            .any(|a| a.step.is_some()) =>
        {
            "experiment.reallocated"
        }
        _ => "experiment.updated",
    }
}

/// Refuses a part of a namespace that another live experiment has.
async fn claim_namespace(tx: &mut Tx, project: &ProjectId, experiment: &Experiment) -> Result<(), StoreError> {
    let Some(own) = &experiment.spec.namespace else { return Ok(()) };
    if let Tx::Postgres(_) = tx {
        // SQLite has one writer; here, those of one namespace come one after the other.
        let sql = "SELECT pg_advisory_xact_lock(1819045232, hashtext($1))";
        fetch!(fetch_all, tx, (), sql, format!("{project}/{}", own.name))?;
    }
    let sql = "SELECT document FROM experiments WHERE project_id = $1 AND id <> $2 AND status IN ('running', 'paused')";
    for (document,) in fetch!(fetch_all, tx, (String,), sql, project.as_str(), experiment.id.as_str())? {
        let other: Experiment = decode("an experiment", &document)?;
        if let Some(theirs) = other.spec.namespace.as_ref().filter(|theirs| theirs.overlaps(own)) {
            return Err(StoreError::Conflict(format!(
                "experiment `{}` ({}) has [{}, {}] of the namespace `{}` already",
                other.spec.key, other.id, theirs.range[0], theirs.range[1], own.name
            )));
        }
    }
    Ok(())
}

fn conflict(error: StoreError, experiment: &Experiment) -> StoreError {
    if !error.is_unique_violation() {
        return error;
    }
    let message = if experiment.status.is_live() {
        format!("another experiment with the key `{}` is running or paused", experiment.spec.key)
    } else {
        format!("experiment `{}` exists already", experiment.id)
    };
    StoreError::Conflict(message)
}
