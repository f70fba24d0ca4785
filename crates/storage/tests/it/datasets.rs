use llmops_domain::dataset::DatasetType;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_storage::{Replaces, Store, StoreError, VersionSelector};
use llmops_testing::{Backend, TestStore, on_backends};

use crate::support::{import, project, sample};

async fn ids(store: &Store, name: &str, selector: VersionSelector) -> Vec<String> {
    let stored = store.get_dataset_version(&project(), name, &selector).await.unwrap();
    let samples = store.stream_samples(stored.key, 0, 1000).await.unwrap();
    samples.into_iter().map(|(_, sample)| sample.id).collect()
}

#[tokio::test]
async fn a_version_is_the_hash_of_its_samples_in_any_order() {
    on_backends(async |store| {
        let lines = [("b", "second"), ("a", "first"), ("c", "third")];
        let (version, created) = import(store, "golden", &lines).await;
        let hashes: Vec<ContentHash> = lines.iter().map(|(id, input)| sample(id, input, None).1).collect();
        assert!(created);
        assert_eq!((version.version.clone(), version.sample_count), (ContentHash::of_set(&hashes), 3));
        assert_eq!(ids(store, "golden", VersionSelector::Latest).await, ["b", "a", "c"], "in the order of the import");

        let (again, created) = import(store, "golden", &[lines[2], lines[0], lines[1]]).await;
        assert!(!created);
        assert_eq!(again, version);
        let other_name = import(store, "regression", &lines).await;
        assert!(other_name.1, "another dataset has versions of its own");
    })
    .await;
}

#[tokio::test]
async fn what_was_built_last_is_the_latest() {
    on_backends(async |store| {
        let (old, _) = import(store, "golden", &[("a", "1")]).await;
        let (new, _) = import(store, "golden", &[("a", "2")]).await;
        let latest = async || {
            let latest = store.get_dataset_version(&project(), "golden", &VersionSelector::Latest).await.unwrap();
            latest.version.version
        };
        assert_eq!(latest().await, new.version);
        import(store, "golden", &[("a", "1")]).await;
        assert_eq!(latest().await, old.version, "an old version that is built again");
        let versions = store.list_dataset_versions(&project(), "golden", 10).await.unwrap();
        assert_eq!(versions, [new.clone(), old.clone()]);
        for version in [&old, &new] {
            let prefix = VersionSelector::Hash(version.version.as_str()[..8].to_owned());
            let found = store.get_dataset_version(&project(), "golden", &prefix).await.unwrap();
            assert_eq!(found.version, *version);
        }
        let dataset = store.get_dataset(&project(), "golden").await.unwrap();
        assert_eq!((dataset.version, dataset.sample_count), (Some(old.version), 1));
    })
    .await;
}

#[tokio::test]
async fn samples_come_back_whole_and_in_pages() {
    on_backends(async |store| {
        let strange = "\0 \u{1F980} \u{FFFF} \r\n \"quoted\" 'x' \\ \u{202E}";
        let mut samples: Vec<_> = (0..10).map(|i| sample(&format!("s{i}"), strange, Some("tone"))).collect();
        samples[3].0.metadata.insert("n".to_owned(), serde_json::json!({"deep": [1.5, null, "\0"]}));
        samples[3].1 = samples[3].0.hash().unwrap();
        samples[4].0.input = "x".repeat(3 << 20);
        samples[4].1 = samples[4].0.hash().unwrap();
        let mut import = store.begin_import(&project(), "d", DatasetType::User, Some("about\0")).await.unwrap();
        for batch in samples.chunks(3) {
            import.push(batch).await.unwrap();
        }
        import.finish().await.unwrap();
        let stored = store.get_dataset_version(&project(), "d", &VersionSelector::Latest).await.unwrap();
        let mut read = Vec::new();
        loop {
            let page = store.stream_samples(stored.key, read.len() as u64, 4).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert_eq!(page[0].0, read.len() as u64);
            read.extend(page.into_iter().map(|(_, sample)| sample));
        }
        assert!(read == samples.iter().map(|(sample, _)| sample.clone()).collect::<Vec<_>>());
        assert_eq!(store.get_sample(stored.key, "s3").await.unwrap(), (3, samples[3].0.clone()));
        let absent = store.get_sample(stored.key, "s10").await.unwrap_err();
        assert_eq!(absent.to_string(), "there is no sample `s10`");
        let dataset = store.get_dataset(&project(), "d").await.unwrap();
        assert_eq!((dataset.description.as_deref(), dataset.kind), (Some("about\u{FFFD}"), DatasetType::User));
    })
    .await;
}

#[tokio::test]
async fn versions_count_their_categories() {
    on_backends(async |store| {
        let samples = [sample("a", "1", Some("tone")), sample("b", "2", None), sample("c", "3", Some("tone"))];
        let mut import = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        import.push(&samples).await.unwrap();
        let (version, _) = import.finish().await.unwrap();
        assert_eq!(version.categories.into_iter().collect::<Vec<_>>(), [(String::new(), 1), ("tone".to_owned(), 2)]);
    })
    .await;
}

#[tokio::test]
async fn an_empty_version_is_a_version() {
    on_backends(async |store| {
        let (version, created) = import(store, "empty", &[]).await;
        assert!(created);
        assert_eq!((version.version, version.sample_count), (ContentHash::of_set([]), 0));
    })
    .await;
}

#[tokio::test]
async fn an_unfinished_import_is_invisible_and_goes() {
    on_backends(async |store| {
        let mut import = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        let samples: Vec<_> = (0..9000).map(|i| sample(&format!("s{i}"), "x", None)).collect();
        import.push(&samples).await.unwrap();
        assert!(store.list_datasets(&project(), None, 10).await.unwrap().is_empty());
        assert!(matches!(store.get_dataset(&project(), "d").await, Err(StoreError::NotFound { .. })));
        assert_eq!(rows_of(store, "dataset_version_samples").await, 8192, "a full batch is staged");
        import.abort().await.unwrap();
        assert_eq!(rows_of(store, "dataset_version_samples").await, 0);
        assert_eq!(rows_of(store, "dataset_versions").await, 0);
        assert!(store.list_datasets(&project(), None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_import_that_was_killed_goes_when_the_store_is_opened() {
    on_backends(async |store| {
        let mut import = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        let samples: Vec<_> = (0..9000).map(|i| sample(&format!("s{i}"), "x", None)).collect();
        import.push(&samples).await.unwrap();
        let reopened = Store::open(store.url()).await.unwrap();
        assert_eq!(rows_of(store, "dataset_version_samples").await, 8192, "a young import is left alone");
        execute(store, "UPDATE dataset_versions SET touched_at = touched_at - 3700000000").await;
        let again = Store::open(store.url()).await.unwrap();
        assert_eq!(rows_of(store, "dataset_version_samples").await, 0);
        let late = import.finish().await.unwrap_err();
        assert!(late.to_string().contains("import again"), "{late}");
        reopened.close().await;
        again.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_sample_id_is_unique_in_its_version() {
    on_backends(async |store| {
        let twice = [sample("a", "1", None), sample("a", "2", None)];
        let mut one_batch = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        one_batch.push(&twice).await.unwrap();
        let error = one_batch.finish().await.unwrap_err();
        assert_eq!(error.to_string(), "sample id `a` occurs twice: ids are unique in a dataset version");

        let mut far_apart = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        let many: Vec<_> = (0..8192).map(|i| sample(&format!("s{i}"), "x", None)).collect();
        far_apart.push(&many).await.unwrap();
        far_apart.push(&[sample("s17", "y", None)]).await.unwrap();
        let error = far_apart.finish().await.unwrap_err();
        assert_eq!(error.to_string(), "sample id `s17` occurs twice: ids are unique in a dataset version");

        let mut nul = store.begin_import(&project(), "d", DatasetType::Golden, None).await.unwrap();
        let error = nul.push(&[sample("a\0b", "1", None)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_body_is_stored_once() {
    on_backends(async |store| {
        import(store, "d", &[("a", "1"), ("b", "2")]).await;
        import(store, "d", &[("a", "1"), ("b", "3")]).await;
        import(store, "e", &[("b", "3")]).await;
        assert_eq!(rows_of(store, "samples").await, 3);
    })
    .await;
}

#[tokio::test]
async fn versions_differ_by_sample_id() {
    on_backends(async |store| {
        let (old, _) = import(store, "d", &[("same", "1"), ("gone", "2"), ("changed", "3")]).await;
        let (new, _) = import(store, "d", &[("changed", "4"), ("new", "5"), ("same", "1")]).await;
        let stored = async |version: &ContentHash| {
            store.get_dataset_version(&project(), "d", &VersionSelector::from(version)).await.unwrap()
        };
        let (a, b) = (stored(&old.version).await, stored(&new.version).await);
        let diff = store.diff_versions(&a, &b).await.unwrap();
        assert_eq!((diff.from, diff.to), (old.version.to_string(), new.version.to_string()));
        assert_eq!(
            (diff.added, diff.removed, diff.changed),
            (vec!["new".into()], vec!["gone".into()], vec!["changed".into()])
        );
        assert_eq!(diff.unchanged, 1);
    })
    .await;
}

#[tokio::test]
async fn concurrent_imports_of_a_name_become_its_versions() {
    on_backends(async |store| {
        let imports = (0..6).map(|i| async move {
            let input = format!("{}", i % 3);
            import(store, "d", &[("a", &input), ("b", "shared")]).await.1
        });
        let created = futures::future::join_all(imports).await;
        assert_eq!(created.into_iter().filter(|&created| created).count(), 3);
        assert_eq!(store.list_dataset_versions(&project(), "d", 10).await.unwrap().len(), 3);
        assert_eq!(rows_of(store, "dataset_versions").await, 3);
    })
    .await;
}

#[tokio::test]
async fn datasets_are_listed_in_pages_and_by_project() {
    on_backends(async |store| {
        for name in ["b", "a", "c"] {
            import(store, name, &[("x", name)]).await;
        }
        let names = async |project: &ProjectId, after: Option<&str>| {
            let page = store.list_datasets(project, after, 2).await.unwrap();
            page.into_iter().map(|dataset| dataset.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&project(), None).await, ["a", "b"]);
        assert_eq!(names(&project(), Some("b")).await, ["c"]);
        assert!(names(&ProjectId::from("other"), None).await.is_empty());
        let theirs = store.begin_import(&ProjectId::from("other"), "d", DatasetType::Golden, None).await;
        assert_eq!(theirs.unwrap_err().to_string(), "there is no project `other`");
    })
    .await;
}

#[tokio::test]
async fn an_import_in_memory_shares_the_one_connection() {
    let store = Store::in_memory().await.unwrap();
    let (version, created) = import(&store, "d", &[("a", "1"), ("b", "2")]).await;
    assert!(created);
    assert_eq!(store.get_dataset(&project(), "d").await.unwrap().version, Some(version.version));
    let clone = store.clone();
    drop(store);
    assert_eq!(ids(&clone, "d", VersionSelector::Latest).await, ["a", "b"]);
}

/// Counts rows behind the store's back.
async fn rows_of(store: &TestStore, table: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    match store.backend() {
        Backend::Sqlite => {
            let pool = sqlx::SqlitePool::connect(store.url()).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
        }
        Backend::Postgres => {
            let pool = sqlx::PgPool::connect(store.url()).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
        }
    }
}

/// Changes rows behind the store's back.
async fn execute(store: &TestStore, sql: &'static str) {
    match store.backend() {
        Backend::Sqlite => {
            let pool = sqlx::SqlitePool::connect(store.url()).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        Backend::Postgres => {
            let pool = sqlx::PgPool::connect(store.url()).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
    }
}

#[tokio::test]
async fn of_two_first_versions_one_is_refused() {
    on_backends(async |store| {
        let begin = async |id: &str| {
            let mut begun = store.begin_import(&project(), "fresh", DatasetType::Golden, None).await.unwrap();
            begun.replacing(Replaces::Nothing);
            begun.push(&[sample(id, id, None)]).await.unwrap();
            begun
        };
        let (a, b) = (begin("a").await, begin("b").await);
        let (a, b) = tokio::join!(a.finish(), b.finish());
        let refused = a.err().xor(b.err()).unwrap();
        assert!(matches!(&refused, StoreError::Conflict(why) if why.contains("not none")), "{refused}");
        assert_eq!(ids(store, "fresh", VersionSelector::Latest).await.len(), 1);
        // Whoever does not say what is replaced replaces anything.
        import(store, "fresh", &[("c", "c")]).await;
        assert_eq!(ids(store, "fresh", VersionSelector::Latest).await, ["c"]);
    })
    .await;
}
