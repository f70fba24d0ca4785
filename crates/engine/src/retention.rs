//! Deleting what is old: in small pieces, so that nobody waits for it, and by one process at a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use llmops_domain::config::operations::RetentionConfig;
use llmops_storage::{AGING, AgingKind};
use serde::Serialize;

use crate::{Error, LlmOps};

/// Rows that are deleted in one transaction.
const PIECE: u32 = 500;
/// Pause between two transactions, for those who want to write.
const PAUSE: Duration = Duration::from_millis(20);
/// Time between two looks at what is old.
const EVERY: Duration = Duration::from_mins(10);
/// Time until the first look: a server that has just begun has other things to do.
const FIRST: Duration = Duration::from_mins(1);
/// How long a process that died keeps others from it.
const LEASE: Duration = Duration::from_mins(2);
/// The name of the lease.
const NAME: &str = "retention";
/// Events of a run's progress are kept for this long.
const PROGRESS: Duration = Duration::from_hours(1);

/// What was deleted of a kind, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The kind, as in `operations.retention`.
    pub kind: &'static str,
    /// The table.
    pub table: &'static str,
    /// Rows that were made before this time are old.
    pub before: Timestamp,
    /// How many.
    pub rows: u64,
}

/// How long rows of a kind are kept; none: for ever.
fn kept(kind: &AgingKind, config: &RetentionConfig) -> Option<Duration> {
    match kind.name {
        "progress" => Some(PROGRESS),
        name => config.of(name).map(|duration| duration.0),
    }
}

impl LlmOps {
    /// Deletes what is old, in all projects; or only counts it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune(&self, config: &RetentionConfig, is_dry_run: bool) -> Result<Vec<Pruned>, Error> {
        let mut pruned = Vec::new();
        for kind in AGING {
            let Some(time) = kept(kind, config) else { continue };
            let now = self.services.clock.now();
            let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
            let before = now.checked_sub(time).unwrap_or(Timestamp::MIN);
            let rows = if is_dry_run {
                self.services.store.count_old(kind, before).await?
            } else {
                self.delete_all(kind, before).await?
            };
            pruned.push(Pruned { kind: kind.name, table: kind.table(), before, rows });
        }
        Ok(pruned)
    }

    async fn delete_all(&self, kind: &AgingKind, before: Timestamp) -> Result<u64, Error> {
        if kind.table() == "observations" {
            // Whole months at once, where they are kept so.
            let rows = self.services.store.count_old(kind, before).await?;
            self.services.store.expire_observations(before).await?;
            return Ok(rows);
        }
        let mut all = 0;
        loop {
            let deleted = self.services.store.delete_old(kind, before, PIECE).await?;
            all += deleted;
            if deleted < u64::from(PIECE) {
                return Ok(all);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Deletes what is old if no other process does: none where another does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune_alone(&self, config: &RetentionConfig) -> Result<Option<Vec<Pruned>>, Error> {
        let (store, owner) = (&self.services.store, &self.services.owner);
        let take = async || {
            let now = self.services.clock.now();
            let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
            store.take_lease(NAME, owner, now, until).await
        };
        if !take().await? {
            return Ok(None);
        }
        let keep = async {
            loop {
                tokio::time::sleep(LEASE / 4).await;
                if !take().await.unwrap_or(true) {
                    return;
                }
            }
        };
        let pruned = tokio::select! {
            pruned = self.prune(config, false) => pruned,
            () = keep => return Ok(None),
        };
        store.drop_lease(NAME, owner).await?;
        pruned.map(Some)
    }

    /// Deletes what is old now and then, until it is dropped. `config` is asked anew each time.
    pub async fn keep_pruning(self, config: impl Fn() -> RetentionConfig + Send) {
        tokio::time::sleep(FIRST).await;
        loop {
            match self.prune_alone(&config()).await {
                Ok(pruned) => {
                    for Pruned { kind, table, rows, .. } in
                        pruned.into_iter().flatten().filter(|pruned| pruned.rows > 0)
                    {
                        tracing::info!(target: "llmops::life", kind, table, rows, "rows were old and are deleted");
                    }
                }
                Err(error) => tracing::warn!(%error, "what is old could not be deleted; trying again"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
