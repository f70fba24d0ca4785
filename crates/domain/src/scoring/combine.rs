//! From the metrics of a trial to its composite, and to whether it passed.

use std::collections::BTreeMap;

use super::{MetricSpec, ScorerSpec, ScoringSpec};
use crate::run::MetricScore;

/// Distance within which a score equals its threshold, so that sums of decimals do not decide.
const SLACK: f64 = 1e-9;

/// The weighted mean of the metrics that have a weight. None where no metric has one, and where one of those that have is
/// missing or not finite: the others cannot stand in for it.
pub fn composite(scores: &BTreeMap<String, MetricScore>, spec: &ScoringSpec) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for (name, metric) in &spec.metrics {
        if let Some(weight) = metric.weight.filter(|w| *w > 0.0) {
            sum += weight * scores.get(name)?.score;
            total += weight;
        }
    }
    let mean = sum / total;
    // Rounding must not push a perfect composite over 1.
    mean.is_finite().then(|| mean.clamp(0.0, 1.0))
}

/// Whether a trial passes every metric, and what it does not, such as `rouge_l < 0.7` or `latency > 2000 ms`.
///
/// A score passes at or above its threshold, a measurement at or below its limit. A metric that has neither (latency and
/// cost without a limit, the raw rate of refusals) cannot fail. Nor can a score without weight and without a threshold of its
/// own, which is reported only, where others have a weight. A score that is missing or no number does not pass.
pub fn pass(scores: &BTreeMap<String, MetricScore>, spec: &ScoringSpec) -> (bool, Vec<String>) {
    let mut failures = Vec::new();
    let any_weight = spec.metrics.values().any(has_weight);
    for (name, metric) in &spec.metrics {
        let counts = has_weight(metric) || !any_weight;
        if let Some(bound) = Bound::of(metric, counts.then_some(spec.pass_threshold)).filter(Bound::can_fail) {
            match scores.get(name) {
                Some(score) if bound.holds(score.score) => {}
                Some(_) => failures.push(bound.failure(name)),
                None => failures.push(format!("{name} is missing")),
            }
        }
    }
    (failures.is_empty(), failures)
}

fn has_weight(metric: &MetricSpec) -> bool {
    metric.weight.is_some_and(|weight| weight > 0.0)
}

impl ScoringSpec {
    /// Whether a metric decides something: it is a part of the composite, or samples fail by it. Any other is reported only, and
    /// may be missing.
    pub fn decides(&self, name: &str) -> bool {
        let Some(metric) = self.metrics.get(name) else { return false };
        let counts = has_weight(metric) || !self.metrics.values().any(has_weight);
        has_weight(metric)
            || Bound::of(metric, counts.then_some(self.pass_threshold)).is_some_and(|bound| bound.can_fail())
    }
}

/// What a metric must keep to.
enum Bound {
    AtLeast(f64),
    AtMost(f64, &'static str),
}

impl Bound {
    fn of(metric: &MetricSpec, pass_threshold: Option<f64>) -> Option<Self> {
        match &metric.scorer {
            scorer @ ScorerSpec::Latency { .. } => scorer.limit().map(|limit| Self::AtMost(limit, " ms")),
            scorer @ ScorerSpec::Cost { .. } => scorer.limit().map(|limit| Self::AtMost(limit, " USD")),
            scorer if scorer.is_score() => metric.threshold.or(pass_threshold).map(Self::AtLeast),
            _ => None,
        }
    }

    /// No score is below 0.
    fn can_fail(&self) -> bool {
        !matches!(self, Self::AtLeast(limit) if *limit <= 0.0)
    }

    fn holds(&self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit - SLACK,
            Self::AtMost(limit, _) => value <= limit + SLACK,
        }
    }

    fn failure(&self, name: &str) -> String {
        match self {
            Self::AtLeast(limit) => format!("{name} < {limit}"),
            Self::AtMost(limit, unit) => format!("{name} > {limit}{unit}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "helpers take `json!` values as they are written")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(metrics: Value) -> ScoringSpec {
        serde_json::from_value(json!({"metrics": metrics, "pass_threshold": 0.7, "max_error_rate": 0.02})).unwrap()
    }

    fn scores(values: &[(&str, f64)]) -> BTreeMap<String, MetricScore> {
        let score = |score| MetricScore { score, reason: None, detail: None };
        values.iter().map(|&(name, value)| (name.to_owned(), score(value))).collect()
    }

    fn usual() -> ScoringSpec {
        spec(json!({
            "rouge_l": {"kind": "rouge_l", "weight": 0.4},
            "judge": {"kind": "judge", "model": "sim/judge", "weight": 0.6, "threshold": 0.8},
            "exact": {"kind": "exact_match", "threshold": 0.0},
            "watched": {"kind": "bleu"},
            "refused": {"kind": "refusal"},
            "latency": {"kind": "latency", "max_ms": 2000.0},
            "cost": {"kind": "cost", "max": 0.01},
            "speed": {"kind": "latency"},
        }))
    }

    #[track_caller]
    fn check(values: &[(&str, f64)], mean: Option<f64>, failures: &[&str]) {
        let good =
            [("rouge_l", 0.7), ("judge", 0.8), ("exact", 0.0), ("refused", 1.0), ("latency", 2000.0), ("cost", 0.01)];
        let mut all = scores(&good);
        all.extend(scores(values));
        assert_eq!(composite(&all, &usual()), mean);
        assert_eq!(pass(&all, &usual()), (failures.is_empty(), failures.iter().map(|&f| f.to_owned()).collect()));
    }

    #[test]
    fn every_metric_must_reach_its_threshold() {
        check(&[("rouge_l", 1.0), ("judge", 1.0)], Some(1.0), &[]);
        check(
            &[("rouge_l", 0.1 + 0.2 + 0.4), ("judge", 0.8 - 1e-12), ("exact", 1.0)],
            Some(composite_of(0.1 + 0.2 + 0.4, 0.8 - 1e-12)),
            &[],
        );
        check(
            &[("rouge_l", 0.699), ("judge", 0.79)],
            Some(composite_of(0.699, 0.79)),
            &["rouge_l < 0.7", "judge < 0.8"],
        );
        check(
            &[("latency", 2001.0), ("cost", 0.02), ("speed", 1e9)],
            Some(composite_of(0.7, 0.8)),
            &["latency > 2000 ms", "cost > 0.01 USD"],
        );
        check(&[("judge", f64::NAN), ("latency", f64::NAN)], None, &["judge < 0.8", "latency > 2000 ms"]);
    }

    fn composite_of(rouge_l: f64, judge: f64) -> f64 {
        (0.4 * rouge_l + 0.6 * judge) / (0.4 + 0.6)
    }

    #[test]
    fn a_missing_metric_is_no_zero() {
        assert_eq!(composite(&scores(&[("rouge_l", 1.0)]), &usual()), None);
        let (passed, failures) = pass(&BTreeMap::new(), &usual());
        assert_eq!((passed, failures.len(), failures[0].as_str()), (false, 4, "rouge_l is missing"));
        assert_eq!(composite(&scores(&[("x", 1.0)]), &spec(json!({"x": {"kind": "exact_match"}}))), None);
        assert_eq!(pass(&BTreeMap::new(), &spec(json!({}))), (true, Vec::new()));
    }

    #[test]
    fn a_metric_without_weight_is_reported_only() {
        let check = |metrics: Value, passed: bool| {
            assert_eq!(pass(&scores(&[("a", 0.9), ("b", 0.1)]), &spec(metrics.clone())).0, passed, "{metrics}");
        };
        let counted = json!({"kind": "rouge_l", "weight": 1.0});
        check(json!({"a": counted, "b": {"kind": "bleu"}}), true);
        check(json!({"a": counted, "b": {"kind": "bleu", "weight": 0.0}}), true);
        check(json!({"a": counted, "b": {"kind": "bleu", "threshold": 0.5}}), false);
        check(json!({"a": counted, "missing": {"kind": "bleu"}}), true);
        // Where no metric has a weight, all of them decide.
        check(json!({"a": {"kind": "rouge_l"}, "b": {"kind": "bleu"}}), false);
    }

    #[test]
    fn what_is_reported_only_decides_nothing() {
        let decides = |spec: &ScoringSpec| -> Vec<String> {
            spec.metrics.keys().filter(|name| spec.decides(name)).cloned().collect()
        };
        assert_eq!(decides(&usual()), ["rouge_l", "judge", "latency", "cost"]);
        assert!(!usual().decides("nothing"));
        let unweighted =
            json!({"a": {"kind": "rouge_l"}, "b": {"kind": "bleu", "threshold": 0.0}, "c": {"kind": "latency"}});
        assert_eq!(decides(&spec(unweighted)), ["a"]);
        let limited = json!({"a": {"kind": "rouge_l", "weight": 1.0}, "b": {"kind": "bleu", "threshold": 0.1}});
        assert_eq!(decides(&spec(limited)), ["a", "b"]);
    }

    proptest::proptest! {
        #[test]
        fn a_composite_lies_between_its_metrics(a in 0.0..=1.0_f64, b in 0.0..=1.0_f64, weight in 0.0..=1.0_f64) {
            let spec = spec(json!({
                "a": {"kind": "exact_match", "weight": weight}, "b": {"kind": "exact_match", "weight": 1.0 - weight},
            }));
            let mean = composite(&scores(&[("a", a), ("b", b)]), &spec).unwrap();
            proptest::prop_assert!(mean >= a.min(b) - 1e-12 && mean <= a.max(b) + 1e-12);
        }
    }
}
