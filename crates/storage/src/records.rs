//! Request records: appended in batches, read in pages, newest first.

use std::collections::HashSet;

use jiff::Timestamp;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallOutcome, RecordFilter, RequestRecord};
use llmops_domain::traffic::{TrafficSums, latency_class};
use sqlx::AssertSqlSafe;

use crate::bulk::{Insert, insert_rows};
use crate::db::{Tx, big, decode, execute, fetch, micros};
use crate::{Store, StoreError, traffic};

const INSERT: Insert = Insert {
    head: "INSERT INTO request_records (project_id, id, at, deployment, environment, manifest, model, outcome, user_id, \
           session, soft_failures, trace_id, document) VALUES",
    columns: 13,
    tail: "ON CONFLICT DO NOTHING",
};

/// Rows of one statement where a batch is small: SQLite's thread is done with them in a tenth of a millisecond. Somebody may wait
/// for its processor, which the kernel does not take away before.
const FEW: usize = 16;
/// A batch that is not small: calls come so quickly that they wait for a processor anyway.
const MANY: usize = 512;

/// A record as it is stored: its columns, its document, and what it adds to the sums of its hour. Made once, where the record
/// is at hand, so that the one who stores only hands it on.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRow {
    project: ProjectId,
    id: String,
    /// Microseconds since 1970.
    at: i64,
    deployment: Option<String>,
    environment: Option<String>,
    manifest: Option<ContentHash>,
    model: String,
    outcome: &'static str,
    user: Option<String>,
    session: Option<String>,
    soft_failures: i64,
    trace_id: Option<String>,
    document: String,
    sums: TrafficSums,
    latency_class: i64,
}

impl RecordRow {
    /// The row of a record.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for numbers that are none.
    pub fn new(project: ProjectId, record: RequestRecord) -> Result<Self, StoreError> {
        // PostgreSQL has no NUL in texts; a body may have one, escaped, and loses it.
        let mut document = encode_record(&record)?;
        if document.contains("\\u0000") {
            document = document.replace("\\u0000", "\u{FFFD}");
        }
        Ok(Self {
            project,
            at: micros(record.at),
            outcome: record.outcome.as_str(),
            soft_failures: big(record.soft_failures.len() as u64),
            sums: TrafficSums::of(&record),
            latency_class: latency_class(record.total_ms),
            id: record.id,
            deployment: record.deployment,
            environment: record.environment,
            manifest: record.manifest,
            model: record.model,
            user: record.user,
            session: record.session,
            trace_id: record.trace_id,
            document,
        })
    }

    /// Whose it is.
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The record's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The record, as JSON.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// What the sums of its hour are kept by, what it adds to them, and the class of its latency.
    pub(crate) fn traffic(&self) -> (traffic::Slot<'_>, &TrafficSums, i64) {
        let (deployment, environment) = (self.deployment.as_deref(), self.environment.as_deref());
        let hour = self.at.div_euclid(traffic::MICROS_PER_HOUR);
        let slot = (self.project.as_str(), hour, deployment.unwrap_or_default(), environment.unwrap_or_default());
        (slot, &self.sums, self.latency_class)
    }
}

impl Store {
    /// Appends records in one transaction. Those that are there already stay as they are, so that a batch may be repeated.
    pub async fn append_records(&self, records: &[(ProjectId, RequestRecord)]) -> Result<(), StoreError> {
        let rows = records.iter().cloned().map(|(project, record)| RecordRow::new(project, record));
        self.append_record_rows(&rows.collect::<Result<Vec<_>, _>>()?).await
    }

    /// The same for records that have been made ready.
    pub async fn append_record_rows(&self, rows: &[RecordRow]) -> Result<(), StoreError> {
        let mut sorted: Vec<&RecordRow> = rows.iter().collect();
        sorted.sort_by(|a, b| (&a.project, &a.id).cmp(&(&b.project, &b.id)));
        let mut tx = self.write().await?;
        let inserted = insert_records(&mut tx, &sorted).await?;
        if inserted == rows.len() as u64 {
            traffic::add(&mut tx, &sorted).await?;
            return tx.commit().await;
        }
        // Some are there already. That is rare, and they must not count twice.
        tx.rollback().await?;
        let mut tx = self.write().await?;
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for row in rows {
            if seen.insert((&row.project, &row.id)) && !exists(&mut tx, row).await? {
                fresh.push(row);
            }
        }
        insert_records(&mut tx, &sorted).await?;
        traffic::add(&mut tx, &fresh).await?;
        tx.commit().await
    }

    /// Records of a project, newest first.
    pub async fn list_records(
        &self,
        project: &ProjectId,
        filter: &RecordFilter,
        limit: u32,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        // A condition that may be absent hides the index that answers it from SQLite's planner.
        let is_failure = filter.outcome.is_some_and(|outcome| outcome != CallOutcome::Ok);
        let conditions = [
            (filter.deployment.is_some(), " AND deployment = $2"),
            (filter.environment.is_some(), " AND environment = $3"),
            (filter.manifest.is_some(), " AND manifest = $4"),
            (filter.model.is_some(), " AND model = $5"),
            (filter.outcome.is_some(), " AND outcome = $6"),
            (is_failure, " AND outcome <> 'ok'"),
            (filter.user.is_some(), " AND user_id = $7"),
            (filter.session.is_some(), " AND session = $8"),
            (filter.soft_failed == Some(true), " AND soft_failures > 0"),
            (filter.start_time.is_some(), " AND at >= $9"),
            (filter.end_time.is_some(), " AND at < $10"),
            (filter.cursor.is_some(), " AND id < $11"),
            (filter.after.is_some(), " AND id > $12"),
        ];
        let conditions: String = conditions.iter().filter(|(is_set, _)| *is_set).map(|(_, text)| *text).collect();
        let sql = format!(
            "SELECT document FROM request_records WHERE project_id = $1{conditions} ORDER BY id DESC LIMIT $13"
        );
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            AssertSqlSafe(sql.clone()),
            project.as_str(),
            filter.deployment.as_deref(),
            filter.environment.as_deref(),
            filter.manifest.as_deref(),
            filter.model.as_deref(),
            filter.outcome.map(CallOutcome::as_str),
            filter.user.as_deref(),
            filter.session.as_deref(),
            filter.start_time.map(micros),
            filter.end_time.map(micros),
            filter.cursor.as_deref(),
            filter.after.as_deref(),
            i64::from(limit)
        )?;
        rows.iter().map(|(document,)| decode("a request record", document)).collect()
    }

    /// One record by its id.
    pub async fn get_record(&self, project: &ProjectId, id: &str) -> Result<RequestRecord, StoreError> {
        let sql = "SELECT document FROM request_records WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id)?;
        let (document,) = row.ok_or_else(|| StoreError::not_found("record", id))?;
        decode("a request record", &document)
    }

    /// Deletes every record of a user and answers with their number.
    pub async fn erase_records_of_user(&self, project: &ProjectId, user: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM request_records WHERE project_id = $1 AND user_id = $2";
        let mut tx = self.write().await?;
        let erased = execute!(tx, sql, project.as_str(), user)?;
        tx.commit().await?;
        Ok(erased)
    }

    /// Deletes records older than `before`, at most so many at a time, and answers with their number.
    pub async fn expire_records(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM request_records WHERE (project_id, id) IN \
                   (SELECT project_id, id FROM request_records WHERE at < $1 ORDER BY at LIMIT $2)";
        let mut tx = self.write().await?;
        let expired = execute!(tx, sql, micros(before), i64::from(limit))?;
        tx.commit().await?;
        Ok(expired)
    }
}

async fn insert_records(tx: &mut Tx, rows: &[&RecordRow]) -> Result<u64, StoreError> {
    let at_once = if matches!(tx, Tx::Sqlite(_)) && rows.len() <= MANY { FEW } else { rows.len().max(1) };
    let mut inserted = 0;
    for rows in rows.chunks(at_once) {
        inserted += insert_together(tx, rows).await?;
    }
    Ok(inserted)
}

async fn insert_together(tx: &mut Tx, rows: &[&RecordRow]) -> Result<u64, StoreError> {
    insert_rows!(
        tx,
        INSERT,
        rows,
        |row| row.project.as_str(),
        &*row.id,
        row.at,
        row.deployment.as_deref(),
        row.environment.as_deref(),
        row.manifest.as_ref().map(ContentHash::as_str),
        &*row.model,
        row.outcome,
        row.user.as_deref(),
        row.session.as_deref(),
        row.soft_failures,
        row.trace_id.as_deref(),
        &*row.document
    )
    .await
}

async fn exists(tx: &mut Tx, row: &RecordRow) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM request_records WHERE project_id = $1 AND id = $2";
    Ok(fetch!(fetch_optional, tx, (i32,), sql, row.project.as_str(), &*row.id)?.is_some())
}

/// The document of a record. It is not read again, as other documents are before they are stored: there are thousands a second.
fn encode_record(record: &RequestRecord) -> Result<String, StoreError> {
    let text = record.is_finite().then(|| serde_json::to_string(record).ok()).flatten();
    text.ok_or_else(|| StoreError::Invalid(format!("the request record {} has a number that is none", record.id)))
}
