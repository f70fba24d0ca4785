//! From a call to its request record, off the path: the hot path hands over what it saw, the record is made by whoever
//! reads the channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use llmops_domain::chat::Usage;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{self, ProjectId};
use llmops_domain::record::{BodyPolicy, CallAttempt, CallOutcome, Door, RequestRecord};
use llmops_domain::redact::redact;
use llmops_domain::soft_failure::GuardedAnswer;
use llmops_providers::Target;
use tokio::sync::mpsc;

use crate::answer::{self, Answer};
use crate::request::Extension;
use crate::snapshot::Route;

/// Most bytes of an answer that are kept to be read afterwards.
const MAX_CAPTURED: usize = 4 << 20;
/// Characters of a token, roughly, where a provider counts none.
const CHARS_PER_TOKEN: usize = 4;

/// A record and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The project.
    pub project: ProjectId,
    /// The record.
    pub record: RequestRecord,
}

/// The gateway's end of the channel.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: mpsc::UnboundedSender<Box<Call>>,
    waiting: Arc<AtomicU64>,
}

/// The other end: finished calls, made into records as they are asked for.
#[derive(Debug)]
pub struct Recordings {
    receiver: mpsc::UnboundedReceiver<Box<Call>>,
    waiting: Arc<AtomicU64>,
}

impl Recorder {
    /// A channel. It has no limit of its own: a call that happened has a record, so whoever reads must keep up or spill.
    pub fn channel() -> (Self, Recordings) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicU64::new(0));
        (Self { sender, waiting: waiting.clone() }, Recordings { receiver, waiting })
    }

    /// Calls that ended and have no record yet.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Recordings {
    /// The next record; nothing when the gateway is gone and all calls have ended.
    pub async fn next(&mut self) -> Option<Recorded> {
        let call = self.receiver.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(call.into_recorded())
    }

    /// The next record, if a call has ended already.
    pub fn try_next(&mut self) -> Option<Recorded> {
        let call = self.receiver.try_recv().ok()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(call.into_recorded())
    }
}

/// How a call ended, as its body saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Cut(String),
}

/// Everything that is seen of one call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) project: ProjectId,
    pub(crate) key: Option<String>,
    pub(crate) door: Door,
    pub(crate) at: Timestamp,
    started: Instant,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) said: Extension,
    pub(crate) stream: bool,
    /// The model asked last.
    pub(crate) model: String,
    pub(crate) target: Option<Target>,
    pub(crate) attempts: Vec<CallAttempt>,
    /// What the caller sent.
    pub(crate) asked: Bytes,
    /// What was sent on; until then, what the caller sent.
    pub(crate) request: Bytes,
    /// The caller's trace.
    pub(crate) trace_id: Option<String>,
    pub(crate) status: u16,
    /// What went wrong, where the gateway knows it before reading the answer.
    pub(crate) error: Option<String>,
    pub(crate) outcome: Option<CallOutcome>,
    first_byte_ms: Option<f64>,
    captured: Vec<Bytes>,
    captured_len: usize,
    end: Option<End>,
    ended_ms: Option<f64>,
}

/// A call under way. When it is dropped, by whatever way, the call has ended and its record is made.
#[derive(Debug)]
pub(crate) struct CallWatch {
    call: Option<Box<Call>>,
    recorder: Recorder,
}

impl CallWatch {
    /// A call that has just come.
    pub(crate) fn begin(recorder: &Recorder, project: ProjectId, key: Option<String>, door: Door) -> Self {
        let at = Timestamp::now();
        let call = Call {
            id: format!("req_{}", id::sortable(at.as_millisecond(), rand::random())),
            project,
            key,
            door,
            at,
            started: Instant::now(),
            route: None,
            said: Extension::default(),
            stream: false,
            model: String::new(),
            target: None,
            attempts: Vec::new(),
            asked: Bytes::new(),
            request: Bytes::new(),
            trace_id: None,
            status: 499,
            error: None,
            outcome: None,
            first_byte_ms: None,
            captured: Vec::new(),
            captured_len: 0,
            end: None,
            ended_ms: None,
        };
        Self { call: Some(Box::new(call)), recorder: recorder.clone() }
    }

    /// What is known of it. The call is there until the watch is dropped.
    pub(crate) fn with(&mut self, note: impl FnOnce(&mut Call)) {
        if let Some(call) = &mut self.call {
            note(call);
        }
    }

    /// The id that the answer carries.
    pub(crate) fn id(&self) -> &str {
        self.call.as_ref().map_or("", |call| &call.id)
    }

    /// Notes a piece of the answer.
    pub(crate) fn capture(&mut self, data: &Bytes) {
        self.with(|call| {
            if call.first_byte_ms.is_none() {
                call.first_byte_ms = Some(ms(call.started));
            }
            if call.captured_len + data.len() <= MAX_CAPTURED {
                call.captured_len += data.len();
                call.captured.push(data.clone());
            }
        });
    }

    /// Notes how the answer ended; the first word counts.
    pub(crate) fn end(&mut self, end: End) {
        self.with(|call| {
            if call.end.is_none() {
                call.end = Some(end);
                call.ended_ms = Some(ms(call.started));
            }
        });
    }
}

impl Drop for CallWatch {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.recorder.waiting.fetch_add(1, Ordering::Relaxed);
            // Without a reader the process is ending, and nobody is left to keep records.
            if self.recorder.sender.send(call).is_err() {
                self.recorder.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

impl Call {
    fn into_recorded(mut self: Box<Self>) -> Recorded {
        let answer = answer::read(self.door, self.stream, &self.captured);
        let outcome = self.outcome(&answer);
        let (usage, usage_estimated) = self.usage(&answer, outcome);
        let settings = self.route.as_ref().map(|route| &route.deployment.settings);
        let policy = self.body_policy();
        let soft_failures = match &self.route {
            Some(route) if outcome == CallOutcome::Ok && self.door != Door::Embeddings => {
                let offered = answer::offered_tools(&self.request);
                route.guard.check(GuardedAnswer {
                    text: &answer.text,
                    finish_reason: answer.finish_reason.as_deref(),
                    called_tools: &answer.called_tools,
                    offered_tools: offered.as_deref(),
                })
            }
            _ => Vec::new(),
        };
        let hashed = |user: String| match settings {
            Some(settings) if settings.hash_users => ContentHash::of_bytes(user.as_bytes()).to_string(),
            _ => user,
        };
        let record = RequestRecord {
            at: self.at,
            door: self.door,
            deployment: self.route.as_ref().map(|route| route.deployment.name.clone()),
            environment: self.route.as_ref().map(|route| route.deployment.environment.clone()),
            manifest: self.route.as_ref().map(|route| route.manifest_id.clone()),
            variant: None,
            stream: self.stream,
            user: self.said.user.take().map(hashed),
            session: self.said.session.take(),
            trace_id: self.trace_id.take(),
            tags: std::mem::take(&mut self.said.tags),
            usage,
            usage_estimated,
            cost: self.target.as_ref().and_then(|target| target.cost(usage)),
            first_byte_ms: self.first_byte_ms,
            total_ms: self.ended_ms.unwrap_or_else(|| ms(self.started)),
            status: self.status,
            outcome,
            error: self.error_text(&answer, outcome),
            soft_failures,
            attempts: std::mem::take(&mut self.attempts),
            request_body: kept(policy, || asked_text(&self.asked, settings.is_some_and(|s| s.hash_users))),
            response_body: kept(policy, || answer.shown()),
            model: self.model,
            model_answered: answer.model,
            fingerprint: answer.fingerprint,
            finish_reason: answer.finish_reason,
            key: self.key,
            id: self.id,
        };
        Recorded { project: self.project, record }
    }

    fn outcome(&self, answer: &Answer) -> CallOutcome {
        if let Some(outcome) = self.outcome {
            return outcome;
        }
        match &self.end {
            None => CallOutcome::Cancelled,
            Some(End::Cut(_)) => CallOutcome::Cut,
            Some(End::Complete) if self.status >= 400 || answer.error.is_some() => CallOutcome::UpstreamError,
            Some(End::Complete) => CallOutcome::Ok,
        }
    }

    fn error_text(&self, answer: &Answer, outcome: CallOutcome) -> Option<String> {
        if outcome == CallOutcome::Ok {
            return None;
        }
        let cut = match &self.end {
            Some(End::Cut(why)) => Some(why.clone()),
            _ => None,
        };
        self.error.clone().or(cut).or_else(|| answer.error.clone())
    }

    /// The provider's count, else an estimate from the text.
    fn usage(&self, answer: &Answer, outcome: CallOutcome) -> (Usage, bool) {
        if let Some(usage) = answer.usage {
            return (usage, false);
        }
        if matches!(outcome, CallOutcome::Refused | CallOutcome::Unavailable) || self.status >= 400 {
            return (Usage::default(), false);
        }
        let tokens = |chars: usize| chars.div_ceil(CHARS_PER_TOKEN) as u64;
        let prompt_tokens = tokens(answer::prompt_chars(&self.request));
        (Usage { prompt_tokens, completion_tokens: tokens(answer.text.chars().count()) }, true)
    }

    /// The deployment's policy; calls beyond its sampling keep no bodies. Without a deployment nothing but hashes is kept:
    /// nobody decided otherwise.
    fn body_policy(&self) -> BodyPolicy {
        let Some(route) = &self.route else { return BodyPolicy::Hashed };
        let settings = &route.deployment.settings;
        if settings.body_sampling < 1.0 && rand::random::<f64>() >= settings.body_sampling {
            return BodyPolicy::None;
        }
        settings.bodies
    }
}

/// What the caller sent, as text. Where users are kept as hashes, the fields that name them hold hashes too.
fn asked_text(body: &[u8], hash_users: bool) -> String {
    if hash_users && let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) {
        for place in ["/user", "/llmops/user", "/metadata/user_id"] {
            if let Some(serde_json::Value::String(user)) = value.pointer_mut(place) {
                *user = ContentHash::of_bytes(user.as_bytes()).to_string();
            }
        }
        return value.to_string();
    }
    String::from_utf8_lossy(body).into_owned()
}

fn kept(policy: BodyPolicy, text: impl FnOnce() -> String) -> Option<String> {
    Some(match policy {
        BodyPolicy::None => return None,
        BodyPolicy::Raw => text(),
        BodyPolicy::Full => redact(&text()).into_owned(),
        BodyPolicy::Hashed => ContentHash::of_bytes(text().as_bytes()).to_string(),
    })
}
