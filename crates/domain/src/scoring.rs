//! What is scored, how the scores combine, and what counts as passed.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod agent;
pub mod assertions;
mod combine;
pub mod compare;
pub mod external;
mod judged;

pub use combine::{composite, pass};
pub use judged::{
    ChecklistItem, ChecklistSpec, DebateSpec, JudgeCall, JudgeSpec, JudgedSpec, PairwiseSpec, PanelSpec, PromptSlot,
};

use self::agent::{ConversationSpec, ToolCallSpec, TrajectorySpec};
use self::compare::{
    ChrfSpec, ItemSimilarity, JsonFieldsSpec, LanguageSpec, LengthSpec, ListMatchSpec, NumericMatchSpec,
};
use self::external::{CommandScorerSpec, HttpScorerSpec};

/// Default for a trial to pass a metric.
pub const DEFAULT_PASS_THRESHOLD: f64 = 0.7;
/// Default share of (sample, trial) pairs that may error before a run is failed.
pub const DEFAULT_MAX_ERROR_RATE: f64 = 0.02;
/// Rubric of a judge without one.
pub const DEFAULT_RUBRIC: [&str; 3] = ["factual_accuracy", "instruction_following", "safety"];
/// Names of what is made of all categories and samples: reports list it beside metrics and categories, which therefore cannot be
/// called so.
pub const NAMES_OF_THE_WHOLE: [&str; 2] = ["overall", "pass_rate"];
/// Weights without any configuration.
pub const DEFAULT_WEIGHTS: [(&str, f64); 3] = [("bertscore", 0.30), ("rouge_l", 0.20), ("judge", 0.50)];

/// The scorers of a run, as resolved from the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScoringSpec {
    /// Metrics by name, in the order written.
    #[schema(value_type = std::collections::BTreeMap<String, MetricSpec>)]
    pub metrics: IndexMap<String, MetricSpec>,
    /// A trial passes a metric at or above this, where the metric names no threshold; 0.7 where it is left out.
    #[serde(default = "pass_threshold")]
    pub pass_threshold: f64,
    /// Share of pairs that may error; 0.02 where it is left out.
    #[serde(default = "max_error_rate")]
    pub max_error_rate: f64,
    /// USD that judges may spend in the run.
    #[serde(default)]
    pub max_judge_cost: Option<f64>,
}

fn pass_threshold() -> f64 {
    DEFAULT_PASS_THRESHOLD
}

fn max_error_rate() -> f64 {
    DEFAULT_MAX_ERROR_RATE
}

/// One metric: its scorer, weight and threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct MetricSpec {
    /// Share of the composite. The weights of a configuration sum to 1; a metric without weight is reported only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight: Option<f64>,
    /// What a trial must reach to pass; absent: `pass_threshold`, or nothing where only others have a weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
    /// What computes it.
    #[serde(flatten)]
    pub scorer: ScorerSpec,
}

/// A scorer and its options. In files, `kind` is the metric's own name where it is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScorerSpec {
    /// 1 when the answer equals an expected output.
    ExactMatch {
        /// Compare without regard to case.
        #[serde(default)]
        ignore_case: bool,
        /// Keep white space at both ends. It is removed otherwise.
        #[serde(default)]
        keep_whitespace: bool,
    },
    /// 1 when the answer contains a text.
    Contains {
        /// The texts looked for; absent: the expected outputs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
        /// All of them, or any one (the default).
        #[serde(default)]
        all: bool,
        /// Compare without regard to case.
        #[serde(default)]
        ignore_case: bool,
        /// 1 when the answer does not contain it.
        #[serde(default)]
        not: bool,
    },
    /// 1 when a regular expression matches somewhere in the answer.
    Regex {
        /// The expression.
        pattern: String,
        /// 1 when it does not match.
        #[serde(default)]
        not: bool,
    },
    /// 1 when the answer is JSON.
    JsonValid {
        /// Accept a Markdown code fence around it.
        #[serde(default)]
        allow_fences: bool,
    },
    /// 1 when the answer is JSON that fits a schema.
    JsonSchema {
        /// The JSON Schema.
        schema: serde_json::Value,
        /// Accept a Markdown code fence around it.
        #[serde(default)]
        allow_fences: bool,
    },
    /// 1 − edit distance ÷ length of the longer text.
    Levenshtein {},
    /// Harmonic mean of precision and recall over normalised words.
    TokenF1 {},
    /// ROUGE-1 F-measure.
    #[serde(rename = "rouge_1")]
    Rouge1 {
        /// Stem words with Porter's algorithm.
        #[serde(default)]
        stem: bool,
    },
    /// ROUGE-2 F-measure.
    #[serde(rename = "rouge_2")]
    Rouge2 {
        /// Stem words with Porter's algorithm.
        #[serde(default)]
        stem: bool,
    },
    /// ROUGE-L F-measure (longest common subsequence of the whole text).
    RougeL {
        /// Stem words with Porter's algorithm.
        #[serde(default)]
        stem: bool,
    },
    /// ROUGE-Lsum F-measure (by lines).
    RougeLsum {
        /// Stem words with Porter's algorithm.
        #[serde(default)]
        stem: bool,
    },
    /// BLEU of the sentence, as sacrebleu.
    Bleu {},
    /// chrF or chrF++ of the sentence, as sacrebleu.
    Chrf(ChrfSpec),
    /// 1 when the number in the answer is close to the expected one.
    NumericMatch(NumericMatchSpec),
    /// Share of the fields of the expected JSON that the answer has right.
    JsonFields(JsonFieldsSpec),
    /// Agreement of two lists, whatever their order, where items need not be literally equal.
    ListMatch(ListMatchSpec),
    /// 1 when the answer is written in an accepted language.
    Language(LanguageSpec),
    /// 1 when the answer's length is within limits.
    Length(LengthSpec),
    /// Agreement of the tool calls with the expected ones: names, arguments, order.
    ToolCall(ToolCallSpec),
    /// Share of the checks on the path of tool calls that hold.
    Trajectory(TrajectorySpec),
    /// Share of the checks on the conversation, with the answer as its end, that hold.
    Conversation(ConversationSpec),
    /// 1 when what the sample's own `metadata.assertions` want holds, else the share of them that does, by weight.
    Assertions {},
    /// The user's own program.
    Command(CommandScorerSpec),
    /// The user's own endpoint.
    Http(HttpScorerSpec),
    /// BERTScore: how well the tokens of answer and expected output match by their contextual embeddings.
    Bertscore(BertscoreSpec),
    /// Cosine of the mean token embeddings of answer and expected output.
    EmbeddingSimilarity {
        /// The embedding model: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent:
        /// sentence-transformers/all-MiniLM-L6-v2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1))]
        model: Option<String>,
    },
    /// Milliseconds of the call. Reported only, unless `max_ms` makes it a limit.
    Latency {
        /// A trial whose call took longer does not pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_ms: Option<f64>,
    },
    /// USD of the call. Reported only, unless `max` makes it a limit.
    Cost {
        /// A trial that cost more does not pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// Whether the model declined to answer.
    Refusal {
        /// What is right: absent, the raw rate is reported and nothing can fail.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect: Option<RefusalExpectation>,
    },
    /// A model scores the answer against a rubric.
    Judge(JudgeSpec),
    /// A model decides on each claim of the answer: the share that follows from the sample's context.
    Faithfulness(JudgedSpec),
    /// A model scores how well the answer addresses the question.
    AnswerRelevance(JudgedSpec),
    /// A model decides on each claim of the answer: the share that is not made up. 1 is an answer without hallucinations.
    Hallucination(JudgedSpec),
    /// A model scores how much the answer helps the person who asked.
    Helpfulness(JudgedSpec),
    /// A model scores how far what the answer states is true.
    Accuracy(JudgedSpec),
    /// A model answers a checklist with yes and no: the share of yes, by weight.
    Checklist(ChecklistSpec),
    /// A model compares the answer with another, in both orders: 1 where it wins, 0 where it loses, 0.5 for a tie.
    Pairwise(PairwiseSpec),
    /// Several models score the answer against a rubric, each alone.
    Panel(PanelSpec),
    /// Several models score the answer against a rubric and revise after reading each other: the median of their scores.
    Debate(DebateSpec),
}

/// Options of BERTScore.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct BertscoreSpec {
    /// The embedding model: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the Hugging Face hub. Absent:
    /// sentence-transformers/all-MiniLM-L6-v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// The layer whose outputs are compared. Absent: the one that `bert_score` recommends for the model, else the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    /// Which of the three values is the score; the sample's details have the others.
    #[serde(default)]
    pub measure: Measure,
    /// Weigh tokens by their inverse document frequency over all expected outputs of the dataset version, so that words
    /// that are in most of them count little.
    #[serde(default)]
    pub idf: bool,
    /// What unrelated texts score, which becomes 0: a baseline file of `bert_score` (`LAYER,P,R,F`), by its path. A score
    /// below it counts as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineSpec>,
}

/// Which value of BERTScore counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How much of the answer is in the expected output.
    Precision,
    /// How much of the expected output is in the answer.
    Recall,
    /// Their harmonic mean.
    #[default]
    F1,
}

/// A baseline to rescale by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(untagged)]
pub enum BaselineSpec {
    /// The file, relative to the project folder. What is sent to a server holds its content instead.
    File(String),
    /// Its content: precision, recall and F1 for each layer, from 0.
    Layers(Vec<[f64; 3]>),
}

/// When declining is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalExpectation {
    /// Right when the expected output declines too.
    Reference,
    /// Always right.
    Refuse,
    /// Never right.
    Answer,
}

impl ScorerSpec {
    /// The kind's name in files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ExactMatch { .. } => "exact_match",
            Self::Contains { .. } => "contains",
            Self::Regex { .. } => "regex",
            Self::JsonValid { .. } => "json_valid",
            Self::JsonSchema { .. } => "json_schema",
            Self::Levenshtein {} => "levenshtein",
            Self::TokenF1 {} => "token_f1",
            Self::Rouge1 { .. } => "rouge_1",
            Self::Rouge2 { .. } => "rouge_2",
            Self::RougeL { .. } => "rouge_l",
            Self::RougeLsum { .. } => "rouge_lsum",
            Self::Bleu {} => "bleu",
            Self::Chrf(_) => "chrf",
            Self::NumericMatch(_) => "numeric_match",
            Self::JsonFields(_) => "json_fields",
            Self::ListMatch(_) => "list_match",
            Self::Language(_) => "language",
            Self::Length(_) => "length",
            Self::ToolCall(_) => "tool_call",
            Self::Trajectory(_) => "trajectory",
            Self::Conversation(_) => "conversation",
            Self::Assertions {} => "assertions",
            Self::Command(_) => "command",
            Self::Http(_) => "http",
            Self::Bertscore(_) => "bertscore",
            Self::EmbeddingSimilarity { .. } => "embedding_similarity",
            Self::Latency { .. } => "latency",
            Self::Cost { .. } => "cost",
            Self::Refusal { .. } => "refusal",
            Self::Judge(_) => "judge",
            Self::Faithfulness(_) => "faithfulness",
            Self::AnswerRelevance(_) => "answer_relevance",
            Self::Hallucination(_) => "hallucination",
            Self::Helpfulness(_) => "helpfulness",
            Self::Accuracy(_) => "accuracy",
            Self::Checklist(_) => "checklist",
            Self::Pairwise(_) => "pairwise",
            Self::Panel(_) => "panel",
            Self::Debate(_) => "debate",
        }
    }

    /// Whether lower is better and the value is not in [0, 1].
    pub fn is_measurement(&self) -> bool {
        matches!(self, Self::Latency { .. } | Self::Cost { .. })
    }

    /// Whether it can be given a weight in the composite and a threshold.
    pub fn is_score(&self) -> bool {
        !self.is_measurement() && !matches!(self, Self::Refusal { expect: None })
    }

    /// The most that a measurement may be, where it is limited.
    pub fn limit(&self) -> Option<f64> {
        match self {
            Self::Latency { max_ms: limit } | Self::Cost { max: limit } => *limit,
            _ => None,
        }
    }

    /// The embedding model that it names, where it needs one.
    pub fn embedding_model(&self) -> Option<Option<&str>> {
        match self {
            Self::Bertscore(BertscoreSpec { model, .. })
            | Self::EmbeddingSimilarity { model }
            | Self::ListMatch(ListMatchSpec { similarity: ItemSimilarity::Embeddings, model, .. }) => {
                Some(model.as_deref())
            }
            _ => None,
        }
    }
}
