//! The decision: from what the sums say, the time and the money spent, to what is done.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::conclude::conclusion;
use super::policy::{CanaryPolicy, Guardrail};
use super::state::AbortCause;

/// Judged pairs before anything is decided by them.
pub const BURN_IN: u64 = 30;
/// Fewest users or sessions that bounds are drawn from: of fewer, the spread between them is not known.
pub const FEWEST_CLUSTERS: u64 = 20;

/// A rate with bounds that hold at every look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CanaryMeasure)]
pub struct Measure {
    /// Observations.
    pub n: u64,
    /// Users or sessions that they come from.
    pub clusters: u64,
    /// The estimate.
    pub value: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// Observations at which the bound that matters would be passed if the estimate stays; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u64>,
}

/// A guardrail's number. What is tested has the unit of the policy but for latency, where it is the share of the
/// candidate's answers that take longer than production's 95th percentile allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuardrailMeasure {
    /// Which.
    pub guardrail: Guardrail,
    /// The number, in the unit of the policy.
    pub value: f64,
    /// The policy's limit.
    pub limit: f64,
    /// What is tested, with bounds that hold at every look.
    pub tested: Measure,
    /// What it must not exceed.
    pub bound: f64,
}

impl GuardrailMeasure {
    /// Whether it is beyond doubt exceeded.
    pub fn is_broken(&self) -> bool {
        self.tested.low > self.bound
    }

    /// Whether it is beyond doubt kept.
    pub fn is_kept(&self) -> bool {
        self.tested.high <= self.bound
    }
}

/// What the sums say. A number that nothing can be said of yet is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Measures {
    /// Share of pairs won, less share lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_win: Option<Measure>,
    /// Share of pairs lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_rate: Option<Measure>,
    /// The guardrails.
    #[serde(default)]
    pub guardrails: Vec<GuardrailMeasure>,
    /// Guardrails of which too little was seen yet to say anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<Guardrail>,
    /// Guardrails that cannot be measured here, such as cost without a price: they decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmeasured: Vec<Guardrail>,
}

/// How much of the candidate users see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Nothing.
    Shadow,
    /// Its answers, to a share of them.
    Exposure {
        /// The stage.
        stage: usize,
        /// Seconds at this stage.
        seconds: u64,
        /// Requests that the candidate answered at this stage.
        requests: u64,
        /// The guardrails among users.
        guardrails: Vec<GuardrailMeasure>,
    },
}

/// Everything that a decision is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Situation {
    /// How much users see.
    #[serde(flatten)]
    pub phase: Phase,
    /// Requests that the candidate was asked: the pairs numbered up to here are what the measures are made from.
    pub asked: u64,
    /// Judged pairs.
    pub pairs: u64,
    /// Pairs won.
    pub wins: u64,
    /// Pairs lost.
    pub losses: u64,
    /// Pairs in which neither was better.
    pub ties: u64,
    /// Answers that the judge could not compare.
    #[serde(default)]
    pub unjudged: u64,
    /// Seconds under way.
    pub elapsed_seconds: u64,
    /// USD spent.
    pub spent: f64,
    /// Whether another manifest went live meanwhile.
    #[serde(default)]
    pub production_changed: bool,
    /// What the sums say.
    pub measures: Measures,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Go on.
    Hold,
    /// Go on, and warn: it loses more than the policy likes.
    Warn,
    /// Expose users at this stage.
    Expose(usize),
    /// Ask a person.
    AskApproval,
    /// Point the deployment to the candidate.
    Promote,
    /// End it, and take back what was exposed.
    Abort(AbortCause),
}

impl Action {
    /// In one word or two.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Warn => "hold, with a warning",
            Self::Expose(_) => "expose",
            Self::AskApproval => "ask for approval",
            Self::Promote => "promote",
            Self::Abort(_) => "abort",
        }
    }

    /// Whether the canary stays as it is.
    pub fn is_hold(self) -> bool {
        matches!(self, Self::Hold | Self::Warn)
    }
}

/// How a condition of the promotion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It holds.
    Met,
    /// It does not hold yet.
    Open,
    /// It is beyond doubt broken.
    Broken,
    /// It cannot be measured, and decides nothing.
    Unmeasured,
}

/// One condition with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CanaryCheck)]
pub struct Check {
    /// Its name: `net_win`, `min_samples`, a guardrail …
    pub name: String,
    /// How it stands.
    pub status: CheckStatus,
    /// In words, with every number.
    pub message: String,
}

/// When it would conclude if everything stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CanaryConclusion)]
pub struct Conclusion {
    /// Further judged pairs.
    pub pairs: u64,
    /// Further seconds, at the present pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What is done, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// Why, in one sentence.
    pub message: String,
    /// Every condition.
    pub checks: Vec<Check>,
    /// Of a hold: when it would conclude. Absent: it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Conclusion>,
}

/// Decides. The first of these that holds is done:
///
/// 1. another manifest went live, or the budget is spent: abort;
/// 2. a guardrail is broken, in shadow or among users: abort;
/// 3. even the upper bound of the net win rate is a loss: abort;
/// 4. every condition holds: expose, ask, or promote;
/// 5. the window is over: abort;
/// 6. the lower bound of the loss rate passes the policy's: warn;
/// 7. hold.
pub fn decide(policy: &CanaryPolicy, situation: &Situation) -> Decision {
    let checks = checks(policy, situation);
    let done = |action: Action, message: String| Decision { action, message, checks: checks.clone(), estimate: None };
    if let Some((cause, message)) = abort(policy, situation) {
        return done(Action::Abort(cause), message);
    }
    if checks.iter().all(|check| matches!(check.status, CheckStatus::Met | CheckStatus::Unmeasured)) {
        let action = forward(policy, situation);
        return done(action, praise(situation, action));
    }
    let open: Vec<&str> = checks.iter().filter(|c| c.status == CheckStatus::Open).map(|c| c.name.as_str()).collect();
    if situation.elapsed_seconds >= policy.window.max.0.as_secs() {
        let message = format!("the window of {} is over, and {} stayed open", policy.window.max, open.join(", "));
        return done(Action::Abort(AbortCause::WindowOver), message);
    }
    let limit = policy.warn.loss_rate;
    let warned = situation.measures.loss_rate.filter(|rate| rate.low > limit.0);
    let mut decision = match warned {
        Some(rate) => done(
            Action::Warn,
            format!("it loses {} of the pairs, and more than {limit} beyond doubt", shown(&rate, 0.0)),
        ),
        None => done(Action::Hold, format!("open: {}", open.join(", "))),
    };
    decision.estimate = conclusion(policy, situation);
    decision
}

fn abort(policy: &CanaryPolicy, situation: &Situation) -> Option<(AbortCause, String)> {
    if situation.production_changed {
        let message = "another manifest is live now: there is nothing to compare with any more";
        return Some((AbortCause::ProductionChanged, message.to_owned()));
    }
    if situation.spent >= policy.budget.total {
        let message = format!("{:.4} USD are spent of {}", situation.spent, usd(policy.budget.total));
        return Some((AbortCause::Budget, message));
    }
    let exposed: &[GuardrailMeasure] = match &situation.phase {
        Phase::Shadow => &[],
        Phase::Exposure { guardrails, .. } => guardrails,
    };
    if let Some((guardrail, message)) = broken(situation.measures.guardrails.iter().chain(exposed)) {
        return Some((AbortCause::Guardrail(guardrail), message));
    }
    let net = situation.measures.net_win.filter(|_| situation.pairs >= BURN_IN)?;
    (net.high < policy.abort.net_win_upper).then(|| {
        let message = format!(
            "the net win rate is {}: even its upper bound is below {}",
            shown(&net, -1.0),
            percent(policy.abort.net_win_upper)
        );
        (AbortCause::NetLoss, message)
    })
}

/// The first guardrail that is beyond doubt exceeded, with every number.
pub fn broken<'a>(measures: impl IntoIterator<Item = &'a GuardrailMeasure>) -> Option<(Guardrail, String)> {
    let measure = measures.into_iter().find(|measure| measure.is_broken())?;
    Some((measure.guardrail, describe(measure)))
}

/// What follows when every condition holds.
fn forward(policy: &CanaryPolicy, situation: &Situation) -> Action {
    let stages = policy.exposures().len();
    match &situation.phase {
        Phase::Shadow if policy.promote.approval => Action::AskApproval,
        Phase::Shadow if stages > 0 => Action::Expose(0),
        Phase::Exposure { stage, .. } if stage + 1 < stages => Action::Expose(stage + 1),
        Phase::Shadow | Phase::Exposure { .. } => Action::Promote,
    }
}

fn praise(situation: &Situation, action: Action) -> String {
    let net = situation.measures.net_win.as_ref().map(|net| shown(net, -1.0)).unwrap_or_default();
    match (&situation.phase, action) {
        (Phase::Exposure { stage, requests, .. }, _) => {
            format!("{requests} requests at stage {} kept every guardrail", stage + 1)
        }
        (Phase::Shadow, _) => format!(
            "it wins {} and loses {} of {} pairs, a net win rate of {net}, and every guardrail is kept",
            situation.wins, situation.losses, situation.pairs
        ),
    }
}

/// The conditions of the next step forward.
fn checks(policy: &CanaryPolicy, situation: &Situation) -> Vec<Check> {
    match &situation.phase {
        Phase::Shadow => shadow_checks(policy, situation),
        Phase::Exposure { seconds, requests, guardrails, .. } => {
            let least = policy.stage.min_samples;
            let mut all = vec![
                check("stage_requests", *requests >= least, format!("{requests} requests of at least {least}")),
                time_check("stage_time", *seconds, policy.stage.min.0.as_secs()),
            ];
            // Shadow has shown that they are kept: at a stage the estimates must not speak against it.
            all.extend(guardrails.iter().map(|measure| {
                let status = match (measure.is_broken(), measure.tested.value <= measure.bound) {
                    (true, _) => CheckStatus::Broken,
                    (false, true) => CheckStatus::Met,
                    (false, false) => CheckStatus::Open,
                };
                Check { name: measure.guardrail.to_string(), status, message: describe(measure) }
            }));
            all.extend(unmeasured_at_a_stage(policy, &situation.measures, guardrails));
            all
        }
    }
}

/// The guardrails that nothing can be said of at a stage: too few users of one arm were answered. No user is exposed
/// further before they are measured, but for those that can never be.
pub(super) fn unmeasured_at_a_stage(
    policy: &CanaryPolicy,
    shadow: &Measures,
    known: &[GuardrailMeasure],
) -> Vec<Check> {
    let is_open = |guardrail: &Guardrail| {
        // Scores come from the judge, who sees no answers of a stage.
        *guardrail != Guardrail::ScoreTolerance
            && policy.limit(*guardrail).is_some()
            && !known.iter().any(|measure| measure.guardrail == *guardrail)
    };
    let too_few = "too few requests of one arm yet to say anything";
    let of = |guardrail: Guardrail| {
        let never = shadow.unmeasured.contains(&guardrail);
        if never {
            unknown(guardrail, CheckStatus::Unmeasured, never_measured(guardrail))
        } else {
            unknown(guardrail, CheckStatus::Open, too_few)
        }
    };
    Guardrail::ALL.into_iter().filter(is_open).map(of).collect()
}

/// Why a guardrail is left out for good, such as costs without prices.
fn never_measured(guardrail: Guardrail) -> &'static str {
    match guardrail {
        Guardrail::Cost => {
            "cannot be measured here, and decides nothing: too few pairs have a price and tokens that both providers counted \
             (of streams they do where callers send stream_options.include_usage)"
        }
        _ => "cannot be measured here, and decides nothing",
    }
}

/// A guardrail without a number.
fn unknown(guardrail: Guardrail, status: CheckStatus, message: &str) -> Check {
    Check { name: guardrail.to_string(), status, message: message.to_owned() }
}

fn shadow_checks(policy: &CanaryPolicy, situation: &Situation) -> Vec<Check> {
    let measures = &situation.measures;
    let (pairs, least) = (situation.pairs, policy.min_samples);
    let mut all = vec![
        net_win_check(policy, situation),
        check(
            "min_samples",
            pairs >= least,
            format!("{pairs} judged pairs of at least {least}{}", unjudged(policy, situation)),
        ),
        time_check("window", situation.elapsed_seconds, policy.window.min.0.as_secs()),
    ];
    all.extend(measures.guardrails.iter().map(|measure| {
        let status = match (measure.is_broken(), measure.is_kept()) {
            (true, _) => CheckStatus::Broken,
            (false, true) => CheckStatus::Met,
            (false, false) => CheckStatus::Open,
        };
        Check { name: measure.guardrail.to_string(), status, message: describe(measure) }
    }));
    let too_few = format!("nothing is said before {BURN_IN} answers of {FEWEST_CLUSTERS} users or sessions");
    let awaited = |guardrail: &Guardrail| {
        let counted = if *guardrail == Guardrail::Cost { " whose tokens both providers counted" } else { "" };
        unknown(*guardrail, CheckStatus::Open, &format!("{too_few}{counted}"))
    };
    all.extend(measures.awaited.iter().map(awaited));
    let unmeasured = |guardrail: &Guardrail| unknown(*guardrail, CheckStatus::Unmeasured, never_measured(*guardrail));
    all.extend(measures.unmeasured.iter().map(unmeasured));
    all
}

/// How many answers the judge could not compare, where there are any.
fn unjudged(policy: &CanaryPolicy, situation: &Situation) -> String {
    match situation.unjudged {
        0 => String::new(),
        n => format!("; the judge {} could not compare {n} more", policy.judge.model),
    }
}

fn net_win_check(policy: &CanaryPolicy, situation: &Situation) -> Check {
    let limit = policy.promote.net_win;
    let name = "net_win".to_owned();
    let (Some(net), true) = (situation.measures.net_win, situation.pairs >= BURN_IN) else {
        let message =
            format!("nothing is decided before {BURN_IN} judged pairs of {FEWEST_CLUSTERS} users or sessions");
        return Check { name, status: CheckStatus::Open, message };
    };
    let status = if net.high < policy.abort.net_win_upper {
        CheckStatus::Broken
    } else if net.value > limit.0 && net.low > 0.0 {
        CheckStatus::Met
    } else {
        CheckStatus::Open
    };
    let message = format!("{}; wanted: more than {limit} with a lower bound above 0", shown(&net, -1.0));
    Check { name, status, message }
}

fn check(name: &str, met: bool, message: String) -> Check {
    let status = if met { CheckStatus::Met } else { CheckStatus::Open };
    Check { name: name.to_owned(), status, message }
}

fn time_check(name: &str, seconds: u64, least: u64) -> Check {
    let span = |seconds: u64| match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    check(name, seconds >= least, format!("{} of at least {}", span(seconds), span(least)))
}

/// A budget: cents, or what is less than one.
fn usd(amount: f64) -> String {
    if amount >= 0.01 { format!("{amount:.2}") } else { format!("{amount}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A rate with its bounds, which end where the rate itself can go: `least` is −1 for differences, else 0.
fn shown(measure: &Measure, least: f64) -> String {
    let bound = |bound: f64| percent(bound.clamp(least, 1.0));
    format!("{} ({} to {})", percent(measure.value), bound(measure.low), bound(measure.high))
}

/// A guardrail with every number.
fn describe(measure: &GuardrailMeasure) -> String {
    let GuardrailMeasure { value, limit, tested, bound, .. } = measure;
    let mut text = match measure.guardrail {
        // Of exposed users it is the difference to production.
        Guardrail::ErrorRate => {
            let least = if tested.value < 0.0 { -1.0 } else { 0.0 };
            format!("{} of the requests fail, at most {} may", shown(tested, least), percent(*limit))
        }
        Guardrail::SoftFailures => {
            format!("soft failures differ by {}, at most {} may", shown(tested, -1.0), percent(*limit))
        }
        Guardrail::ScoreTolerance => {
            let (low, high) = (tested.low, tested.high);
            format!("the mean score drops by {value:.4} ({low:.4} to {high:.4}), by at most {limit} it may")
        }
        Guardrail::Cost => {
            let (low, high) = (tested.low, tested.high);
            format!("it costs {value:.3} × as much ({low:.3} to {high:.3}), at most {limit} × it may")
        }
        Guardrail::LatencyP95 => format!(
            "its 95th percentile is {value:.2} × production's, at most {limit} × it may be, or latency_slack more where that \
             is more; {} of its answers are slower than that, {} may",
            shown(tested, 0.0),
            percent(*bound)
        ),
    };
    let _ = write!(text, "; n {}", tested.n);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Share;
    use crate::canary::policy::CanaryBudget;

    fn measure(value: f64, margin: f64) -> Measure {
        Measure { n: 600, clusters: 600, value, low: value - margin, high: value + margin, needed: Some(900) }
    }

    fn guardrail(guardrail: Guardrail, value: f64, margin: f64, limit: f64) -> GuardrailMeasure {
        GuardrailMeasure { guardrail, value, limit, tested: measure(value, margin), bound: limit }
    }

    /// 600 pairs of two days with this net win rate.
    fn situation(net: f64, margin: f64) -> Situation {
        Situation {
            phase: Phase::Shadow,
            asked: 610,
            pairs: 600,
            wins: 270,
            losses: 120,
            ties: 210,
            unjudged: 0,
            elapsed_seconds: 2 * 86_400,
            spent: 3.0,
            production_changed: false,
            measures: Measures {
                net_win: Some(measure(net, margin)),
                loss_rate: Some(measure(0.2, 0.04)),
                guardrails: vec![guardrail(Guardrail::Cost, 1.0, 0.1, 1.2)],
                ..Measures::default()
            },
        }
    }

    #[track_caller]
    fn check(policy: &CanaryPolicy, situation: &Situation, expected: Action) {
        let decision = decide(policy, situation);
        assert_eq!(decision.action, expected, "{decision:#?}");
    }

    #[test]
    fn each_condition_decides() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let better = situation(0.25, 0.1);
        check(&policy, &better, Action::Promote);
        check(&policy, &Situation { pairs: 499, ..better.clone() }, Action::Warn);
        check(&policy, &Situation { elapsed_seconds: 86_399, ..better.clone() }, Action::Warn);
        check(&policy, &situation(0.25, 0.26), Action::Warn);
        check(&policy, &situation(0.10, 0.05), Action::Warn);
        check(&policy, &situation(-0.2, 0.19), Action::Abort(AbortCause::NetLoss));
        check(&policy, &situation(-0.2, 0.2), Action::Warn);
        check(&policy, &Situation { pairs: 29, ..situation(-0.9, 0.1) }, Action::Warn);
        check(&policy, &Situation { spent: 50.0, ..better.clone() }, Action::Abort(AbortCause::Budget));
        let changed = Situation { production_changed: true, ..better.clone() };
        check(&policy, &changed, Action::Abort(AbortCause::ProductionChanged));
        let over = Situation { elapsed_seconds: 14 * 86_400, ..situation(0.05, 0.1) };
        check(&policy, &over, Action::Abort(AbortCause::WindowOver));
        check(&policy, &Situation { elapsed_seconds: 14 * 86_400, ..better.clone() }, Action::Promote);
        let mut calm = situation(0.05, 0.1);
        calm.measures.loss_rate = Some(measure(0.15, 0.01));
        check(&policy, &calm, Action::Hold);
    }

    #[test]
    fn guardrails_decide_by_their_bounds() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let with = |measure: GuardrailMeasure| {
            let mut situation = situation(0.25, 0.1);
            situation.measures.guardrails = vec![measure];
            situation
        };
        check(&policy, &with(guardrail(Guardrail::Cost, 1.1, 0.09, 1.2)), Action::Promote);
        check(&policy, &with(guardrail(Guardrail::Cost, 1.1, 0.11, 1.2)), Action::Warn);
        check(&policy, &with(guardrail(Guardrail::Cost, 1.3, 0.11, 1.2)), Action::Warn);
        check(
            &policy,
            &with(guardrail(Guardrail::Cost, 1.3, 0.09, 1.2)),
            Action::Abort(AbortCause::Guardrail(Guardrail::Cost)),
        );
        let mut unmeasured = situation(0.25, 0.1);
        unmeasured.measures.guardrails.clear();
        unmeasured.measures.unmeasured = vec![Guardrail::Cost];
        check(&policy, &unmeasured, Action::Promote);
    }

    #[test]
    fn approval_and_stages_come_before_the_promotion() {
        let mut policy = CanaryPolicy::with_judge("sim/judge");
        policy.stages = vec![Share(0.01), Share(0.25), Share(1.0)];
        (policy.guardrails.latency_p95, policy.guardrails.cost) = (None, None);
        let better = situation(0.25, 0.1);
        check(&policy, &better, Action::Expose(0));
        let at = |stage, seconds, requests, broken: bool| Situation {
            phase: Phase::Exposure {
                stage,
                seconds,
                requests,
                guardrails: vec![guardrail(Guardrail::ErrorRate, if broken { 0.2 } else { 0.0 }, 0.1, 0.01)],
            },
            ..better.clone()
        };
        check(&policy, &at(0, 3600, 100, false), Action::Expose(1));
        check(&policy, &at(0, 3599, 100, false), Action::Warn);
        check(&policy, &at(0, 3600, 99, false), Action::Warn);
        check(&policy, &at(1, 3600, 100, false), Action::Promote);
        check(&policy, &at(1, 0, 30, true), Action::Abort(AbortCause::Guardrail(Guardrail::ErrorRate)));
        policy.promote.approval = true;
        check(&policy, &better, Action::AskApproval);
        check(&policy, &at(1, 3600, 100, false), Action::Promote);
    }

    #[test]
    fn a_stage_waits_for_every_guardrail_that_can_be_measured() {
        let mut policy = CanaryPolicy::with_judge("sim/judge");
        policy.stages = vec![Share(0.9), Share(1.0)];
        let at = |guardrails: Vec<GuardrailMeasure>, unmeasured: Vec<Guardrail>| {
            let mut situation = situation(0.25, 0.1);
            situation.measures.loss_rate = None;
            situation.measures.unmeasured = unmeasured;
            situation.phase = Phase::Exposure { stage: 0, seconds: 7200, requests: 500, guardrails };
            situation
        };
        let kept = |name: Guardrail| guardrail(name, 0.0, 0.1, 0.01);
        check(&policy, &at(Vec::new(), Vec::new()), Action::Hold);
        check(&policy, &at(vec![kept(Guardrail::ErrorRate)], Vec::new()), Action::Hold);
        let seen = vec![kept(Guardrail::ErrorRate), kept(Guardrail::LatencyP95)];
        check(&policy, &at(seen.clone(), Vec::new()), Action::Hold);
        check(&policy, &at(seen.clone(), vec![Guardrail::Cost]), Action::Promote);
        check(&policy, &at([seen, vec![kept(Guardrail::Cost)]].concat(), Vec::new()), Action::Promote);
        let held = decide(&policy, &at(Vec::new(), vec![Guardrail::Cost]));
        assert_eq!(held.message, "open: error_rate, latency_p95");
    }

    #[test]
    fn a_hold_says_when_it_would_end() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let open = decide(&policy, &situation(0.25, 0.3));
        // 600 pairs in two days, 300 more are needed.
        assert_eq!(open.estimate, Some(Conclusion { pairs: 300, seconds: Some(86_400) }));
        assert_eq!(decide(&policy, &situation(0.05, 0.3)).estimate, None, "between nothing and enough");
        let losing = decide(&policy, &situation(-0.05, 0.3));
        assert_eq!(losing.estimate, Some(Conclusion { pairs: 300, seconds: Some(86_400) }));
        let mut unmeasured = situation(0.25, 0.1);
        unmeasured.measures.awaited = vec![Guardrail::LatencyP95];
        let held = decide(&policy, &unmeasured);
        assert_eq!((held.action.is_hold(), held.estimate), (true, None), "nobody knows when it will be kept");
        let mut policy = policy;
        policy.stages = vec![Share(0.2), Share(1.0)];
        (policy.guardrails.latency_p95, policy.guardrails.cost) = (None, None);
        let at = |requests, guardrails: Vec<GuardrailMeasure>| Situation {
            phase: Phase::Exposure { stage: 0, seconds: 1800, requests, guardrails },
            ..situation(0.25, 0.1)
        };
        assert_eq!(decide(&policy, &at(0, Vec::new())).estimate, None, "there is no pace yet");
        let kept = vec![guardrail(Guardrail::ErrorRate, 0.0, 0.1, 0.01)];
        assert_eq!(decide(&policy, &at(50, kept)).estimate, Some(Conclusion { pairs: 0, seconds: Some(1800) }));
    }

    #[test]
    fn a_judge_that_compares_nothing_is_named() {
        let policy = CanaryPolicy {
            budget: CanaryBudget { per_hour: 1.0, total: 0.0004 },
            ..CanaryPolicy::with_judge("sim/judge")
        };
        let mute = Situation { pairs: 0, unjudged: 200, spent: 0.0005, ..situation(0.25, 0.1) };
        let decision = decide(&policy, &mute);
        assert_eq!(decision.message, "0.0005 USD are spent of 0.0004");
        let samples = decision.checks.iter().find(|check| check.name == "min_samples").unwrap();
        assert_eq!(samples.message, "0 judged pairs of at least 500; the judge sim/judge could not compare 200 more");
    }

    #[test]
    fn reasons_have_their_numbers() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let decision = decide(&policy, &situation(-0.2, 0.1));
        insta::assert_snapshot!(decision.message, @"the net win rate is -20.0 % (-30.0 % to -10.0 %): even its upper bound is below 0.0 %");
        let lines: Vec<String> =
            decision.checks.iter().map(|c| format!("{} {:?}: {}", c.name, c.status, c.message)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        net_win Broken: -20.0 % (-30.0 % to -10.0 %); wanted: more than 10 % with a lower bound above 0
        min_samples Met: 600 judged pairs of at least 500
        window Met: 48 h of at least 24 h
        cost Met: it costs 1.000 × as much (0.900 to 1.100), at most 1.2 × it may; n 600
        ");
        insta::assert_snapshot!(decide(&policy, &situation(0.25, 0.1)).message, @"it wins 270 and loses 120 of 600 pairs, a net win rate of 25.0 % (15.0 % to 35.0 %), and every guardrail is kept");
    }
}
