//! The response cache: what was asked before is not asked again.
//!
//! An entry's key is the hash of everything that decides the answer: provider, model, messages, parameters, tools,
//! trial. Trials of one sample never share an entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use llmops_domain::chat::{ChatRequest, ChatResponse};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_providers::Answer;
use llmops_storage::Store;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::Error;

/// Raised when the meaning of an entry changes, so that old entries are not found any more.
const FORMAT: u32 = 1;

/// Responses by request, in the store of one project.
#[derive(Debug, Clone)]
pub(crate) struct ResponseCache {
    store: Store,
    project: ProjectId,
    /// Whether what is known is looked at. What is answered is kept in any case.
    reads: bool,
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

/// A look-up that waits for others to go with it.
type Waiting = (ContentHash, oneshot::Sender<Option<CachedAnswer>>);

/// What is kept of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CachedAnswer {
    pub(crate) response: ChatResponse,
    /// USD that the answer cost when it was asked.
    pub(crate) cost: Option<f64>,
}

impl ResponseCache {
    pub(crate) fn new(store: Store, project: ProjectId, reads: bool) -> Self {
        Self { store, project, reads, waiting: Arc::default() }
    }

    /// The key of a request to `model` (`provider/model`) at the endpoint `fingerprint`.
    pub(crate) fn key(model: &str, fingerprint: &str, request: &ChatRequest) -> Option<ContentHash> {
        let origin = &request.origin;
        let identity = (FORMAT, fingerprint, model, &request.messages, &request.parameters, &request.tools);
        let rest = (&request.response_format, origin.trial, &origin.variables);
        // Field order is fixed and maps are sorted, so plain JSON is canonical enough for a key that never leaves.
        serde_json::to_vec(&(identity, rest)).ok().map(|bytes| ContentHash::of_bytes(&bytes))
    }

    /// The answers known for these keys; none where everything is to be asked anew.
    pub(crate) async fn get_many(&self, keys: &[ContentHash]) -> Result<HashMap<ContentHash, CachedAnswer>, Error> {
        if keys.is_empty() || !self.reads {
            return Ok(HashMap::new());
        }
        let found = self.store.cache_get_many(&self.project, keys).await?;
        // An entry that cannot be read (written by another version) is as good as none.
        Ok(found.into_iter().filter_map(|(key, body)| Some((key, serde_json::from_str(&body).ok()?))).collect())
    }

    /// The answer known for one key. Look-ups that are made at the same time go to the store together.
    pub(crate) async fn get(&self, key: &ContentHash) -> Option<CachedAnswer> {
        if !self.reads {
            return None;
        }
        let (answer, known) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((key.clone(), answer));
            waiting.len() == 1
        };
        if is_first {
            let cache = self.clone();
            // A task of its own: the others must have their answers even if this caller goes away.
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                let waiting = std::mem::take(&mut *cache.waiting.lock().unwrap_or_else(PoisonError::into_inner));
                let keys: Vec<ContentHash> = waiting.iter().map(|(key, _)| key.clone()).collect();
                // A store that cannot be read is as good as one that knows nothing.
                let known = cache.get_many(&keys).await.unwrap_or_default();
                for (key, answer) in waiting {
                    // Nobody may be waiting any more.
                    let _ = answer.send(known.get(&key).cloned());
                }
            });
        }
        known.await.ok().flatten()
    }

    /// Keeps an answer. It is written behind the caller's back, in the next group commit. One that was asked anew takes the
    /// place of what was known.
    pub(crate) async fn put(&self, key: &ContentHash, answer: &Answer) {
        let entry = CachedAnswer { response: answer.response.clone(), cost: answer.cost };
        if let Ok(body) = serde_json::to_string(&entry) {
            if self.reads {
                self.store.cache_put(&self.project, key, body).await;
            } else {
                self.store.cache_replace(&self.project, key, body).await;
            }
        }
    }
}
