//! The queue in Redis: the same rules as in the store, each operation one script.
//!
//! `PREFIX:due` is a sorted set of job names by the time (microseconds) at which they may be taken; `PREFIX:job:NAME` a hash.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use redis::aio::ConnectionManager;
use redis::{Script, ScriptInvocation};

use super::queue::{JobCounts, Queue, QueueError, TakenJob};
use crate::redis_connection;

const PUSH: &str = r"
local job = KEYS[2] .. ARGV[1]
if redis.call('HSETNX', job, 'body', ARGV[3]) == 1 then
  redis.call('HSET', job, 'project', ARGV[2], 'attempt', 0, 'failures', 0, 'created_at', ARGV[5])
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
elseif redis.call('HEXISTS', job, 'owner') == 0 then
  redis.call('ZADD', KEYS[1], 'LT', ARGV[4], ARGV[1])
end
return 1";

const TAKE: &str = r"
local name = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[2], 'BYSCORE', 'LIMIT', 0, 1)[1]
if not name then return nil end
local job = KEYS[2] .. name
redis.call('ZADD', KEYS[1], ARGV[3], name)
redis.call('HSET', job, 'owner', ARGV[1])
local attempt = redis.call('HINCRBY', job, 'attempt', 1)
local rest = redis.call('HMGET', job, 'project', 'body', 'failures')
return {name, rest[1] or '', rest[2] or '', attempt, tonumber(rest[3]) or 0}";

/// Begins the scripts of whoever took a job: it is still the same taking.
const HELD: &str = r"
local job = KEYS[2] .. ARGV[1]
local held = redis.call('HMGET', job, 'owner', 'attempt')
if held[1] ~= ARGV[2] or held[2] ~= ARGV[3] then return 0 end";

const RENEW: &str = r"
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
return 1";

const FINISH: &str = r"
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', job)
return 1";

const PUT_BACK: &str = r"
redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
redis.call('HDEL', job, 'owner', 'error')
if ARGV[5] == '' then
  redis.call('HSET', job, 'failures', 0)
else
  redis.call('HSET', job, 'error', ARGV[5])
  redis.call('HINCRBY', job, 'failures', 1)
end
return 1";

const WITHDRAW: &str = r"
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2] .. ARGV[1])";

const COUNTS: &str = r"
local waiting, taken, failing, due = 0, 0, 0, ''
local names = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #names, 2 do
  local job = redis.call('HMGET', KEYS[2] .. names[i], 'owner', 'failures')
  if job[1] then taken = taken + 1
  else
    if waiting == 0 then due = names[i + 1] end
    waiting = waiting + 1
    if (tonumber(job[2]) or 0) > 0 then failing = failing + 1 end
  end
end
return {waiting, taken, failing, due}";

struct Scripts {
    push: Script,
    take: Script,
    renew: Script,
    finish: Script,
    put_back: Script,
    withdraw: Script,
    counts: Script,
}

/// Keeps jobs in Redis 6.2 or newer, or what speaks its protocol and runs Lua.
#[derive(Clone)]
pub struct RedisQueue {
    connection: ConnectionManager,
    scripts: std::sync::Arc<Scripts>,
    due: String,
    job: String,
}

impl std::fmt::Debug for RedisQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("RedisQueue").field("due", &self.due).finish_non_exhaustive()
    }
}

impl RedisQueue {
    /// Connects to `redis://…` or `rediss://…`. Installations that share a server differ in the database number of the
    /// address or in `prefix`.
    ///
    /// # Errors
    /// When the address is none of Redis, or nobody answers there.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, QueueError> {
        let connection = redis_connection::connect(url).await?;
        let held = |rest: &str| Script::new(&format!("{HELD}{rest}"));
        let scripts = Scripts {
            push: Script::new(PUSH),
            take: Script::new(TAKE),
            renew: held(RENEW),
            finish: held(FINISH),
            put_back: held(PUT_BACK),
            withdraw: Script::new(WITHDRAW),
            counts: Script::new(COUNTS),
        };
        // One slot of a cluster: the scripts touch several keys.
        let prefix = format!("{{{prefix}}}");
        Ok(Self { connection, scripts: scripts.into(), due: format!("{prefix}:due"), job: format!("{prefix}:job:") })
    }

    fn on<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut invocation = script.key(&self.due);
        invocation.key(&self.job);
        invocation
    }

    async fn held(&self, script: &Script, job: &TakenJob, rest: &[&str]) -> Result<bool, QueueError> {
        let mut invocation = self.on(script);
        invocation.arg(&job.name).arg(&job.owner).arg(job.attempt);
        for arg in rest {
            invocation.arg(arg);
        }
        let done: i64 = invocation.invoke_async(&mut self.connection.clone()).await.map_err(failed)?;
        Ok(done > 0)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn failed(error: redis::RedisError) -> QueueError {
    QueueError::Redis(error.to_string())
}

fn micros(time: Timestamp) -> String {
    time.as_microsecond().to_string()
}

fn later(now: Timestamp, by: Duration) -> String {
    micros(now.checked_add(by).unwrap_or(Timestamp::MAX))
}

#[async_trait]
impl Queue for RedisQueue {
    async fn push(
        &self,
        project: &ProjectId,
        (name, body): (&str, &str),
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let mut invocation = self.on(&self.scripts.push);
        invocation.arg(name).arg(project.as_str()).arg(body).arg(micros(due)).arg(micros(now));
        invocation.invoke_async::<()>(&mut self.connection.clone()).await.map_err(failed)
    }

    async fn take(&self, owner: &str, lease: Duration, now: Timestamp) -> Result<Option<TakenJob>, QueueError> {
        let mut invocation = self.on(&self.scripts.take);
        invocation.arg(owner).arg(micros(now)).arg(later(now, lease));
        let taken: Option<(String, String, String, u32, u32)> =
            invocation.invoke_async(&mut self.connection.clone()).await.map_err(failed)?;
        Ok(taken.map(|(name, project, body, attempt, failures)| TakenJob {
            name,
            project: ProjectId(project),
            body,
            owner: owner.to_owned(),
            attempt,
            failures,
        }))
    }

    async fn renew(&self, job: &TakenJob, lease: Duration, now: Timestamp) -> Result<bool, QueueError> {
        self.held(&self.scripts.renew, job, &[&later(now, lease)]).await
    }

    async fn finish(&self, job: &TakenJob) -> Result<bool, QueueError> {
        self.held(&self.scripts.finish, job, &[]).await
    }

    async fn put_back(&self, job: &TakenJob, due: Timestamp, failure: Option<&str>) -> Result<bool, QueueError> {
        self.held(&self.scripts.put_back, job, &[&micros(due), failure.unwrap_or_default()]).await
    }

    async fn withdraw(&self, name: &str) -> Result<bool, QueueError> {
        let mut invocation = self.on(&self.scripts.withdraw);
        let removed: i64 = invocation.arg(name).invoke_async(&mut self.connection.clone()).await.map_err(failed)?;
        Ok(removed > 0)
    }

    async fn ping(&self) -> Result<(), QueueError> {
        redis::cmd("PING").query_async::<()>(&mut self.connection.clone()).await.map_err(failed)
    }

    async fn counts(&self) -> Result<JobCounts, QueueError> {
        let (waiting, taken, failing, due): (u64, u64, u64, String) =
            self.on(&self.scripts.counts).invoke_async(&mut self.connection.clone()).await.map_err(failed)?;
        let due = due.parse().ok().and_then(|due| Timestamp::from_microsecond(due).ok());
        Ok(JobCounts { waiting, taken, failing, due })
    }
}
