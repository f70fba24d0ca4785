//! Observations of experiments: rows, what each unit counts with, and sums over units, kept up to date in one transaction.
//!
//! Results read sums alone. When a unit is observed again, its old contribution is taken out of the sums and the new one
//! put in; the sums are exact to 106 bits, so late and out-of-order arrivals leave the same numbers as arrivals in order.

mod apply;
mod forget;
mod recompute;
mod sums;
mod tally;
mod unit;
mod units;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use llmops_domain::experiment::{Experiment, MetricKind, MetricSpec};
use llmops_stats::histogram::UnitHistogram;
use llmops_stats::sketch::Sketch;
use llmops_stats::unit_sums::UnitSums;
use serde::{Deserialize, Serialize};

use crate::db::{MICROS_PER_DAY, fetch};
use crate::{ExperimentKey, Store, StoreError};

pub(crate) use apply::{Batch, apply, lock};
pub use recompute::RowChoice;
use tally::Tallies;
pub use unit::{Cluster, unit_value};
pub(crate) use units::unit_names;

/// How far the clock of whoever observes may be behind that of whoever assigned.
const CLOCKS_DIFFER: i64 = 300_000_000;
/// Random parts of an arm's units, each with a sketch of its observations.
pub const PARTS: u64 = 32;
/// The slice of everything.
pub(crate) const ALL: &str = "all";
/// Begins the slice of the units that came under one allocation.
pub(crate) const ALLOCATION: &str = "allocation/";
/// Stands for all metrics, where units are counted.
pub(crate) const UNITS: &str = "";
/// The slice that counts observations which lie before the exposure or the start.
pub(crate) const EARLY: &str = "early";
/// Units that were left out, by name, at most so many.
pub(crate) const EXAMPLES: usize = 5;

/// What the store must know of an experiment to keep its sums; made once per experiment and revision.
#[derive(Debug)]
pub struct ObservedExperiment {
    pub(crate) key: ExperimentKey,
    /// The metrics that are compared.
    pub(crate) metrics: Vec<MetricSpec>,
    /// Whether sums are kept for each allocation, because the allocation follows the data.
    pub(crate) by_allocation: bool,
    /// From when on observations count, in microseconds since 1970.
    pub(crate) counts_from: Option<i64>,
}

impl ObservedExperiment {
    /// Of an experiment.
    pub fn new(key: ExperimentKey, experiment: &Experiment) -> Self {
        let spec = &experiment.spec;
        let counts_from = spec.analysis.counts_from.or(experiment.start_time);
        Self {
            key,
            metrics: spec.metrics.clone(),
            by_allocation: spec.adaptive.is_some(),
            counts_from: counts_from.map(Timestamp::as_microsecond),
        }
    }

    /// A number that no other experiment of the store has.
    pub(crate) fn number(&self) -> i64 {
        self.key.key
    }

    /// Names that observations may carry: the metrics, with the covariates and denominators that they name.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for metric in &self.metrics {
            for name in
                [Some(&metric.name), metric.covariate.as_ref(), metric.denominator.as_ref()].into_iter().flatten()
            {
                if !names.contains(&name.as_str()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Whether what was observed lies before the unit saw its variant, so that it cannot be an effect of it: before its exposure, and
    /// where that is not known, before the experiment. Covariates are of before. A time without time of day is the whole day, and
    /// clocks differ a little.
    pub(crate) fn is_early(&self, observation: &NewObservation, exposed: Option<i64>) -> bool {
        let Some(begin) = exposed.or(self.counts_from).filter(|_| observation.is_dated) else { return false };
        let is_metric = |name: &str| self.metrics.iter().any(|metric| metric.name == name);
        let is_covariate = |name: &str| {
            self.metrics.iter().any(|metric| metric.covariate.as_deref() == Some(name)) && !is_metric(name)
        };
        let at = observation.at;
        let last = if at.rem_euclid(MICROS_PER_DAY) == 0 { at.saturating_add(MICROS_PER_DAY) } else { at };
        last.saturating_add(CLOCKS_DIFFER) < begin && !is_covariate(&observation.metric)
    }
}

/// Whether the distribution of single observations is kept.
pub(crate) fn keeps_sketch(metric: &MetricSpec) -> bool {
    metric.quantile.is_some() || metric.kind() == MetricKind::Latency
}

/// An observation that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewObservation {
    /// The unit; nothing where the observation is a unit of its own.
    pub unit: Option<String>,
    /// Position of the variant that was named, or that the unit sees now, where it may have seen another before.
    pub variant: Option<usize>,
    /// Position of the variant that the unit is assigned to by its hash, for units without exposure.
    pub assigned: Option<usize>,
    /// The metric: one of [`ObservedExperiment::names`].
    pub metric: String,
    /// The value, finite.
    pub value: f64,
    /// When it was observed, in microseconds since 1970.
    pub at: i64,
    /// Whether `at` was stated, and not when it arrived.
    pub is_dated: bool,
    /// The same key, unit and metric again is the same observation.
    pub key: Option<String>,
    /// Whether its value takes the place of the one that the same observation had before. When it was observed stays.
    pub replaces: bool,
}

/// What became of observations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// How many are new.
    pub accepted: u64,
    /// How many were there before.
    pub duplicates: u64,
    /// How many of those had another value, which the new one took the place of.
    pub replaced: u64,
    /// How many of those that are new do not count, because they lie before the exposure or the start.
    pub early: u64,
    /// Positions of those whose unit has no variant.
    pub unassigned: Vec<usize>,
}

/// Sums over units of one metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSums {
    /// Sums over units.
    #[serde(flatten)]
    pub sums: UnitSums,
    /// Observations of these units.
    pub observations: u64,
    /// Smallest observation, also of units that were left out later, and of values that were replaced.
    pub min: Option<f64>,
    /// Largest observation.
    pub max: Option<f64>,
    /// How often each value of a unit occurs, for ordinal metrics. It is kept elsewhere; versions before kept it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Vec<(f64, u64)>>,
    /// Units by the size of their value, for metrics that are winsorised: the limit is a quantile of all that came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<UnitHistogram>,
}

/// How many units there are, and some by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCount {
    /// How many with a name.
    pub units: u64,
    /// Names, where they are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// One row of sums.
#[derive(Debug, Clone, PartialEq)]
pub enum Sums {
    /// Of a metric.
    Metric(MetricSums),
    /// Of units that were seen.
    Units(UnitCount),
    /// A sketch of observations.
    Sketch(Sketch),
}

/// Sums by slice (`all`, `day/2026-11-26`, `segment/country=DE`, `allocation/3`, `part/07`, `excluded`, `early`), variant and
/// metric; the metric is empty where units are counted.
pub type AllSums = BTreeMap<(String, usize, String), Sums>;

/// Which slices are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SliceChoice {
    /// Those of segments.
    pub segments: bool,
    /// Those of days.
    pub days: bool,
}

/// Sums, or how many units have a value.
type SumsRow = (String, i64, String, Option<Vec<u8>>, Option<f64>, Option<i64>);

pub(crate) fn decode_sums(slice: &str, metric: &str, bytes: &[u8]) -> Result<Sums, StoreError> {
    let damaged = |e: String| StoreError::Corrupt(format!("sums of {slice} {metric}: {e}"));
    if slice.starts_with("part/") {
        return Sketch::from_bytes(bytes).map(Sums::Sketch).ok_or_else(|| damaged("no sketch".to_owned()));
    }
    if metric == UNITS {
        return serde_json::from_slice(bytes).map(Sums::Units).map_err(|e| damaged(e.to_string()));
    }
    serde_json::from_slice(bytes).map(Sums::Metric).map_err(|e| damaged(e.to_string()))
}

impl Store {
    /// Records observations of one experiment. On return they are on disk, and so are the sums.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the commit failed: submit again; those with a key or time count once.
    pub async fn record_observations(
        &self,
        experiment: &Arc<ObservedExperiment>,
        observations: Vec<NewObservation>,
    ) -> Result<Recorded, StoreError> {
        if observations.is_empty() {
            return Ok(Recorded::default());
        }
        self.queue().observe(experiment.clone(), observations).await
    }

    /// The sums of an experiment.
    pub async fn observation_sums(&self, key: &ExperimentKey, choice: SliceChoice) -> Result<AllSums, StoreError> {
        // One statement sees both as they are at one time.
        let sql = "SELECT slice, variant, metric, state, NULL AS value, NULL AS units FROM observation_sums \
                   WHERE experiment_key = $1 \
                   AND ($2 = 1 OR slice NOT LIKE 'segment/%') AND ($3 = 1 OR slice NOT LIKE 'day/%') \
                   UNION ALL SELECT slice, variant, metric, NULL, value, units FROM observation_tallies \
                   WHERE experiment_key = $1 \
                   AND ($2 = 1 OR slice NOT LIKE 'segment/%') AND ($3 = 1 OR slice NOT LIKE 'day/%')";
        let (segments, days) = (i64::from(choice.segments), i64::from(choice.days));
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, SumsRow, sql, key.key, segments, days)?
        };
        let (mut sums, mut tallies) = (AllSums::new(), Tallies::default());
        for (slice, variant, metric, state, value, units) in rows {
            let place = (slice, crate::db::count(variant)?, metric);
            if let Some(state) = state {
                let decoded = decode_sums(&place.0, &place.2, &state)?;
                sums.insert(place, decoded);
            } else if let Some((value, units)) = value.zip(units) {
                tallies.count(&place, value, units);
            }
        }
        tallies.attach(&mut sums);
        Ok(sums)
    }
}
