//! A storm of alerts: none is lost, and nobody is flooded.

use std::collections::BTreeMap;
use std::time::Duration;

use llmops_domain::alert::{AlertDraft, AlertFilter, AlertType, Severity, Telling};
use llmops_domain::config::channels::Wants;
use llmops_domain::id::AlertId;
use llmops_storage::{Attempted, Compose, Raise, Route, Store};
use llmops_testing::on_backends;

use crate::support::{at, project};

/// PostgreSQL is asked over the network for each of them: a tenth must do.
const ALERTS: [usize; 2] = [10_000, 1_000];
const CAUSES: u64 = 150;
const BATCH: usize = 500;

#[tokio::test]
async fn ten_thousand_alerts_are_counted_and_told_once_a_cause() {
    on_backends(async |store| {
        let alerts = ALERTS[usize::from(!store.is_sqlite())];
        let mut seed = 7_u64;
        let routes = [Route { channel: "team".to_owned(), wants: Wants::default() }];
        let (mut told, mut expected, mut messages, mut named) = (0, BTreeMap::<String, u64>::new(), 0, 0);
        for (second, start) in (0_i64..).zip((0..alerts).step_by(BATCH)) {
            // All of them within a minute, well inside of the cooldown.
            let now = at(second * 3);
            let drafts = (start..start + BATCH).map(|i| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let cause = format!("metric-{:03}", (seed >> 33) % CAUSES);
                *expected.entry(cause.clone()).or_default() += 1;
                let draft =
                    AlertDraft::new(AlertType::Threshold, Severity::Warning, "storm", format!("{cause} is low"));
                (AlertId(format!("alr_{i:06}")), draft.about("x", Some(&cause)))
            });
            let raise = Raise { drafts: drafts.collect(), routes: &routes, cooldown: Duration::from_hours(1), now };
            let raised = store.raise_alerts(&project(), raise).await.unwrap();
            assert_eq!(raised.len(), BATCH);
            told += raised.iter().filter(|raised| raised.telling == Telling::Told).count();
            let id = format!("msg_{second}");
            let (project, interval) = (project(), Duration::from_secs(30));
            let (channel, give_up_at) = ("team", at(86_400));
            let compose = Compose { project: &project, channel, id: &id, each: false, interval, now, give_up_at };
            if let Some(delivery) = store.compose_delivery(compose).await.unwrap() {
                messages += 1;
                named += delivery.notice.count;
            }
        }
        let mut counted = BTreeMap::new();
        let mut filter = AlertFilter { limit: Some(100), ..AlertFilter::default() };
        loop {
            let page = store.list_alerts(&project(), &filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id.clone());
            counted.extend(page.into_iter().map(|alert| (alert.metric.unwrap(), alert.count)));
        }
        assert_eq!(counted, expected, "every alert is counted on the open alert of its cause");
        assert_eq!(counted.values().sum::<u64>(), alerts as u64);
        assert_eq!(told, counted.len(), "a cause is told once within its cooldown");
        assert!((1..=3).contains(&messages), "{messages} messages within a minute");
        // What was not told in a message waits for the next one.
        let (project, channel, id) = (project(), "team", "msg_last");
        let (interval, now, give_up_at) = (Duration::from_secs(30), at(600), at(86_400));
        let compose = Compose { project: &project, channel, id, each: false, interval, now, give_up_at };
        named += store.compose_delivery(compose).await.unwrap().map_or(0, |delivery| delivery.notice.count);
        assert_eq!(named, counted.len() as u64, "each cause stands in exactly one message");
    })
    .await;
}

/// Raises an alert of a cause, for the channels that are told.
async fn raise(store: &Store, routes: &[Route], cause: &str, severity: Severity, second: i64) -> AlertId {
    let draft = AlertDraft::new(AlertType::Threshold, severity, "it", "low").about("x", Some(cause));
    let drafts = vec![(AlertId(format!("alr_{cause}_{second:06}")), draft)];
    let raise = Raise { drafts, routes, cooldown: Duration::ZERO, now: at(second) };
    store.raise_alerts(&project(), raise).await.unwrap().remove(0).alert.id
}

/// What the next message to a channel tells: what happened, and to which number.
async fn told(store: &Store, channel: &str, each: bool, second: i64) -> Vec<String> {
    let (project, id, interval) = (project(), format!("msg_{channel}_{second:06}"), Duration::ZERO);
    let (now, give_up_at) = (at(second), at(second + 86_400));
    let compose = Compose { project: &project, channel, id: &id, each, interval, now, give_up_at };
    let Some(delivery) = store.compose_delivery(compose).await.unwrap() else { return Vec::new() };
    let told = delivery.notice.alerts.iter();
    told.map(|told| format!("{} {}", told.action, told.alert.metric.clone().unwrap())).collect()
}

#[tokio::test]
async fn who_heard_of_an_alert_hears_of_its_end() {
    on_backends(async |store| {
        let only = |severity| Wants { severities: vec![severity], ..Wants::default() };
        let routes = [
            Route { channel: "duty".to_owned(), wants: only(Severity::Critical) },
            Route { channel: "never".to_owned(), wants: only(Severity::Info) },
            Route { channel: "quiet".to_owned(), wants: Wants { resolved: false, ..Wants::default() } },
        ];
        let alert = raise(store, &routes, "a", Severity::Critical, 1).await;
        assert_eq!(raise(store, &routes, "a", Severity::Warning, 2).await, alert, "one cause is one alert");
        store.resolve_alerts(&project(), std::slice::from_ref(&alert), &routes, at(3)).await.unwrap();
        assert_eq!(told(store, "duty", false, 4).await, ["raised a", "resolved a"]);
        assert_eq!(told(store, "never", false, 4).await, Vec::<String>::new());
        assert_eq!(told(store, "quiet", false, 4).await, ["raised a", "raised a"]);
    })
    .await;
}

#[tokio::test]
async fn messages_keep_the_order_of_what_happened_and_none_is_left_out_where_each_counts() {
    on_backends(async |store| {
        let routes = ["list", "duty"].map(|channel| Route { channel: channel.to_owned(), wants: Wants::default() });
        raise(store, &routes, "b", Severity::Info, 1).await;
        raise(store, &routes, "a", Severity::Warning, 2).await;
        let alert = raise(store, &routes, "a", Severity::Critical, 3).await;
        store.resolve_alerts(&project(), &[alert], &routes, at(4)).await.unwrap();
        assert_eq!(told(store, "list", false, 5).await, ["raised a", "raised a", "resolved a", "raised b"]);
        assert_eq!(told(store, "duty", true, 5).await, ["resolved a", "raised b"], "how each of them is");

        for number in 0..150 {
            raise(store, &routes, &format!("{number:03}"), Severity::Warning, 10).await;
        }
        assert_eq!(told(store, "list", false, 11).await.len(), 100);
        assert_eq!(told(store, "list", false, 12).await.len(), 0, "the others are counted");
        let (first, rest) = (told(store, "duty", true, 11).await, told(store, "duty", true, 12).await);
        assert_eq!((first.len(), rest.len()), (100, 50), "each is told");
        assert_eq!((first[0].as_str(), rest[49].as_str()), ("raised 000", "raised 149"));
    })
    .await;
}

#[tokio::test]
async fn a_message_waits_a_while_for_the_one_before() {
    on_backends(async |store| {
        let routes = ["one", "other"].map(|channel| Route { channel: channel.to_owned(), wants: Wants::default() });
        for second in [1, 2] {
            raise(store, &routes, &second.to_string(), Severity::Warning, second).await;
            for channel in ["one", "other"] {
                told(store, channel, false, second).await;
            }
        }
        let claim = async |second: i64| {
            let leased = store.claim_delivery("me", Duration::from_mins(1), at(second)).await.unwrap();
            leased.map(|leased| (leased.delivery.id.clone(), leased))
        };
        let (first, leased) = claim(3).await.unwrap();
        assert_eq!(first, "msg_one_000001");
        assert_eq!(claim(3).await.unwrap().0, "msg_other_000001", "channels do not wait for each other");
        assert!(claim(3).await.is_none(), "the first ones are on their way");
        let again = Attempted::Again { at: at(3600), error: "not now".to_owned() };
        store.finish_delivery(&leased, &again, at(4)).await.unwrap();
        assert!(claim(5).await.is_none(), "it waits for the one before");
        assert_eq!(claim(100).await.unwrap().0, "msg_other_000001", "its lease has run out");
        let late = claim(122).await.unwrap().0;
        assert_eq!(late, "msg_one_000002", "but not for ever");
    })
    .await;
}
