//! The units of experiments: the first exposure of each keeps its variant, and is counted once.

use std::collections::{BTreeMap, HashSet};

use llmops_domain::experiment::assignment::Exposure;
use serde::{Deserialize, Serialize};

use crate::bulk::{Insert, fetch_rows};
use crate::db::{MICROS_PER_DAY, Tx, big, check_name, count, execute, fetch};
use crate::{ExperimentKey, Store, StoreError};

const INSERT_UNITS: Insert = Insert {
    head: "INSERT INTO experiment_units (experiment_key, unit, project_id, variant, epoch, at, segments) VALUES",
    columns: 7,
    tail: "ON CONFLICT DO NOTHING RETURNING experiment_key, unit",
};

/// What is stored of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredUnit {
    /// Position of its variant.
    pub variant: usize,
    /// The allocation that held.
    pub epoch: usize,
    /// When it was first exposed, in microseconds since 1970.
    pub at: i64,
}

/// Units of a variant that came on one day under one allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposureCount {
    /// The allocation that held.
    pub epoch: usize,
    /// Position of the variant.
    pub variant: usize,
    /// Days since 1970, UTC.
    pub day: i64,
    /// Units.
    pub units: u64,
}

fn position(value: i64) -> Result<usize, StoreError> {
    count(value)
}

impl Store {
    /// What is stored of a unit.
    pub async fn experiment_unit(
        &self,
        experiment: &ExperimentKey,
        unit: &str,
    ) -> Result<Option<StoredUnit>, StoreError> {
        let sql = "SELECT variant, epoch, at FROM experiment_units WHERE experiment_key = $1 AND unit = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (i64, i64, i64), sql, experiment.key, unit)?;
        row.map(|(variant, epoch, at)| Ok(StoredUnit { variant: position(variant)?, epoch: position(epoch)?, at }))
            .transpose()
    }

    /// Stores first exposures, of which some may be stored already: those stay as they are. Answers with the number that were new.
    /// On return they are on disk.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a unit with a NUL character; [`StoreError::Unavailable`]: submit again.
    pub async fn insert_exposures(&self, exposures: &[(ExperimentKey, Exposure)]) -> Result<u64, StoreError> {
        for (_, exposure) in exposures {
            check_name("the unit", &exposure.unit)?;
        }
        let mut rows: Vec<&(ExperimentKey, Exposure)> = exposures.iter().collect();
        // In the order of the index, and each once: neighbours share pages, and replicas lock in one order. The sort is stable, so
        // the first submitted of a unit stays first.
        rows.sort_by(|a, b| (a.0.key, &a.1.unit).cmp(&(b.0.key, &b.1.unit)));
        rows.dedup_by(|b, a| a.0.key == b.0.key && a.1.unit == b.1.unit);
        let mut tx = self.write().await?;
        let new = insert_units(&mut tx, &rows).await?;
        let mut counts = BTreeMap::<(i64, i64, i64, i64), (i64, &str)>::new();
        for (key, exposure) in rows.iter().filter(|row| new.contains(&(row.0.key, row.1.unit.to_string()))) {
            let day = exposure.at.div_euclid(MICROS_PER_DAY);
            let group = (key.key, big(exposure.epoch as u64), big(exposure.variant as u64), day);
            counts.entry(group).or_insert((0, &key.project)).0 += 1;
        }
        for ((key, epoch, variant, day), (units, project)) in counts {
            let sql = "INSERT INTO experiment_exposures (experiment_key, epoch, variant, day, project_id, units) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (experiment_key, epoch, variant, day) \
                       DO UPDATE SET units = experiment_exposures.units + excluded.units";
            execute!(tx, sql, key, epoch, variant, day, project, units)?;
        }
        tx.commit().await?;
        Ok(new.len() as u64)
    }

    /// How many units came, by allocation, variant and day.
    pub async fn exposure_counts(&self, experiment: &ExperimentKey) -> Result<Vec<ExposureCount>, StoreError> {
        let sql = "SELECT epoch, variant, day, units FROM experiment_exposures WHERE experiment_key = $1 \
                   ORDER BY epoch, variant, day";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (i64, i64, i64, i64), sql, experiment.key)?;
        rows.into_iter()
            .map(|(epoch, variant, day, units)| {
                Ok(ExposureCount { epoch: position(epoch)?, variant: position(variant)?, day, units: count(units)? })
            })
            .collect()
    }
}

/// Inserts units and answers with those that were not there.
async fn insert_units(tx: &mut Tx, rows: &[&(ExperimentKey, Exposure)]) -> Result<HashSet<(i64, String)>, StoreError> {
    let new = fetch_rows!(
        tx,
        (i64, String),
        INSERT_UNITS,
        rows,
        |row| row.0.key,
        &*row.1.unit,
        &*row.0.project,
        big(row.1.variant as u64),
        big(row.1.epoch as u64),
        row.1.at,
        &row.1.segments,
    );
    Ok(new.await?.into_iter().collect())
}
