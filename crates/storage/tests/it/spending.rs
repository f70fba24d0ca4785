//! Counters that all replicas add to.

use llmops_domain::id::ProjectId;
use llmops_domain::limits::{Account, Lease};
use llmops_storage::{MinuteCalls, Store};
use llmops_testing::on_backends;

fn account(start: i64) -> Account {
    Account {
        project: ProjectId::default_project(),
        spender: "key/k".to_owned(),
        what: "requests/minute".to_owned(),
        start,
        end: start + 60,
    }
}

/// What is granted of an account that begins with nothing.
async fn lease(store: &Store, account: &Account, (want, owed, most): (u64, u64, u64)) -> u64 {
    store.lease_spending(account, Lease { want, owed, most, before: Some(0) }).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_account_begins_with_what_was_spent_before() {
    on_backends(async |store| {
        let lease = async |want, before| {
            store.lease_spending(&account(0), Lease { want, owed: 0, most: 10, before }).await.unwrap()
        };
        assert_eq!(lease(1, None).await, None, "nobody knows yet");
        assert_eq!(lease(4, Some(7)).await, Some(3));
        // Whoever looked at the same time finds the account made.
        assert_eq!(lease(4, Some(7)).await, Some(0));
        assert_eq!(lease(4, None).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn slices_are_granted_until_nothing_is_left() {
    on_backends(async |store| {
        for (want, owed, granted) in [(4, 0, 4), (4, 3, 3), (4, 0, 0), (4, 9, 0)] {
            assert_eq!(lease(store, &account(0), (want, owed, 10)).await, granted, "{want} {owed}");
        }
        assert_eq!(lease(store, &account(60), (4, 0, 10)).await, 4, "another window");
    })
    .await;
}

#[tokio::test]
async fn replicas_never_get_more_than_there_is() {
    on_backends(async |store| {
        let leases = (0..20).map(|_| {
            let store = Store::clone(store);
            tokio::spawn(async move { lease(&store, &account(0), (7, 0, 100)).await })
        });
        let mut total = 0;
        for lease in leases.collect::<Vec<_>>() {
            total += lease.await.unwrap();
        }
        assert_eq!(total, 100);
    })
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_the_minute() {
    on_backends(async |store| {
        let project = ProjectId::default_project();
        let calls = |deployment: &str, minute, calls, soft_failed| MinuteCalls {
            project: project.clone(),
            deployment: deployment.to_owned(),
            environment: "production".to_owned(),
            minute,
            calls,
            soft_failed,
        };
        store.add_calls(&[calls("bot", 1, 5, 1), calls("bot", 2, 7, 0), calls("other", 1, 9, 9)]).await.unwrap();
        store.add_calls(&[calls("bot", 2, 1, 1)]).await.unwrap();
        let count = async |minutes| store.count_calls(&project, "bot", "production", minutes).await.unwrap();
        assert_eq!(count(1..3).await, (13, 2));
        assert_eq!(count(2..3).await, (8, 1));
        assert_eq!(count(3..9).await, (0, 0));
        assert_eq!(store.forget_calls(2).await.unwrap(), 2);
        assert_eq!(count(0..9).await, (8, 1));
    })
    .await;
}
