//! The writer: one task that groups what many submit into few commits.

use llmops_domain::run::SampleResult;

use crate::db::Pools;
use crate::{CacheLimits, RunKey, Store, StoreError};

/// Writes sample results. Clones share one queue.
#[derive(Clone)]
pub struct ResultWriter {
    store: Store,
}

pub(crate) struct Queue;
impl Queue {
    pub(crate) fn start(pools: Pools, limits: CacheLimits) -> Self {
        todo!()
    }
    pub(crate) async fn flush(&self) {
        todo!()
    }
}

impl ResultWriter {
    /// Submits results of a run and returns when they are on disk. A pair that has a result keeps it, so submitting again is
    /// harmless. Waits while the queue is full.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for NaN or a NUL character in a sample id or category, before anything is written.
    pub async fn submit(&self, run: &RunKey, results: Vec<SampleResult>) -> Result<(), StoreError> {
        todo!()
    }
}

impl Store {
    /// The writer of sample results.
    pub fn result_writer(&self) -> ResultWriter {
        todo!()
    }
}
