//! What keeps a run from being compared with its baseline: another scoring, and categories that are gone.

use std::collections::BTreeMap;

use super::{Check, Gate, Verdict};
use crate::run::{EvaluationRun, RunResults};
use crate::scorecard::category_label;
use crate::scorecard::format::count;
use crate::scoring::{PairwiseSpec, ScorerSpec, ScoringSpec};

/// Distance within which two weights are the same.
const SLACK: f64 = 1e-9;

impl Gate<'_> {
    /// Whether the composites of the run and its baseline measure the same.
    pub(super) fn is_comparable(&self) -> bool {
        let differs = |before: &EvaluationRun| !same_composite(&before.spec.scoring, &self.input.run.spec.scoring);
        !self.input.baseline.filter(|before| before.results.is_some()).is_some_and(differs)
    }

    /// That the scores are other quantities than the baseline's, unless the rules accept that.
    pub(super) fn changed_scoring(&self) -> Option<Check> {
        if self.is_comparable() || self.input.config.accept_changed_scoring {
            return None;
        }
        let message = "The composite is made of other metrics, weights or options than the baseline's: no drop can be told, and the \
                       absolute limits apply. Evaluate what the baseline evaluated by this scoring and promote that run, or write \
                       `gate.accept_changed_scoring: true`.";
        Some(Check::new("scoring", Verdict::Inconclusive, message.to_owned()))
    }

    /// A check for each category of the baseline of which nothing was evaluated, and what a reader should know of the others.
    pub(super) fn missing_categories(&self, before: &[&String], now: &RunResults) -> (Vec<Check>, Option<String>) {
        let gone: Vec<&str> =
            before.iter().map(|name| name.as_str()).filter(|name| !now.categories.contains_key(*name)).collect();
        if gone.is_empty() {
            return (Vec::new(), None);
        }
        let is_retired = |name: &str| self.input.config.retired_categories.iter().any(|retired| retired == name);
        if self.has_all_samples() || gone.iter().all(|name| is_retired(name)) {
            let labels: Vec<&str> = gone.into_iter().map(category_label).collect();
            let notice = format!("The baseline has categories that this run lacks: {}.", labels.join(", "));
            return (Vec::new(), Some(notice));
        }
        (gone.into_iter().filter(|name| !is_retired(name)).map(|name| self.missing(name)).collect(), None)
    }

    fn missing(&self, name: &str) -> Check {
        let label = category_label(name);
        let spec = &self.input.run.spec;
        let results = self.input.baseline.and_then(|before| before.results.as_ref());
        let category = results.and_then(|results| results.categories.get(name));
        let had = category.map(|category| format!(" and {} in the baseline", count(category.samples, "sample")));
        let had = had.unwrap_or_default();
        let other_dataset = self.input.baseline.is_some_and(|before| before.dataset != self.input.run.dataset);
        let (status, why) = if spec.is_partial() {
            (Verdict::Inconclusive, "Not the whole dataset was evaluated.".to_owned())
        } else if other_dataset {
            (Verdict::Inconclusive, "The baseline ran on another dataset.".to_owned())
        } else {
            let accept = serde_json::Value::from(name);
            (
                Verdict::Fail,
                format!("If it was given up on purpose, `gate.retired_categories: [{accept}]` accepts that."),
            )
        };
        Check {
            baseline: category.and_then(|category| category.score).map(|score| score.value),
            ..Check::new(
                &format!("category_missing/{name}"),
                status,
                format!("{label} has no sample in this run{had}: nothing is known of it. {why}"),
            )
        }
    }

    /// Whether every sample that the baseline scored was scored again: what lost its category has another one.
    fn has_all_samples(&self) -> bool {
        let Some(before) = self.input.baseline.and_then(|before| before.results.as_ref()) else { return false };
        let scored = before.total_samples.saturating_sub(before.errored_samples);
        self.input.paired.is_some_and(|paired| paired.difference.n >= scored)
    }
}

/// Whether two runs make their composites of the same metrics. What has no weight may differ, and so may the run that a pairwise
/// metric compares with.
fn same_composite(was: &ScoringSpec, is: &ScoringSpec) -> bool {
    let counted = |spec: &ScoringSpec| -> BTreeMap<String, (f64, ScorerSpec)> {
        let weighted = spec.metrics.iter().filter_map(|(name, metric)| Some((name, metric, metric.weight?)));
        let counted = weighted.filter(|(_, _, weight)| *weight > 0.0);
        counted.map(|(name, metric, weight)| (name.clone(), (weight, without_opponent(&metric.scorer)))).collect()
    };
    let (was, is) = (counted(was), counted(is));
    was.len() == is.len()
        && was.iter().zip(&is).all(|((name, (weight, scorer)), (other, (other_weight, other_scorer)))| {
            name == other && (weight - other_weight).abs() < SLACK && scorer == other_scorer
        })
}

fn without_opponent(scorer: &ScorerSpec) -> ScorerSpec {
    let mut scorer = scorer.clone();
    if let ScorerSpec::Pairwise(spec) = &mut scorer
        && spec.against != PairwiseSpec::REFERENCE
    {
        PairwiseSpec::BASELINE.clone_into(&mut spec.against);
    }
    scorer
}
