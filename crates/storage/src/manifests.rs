//! Manifests by their content hash.

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::manifest::Manifest;

use crate::db::{check_hash_prefix, decode, encode, execute, fetch, hash_of_text, micros, only, prefix_end};
use crate::{Store, StoreError};

impl Store {
    /// Stores a manifest and answers with its id; storing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a parameter is NaN.
    pub async fn put_manifest(&self, project: &ProjectId, manifest: &Manifest) -> Result<ContentHash, StoreError> {
        let document = encode("the manifest", manifest)?;
        let hash = manifest.id().map_err(|e| StoreError::Invalid(format!("the manifest has no JSON form: {e}")))?;
        let sql = "INSERT INTO manifests (project_id, hash, created_at, document) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT DO NOTHING";
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), hash.as_str(), micros(llmops_domain::clock::now()), document.as_str())
            .map_err(|e| e.of_project(project))?;
        tx.commit().await?;
        Ok(hash)
    }

    /// The manifests that deployments answer with now, with the environment of each.
    pub async fn live_manifests(&self, project: &ProjectId) -> Result<Vec<(String, Manifest)>, StoreError> {
        let sql = "SELECT d.environment, m.document FROM deployments d \
                   JOIN manifests m ON m.project_id = d.project_id AND m.hash = d.manifest WHERE d.project_id = $1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql, project.as_str())?;
        rows.into_iter().map(|(environment, document)| Ok((environment, decode("a manifest", &document)?))).collect()
    }

    /// The manifest whose id begins with `prefix` (4 hex digits or more).
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Ambiguous`], or [`StoreError::Invalid`] for something that is no hash.
    pub async fn get_manifest(&self, project: &ProjectId, prefix: &str) -> Result<(ContentHash, Manifest), StoreError> {
        check_hash_prefix(prefix)?;
        let sql = "SELECT hash, document FROM manifests WHERE project_id = $1 AND hash >= $2 AND hash < $3 LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql, project.as_str(), prefix, prefix_end(prefix))?;
        let (hash, document) = only(rows, "manifest", prefix)?;
        Ok((hash_of_text(&hash)?, decode("a manifest", &document)?))
    }
}
