//! The decision: from two runs and what their shared samples say to checks and a verdict.

use super::{Check, GateConfig, GateMode, Verdict};
use crate::compare::{CategoryEvidence, PairedEvidence};
use crate::run::{CategoryResult, Estimate, EvaluationRun, RunResults, RunStatus};

/// Differences smaller than this are rounding: a drop of exactly 0.05 is not more than 0.05.
const SLACK: f64 = 1e-9;

/// What a gate decides on.
#[derive(Debug, Clone, Copy)]
pub struct GateInput<'a> {
    /// The rules.
    pub config: &'a GateConfig,
    /// The run.
    pub run: &'a EvaluationRun,
    /// The run to compare with.
    pub baseline: Option<&'a EvaluationRun>,
    /// Paired statistics on the samples both share.
    pub paired: Option<&'a PairedEvidence>,
    /// How well the judge in use agrees with people; none when it was never calibrated.
    pub judge_kappa: Option<f64>,
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The rules and what they found.
    pub checks: Vec<Check>,
    /// Things a reader should know.
    pub notices: Vec<String>,
}

impl Verdict {
    /// The exit code of a command that ends with this verdict: 0 yes, 1 no, 3 could not decide.
    pub fn exit_code(self, fail_on_inconclusive: bool) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive if !fail_on_inconclusive => 3,
            Self::Fail | Self::Inconclusive => 1,
        }
    }
}

/// Decides.
///
/// * Too many errors, or a run that did not complete: *inconclusive*, whatever the scores say.
/// * With a baseline: no category may drop by more than `max_drop`, and the overall score must reach `overall_min`.
/// * Without: overall and every category must reach their minimum.
/// * `noise_aware`: a rule that is broken by no more than chance explains is *inconclusive* and names the samples needed.
///
/// One failed check fails the gate; else one inconclusive check makes it inconclusive.
pub fn decide(input: &GateInput<'_>) -> Decision {
    let mut notices = notices(input);
    let usable = match input.run.status {
        RunStatus::Completed => input.run.results.as_ref(),
        _ => None,
    };
    let Some(results) = usable else {
        return Decision { verdict: Verdict::Inconclusive, checks: vec![did_not_complete(input.run)], notices };
    };
    let mut checks = vec![error_rate(input.run, results)];
    if checks[0].status != Verdict::Pass {
        return Decision { verdict: Verdict::Inconclusive, checks, notices };
    }
    let baseline = input.baseline.and_then(|baseline| baseline.results.as_ref());
    checks.push(overall_min(input.config, results, baseline));
    for (name, category) in &results.categories {
        let before = baseline.and_then(|b| b.categories.get(name)).and_then(|c| c.score);
        let evidence = input.paired.and_then(|paired| paired.categories.get(name));
        checks.push(match before {
            Some(before) => max_drop(input.config, name, category, (before, evidence)),
            None => category_min(input.config, name, category, baseline.is_some()),
        });
    }
    checks.extend(input.config.require_judge_kappa.and_then(|wanted| judge_kappa(input, wanted)));
    if let Some(baseline) = baseline {
        let gone = baseline.categories.keys().filter(|name| !results.categories.contains_key(*name));
        notices.extend(gone.map(|name| format!("the category `{name}` of the baseline is gone")));
    }
    Decision { verdict: verdict(&checks), checks, notices }
}

fn verdict(checks: &[Check]) -> Verdict {
    let any = |status| checks.iter().any(|check| check.status == status);
    if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

fn notices(input: &GateInput<'_>) -> Vec<String> {
    let mut notices = input.run.results.as_ref().map_or_else(Vec::new, |results| results.notices.clone());
    let Some(baseline) = input.baseline else {
        notices.push(format!(
            "no baseline for `{}`: only the absolute limits apply (llmops baseline promote RUN makes one)",
            input.run.dataset
        ));
        return notices;
    };
    let (run, before) = (&input.run.spec, &baseline.spec);
    if baseline.results.is_none() {
        notices.push(format!("the baseline {} has no results: only the absolute limits apply", baseline.id));
    }
    if baseline.id == input.run.id {
        notices.push("the run is the baseline itself".to_owned());
    }
    if run.scoring.metrics != before.scoring.metrics {
        notices.push("the baseline was scored by other metrics, weights or judges: the scores may not compare".to_owned());
    }
    if run.dataset_version != before.dataset_version {
        let shared = input.paired.map_or(0, |paired| paired.difference.n);
        notices.push(format!("the baseline ran on another version of `{}`; {shared} samples are shared", run.dataset));
    }
    notices
}

fn check(name: impl Into<String>, status: Verdict, message: String) -> Check {
    Check { name: name.into(), status, baseline: None, current: None, limit: None, interval: None, n: None, message }
}

fn did_not_complete(run: &EvaluationRun) -> Check {
    let why = run.error.as_deref().unwrap_or("it has no results");
    check("completed", Verdict::Inconclusive, format!("the run is {}: {why}", run.status))
}

fn error_rate(run: &EvaluationRun, results: &RunResults) -> Check {
    let trials = results.total_samples * u64::from(run.spec.repeat);
    let rate = results.errored_trials as f64 / (trials as f64).max(1.0);
    let limit = run.spec.scoring.max_error_rate;
    let status = if rate <= limit + SLACK { Verdict::Pass } else { Verdict::Inconclusive };
    let message = format!("{} of {trials} trials could not be answered or judged", results.errored_trials);
    Check { current: Some(rate), limit: Some(limit), n: Some(trials), ..check("error_rate", status, message) }
}

/// A value below its minimum: failed, or undecided when chance could explain it and the mode asks.
fn below(config: &GateConfig, estimate: Estimate, limit: f64) -> Verdict {
    if estimate.value >= limit - SLACK {
        Verdict::Pass
    } else if config.mode == GateMode::NoiseAware && estimate.upper >= limit {
        Verdict::Inconclusive
    } else {
        Verdict::Fail
    }
}

fn compared(status: Verdict) -> &'static str {
    match status {
        Verdict::Pass => "reaches",
        Verdict::Fail => "is below",
        Verdict::Inconclusive => "is below, but no further than chance explains,",
    }
}

fn overall_min(config: &GateConfig, results: &RunResults, baseline: Option<&RunResults>) -> Check {
    let limit = config.overall_min;
    let Some(overall) = results.overall else {
        let message = "there is no overall score: a category has no scored sample, or no metric has a weight".to_owned();
        return Check { limit: Some(limit), ..check("overall_min", Verdict::Inconclusive, message) };
    };
    let status = below(config, overall, limit);
    let message = format!("overall {:.3} {} {limit:.2}", overall.value, compared(status));
    Check {
        baseline: baseline.and_then(|b| b.overall).map(|o| o.value),
        ..of_value(check("overall_min", status, message), overall, limit)
    }
}

fn of_value(check: Check, estimate: Estimate, limit: f64) -> Check {
    let interval = Some([estimate.lower, estimate.upper]);
    Check { current: Some(estimate.value), limit: Some(limit), interval, n: Some(estimate.n), ..check }
}

fn category_min(config: &GateConfig, name: &str, category: &CategoryResult, is_new: bool) -> Check {
    let limit = config.category_min;
    let title = format!("category_min/{name}");
    let Some(score) = category.score else { return no_score(title, name, limit) };
    let status = below(config, score, limit);
    let new = if is_new { " (new: the baseline has no such category)" } else { "" };
    let message = format!("{name} {:.3} {} {limit:.2}{new}", score.value, compared(status));
    of_value(check(title, status, message), score, limit)
}

fn no_score(title: String, name: &str, limit: f64) -> Check {
    let message = format!("no sample of {name} could be scored");
    Check { limit: Some(limit), ..check(title, Verdict::Inconclusive, message) }
}

fn max_drop(
    config: &GateConfig,
    name: &str,
    category: &CategoryResult,
    (before, evidence): (Estimate, Option<&CategoryEvidence>),
) -> Check {
    let limit = config.max_drop;
    let title = format!("max_drop/{name}");
    let Some(score) = category.score else { return no_score(title, name, limit) };
    let drop = before.value - score.value;
    let (status, message) = if drop <= limit + SLACK {
        let moved = if drop > SLACK { format!("dropped by {drop:.3}") } else { format!("moved by {:+.3}", -drop) };
        (Verdict::Pass, format!("{name} {moved}, at most {limit:.2} is allowed"))
    } else {
        judge_drop(config, name, drop, evidence)
    };
    Check {
        baseline: Some(before.value),
        current: Some(score.value),
        limit: Some(limit),
        interval: evidence.map(|e| [e.difference.lower, e.difference.upper]),
        n: Some(evidence.map_or(score.n, |e| e.difference.n)),
        ..check(title, status, message)
    }
}

/// A drop beyond the limit: failed, unless the mode asks for significance and there is none.
fn judge_drop(config: &GateConfig, name: &str, drop: f64, evidence: Option<&CategoryEvidence>) -> (Verdict, String) {
    let told = format!("{name} dropped by {drop:.3}, at most {:.2} is allowed", config.max_drop);
    if config.mode == GateMode::Strict {
        return (Verdict::Fail, told);
    }
    let Some(evidence) = evidence else {
        return (Verdict::Inconclusive, format!("{told}; no samples are shared with the baseline to judge it by"));
    };
    let Estimate { n, lower, upper, .. } = evidence.difference;
    if n >= 2 && upper < 0.0 {
        return (Verdict::Fail, format!("{told}; significant on {n} shared samples"));
    }
    let needed = match evidence.needed_n {
        Some(needed) if needed > n => format!("; about {needed} samples (or trials) would settle it, it has {n}"),
        _ => String::new(),
    };
    (Verdict::Inconclusive, format!("{told}, but chance explains it ([{lower:+.3}, {upper:+.3}] on {n} samples){needed}"))
}

fn judge_kappa(input: &GateInput<'_>, wanted: f64) -> Option<Check> {
    let judged = input.run.spec.scoring.metrics.values().any(|metric| metric.scorer.judge().is_some());
    if !judged {
        return None;
    }
    let (status, message) = match input.judge_kappa {
        Some(kappa) if kappa >= wanted - SLACK => {
            (Verdict::Pass, format!("the judge agrees with people: kappa {kappa:.2}"))
        }
        Some(kappa) => {
            (Verdict::Inconclusive, format!("the judge agrees too little with people: kappa {kappa:.2} of {wanted:.2}"))
        }
        None => (Verdict::Inconclusive, "the judge in use was never calibrated against people".to_owned()),
    };
    Some(Check { current: input.judge_kappa, limit: Some(wanted), ..check("judge_kappa", status, message) })
}
