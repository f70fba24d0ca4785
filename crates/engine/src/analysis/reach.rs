//! Whether a plan can find what it is meant to find.

use llmops_domain::experiment::{ExperimentSpec, MetricKind, MetricSpec};
use llmops_stats::power::{ProportionMethod, Target, mean_difference_mde, mean_difference_n, two_proportions_n};

const DAY: f64 = 86_400.0;
/// The chance of finding the effect that plans are made for.
const POWER: f64 = 0.8;

/// Says that the units that the plan expects are too few for the smallest effect worth finding on the target metric, and how many
/// it takes. Nothing where the plan names no effect or no units, or where nothing is known of the metric's spread: a rate
/// scatters most at one half, a metric with `floor` and `cap` at most by half their distance.
pub fn warning(spec: &ExperimentSpec) -> Option<String> {
    let metric = spec.metric(spec.target_metric.as_deref()?)?;
    let effect = metric.minimum_effect?.abs();
    let plan = &spec.analysis;
    let arms = spec.variants.len().max(2) as f64;
    let days = (plan.min_duration.0.as_secs_f64() / DAY).max(1.0);
    let smallest_share = spec.weights().into_iter().fold(1.0 / arms, f64::min);
    let expected = plan.units_per_day.map(|per_day| per_day as f64 * days * smallest_share);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of units")]
    let n = plan.planned_n.or(expected.map(|units| units as u64))?;
    let target = Target { alpha: plan.alpha / (arms - 1.0), power: POWER };
    let needed = needed(metric, effect, target)?;
    if n >= needed {
        return None;
    }
    let sd = spread(metric)?;
    let found = mean_difference_mde(n.max(3), sd, target).map_or_else(
        |_| String::new(),
        |mde| {
            format!(
                "; with {n} the smallest that is found is about {}",
                llmops_domain::experiment::result::significant(mde, 2)
            )
        },
    );
    let time = plan.units_per_day.filter(|per_day| *per_day > 0).map_or_else(String::new, |per_day| {
        format!(", about {} days at {per_day} units a day", (needed as f64 / smallest_share / per_day as f64).ceil())
    });
    Some(format!(
        "the plan cannot be relied on to find a difference of {effect} on {}: that takes about {needed} units of each variant{time}, \
         and {n} are expected{found}",
        metric.name
    ))
}

fn spread(metric: &MetricSpec) -> Option<f64> {
    match metric.kind() {
        MetricKind::Binary => Some(0.5),
        _ => metric.floor.zip(metric.cap).map(|(floor, cap)| (cap - floor) / 2.0).filter(|sd| *sd > 0.0),
    }
}

fn needed(metric: &MetricSpec, effect: f64, target: Target) -> Option<u64> {
    let sd = spread(metric)?;
    if metric.kind() == MetricKind::Binary {
        let half = (effect / 2.0).min(0.5);
        return two_proportions_n(0.5 - half, 0.5 + half, ProportionMethod::Arcsine, target).ok();
    }
    mean_difference_n(effect, sd, target).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metric: &str, analysis: &str) -> Option<String> {
        let spec = format!(
            r#"{{"name": "x", "variants": [{{"id": "a"}}, {{"id": "b"}}], "target_metric": "m", "metrics": [{metric}], "analysis": {analysis}}}"#
        );
        warning(&serde_json::from_str(&spec).unwrap())
    }

    #[test]
    fn plans_that_are_too_small_are_told() {
        let binary = r#"{"name": "m", "kind": "binary", "minimum_effect": 0.05}"#;
        insta::assert_snapshot!(told(binary, r#"{"units_per_day": 100}"#).unwrap(), @"the plan cannot be relied on to find a difference of 0.05 on m: that takes about 1569 units of each variant, about 32 days at 100 units a day, and 350 are expected; with 350 the smallest that is found is about 0.11");
        assert_eq!(told(binary, r#"{"units_per_day": 1000}"#), None);
        assert!(told(binary, r#"{"planned_n": 1000}"#).unwrap().contains("1000 are expected"));
        assert_eq!(told(binary, "{}"), None, "no units are planned");
        assert_eq!(
            told(r#"{"name": "m", "minimum_effect": 0.05}"#, r#"{"planned_n": 10}"#),
            None,
            "no spread is known"
        );
        let score = r#"{"name": "m", "minimum_effect": 0.05, "floor": 0, "cap": 1}"#;
        assert!(told(score, r#"{"planned_n": 1000}"#).is_some());
    }
}
