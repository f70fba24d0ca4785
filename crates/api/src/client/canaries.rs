//! Canaries.

use bytes::Bytes;
use futures::stream::BoxStream;
use http::Method;
use llmops_domain::canary::{Canary, LoggedDecision, ShadowPair};

use super::{Client, ClientError, segment, with_query};
use crate::canaries::{CanaryQuery, CanaryReport, ChangeCanary, DecisionQuery, PairQuery, StartCanary, StartedCanary};
use crate::deployments::EnvironmentQuery;
use crate::page::Page;

fn path(canary: &str, rest: &str) -> String {
    format!("/api/v1/canaries/{}{rest}", segment(canary))
}

impl Client {
    /// Puts a candidate beside what a deployment answers with.
    pub async fn start_canary(&self, start: &StartCanary) -> Result<StartedCanary, ClientError> {
        self.send(Method::POST, "/api/v1/canaries", start).await
    }

    /// Canaries, newest first.
    pub async fn list_canaries(&self, query: &CanaryQuery) -> Result<Page<Canary>, ClientError> {
        self.get_with("/api/v1/canaries", query).await
    }

    /// How a canary stands, by its id, the beginning of it, or its deployment.
    pub async fn get_canary(&self, canary: &str, query: &EnvironmentQuery) -> Result<CanaryReport, ClientError> {
        self.get_with(&path(canary, ""), query).await
    }

    /// Its pairs, in the order of time.
    pub async fn list_canary_pairs(&self, canary: &str, query: &PairQuery) -> Result<Page<ShadowPair>, ClientError> {
        self.get_with(&path(canary, "/pairs"), query).await
    }

    /// Its decisions, oldest first.
    pub async fn list_canary_decisions(
        &self,
        canary: &str,
        query: &DecisionQuery,
    ) -> Result<Page<LoggedDecision>, ClientError> {
        self.get_with(&path(canary, "/decisions"), query).await
    }

    /// Its settled pairs as NDJSON.
    pub async fn export_canary(
        &self,
        canary: &str,
        query: &EnvironmentQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, std::io::Error>>, ClientError> {
        self.download(&with_query(&path(canary, "/export"), query)?).await
    }

    /// A step that a person takes: `begin`, `pause`, `resume`, `approve`, `promote` or `abort`.
    pub async fn change_canary(&self, canary: &str, step: &str, change: &ChangeCanary) -> Result<Canary, ClientError> {
        self.send(Method::POST, &path(canary, &format!("/{}", segment(step))), change).await
    }
}
