//! Keys, projects, the record of changes.

use http::Method;
use llmops_domain::access::{ApiKey, AuditRecord, Project};
use llmops_domain::limits::Limits;

use super::{Client, ClientError, segment, with_query};
use crate::access::{AuditQuery, CreateKey, CreateProject, CreatedKey, KeyProject, KeyQuery, Session};
use crate::page::{Page, PageQuery};

impl Client {
    /// Makes a key.
    pub async fn create_key(&self, key: &CreateKey) -> Result<CreatedKey, ClientError> {
        self.send(Method::POST, "/api/v1/keys", key).await
    }

    /// The keys of a project, the oldest first.
    pub async fn list_keys(&self, query: &KeyQuery) -> Result<Page<ApiKey>, ClientError> {
        self.get_with("/api/v1/keys", query).await
    }

    /// One key.
    pub async fn get_key(&self, key: &str, query: &KeyProject) -> Result<ApiKey, ClientError> {
        self.get_with(&key_path(key), query).await
    }

    /// Sets what may be spent with a key.
    pub async fn limit_key(&self, key: &str, query: &KeyProject, limits: &Limits) -> Result<ApiKey, ClientError> {
        self.send(Method::PUT, &with_query(&format!("{}/limits", key_path(key)), query)?, limits).await
    }

    /// Revokes a key.
    pub async fn revoke_key(&self, key: &str, query: &KeyProject) -> Result<ApiKey, ClientError> {
        self.call(Method::DELETE, &with_query(&key_path(key), query)?, Vec::new()).await
    }

    /// Makes a project.
    pub async fn create_project(&self, project: &CreateProject) -> Result<Project, ClientError> {
        self.send(Method::POST, "/api/v1/projects", project).await
    }

    /// The projects that the caller may know of.
    pub async fn list_projects(&self, page: &PageQuery) -> Result<Page<Project>, ClientError> {
        self.get_with("/api/v1/projects", page).await
    }

    /// One project.
    pub async fn get_project(&self, project: &str) -> Result<Project, ClientError> {
        self.get(&format!("/api/v1/projects/{}", segment(project))).await
    }

    /// Changes of configuration, the newest first.
    pub async fn list_audit(&self, query: &AuditQuery) -> Result<Page<AuditRecord>, ClientError> {
        self.get_with("/api/v1/audit", query).await
    }

    /// Who the caller is.
    pub async fn get_session(&self) -> Result<Session, ClientError> {
        self.get("/api/v1/session").await
    }
}

fn key_path(key: &str) -> String {
    format!("/api/v1/keys/{}", segment(key))
}
