//! What the process counts of its own work, for whoever asks for its metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use llmops_domain::id::ProjectId;
use llmops_domain::meter::{Counter, Gauge, Histogram, SLOW};
use llmops_domain::record::RequestRecord;
use llmops_domain::run::{Outcome, SampleResult};
use llmops_domain::soft_failure::SoftFailure;

use crate::RecordCounts;

/// Most deployments that have series of their own: the others count together as `other`.
const MAX_DEPLOYMENTS: usize = 200;
/// What stands for the deployment of calls that name a model directly.
const DIRECT: &str = "direct";
/// What stands for deployments beyond the limit.
const OTHER: &str = "other";

/// What the process counts. Nobody waits to count.
#[derive(Debug, Default)]
pub struct Meters {
    /// Samples that were answered and scored.
    pub samples_scored: Counter,
    /// Samples that could not be answered or judged.
    pub samples_errored: Counter,
    /// Who watches events.
    pub event_clients: Gauge,
    /// What became of request records.
    pub records: Arc<RecordCounts>,
    /// Calls of the gateway.
    pub calls: CallMeters,
}

impl Meters {
    /// Counts results that are stored.
    pub(crate) fn note_results(&self, results: &[SampleResult]) {
        let errored = results.iter().filter(|result| matches!(result.outcome, Outcome::Errored { .. })).count() as u64;
        self.samples_errored.add(errored);
        self.samples_scored.add(results.len() as u64 - errored);
    }
}

/// Which calls a series is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallLabels {
    /// The project.
    pub project: String,
    /// The deployment; `direct` where a model was named, `other` beyond the 200th deployment.
    pub deployment: String,
    /// Its environment; empty where there is no deployment.
    pub environment: String,
}

/// What was counted of the calls of one deployment.
#[derive(Debug)]
pub struct CallSeries {
    /// Calls by how they ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How long they took, to the last byte.
    pub total: Histogram,
    /// How long until the first byte.
    pub first_byte: Histogram,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// USD, where the model has a price.
    pub cost: f64,
    /// Soft failures by their kind.
    pub soft_failures: BTreeMap<&'static str, u64>,
    /// Answers that a check of the guard could not look at, by the check.
    pub undecided: BTreeMap<&'static str, u64>,
}

impl Default for CallSeries {
    fn default() -> Self {
        Self {
            outcomes: BTreeMap::new(),
            total: Histogram::new(SLOW),
            first_byte: Histogram::new(SLOW),
            prompt_tokens: 0,
            completion_tokens: 0,
            cost: 0.0,
            soft_failures: BTreeMap::new(),
            undecided: BTreeMap::new(),
        }
    }
}

impl CallLabels {
    fn as_texts(&self) -> [&str; 3] {
        [&self.project, &self.deployment, &self.environment]
    }
}

/// What was counted of calls, by deployment. It is fed with request records, off the path of the calls.
#[derive(Debug, Default)]
pub struct CallMeters {
    /// In the order of their labels. Those of a record are not copied to be looked up: there are thousands a second.
    by_deployment: Mutex<Vec<(CallLabels, CallSeries)>>,
}

/// The series with these labels.
fn series_of<'a>(all: &'a mut Vec<(CallLabels, CallSeries)>, labels: [&str; 3]) -> &'a mut CallSeries {
    let find = |all: &[(CallLabels, CallSeries)], labels| all.binary_search_by(|(l, _)| l.as_texts().cmp(&labels));
    let at = find(all, labels).or_else(|place| {
        if all.len() < MAX_DEPLOYMENTS {
            Err((place, labels))
        } else {
            let other = [OTHER, OTHER, ""];
            find(all, other).map_err(|place| (place, other))
        }
    });
    let at = at.unwrap_or_else(|(place, labels)| {
        let [project, deployment, environment] = labels.map(str::to_owned);
        all.insert(place, (CallLabels { project, deployment, environment }, CallSeries::default()));
        place
    });
    &mut all[at].1
}

/// Project, deployment and environment of a call.
fn labels<'a>(project: &'a ProjectId, record: &'a RequestRecord) -> [&'a str; 3] {
    let deployment = record.deployment.as_deref().unwrap_or(DIRECT);
    [project.as_str(), deployment, record.environment.as_deref().unwrap_or_default()]
}

fn count_found(series: &mut CallSeries, found: &[SoftFailure]) {
    for failure in found {
        *series.soft_failures.entry(failure.kind.as_str()).or_default() += 1;
    }
}

impl CallMeters {
    /// Counts a call that has ended.
    pub fn note(&self, project: &ProjectId, record: &RequestRecord) {
        let mut all = self.by_deployment.lock().unwrap_or_else(PoisonError::into_inner);
        let series = series_of(&mut all, labels(project, record));
        *series.outcomes.entry(record.outcome.as_str()).or_default() += 1;
        series.total.observe(record.total_ms / 1000.0);
        if let Some(first_byte) = record.first_byte_ms {
            series.first_byte.observe(first_byte / 1000.0);
        }
        series.prompt_tokens += record.usage.prompt_tokens;
        series.completion_tokens += record.usage.completion_tokens;
        series.cost += record.cost.unwrap_or(0.0);
        count_found(series, &record.soft_failures);
    }

    /// Counts what is found in an answer when its call was counted already, and which checks could not look at it.
    pub fn note_found(&self, project: &ProjectId, record: &RequestRecord, found: &[SoftFailure]) {
        let mut all = self.by_deployment.lock().unwrap_or_else(PoisonError::into_inner);
        let series = series_of(&mut all, labels(project, record));
        count_found(series, found);
        for kind in &record.undecided {
            *series.undecided.entry(kind.as_str()).or_default() += 1;
        }
    }

    /// Shows every series, by its labels.
    pub fn each(&self, mut show: impl FnMut(&CallLabels, &CallSeries)) {
        let all = self.by_deployment.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, series) in all.iter() {
            show(labels, series);
        }
    }
}

#[cfg(test)]
mod tests {
    use llmops_domain::soft_failure::SoftFailureKind;

    use super::*;

    #[test]
    fn what_slow_checks_find_is_counted_without_another_call() {
        let (meters, project) = (CallMeters::default(), ProjectId::default_project());
        let mut record: RequestRecord = serde_json::from_value(serde_json::json!({"id": "req_1",
            "at": "2026-01-01T00:00:00Z", "door": "chat", "model": "sim/small", "stream": false, "deployment": "bot",
            "environment": "production", "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}}))
        .unwrap();
        meters.note(&project, &record);
        let judged = SoftFailure { kind: SoftFailureKind::Judge, detail: "rude".to_owned() };
        record.soft_failures.push(judged);
        record.undecided.push(SoftFailureKind::HttpCheck);
        meters.note_found(&project, &record, &record.soft_failures);
        let mut seen = Vec::new();
        meters.each(|labels, series| {
            let (found, undecided) = (series.soft_failures["judge"], series.undecided["http_check"]);
            seen.push((labels.deployment.clone(), series.outcomes["ok"], found, undecided));
        });
        assert_eq!(seen, [("bot".to_owned(), 1, 1, 1)]);
    }

    #[test]
    fn deployments_beyond_the_limit_count_together() {
        let mut all = Vec::new();
        for round in 1..=2 {
            for number in 0..MAX_DEPLOYMENTS + 5 {
                let name = format!("bot-{number}");
                series_of(&mut all, ["default", &name, "production"]).prompt_tokens += 1;
            }
            let counts: Vec<u64> = all.iter().map(|(_, series)| series.prompt_tokens).collect();
            let other = series_of(&mut all, [OTHER, OTHER, ""]).prompt_tokens;
            assert_eq!((other, counts.len(), counts.iter().sum::<u64>()), (5 * round, 201, 205 * round));
            assert!(all.is_sorted_by_key(|(labels, _)| labels.clone()), "they are found by their order");
        }
    }
}
