//! Scorecards: what a gate found, written for people (Markdown, HTML, JUnit XML, Slack) and for machines (`scores.json`).
//!
//! Everything here is a pure function from a [`GateReport`] to text. Prompts, answers, names and messages in a report
//! are foreign text: each format escapes them at its own door, and nothing they contain can break out of its place.

pub mod format;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod slack;

pub use html::render as html;
pub use junit::render as junit;
pub use markdown::render as markdown;
pub use markdown::render_for as markdown_of_project;
pub use slack::render as slack;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::compare::PairedEvidence;
use crate::gate::{Check, GateReport, Scores, Verdict};
use crate::run::{Estimate, EvaluationRun, RunResults};
use crate::scoring::{MetricSpec, ScorerSpec};

/// The kinds of checks that belong to one category, written `KIND/CATEGORY`.
const CATEGORY_CHECKS: [&str; 2] = ["max_drop", "category_min"];
/// The check of the overall score.
const OVERALL_CHECK: &str = "overall_min";
/// The row, metric change and interval of the overall score.
const OVERALL: &str = "overall";

/// The content of `scores.json` before a gate; null for a run without results, for which no score may be made up.
pub fn scores(run: &EvaluationRun) -> Option<Scores> {
    let results = run.results.as_ref()?;
    let mut categories = BTreeMap::new();
    let mut intervals = BTreeMap::new();
    for (name, category) in &results.categories {
        if let Some(score) = category.score.filter(|s| s.value.is_finite()) {
            categories.insert(name.clone(), score.value);
            put_interval(&mut intervals, name, &score);
        }
    }
    let overall = results.overall.filter(|o| o.value.is_finite());
    if let Some(overall) = &overall {
        put_interval(&mut intervals, OVERALL, overall);
    }
    let rate = results.pass_rate.value;
    Some(Scores {
        run: run.id.clone(),
        run_timestamp: run.end_time.or(run.start_time).unwrap_or(run.created_at),
        model_version: run.model_name.clone(),
        prompt_version: run.spec.manifest.prompt_label(),
        dataset_version: run.spec.dataset_version.clone(),
        manifest: run.spec.manifest_id.clone(),
        total_examples: results.total_samples,
        errored: results.errored_samples,
        // JSON has no NaN. Where nothing was scored nothing passed, and `errored` says why.
        pass_rate: if rate.is_finite() { rate } else { 0.0 },
        categories,
        overall: overall.map(|o| o.value),
        overall_corrected: results.corrected.as_ref().map(|c| c.corrected),
        intervals,
        metrics: results.metric_scores.iter().filter(|(_, v)| v.is_finite()).map(|(k, v)| (k.clone(), *v)).collect(),
        verdict: None,
        checks: Vec::new(),
    })
}

/// The content of `scores.json` after a gate; null where the run has no results.
pub fn scores_with_gate(report: &GateReport) -> Option<Scores> {
    Some(Scores { verdict: Some(report.verdict), checks: report.checks.clone(), ..scores(&report.run)? })
}

/// The JSON Schema of `scores.json`.
pub fn scores_json_schema() -> schemars::Schema {
    schemars::schema_for!(Scores)
}

fn put_interval(intervals: &mut BTreeMap<String, [f64; 2]>, name: &str, of: &Estimate) {
    if format::has_interval(of) {
        intervals.insert(name.to_owned(), [of.lower, of.upper]);
    }
}

/// One line of the table by category.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The category, or `overall`; as it was written, not escaped.
    pub name: &'a str,
    /// Its share of the overall score, 0 to 1; null for the overall row.
    pub weight: Option<f64>,
    /// The baseline's score.
    pub baseline: Option<Estimate>,
    /// The run's score; null where every sample errored or the run has no such category.
    pub current: Option<Estimate>,
    /// The run's score less the baseline's; where not both scored all samples, the mean change of those that both scored.
    pub change: Option<f64>,
    /// 95 % interval of the change on shared samples.
    pub interval: Option<[f64; 2]>,
    /// The checks that apply to it, worst first.
    pub checks: Vec<&'a Check>,
    /// Samples.
    pub samples: u64,
    /// Samples of which some trial did not pass.
    pub failed: u64,
    /// (sample, trial) pairs that could not be scored.
    pub errored: u64,
}

impl Row<'_> {
    /// The name for people: samples without a category have one too.
    pub fn label(&self) -> &str {
        category_label(self.name)
    }

    /// The worst status among its checks.
    pub fn status(&self) -> Option<Verdict> {
        self.checks.first().map(|c| c.status)
    }

    /// The limits that apply: `drop ≤ 0.05`.
    pub fn limits(&self) -> String {
        let limits: Vec<String> = self.checks.iter().filter_map(|c| limit_text(c)).collect();
        if limits.is_empty() { format::NONE.to_owned() } else { limits.join(", ") }
    }

    /// The score under which a check fails, for a mark in a chart.
    pub fn floor(&self) -> Option<f64> {
        self.checks.iter().filter_map(|check| check.floor()).reduce(f64::max)
    }
}

/// The name of a category for people.
pub fn category_label(name: &str) -> &str {
    if name.trim().is_empty() { "(no category)" } else { name }
}

/// The table by category: what failed comes first, then by name. The overall score is not among them.
pub fn category_rows(report: &GateReport) -> Vec<Row<'_>> {
    let current = report.run.results.as_ref();
    let baseline = report.baseline.as_ref().and_then(|b| b.results.as_ref());
    let checked = report.checks.iter().filter_map(category_of);
    let names: BTreeSet<&str> =
        current.iter().flat_map(|r| r.categories.keys().map(String::as_str)).chain(checked).collect();
    let mut rows: Vec<Row<'_>> = names
        .into_iter()
        .map(|name| {
            let category = current.and_then(|r| r.categories.get(name));
            let before = baseline.and_then(|r| r.categories.get(name)).and_then(|c| c.score);
            let changes = report.comparison.as_ref().and_then(|c| c.category_changes.get(name));
            let checks = checks_where(report, |c| category_of(c) == Some(name));
            Row {
                name,
                weight: category.map(|c| c.weight),
                samples: category.map_or(0, |c| c.samples),
                failed: category.map_or(0, |c| c.failed),
                errored: category.map_or(0, |c| c.errored),
                ..row(checks, [before, category.and_then(|c| c.score)], changes)
            }
        })
        .collect();
    rows.sort_by_key(|r| r.status().map_or(2, severity));
    rows
}

/// The row of the overall score.
pub fn overall_row(report: &GateReport) -> Row<'_> {
    let overall = |run: Option<&EvaluationRun>| run.and_then(|r| r.results.as_ref()).and_then(|r| r.overall);
    let scores = [overall(report.baseline.as_ref()), overall(Some(&report.run))];
    let changes = report.comparison.as_ref().and_then(|c| c.metric_changes.get(OVERALL));
    let results = report.run.results.as_ref();
    Row {
        name: OVERALL,
        samples: results.map_or(0, |r| r.total_samples),
        failed: results.map_or(0, |r| r.failed_samples),
        errored: results.map_or(0, |r| r.errored_trials),
        ..row(checks_where(report, |c| c.name == OVERALL_CHECK), scores, changes)
    }
}

fn row<'a>(
    checks: Vec<&'a Check>,
    [baseline, current]: [Option<Estimate>; 2],
    changes: Option<&crate::compare::Change>,
) -> Row<'a> {
    let from_check = |get: fn(&Check) -> Option<f64>| checks.iter().find_map(|c| get(c));
    let before = from_check(|c| c.baseline).or(baseline.map(|b| b.value));
    let after = from_check(|c| c.current).or(current.map(|c| c.value));
    let paired = checks.iter().filter(|c| c.baseline.is_some()).find_map(|c| c.interval);
    let change = from_check(|c| c.change).or(changes.map(|c| c.change));
    Row {
        name: "",
        weight: None,
        baseline: baseline.or(before.map(|v| Estimate::exact(v, 0))),
        current: current.or(after.map(|v| Estimate::exact(v, 0))),
        change: change.or(before.zip(after).map(|(b, a)| a - b)),
        interval: paired.or(changes.and_then(|c| c.interval)),
        checks,
        samples: 0,
        failed: 0,
        errored: 0,
    }
}

fn checks_where(report: &GateReport, wanted: impl Fn(&Check) -> bool) -> Vec<&Check> {
    let mut checks: Vec<&Check> = report.checks.iter().filter(|c| wanted(c)).collect();
    checks.sort_by_key(|c| severity(c.status));
    checks
}

/// Checks that did not pass, failed ones first.
pub fn unmet(report: &GateReport) -> Vec<&Check> {
    checks_where(report, |c| c.status != Verdict::Pass)
}

fn severity(status: Verdict) -> u8 {
    match status {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 3,
    }
}

fn category_of(check: &Check) -> Option<&str> {
    let (kind, category) = check.name.split_once('/')?;
    CATEGORY_CHECKS.contains(&kind).then_some(category)
}

/// The limit of a check: `drop ≤ 0.05`, `≥ 0.8`.
pub fn limit_text(check: &Check) -> Option<String> {
    let limit = format::limit(check.limit?);
    Some(match check.kind() {
        "max_drop" => format!("drop ≤ {limit}"),
        "error_rate" => format!("≤ {limit}"),
        _ => format!("≥ {limit}"),
    })
}

/// A metric's value in its own unit: milliseconds of a latency, dollars of a cost, else a score.
pub fn metric_value(metric: Option<&MetricSpec>, value: f64) -> String {
    match metric.map(|m| &m.scorer) {
        Some(ScorerSpec::Latency { .. }) => format::millis(value),
        Some(ScorerSpec::Cost { .. }) => format::money(value),
        _ => format::number(value),
    }
}

/// A metric's interval in its own unit, where there is one.
pub fn metric_interval(metric: Option<&MetricSpec>, of: &Estimate) -> Option<String> {
    let measured = metric.is_some_and(|m| m.scorer.is_measurement());
    format::has_interval(of).then(|| {
        if measured {
            format!("[{}, {}]", metric_value(metric, of.lower), metric_value(metric, of.upper))
        } else {
            format::interval([of.lower, of.upper])
        }
    })
}

/// A metric's change in its own unit, with its sign.
pub fn metric_change(metric: Option<&MetricSpec>, change: f64) -> String {
    if !metric.is_some_and(|m| m.scorer.is_measurement()) || !change.is_finite() {
        return format::signed(change);
    }
    let sign = if change > 0.0 {
        "+"
    } else if change < 0.0 {
        "−"
    } else {
        ""
    };
    format!("{sign}{}", metric_value(metric, change.abs()))
}

/// What was gated: `support-bot on golden`. Foreign text.
pub fn subject(report: &GateReport) -> String {
    format!("{} on {}", report.run.spec.target, report.run.dataset)
}

/// One sentence about the checks. It holds no foreign text.
pub fn headline(report: &GateReport) -> String {
    let all = report.checks.len() as u64;
    let with = |status| report.checks.iter().filter(|c| c.status == status).count() as u64;
    match report.verdict {
        _ if all == 0 => "Nothing could be checked.".to_owned(),
        Verdict::Pass => format!("{} passed.", format::count(all, "check")),
        Verdict::Fail => format!("{} of {} failed.", with(Verdict::Fail), format::count(all, "check")),
        Verdict::Inconclusive => {
            format!("{} of {} could not be decided.", with(Verdict::Inconclusive), format::count(all, "check"))
        }
    }
}

/// How many samples passed: `34 of 52 samples passed (68.0 % of 50 scored), 2 errored`. With several trials a sample passes when all of its
/// trials do, and the rate is one of trials: `1 of 8 samples passed every time, 37.5 % of trials`.
pub fn passed_text(results: &RunResults) -> String {
    let mut text = format!("{} of {} passed", results.passed_samples, format::count(results.total_samples, "sample"));
    let rate = results.pass_rate;
    if rate.value.is_finite() && rate.n > 0 {
        let percent = format::percent(rate.value);
        // Beside the count of samples stands their share, and nothing else.
        let is_of_samples = percent == format::percent(results.passed_samples as f64 / rate.n as f64);
        let _ = match results.errored_samples {
            _ if !is_of_samples => write!(text, " every time, {percent} of trials"),
            0 => write!(text, " ({percent})"),
            _ => write!(text, " ({percent} of {} scored)", rate.n),
        };
    }
    if results.errored_samples > 0 {
        let _ = write!(text, ", {} errored", results.errored_samples);
    }
    text
}

/// The statistics behind the verdict and how the judges did, a sentence each. Metrics and models in them are named as the
/// configuration names them: foreign text.
pub fn evidence(report: &GateReport) -> Vec<String> {
    let paired = report.comparison.as_ref().and_then(|c| c.paired.as_ref()).map(paired_evidence).unwrap_or_default();
    let results = report.run.results.as_ref();
    let judges = results.map(judge_evidence).unwrap_or_default();
    paired.into_iter().chain(results.and_then(corrected_overall)).chain(judges).collect()
}

/// The overall score as people would see it, in a sentence.
fn corrected_overall(results: &RunResults) -> Option<String> {
    let corrected = results.corrected.as_ref()?;
    Some(format!(
        "Corrected for the judge's error: overall {} instead of {} ({}, prediction-powered inference, {}).",
        format::estimate(&corrected.corrected),
        format::estimate(&corrected.raw),
        format::count(corrected.labelled, "labelled sample"),
        corrected.calibration
    ))
}

/// How comparing and debating judges did, a sentence each: how often the two orders disagree, whether debates end in
/// agreement, which judges were dropped. Foreign text.
pub fn judge_evidence(results: &RunResults) -> Vec<String> {
    let mut lines = Vec::new();
    for (metric, judges) in &results.judges {
        if let Some(flips) = &judges.position_flips {
            let share = share_with_interval(flips);
            lines.push(format!(
                "{metric}: the judge's two orders disagree in {share} of {} (each of them a tie).",
                format::count(flips.n, "comparison")
            ));
        }
        if let Some(agreed) = &judges.agreed {
            let rounds = judges.mean_rounds.unwrap_or_default();
            lines.push(format!(
                "{metric}: {} of {} ended in agreement, after {rounds:.1} rounds on average.",
                share_with_interval(agreed),
                format::count(agreed.n, "debate")
            ));
        }
        for (judge, times) in &judges.dropped {
            lines.push(format!("{metric}: {judge} was dropped {}.", format::count(*times, "time")));
        }
    }
    lines
}

fn share_with_interval(share: &Estimate) -> String {
    let (lower, upper) = (format::percent(share.lower), format::percent(share.upper));
    format!("{} [{lower}, {upper}]", format::percent(share.value))
}

/// The paired difference, McNemar's test on the flips, the smallest difference this many samples can show: a sentence
/// each. They hold no foreign text but the names of methods.
pub fn paired_evidence(paired: &PairedEvidence) -> Vec<String> {
    let difference = &paired.difference;
    let ends = format::has_interval(difference).then_some([difference.lower, difference.upper]);
    // The test is another method than the interval's, and now and then they do not agree.
    let p = paired.p_value.map(|p| format!(", t-test {}", format::p_value(p))).unwrap_or_default();
    let mut lines = vec![format!(
        "Paired difference on {}: {} ({}){p}.",
        format::count(difference.n, "shared sample"),
        format::change(difference.value, ends),
        paired.method
    )];
    if paired.categories.len() > 1 {
        lines.push("Every sample counts the same in it; the overall score weighs the categories.".to_owned());
    }
    if let Some(flips) = &paired.mcnemar {
        lines.push(format!(
            "Flips: {} newly failing, {} newly passing ({}, {}).",
            flips.newly_failed,
            flips.newly_passed,
            flips.method,
            format::p_value(flips.p_value)
        ));
    }
    if let Some(effect) = paired.minimum_detectable_effect {
        lines.push(format!(
            "The smallest difference that {} can show is {} (80 % power, α = 0.05).",
            format::count(difference.n, "sample"),
            format::number(effect)
        ));
    }
    lines
}

/// What the report says about itself: the gate's notices, then the run's, each once. Foreign text.
pub fn notices(report: &GateReport) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let of_run = report.run.results.iter().flat_map(|r| &r.notices);
    let error = report.run.error.iter();
    report.notices.iter().chain(error).chain(of_run).map(String::as_str).filter(|n| seen.insert(*n)).collect()
}

/// What leads to these numbers, as labels and values: run, dataset, prompt, model, manifest, cost … Foreign text.
pub fn facts(report: &GateReport) -> Vec<(&'static str, String)> {
    let run = &report.run;
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("dataset", format!("{}@{}", run.dataset, run.spec.dataset_version.short())),
        ("model", run.model_name.clone()),
    ];
    if let Some(prompt) = run.spec.manifest.prompt_label() {
        facts.push(("prompt", prompt));
    }
    facts.push(("manifest", run.spec.manifest_id.short().to_owned()));
    if let Some(baseline) = &report.baseline {
        facts.push(("baseline", baseline.id.to_string()));
    }
    if run.spec.repeat > 1 {
        facts.push(("trials per sample", run.spec.repeat.to_string()));
    }
    if let Some(results) = &run.results {
        let spend = &results.spend;
        let (mut cost, judges) = format::spent_in_all(spend);
        if spend.judge_cost > 0.0 || spend.judges_unpriced {
            let _ = write!(cost, " (judges {judges})");
        }
        facts.push(("cost", cost));
    }
    facts
}

/// Commands worth typing next, with what they are for. Ids are quoted for a POSIX shell.
pub fn next_steps(report: &GateReport) -> Vec<(String, &'static str)> {
    let run = format::shell_word(report.run.id.as_str());
    let mut steps = Vec::new();
    if let Some(sample) = report.samples.first() {
        let id = format::shell_word(&sample.sample_id);
        steps.push((format!("llmops run show {run} --sample {id}"), "one sample: prompt, answer, scores"));
    }
    if report.baseline.is_some() {
        steps.push(("llmops compare baseline latest".to_owned(), "every change since the baseline"));
    }
    if report.verdict == Verdict::Pass {
        steps.push((format!("llmops baseline promote {run}"), "make this run the baseline"));
    }
    steps
}
