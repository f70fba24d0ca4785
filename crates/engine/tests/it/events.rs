//! Events: order, resumption, other processes, slow watchers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use llmops::domain::config::providers::CallLimits;
use llmops::domain::event::{Event, EventFilter, StoredEvent};
use llmops::domain::id::ProjectId;
use llmops::domain::run::Progress;
use llmops::events::Subscription;
use llmops::{Clock, LlmOps, Options};
use llmops_providers::Providers;
use llmops_storage::Store;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run};

fn progress(done: u64) -> Event {
    Event::RunProgress { run: "run_1".into(), progress: Progress { total: 1_000_000, done, errored: 0, cost: 0.0 } }
}

fn done(event: &StoredEvent) -> u64 {
    match &event.event {
        Event::RunProgress { progress, .. } => progress.done,
        other => panic!("{other:?}"),
    }
}

async fn next(subscription: &mut Subscription) -> StoredEvent {
    let next = tokio::time::timeout(Duration::from_secs(20), subscription.next());
    next.await.unwrap().unwrap().unwrap()
}

fn all() -> EventFilter {
    EventFilter::default()
}

#[tokio::test]
async fn a_run_tells_of_its_steps() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = installation(store, &provider);
        add_samples(&ops, 4).await;
        let mut live = ops.events().subscribe(None, "run.started,run.completed".parse().unwrap()).await.unwrap();
        let completed = finish(&ops, run("m", exact())).await;
        let (started, ended) = (next(&mut live).await, next(&mut live).await);
        assert!(started.id < ended.id);
        let Event::RunCompleted(news) = ended.event else { panic!("{ended:?}") };
        assert_eq!((news.run, news.dataset.as_str()), (completed.id, "golden"));
        assert!((news.pass_rate.unwrap().value - 1.0).abs() < 1e-12);
        // Who comes later and asks for all of it sees the same.
        let mut later = ops.events().subscribe(Some(0), "run.completed".parse().unwrap()).await.unwrap();
        assert_eq!(next(&mut later).await.id, ended.id);
    })
    .await;
}

/// A clock on which every look takes a tenth of a second.
#[derive(Debug, Default)]
struct Hurried(AtomicI64);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + 100 * self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }

    fn random(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst).unsigned_abs()
    }
}

#[tokio::test]
async fn a_long_run_tells_how_far_it_is() {
    on_backends(async |store| {
        let providers = Providers::new(&BTreeMap::new(), &BTreeMap::new(), Path::new(".")).unwrap();
        let providers = providers.with_provider("test", Scripted::new(right), &CallLimits::default());
        let ops = LlmOps::with_clock(Store::clone(store), providers, Options::default(), Arc::new(Hurried::default()));
        add_samples(&ops, 200).await;
        finish(&ops, run("m", exact())).await;
        let mut told = ops.events().subscribe(Some(0), "run.progress".parse().unwrap()).await.unwrap();
        let event = next(&mut told).await;
        let Event::RunProgress { progress, .. } = event.event else { panic!("{event:?}") };
        assert!(progress.done > 0 && progress.total == 200, "{progress:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_processes_see_all_events_in_one_order() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let other = Store::open(store.url()).await.unwrap();
        let processes = [installation(store, &provider), installation(&other, &provider)];
        let mut watchers = Vec::new();
        for ops in &processes {
            watchers.push(ops.events().subscribe(None, all()).await.unwrap());
        }
        let writers = (0..4_u64).map(|writer| {
            let events = processes[usize::try_from(writer).unwrap() % 2].events();
            tokio::spawn(async move {
                for i in 0..25 {
                    events.publish(progress(writer * 25 + i)).await.unwrap();
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut seen = Vec::new();
        for watcher in &mut watchers {
            let mut events = Vec::new();
            for _ in 0..100 {
                let event = next(watcher).await;
                events.push((event.id, done(&event)));
            }
            assert!(events.is_sorted_by(|a, b| a.0 < b.0), "{events:?}");
            seen.push(events);
        }
        assert_eq!(seen[0], seen[1]);
        for writer in writers {
            writer.await.unwrap();
        }
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_watcher_misses_nothing_and_holds_nobody_up() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let mut slow = ops.events().subscribe(None, all()).await.unwrap();
        let mut quick = ops.events().subscribe(None, all()).await.unwrap();
        // More than the buffer between the store and its watchers holds.
        for i in 0..1_300 {
            ops.events().publish(progress(i)).await.unwrap();
        }
        for watcher in [&mut quick, &mut slow] {
            for i in 0..1_300 {
                assert_eq!(done(&next(watcher).await), i);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn resumes_behind_the_last_id() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let mut ids = Vec::new();
        for i in 0..5 {
            ids.push(ops.events().publish(progress(i)).await.unwrap());
        }
        let mut resumed = ops.events().subscribe(Some(ids[2]), all()).await.unwrap();
        assert_eq!((next(&mut resumed).await.id, next(&mut resumed).await.id), (ids[3], ids[4]));
        ops.events().publish(progress(5)).await.unwrap();
        assert_eq!(done(&next(&mut resumed).await), 5);
        // An id that was never given out, such as one of another database, is no reason to be silent for ever.
        let mut beyond = ops.events().subscribe(Some(u64::MAX), all()).await.unwrap();
        ops.events().publish(progress(6)).await.unwrap();
        assert_eq!(done(&next(&mut beyond).await), 6);
    })
    .await;
}

#[tokio::test]
async fn a_project_sees_its_own_events() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        store.put_project(&ProjectId("acme".to_owned()), "Acme").await.unwrap();
        let acme = ops.for_project(ProjectId("acme".to_owned()));
        ops.events().publish(progress(1)).await.unwrap();
        let mut live = acme.events().subscribe(Some(0), all()).await.unwrap();
        ops.events().publish(progress(2)).await.unwrap();
        acme.events().publish(progress(3)).await.unwrap();
        assert_eq!(done(&next(&mut live).await), 3);
        let nowhere = ops.for_project(ProjectId("nowhere".to_owned()));
        let refused = nowhere.events().publish(progress(4)).await.unwrap_err();
        assert!(refused.to_string().contains("there is no project `nowhere`"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn closing_ends_every_subscription() {
    let ops = llmops::LlmOps::in_memory().await.unwrap();
    let mut live = ops.events().subscribe(None, all()).await.unwrap();
    let waiting = tokio::spawn(async move { live.next().await });
    ops.events().close();
    let ended = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert_eq!(ended.unwrap(), None);
}
