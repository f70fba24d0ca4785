//! What becomes of a call when it is over: its record, its price, what it tells of the provider's health and of the model
//! behind the manifest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmops::{CanarySampler, Guards, LlmOps, Models, RecordWriter};
use llmops_domain::id::ProjectId;
use llmops_domain::limits::billionths;
use llmops_domain::record::RequestRecord;
use llmops_domain::streaks::Streaks;
use llmops_gateway::{Ended, Limiter, Recorded, Recordings};
use llmops_providers::turns::write_kept;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::faces::{Faces, tell};
use super::streaks;
use super::trace;

/// Calls with more bytes than this are read aside: the thread of their connection has others to serve.
const LARGE: usize = 64 * 1024;
/// Longest that calls that are read aside may take when the gateway ends.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Looks at calls that have ended. Whoever serves a call also reads it afterwards, when its caller has the answer: nobody
/// has to be woken for it, and its bytes are near.
pub(super) struct Drain {
    ops: LlmOps,
    models: Models,
    writer: RecordWriter,
    limiter: Limiter,
    guards: Guards,
    faces: Mutex<Faces>,
    streaks: Mutex<Streaks>,
    /// Draws requests for canaries.
    sampler: CanarySampler,
    /// Where what takes its time is done.
    runtime: Handle,
    aside: TaskTracker,
}

impl std::fmt::Debug for Drain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}

impl Drain {
    /// To be called in the server's own runtime.
    pub(super) fn new(ops: LlmOps, writer: RecordWriter, limiter: Limiter, guards: Guards) -> Self {
        let (models, sampler) = (ops.models(), ops.canary_sampler());
        let (runtime, aside) = (Handle::current(), TaskTracker::new());
        Self {
            ops,
            models,
            writer,
            limiter,
            guards,
            faces: Mutex::default(),
            streaks: Mutex::default(),
            sampler,
            runtime,
            aside,
        }
    }

    /// Until the gateway whose calls these are is gone and all of them have ended.
    pub(super) async fn run(self: Arc<Self>, mut recordings: Recordings) {
        while let Some(ended) = recordings.next().await {
            // Their callers shall have the answers before.
            write_kept();
            if ended.size() <= LARGE {
                self.one_alone(ended);
                continue;
            }
            let drain = self.clone();
            self.aside.spawn_blocking_on(move || drain.one_alone(ended), &self.runtime);
        }
    }

    /// Whatever goes wrong with a call, the ones after it have their records.
    fn one_alone(&self, ended: Ended) {
        if catch_unwind(AssertUnwindSafe(|| self.one(ended))).is_err() {
            tracing::error!("a call has no record: reading it broke off");
        }
    }

    /// Waits for what was put aside, and until all of it is in the store or in a file. Call it when no call is under way.
    pub(super) async fn finish(&self) {
        self.aside.close();
        if tokio::time::timeout(LAST_CALLS, self.aside.wait()).await.is_err() {
            tracing::warn!("calls were still being read when the gateway was shut down");
        }
        self.guards.flush().await;
        self.writer.flush().await;
        self.sampler.flush().await;
    }

    fn one(&self, ended: Ended) {
        let mut recorded = ended.into_recorded();
        if let Some(seen) = recorded.seen.take() {
            self.sampler.offer(&recorded.project, &recorded.record, *seen);
        }
        let (project, record) = (&recorded.project, &recorded.record);
        self.sampler.count(project, record);
        self.ops.meters().calls.note(project, record);
        line(project, record);
        if self.ops.telemetry().is_on() {
            trace::tell(self.ops.telemetry(), record, recorded.traceparent.as_deref());
        }
        self.charge(project, record);
        for attempt in &record.attempts {
            self.models.note(attempt);
        }
        let pinned = recorded.pinned_version();
        let changed = self.faces.lock().unwrap_or_else(PoisonError::into_inner).changed(project, record, pinned);
        if let Some(news) = changed {
            self.runtime.spawn(tell(self.ops.for_project(project.clone()), record.clone(), news));
        }
        let word = {
            let mut known = self.streaks.lock().unwrap_or_else(PoisonError::into_inner);
            streaks::noted(&mut known, project, record)
        };
        if let Some(word) = word {
            self.runtime.spawn(streaks::tell(self.ops.for_project(project.clone()), record.clone(), word));
        }
        self.guards.count(project, record);
        match recorded.guard().and_then(|guard| self.guards.drawn(guard, record)) {
            // The checks that take time have the record until they are done.
            Some(slow) => {
                let Recorded { project, record, request, answer, .. } = recorded;
                let (writer, meters, known) =
                    (self.writer.clone(), self.ops.meters().clone(), record.soft_failures.len());
                let _runtime = self.runtime.enter();
                self.guards.look(slow, project, (record, request, answer), move |project, record| {
                    meters.calls.note_found(&project, &record, &record.soft_failures[known..]);
                    writer.submit(&project, &record);
                });
            }
            None => self.writer.submit(&recorded.project, &recorded.record),
        }
    }

    fn charge(&self, project: &ProjectId, record: &RequestRecord) {
        if record.cached {
            return;
        }
        let tokens = record.usage.prompt_tokens + record.usage.completion_tokens;
        let cost = record.cost.map_or(0, billionths);
        if let Some(key) = &record.key {
            self.limiter.charge(project, || format!("key/{key}"), tokens, cost);
        }
        if let (Some(name), Some(environment)) = (&record.deployment, &record.environment) {
            self.limiter.charge(project, || format!("deployment/{name}@{environment}"), tokens, cost);
        }
    }
}

/// The line of a call in the log: what the record says without what was said.
fn line(project: &ProjectId, record: &RequestRecord) {
    let (key, deployment) = (record.key.as_deref(), record.deployment.as_deref());
    let RequestRecord { id, status, model, .. } = record;
    let ms = (record.total_ms * 1000.0).round() / 1000.0;
    tracing::info!(target: "llmops::calls", %id, status, ms, key, %project, deployment, model, "answered");
}
