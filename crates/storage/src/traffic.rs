//! Sums of live traffic by hour: added to as records are written, read by pages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops_domain::id::ProjectId;
use llmops_domain::traffic::TrafficSums;

use crate::bulk::{Insert, insert_rows};
use crate::db::{MICROS_PER_HOUR, Tx, big, count, fetch, micros, row, time};
use crate::records::RecordRow;
use crate::{Store, StoreError};

const SECONDS_PER_HOUR: i64 = 3_600;

const ADD_HOURS: Insert = Insert {
    head: "INSERT INTO traffic_hours (project_id, hour, deployment, environment, calls, refused, cancelled, answered, failed, \
           soft_failed, priced, cost, prompt_tokens, completion_tokens) VALUES",
    columns: 14,
    tail: "ON CONFLICT (project_id, hour, deployment, environment) DO UPDATE SET \
           calls = traffic_hours.calls + excluded.calls, refused = traffic_hours.refused + excluded.refused, \
           cancelled = traffic_hours.cancelled + excluded.cancelled, answered = traffic_hours.answered + excluded.answered, \
           failed = traffic_hours.failed + excluded.failed, \
           soft_failed = traffic_hours.soft_failed + excluded.soft_failed, \
           priced = traffic_hours.priced + excluded.priced, cost = traffic_hours.cost + excluded.cost, \
           prompt_tokens = traffic_hours.prompt_tokens + excluded.prompt_tokens, \
           completion_tokens = traffic_hours.completion_tokens + excluded.completion_tokens",
};

const ADD_KEYS: Insert = Insert {
    head: "INSERT INTO key_hours (project_id, hour, key_id, calls, tokens, cost) VALUES",
    columns: 6,
    tail: "ON CONFLICT (project_id, hour, key_id) DO UPDATE SET calls = key_hours.calls + excluded.calls, \
           tokens = key_hours.tokens + excluded.tokens, cost = key_hours.cost + excluded.cost",
};

const ADD_LATENCIES: Insert = Insert {
    head: "INSERT INTO traffic_latencies (project_id, hour, deployment, environment, class, calls) VALUES",
    columns: 6,
    tail: "ON CONFLICT (project_id, hour, deployment, environment, class) DO UPDATE SET \
           calls = traffic_latencies.calls + excluded.calls",
};

/// What sums are kept of: project, hour, deployment, environment. Its order is that of every writer, so that no two wait
/// for each other.
pub(crate) type Slot<'a> = (&'a str, i64, &'a str, &'a str);

/// Adds records that were just inserted.
pub(crate) async fn add(tx: &mut Tx, rows: &[&RecordRow]) -> Result<(), StoreError> {
    let mut hours = BTreeMap::<Slot<'_>, TrafficSums>::new();
    let mut latencies = BTreeMap::<(Slot<'_>, i64), i64>::new();
    let mut keys = BTreeMap::<(&str, i64, &str), TrafficSums>::new();
    for row in rows {
        let (slot, sums, class) = row.traffic();
        hours.entry(slot).or_default().add(sums);
        if let Some(key) = row.key_id() {
            keys.entry((slot.0, slot.1, key)).or_default().add(sums);
        }
        *latencies.entry((slot, class)).or_default() += 1;
    }
    let hours: Vec<_> = hours.into_iter().collect();
    insert_rows!(
        tx,
        ADD_HOURS,
        &hours,
        |row| row.0.0,
        row.0.1,
        row.0.2,
        row.0.3,
        big(row.1.calls),
        big(row.1.refused),
        big(row.1.cancelled),
        big(row.1.answered),
        big(row.1.failed),
        big(row.1.soft_failed),
        big(row.1.priced),
        row.1.cost,
        big(row.1.prompt_tokens),
        big(row.1.completion_tokens)
    )
    .await?;
    let keys: Vec<_> = keys.into_iter().collect();
    insert_rows!(
        tx,
        ADD_KEYS,
        &keys,
        |row| row.0.0,
        row.0.1,
        row.0.2,
        big(row.1.calls - row.1.refused),
        big(row.1.prompt_tokens + row.1.completion_tokens),
        row.1.cost
    )
    .await?;
    let latencies: Vec<_> = latencies.into_iter().collect();
    insert_rows!(tx, ADD_LATENCIES, &latencies, |row| row.0.0.0, row.0.0.1, row.0.0.2, row.0.0.3, row.0.1, row.1)
        .await?;
    Ok(())
}

/// The sums of an hour with its latencies by class, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHour {
    /// When the hour begins.
    pub at: Timestamp,
    /// The sums.
    pub sums: TrafficSums,
    /// Calls by class of latency.
    pub latencies: Vec<(i64, u64)>,
}

row! {
    struct HourRow {
        hour: i64,
        calls: i64,
        refused: i64,
        cancelled: i64,
        answered: i64,
        failed: i64,
        soft_failed: i64,
        priced: i64,
        cost: f64,
        prompt_tokens: i64,
        completion_tokens: i64,
    }
}

impl HourRow {
    fn into_hour(self, latencies: Vec<(i64, u64)>) -> Result<StoredHour, StoreError> {
        let sums = TrafficSums {
            calls: count(self.calls)?,
            refused: count(self.refused)?,
            cancelled: count(self.cancelled)?,
            answered: count(self.answered)?,
            failed: count(self.failed)?,
            soft_failed: count(self.soft_failed)?,
            priced: count(self.priced)?,
            cost: self.cost,
            prompt_tokens: count(self.prompt_tokens)?,
            completion_tokens: count(self.completion_tokens)?,
        };
        Ok(StoredHour { at: time(self.hour.saturating_mul(MICROS_PER_HOUR))?, sums, latencies })
    }
}

/// What a key or a deployment spent, by its records.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Calls that were not refused.
    pub calls: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// USD.
    pub cost: f64,
}

impl Store {
    /// What a spender (`key/ID` or `deployment/NAME@ENVIRONMENT`) spent in the hours from one that begins at `start` to before one
    /// that begins at `end`, in seconds since 1970, as far as it is written down.
    pub async fn spent_between(
        &self,
        project: &ProjectId,
        spender: &str,
        (start, end): (i64, i64),
    ) -> Result<Spent, StoreError> {
        let [first, last] = [start, end].map(|second| second.div_euclid(SECONDS_PER_HOUR));
        let mut conn = self.read().await?;
        let row = if let Some(key) = spender.strip_prefix("key/") {
            let sql = "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT), CAST(COALESCE(SUM(tokens), 0) AS BIGINT), \
                       COALESCE(SUM(cost), 0.0) FROM key_hours \
                       WHERE project_id = $1 AND hour >= $2 AND hour < $3 AND key_id = $4";
            fetch!(fetch_one, conn, (i64, i64, f64), sql, project.as_str(), first, last, key)?
        } else {
            let place = spender.strip_prefix("deployment/").unwrap_or(spender);
            let (name, environment) = place.rsplit_once('@').unwrap_or((place, ""));
            let sql = "SELECT CAST(COALESCE(SUM(calls - refused), 0) AS BIGINT), \
                       CAST(COALESCE(SUM(prompt_tokens + completion_tokens), 0) AS BIGINT), COALESCE(SUM(cost), 0.0) \
                       FROM traffic_hours WHERE project_id = $1 AND hour >= $2 AND hour < $3 AND deployment = $4 \
                       AND environment = $5";
            fetch!(fetch_one, conn, (i64, i64, f64), sql, project.as_str(), first, last, name, environment)?
        };
        Ok(Spent { calls: count(row.0)?, tokens: count(row.1)?, cost: row.2 })
    }

    /// The hours from the one that holds `from` to the one that holds `to`, in order; those without calls are left out.
    pub async fn traffic_between(
        &self,
        project: &ProjectId,
        (deployment, environment): (Option<&str>, Option<&str>),
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<StoredHour>, StoreError> {
        let [first, last] = [from, to].map(|at| micros(at).div_euclid(MICROS_PER_HOUR));
        let hours = "SELECT hour, CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(refused) AS BIGINT) AS refused, \
                     CAST(SUM(cancelled) AS BIGINT) AS cancelled, CAST(SUM(answered) AS BIGINT) AS answered, \
                     CAST(SUM(failed) AS BIGINT) AS failed, \
                     CAST(SUM(soft_failed) AS BIGINT) AS soft_failed, CAST(SUM(priced) AS BIGINT) AS priced, \
                     SUM(cost) AS cost, CAST(SUM(prompt_tokens) AS BIGINT) AS prompt_tokens, \
                     CAST(SUM(completion_tokens) AS BIGINT) AS completion_tokens FROM traffic_hours \
                     WHERE project_id = $1 AND hour >= $2 AND hour <= $5 AND ($3 IS NULL OR deployment = $3) \
                     AND ($4 IS NULL OR environment = $4) GROUP BY hour ORDER BY hour";
        let classes = "SELECT hour, class, CAST(SUM(calls) AS BIGINT) FROM traffic_latencies \
                       WHERE project_id = $1 AND hour >= $2 AND hour <= $5 AND ($3 IS NULL OR deployment = $3) \
                       AND ($4 IS NULL OR environment = $4) GROUP BY hour, class ORDER BY hour, class";
        let id = project.as_str();
        let mut conn = self.read().await?;
        let hours = fetch!(fetch_all, conn, HourRow, hours, id, first, deployment, environment, last)?;
        let classes = fetch!(fetch_all, conn, (i64, i64, i64), classes, id, first, deployment, environment, last)?;
        let mut latencies = BTreeMap::<i64, Vec<(i64, u64)>>::new();
        for (hour, class, calls) in classes {
            latencies.entry(hour).or_default().push((class, count(calls)?));
        }
        hours
            .into_iter()
            .map(|row| {
                let latencies = latencies.remove(&row.hour).unwrap_or_default();
                row.into_hour(latencies)
            })
            .collect()
    }
}
