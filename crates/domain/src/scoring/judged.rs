//! Scorers that ask models: options, prompts, identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DEFAULT_RUBRIC, ScorerSpec};
use crate::chat::Parameters;
use crate::hash::ContentHash;
use crate::judge::debate::PanelRule;
use crate::judge::{JudgePromptKind, JudgedMetric};

/// How judges are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct JudgeCall {
    /// Sampling temperature.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// How often an answer that breaks the format is asked for again.
    #[serde(default = "default_retries")]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// More sampling parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// The judge's prompt: `NAME`, `NAME@VERSION` or `NAME@HASH`. Absent: the built-in one (`llmops prompt list` shows
    /// them as `llmops/judge-…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Judge without showing the expected outputs, as they are not known in production.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference_free: bool,
}

/// A rubric judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct JudgeSpec {
    /// The judging model, as `provider/model`.
    pub model: String,
    /// What is scored, each from 0 to 1: names, or `name: what it means`.
    #[serde(default = "default_rubric")]
    #[schemars(length(min = 1, max = 32))]
    pub rubric: Vec<String>,
    /// How it is asked.
    #[serde(flatten)]
    pub call: JudgeCall,
}

/// A judged metric with a definition of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct JudgedSpec {
    /// The judging model, as `provider/model`.
    pub model: String,
    /// How it is asked.
    #[serde(flatten)]
    pub call: JudgeCall,
}

/// A checklist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ChecklistSpec {
    /// The judging model, as `provider/model`.
    pub model: String,
    /// Questions about the answer, such as `Does it name a source?`.
    #[schemars(length(min = 1, max = 100))]
    pub items: Vec<ChecklistItem>,
    /// How it is asked.
    #[serde(flatten)]
    pub call: JudgeCall,
}

/// One question of a checklist; a weight is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(untagged)]
pub enum ChecklistItem {
    /// A question that weighs 1.
    Plain(String),
    /// A question with its weight.
    Weighted {
        /// The question.
        item: String,
        /// How much it counts beside the others, above 0.
        #[serde(default = "default_weight")]
        #[schemars(range(min = 0.0))]
        weight: f64,
    },
}

impl ChecklistItem {
    /// The question.
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(item) | Self::Weighted { item, .. } => item,
        }
    }

    /// The weight.
    pub fn weight(&self) -> f64 {
        match self {
            Self::Plain(_) => 1.0,
            Self::Weighted { weight, .. } => *weight,
        }
    }
}

/// A comparison with another answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct PairwiseSpec {
    /// The judging model, as `provider/model`.
    pub model: String,
    /// What answers are compared with: `reference` (the expected output), `baseline` (the baseline run's answer to the
    /// same sample) or the id of a run.
    #[serde(default = "reference")]
    pub against: String,
    /// How it is asked.
    #[serde(flatten)]
    pub call: JudgeCall,
}

impl PairwiseSpec {
    /// `against`: the expected output.
    pub const REFERENCE: &'static str = "reference";
    /// `against`: the baseline run.
    pub const BASELINE: &'static str = "baseline";
}

/// Several judges, each alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct PanelSpec {
    /// The judging models, as `provider/model`.
    #[schemars(length(min = 2, max = 16))]
    pub models: Vec<String>,
    /// What is scored, each from 0 to 1: names, or `name: what it means`.
    #[serde(default = "default_rubric")]
    #[schemars(length(min = 1, max = 32))]
    pub rubric: Vec<String>,
    /// How their scores become one.
    #[serde(default)]
    pub rule: PanelRule,
    /// Of a majority: from this score on a judge is in favour.
    #[serde(default = "default_cutoff")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cutoff: f64,
    /// How they are asked.
    #[serde(flatten)]
    pub call: JudgeCall,
}

/// Several judges that read each other and revise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct DebateSpec {
    /// The judging models, as `provider/model`. Three or more withstand one that lies or is fooled.
    #[schemars(length(min = 2, max = 16))]
    pub models: Vec<String>,
    /// What is scored, each from 0 to 1: names, or `name: what it means`.
    #[serde(default = "default_rubric")]
    #[schemars(length(min = 1, max = 32))]
    pub rubric: Vec<String>,
    /// Most rounds, the first included.
    #[serde(default = "default_rounds")]
    #[schemars(range(min = 1, max = 10))]
    pub rounds: u32,
    /// The debate ends when all scores lie within this.
    #[serde(default = "default_epsilon")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epsilon: f64,
    /// The prompt of the rounds after the first, like `prompt`. Absent: the built-in `llmops/judge-debate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debate_prompt: Option<String>,
    /// How they are asked; `prompt` is that of the first round.
    #[serde(flatten)]
    pub call: JudgeCall,
}

fn default_rubric() -> Vec<String> {
    DEFAULT_RUBRIC.map(str::to_owned).to_vec()
}

fn default_retries() -> u32 {
    2
}

fn default_weight() -> f64 {
    1.0
}

fn default_cutoff() -> f64 {
    0.5
}

fn default_rounds() -> u32 {
    3
}

fn default_epsilon() -> f64 {
    0.05
}

fn reference() -> String {
    PairwiseSpec::REFERENCE.to_owned()
}

impl Default for JudgeCall {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            retries: default_retries(),
            parameters: Parameters::default(),
            prompt: None,
            reference_free: false,
        }
    }
}

impl JudgeSpec {
    /// A judge of the default rubric.
    pub fn with_model(model: &str) -> Self {
        Self { model: model.to_owned(), rubric: default_rubric(), call: JudgeCall::default() }
    }
}

impl DebateSpec {
    /// A debate of these models on the default rubric, of up to 3 rounds, or until all scores lie within 0.05.
    pub fn with_models(models: Vec<String>) -> Self {
        Self {
            models,
            rubric: default_rubric(),
            rounds: default_rounds(),
            epsilon: default_epsilon(),
            debate_prompt: None,
            call: JudgeCall::default(),
        }
    }
}

/// A place in a scorer's options that names a judge's prompt.
#[derive(Debug)]
pub struct PromptSlot<'a> {
    /// What the prompt is to do.
    pub kind: JudgePromptKind,
    /// The reference written there, if any.
    pub reference: &'a mut Option<String>,
}

impl ScorerSpec {
    /// The models that judge; empty for a scorer that asks none.
    pub fn judge_models(&self) -> Vec<&str> {
        match self {
            Self::Judge(spec) => vec![&spec.model],
            Self::Checklist(spec) => vec![&spec.model],
            Self::Pairwise(spec) => vec![&spec.model],
            Self::Panel(spec) => spec.models.iter().map(String::as_str).collect(),
            Self::Debate(spec) => spec.models.iter().map(String::as_str).collect(),
            other => other.judged_metric().map(|(_, spec)| spec.model.as_str()).into_iter().collect(),
        }
    }

    /// Whether it asks models to judge.
    pub fn is_judged(&self) -> bool {
        !self.judge_models().is_empty()
    }

    /// The judged metric with a definition of its own, where it is one.
    pub fn judged_metric(&self) -> Option<(JudgedMetric, &JudgedSpec)> {
        match self {
            Self::Faithfulness(spec) => Some((JudgedMetric::Faithfulness, spec)),
            Self::AnswerRelevance(spec) => Some((JudgedMetric::AnswerRelevance, spec)),
            Self::Hallucination(spec) => Some((JudgedMetric::Hallucination, spec)),
            Self::Helpfulness(spec) => Some((JudgedMetric::Helpfulness, spec)),
            Self::Accuracy(spec) => Some((JudgedMetric::Accuracy, spec)),
            _ => None,
        }
    }

    /// The rubric, where it scores one.
    pub fn rubric(&self) -> Option<&[String]> {
        match self {
            Self::Judge(spec) => Some(&spec.rubric),
            Self::Panel(spec) => Some(&spec.rubric),
            Self::Debate(spec) => Some(&spec.rubric),
            _ => None,
        }
    }

    /// Every place that names a judge's prompt, the first round's first.
    pub fn prompt_slots(&mut self) -> Vec<PromptSlot<'_>> {
        let kind = match self.judged_metric() {
            Some((metric, _)) => JudgePromptKind::Metric(metric),
            None => JudgePromptKind::Rubric,
        };
        let slot = |kind, reference| PromptSlot { kind, reference };
        match self {
            Self::Judge(spec) => vec![slot(kind, &mut spec.call.prompt)],
            Self::Faithfulness(spec)
            | Self::AnswerRelevance(spec)
            | Self::Hallucination(spec)
            | Self::Helpfulness(spec)
            | Self::Accuracy(spec) => vec![slot(kind, &mut spec.call.prompt)],
            Self::Checklist(spec) => vec![slot(JudgePromptKind::Checklist, &mut spec.call.prompt)],
            Self::Pairwise(spec) => vec![slot(JudgePromptKind::Pairwise, &mut spec.call.prompt)],
            Self::Panel(spec) => vec![slot(kind, &mut spec.call.prompt)],
            Self::Debate(spec) => {
                vec![slot(kind, &mut spec.call.prompt), slot(JudgePromptKind::Debate, &mut spec.debate_prompt)]
            }
            _ => Vec::new(),
        }
    }

    /// The identity of a judge: the hash of everything that decides its scores (kind, models, prompts, rubric or items,
    /// sampling, retries), for a scorer whose prompts are pinned by their hashes, as they are in a run. None for a scorer
    /// that is no judge. What people found out about a judge holds for this hash only.
    pub fn judge_hash(&self) -> Option<ContentHash> {
        if self.is_judged() { ContentHash::of_json(self).ok() } else { None }
    }
}
