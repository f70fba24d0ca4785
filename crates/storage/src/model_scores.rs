//! Scores of models that people set.

use llmops_domain::id::ProjectId;
use llmops_domain::verifier::ModelScore;

use crate::audit::{Change, record};
use crate::db::{Tx, check_name, decode, encode, execute, fetch};
use crate::{Store, StoreError};

/// The score that is about to change.
async fn stored(tx: &mut Tx, project: &ProjectId, model: &str) -> Result<Option<ModelScore>, StoreError> {
    let sql = "SELECT document FROM model_scores WHERE project_id = $1 AND model = $2";
    let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), model)?;
    row.map(|(document,)| decode("a score", &document)).transpose()
}

impl Store {
    /// Stores the score of a model, or replaces it.
    pub async fn put_model_score(&self, project: &ProjectId, score: &ModelScore) -> Result<(), StoreError> {
        check_name("the model's name", &score.model)?;
        let sql = "INSERT INTO model_scores (project_id, model, document) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, model) DO UPDATE SET document = excluded.document";
        let document = encode("the score", score)?;
        let mut tx = self.write().await?;
        let before = stored(&mut tx, project, &score.model).await?;
        execute!(tx, sql, project.as_str(), score.model.as_str(), document.as_str())
            .map_err(|e| e.of_project(project))?;
        let change = Change::new("model_score.set", &score.model).before(before).after(score);
        record(&mut tx, self.actor(), project, &change).await?;
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
        let before = stored(&mut tx, project, model).await?;
        let before = before.ok_or_else(|| StoreError::not_found("score of the model", model))?;
        let sql = "DELETE FROM model_scores WHERE project_id = $1 AND model = $2";
        execute!(tx, sql, project.as_str(), model)?;
        record(&mut tx, self.actor(), project, &Change::new("model_score.deleted", model).before(before)).await?;
        tx.commit().await
    }
}
