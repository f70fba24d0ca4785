//! `DebateEvaluator`: several models that agree on a score.

use llmops_domain::chat::ChatResponse;
use llmops_domain::dataset::Sample;
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::{DebateSpec, ScorerSpec};

use super::{Bill, Judge, JudgeBudget, JudgeSetting};
use crate::cache::ResponseCache;
use crate::scorers::Scored;
use crate::{Error, LlmOps};

/// Scores answers by a debate: several models score alone, read what the others said, and revise until they agree. The
/// score is the median of what they say last.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use llmops::domain::dataset::Sample;
/// use llmops::{DebateEvaluator, LlmOps};
///
/// let ops = LlmOps::in_memory().await?;
/// let debate = DebateEvaluator::new(["sim/one", "sim/two", "sim/three"]).with_rounds(2);
/// let sample = Sample {
///     input: "What is the capital of France?".to_owned(),
///     expected_output: vec!["Paris".to_owned()],
///     ..Sample::default()
/// };
/// assert_eq!(debate.evaluate(&ops, &sample, "Paris").await?.score, 1.0);
/// # Ok::<(), llmops::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DebateEvaluator {
    spec: DebateSpec,
}

impl DebateEvaluator {
    /// A debate of these models (`provider/model`) on the default rubric: up to 3 rounds, or until all scores lie within
    /// 0.05.
    pub fn new(models: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { spec: DebateSpec::with_models(models.into_iter().map(Into::into).collect()) }
    }

    /// With so many rounds at most, the first included.
    #[must_use]
    pub fn with_rounds(mut self, rounds: u32) -> Self {
        self.spec.rounds = rounds;
        self
    }

    /// Ending when all scores lie within `epsilon`.
    #[must_use]
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.spec.epsilon = epsilon;
        self
    }

    /// About these axes: names, or `name: what it means`.
    #[must_use]
    pub fn with_rubric(mut self, rubric: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.spec.rubric = rubric.into_iter().map(Into::into).collect();
        self
    }

    /// The options, as a scorer of a run.
    pub fn spec(&self) -> &DebateSpec {
        &self.spec
    }

    /// Scores one answer. The detail holds the transcript.
    ///
    /// # Errors
    /// When the options are wrong, or fewer than two judges are left.
    pub async fn evaluate(&self, ops: &LlmOps, sample: &Sample, answer: &str) -> Result<MetricScore, Error> {
        let cache = ResponseCache::new(ops.services.store.clone(), ops.project.clone(), false);
        let mut scorer = ScorerSpec::Debate(self.spec.clone());
        crate::scorers::check("debate", &scorer)?;
        let mut setting = JudgeSetting::bare(&ops.services.providers, &cache, JudgeBudget::new(None));
        for slot in scorer.prompt_slots() {
            let reference = super::prompts::written(&slot);
            let version = ops.prompts().resolve(&reference).await?;
            setting.add_prompt(reference, version);
        }
        let judge = Judge::compile("debate", &scorer, &setting)?
            .ok_or_else(|| Error::Internal("a debate is a judge".to_owned()))?;
        let response = ChatResponse { text: answer.to_owned(), ..ChatResponse::default() };
        let scored = Scored { sample, trial: 0, output: answer, response: &response, cost: None };
        let score = judge.score("debate", scored, &Bill::default()).await;
        score.map_err(|error| Error::Unscored { reason: error.reason, message: error.message })
    }
}
