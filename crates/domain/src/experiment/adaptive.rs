//! Adaptive allocation: shares of traffic that follow what the target metric says, in logged steps, so that the chance of every
//! unit to be where it is stays known.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::SpecProblem;
use super::{Allocation, Basis, Experiment, ExperimentSpec, ExperimentStatus, MetricKind};
use crate::config::duration::HumanDuration;

/// Most variants of an adaptive experiment.
const MOST_VARIANTS: usize = 20;
/// Most allocations of one experiment: an assignment looks at each of them.
const MOST_STEPS: usize = 100;
/// Buckets that units fall into: shares are whole numbers of them, so that the chance of an assignment is exact.
const BUCKETS: f64 = 10_000.0;
/// Shares that change by less than this stay as they are.
const SMALLEST_CHANGE: f64 = 0.01;

/// Top-two Thompson sampling: better variants get more of the traffic while the experiment runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptive {
    /// The least share of each variant, however bad it looks: what keeps the results precise.
    #[schemars(range(min = 0.01, max = 0.5))]
    pub floor: f64,
    /// How much of the traffic goes to the variant that is best for sure, between 0.5 and 1 (before the floor); the rest goes
    /// to those that may be second.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub beta: f64,
    /// Least time between two steps.
    #[schema(value_type = String, example = "1d")]
    pub every: HumanDuration,
    /// Units, all variants together, that must have been observed since the step before.
    #[schemars(range(min = 1))]
    pub min_units: u64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { floor: 0.1, beta: 0.8, every: HumanDuration(Duration::from_hours(24)), min_units: 100 }
    }
}

/// Why shares changed by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdaptiveStep {
    /// The chance of each variant to be the best on the target metric, in the order of the variants.
    pub chances: Vec<f64>,
    /// Units that this rests on.
    pub units: u64,
}

impl Adaptive {
    /// Everything that does not go together with an allocation that follows the data.
    pub(super) fn problems(&self, spec: &ExperimentSpec) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String| problems.push(SpecProblem::new(field, message));
        let variants = spec.variants.len();
        if variants > MOST_VARIANTS {
            problem("adaptive", format!("there are {variants} variants: expected at most {MOST_VARIANTS}"));
        }
        if !(0.01..=0.5).contains(&self.floor) || self.floor * variants as f64 > 1.0 {
            let most = 1.0 / variants.max(1) as f64;
            problem(
                "adaptive.floor",
                format!("it is {}: expected 0.01 to {most:.2}, one part of each variant", self.floor),
            );
        }
        if !(self.beta >= 0.5 && self.beta < 1.0) {
            problem("adaptive.beta", format!("it is {}: expected 0.5 to below 1", self.beta));
        }
        if self.every.0 < Duration::from_mins(1) {
            problem("adaptive.every", "expected a minute or more".to_owned());
        }
        if self.min_units == 0 {
            problem("adaptive.min_units", "expected 1 or more".to_owned());
        }
        if !spec.sticky {
            problem(
                "sticky",
                "an adaptive experiment is sticky: units must keep the variant that their share gave them".to_owned(),
            );
        }
        if spec.analysis.basis != Basis::AlwaysValid {
            let message =
                "an adaptive experiment rests on what is always valid: a test for one look does not hold".to_owned();
            problem("analysis.basis", message);
        }
        for (i, metric) in spec.metrics.iter().enumerate().filter(|(_, metric)| metric.kind() == MetricKind::Ratio) {
            let message =
                format!("`{}` is a ratio, and only means and rates can be reweighted: leave it out", metric.name);
            problem(&format!("metrics[{i}].kind"), message);
        }
        if spec.metrics.is_empty() {
            problem("metrics", "an allocation that follows the data needs a metric to follow".to_owned());
        }
        problems
    }
}

impl Experiment {
    /// Whether the shares may be computed anew: it is adaptive and runs, the present shares have held long enough, and enough
    /// `units` were observed under them.
    pub fn is_step_due(&self, units: u64, now: Timestamp) -> bool {
        let (Some(adaptive), Some(last)) = (&self.spec.adaptive, self.allocations.last()) else { return false };
        let held = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
        self.status == ExperimentStatus::Running
            && self.allocations.len() < MOST_STEPS
            && held >= adaptive.every.0
            && units >= adaptive.min_units
    }

    /// The experiment with other shares, which hold from now on; nothing where they hardly differ. Units that were assigned keep
    /// their variant. Shares are rounded to the buckets that units fall into.
    pub fn reallocate(&self, shares: &[f64], step: AdaptiveStep, now: Timestamp) -> Option<Self> {
        let last = self.allocations.last()?;
        let weights = in_buckets(shares);
        let differs = |(new, old): (&f64, &f64)| (new - old).abs() >= SMALLEST_CHANGE;
        if weights.len() != last.weights.len() || !weights.iter().zip(&last.weights).any(differs) {
            return None;
        }
        let mut next = Self { revision: self.revision + 1, updated_at: now, ..self.clone() };
        let ids = next.spec.variants.iter().map(|variant| variant.id.clone());
        next.spec.traffic_split = ids.zip(weights.iter().copied()).collect();
        next.allocations.push(Allocation { at: now, weights, coverage: last.coverage, step: Some(step) });
        Some(next)
    }
}

/// Shares as whole numbers of buckets that sum to all of them; the largest takes what rounding leaves.
fn in_buckets(shares: &[f64]) -> Vec<f64> {
    let mut buckets: Vec<f64> = shares.iter().map(|share| (share * BUCKETS).floor()).collect();
    let rest = BUCKETS - buckets.iter().sum::<f64>();
    if let Some(largest) = buckets.iter_mut().max_by(|a, b| a.total_cmp(b)) {
        *largest += rest;
    }
    buckets.into_iter().map(|n| n / BUCKETS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ExperimentId;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn spec(json: &str) -> ExperimentSpec {
        serde_json::from_str(&format!(r#"{{"name": "x", "variants": [{{"id": "a"}}, {{"id": "b"}}], {json}}}"#))
            .unwrap()
    }

    #[test]
    fn steps_are_due_and_logged() {
        let spec = spec(r#""metrics": ["m"], "adaptive": {"min_units": 50}"#).checked().unwrap();
        let running = Experiment::draft(ExperimentId::from("exp_1"), spec, at(0)).start(at(0)).unwrap();
        assert!(!running.is_step_due(50, at(23)), "too early");
        assert!(!running.is_step_due(49, at(24)), "too few");
        assert!(running.is_step_due(50, at(24)));
        assert!(!running.pause(at(20)).unwrap().is_step_due(50, at(24)), "paused");
        let step = AdaptiveStep { chances: vec![0.05, 0.95], units: 60 };
        assert_eq!(running.reallocate(&[0.495, 0.505], step.clone(), at(24)), None, "hardly another");
        let next = running.reallocate(&[0.333_33, 0.666_67], step.clone(), at(24)).unwrap();
        assert_eq!(next.allocations[1].weights, [0.3333, 0.6667]);
        assert_eq!((next.allocations[1].step.as_ref(), next.spec.weights()), (Some(&step), vec![0.3333, 0.6667]));
        assert!(!next.is_step_due(50, at(25)));
        let renamed = next.revise(ExperimentSpec { name: "y".to_owned(), ..next.spec.clone() }, at(26)).unwrap();
        assert_eq!(renamed.allocations, next.allocations, "other changes leave the shares");
    }

    #[test]
    fn shares_are_whole_buckets() {
        let check = |shares: &[f64], expected: &[f64]| assert_eq!(in_buckets(shares), expected);
        check(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0], &[0.3333, 0.3333, 0.3334]);
        check(&[0.123_456, 0.876_544], &[0.1234, 0.8766]);
    }

    #[test]
    fn what_does_not_go_together() {
        let problems = |json: &str| {
            let invalid = spec(json).checked().unwrap_err();
            invalid.problems.iter().map(|p| format!("{}: {}", p.field, p.message)).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(problems(
            r#""adaptive": {"floor": 0.6, "beta": 0.3, "every": "1s", "min_units": 0}, "sticky": false,
               "analysis": {"basis": "fixed_horizon", "planned_n": 5},
               "metrics": [{"name": "r", "kind": "ratio", "denominator": "n"}]"#
        ), @r"
        adaptive.floor: it is 0.6: expected 0.01 to 0.50, one part of each variant
        adaptive.beta: it is 0.3: expected 0.5 to below 1
        adaptive.every: expected a minute or more
        adaptive.min_units: expected 1 or more
        sticky: an adaptive experiment is sticky: units must keep the variant that their share gave them
        analysis.basis: an adaptive experiment rests on what is always valid: a test for one look does not hold
        metrics[0].kind: `r` is a ratio, and only means and rates can be reweighted: leave it out
        ");
        assert!(problems(r#""adaptive": {}"#).contains("needs a metric to follow"));
    }
}
