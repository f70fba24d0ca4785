//! Releases, and promotions that wait for a second key.

use http::Method;
use llmops_domain::approval::Approval;
use llmops_domain::release::{Release, ReleaseFilter};

use super::{Client, ClientError, segment};
use crate::deployments::Deployed;
use crate::page::{Page, PageQuery};
use crate::releases::{CancelRelease, StartRelease, WaiveStep};

impl Client {
    /// Begins a release.
    pub async fn start_release(&self, name: &str, request: &StartRelease) -> Result<Release, ClientError> {
        self.send(Method::POST, &path(name, ""), request).await
    }

    /// The release that is on its way.
    pub async fn get_release(&self, name: &str) -> Result<Release, ClientError> {
        self.get(&path(name, "")).await
    }

    /// Releases, the newest first.
    pub async fn list_releases(&self, filter: &ReleaseFilter) -> Result<Page<Release>, ClientError> {
        self.get_with("/api/v1/releases", filter).await
    }

    /// Goes on as far as it can.
    pub async fn advance_release(&self, name: &str) -> Result<Release, ClientError> {
        self.call(Method::POST, &path(name, "/advance"), Vec::new()).await
    }

    /// Lets a step pass.
    pub async fn waive_release_step(&self, name: &str, request: &WaiveStep) -> Result<Release, ClientError> {
        self.send(Method::POST, &path(name, "/waive"), request).await
    }

    /// Allows a release.
    pub async fn approve_release(&self, name: &str) -> Result<Release, ClientError> {
        self.call(Method::POST, &path(name, "/approve"), Vec::new()).await
    }

    /// Gives a release up.
    pub async fn cancel_release(&self, name: &str, request: &CancelRelease) -> Result<Release, ClientError> {
        self.send(Method::POST, &path(name, "/cancel"), request).await
    }

    /// Promotions that waited for a second key or still do, the newest first.
    pub async fn list_approvals(&self, page: &PageQuery) -> Result<Page<Approval>, ClientError> {
        self.get_with("/api/v1/approvals", page).await
    }

    /// Allows a promotion, and carries it out.
    pub async fn approve(&self, id: &str) -> Result<Deployed, ClientError> {
        self.call(Method::POST, &format!("/api/v1/approvals/{}/approve", segment(id)), Vec::new()).await
    }

    /// Refuses a promotion.
    pub async fn reject(&self, id: &str) -> Result<Approval, ClientError> {
        self.call(Method::POST, &format!("/api/v1/approvals/{}/reject", segment(id)), Vec::new()).await
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("/api/v1/releases/{}{rest}", segment(name))
}
