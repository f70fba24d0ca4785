//! Scorers that ask models.

mod ask;
mod budget;
mod evaluator;
mod pair;
mod pairwise;
mod prompts;
mod several;

use std::borrow::Cow;
use std::sync::Arc;

use llmops_domain::judge::{
    JudgeDetail, JudgeInput, JudgePrompt, JudgePromptKind, JudgeTask, JudgedMetric, parse_answer, parse_claims,
    parse_items, parse_score,
};
use llmops_domain::run::MetricScore;
use llmops_domain::scoring::{ChecklistSpec, JudgeSpec, PairwiseSpec, ScorerSpec};

use self::ask::{Asker, question};
use self::pairwise::{Opponent, Pairwise};
use self::several::{Debate, Panel};
use super::{ScoreError, Scored};
use crate::Error;

pub(super) use ask::Bill;
pub(crate) use budget::{BUDGET_REASON, JudgeBudget};
pub use evaluator::DebateEvaluator;
pub(crate) use pair::{PairJudge, TwoAnswers};
pub(crate) use prompts::{JudgeSetting, pin_judges};

/// A compiled judge.
pub(super) struct Judge(Kind);

enum Kind {
    Rubric { spec: JudgeSpec, asker: Asker, prompt: Arc<JudgePrompt> },
    Metric { metric: JudgedMetric, asker: Asker, prompt: Arc<JudgePrompt> },
    Checklist { spec: ChecklistSpec, asker: Asker, prompt: Arc<JudgePrompt> },
    Pairwise(Pairwise),
    Panel(Panel),
    Debate(Debate),
}

impl Judge {
    /// Compiles a scorer that asks models; none for any other.
    pub(super) fn compile(name: &str, scorer: &ScorerSpec, setting: &JudgeSetting) -> Result<Option<Self>, Error> {
        let bench = &setting.bench;
        let prompt = |kind| setting.prompt(name, scorer, kind);
        let kind = match scorer {
            ScorerSpec::Judge(spec) => Kind::Rubric {
                spec: spec.clone(),
                asker: Asker::new(bench, &spec.model, &spec.call)?,
                prompt: prompt(JudgePromptKind::Rubric)?,
            },
            ScorerSpec::Checklist(spec) => Kind::Checklist {
                spec: spec.clone(),
                asker: Asker::new(bench, &spec.model, &spec.call)?,
                prompt: prompt(JudgePromptKind::Checklist)?,
            },
            ScorerSpec::Pairwise(spec) => Kind::Pairwise(Pairwise {
                asker: Asker::new(bench, &spec.model, &spec.call)?,
                prompt: prompt(JudgePromptKind::Pairwise)?,
                opponent: if spec.against == PairwiseSpec::REFERENCE {
                    Opponent::Reference
                } else {
                    setting.opponent(name, &spec.against)?
                },
            }),
            ScorerSpec::Panel(spec) => Kind::Panel(Panel {
                askers: Asker::several(bench, &spec.models, &spec.call)?,
                prompt: prompt(JudgePromptKind::Rubric)?,
                spec: spec.clone(),
            }),
            ScorerSpec::Debate(spec) => Kind::Debate(Debate {
                askers: Asker::several(bench, &spec.models, &spec.call)?,
                prompt: prompt(JudgePromptKind::Rubric)?,
                revision: prompt(JudgePromptKind::Debate)?,
                spec: spec.clone(),
            }),
            other => match other.judged_metric() {
                Some((metric, spec)) => Kind::Metric {
                    metric,
                    asker: Asker::new(bench, &spec.model, &spec.call)?,
                    prompt: prompt(JudgePromptKind::Metric(metric))?,
                },
                None => return Ok(None),
            },
        };
        Ok(Some(Self(kind)))
    }

    /// Whether judgements come without waiting.
    pub(super) fn is_instant(&self) -> bool {
        match &self.0 {
            Kind::Rubric { asker, .. } | Kind::Metric { asker, .. } | Kind::Checklist { asker, .. } => {
                asker.is_instant()
            }
            Kind::Pairwise(pairwise) => pairwise.is_instant(),
            Kind::Panel(panel) => panel.askers.iter().all(Asker::is_instant),
            Kind::Debate(debate) => debate.askers.iter().all(Asker::is_instant),
        }
    }

    /// The score with all that was said. What it cost is on the bill, whatever comes of it.
    pub(super) async fn score(&self, name: &str, scored: Scored<'_>, bill: &Bill) -> Result<MetricScore, ScoreError> {
        match &self.0 {
            Kind::Rubric { spec, asker, prompt } => rubric(spec, asker, prompt, (scored, bill)).await,
            Kind::Metric { metric, asker, prompt } if metric.is_by_claims() => {
                claims(name, *metric, (asker, prompt), (scored, bill)).await
            }
            Kind::Metric { metric, asker, prompt } => single(*metric, (asker, prompt), (scored, bill)).await,
            Kind::Checklist { spec, asker, prompt } => checklist(spec, asker, prompt, (scored, bill)).await,
            Kind::Pairwise(pairwise) => pairwise.score(name, scored, bill).await,
            Kind::Panel(panel) => panel.score(scored, bill).await,
            Kind::Debate(debate) => debate.score(scored, bill).await,
        }
    }
}

async fn rubric(
    spec: &JudgeSpec,
    asker: &Asker,
    prompt: &JudgePrompt,
    (scored, bill): (Scored<'_>, &Bill),
) -> Result<MetricScore, ScoreError> {
    let before = bill.total();
    let material = Material::of(scored);
    let input = material.input(scored.output, asker.is_reference_free());
    let task = JudgeTask::Rubric(&spec.rubric);
    let answer = asker.ask((scored, bill), prompt, (&input, &task), |text| parse_answer(text, &spec.rubric)).await?;
    let mut detail = single_detail(asker, prompt, bill.total() - before);
    detail.axes = answer.axes;
    Ok(finish(answer.overall, answer.reason, &detail))
}

/// A metric that is one score.
async fn single(
    metric: JudgedMetric,
    (asker, prompt): (&Asker, &JudgePrompt),
    (scored, bill): (Scored<'_>, &Bill),
) -> Result<MetricScore, ScoreError> {
    let before = bill.total();
    let material = Material::of(scored);
    let input = material.input(scored.output, asker.is_reference_free() || !metric.takes_references());
    let answer = asker.ask((scored, bill), prompt, (&input, &JudgeTask::Metric(metric)), parse_score).await?;
    let detail = single_detail(asker, prompt, bill.total() - before);
    Ok(finish(answer.score, answer.reason, &detail))
}

/// A metric that is the share of claims that hold. An answer without claims states nothing wrong.
async fn claims(
    name: &str,
    metric: JudgedMetric,
    (asker, prompt): (&Asker, &JudgePrompt),
    (scored, bill): (Scored<'_>, &Bill),
) -> Result<MetricScore, ScoreError> {
    if scored.sample.context.is_empty() {
        let message = format!("the sample `{}` has no context, which `{name}` compares with", scored.sample.id);
        return Err(ScoreError::new(format!("{name}: no context"), message));
    }
    let before = bill.total();
    let material = Material::of(scored);
    let input = material.input(scored.output, true);
    let task = JudgeTask::Metric(metric);
    let claims = asker.ask((scored, bill), prompt, (&input, &task), |text| parse_claims(text, metric)).await?;
    let holding = claims.iter().filter(|claim| claim.holds).count();
    let score = if claims.is_empty() { 1.0 } else { holding as f64 / claims.len() as f64 };
    let what = if metric == JudgedMetric::Hallucination { "not invented" } else { "supported" };
    let reason = match claims.len() {
        0 => "no claims".to_owned(),
        all => format!("{holding} of {all} claims {what}"),
    };
    let mut detail = single_detail(asker, prompt, bill.total() - before);
    detail.claims = Some(claims);
    Ok(finish(score, Some(reason), &detail))
}

async fn checklist(
    spec: &ChecklistSpec,
    asker: &Asker,
    prompt: &JudgePrompt,
    (scored, bill): (Scored<'_>, &Bill),
) -> Result<MetricScore, ScoreError> {
    let before = bill.total();
    let items: Vec<String> = spec.items.iter().map(|item| item.text().to_owned()).collect();
    let material = Material::of(scored);
    let input = material.input(scored.output, asker.is_reference_free());
    let task = JudgeTask::Checklist(&items);
    let answers = asker.ask((scored, bill), prompt, (&input, &task), |text| parse_items(text, &items)).await?;
    let weights = || spec.items.iter().zip(&answers);
    let total: f64 = weights().map(|(item, _)| item.weight()).sum();
    // The sum of nothing is −0.
    let met: f64 = weights().filter(|(_, answer)| answer.yes).map(|(item, _)| item.weight()).sum::<f64>() + 0.0;
    let missed: Vec<&str> = answers.iter().filter(|answer| !answer.yes).map(|answer| answer.item.as_str()).collect();
    let reason = match missed.len() {
        0 => format!("all {} items met", answers.len()),
        n => format!("{n} of {} items not met: {}", answers.len(), missed.join("; ")),
    };
    let mut detail = single_detail(asker, prompt, bill.total() - before);
    detail.items = answers;
    Ok(finish((met / total).clamp(0.0, 1.0), Some(reason), &detail))
}

/// What a judge is shown of a sample.
struct Material<'a> {
    question: Cow<'a, str>,
    references: &'a [String],
    context: &'a [String],
}

impl<'a> Material<'a> {
    fn of(scored: Scored<'a>) -> Self {
        Self {
            question: question(scored.sample),
            references: &scored.sample.expected_output,
            context: &scored.sample.context,
        }
    }

    /// The judge's input about an answer, with or without the expected outputs.
    fn input<'b>(&'b self, candidate: &'b str, reference_free: bool) -> JudgeInput<'b> {
        let references = if reference_free { &[] } else { self.references };
        JudgeInput { question: &self.question, candidate, references, context: self.context }
    }
}

fn base_detail(prompt: &JudgePrompt) -> JudgeDetail {
    JudgeDetail::new(prompt.label(), prompt.hash().clone())
}

fn single_detail(asker: &Asker, prompt: &JudgePrompt, cost: f64) -> JudgeDetail {
    JudgeDetail { judge: Some(asker.label.clone()), cost, ..base_detail(prompt) }
}

fn finish(score: f64, reason: Option<String>, detail: &JudgeDetail) -> MetricScore {
    MetricScore { score, reason, detail: serde_json::to_value(detail).ok() }
}
