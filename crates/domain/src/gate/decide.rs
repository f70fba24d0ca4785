//! The gate's decision: from runs to a verdict with its reasons.
//!
//! * Categories that the baseline has too may not drop by more than `max_drop`: the mean difference of the samples that both runs
//!   scored, or, where no such samples are known, the difference of the means. Categories without a baseline must reach
//!   `category_min`. The overall score must reach `overall_min`.
//! * A baseline may be a run, or nothing but scores that another system keeps.
//! * A category of the baseline that the run lacks fails, unless the rules name it as retired. Scores of another composite than
//!   the baseline's are not compared: that is inconclusive, and the absolute limits apply.
//! * A run with too many errored samples decides nothing: what would fail is inconclusive then.
//! * In the noise-aware mode, what is beyond a limit fails only where its 95 % interval is beyond it too: for a drop, the
//!   interval of the paired difference must not reach 0 and the paired test must agree; for a score, its own interval must not reach the limit. Else it
//!   is inconclusive.

mod comparable;

use super::{Check, GateConfig, GateMode, ReferenceScores, Verdict};
use crate::calibration::JudgeAgreement;
use crate::compare::{CategoryEvidence, PairedEvidence};
use crate::run::{CategoryResult, Estimate, EvaluationRun, RunResults, RunStatus};
use crate::scorecard::category_label;
use crate::scorecard::format::{count, limit, number, percent, shell_word, signed};

/// Distance within which a number equals its limit: 0.90 − 0.85 is a little more than 0.05 in floating point.
const SLACK: f64 = 1e-9;
/// Significance level of a drop.
const ALPHA: f64 = 0.05;

/// What a gate decides on.
#[derive(Debug, Clone, Copy)]
pub struct GateInput<'a> {
    /// The rules.
    pub config: &'a GateConfig,
    /// The run.
    pub run: &'a EvaluationRun,
    /// The run it is compared with.
    pub baseline: Option<&'a EvaluationRun>,
    /// Scores it is compared with where there is no such run.
    pub reference: Option<&'a ReferenceScores>,
    /// Paired statistics on the samples both runs scored (this run less baseline).
    pub paired: Option<&'a PairedEvidence>,
    /// How well each judge of the run agrees with people.
    pub judges: &'a [JudgeAgreement],
}

/// What a gate decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Fail if any check fails, else inconclusive if any is, else pass.
    pub verdict: Verdict,
    /// Every rule that applied, with what it found.
    pub checks: Vec<Check>,
    /// What a reader should know.
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

/// Decides whether a run is good enough.
pub fn decide(input: &GateInput<'_>) -> Decision {
    let gate = Gate { input, noise_aware: input.config.mode == GateMode::NoiseAware };
    let baseline = input.baseline.and_then(|b| b.results.as_ref());
    let mut notices = gate.notices(baseline);
    let mut checks = vec![gate.error_rate()];
    let is_usable = checks[0].status == Verdict::Pass;
    if let Some(results) = &input.run.results {
        checks.extend(gate.changed_scoring());
        checks.push(gate.at_least("overall_min", "Overall", results.overall.as_ref(), input.config.overall_min));
        for (name, category) in &results.categories {
            let before = match baseline {
                Some(_) if !gate.is_comparable() => None,
                Some(baseline) => baseline.categories.get(name).and_then(|c| c.score),
                None => input.reference.and_then(|r| r.categories.get(name)).map(|score| Estimate::exact(*score, 0)),
            };
            checks.push(gate.category(name, category, before.as_ref()));
        }
        let before: Vec<&String> = match (baseline, input.reference) {
            (Some(baseline), _) => baseline.categories.keys().collect(),
            (None, reference) => reference.into_iter().flat_map(|r| r.categories.keys()).collect(),
        };
        let (missing, notice) = gate.missing_categories(&before, results);
        checks.extend(missing);
        notices.extend(notice);
    }
    checks.extend(gate.judge_kappa());
    if !is_usable {
        for check in checks.iter_mut().filter(|c| c.status == Verdict::Fail) {
            check.status = Verdict::Inconclusive;
            check.message.push_str(" It does not count as failed: see error_rate.");
        }
    }
    Decision { verdict: worst(&checks), checks, notices }
}

fn worst(checks: &[Check]) -> Verdict {
    let any = |status| checks.iter().any(|c| c.status == status);
    if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

struct Gate<'a> {
    input: &'a GateInput<'a>,
    noise_aware: bool,
}

impl Gate<'_> {
    fn notices(&self, baseline: Option<&RunResults>) -> Vec<String> {
        let config = self.input.config;
        let mut notices = Vec::new();
        let run = &self.input.run.spec;
        match (run.limit, &run.only) {
            (None, None) => {}
            (Some(first), None) => {
                notices.push(format!("Only the first {first} samples of the dataset were evaluated."));
            }
            (None, Some(only)) => {
                notices.push(format!("Only samples {} were evaluated.", only.describe()));
            }
            (Some(first), Some(only)) => {
                notices.push(format!("Only the first {first} samples {} were evaluated.", only.describe()));
            }
        }
        let Some(before) = self.input.baseline.filter(|_| baseline.is_some()) else {
            if let Some(reference) = self.input.reference {
                notices.push(format!(
                    "The baseline is {}. Only its scores are known here: no sample is compared with its counterpart.",
                    reference.source
                ));
                return notices;
            }
            let why =
                if self.input.baseline.is_some() { "The baseline has no results" } else { "There is no baseline" };
            notices.push(format!(
                "{why}: only the absolute limits apply (overall at least {}, every category at least {}). \
                 `llmops baseline promote RUN` makes one.",
                limit(config.overall_min),
                limit(config.category_min)
            ));
            return notices;
        };
        if before.id == self.input.run.id {
            notices.push("The run is the baseline itself.".to_owned());
        }
        notices.extend(self.few_shared(before));
        if !self.is_comparable() {
            notices.push("The baseline was scored by other metrics: differences of scores mean nothing.".to_owned());
        } else if before.spec.scoring.metrics != run.scoring.metrics {
            notices.push("The baseline had other thresholds or metrics without weight: compare with care.".to_owned());
        }
        if before.spec.category_weights != run.category_weights {
            notices.push("The baseline weighed the categories differently.".to_owned());
        }
        notices
    }

    /// That drops are those of only a part of the samples, or of none, and why.
    fn few_shared(&self, before: &EvaluationRun) -> Option<String> {
        let run = self.input.run;
        let n = self.input.paired.map_or(0, |p| p.difference.n);
        let scored =
            |run: &EvaluationRun| run.results.as_ref().map_or(0, |r| r.total_samples.saturating_sub(r.errored_samples));
        let of = if before.dataset != run.dataset {
            "The baseline ran on another dataset"
        } else if before.spec.dataset_version != run.spec.dataset_version {
            "The baseline ran on another version of the dataset"
        } else if scored(before).min(scored(run)) > 0 && n < scored(before).max(scored(run)) {
            if n == 0 {
                "No sample was scored in both runs"
            } else {
                "Some samples were scored in one of the two runs only"
            }
        } else {
            return None;
        };
        Some(match n {
            0 => format!("{of}: no sample stands beside its counterpart, and drops are differences of the means."),
            n => format!("{of}: drops are those of the {} that both have.", count(n, "sample")),
        })
    }

    /// Whether enough of the run could be scored.
    fn error_rate(&self) -> Check {
        let run = self.input.run;
        let most = run.spec.scoring.max_error_rate;
        let check = |status, current, message| Check {
            limit: Some(most),
            current,
            ..Check::new("error_rate", status, message)
        };
        let Some(results) = &run.results else {
            let why = run.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            return check(Verdict::Inconclusive, None, format!("The run is {} and has no results{why}.", run.status));
        };
        let pairs = results.total_samples.saturating_mul(u64::from(run.spec.repeat.max(1)));
        let errored = results.errored_trials;
        let rate = errored as f64 / pairs as f64;
        let counts =
            format!("{errored} of {pairs} answers errored ({}); {} are allowed.", percent(rate), percent(most));
        let check =
            |status, message| Check { n: Some(pairs), ..check(status, rate.is_finite().then_some(rate), message) };
        if pairs == 0 {
            return check(Verdict::Inconclusive, "The run has no samples.".to_owned());
        }
        if rate > most + SLACK {
            let reason =
                results.error_reasons.iter().max_by_key(|(_, n)| **n).map(|(r, _)| format!(" Most often: {r}."));
            return check(Verdict::Inconclusive, format!("{counts}{}", reason.unwrap_or_default()));
        }
        if run.status != RunStatus::Completed {
            let why = run.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            return check(Verdict::Inconclusive, format!("The run is {}, not completed{why}.", run.status));
        }
        check(Verdict::Pass, counts)
    }

    /// A category: against the baseline where there is one, else against the absolute limit.
    fn category(&self, name: &str, now: &CategoryResult, before: Option<&Estimate>) -> Check {
        let config = self.input.config;
        let label = category_label(name);
        match (finite(before), finite(now.score.as_ref())) {
            (Some(before), Some(now)) => self.max_drop(name, now, before),
            (Some(before), None) => Check {
                baseline: Some(before.value),
                limit: Some(config.max_drop),
                ..Check::new(&format!("max_drop/{name}"), Verdict::Inconclusive, no_score(label))
            },
            (None, now) => {
                let mut check = self.at_least(&format!("category_min/{name}"), label, now, config.category_min);
                let has_baseline = self.input.baseline.is_some_and(|b| b.results.is_some()) && self.is_comparable();
                if has_baseline || self.input.reference.is_some() {
                    check.message.push_str(" The baseline has no score for it.");
                }
                check
            }
        }
    }

    fn max_drop(&self, name: &str, now: &Estimate, before: &Estimate) -> Check {
        let allowed = self.input.config.max_drop;
        let evidence = self.input.paired.and_then(|p| p.categories.get(name));
        let difference = evidence.map(|e| e.difference);
        let paired = difference.filter(|d| d.n > 0);
        // Means over different samples differ although no sample changed, and may rise although every sample fell.
        let change = paired.map_or(now.value - before.value, |d| d.value);
        let shared = paired.filter(|d| d.n < now.n.max(before.n) || self.is_of_another_version());
        let label = category_label(name);
        let of_shared = |d: Estimate| format!(" on the {} that both runs have", count(d.n, "sample"));
        let place = shared.map(of_shared).unwrap_or_default();
        let (status, message) = if -change <= allowed + SLACK {
            let changed = signed(change);
            (Verdict::Pass, format!("{label} changed by {changed}{place}; a drop of {} is allowed.", limit(allowed)))
        } else {
            let drop = beside(-change, allowed);
            let is_real = evidence.is_some_and(is_significant);
            if self.noise_aware && !is_real {
                let needed = evidence.and_then(|e| e.needed_n);
                let what = format!("{label} dropped by {drop}{place}, beyond {}", limit(allowed));
                (Verdict::Inconclusive, not_significant(&what, difference.map_or(0, |d| d.n), needed))
            } else {
                let between = format!(" (from {} to {})", number(before.value), number(now.value));
                let place = if shared.is_some() { place } else { between };
                let allowed = limit(allowed);
                (Verdict::Fail, format!("{label} dropped by {drop}{place}; at most {allowed} is allowed."))
            }
        };
        Check {
            baseline: Some(before.value),
            current: Some(now.value),
            limit: Some(allowed),
            change: Some(change),
            interval: difference.as_ref().and_then(ends),
            n: Some(difference.map_or(now.n, |d| d.n)),
            ..Check::new(&format!("max_drop/{name}"), status, message)
        }
    }

    /// Whether the baseline ran on other samples.
    fn is_of_another_version(&self) -> bool {
        self.input.baseline.is_some_and(|before| before.spec.dataset_version != self.input.run.spec.dataset_version)
    }

    fn at_least(&self, name: &str, label: &str, now: Option<&Estimate>, min: f64) -> Check {
        let Some(now) = finite(now) else {
            return Check { limit: Some(min), ..Check::new(name, Verdict::Inconclusive, no_score(label)) };
        };
        let value = beside(now.value, min);
        let (status, message) = if now.value >= min - SLACK {
            (Verdict::Pass, format!("{label} is {}, at least {}.", number(now.value), limit(min)))
        } else if self.noise_aware && (now.n < 2 || now.upper >= min) {
            let what = format!("{label} is {value}, below {}", limit(min));
            (Verdict::Inconclusive, not_significant(&what, now.n, None))
        } else {
            (Verdict::Fail, format!("{label} is {value}, below {}.", limit(min)))
        };
        Check {
            current: Some(now.value),
            limit: Some(min),
            interval: ends(now),
            n: Some(now.n),
            ..Check::new(name, status, message)
        }
    }

    /// Whether each judge may decide; nothing where that is not asked or no judge scored.
    fn judge_kappa(&self) -> Vec<Check> {
        let Some(min) = self.input.config.require_judge_kappa else { return Vec::new() };
        let single = self.input.judges.len() == 1;
        let check = |judge: &JudgeAgreement| {
            let name = if single { "judge_kappa".to_owned() } else { format!("judge_kappa/{}", judge.metric) };
            self.kappa_of(&name, judge, min)
        };
        self.input.judges.iter().map(check).collect()
    }

    fn kappa_of(&self, name: &str, judge: &JudgeAgreement, min: f64) -> Check {
        let metric = shell_word(&judge.metric);
        let run = shell_word(self.input.run.id.as_str());
        let fix = format!(
            "`llmops judge calibrate --labels labels.csv --run {run} --metric {metric}` compares it with people."
        );
        let Some(kappa) = finite(judge.kappa.as_ref()) else {
            let message = format!(
                "An agreement of the judge `{}` with people of at least {} is required, but this judge was never \
                 calibrated. {fix}",
                judge.metric,
                limit(min)
            );
            return Check { limit: Some(min), ..Check::new(name, Verdict::Inconclusive, message) };
        };
        let labelled = count(kappa.n, "labelled sample");
        let (status, message) = if kappa.value >= min - SLACK {
            let found = format!("kappa is {} on {labelled}", number(kappa.value));
            let agrees = format!("The judge `{}` agrees with people: {found}, at least {}.", judge.metric, limit(min));
            // Whoever tries labels until some agree is found out.
            let lower = |earlier: &&Estimate| earlier.value < min - SLACK;
            let earlier = judge.earlier.iter().filter(lower).map(|e| format!("{} on {}", number(e.value), e.n));
            let earlier: Vec<String> = earlier.collect();
            let said = if earlier.is_empty() {
                String::new()
            } else {
                format!(" Earlier calibrations of it found less: {}.", earlier.join(", "))
            };
            (Verdict::Pass, agrees + &said)
        } else {
            let found = format!("kappa is {} on {labelled}", beside(kappa.value, min));
            let what =
                format!("The judge `{}` agrees too little with people: {found}, below {}", judge.metric, limit(min));
            (Verdict::Inconclusive, format!("{what}. Change its model or prompt; then {fix}"))
        };
        Check {
            current: Some(kappa.value),
            limit: Some(min),
            interval: ends(kappa),
            n: Some(kappa.n),
            ..Check::new(name, status, message)
        }
    }
}

impl Check {
    /// The value now under which the check fails, where the limit is one. A drop is that of [`Check::change`], which may be of fewer
    /// samples than the scores are of: what is allowed of it is left from the value now, not from the baseline's.
    pub fn floor(&self) -> Option<f64> {
        let limit = self.limit?;
        let floor = match self.kind() {
            "max_drop" => {
                self.current.zip(self.change).map_or(self.baseline, |(now, change)| Some(now - change))? - limit
            }
            "error_rate" => return None,
            _ => limit,
        };
        Some(floor).filter(|floor| floor.is_finite())
    }

    /// What kind of rule it is: its name without the category.
    pub fn kind(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(kind, _)| kind)
    }

    /// A check without numbers.
    fn new(name: &str, status: Verdict, message: String) -> Self {
        Self {
            name: name.to_owned(),
            status,
            baseline: None,
            current: None,
            change: None,
            limit: None,
            interval: None,
            n: None,
            message,
        }
    }
}

fn no_score(label: &str) -> String {
    format!("{label} has no score: nothing that counts for it could be scored, or no metric has a weight.")
}

fn finite(estimate: Option<&Estimate>) -> Option<&Estimate> {
    estimate.filter(|e| e.value.is_finite())
}

/// The interval, where there is one.
fn ends(estimate: &Estimate) -> Option<[f64; 2]> {
    (estimate.n > 1 && estimate.lower.is_finite() && estimate.upper.is_finite())
        .then_some([estimate.lower, estimate.upper])
}

/// A drop counts as real when interval and test agree. The bootstrap alone is too sure of itself where only a few samples
/// changed; a test that cannot be made (p is none) means that all differences are the same.
fn is_significant(evidence: &CategoryEvidence) -> bool {
    let Estimate { n, upper, .. } = evidence.difference;
    n > 1 && upper < 0.0 && evidence.p_value.is_none_or(|p| p < ALPHA)
}

fn not_significant(what: &str, n: u64, needed: Option<u64>) -> String {
    match (n, needed) {
        (0, _) => format!("{what}, but no samples are shared with the baseline that could show whether that is noise."),
        (_, Some(needed)) if needed > n => {
            format!("{what}, but {} cannot tell it from noise: about {needed} samples are needed.", count(n, "sample"))
        }
        _ => format!("{what}, but {} cannot tell it from noise: add samples or trials.", count(n, "sample")),
    }
}

/// A number as people read it beside its limit: with more decimals where three would make them look equal.
fn beside(value: f64, limit: f64) -> String {
    if (value - limit).abs() < 5e-4 { format!("{value:.6}") } else { number(value) }
}

#[cfg(test)]
mod tests;
