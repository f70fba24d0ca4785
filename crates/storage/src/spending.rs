//! What was spent of limits, and how many calls failed softly: counters that all replicas add to.

use llmops_domain::id::ProjectId;
use llmops_domain::limits::{Account, Lease};

use crate::bulk::{Insert, insert_rows};
use crate::db::{big, count, execute, fetch};
use crate::{Store, StoreError};

const ADD_CALLS: Insert = Insert {
    head: "INSERT INTO call_counts (project_id, deployment, environment, minute, calls, soft_failed) VALUES",
    columns: 6,
    tail: "ON CONFLICT (project_id, deployment, environment, minute) DO UPDATE SET \
           calls = call_counts.calls + excluded.calls, soft_failed = call_counts.soft_failed + excluded.soft_failed",
};

/// Calls of one deployment in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteCalls {
    /// Whose.
    pub project: ProjectId,
    /// The deployment.
    pub deployment: String,
    /// Its environment.
    pub environment: String,
    /// Minutes since 1970.
    pub minute: i64,
    /// Calls that were answered.
    pub calls: u64,
    /// Those that failed softly.
    pub soft_failed: u64,
}

impl Store {
    /// Grants what is left of what a lease wants. Where there is no such account yet and the lease does not say what it begins
    /// with, nothing is done, and nothing is the answer. What is older than the account's window is forgotten.
    pub async fn lease_spending(&self, account: &Account, lease: Lease) -> Result<Option<u64>, StoreError> {
        let Lease { want, owed, most, before } = lease;
        let Account { project, spender, what, start, end } = account;
        let (project, spender, what) = (project.as_str(), spender.as_str(), what.as_str());
        let mut tx = self.write().await?;
        let add = "UPDATE spending SET spent = spent + $5 \
                   WHERE project_id = $1 AND spender = $2 AND what = $3 AND start_at = $4 RETURNING spent";
        let known = fetch!(fetch_optional, tx, (i64,), add, project, spender, what, *start, big(owed))?;
        let (spent,) = match (known, before) {
            (Some(spent), _) => spent,
            (None, None) => return Ok(None),
            (None, Some(before)) => {
                let make = "INSERT INTO spending (project_id, spender, what, start_at, end_at, spent) \
                            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id, spender, what, start_at) \
                            DO UPDATE SET spent = spending.spent + $7 RETURNING spent";
                let all = big(before.saturating_add(owed));
                fetch!(fetch_one, tx, (i64,), make, project, spender, what, *start, *end, all, big(owed))?
            }
        };
        let granted = want.min(most.saturating_sub(count(spent)?));
        if granted > 0 {
            let grant = "UPDATE spending SET spent = spent + $5 \
                         WHERE project_id = $1 AND spender = $2 AND what = $3 AND start_at = $4";
            execute!(tx, grant, project, spender, what, *start, big(granted))?;
        }
        let forget = "DELETE FROM spending WHERE project_id = $1 AND spender = $2 AND what = $3 AND end_at <= $4";
        execute!(tx, forget, project, spender, what, *start)?;
        tx.commit().await?;
        Ok(Some(granted))
    }

    /// Adds calls to the counters of their minutes.
    pub async fn add_calls(&self, calls: &[MinuteCalls]) -> Result<(), StoreError> {
        // Replicas that add at the same time lock rows in the same order.
        let mut rows: Vec<&MinuteCalls> = calls.iter().collect();
        rows.sort_by(|a, b| {
            (&a.project, &a.deployment, &a.environment, a.minute).cmp(&(
                &b.project,
                &b.deployment,
                &b.environment,
                b.minute,
            ))
        });
        let mut tx = self.write().await?;
        insert_rows!(
            tx,
            ADD_CALLS,
            &rows,
            |row| row.project.as_str(),
            &*row.deployment,
            &*row.environment,
            row.minute,
            big(row.calls),
            big(row.soft_failed)
        )
        .await?;
        tx.commit().await
    }

    /// Calls of a deployment, and those that failed softly, from a minute (inclusive) to another (exclusive).
    pub async fn count_calls(
        &self,
        project: &ProjectId,
        deployment: &str,
        environment: &str,
        minutes: std::ops::Range<i64>,
    ) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT), CAST(COALESCE(SUM(soft_failed), 0) AS BIGINT) \
                   FROM call_counts \
                   WHERE project_id = $1 AND deployment = $2 AND environment = $3 AND minute >= $4 AND minute < $5";
        let mut conn = self.read().await?;
        let (from, to) = (minutes.start, minutes.end);
        let row = fetch!(fetch_one, conn, (i64, i64), sql, project.as_str(), deployment, environment, from, to)?;
        Ok((count(row.0)?, count(row.1)?))
    }

    /// Forgets the counters of minutes before this one.
    pub async fn forget_calls(&self, minute: i64) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let forgotten = execute!(tx, "DELETE FROM call_counts WHERE minute < $1", minute)?;
        tx.commit().await?;
        Ok(forgotten)
    }
}
