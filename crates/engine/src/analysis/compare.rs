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
        (Ok(tested), _) => tested.notice.clone(),
        (Err(error), _) => Some(reason(metric, arms, error)),
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
        lift: lift(metric, arms, options),
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
        bayes: plan.bayes.then(|| bayes(metric, arms, plan.level())).flatten(),
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

/// Relative difference of the means (of the quantiles, where these are compared), where there are means and the control's is not 0.
fn lift(metric: &MetricSpec, arms: Pair<'_>, options: TestOptions) -> Option<Lift> {
    if metric.kind() == MetricKind::Ratio {
        let of = |pairs: Result<_, StatsError>| pairs.and_then(|pairs| ratio::ratio(&pairs, options.level)).ok();
        let (before, after) = (of(arms.0.sums.ratio_pairs())?, of(arms.1.sums.ratio_pairs())?);
        return (before.value != 0.0).then(|| Lift { value: after.value / before.value - 1.0, interval: None });
    }
    if let Some(q) = quantile_of(metric) {
        let of = |arm| quantile_estimate(arm, q).ok().map(|estimate| estimate.value);
        let (before, after) = (of(arms.0)?, of(arms.1)?);
        return (before > 0.0).then(|| Lift { value: after / before - 1.0, interval: None });
    }
    let (before, after) = (arms.0.sums.moments().ok()?, arms.1.sums.moments().ok()?);
    match ratio::relative_difference(&before, &after, options) {
        // Of a negative mean, a rise would read as a fall.
        Ok(result) if result.effect.is_finite() && before.mean().is_some_and(|mean| mean > 0.0) => {
            Some(Lift { value: result.effect, interval: result.interval.map(bounds) })
        }
        Err(StatsError::TooFew { .. } | StatsError::NoVariation { .. }) => {
            let (before, after) = (before.mean()?, after.mean()?);
            (before > 0.0).then(|| Lift { value: after / before - 1.0, interval: None })
        }
        _ => None,
    }
}

fn bayes(metric: &MetricSpec, arms: Pair<'_>, level: f64) -> Option<BayesianView> {
    let posterior: Posterior = match (metric.kind(), fixed::rates(arms)) {
        (MetricKind::Ratio, _) => return None,
        (MetricKind::Binary, Some(rates)) => {
            let (control, treatment) = rates.ok()?;
            bayes::beta(control, treatment, BetaPrior::default(), level).ok()?
        }
        _ => bayes::normal(&arms.0.sums.moments().ok()?, &arms.1.sums.moments().ok()?, None, level).ok()?,
    };
    let higher = metric.direction() == Direction::Higher;
    let model = posterior.method.to_string();
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
    // Ranks have no amount: of ratings, the means are compared.
    let effect = match metric.kind() {
        MetricKind::Ordinal => valid::means(arms),
        _ => valid::effect(metric, arms),
    };
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
