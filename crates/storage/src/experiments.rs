//! Experiments: each a document, with the columns that it is found by.

use std::sync::Arc;

use llmops_domain::experiment::{Experiment, ExperimentStatus};
use llmops_domain::id::ProjectId;

use crate::db::{big, check_name, decode, encode, execute, fetch, prefix_end};
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
            let mut found = rows.into_iter().map(stored).collect::<Result<Vec<_>, _>>()?;
            if let Some(exact) = found.iter().position(|f| f.experiment.id.as_str() == name) {
                return Ok(found.swap_remove(exact));
            }
            match (found.pop(), found.pop()) {
                (Some(only), None) => return Ok(only),
                (Some(_), Some(_)) => return Err(StoreError::ambiguous("experiment", name)),
                (None, _) => {}
            }
        }
        match fetch!(fetch_optional, conn, Row, by_key, project.as_str(), name)? {
            Some(row) => stored(row),
            None => Err(StoreError::not_found("experiment", name)),
        }
    }

    /// Replaces an experiment by the revision that follows it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed it since, or when another live experiment has its flag key;
    /// [`StoreError::NotFound`].
    pub async fn update_experiment(&self, project: &ProjectId, experiment: &Experiment) -> Result<(), StoreError> {
        let document = encode("the experiment", experiment)?;
        check_name("the experiment's key", &experiment.spec.key)?;
        let sql = "UPDATE experiments SET flag_key = $3, status = $4, revision = $5, document = $6 \
                   WHERE project_id = $1 AND id = $2 AND revision = $5 - 1";
        let (id, key) = (experiment.id.as_str(), experiment.spec.key.as_str());
        let (status, revision) = (experiment.status.as_str(), big(experiment.revision));
        let mut tx = self.write().await?;
        let updated = execute!(tx, sql, project.as_str(), id, key, status, revision, document)
            .map_err(|e| conflict(e, experiment))?;
        tx.commit().await?;
        if updated > 0 {
            return Ok(());
        }
        self.get_experiment(project, id).await?;
        Err(StoreError::Conflict(format!("experiment `{id}` was changed in the meantime: read it again")))
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
