//! The queue of a server or worker: what was typed, what the configuration says, and what is opened.

use std::sync::Arc;

use clap::Args;
use llmops::Options;
use llmops::jobs::{Queue, RedisQueue, StoredQueue};
use llmops::spending::{RedisSpending, SpendingBook};
use llmops_domain::config::QueueConfig;
use llmops_domain::config::duration::HumanDuration;
use llmops_storage::Store;

use crate::failure::{Failure, Kind, Outcome};

/// Options about the queue, which come before the configuration's.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueueArgs {
    /// Where jobs are queued: redis://HOST, postgres://… or sqlite:PATH; else what the configuration says, else the store
    #[arg(long, value_name = "URL", env = "LLMOPS_QUEUE_URL", hide_env_values = true)]
    queue: Option<String>,
    /// How long the work of a process that died stays with it, such as 30s; at least 1s
    #[arg(long, value_name = "DURATION", env = "LLMOPS_QUEUE_LEASE", value_parser = lease)]
    lease: Option<HumanDuration>,
    /// Runs to work on at the same time; 0 leaves them to workers
    #[arg(long, value_name = "N", env = "LLMOPS_QUEUE_CONCURRENCY", value_parser = clap::value_parser!(u32).range(..=1000))]
    concurrency: Option<u32>,
}

fn lease(text: &str) -> Result<HumanDuration, String> {
    let lease: HumanDuration = text.parse().map_err(|e| format!("{e}"))?;
    if lease.0 < std::time::Duration::from_secs(1) { Err("must be at least 1s".to_owned()) } else { Ok(lease) }
}

impl QueueArgs {
    /// What the environment says, for commands without these options.
    pub(crate) fn from_env() -> Self {
        let queue = std::env::var("LLMOPS_QUEUE_URL").ok().filter(|url| !url.is_empty());
        Self { queue, lease: None, concurrency: None }
    }

    /// Whether jobs are queued elsewhere than in the store.
    pub(crate) fn is_elsewhere(&self, config: &QueueConfig) -> bool {
        self.queue.is_some() || config.url.is_some()
    }

    /// Runs at a time.
    pub(crate) fn concurrency(&self, config: &QueueConfig) -> usize {
        self.concurrency.unwrap_or(config.concurrency) as usize
    }

    /// How long a process that died holds its work.
    pub(crate) fn lease(&self, config: &QueueConfig) -> HumanDuration {
        self.lease.unwrap_or(config.lease)
    }

    /// Where the queue is, for people: without password.
    pub(crate) fn place(&self, config: &QueueConfig) -> String {
        match self.queue.as_ref().or(config.url.as_ref()) {
            None => "the store".to_owned(),
            Some(url) => {
                let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
                let rest = rest.rsplit_once('@').map_or(rest.trim_start_matches('/'), |(_, host)| host);
                format!("{scheme}:{}", rest.split('?').next().unwrap_or_default())
            }
        }
    }

    /// The engine's options with the queue opened.
    pub(crate) async fn open(&self, config: &QueueConfig, store: &Store) -> Outcome<Options> {
        let failed = |e: &dyn std::error::Error| Failure::because(Kind::Undecided, "cannot open the queue", e);
        let mut spending: Option<Arc<dyn SpendingBook>> = None;
        let queue: Arc<dyn Queue> = match self.queue.as_ref().or(config.url.as_ref()) {
            None => Arc::new(StoredQueue(store.clone())),
            Some(url) if url.starts_with("redis") => {
                // Installing it twice is no error that matters: the first one stays.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let book = RedisSpending::connect(url, &config.name).await.map_err(|e| failed(&e))?;
                spending = Some(Arc::new(book));
                Arc::new(RedisQueue::connect(url, &config.name).await.map_err(|e| failed(&e))?)
            }
            Some(url) => Arc::new(StoredQueue(Store::open(url).await.map_err(|e| failed(&e))?)),
        };
        Ok(Options { lease: self.lease(config).0, queue: Some(queue), spending, ..Options::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shown_without_password() {
        let check = |url: Option<&str>, expected: &str| {
            let args = QueueArgs { queue: url.map(str::to_owned), lease: None, concurrency: None };
            assert_eq!(args.place(&QueueConfig::default()), expected);
        };
        check(None, "the store");
        check(Some("redis://:s3cret@cache:6379/2"), "redis:cache:6379/2");
        check(Some("redis://cache"), "redis:cache");
        check(Some("postgres://u:p@h/db?password=x"), "postgres:h/db");
    }
}
