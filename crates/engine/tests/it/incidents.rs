//! Incidents: frozen deployments, a timeline, a post-mortem and the inputs that failed.

use llmops::domain::alert::{AlertDraft, AlertType, Severity};
use llmops::domain::dataset::DatasetType;
use llmops::domain::deployment::DeploymentSettings;
use llmops::domain::id::ProjectId;
use llmops::domain::incident::{Measure, TimelineKind};
use llmops::domain::record::RequestRecord;
use llmops::domain::traffic::TrafficFilter;
use llmops::{Error, LlmOps};
use llmops_api::deployments::{Deploy, Rollback};
use llmops_api::incidents::{CloseIncident, OpenIncident};
use llmops_storage::{Change, VersionSelector};
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, append, installation, right};

fn model(name: &str) -> Deploy {
    Deploy { model: Some(format!("test/{name}")), ..Deploy::default() }
}

fn open() -> OpenIncident {
    OpenIncident { deployment: "bot".to_owned(), title: Some("wrong prices".to_owned()), ..OpenIncident::default() }
}

/// A call of just now; its id begins with the time, as those of the gateway do.
fn call(number: u64, question: &str, failed: bool) -> RequestRecord {
    let now = llmops_domain::clock::now();
    let id = format!("req_{}", llmops::domain::id::sortable(now.as_millisecond(), number));
    let body = json!({"messages": [{"role": "user", "content": question}]}).to_string();
    let outcome = if failed { "upstream_error" } else { "ok" };
    serde_json::from_value(json!({"id": id, "at": now, "door": "chat", "model": "test/two", "stream": false,
        "deployment": "bot", "environment": "production", "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "total_ms": 1.0, "status": 200, "outcome": outcome, "attempts": [], "request_body": body,
        "response_body": "5.90"}))
    .unwrap()
}

async fn deployed(ops: &LlmOps) {
    ops.deployments().deploy("bot", model("one")).await.unwrap();
    ops.deployments().deploy("bot", model("two")).await.unwrap();
}

#[tokio::test]
async fn a_frozen_deployment_takes_nothing_but_a_way_back() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let absent = ops.incidents().open(open()).await.unwrap_err();
        assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
        deployed(&ops).await;
        let opened = ops.incidents().open(OpenIncident { rollback: true, ..open() }).await.unwrap();
        assert!(matches!(&opened.incident.measures[..], [Measure::Rollback { .. }]) && opened.failed.is_empty());
        assert!(matches!(ops.incidents().open(open()).await, Err(Error::Store(_))), "one at a time");
        let frozen = ops.deployments().deploy("bot", model("three")).await.unwrap_err();
        assert!(frozen.to_string().contains("is frozen by the incident inc_"), "{frozen}");
        // Settings, another environment and another deployment are free; so is the way back.
        let settings = Some(DeploymentSettings { retries: 3, ..DeploymentSettings::default() });
        ops.deployments().deploy("bot", Deploy { settings, ..model("one") }).await.unwrap();
        let staging = Deploy { environment: Some("staging".to_owned()), ..model("three") };
        ops.deployments().deploy("bot", staging).await.unwrap();
        ops.deployments().deploy("other", model("three")).await.unwrap();
        let history = ops.deployments().history("bot", None).await.unwrap();
        let to = Some(history[1].to.to_string());
        ops.deployments().rollback("bot", Rollback { to, ..Rollback::default() }).await.unwrap();
        let closed = ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert!(!closed.safe_mode);
        ops.deployments().deploy("bot", model("three")).await.unwrap();
        // The last one is shown, and nothing is done with it.
        assert_eq!(ops.incidents().get("bot").await.unwrap().id, opened.incident.id);
        assert!(matches!(ops.incidents().close("bot", CloseIncident::default()).await, Err(Error::Conflict { .. })));
        assert!(ops.incidents().note("bot", "too late").await.is_err());
        assert!(matches!(ops.incidents().get("bot@staging").await, Err(Error::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_done_at_once_is_told() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let both = OpenIncident { safe_mode: true, rollback: true, ..open() };
        assert!(ops.incidents().open(both).await.is_err());
        let opened = ops.incidents().open(OpenIncident { safe_mode: true, ..open() }).await.unwrap();
        assert!(opened.failed[0].contains("no safe mode prepared"), "{:?}", opened.failed);
        assert_eq!(ops.incidents().get("bot").await.unwrap().id, opened.incident.id);
    })
    .await;
}

#[tokio::test]
async fn it_ends_with_a_post_mortem_and_the_inputs_that_failed() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let calls = [
            call(1, "What does delivery cost?", true),
            call(2, "What does delivery cost?", true),
            call(3, "When do you open?", false),
            call(4, "Where are you?", false),
        ];
        let owned: Vec<_> = calls.iter().map(|call| (ProjectId::default_project(), call.clone())).collect();
        append(ops.store(), &owned).await;
        let said = json!({"request_id": calls[2].id, "thumb": "down", "comment": "closed!", "correction": "At nine."});
        ops.feedback().submit(&said).await.unwrap();
        ops.incidents()
            .open(OpenIncident { safe_mode: true, answer: Some("Later.".to_owned()), ..open() })
            .await
            .unwrap();
        ops.incidents().note("bot", "prices come from the old list").await.unwrap();
        let resolution = Some("new list".to_owned());
        let closed = ops.incidents().close("bot", CloseIncident { resolution, dataset: None }).await.unwrap();
        assert_eq!((closed.samples, closed.with_answer, closed.without_text), (2, 1, 0));
        assert!(closed.safe_mode, "whoever closes it must hear that the fixed answer still answers");

        let kinds: Vec<TimelineKind> = closed.timeline.entries.iter().map(|entry| entry.kind).collect();
        for kind in [TimelineKind::Change, TimelineKind::Calls, TimelineKind::Feedback, TimelineKind::Note] {
            assert!(kinds.contains(&kind), "{kind:?} is missing: {:?}", closed.timeline.entries);
        }
        let impact = &closed.timeline.impact;
        assert_eq!((impact.calls, impact.failed.unwrap().value, impact.complaints), (4, 0.5, 1));
        let incident = ops.incidents().get(closed.timeline.incident.id.as_str()).await.unwrap();
        let text = incident.post_mortem.unwrap();
        for expected in ["wrong prices", "safe mode", "prices come from the old list", "0.500 [", "## Cause", "closed!"]
        {
            assert!(text.contains(expected), "{expected} is missing:\n{text}");
        }
        let dataset = incident.dataset.unwrap();
        assert_eq!(ops.datasets().get(&dataset).await.unwrap().kind, DatasetType::Regression);
        let version = ops.datasets().version(&dataset, &VersionSelector::Latest).await.unwrap();
        let samples = ops.datasets().get_samples(&version, 0, 10).await.unwrap();
        let right: Vec<_> = samples.iter().filter(|(_, s)| s.expected_output == ["At nine."]).collect();
        assert_eq!((samples.len(), right.len()), (2, 1));
        let again = ops.incidents().close(incident.id.as_str(), CloseIncident::default()).await;
        assert!(matches!(again, Err(Error::Conflict { .. })));

        // The next one fails on the same questions, in other calls: the dataset asks them already.
        let more = call(5, "When do you open?", true);
        append(ops.store(), &[(ProjectId::default_project(), more)]).await;
        ops.incidents().open(open()).await.unwrap();
        let into = CloseIncident { dataset: Some(dataset.clone()), ..CloseIncident::default() };
        ops.incidents().close("bot", into).await.unwrap();
        assert_eq!(ops.datasets().version(&dataset, &VersionSelector::Latest).await.unwrap().version.sample_count, 2);
    })
    .await;
}

#[tokio::test]
async fn a_post_mortem_loses_the_words_of_who_is_erased() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let of = |number, user: &str| RequestRecord { user: Some(user.to_owned()), ..call(number, "Open?", false) };
        let calls = [of(1, "ana"), of(2, "ben"), of(3, "eve")];
        let owned: Vec<_> = calls.iter().map(|call| (ProjectId::default_project(), call.clone())).collect();
        append(ops.store(), &owned).await;
        // Of her answer, by her of another's, and what has nothing to do with her.
        for (call, user, words) in [(0, "ana", "alpha!"), (1, "ana", "beta!"), (2, "eve", "gamma!")] {
            let said = json!({"request_id": calls[call].id, "thumb": "down", "comment": words, "user": user});
            ops.feedback().submit(&said).await.unwrap();
        }
        ops.incidents().open(open()).await.unwrap();
        let id = ops.incidents().close("bot", CloseIncident::default()).await.unwrap().timeline.incident.id;
        let text = async || ops.incidents().get(id.as_str()).await.unwrap().post_mortem.unwrap();
        let has = |text: &str| ["alpha!", "beta!", "gamma!"].map(|words| text.contains(words));
        assert_eq!(has(&text().await), [true; 3]);
        assert_eq!(ops.records().erase_user("ana").await.unwrap().post_mortems, 1);
        assert_eq!(has(&text().await), [false, false, true]);
        assert_eq!(text().await.matches("a user found the answer to").count(), 3, "that there were complaints stays");
        assert_eq!(ops.records().erase_user("ana").await.unwrap().post_mortems, 0);
    })
    .await;
}

#[tokio::test]
async fn notes_of_many_people_at_once_all_stay() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        ops.incidents().open(open()).await.unwrap();
        let notes = (0..20).map(|i| {
            let ops = ops.clone();
            tokio::spawn(async move { ops.incidents().note("bot", &format!("note {i}")).await.unwrap() })
        });
        for note in notes.collect::<Vec<_>>() {
            note.await.unwrap();
        }
        assert_eq!(ops.incidents().get("bot").await.unwrap().notes.len(), 20);
        let closed = ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        let kept = ops.incidents().get(closed.timeline.incident.id.as_str()).await.unwrap();
        assert_eq!((kept.notes.len(), kept.post_mortem.unwrap().matches("note ").count()), (20, 20));
    })
    .await;
}

#[tokio::test]
async fn complaints_are_those_of_its_environment() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let staging = Some("staging".to_owned());
        ops.deployments().deploy("bot", Deploy { environment: staging.clone(), ..model("three") }).await.unwrap();
        let live = call(1, "When do you open?", false);
        let staged = RequestRecord { environment: staging.clone(), ..call(2, "Where are you?", false) };
        let owned: Vec<_> =
            [&live, &staged].map(|call| (ProjectId::default_project(), call.clone())).into_iter().collect();
        append(ops.store(), &owned).await;
        for call in [&live, &staged] {
            ops.feedback().submit(&json!({"request_id": call.id, "thumb": "down"})).await.unwrap();
        }
        ops.incidents().open(OpenIncident { environment: staging, ..open() }).await.unwrap();
        let closed = ops.incidents().close("bot@staging", CloseIncident::default()).await.unwrap();
        assert_eq!((closed.samples, closed.timeline.impact.complaints), (1, 1));
        let dataset = closed.timeline.incident.dataset.unwrap();
        let version = ops.datasets().version(&dataset, &VersionSelector::Latest).await.unwrap();
        let samples = ops.datasets().get_samples(&version, 0, 10).await.unwrap();
        assert_eq!(samples[0].1.input, "Where are you?");
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_is_no_failure_and_thumbs_are_told_together() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let came = |number, outcome: &str| RequestRecord {
            outcome: serde_json::from_value(json!(outcome)).unwrap(),
            ..call(number, &format!("question {number}"), false)
        };
        let empty = json!([{"kind": "empty", "detail": "nothing"}]);
        let soft = RequestRecord { soft_failures: serde_json::from_value(empty).unwrap(), ..came(1, "ok") };
        let kept = RequestRecord { cached: true, ..came(2, "ok") };
        let mut calls = vec![soft, kept, came(3, "ok"), came(4, "unavailable"), came(5, "cancelled")];
        calls.extend((6..10).map(|number| came(number, "refused")));
        let owned: Vec<_> = calls.iter().map(|call| (ProjectId::default_project(), call.clone())).collect();
        append(ops.store(), &owned).await;
        for call in &calls[..3] {
            ops.feedback().submit(&json!({"request_id": call.id, "thumb": "down"})).await.unwrap();
        }
        let said = json!({"request_id": calls[3].id, "thumb": "down", "comment": "no answer"});
        ops.feedback().submit(&said).await.unwrap();
        ops.incidents().open(open()).await.unwrap();
        let closed = ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        let impact = &closed.timeline.impact;
        assert_eq!((impact.calls, impact.refused, impact.cancelled, impact.complaints), (9, 4, 1, 4));
        let shown = |share: Option<llmops::domain::run::Estimate>| share.map(|share| (share.value, share.n));
        assert_eq!((shown(impact.failed), shown(impact.soft_failed)), (Some((0.25, 4)), Some((0.5, 2))));
        // The overview says the same.
        let traffic = ops.overview().traffic(&TrafficFilter::default()).await.unwrap();
        assert_eq!((shown(traffic.failure_rate), shown(traffic.soft_failure_rate)), (Some((0.25, 4)), Some((0.5, 2))));
        assert_eq!((traffic.sums.refused, traffic.sums.cancelled, traffic.sums.answered), (4, 1, 2));
        // Two calls failed, and users complained about two more; what was refused is no question of the deployment.
        assert_eq!(closed.samples, 4);
        let told: Vec<_> = closed.timeline.entries.iter().filter(|e| e.kind == TimelineKind::Feedback).collect();
        let told: Vec<&str> = told.iter().map(|entry| entry.text.as_str()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|text| text.ends_with("bad: no answer")), "{told:?}");
        assert!(told.contains(&"within the hour users found 3 answers bad, without words"), "{told:?}");
        let hours = closed.timeline.entries.iter().filter(|e| e.kind == TimelineKind::Calls);
        assert!(hours.map(|entry| entry.text.as_str()).any(|text| text.contains("refused")), "hours tell of it");
    })
    .await;
}

#[tokio::test]
async fn a_correction_of_one_call_answers_the_question_of_all() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let calls = [call(1, "When do you open?", true), call(2, "When do you open?", true)];
        let owned: Vec<_> = calls.iter().map(|call| (ProjectId::default_project(), call.clone())).collect();
        append(ops.store(), &owned).await;
        let said = json!({"request_id": calls[0].id, "thumb": "down", "correction": "At nine."});
        ops.feedback().submit(&said).await.unwrap();
        ops.incidents().open(open()).await.unwrap();
        let closed = ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert_eq!((closed.samples, closed.with_answer), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn every_complaint_is_counted_and_alerts_of_others_are_not_told() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        let calls: Vec<_> = (0..230).map(|number| call(number, &format!("question {number}"), false)).collect();
        let owned: Vec<_> = calls.iter().map(|call| (ProjectId::default_project(), call.clone())).collect();
        append(ops.store(), &owned).await;
        for call in &calls {
            let said = json!({"request_id": call.id, "thumb": "down", "comment": "wrong"});
            ops.feedback().submit(&said).await.unwrap();
        }
        for (name, message) in [("bot", "own"), ("other", "of another")] {
            let mut draft = AlertDraft::new(AlertType::Threshold, Severity::Warning, "canary", message);
            draft.metadata.insert("deployment".to_owned(), name.into());
            ops.alerts().create(draft.keyed(Some(name))).await.unwrap();
        }
        ops.incidents().open(open()).await.unwrap();
        let closed = ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert_eq!((closed.timeline.impact.complaints, closed.samples, closed.left_out), (230, 230, 0));
        let text = closed.timeline.incident.post_mortem.unwrap();
        for expected in ["230 complaints by users", "before this, 30 more complaints with words", "alert: own"] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
        assert!(!text.contains("of another"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn the_timeline_keeps_the_deployments_own_changes_whatever_else_changed() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        deployed(&ops).await;
        for i in 0..201 {
            let change = Change::new("prompt.activated", format!("prompt-{i}"));
            ops.store().audit(&ProjectId::default_project(), &change).await.unwrap();
        }
        ops.incidents().open(open()).await.unwrap();
        let timeline = ops.incidents().timeline("bot").await.unwrap();
        let has = |text: &str| timeline.entries.iter().filter(|entry| entry.text.contains(text)).count();
        assert_eq!(has("bot in production answers with"), 2);
        assert_eq!(has("are left out: there were more than 200 changes"), 1);
    })
    .await;
}
