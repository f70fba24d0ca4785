//! What was applied, and the configuration of the server.

use http::Method;
use llmops_domain::apply::AppliedPiece;
use serde_json::Value;

use super::{Client, ClientError};
use crate::applied::PutApplied;
use crate::config::Reloaded;
use crate::page::{Page, PageQuery};

impl Client {
    /// What was applied last of project folders.
    pub async fn list_applied(&self, page: &PageQuery) -> Result<Page<AppliedPiece>, ClientError> {
        self.get_with("/api/v1/applied", page).await
    }

    /// Says what was applied of a piece.
    pub async fn put_applied(&self, piece: &PutApplied) -> Result<(), ClientError> {
        self.send(Method::PUT, "/api/v1/applied", piece).await
    }

    /// Lets the server read its configuration again.
    pub async fn reload_config(&self) -> Result<Reloaded, ClientError> {
        self.send(Method::POST, "/api/v1/config/reload", &Value::Null).await
    }

    /// Whether the server can do its work; else the error lists why not.
    pub async fn ready(&self) -> Result<Value, ClientError> {
        self.get("/readyz").await
    }
}
