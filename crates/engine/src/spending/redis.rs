//! Counts in Redis: one number for each account, which goes with its window.

use async_trait::async_trait;
use llmops_domain::limits::{Account, Lease};
use redis::Script;
use redis::aio::ConnectionManager;

use super::SpendingBook;
use crate::jobs::QueueError;
use crate::redis_connection;

const LEASE: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[5] == '' then return -1 end
  redis.call('SET', KEYS[1], ARGV[5])
end
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
        let connection = redis_connection::connect(url).await?;
        Ok(Self { connection, lease: Script::new(LEASE), prefix: format!("{prefix}:spending") })
    }
}

#[async_trait]
impl SpendingBook for RedisSpending {
    async fn lease(&self, account: &Account, lease: Lease) -> Result<Option<u64>, String> {
        let Lease { want, owed, most, before } = lease;
        let Account { project, spender, what, start, end } = account;
        let key = format!("{}:{}:{spender}:{what}:{start}", self.prefix, project.as_str());
        let mut invocation = self.lease.key(key);
        let before = before.map(|before| before.to_string()).unwrap_or_default();
        invocation.arg(want).arg(owed).arg(most).arg(*end).arg(before);
        let mut connection = self.connection.clone();
        let granted: i64 =
            invocation.invoke_async(&mut connection).await.map_err(|error| error.category().to_owned())?;
        Ok(u64::try_from(granted).ok())
    }
}
