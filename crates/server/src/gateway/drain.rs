//! What becomes of a call when it is over: its record, its price, what it tells of the provider's health and of the model
//! behind the manifest.

use std::time::Duration;

use llmops::{CanarySampler, Guards, LlmOps, RecordWriter};
use llmops_domain::id::ProjectId;
use llmops_domain::limits::millionths;
use llmops_domain::record::RequestRecord;
use llmops_gateway::recorder::Recordings;
use llmops_gateway::{Limiter, Recorded};
use tokio::runtime::Handle;

use super::faces::{Faces, tell};
use super::trace;

/// Between two looks at what has ended: who pauses is not woken by every call.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks at finished calls, one after the other.
pub(super) struct Drain {
    ops: LlmOps,
    writer: RecordWriter,
    limiter: Limiter,
    guards: Guards,
    faces: Faces,
    /// Draws requests for canaries.
    sampler: Option<CanarySampler>,
}

impl Drain {
    pub(super) fn new(ops: LlmOps, writer: RecordWriter, limiter: Limiter, guards: Guards) -> Self {
        Self { ops, writer, limiter, guards, faces: Faces::default(), sampler: None }
    }

    /// With canaries looking on.
    pub(super) fn with_sampler(self, sampler: CanarySampler) -> Self {
        Self { sampler: Some(sampler), ..self }
    }

    /// Until the gateway is gone and all its calls have ended. This wants a thread of its own: reading answers takes time,
    /// and calls shall not wait for it.
    pub(super) fn run(mut self, mut recordings: Recordings) {
        while let Some(first) = recordings.blocking_next() {
            self.one(first);
            while let Some(next) = recordings.try_next() {
                self.one(next);
            }
            std::thread::sleep(PAUSE);
        }
        Handle::current().block_on(self.guards.flush());
    }

    fn one(&mut self, mut recorded: Recorded) {
        if let (Some(sampler), Some(seen)) = (&self.sampler, recorded.seen.take()) {
            sampler.offer(&recorded.project, &recorded.record, *seen);
        }
        let (project, record) = (&recorded.project, &recorded.record);
        self.ops.meters().calls.note(project, record);
        line(project, record);
        if self.ops.telemetry().is_on() {
            trace::tell(self.ops.telemetry(), record, recorded.traceparent.as_deref());
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
    let RequestRecord { id, status, model, .. } = record;
    let ms = (record.total_ms * 1000.0).round() / 1000.0;
    tracing::info!(target: "llmops::calls", %id, status, ms, key, %project, deployment, model, "answered");
}
