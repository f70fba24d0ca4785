//! The rubric judge: a model scores the answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use llmops_domain::chat::Message;
use llmops_domain::chat::{ChatRequest, RequestOrigin};
use llmops_domain::dataset::Sample;
use llmops_domain::hash::ContentHash;
use llmops_domain::judge::{self, JudgeAnswer, JudgeInput};
use llmops_domain::render::RenderError;
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::JudgeSpec;
use llmops_providers::{Providers, Target};
use serde_json::json;

use super::{ScoreError, Scored};
use crate::Error;
use crate::cache::ResponseCache;

/// What judges may still spend, in micro-dollars. Shared by all samples of a run.
pub(super) struct JudgeBudget {
    limit: Option<f64>,
    spent_micros: AtomicU64,
}

impl JudgeBudget {
    pub(super) fn new(limit: Option<f64>) -> Self {
        Self { limit, spent_micros: AtomicU64::new(0) }
    }

    fn spend(&self, usd: f64) {
        self.spent_micros.fetch_add(to_micros(usd), Ordering::Relaxed);
    }

    /// Hears what the judges of the run have spent in all processes, before it was resumed included.
    pub(super) fn note_spent(&self, usd: f64) {
        self.spent_micros.fetch_max(to_micros(usd), Ordering::Relaxed);
    }

    fn exhausted(&self) -> Option<f64> {
        self.limit.filter(|limit| self.spent_micros.load(Ordering::Relaxed) as f64 / 1e6 >= *limit)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cost is small and not negative")]
fn to_micros(usd: f64) -> u64 {
    (usd.max(0.0) * 1e6).round() as u64
}

/// A compiled judge.
pub(super) struct Judge {
    spec: JudgeSpec,
    providers: Arc<Providers>,
    target: Target,
    cache: ResponseCache,
    /// Hash of the judge's prompt: every score leads back to it.
    prompt_hash: ContentHash,
}

impl Judge {
    pub(super) fn new(spec: &JudgeSpec, providers: &Arc<Providers>, cache: &ResponseCache) -> Result<Self, Error> {
        let target = providers.resolve(&spec.model)?;
        let prompt_hash = judge::judge_prompt().body.hash().map_err(|e| Error::Internal(e.to_string()))?;
        Ok(Self { spec: spec.clone(), providers: providers.clone(), target, cache: cache.clone(), prompt_hash })
    }

    /// Whether judgements come without waiting.
    pub(super) fn is_instant(&self) -> bool {
        self.target.is_instant()
    }

    /// The judge's overall score with its axes, and what it cost; errors carry what was spent in vain.
    pub(super) async fn score(
        &self,
        scored: Scored<'_>,
        budget: &JudgeBudget,
    ) -> Result<(MetricScore, f64), (ScoreError, f64)> {
        let mut spent = 0.0;
        let mut last: Option<judge::JudgeFormatError> = None;
        for attempt in 0..=self.spec.retries {
            if let Some(limit) = budget.exhausted() {
                let message = format!("the judges of this run have spent their {limit} USD (scoring.max_judge_cost)");
                return Err((ScoreError::new("judge: budget spent", message), spent));
            }
            let request = self
                .request(scored, attempt)
                .map_err(|e| (ScoreError::new("judge: request too long", e.to_string()), spent))?;
            let (text, cost) = self.ask(&request).await.map_err(|e| (e, spent))?;
            spent += cost;
            budget.spend(cost);
            match judge::parse_answer(&text, &self.spec.rubric) {
                Ok(answer) => return Ok((self.to_score(&answer), spent)),
                Err(error) => last = Some(error),
            }
        }
        let reason = last.as_ref().map_or("judge: no answer", judge::JudgeFormatError::reason);
        let why = last.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = format!("{} gave no usable answer in {} tries: {why}", self.spec.model, self.spec.retries + 1);
        Err((ScoreError::new(reason, message), spent))
    }

    fn request(&self, scored: Scored<'_>, attempt: u32) -> Result<ChatRequest, RenderError> {
        let input = JudgeInput {
            question: &question(scored.sample),
            candidate: scored.output,
            references: &scored.sample.expected_output,
            context: &scored.sample.context,
            rubric: &self.spec.rubric,
        };
        let mut parameters = self.spec.parameters.clone();
        parameters.temperature = parameters.temperature.or(Some(self.spec.temperature));
        Ok(ChatRequest {
            model: self.target.model().to_owned(),
            messages: judge::judge_messages(&input)?,
            parameters,
            tools: Vec::new(),
            response_format: None,
            // A repeated question must not be answered from the cache with the same broken answer.
            origin: RequestOrigin {
                sample_id: Some(scored.sample.id.clone()),
                trial: scored.trial + attempt * 1000,
                ..RequestOrigin::default()
            },
        })
    }

    async fn ask(&self, request: &ChatRequest) -> Result<(String, f64), ScoreError> {
        let key = if self.target.is_cacheable() {
            self.cache.key(&self.spec.model, self.target.fingerprint(), request)
        } else {
            None
        };
        if let Some(key) = &key {
            let known = self.cache.get_many(std::slice::from_ref(key)).await;
            if let Some(answer) = known.unwrap_or_default().remove(key) {
                return Ok((answer.response.text, 0.0));
            }
        }
        let answer = self.providers.chat(&self.target, request).await.map_err(|error| ScoreError {
            reason: format!("judge {}", error.reason()),
            message: format!("the judge {} failed: {error}", self.spec.model),
            unavailable: error.is_unavailable(),
        })?;
        if let Some(key) = &key {
            self.cache.put(key, &answer).await;
        }
        Ok((answer.response.text, answer.cost.unwrap_or(0.0)))
    }

    fn to_score(&self, answer: &JudgeAnswer) -> MetricScore {
        MetricScore {
            score: answer.overall,
            reason: answer.reason.clone(),
            detail: Some(json!({
                "axes": answer.axes,
                "judge": self.spec.model,
                "prompt": format!("{}@{}", judge::PROMPT_NAME, judge::PROMPT_VERSION),
                "prompt_hash": self.prompt_hash,
            })),
        }
    }
}

/// What the judge is told was asked: the input, behind the conversation it ends.
fn question(sample: &Sample) -> Cow<'_, str> {
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
