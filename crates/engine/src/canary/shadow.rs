//! One pair: the candidate is asked what production was asked, the judge compares, and the pair is settled.

use std::time::Instant;

use llmops_domain::alert::Severity;
use llmops_domain::canary::pair::SeenAnswer;
use llmops_domain::canary::request::candidate_request;
use llmops_domain::canary::{
    BodyHandling, Canary, CanaryState, PairOutcome, PairStatus, PairVerdict, ShadowPair, ShadowTexts, SkipReason,
};
use llmops_domain::chat::Usage;
use llmops_domain::deployment::Deployment;
use llmops_domain::id::CanaryId;
use llmops_domain::render::CompiledTarget;
use llmops_domain::review::{NewReviewItem, ReviewReason};
use llmops_domain::soft_failure::{Guard, GuardedAnswer};
use llmops_metrics::refusal::refusal_rule;

use super::Canaries;
use super::sampler::kinds;
use super::steps::JUDGE;
use crate::Error;
use crate::cache::ResponseCache;
use crate::scorers::{PairJudge, TwoAnswers};

/// Pairs in a row without a verdict after which nobody is asked any more.
const UNJUDGED: u64 = 30;
/// Open items about lost pairs of one deployment: the canary tells how many there are, a person needs to see some.
const MOST_LOSSES: u64 = 100;

/// A candidate's answer.
struct Answered {
    text: String,
    seen: SeenAnswer,
}

impl Canaries {
    /// Answers and judges a pair that waits, and decides. Nothing happens where it does not wait any more.
    pub(crate) async fn work_on_pair(&self, id: &CanaryId, pair_id: &str) -> Result<(), Error> {
        let canary = match self.get(id.as_str(), None).await {
            Ok(canary) => canary,
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let found = self.services.store.find_shadow_pair(&self.project, id, pair_id).await?;
        let Some(pair) = found.filter(|pair| pair.status == PairStatus::Waiting) else { return Ok(()) };
        if !canary.state.is_under_way() {
            // Of a pause: nothing is asked until it ends. The pair waits, and is found again then.
            return Ok(());
        }
        let keep_texts = canary.policy.bodies == BodyHandling::Keep;
        if let Some(reason) = self.settle(&canary, pair, keep_texts).await? {
            self.services.store.drop_shadow_pair(&self.project, id, pair_id, reason).await?;
        }
        Ok(())
    }

    /// The same for a pair that waits in memory only, or why it is left out. It may have waited long: what counts is the
    /// canary as it is now.
    pub(super) async fn settle_from_memory(
        &self,
        id: &CanaryId,
        pair: ShadowPair,
    ) -> Result<Option<SkipReason>, Error> {
        let canary = self.get(id.as_str(), None).await?;
        if !canary.state.is_under_way() {
            return Ok(Some(SkipReason::Ended));
        }
        self.settle(&canary, pair, false).await
    }

    /// Answers, judges and settles a pair, and decides; or says why the pair is left out. Texts stay with it where they may.
    async fn settle(&self, canary: &Canary, pair: ShadowPair, keep_texts: bool) -> Result<Option<SkipReason>, Error> {
        let now = self.services.clock.now();
        let spent = self.services.store.canary_spending(now).await?.remove(&canary.id).unwrap_or(0.0);
        if spent >= canary.policy.budget.per_hour {
            return Ok(Some(SkipReason::HourlyBudget));
        }
        let Some(deployment) = self.unchanged(canary).await? else {
            self.decide(canary, None).await?;
            return Ok(Some(SkipReason::Ended));
        };
        let outcome = self.outcome(canary, &deployment, &pair).await?;
        let settled = pair.settled(outcome, keep_texts);
        let now = self.services.clock.now();
        let store = &self.services.store;
        let Some(settled) = store.settle_shadow_pair(&self.project, &canary.id, &settled, now).await? else {
            return Ok(None);
        };
        if let Err(error) = self.review_loss(canary, &settled.pair).await {
            tracing::warn!(canary = %canary.id, %error, "a lost pair did not come into the review queue");
        }
        // Decide on the canary as it is now: somebody may have paused it while the judge was thinking.
        let mut canary = self.get(canary.id.as_str(), None).await?;
        let unjudged = settled.evidence.unjudged_in_a_row;
        if unjudged == 0 && settled.evidence.unjudged >= UNJUDGED {
            self.is_well(&canary, JUDGE).await?;
        }
        if canary.state.is_under_way() && unjudged > 0 && unjudged.is_multiple_of(UNJUDGED) {
            canary = self.without_judge(canary, unjudged, settled.pair.error.as_deref()).await?;
        }
        if canary.state.is_under_way() {
            self.decide(&canary, Some(settled.evidence)).await?;
        }
        Ok(None)
    }

    /// Tells that the judge compares nothing, and asks and pays nobody any more until a person resumes the canary. Users who see the
    /// candidate keep it: its guardrails need no judge.
    async fn without_judge(&self, canary: Canary, unjudged: u64, error: Option<&str>) -> Result<Canary, Error> {
        let (place, judge) = (canary.place(), &canary.policy.judge.model);
        let why = error.map(|error| format!(": {error}")).unwrap_or_default();
        let reason = format!("the judge {judge} could not compare the last {unjudged} pairs{why}");
        let is_seen = canary.state != CanaryState::Shadowing;
        let then = if is_seen { "it goes on" } else { "it is paused" };
        let resume = format!("mend the judge, then llmops canary resume {}", canary.deployment);
        let message = format!("canary of {place}: {reason}; {then}: {resume}");
        self.raise(&canary, Severity::Warning, JUDGE, message).await?;
        if is_seen {
            return Ok(canary);
        }
        let (paused, id) = (canary.state.paused(), canary.id.clone());
        match self.by_hand(canary, paused, Some(reason), "canary.paused").await {
            // Somebody else was faster.
            Err(Error::Store(llmops_storage::StoreError::Conflict(_))) => self.get(id.as_str(), None).await,
            done => done,
        }
    }

    /// Brings a pair that the candidate lost into the review queue, where its texts are kept. A person may see it otherwise
    /// than the judge, and what the person does not dismiss becomes a sample or a pair to train on.
    async fn review_loss(&self, canary: &Canary, pair: &ShadowPair) -> Result<(), Error> {
        let Some(item) = review_item(canary, pair) else { return Ok(()) };
        let store = &self.services.store;
        let (reason, deployment) = (Some(ReviewReason::ShadowLoss), Some(canary.deployment.as_str()));
        if store.count_open_reviews(&self.project, reason, deployment).await? >= MOST_LOSSES {
            return Ok(());
        }
        // Records come in batches, a little later than pairs, and may be sampled.
        let user = store.find_record(&self.project, &pair.id).await?.and_then(|record| record.user);
        let queue = crate::review::ReviewQueue::new(self.services.clone(), self.project.clone());
        queue.add(NewReviewItem { user, ..item }).await?;
        Ok(())
    }

    async fn outcome(&self, canary: &Canary, deployment: &Deployment, pair: &ShadowPair) -> Result<PairOutcome, Error> {
        let Some(texts) = &pair.texts else {
            return Ok(PairOutcome::failed("what was asked is not there any more".to_owned()));
        };
        let answered = match self.answer(canary, deployment, texts).await? {
            Ok(answered) => answered,
            Err(why) => return Ok(PairOutcome::failed(why)),
        };
        let prompts = self.prompts();
        let cache = ResponseCache::new(self.services.store.clone(), self.project.clone(), false);
        let judge = PairJudge::load(&self.services, &prompts, &cache, &canary.policy.judge).await?;
        let question = texts.question();
        let two = TwoAnswers {
            id: &pair.id,
            question: &question,
            production: &texts.production_answer,
            candidate: &answered.text,
            candidate_first: pair.prompt_hash & 1 == 0,
        };
        let (judged, judge_cost) = judge.judge(two).await;
        let mut outcome = PairOutcome {
            status: PairStatus::Judged,
            candidate: Some(answered.seen),
            answer: Some(answered.text),
            verdict: None,
            flipped: false,
            scores: None,
            reasons: Vec::new(),
            error: None,
            judge_cost,
        };
        match judged {
            Ok(judged) => {
                outcome.verdict = Some(judged.verdict);
                outcome.flipped = judged.flipped;
                outcome.scores = Some(judged.scores);
                outcome.reasons = judged.reasons;
            }
            Err(error) => {
                outcome.status = PairStatus::Unjudged;
                outcome.error = Some(error.to_string());
            }
        }
        Ok(outcome)
    }

    /// The candidate's answer, or why there is none. An error is our own, and the pair is tried again.
    async fn answer(
        &self,
        canary: &Canary,
        deployment: &Deployment,
        texts: &ShadowTexts,
    ) -> Result<Result<Answered, String>, Error> {
        let deployments = self.deployments();
        let (_, manifest) = deployments.manifest(canary.candidate.as_str()).await?;
        let model = manifest.model.clone();
        let prompt = deployments.prompt_body(&manifest).await?;
        let asked = CompiledTarget::compile(manifest, prompt.as_ref())
            .and_then(|target| Ok((candidate_request(&target, texts, &deployment.settings)?, target)));
        let (request, compiled) = match asked {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(format!("the candidate's prompt cannot be rendered: {error}"))),
        };
        let target = self.services.providers.resolve(&model)?;
        let started = Instant::now();
        let answer = match self.services.providers.chat(&target, &request).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let waited = started.elapsed().as_secs_f64() * 1000.0;
        let mut response = answer.response;
        // As the gateway does with the answers that callers get.
        let misfit = compiled.post_process(&mut response.text).err();
        let called: Vec<String> = response.tool_calls.iter().map(|call| call.function.name.clone()).collect();
        let offered: Vec<String> = request
            .tools
            .iter()
            .filter_map(|tool| Some(tool.pointer("/function/name").or_else(|| tool.get("name"))?.as_str()?.to_owned()))
            .collect();
        let guard = Guard::compile(&deployment.settings.guard, request.response_format.as_ref()).unwrap_or_default();
        let found = guard.check(GuardedAnswer {
            text: &response.text,
            finish_reason: response.finish_reason.as_deref(),
            called_tools: &called,
            offered_tools: (request.tools.is_empty() || !offered.is_empty()).then_some(offered.as_slice()),
            declines: refusal_rule(&response.text).map(|rule| rule.name),
            ..GuardedAnswer::default()
        });
        let misfit = misfit.map(|error| error.soft_failure());
        let soft_failures = kinds(found.iter().chain(&misfit));
        // The time of the call that succeeded, as far as it is known: waiting in our own line is not the candidate's.
        let latency_ms = if response.latency_ms > 0.0 { response.latency_ms } else { waited };
        let seen = SeenAnswer {
            model,
            latency_ms,
            cost: answer.cost,
            usage_estimated: response.usage == Usage::default(),
            chars: response.text.chars().count() as u64,
            soft_failures,
        };
        let text = if response.text.is_empty() && !response.tool_calls.is_empty() {
            let calls =
                response.tool_calls.iter().map(|call| format!("{}({})", call.function.name, call.function.arguments));
            calls.collect::<Vec<_>>().join("\n")
        } else {
            response.text
        };
        Ok(Ok(Answered { text, seen }))
    }
}

/// A lost pair for the review queue; nothing where it was not lost, or its texts are gone.
fn review_item(canary: &Canary, pair: &ShadowPair) -> Option<NewReviewItem> {
    let texts = pair.texts.as_ref().filter(|_| pair.verdict == Some(PairVerdict::Loss))?;
    let (last, before) = texts.messages.split_last()?;
    let detail = match pair.reasons.first() {
        Some(reason) => format!("the candidate's answer lost: {reason}"),
        None => "the candidate's answer lost".to_owned(),
    };
    Some(NewReviewItem {
        request_id: Some(pair.id.clone()),
        deployment: Some(canary.deployment.clone()),
        manifest: Some(canary.candidate.clone()),
        input: last.as_text().into_owned(),
        messages: before.to_vec(),
        variables: texts.variables.clone(),
        output: texts.candidate_answer.clone(),
        suggestion: Some(texts.production_answer.clone()).filter(|text| !text.trim().is_empty()),
        ..NewReviewItem::new(ReviewReason::ShadowLoss, format!("shadow/{}/{}", canary.id, pair.id), detail)
    })
}
