//! From a call to its request record, off the path: the hot path hands over what it saw, the record is made by whoever
//! reads the channel.

mod spent;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use llmops_domain::canary::SeenCall;
use llmops_domain::chat::Usage;
use llmops_domain::id::{self, ProjectId};
use llmops_domain::record::{BodyPolicy, CallOutcome, Door, RequestRecord};
use llmops_domain::redact::redact;
use llmops_domain::soft_failure::{GuardAction, GuardConfig, GuardedAnswer, SoftFailure, SoftFailureKind};
use llmops_metrics::refusal::refusal_rule;
use llmops_providers::Target;
use llmops_providers::http_client::error_message;
use llmops_providers::stream::Piece;
use tokio::sync::mpsc;

use crate::answer::{self, Answer};
use crate::attempts::Attempts;
use crate::bodies::{asked_text, hide_people, kept};
use crate::cache::Fill;
use crate::canary::{self, Heard};
use crate::captured::Captured;
use crate::request::Extension;
use crate::snapshot::Route;
use crate::told::Told;

pub(crate) use self::spent::plus;

/// A record, whose it is, and what those may need who look at the call once more.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The project.
    pub project: ProjectId,
    /// The record.
    pub record: RequestRecord,
    /// The body that the provider got, whatever the record keeps of it.
    pub request: Bytes,
    /// The answer's text, whatever the record keeps of it.
    pub answer: String,
    /// What a canary compares with, where the deployment has one.
    pub seen: Option<Box<SeenCall>>,
    /// The caller's span, as its header `traceparent` names it.
    pub traceparent: Option<String>,
    route: Option<Arc<Route>>,
}

impl Recorded {
    /// The guard of the deployment that answered.
    pub fn guard(&self) -> Option<&GuardConfig> {
        self.route.as_ref().map(|route| route.guard.config())
    }

    /// The version of the model that the manifest names, where it names one.
    pub fn pinned_version(&self) -> Option<&str> {
        self.route.as_ref()?.target.manifest().model_version.as_deref()
    }
}

/// The gateway's end of the channel.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::UnboundedSender<Box<Call>>);

/// The other end: calls that have ended.
#[derive(Debug)]
pub struct Recordings(mpsc::UnboundedReceiver<Box<Call>>);

/// A call that has ended and has no record yet.
#[derive(Debug)]
pub struct Ended(Box<Call>);

impl Recorder {
    /// A channel. It has no limit of its own: a call that happened has a record, so whoever reads must keep up.
    pub fn channel() -> (Self, Recordings) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Recordings(receiver))
    }
}

impl Recordings {
    /// The next call that has ended; nothing when the gateway is gone and all its calls have ended.
    pub async fn next(&mut self) -> Option<Ended> {
        self.0.recv().await.map(Ended)
    }
}

impl Ended {
    /// Bytes that making the record reads.
    pub fn size(&self) -> usize {
        self.0.asked.len() + self.0.request.len() + self.0.captured.len()
    }

    /// Makes the record: reads the answer, checks it, and takes out of the bodies what shall not be kept. For a few kilobytes
    /// this takes some microseconds; a record of megabytes is nothing for a thread that others wait for.
    pub fn into_recorded(self) -> Recorded {
        self.0.into_recorded()
    }
}

/// Why a stream that stopped without its end broke off.
pub(crate) const CUT: &str = "the model provider's answer stopped before its end";

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
    /// The experiment's variant, as `experiment/variant`.
    pub(crate) variant: Option<String>,
    /// What the guard did.
    pub(crate) guard: Vec<GuardAction>,
    /// What the guard found in an answer that the caller did not get.
    pub(crate) found: Vec<SoftFailure>,
    /// The step of the manifest that the caller's answer does not fit.
    pub(crate) misfit: Option<SoftFailure>,
    /// Tokens of answers that the caller did not get.
    pub(crate) discarded: Usage,
    /// USD for them, at the prices of the models that gave them.
    pub(crate) discarded_cost: Option<f64>,
    /// Where the answer is kept for equal requests.
    pub(crate) fill: Option<Fill>,
    pub(crate) cached: bool,
    /// What the provider said, where the caller's answer is a translation of it.
    pub(crate) told: Option<Told>,
    /// The model asked last.
    pub(crate) model: String,
    pub(crate) target: Option<Target>,
    pub(crate) attempts: Attempts,
    /// What the caller sent.
    pub(crate) asked: Bytes,
    /// What was sent on; until then, what the caller sent.
    pub(crate) request: Bytes,
    /// The caller's trace.
    pub(crate) trace_id: Option<String>,
    /// The caller's span in it.
    pub(crate) traceparent: Option<String>,
    /// The caller's own request, where a canary wants it.
    pub(crate) heard: Option<Heard>,
    pub(crate) status: u16,
    /// What went wrong, where the gateway knows it before reading the answer.
    pub(crate) error: Option<String>,
    pub(crate) outcome: Option<CallOutcome>,
    first_byte_ms: Option<f64>,
    captured: Captured,
    end: Option<End>,
    ended_ms: Option<f64>,
}

/// Who gives the answer that a call has so far.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) target: Option<Target>,
    model: String,
    request: Bytes,
    error: Option<String>,
    outcome: Option<CallOutcome>,
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
        let at = llmops_domain::clock::now();
        let call = Call {
            id: id::request(at.as_millisecond(), rand::random()),
            project,
            key,
            door,
            at,
            started: Instant::now(),
            route: None,
            said: Extension::default(),
            stream: false,
            variant: None,
            guard: Vec::new(),
            found: Vec::new(),
            misfit: None,
            discarded: Usage::default(),
            discarded_cost: None,
            fill: None,
            cached: false,
            told: None,
            model: String::new(),
            target: None,
            attempts: Attempts::default(),
            asked: Bytes::new(),
            request: Bytes::new(),
            trace_id: None,
            traceparent: None,
            heard: None,
            status: 499,
            error: None,
            outcome: None,
            first_byte_ms: None,
            captured: Captured::default(),
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

    /// Who gives the answer that is there.
    pub(crate) fn answering(&self) -> Answering {
        let call = self.call.as_deref();
        Answering {
            target: call.and_then(|call| call.target.clone()),
            model: call.map(|call| call.model.clone()).unwrap_or_default(),
            request: self.request(),
            error: call.and_then(|call| call.error.clone()),
            outcome: call.and_then(|call| call.outcome),
        }
    }

    /// Goes back to an answer that was there before others were asked, in vain.
    pub(crate) fn restore(&mut self, before: Answering) {
        self.with(|call| {
            let Answering { target, model, request, error, outcome } = before;
            (call.target, call.model, call.request) = (target, model, request);
            (call.error, call.outcome) = (error, outcome);
        });
    }

    /// The id that the answer carries.
    pub(crate) fn id(&self) -> &str {
        self.call.as_ref().map_or("", |call| &call.id)
    }

    /// The body that the provider got.
    pub(crate) fn request(&self) -> Bytes {
        self.call.as_ref().map(|call| call.request.clone()).unwrap_or_default()
    }

    /// The step of the manifest that the answer does not fit.
    pub(crate) fn misfit(&self) -> Option<SoftFailure> {
        self.call.as_ref().and_then(|call| call.misfit.clone())
    }

    /// Tokens of answers that the caller did not get.
    pub(crate) fn discarded(&self) -> Usage {
        self.call.as_ref().map(|call| call.discarded).unwrap_or_default()
    }

    /// The attempts of the call.
    pub(crate) fn attempts(&self) -> Attempts {
        self.call.as_ref().map(|call| call.attempts.clone()).unwrap_or_default()
    }

    /// Notes a piece of the answer.
    pub(crate) fn capture(&mut self, data: &Bytes) {
        self.with(|call| {
            if call.first_byte_ms.is_none() {
                call.first_byte_ms = Some(ms(call.started));
            }
            call.captured.add(data);
        });
    }

    /// Notes a piece of what the provider says, where the caller gets it translated.
    pub(crate) fn hear(&mut self, piece: &Piece) {
        self.with(|call| call.told.get_or_insert_default().hear(piece));
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
            // Without a reader the process is ending, and nobody is left to keep records.
            drop(self.recorder.0.send(call));
        }
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

impl Call {
    fn into_recorded(mut self: Box<Self>) -> Recorded {
        let captured = self.captured.take();
        let mut answer = self.captured.read(&captured);
        if let Some(told) = &self.told {
            told.correct(&mut answer);
        }
        let outcome = self.outcome(&answer);
        let (attempts, timed_out) = self.attempts.take();
        let (usage, cost, usage_estimated) = self.spent(&answer, outcome, (&attempts, &timed_out));
        let soft_failures = self.soft_failures(&answer, outcome);
        let policy = self.body_policy();
        hide_people(&mut self.said, self.route.as_deref());
        if let Some(fill) = self.fill.take()
            && outcome == CallOutcome::Ok
            && soft_failures.is_empty()
            && !self.captured.is_too_long
        {
            fill.put(captured.clone(), self.told.take(), &self.model);
        }
        let heard = self.heard.take();
        let seen = heard
            .and_then(|heard| canary::seen(self.route.as_deref()?, heard, (&self.asked, self.stream), &answer))
            .map(Box::new);
        let shown = answer.shown();
        let record = RequestRecord {
            at: self.at,
            door: self.door,
            deployment: self.route.as_ref().map(|route| route.deployment.name.clone()),
            environment: self.route.as_ref().map(|route| route.deployment.environment.clone()),
            manifest: self.route.as_ref().filter(|r| r.fixed_answer.is_none()).map(|r| r.manifest_id.clone()),
            safe_mode: self.route.as_ref().is_some_and(|route| route.deployment.safe_mode),
            variant: self.variant.take(),
            stream: self.stream,
            user: self.said.user.take(),
            session: self.said.session.take(),
            trace_id: self.trace_id.take(),
            tags: std::mem::take(&mut self.said.tags),
            usage,
            usage_estimated,
            cost,
            first_byte_ms: self.first_byte_ms,
            total_ms: self.ended_ms.unwrap_or_else(|| ms(self.started)),
            status: self.status,
            outcome,
            error: self.error_text(&answer, outcome, &captured),
            soft_failures,
            undecided: Vec::new(),
            guard: std::mem::take(&mut self.guard),
            cached: self.cached,
            attempts,
            request_body: kept(policy, || asked_text(&self.asked, self.route.as_deref())),
            response_body: kept(policy, || Cow::Borrowed(&shown)),
            model: self.model,
            model_answered: answer.model,
            fingerprint: answer.fingerprint,
            finish_reason: answer.finish_reason,
            key: self.key,
            id: self.id,
        };
        Recorded {
            project: self.project,
            record,
            request: self.request,
            answer: shown,
            seen,
            traceparent: self.traceparent,
            route: self.route,
        }
    }

    /// What is wrong with the answer, or was with one that the caller did not get.
    fn soft_failures(&mut self, answer: &Answer, outcome: CallOutcome) -> Vec<SoftFailure> {
        match self.route.as_ref().filter(|route| route.fixed_answer.is_none()) {
            _ if !self.found.is_empty() => std::mem::take(&mut self.found),
            // A kept answer was looked at when it came.
            Some(route) if outcome == CallOutcome::Ok && self.door != Door::Embeddings && !self.cached => {
                let mut found = guarded(route, &self.request, answer);
                found.extend(self.misfit.take());
                found
            }
            _ => Vec::new(),
        }
    }

    fn outcome(&self, answer: &Answer) -> CallOutcome {
        if let Some(outcome) = self.outcome {
            return outcome;
        }
        match &self.end {
            None => CallOutcome::Cancelled,
            Some(End::Cut(_)) => CallOutcome::Cut,
            Some(End::Complete) if self.status >= 400 || answer.error.is_some() => CallOutcome::UpstreamError,
            Some(End::Complete) if answer.is_cut => CallOutcome::Cut,
            Some(End::Complete) => CallOutcome::Ok,
        }
    }

    /// What went wrong, without what nobody may read: providers repeat keys, and what their callers sent.
    fn error_text(&self, answer: &Answer, outcome: CallOutcome, body: &[u8]) -> Option<String> {
        let text = match (&self.error, &self.end) {
            _ if outcome == CallOutcome::Ok => return None,
            (Some(error), _) => error.clone(),
            (None, Some(End::Cut(why))) => why.clone(),
            _ if answer.error.is_some() => answer.error.clone()?,
            _ if outcome == CallOutcome::Cut => CUT.to_owned(),
            _ if outcome == CallOutcome::UpstreamError && !body.is_empty() => error_message(body),
            _ => return None,
        };
        let text = match &self.target {
            Some(target) => target.redact(text),
            None => text,
        };
        Some(redact(&text).into_owned())
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

/// Everything that is wrong with an answer, in any of its choices.
pub(crate) fn guarded(route: &Route, request: &[u8], answer: &Answer) -> Vec<SoftFailure> {
    // The request is read once more only where it has something to say.
    let asks = answer::asks(request, answer.choices().any(|choice| !choice.called_tools.is_empty()));
    let mut found: Vec<SoftFailure> = Vec::new();
    let looks = route.guard.config().refusal;
    let declines = |text: &str| if looks { refusal_rule(text).map(|rule| rule.name) } else { None };
    for choice in answer.choices() {
        let mut wrong = route.guard.check(GuardedAnswer {
            text: &choice.text,
            finish_reason: choice.finish_reason.as_deref(),
            called_tools: &choice.called_tools,
            offered_tools: asks.tools.as_deref(),
            is_refusal: choice.is_refusal,
            declines: declines(&choice.text),
            response_format: asks.response_format.as_ref(),
        });
        // Pictures are an answer, and so may be what could not be read. Each kind is told once.
        wrong.retain(|failure| failure.kind != SoftFailureKind::Empty || !choice.is_opaque);
        wrong.retain(|failure| found.iter().all(|known| known.kind != failure.kind));
        found.extend(wrong);
    }
    found
}
