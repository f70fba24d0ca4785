//! A judge of two live answers to the same request. It is told neither which of them production gave nor that there is
//! such a thing.

use std::sync::Arc;

use futures::future::join;
use llmops_domain::canary::PairVerdict;
use llmops_domain::canary::policy::CanaryJudge;
use llmops_domain::chat::ChatResponse;
use llmops_domain::dataset::Sample;
use llmops_domain::judge::{JudgeInput, JudgePrompt, JudgePromptKind, JudgeTask, Winner, parse_winner};
use llmops_domain::scoring::{JudgeCall, JudgeSpec, PairwiseSpec, ScorerSpec};

use super::ask::{Asker, Bill};
use super::prompts::written;
use super::{Judge, JudgeBudget, JudgeSetting};
use crate::cache::ResponseCache;
use crate::prompts::PromptRegistry;
use crate::scorers::{ScoreError, Scored};
use crate::{Error, Services};

/// The name in messages.
const NAME: &str = "canary judge";

/// A judge of pairs, ready to be asked.
pub(crate) struct PairJudge {
    asker: Asker,
    prompt: Arc<JudgePrompt>,
    /// Scores each answer alone, where the policy has a rubric.
    rubric: Option<Judge>,
    both_orders: bool,
}

/// Two answers to judge.
#[derive(Clone, Copy)]
pub(crate) struct TwoAnswers<'a> {
    /// What names the pair.
    pub(crate) id: &'a str,
    /// What was asked.
    pub(crate) question: &'a str,
    /// What production answered.
    pub(crate) production: &'a str,
    /// What the candidate answered.
    pub(crate) candidate: &'a str,
    /// Where one order is shown: whether the candidate comes first in it.
    pub(crate) candidate_first: bool,
}

/// What a judge says of a pair.
pub(crate) struct JudgedPair {
    /// Which answer was better, seen from the candidate.
    pub(crate) verdict: PairVerdict,
    /// Whether it changed its mind with the order.
    pub(crate) flipped: bool,
    /// Scores of production's and the candidate's answer.
    pub(crate) scores: (f64, f64),
    /// Why.
    pub(crate) reasons: Vec<String>,
}

impl PairJudge {
    /// Looks up the judge's prompts.
    pub(crate) async fn load(
        services: &Arc<Services>,
        prompts: &PromptRegistry,
        cache: &ResponseCache,
        judge: &CanaryJudge,
    ) -> Result<Self, Error> {
        let call = JudgeCall {
            temperature: 0.0,
            retries: 2,
            parameters: llmops_domain::chat::Parameters::default(),
            prompt: judge.prompt.clone(),
            reference_free: true,
        };
        let mut setting = JudgeSetting::bare(&services.providers, cache, JudgeBudget::new(None));
        let against = PairwiseSpec::REFERENCE.to_owned();
        let mut pairwise =
            ScorerSpec::Pairwise(PairwiseSpec { model: judge.model.clone(), against, call: call.clone() });
        let mut rubric = (!judge.rubric.is_empty()).then(|| {
            let call = JudgeCall { prompt: None, ..call.clone() };
            ScorerSpec::Judge(JudgeSpec { model: judge.model.clone(), rubric: judge.rubric.clone(), call })
        });
        for scorer in std::iter::once(&mut pairwise).chain(&mut rubric) {
            for slot in scorer.prompt_slots() {
                let reference = written(&slot);
                let version = prompts.resolve(&reference).await?;
                setting.add_prompt(reference, version);
            }
        }
        Ok(Self {
            asker: Asker::new(&setting.bench, &judge.model, &call)?,
            prompt: setting.prompt(NAME, &pairwise, JudgePromptKind::Pairwise)?,
            rubric: match &rubric {
                Some(scorer) => Judge::compile(NAME, scorer, &setting)?,
                None => None,
            },
            both_orders: judge.both_orders,
        })
    }

    /// Judges a pair. What it cost is the second value, whatever comes of it.
    pub(crate) async fn judge(&self, pair: TwoAnswers<'_>) -> (Result<JudgedPair, Error>, f64) {
        let bill = Bill::default();
        let judged = self.ask(pair, &bill).await;
        let failed = |error: ScoreError| Error::Unscored { reason: error.reason, message: error.message };
        (judged.map_err(failed), bill.total())
    }

    async fn ask(&self, pair: TwoAnswers<'_>, bill: &Bill) -> Result<JudgedPair, ScoreError> {
        let sample = Sample { id: pair.id.to_owned(), input: pair.question.to_owned(), ..Sample::default() };
        let response = ChatResponse::default();
        let compare = async |first: &str, second: &str| {
            let input = JudgeInput { question: pair.question, candidate: first, references: &[], context: &[] };
            let task = JudgeTask::Pairwise(second);
            self.asker.ask((shown(&sample, &response, first), bill), &self.prompt, (&input, &task), parse_winner).await
        };
        let (ours, theirs) = (pair.candidate, pair.production);
        let mut said: Vec<(PairVerdict, Option<String>)> = Vec::new();
        if self.both_orders {
            let (one, other) = join(compare(ours, theirs), compare(theirs, ours)).await;
            let ((one, one_reason), (other, other_reason)) = (one?, other?);
            said.extend([(seen(one, true), one_reason), (seen(other, false), other_reason)]);
        } else if pair.candidate_first {
            let (winner, reason) = compare(ours, theirs).await?;
            said.push((seen(winner, true), reason));
        } else {
            let (winner, reason) = compare(theirs, ours).await?;
            said.push((seen(winner, false), reason));
        }
        let flipped = said.iter().any(|(verdict, _)| *verdict != said[0].0);
        let verdict = if flipped { PairVerdict::Tie } else { said[0].0 };
        let scores = if let Some(rubric) = &self.rubric {
            let (theirs, ours) = join(
                rubric.score(NAME, shown(&sample, &response, theirs), bill),
                rubric.score(NAME, shown(&sample, &response, ours), bill),
            )
            .await;
            (theirs?.score, ours?.score)
        } else {
            let points: f64 = said.iter().map(|(verdict, _)| points(*verdict)).sum::<f64>() / said.len() as f64;
            (1.0 - points, points)
        };
        Ok(JudgedPair {
            verdict,
            flipped,
            scores,
            reasons: said.into_iter().filter_map(|(_, reason)| reason).collect(),
        })
    }
}

/// An answer as scorers take it.
fn shown<'a>(sample: &'a Sample, response: &'a ChatResponse, output: &'a str) -> Scored<'a> {
    Scored { sample, trial: 0, output, response, cost: None }
}

/// The winner seen from the candidate.
fn seen(winner: Winner, candidate_first: bool) -> PairVerdict {
    match (winner, candidate_first) {
        (Winner::Tie, _) => PairVerdict::Tie,
        (Winner::First, true) | (Winner::Second, false) => PairVerdict::Win,
        (Winner::First, false) | (Winner::Second, true) => PairVerdict::Loss,
    }
}

fn points(verdict: PairVerdict) -> f64 {
    match verdict {
        PairVerdict::Win => 1.0,
        PairVerdict::Tie => 0.5,
        PairVerdict::Loss => 0.0,
    }
}
