use std::time::Duration;

use llmops_storage::{JobCounts, Store, TakenJob};
use llmops_testing::on_backends;

use crate::support::{at, project};

const LEASE: Duration = Duration::from_secs(10);

async fn push(store: &Store, name: &str, due: i64) {
    store.push_job(&project(), (name, "{}"), at(due), at(0)).await.unwrap();
}

async fn take(store: &Store, owner: &str, now: i64) -> Option<TakenJob> {
    store.take_job(owner, LEASE, at(now)).await.unwrap()
}

#[tokio::test]
async fn jobs_are_taken_in_the_order_in_which_they_become_due() {
    on_backends(async |store| {
        for (name, due) in [("late", 9), ("b", 3), ("a", 3), ("first", 1)] {
            push(store, name, due).await;
        }
        assert_eq!(store.next_job_due().await.unwrap(), Some(at(1)));
        assert_eq!(take(store, "w", 0).await, None, "none is due yet");
        let mut names = Vec::new();
        while let Some(job) = take(store, "w", 5).await {
            assert_eq!((job.attempt, job.failures), (1, 0));
            names.push(job.name);
        }
        assert_eq!(names, ["first", "a", "b"]);
        assert_eq!(store.count_jobs().await.unwrap(), JobCounts { waiting: 1, taken: 3, failing: 0, due: Some(at(9)) });
    })
    .await;
}

#[tokio::test]
async fn a_job_whose_worker_died_is_due_when_its_lease_ends() {
    on_backends(async |store| {
        push(store, "x", 0).await;
        let first = take(store, "w1", 0).await.unwrap();
        assert_eq!(take(store, "w2", 9).await, None);
        assert!(store.renew_job(&first, LEASE, at(9)).await.unwrap());
        assert_eq!(take(store, "w2", 18).await, None, "it was renewed");
        let second = take(store, "w2", 19).await.unwrap();
        assert_eq!(second.attempt, 2);
        // The first worker was only slow. It can no longer do anything to the job.
        assert!(!store.renew_job(&first, LEASE, at(20)).await.unwrap());
        assert!(!store.return_job(&first, at(20), None).await.unwrap());
        assert!(!store.finish_job(&first).await.unwrap());
        assert!(store.finish_job(&second).await.unwrap());
        assert_eq!(take(store, "w1", 1000).await, None);
    })
    .await;
}

#[tokio::test]
async fn the_same_work_is_queued_once() {
    on_backends(async |store| {
        push(store, "x", 5).await;
        push(store, "x", 9).await;
        assert_eq!(store.next_job_due().await.unwrap(), Some(at(5)), "later does not put it off");
        push(store, "x", 2).await;
        assert_eq!(store.next_job_due().await.unwrap(), Some(at(2)));
        take(store, "w", 2).await.unwrap();
        push(store, "x", 2).await;
        assert_eq!(take(store, "w", 3).await, None, "pushing does not take it out of its worker's hands");
    })
    .await;
}

#[tokio::test]
async fn failures_in_a_row_are_counted() {
    on_backends(async |store| {
        push(store, "x", 0).await;
        for failures in 0..3 {
            let job = take(store, "w", 0).await.unwrap();
            assert_eq!(job.failures, failures);
            assert!(store.return_job(&job, at(0), Some("no\0pe")).await.unwrap());
        }
        assert_eq!(store.count_jobs().await.unwrap().failing, 1);
        let job = take(store, "w", 0).await.unwrap();
        assert!(store.return_job(&job, at(0), None).await.unwrap());
        assert_eq!(take(store, "w", 0).await.unwrap().failures, 0);
        assert!(store.withdraw_job("x").await.unwrap());
        assert!(!store.withdraw_job("x").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn no_job_is_given_to_two_workers() {
    on_backends(async |store| {
        for i in 0..60 {
            push(store, &format!("job {i:02}"), 0).await;
        }
        let worker = async |owner: &str| {
            let mut names = Vec::new();
            while let Some(job) = take(store, owner, 1).await {
                names.push(job.name);
            }
            names
        };
        let (a, b, c) = tokio::join!(worker("a"), worker("b"), worker("c"));
        let mut all = [a, b, c].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 60);
    })
    .await;
}
