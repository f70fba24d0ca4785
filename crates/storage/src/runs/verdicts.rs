//! What the gate said of runs.

use llmops_domain::gate::{GatedRun, KeptVerdict};
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

    /// The newest runs of a manifest with what the gate said of each, newest first.
    pub async fn gated_runs(&self, project: &ProjectId, manifest: &ContentHash) -> Result<Vec<GatedRun>, StoreError> {
        // The text finds the few that name it; what they name it as is read from the document. The tag finds those with a verdict,
        // and the verdict says it: whoever starts a run may give it any tag.
        let sql = "SELECT r.verdict, r.document FROM run_tags t JOIN runs r ON r.key = t.run_key \
                   WHERE t.project_id = $1 AND t.name = $2 AND r.verdict IS NOT NULL AND r.document LIKE $3 \
                   ORDER BY r.id DESC LIMIT 500";
        let named = format!("%\"manifest_id\":\"{manifest}\"%");
        let mut conn = self.read().await?;
        let mut gated = Vec::new();
        for (kept, document) in fetch!(fetch_all, conn, (String, String), sql, project.as_str(), GATE_TAG, named)? {
            let run: EvaluationRun = decode("a run", &document)?;
            let KeptVerdict { verdict, .. } = decode("a verdict", &kept)?;
            if run.spec.manifest_id == *manifest {
                gated.push(GatedRun {
                    is_partial: run.spec.is_partial(),
                    run: run.id,
                    dataset: run.spec.dataset,
                    made: run.created_at,
                    verdict,
                });
            }
        }
        Ok(gated)
    }
}
