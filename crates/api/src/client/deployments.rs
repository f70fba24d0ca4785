//! Deployments, manifests, request records.

use http::Method;
use llmops_domain::deployment::{Deployment, DeploymentChange};
use llmops_domain::manifest::Manifest;
use llmops_domain::record::{RecordFilter, RequestRecord};

use super::{Client, ClientError, segment};
use crate::deployments::{
    Deploy, Deployed, EnvironmentQuery, Erased, ErasureQuery, Rehearsal, Rollback, SafeModeSwitched, SoftFailureQuery,
    SoftFailureRate, SwitchSafeMode,
};
use crate::page::{Page, PageQuery};

impl Client {
    /// Deployments by name.
    pub async fn list_deployments(&self, page: &PageQuery) -> Result<Page<Deployment>, ClientError> {
        self.get_with("/api/v1/deployments", page).await
    }

    /// One deployment.
    pub async fn get_deployment(&self, name: &str, query: &EnvironmentQuery) -> Result<Deployment, ClientError> {
        self.get_with(&path(name, ""), query).await
    }

    /// Points a deployment to a manifest.
    pub async fn deploy(&self, name: &str, deploy: &Deploy) -> Result<Deployed, ClientError> {
        self.send(Method::POST, &path(name, "/deploy"), deploy).await
    }

    /// Points a deployment to a manifest that was live before.
    pub async fn rollback(&self, name: &str, rollback: &Rollback) -> Result<Deployed, ClientError> {
        self.send(Method::POST, &path(name, "/rollback"), rollback).await
    }

    /// Switches the safe mode.
    pub async fn switch_safe_mode(&self, name: &str, switch: &SwitchSafeMode) -> Result<SafeModeSwitched, ClientError> {
        self.send(Method::POST, &path(name, "/safe-mode"), switch).await
    }

    /// Every change of a deployment, newest first.
    pub async fn deployment_history(
        &self,
        name: &str,
        query: &EnvironmentQuery,
    ) -> Result<Page<DeploymentChange>, ClientError> {
        self.get_with(&path(name, "/history"), query).await
    }

    /// Whether earlier manifests could take over.
    pub async fn rehearse(&self, name: &str, query: &EnvironmentQuery) -> Result<Rehearsal, ClientError> {
        self.send(Method::POST, &path(name, "/rehearse"), query).await
    }

    /// How many answers of a deployment failed softly.
    pub async fn soft_failure_rate(
        &self,
        name: &str,
        query: &SoftFailureQuery,
    ) -> Result<SoftFailureRate, ClientError> {
        self.get_with(&path(name, "/soft-failures"), query).await
    }

    /// A manifest by the beginning of its hash.
    pub async fn get_manifest(&self, hash: &str) -> Result<Manifest, ClientError> {
        self.get(&format!("/api/v1/manifests/{}", segment(hash))).await
    }

    /// Request records, newest first.
    pub async fn list_records(&self, query: &RecordFilter) -> Result<Page<RequestRecord>, ClientError> {
        self.get_with("/api/v1/records", query).await
    }

    /// One request record.
    pub async fn get_record(&self, id: &str) -> Result<RequestRecord, ClientError> {
        self.get(&format!("/api/v1/records/{}", segment(id))).await
    }

    /// Deletes what is kept of a user's calls.
    pub async fn erase_records(&self, query: &ErasureQuery) -> Result<Erased, ClientError> {
        self.send(Method::POST, "/api/v1/records/erase", query).await
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/api/v1/deployments/{}{rest}", segment(name))
}
