//! `Records`: what the gateway keeps of its calls, and the writer that brings it to the store.

mod spill;
mod writer;

use std::sync::Arc;

use llmops_domain::id::ProjectId;
use llmops_domain::record::{RecordFilter, RequestRecord};

use crate::{Error, Services};

pub use writer::{RecordCounts, RecordWriter};

/// Request records of a project: list, get, erase.
#[derive(Debug, Clone)]
pub struct Records {
    services: Arc<Services>,
    project: ProjectId,
}

impl Records {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Records, newest first.
    pub async fn list(&self, filter: &RecordFilter, limit: u32) -> Result<Vec<RequestRecord>, Error> {
        Ok(self.services.store.list_records(&self.project, filter, limit).await?)
    }

    /// One record.
    pub async fn get(&self, id: &str) -> Result<RequestRecord, Error> {
        Ok(self.services.store.get_record(&self.project, id).await?)
    }

    /// Deletes everything that is kept of a user's calls, and answers with the number of records. A deployment that hashes
    /// its users has them under the SHA-256 of the id: both are deleted.
    pub async fn erase_user(&self, user: &str) -> Result<u64, Error> {
        if user.is_empty() {
            return Err(Error::invalid("no user is named"));
        }
        let hashed = llmops_domain::hash::ContentHash::of_bytes(user.as_bytes());
        let plain = self.services.store.erase_records_of_user(&self.project, user).await?;
        Ok(plain + self.services.store.erase_records_of_user(&self.project, hashed.as_str()).await?)
    }
}
