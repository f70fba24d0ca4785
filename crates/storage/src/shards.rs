//! Shards: the parts of a run that workers lease.

use std::time::Duration;

use jiff::Timestamp;

use crate::{RunKey, Store, StoreError};

/// A leased part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// The run.
    pub run: RunKey,
    /// Its index in the run, from 0.
    pub index: u32,
    /// First pair index.
    pub start: u64,
    /// Pair index behind the last.
    pub end: u64,
    /// How often it was claimed, this time included. Beyond 1, some pairs may be done already.
    pub attempt: u32,
    /// Who holds it.
    pub owner: String,
}

/// The shards that one owner holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds them.
    pub owner: String,
    /// How many.
    pub shards: u32,
    /// When the first of them ends.
    pub until: Timestamp,
}

/// Where the shards of a run stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardSummary {
    /// Shards in all.
    pub total: u32,
    /// Completed.
    pub done: u32,
    /// Held, by owner; a lease may have ended.
    pub leases: Vec<Lease>,
}

impl Store {
    /// Leases the first shard that is neither complete nor held, or whose lease has ended, until `now + lease`. Null when
    /// there is none. No shard is given to two owners, whatever the number of processes.
    pub async fn claim_shard(
        &self,
        run: &RunKey,
        owner: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Shard>, StoreError> {
        todo!()
    }

    /// Extends the lease to `now + lease`.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the shard was claimed by somebody else in the meantime.
    pub async fn renew_lease(&self, shard: &Shard, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        todo!()
    }

    /// Marks the shard complete.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the shard was claimed by somebody else in the meantime.
    pub async fn complete_shard(&self, shard: &Shard) -> Result<(), StoreError> {
        todo!()
    }

    /// Gives back the shards that these owners hold, so that a resumed run need not wait for the leases to end. Answers with
    /// their number.
    pub async fn release_leases(&self, run: &RunKey, owners: &[String]) -> Result<u64, StoreError> {
        todo!()
    }

    /// Counts the shards of a run.
    pub async fn shard_summary(&self, run: &RunKey) -> Result<ShardSummary, StoreError> {
        todo!()
    }
}
