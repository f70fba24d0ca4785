//! What was observed, per arm and metric.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use llmops_domain::experiment::MetricSpec;
use llmops_domain::experiment::result::{Excluded, significant};
use llmops_stats::StatsError;
use llmops_stats::histogram::UnitHistogram;
use llmops_stats::ordinal::Tally;
use llmops_stats::quantile::QuantileEstimate;
use llmops_stats::sketch::Sketch;
use llmops_stats::unit_sums::UnitSums;

/// The distribution of single observations.
#[derive(Debug, Clone, Default)]
pub enum Quantiles {
    /// It is not kept.
    #[default]
    None,
    /// The observations of each unit.
    Values(Vec<Vec<f64>>),
    /// Sketches of random parts of the units.
    Sketches(Vec<Sketch>),
}

/// What was observed of one metric in one arm.
#[derive(Debug, Clone, Default)]
pub struct ArmMetric {
    /// Sums over units.
    pub sums: UnitSums,
    /// Observations of these units.
    pub observations: u64,
    /// Smallest observation.
    pub min: Option<f64>,
    /// Largest observation.
    pub max: Option<f64>,
    /// How often each value of a unit occurs, where it is kept.
    pub tally: Option<Vec<Tally>>,
    /// Units by the size of their value, where the metric is winsorised and units still come.
    pub histogram: Option<UnitHistogram>,
    /// The distribution of observations, where it is kept.
    pub quantiles: Quantiles,
    /// The quantile that the metric is compared by, once it was computed: summaries and several comparisons ask for it.
    pub(crate) known: OnceLock<Result<QuantileEstimate, StatsError>>,
}

impl ArmMetric {
    /// Adds other units.
    pub fn merge(&mut self, other: &Self) {
        self.known = OnceLock::new();
        self.sums.merge(&other.sums);
        self.observations += other.observations;
        let pick = |a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(of(a, b)),
            (a, b) => a.or(b),
        };
        self.min = pick(self.min, other.min, f64::min);
        self.max = pick(self.max, other.max, f64::max);
        if let Some(tally) = &other.tally {
            self.tally.get_or_insert_default().extend(tally);
        }
        if let Some(histogram) = &other.histogram {
            self.histogram.get_or_insert_default().merge(histogram);
        }
        self.quantiles = match (std::mem::take(&mut self.quantiles), &other.quantiles) {
            (Quantiles::None, other) => other.clone(),
            (Quantiles::Values(mut own), Quantiles::Values(other)) => {
                own.extend(other.iter().cloned());
                Quantiles::Values(own)
            }
            (Quantiles::Sketches(mut own), Quantiles::Sketches(other)) => {
                own.resize(own.len().max(other.len()), Sketch::default());
                own.iter_mut().zip(other).for_each(|(own, other)| own.merge(other));
                Quantiles::Sketches(own)
            }
            // The other has none, or comes from a source that keeps them in another way, which one analysis never mixes.
            (own, _) => own,
        };
    }
}

/// One variant's data.
#[derive(Debug, Clone, Default)]
pub struct Arm {
    /// Units that the sample-ratio check counts.
    pub units: u64,
    /// By metric.
    pub metrics: BTreeMap<String, ArmMetric>,
}

/// Everything that was observed, each list of arms in the order of the plan's variants.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// All of it.
    pub arms: Vec<Arm>,
    /// By segment, `country=DE`.
    pub segments: BTreeMap<String, Vec<Arm>>,
    /// By the day of a unit's first observation.
    pub days: BTreeMap<String, Vec<Arm>>,
    /// By the allocation under which units came, where the allocation follows the data; empty where shares are fixed.
    pub allocations: BTreeMap<usize, Vec<Arm>>,
    /// What was left out.
    pub excluded: Excluded,
    /// What `units` counts.
    pub counted: &'static str,
    /// What should have the shares of the split, the first first; empty: what `units` counts.
    pub counts: Vec<(&'static str, Vec<u64>)>,
    /// Whether the units with a value of the target metric should have them as well.
    pub splits_outcomes: bool,
    /// What a reader should know about the data.
    pub notices: Vec<String>,
}

impl Observed {
    /// Pulls the values of winsorised metrics in to the quantile of all units that came so far, in every part of the data alike.
    pub(crate) fn winsorise(&mut self, metrics: &[MetricSpec]) {
        for metric in metrics {
            let Some(q) = metric.winsorize else { continue };
            let mut all = UnitHistogram::default();
            let of_metric = self.arms.iter().filter_map(|arm| arm.metrics.get(&metric.name));
            for histogram in of_metric.filter_map(|data| data.histogram.as_ref()) {
                all.merge(histogram);
            }
            // Without units there is nothing to pull in.
            let Ok(limit) = all.limit(q) else { continue };
            let parts = self.segments.values_mut().chain(self.days.values_mut()).chain(self.allocations.values_mut());
            for arm in parts.chain(std::iter::once(&mut self.arms)).flatten() {
                let Some(data) = arm.metrics.get_mut(&metric.name) else { continue };
                if let Some(histogram) = data.histogram.take() {
                    data.sums = histogram.limited(limit);
                }
            }
            let limit = significant(limit, 4);
            self.notices.push(format!(
                "{}: unit values above {limit}, the {q} quantile of all units, count as {limit}",
                metric.name
            ));
        }
    }
}

/// Every day with all days before it.
pub(super) fn cumulative(days: &BTreeMap<String, Vec<Arm>>) -> BTreeMap<String, Vec<Arm>> {
    let mut all: Vec<Arm> = Vec::new();
    let until = |(day, arms): (&String, &Vec<Arm>)| {
        all.resize(all.len().max(arms.len()), Arm::default());
        for (sum, arm) in all.iter_mut().zip(arms) {
            sum.units += arm.units;
            for (name, metric) in &arm.metrics {
                sum.metrics.entry(name.clone()).or_default().merge(metric);
            }
        }
        (day.clone(), all.clone())
    };
    days.iter().map(until).collect()
}
