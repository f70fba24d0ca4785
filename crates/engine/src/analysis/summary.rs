//! What is said of one metric in one arm.

use llmops_domain::experiment::result::{Bounds, MetricSummary, QuantileSummary};
use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::proportion::{Rate, wilson};
use llmops_stats::quantile::{self, QuantileEstimate};
use llmops_stats::{Estimate, Interval, StatsError, ratio};

use super::data::{ArmMetric, Quantiles};

/// The quantile of latencies that is compared where none is declared.
const LATENCY_QUANTILE: f64 = 0.95;

pub(super) fn bounds(interval: Interval) -> Bounds {
    Bounds { low: interval.low, high: interval.high, level: interval.level }
}

/// Whether the mean of a metric is a rate.
pub(super) fn is_rate(metric: &MetricSpec) -> bool {
    metric.kind() == MetricKind::Binary
}

/// The quantile by which a metric is compared, if it is.
pub(crate) fn quantile_of(metric: &MetricSpec) -> Option<f64> {
    match (metric.quantile, metric.kind()) {
        (Some(q), _) => Some(q),
        (None, MetricKind::Latency) => Some(LATENCY_QUANTILE),
        (None, _) => None,
    }
}

/// The quantile of an arm; one metric is always asked for the same.
pub(super) fn quantile_estimate(data: &ArmMetric, q: f64) -> Result<QuantileEstimate, StatsError> {
    let compute = || match &data.quantiles {
        Quantiles::None => Err(StatsError::TooFew { what: "observations for this quantile", needed: 1, got: 0 }),
        Quantiles::Values(units) => quantile::clustered(units, q),
        Quantiles::Sketches(parts) => quantile::sketched(parts, q, data.observations == data.sums.units()),
    };
    data.known.get_or_init(compute).clone()
}

/// The mean of an arm with its interval.
fn mean(metric: &MetricSpec, data: &ArmMetric, level: f64) -> Result<Estimate, StatsError> {
    match (metric.kind(), data.sums.rate()) {
        (MetricKind::Ratio, _) => ratio::ratio(&data.sums.ratio_pairs()?, level),
        (MetricKind::Binary, Some((ones, units))) => wilson(Rate::new(ones, units)?, level),
        _ => data.sums.moments()?.mean_estimate(level),
    }
}

/// Summarises a metric of an arm.
pub(super) fn summarise(metric: &MetricSpec, data: &ArmMetric, level: f64) -> MetricSummary {
    let mean = mean(metric, data, level).ok();
    let sd = (metric.kind() != MetricKind::Ratio).then(|| data.sums.moments().ok()?.sd()).flatten();
    let quantile = quantile_of(metric).and_then(|q| {
        let estimate = quantile_estimate(data, q).ok()?;
        let around = quantile::interval_of(&estimate, level).ok();
        Some(QuantileSummary { q, value: estimate.value, interval: around.map(bounds) })
    });
    MetricSummary {
        units: data.sums.units(),
        observations: data.observations,
        mean: mean.as_ref().map(|mean| mean.value),
        sd,
        min: data.min,
        max: data.max,
        // One unit says nothing about its spread, whatever a score interval makes of it, nor do equal values.
        interval: mean
            .as_ref()
            .filter(|mean| mean.n > 1)
            .and_then(|mean| mean.interval)
            .filter(|interval| interval.width() > 0.0)
            .map(bounds),
        method: mean.map(|mean| mean.method.to_string()),
        quantile,
    }
}
