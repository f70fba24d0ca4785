//! Observations and results.

use bytes::Bytes;
use futures::stream::BoxStream;
use http::Method;
use llmops_domain::experiment::observation::Observation;
use llmops_domain::experiment::result::ExperimentResult;
use llmops_domain::experiment::{AskedQuestion, Question};

use super::{Client, ClientError, segment, with_query};
use crate::observations::{ImportObservationsQuery, RecordedObservations, ResultsQuery};
use crate::page::{Page, PageQuery};

impl Client {
    /// Records one observation.
    pub async fn record_metric(
        &self,
        experiment: &str,
        observation: &Observation,
    ) -> Result<RecordedObservations, ClientError> {
        self.send(Method::POST, &format!("/api/v1/experiments/{}/observations", segment(experiment)), observation).await
    }

    /// Records many, from CSV with a header or JSON Lines.
    pub async fn import_observations(
        &self,
        experiment: &str,
        query: &ImportObservationsQuery,
        body: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<RecordedObservations, ClientError> {
        let path = format!("/api/v1/experiments/{}/observations/import", segment(experiment));
        self.upload(&with_query(&path, query)?, "application/octet-stream", body).await
    }

    /// What an experiment found.
    pub async fn experiment_results(
        &self,
        experiment: &str,
        query: &ResultsQuery,
    ) -> Result<ExperimentResult, ClientError> {
        self.get_with(&format!("/api/v1/experiments/{}/results", segment(experiment)), query).await
    }

    /// Asks what the results cannot tell.
    pub async fn ask_experiment(&self, experiment: &str, question: &Question) -> Result<AskedQuestion, ClientError> {
        self.send(Method::POST, &format!("/api/v1/experiments/{}/questions", segment(experiment)), question).await
    }

    /// What was asked about an experiment, newest first.
    pub async fn experiment_questions(
        &self,
        experiment: &str,
        query: &PageQuery,
    ) -> Result<Page<AskedQuestion>, ClientError> {
        self.get_with(&format!("/api/v1/experiments/{}/questions", segment(experiment)), query).await
    }

    /// A question, with its answer once there is one.
    pub async fn experiment_question(&self, experiment: &str, question: &str) -> Result<AskedQuestion, ClientError> {
        let path = format!("/api/v1/experiments/{}/questions/{}", segment(experiment), segment(question));
        self.get(&path).await
    }
}
