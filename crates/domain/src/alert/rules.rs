//! Which numbers of a run raise alerts and resolve them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Alert, AlertDraft, AlertKeys, AlertType, Severity};
use crate::compare::PairedEvidence;
use crate::config::alerts::AlertsConfig;
use crate::id::AlertId;
use crate::run::{Estimate, EvaluationRun};

/// The source of alerts about runs.
const SOURCE: &str = "evaluation";
/// Differences below this are rounding.
const ROUNDING: f64 = 1e-9;

/// Runs that are compared with each other: of one prompt, model and dataset, whatever their versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The prompt's name.
    pub prompt_name: Option<String>,
    /// The model, as `provider/model`.
    pub model_name: String,
    /// The dataset's name.
    pub dataset: String,
    /// How many of the first samples are evaluated; absent: all of them. What a part says is no news of the whole.
    pub limit: Option<u64>,
}

impl Lineage {
    /// The lineage of a run; none for a run of samples that somebody chose, which is a look and no measurement.
    pub fn of(run: &EvaluationRun) -> Option<Self> {
        run.spec.only.is_none().then(|| Self {
            prompt_name: run.prompt_name.clone(),
            model_name: run.model_name.clone(),
            dataset: run.dataset.clone(),
            limit: run.spec.limit,
        })
    }

    fn to_json(&self) -> Value {
        match self.limit {
            None => json!([self.prompt_name, self.model_name, self.dataset]),
            Some(limit) => json!([self.prompt_name, self.model_name, self.dataset, limit]),
        }
    }

    /// What one review of such a run can raise or resolve.
    pub fn scope(&self) -> crate::hash::ContentHash {
        AlertKeys::new(SOURCE, &self.to_json(), &Value::Null, &Value::Null).scope
    }

    fn shown(&self) -> String {
        let dataset = match self.limit {
            None => self.dataset.clone(),
            Some(limit) => format!("the first {limit} of {}", self.dataset),
        };
        match &self.prompt_name {
            Some(prompt) => format!("{prompt} on {dataset} with {}", self.model_name),
            None => format!("{} on {dataset}", self.model_name),
        }
    }
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// The share of trials that passed.
    PassRate,
    /// The overall score.
    Overall,
    /// A metric.
    Metric,
    /// The score of a category.
    Category,
}

/// A number of a run that alerts are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// `pass_rate`, `overall`, the metric's or the category's name.
    pub name: String,
}

impl Subject {
    fn shown(&self) -> String {
        match self.kind {
            SubjectKind::PassRate => "the pass rate".to_owned(),
            SubjectKind::Overall => "the overall score".to_owned(),
            SubjectKind::Metric => format!("the metric {}", self.name),
            SubjectKind::Category => format!("the category {}", self.name),
        }
    }
}

/// The numbers of a run in which higher is better.
fn numbers(run: &EvaluationRun) -> BTreeMap<Subject, Estimate> {
    let Some(results) = &run.results else { return BTreeMap::new() };
    let subject = |kind, name: &str| Subject { kind, name: name.to_owned() };
    let mut numbers = BTreeMap::from([(subject(SubjectKind::PassRate, "pass_rate"), results.pass_rate)]);
    numbers.extend(results.overall.map(|overall| (subject(SubjectKind::Overall, "overall"), overall)));
    let is_score = |name: &str| run.spec.scoring.metrics.get(name).is_some_and(|metric| metric.scorer.is_score());
    let metrics = results.metric_details.iter().filter(|(name, _)| is_score(name));
    numbers.extend(metrics.map(|(name, estimate)| (subject(SubjectKind::Metric, name), *estimate)));
    let categories = results.categories.iter().filter_map(|(name, category)| Some((name, category.score?)));
    numbers.extend(categories.map(|(name, score)| (subject(SubjectKind::Category, name), score)));
    numbers.retain(|_, estimate| estimate.n > 0);
    numbers
}

/// The values of each number over runs, oldest first; runs without it are left out.
pub fn score_series<'a>(oldest_first: impl IntoIterator<Item = &'a EvaluationRun>) -> BTreeMap<Subject, Vec<f64>> {
    let mut series: BTreeMap<Subject, Vec<f64>> = BTreeMap::new();
    for run in oldest_first {
        for (subject, estimate) in numbers(run) {
            series.entry(subject).or_default().push(estimate.value);
        }
    }
    series
}

/// What a statistical test says about one series of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The series.
    pub subject: Subject,
    /// The test's name.
    pub method: String,
    /// Mean of the older values and their number.
    pub reference: (f64, usize),
    /// Mean of the newer values and their number.
    pub recent: (f64, usize),
    /// The p-value of this series alone.
    pub p_value: f64,
    /// The p-value adjusted for the number of series.
    pub adjusted_p: f64,
    /// Whether it counts as drifted.
    pub drifted: bool,
}

/// A completed run and what it is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// The run.
    pub run: &'a EvaluationRun,
    /// Its lineage.
    pub lineage: &'a Lineage,
    /// Completed runs of its lineage before it, newest first.
    pub history: &'a [EvaluationRun],
    /// What the run and the newest of these say about the samples that both have, where the dataset changed between them: a
    /// question that is new has no score that could have fallen.
    pub common: Option<&'a PairedEvidence>,
    /// The open alerts of its lineage.
    pub open: &'a [Alert],
    /// What the drift detectors say.
    pub drift: &'a [Drift],
    /// The rules.
    pub rules: &'a AlertsConfig,
    /// Minima by name: `pass_rate`, `overall`, a metric's or a category's name.
    pub thresholds: &'a BTreeMap<String, f64>,
    /// The minimum of a category's rolling mean.
    pub category_min: f64,
}

/// What a review finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reviewed {
    /// What is wrong.
    pub raise: Vec<AlertDraft>,
    /// Alerts whose cause is gone.
    pub resolve: Vec<AlertId>,
}

/// Reviews a completed run.
///
/// An open alert of a regression is compared with the value from before the regression, not with the previous run: being
/// bad for a second time is no recovery.
pub fn review(review: &Review<'_>) -> Reviewed {
    let mut reviewer = Reviewer { review, found: Reviewed::default() };
    let now = numbers(review.run);
    let before = reviewer.before(&now);
    for (subject, current) in &now {
        reviewer.regression(subject, *current, before.get(subject).copied());
        reviewer.threshold(subject, *current);
    }
    for (subject, values) in score_series(review.history.iter().rev().chain([review.run])) {
        if subject.kind == SubjectKind::Category && now.contains_key(&subject) {
            reviewer.rolling(&subject, &values);
        }
    }
    for drift in review.drift {
        reviewer.anomaly(drift);
    }
    reviewer.found
}

struct Reviewer<'a> {
    review: &'a Review<'a>,
    found: Reviewed,
}

/// The change of a number on the samples that two runs share.
fn change(evidence: &PairedEvidence, subject: &Subject) -> Option<Estimate> {
    match subject.kind {
        SubjectKind::PassRate => evidence.pass_rate,
        SubjectKind::Overall => Some(evidence.difference),
        SubjectKind::Metric => evidence.metrics.get(&subject.name).copied(),
        SubjectKind::Category => evidence.categories.get(&subject.name).map(|category| category.difference),
    }
}

/// One rule's finding about one subject.
struct Finding {
    kind: AlertType,
    severity: Severity,
    message: String,
    threshold: Option<f64>,
    actual: f64,
    evidence: Map<String, Value>,
}

impl Reviewer<'_> {
    /// What the numbers of the run are compared with: those of the run before it. Where the dataset changed since then, they
    /// are set so far apart as the samples are that both have.
    fn before(&self, now: &BTreeMap<Subject, Estimate>) -> BTreeMap<Subject, Estimate> {
        if !self.has_other_samples() {
            return self.review.history.first().map(numbers).unwrap_or_default();
        }
        let Some(common) = self.review.common else { return BTreeMap::new() };
        let before = now.iter().filter_map(|(subject, now)| {
            let change = change(common, subject)?;
            let value = now.value - change.value;
            let (lower, upper) = (now.value - change.upper, now.value - change.lower);
            Some((subject.clone(), Estimate { value, n: change.n, lower, upper }))
        });
        before.collect()
    }

    /// Whether the dataset changed since the run before it.
    fn has_other_samples(&self) -> bool {
        let version = &self.review.run.spec.dataset_version;
        self.review.history.first().is_some_and(|previous| previous.spec.dataset_version != *version)
    }

    fn keys(&self, rule: &str, subject: &Subject) -> AlertKeys {
        AlertKeys::new(SOURCE, &self.review.lineage.to_json(), &json!(subject), &json!(rule))
    }

    fn open(&self, keys: &AlertKeys) -> Option<&Alert> {
        self.review.open.iter().find(|alert| alert.fingerprint == keys.fingerprint)
    }

    /// Raises what a rule found, or resolves the open alert of the rule where it found nothing.
    fn conclude(&mut self, rule: &str, subject: &Subject, finding: Option<Finding>) {
        let keys = self.keys(rule, subject);
        let Some(finding) = finding else {
            let open = self.open(&keys).map(|alert| alert.id.clone());
            self.found.resolve.extend(open);
            return;
        };
        let run = self.review.run;
        let mut metadata = finding.evidence;
        let facts = json!({
            "rule": rule, "subject": subject.kind, "run": run.id, "run_name": run.name, "suite": run.spec.suite,
            "prompt_name": run.prompt_name, "prompt_version": run.prompt_version, "model_name": run.model_name,
            "dataset": run.dataset,
        });
        if let Value::Object(facts) = facts {
            metadata.extend(facts);
        }
        self.found.raise.push(AlertDraft {
            kind: finding.kind,
            severity: finding.severity,
            message: finding.message,
            source: SOURCE.to_owned(),
            source_id: Some(run.id.0.clone()),
            metric: Some(subject.name.clone()),
            threshold: finding.threshold,
            actual_value: Some(finding.actual),
            metadata,
            keys,
        });
    }

    fn regression(&mut self, subject: &Subject, current: Estimate, previous: Option<Estimate>) {
        const RULE: &str = "regression";
        let open = self.open(&self.keys(RULE, subject));
        let reference =
            open.and_then(|alert| alert.metadata.get("reference")).and_then(|v| serde_json::from_value(v.clone()).ok());
        let reference_run = open.and_then(|alert| alert.metadata.get("reference_run")).cloned();
        let is_of_common = reference.is_none() && self.has_other_samples();
        let Some(reference): Option<Estimate> = reference.or(previous) else { return };
        let rules = self.review.rules;
        let drop = reference.value - current.value;
        let (limit, severity) = match subject.kind {
            SubjectKind::PassRate if drop > rules.pass_rate_drop.critical + ROUNDING => {
                (rules.pass_rate_drop.critical, Severity::Critical)
            }
            SubjectKind::PassRate => (rules.pass_rate_drop.warning, Severity::Warning),
            _ => (rules.metric_drop, Severity::Warning),
        };
        let finding = (drop > limit + ROUNDING).then(|| Finding {
            kind: AlertType::Regression,
            severity,
            message: format!(
                "{}: {} fell by {:.1} points{}",
                self.review.lineage.shown(),
                subject.shown(),
                drop * 100.0,
                if is_of_common {
                    format!(" on the {} samples that both runs have; it is {}", reference.n, shown(current))
                } else {
                    format!(", from {} to {}", shown(reference), shown(current))
                }
            ),
            threshold: Some(reference.value - limit),
            actual: current.value,
            evidence: object(json!({
                "reference": reference, "current": current, "drop": drop, "limit": limit,
                "reference_run": reference_run.or_else(|| self.review.history.first().map(|run| json!(run.id))),
            })),
        });
        self.conclude(RULE, subject, finding);
    }

    fn threshold(&mut self, subject: &Subject, current: Estimate) {
        let Some(minimum) = self.review.thresholds.get(&subject.name).copied() else { return };
        let finding = (current.value < minimum - ROUNDING).then(|| Finding {
            kind: AlertType::Threshold,
            severity: Severity::Warning,
            message: format!(
                "{}: {} is {}, below {minimum}",
                self.review.lineage.shown(),
                subject.shown(),
                shown(current)
            ),
            threshold: Some(minimum),
            actual: current.value,
            evidence: object(json!({"current": current})),
        });
        self.conclude("threshold", subject, finding);
    }

    fn rolling(&mut self, subject: &Subject, values: &[f64]) {
        let runs = self.review.rules.rolling_runs as usize;
        let Some(last) = values.len().checked_sub(runs).and_then(|start| values.get(start..)) else { return };
        let mean = last.iter().sum::<f64>() / (last.len() as f64).max(1.0);
        let minimum = self.review.category_min;
        let finding = (mean < minimum - ROUNDING).then(|| Finding {
            kind: AlertType::Threshold,
            severity: Severity::Warning,
            message: format!(
                "{}: the mean of {} over the last {runs} runs is {mean:.3}, below {minimum}",
                self.review.lineage.shown(),
                subject.shown()
            ),
            threshold: Some(minimum),
            actual: mean,
            evidence: object(json!({"values": last, "n": runs})),
        });
        self.conclude("rolling_mean", subject, finding);
    }

    fn anomaly(&mut self, drift: &Drift) {
        let ((before, before_n), (after, after_n)) = (drift.reference, drift.recent);
        let (severity, way) = if after < before { (Severity::Warning, "lower") } else { (Severity::Info, "higher") };
        let finding = drift.drifted.then(|| Finding {
            kind: AlertType::Anomaly,
            severity,
            message: format!(
                "{}: {} is {way} than it was: mean {after:.3} (n {after_n}) after {before:.3} (n {before_n}); {}, \
                 p {:.2e} adjusted for all series",
                self.review.lineage.shown(),
                drift.subject.shown(),
                drift.method,
                drift.adjusted_p
            ),
            threshold: None,
            actual: after,
            evidence: object(json!({
                "method": drift.method, "p_value": drift.p_value, "adjusted_p": drift.adjusted_p,
                "reference": {"mean": before, "n": before_n}, "recent": {"mean": after, "n": after_n},
            })),
        });
        self.conclude("anomaly", &drift.subject, finding);
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

/// A value with what is known of its certainty.
fn shown(estimate: Estimate) -> String {
    format!("{:.3} (n {}, {:.3} to {:.3})", estimate.value, estimate.n, estimate.lower, estimate.upper)
}

#[cfg(test)]
mod tests;
