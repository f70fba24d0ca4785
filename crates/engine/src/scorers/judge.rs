//! The rubric judge: a model scores the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use llmops_domain::chat::{ChatRequest, RequestOrigin};
use llmops_domain::judge::{self, JudgeAnswer, JudgeInput};
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
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cost is small and not negative")]
        self.spent_micros.fetch_add((usd.max(0.0) * 1e6).round() as u64, Ordering::Relaxed);
    }

    fn exhausted(&self) -> Option<f64> {
        self.limit.filter(|limit| self.spent_micros.load(Ordering::Relaxed) as f64 / 1e6 >= *limit)
    }
}

/// A compiled judge.
pub(super) struct Judge {
    spec: JudgeSpec,
    providers: Arc<Providers>,
    target: Target,
    cache: ResponseCache,
}

impl Judge {
    pub(super) fn new(spec: &JudgeSpec, providers: &Arc<Providers>, cache: &ResponseCache) -> Result<Self, Error> {
        let target = providers.resolve(&spec.model)?;
        Ok(Self { spec: spec.clone(), providers: providers.clone(), target, cache: cache.clone() })
    }

    /// The judge's overall score with its axes, and what it cost; errors carry what was spent in vain.
    pub(super) async fn score(
        &self,
        scored: Scored<'_>,
        budget: &JudgeBudget,
    ) -> Result<(MetricScore, f64), (ScoreError, f64)> {
        let mut spent = 0.0;
        let mut last = None;
        for attempt in 0..=self.spec.retries {
            if let Some(limit) = budget.exhausted() {
                let message = format!("the judges of this run have spent their {limit} USD (scoring.max_judge_cost)");
                return Err((ScoreError::new("judge: budget spent", message), spent));
            }
            let request = self.request(scored, attempt);
            let (text, cost) = self.ask(&request).await.map_err(|e| (e, spent))?;
            spent += cost;
            budget.spend(cost);
            match judge::parse_answer(&text, &self.spec.rubric) {
                Ok(answer) => return Ok((self.to_score(&answer), spent)),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|e| e.to_string()).unwrap_or_default();
        let message = format!("{} did not keep to the format in {} tries: {why}", self.spec.model, self.spec.retries + 1);
        Err((ScoreError::new("judge: bad format", message), spent))
    }

    fn request(&self, scored: Scored<'_>, attempt: u32) -> ChatRequest {
        let input = JudgeInput {
            question: &scored.sample.input,
            conversation: &scored.sample.messages,
            candidate: scored.output,
            references: &scored.sample.expected_output,
            context: &scored.sample.context,
            rubric: &self.spec.rubric,
        };
        let mut parameters = self.spec.parameters.clone();
        parameters.temperature = parameters.temperature.or(Some(self.spec.temperature));
        ChatRequest {
            model: self.target.model().to_owned(),
            messages: judge::messages(&input),
            parameters,
            tools: Vec::new(),
            response_format: None,
            // A repeated question must not be answered from the cache with the same broken answer.
            origin: RequestOrigin {
                sample_id: Some(scored.sample.id.clone()),
                trial: scored.trial + attempt * 1000,
                ..RequestOrigin::default()
            },
        }
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
                "prompt": judge::prompt_label(),
                "prompt_hash": judge::prompt_hash(),
            })),
        }
    }
}
