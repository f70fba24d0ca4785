//! Comparison of two runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::run::{Estimate, EvaluationRun, RunResults};

/// A change beyond this (5 %) is called a regression or an improvement.
pub const NOTABLE_CHANGE: f64 = 0.05;

/// What changed from one run to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunComparison {
    /// The run before.
    pub run1_id: RunId,
    /// The run after.
    pub run2_id: RunId,
    /// Change of each metric both have, and of `overall`.
    pub metric_changes: BTreeMap<String, Change>,
    /// Change of each category both have.
    pub category_changes: BTreeMap<String, Change>,
    /// Pass rate after less pass rate before.
    pub pass_rate_change: f64,
    /// Metrics and categories that fell by more than 5 %.
    pub regressions: Vec<String>,
    /// Metrics and categories that rose by more than 5 %.
    pub improvements: Vec<String>,
    /// Samples whose pass or fail changed, worst first.
    pub flips: Vec<SampleChange>,
    /// Samples that now fail and passed before.
    pub newly_failed: u64,
    /// Samples that now pass and failed before.
    pub newly_passed: u64,
    /// The paired statistics on the samples both runs share.
    pub paired: Option<PairedEvidence>,
    /// One sentence.
    pub summary: String,
}

/// One number before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// After less before.
    pub change: f64,
    /// 95 % interval of the paired difference, where samples are shared.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Shared samples behind the interval.
    #[serde(default)]
    pub n: Option<u64>,
}

/// Paired statistics over the samples that both runs scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PairedEvidence {
    /// Mean difference of the composites (after less before), with the bootstrap interval.
    pub difference: Estimate,
    /// How the interval was made.
    pub method: String,
    /// Two-sided p-value of no difference (paired t).
    pub p_value: Option<f64>,
    /// Pass and fail flips.
    pub mcnemar: Option<McNemarEvidence>,
    /// Smallest mean difference that this many samples show with 80 % power at α = 0.05.
    pub minimum_detectable_effect: Option<f64>,
    /// The same by category.
    pub categories: BTreeMap<String, CategoryEvidence>,
}

/// McNemar's test on pass and fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct McNemarEvidence {
    /// Passed before, fails now.
    pub newly_failed: u64,
    /// Failed before, passes now.
    pub newly_passed: u64,
    /// Two-sided p-value.
    pub p_value: f64,
    /// Exact, mid-p or chi-squared.
    pub method: String,
}

/// Paired difference of one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryEvidence {
    /// Mean difference of the composites, with interval.
    pub difference: Estimate,
    /// Two-sided p-value of no difference (paired t); null where all differences are equal.
    pub p_value: Option<f64>,
    /// Samples needed for a difference of this size to be significant with 80 % power.
    pub needed_n: Option<u64>,
}

/// One sample before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleChange {
    /// The sample.
    pub sample_id: String,
    /// Its category.
    pub category: String,
    /// Composite before (mean over trials).
    pub before: Option<f64>,
    /// Composite after.
    pub after: Option<f64>,
    /// Whether every trial passed before.
    pub passed_before: Option<bool>,
    /// Whether every trial passes now.
    pub passed_after: Option<bool>,
}

/// Compares two runs that have results. `paired` and `flips` come from the samples both share.
pub fn compare(
    before: &EvaluationRun,
    after: &EvaluationRun,
    paired: Option<PairedEvidence>,
    flips: Vec<SampleChange>,
) -> RunComparison {
    let mut comparison = RunComparison {
        run1_id: before.id.clone(),
        run2_id: after.id.clone(),
        metric_changes: BTreeMap::new(),
        category_changes: BTreeMap::new(),
        pass_rate_change: 0.0,
        regressions: Vec::new(),
        improvements: Vec::new(),
        newly_failed: 0,
        newly_passed: 0,
        flips,
        paired,
        summary: String::new(),
    };
    if let Some(mcnemar) = comparison.paired.as_ref().and_then(|p| p.mcnemar.as_ref()) {
        (comparison.newly_failed, comparison.newly_passed) = (mcnemar.newly_failed, mcnemar.newly_passed);
    }
    let (Some(was), Some(is)) = (&before.results, &after.results) else {
        comparison.summary = "one of the runs has no results".to_owned();
        return comparison;
    };
    comparison.pass_rate_change = is.pass_rate.value - was.pass_rate.value;
    comparison.metric_changes = metric_changes(was, is);
    comparison.category_changes = category_changes(was, is, comparison.paired.as_ref());
    // The paired difference weighs samples alike and the overall score weighs categories, so that the interval of the
    // one is not the other's.
    let overall = was.overall.zip(is.overall).map(|(was, is)| change(was.value, is.value));
    note_changes(&mut comparison, after);
    comparison.summary = summary(&comparison, overall);
    comparison.metric_changes.extend(overall.map(|change| ("overall".to_owned(), change)));
    comparison
}

fn change(before: f64, after: f64) -> Change {
    Change { before, after, change: after - before, interval: None, n: None }
}

fn metric_changes(was: &RunResults, is: &RunResults) -> BTreeMap<String, Change> {
    let both = was.metric_scores.iter().filter_map(|(name, before)| Some((name, *before, *is.metric_scores.get(name)?)));
    both.map(|(name, before, after)| (name.clone(), change(before, after))).collect()
}

fn category_changes(was: &RunResults, is: &RunResults, paired: Option<&PairedEvidence>) -> BTreeMap<String, Change> {
    let mut changes = BTreeMap::new();
    for (name, before) in &was.categories {
        let after = is.categories.get(name).and_then(|category| category.score);
        let (Some(before), Some(after)) = (before.score, after) else { continue };
        let evidence = paired.and_then(|p| p.categories.get(name)).map(|c| c.difference);
        let interval = evidence.map(|difference| [difference.lower, difference.upper]);
        let n = evidence.map(|difference| difference.n);
        changes.insert(name.clone(), Change { interval, n, ..change(before.value, after.value) });
    }
    changes
}

/// Names what changed by more than 5 %: points for scores, relative for latency and cost, where less is better.
fn note_changes(comparison: &mut RunComparison, after: &EvaluationRun) {
    let mut note = |name: &str, gain: f64, text: String| {
        if gain < -NOTABLE_CHANGE {
            comparison.regressions.push(format!("{name} {text}"));
        } else if gain > NOTABLE_CHANGE {
            comparison.improvements.push(format!("{name} {text}"));
        }
    };
    for (name, change) in &comparison.metric_changes {
        let scorer = after.spec.scoring.metrics.get(name).map(|metric| &metric.scorer);
        if scorer.is_some_and(crate::scoring::ScorerSpec::is_measurement) {
            let relative = if change.before > 0.0 { change.change / change.before } else { 0.0 };
            note(name, -relative, format!("{:+.1} %", relative * 100.0));
        } else if scorer.is_none_or(crate::scoring::ScorerSpec::is_score) {
            note(name, change.change, format!("{:+.3}", change.change));
        }
    }
    for (name, change) in &comparison.category_changes {
        note(name, change.change, format!("{:+.3}", change.change));
    }
    let points = comparison.pass_rate_change;
    note("pass rate", points, format!("{:+.1} points", points * 100.0));
}

fn summary(comparison: &RunComparison, overall: Option<Change>) -> String {
    let moved = match overall {
        Some(change) => format!("overall {:.3} → {:.3} ({:+.3})", change.before, change.after, change.change),
        None => "no overall score".to_owned(),
    };
    format!(
        "{moved}, pass rate {:+.1} points, {} newly failed, {} newly passed, {} regressions, {} improvements",
        comparison.pass_rate_change * 100.0,
        comparison.newly_failed,
        comparison.newly_passed,
        comparison.regressions.len(),
        comparison.improvements.len()
    )
}
