//! A storm of alerts: none is lost, and nobody is flooded.

use std::collections::BTreeMap;
use std::time::Duration;

use llmops_domain::alert::{AlertDraft, AlertFilter, AlertType, Severity, Telling};
use llmops_domain::config::channels::Wants;
use llmops_domain::id::AlertId;
use llmops_storage::{Compose, Raise, Route};
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
            let compose = Compose { project: &project, channel, id: &id, interval, now, give_up_at };
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
        let compose = Compose { project: &project, channel, id, interval, now, give_up_at };
        named += store.compose_delivery(compose).await.unwrap().map_or(0, |delivery| delivery.notice.count);
        assert_eq!(named, counted.len() as u64, "each cause stands in exactly one message");
    })
    .await;
}
