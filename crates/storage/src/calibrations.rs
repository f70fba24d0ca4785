//! Calibrations of judges, newest first.

use llmops_domain::calibration::{CalibrationFilter, JudgeCalibration};
use llmops_domain::id::ProjectId;
use llmops_domain::run::RunResults;

use crate::db::{decode, encode, execute, fetch, micros};
use crate::{RunKey, Store, StoreError};

/// Calibrations that are listed where no limit is named, and the most that ever are.
const DEFAULT_LIMIT: u32 = 100;
const MOST: u32 = 10_000;

impl Store {
    /// Stores a calibration, and with it what it makes of the results of its run.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken.
    pub async fn put_calibration(
        &self,
        project: &ProjectId,
        calibration: &JudgeCalibration,
        run: &RunKey,
        results: &RunResults,
    ) -> Result<(), StoreError> {
        let document = encode("the calibration", calibration)?;
        let results = encode("the results", results)?;
        let sql = "INSERT INTO judge_calibrations (project_id, id, judge_hash, metric, run_id, created_at, document) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let mut tx = self.write().await?;
        execute!(
            tx,
            sql,
            project.as_str(),
            calibration.id.as_str(),
            calibration.judge.hash.as_str(),
            calibration.metric.as_str(),
            calibration.run.as_str(),
            micros(calibration.created_at),
            document.as_str()
        )
        .map_err(|e| match e {
            e if e.is_unique_violation() => {
                StoreError::Conflict(format!("calibration `{}` exists already", calibration.id))
            }
            e => e.of_project(project),
        })?;
        execute!(tx, "UPDATE runs SET results = $2 WHERE key = $1", run.key, results.as_str())?;
        tx.commit().await
    }

    /// Calibrations, newest first.
    pub async fn list_calibrations(
        &self,
        project: &ProjectId,
        filter: &CalibrationFilter,
    ) -> Result<Vec<JudgeCalibration>, StoreError> {
        let sql = "SELECT document FROM judge_calibrations WHERE project_id = $1 \
                   AND ($2 IS NULL OR judge_hash = $2) AND ($3 IS NULL OR run_id = $3) AND ($4 IS NULL OR id < $4) \
                   ORDER BY id DESC LIMIT $5";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            filter.judge.as_deref(),
            filter.run.as_deref(),
            filter.before.as_deref(),
            i64::from(filter.limit.unwrap_or(DEFAULT_LIMIT).min(MOST))
        )?;
        rows.iter().map(|(document,)| decode("a calibration", document)).collect()
    }

    /// One calibration, by its whole id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_calibration(&self, project: &ProjectId, id: &str) -> Result<JudgeCalibration, StoreError> {
        let sql = "SELECT document FROM judge_calibrations WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id)?;
        let (document,) = row.ok_or_else(|| StoreError::not_found("calibration", id))?;
        decode("a calibration", &document)
    }
}
