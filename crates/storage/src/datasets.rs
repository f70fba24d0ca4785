//! Datasets, their versions and samples. A sample is stored once per content; versions list the samples they hold.

use std::collections::BTreeMap;

use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetVersion, Sample};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{DatasetId, ProjectId};

use crate::db::{big, check_hash_prefix, count, decode, fetch, hash_of_text, only, prefix_end, row, time};
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

/// A finished version by its key.
pub(crate) const VERSION: &str = "SELECT v.key, d.name AS dataset, v.hash, v.sample_count, v.categories, v.created_at \
     FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id WHERE v.key = $1";

row! {
    /// A row of [`VERSION`].
    pub(crate) struct VersionRow {
        key: i64,
        dataset: String,
        hash: String,
        sample_count: i64,
        categories: String,
        created_at: i64,
    }
}

impl VersionRow {
    pub(crate) fn into_version(self) -> Result<DatasetVersion, StoreError> {
        Ok(DatasetVersion {
            version: hash_of_text(&self.hash)?,
            sample_count: count(self.sample_count)?,
            categories: decode::<BTreeMap<String, u64>>("categories of a dataset version", &self.categories)?,
            created_at: time(self.created_at)?,
            dataset: self.dataset,
        })
    }
}

row! {
    struct DatasetRow {
        id: String,
        name: String,
        description: Option<String>,
        kind: String,
        hash: String,
        sample_count: i64,
        created_at: i64,
        updated_at: i64,
    }
}

impl DatasetRow {
    fn into_dataset(self) -> Result<Dataset, StoreError> {
        Ok(Dataset {
            id: DatasetId(self.id),
            kind: self.kind.parse().map_err(StoreError::Corrupt)?,
            version: Some(hash_of_text(&self.hash)?),
            sample_count: count(self.sample_count)?,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            name: self.name,
            description: self.description,
        })
    }
}

impl Store {
    /// A dataset by name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_dataset(&self, project: &ProjectId, name: &str) -> Result<Dataset, StoreError> {
        let sql = "SELECT d.id, d.name, d.description, d.kind, v.hash, v.sample_count, d.created_at, d.updated_at \
                   FROM datasets d JOIN dataset_versions v ON v.key = d.current_version \
                   WHERE d.project_id = $1 AND d.name = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, DatasetRow, sql, project.as_str(), name)?;
        row.ok_or_else(|| StoreError::not_found("dataset", name))?.into_dataset()
    }

    /// Datasets by name, behind `after`.
    pub async fn list_datasets(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Dataset>, StoreError> {
        let sql = "SELECT d.id, d.name, d.description, d.kind, v.hash, v.sample_count, d.created_at, d.updated_at \
                   FROM datasets d JOIN dataset_versions v ON v.key = d.current_version \
                   WHERE d.project_id = $1 AND d.name > $2 ORDER BY d.name LIMIT $3";
        let mut conn = self.read().await?;
        let rows =
            fetch!(fetch_all, conn, DatasetRow, sql, project.as_str(), after.unwrap_or_default(), i64::from(limit))?;
        rows.into_iter().map(DatasetRow::into_dataset).collect()
    }

    /// The versions of a dataset, newest first; none when there is no such dataset.
    pub async fn list_dataset_versions(
        &self,
        project: &ProjectId,
        name: &str,
        limit: u32,
    ) -> Result<Vec<DatasetVersion>, StoreError> {
        let sql = "SELECT v.key, d.name AS dataset, v.hash, v.sample_count, v.categories, v.created_at \
                   FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id \
                   WHERE d.project_id = $1 AND d.name = $2 ORDER BY v.created_at DESC, v.key DESC LIMIT $3";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, VersionRow, sql, project.as_str(), name, i64::from(limit))?;
        rows.into_iter().map(VersionRow::into_version).collect()
    }

    /// One version of a dataset.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Ambiguous`] for a hash prefix that fits several versions;
    /// [`StoreError::Invalid`] for one that is too short or no hash.
    pub async fn get_dataset_version(
        &self,
        project: &ProjectId,
        name: &str,
        selector: &VersionSelector,
    ) -> Result<StoredVersion, StoreError> {
        let row = match selector {
            VersionSelector::Latest => self.latest_version(project, name).await?,
            VersionSelector::Hash(prefix) => self.version_by_prefix(project, name, prefix).await?,
        };
        Ok(StoredVersion { key: VersionKey(row.key), version: row.into_version()? })
    }

    async fn latest_version(&self, project: &ProjectId, name: &str) -> Result<VersionRow, StoreError> {
        let sql = "SELECT v.key, d.name AS dataset, v.hash, v.sample_count, v.categories, v.created_at \
                   FROM dataset_versions v JOIN datasets d ON d.current_version = v.key \
                   WHERE d.project_id = $1 AND d.name = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, VersionRow, sql, project.as_str(), name)?;
        row.ok_or_else(|| StoreError::not_found("dataset", name))
    }

    async fn version_by_prefix(&self, project: &ProjectId, name: &str, prefix: &str) -> Result<VersionRow, StoreError> {
        check_hash_prefix(prefix)?;
        let sql = "SELECT v.key, d.name AS dataset, v.hash, v.sample_count, v.categories, v.created_at \
                   FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id \
                   WHERE d.project_id = $1 AND d.name = $2 AND v.hash >= $3 AND v.hash < $4 LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, VersionRow, sql, project.as_str(), name, prefix, prefix_end(prefix))?;
        only(rows, "dataset version", &format!("{name}@{prefix}"))
    }

    /// At most `limit` samples from position `from_ordinal` on, each with its position.
    pub async fn stream_samples(
        &self,
        version: VersionKey,
        from_ordinal: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Sample)>, StoreError> {
        let sql = "SELECT m.ordinal, s.body FROM dataset_version_samples m \
                   JOIN samples s ON s.hash = m.hash AND s.project_id = m.project_id \
                   WHERE m.version_key = $1 AND m.ordinal >= $2 AND m.ordinal < $3 ORDER BY m.ordinal";
        let end = big(from_ordinal).saturating_add(i64::from(limit));
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, (i64, String), sql, version.0, big(from_ordinal), end)?
        };
        rows.into_iter().map(|(ordinal, body)| Ok((count(ordinal)?, decode("a sample", &body)?))).collect()
    }

    /// The samples of all datasets, in any version, that llmops made of calls by itself: of what canaries lost, of incidents, and
    /// of feedback. Each comes with the dataset's name and whether its newest version has it.
    pub async fn samples_of_calls(&self, project: &ProjectId) -> Result<Vec<(String, bool, Sample)>, StoreError> {
        let sql = "SELECT d.name, CAST(MAX(CASE WHEN v.key = d.current_version THEN 1 ELSE 0 END) AS BIGINT), s.body FROM datasets d \
                   JOIN dataset_versions v ON v.dataset_id = d.id \
                   JOIN dataset_version_samples m ON m.version_key = v.key \
                   JOIN samples s ON s.hash = m.hash AND s.project_id = m.project_id \
                   WHERE d.project_id = $1 AND (s.body LIKE '%\"source\":\"canary\"%' \
                   OR s.body LIKE '%\"source\":\"incident\"%' OR s.body LIKE '%\"source\":\"feedback\"%') \
                   GROUP BY d.name, s.hash, s.body ORDER BY d.name";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, i64, String), sql, project.as_str())?;
        rows.into_iter().map(|(name, newest, body)| Ok((name, newest > 0, decode("a sample", &body)?))).collect()
    }

    /// Whether a call was a user's: by its record, or by the pair that a canary made of it, which has the `cluster` of the user.
    pub async fn is_call_of(
        &self,
        project: &ProjectId,
        request: &str,
        (user, cluster): (&str, &str),
    ) -> Result<bool, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT id FROM request_records WHERE project_id = $1 AND id = $2 AND user_id = $3 \
                   UNION ALL SELECT id FROM shadow_pairs WHERE project_id = $1 AND id = $2 AND cluster = $4) AS calls";
        let mut conn = self.read().await?;
        let (calls,) = fetch!(fetch_one, conn, (i64,), sql, project.as_str(), request, user, cluster)?;
        Ok(calls > 0)
    }

    /// One sample of a version, with its position.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_sample(&self, version: VersionKey, sample_id: &str) -> Result<(u64, Sample), StoreError> {
        let sql = "SELECT m.ordinal, s.body FROM dataset_version_samples m \
                   JOIN samples s ON s.hash = m.hash AND s.project_id = m.project_id \
                   WHERE m.version_key = $1 AND m.sample_id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (i64, String), sql, version.0, sample_id)?;
        let (ordinal, body) = row.ok_or_else(|| StoreError::not_found("sample", sample_id))?;
        Ok((count(ordinal)?, decode("a sample", &body)?))
    }

    /// Of the samples with ids from `first` to `last` that both versions have, those that differ: as they were, and as they are.
    pub async fn changed_samples(
        &self,
        before: VersionKey,
        after: VersionKey,
        (first, last): (&str, &str),
    ) -> Result<Vec<(Sample, Sample)>, StoreError> {
        let sql = "SELECT x.body, y.body FROM dataset_version_samples a \
                   JOIN dataset_version_samples b \
                   ON b.version_key = $2 AND b.sample_id = a.sample_id AND b.hash <> a.hash \
                   JOIN samples x ON x.hash = a.hash AND x.project_id = a.project_id \
                   JOIN samples y ON y.hash = b.hash AND y.project_id = b.project_id \
                   WHERE a.version_key = $1 AND a.sample_id >= $3 AND a.sample_id <= $4 ORDER BY a.sample_id";
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, (String, String), sql, before.0, after.0, first, last)?
        };
        rows.into_iter().map(|(was, is)| Ok((decode("a sample", &was)?, decode("a sample", &is)?))).collect()
    }

    /// What differs between two versions, by sample id.
    pub async fn diff_versions(&self, from: &StoredVersion, to: &StoredVersion) -> Result<DatasetDiff, StoreError> {
        let only_in = "SELECT a.sample_id FROM dataset_version_samples a WHERE a.version_key = $1 AND NOT EXISTS \
                       (SELECT 1 FROM dataset_version_samples b WHERE b.version_key = $2 AND b.sample_id = a.sample_id) \
                       ORDER BY a.sample_id";
        let changed = "SELECT a.sample_id FROM dataset_version_samples a JOIN dataset_version_samples b \
                       ON b.version_key = $2 AND b.sample_id = a.sample_id AND b.hash <> a.hash \
                       WHERE a.version_key = $1 ORDER BY a.sample_id";
        let unchanged = "SELECT COUNT(*) FROM dataset_version_samples a JOIN dataset_version_samples b \
                         ON b.version_key = $2 AND b.sample_id = a.sample_id AND b.hash = a.hash WHERE a.version_key = $1";
        let ids = |rows: Vec<(String,)>| rows.into_iter().map(|(id,)| id).collect();
        let (a, b) = (from.key.0, to.key.0);
        let mut conn = self.read().await?;
        Ok(DatasetDiff {
            from: from.version.version.to_string(),
            to: to.version.version.to_string(),
            added: ids(fetch!(fetch_all, conn, (String,), only_in, b, a)?),
            removed: ids(fetch!(fetch_all, conn, (String,), only_in, a, b)?),
            changed: ids(fetch!(fetch_all, conn, (String,), changed, a, b)?),
            unchanged: count(fetch!(fetch_one, conn, (i64,), unchanged, a, b)?.0)?,
        })
    }
}
