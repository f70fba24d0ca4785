//! Connections of either dialect, and the macros that run one query text on both.
//!
//! Texts use `$1` placeholders and the words that both dialects know (`ON CONFLICT`, `RETURNING`, row values). A sum of
//! integers is cast to BIGINT, because PostgreSQL makes it NUMERIC. Whole rows are tuples or structs made by `row!`.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use llmops_domain::hash::ContentHash;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::StoreError;

pub(crate) const MICROS_PER_HOUR: i64 = 3_600_000_000;
pub(crate) const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A change that touches no row.
const NO_CHANGE: &str = "UPDATE projects SET name = name WHERE project_id = ''";
/// How long PostgreSQL may take for it.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The pools of a store. SQLite has one connection that writes; in memory it is the same one that reads, so no function
/// may hold two.
#[derive(Clone)]
pub(crate) enum Pools {
    Sqlite { read: SqlitePool, write: Writer },
    Postgres(PgPool),
}

/// The one connection of SQLite that writes.
#[derive(Clone)]
pub(crate) struct Writer {
    pool: SqlitePool,
    /// That another process keeps the file to itself, and since when that is known.
    locked: Arc<Mutex<Option<(Instant, StoreError)>>>,
}

/// A connection to read with.
pub(crate) enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A transaction to write with; rolled back unless committed.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// What the query macros run on.
pub(crate) enum Raw<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Pools {
    /// A connection to read with.
    pub(crate) async fn read(&self) -> Result<Conn, StoreError> {
        match self {
            Self::Sqlite { read, .. } => read.acquire().await.map(Conn::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Conn::Postgres),
        }
        .map_err(noted)
    }

    /// A transaction to write with. On SQLite it holds the write lock from its beginning: a transaction that reads first
    /// and wants the lock later is refused when another process wrote in between.
    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { write, .. } => write.begin().await.map(Tx::Sqlite),
            Self::Postgres(pool) => begin(pool.clone()).await.map(Tx::Postgres),
        }
        .inspect_err(crate::stats::note)
    }

    /// Tries a change that touches no row. While a transaction of this process is under way on SQLite, what is known of the ones
    /// before it is the answer.
    pub(crate) async fn try_write(&self) -> Result<(), StoreError> {
        match self {
            // Without any connection there is no transaction: one is to be opened first.
            Self::Sqlite { write, .. } if write.pool.num_idle() == 0 && write.pool.size() > 0 => {
                write.locked().clone().map_or(Ok(()), |(_, error)| Err(error))
            }
            Self::Sqlite { write, .. } => {
                let mut tx = Tx::Sqlite(write.begin().await.inspect_err(crate::stats::note)?);
                // SQLite begins a transaction of a file that is read-only, too.
                execute!(tx, NO_CHANGE)?;
                tx.rollback().await
            }
            Self::Postgres(pool) => {
                let mut conn = Conn::Postgres(pool.acquire().await.map_err(noted)?);
                let tried = tokio::time::timeout(STATEMENT_TIMEOUT, async { execute!(conn, NO_CHANGE) }).await;
                if tried.is_err()
                    && let Conn::Postgres(conn) = conn
                {
                    // The pool would wait for the answer before it gives the connection to others.
                    drop(conn.detach());
                }
                tried.unwrap_or_else(|_| Err(noted(sqlx::Error::PoolTimedOut))).map(drop)
            }
        }
    }

    /// The connection that writes, without a transaction.
    pub(crate) async fn write_conn(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Self::Sqlite { write, .. } => Conn::Sqlite(write.pool.acquire().await?),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.pool.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Writer {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool, locked: Arc::default() }
    }

    /// Begins a transaction that has the lock of writers. Who waits for the connection while somebody else waits for the lock
    /// in vain has waited for it, too: else each would find that out after the one before.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let asked = Instant::now();
        let conn = self.pool.acquire().await?;
        if let Some((at, error)) = &*self.locked()
            && *at >= asked
        {
            return Err(error.clone());
        }
        let statement = Some("BEGIN IMMEDIATE".into_sql_str());
        let begun = Transaction::begin(conn, statement).await.map_err(StoreError::from);
        let locked = begun.as_ref().err().filter(|error| error.is_locked());
        *self.locked() = locked.map(|error| (Instant::now(), error.clone()));
        begun
    }

    fn locked(&self) -> MutexGuard<'_, Option<(Instant, StoreError)>> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins a transaction, on a task of its own: when the caller leaves after the statement went out and before it was
/// answered, sqlx gives the connection back to the pool without knowing that a transaction is open on it.
async fn begin(pool: PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    // The task does not panic; it is gone with its runtime.
    Ok(begun.map_err(|_| sqlx::Error::WorkerCrashed)??)
}

/// A connection that is not to be had.
fn noted(error: sqlx::Error) -> StoreError {
    let error = StoreError::from(error);
    crate::stats::note(&error);
    error
}

impl Raw<'_> {
    pub(crate) fn raw(&mut self) -> Raw<'_> {
        match self {
            Self::Sqlite(conn) => Raw::Sqlite(conn),
            Self::Postgres(conn) => Raw::Postgres(conn),
        }
    }
}

impl Conn {
    pub(crate) fn raw(&mut self) -> Raw<'_> {
        match self {
            Self::Sqlite(conn) => Raw::Sqlite(conn),
            Self::Postgres(conn) => Raw::Postgres(conn),
        }
    }

    /// The text for the dialect of this connection, for the few statements that differ.
    pub(crate) fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}

impl Tx {
    pub(crate) fn raw(&mut self) -> Raw<'_> {
        match self {
            Self::Sqlite(tx) => Raw::Sqlite(tx),
            Self::Postgres(tx) => Raw::Postgres(tx),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// The text for the dialect of this transaction, for the few statements that differ.
    pub(crate) fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}

/// `execute!(conn, "…", a, b)`: runs a statement, answers with the number of rows it touched.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let timed = $crate::stats::Timed::start();
        let done = match $conn.raw() {
            $crate::db::Raw::Sqlite(c) => {
                sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())
            }
            $crate::db::Raw::Postgres(c) => {
                sqlx::query($sql)$(.bind($bind))*.execute(c).await.map(|done| done.rows_affected())
            }
        }
        .map_err($crate::StoreError::from);
        timed.end(&done);
        done
    }};
}

/// `fetch!(fetch_all, conn, Row, "…", a, b)`: runs a query with one of sqlx's `fetch_all`, `fetch_one`, `fetch_optional`.
macro_rules! fetch {
    ($how:ident, $conn:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {{
        let timed = $crate::stats::Timed::start();
        let done = match $conn.raw() {
            $crate::db::Raw::Sqlite(c) => sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.$how(c).await,
            $crate::db::Raw::Postgres(c) => sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.$how(c).await,
        }
        .map_err($crate::StoreError::from);
        timed.end(&done);
        done
    }};
}

/// `row! { struct X { a: i64, … } }`: a struct that `fetch!` fills, each field from the column of its name. What sqlx derives
/// is the same; for it, both drivers and SQLite itself are compiled a second time, for the compiler.
macro_rules! row {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        $vis struct $name {
            $($field: $type,)*
        }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use {execute, fetch, row};

/// Runs `attempt` again when a concurrent writer took the row that it was about to insert.
pub(crate) async fn retry_taken<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 0..4 {
        match attempt().await {
            Err(error) if error.is_unique_violation() => {}
            done => return done,
        }
    }
    attempt().await
}

/// Microseconds since 1970.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A stored time.
pub(crate) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| StoreError::Corrupt(format!("{micros} is no time")))
}

/// A stored count.
pub(crate) fn count<T: TryFrom<i64>>(value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Corrupt(format!("{value} is no count")))
}

/// A count to store. Counts beyond 2^63 do not occur; they would be stored as that.
pub(crate) fn big(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes a document, and makes sure that it reads back the same: a NaN would be written as null.
pub(crate) fn encode<T: Serialize + DeserializeOwned + PartialEq>(what: &str, value: &T) -> Result<String, StoreError> {
    let text =
        serde_json::to_string(value).map_err(|e| StoreError::Invalid(format!("{what} has no JSON form: {e}")))?;
    if serde_json::from_str::<T>(&text).is_ok_and(|read| read == *value) {
        return Ok(text);
    }
    Err(StoreError::Invalid(format!("{what} does not survive JSON: is a number in it NaN or infinite?")))
}

/// Reads a document.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt(format!("{what}: {e}")))
}

/// Refuses NUL in names and ids: PostgreSQL has no such text, and SQLite's tools cut it short.
pub(crate) fn check_name(what: &str, text: &str) -> Result<(), StoreError> {
    if text.contains('\0') {
        return Err(StoreError::Invalid(format!("{what} {text:?} contains a NUL character: remove it")));
    }
    Ok(())
}

/// Text for people, such as an error message, with NUL made visible.
pub(crate) fn prose(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// NUL as JSON writes it.
const ESCAPED_NUL: &[u8] = b"\\u0000";

/// A document with the NULs in its strings made visible. Both databases would keep them, escaped as they are; tools that read
/// them would not. `\\u0000` is none: a backslash and five letters, as somebody who asks about JSON writes them.
pub(crate) fn without_nul(document: &str) -> Cow<'_, str> {
    let (mut out, mut rest) = (String::new(), 0);
    for at in memchr::memmem::find_iter(document.as_bytes(), ESCAPED_NUL) {
        let escaping = document[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if escaping % 2 == 0 {
            out.push_str(&document[rest..at]);
            out.push('\u{FFFD}');
            rest = at + ESCAPED_NUL.len();
        }
    }
    if rest == 0 {
        return Cow::Borrowed(document);
    }
    out.push_str(&document[rest..]);
    Cow::Owned(out)
}

/// The 32 bytes of a hash, for tables with millions of them.
pub(crate) fn hash_bytes(hash: &ContentHash) -> Result<Vec<u8>, StoreError> {
    let bytes = hex::decode(hash.as_str()).ok().filter(|bytes| bytes.len() == 32);
    bytes.ok_or_else(|| StoreError::Invalid(format!("`{hash}` is no content hash: expected 64 hex digits")))
}

/// A stored hash.
pub(crate) fn hash_of_text(text: &str) -> Result<ContentHash, StoreError> {
    ContentHash::parse(text).ok_or_else(|| StoreError::Corrupt(format!("`{text}` is no content hash")))
}

/// Refuses what cannot be the beginning of a hash, and what is too short to type by intention.
pub(crate) fn check_hash_prefix(prefix: &str) -> Result<(), StoreError> {
    let is_hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if is_hex && (4..=64).contains(&prefix.len()) {
        return Ok(());
    }
    Err(StoreError::Invalid(format!("`{prefix}` is no beginning of a hash: write 4 to 64 hex digits")))
}

/// The first text behind every text that begins with `prefix`, in the order of the bytes.
pub(crate) fn prefix_end(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

/// When a time that begins now is over, in microseconds.
pub(crate) fn micros_after(now: Timestamp, time: Duration) -> i64 {
    micros(now).saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// Of at most two rows whose ids begin so, the one with exactly this id, else the only one.
///
/// # Errors
/// [`StoreError::Ambiguous`] when two begin so.
pub(crate) fn fitting<T>(
    mut rows: Vec<T>,
    is_exact: impl Fn(&T) -> bool,
    what: &'static str,
    prefix: &str,
) -> Result<Option<T>, StoreError> {
    if let Some(exact) = rows.iter().position(is_exact) {
        return Ok(Some(rows.swap_remove(exact)));
    }
    match (rows.pop(), rows.pop()) {
        (Some(_), Some(_)) => Err(StoreError::ambiguous(what, prefix)),
        (row, _) => Ok(row),
    }
}

/// At most two rows were asked for by a prefix; exactly one is the answer.
pub(crate) fn only<T>(rows: Vec<T>, what: &'static str, prefix: &str) -> Result<T, StoreError> {
    fitting(rows, |_| false, what, prefix)?.ok_or_else(|| StoreError::not_found(what, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_made_visible_and_nothing_else_is_touched() {
        for text in ["", "plain", "\0", "a\0\0b", r"\u0000", "\\\0", "\\\\\0\\u0000\0", "\u{FFFD}\0é"] {
            let document = serde_json::to_string(text).unwrap();
            let read: String = serde_json::from_str(&without_nul(&document)).unwrap();
            assert_eq!(read, prose(text), "{document}");
        }
    }

    #[tokio::test]
    async fn a_disk_that_was_full_is_written_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = crate::Store::open(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap();
        let project = llmops_domain::id::ProjectId::default_project();
        let mut conn = store.pools().write_conn().await.unwrap();
        execute!(conn, "PRAGMA max_page_count = 1").unwrap();
        drop(conn);
        let full = store.put_project(&project, &"n".repeat(1 << 20)).await.unwrap_err();
        assert_eq!(full.file_trouble(), Some("its disk is full"));
        assert!(!full.is_of_row(), "it is no fault of the row");
        // The next connection knows no such limit: there is room again.
        store.put_project(&project, &"n".repeat(1 << 20)).await.unwrap();
        store.check_write().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_for_a_lock_that_is_not_given_waits_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let (store, other) = (crate::Store::open(&url).await.unwrap(), crate::Store::open(&url).await.unwrap());
        let held = other.write().await.unwrap();
        let begun = Instant::now();
        let writes = (0..6).map(|_| store.write());
        for done in futures::future::join_all(writes).await {
            assert!(done.err().is_some_and(|error| error.is_locked()));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(12), "all waited together: {:?}", begun.elapsed());
        assert!(store.check_write().await.is_err_and(|error| error.is_locked()));
        drop(held);
        store.write().await.unwrap().commit().await.unwrap();
        store.check_write().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_check_that_waited_for_the_lock_waited_for_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let (store, other) = (crate::Store::open(&url).await.unwrap(), crate::Store::open(&url).await.unwrap());
        let held = other.write().await.unwrap();
        assert!(store.check_write().await.is_err_and(|error| error.is_locked()));
        let Pools::Sqlite { write, .. } = store.pools() else { unreachable!("the store is SQLite's") };
        assert!(write.locked().is_some(), "writers that wait meanwhile hear of it");
        let asked = Instant::now();
        for _ in 0..4 {
            assert!(store.check_write().await.is_err_and(|error| error.is_locked()));
        }
        assert!(asked.elapsed() < Duration::from_secs(2), "what is known is told: {:?}", asked.elapsed());
        drop(held);
        while store.check_write().await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_opened_takes_no_changes() {
        let folder = tempfile::TempDir::new().unwrap();
        let (home, away) = (folder.path().join("home"), folder.path().join("away"));
        let store = crate::Store::open(&format!("sqlite:{}", home.join("test.db").display())).await.unwrap();
        let Pools::Sqlite { write, .. } = store.pools() else { unreachable!("the store is SQLite's") };
        // As after a full disk: the connection is given up.
        write.pool.acquire().await.unwrap().close().await.unwrap();
        std::fs::rename(&home, &away).unwrap();
        let error = store.check_write().await.unwrap_err();
        assert_eq!(error.file_trouble(), Some("its file cannot be opened"));
        std::fs::rename(&away, &home).unwrap();
        store.check_write().await.unwrap();
    }
}
