use jiff::Timestamp;
use llmops_domain::id::{ProjectId, sortable};
use llmops_domain::incident::{Incident, IncidentFilter};
use llmops_domain::record::RequestRecord;
use llmops_domain::traffic::TrafficSums;
use llmops_storage::{CallsOf, StoreError};
use llmops_testing::on_backends;
use serde_json::json;

use crate::support::{append, at, project};

fn incident(id: &str, environment: &str) -> Incident {
    serde_json::from_value(json!({"id": id, "deployment": "bot", "environment": environment, "title": "a\u{0}b",
        "opened_at": at(0), "opened_by": "dana"}))
    .unwrap()
}

fn call(second: i64, outcome: &str, soft: bool) -> RequestRecord {
    let when = at(second);
    let failures = if soft { json!([{"kind": "empty", "detail": "nothing"}]) } else { json!([]) };
    serde_json::from_value(json!({"id": format!("req_{}", sortable(when.as_millisecond(), 7)), "at": when,
        "door": "chat", "model": "sim/small", "stream": false, "deployment": "bot", "environment": "production",
        "manifest": "a".repeat(64), "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "total_ms": 1.0,
        "status": 200, "outcome": outcome, "attempts": [], "soft_failures": failures}))
    .unwrap()
}

#[tokio::test]
async fn one_incident_is_open_at_a_time() {
    on_backends(async |store| {
        let first = incident("inc_1", "production");
        store.open_incident(&project(), &first).await.unwrap();
        let second = store.open_incident(&project(), &incident("inc_2", "production")).await;
        assert!(matches!(second, Err(StoreError::Conflict(_))), "{second:?}");
        store.open_incident(&project(), &incident("inc_3", "staging")).await.unwrap();
        let found = store.find_open_incident(&project(), "bot", "production").await.unwrap().unwrap();
        assert_eq!((found.id.as_str(), found.title.as_deref()), ("inc_1", Some("a\u{FFFD}b")));
        let elsewhere = ProjectId("other".to_owned());
        assert_eq!(store.find_open_incident(&elsewhere, "bot", "production").await.unwrap(), None);
        let close = |incident: &mut Incident| incident.closed_at = Some(at(9));
        let closed = store.change_incident(&project(), &found.id, close).await.unwrap();
        assert_eq!(closed, Incident { closed_at: Some(at(9)), ..found });
        let again = store.change_incident(&project(), &closed.id, close).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        let absent = store.change_incident(&project(), &"inc_9".into(), close).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
        assert_eq!(store.get_incident(&project(), "inc_1").await.unwrap(), closed);
        let check = async |filter: IncidentFilter, expected: &[&str]| {
            let listed = store.list_incidents(&project(), &filter, 10).await.unwrap();
            assert_eq!(listed.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
        };
        let of =
            |deployment: &str| IncidentFilter { deployment: Some(deployment.to_owned()), ..IncidentFilter::default() };
        check(IncidentFilter::default(), &["inc_3", "inc_1"]).await;
        check(IncidentFilter { open: Some(true), ..of("bot") }, &["inc_3"]).await;
        check(IncidentFilter { open: Some(false), ..of("bot") }, &["inc_1"]).await;
        check(IncidentFilter { environment: Some("production".to_owned()), ..of("bot") }, &["inc_1"]).await;
        check(IncidentFilter { cursor: Some("inc_3".to_owned()), ..of("bot") }, &["inc_1"]).await;
        check(of("other"), &[]).await;
        store.open_incident(&project(), &incident("inc_4", "production")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_the_hour() {
    on_backends(async |store| {
        let calls = [
            call(-10_000, "ok", false),
            call(1, "ok", false),
            call(2, "upstream_error", false),
            call(3, "cancelled", false),
            call(4_000, "ok", true),
            call(4, "refused", false),
        ];
        let owned: Vec<_> = calls.iter().map(|call| (project(), call.clone())).collect();
        append(store, &owned).await;
        let of = CallsOf {
            deployment: "bot",
            environment: "production",
            manifest: None,
            from: at(0),
            until: Timestamp::MAX,
        };
        let hours = store.calls_by_hour(&project(), of).await.unwrap();
        let mut sums = TrafficSums::default();
        for hour in &hours {
            sums.add(&hour.sums);
        }
        assert_eq!((sums.calls, sums.refused, sums.cancelled, sums.counted()), (5, 1, 1, 3));
        assert_eq!((sums.failed, sums.answered, sums.soft_failed), (1, 2, 1));
        let failed = store.failed_calls(&project(), of, None, 10).await.unwrap();
        assert_eq!(failed.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [&*calls[4].id, &*calls[2].id]);
        let other = "b".repeat(64);
        let none = CallsOf { manifest: Some(&other), ..of };
        assert!(store.calls_by_hour(&project(), none).await.unwrap().is_empty());
        assert!(store.failed_calls(&project(), none, None, 10).await.unwrap().is_empty());
    })
    .await;
}
