//! The store: opening, options, projects.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use llmops_domain::access::Actor;
use llmops_domain::id::ProjectId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::watch;

use crate::StoreError;
use crate::db::{Conn, Pools, Tx, Writer, check_name, execute, micros};
use crate::error::error_class;
use crate::migrate::Plan;
use crate::write_check::WriteCheck;
use crate::writer::Queue;

/// How long a connection waits for the locks of another process: whoever asks meanwhile shall be told soon.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a caller waits for a connection of PostgreSQL: whoever asks while the server is down shall be told so soon.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);
/// The name of the thread that writes to SQLite; at most 15 bytes.
const WRITER_THREAD: &str = "llmops-writer";
/// How long a caller waits for SQLite's one writing connection. Longer than any transaction of ours.
const WRITER_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of a page.
const PAGE: u32 = 16 << 10;
/// KiB of pages that the writing connection keeps: an import shall not read its indexes again with every batch.
const WRITER_CACHE: u32 = 8 << 10;
/// KiB of pages that a reading connection keeps.
const READER_CACHE: u32 = 4 << 10;
/// SQLite connections that read beside the one that writes.
const READERS: u32 = 4;
/// Connections to PostgreSQL, per process.
const POSTGRES_CONNECTIONS: u32 = 12;

/// How much the response cache of a project may hold; the oldest answers go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Most answers.
    pub max_entries: u64,
    /// Most bytes of answers.
    pub max_bytes: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { max_entries: 500_000, max_bytes: 1 << 30 }
    }
}

/// Settings of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Limits of the response cache.
    pub cache: CacheLimits,
    /// How long results that were submitted wait in memory for a database that cannot be reached. Who submits more waits as
    /// soon as the writer's queue is full.
    pub write_patience: Duration,
    /// Whether a file of SQLite that may not be written is opened all the same, to be read: changes are refused then.
    pub reads_only: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache: CacheLimits::default(), write_patience: Duration::from_secs(30), reads_only: false }
    }
}

/// The database of an installation. Clones share their connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    actor: Arc<Actor>,
}

struct Inner {
    pools: Pools,
    queue: Queue,
    write_check: WriteCheck,
    /// Changes with every event that this process committed.
    events: watch::Sender<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.pools() {
            Pools::Sqlite { .. } => "Store(SQLite)",
            Pools::Postgres(_) => "Store(PostgreSQL)",
        })
    }
}

impl Store {
    /// Opens `sqlite:PATH` (created when missing, its directory too) or `postgres://…`, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the URL is of another kind, the file is no SQLite database or that of another program, or it was
    /// made by a newer version; [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, StoreOptions::default()).await
    }

    /// Like [`Store::open`], with settings.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn open_with(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let pools = if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open_postgres(url).await?
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            open_sqlite(path.strip_prefix("//").unwrap_or(path), options.reads_only).await?
        } else {
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Open(format!(
                "`{scheme}` is no kind of database: write sqlite:PATH or postgres://USER@HOST/DATABASE"
            )));
        };
        Self::start(pools, options).await
    }

    /// What [`Store::open`] would do to the tables of a database, which stays as it is.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn plan(url: &str) -> Result<Plan, StoreError> {
        let applied = crate::migrate::APPLIED;
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = Path::new(".").join(path.strip_prefix("//").unwrap_or(path));
            if !path.exists() {
                return Plan::after(0);
            }
            let options = SqliteConnectOptions::new().filename(&path).read_only(true).disable_statement_logging();
            let mut conn = options.connect().await?;
            let (id,): (i64,) = sqlx::query_as("PRAGMA application_id").fetch_one(&mut conn).await?;
            if id != crate::migrate::APPLICATION_ID {
                return Err(StoreError::Open(format!("{} is no store of llmops", path.display())));
            }
            let (version,): (i64,) = sqlx::query_as(applied).fetch_one(&mut conn).await?;
            conn.close().await?;
            return Plan::after(version);
        }
        let Pools::Postgres(pool) = open_postgres(url).await? else { return Plan::after(0) };
        let (exists,): (bool,) =
            sqlx::query_as("SELECT to_regclass('llmops_schema') IS NOT NULL").fetch_one(&pool).await?;
        let version = if exists { sqlx::query_as::<_, (i64,)>(applied).fetch_one(&pool).await?.0 } else { 0 };
        pool.close().await;
        Plan::after(version)
    }

    /// A store in memory that ends with its last clone.
    ///
    /// # Errors
    /// When memory runs out.
    pub async fn in_memory() -> Result<Self, StoreError> {
        // One connection, because every connection to ":memory:" has a database of its own.
        let options = sqlite_options(Path::new(":memory:"), WRITER_CACHE).in_memory(true);
        let pool = pool_of_sqlite(1).connect_with(options).await?;
        let pools = Pools::Sqlite { read: pool.clone(), write: Writer::new(pool) };
        Self::start(pools, StoreOptions::default()).await
    }

    async fn start(pools: Pools, options: StoreOptions) -> Result<Self, StoreError> {
        crate::migrate::migrate(&pools).await.map_err(|error| match error {
            StoreError::Unavailable(e) if StoreError::needs_writing(&e) => StoreError::Open(format!(
                "the store was made by an older version of llmops and has to be brought up to date first, for which its file and \
                 its folder must be writable: {e}"
            )),
            other => other,
        })?;
        let queue = Queue::start(pools.clone(), options);
        let inner = Inner { pools, queue, write_check: WriteCheck::default(), events: watch::Sender::new(()) };
        let store = Self { inner: Arc::new(inner), actor: Arc::new(Actor::local()) };
        match store.remove_stale_imports().await {
            // They wait for somebody who may write.
            Err(StoreError::Unavailable(e)) if StoreError::needs_writing(&e) => {}
            done => done?,
        }
        Ok(store)
    }

    /// The same store, whose changes are recorded as this actor's.
    #[must_use]
    pub fn acting_as(&self, actor: Arc<Actor>) -> Self {
        Self { inner: self.inner.clone(), actor }
    }

    /// Whose changes these are.
    pub fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// Waits until everything submitted is written, then closes the connections. Later calls fail as unavailable.
    pub async fn close(&self) {
        self.queue().flush().await;
        self.pools().close().await;
    }

    /// Empties SQLite's log of the newest writes, in which deleted rows can be read until it is written over. Readers of older
    /// rows keep it for a while longer.
    pub async fn clear_log(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            let mut conn = self.pools().write_conn().await?;
            execute!(conn, "PRAGMA wal_checkpoint(TRUNCATE)")?;
        }
        Ok(())
    }

    /// Makes a project, or renames it. Every other call needs its project to exist; `default` always does.
    pub async fn put_project(&self, project: &ProjectId, name: &str) -> Result<(), StoreError> {
        check_name("the project id", project.as_str())?;
        check_name("the project name", name)?;
        let mut tx = self.write().await?;
        let sql = "INSERT INTO projects (project_id, name, created_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id) DO UPDATE SET name = excluded.name";
        execute!(tx, sql, project.as_str(), name, micros(llmops_domain::clock::now()))?;
        tx.commit().await
    }

    pub(crate) fn pools(&self) -> &Pools {
        &self.inner.pools
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(crate) fn write_check(&self) -> &WriteCheck {
        &self.inner.write_check
    }

    pub(crate) fn events(&self) -> &watch::Sender<()> {
        &self.inner.events
    }

    pub(crate) async fn read(&self) -> Result<Conn, StoreError> {
        self.pools().read().await
    }

    pub(crate) async fn write(&self) -> Result<Tx, StoreError> {
        self.pools().write().await
    }
}

/// Options of every connection; `cache` is the number of KiB of pages that it keeps.
fn sqlite_options(path: &Path, cache: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .pragma("cache_size", format!("-{cache}"))
        // Of a database that is made now. Request records are a kilobyte each and come in batches: larger pages are fewer writes.
        .page_size(PAGE)
        // What is deleted is overwritten, in the middle of a page as well as with it: who is erased is not to be read in the file.
        .pragma("secure_delete", "ON")
        // Pages of the write-ahead log (16 MiB) before it is merged: pages that change with every batch are merged less often.
        .pragma("wal_autocheckpoint", "1024")
        // Rows cross from the connection's thread to their reader by this many; each crossing wakes somebody.
        .row_buffer_size(512)
        .disable_statement_logging()
}

/// Connections live as long as the store; testing them before use would cost more than most queries.
fn pool_of_sqlite(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WRITER_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn pool_of_writer() -> SqlitePoolOptions {
    // SQLite ends a transaction by itself when the disk is full or fails. sqlx goes on to count it, and would begin no other.
    let pool = pool_of_sqlite(1).before_acquire(|conn, _| Box::pin(std::future::ready(Ok(!conn.is_in_transaction()))));
    #[cfg(target_os = "linux")]
    let pool = pool.after_connect(|_, _| {
        crate::priority::lower(WRITER_THREAD);
        Box::pin(std::future::ready(Ok(())))
    });
    pool
}

async fn open_sqlite(path: &str, reads_only: bool) -> Result<Pools, StoreError> {
    if path.is_empty() || path == ":memory:" || path.contains('?') {
        return Err(StoreError::Open(format!("`sqlite:{path}` names no file: write sqlite:PATH, without options")));
    }
    // "file:…" would be read as a URI.
    let path = Path::new(".").join(path);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .map_err(|e| StoreError::Open(format!("cannot create {}: {e}", directory.display())))?;
    }
    let refused = |e: StoreError| match e {
        StoreError::Corrupt(e) => StoreError::Open(format!("{} is no SQLite database: {e}", path.display())),
        StoreError::Unavailable(e) if StoreError::needs_writing(&e) => StoreError::Open(format!(
            "{}: {e}. SQLite must be allowed to write the file and its folder: look at their permissions, and whether they are \
             mounted for reading only",
            path.display()
        )),
        other => other,
    };
    let options = sqlite_options(&path, WRITER_CACHE).journal_mode(SqliteJournalMode::Wal);
    let options = options.thread_name(|_| WRITER_THREAD.to_owned());
    let mut attempts = 0;
    // Switching a new file to WAL does not wait for another process that does the same.
    let write = loop {
        match pool_of_writer().connect_with(options.clone()).await.map_err(StoreError::from) {
            Err(StoreError::Unavailable(e)) if reads_only && StoreError::needs_writing(&e) && is_complete(&path) => {
                return open_for_reading(&path).await.map_err(refused);
            }
            Err(StoreError::Unavailable(_)) if attempts < 50 && path.is_file() => {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => break done.map_err(refused)?,
        }
    };
    let read =
        pool_of_sqlite(READERS).connect_lazy_with(sqlite_options(&path, READER_CACHE).pragma("query_only", "ON"));
    Ok(Pools::Sqlite { read, write: Writer::new(write) })
}

/// Whether a file of SQLite holds all that was written to it: no log with newer changes lies beside it, as one does while somebody
/// works with it, and after a crash.
fn is_complete(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    path.is_file() && std::fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// Opens a complete file in a folder where SQLite may not make the files that it coordinates processes by. It takes the file as
/// it is; its connections refuse every change.
async fn open_for_reading(path: &Path) -> Result<Pools, StoreError> {
    let options = sqlite_options(path, READER_CACHE).create_if_missing(false).read_only(true).immutable(true);
    let write = pool_of_writer().connect_with(options.clone()).await?;
    let read = pool_of_sqlite(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Pools::Sqlite { read, write: Writer::new(write) })
}

async fn open_postgres(url: &str) -> Result<Pools, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|e| StoreError::Open(format!("the PostgreSQL URL cannot be read: {e}")))?
        .application_name("llmops")
        .disable_statement_logging();
    // The pool would try a server that is not there until its time is up, and hide why it refuses.
    let first = options.connect().await.map_err(|e| match StoreError::from(e) {
        StoreError::Db(e) => StoreError::Open(format!("PostgreSQL refused the connection: {e}")),
        // A name or a key that is wrong: waiting mends it for a server that was let in before, not for one that begins.
        StoreError::Unavailable(e) if matches!(error_class(&e).as_deref(), Some("28" | "3D")) => {
            StoreError::Open(format!("PostgreSQL refused the connection: {e}"))
        }
        other => other,
    })?;
    first.close().await?;
    let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(CONNECTION_TIMEOUT);
    #[cfg(target_os = "linux")]
    let pool = {
        let port = options.get_port();
        pool.after_connect(move |_, _| {
            crate::nodelay::set(port);
            Box::pin(std::future::ready(Ok(())))
        })
    };
    let pool = pool.connect_lazy_with(options);
    Ok(Pools::Postgres(pool))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use llmops_testing::{Backend, TestStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::*;
    use crate::db::fetch;

    #[tokio::test]
    async fn a_database_that_reads_only_is_away() {
        let server = TestStore::new(Backend::Postgres).await;
        let url = format!("{}%20-c%20default_transaction_read_only%3Don", server.url());
        let away = open_postgres(&url).await.unwrap().try_write().await.unwrap_err();
        assert!(matches!(away, StoreError::Unavailable(_)), "{away:?}");
        assert_eq!((away.file_trouble(), away.is_of_row()), (Some("its database takes no changes"), false));
        open_postgres(server.url()).await.unwrap().try_write().await.unwrap();
        server.remove().await;
    }

    /// Passes connections on to PostgreSQL. While told to, it says so when a transaction begins, and keeps the answer.
    async fn keeping_proxy(
        target: String,
        keep: Arc<AtomicBool>,
        begun: Arc<Notify>,
        go_on: Arc<Notify>,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut there = TcpStream::connect(&target).await.unwrap();
                let (keep, begun, go_on) = (keep.clone(), begun.clone(), go_on.clone());
                tokio::spawn(async move {
                    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
                    loop {
                        tokio::select! {
                            Ok(n @ 1..) = here.read(&mut asked) => {
                                there.write_all(&asked[..n]).await.unwrap();
                                if keep.load(Ordering::SeqCst) && asked[..n].windows(5).any(|word| word == b"BEGIN") {
                                    begun.notify_one();
                                    go_on.notified().await;
                                }
                            }
                            Ok(n @ 1..) = there.read(&mut answered) => here.write_all(&answered[..n]).await.unwrap(),
                            else => break,
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn who_leaves_while_a_transaction_begins_leaves_nothing_open() {
        let server = TestStore::new(Backend::Postgres).await;
        let options = PgConnectOptions::from_str(server.url()).unwrap();
        let target = format!("{}:{}", options.get_host(), options.get_port());
        let (keep, begun, go_on) = (Arc::<AtomicBool>::default(), Arc::<Notify>::default(), Arc::<Notify>::default());
        let proxy = keeping_proxy(target, keep.clone(), begun.clone(), go_on.clone()).await;
        let (before, rest) = server.url().split_once("://").unwrap();
        let (authority, rest) = rest.split_once('/').unwrap();
        let user = authority.rsplit_once('@').map_or_else(String::new, |(user, _)| format!("{user}@"));
        let store = Store::open(&format!("{before}://{user}{proxy}/{rest}&sslmode=disable")).await.unwrap();
        keep.store(true, Ordering::SeqCst);
        tokio::select! {
            _ = store.write() => panic!("its answer is kept"),
            () = begun.notified() => {}
        }
        keep.store(false, Ordering::SeqCst);
        go_on.notify_one();
        // All connections that there are, each seen by another one.
        let (mut conns, mut pids) = (Vec::new(), Vec::new());
        for _ in 0..POSTGRES_CONNECTIONS {
            let mut conn = store.read().await.unwrap();
            pids.push(fetch!(fetch_one, conn, (i32,), "SELECT pg_backend_pid()").unwrap().0);
            conns.push(conn);
        }
        for (at, pid) in pids.into_iter().enumerate() {
            let conn = &mut conns[usize::from(at == 0)];
            let sql = "SELECT state FROM pg_stat_activity WHERE pid = $1";
            assert_eq!(fetch!(fetch_one, conn, (String,), sql, pid).unwrap().0, "idle", "no transaction is open");
        }
        drop(conns);
        store.close().await;
        server.remove().await;
    }
}
