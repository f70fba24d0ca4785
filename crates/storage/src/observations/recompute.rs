//! Sums computed anew from the observations, for questions that the kept ones cannot answer. One page of units is in memory at a
//! time.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::sums::add_deltas;
use super::tally::Tallies;
use super::unit::{UnitState, name_hash};
use super::units::{UnitRow, Units};
use super::{AllSums, ObservedExperiment};
use crate::bulk::{Insert, fetch_rows};
use crate::db::{Raw, count, fetch};
use crate::{Store, StoreError};

/// Units of a page.
const PAGE: i64 = 256;

const OBSERVATIONS: Insert = Insert {
    head: "SELECT o.unit_key, o.metric, o.value, o.at FROM (VALUES",
    columns: 1,
    tail: ") AS v JOIN observations AS o ON o.unit_key = v.column1",
};

/// Which observations count.
#[derive(Debug, Clone, Default)]
pub struct RowChoice {
    /// At or after, in microseconds since 1970.
    pub from: Option<i64>,
    /// Before.
    pub to: Option<i64>,
    /// Metrics that count whenever they were observed: those of before the experiment.
    pub always: HashSet<String>,
}

impl RowChoice {
    fn counts(&self, metric: &str, at: i64) -> bool {
        let inside = self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to);
        inside || self.always.contains(metric)
    }
}

type UnitFound = (i64, String, i64, i64, String);
/// Unit, metric, value and time.
pub(super) type RowFound = (i64, String, f64, i64);

impl Store {
    /// The sums of an experiment as its observations make them, with the number of those that were read. `segments_of` gets the
    /// stored attributes of a unit (JSON text, or nothing) and answers with those that it is to be shown by, or with `None` when
    /// the unit does not count.
    pub async fn recompute_sums(
        &self,
        experiment: &ObservedExperiment,
        choice: &RowChoice,
        segments_of: impl Fn(&str) -> Option<String> + Send + Sync,
    ) -> Result<(AllSums, u64), StoreError> {
        let (mut sums, mut tallies) = (AllSums::new(), Tallies::default());
        let mut observations = 0;
        let mut after = String::new();
        loop {
            let sql = "SELECT key, unit, variant, several, segments FROM observed_units \
                       WHERE experiment_key = $1 AND unit > $2 ORDER BY unit LIMIT $3";
            let mut conn = self.read().await?;
            let found = fetch!(fetch_all, conn, UnitFound, sql, experiment.key.key, after.as_str(), PAGE)?;
            let Some(last) = found.last() else {
                tallies.attach(&mut sums);
                return Ok((sums, observations));
            };
            after.clone_from(&last.1);
            let mut units = Vec::with_capacity(found.len());
            for (key, name, variant, several, segments) in found {
                if let Some(segments) = segments_of(&segments) {
                    let row = UnitRow::new(key, name, count(variant)?, segments);
                    units.push(UnitRow { several: several != 0, ..row });
                }
            }
            let keys: Vec<i64> = units.iter().map(|unit| unit.key).collect();
            let rows = rows_of(&mut conn.raw(), &keys).await?;
            // The connection is one of few, and the sums take their time.
            drop(conn);
            observations += observe(&mut units, experiment, choice, &rows);
            units.retain(|unit| unit.state != UnitState::default());
            add_deltas((&mut sums, &mut tallies), Units { rows: units }.deltas(experiment))?;
        }
    }
}

/// The observations of units.
pub(super) async fn rows_of(conn: &mut Raw<'_>, units: &[i64]) -> Result<Vec<RowFound>, StoreError> {
    fetch_rows!(conn, RowFound, OBSERVATIONS, units, |unit| *unit).await
}

/// Puts observations into their units; answers with their number.
fn observe(units: &mut [UnitRow], experiment: &ObservedExperiment, choice: &RowChoice, rows: &[RowFound]) -> u64 {
    let places: HashMap<i64, usize> = units.iter().enumerate().map(|(place, unit)| (unit.key, place)).collect();
    let names: BTreeMap<&str, usize> = experiment.names().into_iter().enumerate().map(|(i, name)| (name, i)).collect();
    let mut read = 0;
    for (unit, metric, value, at) in rows {
        let (Some(place), Some(name)) = (places.get(unit), names.get(metric.as_str())) else { continue };
        if !choice.counts(metric, *at) {
            continue;
        }
        read += 1;
        units[*place].state.add(name_hash(metric), *value, *at);
        units[*place].values.push((*name, *value));
    }
    read
}
