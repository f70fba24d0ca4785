//! Counts in Redis: one number for each account, which goes with its window.

use std::time::Duration;

use async_trait::async_trait;
use llmops_domain::limits::Account;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};

use super::SpendingBook;
use crate::jobs::QueueError;

/// How long an operation may take before Redis counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(3);

const LEASE: &str = r"
local spent = redis.call('INCRBY', KEYS[1], ARGV[2])
local granted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[3]) - spent))
if granted > 0 then redis.call('INCRBY', KEYS[1], granted) end
redis.call('EXPIREAT', KEYS[1], ARGV[4])
return granted";

/// Counts in Redis 6.2 or newer, or what speaks its protocol and runs Lua.
#[derive(Clone)]
pub struct RedisSpending {
    connection: ConnectionManager,
    lease: Script,
    prefix: String,
}

impl std::fmt::Debug for RedisSpending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("RedisSpending").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisSpending {
    /// Connects to `redis://…` or `rediss://…`. Installations that share a server differ in the database number of the
    /// address or in `prefix`.
    ///
    /// # Errors
    /// When the address is none of Redis, or nobody answers there.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, QueueError> {
        // The library's message would repeat the address, and with it a password.
        let client =
            Client::open(url).map_err(|e| QueueError::Address(format!("no Redis address: {}", e.category())))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_with_config(client, config)
            .await
            .map_err(|e| QueueError::Redis(e.category().to_owned()))?;
        Ok(Self { connection, lease: Script::new(LEASE), prefix: format!("{prefix}:spending") })
    }
}

#[async_trait]
impl SpendingBook for RedisSpending {
    async fn lease(&self, account: &Account, want: u64, owed: u64, most: u64) -> Result<u64, String> {
        let Account { project, spender, what, start, end } = account;
        let key = format!("{}:{}:{spender}:{what}:{start}", self.prefix, project.as_str());
        let mut invocation = self.lease.key(key);
        invocation.arg(want).arg(owed).arg(most).arg(*end);
        let mut connection = self.connection.clone();
        invocation.invoke_async(&mut connection).await.map_err(|error| error.category().to_owned())
    }
}
