//! Forgetting who a unit was: what it counted stays, under a name that says nothing.

use llmops_domain::id::ProjectId;

use super::apply::lock;
use super::{UNITS, UnitCount};
use crate::db::{execute, fetch};
use crate::questions::forget_in_answers;
use crate::{Store, StoreError};

impl Store {
    /// Takes the name and the attributes of a unit away from its exposures and observations in all experiments of a project. Its variant
    /// and what was observed of it stay, so that results do not change. Answers with the number of experiments that knew it.
    pub async fn forget_unit(&self, project: &ProjectId, unit: &str) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let sql = "SELECT DISTINCT experiment_key FROM observation_sums WHERE slice = 'excluded' \
                   AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1) ORDER BY experiment_key";
        for (experiment,) in fetch!(fetch_all, tx, (i64,), sql, project.as_str())? {
            lock(&mut tx, experiment).await?;
            let sql = "SELECT variant, state FROM observation_sums \
                       WHERE experiment_key = $1 AND slice = 'excluded' AND metric = $2";
            for (variant, state) in fetch!(fetch_all, tx, (i64, Vec<u8>), sql, experiment, UNITS)? {
                let damaged = |e: serde_json::Error| StoreError::Corrupt(format!("units that are left out: {e}"));
                let mut left_out: UnitCount = serde_json::from_slice(&state).map_err(damaged)?;
                let named = left_out.examples.len();
                left_out.examples.retain(|example| example != unit);
                if left_out.examples.len() < named {
                    let sql = "UPDATE observation_sums SET state = $4 \
                               WHERE experiment_key = $1 AND slice = 'excluded' AND variant = $2 AND metric = $3";
                    let state = serde_json::to_vec(&left_out).map_err(damaged)?;
                    execute!(tx, sql, experiment, variant, UNITS, state)?;
                }
            }
            forget_in_answers(&mut tx, experiment, unit).await?;
        }
        let name = format!("erased/{:032x}", rand::random::<u128>());
        let sql = "UPDATE experiment_units SET unit = $3, segments = '' \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1)";
        let exposed = execute!(tx, sql, project.as_str(), unit, &name)?;
        let sql = "UPDATE observed_units SET unit = $3, segments = '' \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1)";
        let observed = execute!(tx, sql, project.as_str(), unit, &name)?;
        tx.commit().await?;
        Ok(exposed.max(observed))
    }
}
