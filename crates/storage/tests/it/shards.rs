use std::time::Duration;

use llmops_domain::id::RunId;
use llmops_storage::{Shard, Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, errored, execute, project, run, scored, stored_run};

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn shards_are_claimed_in_order_until_none_is_left() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let mut ranges = Vec::new();
        while let Some(shard) = store.claim_shard(&run, "w1", LEASE, at(0)).await.unwrap() {
            assert_eq!((shard.attempt, shard.owner.as_str()), (1, "w1"));
            ranges.push((shard.index, shard.start, shard.end));
        }
        assert_eq!(ranges, [(0, 0, 6), (1, 6, 12), (2, 12, 18), (3, 18, 20)]);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_ended_is_claimed_by_another() {
    on_backends(async |store| {
        let run = store.create_run(&project(), &run("run_1"), &[(0, 20)]).await.unwrap();
        let first = store.claim_shard(&run, "w1", LEASE, at(0)).await.unwrap().unwrap();
        assert_eq!(store.claim_shard(&run, "w2", LEASE, at(9)).await.unwrap(), None);
        store.renew_lease(&first, LEASE, at(9)).await.unwrap();
        assert_eq!(store.claim_shard(&run, "w2", LEASE, at(18)).await.unwrap(), None, "it was renewed");
        let second = store.claim_shard(&run, "w2", LEASE, at(19)).await.unwrap().unwrap();
        assert_eq!((second.index, second.attempt), (first.index, 2));
        for lost in [store.renew_lease(&first, LEASE, at(20)).await, store.complete_shard(&first).await] {
            assert!(matches!(lost, Err(StoreError::LeaseLost { shard: 0 })));
        }
        store.complete_shard(&second).await.unwrap();
        assert!(store.complete_shard(&second).await.is_err(), "it is complete already");
        assert_eq!(store.claim_shard(&run, "w1", LEASE, at(1000)).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_owner_that_claims_again_is_another_attempt() {
    on_backends(async |store| {
        let run = store.create_run(&project(), &run("run_1"), &[(0, 20)]).await.unwrap();
        let first = store.claim_shard(&run, "w1", LEASE, at(0)).await.unwrap().unwrap();
        let second = store.claim_shard(&run, "w1", LEASE, at(60)).await.unwrap().unwrap();
        assert!(matches!(store.complete_shard(&first).await, Err(StoreError::LeaseLost { .. })));
        store.complete_shard(&second).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn leases_of_a_dead_process_are_released() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        let claim = async |owner: &str| store.claim_shard(&run, owner, LEASE, at(0)).await.unwrap().unwrap();
        let (done, _, _) = (claim("dead").await, claim("dead").await, claim("alive").await);
        store.complete_shard(&done).await.unwrap();
        assert_eq!(store.running_leases(&project()).await.unwrap(), [], "the run is pending");
        execute(store, "UPDATE runs SET status = 'running'").await;
        let held = store.running_leases(&project()).await.unwrap();
        assert_eq!(held, [("alive", 10), ("dead", 10)].map(|(o, t)| (RunId::from("run_1"), o.to_owned(), at(t))));
        let summary = store.shard_summary(&run).await.unwrap();
        assert_eq!((summary.total, summary.done), (4, 1));
        let leases: Vec<_> = summary.leases.iter().map(|l| (l.owner.as_str(), l.shards, l.until)).collect();
        assert_eq!(leases, [("alive", 1, at(10)), ("dead", 1, at(10))]);
        let released = store.release_leases(&run, &["dead".to_owned(), "unknown".to_owned()]).await.unwrap();
        assert_eq!(released, 1);
        assert_eq!(claim("w2").await.index, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_shard_has_two_owners() {
    on_backends(async |store| {
        let shards: Vec<(u64, u64)> = (0..60).map(|i| (i, i + 1)).collect();
        let run = store.create_run(&project(), &run("run_1"), &shards).await.unwrap();
        // A second store is a second process: its connections know nothing of the first's.
        let other = Store::open(store.url()).await.unwrap();
        let workers: Vec<_> = (0..8)
            .map(|i| {
                let store: Store = if i % 2 == 0 { Store::clone(store) } else { other.clone() };
                let run = run.clone();
                tokio::spawn(async move {
                    let mut mine: Vec<Shard> = Vec::new();
                    while let Some(shard) = store.claim_shard(&run, &format!("w{i}"), LEASE, at(0)).await.unwrap() {
                        mine.push(shard);
                    }
                    mine
                })
            })
            .collect();
        let mut claimed = Vec::new();
        for worker in workers {
            claimed.extend(worker.await.unwrap().into_iter().map(|shard| shard.index));
        }
        claimed.sort_unstable();
        assert_eq!(claimed, (0..60).collect::<Vec<_>>());
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn clearing_errors_reopens_the_shards_they_are_in() {
    on_backends(async |store| {
        let run = stored_run(store, "run_1").await;
        while let Some(shard) = store.claim_shard(&run, "w", LEASE, at(0)).await.unwrap() {
            store.complete_shard(&shard).await.unwrap();
        }
        let results = vec![scored(0, 0, 0.9), errored(3, 0), scored(3, 1, 0.9), errored(9, 1)];
        store.result_writer().submit(&run, results).await.unwrap();
        assert_eq!(store.clear_errored(&run).await.unwrap(), 2);
        let progress = store.progress(&run).await.unwrap();
        assert_eq!((progress.done, progress.errored, progress.cost), (2, 0, 2.0), "what was spent stays spent");
        let again = store.claim_shard(&run, "w", LEASE, at(0)).await.unwrap().unwrap();
        assert_eq!((again.index, again.attempt), (1, 2), "pair 6 is in shard 1");
        assert_eq!(store.claim_shard(&run, "w", LEASE, at(0)).await.unwrap().unwrap().index, 3);
        assert_eq!(store.claim_shard(&run, "w", LEASE, at(0)).await.unwrap(), None);
        assert_eq!(store.clear_errored(&run).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn knows_whether_a_newcomer_finds_work() {
    on_backends(async |store| {
        let run = store.create_run(&project(), &run("run_1"), &[(0, 10), (10, 20)]).await.unwrap();
        let has_work = async |now: i64| store.has_work(&run, at(now)).await.unwrap();
        assert!(has_work(0).await);
        let shards = [
            store.claim_shard(&run, "w1", LEASE, at(0)).await.unwrap().unwrap(),
            store.claim_shard(&run, "w1", LEASE, at(0)).await.unwrap().unwrap(),
        ];
        assert!(!has_work(5).await, "all is in other hands");
        assert!(has_work(10).await, "the leases have ended");
        store.complete_shard(&shards[0]).await.unwrap();
        assert!(!has_work(5).await);
        store.complete_shard(&shards[1]).await.unwrap();
        assert!(has_work(5).await, "somebody must end the run");
    })
    .await;
}
