//! Whether a plan can find what it is meant to find.

use llmops_domain::experiment::result::significant;
use llmops_domain::experiment::{Basis, ExperimentSpec, MetricKind, MetricSpec};
use llmops_stats::Interval;
use llmops_stats::sequential::asymptotic::AsymptoticOptions;

use super::data::ArmMetric;
use super::summary::quantile_of;
use super::valid::{self, Effect};
use super::{FIRST_LOOK, TUNING};

const DAY: f64 = 86_400.0;
/// The normal quantile of 0.8: the chance of finding the effect that plans are made for.
const Z_POWER: f64 = 0.841_621_233_572_914_3;
/// More units than any plan has.
const FARTHEST: f64 = 1e12;

/// What an earlier experiment tells of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The standard error of what is compared in one variant, times the root of its units: for means the standard deviation
    /// between units.
    pub spread: f64,
    /// The experiment.
    pub from: String,
}

/// The spread of a metric in the units of one variant; nothing while there are too few.
pub(crate) fn spread_of(metric: &MetricSpec, arm: &ArmMetric) -> Option<f64> {
    let units = arm.sums.units();
    // The plan's effect is one of ratings, not of ranks.
    let effect = valid::amount(metric, (arm, arm));
    let spread = (effect.ok()?.variance / 2.0 * units as f64).sqrt();
    (units >= FIRST_LOOK && spread > 0.0 && spread.is_finite()).then_some(spread)
}

/// What a plan comes to.
struct Reach<'a> {
    metric: &'a MetricSpec,
    effect: f64,
    basis: Basis,
    options: AsymptoticOptions,
    /// Shares of the control and of the treatment with the fewest units.
    shares: (f64, f64),
    /// Units that are expected, all variants together.
    expected: f64,
}

impl<'a> Reach<'a> {
    /// Nothing where the plan names no effect or no units.
    fn of(spec: &'a ExperimentSpec) -> Option<Self> {
        let metric = spec.metric(spec.target_metric.as_deref()?)?;
        let effect = metric.minimum_effect?.abs();
        let (plan, weights) = (&spec.analysis, spec.weights());
        let control = weights.get(spec.control_index()).copied().filter(|share| *share > 0.0)?;
        let others = weights.iter().enumerate().filter(|(i, share)| *i != spec.control_index() && **share > 0.0);
        let least = others.clone().map(|(_, share)| *share).min_by(f64::total_cmp)?;
        let days = (plan.min_duration.0.as_secs_f64() / DAY).max(1.0);
        let planned = plan.planned_n.map(|n| n as f64 / control.min(least));
        let expected = planned.or(plan.units_per_day.map(|per_day| per_day as f64 * days))?;
        // What the correction over the treatments leaves for one of them.
        let level = 1.0 - plan.alpha / others.count().max(1) as f64;
        let tuning = plan.planned_n.map_or(TUNING, |n| (n * 2).max(60) as f64);
        let options = AsymptoticOptions { level, tuning, min_per_arm: FIRST_LOOK };
        Some(Self { metric, effect, basis: plan.basis, options, shares: (control, least), expected })
    }

    /// The smallest effect that so many units find four times out of five.
    fn found(&self, total: f64, spread: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of units")]
        let units = ((total * self.shares.0) as u64, (total * self.shares.1) as u64);
        let (control, treatment) = (units.0 as f64, units.1 as f64);
        let variance = spread * spread * (1.0 / control + 1.0 / treatment);
        if !variance.is_finite() {
            return None;
        }
        let interval = match self.basis {
            Basis::AlwaysValid => {
                let effect = Effect { estimand: "", value: 0.0, variance, units };
                effect.sequence(self.options).ok()?.interval?
            }
            Basis::FixedHorizon => Interval::normal(0.0, variance.sqrt(), self.options.level).ok()?,
        };
        Some(interval.width() / 2.0 + Z_POWER * variance.sqrt())
    }

    /// Units that the effect takes, all variants together.
    fn needed(&self, spread: f64) -> Option<f64> {
        let enough = |total: f64| self.found(total, spread).is_some_and(|found| found <= self.effect);
        if !enough(FARTHEST) {
            return None;
        }
        let (mut low, mut high) = (1.0, FARTHEST);
        while high / low > 1.000_1 {
            let middle = (low * high).sqrt();
            if enough(middle) { high = middle } else { low = middle }
        }
        Some(high.ceil())
    }
}

/// Whether something earlier has to tell how far the target metric scatters before the plan can be checked.
pub(crate) fn needs_known(spec: &ExperimentSpec) -> bool {
    Reach::of(spec).is_some_and(|reach| declared(reach.metric, reach.effect).is_none())
}

/// Says that the units that the plan expects are too few for the smallest effect worth finding on the target metric, and how many
/// it takes; or that nothing tells how far the metric scatters. Nothing where the plan names no effect or no units.
///
/// How far it scatters follows from what is declared (`baseline`, `sd`), else from an earlier experiment, else from the limits:
/// a rate scatters most at one half, a metric with `floor` and `cap` at most by half their distance.
pub fn warning(spec: &ExperimentSpec, earlier: Option<&Known>) -> Option<String> {
    let reach = Reach::of(spec)?;
    let name = &reach.metric.name;
    let declared = declared(reach.metric, reach.effect).map(|spread| (spread, String::new()));
    let known = || earlier.map(|known| (known.spread, format!(" (it scatters as in experiment {})", known.from)));
    let Some((spread, source)) = declared.or_else(known).or_else(|| at_most(reach.metric)) else {
        return Some(format!(
            "the plan cannot be checked: nothing tells how far {name} scatters; declare its `baseline` and `sd`, the mean of \
             today and the standard deviation between units"
        ));
    };
    if reach.found(reach.expected, spread).is_some_and(|found| found <= reach.effect) {
        return None;
    }
    let takes = reach.needed(spread).map_or_else(
        || "no number of units finds it".to_owned(),
        |needed| {
            let days = spec.analysis.units_per_day.filter(|per_day| *per_day > 0).map_or_else(String::new, |per_day| {
                format!(", about {} days at {per_day} a day", (needed / per_day as f64).ceil())
            });
            format!("that takes about {} units in all{days}", significant(needed, 3))
        },
    );
    let found = reach.found(reach.expected, spread).map_or_else(String::new, |found| {
        format!("; with these the smallest that is found is about {}", significant(found, 2))
    });
    Some(format!(
        "the plan cannot be relied on to find a difference of {} on {name}{source}: {takes}, and {:.0} are expected{found}",
        reach.effect, reach.expected
    ))
}

/// How far a metric scatters by its declaration.
fn declared(metric: &MetricSpec, effect: f64) -> Option<f64> {
    match (metric.kind(), metric.baseline, metric.sd) {
        (MetricKind::Binary, Some(rate), None) => {
            // Where the variance is larger, of the rate before and after.
            let of = |rate: f64| (rate * (1.0 - rate)).max(0.0).sqrt();
            Some(of(rate).max(of(rate + effect)).max(of(rate - effect))).filter(|sd| *sd > 0.0)
        }
        (_, baseline, Some(sd)) => match quantile_of(metric) {
            Some(q) => baseline.and_then(|mean| of_quantile(q, mean, sd)),
            None => Some(sd),
        },
        _ => None,
    }
}

fn at_most(metric: &MetricSpec) -> Option<(f64, String)> {
    let sd = match metric.kind() {
        MetricKind::Binary => Some(0.5),
        _ if quantile_of(metric).is_some() => None,
        _ => metric.floor.zip(metric.cap).map(|(floor, cap)| (cap - floor) / 2.0).filter(|sd| *sd > 0.0),
    };
    sd.map(|sd| (sd, String::new()))
}

/// √(q(1 − q)) over the density at the quantile, of a log-normal distribution with this mean and standard deviation: what
/// latencies and costs look like.
fn of_quantile(q: f64, mean: f64, sd: f64) -> Option<f64> {
    let variance = (1.0 + (sd / mean).powi(2)).ln();
    let sigma = variance.sqrt();
    // The upper end of a central interval at level 2q − 1 is the quantile q.
    let unit = Interval::normal(0.0, 1.0, (2.0 * q - 1.0).abs()).ok().filter(|_| mean > 0.0)?;
    let z = if q >= 0.5 { unit.high } else { unit.low };
    let value = (mean.ln() - variance / 2.0 + sigma * z).exp();
    let density = (-0.5 * z * z).exp() / (std::f64::consts::TAU.sqrt() * value * sigma);
    Some((q * (1.0 - q)).sqrt() / density).filter(|spread| spread.is_finite() && *spread > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metric: &str, analysis: &str, earlier: Option<&Known>) -> Option<String> {
        let spec = format!(
            r#"{{"name": "x", "variants": [{{"id": "a"}}, {{"id": "b"}}], "target_metric": "m", "metrics": [{metric}], "analysis": {analysis}}}"#
        );
        warning(&serde_json::from_str(&spec).unwrap(), earlier)
    }

    #[test]
    fn plans_that_are_too_small_are_told() {
        let binary = r#"{"name": "m", "kind": "binary", "minimum_effect": 0.05}"#;
        insta::assert_snapshot!(told(binary, r#"{"units_per_day": 100}"#, None).unwrap(), @"the plan cannot be relied on to find a difference of 0.05 on m: that takes about 6019 units in all, about 61 days at 100 a day, and 700 are expected; with these the smallest that is found is about 0.17");
        assert_eq!(told(binary, r#"{"units_per_day": 2000}"#, None), None);
        let fixed = r#"{"basis": "fixed_horizon", "planned_n": 1500}"#;
        // Cohen: 1,471 to 1,569 of each, by the formula.
        assert!(told(binary, fixed, None).unwrap().contains("3000 are expected"));
        assert_eq!(told(binary, &fixed.replace("1500", "1600"), None), None);
        assert_eq!(told(binary, "{}", None), None, "no units are planned");
        let rare = r#"{"name": "m", "kind": "binary", "minimum_effect": 0.05, "baseline": 0.05}"#;
        assert_eq!(told(rare, &fixed.replace("1500", "700"), None), None, "rare things scatter less");
    }

    #[test]
    fn every_kind_of_metric_is_checked() {
        let plan = r#"{"planned_n": 200}"#;
        let check = |metric: &str, known: Option<f64>, expected: &str| {
            let known = known.map(|spread| Known { spread, from: "exp_1".to_owned() });
            let text = told(&format!(r#"{{"name": "m", "minimum_effect": 0.05, {metric}}}"#), plan, known.as_ref());
            let text = text.unwrap_or_else(|| "enough".to_owned());
            assert!(text.contains(expected), "{metric}: {text}");
        };
        check(r#""kind": "continuous""#, None, "nothing tells how far m scatters");
        check(r#""kind": "continuous", "floor": 0, "cap": 1"#, None, "with these the smallest that is found");
        check(r#""kind": "continuous", "sd": 0.1"#, None, "enough");
        check(r#""kind": "continuous""#, Some(0.1), "enough");
        check(r#""kind": "continuous""#, Some(1.0), "scatters as in experiment exp_1");
        check(r#""kind": "count", "sd": 2.0"#, None, "that takes about");
        check(r#""kind": "ordinal", "sd": 1.2"#, None, "that takes about");
        check(r#""kind": "cost", "sd": 0.02"#, None, "enough");
        check(r#""kind": "ratio", "denominator": "n", "sd": 0.9"#, None, "that takes about");
        check(r#""kind": "latency", "sd": 0.9"#, None, "nothing tells how far m scatters");
        check(r#""kind": "latency", "baseline": 1.0, "sd": 0.9"#, None, "that takes about");
        check(r#""kind": "latency", "baseline": 0.05, "sd": 0.01"#, None, "enough");
    }
}
