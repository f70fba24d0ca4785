//! What is concluded: a winner, or what is missing for one.

use std::collections::BTreeMap;
use std::time::Duration;

use llmops_domain::experiment::result::{
    Bounds, Comparison, Conclusion, Forecast, GuardrailState, Missing, SampleRatio, VariantResult, signed, significant,
};
use llmops_domain::experiment::{Basis, Direction};

use super::{FIRST_LOOK, Plan};

const DAY: f64 = 86_400.0;
/// Beyond so many times the present units no forecast is worth anything.
const FARTHEST: f64 = 1000.0;

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
        let message = format!(
            "the variants did not get their share of units ({}; p = {:.1e})",
            shares.join(", "),
            ratio.p_value.min(ratio.chi_squared_p.max(f64::MIN_POSITIVE))
        );
        Decision {
            winner: None,
            significance,
            recommendation: format!(
                "Do not conclude anything: {message}, so units were lost or counted twice in one of them; find out where first."
            ),
            conclusion: Conclusion::Blocked,
            missing: vec![missing("sample_ratio", message)],
            forecast: None,
        }
    }

    fn samples(&self) -> Option<Missing> {
        let needed = self.plan.min_samples.max(2);
        let short: Vec<String> = self
            .plan
            .variants
            .iter()
            .filter_map(|id| Some((id, self.variants.get(id)?.sample_count)))
            .filter(|(_, n)| *n < needed)
            .map(|(id, n)| format!("{id} has {n}"))
            .collect();
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
            let days = |time: Duration| (time.as_secs_f64() / DAY * 10.0).floor() / 10.0;
            let text =
                format!("it must run {} days, so that every weekday is in: it has run {}", days(needed), days(elapsed));
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
        let least = self.variants.values().map(|variant| variant.sample_count).min().unwrap_or(0);
        (least < planned).then(|| {
            missing(
                "planned_n",
                format!("the one look is at {planned} units of each variant: the smallest has {least}"),
            )
        })
    }

    /// The best of the treatments that are significantly better; the control where it beats every treatment.
    fn candidate(&self) -> Option<String> {
        let gain = |c: &Comparison| {
            let value = c.difference.unwrap_or_default();
            if c.direction == Direction::Higher { value } else { -value }
        };
        let better = self.target().filter(|c| c.significant && c.better == Some(true));
        if let Some(best) = better.max_by(|a, b| gain(a).total_cmp(&gain(b))) {
            return Some(best.variant.clone());
        }
        let mut all = self.target().peekable();
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
        let confidence = |c: &Comparison| number(c.p_value_corrected.unwrap_or(1.0));
        if winner == self.control() {
            let worst = self.target().next();
            let p = worst.map_or_else(String::new, confidence);
            return format!("Keep {winner}: every other variant is worse on {} (p = {p}).", plan.target);
        }
        let Some(c) = self.target().find(|c| c.variant == winner) else {
            return format!("Choose {winner}.");
        };
        let by = c.lift.map_or_else(
            || format!("by {}", number(c.difference.unwrap_or_default())),
            |lift| format!("by {:+.1} %", lift.value * 100.0).replace('-', "−"),
        );
        format!(
            "Choose {winner}: it beats {} on {} {by} (p = {}{}).",
            self.control(),
            plan.target,
            confidence(c),
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
        let lead = match candidate {
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
        all.all(|c| c.interval.is_some_and(|i| i.low > -least && i.high < least)).then(|| {
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
        let least = self.variants.values().map(|variant| variant.sample_count).min().unwrap_or(0).max(1);
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
