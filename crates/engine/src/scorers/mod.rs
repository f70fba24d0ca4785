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
use std::sync::atomic::{AtomicU32, Ordering};

use llmops_domain::chat::ChatResponse;
use llmops_domain::dataset::Sample;
use llmops_domain::post_process::PostProcessError;
use llmops_domain::run::{MetricScore, Outcome, Unscored};
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

/// How often in a row a metric that is reported only may be out of reach before it is left alone.
const GIVE_UP_AFTER: u32 = 16;

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

/// A metric and what computes it.
struct Named {
    name: String,
    scorer: Scorer,
    /// Whether samples have no outcome without it.
    decides: bool,
    /// How often in a row it could not be reached.
    away: AtomicU32,
}

/// The scorers of a run, compiled.
pub(crate) struct Scorers {
    spec: ScoringSpec,
    by_name: Vec<Named>,
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
            let (name, decides) = (name.clone(), spec.decides(name));
            by_name.push(Named { name, scorer, decides, away: AtomicU32::new(0) });
        }
        let embedding = spec.metrics.iter().filter(|(_, metric)| is_embedding(&metric.scorer));
        let embedding = embedding.map(|(name, metric)| (name.clone(), metric.scorer.clone()));
        let embeddings = EmbeddingScorers::new(embedding, models);
        Ok(Self { spec: spec.clone(), by_name, embeddings, budget: judges.budget() })
    }

    /// Why no answer can be judged any more by whom it must be, once the judges have spent what they may: then none need be asked
    /// for.
    pub(crate) fn exhausted(&self) -> Option<ScoreError> {
        let is_judged = self.by_name.iter().any(|named| named.decides && matches!(named.scorer, Scorer::Judge(_)));
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
            && self.by_name.iter().all(|named| match &named.scorer {
                Scorer::Text(_) => true,
                Scorer::External(_) => false,
                Scorer::Judge(judge) => judge.is_instant(),
            })
    }

    /// Scores one answer. A metric that is reported only takes no sample along: it is told apart, without a score.
    pub(crate) async fn score(&self, scored: Scored<'_>) -> ScoredAnswer {
        let bill = Bill::default();
        let (outcome, reached) = match self.all(scored, &bill).await {
            Ok(Tally { scores, unscored, asked, .. }) => {
                let composite = scoring::composite(&scores, &self.spec);
                let (passed, failures) = scoring::pass(&scores, &self.spec);
                let reached = if asked || bill.has_calls() { Reached::All } else { Reached::NobodyAsked };
                (Outcome::Scored { scores, composite, passed, failures, unscored }, reached)
            }
            Err(error) if error.unavailable => (errored(error), Reached::NotAll),
            Err(error) => (errored(error), if bill.has_calls() { Reached::All } else { Reached::NobodyAsked }),
        };
        ScoredAnswer { outcome, judge_cost: bill.total(), reached }
    }

    async fn all(&self, scored: Scored<'_>, bill: &Bill) -> Result<Tally<'_>, ScoreError> {
        let mut tally = Tally::new(&self.spec);
        TextScratch::with(|scratch| {
            for Named { name, scorer, .. } in &self.by_name {
                if let Scorer::Text(scorer) = scorer {
                    tally.note(name, scorer.score(name, scored, scratch))?;
                }
            }
            Ok::<(), ScoreError>(())
        })?;
        self.embeddings.score(scored, &mut tally).await?;
        for named in &self.by_name {
            if let Some(said) = named.ask(scored, bill).await {
                tally.asked |= said.is_ok() && matches!(named.scorer, Scorer::External(_));
                tally.note(&named.name, said)?;
            }
        }
        Ok(tally)
    }

    /// The outcome of an answer that is not of the form that post-processing needs. It is no answer to whoever asks for that form:
    /// every score is 0 without a look, and what is measured is measured.
    pub(crate) fn without_form(&self, scored: Scored<'_>, problem: &PostProcessError) -> ScoredAnswer {
        let outcome = self.outcome_without_form(scored, problem);
        ScoredAnswer { outcome, judge_cost: 0.0, reached: Reached::NobodyAsked }
    }

    fn outcome_without_form(&self, scored: Scored<'_>, problem: &PostProcessError) -> Outcome {
        let mut tally = Tally::new(&self.spec);
        for (name, _) in self.spec.metrics.iter().filter(|(_, metric)| metric.scorer.is_score()) {
            let reason = Some(format!("post-processing: {problem}"));
            tally.scores.insert(name.clone(), MetricScore { score: 0.0, reason, detail: None });
        }
        for Named { name, scorer, .. } in &self.by_name {
            if let Scorer::Text(text) = scorer
                && self.spec.metrics.get(name).is_some_and(|metric| metric.scorer.is_measurement())
            {
                let measured = TextScratch::with(|scratch| text.score(name, scored, scratch));
                if let Err(error) = tally.note(name, measured) {
                    return errored(error);
                }
            }
        }
        let Tally { scores, unscored, .. } = tally;
        let composite = scoring::composite(&scores, &self.spec);
        let failures = vec![format!("post-processing: {}", problem.soft_failure().kind.as_str())];
        Outcome::Scored { scores, composite, passed: false, failures, unscored }
    }
}

impl Named {
    /// Asks a judge, a program or an endpoint; nothing where the metric is none of these.
    async fn ask(&self, scored: Scored<'_>, bill: &Bill) -> Option<Result<MetricScore, ScoreError>> {
        let name = &self.name;
        if !self.decides && self.away.load(Ordering::Relaxed) >= GIVE_UP_AFTER {
            let message =
                format!("`{name}` could not be reached {GIVE_UP_AFTER} times in a row, and is not asked any more");
            return Some(Err(ScoreError::new(format!("{name}: given up"), message)));
        }
        let said = match &self.scorer {
            Scorer::Text(_) => return None,
            Scorer::External(external) => external.score(name, scored).await,
            Scorer::Judge(judge) => judge.score(name, scored, bill).await,
        };
        match &said {
            Ok(_) => self.away.store(0, Ordering::Relaxed),
            Err(error) if error.unavailable => drop(self.away.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
        Some(said)
    }
}

/// What the metrics say of one answer.
struct Tally<'a> {
    spec: &'a ScoringSpec,
    scores: BTreeMap<String, MetricScore>,
    unscored: BTreeMap<String, Unscored>,
    /// Whether a program or an endpoint answered.
    asked: bool,
}

impl<'a> Tally<'a> {
    fn new(spec: &'a ScoringSpec) -> Self {
        Self { spec, scores: BTreeMap::new(), unscored: BTreeMap::new(), asked: false }
    }

    /// Notes what a metric says. That it says nothing is an error where it decides something.
    fn note(&mut self, name: &str, said: Result<MetricScore, ScoreError>) -> Result<(), ScoreError> {
        match said {
            Ok(score) => drop(self.scores.insert(name.to_owned(), score)),
            Err(error) if self.spec.decides(name) => return Err(error),
            Err(ScoreError { reason, message, .. }) => {
                self.unscored.insert(name.to_owned(), Unscored { reason, message });
            }
        }
        Ok(())
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
