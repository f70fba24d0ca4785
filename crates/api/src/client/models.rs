//! Models: health, scores, prices.

use http::Method;
use llmops_domain::verifier::ModelStatus;

use super::{Client, ClientError};
use crate::models::{CheckModels, SetModelScore};
use crate::page::Page;

impl Client {
    /// Models with health, score and price.
    pub async fn list_models(&self) -> Result<Page<ModelStatus>, ClientError> {
        self.get("/api/v1/providers").await
    }

    /// Asks models for a sign of life.
    pub async fn check_models(&self, check: &CheckModels) -> Result<Page<ModelStatus>, ClientError> {
        self.send(Method::POST, "/api/v1/providers/check", check).await
    }

    /// Sets a model's score by hand, or forgets it.
    pub async fn set_model_score(&self, score: &SetModelScore) -> Result<ModelStatus, ClientError> {
        self.send(Method::PUT, "/api/v1/providers/score", score).await
    }
}
