//! Experiments whose shares follow the data: what was observed, each unit counted by the inverse of its share, and the next shares.

use llmops_domain::experiment::adaptive::{Adaptive, AdaptiveStep};
use llmops_domain::experiment::result::{Comparison, MetricSummary};
use llmops_domain::experiment::{Direction, MetricKind, MetricSpec};
use llmops_stats::allocation::{chance_best, reweigh, top_two};
use llmops_stats::unit_sums::UnitSums;

use super::data::{Arm, ArmMetric, Observed};
use super::summary::bounds;
use super::{Plan, compare};

/// What every analysis of such an experiment says.
const WARNING: &str = "the shares of traffic follow the data (adaptive allocation), so every unit counts by the inverse of its share, \
                       and means are compared whatever the kind of the metric: p-values and intervals are not those of an \
                       experiment with fixed shares, and with the same number of units they are wider";

/// The arms with means and variances reweighted over the allocations; nothing where the shares were fixed.
pub(super) fn reweighted(plan: &Plan, observed: &Observed) -> Option<Vec<Arm>> {
    if observed.allocations.is_empty() {
        return None;
    }
    let mut arms = vec![Arm::default(); plan.variants.len()];
    for metric in &plan.metrics {
        for (arm, sums) in arms.iter_mut().zip(sums_of(plan, observed, &metric.name)) {
            let raw = ArmMetric { sums, ..ArmMetric::default() };
            arm.metrics.insert(metric.name.clone(), raw);
        }
    }
    Some(arms)
}

/// Of one metric; arms without enough units have none.
fn sums_of(plan: &Plan, observed: &Observed, metric: &str) -> Vec<UnitSums> {
    let of = |arms: &Vec<Arm>, variant: usize| {
        arms.get(variant).and_then(|arm| arm.metrics.get(metric)).map(|data| data.sums).unwrap_or_default()
    };
    let stretches: Vec<Vec<UnitSums>> = observed
        .allocations
        .values()
        .map(|arms| (0..plan.variants.len()).map(|variant| of(arms, variant)).collect())
        .collect();
    reweigh(&stretches).unwrap_or_else(|_| vec![UnitSums::default(); plan.variants.len()])
}

/// Compares the means of reweighted arms.
pub(super) fn compare(
    plan: &Plan,
    metric: &MetricSpec,
    treatment: usize,
    arms: (&ArmMetric, &ArmMetric),
) -> Comparison {
    let mean = MetricSpec {
        kind: Some(MetricKind::Continuous),
        direction: Some(metric.direction()),
        quantile: None,
        covariate: None,
        ..metric.clone()
    };
    let plan = Plan { test: None, ..plan.clone() };
    let mut comparison = compare::compare(&plan, &mean, treatment, arms);
    comparison.kind = metric.kind();
    if let Some(fixed) = &mut comparison.fixed {
        fixed.test.push_str(", reweighted");
        fixed.estimand.push_str(", reweighted");
    }
    if let Some(valid) = &mut comparison.always_valid {
        valid.test.push_str(", reweighted");
        valid.estimand.push_str(", reweighted");
    }
    comparison
}

/// Replaces mean and interval by the reweighted ones.
pub(super) fn summarise(summary: &mut MetricSummary, data: &ArmMetric, level: f64) {
    let estimate = data.sums.moments().and_then(|moments| moments.mean_estimate(level)).ok();
    summary.mean = estimate.as_ref().map(|estimate| estimate.value);
    summary.interval = estimate.and_then(|estimate| estimate.interval).map(bounds);
    summary.method = Some("mean, each unit by the inverse of its share".to_owned());
    summary.quantile = None;
}

/// What a reader should know.
pub(super) fn notices(plan: &Plan, observed: &Observed) -> Vec<String> {
    let units = |arms: &[Arm]| -> u64 {
        arms.iter().filter_map(|arm| arm.metrics.get(&plan.target)).map(|data| data.sums.units()).sum()
    };
    let (all, known) = (units(&observed.arms), observed.allocations.values().map(|arms| units(arms)).sum::<u64>());
    let mut notices = vec![WARNING.to_owned()];
    if known < all {
        notices.push(format!(
            "{} units were recorded without being assigned, so their chance to be where they are is not known: they are left out",
            all - known
        ));
    }
    notices
}

/// Units that were observed on the target metric under the present allocation.
pub fn units_since(plan: &Plan, observed: &Observed, allocation: usize) -> u64 {
    let arms = observed.allocations.get(&allocation).map(Vec::as_slice).unwrap_or_default();
    arms.iter().filter_map(|arm| arm.metrics.get(&plan.target)).map(|data| data.sums.units()).sum()
}

/// The shares that follow from the data; nothing while an arm has too few units to have a spread.
pub fn next_shares(plan: &Plan, observed: &Observed, rule: &Adaptive) -> Option<(Vec<f64>, AdaptiveStep)> {
    let sign = match plan.metric(&plan.target)?.direction() {
        Direction::Higher => 1.0,
        Direction::Lower => -1.0,
    };
    let sums = sums_of(plan, observed, &plan.target);
    let estimate = |sums: &UnitSums| {
        let moments = sums.moments().ok()?;
        Some((sign * moments.mean()?, moments.sem()?))
    };
    let estimates: Vec<(f64, f64)> = sums.iter().map(estimate).collect::<Option<_>>()?;
    let chances = chance_best(&estimates).ok()?;
    let shares = top_two(&chances, rule.beta, rule.floor).ok()?;
    let units = sums.iter().map(UnitSums::units).sum();
    Some((shares, AdaptiveStep { chances, units }))
}
