//! Samples that llmops put into datasets by itself: what a canary lost, inputs of an incident, hard questions. A version that is
//! built from a file may lack them; here they stay until their user is erased.

use std::collections::HashSet;

use llmops_domain::dataset::Sample;
use llmops_domain::id::ProjectId;

use crate::db::{decode, encode, execute, fetch, without_nul};
use crate::{Store, StoreError};

impl Store {
    /// Keeps samples that were added to a dataset. One whose id is there already takes its place.
    pub async fn put_added_samples(
        &self,
        project: &ProjectId,
        dataset: &str,
        samples: &[Sample],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO added_samples (project_id, dataset, sample_id, body) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (project_id, dataset, sample_id) DO UPDATE SET body = excluded.body";
        let mut tx = self.write().await?;
        for sample in samples {
            let body = encode("a sample", sample)?;
            execute!(tx, sql, project.as_str(), dataset, &sample.id, &*without_nul(&body))
                .map_err(|error| error.of_project(project))?;
        }
        tx.commit().await
    }

    /// Samples that were added to a dataset, by id, behind `after`.
    pub async fn list_added_samples(
        &self,
        project: &ProjectId,
        dataset: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Sample>, StoreError> {
        let sql = "SELECT body FROM added_samples WHERE project_id = $1 AND dataset = $2 AND sample_id > $3 \
                   ORDER BY sample_id LIMIT $4";
        let after = after.unwrap_or_default();
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), dataset, after, i64::from(limit))?;
        rows.iter().map(|(body,)| decode("a sample", body)).collect()
    }

    /// Forgets that samples were added to a dataset.
    pub async fn erase_added_samples(
        &self,
        project: &ProjectId,
        dataset: &str,
        ids: &HashSet<String>,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM added_samples WHERE project_id = $1 AND dataset = $2 AND sample_id = $3";
        let mut tx = self.write().await?;
        for id in ids {
            execute!(tx, sql, project.as_str(), dataset, id)?;
        }
        tx.commit().await
    }
}
