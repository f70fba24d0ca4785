//! Shards: the parts of a run that workers lease.

use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::id::{ProjectId, RunId};

use crate::db::{count, execute, fetch, micros, micros_after, time};
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
    /// there is none. No shard is given to two owners, whatever the number of processes. Owners name themselves
    /// uniquely: a restarted process is another owner.
    pub async fn claim_shard(
        &self,
        run: &RunKey,
        owner: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Shard>, StoreError> {
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "UPDATE shards SET owner = $2, lease_until = $3, attempt = attempt + 1 WHERE run_key = $1 AND shard = \
             (SELECT shard FROM shards WHERE run_key = $1 AND NOT done AND (owner IS NULL OR lease_until <= $4) \
             ORDER BY shard LIMIT 1) RETURNING shard, start_pair, end_pair, attempt",
            "UPDATE shards SET owner = $2, lease_until = $3, attempt = attempt + 1 WHERE run_key = $1 AND shard = \
             (SELECT shard FROM shards WHERE run_key = $1 AND NOT done AND (owner IS NULL OR lease_until <= $4) \
             ORDER BY shard LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING shard, start_pair, end_pair, attempt",
        );
        let until = micros_after(now, lease);
        let row = fetch!(fetch_optional, tx, (i64, i64, i64, i64), sql, run.key, owner, until, micros(now))?;
        tx.commit().await?;
        let Some((index, start, end, attempt)) = row else { return Ok(None) };
        Ok(Some(Shard {
            run: run.clone(),
            index: count(index)?,
            start: count(start)?,
            end: count(end)?,
            attempt: count(attempt)?,
            owner: owner.to_owned(),
        }))
    }

    /// Extends the lease to `now + lease`.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the shard was released or claimed again in the meantime, or is complete.
    pub async fn renew_lease(&self, shard: &Shard, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE shards SET lease_until = $5 \
                   WHERE run_key = $1 AND shard = $2 AND owner = $3 AND attempt = $4 AND NOT done";
        let (key, index, attempt) = (shard.run.key, i64::from(shard.index), i64::from(shard.attempt));
        let mut tx = self.write().await?;
        let held = execute!(tx, sql, key, index, &shard.owner, attempt, micros_after(now, lease))?;
        tx.commit().await?;
        if held == 0 { Err(StoreError::LeaseLost { shard: shard.index }) } else { Ok(()) }
    }

    /// Marks the shard complete.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the shard was released or claimed again in the meantime.
    pub async fn complete_shard(&self, shard: &Shard) -> Result<(), StoreError> {
        let sql = "UPDATE shards SET done = TRUE, owner = NULL, lease_until = NULL \
                   WHERE run_key = $1 AND shard = $2 AND owner = $3 AND attempt = $4 AND NOT done";
        let (key, index, attempt) = (shard.run.key, i64::from(shard.index), i64::from(shard.attempt));
        let mut tx = self.write().await?;
        let held = execute!(tx, sql, key, index, &shard.owner, attempt)?;
        tx.commit().await?;
        if held == 0 { Err(StoreError::LeaseLost { shard: shard.index }) } else { Ok(()) }
    }

    /// Gives back the shards that these owners hold, so that a resumed run need not wait for the leases to end. Answers with
    /// their number.
    pub async fn release_leases(&self, run: &RunKey, owners: &[String]) -> Result<u64, StoreError> {
        let sql = "UPDATE shards SET owner = NULL, lease_until = NULL WHERE run_key = $1 AND owner = $2 AND NOT done";
        let mut tx = self.write().await?;
        let mut released = 0;
        for owner in owners {
            released += execute!(tx, sql, run.key, owner)?;
        }
        tx.commit().await?;
        Ok(released)
    }

    /// Whether a worker that joins the run now finds something to do: a shard that is free or whose lease has ended, or,
    /// when all are complete, the run's end.
    pub async fn has_work(&self, run: &RunKey, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(CASE WHEN NOT done THEN 1 END), \
                   COUNT(CASE WHEN NOT done AND (owner IS NULL OR lease_until <= $2) THEN 1 END) \
                   FROM shards WHERE run_key = $1";
        let mut conn = self.read().await?;
        let (open, free) = fetch!(fetch_one, conn, (i64, i64), sql, run.key, micros(now))?;
        Ok(open == 0 || free > 0)
    }

    /// Who holds shards of the project's running runs, and until when at the latest; a lease may have ended.
    pub async fn running_leases(&self, project: &ProjectId) -> Result<Vec<(RunId, String, Timestamp)>, StoreError> {
        let sql = "SELECT r.id, s.owner, MAX(s.lease_until) FROM runs r JOIN shards s ON s.run_key = r.key \
                   WHERE r.project_id = $1 AND r.status = 'running' AND NOT s.done AND s.owner IS NOT NULL \
                   GROUP BY r.id, s.owner ORDER BY r.id, s.owner";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String, i64), sql, project.as_str())?;
        rows.into_iter().map(|(run, owner, until)| Ok((RunId(run), owner, time(until)?))).collect()
    }

    /// Counts the shards of a run.
    pub async fn shard_summary(&self, run: &RunKey) -> Result<ShardSummary, StoreError> {
        let counts = "SELECT COUNT(*), COUNT(CASE WHEN done THEN 1 END) FROM shards WHERE run_key = $1";
        let leases = "SELECT owner, COUNT(*), MIN(lease_until) FROM shards \
                      WHERE run_key = $1 AND NOT done AND owner IS NOT NULL GROUP BY owner ORDER BY owner";
        let mut conn = self.read().await?;
        let (total, done) = fetch!(fetch_one, conn, (i64, i64), counts, run.key)?;
        let leases = fetch!(fetch_all, conn, (String, i64, i64), leases, run.key)?;
        let lease = |(owner, shards, until)| Ok(Lease { owner, shards: count(shards)?, until: time(until)? });
        Ok(ShardSummary {
            total: count(total)?,
            done: count(done)?,
            leases: leases.into_iter().map(lease).collect::<Result<_, StoreError>>()?,
        })
    }
}
