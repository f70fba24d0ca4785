use std::collections::BTreeMap;

use llmops_domain::chat::{MOST_TOKENS, Usage};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallAttempt, CallOutcome, Door, RecordFilter, RequestRecord};
use llmops_domain::soft_failure::{SoftFailure, SoftFailureKind};
use llmops_storage::{AGING, StoreError, StoredHour};
use llmops_testing::on_backends;
use serde_json::json;

use crate::support::{append, at, execute, project};

fn record(number: i64, user: &str) -> RequestRecord {
    RequestRecord {
        id: format!("req_{number:018}"),
        at: at(number),
        door: Door::Chat,
        key: None,
        deployment: Some("bot".to_owned()),
        environment: Some("production".to_owned()),
        manifest: None,
        variant: None,
        model: "sim/small".to_owned(),
        model_answered: Some("small-1".to_owned()),
        fingerprint: None,
        stream: false,
        user: Some(user.to_owned()),
        session: None,
        trace_id: None,
        tags: BTreeMap::from([("team".to_owned(), "ünï".to_owned())]),
        usage: Usage::new(3, 1),
        usage_estimated: true,
        cost: Some(0.25),
        first_byte_ms: Some(1.5),
        total_ms: 2.5,
        status: 200,
        outcome: CallOutcome::Ok,
        error: None,
        finish_reason: Some("stop".to_owned()),
        guard: Vec::new(),
        cached: false,
        safe_mode: false,
        soft_failures: Vec::new(),
        undecided: Vec::new(),
        attempts: vec![CallAttempt { model: "sim/small".to_owned(), status: Some(200), error: None, ms: 2.0 }],
        request_body: Some("a \u{1} body".to_owned()),
        response_body: None,
    }
}

fn ids(records: &[RequestRecord]) -> Vec<&str> {
    records.iter().map(|record| record.id.trim_start_matches("req_").trim_start_matches('0')).collect()
}

#[tokio::test]
async fn records_are_found_by_what_is_asked() {
    on_backends(async |store| {
        let mut failed = record(3, "ben");
        failed.outcome = CallOutcome::UpstreamError;
        let mut soft = record(4, "ana");
        soft.soft_failures = vec![SoftFailure { kind: SoftFailureKind::Empty, detail: "nothing".to_owned() }];
        let mut placed = record(2, "ben");
        (placed.deployment, placed.environment) = (Some("desk".to_owned()), Some("staging".to_owned()));
        (placed.session, placed.manifest) = (Some("s-2".to_owned()), Some(ContentHash::of_bytes(b"m")));
        // A session's id that names somebody is kept as a hash.
        let hidden = RequestRecord { session: Some(ContentHash::of_bytes(b"s-3").to_string()), ..record(1, "ana") };
        let all = [hidden, placed, failed, soft].map(|record| (project(), record)).to_vec();
        append(store, &all).await;
        // A batch may come again.
        append(store, &all[1..]).await;

        let find = async |filter: RecordFilter| store.list_records(&project(), &filter, 10).await.unwrap();
        let found = find(RecordFilter::default()).await;
        assert_eq!(ids(&found), ["4", "3", "2", "1"]);
        assert_eq!(found[3], all[0].1);
        let check = async |filter: serde_json::Value, expected: &[&str]| {
            let found = find(serde_json::from_value(filter.clone()).unwrap()).await;
            assert_eq!(ids(&found), expected, "{filter}");
        };
        check(json!({"user": "ben"}), &["3", "2"]).await;
        check(json!({"user": "nobody"}), &[]).await;
        check(json!({"outcome": "upstream_error"}), &["3"]).await;
        check(json!({"outcome": "ok", "user": "ben"}), &["2"]).await;
        check(json!({"soft_failed": true}), &["4"]).await;
        check(json!({"soft_failed": false}), &["4", "3", "2", "1"]).await;
        check(json!({"deployment": "desk", "environment": "staging"}), &["2"]).await;
        check(json!({"model": "sim/small", "session": "s-2", "manifest": ContentHash::of_bytes(b"m")}), &["2"]).await;
        check(json!({"model": "sim/large"}), &[]).await;
        check(json!({"session": "s-3"}), &["1"]).await;
        check(json!({"start_time": at(2), "end_time": at(4)}), &["3", "2"]).await;
        check(json!({"cursor": found[1].id}), &["2", "1"]).await;
        check(json!({"after": found[2].id}), &["4", "3"]).await;
        let other = ProjectId("other".to_owned());
        assert_eq!(store.list_records(&other, &RecordFilter::default(), 10).await.unwrap(), []);

        assert_eq!(store.get_record(&project(), &all[0].1.id).await.unwrap(), all[0].1);
        let absent = store.get_record(&other, &all[0].1.id).await;
        assert!(matches!(absent, Err(StoreError::NotFound { what: "record", .. })), "{absent:?}");
    })
    .await;
}

#[tokio::test]
async fn records_go_by_user_and_by_age() {
    on_backends(async |store| {
        let all: Vec<_> = (1..=6).map(|i| (project(), record(i, if i % 2 == 0 { "ana" } else { "ben" }))).collect();
        append(store, &all).await;
        assert_eq!(store.erase_records_of_user(&ProjectId("other".to_owned()), "ana").await.unwrap(), 0);
        assert_eq!(store.erase_records_of_user(&project(), "ana").await.unwrap(), 3);
        let aging = AGING.iter().find(|kind| kind.table() == "request_records").unwrap();
        assert_eq!(store.delete_old(aging, at(5), 1).await.unwrap(), 1);
        assert_eq!(store.delete_old(aging, at(5), 10).await.unwrap(), 1);
        let left = store.list_records(&project(), &RecordFilter::default(), 10).await.unwrap();
        assert_eq!(ids(&left), ["5"]);
    })
    .await;
}

#[tokio::test]
async fn what_comes_after_an_erasure_is_kept_if_it_is_of_after_it() {
    on_backends(async |store| {
        store.remember_erasure(&project(), ("ana", &[]), at(5)).await.unwrap();
        let hash = ContentHash::of_bytes(b"ana").to_string();
        let nobody = RequestRecord { user: None, ..record(4, "") };
        let other = ProjectId("other".to_owned());
        let all = [record(1, "ana"), record(2, &hash), record(3, "ben"), nobody, record(6, "ana"), record(7, &hash)];
        let owned: Vec<_> = all.iter().map(|record| (project(), record.clone())).collect();
        append(store, &owned).await;
        // A batch may come again, with others.
        append(store, &[(project(), record(1, "ana")), (project(), record(8, "ana"))]).await;
        append(store, &[(other.clone(), record(1, "ana"))]).await;
        let kept = async |project: &ProjectId| store.list_records(project, &RecordFilter::default(), 10).await.unwrap();
        assert_eq!(ids(&kept(&project()).await), ["8", "7", "6", "4", "3"]);
        assert_eq!(ids(&kept(&other).await), ["1"]);
        // Erased once more, later; and what is older does not count.
        store.remember_erasure(&project(), ("ana", &[]), at(9)).await.unwrap();
        store.remember_erasure(&project(), ("ana", &[]), at(2)).await.unwrap();
        assert_eq!(store.erase_records_of_user(&project(), "ana").await.unwrap(), 2);
        append(store, &[(project(), record(9, "ana")), (project(), record(10, "ana"))]).await;
        assert_eq!(ids(&kept(&project()).await), ["10", "7", "4", "3"]);
    })
    .await;
}

#[tokio::test]
async fn a_nul_does_not_stop_a_batch() {
    on_backends(async |store| {
        let mut odd = RequestRecord { request_body: Some("a\0b".to_owned()), ..record(1, "a\0na") };
        (odd.session, odd.trace_id, odd.model) = (Some("\0".to_owned()), Some("t\0".to_owned()), "sim/\0".to_owned());
        append(store, &[(project(), odd), (project(), record(2, "ana"))]).await;
        let stored = store.list_records(&project(), &RecordFilter::default(), 10).await.unwrap();
        assert_eq!(stored[1].request_body.as_deref(), Some("a\u{FFFD}b"));
        let theirs = RecordFilter { user: Some("a\0na".to_owned()), ..RecordFilter::default() };
        assert_eq!(ids(&store.list_records(&project(), &theirs, 10).await.unwrap()), ["1"]);
        assert_eq!(store.erase_records_of_user(&project(), "a\0na").await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_body_about_escapes_is_stored_as_it_is() {
    let bodies = [r"what is \u0000 in JSON?", r"\\u0000", r"\\\u0000\", r#"{"text": "\u0000"}"#];
    on_backends(async |store| {
        for (number, body) in bodies.into_iter().enumerate() {
            let number = i64::try_from(number).unwrap();
            let asked = RequestRecord { request_body: Some(body.to_owned()), ..record(number, "ana") };
            append(store, &[(project(), asked.clone())]).await;
            assert_eq!(store.get_record(&project(), &asked.id).await.unwrap(), asked);
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other() {
    on_backends(async |store| {
        let all: Vec<_> = (1..=5).map(|number| (project(), record(number, "ana"))).collect();
        append(store, &all).await;
        execute(store, "UPDATE request_records SET document = '{\"id\": 4}' WHERE id LIKE '%4' OR id LIKE '%3'").await;
        let page = async |limit| store.list_records(&project(), &RecordFilter::default(), limit).await.unwrap();
        assert_eq!(ids(&page(10).await), ["5", "2", "1"]);
        // A page that is short would end a list.
        assert_eq!(ids(&page(2).await), ["5", "2"]);
        assert_eq!(ids(&page(1).await), ["5"]);
        let unreadable = store.get_record(&project(), &all[3].1.id).await;
        assert!(matches!(unreadable, Err(StoreError::Corrupt(_))), "{unreadable:?}");
        assert_eq!(store.find_record(&project(), &all[3].1.id).await.unwrap(), None);
        assert_eq!(store.find_record(&project(), &all[4].1.id).await.unwrap().unwrap(), all[4].1);
        assert_eq!(store.find_record(&project(), "req_none").await.unwrap(), None);
        assert_eq!(store.erase_records_of_user(&project(), "ana").await.unwrap(), 5);
    })
    .await;
}

#[tokio::test]
async fn absurd_counts_of_tokens_stop_no_batch() {
    on_backends(async |store| {
        let usage = Usage::new(9_223_372_036_854_775_000, u64::MAX);
        let absurd = |number| (project(), RequestRecord { usage, ..record(number, "ana") });
        append(store, &[absurd(1), absurd(2)]).await;
        append(store, &[absurd(3), (project(), record(4, "ben"))]).await;
        let hours = store.traffic_between(&project(), (None, None), (at(0), at(10))).await.unwrap();
        assert_eq!((hours[0].sums.calls, hours[0].sums.prompt_tokens), (4, 3 * MOST_TOKENS + 3));
    })
    .await;
}

#[tokio::test]
async fn traffic_adds_up_by_hour_and_counts_no_record_twice() {
    on_backends(async |store| {
        let hour = 3600;
        let mut failed = record(hour + 5, "ben");
        failed.outcome = CallOutcome::Unavailable;
        failed.cost = None;
        failed.total_ms = 900.0;
        let mut soft = record(hour + 6, "ana");
        soft.deployment = None;
        soft.environment = None;
        soft.soft_failures = vec![SoftFailure { kind: SoftFailureKind::Empty, detail: "nothing".to_owned() }];
        let mut placed = record(2, "ben");
        (placed.deployment, placed.environment) = (Some("desk".to_owned()), Some("staging".to_owned()));
        (placed.session, placed.manifest) = (Some("s-2".to_owned()), Some(ContentHash::of_bytes(b"m")));
        let all = [record(1, "ana"), placed, failed, soft].map(|record| (project(), record)).to_vec();
        append(store, &all[..2]).await;
        // A batch may come again, with new records in it, and with one twice.
        let repeated = [all.clone(), all[3..].to_vec()].concat();
        append(store, &repeated).await;

        let hours = store.traffic_between(&project(), (None, None), (at(0), at(hour))).await.unwrap();
        let told = |hour: &StoredHour| (hour.sums.calls, hour.sums.failed, hour.sums.soft_failed, hour.sums.priced);
        assert_eq!(hours.iter().map(told).collect::<Vec<_>>(), [(2, 0, 0, 2), (2, 1, 1, 1)]);
        assert_eq!(hours[0].sums.cost, 0.5);
        assert_eq!(hours[1].sums.prompt_tokens, 6);
        assert_eq!(hours[1].latencies.iter().map(|(_, calls)| calls).sum::<u64>(), 2);
        let bot =
            store.traffic_between(&project(), (Some("bot"), Some("production")), (at(hour), at(hour))).await.unwrap();
        assert_eq!(bot.iter().map(told).collect::<Vec<_>>(), [(1, 1, 0, 0)]);
        // What comes later is in no stretch that ends before.
        let first = store.traffic_between(&project(), (None, None), (at(0), at(0))).await.unwrap();
        assert_eq!(first.iter().map(told).collect::<Vec<_>>(), [(2, 0, 0, 2)]);
        let other = ProjectId("other".to_owned());
        assert_eq!(store.traffic_between(&other, (None, None), (at(0), at(hour))).await.unwrap(), []);
    })
    .await;
}
