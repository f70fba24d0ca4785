//! The record of changes of configuration, written in the transaction that makes the change.

use jiff::Timestamp;
use llmops_domain::access::{Actor, AuditRecord};
use llmops_domain::id::{KeyId, ProjectId};
use serde::Serialize;
use serde_json::Value;

use crate::db::{Tx, count, decode, execute, fetch, micros, prose, row, time};
use crate::{Store, StoreError};

/// A change that is about to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    action: &'static str,
    target: String,
    before: Value,
    after: Value,
}

impl Change {
    /// What was done (`prompt.activated`: the noun, and what happened to it) and to what.
    pub fn new(action: &'static str, target: impl Into<String>) -> Self {
        Self { action, target: target.into(), before: Value::Null, after: Value::Null }
    }

    /// How it was before. Nothing here may hold a secret.
    #[must_use]
    pub fn before(mut self, value: impl Serialize) -> Self {
        self.before = as_json(value);
        self
    }

    /// How it is from now on. Nothing here may hold a secret.
    #[must_use]
    pub fn after(mut self, value: impl Serialize) -> Self {
        self.after = as_json(value);
        self
    }
}

fn as_json(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|e| Value::String(format!("no JSON form: {e}")))
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By whom: the name of a key.
    pub actor: Option<String>,
    /// What was done: `prompt.activated`, or everything about a noun: `prompt`.
    pub action: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
    /// At or after.
    pub start_time: Option<Timestamp>,
    /// Before.
    pub end_time: Option<Timestamp>,
    /// Records older than this one.
    pub before: Option<u64>,
}

row! {
    struct AuditRow {
        key: i64,
        at: i64,
        actor: String,
        key_id: Option<String>,
        action: String,
        target: String,
        before: String,
        after: String,
        request_id: Option<String>,
    }
}

impl AuditRow {
    fn into_record(self) -> Result<AuditRecord, StoreError> {
        Ok(AuditRecord {
            id: count(self.key)?,
            at: time(self.at)?,
            actor: self.actor,
            key: self.key_id.map(KeyId),
            action: self.action,
            target: self.target,
            before: decode("an audit record", &self.before)?,
            after: decode("an audit record", &self.after)?,
            request_id: self.request_id,
        })
    }
}

/// Records a change in the transaction that makes it.
pub(crate) async fn record(tx: &mut Tx, actor: &Actor, project: &ProjectId, change: &Change) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (project_id, at, actor, key_id, action, target, before, after, request_id) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    execute!(
        tx,
        sql,
        project.as_str(),
        micros(llmops_domain::clock::now()),
        prose(&actor.name),
        actor.key.as_ref().map(KeyId::as_str),
        change.action,
        prose(&change.target),
        change.before.to_string(),
        change.after.to_string(),
        actor.request_id.as_deref()
    )
    .map_err(|e| e.of_project(project))?;
    Ok(())
}

impl Store {
    /// Records a change that cannot be recorded in the transaction that makes it.
    pub async fn audit(&self, project: &ProjectId, change: &Change) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        record(&mut tx, self.actor(), project, change).await?;
        tx.commit().await
    }

    /// Records of a project, the newest first.
    pub async fn list_audit(
        &self,
        project: &ProjectId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = "SELECT key, at, actor, key_id, action, target, before, after, request_id FROM audit \
                   WHERE project_id = $1 AND ($2 IS NULL OR actor = $2) \
                   AND ($3 IS NULL OR action = $3 OR substr(action, 1, length($3) + 1) = $3 || '.') \
                   AND ($4 IS NULL OR target = $4) AND at >= $5 AND at < $6 AND key < $7 ORDER BY key DESC LIMIT $8";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            AuditRow,
            sql,
            project.as_str(),
            filter.actor.as_deref(),
            filter.action.as_deref(),
            filter.target.as_deref(),
            filter.start_time.map_or(i64::MIN, micros),
            filter.end_time.map_or(i64::MAX, micros),
            filter.before.map_or(i64::MAX, crate::db::big),
            i64::from(limit)
        )?;
        rows.into_iter().map(AuditRow::into_record).collect()
    }
}
