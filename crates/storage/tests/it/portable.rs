//! Copies: files of either database in the other, backups, leases.

use std::collections::BTreeMap;
use std::time::Duration;

use llmops_storage::{AGING, Change, Store, StoreError, check_backup};
use llmops_testing::{Backend, TestStore, on_backends};
use serde_json::Value;
use tempfile::TempDir;

use crate::observations::{experiment, observed};
use crate::support::{at, import, project, scored, stored_run};

/// Everything that an export holds.
async fn everything(store: &Store) -> BTreeMap<&'static str, Vec<Value>> {
    let mut export = store.export().await.unwrap();
    let mut all = BTreeMap::new();
    for table in export.tables.clone() {
        let mut rows = Vec::new();
        let keep = |row: &Value| {
            rows.push(row.clone());
            Ok::<(), StoreError>(())
        };
        export.read(&table, keep).await.unwrap();
        rows.sort_by_key(ToString::to_string);
        all.insert(table.name, rows);
    }
    export.finish().await.unwrap();
    all
}

async fn fill(store: &Store) {
    import(store, "golden", &[("a", "Grüße\n\"x\" \u{1F980}"), ("b", "2")]).await;
    let run = stored_run(store, "run_1").await;
    let results = vec![scored(0, 0, 0.1 + 0.2), scored(1, 0, 1e-300)];
    store.result_writer().submit(&run, results).await.unwrap();
    store.audit(&project(), &Change::new("test.done", "x").after(vec![1.5, -0.0])).await.unwrap();
    assert!(store.take_lease("l", "me", at(0), at(10)).await.unwrap());
    let (experiment, _) = experiment(store, "e").await;
    let units = ["u", "v"].map(|unit| observed(unit, 0, "quality", 1.0, 1));
    store.record_observations(&experiment, units.to_vec()).await.unwrap();
}

#[tokio::test]
async fn an_export_of_one_database_fills_the_other_with_the_same() {
    for (from, to) in [(Backend::Sqlite, Backend::Postgres), (Backend::Postgres, Backend::Sqlite)] {
        let (one, other) = (TestStore::new(from).await, TestStore::new(to).await);
        fill(&one).await;
        let exported = everything(&one).await;
        assert_eq!((exported["results"].len(), exported["samples"].len(), exported["audit"].len() > 1), (2, 2, true));
        assert!(!exported.contains_key("leases"), "what passes is left out");
        let mut restore = other.restore().await.unwrap();
        for table in restore.tables.clone() {
            restore.write(&table, &exported[table.name]).await.unwrap();
        }
        restore.finish().await.unwrap();
        assert_eq!(everything(&other).await, exported, "{from:?} to {to:?}");
        // Numbers go on behind those that came.
        stored_run(&other, "run_2").await;
        let (again, _) = experiment(&other, "again").await;
        let units = ["u", "w"].map(|unit| observed(unit, 1, "quality", 1.0, 1));
        assert_eq!(other.record_observations(&again, units.to_vec()).await.unwrap().accepted, 2);
        other.audit(&project(), &Change::new("test.again", "x")).await.unwrap();
        let again = other.restore().await.unwrap_err();
        assert!(again.to_string().contains("not empty"), "{again}");
        one.remove().await;
        other.remove().await;
    }
}

#[tokio::test]
async fn a_restore_that_is_dropped_changes_nothing() {
    on_backends(async |store| {
        let mut restore = store.restore().await.unwrap();
        let table = restore.tables.iter().find(|table| table.name == "projects").unwrap().clone();
        let wrong = serde_json::json!({"project_id": 7, "name": "x", "created_at": 0});
        let refused = restore.write(&table, &[wrong]).await.unwrap_err();
        assert!(refused.to_string().contains("projects.project_id: 7 is no Text"), "{refused}");
        drop(restore);
        store.audit(&project(), &Change::new("test.done", "x")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_table_is_exported_or_known_to_pass() {
    let store = TestStore::new(Backend::Sqlite).await;
    let pool = sqlx::SqlitePool::connect(store.url()).await.unwrap();
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let there: Vec<(String,)> = sqlx::query_as(sql).fetch_all(&pool).await.unwrap();
    let mut known: Vec<String> = everything(&store).await.keys().map(|name| (*name).to_owned()).collect();
    let passing = ["llmops_schema", "jobs", "leases", "sessions", "idempotency", "response_cache"];
    known.extend(passing.map(str::to_owned));
    known.sort();
    assert_eq!(there.into_iter().map(|(name,)| name).collect::<Vec<_>>(), known);
}

#[tokio::test]
async fn a_backup_is_made_while_others_write() {
    let (store, folder) = (TestStore::new(Backend::Sqlite).await, TempDir::new().unwrap());
    fill(&store).await;
    let writing = tokio::spawn({
        let store = (*store).clone();
        async move {
            for i in 0..200 {
                store.audit(&project(), &Change::new("test.done", format!("{i}"))).await.unwrap();
            }
        }
    });
    let file = folder.path().join("copy ü.db");
    let backup = store.back_up(&file).await.unwrap();
    writing.await.unwrap();
    assert_eq!(check_backup(&file).await.unwrap(), backup);
    let copy = Store::open(&format!("sqlite:{}", file.display())).await.unwrap();
    assert_eq!(copy.get_dataset(&project(), "golden").await.unwrap().sample_count, 2);
    assert!(matches!(store.back_up(&file).await, Err(StoreError::Conflict(_))), "it does not overwrite");
    copy.close().await;
    let other = folder.path().join("notes.db");
    let pool = sqlx::sqlite::SqliteConnectOptions::new().filename(&other).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(pool).await.unwrap();
    sqlx::query("CREATE TABLE t (x)").execute(&pool).await.unwrap();
    assert!(check_backup(&other).await.unwrap_err().to_string().contains("no store of llmops"));
    let postgres = TestStore::new(Backend::Postgres).await;
    assert!(matches!(postgres.back_up(&folder.path().join("p")).await, Err(StoreError::Conflict(_))));
    postgres.remove().await;
}

#[tokio::test]
async fn whatever_ages_can_be_counted_and_deleted() {
    on_backends(async |store| {
        for kind in AGING {
            assert_eq!(store.count_old(kind, at(1_000_000)).await.unwrap(), 0, "{}", kind.table());
            assert_eq!(store.delete_old(kind, at(1_000_000), 10).await.unwrap(), 0, "{}", kind.table());
        }
    })
    .await;
}

#[tokio::test]
async fn a_lease_has_one_holder_until_it_ends() {
    on_backends(async |store| {
        let take = async |owner: &str, now: i64| store.take_lease("prune", owner, at(now), at(now + 10)).await.unwrap();
        assert!(take("a", 0).await);
        assert!(!take("b", 9).await);
        assert!(take("a", 9).await, "the holder keeps it");
        assert!(!take("b", 18).await);
        assert!(take("b", 19).await, "it has ended");
        assert!(!take("a", 20).await);
        store.drop_lease("prune", "a").await.unwrap();
        assert!(!take("a", 21).await, "only the holder gives it back");
        store.drop_lease("prune", "b").await.unwrap();
        assert!(take("a", 21).await);
        let status = store.status(at(0)).await.unwrap();
        assert_eq!(status.schedule_lag, Duration::ZERO);
    })
    .await;
}
