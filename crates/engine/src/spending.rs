//! What was spent of limits, counted across replicas: in Redis where the queue is there, else in the store.

mod redis;

use std::sync::Arc;

use async_trait::async_trait;
use llmops_domain::limits::{Account, Lease, Spending, Window, billionths};
use llmops_storage::{Store, StoreError};

pub use redis::RedisSpending;

/// Counts what replicas spend.
#[async_trait]
pub trait SpendingBook: Send + Sync + std::fmt::Debug {
    /// Adds up to `want` to an account as long as no more than `most` is spent, and all of `owed`; answers with what was
    /// granted of `want`. An account that is not there yet begins with `before`; without that nothing is done, and nothing is the
    /// answer.
    ///
    /// # Errors
    /// When the place where it is counted cannot be reached; the text is for the log.
    async fn lease(&self, account: &Account, lease: Lease) -> Result<Option<u64>, String>;
}

/// Counts in the store.
#[derive(Debug, Clone)]
pub struct StoredSpending(pub Store);

#[async_trait]
impl SpendingBook for StoredSpending {
    async fn lease(&self, account: &Account, lease: Lease) -> Result<Option<u64>, String> {
        self.0.lease_spending(account, lease).await.map_err(|error: StoreError| error.to_string())
    }
}

/// A book whose accounts begin with their windows: a limit that is set in the middle of a month counts what was spent since the
/// month's beginning.
#[derive(Debug, Clone)]
pub struct Spendings {
    book: Arc<dyn SpendingBook>,
    store: Store,
}

impl Spendings {
    /// Over a book, and the store that has what was spent.
    pub fn new(book: Arc<dyn SpendingBook>, store: Store) -> Self {
        Self { book, store }
    }

    /// Adds up to `want` to an account as long as no more than `most` is spent, and all of `owed`; answers with what was granted
    /// of `want`.
    ///
    /// # Errors
    /// When the place where it is counted cannot be reached; the text is for the log.
    pub async fn lease(&self, account: &Account, want: u64, owed: u64, most: u64) -> Result<u64, String> {
        let lease = Lease { want, owed, most, before: None };
        if let Some(granted) = self.book.lease(account, lease).await? {
            return Ok(granted);
        }
        let before = Some(self.before(account).await);
        let granted = self.book.lease(account, Lease { before, ..lease }).await?;
        granted.ok_or_else(|| "an account was made and is not there".to_owned())
    }

    /// What was spent in the account's window, by the sums of traffic. They are kept by the hour: a minute begins with nothing.
    async fn before(&self, account: &Account) -> u64 {
        let Some((spending, window)) = account.what.split_once('/') else { return 0 };
        if window == Window::Minute.as_str() {
            return 0;
        }
        let span = (account.start, account.end);
        match self.store.spent_between(&account.project, &account.spender, span).await {
            Ok(spent) if spending == Spending::Requests.as_str() => spent.calls,
            Ok(spent) if spending == Spending::Tokens.as_str() => spent.tokens,
            Ok(spent) => billionths(spent.cost) / 1000,
            Err(error) => {
                tracing::warn!(%error, account = %account.spender, "a limit counts from now, and not from its window's beginning");
                0
            }
        }
    }
}
