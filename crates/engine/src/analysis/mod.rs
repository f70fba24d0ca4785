//! What an experiment's data allow to say: a pure function from what was observed to an [`ExperimentResult`].
//!
//! The same code analyses the aggregates of the store and a file from anywhere. [`Observed`] holds, per arm and metric, sums
//! over units, from which every test but those of ranks and quantiles follows; ranks come from a tally of unit values,
//! quantiles from the values or from sketches of them.

pub mod adaptive;
mod compare;
mod data;
mod decide;
pub mod file;
mod fixed;
mod reach;
pub mod simulate;
mod summary;
mod valid;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::experiment::result::{
    Comparison, ExperimentResult, MetricSummary, OneLook, SampleRatio, Slice, VariantResult,
};
use llmops_domain::experiment::{AnalysisPlan, Basis, Correction, MetricSpec, TestChoice};
use llmops_stats::multiple::{self, adjust};
use llmops_stats::sequential::asymptotic::AsymptoticOptions;
use llmops_stats::sequential::multinomial;
use llmops_stats::srm::sample_ratio_mismatch;

pub use data::{Arm, ArmMetric, Observed, Quantiles};
pub use reach::{Known, warning as plan_warning};
pub(crate) use reach::{needs_known, spread_of};

/// What is counted where a value of the target metric is asked for.
const OUTCOMES: &str = "units with ";
/// A mismatch of the split is one at this p-value.
const MISMATCH: f64 = 0.001;
/// Units of all arms at which always-valid intervals are narrowest, where nothing is planned.
const TUNING: f64 = 5000.0;
/// Units of each arm before anything that rests on the central limit theorem is said to be always valid.
const FIRST_LOOK: u64 = 30;

/// What is known of the one look of a plan with a fixed horizon.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Horizon {
    /// Nobody remembers whether there was one, so that one well beyond the plan is not the first.
    #[default]
    Unknown,
    /// It was not taken yet.
    Ahead,
    /// It was taken, and what it found stands.
    Taken(Box<OneLook>),
}

/// How data are analysed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The experiment's id, or the file.
    pub name: String,
    /// Ids of the variants.
    pub variants: Vec<String>,
    /// Position of the control.
    pub control: usize,
    /// The share of units that each variant should have; empty: not known.
    pub weights: Vec<f64>,
    /// Positions of variants that get no units any more: nothing waits for them.
    pub retired: Vec<usize>,
    /// The metrics.
    pub metrics: Vec<MetricSpec>,
    /// The one that decides.
    pub target: String,
    /// The rules.
    pub rules: AnalysisPlan,
    /// Units of each variant before a winner is named.
    pub min_samples: u64,
    /// A test for the target metric other than that of its kind.
    pub test: Option<TestChoice>,
    /// How long the experiment has run, pauses left out; nothing where that cannot be known.
    pub elapsed: Option<Duration>,
    /// The one look, where the basis is a fixed horizon.
    pub horizon: Horizon,
    /// Whether the Bayesian view is wanted: it takes longer than all the rest.
    pub bayes: bool,
    /// The time.
    pub now: Timestamp,
}

impl Plan {
    pub(crate) fn metric(&self, name: &str) -> Option<&MetricSpec> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    fn level(&self) -> f64 {
        1.0 - self.rules.alpha
    }

    /// Settings of what is always valid; fixed before the first look, since they depend on the plan alone.
    fn sequence(&self) -> AsymptoticOptions {
        let tuning = self.rules.planned_n.map_or(TUNING, |n| (n * 2).max(60) as f64);
        AsymptoticOptions { level: self.level(), tuning, min_per_arm: FIRST_LOOK }
    }

    fn treatments(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.variants.len()).filter(|variant| *variant != self.control)
    }

    /// The target first.
    fn ordered_metrics(&self) -> impl Iterator<Item = &MetricSpec> {
        let is_target = |metric: &&MetricSpec| metric.name == self.target;
        self.metrics.iter().filter(is_target).chain(self.metrics.iter().filter(move |metric| !is_target(metric)))
    }
}

/// Analyses what was observed.
pub fn analyse(plan: &Plan, observed: &Observed) -> ExperimentResult {
    let reweighted = adaptive::reweighted(plan, observed);
    let mut comparisons = compare_all(plan, reweighted.as_ref().unwrap_or(&observed.arms), reweighted.is_some());
    correct_families(plan, &mut comparisons);
    let variant_results = variant_results(plan, (&observed.arms, reweighted.as_deref()), &comparisons);
    let sample_ratio = sample_ratio(plan, observed);
    let decision = decide::decide(plan, &comparisons, &variant_results, sample_ratio.as_ref());
    let is_adaptive = reweighted.is_some();
    let mut segments = slices(plan, &observed.segments, is_adaptive);
    correct(plan.rules.correction, plan.rules.alpha, segments.iter_mut().flat_map(|slice| &mut slice.comparisons));
    ExperimentResult {
        experiment: plan.name.clone(),
        control: plan.variants[plan.control].clone(),
        target_metric: plan.target.clone(),
        total_samples: variant_results.values().map(|variant| variant.sample_count).sum(),
        variant_results,
        winner: decision.winner,
        significance: decision.significance,
        confidence: 1.0 - decision.significance,
        recommendation: decision.recommendation,
        conclusion: decision.conclusion,
        basis: plan.rules.basis,
        alpha: plan.rules.alpha,
        correction: plan.rules.correction,
        missing: decision.missing,
        forecast: decision.forecast,
        notices: notices(plan, observed, &comparisons),
        comparisons,
        sample_ratio,
        excluded: observed.excluded.clone(),
        segments,
        days: slices(plan, &observed.days, is_adaptive),
        cumulative: slices(plan, &data::cumulative(&observed.days), is_adaptive),
        computed_at: plan.now,
    }
}

/// Every metric of every treatment beside the control's.
fn compare_all(plan: &Plan, arms: &[Arm], is_adaptive: bool) -> Vec<Comparison> {
    let nothing = ArmMetric::default();
    let mut comparisons = Vec::new();
    for metric in plan.ordered_metrics() {
        let of = |variant: usize| arms.get(variant).and_then(|arm| arm.metrics.get(&metric.name)).unwrap_or(&nothing);
        for treatment in plan.treatments() {
            let compare = if is_adaptive { adaptive::compare } else { compare::compare };
            comparisons.push(compare(plan, metric, treatment, (of(plan.control), of(treatment))));
        }
    }
    comparisons
}

/// The target metric is corrected for its own comparisons, all other metrics together for theirs: watching more metrics
/// costs the target nothing.
fn correct_families(plan: &Plan, comparisons: &mut [Comparison]) {
    let (target, others): (Vec<_>, Vec<_>) =
        comparisons.iter_mut().partition(|comparison| comparison.metric == plan.target);
    correct(plan.rules.correction, plan.rules.alpha, target.into_iter());
    correct(plan.rules.correction, plan.rules.alpha, others.into_iter());
}

fn correct<'a>(correction: Correction, alpha: f64, family: impl Iterator<Item = &'a mut Comparison>) {
    let mut family: Vec<_> = family.filter_map(|comparison| Some((comparison.p_value?, comparison))).collect();
    let p_values: Vec<f64> = family.iter().map(|(p, _)| *p).collect();
    let corrected = match correction {
        Correction::Holm => adjust(&p_values, multiple::Correction::Holm),
        Correction::Bh => adjust(&p_values, multiple::Correction::BenjaminiHochberg),
        Correction::None => Ok(p_values),
    };
    // p-values of tests are between 0 and 1, so there is nothing to refuse.
    for ((_, comparison), p) in family.iter_mut().zip(corrected.unwrap_or_default()) {
        comparison.p_value_corrected = Some(p);
        comparison.significant = p <= alpha;
    }
}

fn summaries(plan: &Plan, arm: &Arm) -> BTreeMap<String, MetricSummary> {
    let of = |metric: &MetricSpec| {
        let data = arm.metrics.get(&metric.name)?;
        Some((metric.name.clone(), summary::summarise(metric, data, plan.level())))
    };
    plan.metrics.iter().filter_map(of).collect()
}

fn variant_results(
    plan: &Plan,
    (arms, reweighted): (&[Arm], Option<&[Arm]>),
    comparisons: &[Comparison],
) -> BTreeMap<String, VariantResult> {
    let nothing = Arm::default();
    let of = |(variant, id): (usize, &String)| {
        let arm = arms.get(variant).unwrap_or(&nothing);
        let mut metrics = summaries(plan, arm);
        for (name, data) in reweighted.and_then(|arms| arms.get(variant)).iter().flat_map(|arm| &arm.metrics) {
            if let Some(summary) = metrics.get_mut(name) {
                adaptive::summarise(summary, data, plan.level());
            }
        }
        let target = metrics.get(&plan.target);
        let is_rate = plan.metric(&plan.target).is_some_and(summary::is_rate);
        let beside = comparisons.iter().find(|c| c.metric == plan.target && c.variant == *id);
        let result = VariantResult {
            sample_count: target.map_or(0, |target| target.units),
            metric_values: metrics.iter().filter_map(|(name, m)| Some((name.clone(), m.mean?))).collect(),
            conversion_rate: target.filter(|_| is_rate).and_then(|target| target.mean),
            improvement: beside.and_then(|comparison| Some(comparison.lift?.value)),
            is_control: variant == plan.control,
            units: arm.units,
            metrics,
        };
        (id.clone(), result)
    };
    plan.variants.iter().enumerate().map(of).collect()
}

/// Parts of an adaptive experiment are shown and not compared: a comparison would need the allocations within each part.
fn slices(plan: &Plan, parts: &BTreeMap<String, Vec<Arm>>, is_adaptive: bool) -> Vec<Slice> {
    let of = |(name, arms): (&String, &Vec<Arm>)| Slice {
        name: name.clone(),
        variant_results: plan.variants.iter().cloned().zip(arms.iter().map(|arm| summaries(plan, arm))).collect(),
        comparisons: if is_adaptive { Vec::new() } else { compare_all(plan, arms, false) },
    };
    parts.iter().map(of).collect()
}

/// Of everything that is counted, what is wrong, else the first.
fn sample_ratio(plan: &Plan, observed: &Observed) -> Option<SampleRatio> {
    let per_arm = |of: &dyn Fn(&Arm) -> u64| -> Vec<u64> {
        (0..plan.variants.len()).map(|variant| observed.arms.get(variant).map_or(0, of)).collect()
    };
    let mut counts: Vec<(String, Vec<u64>)> =
        observed.counts.iter().map(|(what, units)| ((*what).to_owned(), units.clone())).collect();
    if counts.is_empty() {
        counts.push((observed.counted.to_owned(), per_arm(&|arm| arm.units)));
    }
    if observed.splits_outcomes {
        let of_target = |arm: &Arm| arm.metrics.get(&plan.target).map_or(0, |data| data.sums.units());
        counts.push((format!("{OUTCOMES}{}", plan.target), per_arm(&of_target)));
    }
    let mut checks: Vec<SampleRatio> =
        counts.into_iter().filter_map(|(what, units)| split_check(plan, what, &units)).collect();
    let first = checks.iter().position(|ratio| ratio.mismatch).unwrap_or(0);
    (first < checks.len()).then(|| checks.swap_remove(first))
}

fn split_check(plan: &Plan, counted: String, units: &[u64]) -> Option<SampleRatio> {
    let (total, weights) = (units.iter().sum::<u64>(), &plan.weights);
    if total == 0 || weights.len() != units.len() {
        return None;
    }
    // Where none can be, one is enough.
    let astray = units.iter().zip(weights).any(|(units, weight)| *units > 0 && *weight == 0.0);
    let (sequential_p, once_p) = if astray {
        (0.0, 0.0)
    } else {
        let sequential = multinomial::sample_ratio(units, weights, multinomial::CONCENTRATION).ok()?;
        (sequential.p_value, sample_ratio_mismatch(units, weights).ok()?.p_value)
    };
    let sum: f64 = weights.iter().sum();
    let named = || plan.variants.iter().cloned();
    // On a plan with one look, the test for one look decides as well.
    let one_look = plan.rules.basis == Basis::FixedHorizon && once_p <= MISMATCH;
    Some(SampleRatio {
        mismatch: sequential_p <= MISMATCH || one_look,
        p_value: sequential_p,
        chi_squared_p: once_p,
        observed: named().zip(units.iter().copied()).collect(),
        expected: named().zip(weights.iter().map(|weight| total as f64 * weight / sum)).collect(),
        counted,
    })
}

fn notices(plan: &Plan, observed: &Observed, comparisons: &[Comparison]) -> Vec<String> {
    let mut notices = observed.notices.clone();
    if !observed.allocations.is_empty() {
        notices.extend(adaptive::notices(plan, observed));
    }
    let excluded = observed.excluded.units_in_several_variants;
    if excluded > 0 {
        let (units, were) = if excluded == 1 { ("unit", "was") } else { ("units", "were") };
        notices.push(format!(
            "{excluded} {units} {were} seen in several variants and left out with all observations, such as {}",
            observed.excluded.examples.join(", ")
        ));
    }
    let early = observed.excluded.early_observations;
    if early > 0 {
        let (observations, lie, are) =
            if early == 1 { ("observation", "lies", "is") } else { ("observations", "lie", "are") };
        notices.push(format!(
            "{early} {observations} {lie} before the unit was exposed, or before the experiment began, and {are} left out: what was \
             before a variant was seen is no effect of it"
        ));
    }
    let others = comparisons.iter().filter(|c| c.metric != plan.target && c.p_value.is_some()).count();
    if others > 1 && plan.rules.correction != Correction::None {
        notices.push(format!(
            "p-values of the metrics beside {} are corrected for all {others} of their comparisons together",
            plan.target
        ));
    }
    if let Horizon::Taken(look) = &plan.horizon {
        notices.push(format!(
            "the one look was taken at {} with {} units: what it found stands, and the numbers beside it are of now",
            look.at, look.total_samples
        ));
    }
    if plan.weights.is_empty() {
        notices.push("the split is not known, so a sample-ratio mismatch cannot be told".to_owned());
    }
    notices
}
