use llmops_storage::{Store, StoreError};
use llmops_testing::{Backend, TestStore};
use tempfile::TempDir;

use crate::support::{execute, import, project};

async fn refusal(url: &str) -> String {
    match Store::open(url).await {
        Err(StoreError::Open(message)) => message,
        other => panic!("{url} gave {other:?}"),
    }
}

#[tokio::test]
async fn urls_of_other_kinds_are_refused() {
    assert!(refusal("mysql://x").await.starts_with("`mysql` is no kind of database: write sqlite:PATH"));
    assert!(refusal("llmops.db").await.contains("write sqlite:PATH"));
    for url in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=ro"] {
        assert!(refusal(url).await.contains("names no file"), "{url}");
    }
    assert!(refusal("postgres://[").await.contains("URL cannot be read"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to have a header ".repeat(10)).unwrap();
    let message = refusal(&format!("sqlite:{}", path.display())).await;
    assert!(message.contains("notes.txt is no SQLite database"), "{message}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("folder.db");
    std::fs::create_dir(&path).unwrap();
    let message = refusal(&format!("sqlite:{}", path.display())).await;
    assert!(message.contains("folder.db: ") && message.contains("permissions"), "{message}");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let message = refusal(&format!("sqlite:{}", path.display())).await;
    assert!(message.contains("database of another program"), "{message}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let store = TestStore::new(backend).await;
        let sql = "INSERT INTO llmops_schema (version, name, applied_at) VALUES (9999, 'future', 0)";
        execute(&store, sql).await;
        let message = refusal(store.url()).await;
        assert!(message.contains("made by a newer version of llmops"), "{message}");
        store.remove().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = Store::open("postgres://127.0.0.1:1/nothing").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let postgres = TestStore::new(Backend::Postgres).await;
    let unknown = postgres.url().replace("/llmops_test?", "/llmops_missing?");
    assert!(refusal(&unknown).await.contains("PostgreSQL refused the connection"));
    postgres.remove().await;
}

#[tokio::test]
async fn a_file_is_created_with_its_directory_and_opened_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a b/ü/#1/test.db");
    let url = format!("sqlite:{}", path.display());
    let store = Store::open(&url).await.unwrap();
    import(&store, "d", &[("a", "1")]).await;
    store.close().await;
    let again = Store::open(&format!("sqlite://{}", path.display())).await.unwrap();
    assert_eq!(again.get_dataset(&project(), "d").await.unwrap().sample_count, 1);
    assert!(path.is_file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_start_together_migrate_once() {
    let directory = TempDir::new().unwrap();
    let postgres = TestStore::new(Backend::Postgres).await;
    let pool = sqlx::PgPool::connect(postgres.url()).await.unwrap();
    let (schema,): (String,) = sqlx::query_as("SELECT current_schema()::text").fetch_one(&pool).await.unwrap();
    let fresh = sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}"));
    sqlx::raw_sql(fresh).execute(&pool).await.unwrap();
    for url in [format!("sqlite:{}/test.db", directory.path().display()), postgres.url().to_owned()] {
        let opens: Vec<_> = (0..6)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { Store::open(&url).await.map(|_| ()) })
            })
            .collect();
        for open in opens {
            open.await.unwrap().unwrap();
        }
    }
    postgres.remove().await;
}

#[tokio::test]
async fn a_schema_of_its_own_is_named_in_the_url() {
    let (one, other) = (TestStore::new(Backend::Postgres).await, TestStore::new(Backend::Postgres).await);
    assert!(one.url().contains("options=-c%20search_path%3D") && one.url() != other.url());
    import(&one, "d", &[("a", "1")]).await;
    assert_eq!(one.list_datasets(&project(), None, 10).await.unwrap().len(), 1);
    assert!(other.list_datasets(&project(), None, 10).await.unwrap().is_empty());
    one.remove().await;
    other.remove().await;
}

#[tokio::test]
async fn a_schema_that_is_missing_is_named_as_the_reason() {
    let postgres = TestStore::new(Backend::Postgres).await;
    let message = refusal(&format!("{}_missing", postgres.url())).await;
    assert!(message.contains("search_path"), "{message}");
    postgres.remove().await;
}

#[tokio::test]
async fn every_table_carries_its_project() {
    let columns = "SELECT m.name FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' \
                   AND m.name NOT IN ('llmops_schema', 'event_sequence', 'access_version', 'leases') \
                   AND NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'project_id')";
    let store = TestStore::new(Backend::Sqlite).await;
    let pool = sqlx::SqlitePool::connect(store.url()).await.unwrap();
    let without: Vec<(String,)> = sqlx::query_as(columns).fetch_all(&pool).await.unwrap();
    assert!(without.is_empty(), "{without:?}");
}

#[tokio::test]
async fn both_dialects_have_the_same_columns() {
    let sqlite = TestStore::new(Backend::Sqlite).await;
    let postgres = TestStore::new(Backend::Postgres).await;
    let of_sqlite = "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
                     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY 1";
    let of_postgres = "SELECT table_name || '.' || column_name FROM information_schema.columns \
                       WHERE table_schema = current_schema() AND table_name NOT IN \
                       (SELECT relname FROM pg_class WHERE relispartition) ORDER BY (table_name || '.' || column_name) COLLATE \"C\"";
    let pool = sqlx::SqlitePool::connect(sqlite.url()).await.unwrap();
    let left: Vec<(String,)> = sqlx::query_as(of_sqlite).fetch_all(&pool).await.unwrap();
    let pool = sqlx::PgPool::connect(postgres.url()).await.unwrap();
    let right: Vec<(String,)> = sqlx::query_as(of_postgres).fetch_all(&pool).await.unwrap();
    assert_eq!(left, right);
    postgres.remove().await;
}
