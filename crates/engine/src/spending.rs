//! What was spent of limits, counted across replicas: in Redis where the queue is there, else in the store.

mod redis;

use async_trait::async_trait;
use llmops_domain::limits::Account;
use llmops_storage::{Store, StoreError};

pub use redis::RedisSpending;

/// Counts what replicas spend.
#[async_trait]
pub trait SpendingBook: Send + Sync + std::fmt::Debug {
    /// Adds up to `want` to an account as long as no more than `most` is spent, and all of `owed`; answers with what was
    /// granted of `want`.
    ///
    /// # Errors
    /// When the place where it is counted cannot be reached; the text is for the log.
    async fn lease(&self, account: &Account, want: u64, owed: u64, most: u64) -> Result<u64, String>;
}

/// Counts in the store.
#[derive(Debug, Clone)]
pub struct StoredSpending(pub Store);

#[async_trait]
impl SpendingBook for StoredSpending {
    async fn lease(&self, account: &Account, want: u64, owed: u64, most: u64) -> Result<u64, String> {
        self.0.lease_spending(account, want, owed, most).await.map_err(|error: StoreError| error.to_string())
    }
}
