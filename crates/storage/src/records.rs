//! Request records: appended in batches, read in pages, newest first.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallOutcome, RecordFilter, RequestRecord};
use llmops_domain::traffic::{TrafficSums, latency_class};
use sqlx::AssertSqlSafe;

use crate::bulk::{Insert, insert_rows};
use crate::db::{MICROS_PER_HOUR, Tx, big, decode, execute, fetch, micros, prose, without_nul};
use crate::erasures::forget_erased;
use crate::{Store, StoreError, traffic};

const INSERT: Insert = Insert {
    head: "INSERT INTO request_records (project_id, id, at, deployment, environment, manifest, model, outcome, user_id, \
           session, soft_failures, trace_id, document) VALUES",
    columns: 13,
    tail: "ON CONFLICT DO NOTHING",
};

/// How a batch is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By short statements: SQLite's thread is done with each in less than a tenth of a millisecond. Somebody may wait for its
    /// processor, which the kernel does not take away before.
    Gentle,
    /// By long ones, which take less in all.
    Quick,
}

/// Rows of a short statement.
const FEW: usize = 8;

/// A record as it is stored: its columns, its document, and what it adds to the sums of its hour. Made once, where the record
/// is at hand. Its texts are shared, so that the one who stores hands them on without copies.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordRow {
    common: Arc<Common>,
    id: Arc<str>,
    /// Microseconds since 1970.
    at: i64,
    user: Option<Arc<str>>,
    session: Option<Arc<str>>,
    soft_failures: i64,
    trace_id: Option<Arc<str>>,
    key: Option<Arc<str>>,
    document: Arc<str>,
    sums: TrafficSums,
    latency_class: i64,
}

/// What a deployment's calls have in common.
#[derive(Debug, PartialEq)]
struct Common {
    project: Arc<str>,
    deployment: Option<Arc<str>>,
    environment: Option<Arc<str>>,
    manifest: Option<Arc<str>>,
    model: Arc<str>,
    outcome: Arc<str>,
}

impl Common {
    fn of(project: &ProjectId, record: &RequestRecord) -> Self {
        Self {
            project: project.as_str().into(),
            deployment: shared(record.deployment.as_deref()),
            environment: shared(record.environment.as_deref()),
            manifest: record.manifest.as_ref().map(|hash| hash.as_str().into()),
            model: column(&record.model),
            outcome: record.outcome.as_str().into(),
        }
    }

    fn is_of(&self, project: &ProjectId, record: &RequestRecord) -> bool {
        &*self.project == project.as_str()
            && self.deployment.as_deref() == record.deployment.as_deref()
            && self.environment.as_deref() == record.environment.as_deref()
            && self.manifest.as_deref() == record.manifest.as_ref().map(ContentHash::as_str)
            && *self.model == *record.model
            && &*self.outcome == record.outcome.as_str()
    }
}

fn shared(text: Option<&str>) -> Option<Arc<str>> {
    text.map(column)
}

/// Callers name users, sessions and models, and PostgreSQL has no NUL in texts: one would keep a whole batch from being stored.
fn column(text: &str) -> Arc<str> {
    if text.contains('\0') { prose(text).into() } else { text.into() }
}

/// What a thread that makes rows keeps from one to the next.
#[derive(Default)]
struct Scratch {
    /// Where documents are written.
    document: Vec<u8>,
    /// What the last rows had in common: most of the next ones have it, too.
    common: Vec<Arc<Common>>,
    /// Which of these is replaced next.
    oldest: usize,
}

/// How many of these a thread remembers.
const MOST_COMMON: usize = 32;
/// A document that was larger leaves no room behind for the next one.
const LARGE_DOCUMENT: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    fn common(&mut self, project: &ProjectId, record: &RequestRecord) -> Arc<Common> {
        if let Some(known) = self.common.iter().find(|known| known.is_of(project, record)) {
            return known.clone();
        }
        let new = Arc::new(Common::of(project, record));
        if self.common.len() < MOST_COMMON {
            self.common.push(new.clone());
        } else {
            self.common[self.oldest] = new.clone();
            self.oldest = (self.oldest + 1) % MOST_COMMON;
        }
        new
    }

    /// The document of a record. It is not read again, as other documents are before they are stored: there are thousands a
    /// second.
    fn document(&mut self, record: &RequestRecord) -> Result<Arc<str>, StoreError> {
        self.document.clear();
        let written = if record.is_finite() { self.write(record).ok() } else { None };
        if self.document.capacity() > LARGE_DOCUMENT {
            self.document = Vec::new();
        }
        written
            .ok_or_else(|| StoreError::Invalid(format!("the request record {} has a number that is none", record.id)))
    }

    fn write(&mut self, record: &RequestRecord) -> io::Result<Arc<str>> {
        serde_json::to_writer(&mut self.document, record)?;
        let text = std::str::from_utf8(&self.document).map_err(io::Error::other)?;
        Ok(without_nul(text).into())
    }
}

impl RecordRow {
    /// The row of a record.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for numbers that are none.
    pub fn new(project: &ProjectId, record: &RequestRecord) -> Result<Self, StoreError> {
        SCRATCH.with_borrow_mut(|scratch| {
            Ok(Self {
                document: scratch.document(record)?,
                common: scratch.common(project, record),
                id: Arc::from(&*record.id),
                at: micros(record.at),
                user: shared(record.user.as_deref()),
                session: shared(record.session.as_deref()),
                soft_failures: big(record.soft_failures.len() as u64),
                trace_id: shared(record.trace_id.as_deref()),
                key: shared(record.key.as_deref()),
                sums: TrafficSums::of(record),
                latency_class: latency_class(record.total_ms),
            })
        })
    }

    /// Whose it is.
    pub fn project(&self) -> &str {
        &self.common.project
    }

    /// What no two of them have.
    fn key(&self) -> (&str, &str) {
        (self.project(), self.id())
    }

    /// The record's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it came, in microseconds since 1970.
    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    /// Whose call it was.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The record, as JSON.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// What the sums of its hour are kept by, what it adds to them, and the class of its latency.
    pub(crate) fn traffic(&self) -> (traffic::Slot<'_>, &TrafficSums, i64) {
        let Common { project, deployment, environment, .. } = &*self.common;
        let (deployment, environment) = (deployment.as_deref(), environment.as_deref());
        let hour = self.at.div_euclid(MICROS_PER_HOUR);
        let slot = (&**project, hour, deployment.unwrap_or_default(), environment.unwrap_or_default());
        (slot, &self.sums, self.latency_class)
    }

    /// The id of the caller's key.
    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Store {
    /// Appends records in one transaction. Those that are there already stay as they are, so that a batch may be repeated. Those
    /// of users who were erased after the call count in sums, and are not kept.
    pub async fn append_record_rows(&self, rows: &[RecordRow], pace: Pace) -> Result<(), StoreError> {
        let mut sorted: Vec<&RecordRow> = rows.iter().collect();
        sorted.sort_by(|a, b| a.key().cmp(&b.key()));
        let mut tx = self.write().await?;
        let inserted = insert_records(&mut tx, &sorted, pace).await?;
        if inserted == rows.len() as u64 {
            traffic::add(&mut tx, &sorted).await?;
            forget_erased(&mut tx, &sorted).await?;
            return tx.commit().await;
        }
        // Some are there already. That is rare, and they must not count twice.
        tx.rollback().await?;
        let mut tx = self.write().await?;
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for row in rows {
            if seen.insert(row.key()) && !exists(&mut tx, row).await? {
                fresh.push(row);
            }
        }
        insert_records(&mut tx, &sorted, pace).await?;
        traffic::add(&mut tx, &fresh).await?;
        forget_erased(&mut tx, &sorted).await?;
        tx.commit().await
    }

    /// Records of a project, newest first, without those that cannot be read.
    pub async fn list_records(
        &self,
        project: &ProjectId,
        filter: &RecordFilter,
        limit: u32,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        let mut filter = filter.clone();
        let mut records = Vec::new();
        let mut missing = limit;
        // A page that is not full is the last one: those that were left out are made up for.
        while missing > 0 {
            let rows = self.record_documents(project, &filter, missing).await?;
            records.extend(rows.iter().filter_map(|(id, document)| readable(id, document)));
            let is_last = rows.len() < missing as usize;
            let Some((oldest, _)) = rows.into_iter().next_back().filter(|_| !is_last) else { break };
            filter.cursor = Some(oldest);
            missing = limit.saturating_sub(u32::try_from(records.len()).unwrap_or(u32::MAX));
        }
        Ok(records)
    }

    /// Ids and documents of records, newest first.
    async fn record_documents(
        &self,
        project: &ProjectId,
        filter: &RecordFilter,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        // A condition that may be absent hides the index that answers it from SQLite's planner.
        let is_failure = filter.outcome.is_some_and(|outcome| outcome != CallOutcome::Ok);
        let conditions = [
            (filter.deployment.is_some(), " AND deployment = $2"),
            (filter.environment.is_some(), " AND environment = $3"),
            (filter.manifest.is_some(), " AND manifest = $4"),
            (filter.model.is_some(), " AND model = $5"),
            (filter.outcome.is_some(), " AND outcome = $6"),
            (is_failure, " AND outcome <> 'ok'"),
            (filter.user.is_some(), " AND user_id IN ($7, $13)"),
            (filter.session.is_some(), " AND session IN ($8, $14)"),
            (filter.soft_failed == Some(true), " AND soft_failures > 0"),
            (filter.start_time.is_some(), " AND at >= $9"),
            (filter.end_time.is_some(), " AND at < $10"),
            (filter.cursor.is_some(), " AND id < $11"),
            (filter.after.is_some(), " AND id > $12"),
        ];
        let conditions: String = conditions.iter().filter(|(is_set, _)| *is_set).map(|(_, text)| *text).collect();
        let sql = format!(
            "SELECT id, document FROM request_records WHERE project_id = $1{conditions} ORDER BY id DESC LIMIT $15"
        );
        let mut conn = self.read().await?;
        fetch!(
            fetch_all,
            conn,
            (String, String),
            AssertSqlSafe(sql.clone()),
            project.as_str(),
            filter.deployment.as_deref(),
            filter.environment.as_deref(),
            filter.manifest.as_deref(),
            filter.model.as_deref(),
            filter.outcome.map(CallOutcome::as_str),
            filter.user.as_deref().map(prose),
            filter.session.as_deref().map(prose),
            filter.start_time.map(micros),
            filter.end_time.map(micros),
            filter.cursor.as_deref(),
            filter.after.as_deref(),
            // A deployment that hashes its users has them under this.
            filter.user.as_deref().map(|user| ContentHash::of_bytes(user.as_bytes()).to_string()),
            // A session's id that names somebody is kept so.
            filter.session.as_deref().map(|session| ContentHash::of_bytes(session.as_bytes()).to_string()),
            i64::from(limit)
        )
    }

    /// One record by its id; nothing where there is none, or none that can be read.
    pub async fn find_record(&self, project: &ProjectId, id: &str) -> Result<Option<RequestRecord>, StoreError> {
        Ok(self.record_document(project, id).await?.and_then(|document| readable(id, &document)))
    }

    /// One record by its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none, [`StoreError::Corrupt`] where it cannot be read.
    pub async fn get_record(&self, project: &ProjectId, id: &str) -> Result<RequestRecord, StoreError> {
        let document = self.record_document(project, id).await?.ok_or_else(|| StoreError::not_found("record", id))?;
        decode("a request record", &document)
    }

    async fn record_document(&self, project: &ProjectId, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT document FROM request_records WHERE project_id = $1 AND id = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, (String,), sql, project.as_str(), id)?;
        Ok(row.map(|(document,)| document))
    }

    /// Deletes every record of a user and answers with their number.
    pub async fn erase_records_of_user(&self, project: &ProjectId, user: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM request_records WHERE project_id = $1 AND user_id = $2";
        let mut tx = self.write().await?;
        let erased = execute!(tx, sql, project.as_str(), prose(user))?;
        tx.commit().await?;
        Ok(erased)
    }
}

/// A record of many. One that cannot be read must not keep the others from their reader: it is left out, and the log says so.
pub(crate) fn readable(id: &str, document: &str) -> Option<RequestRecord> {
    match decode("a request record", document) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(record = id, %error, "a request record cannot be read and is left out");
            None
        }
    }
}

async fn insert_records(tx: &mut Tx, rows: &[&RecordRow], pace: Pace) -> Result<u64, StoreError> {
    let is_gentle = matches!(tx, Tx::Sqlite(_)) && pace == Pace::Gentle;
    let at_once = if is_gentle { FEW } else { rows.len().max(1) };
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
        |row| row.common.project.clone(),
        row.id.clone(),
        row.at,
        row.common.deployment.clone(),
        row.common.environment.clone(),
        row.common.manifest.clone(),
        row.common.model.clone(),
        row.common.outcome.clone(),
        row.user.clone(),
        row.session.clone(),
        row.soft_failures,
        row.trace_id.clone(),
        row.document.clone()
    )
    .await
}

async fn exists(tx: &mut Tx, row: &RecordRow) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM request_records WHERE project_id = $1 AND id = $2";
    Ok(fetch!(fetch_optional, tx, (i32,), sql, row.project(), row.id())?.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(deployment: &str, answer: &str) -> RecordRow {
        let record = serde_json::from_value(json!({"id": "req_1", "at": "2026-01-01T00:00:00Z", "door": "chat",
            "model": "sim/small", "stream": false, "deployment": deployment, "environment": "production",
            "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "response_body": answer}));
        RecordRow::new(&ProjectId::default_project(), &record.unwrap()).unwrap()
    }

    #[test]
    fn rows_of_a_deployment_share_what_they_have_in_common() {
        let (first, second, other) = (row("bot", "a"), row("bot", "b"), row("tob", "a"));
        assert!(Arc::ptr_eq(&first.common, &second.common));
        assert_eq!(other.common.deployment.as_deref(), Some("tob"));
        // However many there are, each row has its own deployment's.
        for number in 0..3 * MOST_COMMON {
            let name = format!("bot-{number}");
            assert_eq!(row(&name, "a").common.deployment.as_deref(), Some(&*name));
        }
        SCRATCH.with_borrow(|scratch| assert_eq!(scratch.common.len(), MOST_COMMON));
        assert_eq!(row("bot", "a"), first);
    }

    #[test]
    fn a_document_is_one_records_alone() {
        let large = "x".repeat(2 * LARGE_DOCUMENT);
        for answer in ["a", &large, "", "a\u{0}b", "é😀\\"] {
            let read: RequestRecord = serde_json::from_str(row("bot", answer).document()).unwrap();
            assert_eq!(read.response_body.as_deref(), Some(&*answer.replace('\0', "\u{FFFD}")));
        }
        SCRATCH.with_borrow(|scratch| assert!(scratch.document.capacity() <= LARGE_DOCUMENT));
    }
}
