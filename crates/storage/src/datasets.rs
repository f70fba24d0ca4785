//! Datasets, their versions and samples. A sample is stored once per content; versions list the samples they hold.

use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetType, DatasetVersion, Sample};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;

use crate::{Store, StoreError};

/// How people name a dataset version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    /// What was built last.
    Latest,
    /// The beginning of the version's hash, at least 4 hex digits.
    Hash(String),
}

impl From<&ContentHash> for VersionSelector {
    fn from(hash: &ContentHash) -> Self {
        Self::Hash(hash.as_str().to_owned())
    }
}

/// Names a dataset version inside the store; found with [`Store::get_dataset_version`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionKey(pub(crate) i64);

/// A dataset version with the key that its samples are read by.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVersion {
    /// For [`Store::stream_samples`] and [`Store::get_sample`].
    pub key: VersionKey,
    /// The version.
    pub version: DatasetVersion,
}

/// An import under way. Nothing of it is visible before [`Import::finish`]; dropping it removes what was staged.
pub struct Import {
    store: Store,
}

impl Import {
    /// Adds samples, each with [`Sample::hash`], in the order they shall have. Batches of any size will do.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a sample id was there already; the import cannot go on then.
    pub async fn push(&mut self, samples: &[(Sample, ContentHash)]) -> Result<(), StoreError> {
        todo!()
    }

    /// Makes the samples a version and the dataset's newest. True when the version is new; when the same samples were
    /// imported before, that version becomes the newest again and the staged rows are dropped.
    pub async fn finish(self) -> Result<(DatasetVersion, bool), StoreError> {
        todo!()
    }

    /// Removes what was staged and says how that went; dropping the import does the same in the background.
    pub async fn abort(self) -> Result<(), StoreError> {
        todo!()
    }
}

impl Store {
    pub(crate) async fn remove_stale_imports(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Begins to import a version of a dataset, which is created (or its type and description changed) at the end.
    pub async fn begin_import(
        &self,
        project: &ProjectId,
        name: &str,
        kind: DatasetType,
        description: Option<&str>,
    ) -> Result<Import, StoreError> {
        todo!()
    }

    /// A dataset by name.
    pub async fn get_dataset(&self, project: &ProjectId, name: &str) -> Result<Dataset, StoreError> {
        todo!()
    }

    /// Datasets by name, behind `after`.
    pub async fn list_datasets(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Dataset>, StoreError> {
        todo!()
    }

    /// The versions of a dataset, newest first.
    pub async fn list_dataset_versions(
        &self,
        project: &ProjectId,
        name: &str,
        limit: u32,
    ) -> Result<Vec<DatasetVersion>, StoreError> {
        todo!()
    }

    /// One version of a dataset.
    pub async fn get_dataset_version(
        &self,
        project: &ProjectId,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<StoredVersion, StoreError> {
        todo!()
    }

    /// At most `limit` samples from position `from_ordinal` on, each with its position.
    pub async fn stream_samples(
        &self,
        version: VersionKey,
        from_ordinal: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Sample)>, StoreError> {
        todo!()
    }

    /// One sample of a version, with its position.
    pub async fn get_sample(&self, version: VersionKey, sample_id: &str) -> Result<(u64, Sample), StoreError> {
        todo!()
    }

    /// What differs between two versions, by sample id.
    pub async fn diff_versions(&self, from: &StoredVersion, to: &StoredVersion) -> Result<DatasetDiff, StoreError> {
        todo!()
    }
}
