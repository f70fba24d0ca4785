//! Questions about experiments: each a document, with where it stands.

use llmops_domain::experiment::AskedQuestion;
use llmops_domain::id::{ProjectId, QuestionId};
use serde_json::Value;

use crate::db::{Tx, check_name, decode, encode, execute, fetch};
use crate::observations::{lock, unit_names};
use crate::{ExperimentKey, Store, StoreError};

/// Answers that are read at a time.
const PAGE: i64 = 100;

/// Whether an experiment knows a unit by what results call it.
async fn is_known(tx: &mut Tx, experiment: i64, shown: &str) -> Result<bool, StoreError> {
    let [named, nameless] = unit_names(shown);
    let sql = "SELECT COUNT(*) FROM observed_units WHERE experiment_key = $1 AND unit IN ($2, $3)";
    Ok(fetch!(fetch_one, tx, (i64,), sql, experiment, named, nameless)?.0 > 0)
}

/// Takes the name of a unit out of the answers to the questions about an experiment.
pub(crate) async fn forget_in_answers(tx: &mut Tx, experiment: i64, unit: &str) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let sql = "SELECT id, document FROM experiment_questions \
                   WHERE experiment_key = $1 AND status = 'answered' AND id > $2 ORDER BY id LIMIT $3";
        let page = fetch!(fetch_all, tx, (String, String), sql, experiment, after.as_str(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        for (id, document) in page {
            let mut question: AskedQuestion = decode("a question", &document)?;
            let Some(result) = &mut question.result else { continue };
            let named = result.excluded.examples.len();
            result.excluded.examples.retain(|example| example != unit);
            if result.excluded.examples.len() < named {
                let document = encode("the answer", &question)?;
                let sql = "UPDATE experiment_questions SET document = $3 WHERE experiment_key = $1 AND id = $2";
                execute!(tx, sql, experiment, id, document)?;
            }
        }
    }
}

/// Deletes the questions about an experiment whose condition names a value that only somebody had who is erased, and in the answers
/// to others gives the segment of that value the name that it has now.
pub(crate) async fn forget_value(
    tx: &mut Tx,
    experiment: i64,
    (name, value): (&str, &Value),
    (before, now): (&str, &str),
) -> Result<(), StoreError> {
    let shown = |slice: &str| slice.trim_start_matches("segment/").to_owned();
    let (before, now) = (shown(before), shown(now));
    let mut after = String::new();
    loop {
        let sql = "SELECT id, document FROM experiment_questions \
                   WHERE experiment_key = $1 AND id > $2 ORDER BY id LIMIT $3";
        let page = fetch!(fetch_all, tx, (String, String), sql, experiment, after.as_str(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        for (id, document) in page {
            let mut question: AskedQuestion = decode("a question", &document)?;
            if question.question.condition.iter().any(|(key, condition)| names(key, condition, name, value)) {
                let sql = "DELETE FROM experiment_questions WHERE experiment_key = $1 AND id = $2";
                execute!(tx, sql, experiment, id)?;
                continue;
            }
            let slices = question.result.iter_mut().flat_map(|result| &mut result.segments);
            let named: Vec<_> = slices.filter(|slice| slice.name == before).collect();
            if named.is_empty() {
                continue;
            }
            for slice in named {
                slice.name.clone_from(&now);
            }
            let document = encode("the answer", &question)?;
            let sql = "UPDATE experiment_questions SET document = $3 WHERE experiment_key = $1 AND id = $2";
            execute!(tx, sql, experiment, id, document)?;
        }
    }
}

/// Whether a part of a condition, under this key, names the value of an attribute. A pattern that has it as a part does, too.
fn names(key: &str, condition: &Value, attribute: &str, value: &Value) -> bool {
    let has_part = |(leaf, value): (&str, &str)| !value.is_empty() && leaf.contains(value);
    match condition {
        Value::Array(items) => items.iter().any(|item| names(key, item, attribute, value)),
        // Below an attribute's own name everything is about it.
        Value::Object(members) => members
            .iter()
            .any(|(inner, condition)| names(if key == attribute { key } else { inner }, condition, attribute, value)),
        leaf => key == attribute && (leaf == value || leaf.as_str().zip(value.as_str()).is_some_and(has_part)),
    }
}

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
        let mut tx = self.write().await?;
        let sql = "SELECT experiment_key FROM experiment_questions WHERE project_id = $1 AND id = $2";
        let found = fetch!(fetch_optional, tx, (i64,), sql, project.as_str(), question.id.as_str())?;
        let Some((experiment,)) = found else { return Ok(()) };
        let mut question = question.clone();
        if let Some(result) = &mut question.result {
            // Whoever was erased while it was being answered is not named again.
            lock(&mut tx, experiment).await?;
            let named = &mut result.excluded.examples;
            for at in (0..named.len()).rev() {
                if !is_known(&mut tx, experiment, &named[at]).await? {
                    named.remove(at);
                }
            }
        }
        let document = encode("the answer", &question)?;
        let sql = "UPDATE experiment_questions SET status = $3, document = $4 \
                   WHERE project_id = $1 AND id = $2 AND status = 'open'";
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
