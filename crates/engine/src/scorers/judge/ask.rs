//! Asking one model to judge: prompt, cache, budget, retries.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use llmops_domain::chat::{ChatRequest, ChatResponse, Message, Parameters, RequestOrigin};
use llmops_domain::dataset::Sample;
use llmops_domain::hash::ContentHash;
use llmops_domain::judge::{JudgeFormatError, JudgeInput, JudgePrompt, JudgeTask};
use llmops_domain::render::RenderError;
use llmops_domain::scoring::JudgeCall;
use llmops_providers::{Answer, Providers, Target};

use super::super::{ScoreError, Scored};
use super::JudgeBudget;
use crate::Error;
use crate::cache::ResponseCache;

/// Between the trial numbers that a judge's repeated tries are told apart by.
const TRIES_APART: u32 = 1_000;
/// Between those of several judges that are the same model.
const TWINS_APART: u32 = 100_000;

/// Adds up what one sample's judges cost.
#[derive(Default)]
pub(in crate::scorers) struct Bill(Mutex<Calls>);

/// Calls that were answered, and the USD for them.
#[derive(Default, Clone, Copy)]
struct Calls {
    count: u32,
    usd: f64,
}

impl Bill {
    fn add(&self, usd: f64) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.count += 1;
        calls.usd += usd;
    }

    fn calls(&self) -> Calls {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// USD so far.
    pub(in crate::scorers) fn total(&self) -> f64 {
        self.calls().usd
    }

    /// Whether a judge was asked and answered: what comes from the cache does neither.
    pub(in crate::scorers) fn has_calls(&self) -> bool {
        self.calls().count > 0
    }
}

/// What every judge of a run shares.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) providers: Arc<Providers>,
    pub(super) cache: ResponseCache,
    pub(super) budget: Arc<JudgeBudget>,
}

/// One judging model, ready to be asked.
pub(super) struct Asker {
    bench: Bench,
    target: Target,
    /// `provider/model`.
    model: String,
    /// The name in transcripts: the model, numbered where it judges more than once.
    pub(super) label: String,
    call: JudgeCall,
    /// Tells judges of the same model apart in the cache.
    twin: u32,
}

impl Asker {
    pub(super) fn new(bench: &Bench, model: &str, call: &JudgeCall) -> Result<Self, Error> {
        Ok(Self {
            bench: bench.clone(),
            target: bench.providers.resolve(model)?,
            model: model.to_owned(),
            label: model.to_owned(),
            call: call.clone(),
            twin: 0,
        })
    }

    /// Several judges, of which some may be the same model.
    pub(super) fn several(bench: &Bench, models: &[String], call: &JudgeCall) -> Result<Vec<Self>, Error> {
        let mut askers: Vec<Self> = Vec::with_capacity(models.len());
        for model in models {
            let mut asker = Self::new(bench, model, call)?;
            let twins = askers.iter().filter(|other| other.model == *model).count();
            if twins > 0 {
                asker.twin = u32::try_from(twins).unwrap_or(u32::MAX / TWINS_APART);
                asker.label = format!("{model} #{}", twins + 1);
            }
            askers.push(asker);
        }
        Ok(askers)
    }

    /// Whether judgements come without waiting.
    pub(super) fn is_instant(&self) -> bool {
        self.target.is_instant()
    }

    /// Whether expected outputs are kept from the judge.
    pub(super) fn is_reference_free(&self) -> bool {
        self.call.reference_free
    }

    /// Asks until an answer can be read, as often as the retries allow. An answer that was read is kept for the next run; one that
    /// cannot be read is not, or that run would have nothing else.
    pub(super) async fn ask<T>(
        &self,
        (scored, bill): (Scored<'_>, &Bill),
        prompt: &JudgePrompt,
        (input, task): (&JudgeInput<'_>, &JudgeTask<'_>),
        read: impl Fn(&str) -> Result<T, JudgeFormatError>,
    ) -> Result<T, ScoreError> {
        let too_long = |error: RenderError| ScoreError::new("judge: request too long", error.to_string());
        let messages = prompt.messages(input, task).map_err(too_long)?;
        let cache = &self.bench.cache;
        let read = |response: &ChatResponse| match response.finish_reason.as_deref() {
            Some("length") => Err(JudgeFormatError::CutOff),
            _ => read(&prompt.clean(&response.text)),
        };
        let key = self.key(&self.request(scored, &messages, prompt, 0));
        if let Some(key) = &key
            && let Some(known) = cache.get(key).await
            && let Ok(answer) = read(&known.response)
        {
            return Ok(answer);
        }
        let mut last: Option<JudgeFormatError> = None;
        for attempt in 0..=self.call.retries {
            let called = self.ask_once(&self.request(scored, &messages, prompt, attempt), bill).await?;
            match read(&called.response) {
                Ok(answer) => {
                    if let Some(key) = &key {
                        cache.put(key, &called).await;
                    }
                    return Ok(answer);
                }
                Err(error) => last = Some(error),
            }
        }
        let reason = last.as_ref().map_or("judge: no answer", JudgeFormatError::reason);
        let why = last.as_ref().map(ToString::to_string).unwrap_or_default();
        let tries = self.call.retries + 1;
        let message = format!("{} gave no usable answer in {tries} tries: {why}", self.label);
        Err(ScoreError::new(reason, message))
    }

    fn request(&self, scored: Scored<'_>, messages: &[Message], prompt: &JudgePrompt, attempt: u32) -> ChatRequest {
        let mut parameters: Parameters = prompt.parameters().clone().overlaid(&self.call.parameters);
        parameters.temperature = parameters.temperature.or(Some(self.call.temperature));
        ChatRequest {
            model: self.target.model().to_owned(),
            messages: messages.to_vec(),
            parameters,
            tools: Vec::new(),
            response_format: None,
            // A provider that remembers its answers must not give the same broken one again.
            origin: RequestOrigin {
                sample_id: Some(scored.sample.id.clone()),
                trial: scored.trial + attempt * TRIES_APART + self.twin * TWINS_APART,
                ..RequestOrigin::default()
            },
        }
    }

    fn key(&self, request: &ChatRequest) -> Option<ContentHash> {
        if !self.target.is_cacheable() {
            return None;
        }
        ResponseCache::key(&self.model, self.target.fingerprint(), request)
    }

    async fn ask_once(&self, request: &ChatRequest, bill: &Bill) -> Result<Answer, ScoreError> {
        let Bench { providers, budget, .. } = &self.bench;
        let reservation = budget.reserve().await?;
        let answer = providers.chat(&self.target, request).await.map_err(|error| ScoreError {
            reason: format!("judge {}", error.reason()),
            message: format!("the judge {} failed: {error}", self.label),
            unavailable: error.is_unavailable(),
        })?;
        let cost = answer.cost.unwrap_or(0.0);
        reservation.settle(cost);
        bill.add(cost);
        Ok(answer)
    }
}

/// What the judge is told was asked: the input, behind the conversation it ends.
pub(super) fn question(sample: &Sample) -> Cow<'_, str> {
    if sample.messages.is_empty() {
        return Cow::Borrowed(&sample.input);
    }
    let said = |message: &Message| format!("{:?}: {}", message.role, message.as_text());
    let mut lines: Vec<String> = sample.messages.iter().map(said).collect();
    if !sample.input.is_empty() {
        lines.push(format!("User: {}", sample.input));
    }
    Cow::Owned(lines.join("\n\n"))
}
