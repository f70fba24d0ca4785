//! Whether the process can do its work, and why not.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use llmops_storage::StoreError;

use crate::{Error, LlmOps};

/// How long store and queue may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How old the gateway's picture of the deployments may be. It is looked at four times a second.
const STALE: Duration = Duration::from_secs(10);
/// Request records that may wait for the store before that is told.
const MAX_SPILLED: u64 = 100_000;

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does its work.
    Running,
    /// It prepares itself.
    Starting,
    /// It ends, and takes no more work.
    Stopping,
}

/// What the parts of a process say about it.
#[derive(Debug, Default)]
pub struct Readiness {
    phase: AtomicU8,
    /// When a gateway last knew what is live, in microseconds; 0: there is no gateway.
    gateway_seen: AtomicI64,
}

impl Readiness {
    /// Says where the process is.
    pub fn enter(&self, phase: Phase) {
        let phase = match phase {
            Phase::Running => 0,
            Phase::Starting => 1,
            Phase::Stopping => 2,
        };
        self.phase.store(phase, Ordering::Release);
    }

    /// Where the process is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Starting,
            _ => Phase::Stopping,
        }
    }

    /// Says that the gateway knows what is live at this time.
    pub fn gateway_is_fresh(&self, now: Timestamp) {
        self.gateway_seen.store(now.as_microsecond(), Ordering::Release);
    }
}

/// What a check of readiness found.
#[derive(Debug)]
pub struct ReadyCheck {
    /// `phase`, `store`, `schema`, `queue`, `gateway` or `records`.
    pub name: &'static str,
    /// What is wrong; none: nothing.
    pub problem: Option<String>,
    /// Whether calls through the gateway are possible all the same.
    pub spares_gateway: bool,
}

impl ReadyCheck {
    fn new(name: &'static str, problem: Option<String>) -> Self {
        Self { name, problem, spares_gateway: false }
    }
}

impl LlmOps {
    /// What the parts of this process say about it.
    pub fn readiness(&self) -> &Readiness {
        &self.services.readiness
    }

    /// Looks at everything that the process needs.
    pub async fn check_readiness(&self) -> Vec<ReadyCheck> {
        let (store, queue) = tokio::join!(self.check_store(), self.check_queue());
        let phase = match self.readiness().phase() {
            Phase::Running => None,
            Phase::Starting => Some("the process is starting".to_owned()),
            Phase::Stopping => Some("the process is stopping".to_owned()),
        };
        let waiting = self.meters().records.waiting();
        let records = (waiting > MAX_SPILLED).then(|| format!("{waiting} request records wait for the store"));
        let mut checks = vec![ReadyCheck::new("phase", phase)];
        checks.extend(store);
        checks.push(queue);
        // While the store is away, what was live stays live.
        checks.push(ReadyCheck { spares_gateway: true, ..ReadyCheck::new("gateway", self.check_gateway()) });
        checks.push(ReadyCheck { spares_gateway: true, ..ReadyCheck::new("records", records) });
        checks
    }

    async fn check_store(&self) -> [ReadyCheck; 2] {
        let store = &self.services.store;
        let answer = tokio::time::timeout(PATIENCE, async {
            // First, because it is told soon while the store is away.
            store.check_write().await?;
            store.is_current().await
        });
        let (store, schema) = match answer.await {
            Ok(Ok(true)) => (None, None),
            Ok(Ok(false)) => {
                (None, Some("the tables were changed by another version of llmops: start that one".to_owned()))
            }
            Ok(Err(error @ StoreError::Unavailable(_))) => {
                let trouble = error.file_trouble().map(|trouble| format!(": {trouble}")).unwrap_or_default();
                (Some(format!("the store cannot be reached{trouble}")), None)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store is not ready");
                (Some("the store failed; the log says how".to_owned()), None)
            }
            Err(_) => (Some("the store does not answer".to_owned()), None),
        };
        let spared = |name, problem| ReadyCheck { spares_gateway: true, ..ReadyCheck::new(name, problem) };
        [spared("store", store), ReadyCheck::new("schema", schema)]
    }

    async fn check_queue(&self) -> ReadyCheck {
        let problem = match &self.services.options.queue {
            None => None,
            Some(queue) => match tokio::time::timeout(PATIENCE, queue.ping()).await {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some("the queue of jobs cannot be reached".to_owned()),
                Err(_) => Some("the queue of jobs does not answer".to_owned()),
            },
        };
        ReadyCheck { spares_gateway: true, ..ReadyCheck::new("queue", problem) }
    }

    fn check_gateway(&self) -> Option<String> {
        let seen = self.readiness().gateway_seen.load(Ordering::Acquire);
        let age = self.services.clock.now().as_microsecond().saturating_sub(seen);
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        let is_stale = seen > 0 && age > STALE;
        is_stale.then(|| format!("the gateway has not heard of changes for {} s", age.as_secs()))
    }

    /// What waits in the queue of jobs; none where there is no queue.
    ///
    /// # Errors
    /// When the queue cannot be reached.
    pub async fn queue_counts(&self) -> Result<Option<crate::jobs::JobCounts>, Error> {
        match &self.services.options.queue {
            None => Ok(None),
            Some(queue) => Ok(Some(queue.counts().await?)),
        }
    }
}
