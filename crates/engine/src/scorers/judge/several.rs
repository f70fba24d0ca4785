//! Several judges: panels, and debates in which they read each other.

use futures::future::join_all;
use llmops_domain::judge::debate::{
    DebateRecord, DebateRules, Dropped, MIN_JUDGES, Statement, combine, median, spread,
};
use llmops_domain::judge::{JudgeAnswer, JudgePrompt, JudgeTask, parse_answer};
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::{DebateSpec, PanelSpec};
use std::sync::Arc;

use super::ask::{Asker, Bill};
use super::{Material, base_detail, finish};
use crate::scorers::{ScoreError, Scored};

/// A panel, ready to be asked.
pub(super) struct Panel {
    pub(super) spec: PanelSpec,
    pub(super) askers: Vec<Asker>,
    pub(super) prompt: Arc<JudgePrompt>,
}

/// A debate, ready to be held.
pub(super) struct Debate {
    pub(super) spec: DebateSpec,
    pub(super) askers: Vec<Asker>,
    pub(super) prompt: Arc<JudgePrompt>,
    /// The prompt of the rounds after the first.
    pub(super) revision: Arc<JudgePrompt>,
}

/// The judges that are left, with what they said last, and those that were dropped.
#[derive(Default)]
struct Seats<'a> {
    taken: Vec<(&'a Asker, JudgeAnswer)>,
    dropped: Vec<Dropped>,
    unavailable: bool,
}

impl<'a> Seats<'a> {
    /// Takes up what the judges of one round said. The budget's end is nobody's fault: it ends the debate.
    fn hear(
        &mut self,
        round: u32,
        answers: Vec<(&'a Asker, Result<JudgeAnswer, ScoreError>)>,
    ) -> Result<(), ScoreError> {
        self.taken.clear();
        for (asker, answer) in answers {
            match answer {
                Ok(answer) => self.taken.push((asker, answer)),
                Err(error) if error.reason == super::BUDGET_REASON => return Err(error),
                Err(error) => {
                    self.unavailable |= error.unavailable;
                    let judge = asker.label.clone();
                    self.dropped.push(Dropped { judge, round, reason: error.reason, message: error.message });
                }
            }
        }
        if self.taken.len() < MIN_JUDGES { Err(self.too_few()) } else { Ok(()) }
    }

    fn too_few(&self) -> ScoreError {
        let why: Vec<&str> = self.dropped.iter().map(|dropped| dropped.message.as_str()).collect();
        let message =
            format!("{} of the judges are left, and a score needs {MIN_JUDGES}: {}", self.taken.len(), why.join("; "));
        ScoreError { reason: "judge: too few judges left".to_owned(), message, unavailable: self.unavailable }
    }

    fn scores(&self) -> Vec<f64> {
        self.taken.iter().map(|(_, answer)| answer.overall).collect()
    }

    fn statements(&self) -> Vec<Statement> {
        self.taken.iter().map(|(asker, answer)| Statement::new(&asker.label, answer)).collect()
    }

    /// `; sim/broken was dropped`.
    fn note(&self) -> String {
        let names: Vec<&str> = self.dropped.iter().map(|dropped| dropped.judge.as_str()).collect();
        match names.len() {
            0 => String::new(),
            1 => format!("; {} was dropped", names[0]),
            _ => format!("; {} were dropped", names.join(", ")),
        }
    }
}

/// Asks every judge for the rubric, alone.
async fn first_round<'a>(
    askers: &'a [Asker],
    prompt: &JudgePrompt,
    rubric: &[String],
    (scored, bill): (Scored<'_>, &Bill),
) -> Result<Seats<'a>, ScoreError> {
    let material = Material::of(scored);
    let ask = async |asker: &'a Asker| {
        let task = JudgeTask::Rubric(rubric);
        let input = material.input(scored.output, asker.is_reference_free());
        (asker, asker.ask((scored, bill), prompt, (&input, &task), |text| parse_answer(text, rubric)).await)
    };
    let mut seats = Seats::default();
    seats.hear(1, join_all(askers.iter().map(ask)).await)?;
    Ok(seats)
}

impl Panel {
    pub(super) async fn score(&self, scored: Scored<'_>, bill: &Bill) -> Result<MetricScore, ScoreError> {
        let before = bill.total();
        let seats = first_round(&self.askers, &self.prompt, &self.spec.rubric, (scored, bill)).await?;
        let scores = seats.scores();
        let score = combine(&scores, self.spec.rule, self.spec.cutoff).ok_or_else(|| seats.too_few())?;
        let mut detail = base_detail(&self.prompt);
        detail.judges = self.askers.iter().map(|asker| asker.label.clone()).collect();
        detail.panel = seats.statements();
        let said: Vec<String> = scores.iter().map(|score| format!("{score:.3}")).collect();
        let reason = format!("{} judges: {}{}", scores.len(), said.join(", "), seats.note());
        detail.dropped = seats.dropped;
        detail.cost = bill.total() - before;
        Ok(finish(score, Some(reason), &detail))
    }
}

impl Debate {
    pub(super) async fn score(&self, scored: Scored<'_>, bill: &Bill) -> Result<MetricScore, ScoreError> {
        let before = bill.total();
        let rules = DebateRules { rounds: self.spec.rounds, epsilon: self.spec.epsilon };
        let mut seats = first_round(&self.askers, &self.prompt, &self.spec.rubric, (scored, bill)).await?;
        let mut rounds = vec![seats.statements()];
        let first_spread = spread(&seats.scores());
        let mut round = 1;
        while rules.goes_on(round, &seats.scores()) {
            round += 1;
            let answers = self.revise(&seats.taken, (scored, bill)).await;
            seats.hear(round, answers)?;
            rounds.push(seats.statements());
        }
        let scores = seats.scores();
        let consensus = median(&scores).ok_or_else(|| seats.too_few())?;
        let agreed = rules.agree(&scores);
        let how = if agreed { "agreed" } else { "did not agree" };
        let count = if round == 1 { "1 round".to_owned() } else { format!("{round} rounds") };
        let reason = format!(
            "{} judges {how} after {count}, their scores {:.3} apart{}",
            scores.len(),
            spread(&scores),
            seats.note()
        );
        let mut detail = base_detail(&self.prompt);
        detail.judges = self.askers.iter().map(|asker| asker.label.clone()).collect();
        detail.debate = Some(DebateRecord {
            rounds,
            agreed,
            first_spread,
            spread: spread(&scores),
            debate_prompt: self.revision.label(),
            debate_prompt_hash: self.revision.hash().clone(),
        });
        detail.dropped = seats.dropped;
        detail.cost = bill.total() - before;
        Ok(finish(consensus, Some(reason), &detail))
    }

    /// Asks every judge that is left again, with what it and the others said.
    async fn revise<'a>(
        &self,
        taken: &[(&'a Asker, JudgeAnswer)],
        (scored, bill): (Scored<'_>, &Bill),
    ) -> Vec<(&'a Asker, Result<JudgeAnswer, ScoreError>)> {
        let rubric = self.spec.rubric.as_slice();
        let material = Material::of(scored);
        let ask = async |(seat, (asker, own)): (usize, &(&'a Asker, JudgeAnswer))| {
            let others: Vec<&JudgeAnswer> =
                taken.iter().enumerate().filter(|(other, _)| *other != seat).map(|(_, (_, answer))| answer).collect();
            let task = JudgeTask::Debate { rubric, own, others: &others };
            let input = material.input(scored.output, asker.is_reference_free());
            let read = |text: &str| parse_answer(text, rubric);
            (*asker, asker.ask((scored, bill), &self.revision, (&input, &task), read).await)
        };
        join_all(taken.iter().enumerate().map(ask)).await
    }
}
