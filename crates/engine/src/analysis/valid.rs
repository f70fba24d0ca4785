//! What holds at every look at the data: an asymptotic confidence sequence of the same estimate.

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::cuped::cuped;
use llmops_stats::ordinal::{Placements, placements};
use llmops_stats::proportion::Rate;
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions, variance_of_difference};
use llmops_stats::{StatsError, TestOptions, TestResult, ratio};

use super::data::ArmMetric;
use super::fixed::{MEANS, Pair, RATES, covariate_pairs, rates};
use super::summary::{quantile_estimate, quantile_of};

/// What ranks estimate.
const SUPERIORITY: &str = "probability of superiority − ½";

/// Whether what is compared is a probability, and so no amount of the metric.
pub(super) fn is_of_ranks(estimand: &str) -> bool {
    estimand == SUPERIORITY
}

/// An estimated difference with its variance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effect {
    pub(super) estimand: &'static str,
    pub(super) value: f64,
    pub(super) variance: f64,
    pub(super) units: (u64, u64),
}

impl Effect {
    /// The confidence sequence.
    pub(super) fn sequence(&self, options: AsymptoticOptions) -> Result<TestResult, StatsError> {
        asymptotic::effect(self.units, self.value, self.variance, options)
    }

    /// What it would be with `times` as many units, were the estimate to stay.
    pub(super) fn grown(&self, times: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of units, rounded")]
        let grow = |n: u64| (n as f64 * times) as u64;
        Self { variance: self.variance / times, units: (grow(self.units.0), grow(self.units.1)), ..*self }
    }
}

/// The effect of a metric: an amount of it, or of ranks where the kind asks for them or too few observations leave nothing else.
pub(super) fn effect(metric: &MetricSpec, arms: Pair<'_>) -> Result<Effect, StatsError> {
    if metric.kind() == MetricKind::Ordinal && !uses_covariate(metric, arms) {
        return ordinal(arms);
    }
    amount(metric, arms).or_else(|error| match error {
        // As the test for one look does.
        StatsError::TooFew { .. }
            if is_by_quantile(metric, arms) && arms.0.tally.is_some() && arms.1.tally.is_some() =>
        {
            ordinal(arms)
        }
        error => Err(error),
    })
}

/// The effect as an amount of the metric, as margins and smallest effects are: never of ranks.
pub(super) fn amount(metric: &MetricSpec, arms: Pair<'_>) -> Result<Effect, StatsError> {
    match metric.kind() {
        _ if uses_covariate(metric, arms) => adjusted(arms),
        MetricKind::Binary => match rates(arms) {
            Some(rates) => Ok(of_rates(rates?)),
            None => means(arms),
        },
        MetricKind::Ratio => ratios(arms),
        MetricKind::Ordinal => means(arms),
        _ => quantile_of(metric).map_or_else(|| means(arms), |q| quantiles(q, arms)),
    }
}

/// Whether a covariate takes part.
pub(super) fn uses_covariate(metric: &MetricSpec, arms: Pair<'_>) -> bool {
    metric.covariate.is_some() && arms.0.sums.paired() + arms.1.sums.paired() > 0
}

/// Whether quantiles are compared.
pub(super) fn is_by_quantile(metric: &MetricSpec, arms: Pair<'_>) -> bool {
    let other = matches!(metric.kind(), MetricKind::Binary | MetricKind::Ratio | MetricKind::Ordinal);
    !other && quantile_of(metric).is_some() && !uses_covariate(metric, arms)
}

fn units((control, treatment): Pair<'_>) -> (u64, u64) {
    (control.sums.units(), treatment.sums.units())
}

fn of_rates((control, treatment): (Rate, Rate)) -> Effect {
    let unit = |rate: Rate, more: u64| {
        let n = rate.trials() + 2 * more;
        let p = (rate.successes() + more) as f64 / n as f64;
        (p * (1.0 - p), n)
    };
    let variance = |more| variance_of_difference(unit(control, more), unit(treatment, more));
    let value = treatment.value() - control.value();
    // All of one arm and none of the other is no lack of evidence: one success and failure more tell the scale.
    let variance = if variance(0) == 0.0 && value != 0.0 { variance(1) } else { variance(0) };
    Effect { estimand: RATES, value, variance, units: (control.trials(), treatment.trials()) }
}

/// Of means, whatever the kind.
pub(super) fn means(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let (control, treatment) = (arms.0.sums.moments()?, arms.1.sums.moments()?);
    let too_few = |n| StatsError::TooFew { what: "units of each variant", needed: 2, got: n };
    let least = control.n().min(treatment.n());
    let (before, after) = control.variance().zip(treatment.variance()).ok_or_else(|| too_few(least))?;
    let value = treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default();
    let variance = variance_of_difference((before, control.n()), (after, treatment.n()));
    Ok(Effect { estimand: MEANS, value, variance, units: units(arms) })
}

fn adjusted(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let (control, treatment) = covariate_pairs(arms)?;
    let adjusted = cuped(&control, &treatment, TestOptions::default())?;
    let raw = means(arms)?;
    let variance = raw.variance * (1.0 - adjusted.variance_reduction);
    let estimand = "difference of means, covariate-adjusted";
    Ok(Effect { estimand, value: adjusted.result.effect, variance: variance.max(0.0), ..raw })
}

fn ratios(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let of = |arm: &ArmMetric| ratio::ratio(&arm.sums.ratio_pairs()?, 0.95);
    let (before, after) = (of(arms.0)?, of(arms.1)?);
    let least = before.n.min(after.n);
    let too_few = StatsError::TooFew { what: "units of each variant", needed: 2, got: least };
    let (se1, se2) = before.se.zip(after.se).ok_or(too_few)?;
    let unit = |se: f64, n: u64| (se * se * n as f64, n);
    Ok(Effect {
        estimand: "difference of ratios",
        value: after.value - before.value,
        variance: variance_of_difference(unit(se1, before.n), unit(se2, after.n)),
        units: units(arms),
    })
}

fn ordinal(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let none = Vec::new();
    let tally = |arm: &'_ ArmMetric| arm.tally.clone().unwrap_or_else(|| none.clone());
    let Placements { value, variances, units: counted } = placements(&tally(arms.0), &tally(arms.1))?;
    let variance = variance_of_difference((variances.0, counted.0), (variances.1, counted.1));
    Ok(Effect {
        estimand: SUPERIORITY,
        value,
        // No overlap at all: half a pair of each arm tells the scale.
        variance: if variance == 0.0 && value != 0.0 { 0.5 / (counted.0 + counted.1) as f64 } else { variance },
        units: units(arms),
    })
}

fn quantiles(q: f64, arms: Pair<'_>) -> Result<Effect, StatsError> {
    let (before, after) = (quantile_estimate(arms.0, q)?, quantile_estimate(arms.1, q)?);
    Ok(Effect {
        estimand: "difference of quantiles",
        value: after.value - before.value,
        variance: before.variance + after.variance,
        units: units(arms),
    })
}
