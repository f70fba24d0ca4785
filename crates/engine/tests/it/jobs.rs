//! Runs in the background: several workers on one run, workers that die, queues that lose jobs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use llmops::domain::run::RunStatus;
use llmops::evaluator::RunRef;
use llmops::jobs::{Job, Queue, RedisQueue, StoredQueue, WorkerOptions};
use llmops::{LlmOps, Options};
use llmops_providers::registry::Providers;
use llmops_storage::Store;
use llmops_testing::{Backend, TestStore, on_backends};

use crate::scripted::{Scripted, add_samples, exact, finish, installation_with, right, run, wait};

/// Long: a machine that is busy shall not lose leases in the middle of a test.
const LEASE: Duration = Duration::from_secs(30);

fn worker() -> WorkerOptions {
    WorkerOptions { concurrency: 2, poll: Duration::from_millis(20) }
}

fn queued(store: &Store, provider: &Arc<Scripted>, queue: Arc<dyn Queue>) -> LlmOps {
    installation_with(store, provider, Options { lease: LEASE, queue: Some(queue), ..Options::default() })
}

fn stored(store: &Store, provider: &Arc<Scripted>) -> LlmOps {
    queued(store, provider, Arc::new(StoredQueue(store.clone())))
}

/// The queue in Redis, where the environment names one; under a name of its own.
async fn redis(name: &str) -> RedisQueue {
    let url = std::env::var("LLMOPS_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let name = format!("llmops-test-{name}-{}", std::process::id());
    RedisQueue::connect(&url, &name)
        .await
        .unwrap_or_else(|e| panic!("the tests need Redis; LLMOPS_TEST_REDIS names it: {e}"))
}

#[tokio::test]
async fn a_run_waits_for_a_worker_and_several_share_it() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let (a, b) = (stored(store, &provider), stored(store, &provider));
        add_samples(&a, 5_000).await;
        let created = a.evaluator().create_run(run("m", exact())).await.unwrap();
        assert_eq!(created.status, RunStatus::Running);
        assert_eq!(store.count_jobs().await.unwrap().waiting, 1);
        assert_eq!(provider.calls(), 0, "nobody works yet");
        let workers = [a.start_worker(worker()), b.start_worker(worker())];
        let done = wait(&b, &created).await;
        assert_eq!((done.status, done.progress.done), (RunStatus::Completed, 5_000));
        assert_eq!(done.results.unwrap().passed_samples, 5_000);
        assert_eq!(provider.calls(), 5_000, "nothing was asked twice");
        for worker in workers {
            worker.stop(Duration::from_secs(10)).await;
        }
        let left = store.count_jobs().await.unwrap();
        assert_eq!((left.waiting, left.taken), (0, 0), "the run's job is gone");
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_its_run_to_others() {
    on_backends(async |store| {
        let provider = Scripted::slow(right, Duration::from_millis(2));
        let first = stored(store, &provider);
        add_samples(&first, 3_000).await;
        let created = first.evaluator().create_run(run("m", exact())).await.unwrap();
        let working = first.start_worker(worker());
        while first.evaluator().get_run(&RunRef::Id(created.id.0.clone()), None).await.unwrap().progress.done == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        working.stop(Duration::from_secs(10)).await;
        let left = first.evaluator().get_run(&RunRef::Id(created.id.0.clone()), None).await.unwrap();
        assert_eq!(left.status, RunStatus::Running);
        assert!(left.progress.done < 3_000, "it stopped half-way");
        let second = stored(store, &provider);
        let working = second.start_worker(worker());
        let done = wait(&second, &created).await;
        assert_eq!((done.status, done.progress.done, provider.calls()), (RunStatus::Completed, 3_000, 3_000));
        working.stop(Duration::from_secs(10)).await;
    })
    .await;
}

#[tokio::test]
async fn runs_that_the_queue_lost_are_found() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = stored(store, &provider);
        add_samples(&ops, 10).await;
        let created = ops.evaluator().create_run(run("m", exact())).await.unwrap();
        let job = Job::Run { run: created.id.clone() };
        assert!(store.withdraw_job(&job.name(ops.project())).await.unwrap());
        assert_eq!(ops.recover_runs().await.unwrap(), 1);
        assert_eq!(store.count_jobs().await.unwrap().waiting, 1);
        let working = ops.start_worker(worker());
        assert_eq!(wait(&ops, &created).await.status, RunStatus::Completed);
        assert_eq!(ops.recover_runs().await.unwrap(), 0);
        working.stop(Duration::from_secs(10)).await;
    })
    .await;
}

#[tokio::test]
async fn cancelling_reaches_the_process_that_works() {
    on_backends(async |store| {
        let provider = Scripted::slow(right, Duration::from_millis(5));
        // The process that works looks three times a lease how the run stands.
        let queue: Arc<dyn Queue> = Arc::new(StoredQueue((**store).clone()));
        let options = Options { lease: Duration::from_secs(1), queue: Some(queue), ..Options::default() };
        let (server, other) = (stored(store, &provider), installation_with(store, &provider, options));
        add_samples(&server, 5_000).await;
        let created = server.evaluator().create_run(run("m", exact())).await.unwrap();
        let working = other.start_worker(worker());
        let id = RunRef::Id(created.id.0.clone());
        while server.evaluator().get_run(&id, None).await.unwrap().progress.done == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let cancelled = server.evaluator().cancel(&id).await.unwrap();
        assert_eq!(cancelled.status, RunStatus::Cancelled);
        working.stop(Duration::from_secs(10)).await;
        let asked = provider.calls();
        assert!(asked < 5_000, "it stopped");
        let working = other.start_worker(worker());
        let resumed = server.evaluator().start_run(created.id.as_str()).await.unwrap();
        assert_eq!(wait(&server, &resumed).await.status, RunStatus::Completed);
        working.stop(Duration::from_secs(10)).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_without_the_provider_leaves_the_run_to_others() {
    let store = TestStore::new(Backend::Sqlite).await;
    let provider = Scripted::new(right);
    let able = stored(&store, &provider);
    add_samples(&able, 10).await;
    let none = Providers::new(&BTreeMap::new(), &BTreeMap::new(), Path::new(".")).unwrap();
    let queue: Arc<dyn Queue> = Arc::new(StoredQueue((*store).clone()));
    let unable = LlmOps::new((*store).clone(), none, Options { queue: Some(queue), ..Options::default() });
    let created = able.evaluator().create_run(run("m", exact())).await.unwrap();
    let workers = [unable.start_worker(worker()), able.start_worker(worker())];
    assert_eq!(wait(&able, &created).await.status, RunStatus::Completed);
    for worker in workers {
        worker.stop(Duration::from_secs(10)).await;
    }
    store.remove().await;
}

#[tokio::test]
async fn redis_keeps_the_rules_of_the_queue() {
    let queue = redis("rules").await;
    let project = llmops::domain::id::ProjectId::default_project();
    let lease = Duration::from_secs(2);
    let at = |s: i64| jiff::Timestamp::from_second(1_800_000_000 + s).unwrap();
    let push = async |name: &str, due: i64| queue.push(&project, (name, "{}"), at(due), at(0)).await.unwrap();
    let take = async |owner: &str, now: i64| queue.take(owner, lease, at(now)).await.unwrap();
    for (name, due) in [("b", 3), ("a", 3), ("late", 9)] {
        push(name, due).await;
    }
    assert_eq!(take("w1", 2).await, None);
    let first = take("w1", 3).await.unwrap();
    assert_eq!((first.name.as_str(), first.attempt, first.project.clone()), ("a", 1, project.clone()));
    assert_eq!(take("w2", 3).await.unwrap().name, "b");
    assert_eq!(take("w2", 4).await, None, "both are held");
    assert!(queue.renew(&first, lease, at(4)).await.unwrap());
    assert_eq!(take("w2", 5).await.unwrap().name, "b", "its lease ended");
    let second = take("w2", 6).await.unwrap();
    assert_eq!((second.name.as_str(), second.attempt), ("a", 2));
    for lost in
        [queue.renew(&first, lease, at(6)).await, queue.finish(&first).await, queue.put_back(&first, at(6), None).await]
    {
        assert!(!lost.unwrap(), "the first worker was only slow");
    }
    assert!(queue.put_back(&second, at(6), Some("no")).await.unwrap());
    push("a", 5).await;
    let again = take("w1", 5).await.unwrap();
    assert_eq!((again.name.as_str(), again.failures), ("a", 1), "pushing brought it forward");
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.due.is_some()), (1, true));
    queue.ping().await.unwrap();
    for name in ["a", "b", "late"] {
        assert!(queue.withdraw(name).await.unwrap());
    }
    assert_eq!(queue.counts().await.unwrap(), llmops::jobs::JobCounts::default());
}

#[tokio::test]
async fn a_run_is_shared_over_redis() {
    let store = TestStore::new(Backend::Postgres).await;
    let provider = Scripted::new(right);
    let queue: Arc<dyn Queue> = Arc::new(redis("shared").await);
    let (a, b) = (queued(&store, &provider, queue.clone()), queued(&store, &provider, queue.clone()));
    add_samples(&a, 3_000).await;
    let workers = [a.start_worker(worker()), b.start_worker(worker())];
    let done = finish(&a, run("m", exact())).await;
    assert_eq!((done.status, provider.calls()), (RunStatus::Completed, 3_000));
    for worker in workers {
        worker.stop(Duration::from_secs(10)).await;
    }
    let left = queue.counts().await.unwrap();
    assert_eq!((left.waiting, left.taken), (0, 0));
    store.remove().await;
}

#[tokio::test]
async fn a_queued_run_whose_provider_is_down_fails_and_resumes() {
    let store = TestStore::new(Backend::Sqlite).await;
    let provider = Scripted::new(right);
    let ops = stored(&store, &provider);
    add_samples(&ops, 200).await;
    provider.down.store(true, Ordering::SeqCst);
    let working = ops.start_worker(worker());
    let failed = finish(&ops, run("m", exact())).await;
    assert_eq!(failed.status, RunStatus::Failed);
    provider.down.store(false, Ordering::SeqCst);
    let resumed = ops.evaluator().start_run(failed.id.as_str()).await.unwrap();
    assert_eq!(wait(&ops, &resumed).await.results.unwrap().passed_samples, 200);
    working.stop(Duration::from_secs(10)).await;
    store.remove().await;
}
