//! One metric of one treatment beside the control's.

use llmops_domain::experiment::result::{
    AlwaysValid, BayesianView, Bounds, Comparison, CovariateUse, FixedTest, GuardrailResult, GuardrailState, Lift,
};
use llmops_domain::experiment::{Basis, Direction, MetricKind, MetricSpec};
use llmops_stats::bayes::{self, BetaPrior, Posterior};
use llmops_stats::{Interval, StatsError, TestOptions, TestResult, ratio};

use super::Plan;
use super::fixed::{self, Pair, Tested};
use super::summary::{bounds, quantile_estimate, quantile_of};
use super::valid::{self, Effect};

/// Compares, as far as the data allow: what cannot be computed says why.
pub(super) fn compare(plan: &Plan, metric: &MetricSpec, treatment: usize, arms: Pair<'_>) -> Comparison {
    let options = TestOptions::at_level(plan.level());
    let asked = plan.test.filter(|_| metric.name == plan.target);
    let tested = fixed::test(metric, asked, arms, options);
    let effect = valid::effect(metric, arms);
    let sequence = effect.as_ref().ok().map(|effect| effect.sequence(plan.sequence())).and_then(Result::ok);
    let notice = match (&tested, &effect) {
        (Ok(tested), _) => tested.notice.clone().or_else(|| coarse(metric, arms)),
        (Err(error), _) => Some(fixed::misfit(metric, asked, arms).unwrap_or_else(|| reason(metric, arms, error))),
    };
    let fixed = tested.as_ref().ok().map(fixed_test);
    let always_valid = effect.as_ref().ok().zip(sequence.as_ref()).map(|(effect, result)| always_valid(effect, result));
    let (p_value, interval, difference) = match plan.rules.basis {
        Basis::AlwaysValid => (
            always_valid.as_ref().map(|valid| valid.p_value),
            always_valid.as_ref().and_then(|valid| valid.interval),
            always_valid.as_ref().map(|valid| valid.effect),
        ),
        Basis::FixedHorizon => (
            fixed.as_ref().map(|fixed| fixed.p_value),
            fixed.as_ref().and_then(|fixed| fixed.interval),
            fixed.as_ref().map(|fixed| fixed.effect),
        ),
    };
    let direction = metric.direction();
    Comparison {
        metric: metric.name.clone(),
        kind: metric.kind(),
        direction,
        variant: plan.variants[treatment].clone(),
        control: plan.variants[plan.control].clone(),
        units: arms.0.sums.units() + arms.1.sums.units(),
        difference,
        interval,
        lift: lift(metric, arms, effect.as_ref().ok(), options).map(|lift| match plan.rules.basis {
            Basis::FixedHorizon => lift,
            Basis::AlwaysValid => {
                let all = lift.interval.zip(sequence.as_ref().and_then(|result| result.interval));
                Lift { interval: all.and_then(|(_, interval)| relative_bounds(arms, interval)), ..lift }
            }
        }),
        p_value,
        p_value_corrected: p_value,
        significant: p_value.is_some_and(|p| p <= plan.rules.alpha),
        better: effect
            .as_ref()
            .ok()
            .filter(|e| e.value != 0.0)
            .map(|e| (e.value > 0.0) == (direction == Direction::Higher)),
        fixed,
        always_valid,
        bayes: plan.bayes.then(|| bayes(metric, arms, effect.as_ref().ok(), plan.level())).flatten(),
        cuped: tested.ok().and_then(|tested| covariate_use(metric, &tested)),
        guardrail: guardrail(plan, metric, arms),
        notice,
    }
}

/// Why there is no test, in the words of the experiment.
fn reason(metric: &MetricSpec, arms: Pair<'_>, error: &StatsError) -> String {
    match error {
        StatsError::TooFew { what, needed, got } => {
            let (before, after) = (arms.0.sums.units(), arms.1.sums.units());
            format!(
                "no test of {}: it needs {needed} {what}, there are {got} (units: {before} and {after})",
                metric.name
            )
        }
        StatsError::NoVariation { .. } => format!(
            "no test of {}: the values within each variant are all equal, so nothing tells how far they scatter",
            metric.name
        ),
        other => format!("no test of {}: {other}", metric.name),
    }
}

/// What a reader should know of quantiles of values that come in steps.
fn coarse(metric: &MetricSpec, arms: Pair<'_>) -> Option<String> {
    let q = quantile_of(metric).filter(|_| valid::is_by_quantile(metric, arms))?;
    let is_coarse = |arm| quantile_estimate(arm, q).is_ok_and(|estimate| estimate.coarse);
    (is_coarse(arms.0) || is_coarse(arms.1)).then(|| {
        format!(
            "{}: the values around the {q} quantile are nearly all equal, so its interval reaches to the next ones; a rate of \
             values above a limit, or ranks, tell smaller differences",
            metric.name
        )
    })
}

fn fixed_test(tested: &Tested) -> FixedTest {
    let TestResult { method, statistic, df, p_value, effect, interval, .. } = tested.result;
    let key = serde_json::to_value(method).ok().and_then(|key| Some(key.as_str()?.to_owned())).unwrap_or_default();
    FixedTest {
        test: method.to_string(),
        method: key,
        estimand: tested.estimand.to_owned(),
        statistic,
        df,
        p_value,
        effect,
        interval: interval.map(bounds),
    }
}

fn always_valid(effect: &Effect, result: &TestResult) -> AlwaysValid {
    AlwaysValid {
        test: result.method.to_string(),
        estimand: effect.estimand.to_owned(),
        effect: result.effect,
        p_value: result.p_value,
        interval: result.interval.map(bounds),
    }
}

/// Relative difference of what is compared: of means (adjusted ones, where there is a covariate), quantiles or ratios, where the
/// control's is above 0. Ranks have none.
fn lift(metric: &MetricSpec, arms: Pair<'_>, effect: Option<&Effect>, options: TestOptions) -> Option<Lift> {
    if valid::uses_covariate(metric, arms) {
        // The raw means differ by what the covariate explains, too.
        let before = arms.0.sums.moments().ok()?.mean().filter(|mean| *mean > 0.0)?;
        return Some(Lift { value: effect?.value / before, interval: None });
    }
    if metric.kind() == MetricKind::Ordinal {
        return None;
    }
    // Of a negative mean, a rise would read as a fall.
    let relative =
        |before: f64, after: f64| (before > 0.0).then(|| Lift { value: after / before - 1.0, interval: None });
    if metric.kind() == MetricKind::Ratio {
        let of = |pairs: Result<_, StatsError>| pairs.and_then(|pairs| ratio::ratio(&pairs, options.level)).ok();
        let (before, after) = (of(arms.0.sums.ratio_pairs())?, of(arms.1.sums.ratio_pairs())?);
        return relative(before.value, after.value);
    }
    if let Some(q) = quantile_of(metric) {
        let of = |arm| quantile_estimate(arm, q).ok().map(|estimate| estimate.value);
        return relative(of(arms.0)?, of(arms.1)?);
    }
    let (before, after) = (arms.0.sums.moments().ok()?, arms.1.sums.moments().ok()?);
    match ratio::relative_difference(&before, &after, options) {
        Ok(result) if result.effect.is_finite() && before.mean().is_some_and(|mean| mean > 0.0) => {
            Some(Lift { value: result.effect, interval: result.interval.map(bounds) })
        }
        Err(StatsError::TooFew { .. } | StatsError::NoVariation { .. }) => relative(before.mean()?, after.mean()?),
        _ => None,
    }
}

/// The relative differences that the data do not exclude at any look (Fieller 1954): those r for which the sequence of
/// treatment − (1 + r)·control holds 0. So it holds 0 where the interval of the difference does. Nothing where the control's mean may
/// be 0.
fn relative_bounds(arms: Pair<'_>, difference: Interval) -> Option<Bounds> {
    let (control, treatment) = (arms.0.sums.moments().ok()?, arms.1.sums.moments().ok()?);
    let (before, after) = (control.mean()?, treatment.mean()?);
    let square = |sem: f64| sem * sem;
    let (v0, v1) = (square(control.sem()?), square(treatment.sem()?));
    // What the difference is uncertain by, in parts as large as the arms' own uncertainties.
    let part = square((difference.high - difference.low) / 2.0) / (v0 + v1);
    let (most0, most1) = (part * v0, part * v1);
    let leading = before * before - most0;
    if !(leading > 0.0 && most1.is_finite()) {
        return None;
    }
    let middle = before * after;
    let root = (middle * middle - leading * (after * after - most1)).max(0.0).sqrt();
    let at = |root: f64| (middle + root) / leading - 1.0;
    Some(Bounds { low: at(-root), high: at(root), level: difference.level })
}

/// The same difference under a flat prior.
fn bayes(metric: &MetricSpec, arms: Pair<'_>, effect: Option<&Effect>, level: f64) -> Option<BayesianView> {
    let of_means = !valid::uses_covariate(metric, arms)
        && !valid::is_by_quantile(metric, arms)
        && metric.kind() != MetricKind::Ordinal;
    let posterior: Posterior = match (metric.kind(), fixed::rates(arms), effect) {
        (MetricKind::Ratio, ..) => return None,
        (MetricKind::Binary, Some(rates), _) if of_means => {
            let (control, treatment) = rates.ok()?;
            bayes::beta(control, treatment, BetaPrior::default(), level).ok()?
        }
        _ if of_means => bayes::normal(&arms.0.sums.moments().ok()?, &arms.1.sums.moments().ok()?, None, level).ok()?,
        (.., effect) => {
            let Effect { value, variance, units, .. } = effect?;
            bayes::normal_effect(units.0 + units.1, *value, *variance, None, level).ok()?
        }
    };
    let model = match effect.filter(|_| !of_means) {
        Some(effect) => format!("Bayesian {} (normal)", effect.estimand),
        None => posterior.method.to_string(),
    };
    let higher = metric.direction() == Direction::Higher;
    Some(BayesianView {
        model,
        chance_to_win: if higher { posterior.chance_to_win } else { 1.0 - posterior.chance_to_win },
        // A lower metric is lost where the treatment is higher.
        expected_loss: if higher { posterior.loss_of_treatment } else { posterior.loss_of_control },
        interval: bounds(posterior.interval),
    })
}

fn covariate_use(metric: &MetricSpec, tested: &Tested) -> Option<CovariateUse> {
    let cuped = tested.cuped.as_ref()?;
    Some(CovariateUse {
        covariate: metric.covariate.clone()?,
        theta: cuped.theta,
        variance_reduction: cuped.variance_reduction,
    })
}

/// Where the guardrail stands: worse by less than the margin, by more, or not known yet.
fn guardrail(plan: &Plan, metric: &MetricSpec, arms: Pair<'_>) -> Option<GuardrailResult> {
    let rule = metric.guardrail?;
    // Ranks have no amount: of ratings, the means are compared, and a quantile that needs more observations leaves it open.
    let effect = valid::amount(metric, arms);
    let level_of_control = control_level(metric, arms);
    let margin = if rule.relative { rule.margin * level_of_control.unwrap_or_default().abs() } else { rule.margin };
    let sign = if metric.direction() == Direction::Higher { -1.0 } else { 1.0 };
    let interval = effect.as_ref().ok().and_then(|effect| interval_of(plan, effect));
    let harm_between = interval.map(|i| if sign > 0.0 { (i.low, i.high) } else { (-i.high, -i.low) });
    let state = match harm_between {
        Some((_, most)) if most <= margin => GuardrailState::Holds,
        Some((least, _)) if least > margin => GuardrailState::Violated,
        _ => GuardrailState::Open,
    };
    Some(GuardrailResult {
        state,
        margin,
        harm: effect.map_or(0.0, |effect| sign * effect.value),
        harm_at_most: harm_between.map(|(_, most)| most),
    })
}

fn control_level(metric: &MetricSpec, (control, _): Pair<'_>) -> Option<f64> {
    if metric.kind() == MetricKind::Ratio {
        return ratio::ratio(&control.sums.ratio_pairs().ok()?, 0.95).ok().map(|ratio| ratio.value);
    }
    match quantile_of(metric) {
        Some(q) => quantile_estimate(control, q).ok().map(|estimate| estimate.value),
        None => control.sums.moments().ok()?.mean(),
    }
}

/// The interval of an effect on the basis that decides.
fn interval_of(plan: &Plan, effect: &Effect) -> Option<Bounds> {
    match plan.rules.basis {
        Basis::AlwaysValid => effect.sequence(plan.sequence()).ok()?.interval.map(bounds),
        Basis::FixedHorizon => {
            let interval = Interval::normal(effect.value, effect.variance.sqrt(), plan.level()).ok()?;
            (effect.units.0.min(effect.units.1) > 1).then(|| bounds(interval))
        }
    }
}
