//! A fresh store per test, on every backend.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use llmops_storage::{Store, StoreOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Names the PostgreSQL server that tests use.
const VARIABLE: &str = "LLMOPS_TEST_POSTGRES";
/// Where a server is looked for without the variable: the local socket, then the usual port.
const DEFAULTS: [&str; 3] =
    ["postgres:///postgres", "postgres://127.0.0.1:5432/postgres", "postgres://postgres@127.0.0.1:5432/postgres"];
/// The database that tests share on the server. Each store has a schema of its own in it: a fresh database would take
/// three times as long as the test.
const DATABASE: &str = "llmops_test";
/// Begins the names of the schemas. The seconds since 1970 follow, by which stale ones are known.
const PREFIX: &str = "test_";
/// A schema that old was left by a test run that was killed.
const STALE_SECONDS: i64 = 3600;

static SERVER: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database that the product runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary directory.
    Sqlite,
    /// A schema of its own on the test server.
    Postgres,
}

/// An empty store that [`TestStore::remove`] takes away. A temporary directory goes by itself; a schema that a killed
/// test left is dropped by a later one.
#[derive(Debug)]
pub struct TestStore {
    store: Store,
    url: String,
    backend: Backend,
    /// The schema on PostgreSQL.
    schema: Option<String>,
    _directory: Option<TempDir>,
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// A fresh store with default settings.
    ///
    /// # Panics
    /// When it cannot be made; for PostgreSQL with a message that says how to name a server.
    pub async fn new(backend: Backend) -> Self {
        Self::with_options(backend, StoreOptions::default()).await
    }

    /// A fresh store.
    ///
    /// # Panics
    /// Like [`TestStore::new`].
    pub async fn with_options(backend: Backend, options: StoreOptions) -> Self {
        let (url, schema, directory) = match backend {
            Backend::Sqlite => {
                let directory = TempDir::new().unwrap_or_else(|e| panic!("cannot make a temporary directory: {e}"));
                (format!("sqlite:{}", directory.path().join("test.db").display()), None, Some(directory))
            }
            Backend::Postgres => {
                let schema = create_schema().await;
                (with_schema(server().await, &schema), Some(schema), None)
            }
        };
        let store = Store::open_with(&url, options).await.unwrap_or_else(|e| panic!("cannot open {url}: {e}"));
        Self { store, url, backend, schema, _directory: directory }
    }

    /// What [`Store::open`] takes, to open the store again.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The backend.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Runs a statement of SQL behind the store's back.
    ///
    /// # Panics
    /// When the database refuses it.
    pub async fn execute(&self, sql: &'static str) {
        match self.backend {
            Backend::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&self.url).await.unwrap_or_else(|e| panic!("{e}"));
                sqlx::query(sql).execute(&pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                pool.close().await;
            }
            Backend::Postgres => {
                let pool = sqlx::PgPool::connect(&self.url).await.unwrap_or_else(|e| panic!("{e}"));
                sqlx::query(sql).execute(&pool).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
                pool.close().await;
            }
        }
    }

    /// Closes the store and removes its tables.
    ///
    /// # Panics
    /// When they cannot be dropped.
    pub async fn remove(self) {
        self.store.close().await;
        if let Some(schema) = self.schema {
            let mut server = connect(server().await).await.unwrap_or_else(|e| panic!("PostgreSQL went away: {e}"));
            drop_schema(&mut server, &schema).await.unwrap_or_else(|e| panic!("cannot drop {schema}: {e}"));
        }
    }
}

/// Runs a test on a fresh store of every backend, one after the other. The store is removed whether the test passes or not.
///
/// # Panics
/// When the test does, or a backend is not there: no backend is ever left out in silence.
#[expect(clippy::print_stderr, reason = "tells which backend failed, and is captured while tests pass")]
pub async fn on_backends(test: impl AsyncFn(&TestStore)) {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        eprintln!("on {backend:?}");
        let store = TestStore::new(backend).await;
        let outcome = AssertUnwindSafe(test(&store)).catch_unwind().await;
        store.remove().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The URL of the tests' database on the server that answers.
async fn server() -> &'static str {
    SERVER.get_or_init(find_server).await
}

async fn find_server() -> String {
    let named = std::env::var(VARIABLE).ok();
    let candidates = named.as_deref().map_or_else(|| DEFAULTS.to_vec(), |url| vec![url]);
    let mut refusals = String::new();
    for url in candidates {
        match prepare(url).await {
            Ok(url) => return url,
            Err(error) => refusals = format!("{refusals}\n  {url}: {error}"),
        }
    }
    panic!(
        "the tests need a PostgreSQL server on which a database may be created, and none answers:{refusals}\n\
         Start one, or name one: {VARIABLE}=postgres://USER@HOST/postgres"
    );
}

/// Makes the tests' database where it is missing, and drops what killed test runs left in it.
async fn prepare(url: &str) -> Result<String, sqlx::Error> {
    let mut server = connect(url).await?;
    let exists: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(DATABASE)
        .fetch_optional(&mut server)
        .await?;
    if exists.is_none() {
        let sql = AssertSqlSafe(format!("CREATE DATABASE {DATABASE} TEMPLATE template0"));
        let made = sqlx::query(sql).execute(&mut server).await;
        // Another test process may have been faster.
        if let Err(error) = made
            && connect(&with_database(url)).await.is_err()
        {
            return Err(error);
        }
    }
    let url = with_database(url);
    drop_stale(&mut connect(&url).await?).await;
    Ok(url)
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::from_str(url)?.connect().await
}

/// The same URL with the tests' database.
fn with_database(url: &str) -> String {
    let (base, options) = url.split_once('?').map_or((url, String::new()), |(base, o)| (base, format!("?{o}")));
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    format!("{server}/{DATABASE}{options}")
}

/// The same URL with a schema.
fn with_schema(url: &str, schema: &str) -> String {
    format!("{url}{}options=-c%20search_path%3D{schema}", if url.contains('?') { '&' } else { '?' })
}

/// Seconds since 1970.
fn seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

async fn create_schema() -> String {
    let (now, process) = (seconds(), std::process::id());
    let name = format!("{PREFIX}{now}_{process}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut server = connect(server().await).await.unwrap_or_else(|e| panic!("PostgreSQL went away: {e}"));
    let sql = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::query(sql).execute(&mut server).await.unwrap_or_else(|e| panic!("cannot create a schema: {e}"));
    name
}

async fn drop_schema(server: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {name} CASCADE"));
    sqlx::query(sql).execute(server).await.map(drop)
}

/// Drops what killed test runs left. Another process may be faster, which is fine.
async fn drop_stale(server: &mut PgConnection) {
    let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'test\\_%'";
    let names: Vec<(String,)> = sqlx::query_as(sql).fetch_all(&mut *server).await.unwrap_or_default();
    for (name,) in names {
        let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse::<i64>().ok());
        if made.is_some_and(|made| made < seconds() - STALE_SECONDS) {
            let _ = drop_schema(server, &name).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_the_database_and_schema_of_a_url() {
        let check = |url: &str, expected: &str| assert_eq!(with_schema(&with_database(url), "x"), expected);
        check("postgres:///postgres", "postgres:///llmops_test?options=-c%20search_path%3Dx");
        check(
            "postgres://u@h:1/postgres?sslmode=disable",
            "postgres://u@h:1/llmops_test?sslmode=disable&options=-c%20search_path%3Dx",
        );
    }
}
