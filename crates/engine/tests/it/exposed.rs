//! Candidates that users see: watched in a release's experiment, and taken away by every way back.

use llmops::domain::alert::{AlertFilter, Severity};
use llmops::domain::canary::{AbortCause, Canary, CanaryPolicy, CanaryState, Share};
use llmops::domain::experiment::ExperimentStatus;
use llmops::domain::gate::GateConfig;
use llmops::domain::id::ProjectId;
use llmops::domain::incident::{Measure, TimelineKind};
use llmops::domain::record::RequestRecord;
use llmops::domain::release::{Release, ReleaseStep};
use llmops::evaluator::RunRef;
use llmops::{Error, LlmOps};
use llmops_api::canaries::{ChangeCanary, StartCanary};
use llmops_api::deployments::{Deploy, Rollback, SwitchSafeMode};
use llmops_api::incidents::OpenIncident;
use llmops_api::releases::{StartRelease, WaiveStep};
use llmops_api::runs::{CreateRun, TargetSpec};
use llmops_storage::CanaryStep;
use llmops_testing::on_backends;
use serde_json::json;

use crate::experiments::import;
use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run};

fn model(name: &str) -> Deploy {
    Deploy { model: Some(format!("test/{name}")), ..Deploy::default() }
}

/// A release of `test/two` over `test/one`, which shows its candidate to a tenth of the users.
async fn exposed(ops: &LlmOps) -> Release {
    ops.deployments().deploy("bot", model("one")).await.unwrap();
    let request = StartRelease { model: Some("test/two".to_owned()), ..StartRelease::default() };
    ops.releases().start("bot", request).await.unwrap();
    let waive = |step| WaiveStep { step, reason: "a try".to_owned() };
    ops.releases().waive("bot", waive(ReleaseStep::Gate)).await.unwrap();
    let release = ops.releases().waive("bot", waive(ReleaseStep::Staging)).await.unwrap();
    assert_eq!((release.step, release.stopped.as_ref()), (ReleaseStep::Experiment, None));
    release
}

/// Calls of users in one arm of the release's experiment.
async fn calls(ops: &LlmOps, release: &Release, (arm, count): (&str, u32), change: impl Fn(u32, &mut RequestRecord)) {
    let sampler = ops.canary_sampler();
    for number in 0..count {
        let record = json!({"id": format!("req_{arm}_{number}"), "at": llmops_domain::clock::now(), "door": "chat",
            "deployment": "bot", "environment": "production", "model": "test/one", "stream": false, "usage": {},
            "variant": format!("{}/{arm}", release.experiment_key()), "cost": 0.01, "total_ms": 5.0, "status": 200,
            "outcome": "ok", "attempts": []});
        let mut record: RequestRecord = serde_json::from_value(record).unwrap();
        change(number, &mut record);
        sampler.count(ops.project(), &record);
    }
    sampler.flush().await;
}

async fn alerts(ops: &LlmOps) -> Vec<(Severity, String)> {
    let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
    alerts.into_iter().filter(|alert| alert.source == "release").map(|alert| (alert.severity, alert.message)).collect()
}

/// The models that users may get: what is live, and the variants.
async fn answering(ops: &LlmOps) -> Vec<String> {
    let live = ops.live_deployments().await.unwrap();
    let production = live.iter().find(|live| live.deployment.environment == "production").unwrap();
    let variants = production.variants.iter().map(|variant| variant.manifest.model.clone());
    std::iter::once(production.manifest.model.clone()).chain(variants).collect()
}

/// What follows from these calls of the candidate, beside 200 of production that are well.
async fn watched(change: impl Fn(u32, &mut RequestRecord), expected: Option<&str>) {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        let release = exposed(ops).await;
        calls(ops, &release, ("control", 200), |_, _| {}).await;
        calls(ops, &release, ("candidate", 100), &change).await;
        Box::pin(ops.look_after_candidates()).await.unwrap();
        let known = ops.releases().get("bot").await.unwrap();
        let Some(expected) = expected else {
            assert_eq!(known.stopped, None);
            assert_eq!(answering(ops).await, ["test/one", "test/one", "test/two"]);
            let waiting = ops.releases().advance("bot").await.unwrap().waiting.unwrap();
            assert!(waiting.contains("the candidate answered 100 requests, and no guardrail is broken"), "{waiting}");
            return;
        };
        let why = known.stopped.clone().unwrap();
        assert!(why.contains(&format!("breaks the guardrail {expected} in the experiment")), "{why}");
        assert!(known.waiting.as_ref().unwrap().contains("llmops release bot --cancel"), "{known:?}");
        assert_eq!(answering(ops).await, ["test/one"], "nobody gets the candidate any more");
        let experiment = ops.experiments().get(&release.experiment.unwrap()).await.unwrap();
        assert_eq!(experiment.status, ExperimentStatus::Cancelled);
        let told = alerts(ops).await;
        assert_eq!((told.len(), told[0].0), (1, Severity::Critical), "{told:?}");
        // Once is enough, and a person may still let it on.
        Box::pin(ops.look_after_candidates()).await.unwrap();
        assert_eq!(ops.releases().advance("bot").await.unwrap().revision, known.revision);
        let waive = WaiveStep { step: ReleaseStep::Experiment, reason: "we know".to_owned() };
        let waived = ops.releases().waive("bot", waive).await.unwrap();
        assert_eq!(waived.step, ReleaseStep::Approval);
        assert!(waived.waiting.unwrap().starts_with("the candidate breaks the guardrail"));
    })
    .await;
}

#[tokio::test]
async fn a_release_ends_its_exposure_where_a_guardrail_breaks() {
    Box::pin(watched(|_, _| {}, None)).await;
    let fails =
        |_: u32, call: &mut RequestRecord| call.outcome = serde_json::from_value(json!("upstream_error")).unwrap();
    Box::pin(watched(fails, Some("error_rate"))).await;
    let empty = json!([{"kind": "empty", "detail": "nothing"}]);
    let soft = |_: u32, call: &mut RequestRecord| call.soft_failures = serde_json::from_value(empty.clone()).unwrap();
    Box::pin(watched(soft, Some("soft_failures"))).await;
    Box::pin(watched(|_, call| call.total_ms = 900.0, Some("latency_p95"))).await;
    Box::pin(watched(|number, call| call.cost = Some(0.03 + f64::from(number % 3) * 0.001), Some("cost"))).await;
}

#[tokio::test]
async fn a_release_ends_its_exposure_where_its_candidate_loses_beyond_chance() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        let release = exposed(ops).await;
        let id = release.experiment.clone().unwrap();
        // Nine of ten users like what is live, one of ten the candidate.
        let seen = |variant: &'static str, count: u32, liked: u32| {
            let value = move |i: u32| f64::from(u8::from(i % 10 < liked));
            (0..count).map(move |i| (format!("{variant}-{i}"), variant, "feedback_thumb", value(i)))
        };
        import(ops, &id, seen("control", 450, 9).chain(seen("candidate", 50, 1))).await;
        ops.alert_worker().run_once().await.unwrap();
        let known = ops.releases().get("bot").await.unwrap();
        let why = known.stopped.unwrap();
        assert!(why.starts_with("what is live is ahead beyond chance in the experiment: feedback_thumb"), "{why}");
        assert_eq!(answering(ops).await, ["test/one"]);
        let experiment = ops.experiments().get(&id).await.unwrap();
        assert_eq!((experiment.status, experiment.winner.as_deref()), (ExperimentStatus::Completed, Some("control")));
        assert_eq!(alerts(ops).await.len(), 1);
    })
    .await;
}

/// A canary that shows a half of the users of `bot` its candidate.
async fn showing(ops: &LlmOps) -> Canary {
    let mut policy = CanaryPolicy::with_judge("test/judge");
    policy.stages = vec![Share(0.5), Share(1.0)];
    let request = StartCanary {
        deployment: "bot".to_owned(),
        environment: None,
        manifest: None,
        manifest_hash: None,
        prompt: None,
        model: Some("test/three".to_owned()),
        parameters: llmops::domain::chat::Parameters::default(),
        policy,
        dry_run: false,
        draft: false,
    };
    let canary = ops.canaries().start(request).await.unwrap().canary;
    let shown = canary.moved(CanaryState::Exposing { stage: 0 }, llmops_domain::clock::now()).unwrap();
    let step = CanaryStep { canary: &shown, decision: None, audit: None };
    ops.store().step_canary(&ProjectId::default_project(), step).await.unwrap();
    shown
}

async fn state(ops: &LlmOps, canary: &Canary) -> CanaryState {
    ops.canaries().get(canary.id.as_str(), None).await.unwrap().state
}

/// Whether users see a candidate.
async fn is_shown(ops: &LlmOps) -> bool {
    ops.live_deployments().await.unwrap().iter().any(|live| live.canary.as_ref().is_some_and(|c| c.exposure.is_some()))
}

const ABORTED: CanaryState = CanaryState::Aborted { cause: AbortCause::Person };

#[tokio::test]
async fn a_rollback_takes_the_candidate_of_a_canary_away() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        let one = ops.deployments().deploy("bot", model("one")).await.unwrap().deployment.manifest;
        let canary = showing(ops).await;
        assert!(is_shown(ops).await);
        // Nothing else was ever live: the way back is to what is live.
        let back = ops.deployments().rollback("bot", Rollback::default()).await.unwrap();
        assert_eq!((back.deployment.manifest, state(ops, &canary).await), (one.clone(), ABORTED));
        assert!(
            back.notices[0].contains(canary.id.as_str()) && back.notices[0].contains("is aborted"),
            "{:?}",
            back.notices
        );
        assert!(!is_shown(ops).await);
        let refused = ops.deployments().rollback("bot", Rollback::default()).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict { .. }), "without a candidate there is nothing to go back from");

        ops.deployments().deploy("bot", model("two")).await.unwrap();
        let canary = showing(ops).await;
        let back = ops.deployments().rollback("bot", Rollback::default()).await.unwrap();
        assert_eq!((back.deployment.manifest, state(ops, &canary).await), (one, ABORTED));
        let again = format!("llmops rollback bot --to {}", canary.production.short());
        assert!(back.notices[0].contains(&again), "{:?}", back.notices);
    })
    .await;
}

#[tokio::test]
async fn a_rollback_takes_the_baseline_back() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        add_samples(ops, 4).await;
        let mut runs = Vec::new();
        for name in ["one", "two"] {
            let hash = ops.deployments().deploy("bot", model(name)).await.unwrap().deployment.manifest;
            // Exactly what is deployed is evaluated.
            let target = TargetSpec { manifest_hash: Some(hash.short().to_owned()), ..TargetSpec::default() };
            let run = finish(ops, CreateRun { target, ..run("unused", exact()) }).await;
            assert_eq!(
                (run.spec.manifest_id.clone(), run.model_name.as_str()),
                (hash, format!("test/{name}").as_str())
            );
            ops.evaluator().gate(&RunRef::Id(run.id.0.clone()), None, GateConfig::default()).await.unwrap();
            runs.push(run.id);
        }
        let baseline = async || ops.evaluator().baseline("golden").await.unwrap().map(|run| run.id);
        let again = Deploy { parameters: serde_json::from_value(json!({"temperature": 0.1})).unwrap(), ..model("two") };
        ops.deployments().deploy("bot", again).await.unwrap();
        ops.deployments().rollback("bot", Rollback::default()).await.unwrap();
        let back = ops.deployments().rollback("bot", Rollback::default()).await.unwrap();
        assert_eq!(baseline().await.as_ref(), runs.first());
        assert!(
            back.notices.iter().any(|notice| notice.contains("the baseline of the next gate is the run")),
            "{back:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_safe_mode_pauses_what_users_see_of_a_canary() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let canary = showing(ops).await;
        let switch = |on| SwitchSafeMode { environment: None, on, answer: Some("Later.".to_owned()), reason: None };
        let switched = ops.deployments().safe_mode("bot", switch(true)).await.unwrap();
        assert!(switched.notices[0].contains("is paused"), "{:?}", switched.notices);
        assert_eq!(state(ops, &canary).await, CanaryState::Paused { stage: Some(0) });
        let resume = async || ops.canaries().resume("bot", ChangeCanary::default()).await;
        assert!(resume().await.unwrap_err().to_string().contains("safe mode"));
        assert_eq!(ops.deployments().safe_mode("bot", switch(false)).await.unwrap().notices, Vec::<String>::new());
        assert!(!is_shown(ops).await, "it comes back when a person says so");
        assert_eq!(resume().await.unwrap().state, CanaryState::Exposing { stage: 0 });
    })
    .await;
}

#[tokio::test]
async fn an_incident_tells_who_sees_a_candidate() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let canary = showing(ops).await;
        let open = |rollback| OpenIncident { deployment: "bot".to_owned(), rollback, ..OpenIncident::default() };
        let opened = ops.incidents().open(open(false)).await.unwrap();
        assert!(opened.notices[0].contains("to 50 % of the users"), "{:?}", opened.notices);
        let timeline = ops.incidents().timeline("bot").await.unwrap();
        let is_told =
            |text: &str| timeline.entries.iter().any(|e| e.kind == TimelineKind::Note && e.text.contains(text));
        assert!(is_told(canary.id.as_str()), "{:?}", timeline.entries);
        let refused = ops.canaries().promote("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
        assert_eq!(state(ops, &canary).await, CanaryState::Exposing { stage: 0 }, "nothing was changed");
        ops.incidents().close("bot", llmops_api::incidents::CloseIncident::default()).await.unwrap();

        let opened = ops.incidents().open(open(true)).await.unwrap();
        assert_eq!(opened.failed, Vec::<String>::new());
        let is_aborted =
            |measure: &Measure| matches!(measure, Measure::CanaryAborted { canary: id } if *id == canary.id.0);
        assert!(opened.incident.measures.iter().any(is_aborted), "{:?}", opened.incident.measures);
        assert_eq!(state(ops, &canary).await, ABORTED);
    })
    .await;
}
