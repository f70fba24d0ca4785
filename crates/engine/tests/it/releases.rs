//! Releases walk as far as they can, and second keys allow promotions.

use std::sync::Arc;

use llmops::domain::access::Actor;
use llmops::domain::approval::ApprovalStatus;
use llmops::domain::canary::{AbortCause, CanaryPolicy, CanaryState};
use llmops::domain::deployment::{Deployment, DeploymentSettings};
use llmops::domain::event::Event;
use llmops::domain::experiment::ExperimentStatus;
use llmops::domain::gate::GateConfig;
use llmops::domain::hash::ContentHash;
use llmops::domain::id::{KeyId, ProjectId};
use llmops::domain::incident::Measure;
use llmops::domain::record::RequestRecord;
use llmops::domain::release::{Release, ReleaseFilter, ReleaseStatus, ReleaseStep};
use llmops::evaluator::RunRef;
use llmops::{Error, LlmOps};
use llmops_api::canaries::ChangeCanary;
use llmops_api::deployments::{Deploy, Rollback};
use llmops_api::incidents::{CloseIncident, OpenIncident};
use llmops_api::releases::{StartRelease, WaiveStep};
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, add_samples, append, exact, finish, installation, right, run};

fn model(name: &str) -> Deploy {
    Deploy { model: Some(format!("test/{name}")), ..Deploy::default() }
}

fn asking() -> DeploymentSettings {
    DeploymentSettings { require_approval: true, ..DeploymentSettings::default() }
}

/// The installation as the holder of a key sees it.
fn as_key(ops: &LlmOps, name: &str) -> LlmOps {
    let actor = Actor { key: Some(KeyId(format!("key_{name}"))), ..Actor::part(name) };
    ops.for_actor(ProjectId::default_project(), actor)
}

async fn calls(ops: &LlmOps, manifest: &ContentHash, count: u64) {
    let now = llmops_domain::clock::now();
    let call = |i: u64| -> RequestRecord {
        let id = format!("req_{}", llmops::domain::id::sortable(now.as_millisecond() + 1, i));
        serde_json::from_value(json!({"id": id, "at": now, "door": "chat", "model": "test/two", "stream": false,
            "deployment": "bot", "environment": "staging", "manifest": manifest, "total_ms": 1.0, "status": 200,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "outcome": "ok", "attempts": []}))
        .unwrap()
    };
    let records: Vec<_> = (0..count).map(|i| (ProjectId::default_project(), call(i))).collect();
    append(ops.store(), &records).await;
}

#[track_caller]
fn waits(release: &Release, step: ReleaseStep, expected: &str) {
    assert_eq!(release.step, step, "{release:?}");
    let waiting = release.waiting.as_deref().unwrap_or_default();
    assert!(waiting.contains(expected), "{waiting}");
}

/// What happened to it is told step by step, and it is found by its id and in lists.
async fn is_kept_and_found(ops: &LlmOps, released: Release) {
    use llmops::domain::release::ReleaseEventKind::{Approved, Begun, Passed, Waits, Waived};
    let happened: Vec<_> = released.history.iter().map(|event| (event.step.as_str(), event.kind)).collect();
    let gate = [("gate", Begun), ("gate", Waits), ("gate", Passed)];
    let tried = [("staging", Waits), ("staging", Passed), ("experiment", Waits), ("experiment", Waived)];
    let allowed = [("experiment", Passed), ("approval", Waits), ("approval", Approved), ("approval", Passed)];
    assert_eq!(happened, [&gate[..], &tried, &allowed, &[("production", Passed)]].concat());
    assert_eq!(ops.releases().find(released.id.as_str()).await.unwrap(), released);
    let check = async |deployment: Option<&str>, open, expected: &[&Release]| {
        let filter = ReleaseFilter { deployment: deployment.map(str::to_owned), open, ..ReleaseFilter::default() };
        let listed = ops.releases().list(&filter, 10).await.unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check(None, None, &[&released]).await;
    check(Some("bot"), Some(false), &[&released]).await;
    check(Some("bot"), Some(true), &[]).await;
    check(Some("other"), None, &[]).await;
}

#[tokio::test]
async fn a_release_stops_where_evidence_or_a_person_is_missing() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 4).await;
        ops.deployments().deploy("bot", Deploy { settings: Some(asking()), ..model("one") }).await.unwrap();
        let (dana, ben) = (as_key(&ops, "dana"), as_key(&ops, "ben"));
        let request = StartRelease { model: Some("test/two".to_owned()), ..StartRelease::default() };
        let release = dana.releases().start("bot", request.clone()).await.unwrap();
        waits(&release, ReleaseStep::Gate, "has no completed run that passed its gate: llmops eval --manifest");
        assert!(matches!(dana.releases().start("bot", request).await, Err(Error::Conflict { .. })));
        assert!(matches!(ben.releases().approve("bot").await, Err(Error::Conflict { .. })), "not yet");

        let run = finish(&ops, run("two", exact())).await;
        ops.evaluator().gate(&RunRef::Id(run.id.0.clone()), None, GateConfig::default()).await.unwrap();
        let release = dana.releases().advance("bot").await.unwrap();
        waits(&release, ReleaseStep::Staging, "0 of 20 calls");
        assert_eq!(ops.deployments().get("bot", Some("staging")).await.unwrap().manifest, release.manifest);
        calls(&ops, &release.manifest, 25).await;
        let release = dana.releases().advance("bot").await.unwrap();
        waits(&release, ReleaseStep::Experiment, "has not concluded");
        let experiment = release.experiment.clone().unwrap();
        let started = ops.experiments().get(&experiment).await.unwrap();
        assert_eq!((started.status, started.spec.variants.len()), (ExperimentStatus::Running, 2));
        let routed = ops.deployments().get("bot", None).await.unwrap().settings.experiment;
        assert_eq!(routed.as_deref(), Some(started.spec.key.as_str()), "the gateway assigns by it");
        // Asking again changes nothing.
        assert_eq!(dana.releases().advance("bot").await.unwrap().revision, release.revision);

        let waive = |step, reason: &str| WaiveStep { step, reason: reason.to_owned() };
        assert!(dana.releases().waive("bot", waive(ReleaseStep::Experiment, " ")).await.is_err());
        assert!(dana.releases().waive("bot", waive(ReleaseStep::Gate, "why not")).await.is_err());
        assert!(dana.releases().waive("bot", waive(ReleaseStep::Approval, "why not")).await.is_err());
        let release = dana.releases().waive("bot", waive(ReleaseStep::Experiment, "a hot fix")).await.unwrap();
        waits(&release, ReleaseStep::Approval, "somebody else than dana");
        assert!(matches!(dana.releases().approve("bot").await, Err(Error::Forbidden(_))));
        let released = ben.releases().approve("bot").await.unwrap();
        assert_eq!((released.status, released.approved_by.as_deref()), (ReleaseStatus::Released, Some("ben")));
        let live = ops.deployments().get("bot", None).await.unwrap();
        assert_eq!((live.manifest, live.settings.experiment), (released.manifest.clone(), None));
        let ended = ops.experiments().get(&experiment).await.unwrap();
        assert_eq!((ended.status, ended.winner), (ExperimentStatus::Completed, None), "nobody knows who won");
        assert_eq!(ops.evaluator().baseline("golden").await.unwrap().unwrap().id, run.id, "the run is the baseline");
        assert!(matches!(ops.releases().get("bot").await, Err(Error::NotFound { .. })));
        is_kept_and_found(&ops, released).await;
    })
    .await;
}

/// What is live is what it was.
async fn unchanged(ops: &LlmOps, before: &Deployment) {
    let now = ops.deployments().get(&before.name, None).await.unwrap();
    assert_eq!((&now.manifest, now.revision, &now.settings), (&before.manifest, before.revision, &before.settings));
}

#[tokio::test]
async fn what_is_given_up_leaves_what_is_live() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let live = ops.deployments().deploy("bot", model("one")).await.unwrap();
        let request = |name: &str| StartRelease { model: Some(format!("test/{name}")), ..StartRelease::default() };
        assert!(matches!(ops.releases().start("bot", request("one")).await, Err(Error::Conflict { .. })), "it is live");
        ops.releases().start("bot", request("two")).await.unwrap();
        let gate = WaiveStep { step: ReleaseStep::Gate, reason: "a try".to_owned() };
        ops.releases().waive("bot", gate).await.unwrap();
        let cancelled = ops.releases().cancel("bot", "changed our minds").await.unwrap();
        assert_eq!(cancelled.status, ReleaseStatus::Cancelled);
        unchanged(&ops, &live.deployment).await;
        ops.releases().start("bot", request("two")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_policy_compares_in_staging() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let staging = Some("staging".to_owned());
        ops.deployments().deploy("bot", Deploy { environment: staging.clone(), ..model("one") }).await.unwrap();
        let policy: CanaryPolicy = serde_json::from_value(json!({"judge": {"model": "test/judge"}})).unwrap();
        let request = StartRelease {
            model: Some("test/two".to_owned()),
            policy: Some(Box::new(policy)),
            ..StartRelease::default()
        };
        ops.releases().start("bot", request.clone()).await.unwrap();
        let gate = || WaiveStep { step: ReleaseStep::Gate, reason: "a try".to_owned() };
        let release = ops.releases().waive("bot", gate()).await.unwrap();
        waits(&release, ReleaseStep::Staging, "the canary in staging compares answers");
        let canary = release.canary.clone().unwrap();
        let there = ops.deployments().get("bot", Some("staging")).await.unwrap();
        assert_ne!(there.manifest, release.manifest, "what answered there goes on");
        ops.releases().cancel("bot", "").await.unwrap();
        let state = ops.canaries().get(&canary, None).await.unwrap().state;
        assert_eq!(state, CanaryState::Aborted { cause: AbortCause::Person });

        ops.releases().start("bot", request).await.unwrap();
        ops.releases().waive("bot", gate()).await.unwrap();
        let by_hand = ChangeCanary { environment: staging, reason: Some("seen enough".to_owned()) };
        ops.canaries().promote("bot", by_hand).await.unwrap();
        let release = ops.releases().advance("bot").await.unwrap();
        waits(&release, ReleaseStep::Experiment, "has not concluded");
        let there = ops.deployments().get("bot", Some("staging")).await.unwrap();
        assert_eq!(there.manifest, release.manifest);
    })
    .await;
}

#[tokio::test]
async fn a_second_key_allows_a_promotion() {
    on_backends(async |store| {
        let ops = Arc::new(installation(store, &Scripted::new(right)));
        let (ci, ben) = (as_key(&ops, "ci"), as_key(&ops, "ben"));
        let live = ci.deployments().deploy("bot", Deploy { settings: Some(asking()), ..model("one") }).await.unwrap();
        let first = ci.deployments().deploy("bot", model("two")).await.unwrap();
        assert!(!first.changed && first.notices[0].contains("second key"), "{:?}", first.notices);
        unchanged(&ops, &live.deployment).await;
        // Another wish takes its place, and switching the demand off is a wish like any other.
        let plain = Some(DeploymentSettings::default());
        let second = ci.deployments().deploy("bot", Deploy { settings: plain, ..model("one") }).await.unwrap();
        let third = ci.deployments().deploy("bot", model("three")).await.unwrap();
        let id = |deployed: &llmops_api::deployments::Deployed| deployed.approval.as_ref().unwrap().id.to_string();
        let statuses: Vec<_> = ops.deployments().approvals(None, 10).await.unwrap().iter().map(|a| a.status).collect();
        let (pending, superseded) = (ApprovalStatus::Pending, ApprovalStatus::Superseded);
        assert_eq!(statuses, [pending, superseded, superseded]);
        assert!(matches!(ben.deployments().approve(&id(&second)).await, Err(Error::Conflict { .. })));
        assert!(matches!(ci.deployments().approve(&id(&third)).await, Err(Error::Forbidden(_))));
        let deployed = ben.deployments().approve(&id(&third)).await.unwrap();
        assert_eq!(deployed.manifest.model, "test/three");
        assert!(deployed.deployment.settings.require_approval);
        assert!(matches!(ben.deployments().approve(&id(&third)).await, Err(Error::Conflict { .. })));
        let fourth = ci.deployments().deploy("bot", model("four")).await.unwrap();
        assert_eq!(ben.deployments().reject(&id(&fourth)).await.unwrap().status, ApprovalStatus::Rejected);
        assert_eq!(ops.deployments().get("bot", None).await.unwrap().manifest, deployed.deployment.manifest);
        // The way back needs nobody.
        ci.deployments().rollback("bot", Rollback::default()).await.unwrap();
    })
    .await;
}

fn releasing(name: &str) -> StartRelease {
    StartRelease { model: Some(format!("test/{name}")), ..StartRelease::default() }
}

fn waiving(step: ReleaseStep) -> WaiveStep {
    WaiveStep { step, reason: "a try".to_owned() }
}

/// A release of `test/three` on its way to the step of the experiment, if nothing stands in its way.
async fn released_to_experiment(ops: &LlmOps) -> Release {
    ops.releases().start("bot", releasing("three")).await.unwrap();
    ops.releases().waive("bot", waiving(ReleaseStep::Gate)).await.unwrap();
    ops.releases().waive("bot", waiving(ReleaseStep::Staging)).await.unwrap()
}

/// The model that answers in production, and those of the variants.
async fn answering(ops: &LlmOps) -> Vec<String> {
    let live = ops.live_deployments().await.unwrap();
    let production = live.iter().find(|live| live.deployment.environment == "production").unwrap();
    let variants = production.variants.iter().map(|variant| variant.manifest.model.clone());
    std::iter::once(production.manifest.model.clone()).chain(variants).collect()
}

/// What another change of production does to the experiment of a release.
async fn interrupts(change: impl AsyncFn(&LlmOps), expected: &str) {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        ops.deployments().deploy("bot", model("two")).await.unwrap();
        let release = released_to_experiment(ops).await;
        assert_eq!(answering(ops).await, ["test/two", "test/two", "test/three"]);
        change(ops).await;
        assert_eq!(answering(ops).await, [expected], "everybody gets what is live");
        let waits_for = "what is live changed, and the experiment ended";
        waits(&ops.releases().get("bot").await.unwrap(), ReleaseStep::Experiment, waits_for);
        waits(&ops.releases().advance("bot").await.unwrap(), ReleaseStep::Experiment, waits_for);
        let experiment = ops.experiments().get(&release.experiment.unwrap()).await.unwrap();
        assert_eq!(experiment.status, ExperimentStatus::Cancelled);
        // A person may go on all the same.
        let waived = ops.releases().waive("bot", waiving(ReleaseStep::Experiment)).await.unwrap();
        waits(&waived, ReleaseStep::Approval, "what is live changed since the experiment; a person has to allow it");
        assert_eq!(ops.releases().approve("bot").await.unwrap().status, ReleaseStatus::Released);
        assert_eq!(answering(ops).await, ["test/three"]);
    })
    .await;
}

#[tokio::test]
async fn what_becomes_live_below_a_release_answers_everybody() {
    let rollback = async |ops: &LlmOps| {
        let back = ops.deployments().rollback("bot", Rollback::default()).await.unwrap();
        assert!(back.notices[0].contains("and the release waits"), "{:?}", back.notices);
    };
    interrupts(rollback, "test/one").await;
    let incident = async |ops: &LlmOps| {
        let open = OpenIncident { deployment: "bot".to_owned(), rollback: true, ..OpenIncident::default() };
        assert_eq!(ops.incidents().open(open).await.unwrap().failed, Vec::<String>::new());
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
    };
    interrupts(incident, "test/one").await;
    let deploy = async |ops: &LlmOps| {
        let deployed = ops.deployments().deploy("bot", model("four")).await.unwrap();
        assert!(deployed.notices[0].contains("and the release waits"), "{:?}", deployed.notices);
    };
    interrupts(deploy, "test/four").await;
}

#[tokio::test]
async fn settings_leave_the_experiment_of_a_release() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        released_to_experiment(ops).await;
        let settings = Some(DeploymentSettings { retries: 3, ..DeploymentSettings::default() });
        let configured = ops.deployments().deploy("bot", Deploy { settings, ..Deploy::default() }).await.unwrap();
        assert_eq!(configured.deployment.settings.retries, 3);
        assert_eq!(answering(ops).await, ["test/one", "test/one", "test/three"]);
        waits(&ops.releases().advance("bot").await.unwrap(), ReleaseStep::Experiment, "has not concluded");
        ops.releases().cancel("bot", "").await.unwrap();
        assert_eq!(answering(ops).await, ["test/one"]);
    })
    .await;
}

#[tokio::test]
async fn a_release_exposes_nobody_during_an_incident() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let open = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(open).await.unwrap();
        let release = released_to_experiment(ops).await;
        waits(&release, ReleaseStep::Experiment, "is frozen by the incident");
        assert_eq!((release.experiment, answering(ops).await), (None, vec!["test/one".to_owned()]));
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        waits(&ops.releases().advance("bot").await.unwrap(), ReleaseStep::Experiment, "has not concluded");
        assert_eq!(answering(ops).await, ["test/one", "test/one", "test/three"]);
    })
    .await;
}

#[tokio::test]
async fn a_release_gets_no_further_users_during_an_incident() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let id = released_to_experiment(ops).await.experiment.unwrap();
        let status = async || ops.experiments().get(&id).await.unwrap().status;
        let open = async || {
            let open = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
            ops.incidents().open(open).await.unwrap()
        };
        let opened = open().await;
        assert!(
            matches!(&opened.incident.measures[..], [Measure::ExperimentPaused { .. }]) && opened.failed.is_empty()
        );
        assert_eq!(status().await, ExperimentStatus::Paused);
        assert!(matches!(ops.experiments().resume(&id).await.unwrap_err(), Error::Conflict { .. }));
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert_eq!(status().await, ExperimentStatus::Running);

        // What was paused or ended by a person stays so.
        ops.experiments().pause(&id).await.unwrap();
        assert_eq!(open().await.incident.measures, []);
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert_eq!(status().await, ExperimentStatus::Paused);
        ops.experiments().resume(&id).await.unwrap();
        open().await;
        ops.releases().cancel("bot", "").await.unwrap();
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        assert_eq!(status().await, ExperimentStatus::Cancelled);
    })
    .await;
}

/// A release of `test/three` at the step of approval, with nothing but a person missing.
async fn released_to_approval(ops: &LlmOps) -> Release {
    released_to_experiment(ops).await;
    ops.releases().waive("bot", waiving(ReleaseStep::Experiment)).await.unwrap()
}

#[tokio::test]
async fn nothing_is_allowed_during_an_incident_and_kept_for_later() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let (dana, ben) = (as_key(&ops, "dana"), as_key(&ops, "ben"));
        let settings = Some(asking());
        dana.deployments().deploy("bot", Deploy { settings, ..model("one") }).await.unwrap();
        released_to_approval(&dana).await;
        let open = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(open).await.unwrap();
        let frozen = ben.releases().approve("bot").await.unwrap_err();
        assert!(frozen.to_string().contains("is frozen by the incident"), "{frozen}");
        let release = ops.releases().get("bot").await.unwrap();
        assert_eq!((release.step, release.approved_by), (ReleaseStep::Approval, None));
        waits(&dana.releases().advance("bot").await.unwrap(), ReleaseStep::Approval, "is frozen by the incident");
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        let hotfix = dana.deployments().deploy("bot", model("two")).await.unwrap().approval.unwrap();
        ben.deployments().approve(hotfix.id.as_str()).await.unwrap();
        waits(&dana.releases().advance("bot").await.unwrap(), ReleaseStep::Approval, "somebody else than dana");
        assert!(matches!(dana.releases().approve("bot").await, Err(Error::Forbidden(_))));
        assert_eq!(answering(&ops).await, ["test/two"]);
        assert_eq!(ben.releases().approve("bot").await.unwrap().status, ReleaseStatus::Released);
        assert_eq!(answering(&ops).await, ["test/three"]);
    })
    .await;
}

/// A release that was allowed while `over` was live, and whose process ended before it was carried out.
async fn left_at_production(ops: &LlmOps, release: &Release, over: Option<&ContentHash>, by: &str) -> Release {
    let left = Release {
        step: ReleaseStep::Production,
        waiting: None,
        approved_by: Some(by.to_owned()),
        approved_key: Some(KeyId(format!("key_{by}"))),
        approved_over: over.cloned(),
        revision: release.revision + 1,
        ..release.clone()
    };
    ops.store().put_release(&ProjectId::default_project(), &left).await.unwrap();
    left
}

#[tokio::test]
async fn what_was_allowed_goes_over_what_was_live_then_and_nothing_else() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let (dana, ben) = (as_key(&ops, "dana"), as_key(&ops, "ben"));
        let one = dana.deployments().deploy("bot", model("one")).await.unwrap().deployment.manifest;
        let release = released_to_approval(&dana).await;
        // Over what is live, it waits for the end of an incident, and says so.
        left_at_production(&ops, &release, Some(&one), "ben").await;
        let open = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(open).await.unwrap();
        let frozen = dana.releases().advance("bot").await.unwrap();
        waits(&frozen, ReleaseStep::Production, "is frozen by the incident");
        assert_eq!(ops.releases().get("bot").await.unwrap().waiting, frozen.waiting, "who only looks sees it, too");
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        // Over something else, it is to be allowed again.
        dana.deployments().deploy("bot", model("two")).await.unwrap();
        let withdrawn = dana.releases().advance("bot").await.unwrap();
        waits(&withdrawn, ReleaseStep::Approval, "a person has to allow it");
        assert_eq!((&withdrawn.approved_by, answering(&ops).await), (&None, vec!["test/two".to_owned()]));
        let told: Vec<_> = withdrawn.history.iter().map(|event| event.text.as_str()).collect();
        assert!(told.contains(&"what is live changed since ben allowed it"), "{told:?}");
        // As is what an earlier version kept, which did not say over what it was allowed.
        left_at_production(&ops, &withdrawn, None, "ben").await;
        let withdrawn = dana.releases().advance("bot").await.unwrap();
        waits(&withdrawn, ReleaseStep::Approval, "a person has to allow it");
        // And what who began it allowed alone, once a second key is asked for.
        let two = ops.deployments().get("bot", None).await.unwrap().manifest;
        left_at_production(&ops, &withdrawn, Some(&two), "dana").await;
        let settings = Some(asking());
        dana.deployments().deploy("bot", Deploy { settings, ..Deploy::default() }).await.unwrap();
        let withdrawn = dana.releases().advance("bot").await.unwrap();
        waits(&withdrawn, ReleaseStep::Approval, "somebody else than dana");
        // What is carried out already, but for its last word, is released.
        let left = left_at_production(&ops, &withdrawn, Some(&two), "ben").await;
        let manifest_hash = Some(left.manifest.to_string());
        let deploy = Deploy { manifest_hash, ..Deploy::default() };
        let asked = dana.deployments().deploy("bot", deploy).await.unwrap().approval.unwrap();
        ben.deployments().approve(asked.id.as_str()).await.unwrap();
        assert_eq!(dana.releases().advance("bot").await.unwrap().status, ReleaseStatus::Released);
        assert_eq!(answering(&ops).await, ["test/three"]);
    })
    .await;
}

/// A release before the step of the experiment, whose process ended in that step: it made the experiment, and did not write down
/// that it is there.
async fn left_in_the_experiment(ops: &LlmOps, is_started: bool) -> (Release, String) {
    ops.deployments().deploy("bot", model("one")).await.unwrap();
    ops.releases().start("bot", releasing("three")).await.unwrap();
    let release = ops.releases().waive("bot", waiving(ReleaseStep::Gate)).await.unwrap();
    let spec = json!({"name": release.id.as_str().replace('_', "-"),
        "variants": [{"id": "control", "is_control": true}, {"id": "candidate", "manifest": release.manifest}],
        "traffic_split": {"control": 0.9, "candidate": 0.1}, "metrics": [{"name": "feedback_thumb"}]});
    let left = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
    if is_started {
        ops.experiments().start(left.id.as_str()).await.unwrap();
    }
    (release, left.id.0)
}

#[tokio::test]
async fn an_experiment_that_a_dead_process_left_is_taken_up() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        let all = async || ops.experiments().list(None, None, 10).await.unwrap().len();
        for (n, is_started) in [(1, false), (2, true)] {
            let (_, left) = left_in_the_experiment(ops, is_started).await;
            let release = ops.releases().waive("bot", waiving(ReleaseStep::Staging)).await.unwrap();
            waits(&release, ReleaseStep::Experiment, "has not concluded");
            assert_eq!((release.experiment.as_deref(), all().await), (Some(&*left), n));
            assert_eq!(answering(ops).await, ["test/one", "test/one", "test/three"]);
            ops.releases().cancel("bot", "").await.unwrap();
            assert_eq!(ops.experiments().get(&left).await.unwrap().status, ExperimentStatus::Cancelled);
            assert_eq!(answering(ops).await, ["test/one"]);
        }
        // Who gives the release up, or goes around the experiment, ends it as well.
        let (_, left) = left_in_the_experiment(ops, true).await;
        ops.releases().cancel("bot", "").await.unwrap();
        assert_eq!(ops.experiments().get(&left).await.unwrap().status, ExperimentStatus::Cancelled);
        let (release, left) = left_in_the_experiment(ops, true).await;
        let step = ReleaseStep::Experiment;
        let stands = Release { step, revision: release.revision + 1, ..release };
        ops.store().put_release(&ProjectId::default_project(), &stands).await.unwrap();
        ops.releases().waive("bot", waiving(step)).await.unwrap();
        ops.releases().approve("bot").await.unwrap();
        let ended = ops.experiments().get(&left).await.unwrap();
        assert_eq!((ended.status, ended.winner), (ExperimentStatus::Completed, None));
    })
    .await;
}

#[tokio::test]
async fn a_release_leaves_the_experiment_of_somebody_else() {
    on_backends(async |store| {
        let ops = &installation(store, &Scripted::new(right));
        let spec = json!({"name": "mine", "variants": [{"id": "control"}, {"id": "b", "model_name": "test/two"}],
            "metrics": [{"name": "quality"}]});
        let mine = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        ops.experiments().start(mine.id.as_str()).await.unwrap();
        let settings =
            Some(DeploymentSettings { experiment: Some("mine".to_owned()), ..DeploymentSettings::default() });
        ops.deployments().deploy("bot", Deploy { settings, ..model("one") }).await.unwrap();
        let release = released_to_experiment(ops).await;
        waits(&release, ReleaseStep::Experiment, "the experiment mine assigns the users of bot");
        assert_eq!(answering(ops).await, ["test/one", "test/one", "test/two"]);
        ops.releases().cancel("bot", "").await.unwrap();
        assert_eq!(answering(ops).await, ["test/one", "test/one", "test/two"]);
        // One that ended is in nobody's way, and a person may go around one that runs.
        released_to_experiment(ops).await;
        let waived = ops.releases().waive("bot", waiving(ReleaseStep::Experiment)).await.unwrap();
        waits(&waived, ReleaseStep::Approval, "a person has to allow it");
        ops.releases().cancel("bot", "").await.unwrap();
        released_to_experiment(ops).await;
        ops.experiments().complete("mine", None).await.unwrap();
        waits(&ops.releases().advance("bot").await.unwrap(), ReleaseStep::Experiment, "has not concluded");
    })
    .await;
}

#[tokio::test]
async fn staging_asks_for_its_own_second_key() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let (dana, ben) = (as_key(&ops, "dana"), as_key(&ops, "ben"));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let staging = Deploy { environment: Some("staging".to_owned()), settings: Some(asking()), ..model("one") };
        ops.deployments().deploy("bot", staging).await.unwrap();
        dana.releases().start("bot", releasing("three")).await.unwrap();
        let release = dana.releases().waive("bot", waiving(ReleaseStep::Gate)).await.unwrap();
        waits(&release, ReleaseStep::Staging, "staging asks for a second key: llmops approval approve");
        let there = ops.deployments().get("bot", Some("staging")).await.unwrap();
        assert_ne!(there.manifest, release.manifest);
        assert_eq!(dana.releases().advance("bot").await.unwrap(), release, "asking again asks for nothing else");
        let asked = ops.deployments().approvals(None, 10).await.unwrap();
        assert_eq!((asked.len(), asked[0].requested_by.as_str()), (1, "dana"));
        assert!(matches!(dana.deployments().approve(asked[0].id.as_str()).await, Err(Error::Forbidden(_))));
        ben.deployments().approve(asked[0].id.as_str()).await.unwrap();
        waits(&dana.releases().advance("bot").await.unwrap(), ReleaseStep::Staging, "0 of 20 calls");
    })
    .await;
}

#[tokio::test]
async fn a_gate_that_production_asks_for_is_not_let_pass() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        let gated = Some(DeploymentSettings { require_gate: true, ..DeploymentSettings::default() });
        ops.deployments().deploy("bot", Deploy { settings: gated, ..Deploy::default() }).await.unwrap();
        ops.releases().start("bot", releasing("three")).await.unwrap();
        let refused = ops.releases().waive("bot", waiving(ReleaseStep::Gate)).await.unwrap_err();
        assert!(refused.to_string().contains("require_gate"), "{refused}");
        let known = ops.releases().get("bot").await.unwrap();
        let command = format!("llmops eval --manifest {} && llmops gate", known.manifest.short());
        assert!(matches!(&refused, Error::Conflict { hint: Some(hint), .. } if hint.contains(&command)), "{refused:?}");
        waits(&ops.releases().get("bot").await.unwrap(), ReleaseStep::Gate, "test/three (");
    })
    .await;
}

#[tokio::test]
async fn an_approval_takes_no_settings_back() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let (ci, ben) = (as_key(&ops, "ci"), as_key(&ops, "ben"));
        let with =
            |retries, request: Deploy| Deploy { settings: Some(DeploymentSettings { retries, ..asking() }), ..request };
        let asked = async |request: Deploy| ci.deployments().deploy("bot", request).await.unwrap().approval.unwrap();
        ci.deployments().deploy("bot", with(1, model("one"))).await.unwrap();
        // One that names no settings keeps those that hold when it is allowed.
        let two = asked(model("two")).await;
        ci.deployments().deploy("bot", with(2, Deploy::default())).await.unwrap();
        let deployed = ben.deployments().approve(two.id.as_str()).await.unwrap();
        assert_eq!((deployed.manifest.model.as_str(), deployed.deployment.settings.retries), ("test/two", 2));
        // One that names some is asked for again when others hold by now.
        let three = asked(with(3, model("three"))).await;
        ci.deployments().deploy("bot", with(4, Deploy::default())).await.unwrap();
        let refused = ben.deployments().approve(three.id.as_str()).await.unwrap_err();
        assert!(refused.to_string().contains("were changed since the promotion"), "{refused}");
        assert_eq!(ops.deployments().get("bot", None).await.unwrap().settings.retries, 4);
        let again = asked(with(5, model("three"))).await;
        let deployed = ben.deployments().approve(again.id.as_str()).await.unwrap();
        assert_eq!((deployed.manifest.model.as_str(), deployed.deployment.settings.retries), ("test/three", 5));
    })
    .await;
}

#[tokio::test]
async fn of_several_decisions_one_counts() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let (ci, ben, eve) = (as_key(&ops, "ci"), as_key(&ops, "ben"), as_key(&ops, "eve"));
        ci.deployments().deploy("bot", Deploy { settings: Some(asking()), ..model("one") }).await.unwrap();
        let asked = async |name: &str| ci.deployments().deploy("bot", model(name)).await.unwrap().approval.unwrap();
        for name in ["two", "three", "four"] {
            let asked = asked(name).await;
            let before = ops.deployments().get("bot", None).await.unwrap();
            let (ben, eve) = (ben.deployments(), eve.deployments());
            let (allowed, refused) = tokio::join!(ben.approve(asked.id.as_str()), eve.reject(asked.id.as_str()));
            let status = ops.deployments().approvals(None, 1).await.unwrap()[0].status;
            let now = ops.deployments().get("bot", None).await.unwrap();
            match (allowed, refused) {
                (Ok(_), Err(_)) => assert_eq!((status, now.manifest), (ApprovalStatus::Approved, asked.manifest)),
                (Err(_), Ok(_)) => assert_eq!((status, now), (ApprovalStatus::Rejected, before)),
                other => panic!("{other:?}"),
            }
        }
        let asked = asked("five").await;
        let before = ops.deployments().get("bot", None).await.unwrap().revision;
        let (ben, eve) = (ben.deployments(), eve.deployments());
        let (first, second) = tokio::join!(ben.approve(asked.id.as_str()), eve.approve(asked.id.as_str()));
        assert_ne!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
        assert_eq!(ops.deployments().get("bot", None).await.unwrap().revision, before + 1);
    })
    .await;
}

#[tokio::test]
async fn watchers_hear_of_every_step() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let filter = "release".parse().unwrap();
        let mut told = ops.events().subscribe(Some(0), filter).await.unwrap();
        let release = ops.releases().start("bot", releasing("one")).await.unwrap();
        ops.releases().cancel("bot", "").await.unwrap();
        let mut steps = Vec::new();
        for _ in 0..3 {
            let next = tokio::time::timeout(std::time::Duration::from_mins(1), told.next()).await;
            let Event::Release { release: id, deployment, status, step, waiting } =
                next.unwrap().unwrap().unwrap().event
            else {
                panic!("another kind")
            };
            assert_eq!((id.as_str(), deployment.as_str()), (release.id.as_str(), "bot"));
            steps.push(format!("{step} {status} {}", waiting.is_some()));
        }
        assert_eq!(steps, ["gate open false", "gate open true", "gate cancelled false"]);
    })
    .await;
}
