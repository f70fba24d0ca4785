//! Deleting what is old, a bounded number of rows at a time; and the leases that let one process do it for all.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::db::{count, execute, fetch, micros};
use crate::{Store, StoreError};

/// A kind of row that is deleted by its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgingKind {
    /// Its name in `operations.retention`.
    pub name: &'static str,
    table: &'static str,
    /// The columns that name a row.
    key: &'static str,
    /// `FROM` and `WHERE`; `$1` is the time before which rows are old.
    old: &'static str,
}

/// Everything that is deleted by age. What rows outside of this list are for does not end with time.
pub const AGING: &[AgingKind] = &[
    kind("progress", "events", "id", "FROM events WHERE at < $1 AND type = 'run.progress'"),
    kind("events", "events", "id", "FROM events WHERE at < $1"),
    kind("alerts", "alerts", "project_id, id", "FROM alerts WHERE resolved_at < $1"),
    kind("alerts", "alert_silences", "project_id, id", "FROM alert_silences WHERE ends_at < $1"),
    kind("alerts", "alert_topics", "project_id, topic", "FROM alert_topics WHERE told_at < $1"),
    kind("deliveries", "deliveries", "project_id, id", "FROM deliveries WHERE status <> 'pending' AND updated_at < $1"),
    kind(
        "firings",
        "schedule_firings",
        "project_id, schedule, fire_at",
        "FROM schedule_firings WHERE fire_at < $1 AND status <> 'due'",
    ),
    kind("request_records", "request_records", "project_id, id", "FROM request_records WHERE at < $1"),
    kind(
        "request_records",
        "shadow_pairs",
        "canary_key, id",
        "FROM shadow_pairs WHERE at < $1 AND status <> 'waiting'",
    ),
    // Sums of them stay.
    kind("feedback", "feedback", "project_id, id", "FROM feedback WHERE at < $1"),
    kind(
        "feedback",
        "feedback_subjects",
        "project_id, subject",
        "FROM feedback_subjects WHERE first_at < $1 AND NOT EXISTS (SELECT 1 FROM feedback \
         WHERE feedback.project_id = feedback_subjects.project_id AND feedback.subject = feedback_subjects.subject)",
    ),
    kind("feedback", "review_items", "project_id, id", "FROM review_items WHERE created_at < $1 AND status <> 'open'"),
    kind(
        "traffic",
        "traffic_hours",
        "project_id, hour, deployment, environment",
        "FROM traffic_hours WHERE hour < $1 / 3600000000",
    ),
    kind("traffic", "key_hours", "project_id, hour, key_id", "FROM key_hours WHERE hour < $1 / 3600000000"),
    kind(
        "traffic",
        "traffic_latencies",
        "project_id, hour, deployment, environment, class",
        "FROM traffic_latencies WHERE hour < $1 / 3600000000",
    ),
    // Numbers of deleted versions of prompts stay known: none of them is given to another content.
    kind("audit", "audit", "key", "FROM audit WHERE at < $1 AND action <> 'prompt.deleted'"),
    // Deleted by `Store::expire_observations`, which drops whole months.
    kind("observations", "observations", "unit_key, digest", "FROM observations WHERE at < $1"),
    // A gate compares with the samples of the baseline, however old it is.
    kind(
        "run_samples",
        "results",
        "run_key, ordinal, trial",
        "FROM results WHERE run_key IN (SELECT key FROM runs WHERE status IN ('completed', 'failed', 'cancelled') \
         AND end_time < $1 AND NOT EXISTS (SELECT 1 FROM run_tags WHERE run_tags.run_key = runs.key \
         AND run_tags.name = 'env' AND run_tags.value = 'production'))",
    ),
];

const fn kind(name: &'static str, table: &'static str, key: &'static str, old: &'static str) -> AgingKind {
    AgingKind { name, table, key, old }
}

impl AgingKind {
    /// The table that it is about.
    pub fn table(&self) -> &'static str {
        self.table
    }
}

impl Store {
    /// How many rows of a kind are older.
    pub async fn count_old(&self, kind: &AgingKind, before: Timestamp) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) {}", kind.old);
        let mut conn = self.read().await?;
        let (rows,) = fetch!(fetch_one, conn, (i64,), AssertSqlSafe(sql.clone()), micros(before))?;
        count(rows)
    }

    /// Deletes at most `limit` rows of a kind that are older, in a transaction of its own, and answers with their number.
    pub async fn delete_old(&self, kind: &AgingKind, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let AgingKind { table, key, old, .. } = kind;
        let sql = format!("DELETE FROM {table} WHERE ({key}) IN (SELECT {key} {old} LIMIT $2)");
        let mut tx = self.write().await?;
        let deleted = execute!(tx, AssertSqlSafe(sql.clone()), micros(before), i64::from(limit))?;
        tx.commit().await?;
        Ok(deleted)
    }

    /// Takes a lease, or keeps it for longer: false where another holder has it.
    pub async fn take_lease(
        &self,
        name: &str,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO leases (name, owner, until) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
                   SET owner = excluded.owner, until = excluded.until \
                   WHERE leases.owner = excluded.owner OR leases.until <= $4";
        let mut tx = self.write().await?;
        let taken = execute!(tx, sql, name, owner, micros(until), micros(now))?;
        tx.commit().await?;
        Ok(taken > 0)
    }

    /// Gives a lease back.
    pub async fn drop_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        execute!(tx, "DELETE FROM leases WHERE name = $1 AND owner = $2", name, owner)?;
        tx.commit().await
    }
}
