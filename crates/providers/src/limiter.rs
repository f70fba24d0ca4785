//! How many calls a provider gets at a time: additive increase, multiplicative decrease.
//!
//! The limit starts at the configured maximum. A sign of overload (429, 503, 529, a timeout) halves it; after as many
//! successes as the limit is wide it grows by one. Only calls that began after the last decrease can cause another, so
//! that a burst of refusals of one moment counts once. `Retry-After` pauses all calls of the provider until then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::provider::ProviderError;

/// Adaptive limit of concurrent calls.
pub struct Limiter {
    permits: Semaphore,
    max: usize,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// Permits to withhold as calls end, after a decrease that found them in use.
    debt: usize,
    /// Successes since the limit last changed.
    successes: usize,
    last_decrease: Option<Instant>,
    paused_until: Option<Instant>,
}

/// How a call ended, as far as the limit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider answered.
    Success,
    /// The provider is asked too much.
    Overload {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// Something that says nothing about load, or a cancelled call.
    Other,
}

impl Outcome {
    /// What a result says about load.
    pub fn of<T>(result: &Result<T, ProviderError>) -> Self {
        match result {
            Ok(_) => Self::Success,
            Err(error) if error.is_overload() => Self::Overload { retry_after: error.retry_after() },
            Err(_) => Self::Other,
        }
    }
}

/// The right to make one call. Dropping it without [`Permit::finish`] counts as [`Outcome::Other`].
pub struct Permit<'a> {
    limiter: &'a Limiter,
    place: Option<SemaphorePermit<'a>>,
    started: Instant,
    outcome: Outcome,
}

impl Limiter {
    /// A limiter that allows at most `max` calls at a time (at least 1).
    pub fn new(max: u32) -> Self {
        let max = usize::try_from(max).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let state = State { limit: max, debt: 0, successes: 0, last_decrease: None, paused_until: None };
        Self { permits: Semaphore::new(max), max, state: Mutex::new(state) }
    }

    /// Waits for the right to make a call, in the order of asking, and until a pause is over.
    pub async fn acquire(&self) -> Permit<'_> {
        // The semaphore is never closed, so that an error cannot occur; without a permit the call is still counted.
        let place = self.permits.acquire().await.ok();
        loop {
            let now = Instant::now();
            let paused_until = self.state().paused_until.filter(|until| *until > now);
            let Some(until) = paused_until else {
                return Permit { limiter: self, place, started: now, outcome: Outcome::Other };
            };
            tokio::time::sleep_until(until).await;
        }
    }

    /// The limit in use now.
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, state: &mut State) {
        state.successes += 1;
        if state.successes < state.limit || state.limit == self.max {
            return;
        }
        state.successes = 0;
        state.limit += 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            self.permits.add_permits(1);
        }
    }

    fn shrink(&self, state: &mut State, started: Instant) {
        if state.last_decrease.is_some_and(|last| started <= last) {
            return;
        }
        let limit = (state.limit / 2).max(1);
        let surplus = state.limit - limit;
        state.debt += surplus - self.permits.forget_permits(surplus);
        state.limit = limit;
        state.successes = 0;
        state.last_decrease = Some(Instant::now());
    }
}

impl Permit<'_> {
    /// Gives the right back and tells how the call ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = self.limiter.state();
        match self.outcome {
            Outcome::Success => self.limiter.grow(&mut state),
            Outcome::Overload { retry_after } => {
                self.limiter.shrink(&mut state, self.started);
                if let Some(pause) = retry_after.filter(|pause| *pause <= crate::retry::MAX_RETRY_AFTER) {
                    state.paused_until = state.paused_until.max(Some(Instant::now() + pause));
                }
            }
            Outcome::Other => {}
        }
        if state.debt > 0 {
            state.debt -= 1;
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLOAD: Outcome = Outcome::Overload { retry_after: None };

    async fn hold(limiter: &Limiter, count: usize) -> Vec<Permit<'_>> {
        let mut permits = Vec::new();
        for _ in 0..count {
            permits.push(limiter.acquire().await);
        }
        permits
    }

    fn is_free(limiter: &Limiter) -> bool {
        limiter.permits.available_permits() > 0
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_refusals_halves_once() {
        let limiter = Limiter::new(16);
        let burst = hold(&limiter, 16).await;
        assert!(!is_free(&limiter));
        tokio::time::advance(Duration::from_millis(10)).await;
        for permit in burst {
            permit.finish(OVERLOAD);
        }
        assert_eq!(limiter.limit(), 8);
        assert_eq!(limiter.permits.available_permits(), 8, "the eight that were in use are withheld");
        tokio::time::advance(Duration::from_millis(10)).await;
        limiter.acquire().await.finish(OVERLOAD);
        assert_eq!(limiter.limit(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn never_below_one_and_back_up_to_the_maximum() {
        let limiter = Limiter::new(4);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            limiter.acquire().await.finish(OVERLOAD);
        }
        assert_eq!(limiter.limit(), 1);
        for (successes, limit) in [(1, 2), (2, 3), (2, 3), (1, 4), (100, 4)] {
            for _ in 0..successes {
                limiter.acquire().await.finish(Outcome::Success);
            }
            assert_eq!(limiter.limit(), limit);
        }
        assert_eq!(limiter.permits.available_permits(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_pauses_every_call() {
        let limiter = Limiter::new(4);
        let began = Instant::now();
        let pause = Some(Duration::from_secs(7));
        limiter.acquire().await.finish(Outcome::Overload { retry_after: pause });
        limiter.acquire().await.finish(Outcome::Success);
        assert_eq!(began.elapsed().as_secs(), 7);
        // A provider that asks for an hour is not waited for.
        limiter.acquire().await.finish(Outcome::Overload { retry_after: Some(Duration::from_hours(1)) });
        limiter.acquire().await.finish(Outcome::Other);
        assert_eq!(began.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_permit_comes_back() {
        let limiter = Limiter::new(1);
        drop(limiter.acquire().await);
        limiter.acquire().await.finish(Outcome::Other);
        assert_eq!((limiter.limit(), is_free(&limiter)), (1, true));
    }
}
