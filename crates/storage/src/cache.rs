//! The response cache: answers by the hash of what was asked.

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;

use crate::{Store, StoreError};

impl Store {
    /// The cached answer for a key.
    pub async fn cache_get(&self, project: &ProjectId, key: &ContentHash) -> Result<Option<String>, StoreError> {
        todo!()
    }

    /// Hands an answer to the writer, which stores it with the next commit. Waits only while the writer's queue is full.
    /// The first answer of a key stays. A write that fails is logged; the cache is allowed to forget.
    pub async fn cache_put(&self, project: &ProjectId, key: &ContentHash, body: String) {
        todo!()
    }
}
