//! The inputs of calls that failed, as a regression dataset asks them again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use llmops_domain::dataset::Sample;
use llmops_domain::hash::ContentHash;
use llmops_domain::incident::Incident;
use llmops_domain::record::RequestRecord;
use llmops_domain::review::{answer_text, asked};
use serde_json::json;

use super::Incidents;
use super::timeline::{begins, calls_of};
use crate::Error;

/// Most failing inputs that become samples: all of them are in memory at a time.
const MOST_SAMPLES: usize = 2_000;
/// Failing calls that are read at a time.
const PAGE: u32 = 200;

/// What failing calls asked.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Each question once.
    pub(super) samples: Vec<Sample>,
    /// Calls whose text was not kept.
    pub(super) without_text: u64,
    /// Calls that were not looked at, as there are too many questions already.
    pub(super) left_out: u64,
    questions: BTreeMap<ContentHash, usize>,
}

impl Inputs {
    fn add(&mut self, record: &RequestRecord, correction: Option<&String>) {
        let Some(sample) = failing(record, correction) else {
            self.without_text += 1;
            return;
        };
        let Ok(question) = sample.question_hash() else { return };
        match self.questions.entry(question) {
            Entry::Vacant(place) => {
                place.insert(self.samples.len());
                self.samples.push(sample);
            }
            // The right answer to another call with the same question is the right one here too.
            Entry::Occupied(place) if self.samples[*place.get()].expected_output.is_empty() => {
                self.samples[*place.get()].expected_output = sample.expected_output;
            }
            Entry::Occupied(_) => {}
        }
    }

    fn is_full(&self) -> bool {
        self.samples.len() >= MOST_SAMPLES
    }
}

impl Incidents {
    /// The inputs of calls that failed or that users found bad since the incident's timeline began, the newest first and each
    /// question once.
    pub(super) async fn failing_inputs(&self, incident: &Incident, now: Timestamp) -> Result<Inputs, Error> {
        let from = begins(incident);
        let store = &self.services.store;
        let complaints = self.complaints(incident, from, now).await?;
        let mut corrections = BTreeMap::<&str, &String>::new();
        for (request, correction) in &complaints.requests {
            // Complaints come newest first: the last word counts.
            if let Some(correction) = correction {
                corrections.entry(request).or_insert(correction);
            }
        }
        let (mut inputs, mut known, mut before) = (Inputs::default(), BTreeSet::new(), None::<String>);
        while !inputs.is_full() {
            let of = calls_of(incident, from, now);
            let page = store.failed_calls(&self.project, of, before.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id.clone());
            for record in page {
                inputs.add(&record, corrections.get(record.id.as_str()).copied());
                known.insert(record.id);
            }
        }
        if inputs.is_full() {
            let hours = store.calls_by_hour(&self.project, calls_of(incident, from, now)).await?;
            let failed: u64 = hours.iter().map(|hour| hour.sums.failed + hour.sums.soft_failed).sum();
            inputs.left_out = failed.saturating_sub(known.len() as u64);
        }
        for (request, _) in &complaints.requests {
            if !known.insert(request.clone()) {
                continue;
            }
            if inputs.is_full() {
                inputs.left_out += 1;
            } else if let Some(record) = store.find_record(&self.project, request).await? {
                inputs.add(&record, corrections.get(request.as_str()).copied());
            }
        }
        Ok(inputs)
    }
}

/// The input of a call as a sample; nothing where its text was not kept.
fn failing(record: &RequestRecord, correction: Option<&String>) -> Option<Sample> {
    let question = asked(record).ok()?;
    let failures: Vec<&str> = record.soft_failures.iter().map(|failure| failure.detail.as_str()).collect();
    let facts = [
        ("request_id", json!(record.id)),
        ("manifest", json!(record.manifest)),
        ("outcome", json!(record.outcome)),
        ("error", json!(record.error)),
        ("failures", if failures.is_empty() { serde_json::Value::Null } else { json!(failures) }),
        ("bad_answer", json!(answer_text(record))),
    ];
    Some(Sample {
        id: record.id.replace('_', "-"),
        input: question.input,
        messages: question.messages,
        variables: question.variables,
        expected_output: correction.cloned().into_iter().collect(),
        source: Some("incident".to_owned()),
        metadata: facts.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name.to_owned(), v)).collect(),
        ..Sample::default()
    })
}
