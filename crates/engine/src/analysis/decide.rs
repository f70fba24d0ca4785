//! What is concluded: a winner, or what is missing for one.

use std::collections::BTreeMap;
use std::time::Duration;

use llmops_domain::experiment::result::{
    Bounds, Comparison, Conclusion, Forecast, GuardrailState, Missing, SampleRatio, VariantResult, signed, significant,
};
use llmops_domain::experiment::{Basis, Direction};

use super::valid::is_of_ranks;
use super::{FIRST_LOOK, Horizon, OUTCOMES, Plan};

const DAY: f64 = 86_400.0;
/// Beyond so many times the present units no forecast is worth anything.
const FARTHEST: f64 = 1000.0;

/// A look beyond the plan by more than this is not the first.
const LATE: f64 = 1.1;

/// The conclusion.
pub(super) struct Decision {
    pub(super) winner: Option<String>,
    pub(super) significance: f64,
    pub(super) recommendation: String,
    pub(super) conclusion: Conclusion,
    pub(super) missing: Vec<Missing>,
    pub(super) forecast: Option<Forecast>,
}

struct Case<'a> {
    plan: &'a Plan,
    comparisons: &'a [Comparison],
    variants: &'a BTreeMap<String, VariantResult>,
}

/// Decides. Everything that must hold is checked, so that all that is missing is told at once.
pub(super) fn decide(
    plan: &Plan,
    comparisons: &[Comparison],
    variants: &BTreeMap<String, VariantResult>,
    ratio: Option<&SampleRatio>,
) -> Decision {
    let case = Case { plan, comparisons, variants };
    let significance = case.target().filter_map(|c| c.p_value_corrected).fold(1.0, f64::min);
    if let Some(ratio) = ratio.filter(|ratio| ratio.mismatch) {
        return case.blocked(ratio, significance);
    }
    if let Horizon::Taken(look) = &plan.horizon {
        return Decision {
            winner: look.winner.clone(),
            significance: look.significance,
            recommendation: look.recommendation.clone(),
            conclusion: if look.winner.is_some() { Conclusion::Winner } else { Conclusion::Undecided },
            missing: look.missing.clone(),
            forecast: None,
        };
    }
    let mut missing: Vec<Missing> = case.samples().into_iter().collect();
    missing.extend(case.duration());
    missing.extend(case.horizon());
    let candidate = case.candidate();
    match &candidate {
        None => missing.push(case.no_significance(significance)),
        Some(candidate) => missing.extend(case.guardrails(candidate)),
    }
    if missing.is_empty()
        && let Some(winner) = candidate
    {
        return Decision {
            recommendation: case.praise(&winner),
            winner: Some(winner),
            significance,
            conclusion: Conclusion::Winner,
            missing,
            forecast: None,
        };
    }
    let forecast = case.forecast(candidate.is_some());
    Decision {
        winner: None,
        significance,
        recommendation: case.advice(candidate.as_deref(), &missing, forecast.as_ref()),
        conclusion: Conclusion::Undecided,
        missing,
        forecast,
    }
}

fn missing(what: &str, message: String) -> Missing {
    Missing { what: what.to_owned(), message }
}

impl<'a> Case<'a> {
    fn control(&self) -> &'a str {
        &self.plan.variants[self.plan.control]
    }

    fn target(&self) -> impl Iterator<Item = &'a Comparison> {
        let target = &self.plan.target;
        self.comparisons.iter().filter(move |comparison| comparison.metric == *target)
    }

    fn blocked(&self, ratio: &SampleRatio, significance: f64) -> Decision {
        let shown = |variant: &String| {
            let (observed, expected) = (ratio.observed.get(variant), ratio.expected.get(variant));
            format!("{variant} {} instead of {:.0}", observed.copied().unwrap_or(0), expected.copied().unwrap_or(0.0))
        };
        let shares: Vec<String> = self.plan.variants.iter().map(shown).collect();
        let is_of_outcomes = ratio.counted.starts_with(OUTCOMES);
        let message = format!(
            "the variants did not get their share of {} ({}; p = {})",
            if is_of_outcomes { ratio.counted.as_str() } else { "units" },
            shares.join(", "),
            match ratio.p_value.min(ratio.chi_squared_p.max(f64::MIN_POSITIVE)) {
                0.0 => "0".to_owned(),
                p => format!("{p:.1e}"),
            }
        );
        let advice = if is_of_outcomes {
            "; whoever has no value counts for nothing, so record one for every unit, also where nothing happened"
        } else {
            ""
        };
        Decision {
            winner: None,
            significance,
            recommendation: format!(
                "Do not conclude anything: {message}, so units were lost or counted twice in one of them; find out where first{advice}."
            ),
            conclusion: Conclusion::Blocked,
            missing: vec![missing("sample_ratio", message)],
            forecast: None,
        }
    }

    fn needed(&self) -> u64 {
        self.plan.min_samples.max(2)
    }

    /// Whether a variant takes part in what is decided: not where it gets no units any more and has too few.
    fn is_in_play(&self, id: &str) -> bool {
        let is_retired = self.plan.retired.iter().any(|retired| self.plan.variants[*retired] == id);
        let has_enough = || self.variants.get(id).is_some_and(|variant| variant.sample_count >= self.needed());
        !is_retired || id == self.control() || has_enough()
    }

    /// The variants in play with their units.
    fn in_play(&self) -> impl Iterator<Item = (&'a String, u64)> {
        let units = move |id: &'a String| Some((id, self.variants.get(id)?.sample_count));
        self.plan.variants.iter().filter(move |id| self.is_in_play(id)).filter_map(units)
    }

    fn least(&self) -> u64 {
        self.in_play().map(|(_, units)| units).min().unwrap_or(0)
    }

    fn samples(&self) -> Option<Missing> {
        let needed = self.needed();
        let short: Vec<String> =
            self.in_play().filter(|(_, n)| *n < needed).map(|(id, n)| format!("{id} has {n}")).collect();
        (!short.is_empty()).then(|| {
            missing(
                "samples",
                format!("every variant needs {needed} units with {}: {}", self.plan.target, short.join(", ")),
            )
        })
    }

    fn remaining(&self) -> Option<Duration> {
        let needed = self.plan.rules.min_duration.0;
        needed.checked_sub(self.plan.elapsed?).filter(|rest| !rest.is_zero())
    }

    fn duration(&self) -> Option<Missing> {
        let needed = self.plan.rules.min_duration.0;
        let elapsed = self.plan.elapsed?;
        self.remaining().map(|_| {
            let days = |time: Duration| match (time.as_secs_f64() / DAY * 10.0).floor() / 10.0 {
                1.0 => "1 day".to_owned(),
                days => format!("{days} days"),
            };
            let text =
                format!("it must run {}, so that every weekday is in: it has run {}", days(needed), days(elapsed));
            missing("duration", text)
        })
    }

    fn horizon(&self) -> Option<Missing> {
        if self.plan.rules.basis != Basis::FixedHorizon {
            return None;
        }
        let Some(planned) = self.plan.rules.planned_n else {
            return Some(missing(
                "planned_n",
                "a plan with one look needs planned_n, the units of each variant".to_owned(),
            ));
        };
        let least = self.least();
        let late = |is: f64, was: f64| is > was * LATE;
        let min_duration = self.plan.rules.min_duration.0.as_secs_f64();
        let is_late = self.plan.horizon == Horizon::Unknown
            && late(least as f64, planned as f64)
            && self.plan.elapsed.is_none_or(|elapsed| late(elapsed.as_secs_f64(), min_duration));
        let text = if least < planned {
            format!("the one look is at {planned} units of each variant: the smallest has {least}")
        } else if is_late {
            format!(
                "the one look was at {planned} units of each variant, and the smallest has {least}: whoever looks again and \
                 again finds something by chance, so plan for as many units, or use the always-valid basis"
            )
        } else {
            return None;
        };
        Some(missing("planned_n", text))
    }

    /// The best of the treatments that are significantly better; the control where it beats every treatment.
    fn candidate(&self) -> Option<String> {
        let gain = |c: &Comparison| {
            let value = c.difference.unwrap_or_default();
            if c.direction == Direction::Higher { value } else { -value }
        };
        let in_play = || self.target().filter(move |c| self.is_in_play(&c.variant));
        let better = in_play().filter(|c| c.significant && c.better == Some(true));
        if let Some(best) = better.max_by(|a, b| gain(a).total_cmp(&gain(b))) {
            return Some(best.variant.clone());
        }
        let mut all = in_play().peekable();
        all.peek()?;
        all.all(|c| c.significant && c.better == Some(false)).then(|| self.control().to_owned())
    }

    fn no_significance(&self, significance: f64) -> Missing {
        let plan = self.plan;
        if significance >= 1.0 && self.variants.values().all(|v| v.sample_count < FIRST_LOOK) {
            return missing("data", format!("there are too few units with {} to tell anything yet", plan.target));
        }
        let shown = self.target().map(|c| format!("{} {}", c.variant, interval(c.interval))).collect::<Vec<_>>();
        missing(
            "significance",
            format!(
                "no variant differs from {} on {} beyond chance: p = {} after correction, {} needed ({})",
                self.control(),
                plan.target,
                number(significance),
                plan.rules.alpha,
                shown.join("; ")
            ),
        )
    }

    fn guardrails(&self, winner: &str) -> Vec<Missing> {
        let of = |c: &Comparison| {
            let rule = c.guardrail.as_ref()?;
            let message = match rule.state {
                GuardrailState::Holds => return None,
                GuardrailState::Violated => format!(
                    "guardrail {} is violated by {winner}: worse by {}, at most {} is allowed",
                    c.metric,
                    number(rule.harm),
                    number(rule.margin)
                ),
                GuardrailState::Open => format!(
                    "guardrail {} is not shown to hold for {winner}: it may be worse by {}, at most {} is allowed",
                    c.metric,
                    rule.harm_at_most.map_or_else(|| "any amount".to_owned(), number),
                    number(rule.margin)
                ),
            };
            Some(missing("guardrail", message))
        };
        self.comparisons.iter().filter(|c| c.variant == winner).filter_map(of).collect()
    }

    fn praise(&self, winner: &str) -> String {
        let plan = self.plan;
        let p_value = |c: &Comparison| c.p_value_corrected.unwrap_or(1.0);
        if winner == self.control() {
            // Every other variant is worse only as surely as the one of which it is least sure.
            let p = self.target().filter(|c| self.is_in_play(&c.variant)).map(p_value).fold(0.0, f64::max);
            return format!("Keep {winner}: every other variant is worse on {} (p = {}).", plan.target, number(p));
        }
        let Some(c) = self.target().find(|c| c.variant == winner) else {
            return format!("Choose {winner}.");
        };
        let by = match (superiority(c), c.lift) {
            (Some(share), _) => format!("in {:.0} % of pairs", share * 100.0),
            (None, Some(lift)) => format!("by {:+.1} %", lift.value * 100.0).replace('-', "−"),
            (None, None) => format!("by {}", number(c.difference.unwrap_or_default())),
        };
        format!(
            "Choose {winner}: it beats {} on {} {by} (p = {}{}).",
            self.control(),
            plan.target,
            number(p_value(c)),
            if self.comparisons.iter().any(|c| c.guardrail.is_some()) { "; all guardrails hold" } else { "" }
        )
    }

    fn advice(&self, candidate: Option<&str>, missing: &[Missing], forecast: Option<&Forecast>) -> String {
        let is = |what: &str| missing.iter().find(|m| m.what == what);
        if let Some(violated) = is("guardrail").filter(|m| m.message.contains("violated")) {
            return format!("Do not choose {}: {}.", candidate.unwrap_or_default(), violated.message);
        }
        if let (None, Some(text)) = (candidate, self.equivalent()) {
            return text;
        }
        let why = missing.first().map_or_else(String::new, |m| m.message.clone());
        let when = forecast.map_or_else(String::new, |forecast| format!("; {}", forecast.message));
        let is_over = self.plan.rules.basis == Basis::FixedHorizon && !missing.iter().any(Missing::comes_with_time);
        let lead = match candidate {
            _ if is_over => "Choose nothing on this: the one look is taken".to_owned(),
            Some(candidate) => format!("Wait before choosing {candidate}, which is ahead beyond chance"),
            None => "Go on collecting".to_owned(),
        };
        format!("{lead}: {why}{when}.")
    }

    /// Whether every difference is shown to be smaller than the smallest effect worth finding.
    fn equivalent(&self) -> Option<String> {
        let least = self.plan.metric(&self.plan.target)?.minimum_effect?.abs();
        let mut all = self.target().peekable();
        all.peek()?;
        // The chance to be better is no amount.
        let is_less = |c: &Comparison| c.interval.is_some_and(|i| i.low > -least && i.high < least);
        all.all(|c| superiority(c).is_none() && is_less(c)).then(|| {
            format!(
                "Keep {}, or whichever is cheaper: no variant differs on {} by as much as {}.",
                self.control(),
                self.plan.target,
                number(least)
            )
        })
    }

    fn forecast(&self, has_candidate: bool) -> Option<Forecast> {
        let total: u64 = self.variants.values().map(|variant| variant.sample_count).sum();
        if total == 0 {
            return None;
        }
        let elapsed = self.plan.elapsed.map(|time| time.as_secs_f64() / DAY).filter(|days| *days > 0.0);
        let per_day = elapsed.map(|days| total as f64 / days).or(self.plan.rules.units_per_day.map(|n| n as f64));
        let wait = self.remaining().map_or(0.0, |rest| rest.as_secs_f64() / DAY);
        let Some(more) = self.more_units(total, has_candidate) else {
            let message = "at the present difference no realistic number of units will decide".to_owned();
            return Some(Forecast { more_units: None, days: None, message });
        };
        let days = if more == 0 { Some(wait) } else { per_day.map(|per_day| (more as f64 / per_day).max(wait)) };
        let message = match (more, days) {
            (0, Some(days)) if days > 0.0 => format!("about {} more", days_text(days)),
            (0, _) => return None,
            (more, Some(days)) => format!("about {more} more units, {}, if the difference stays", days_text(days)),
            (more, None) => format!("about {more} more units if the difference stays"),
        };
        Some(Forecast { more_units: Some(more), days, message })
    }

    /// Units that are needed beyond the present ones, all variants together.
    fn more_units(&self, total: u64, has_candidate: bool) -> Option<u64> {
        let least = self.least().max(1);
        let planned = self.plan.rules.planned_n.filter(|_| self.plan.rules.basis == Basis::FixedHorizon);
        let needed = self.plan.min_samples.max(planned.unwrap_or(0));
        let mut times = (needed as f64 / least as f64).max(1.0);
        let begun = self.target().any(|c| c.always_valid.as_ref().is_some_and(|valid| valid.interval.is_some()));
        if begun && !has_candidate && planned.is_none() {
            let of = |c: &Comparison| self.times_until_significant(c);
            times = times.max(self.target().filter_map(of).min_by(f64::total_cmp)?);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of units, rounded up")]
        let more = ((times - 1.0) * total as f64).ceil() as u64;
        Some(more)
    }

    /// How many times the present units make a comparison significant, were its estimate to stay.
    fn times_until_significant(&self, c: &Comparison) -> Option<f64> {
        let valid = c.always_valid.as_ref()?;
        let bounds = valid.interval?;
        let n = c.units as f64;
        // Standard error from the interval: its half width at these units in standard errors is known.
        let alpha = self.plan.rules.alpha / self.target().count().max(1) as f64;
        let options = self.plan.sequence();
        let scale = super::valid::Effect {
            estimand: "",
            value: 0.0,
            variance: 1.0,
            units: (c.units / 2, c.units - c.units / 2),
        };
        let unit_width = scale.sequence(options).ok()?.interval?.width();
        let variance = (bounds.high - bounds.low).powi(2) / unit_width.powi(2);
        if n == 0.0 || !variance.is_finite() || variance == 0.0 {
            return None;
        }
        let effect = super::valid::Effect { value: valid.effect, variance, ..scale };
        let enough = |times: f64| effect.grown(times).sequence(options).is_ok_and(|result| result.p_value <= alpha);
        if !enough(FARTHEST) {
            return None;
        }
        let (mut low, mut high) = (1.0, FARTHEST);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if enough(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

/// In how many pairs of a unit of each the better one is of the better variant, where ranks are compared.
fn superiority(c: &Comparison) -> Option<f64> {
    let valid = c.always_valid.as_ref().filter(|valid| is_of_ranks(&valid.estimand))?;
    Some(0.5 + valid.effect.abs())
}

fn days_text(days: f64) -> String {
    match days.ceil() {
        days if days <= 1.0 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

fn number(value: f64) -> String {
    significant(value, 3)
}

fn interval(bounds: Option<Bounds>) -> String {
    bounds.map_or_else(
        || "not known yet".to_owned(),
        |b| format!("between {} and {}", signed(b.low, 3), signed(b.high, 3)),
    )
}

#[cfg(test)]
mod tests {
    use llmops_domain::experiment::{AnalysisPlan, MetricKind, MetricSpec};
    use llmops_stats::unit_sums::UnitValue;

    use super::super::{Arm, ArmMetric, Observed, analyse};
    use super::*;

    fn arm(solved: u32, units: u32) -> Arm {
        let mut metric = ArmMetric { observations: u64::from(units), ..ArmMetric::default() };
        for unit in 0..units {
            metric.sums.add(UnitValue { value: f64::from(u8::from(unit < solved)), second: None }).unwrap();
        }
        Arm { units: u64::from(units), metrics: BTreeMap::from([("solved".to_owned(), metric)]) }
    }

    #[test]
    fn a_control_that_stays_is_praised_as_surely_as_its_least_sure_comparison() {
        let metric = MetricSpec { kind: Some(MetricKind::Binary), ..MetricSpec::named("solved") };
        let plan = Plan {
            name: "three".to_owned(),
            variants: ["control", "bad", "poor"].map(str::to_owned).to_vec(),
            control: 0,
            weights: vec![1.0; 3],
            retired: Vec::new(),
            target: metric.name.clone(),
            metrics: vec![metric],
            rules: AnalysisPlan::default(),
            min_samples: 100,
            test: None,
            elapsed: None,
            horizon: Horizon::Unknown,
            bayes: false,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let arms = vec![arm(900, 1000), arm(100, 1000), arm(780, 1000)];
        let result = analyse(&plan, &Observed { arms, counted: "exposures", ..Observed::default() });
        let p = |variant: &str| {
            result.comparisons.iter().find(|c| c.variant == variant).and_then(|c| c.p_value_corrected).unwrap()
        };
        assert!(p("bad") < p("poor"));
        let expected = format!("Keep control: every other variant is worse on solved (p = {}).", number(p("poor")));
        assert_eq!(result.recommendation, expected);
    }
}
