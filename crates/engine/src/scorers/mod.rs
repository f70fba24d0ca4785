//! Scorers: from a scoring specification to scores.
//!
//! Text scorers are pure and run in place; a judge asks a model. `text` holds the first kind, with `compare` and `agent`
//! for those that need more than a line; `judge` the second, `external` programs and endpoints of the user's. `embedding`
//! compares embeddings, many answers at a time.

mod agent;
mod assertions;
mod check;
mod compare;
mod embedding;
mod external;
mod judge;
mod list;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use llmops_domain::chat::ChatResponse;
use llmops_domain::dataset::Sample;
use llmops_domain::post_process::PostProcessError;
use llmops_domain::run::{MetricScore, Outcome};
use llmops_domain::scoring::{self, ScorerSpec, ScoringSpec};
use llmops_providers::outbound::Outbound;
use llmops_storage::{Store, VersionKey};

use self::embedding::EmbeddingScorers;
use self::external::ExternalScorer;
pub use self::external::OwnScorers;
use self::judge::{Bill, Judge};
use self::text::{TextScorer, TextScratch};
use crate::Error;
use crate::models::Models;

pub(crate) use self::check::check;
pub use self::judge::DebateEvaluator;
pub(crate) use self::judge::{BUDGET_REASON, JudgeBudget, JudgeSetting, PairJudge, TwoAnswers, pin_judges};

/// What a scorer looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored<'a> {
    /// The sample.
    pub(crate) sample: &'a Sample,
    /// The trial, from 0.
    pub(crate) trial: u32,
    /// The answer after post-processing.
    pub(crate) output: &'a str,
    /// The answer as it came.
    pub(crate) response: &'a ChatResponse,
    /// USD that the answer cost when it was asked, whether it came from the cache by now or not; none where the model has no price.
    pub(crate) cost: Option<f64>,
}

/// Why a sample has no score.
#[derive(Debug, Clone)]
pub(crate) struct ScoreError {
    /// Short and stable, to count by.
    pub(crate) reason: String,
    /// The whole story.
    pub(crate) message: String,
    /// Whether the judge's provider cannot be reached.
    pub(crate) unavailable: bool,
}

impl ScoreError {
    fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), unavailable: false }
    }
}

/// What came of scoring an answer.
pub(crate) struct ScoredAnswer {
    /// Its scores, or why there are none.
    pub(crate) outcome: Outcome,
    /// USD that the judges cost.
    pub(crate) judge_cost: f64,
    /// Whether judges, programs and endpoints could be asked.
    pub(crate) reached: Reached,
}

/// Whether those whom a score needs could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// All who were asked answered.
    All,
    /// One cannot be reached.
    NotAll,
    /// Nobody was asked.
    NobodyAsked,
}

enum Scorer {
    Text(TextScorer),
    External(Box<ExternalScorer>),
    Judge(Box<Judge>),
}

/// The scorers of a run, compiled.
pub(crate) struct Scorers {
    spec: ScoringSpec,
    by_name: Vec<(String, Scorer)>,
    embeddings: EmbeddingScorers,
    budget: Arc<JudgeBudget>,
}

impl Scorers {
    /// Compiles a specification; everything that is wrong with it is an [`Error::Invalid`].
    pub(crate) fn compile(
        spec: &ScoringSpec,
        judges: &JudgeSetting,
        own: &OwnScorers,
        models: &Arc<Models>,
        outbound: &Outbound,
    ) -> Result<Self, Error> {
        let is_embedding = |spec: &ScorerSpec| spec.embedding_model().is_some();
        let mut by_name = Vec::with_capacity(spec.metrics.len());
        for (name, metric) in spec.metrics.iter().filter(|(_, metric)| !is_embedding(&metric.scorer)) {
            let named = |error| match error {
                Error::Provider(error) => Error::invalid(format!("metric `{name}`: {error}")),
                other => other,
            };
            let scorer = match Judge::compile(name, &metric.scorer, judges).map_err(named)? {
                Some(judge) => Scorer::Judge(Box::new(judge)),
                None => match ExternalScorer::compile(name, &metric.scorer, own, judges.providers(), outbound)? {
                    Some(external) => Scorer::External(Box::new(external)),
                    None => Scorer::Text(TextScorer::compile(name, &metric.scorer)?),
                },
            };
            by_name.push((name.clone(), scorer));
        }
        let embedding = spec.metrics.iter().filter(|(_, metric)| is_embedding(&metric.scorer));
        let embedding = embedding.map(|(name, metric)| (name.clone(), metric.scorer.clone()));
        let embeddings = EmbeddingScorers::new(embedding, models);
        Ok(Self { spec: spec.clone(), by_name, embeddings, budget: judges.budget() })
    }

    /// Why no answer can be judged any more, once the judges have spent what they may: then none need be asked for.
    pub(crate) fn exhausted(&self) -> Option<ScoreError> {
        let is_judged = self.by_name.iter().any(|(_, scorer)| matches!(scorer, Scorer::Judge(_)));
        if is_judged { self.budget.exhausted() } else { None }
    }

    /// Hears what the judges of the run have spent in all processes that work on it.
    pub(crate) fn note_spent(&self, usd: f64) {
        self.budget.note_spent(usd);
    }

    /// Gets ready to score answers to a dataset version: loads models.
    pub(crate) async fn prepare(&self, store: &Store, dataset: VersionKey) -> Result<(), Error> {
        self.embeddings.prepare(store, dataset).await
    }

    /// Whether scoring never waits: neither for a model nor for others to be embedded together with.
    pub(crate) fn is_instant(&self) -> bool {
        self.embeddings.is_empty()
            && self.by_name.iter().all(|(_, scorer)| match scorer {
                Scorer::Text(_) => true,
                Scorer::External(_) => false,
                Scorer::Judge(judge) => judge.is_instant(),
            })
    }

    /// Scores one answer.
    pub(crate) async fn score(&self, scored: Scored<'_>) -> ScoredAnswer {
        let bill = Bill::default();
        let (outcome, reached) = match self.scores(scored, &bill).await {
            Ok((scores, asked)) => {
                let composite = scoring::composite(&scores, &self.spec);
                let (passed, failures) = scoring::pass(&scores, &self.spec);
                let reached = if asked || bill.has_calls() { Reached::All } else { Reached::NobodyAsked };
                (Outcome::Scored { scores, composite, passed, failures }, reached)
            }
            Err(error) if error.unavailable => (errored(error), Reached::NotAll),
            Err(error) => (errored(error), if bill.has_calls() { Reached::All } else { Reached::NobodyAsked }),
        };
        ScoredAnswer { outcome, judge_cost: bill.total(), reached }
    }

    /// The scores by metric, and whether a program or an endpoint was asked for one.
    async fn scores(
        &self,
        scored: Scored<'_>,
        bill: &Bill,
    ) -> Result<(BTreeMap<String, MetricScore>, bool), ScoreError> {
        let (mut scores, mut asked) = (BTreeMap::new(), false);
        self.score_text(scored, &mut scores)?;
        self.embeddings.score(scored, &mut scores).await?;
        for (name, scorer) in &self.by_name {
            let score = match scorer {
                Scorer::Text(_) => continue,
                Scorer::External(external) => {
                    asked = true;
                    external.score(name, scored).await?
                }
                Scorer::Judge(judge) => judge.score(name, scored, bill).await?,
            };
            scores.insert(name.clone(), score);
        }
        Ok((scores, asked))
    }

    /// The outcome of an answer that is not of the form that post-processing needs. It is no answer to whoever asks for that form:
    /// every score is 0 without a look, and what is measured is measured.
    pub(crate) fn without_form(&self, scored: Scored<'_>, problem: &PostProcessError) -> ScoredAnswer {
        let outcome = self.outcome_without_form(scored, problem);
        ScoredAnswer { outcome, judge_cost: 0.0, reached: Reached::NobodyAsked }
    }

    fn outcome_without_form(&self, scored: Scored<'_>, problem: &PostProcessError) -> Outcome {
        let mut scores = BTreeMap::new();
        for (name, _) in self.spec.metrics.iter().filter(|(_, metric)| metric.scorer.is_score()) {
            let reason = Some(format!("post-processing: {problem}"));
            scores.insert(name.clone(), MetricScore { score: 0.0, reason, detail: None });
        }
        for (name, scorer) in &self.by_name {
            if let Scorer::Text(text) = scorer
                && self.spec.metrics.get(name).is_some_and(|metric| metric.scorer.is_measurement())
            {
                match TextScratch::with(|scratch| text.score(name, scored, scratch)) {
                    Ok(score) => drop(scores.insert(name.clone(), score)),
                    Err(error) => return errored(error),
                }
            }
        }
        let composite = scoring::composite(&scores, &self.spec);
        let kind = problem.soft_failure().kind.as_str();
        Outcome::Scored { scores, composite, passed: false, failures: vec![format!("post-processing: {kind}")] }
    }

    fn score_text(&self, scored: Scored<'_>, scores: &mut BTreeMap<String, MetricScore>) -> Result<(), ScoreError> {
        TextScratch::with(|scratch| {
            for (name, scorer) in &self.by_name {
                if let Scorer::Text(scorer) = scorer {
                    scores.insert(name.clone(), scorer.score(name, scored, scratch)?);
                }
            }
            Ok(())
        })
    }
}

/// A limit on what an answer costs, and nobody knows.
fn no_price(metric: &str) -> ScoreError {
    let message = format!(
        "`{metric}` limits what an answer costs, and the model has no price: add it under `prices` in llmops.yaml (0 where it \
         is free)"
    );
    ScoreError::new(format!("{metric}: the model has no price"), message)
}

/// A metric compares with references, and the sample has none.
fn no_reference(metric: &str, sample: &Sample) -> ScoreError {
    let message = format!("the sample `{}` has no expected_output, which `{metric}` compares with", sample.id);
    ScoreError::new(format!("{metric}: no expected output"), message)
}

fn errored(error: ScoreError) -> Outcome {
    Outcome::Errored { reason: error.reason, message: error.message }
}

/// What was asked last: the input, else the last message of the conversation.
fn asked(sample: &Sample) -> Cow<'_, str> {
    match sample.messages.last() {
        Some(message) if sample.input.is_empty() => message.as_text(),
        _ => Cow::Borrowed(&sample.input),
    }
}

/// The beginning of a text, for a reason.
fn shorten(text: &str) -> String {
    beginning(text, 60)
}

/// At most so many characters of a text; `…` tells that there are more.
fn beginning(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
