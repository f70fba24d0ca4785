//! The gate: whether a run is good enough, with the evidence.

mod decide;
mod standing;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::id::RunId;
use crate::run::Estimate;

pub use decide::{Decision, GateInput, decide};
pub use standing::{GatedRun, passing};

/// How drops are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// The limits decide.
    #[default]
    Strict,
    /// A drop must also be significant; else the gate is inconclusive.
    NoiseAware,
}

/// The gate's rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GateConfig {
    /// How drops are judged.
    pub mode: GateMode,
    /// The overall score must reach this.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub overall_min: f64,
    /// Every category must reach this when there is no baseline.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub category_min: f64,
    /// No category may drop by more than this against the baseline.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_drop: f64,
    /// The judge must agree with people at least this well (Cohen's kappa).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub require_judge_kappa: Option<f64>,
    /// Exit 1 instead of 3 when the gate is inconclusive.
    pub fail_on_inconclusive: bool,
    /// Categories of the baseline that a run may lack. Any other one that is gone fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired_categories: Vec<String>,
    /// Let the absolute limits alone decide where the composite is made of other metrics than the baseline's. Otherwise that is
    /// inconclusive.
    pub accept_changed_scoring: bool,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            mode: GateMode::Strict,
            overall_min: 0.80,
            category_min: 0.72,
            max_drop: 0.05,
            require_judge_kappa: None,
            fail_on_inconclusive: false,
            retired_categories: Vec::new(),
            accept_changed_scoring: false,
        }
    }
}

/// The gate's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good enough.
    Pass,
    /// Not good enough.
    Fail,
    /// Not enough to decide.
    Inconclusive,
}

impl Verdict {
    /// The name as written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Scores of a baseline whose run is kept elsewhere: without its samples, only the numbers can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceScores {
    /// Where they come from, for people: `the MLflow run 4f1c…`.
    pub source: String,
    /// The overall score, in [0, 1].
    #[serde(default)]
    pub overall: Option<f64>,
    /// Score of each category, in [0, 1].
    #[serde(default)]
    pub categories: BTreeMap<String, f64>,
}

/// One named rule and what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct Check {
    /// `overall_min`, `max_drop/CATEGORY`, `category_min/CATEGORY`, `category_missing/CATEGORY`, `scoring`, `error_rate` …
    pub name: String,
    /// What it found.
    pub status: Verdict,
    /// The baseline's value.
    #[serde(default)]
    pub baseline: Option<f64>,
    /// This run's value.
    #[serde(default)]
    pub current: Option<f64>,
    /// For drops: by how much the score changed. Where both runs scored the same samples, this run's value less the
    /// baseline's; else the mean change of the samples that both scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
    /// The limit that applies.
    #[serde(default)]
    pub limit: Option<f64>,
    /// 95 % interval: of the change on shared samples for drops, of the value itself for minima.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Samples behind it.
    #[serde(default)]
    pub n: Option<u64>,
    /// One sentence for people.
    pub message: String,
}

/// The content of `scores.json`: written by an evaluation and completed by a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct Scores {
    /// The run.
    #[schemars(with = "String")]
    pub run: RunId,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    #[schemars(with = "String")]
    pub run_timestamp: Timestamp,
    /// The model, as `provider/model`.
    pub model_version: String,
    /// `NAME@VERSION` of the prompt.
    pub prompt_version: Option<String>,
    /// Hash of the dataset version.
    #[schemars(with = "String")]
    pub dataset_version: ContentHash,
    /// The manifest's id.
    #[schemars(with = "String")]
    pub manifest: ContentHash,
    /// Samples.
    pub total_examples: u64,
    /// Samples that could not be scored.
    pub errored: u64,
    /// Share of trials that passed.
    pub pass_rate: f64,
    /// Score of each category.
    pub categories: BTreeMap<String, f64>,
    /// Overall score; null when nothing could be scored.
    pub overall: Option<f64>,
    /// Overall score corrected for the judge's error, with its interval, where people were asked about that judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_corrected: Option<Estimate>,
    /// 95 % intervals of overall and categories.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// Mean of each metric.
    pub metrics: BTreeMap<String, f64>,
    /// The gate's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the gate checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// What the gate said of a run, as it is kept with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeptVerdict {
    /// The answer.
    pub verdict: Verdict,
    /// When it was given.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
    /// The rules that applied.
    pub config: GateConfig,
    /// The run it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<RunId>,
    /// The rules and what they found.
    pub checks: Vec<Check>,
    /// Things a reader should know.
    pub notices: Vec<String>,
}

/// A sample that explains a failed check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleNote {
    /// The sample.
    pub sample_id: String,
    /// Its category.
    pub category: String,
    /// What was asked.
    pub input: String,
    /// What a good answer is.
    pub expected: Option<String>,
    /// What was answered.
    pub output: String,
    /// What the baseline answered.
    pub baseline_output: Option<String>,
    /// Composite now; null where it errored.
    pub composite: Option<f64>,
    /// Composite in the baseline.
    pub baseline_composite: Option<f64>,
    /// What failed, or the error.
    pub reasons: Vec<String>,
}

/// Everything the gate has to say: what scorecards are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateReport {
    /// The answer.
    pub verdict: Verdict,
    /// The rules that applied.
    pub config: GateConfig,
    /// The run that was gated.
    pub run: crate::run::EvaluationRun,
    /// The run it was compared with.
    pub baseline: Option<crate::run::EvaluationRun>,
    /// The rules and what they found.
    pub checks: Vec<Check>,
    /// Comparison with the baseline.
    pub comparison: Option<crate::compare::RunComparison>,
    /// Samples that explain what failed, worst first (at most 20).
    pub samples: Vec<SampleNote>,
    /// Things a reader should know: no baseline, metrics left out …
    pub notices: Vec<String>,
}
