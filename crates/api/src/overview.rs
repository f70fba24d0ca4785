//! What a person looks at first, in one answer each: the overview, quality over time, live traffic.

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops_domain::deployment::Deployment;
use llmops_domain::event::StoredEvent;
use llmops_domain::experiment::Experiment;
use llmops_domain::gate::Verdict;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::RunId;
use llmops_domain::run::{Estimate, EvaluationRun, RunStatus};
use llmops_domain::traffic::Traffic;
use serde::{Deserialize, Serialize};

/// A run in a series over time: its scores and what they are the scores of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QualityPoint {
    /// The run.
    pub run: RunId,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Completed or failed.
    pub status: RunStatus,
    /// The dataset's name.
    pub dataset: String,
    /// The dataset version.
    pub dataset_version: ContentHash,
    /// The suite, where it has one.
    pub suite: Option<String>,
    /// The prompt's name.
    pub prompt_name: Option<String>,
    /// The prompt's version.
    pub prompt_version: Option<String>,
    /// The model, as `provider/model`.
    pub model: String,
    /// Whether only a part of the samples was evaluated: its scores are not the dataset's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The overall score.
    pub overall: Option<Estimate>,
    /// Share of samples that passed.
    pub pass_rate: Option<Estimate>,
    /// Score of each category.
    pub categories: BTreeMap<String, Estimate>,
    /// Mean of each metric.
    pub metrics: BTreeMap<String, Estimate>,
    /// What the gate said last, where it was asked.
    pub gate: Option<Verdict>,
    /// Whether it is or was the baseline.
    pub baseline: bool,
    /// What it cost, in USD: answers and judges.
    pub cost: f64,
}

impl From<EvaluationRun> for QualityPoint {
    fn from(run: EvaluationRun) -> Self {
        let gate = run.tags.get("gate").and_then(|verdict| serde_json::from_value(verdict.as_str().into()).ok());
        let results = run.results;
        Self {
            run: run.id,
            at: run.created_at,
            status: run.status,
            partial: run.spec.is_partial(),
            dataset: run.dataset,
            dataset_version: run.spec.dataset_version,
            suite: run.spec.suite,
            prompt_name: run.prompt_name,
            prompt_version: run.prompt_version,
            model: run.model_name,
            overall: results.as_ref().and_then(|results| results.overall),
            pass_rate: results.as_ref().map(|results| results.pass_rate),
            categories: results
                .iter()
                .flat_map(|results| &results.categories)
                .filter_map(|(name, category)| Some((name.clone(), category.score?)))
                .collect(),
            metrics: results.iter().flat_map(|results| results.metric_details.clone()).collect(),
            gate,
            baseline: run.tags.get("env").is_some_and(|env| env == "production"),
            cost: results.as_ref().map_or(0.0, |results| results.spend.target_cost + results.spend.judge_cost),
        }
    }
}

/// Which runs a series holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QualityQuery {
    /// Runs on this dataset. Absent: the one whose run came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Of this suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Of this prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Of this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Days back from now, 1 to 366; default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<u32>,
}

/// Quality over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QualitySeries {
    /// The dataset that the runs are on; absent where nothing was evaluated yet.
    pub dataset: Option<String>,
    /// All datasets that have completed runs, the one evaluated last first; at most 100.
    pub datasets: Vec<EvaluatedDataset>,
    /// Completed runs, oldest first; at most the newest 500.
    pub points: Vec<QualityPoint>,
    /// The limits that the configuration sets. Those of a suite may be others.
    pub limits: QualityLimits,
    /// Where MLflow is, if the server's `MLFLOW_TRACKING_URI` names a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<String>,
}

/// Minima of the gate, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QualityLimits {
    /// Of the overall score.
    pub overall_min: f64,
    /// Of each category, where there is no baseline.
    pub category_min: f64,
}

/// A dataset that runs were made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EvaluatedDataset {
    /// Its name.
    pub name: String,
    /// Completed runs on it.
    pub runs: u64,
}

/// Runs by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunTally {
    /// Waiting, now.
    pub pending: u64,
    /// At work, now.
    pub running: u64,
    /// Created in the last 24 hours and completed.
    pub completed: u64,
    /// Created in the last 24 hours and failed.
    pub failed: u64,
    /// Created in the last 24 hours and cancelled.
    pub cancelled: u64,
}

/// Open alerts by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertTally {
    /// Critical ones.
    pub critical: u64,
    /// Warnings.
    pub warning: u64,
    /// For information.
    pub info: u64,
}

/// A deployment and what it points to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeploymentHead {
    /// The deployment.
    pub deployment: Deployment,
    /// Its manifest's model.
    pub model: String,
    /// Its manifest's prompt, as `NAME@VERSION`.
    pub prompt: Option<String>,
}

/// The state of a project at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Overview {
    /// Now.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What changed is told from here on: 24 hours ago.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The dataset evaluated last and its completed runs, oldest first; at most 30, and the newest of all its samples before them
    /// where they are of a part only.
    pub quality: Vec<QualityPoint>,
    /// Runs.
    pub runs: RunTally,
    /// Deployments by name, at most 20.
    pub deployments: Vec<DeploymentHead>,
    /// Open alerts.
    pub alerts: AlertTally,
    /// Running and paused experiments, newest first, at most 20.
    pub experiments: Vec<Experiment>,
    /// Traffic of the last 24 hours.
    pub traffic: Traffic,
    /// Traffic of the 24 hours before, without its hours.
    pub traffic_before: Traffic,
    /// What happened since, newest first, at most 50; without beginnings and progress of runs, and versions of prompts and datasets.
    pub events: Vec<StoredEvent>,
    /// Prompt versions added since, newest first, at most 20.
    pub prompts: Vec<NewPrompt>,
}

/// A prompt version that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewPrompt {
    /// The prompt.
    pub name: String,
    /// The version.
    pub version: String,
    /// What changed, in its author's words.
    pub change: Option<String>,
    /// Who wrote it.
    pub author: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}
