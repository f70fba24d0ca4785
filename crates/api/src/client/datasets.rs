//! Datasets.

use bytes::Bytes;
use futures::stream::BoxStream;
use llmops_domain::dataset::{Dataset, DatasetDiff, DatasetVersion, Sample};

use super::{Client, ClientError, segment, with_query};
use crate::datasets::{DiffQuery, ImportQuery, ImportedDataset, SampleAt};
use crate::page::{Page, PageQuery};

impl Client {
    /// Adds a version to a dataset, making the dataset if it is new. `lines` are samples as NDJSON.
    pub async fn import_dataset(
        &self,
        name: &str,
        query: &ImportQuery,
        lines: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<ImportedDataset, ClientError> {
        let path = with_query(&format!("/api/v1/datasets/{}/versions", segment(name)), query)?;
        self.upload(&path, "application/x-ndjson", lines).await
    }

    /// All datasets.
    pub async fn list_datasets(&self, page: &PageQuery) -> Result<Page<Dataset>, ClientError> {
        self.get_with("/api/v1/datasets", page).await
    }

    /// One dataset.
    pub async fn get_dataset(&self, name: &str) -> Result<Dataset, ClientError> {
        self.get(&format!("/api/v1/datasets/{}", segment(name))).await
    }

    /// Its versions, newest first.
    pub async fn list_dataset_versions(&self, name: &str) -> Result<Page<DatasetVersion>, ClientError> {
        self.get(&format!("/api/v1/datasets/{}/versions", segment(name))).await
    }

    /// One version: `latest`, a hash or the beginning of one.
    pub async fn get_dataset_version(&self, name: &str, version: &str) -> Result<DatasetVersion, ClientError> {
        self.get(&format!("/api/v1/datasets/{}/versions/{}", segment(name), segment(version))).await
    }

    /// Samples of a version, in order.
    pub async fn list_samples(
        &self,
        name: &str,
        version: &str,
        page: &PageQuery,
    ) -> Result<Page<SampleAt>, ClientError> {
        self.get_with(&format!("/api/v1/datasets/{}/versions/{}/samples", segment(name), segment(version)), page).await
    }

    /// One sample of a version.
    pub async fn get_sample(&self, name: &str, version: &str, sample: &str) -> Result<SampleAt, ClientError> {
        let (name, version, sample) = (segment(name), segment(version), segment(sample));
        self.get(&format!("/api/v1/datasets/{name}/versions/{version}/samples/{sample}")).await
    }

    /// All samples of a version as NDJSON.
    pub async fn export_dataset(
        &self,
        name: &str,
        version: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, std::io::Error>>, ClientError> {
        self.download(&format!("/api/v1/datasets/{}/versions/{}/export", segment(name), segment(version))).await
    }

    /// Samples that llmops added to it by itself.
    pub async fn list_added_samples(&self, name: &str, page: &PageQuery) -> Result<Page<Sample>, ClientError> {
        self.get_with(&format!("/api/v1/datasets/{}/added", segment(name)), page).await
    }

    /// What differs between two versions.
    pub async fn diff_datasets(&self, name: &str, query: &DiffQuery) -> Result<DatasetDiff, ClientError> {
        self.get_with(&format!("/api/v1/datasets/{}/diff", segment(name)), query).await
    }
}
