//! Limits of keys and deployments: what may still be spent in the window of the clock.
//!
//! What was spent is counted by a [`Ledger`] that all replicas share. Nobody asks it for each request: a replica leases a
//! slice of what is left, spends that by itself, and asks for the next slice in the background. What a call costs is known
//! after it; it is charged then, and what was overdrawn is told to the ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use llmops_domain::limits::{Account, Limit, Limits, Spending};

use crate::assign::BoxFuture;

/// Slices of a limit: a replica holds at most this part of it unspent.
const SLICES: u64 = 50;
/// Longest that a request waits for a slice. A ledger that is away stops nobody.
const PATIENCE: Duration = Duration::from_millis(500);
/// Spenders that are remembered.
const MOST_SPENDERS: usize = 100_000;

/// What was spent, by all replicas.
pub trait Ledger: Send + Sync {
    /// Adds up to `want` to the account as long as no more than `most` is spent, all of `owed` beside it whatever is left, and
    /// answers with what was granted of `want`.
    fn lease<'a>(&'a self, account: &'a Account, want: u64, owed: u64, most: u64)
    -> BoxFuture<'a, Result<u64, String>>;
}

/// A limit that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub limit: Limit,
    /// Whose: `key` or `deployment`.
    pub whose: &'static str,
    /// Seconds until there is something to spend again.
    pub retry_after: u64,
}

/// Knows what everybody may still spend. Clones share it.
#[derive(Clone)]
pub struct Limiter {
    ledger: Arc<dyn Ledger>,
    /// By project and spender. Those without limits are not in it.
    spenders: Arc<RwLock<Spenders>>,
}

type Spenders = HashMap<(ProjectId, String), Arc<Spender>>;

/// Who spends, with its limits.
struct Spender {
    limits: Limits,
    meters: Vec<Arc<Meter>>,
}

struct Meter {
    limit: Limit,
    project: ProjectId,
    spender: String,
    state: Mutex<State>,
    /// One at a time asks the ledger.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    start: i64,
    end: i64,
    granted: u64,
    used: u64,
    /// Billionths of a USD that were spent and are no millionth yet.
    carried: u64,
    /// Nothing more is granted in this window.
    is_exhausted: bool,
}

enum Look {
    /// There is something left; the second says whether it is time for the next slice.
    Left(bool),
    /// A slice is needed.
    Dry,
    /// Not in this window.
    Exhausted,
}

impl Meter {
    /// The state in the present window.
    fn with<T>(&self, now: Timestamp, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_second() >= state.end || now.as_second() < state.start {
            let (start, end) = self.limit.window.at(now);
            // What was overdrawn in the window before is forgiven with it.
            *state = State { start, end, ..State::default() };
        }
        look(&mut state)
    }

    fn look(&self, now: Timestamp) -> Look {
        let slice = self.slice();
        self.with(now, |state| match state.granted.saturating_sub(state.used) {
            0 if state.is_exhausted => Look::Exhausted,
            0 => Look::Dry,
            left => Look::Left(!state.is_exhausted && left <= slice / 2),
        })
    }

    fn slice(&self) -> u64 {
        (self.limit.most / SLICES).max(1)
    }

    fn spend(&self, now: Timestamp, amount: u64) {
        self.with(now, |state| state.used = state.used.saturating_add(amount));
    }

    /// Spends money, of which whole millionths are counted.
    fn spend_billionths(&self, now: Timestamp, billionths: u64) {
        self.with(now, |state| {
            let all = state.carried.saturating_add(billionths);
            state.used = state.used.saturating_add(all / 1000);
            state.carried = all % 1000;
        });
    }

    /// Gets the next slice, unless somebody else got it meanwhile.
    async fn refill(&self, ledger: &dyn Ledger) {
        let _one = self.asking.lock().await;
        // The window may have ended while somebody else asked.
        let now = llmops_domain::clock::now();
        if matches!(self.look(now), Look::Left(false) | Look::Exhausted) {
            return;
        }
        let (start, end, owed) =
            self.with(now, |state| (state.start, state.end, state.used.saturating_sub(state.granted)));
        let what = format!("{}/{}", self.limit.spending.as_str(), self.limit.window.as_str());
        let account = Account { project: self.project.clone(), spender: self.spender.clone(), what, start, end };
        let want = self.slice();
        let leased = tokio::time::timeout(PATIENCE, ledger.lease(&account, want, owed, self.limit.most)).await;
        let granted = match leased {
            Ok(Ok(granted)) => granted,
            failed => {
                // Without the ledger nobody is stopped: the slice is given unseen.
                tracing::warn!(?failed, account = %account.spender, "what was spent cannot be counted across replicas");
                want
            }
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A window that began meanwhile has nothing to do with this slice.
        if state.start == start {
            state.granted = state.granted.saturating_add(granted).saturating_add(owed);
            state.is_exhausted = granted < want;
        }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter")
    }
}

impl Limiter {
    /// Over a ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, spenders: Arc::default() }
    }

    /// Lets a request through, and counts it.
    ///
    /// # Errors
    /// The limit that is used up, with the longest wait.
    pub(crate) async fn admit(
        &self,
        project: &ProjectId,
        whose: &'static str,
        name: &str,
        limits: &Limits,
    ) -> Result<(), Exceeded> {
        if limits.is_empty() {
            return Ok(());
        }
        let spender = self.spender(project, format!("{whose}/{name}"), limits);
        let now = llmops_domain::clock::now();
        let mut exceeded: Option<Exceeded> = None;
        for meter in &spender.meters {
            if matches!(meter.look(now), Look::Dry) {
                meter.refill(&*self.ledger).await;
            }
            match meter.look(now) {
                Look::Left(is_time) => {
                    if is_time {
                        self.refill_behind(meter);
                    }
                }
                Look::Dry | Look::Exhausted => {
                    let end = meter.with(now, |state| state.end);
                    let retry_after = u64::try_from(end - now.as_second()).unwrap_or(0).max(1);
                    if exceeded.as_ref().is_none_or(|known| known.retry_after < retry_after) {
                        exceeded = Some(Exceeded { limit: meter.limit, whose, retry_after });
                    }
                }
            }
        }
        if let Some(exceeded) = exceeded {
            return Err(exceeded);
        }
        for meter in spender.meters.iter().filter(|meter| meter.limit.spending == Spending::Requests) {
            meter.spend(now, 1);
        }
        Ok(())
    }

    /// Charges what a call cost: tokens, and billionths of a USD. It does not wait.
    pub fn charge(&self, project: &ProjectId, spender: impl FnOnce() -> String, tokens: u64, cost: u64) {
        let known = self.spenders.read().unwrap_or_else(PoisonError::into_inner);
        // Most installations limit nobody.
        if known.is_empty() {
            return;
        }
        let Some(spender) = known.get(&(project.clone(), spender())).cloned() else { return };
        drop(known);
        let now = llmops_domain::clock::now();
        for meter in &spender.meters {
            match meter.limit.spending {
                Spending::Tokens if tokens > 0 => meter.spend(now, tokens),
                Spending::Cost if cost > 0 => meter.spend_billionths(now, cost),
                _ => continue,
            }
            if !matches!(meter.look(now), Look::Left(false)) {
                self.refill_behind(meter);
            }
        }
    }

    fn refill_behind(&self, meter: &Arc<Meter>) {
        let (meter, ledger) = (meter.clone(), self.ledger.clone());
        tokio::spawn(async move { meter.refill(&*ledger).await });
    }

    fn spender(&self, project: &ProjectId, name: String, limits: &Limits) -> Arc<Spender> {
        let key = (project.clone(), name);
        let known = self.spenders.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known.filter(|known| known.limits == *limits) {
            return known;
        }
        let meter = |limit: Limit| Meter {
            limit,
            project: key.0.clone(),
            spender: key.1.clone(),
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        };
        // Limits were checked when they were set.
        let meters = limits.all().unwrap_or_default().into_iter().map(meter).map(Arc::new).collect();
        let spender = Arc::new(Spender { limits: limits.clone(), meters });
        let mut spenders = self.spenders.write().unwrap_or_else(PoisonError::into_inner);
        // Another call may have come first, and what it spends is counted there.
        if let Some(known) = spenders.get(&key).filter(|known| known.limits == *limits) {
            return known.clone();
        }
        if spenders.len() >= MOST_SPENDERS {
            spenders.clear();
        }
        spenders.insert(key, spender.clone());
        spender
    }
}

/// A ledger of this process alone.
#[derive(Debug, Default)]
pub struct LocalLedger(Mutex<HashMap<Account, u64>>);

impl Ledger for LocalLedger {
    fn lease<'a>(
        &'a self,
        account: &'a Account,
        want: u64,
        owed: u64,
        most: u64,
    ) -> BoxFuture<'a, Result<u64, String>> {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spent.retain(|known, _| known.end > account.start);
        let spent = spent.entry(account.clone()).or_default();
        *spent = spent.saturating_add(owed);
        let granted = want.min(most.saturating_sub(*spent));
        *spent += granted;
        Box::pin(std::future::ready(Ok(granted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> ProjectId {
        ProjectId::default_project()
    }

    async fn admitted(limiter: &Limiter, limits: &Limits, tries: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..tries {
            admitted += usize::from(limiter.admit(&project(), "key", "k", limits).await.is_ok());
        }
        admitted
    }

    #[tokio::test]
    async fn requests_are_counted_to_the_last() {
        for most in [1, 7, 50, 777] {
            let limits = Limits { requests_per_day: Some(most), ..Limits::default() };
            let limiter = Limiter::new(Arc::new(LocalLedger::default()));
            assert_eq!(admitted(&limiter, &limits, 1000).await as u64, most);
        }
    }

    #[tokio::test]
    async fn replicas_share_a_limit() {
        let ledger: Arc<dyn Ledger> = Arc::new(LocalLedger::default());
        let limits = Limits { requests_per_day: Some(200), ..Limits::default() };
        let replicas = [(); 3].map(|()| Limiter::new(ledger.clone()));
        let mut total = 0;
        for _ in 0..100 {
            for replica in &replicas {
                total += admitted(replica, &limits, 1).await;
            }
        }
        assert_eq!(total, 200);
    }

    #[tokio::test]
    async fn what_calls_cost_is_charged_afterwards() {
        let limiter = Limiter::new(Arc::new(LocalLedger::default()));
        let limits = Limits { tokens_per_day: Some(100), ..Limits::default() };
        assert_eq!(admitted(&limiter, &limits, 1).await, 1);
        limiter.charge(&project(), || "key/k".to_owned(), 99, 0);
        assert_eq!(admitted(&limiter, &limits, 1).await, 1, "one token is left");
        limiter.charge(&project(), || "key/k".to_owned(), 500, 0);
        let refused = limiter.admit(&project(), "key", "k", &limits).await.unwrap_err();
        assert_eq!((refused.limit.spending, refused.whose), (Spending::Tokens, "key"));
        assert!((1..=86_400).contains(&refused.retry_after));
        assert_eq!(admitted(&limiter, &Limits::default(), 1).await, 1, "no limit, no refusal");
    }

    #[tokio::test]
    async fn what_is_less_than_a_millionth_adds_up() {
        let limiter = Limiter::new(Arc::new(LocalLedger::default()));
        let limits = Limits { cost_per_day: Some(0.000_02), ..Limits::default() };
        let mut calls = 0;
        while admitted(&limiter, &limits, 1).await == 1 {
            calls += 1;
            limiter.charge(&project(), || "key/k".to_owned(), 0, 150);
        }
        // 133 of them cost less than the limit, and the next one passes it.
        assert_eq!(calls, 134);
    }

    #[test]
    fn calls_that_come_first_at_once_have_one_spender() {
        let limiter = Limiter::new(Arc::new(LocalLedger::default()));
        let limits = Limits { requests_per_day: Some(1), ..Limits::default() };
        let together = std::sync::Barrier::new(4);
        for name in 0..200 {
            let spender = || {
                together.wait();
                limiter.spender(&project(), format!("key/{name}"), &limits)
            };
            let spenders =
                std::thread::scope(|scope| [(); 4].map(|()| scope.spawn(spender)).map(|thread| thread.join().unwrap()));
            assert!(spenders.iter().all(|other| Arc::ptr_eq(&spenders[0], other)), "{name}");
        }
    }

    struct Away;

    impl Ledger for Away {
        fn lease<'a>(&'a self, _: &'a Account, _: u64, _: u64, _: u64) -> BoxFuture<'a, Result<u64, String>> {
            Box::pin(std::future::ready(Err("away".to_owned())))
        }
    }

    #[tokio::test]
    async fn a_ledger_that_is_away_stops_nobody() {
        let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
        assert_eq!(admitted(&Limiter::new(Arc::new(Away)), &limits, 20).await, 20);
    }
}
