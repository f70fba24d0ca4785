//! Evaluation runs: one target on one dataset version with one set of scorers.

mod distribution;
mod outcome;
mod selection;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calibration::Corrected;
use crate::chat::{ToolCall, Usage};
use crate::gate::KeptVerdict;
use crate::hash::ContentHash;
use crate::id::RunId;
use crate::manifest::Manifest;
use crate::scoring::ScoringSpec;

pub use self::distribution::{ScoreBin, ScoreDistribution};
pub use self::outcome::{Outcome, ResultStatus, Unscored};
pub use self::selection::{Chosen, SampleSelection};

/// Why samples are errored once the judges have spent what they may ([`ScoringSpec::max_judge_cost`]).
pub const JUDGE_BUDGET: &str = "judge budget";

/// A value with the number of observations behind it and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema, schemars::JsonSchema)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Independent observations (samples, not trials).
    pub n: u64,
    /// Lower end of the 95 % interval; equal to the value where no interval exists (n < 2).
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Estimate {
    /// A value without spread: its interval is itself.
    pub fn exact(value: f64, n: u64) -> Self {
        Self { value, n, lower: value, upper: value }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Created, not started.
    Pending,
    /// Shards are being worked on, or waiting to be.
    Running,
    /// Every sample has a result and not too many of them are errors.
    Completed,
    /// Too many samples could not be answered or judged, or the run could not go on.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

/// A status change that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} run cannot become {to}")]
pub struct InvalidTransition {
    /// The present status.
    pub from: RunStatus,
    /// The status asked for.
    pub to: RunStatus,
}

impl RunStatus {
    /// All statuses.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Moves to `to`: `pending → running → completed | failed | cancelled`; a failed or cancelled run may be resumed
    /// (`→ running`).
    ///
    /// # Errors
    /// [`InvalidTransition`] for every other step.
    pub fn transition(self, to: Self) -> Result<Self, InvalidTransition> {
        use RunStatus::{Cancelled, Completed, Failed, Pending, Running};
        match (self, to) {
            (Pending | Failed | Cancelled | Running, Running)
            | (Running, Completed | Failed)
            | (Pending | Running, Cancelled)
            | (Pending, Failed) => Ok(to),
            (from, to) => Err(InvalidTransition { from, to }),
        }
    }

    /// Whether nothing will happen any more unless somebody resumes the run.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for RunStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            format!("unknown run status `{text}`: expected pending, running, completed, failed or cancelled")
        })
    }
}

/// What a run evaluates and how: everything that decides its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunSpec {
    /// The suite it was started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The target's name.
    pub target: String,
    /// The resolved target.
    pub manifest: Manifest,
    /// The manifest's id.
    pub manifest_id: ContentHash,
    /// The dataset's name: the lineage that baselines are looked up by.
    pub dataset: String,
    /// The dataset version.
    pub dataset_version: ContentHash,
    /// Weight of each category in the overall score; empty: all categories weigh the same.
    #[serde(default)]
    pub category_weights: BTreeMap<String, f64>,
    /// Scorers, weights, thresholds.
    pub scoring: ScoringSpec,
    /// Trials per sample, at least 1.
    pub repeat: u32,
    /// Only the first samples of the version, for a quick look; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Which samples are evaluated; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<SampleSelection>,
    /// Whether answers may come from and go to the response cache.
    pub cache: bool,
    /// What a reader of the results should know about how they were made: metrics left out, judge equal to target …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

impl RunSpec {
    /// Whether only a part of the dataset version is evaluated: that decides nothing about the whole.
    pub fn is_partial(&self) -> bool {
        self.limit.is_some() || self.only.is_some()
    }
}

/// An evaluation run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvaluationRun {
    /// The id.
    pub id: RunId,
    /// A name for people.
    pub name: String,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The dataset's name.
    pub dataset: String,
    /// The prompt's name.
    pub prompt_name: Option<String>,
    /// The prompt's version.
    pub prompt_version: Option<String>,
    /// The model, as `provider/model`.
    pub model_name: String,
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it is running by its status, and nobody works on it: whoever did is dead, or let the lease end. Workers go on
    /// with it by themselves, and so does `llmops eval --resume`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Why it failed, where it did; of a running one, why the process that worked on it could not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tags such as `env=production`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Anything else: commit, branch, author.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Everything that decides the results.
    pub spec: RunSpec,
    /// The results, once it completed or failed.
    #[serde(default)]
    pub results: Option<RunResults>,
    /// What the gate said of it last, where that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<KeptVerdict>>,
    /// Sample results so far and in all.
    pub progress: Progress,
    /// When the first shard was taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// When it reached a final status.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// How far a run is, in (sample, trial) pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// Pairs in all: samples × trials.
    pub total: u64,
    /// Pairs with a result.
    pub done: u64,
    /// Pairs that could not be answered or judged.
    pub errored: u64,
    /// USD spent so far.
    pub cost: f64,
}

/// Aggregated results of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunResults {
    /// Samples in the run.
    pub total_samples: u64,
    /// Samples of which every trial passed.
    pub passed_samples: u64,
    /// Samples of which some trial did not pass.
    pub failed_samples: u64,
    /// Samples without a single usable trial.
    pub errored_samples: u64,
    /// (sample, trial) pairs that could not be answered or judged.
    pub errored_trials: u64,
    /// Share of trials that passed, clustered by sample; errored trials are left out.
    pub pass_rate: Estimate,
    /// Mean of each metric.
    pub metric_scores: BTreeMap<String, f64>,
    /// Mean of each metric with n and interval.
    pub metric_details: BTreeMap<String, Estimate>,
    /// Score of each category: the mean of its composites.
    pub categories: BTreeMap<String, CategoryResult>,
    /// The weighted mean of the categories.
    pub overall: Option<Estimate>,
    /// The overall score corrected for the judge's error, where people were asked about that judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Corrected>,
    /// How often each reason made a trial fail, such as `rouge_l < 0.7`.
    pub failure_reasons: BTreeMap<String, u64>,
    /// How often each error kept a trial from being scored.
    pub error_reasons: BTreeMap<String, u64>,
    /// Things a reader should know: metrics left out, judge equal to target …
    #[serde(default)]
    pub notices: Vec<String>,
    /// How the judges did, by judged metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judges: BTreeMap<String, JudgeSummary>,
    /// Money and tokens.
    pub spend: Spend,
    /// Milliseconds of the target's calls that were not cached.
    pub latency: Option<LatencySummary>,
}

/// How the judges of one metric did in a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgeSummary {
    /// The judging models.
    pub judges: Vec<String>,
    /// Label of the judge's prompt, `NAME@VERSION`.
    pub prompt: String,
    /// Its hash.
    pub prompt_hash: String,
    /// Of a comparing judge: share of comparisons in which the two orders disagree (Wilson's interval; every comparison
    /// counts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_flips: Option<Estimate>,
    /// Of a debate: share of debates that ended in agreement (Wilson's interval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Estimate>,
    /// Of a debate: mean number of rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_rounds: Option<f64>,
    /// Of a debate: mean distance between the highest and the lowest score of the last round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_spread: Option<f64>,
    /// How often each judge failed or left the format and was dropped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
}

/// One category of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryResult {
    /// Mean composite. Null when every sample of the category errored.
    pub score: Option<Estimate>,
    /// Share of trials that passed.
    pub pass_rate: Option<Estimate>,
    /// Its weight in the overall score (weights of the categories present sum to 1).
    pub weight: f64,
    /// Samples.
    pub samples: u64,
    /// Samples of which some trial did not pass.
    pub failed: u64,
    /// (sample, trial) pairs that errored.
    pub errored: u64,
    /// Samples of which some trial errored and none failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errored_samples: Option<u64>,
}

/// Money and tokens of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Spend {
    /// USD for the target's calls. Models without a price count 0.
    pub target_cost: f64,
    /// Whether nobody knows what the target's calls cost: its model has no price, and is not free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target_unpriced: bool,
    /// USD for the judges' calls.
    pub judge_cost: f64,
    /// Whether nobody knows what all of them cost: a judge has no price, and is not free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub judges_unpriced: bool,
    /// Tokens the target read.
    pub prompt_tokens: u64,
    /// Tokens the target wrote.
    pub completion_tokens: u64,
    /// Answers taken from the response cache.
    pub cached: u64,
}

/// Distribution of the target's latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LatencySummary {
    /// Calls measured.
    pub n: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
}

/// One metric of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricScore {
    /// The score.
    pub score: f64,
    /// Why, where the scorer says: a judge's words, a schema violation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More, where there is more: rubric axes, precision and recall, a debate's transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// The result of one (sample, trial) pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleResult {
    /// Position of the sample in its dataset version, from 0.
    pub ordinal: u64,
    /// Trial, from 0.
    pub trial: u32,
    /// The sample's id.
    pub sample_id: String,
    /// The category it counts for; empty where it has none.
    pub category: String,
    /// Scored or errored.
    pub outcome: Outcome,
    /// The target's answer after post-processing; empty where none came.
    pub output: String,
    /// Tools the target wanted called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the target stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Milliseconds of the target's call.
    pub latency_ms: f64,
    /// USD of the target's call.
    pub cost: f64,
    /// USD of the judges' calls.
    #[serde(default)]
    pub judge_cost: f64,
    /// Tokens of the target's call.
    pub usage: Usage,
    /// Whether the answer came from the response cache.
    pub cached: bool,
}

/// The order of a list of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultOrder {
    /// By sample and trial.
    #[default]
    Ordinal,
    /// Lowest composite first; results without a composite before all others.
    Worst,
    /// Highest composite first; results without a composite behind all others.
    Best,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct EvaluationFilter {
    /// Runs of this prompt.
    pub prompt_name: Option<String>,
    /// Runs of this version of their prompt, such as `1.2.0`.
    pub prompt_version: Option<String>,
    /// Runs of this model.
    pub model_name: Option<String>,
    /// Runs of this dataset.
    pub dataset: Option<String>,
    /// Runs of this suite.
    pub suite: Option<String>,
    /// Runs in this status.
    pub status: Option<RunStatus>,
    /// Runs with this tag, as `key=value`.
    pub tag: Option<String>,
    /// Created at or after.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Created before.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Only runs with a smaller id: the cursor of the page before. Runs are listed newest first.
    pub before: Option<RunId>,
    /// Most runs to answer with.
    pub limit: Option<u32>,
}
