//! Counters that all replicas add to.

use llmops_domain::id::ProjectId;
use llmops_domain::limits::Account;
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

#[tokio::test]
async fn slices_are_granted_until_nothing_is_left() {
    on_backends(async |store| {
        for (want, owed, granted) in [(4, 0, 4), (4, 3, 3), (4, 0, 0), (4, 9, 0)] {
            assert_eq!(store.lease_spending(&account(0), want, owed, 10).await.unwrap(), granted, "{want} {owed}");
        }
        assert_eq!(store.lease_spending(&account(60), 4, 0, 10).await.unwrap(), 4, "another window");
    })
    .await;
}

#[tokio::test]
async fn replicas_never_get_more_than_there_is() {
    on_backends(async |store| {
        let leases = (0..20).map(|_| {
            let store = Store::clone(store);
            tokio::spawn(async move { store.lease_spending(&account(0), 7, 0, 100).await.unwrap() })
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
