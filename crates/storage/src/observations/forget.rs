//! Forgetting who a unit was: what it counted stays, under a name that says nothing.

use std::collections::BTreeMap;

use llmops_domain::id::ProjectId;
use serde_json::Value;

use super::apply::lock;
use super::units::segment_slice;
use super::{MetricSums, Sums, UNITS, UnitCount, decode_sums};
use crate::db::{Tx, execute, fetch};
use crate::questions::{forget_in_answers, forget_value};
use crate::{Store, StoreError};

/// What a segment is called whose value only those had who are erased.
const ERASED: &str = "(erased)";

impl Store {
    /// Takes the name and the attributes of a unit away from its exposures and observations in all experiments of a project. Its variant
    /// and what was observed of it stay, so that results do not change. A segment that nobody else is in loses its name, and
    /// questions that name such a value go. Answers with the number of experiments that knew it.
    pub async fn forget_unit(&self, project: &ProjectId, unit: &str) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let sql = "SELECT experiment_key FROM observation_sums WHERE slice = 'excluded' \
                   AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1) \
                   UNION SELECT experiment_key FROM experiment_units \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1) \
                   UNION SELECT experiment_key FROM observed_units \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1) \
                   ORDER BY experiment_key";
        let mut had = Vec::new();
        for (experiment,) in fetch!(fetch_all, tx, (i64,), sql, project.as_str(), unit)? {
            lock(&mut tx, experiment).await?;
            forget_left_out(&mut tx, experiment, unit).await?;
            forget_in_answers(&mut tx, experiment, unit).await?;
            had.extend(attributes(&mut tx, experiment, unit).await?.into_iter().map(|of| (experiment, of)));
        }
        let name = format!("erased/{:032x}", rand::random::<u128>());
        let sql = "UPDATE experiment_units SET unit = $3, segments = '' \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1)";
        let exposed = execute!(tx, sql, project.as_str(), unit, &name)?;
        let sql = "UPDATE observed_units SET unit = $3, segments = '' \
                   WHERE unit = $2 AND experiment_key IN (SELECT key FROM experiments WHERE project_id = $1)";
        let observed = execute!(tx, sql, project.as_str(), unit, &name)?;
        for (experiment, (name, value)) in had {
            if !somebody_has(&mut tx, experiment, &name, &value).await? {
                let nobody = format!("segment/{name}={ERASED}");
                if let Some(slice) = segment_slice(&name, &value) {
                    fold(&mut tx, experiment, &slice, &nobody).await?;
                    forget_value(&mut tx, experiment, (&name, &value), (&slice, &nobody)).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(exposed.max(observed))
    }
}

/// Takes the name of a unit out of those that are named because they are left out.
async fn forget_left_out(tx: &mut Tx, experiment: i64, unit: &str) -> Result<(), StoreError> {
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
    Ok(())
}

/// The attributes that are kept of a unit.
async fn attributes(tx: &mut Tx, experiment: i64, unit: &str) -> Result<BTreeMap<String, Value>, StoreError> {
    let sql = "SELECT segments FROM experiment_units WHERE experiment_key = $1 AND unit = $2 \
               UNION SELECT segments FROM observed_units WHERE experiment_key = $1 AND unit = $2";
    let kept = fetch!(fetch_all, tx, (String,), sql, experiment, unit)?;
    let read = |text: &String| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap_or_default();
    Ok(kept.iter().flat_map(|(text,)| read(text)).collect())
}

/// Whether another unit of the experiment has this attribute.
async fn somebody_has(tx: &mut Tx, experiment: i64, name: &str, value: &Value) -> Result<bool, StoreError> {
    // As it stands in the stored text, which is an object without spaces.
    let pair = format!("{}:{value}", Value::from(name));
    for sql in [
        tx.dialect(
            "SELECT 1 FROM observed_units WHERE experiment_key = $1 AND instr(segments, $2) > 0 LIMIT 1",
            "SELECT 1 FROM observed_units WHERE experiment_key = $1 AND strpos(segments, $2) > 0 LIMIT 1",
        ),
        tx.dialect(
            "SELECT 1 FROM experiment_units WHERE experiment_key = $1 AND instr(segments, $2) > 0 LIMIT 1",
            "SELECT 1 FROM experiment_units WHERE experiment_key = $1 AND strpos(segments, $2) > 0 LIMIT 1",
        ),
    ] {
        if fetch!(fetch_optional, tx, (i32,), sql, experiment, &pair)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the sums of a slice to another one, and deletes it.
async fn fold(tx: &mut Tx, experiment: i64, from: &str, into: &str) -> Result<(), StoreError> {
    let sql = "SELECT variant, metric, state FROM observation_sums WHERE experiment_key = $1 AND slice = $2";
    let mut sums: BTreeMap<(i64, String), MetricSums> = BTreeMap::new();
    for slice in [into, from] {
        for (variant, metric, state) in fetch!(fetch_all, tx, (i64, String, Vec<u8>), sql, experiment, slice)? {
            if let Sums::Metric(of) = decode_sums(slice, &metric, &state)? {
                sums.entry((variant, metric)).and_modify(|sums| sums.merge(&of)).or_insert(of);
            }
        }
    }
    let sql = "INSERT INTO observation_sums (experiment_key, slice, variant, metric, project_id, state) \
               SELECT $1, $2, $3, $4, project_id, $5 FROM experiments WHERE key = $1 \
               ON CONFLICT (experiment_key, slice, variant, metric) DO UPDATE SET state = excluded.state";
    for ((variant, metric), sums) in sums {
        let no_json = |e: serde_json::Error| StoreError::Invalid(format!("sums have no JSON form: {e}"));
        let state = serde_json::to_vec(&sums).map_err(no_json)?;
        execute!(tx, sql, experiment, into, variant, &metric, state)?;
    }
    let sql = "INSERT INTO observation_tallies (experiment_key, slice, variant, metric, project_id, value, units) \
               SELECT experiment_key, $3, variant, metric, project_id, value, units FROM observation_tallies \
               WHERE experiment_key = $1 AND slice = $2 \
               ON CONFLICT (experiment_key, slice, variant, metric, value) \
               DO UPDATE SET units = observation_tallies.units + excluded.units";
    execute!(tx, sql, experiment, from, into)?;
    for sql in [
        "DELETE FROM observation_sums WHERE experiment_key = $1 AND slice = $2",
        "DELETE FROM observation_tallies WHERE experiment_key = $1 AND slice = $2",
    ] {
        execute!(tx, sql, experiment, from)?;
    }
    Ok(())
}
