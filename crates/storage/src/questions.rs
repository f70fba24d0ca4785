//! Questions about experiments: each a document, with where it stands.

use llmops_domain::experiment::AskedQuestion;
use llmops_domain::id::{ProjectId, QuestionId};

use crate::db::{check_name, decode, encode, execute, fetch};
use crate::{ExperimentKey, Store, StoreError};

impl Store {
    /// Keeps a new question.
    pub async fn create_question(
        &self,
        experiment: &ExperimentKey,
        question: &AskedQuestion,
    ) -> Result<(), StoreError> {
        let document = encode("the question", question)?;
        let sql = "INSERT INTO experiment_questions (project_id, id, experiment_key, status, document) \
                   VALUES ($1, $2, $3, $4, $5)";
        let (id, status) = (question.id.as_str(), question.status.as_str());
        let mut tx = self.write().await?;
        execute!(tx, sql, &*experiment.project, id, experiment.key, status, document)?;
        tx.commit().await
    }

    /// Keeps what became of a question, unless that was known already.
    pub async fn settle_question(&self, project: &ProjectId, question: &AskedQuestion) -> Result<(), StoreError> {
        let document = encode("the answer", question)?;
        let sql = "UPDATE experiment_questions SET status = $3, document = $4 \
                   WHERE project_id = $1 AND id = $2 AND status = 'open'";
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), question.id.as_str(), question.status.as_str(), document)?;
        tx.commit().await
    }

    /// A question.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_question(&self, project: &ProjectId, id: &str) -> Result<AskedQuestion, StoreError> {
        check_name("the question", id)?;
        let sql = "SELECT document FROM experiment_questions WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id)?;
        let (document,) = row.ok_or_else(|| StoreError::not_found("question", id))?;
        decode("a question", &document)
    }

    /// The questions about an experiment, newest first, with an id below `before` where that is given.
    pub async fn list_questions(
        &self,
        experiment: &ExperimentKey,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AskedQuestion>, StoreError> {
        let sql = "SELECT document FROM experiment_questions WHERE experiment_key = $1 AND ($2 = '' OR id < $2) \
                   ORDER BY id DESC LIMIT $3";
        let before = before.unwrap_or("");
        check_name("the cursor", before)?;
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, experiment.key, before, i64::from(limit))?;
        rows.iter().map(|(document,)| decode("a question", document)).collect()
    }

    /// Questions of all projects that wait for an answer, oldest first.
    pub async fn open_questions(&self, limit: u32) -> Result<Vec<(ProjectId, QuestionId)>, StoreError> {
        let sql = "SELECT project_id, id FROM experiment_questions WHERE status = 'open' ORDER BY id LIMIT $1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql, i64::from(limit))?;
        Ok(rows.into_iter().map(|(project, id)| (ProjectId(project), QuestionId(id))).collect())
    }
}
