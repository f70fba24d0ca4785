//! Manifests by their content hash.

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::manifest::Manifest;

use crate::{Store, StoreError};

impl Store {
    /// Stores a manifest and answers with its id; storing it again changes nothing.
    pub async fn put_manifest(&self, project: &ProjectId, manifest: &Manifest) -> Result<ContentHash, StoreError> {
        todo!()
    }

    /// The manifest whose id begins with `prefix` (4 hex digits or more).
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Ambiguous`], or [`StoreError::Invalid`] for something that is no hash.
    pub async fn get_manifest(&self, project: &ProjectId, prefix: &str) -> Result<(ContentHash, Manifest), StoreError> {
        todo!()
    }
}
