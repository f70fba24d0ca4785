//! The attempts of one call: each is noted when it begins, so that one that is dropped is noted, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use llmops_domain::record::{CallAttempt, GIVEN_UP};

/// The attempts of a call. Clones share them; nobody else waits for the lock than an attempt beside this one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Vec<CallAttempt>>>);

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
        all.push(CallAttempt { model: model.to_owned(), status: None, error: Some(GIVEN_UP.to_owned()), ms: 0.0 });
        Pending { attempts: self.clone(), at: all.len() - 1, started: Instant::now(), is_open: true }
    }

    /// All of them, as they stand.
    pub(crate) fn take(&self) -> Vec<CallAttempt> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending {
    /// Notes what came of it.
    pub(crate) fn end(mut self, status: Option<u16>, error: Option<String>) {
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
        all.get_mut(self.at).map(change);
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
