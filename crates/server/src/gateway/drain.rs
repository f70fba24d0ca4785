//! What becomes of a call when it is over: its record, its price, what it tells of the provider's health and of the model
//! behind the manifest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use llmops::{CanarySampler, Guards, LlmOps, RecordWriter};
use llmops_domain::alert::{AlertDraft, AlertKeys, AlertType, Severity};
use llmops_domain::id::ProjectId;
use llmops_domain::limits::millionths;
use llmops_domain::record::{RecordFilter, RequestRecord};
use llmops_gateway::recorder::Recordings;
use llmops_gateway::{Limiter, Recorded};
use serde_json::{Map, json};

use super::trace::Callers;

/// Between two looks at what has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// Calls that are looked at together.
const MOST_AT_ONCE: usize = 256;
/// Answering models and fingerprints that are remembered of one manifest.
const MOST_FACES: usize = 64;
/// Manifests that are remembered.
const MOST_WATCHED: usize = 10_000;

/// Looks at finished calls, one after the other.
pub(super) struct Drain {
    ops: LlmOps,
    writer: RecordWriter,
    limiter: Limiter,
    guards: Guards,
    callers: Arc<Callers>,
    faces: Faces,
    /// Draws requests for canaries.
    sampler: Option<CanarySampler>,
}

impl Drain {
    pub(super) fn new(
        ops: LlmOps,
        writer: RecordWriter,
        limiter: Limiter,
        guards: Guards,
        callers: Arc<Callers>,
    ) -> Self {
        Self { ops, writer, limiter, guards, callers, faces: Faces::default(), sampler: None }
    }

    /// With canaries looking on.
    pub(super) fn with_sampler(self, sampler: CanarySampler) -> Self {
        Self { sampler: Some(sampler), ..self }
    }

    /// Until the gateway is gone and all its calls have ended.
    pub(super) async fn run(mut self, mut recordings: Recordings) {
        loop {
            let recorded = recordings.next_many(PAUSE, MOST_AT_ONCE).await;
            if recorded.is_empty() {
                break;
            }
            for recorded in recorded {
                self.one(recorded);
            }
        }
        self.guards.flush().await;
    }

    fn one(&mut self, mut recorded: Recorded) {
        if let (Some(sampler), Some(seen)) = (&self.sampler, recorded.seen.take()) {
            sampler.offer(&recorded.project, &recorded.record, *seen);
        }
        let (project, record) = (&recorded.project, &recorded.record);
        self.ops.meters().calls.note(project, record);
        line(project, record);
        if self.ops.telemetry().is_on() {
            self.callers.tell(self.ops.telemetry(), record);
        }
        self.charge(project, record);
        for attempt in &record.attempts {
            self.ops.models().note(attempt);
        }
        if let Some((before, now)) = self.faces.changed(project, record) {
            tokio::spawn(tell(self.ops.for_project(project.clone()), record.clone(), before, now));
        }
        self.guards.count(project, record);
        let guard = recorded.guard().filter(|guard| guard.http.is_some() || guard.judge.is_some()).cloned();
        match guard {
            // The checks that take time have the record until they are done.
            Some(guard) if self.guards.wants(&guard, &recorded.record) => {
                let Recorded { project, record, request, answer, .. } = recorded;
                let writer = self.writer.clone();
                self.guards.look(guard, project, (record, request, answer), move |project, record| {
                    writer.submit(project, record);
                });
            }
            _ => self.writer.submit(recorded.project, recorded.record),
        }
    }

    fn charge(&self, project: &ProjectId, record: &RequestRecord) {
        if record.cached {
            return;
        }
        let tokens = record.usage.prompt_tokens + record.usage.completion_tokens;
        let cost = record.cost.map_or(0, millionths);
        if let Some(key) = &record.key {
            self.limiter.charge(project, &format!("key/{key}"), tokens, cost);
        }
        if let (Some(name), Some(environment)) = (&record.deployment, &record.environment) {
            self.limiter.charge(project, &format!("deployment/{name}@{environment}"), tokens, cost);
        }
    }
}

/// The line of a call in the log: what the record says without what was said.
fn line(project: &ProjectId, record: &RequestRecord) {
    let key = record.key.as_deref().unwrap_or_default();
    let deployment = record.deployment.as_deref().unwrap_or_default();
    let RequestRecord { id, status, total_ms: ms, model, .. } = record;
    tracing::info!(target: "llmops::calls", %id, status, ms, key, %project, deployment, model, "answered");
}

/// Which models and fingerprints answered behind which manifests.
#[derive(Default)]
struct Faces(HashMap<(ProjectId, String, String), HashSet<String>>);

/// The model that answered, as the provider names it.
fn face(record: &RequestRecord) -> Option<String> {
    let model = record.model_answered.as_deref()?;
    Some(match &record.fingerprint {
        Some(fingerprint) => format!("{model} ({fingerprint})"),
        None => model.to_owned(),
    })
}

impl Faces {
    /// The last known face and the new one, where a manifest answers with one that was not seen before. The very first one
    /// is what is known from then on.
    fn changed(&mut self, project: &ProjectId, record: &RequestRecord) -> Option<(Option<String>, String)> {
        let (manifest, now) = (record.manifest.as_ref()?, face(record).filter(|_| !record.cached)?);
        let key = (project.clone(), manifest.as_str().to_owned(), record.model.clone());
        if let Some(known) = self.0.get_mut(&key) {
            if known.contains(&now) || known.len() >= MOST_FACES {
                return None;
            }
            let before = known.iter().next().cloned();
            known.insert(now.clone());
            return Some((before, now));
        }
        if self.0.len() < MOST_WATCHED {
            self.0.insert(key, HashSet::from([now.clone()]));
        }
        // What answered before this process began stands in the records.
        Some((None, now))
    }
}

/// Raises the alert, unless records know this face already.
async fn tell(ops: LlmOps, record: RequestRecord, before: Option<String>, now: String) {
    let before = if let Some(before) = before {
        before
    } else {
        let filter = RecordFilter {
            manifest: record.manifest.as_ref().map(ToString::to_string),
            model: Some(record.model.clone()),
            cursor: Some(record.id.clone()),
            ..RecordFilter::default()
        };
        let earlier = ops.records().list(&filter, 20).await.unwrap_or_default();
        let mut faces = earlier.iter().filter_map(face);
        match faces.next() {
            Some(last) if last != now && !faces.any(|face| face == now) => last,
            _ => return,
        }
    };
    let deployment = record.deployment.clone().unwrap_or_default();
    let manifest = record.manifest.as_ref().map(|hash| hash.short().to_owned()).unwrap_or_default();
    let message = format!("{deployment}: the model behind the manifest {manifest} changed from {before} to {now}");
    let (scope, topic) = (json!([deployment, record.environment]), json!(["model", manifest]));
    let metadata = json!({"manifest": record.manifest, "model": record.model, "before": before, "now": now,
        "record": record.id, "environment": record.environment});
    let draft = AlertDraft {
        kind: AlertType::Anomaly,
        severity: Severity::Warning,
        message,
        source: "deployment".to_owned(),
        source_id: Some(deployment),
        metric: None,
        threshold: None,
        actual_value: None,
        metadata: if let serde_json::Value::Object(fields) = metadata { fields } else { Map::new() },
        keys: AlertKeys::new("deployment", &scope, &topic, &json!(now)),
    };
    if let Err(error) = ops.alerts().create_all(vec![draft]).await {
        tracing::warn!(%error, "an alert about a changed model could not be raised");
    }
}
