use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_storage::{CacheLimits, Store, StoreOptions};
use llmops_testing::{Backend, TestStore, on_backends};

use crate::support::{project, scored, stored_run};

fn key(i: usize) -> ContentHash {
    ContentHash::of_bytes(&i.to_be_bytes())
}

async fn cached(store: &Store, project: &ProjectId, i: usize) -> Option<String> {
    store.cache_get_many(project, &[key(i)]).await.unwrap().remove(&key(i))
}

#[tokio::test]
async fn the_first_answer_of_a_key_stays() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        store.cache_put(&project(), &key(1), "\0 first \u{1F980}".to_owned()).await;
        store.cache_put(&project(), &key(1), "second".to_owned()).await;
        store.cache_put(&ProjectId::from("nowhere"), &key(2), "lost".to_owned()).await;
        // The writer works in order, and one that cannot be written harms no other.
        store.result_writer().submit(&run, vec![scored(0, 0, 0.5)]).await.unwrap();
        let get = async |project: &ProjectId, i| cached(store, project, i).await;
        assert_eq!(get(&project(), 1).await.as_deref(), Some("\0 first \u{1F980}"));
        assert_eq!(get(&project(), 2).await, None);
        assert_eq!(get(&ProjectId::from("other"), 1).await, None);
        assert_eq!(get(&ProjectId::from("nowhere"), 2).await, None);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_was_asked_anew_takes_the_place_of_the_first() {
    let cache = CacheLimits { max_entries: 3, max_bytes: u64::MAX };
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let store = TestStore::with_options(backend, StoreOptions { cache, ..StoreOptions::default() }).await;
        let run = stored_run(&store, "run_1").await;
        store.cache_put(&project(), &key(1), "first".to_owned()).await;
        store.cache_put(&project(), &key(2), "other".to_owned()).await;
        store.result_writer().submit(&run, vec![scored(0, 0, 0.5)]).await.unwrap();
        // Replaced over and over it is still one entry, or the other would have to go.
        for i in 0..10 {
            store.cache_replace(&project(), &key(1), format!("answer {i}")).await;
            store.cache_put(&project(), &key(1), "late".to_owned()).await;
            // The result that is there already makes the commit a second attempt.
            store.result_writer().submit(&run, vec![scored(0, 0, 0.5)]).await.unwrap();
        }
        store.cache_replace(&project(), &key(3), "new".to_owned()).await;
        store.result_writer().submit(&run, vec![scored(1, 0, 0.5)]).await.unwrap();
        let get = async |i| cached(&store, &project(), i).await;
        let known = (get(1).await, get(2).await, get(3).await);
        let known = (known.0.as_deref(), known.1.as_deref(), known.2.as_deref());
        assert_eq!(known, (Some("answer 9"), Some("other"), Some("new")), "{backend:?}");
        store.remove().await;
    }
}

#[tokio::test]
async fn many_answers_are_looked_up_at_once() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        for i in 0..150 {
            store.cache_put(&project(), &key(i), format!("answer {i}")).await;
        }
        store.result_writer().submit(&run, vec![scored(0, 0, 0.5)]).await.unwrap();
        for asked in [0, 1, 63, 64, 65, 200] {
            let keys: Vec<_> = (0..asked).map(key).collect();
            let found = store.cache_get_many(&project(), &keys).await.unwrap();
            assert_eq!(found.len(), asked.min(150));
            assert!((0..asked.min(150)).all(|i| found[&key(i)] == format!("answer {i}")));
        }
        let elsewhere = store.cache_get_many(&ProjectId::from("other"), &[key(1)]).await.unwrap();
        assert!(elsewhere.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_oldest_answers_go() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let by_entries = CacheLimits { max_entries: 50, max_bytes: u64::MAX };
        let by_bytes = CacheLimits { max_entries: u64::MAX, max_bytes: 500 };
        for cache in [by_entries, by_bytes] {
            let store = TestStore::with_options(backend, StoreOptions { cache, ..StoreOptions::default() }).await;
            let run = stored_run(&store, "run_1").await;
            for i in 0..200 {
                store.cache_put(&project(), &key(i), "0123456789".to_owned()).await;
                if i % 7 == 0 {
                    store.result_writer().submit(&run, vec![scored(i as u64, 0, 0.5)]).await.unwrap();
                }
            }
            store.result_writer().submit(&run, vec![scored(200, 0, 0.5)]).await.unwrap();
            let mut kept = Vec::new();
            for i in 0..200 {
                if cached(&store, &project(), i).await.is_some() {
                    kept.push(i);
                }
            }
            assert!((40..=50).contains(&kept.len()), "{backend:?} {cache:?} kept {}", kept.len());
            // Answers of one commit are of one age; so are two commits between two results.
            assert!(kept[0] >= 140, "{backend:?} {cache:?} kept {kept:?}");
            store.remove().await;
        }
    }
}

#[tokio::test]
async fn a_small_cache_keeps_what_it_may() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let cache = CacheLimits { max_entries: 5, max_bytes: u64::MAX };
        let store = TestStore::with_options(backend, StoreOptions { cache, ..StoreOptions::default() }).await;
        let run = stored_run(&store, "run_1").await;
        for i in 0..7 {
            store.cache_put(&project(), &key(i), "answer".to_owned()).await;
            store.result_writer().submit(&run, vec![scored(i as u64, 0, 0.5)]).await.unwrap();
        }
        let mut kept = Vec::new();
        for i in 0..7 {
            kept.extend(cached(&store, &project(), i).await.map(|_| i));
        }
        assert_eq!(kept, [2, 3, 4, 5, 6], "{backend:?}");
        store.remove().await;
    }
}
