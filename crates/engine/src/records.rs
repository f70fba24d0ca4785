//! `Records`: what the gateway keeps of its calls, and the writer that brings it to the store.

mod spill;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use llmops_api::deployments::Erased;
use llmops_domain::genai_span::{Span, SpanError};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{RecordFilter, RequestRecord};
use llmops_storage::{Change, Pace, RecordRow};

use crate::{Error, Services};

pub use writer::{RecordCounts, RecordWriter};

/// Records of one transaction.
const BATCH: usize = 2_000;

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
    ///
    /// # Errors
    /// [`Error::NotFound`] where no manifest, or [`Error::Invalid`] where not one alone, begins as the filter says.
    pub async fn list(&self, filter: &RecordFilter, limit: u32) -> Result<Vec<RequestRecord>, Error> {
        let mut filter = filter.clone();
        if let Some(prefix) = filter.manifest.as_ref().filter(|hash| ContentHash::parse(hash).is_none()) {
            filter.manifest = Some(self.services.store.get_manifest(&self.project, prefix).await?.0.to_string());
        }
        let filter = &filter;
        Ok(self.services.store.list_records(&self.project, filter, limit).await?)
    }

    /// Takes in the spans of model calls as records, with their costs by the price table, which needs no provider that this
    /// installation could call; those that are there already stay as
    /// they are, and other spans are left out. Answers why spans of model calls were refused.
    pub async fn take_in(&self, spans: &[Span]) -> Result<Vec<SpanError>, Error> {
        let now = self.services.clock.now();
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        for span in spans {
            match span.to_record(now) {
                Ok(Some(mut record)) => {
                    if !record.usage_estimated {
                        let answered = record.model_answered.as_deref();
                        record.cost = self.services.providers.cost_by_table(&record.model, answered, record.usage);
                    }
                    rows.push(RecordRow::new(&self.project, &record)?);
                }
                Ok(None) => {}
                Err(error) => refused.push(error),
            }
        }
        for batch in rows.chunks(BATCH) {
            self.services.store.append_record_rows(batch, Pace::Quick).await?;
        }
        Ok(refused)
    }

    /// One record.
    pub async fn get(&self, id: &str) -> Result<RequestRecord, Error> {
        Ok(self.services.store.get_record(&self.project, id).await?)
    }

    /// Brings into the store what this process still has of calls and units: it would be written after an erasure.
    async fn settle(&self) -> Result<(), Error> {
        self.services.experiments.exposures.flush().await;
        if !self.services.unwritten.settle().await {
            self.services.store.check_write().await?;
            return Err(Error::Conflict {
                message: "request records wait for the store, and some may be the user's: nothing was erased"
                    .to_owned(),
                hint: Some("erase again once /readyz is well".to_owned()),
            });
        }
        // What was said of an answer is found by the user once it is joined with the record.
        while self.services.join_feedback().await? {}
        Ok(())
    }

    /// Deletes everything that is kept of a user's calls: records, pairs of canaries, feedback and items of the review queue. In
    /// experiments the user's units lose name and attributes, and results stay as they are. A deployment that
    /// hashes its users has them under the SHA-256 of the id: both are deleted. Samples that llmops made of the calls by itself are
    /// taken out of the newest versions of their datasets; where earlier ones have them is told. That the user was erased is
    /// remembered by a hash, so that records of before that come later are not kept.
    pub async fn erase_user(&self, user: &str) -> Result<Erased, Error> {
        if user.is_empty() {
            return Err(Error::invalid("no user is named"));
        }
        self.settle().await?;
        let hashed = ContentHash::of_bytes(user.as_bytes());
        let (store, mut erased) = (&self.services.store, Erased::default());
        // What other replicas still have of calls until now is not kept when it comes.
        let clusters = [user, hashed.as_str()].map(crate::canary::cluster_of_user);
        store.remember_erasure(&self.project, (user, &clusters), self.services.clock.now()).await?;
        for name in [user, hashed.as_str()] {
            let cluster = crate::canary::cluster_of_user(name);
            // What leads to the user through a record or a pair comes first: it could not be found without.
            self.erase_samples(name, &mut erased).await?;
            erased.post_mortems += store.erase_words_of_incidents(&self.project, (name, &cluster)).await?;
            let (feedback, items) = store.erase_feedback_of_user(&self.project, name).await?;
            erased.feedback += feedback;
            erased.review_items += items;
            erased.records += store.erase_records_of_user(&self.project, name).await?;
            let (pairs, items) = store.erase_shadow_pairs(&self.project, &cluster).await?;
            erased.shadow_pairs += pairs;
            erased.review_items += items;
            store.forget_unit(&self.project, name).await?;
        }
        erased.datasets_left.sort();
        erased.datasets_left.dedup();
        // Whom it was about is not said again: who knows the id finds the line by its hash.
        store.audit(&self.project, &Change::new("user.erased", hashed.as_str()).after(&erased)).await?;
        if let Err(error) = store.clear_log().await {
            tracing::warn!(%error, "SQLite's log still holds what was erased, for a while");
        }
        Ok(erased)
    }

    /// Takes samples of a user's calls out of datasets that llmops made by itself. Samples that people made stay.
    async fn erase_samples(&self, user: &str, erased: &mut Erased) -> Result<(), Error> {
        let cluster = crate::canary::cluster_of_user(user);
        let store = &self.services.store;
        let (mut found, mut added) =
            (BTreeMap::<String, HashSet<String>>::new(), BTreeMap::<String, HashSet<String>>::new());
        for (dataset, is_newest, sample) in store.samples_of_calls(&self.project).await? {
            let of = match sample.source.as_deref() {
                Some("canary") => "request",
                Some("incident" | "feedback") => "request_id",
                _ => continue,
            };
            let Some(request) = sample.metadata.get(of).and_then(serde_json::Value::as_str) else { continue };
            if !store.is_call_of(&self.project, request, (user, &cluster)).await? {
                continue;
            }
            // Versions never change: the one that has it now does, too.
            erased.datasets_left.push(dataset.clone());
            added.entry(dataset.clone()).or_default().insert(sample.id.clone());
            if is_newest {
                found.entry(dataset).or_default().insert(sample.id);
            }
        }
        for (dataset, ids) in added {
            store.erase_added_samples(&self.project, &dataset, &ids).await?;
        }
        let datasets = crate::DatasetManager::new(self.services.clone(), self.project.clone());
        for (dataset, ids) in found {
            erased.samples += datasets.remove_samples(&dataset, &ids).await?;
        }
        Ok(())
    }
}
