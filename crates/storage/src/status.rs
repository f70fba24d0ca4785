//! What the store holds and what waits in it, in numbers, over all projects: for the metrics of the process.

use std::time::Duration;

use jiff::Timestamp;

use crate::db::{Conn, count, fetch, micros};
use crate::{Store, StoreError};

/// Numbers of the whole store at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Runs by their status.
    pub runs: Vec<(String, u64)>,
    /// Messages to channels by their status: `pending`, `delivered`, `dead`.
    pub deliveries: Vec<(String, u64)>,
    /// How long the schedule or firing that waits longest has been due.
    pub schedule_lag: Duration,
    /// The number of the newest change of the tables.
    pub schema: u64,
}

impl Store {
    /// Counts what metrics tell of the store.
    pub async fn status(&self, now: Timestamp) -> Result<StoreStatus, StoreError> {
        let mut conn = self.read().await?;
        let runs = fetch!(fetch_all, conn, (String, i64), "SELECT status, COUNT(*) FROM runs GROUP BY status")?;
        let sql = "SELECT status, COUNT(*) FROM deliveries GROUP BY status";
        let deliveries = fetch!(fetch_all, conn, (String, i64), sql)?;
        let sql = "SELECT MIN(at) FROM (SELECT MIN(next_at) AS at FROM schedules WHERE next_at IS NOT NULL \
                   UNION ALL SELECT MIN(due_at) AS at FROM schedule_firings WHERE status = 'due') AS due";
        let (due,) = fetch!(fetch_one, conn, (Option<i64>,), sql)?;
        let sql = crate::migrate::APPLIED;
        let (schema,) = fetch!(fetch_one, conn, (i64,), sql)?;
        let late = due.map_or(0, |due| micros(now).saturating_sub(due));
        Ok(StoreStatus {
            runs: counted(runs)?,
            deliveries: counted(deliveries)?,
            schedule_lag: Duration::from_micros(u64::try_from(late).unwrap_or(0)),
            schema: count(schema)?,
        })
    }

    /// How far the database's clock is from this machine's; nothing where they are the same.
    pub async fn clock_difference(&self) -> Result<Duration, StoreError> {
        let mut conn = self.read().await?;
        let Conn::Postgres(_) = &conn else { return Ok(Duration::ZERO) };
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
        let before = llmops_domain::clock::now();
        let (theirs,) = fetch!(fetch_one, conn, (i64,), sql)?;
        let after = llmops_domain::clock::now();
        // Half of the way is the best guess for when it was read.
        let ours = micros(before).midpoint(micros(after));
        Ok(Duration::from_micros(ours.abs_diff(theirs)))
    }

    /// Whether the store takes changes: its file or database may allow reading only, or another process keep it locked. Whoever
    /// asks while somebody else does hears the same; once the answer was no, the next ones wait for a yes for a moment only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not.
    pub async fn check_write(&self) -> Result<(), StoreError> {
        self.write_check().ask(self.pools()).await
    }

    /// Whether the tables are those that this program knows. False while a newer version has changed them already.
    pub async fn is_current(&self) -> Result<bool, StoreError> {
        let mut conn = self.read().await?;
        let sql = crate::migrate::APPLIED;
        let (schema,) = fetch!(fetch_one, conn, (i64,), sql)?;
        Ok(schema == crate::migrate::newest())
    }
}

fn counted(rows: Vec<(String, i64)>) -> Result<Vec<(String, u64)>, StoreError> {
    rows.into_iter().map(|(status, number)| Ok((status, count(number)?))).collect()
}
