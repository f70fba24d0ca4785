//! The test for one look at the data, by the kind of the metric.

use llmops_domain::experiment::{MetricKind, MetricSpec, TestChoice};
use llmops_stats::contingency::{chi_squared_rates, fisher_exact};
use llmops_stats::cuped::{Cuped, cuped};
use llmops_stats::mann_whitney::RankMethod;
use llmops_stats::moments::PairMoments;
use llmops_stats::ordinal::mann_whitney_tallied;
use llmops_stats::proportion::{Rate, ZVariance, two_proportion_z};
use llmops_stats::{StatsError, TestOptions, TestResult, quantile, ratio, t_test};

use super::data::ArmMetric;
use super::summary::{quantile_estimate, quantile_of};

/// Fisher's exact test instead of the z-test where a cell of the table expects fewer.
const SMALL_CELL: f64 = 5.0;

/// A test and what it compares.
pub(super) struct Tested {
    pub(super) result: TestResult,
    pub(super) estimand: &'static str,
    pub(super) cuped: Option<Cuped>,
    /// Why it is another one than usual.
    pub(super) notice: Option<String>,
}

/// Control and treatment.
pub(super) type Pair<'a> = (&'a ArmMetric, &'a ArmMetric);

impl Tested {
    fn new(result: TestResult, estimand: &'static str) -> Self {
        Self { result, estimand, cuped: None, notice: None }
    }
}

/// Runs the test that was asked for, else the one for this kind of metric.
pub(super) fn test(
    metric: &MetricSpec,
    asked: Option<TestChoice>,
    arms: Pair<'_>,
    options: TestOptions,
) -> Result<Tested, StatsError> {
    if let Some(choice) = asked {
        return chosen(metric, choice, arms, options);
    }
    match metric.kind() {
        _ if metric.covariate.is_some() && has_covariate(arms) => adjusted(arms, options),
        MetricKind::Binary => match rates(arms) {
            Some(rates) => proportions(rates?, options),
            None => welch(arms, options),
        },
        MetricKind::Continuous | MetricKind::Count | MetricKind::Cost if metric.quantile.is_none() => {
            welch(arms, options)
        }
        MetricKind::Ordinal => ranks(arms, options),
        MetricKind::Ratio => delta(arms, options),
        _ => quantiles(metric, arms, options).or_else(|error| match error {
            // Too few for this quantile, but not for ranks.
            StatsError::TooFew { needed, got, .. } if arms.0.tally.is_some() && arms.1.tally.is_some() => {
                let mut tested = ranks(arms, options)?;
                tested.notice = Some(format!(
                    "the quantile needs {needed} observations in each variant and has {got}: ranks are compared instead"
                ));
                Ok(tested)
            }
            error => Err(error),
        }),
    }
}

/// Why these values cannot have the test that was asked for; nothing where they can.
pub(super) fn misfit(metric: &MetricSpec, asked: Option<TestChoice>, arms: Pair<'_>) -> Option<String> {
    use TestChoice::{ChiSquared, ChiSquaredYates, Delta, Fisher, ZTest, ZTestUnpooled};
    let (name, test) = (&metric.name, asked?.name());
    match asked? {
        ZTest | ZTestUnpooled | Fisher | ChiSquared | ChiSquaredYates if rates(arms).is_none() => {
            let fit = if metric.kind() == MetricKind::Ordinal { "mann-whitney" } else { "welch" };
            Some(format!(
                "no test of {name}: {test} compares rates, and not every unit's value is 0 or 1; {fit} does without"
            ))
        }
        Delta if metric.kind() != MetricKind::Ratio => {
            Some(format!("no test of {name}: {test} compares ratios, and its kind is another"))
        }
        _ => None,
    }
}

fn chosen(metric: &MetricSpec, choice: TestChoice, arms: Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    const NEEDS_RATES: StatsError = StatsError::NoVariation { what: "units whose values are not all 0 or 1" };
    let rated = || rates(arms).unwrap_or(Err(NEEDS_RATES));
    let rate = |result| Ok(Tested::new(result, RATES));
    match choice {
        TestChoice::ZTest | TestChoice::ZTestUnpooled => {
            let variance = if choice == TestChoice::ZTest { ZVariance::Pooled } else { ZVariance::Unpooled };
            let (control, treatment) = rated()?;
            rate(two_proportion_z(control, treatment, variance, options)?)
        }
        TestChoice::Fisher => rated().and_then(|(c, t)| rate(fisher_exact(c, t, options)?)),
        TestChoice::ChiSquared => rated().and_then(|(c, t)| rate(chi_squared_rates(c, t, false, options)?)),
        TestChoice::ChiSquaredYates => rated().and_then(|(c, t)| rate(chi_squared_rates(c, t, true, options)?)),
        TestChoice::Welch => welch(arms, options),
        TestChoice::Student => {
            let result = t_test::student_from_moments(&arms.0.sums.moments()?, &arms.1.sums.moments()?, options)?;
            Ok(Tested::new(result, MEANS))
        }
        TestChoice::MannWhitney => ranks(arms, options),
        TestChoice::Quantile => quantiles(metric, arms, options),
        TestChoice::Delta => delta(arms, options),
    }
}

pub(super) const RATES: &str = "difference of rates";
pub(super) const MEANS: &str = "difference of means";

/// The rates of both arms, where every unit's value is 0 or 1.
pub(super) fn rates((control, treatment): Pair<'_>) -> Option<Result<(Rate, Rate), StatsError>> {
    let (before, after) = control.sums.rate().zip(treatment.sums.rate())?;
    Some(Rate::new(before.0, before.1).and_then(|before| Ok((before, Rate::new(after.0, after.1)?))))
}

fn proportions((control, treatment): (Rate, Rate), options: TestOptions) -> Result<Tested, StatsError> {
    let total = (control.trials() + treatment.trials()) as f64;
    let successes = (control.successes() + treatment.successes()) as f64;
    let smaller = control.trials().min(treatment.trials()) as f64;
    let least = smaller * successes.min(total - successes) / total;
    let result = if least < SMALL_CELL {
        fisher_exact(control, treatment, options)?
    } else {
        two_proportion_z(control, treatment, ZVariance::Pooled, options)?
    };
    Ok(Tested::new(result, RATES))
}

fn welch((control, treatment): Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    let result = t_test::welch_from_moments(&control.sums.moments()?, &treatment.sums.moments()?, options)?;
    Ok(Tested::new(result, MEANS))
}

fn has_covariate((control, treatment): Pair<'_>) -> bool {
    control.sums.paired() + treatment.sums.paired() > 0
}

/// (covariate, value) of both arms. Units without covariate count with the mean of those that have one.
pub(super) fn covariate_pairs((control, treatment): Pair<'_>) -> Result<(PairMoments, PairMoments), StatsError> {
    let ((sum1, n1), (sum2, n2)) = (control.sums.second(), treatment.sums.second());
    let mean = (sum1 + sum2) / (n1 + n2).max(1) as f64;
    Ok((control.sums.covariate_pairs(mean)?, treatment.sums.covariate_pairs(mean)?))
}

fn adjusted(arms: Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    let (control, treatment) = covariate_pairs(arms)?;
    let cuped = cuped(&control, &treatment, options)?;
    Ok(Tested { cuped: Some(cuped.clone()), ..Tested::new(cuped.result, "difference of means, covariate-adjusted") })
}

fn ranks((control, treatment): Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    let none = Vec::new();
    let (before, after) = (control.tally.as_ref().unwrap_or(&none), treatment.tally.as_ref().unwrap_or(&none));
    let result = mann_whitney_tallied(before, after, RankMethod::Auto, options)?;
    Ok(Tested::new(result, "shift of location (Hodges-Lehmann)"))
}

fn quantiles(metric: &MetricSpec, (control, treatment): Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    let q = quantile_of(metric).unwrap_or(0.5);
    let (before, after) = (quantile_estimate(control, q)?, quantile_estimate(treatment, q)?);
    Ok(Tested::new(quantile::difference_of(&before, &after, options)?, "difference of quantiles"))
}

fn delta((control, treatment): Pair<'_>, options: TestOptions) -> Result<Tested, StatsError> {
    let result = ratio::ratio_difference(&control.sums.ratio_pairs()?, &treatment.sums.ratio_pairs()?, options)?;
    Ok(Tested::new(result, "difference of ratios"))
}
