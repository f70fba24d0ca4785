//! Experiments.

use http::Method;
use llmops_domain::experiment::{Experiment, ExperimentSpec};
use serde_json::{Map, Value};

use super::{Client, ClientError, segment};
use crate::experiments::{
    AssignUnit, Assignment, CompleteExperiment, CreateModelExperiment, CreatePromptExperiment, ExperimentQuery,
};
use crate::page::Page;

fn path(experiment: &str, rest: &str) -> String {
    format!("/api/v1/experiments/{}{rest}", segment(experiment))
}

impl Client {
    /// Makes a draft.
    pub async fn create_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment, ClientError> {
        self.send(Method::POST, "/api/v1/experiments", spec).await
    }

    /// Makes a draft of two prompts.
    pub async fn create_prompt_experiment(&self, create: &CreatePromptExperiment) -> Result<Experiment, ClientError> {
        self.send(Method::POST, "/api/v1/experiments/prompt", create).await
    }

    /// Makes a draft of two or more models.
    pub async fn create_model_experiment(&self, create: &CreateModelExperiment) -> Result<Experiment, ClientError> {
        self.send(Method::POST, "/api/v1/experiments/model", create).await
    }

    /// An experiment by its id, a beginning of it, or its key.
    pub async fn get_experiment(&self, experiment: &str) -> Result<Experiment, ClientError> {
        self.get(&path(experiment, "")).await
    }

    /// Experiments, newest first.
    pub async fn list_experiments(&self, query: &ExperimentQuery) -> Result<Page<Experiment>, ClientError> {
        self.get_with("/api/v1/experiments", query).await
    }

    /// Changes the fields that are given.
    pub async fn update_experiment(
        &self,
        experiment: &str,
        changes: &Map<String, Value>,
    ) -> Result<Experiment, ClientError> {
        self.send(Method::PATCH, &path(experiment, ""), changes).await
    }

    /// Starts a draft, or resumes what is paused.
    pub async fn start_experiment(&self, experiment: &str) -> Result<Experiment, ClientError> {
        self.send(Method::POST, &path(experiment, "/start"), &()).await
    }

    /// Deletes a draft.
    pub async fn delete_experiment(&self, experiment: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &path(experiment, ""), Vec::new()).await
    }

    /// Pauses.
    pub async fn pause_experiment(&self, experiment: &str) -> Result<Experiment, ClientError> {
        self.send(Method::POST, &path(experiment, "/pause"), &()).await
    }

    /// Goes on after a pause.
    pub async fn resume_experiment(&self, experiment: &str) -> Result<Experiment, ClientError> {
        self.send(Method::POST, &path(experiment, "/resume"), &()).await
    }

    /// Ends it, with a winner or without.
    pub async fn complete_experiment(
        &self,
        experiment: &str,
        complete: &CompleteExperiment,
    ) -> Result<Experiment, ClientError> {
        self.send(Method::POST, &path(experiment, "/complete"), complete).await
    }

    /// Gives it up.
    pub async fn cancel_experiment(&self, experiment: &str) -> Result<Experiment, ClientError> {
        self.send(Method::POST, &path(experiment, "/cancel"), &()).await
    }

    /// The variant of a unit.
    pub async fn assign(&self, experiment: &str, unit: &AssignUnit) -> Result<Assignment, ClientError> {
        self.send(Method::POST, &path(experiment, "/assign"), unit).await
    }
}
