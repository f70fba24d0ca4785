//! What calls tell of the health of models: kept in memory, per process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use llmops_domain::verifier::Health;

use crate::provider::ProviderError;

/// Models that are kept. Names come from configuration and requests: there are never that many.
const MOST_MODELS: usize = 4096;

/// The health of all models that were called.
#[derive(Debug, Default)]
pub struct HealthBook(Mutex<HashMap<String, Health>>);

/// Whether other requests would meet the same error.
fn concerns_all(error: &ProviderError) -> bool {
    error.is_unavailable() || matches!(error, ProviderError::Config(_) | ProviderError::Status { code: 401 | 403, .. })
}

impl HealthBook {
    /// The health of a model, named `provider/model`.
    pub fn of(&self, model: &str) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default()
    }

    /// Adds a call that somebody else made: the milliseconds that it took, or why the provider failed.
    pub fn note(&self, model: &str, call: Result<f64, String>, at: Timestamp) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = book.get_mut(model) {
            health.observe(call, at);
        } else if book.len() < MOST_MODELS {
            book.entry(model.to_owned()).or_default().observe(call, at);
        }
    }

    /// Adds a call. Errors that only this one request met say nothing about the model.
    pub(crate) fn observe(&self, model: &str, call: Result<f64, &ProviderError>, at: Timestamp) {
        let call = match call {
            Ok(latency) => Ok(latency),
            Err(error) if concerns_all(error) => Err(error.to_string()),
            Err(_) => return,
        };
        self.note(model, call, at);
    }
}
