//! What the gate said of runs.

use jiff::Timestamp;
use llmops_domain::gate::{KeptVerdict, Verdict};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::EvaluationRun;

use super::insert_tag;
use crate::audit::{Change, record};
use crate::db::{decode, encode, execute, fetch};
use crate::{Store, StoreError};

/// The tag with what a run's gate said.
const GATE_TAG: &str = "gate";

impl Store {
    /// Keeps what the gate said of a run: the verdict with its checks, the tag that others go by (`gate=pass`), and in the record of
    /// changes the verdict before and the rules of this one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such run.
    pub async fn keep_verdict(&self, project: &ProjectId, run: &RunId, kept: &KeptVerdict) -> Result<(), StoreError> {
        let key = self.run_key(project, run).await?;
        let verdict = kept.verdict.as_str();
        let document = encode("the verdict", kept)?;
        let mut tx = self.write().await?;
        let sql = "SELECT value FROM run_tags WHERE run_key = $1 AND name = $2";
        let before = fetch!(fetch_optional, tx, (String,), sql, key.key, GATE_TAG)?;
        insert_tag(&mut tx, (key.key, project), (GATE_TAG, verdict), kept.at).await?;
        execute!(tx, "UPDATE runs SET verdict = $2 WHERE key = $1", key.key, document.as_str())?;
        let change = Change::new("run.gated", run.as_str())
            .before(before.map(|(verdict,)| serde_json::json!({"verdict": verdict})))
            .after(serde_json::json!({"verdict": verdict, "baseline": kept.baseline, "rules": kept.config}));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// The newest run of a manifest that passed its gate, with the time at which it was made.
    pub async fn newest_passing_run(
        &self,
        project: &ProjectId,
        manifest: &ContentHash,
    ) -> Result<Option<(RunId, Timestamp)>, StoreError> {
        // The text finds the few that name it; what they name it as is read from the document.
        let sql = "SELECT r.document FROM run_tags t JOIN runs r ON r.key = t.run_key \
                   WHERE t.project_id = $1 AND t.name = $2 AND t.value = $3 AND r.document LIKE $4 \
                   AND ($5 IS NULL OR r.id < $5) ORDER BY r.id DESC LIMIT 1";
        let named = format!("%\"manifest_id\":\"{manifest}\"%");
        let mut conn = self.read().await?;
        let (project, passed) = (project.as_str(), Verdict::Pass.as_str());
        let mut before: Option<RunId> = None;
        loop {
            let before_id = before.as_ref().map(RunId::as_str);
            let row =
                fetch!(fetch_optional, conn, (String,), sql, project, GATE_TAG, passed, named.as_str(), before_id)?;
            let Some((document,)) = row else { return Ok(None) };
            let run: EvaluationRun = decode("a run", &document)?;
            if run.spec.manifest_id == *manifest {
                return Ok(Some((run.id, run.created_at)));
            }
            before = Some(run.id);
        }
    }
}
