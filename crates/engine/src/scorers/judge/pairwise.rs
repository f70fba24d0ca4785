//! A judge that compares the answer with another one, in both orders.

use std::sync::Arc;

use futures::future::join;
use llmops_domain::judge::{Comparison, JudgePrompt, JudgeTask, Side, Winner, parse_winner};
use llmops_domain::run::MetricScore;
use llmops_storage::{RunKey, Store};

use super::ask::{Asker, Bill};
use super::{Material, base_detail, finish};
use crate::scorers::{ScoreError, Scored};

/// Where the other answer comes from.
pub(super) enum Opponent {
    /// The sample's expected output.
    Reference,
    /// The answer to the same sample in this run.
    Run { store: Store, key: RunKey, id: String },
}

/// A comparing judge, ready to be asked.
pub(super) struct Pairwise {
    pub(super) asker: Asker,
    pub(super) prompt: Arc<JudgePrompt>,
    pub(super) opponent: Opponent,
}

impl Pairwise {
    pub(super) async fn score(&self, name: &str, scored: Scored<'_>, bill: &Bill) -> Result<MetricScore, ScoreError> {
        let before = bill.total();
        let (opponent, against) = self.other(name, scored).await?;
        let hide = matches!(self.opponent, Opponent::Reference) || self.asker.is_reference_free();
        let material = Material::of(scored);
        let compare = async |first: &str, second: &str| {
            let (input, task) = (material.input(first, hide), JudgeTask::Pairwise(second));
            self.asker.ask((scored, bill), &self.prompt, (&input, &task), parse_winner).await
        };
        let (one, other) = join(compare(scored.output, &opponent), compare(&opponent, scored.output)).await;
        let ((first, first_reason), (second, second_reason)) = (one?, other?);
        let (candidate_first, candidate_second) = (side(first, Winner::First), side(second, Winner::Second));
        let comparison = Comparison {
            against,
            opponent,
            candidate_first,
            candidate_first_reason: first_reason,
            candidate_second,
            candidate_second_reason: second_reason,
            flipped: candidate_first != candidate_second,
        };
        let score = comparison.score();
        let word = match (comparison.flipped, candidate_first) {
            (true, _) => "a tie: the judge changed its mind with the order",
            (false, Side::Candidate) => "better in both orders",
            (false, Side::Opponent) => "worse in both orders",
            (false, Side::Tie) => "a tie in both orders",
        };
        let mut detail = base_detail(&self.prompt);
        detail.judge = Some(self.asker.label.clone());
        detail.comparison = Some(comparison);
        detail.cost = bill.total() - before;
        Ok(finish(score, Some(word.to_owned()), &detail))
    }

    pub(super) fn is_instant(&self) -> bool {
        self.asker.is_instant()
    }

    /// The answer to compare with, and what it is.
    async fn other(&self, name: &str, scored: Scored<'_>) -> Result<(String, String), ScoreError> {
        let sample = scored.sample;
        match &self.opponent {
            Opponent::Reference => {
                let reference = sample.expected_output.first().ok_or_else(|| {
                    let message =
                        format!("the sample `{}` has no expected_output, which `{name}` compares with", sample.id);
                    ScoreError::new(format!("{name}: no expected output"), message)
                })?;
                Ok((reference.clone(), "reference".to_owned()))
            }
            Opponent::Run { store, key, id } => {
                let trials = store.get_results_of_sample(key, &sample.id).await.map_err(|error| {
                    ScoreError::new(format!("{name}: store"), format!("the answer of run {id} cannot be read: {error}"))
                })?;
                // Trials have no partners; the same number is as good as any, and the same each time.
                let usable = |trial: &&llmops_domain::run::SampleResult| trial.outcome.passed().is_some();
                let same = trials.iter().filter(usable).find(|trial| trial.trial == scored.trial);
                let found = same.or_else(|| trials.iter().find(usable)).ok_or_else(|| {
                    let message = format!("the run {id} has no answer to the sample `{}`", sample.id);
                    ScoreError::new(format!("{name}: no answer to compare with"), message)
                })?;
                Ok((found.output.clone(), format!("run {id}")))
            }
        }
    }
}

/// The winner seen from the candidate, which was shown in this place.
fn side(winner: Winner, candidate: Winner) -> Side {
    match winner {
        Winner::Tie => Side::Tie,
        winner if winner == candidate => Side::Candidate,
        _ => Side::Opponent,
    }
}
