//! What holds at every look at the data: an asymptotic confidence sequence of the same estimate.

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::cuped::cuped;
use llmops_stats::ordinal::superiority;
use llmops_stats::proportion::Rate;
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};
use llmops_stats::{StatsError, TestOptions, TestResult, ratio};

use super::data::ArmMetric;
use super::fixed::{MEANS, Pair, RATES, covariate_pairs, rates};
use super::summary::{quantile_estimate, quantile_of};

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

/// The effect of a metric.
pub(super) fn effect(metric: &MetricSpec, arms: Pair<'_>) -> Result<Effect, StatsError> {
    match metric.kind() {
        _ if metric.covariate.is_some() && arms.0.sums.paired() + arms.1.sums.paired() > 0 => adjusted(arms),
        MetricKind::Binary => match rates(arms) {
            Some(rates) => Ok(of_rates(rates?)),
            None => means(arms),
        },
        MetricKind::Ratio => ratios(arms),
        MetricKind::Ordinal => ordinal(arms),
        _ => match quantile_of(metric) {
            Some(q) => quantiles(q, arms).or_else(|error| match error {
                // As the test for one look does.
                StatsError::TooFew { .. } if arms.0.tally.is_some() && arms.1.tally.is_some() => ordinal(arms),
                error => Err(error),
            }),
            None => means(arms),
        },
    }
}

fn units((control, treatment): Pair<'_>) -> (u64, u64) {
    (control.sums.units(), treatment.sums.units())
}

fn of_rates((control, treatment): (Rate, Rate)) -> Effect {
    let variance = |rate: Rate, more: f64| {
        let n = rate.trials() as f64 + 2.0 * more;
        let p = (rate.successes() as f64 + more) / n;
        p * (1.0 - p) / n
    };
    let sum = |more: f64| variance(control, more) + variance(treatment, more);
    let value = treatment.value() - control.value();
    // All of one arm and none of the other is no lack of evidence: one success and failure more tell the scale.
    let variance = if sum(0.0) == 0.0 && value != 0.0 { sum(1.0) } else { sum(0.0) };
    Effect { estimand: RATES, value, variance, units: (control.trials(), treatment.trials()) }
}

/// Of means, whatever the kind.
pub(super) fn means(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let (control, treatment) = (arms.0.sums.moments()?, arms.1.sums.moments()?);
    let too_few = |n| StatsError::TooFew { what: "units of each variant", needed: 2, got: n };
    let least = control.n().min(treatment.n());
    let (before, after) = control.sem().zip(treatment.sem()).ok_or_else(|| too_few(least))?;
    let value = treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default();
    Ok(Effect { estimand: MEANS, value, variance: before * before + after * after, units: units(arms) })
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
    Ok(Effect {
        estimand: "difference of ratios",
        value: after.value - before.value,
        variance: se1 * se1 + se2 * se2,
        units: units(arms),
    })
}

fn ordinal(arms: Pair<'_>) -> Result<Effect, StatsError> {
    let none = Vec::new();
    let tally = |arm: &'_ ArmMetric| arm.tally.clone().unwrap_or_else(|| none.clone());
    let estimate = superiority(&tally(arms.0), &tally(arms.1), 0.95)?;
    let variance = estimate.se.unwrap_or_default().powi(2);
    Ok(Effect {
        estimand: "probability of superiority − ½",
        value: estimate.value,
        // No overlap at all: half a pair of each arm tells the scale.
        variance: if variance == 0.0 && estimate.value != 0.0 { 0.5 / estimate.n as f64 } else { variance },
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
