//! The attempts of one call: each is noted when it begins, so that one that is dropped is noted, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use llmops_domain::record::{CallAttempt, GIVEN_UP};
use llmops_providers::ProviderError;

/// The attempts of a call. Clones share them; nobody else waits for the lock than an attempt beside this one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    attempts: Vec<CallAttempt>,
    /// Places of those among them that took too long.
    timed_out: Vec<usize>,
}

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Pending {
    attempts: Attempts,
    at: usize,
    started: Instant,
    is_open: bool,
}

impl Attempts {
    /// Notes that a provider is asked now.
    pub(crate) fn begin(&self, model: &str) -> Pending {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, error) = (model.to_owned(), Some(GIVEN_UP.to_owned()));
        all.attempts.push(CallAttempt { model, status: None, error, ms: 0.0 });
        Pending { attempts: self.clone(), at: all.attempts.len() - 1, started: Instant::now(), is_open: true }
    }

    /// All of them, as they stand; and the places of those that took too long.
    pub(crate) fn take(&self) -> (Vec<CallAttempt>, Vec<usize>) {
        let All { attempts, timed_out } = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (attempts, timed_out)
    }
}

impl Pending {
    /// Notes that an answer came, or an error, with this status.
    pub(crate) fn answered(self, status: u16) {
        self.end(Some(status), None);
    }

    /// Notes that there was no answer, and why.
    pub(crate) fn failed(self, error: &ProviderError) {
        let status = if let ProviderError::Status { code, .. } = error { Some(*code) } else { None };
        if matches!(error, ProviderError::Timeout { .. }) {
            self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner).timed_out.push(self.at);
        }
        self.end(status, Some(error.to_string()));
    }

    fn end(mut self, status: Option<u16>, error: Option<String>) {
        self.is_open = false;
        let ms = self.ms();
        self.change(|attempt| (attempt.status, attempt.error, attempt.ms) = (status, error, ms));
    }

    fn ms(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    fn change(&self, change: impl FnOnce(&mut CallAttempt)) {
        let mut all = self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A record that was made meanwhile has taken them.
        all.attempts.get_mut(self.at).map(change);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.is_open {
            let ms = self.ms();
            self.change(|attempt| attempt.ms = ms);
        }
    }
}
