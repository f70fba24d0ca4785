//! Alerts among several processes, and reviews that outlive the process that should have made them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use llmops::domain::alert::{AlertAction, AlertDraft, AlertFilter, AlertType, Matcher, Severity, Telling};
use llmops::domain::event::Event;
use llmops::evaluator::RunRef;
use llmops::{AlertOptions, Options};
use llmops_storage::Store;
use llmops_testing::on_backends;

use crate::experiments::{FakeClock, replica};
use crate::scripted::{Scripted, add_samples, exact, finish, installation, installation_with, right, run};

fn draft(metric: &str) -> AlertDraft {
    AlertDraft::new(AlertType::Threshold, Severity::Warning, "test", format!("{metric} is low"))
        .about("x", Some(metric))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_raise_one_alert_and_tell_it_once() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let other = Store::open(store.url()).await.unwrap();
        let processes = [installation(store, &provider), installation(&other, &provider)];
        let raising: Vec<_> = (0..40)
            .map(|i| {
                let alerts = processes[i % 2].alerts();
                // Two causes in either order: whoever takes locks in the order of the drafts would wait for ever.
                let metrics = if i % 4 < 2 { ["a", "b"] } else { ["b", "a"] };
                tokio::spawn(async move { alerts.create_all(metrics.map(draft).to_vec()).await.unwrap() })
            })
            .collect();
        let mut told = 0;
        for raised in raising {
            told += raised.await.unwrap().iter().filter(|raised| raised.telling == Telling::Told).count();
        }
        assert_eq!(told, 2, "once for each cause");
        let alerts = processes[0].alerts().list(&AlertFilter::default()).await.unwrap();
        assert_eq!(alerts.iter().map(|alert| alert.count).collect::<Vec<_>>(), [40, 40]);
        other.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_run_has_ended_when_its_numbers_were_looked_at() {
    on_backends(async |store| {
        let provider = Scripted::new(|_| "no".to_owned());
        let thresholds = [("pass_rate".to_owned(), 0.5)].into();
        let alerts = AlertOptions { thresholds, ..AlertOptions::default() };
        let ops = installation_with(store, &provider, Options { alerts, ..Options::default() });
        add_samples(&ops, 3).await;
        let evaluator = ops.evaluator();
        let id = evaluator.create_run(run("m", exact())).await.unwrap().id;
        let named = RunRef::Id(id.0);
        // Whoever asks at the moment when the status is written is the one who would leave too early.
        while !evaluator.get_run(&named, None).await.unwrap().status.is_final() {
            tokio::task::yield_now().await;
        }
        evaluator.wait(&named, Duration::from_secs(30)).await.unwrap();
        let open = ops.alerts().list(&AlertFilter::default()).await.unwrap();
        assert_eq!(open.iter().map(|alert| alert.metric.as_deref()).collect::<Vec<_>>(), [Some("pass_rate")]);
    })
    .await;
}

#[tokio::test]
async fn every_completed_run_is_reviewed_once() {
    on_backends(async |store| {
        let is_bad = Arc::new(AtomicBool::new(false));
        let bad = is_bad.clone();
        let provider = Scripted::new(move |r| if bad.load(Ordering::SeqCst) { "no".to_owned() } else { right(r) });
        let ops = installation(store, &provider);
        add_samples(&ops, 10).await;
        let mut request = run("m", exact());
        request.cache = false;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = heard.clone();
        let alerts = ops.alerts();
        let subscription = alerts.subscribe(move |action, alert| {
            if alert.metric.as_deref() == Some("pass_rate") {
                hearing.lock().unwrap().push((action, alert.severity));
            }
        });
        let subscription = subscription.await.unwrap();
        finish(&ops, request.clone()).await;
        is_bad.store(true, Ordering::SeqCst);
        finish(&ops, request.clone()).await;
        // A worker finds nothing that is left to do.
        ops.alert_worker().run_once().await.unwrap();
        let open = AlertFilter { severities: vec![Severity::Critical], ..AlertFilter::default() };
        let alerts = alerts.list(&open).await.unwrap();
        assert_eq!(alerts.len(), 1, "{alerts:#?}");
        assert_eq!((alerts[0].count, alerts[0].metric.as_deref()), (1, Some("pass_rate")));
        is_bad.store(false, Ordering::SeqCst);
        finish(&ops, request).await;
        assert!(ops.alerts().get(alerts[0].id.as_str()).await.unwrap().resolved_at.is_some());
        let expected = [(AlertAction::Raised, Severity::Critical), (AlertAction::Resolved, Severity::Critical)];
        let all_heard = async {
            while heard.lock().unwrap().len() < expected.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_heard).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), expected);
        drop(subscription);
    })
    .await;
}

#[tokio::test]
async fn what_is_open_when_a_silence_ends_is_told_then() {
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let replicas = [replica(store, &clock), replica(&Store::open(store.url()).await.unwrap(), &clock)];
        let alerts = replicas[0].alerts();
        let raise = async |metric: &str| alerts.create(draft(metric)).await.unwrap();
        let look = async || {
            for ops in &replicas {
                ops.alert_worker().run_once().await.unwrap();
            }
        };
        let told = async || {
            let mut told: Vec<String> = Vec::new();
            for alert in alerts.list(&AlertFilter::default()).await.unwrap() {
                told.extend(alert.metric.filter(|_| alert.notified_at.is_some()));
            }
            told.sort();
            told
        };
        let until = |hours: i64| Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap();
        alerts.silence(Matcher::default(), until(2), "").await.unwrap();
        let matcher = Matcher { metric: Some("longer".to_owned()), ..Matcher::default() };
        let longer = alerts.silence(matcher, until(100), "").await.unwrap();
        for metric in ["lasting", "acknowledged", "resolved", "longer"] {
            assert_eq!(raise(metric).await.telling, Telling::Silenced);
        }
        let id = async |metric: &str| raise(metric).await.alert.id;
        alerts.acknowledge(id("acknowledged").await.as_str()).await.unwrap();
        alerts.resolve(id("resolved").await.as_str()).await.unwrap();
        clock.hours.store(1, Ordering::SeqCst);
        look().await;
        assert!(told().await.is_empty(), "the silence lasts");
        clock.hours.store(2, Ordering::SeqCst);
        let both = replicas.clone().map(|ops| tokio::spawn(async move { ops.alert_worker().run_once().await }));
        for one in both {
            one.await.unwrap().unwrap();
        }
        look().await;
        assert_eq!(told().await, ["lasting"]);
        alerts.end_silence(&longer.id).await.unwrap();
        look().await;
        assert_eq!(told().await, ["lasting", "longer"]);
        let events = store.events_after(None, 0, 100).await.unwrap();
        let is_raised = |event: &Event| matches!(event, Event::Alert { action: AlertAction::Raised, .. });
        assert_eq!(events.iter().filter(|(_, stored)| is_raised(&stored.event)).count(), 2, "each once");
    })
    .await;
}

#[tokio::test]
async fn the_experiment_that_recovers_resolves_its_alert() {
    let ops = llmops::LlmOps::in_memory().await.unwrap();
    let experiment = llmops::domain::alert::ExperimentRef { id: "experiment_1", name: "tone" };
    let broken = experiment.guardrail("treatment", "latency", 1.25, 1.4);
    assert_eq!(ops.alerts().recovered(&broken).await.unwrap(), None);
    let raised = ops.alerts().create(broken.clone()).await.unwrap();
    let resolved = ops.alerts().recovered(&broken).await.unwrap().unwrap();
    assert_eq!((resolved.id, resolved.resolved_at.is_some()), (raised.alert.id, true));
}

#[tokio::test]
async fn what_no_alert_can_be_is_refused() {
    let ops = llmops::LlmOps::in_memory().await.unwrap();
    let check = async |draft: AlertDraft, expected: &str| {
        let refused = ops.alerts().create(draft).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    check(AlertDraft::new(AlertType::Anomaly, Severity::Info, "t", " \n"), "needs a message").await;
    check(AlertDraft::new(AlertType::Anomaly, Severity::Info, "", "m"), "and a source").await;
    check(draft("m").measured(Some(f64::NAN), None), "finite").await;
    check(draft("m").measured(None, Some(f64::INFINITY)), "finite").await;
    check(AlertDraft::new(AlertType::Anomaly, Severity::Info, "a\0", "m"), "NUL").await;
    let odd = AlertDraft::new(AlertType::Anomaly, Severity::Info, "größe 🦀", "line\u{0}\u{202e}\nbreak".repeat(300));
    assert_eq!(ops.alerts().create(odd).await.unwrap().alert.source, "größe 🦀");
}
