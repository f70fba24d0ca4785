//! Runs, comparisons, baselines, gates.

use http::Method;
use llmops_domain::compare::RunComparison;
use llmops_domain::gate::GateReport;
use llmops_domain::run::{EvaluationRun, SampleResult};

use super::{Client, ClientError, segment};
use crate::page::Page;
use crate::runs::{Baseline, CreateRun, GateRequest, GetRunQuery, PromoteBaseline, ResultQuery, RunQuery};

impl Client {
    /// Creates a run, and starts it unless told otherwise.
    pub async fn create_run(&self, run: &CreateRun) -> Result<EvaluationRun, ClientError> {
        self.send(Method::POST, "/api/v1/runs", run).await
    }

    /// Runs, newest first.
    pub async fn list_runs(&self, query: &RunQuery) -> Result<Page<EvaluationRun>, ClientError> {
        self.get_with("/api/v1/runs", query).await
    }

    /// One run: an id, the beginning of one, `latest` or `baseline`.
    pub async fn get_run(&self, run: &str, query: &GetRunQuery) -> Result<EvaluationRun, ClientError> {
        self.get_with(&run_path(run, ""), query).await
    }

    /// Starts a pending run, or resumes one that stopped: what has a result is not asked again.
    pub async fn start_run(&self, run: &str) -> Result<EvaluationRun, ClientError> {
        self.send(Method::POST, &run_path(run, "/start"), &()).await
    }

    /// Stops a run. It can be resumed.
    pub async fn cancel_run(&self, run: &str) -> Result<EvaluationRun, ClientError> {
        self.send(Method::POST, &run_path(run, "/cancel"), &()).await
    }

    /// Sample results, worst first.
    pub async fn list_results(&self, run: &str, query: &ResultQuery) -> Result<Page<SampleResult>, ClientError> {
        self.get_with(&run_path(run, "/results"), query).await
    }

    /// Every trial of one sample.
    pub async fn get_sample_results(&self, run: &str, sample: &str) -> Result<Page<SampleResult>, ClientError> {
        self.get(&run_path(run, &format!("/results/{}", segment(sample)))).await
    }

    /// What changed from one run to another.
    pub async fn compare_runs(&self, before: &str, after: &str) -> Result<RunComparison, ClientError> {
        self.get(&run_path(before, &format!("/compare/{}", segment(after)))).await
    }

    /// The verdict on a run.
    pub async fn gate_run(&self, run: &str, gate: &GateRequest) -> Result<GateReport, ClientError> {
        self.send(Method::POST, &run_path(run, "/gate"), gate).await
    }

    /// The baseline of every dataset.
    pub async fn list_baselines(&self) -> Result<Page<Baseline>, ClientError> {
        self.get("/api/v1/baselines").await
    }

    /// Makes a run the baseline of its dataset.
    pub async fn promote_baseline(&self, promote: &PromoteBaseline) -> Result<Baseline, ClientError> {
        self.send(Method::POST, "/api/v1/baselines", promote).await
    }
}

fn run_path(run: &str, rest: &str) -> String {
    format!("/api/v1/runs/{}{rest}", segment(run))
}
