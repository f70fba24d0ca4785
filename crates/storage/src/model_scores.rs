//! Scores of models that people set.

use llmops_domain::id::ProjectId;
use llmops_domain::verifier::ModelScore;

use crate::db::{check_name, decode, encode, execute, fetch};
use crate::{Store, StoreError};

impl Store {
    /// Stores the score of a model, or replaces it.
    pub async fn put_model_score(&self, project: &ProjectId, score: &ModelScore) -> Result<(), StoreError> {
        check_name("the model's name", &score.model)?;
        let sql = "INSERT INTO model_scores (project_id, model, document) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, model) DO UPDATE SET document = excluded.document";
        let document = encode("the score", score)?;
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), score.model.as_str(), document.as_str())
            .map_err(|e| e.of_project(project))?;
        tx.commit().await
    }

    /// The score that was set for a model.
    pub async fn get_model_score(&self, project: &ProjectId, model: &str) -> Result<Option<ModelScore>, StoreError> {
        let sql = "SELECT document FROM model_scores WHERE project_id = $1 AND model = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), model)?;
        row.map(|(document,)| decode("a score", &document)).transpose()
    }

    /// All scores that were set, by model.
    pub async fn list_model_scores(&self, project: &ProjectId) -> Result<Vec<ModelScore>, StoreError> {
        let sql = "SELECT document FROM model_scores WHERE project_id = $1 ORDER BY model";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str())?;
        rows.iter().map(|(document,)| decode("a score", document)).collect()
    }

    /// Forgets the score of a model.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when none was set.
    pub async fn delete_model_score(&self, project: &ProjectId, model: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM model_scores WHERE project_id = $1 AND model = $2";
        let deleted = execute!(tx, sql, project.as_str(), model)?;
        tx.commit().await?;
        if deleted == 0 { Err(StoreError::not_found("score of the model", model)) } else { Ok(()) }
    }
}
