//! How often each value of a unit occurs, for ordinal metrics. Each value has a row of its own: there may be as many as units, and
//! a batch writes those alone that it changes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::sums::Place;
use super::{AllSums, MetricSums, ObservedExperiment, Sums};
use crate::StoreError;
use crate::bulk::{Insert, insert_rows};
use crate::db::{Tx, big, execute};

const PUT_TALLIES: Insert = Insert {
    head: "INSERT INTO observation_tallies (experiment_key, slice, variant, metric, project_id, value, units) VALUES",
    columns: 7,
    tail: "ON CONFLICT (experiment_key, slice, variant, metric, value) \
           DO UPDATE SET units = observation_tallies.units + excluded.units",
};

/// A value of a unit, in the order of the numbers.
#[derive(Debug, Clone, Copy)]
struct Value(f64);

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

/// By how much the number of units with each value changes, by slice, variant and metric.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<Place, BTreeMap<Value, i64>>);

impl Tallies {
    /// Counts units with a value; a negative number takes them out.
    pub(super) fn count(&mut self, place: &Place, value: f64, units: i64) {
        if !self.0.contains_key(place) {
            self.0.insert(place.clone(), BTreeMap::new());
        }
        if let Some(tally) = self.0.get_mut(place) {
            // Databases have one zero.
            *tally.entry(Value(value + 0.0)).or_default() += units;
        }
    }

    /// Takes over what was kept in the sums themselves: by versions before, and by sums that are made anew.
    pub(super) fn take(&mut self, place: &Place, sums: &mut MetricSums) {
        for (value, units) in sums.tally.take().unwrap_or_default() {
            self.count(place, value, big(units));
        }
    }

    /// Puts the tallies into their sums.
    pub(super) fn attach(mut self, sums: &mut AllSums) {
        for (place, sums) in sums.iter_mut() {
            if let Sums::Metric(sums) = sums {
                self.take(place, sums);
                let list =
                    |(value, units): (Value, i64)| Some((value.0, u64::try_from(units).ok().filter(|n| *n > 0)?));
                sums.tally = self.0.remove(place).map(|tally| tally.into_iter().filter_map(list).collect());
            }
        }
    }

    /// Adds the changes to what is stored.
    pub(super) async fn store(&self, tx: &mut Tx, experiment: &ObservedExperiment) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for (place, tally) in &self.0 {
            rows.extend(tally.iter().map(|(value, units)| (place, value.0, *units)).filter(|(.., units)| *units != 0));
        }
        insert_rows!(
            tx,
            PUT_TALLIES,
            &rows,
            |row| experiment.number(),
            &row.0.0,
            big(row.0.1 as u64),
            &row.0.2,
            &*experiment.key.project,
            row.1,
            row.2
        )
        .await?;
        if rows.iter().any(|(.., units)| *units < 0) {
            let sql = "DELETE FROM observation_tallies WHERE experiment_key = $1 AND units <= 0";
            execute!(tx, sql, experiment.number())?;
        }
        Ok(())
    }
}
