//! When a failed call is tried again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::provider::ProviderError;

/// The most that is waited before the second attempt; it doubles with every further one.
const BASE: Duration = Duration::from_millis(250);
/// The most that is ever waited between attempts, unless the provider asks for more.
const CAP: Duration = Duration::from_secs(20);
/// A provider that asks to be left alone for longer than this is not waited for: the call fails at once.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Exponential backoff with full jitter: before attempt `n + 1` a time between 0 and `min(20 s, 250 ms · 2^(n−1))` is
/// waited, evenly drawn, so that callers that failed together do not come back together. Where the provider names a
/// time (`Retry-After`), that is waited and up to 250 ms more.
pub struct Retry {
    retries: u32,
    jitter: Mutex<ChaCha8Rng>,
}

impl Retry {
    /// Tries a failed call `retries` times again.
    pub fn new(retries: u32, seed: u64) -> Self {
        Self { retries, jitter: Mutex::new(ChaCha8Rng::seed_from_u64(seed)) }
    }

    /// How long to wait before the next attempt, after `attempts` (at least 1) have failed; `None` to give up.
    pub fn delay(&self, error: &ProviderError, attempts: u32) -> Option<Duration> {
        if attempts > self.retries || !error.is_retryable() {
            return None;
        }
        let share: f64 = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random();
        match error.retry_after() {
            Some(asked) if asked > MAX_RETRY_AFTER => None,
            Some(asked) => Some(asked + BASE.mul_f64(share)),
            None => {
                let doublings = attempts.saturating_sub(1).min(16);
                Some((BASE * 2_u32.pow(doublings)).min(CAP).mul_f64(share))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, retry_after: Option<Duration>) -> ProviderError {
        ProviderError::Status {
            endpoint: "x".to_owned(),
            code,
            message: String::new(),
            retry_after,
            should_retry: None,
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let retry = Retry::new(12, 7);
        let mut longest = [Duration::ZERO; 13];
        for _ in 0..200 {
            for attempts in 1..=12 {
                let waited = retry.delay(&status(500, None), attempts).unwrap();
                let slot = &mut longest[attempts as usize];
                *slot = (*slot).max(waited);
            }
        }
        for (attempts, most_ms) in [(1, 250), (2, 500), (3, 1000), (7, 16_000), (8, 20_000), (12, 20_000)] {
            let most = Duration::from_millis(most_ms);
            assert!(longest[attempts] <= most && longest[attempts] > most.mul_f64(0.9), "{attempts}");
        }
        assert_eq!(retry.delay(&status(500, None), 13), None);
    }

    #[test]
    fn what_the_provider_asks_for_is_kept() {
        let retry = Retry::new(3, 7);
        let asked = Duration::from_secs(30);
        let waited = retry.delay(&status(429, Some(asked)), 1).unwrap();
        assert!(waited >= asked && waited <= asked + BASE);
        assert_eq!(retry.delay(&status(429, Some(MAX_RETRY_AFTER * 2)), 1), None);
    }

    #[test]
    fn some_errors_are_final() {
        let retry = Retry::new(3, 7);
        for code in [400, 401, 403, 404, 405, 413, 422] {
            assert_eq!(retry.delay(&status(code, Some(Duration::ZERO)), 1), None, "{code}");
        }
        assert_eq!(Retry::new(0, 7).delay(&status(500, None), 1), None);
    }

    #[test]
    fn equal_seeds_wait_alike() {
        let waits = |seed| {
            let retry = Retry::new(9, seed);
            (1..9).map(|n| retry.delay(&status(500, None), n)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
