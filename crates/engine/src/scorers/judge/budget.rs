//! What judges may spend in a run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::ScoreError;

/// Why samples are errored once the judges have spent what they may.
pub(crate) use llmops_domain::run::JUDGE_BUDGET as BUDGET_REASON;
/// What sums of decimals may be off by.
const SLACK: f64 = 1e-9;
/// A call is expected to cost at most this many times the dearest one so far.
const MARGIN: f64 = 2.0;

/// What judges may still spend, shared by all samples of a run.
///
/// Money is set aside before a call is made, so that calls that are on their way together cannot overshoot together: as
/// long as the dearest call so far, doubled, fits beside what is spent and set aside, calls go on side by side; after
/// that one at a time, as long as one more as dear fits. Only the first call of a process, whose price nobody knows, and one that
/// is dearer than all before it may pass the limit.
pub(crate) struct JudgeBudget {
    limit: Option<f64>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    spent: f64,
    set_aside: f64,
    on_their_way: u32,
    /// The dearest call so far; none before the first has come back.
    dearest: Option<f64>,
}

/// Money that is set aside for one call.
pub(super) struct Reservation<'a> {
    budget: &'a JudgeBudget,
    amount: f64,
}

impl JudgeBudget {
    /// A budget of so many USD; `None` has no limit.
    pub(crate) fn new(limit: Option<f64>) -> Self {
        Self { limit, state: Mutex::default(), settled: Notify::new() }
    }

    /// Hears what the judges of the run have spent in all processes, before it was resumed included.
    pub(crate) fn note_spent(&self, usd: f64) {
        let mut state = self.state();
        state.spent = state.spent.max(usd);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a sample that cannot be judged any more, where the limit is reached or one more call may pass it.
    pub(crate) fn exhausted(&self) -> Option<ScoreError> {
        let limit = self.limit?;
        let state = self.state();
        let next = state.dearest.unwrap_or(0.0);
        if state.spent < limit && state.spent + next <= limit * (1.0 + SLACK) {
            return None;
        }
        let message = format!(
            "the judges of this run have spent {} of their {limit} USD (scoring.max_judge_cost), and one more call may cost {next}",
            state.spent
        );
        Some(ScoreError::new(BUDGET_REASON, message))
    }

    /// Sets money aside for a call; waits for others where there may not be enough for all.
    pub(super) async fn reserve(&self) -> Result<Reservation<'_>, ScoreError> {
        loop {
            // Made before the look at the state, so that no settlement in between is missed.
            let settled = self.settled.notified();
            if let Some(error) = self.exhausted() {
                return Err(error);
            }
            let Some(limit) = self.limit else { return Ok(Reservation { budget: self, amount: 0.0 }) };
            {
                let mut state = self.state();
                let expected = state.dearest.map(|dearest| dearest * MARGIN);
                let fits = expected.is_some_and(|cost| state.spent + state.set_aside + cost <= limit);
                if fits || state.on_their_way == 0 {
                    let amount = expected.unwrap_or(0.0);
                    state.set_aside += amount;
                    state.on_their_way += 1;
                    return Ok(Reservation { budget: self, amount });
                }
            }
            settled.await;
        }
    }
}

impl Reservation<'_> {
    /// The call has come back and cost this many USD.
    pub(super) fn settle(self, cost: f64) {
        let mut state = self.budget.state();
        state.spent += cost.max(0.0);
        state.dearest = Some(state.dearest.unwrap_or(0.0).max(cost));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.budget.limit.is_none() {
            return;
        }
        let mut state = self.budget.state();
        state.set_aside = (state.set_aside - self.amount).max(0.0);
        state.on_their_way -= 1;
        drop(state);
        self.budget.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_callers_keep_to_the_limit_together() {
        for limit in [0.0, 0.5, 10.0, 30.0, 30.5] {
            let budget = JudgeBudget::new(Some(limit));
            let call = async || {
                let Ok(reservation) = budget.reserve().await else { return 0_u32 };
                tokio::task::yield_now().await;
                reservation.settle(3.0);
                1
            };
            let made: u32 = futures::future::join_all((0..50).map(|_| call())).await.into_iter().sum();
            let spent = f64::from(made) * 3.0;
            // The first call is made whatever it costs.
            let expected = if limit == 0.5 { 3.0 } else { (limit / 3.0).floor() * 3.0 };
            assert!((spent - expected).abs() < 1e-12, "{limit}: {spent}");
            assert_eq!(budget.exhausted().unwrap().reason, BUDGET_REASON);
        }
    }

    #[tokio::test]
    async fn a_call_that_never_came_back_gives_its_money_back() {
        let budget = JudgeBudget::new(Some(1.0));
        budget.note_spent(0.4);
        budget.note_spent(0.1);
        drop(budget.reserve().await.unwrap());
        budget.reserve().await.unwrap().settle(0.3);
        // One more as dear fits, to the cent.
        assert!(budget.exhausted().is_none());
        budget.reserve().await.unwrap().settle(0.3);
        assert!(budget.exhausted().is_some() && budget.reserve().await.is_err());
        let unlimited = JudgeBudget::new(None);
        unlimited.reserve().await.unwrap().settle(1e9);
        assert!(unlimited.exhausted().is_none());
    }
}
