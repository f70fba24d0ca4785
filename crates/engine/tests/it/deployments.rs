//! Deployments: deploying, going back, safe mode, rehearsals, and the gate before production.

use std::sync::atomic::Ordering;

use llmops::domain::access::Actor;
use llmops::domain::chat::Parameters;
use llmops::domain::deployment::{Deployment, DeploymentAction, DeploymentChange, DeploymentSettings, SafeMode};
use llmops::domain::gate::{GateConfig, Verdict};
use llmops::domain::hash::ContentHash;
use llmops::domain::id::ProjectId;
use llmops::domain::manifest::Manifest;
use llmops::evaluator::RunRef;
use llmops::{Error, LlmOps};
use llmops_api::deployments::{Deploy, Rollback, SwitchSafeMode};
use llmops_api::incidents::OpenIncident;
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_api::releases::StartRelease;
use llmops_api::runs::{CreateRun, TargetSpec};
use llmops_storage::AuditFilter;
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run};

fn model(name: &str) -> Deploy {
    Deploy { model: Some(format!("test/{name}")), ..Deploy::default() }
}

/// A prompt of this version whose text says it.
pub(crate) async fn push_prompt(ops: &LlmOps, version: &str, fields: serde_json::Value) {
    let mut prompt = json!({"name": "bot", "version": version, "content": format!("{version}: {{{{ input }}}}")});
    prompt.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let prompt = serde_json::from_value(prompt).unwrap();
    ops.prompts().create(PushPrompt { prompt, bump: BumpMode::None, activate: true }).await.unwrap();
}

async fn live_model(ops: &LlmOps) -> String {
    let live = ops.live_deployments().await.unwrap();
    live.iter().find(|d| d.deployment.environment == "production").unwrap().manifest.model.clone()
}

#[tokio::test]
async fn deploying_and_going_back() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        let first = deployments.deploy("bot", model("one")).await.unwrap();
        assert!(first.changed && first.previous.is_none());
        assert!(!deployments.deploy("bot", model("one")).await.unwrap().changed, "the same again changes nothing");
        let indexed = Deploy { retriever_index_version: Some("kb-2".to_owned()), ..model("two") };
        let second = deployments.deploy("bot", indexed).await.unwrap();
        assert_eq!(second.previous, Some(first.deployment.manifest.clone()));
        assert!(second.notices[0].contains("from none to kb-2"), "{:?}", second.notices);
        let revision = ops.deployments_revision().await.unwrap();

        let back = deployments.rollback("bot", Rollback::default()).await.unwrap();
        assert_eq!(back.deployment.manifest, first.deployment.manifest);
        assert!(back.notices[0].contains("from kb-2 to none"));
        assert!(ops.deployments_revision().await.unwrap() > revision);
        assert_eq!(live_model(&ops).await, "test/one");
        let nothing = deployments.rollback("bot", Rollback::default()).await.unwrap_err();
        let short = second.deployment.manifest.short();
        let way_on = format!("llmops rollback bot --to {short} takes");
        assert!(back.notices[1].starts_with(&way_on), "{:?}", back.notices);
        assert!(nothing.to_string().contains(&format!("what came later is taken by its hash: {short}")), "{nothing}");
        assert!(
            matches!(&nothing, Error::Conflict { hint: Some(hint), .. } if hint.starts_with(&way_on)),
            "{nothing:?}"
        );
        let to = Some(second.deployment.manifest.short().to_owned());
        deployments.rollback("bot", Rollback { to, ..Rollback::default() }).await.unwrap();
        assert_eq!(live_model(&ops).await, "test/two");
        let history = deployments.history("bot", None).await.unwrap();
        let actions: Vec<_> = history.iter().map(|change| change.action).collect();
        let (deploy, rollback) = (DeploymentAction::Deploy, DeploymentAction::Rollback);
        assert_eq!(actions, [deploy, deploy, rollback, rollback]);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_answer_is_not_deployed() {
    on_backends(async |store| {
        let deployments = installation(store, &Scripted::new(right)).deployments();
        let required = DeploymentSettings { required_fields: vec!["model_version".to_owned()], ..Default::default() };
        for (name, request, expected) in [
            ("bot", Deploy::default(), "nothing to deploy"),
            ("bot", Deploy { model: Some("nobody/m".to_owned()), ..Deploy::default() }, "no provider `nobody`"),
            (
                "bot",
                Deploy { manifest_hash: Some("abcd".to_owned()), ..model("one") },
                "leave `prompt` and `model` out",
            ),
            ("a/b", model("one"), "cannot be the name of a deployment"),
            ("..", model("one"), "cannot be the name of a deployment"),
            (
                "bot",
                Deploy { environment: Some(".".to_owned()), ..model("one") },
                "cannot be the name of an environment",
            ),
            ("bot", Deploy { settings: Some(required), ..model("one") }, "`model_version` is not set"),
            (
                "bot",
                Deploy { parameters: Parameters { temperature: Some(99.0), ..Parameters::default() }, ..model("one") },
                "parameters.temperature: must be from 0 to 2, not `99.0`",
            ),
        ] {
            let error = deployments.deploy(name, request).await.unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains(expected), "{error}");
        }
        assert!(matches!(deployments.get("bot", None).await, Err(Error::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_manifest_that_names_a_prompt_uses_it() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        push_prompt(&ops, "1.0.0", json!({"system": "Be kind."})).await;
        push_prompt(&ops, "1.1.0", json!({})).await;
        let deploy = async |manifest: serde_json::Value| {
            let request: Deploy = serde_json::from_value(json!({"manifest": manifest})).unwrap();
            deployments.deploy("bot", request).await
        };
        let check = async |manifest: serde_json::Value, version: &str, system: Option<&str>| {
            let deployed = deploy(manifest).await.unwrap();
            assert_eq!(deployed.manifest.prompt_label().as_deref(), Some(version));
            assert_eq!(deployed.manifest.system.as_deref(), system);
            let live = ops.live_deployments().await.unwrap();
            assert!(live[0].prompt.is_some(), "the prompt is used: {:?}", deployed.manifest);
            deployed.manifest
        };
        let named = json!({"model": "test/one", "prompt": "bot", "prompt_version": "1.0.0"});
        let first = check(named, "bot@1.0.0", Some("Be kind.")).await;
        check(json!({"model": "test/one", "prompt": "bot"}), "bot@1.1.0", None).await;
        check(serde_json::to_value(&first).unwrap(), "bot@1.0.0", Some("Be kind.")).await;
        let refused = async |manifest: serde_json::Value, expected: &str| {
            let error = deploy(manifest).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused(json!({"model": "test/one", "prompt": "nosuchprompt"}), "nosuchprompt").await;
        refused(json!({"model": "test/one", "prompt": "bot", "prompt_version": "9.0.0"}), "9.0.0").await;
        refused(json!({"model": "test/one", "prompt_version": "1.0.0"}), "but no prompt").await;
        let hash = &first.prompt_hash;
        let other = json!({"model": "test/one", "prompt": "bot", "prompt_hash": hash, "prompt_version": "1.1.0"});
        refused(other, "is that of bot@1.0.0, but its prompt_version is 1.1.0").await;
    })
    .await;
}

#[tokio::test]
async fn settings_have_the_ranges_of_files_however_they_come() {
    on_backends(async |store| {
        let deployments = installation(store, &Scripted::new(right)).deployments();
        let default = DeploymentSettings::default();
        for (settings, expected) in [
            (DeploymentSettings { body_sampling: 5.0, ..default.clone() }, "settings: body_sampling: must be"),
            (DeploymentSettings { body_sampling: -1.0, ..default.clone() }, "settings: body_sampling: must be"),
            (DeploymentSettings { retries: 100_000, ..default.clone() }, "settings: retries: must be"),
            (DeploymentSettings { fallbacks: vec!["test/m".to_owned(); 50], ..default.clone() }, "settings: fallbacks"),
        ] {
            let error =
                deployments.deploy("bot", Deploy { settings: Some(settings), ..model("one") }).await.unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains(expected), "{error}");
        }
        let experiment = Some("nope".to_owned());
        let settings = DeploymentSettings { experiment, when_model_changes: Some("nosuch".to_owned()), ..default };
        let deployed = deployments.deploy("bot", Deploy { settings: Some(settings), ..model("one") }).await.unwrap();
        let notices = deployed.notices.join("; ");
        assert!(notices.contains("no experiment nope yet") && notices.contains("no schedule nosuch yet"), "{notices}");
    })
    .await;
}

#[tokio::test]
async fn what_a_request_does_not_name_stays() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        push_prompt(&ops, "1.0.0", json!({})).await;
        push_prompt(&ops, "1.1.0", json!({"parameters": {"max_tokens": 9}})).await;
        push_prompt(&ops, "1.2.0", json!({"model": "test/own"})).await;
        let prompt = |version: &str| Deploy { prompt: Some(format!("bot@{version}")), ..Deploy::default() };
        let settings = || Some(DeploymentSettings { retries: 3, ..DeploymentSettings::default() });
        let only_settings = || Deploy { settings: settings(), ..Deploy::default() };
        for nothing in [only_settings(), prompt("1.0.0")] {
            let error = deployments.deploy("bot", nothing).await.unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "nothing is live yet: {error}");
        }
        let warm = serde_json::from_value(json!({"temperature": 0.3})).unwrap();
        let first = Deploy { model: model("one").model, parameters: warm, ..prompt("1.0.0") };
        let first = deployments.deploy("bot", first).await.unwrap();

        let configured = deployments.deploy("bot", only_settings()).await.unwrap();
        assert!(configured.changed && configured.deployment.manifest == first.deployment.manifest);
        assert_eq!(configured.deployment.settings, settings().unwrap());
        assert!(!deployments.deploy("bot", only_settings()).await.unwrap().changed);
        let last = deployments.history("bot", None).await.unwrap().pop().unwrap();
        assert_eq!(last.action, DeploymentAction::Configure);

        let next = deployments.deploy("bot", prompt("1.1.0")).await.unwrap();
        let parameters = &next.manifest.parameters;
        assert_eq!(
            (next.manifest.model.as_str(), parameters.temperature, parameters.max_tokens),
            ("test/one", Some(0.3), Some(9))
        );
        assert_eq!(next.deployment.settings, settings().unwrap());
        let cold = serde_json::from_value(json!({"temperature": 0.1, "stop": ["#"]})).unwrap();
        let colder = deployments.deploy("bot", Deploy { parameters: cold, ..Deploy::default() }).await.unwrap();
        assert_eq!(colder.manifest.prompt_label().as_deref(), Some("bot@1.1.0"));
        assert_eq!(
            (colder.manifest.parameters.temperature, &colder.manifest.stop[..]),
            (Some(0.1), &["#".to_owned()][..])
        );

        let own = deployments.deploy("bot", prompt("1.2.0")).await.unwrap();
        assert_eq!((own.manifest.model.as_str(), own.manifest.parameters.temperature), ("test/own", Some(0.0)));
        let cold = serde_json::from_value(json!({"temperature": 0.1})).unwrap();
        deployments.deploy("bot", Deploy { parameters: cold, ..Deploy::default() }).await.unwrap();
        let moved = deployments.deploy("bot", model("one")).await.unwrap();
        assert_eq!(
            moved.manifest.prompt_label().as_deref(),
            Some("bot@1.2.0"),
            "another model answers the same prompt"
        );
        let kept = (moved.manifest.model.as_str(), moved.manifest.parameters.temperature, moved.notices.len());
        assert_eq!(kept, ("test/one", Some(0.1), 0));
        let manifest = serde_json::from_value(json!({"model": "test/one"})).unwrap();
        let bare = deployments.deploy("bot", Deploy { manifest: Some(manifest), ..Deploy::default() }).await.unwrap();
        assert!(bare.notices[0].contains("bot@1.2.0 is no longer used"), "{:?}", bare.notices);
    })
    .await;
}

#[tokio::test]
async fn settings_of_what_answers_need_no_new_gate() {
    on_backends(async |store| {
        let deployments = installation(store, &Scripted::new(right)).deployments();
        deployments.deploy("bot", model("one")).await.unwrap();
        let gated = DeploymentSettings { require_gate: true, ..DeploymentSettings::default() };
        let configured = Deploy { settings: Some(gated), ..Deploy::default() };
        assert!(deployments.deploy("bot", configured).await.unwrap().changed);
        let refused = deployments.deploy("bot", model("two")).await.unwrap_err();
        assert!(refused.to_string().contains("no completed run"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn all_that_is_wrong_in_settings_is_told_and_windows_are_those_that_are_kept() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let settings = |guard: serde_json::Value| -> DeploymentSettings {
            serde_json::from_value(json!({"guard": guard})).unwrap()
        };
        let deploy = async |guard| {
            let asked = Deploy { settings: Some(settings(guard)), ..model("one") };
            ops.deployments().deploy("bot", asked).await.map_err(|error| error.to_string())
        };
        let wrong = json!({"alert": {"rate": 7.0}, "language": "klingon", "forbidden": ["("], "min_chars": 9, "max_chars": 3,
            "http": {"url": "file:///etc/passwd"}});
        let refused = deploy(wrong).await.unwrap_err();
        for field in ["guard.alert.rate", "language", "forbidden", "min_chars", "guard.http.url"] {
            assert!(refused.contains(field), "{field} is missing in {refused}");
        }
        let refused = deploy(json!({"alert": {"window": "30d"}})).await.unwrap_err();
        assert!(refused.contains("at most 5d"), "{refused}");
        deploy(json!({})).await.unwrap();
        let rate = async |window: &str| {
            let rate = ops.deployments().soft_failures("bot", None, Some(window.parse().unwrap())).await;
            rate.map(|rate| rate.window.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!((rate("30d").await.unwrap().as_str(), rate("90s").await.unwrap().as_str()), ("30d", "2m"));
        for window in ["0s", "36d"] {
            assert!(rate(window).await.unwrap_err().contains("expected 1m to 35d"), "{window}");
        }
    })
    .await;
}

#[tokio::test]
async fn safe_mode_answers_instead() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        deployments.deploy("bot", model("one")).await.unwrap();
        let switch = |on, answer: Option<&str>| SwitchSafeMode {
            environment: None,
            on,
            answer: answer.map(str::to_owned),
            reason: None,
        };
        assert!(matches!(deployments.safe_mode("bot", switch(true, None)).await, Err(Error::Conflict { .. })));
        deployments.safe_mode("bot", switch(true, Some("Back soon."))).await.unwrap();
        assert_eq!(ops.live_deployments().await.unwrap()[0].fixed_answer.as_deref(), Some("Back soon."));
        deployments.safe_mode("bot", switch(false, None)).await.unwrap();
        assert_eq!(ops.live_deployments().await.unwrap()[0].fixed_answer, None);
        let again = deployments.safe_mode("bot", switch(true, None)).await.unwrap();
        assert!(again.deployment.safe_mode, "it stays prepared");

        let answers = async |expected: &str| {
            let live = ops.live_deployments().await.unwrap();
            assert_eq!(live[0].fixed_answer.as_deref(), Some(expected));
        };
        deployments.safe_mode("bot", switch(true, Some("Closed today."))).await.unwrap();
        answers("Closed today.").await;
        let revision = deployments.get("bot", None).await.unwrap().revision;
        deployments.safe_mode("bot", switch(true, Some("Closed today."))).await.unwrap();
        assert_eq!(deployments.get("bot", None).await.unwrap().revision, revision, "the same again changes nothing");
        // Settings about something else do not switch it off unseen; those that prepare another answer hold.
        let settings = |answer: Option<&str>| {
            let safe_mode = SafeMode { manifest: None, answer: answer.map(str::to_owned) };
            Deploy {
                settings: Some(DeploymentSettings { retries: 3, safe_mode, ..DeploymentSettings::default() }),
                ..Deploy::default()
            }
        };
        assert_eq!(deployments.deploy("bot", settings(None)).await.unwrap().deployment.settings.retries, 3);
        answers("Closed today.").await;
        deployments.deploy("bot", settings(Some("Back at nine."))).await.unwrap();
        answers("Back at nine.").await;
        // A store of an earlier version may hold one that is on with nothing prepared: it lets nothing through.
        let on = deployments.get("bot", None).await.unwrap();
        let bare = Deployment { revision: on.revision + 1, settings: DeploymentSettings::default(), ..on };
        let change = deployments.history("bot", None).await.unwrap().pop().unwrap();
        let change = DeploymentChange { revision: bare.revision, ..change };
        store.change_deployment(&ProjectId::default_project(), &bare, &change).await.unwrap();
        answers("This service is not available at the moment.").await;
    })
    .await;
}

/// An experiment that answers nearly everybody by another model.
async fn bypass(ops: &LlmOps, manifest: Option<&ContentHash>) {
    let mut variants = json!([{"id": "control"}, {"id": "other", "model_name": "test/other"}]);
    if let Some(manifest) = manifest {
        variants[1] = json!({"id": "other", "manifest": manifest});
    }
    let split = json!({"control": 0.01, "other": 0.99});
    let spec =
        json!({"name": "bypass", "variants": variants, "traffic_split": split, "metrics": [{"name": "quality"}]});
    let made = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
    ops.experiments().start(made.id.as_str()).await.unwrap();
}

/// The models with which the variants of the deployment in production answer.
async fn variants(ops: &LlmOps) -> Vec<String> {
    let live = ops.live_deployments().await.unwrap();
    let production = live.iter().find(|d| d.deployment.environment == "production").unwrap();
    production.variants.iter().map(|variant| variant.manifest.model.clone()).collect()
}

#[tokio::test]
async fn a_rollback_answers_everybody() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        let first = deployments.deploy("bot", model("one")).await.unwrap().deployment.manifest;
        let routed = || DeploymentSettings { experiment: Some("bypass".to_owned()), ..DeploymentSettings::default() };
        bypass(&ops, Some(&first)).await;
        deployments.deploy("bot", Deploy { settings: Some(routed()), ..Deploy::default() }).await.unwrap();
        // Nothing else was live: the way back is from the variants.
        let back = deployments.rollback("bot", Rollback::default()).await.unwrap();
        assert!(back.notices[0].contains("bypass assigns nobody any more"), "{:?}", back.notices);
        assert_eq!((back.deployment.manifest, variants(&ops).await), (first, Vec::new()));
        deployments.deploy("bot", Deploy { settings: Some(routed()), ..Deploy::default() }).await.unwrap();
        let second = deployments.deploy("bot", model("two")).await.unwrap();
        assert!(second.notices[0].contains("the experiment bypass goes on"), "{:?}", second.notices);
        assert_eq!(variants(&ops).await, ["test/two", "test/one"]);
        deployments.rollback("bot", Rollback::default()).await.unwrap();
        assert_eq!((live_model(&ops).await.as_str(), variants(&ops).await), ("test/one", Vec::new()));
        assert!(deployments.rollback("bot", Rollback::default()).await.is_err(), "there is nothing to go back from");
    })
    .await;
}

#[tokio::test]
async fn an_experiment_is_no_way_around_what_a_promotion_needs() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        bypass(&ops, None).await;
        let refused = async |name: &str, settings: DeploymentSettings, expected: &str| {
            let settings = DeploymentSettings { experiment: Some("bypass".to_owned()), ..settings };
            let asked = Deploy { settings: Some(settings), ..Deploy::default() };
            match ops.deployments().deploy(name, asked).await {
                Ok(deployed) => assert!(!deployed.changed && deployed.notices[0].contains(expected), "{deployed:?}"),
                Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            }
            assert_eq!(ops.deployments().get(name, None).await.unwrap().settings.experiment, None);
        };
        for (name, settings, expected) in [
            ("approved", DeploymentSettings { require_approval: true, ..Default::default() }, "second key"),
            ("frozen", DeploymentSettings::default(), "is frozen by the incident"),
        ] {
            ops.deployments().deploy(name, Deploy { settings: Some(settings.clone()), ..model("one") }).await.unwrap();
            let incident = OpenIncident { deployment: "frozen".to_owned(), ..OpenIncident::default() };
            if name == "frozen" {
                ops.incidents().open(incident).await.unwrap();
            }
            refused(name, settings, expected).await;
        }
        ops.deployments().deploy("gated", model("one")).await.unwrap();
        let gated = DeploymentSettings { require_gate: true, ..DeploymentSettings::default() };
        let asked = Deploy { settings: Some(gated.clone()), ..Deploy::default() };
        ops.deployments().deploy("gated", asked).await.unwrap();
        refused("gated", gated.clone(), "no completed run").await;
        ops.experiments().cancel("bypass").await.unwrap();
        refused("gated", gated, "no experiment `bypass` runs").await;
        // Any settings are free where nothing of this is asked for.
        ops.deployments().deploy("free", model("one")).await.unwrap();
        let routed = DeploymentSettings { experiment: Some("bypass".to_owned()), ..DeploymentSettings::default() };
        let asked = Deploy { settings: Some(routed), ..Deploy::default() };
        assert!(ops.deployments().deploy("free", asked).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn settings_do_not_take_a_demand_away_and_deploy_what_it_keeps_out() {
    on_backends(async |store| {
        let deployments = installation(store, &Scripted::new(right)).deployments();
        let gated = DeploymentSettings { require_gate: true, ..DeploymentSettings::default() };
        let with = |settings: DeploymentSettings, request: Deploy| Deploy { settings: Some(settings), ..request };
        deployments.deploy("bot", model("one")).await.unwrap();
        deployments.deploy("bot", with(gated.clone(), Deploy::default())).await.unwrap();
        for settings in [DeploymentSettings::default(), gated] {
            let refused = deployments.deploy("bot", with(settings, model("two"))).await.unwrap_err();
            assert!(refused.to_string().contains("no completed run"), "{refused}");
        }
        let free = deployments.deploy("bot", with(DeploymentSettings::default(), Deploy::default())).await.unwrap();
        assert_eq!(free.notices, ["`require_gate` was on, and the new settings switch it off"]);
        // The demand for a second key holds for what comes with it.
        let asking = DeploymentSettings { require_approval: true, ..DeploymentSettings::default() };
        let waits = deployments.deploy("bot", with(asking, model("two"))).await.unwrap();
        assert!(waits.approval.is_some() && !waits.changed, "{waits:?}");
    })
    .await;
}

#[tokio::test]
async fn the_safe_mode_is_no_way_around_the_gate_and_the_second_key() {
    on_backends(async |store| {
        let deployments = installation(store, &Scripted::new(right)).deployments();
        let with = |settings: DeploymentSettings| Deploy { settings: Some(settings), ..Deploy::default() };
        let foreign = deployments.deploy("other", model("two")).await.unwrap().deployment.manifest;
        let preparing = |settings: &DeploymentSettings, hash: &ContentHash| {
            let safe_mode = SafeMode { manifest: Some(hash.clone()), answer: None };
            with(DeploymentSettings { safe_mode, ..settings.clone() })
        };
        let own = deployments.deploy("bot", model("one")).await.unwrap().deployment.manifest;
        deployments.deploy("bot", model("three")).await.unwrap();
        let gated = DeploymentSettings { require_gate: true, ..DeploymentSettings::default() };
        deployments.deploy("bot", with(gated.clone())).await.unwrap();
        let refused = deployments.deploy("bot", preparing(&gated, &foreign)).await.unwrap_err();
        assert!(refused.to_string().contains("no completed run"), "{refused}");
        let asking = DeploymentSettings { require_approval: true, ..DeploymentSettings::default() };
        deployments.deploy("asked", Deploy { settings: Some(asking.clone()), ..model("one") }).await.unwrap();
        let waits = deployments.deploy("asked", preparing(&asking, &foreign)).await.unwrap();
        assert!(waits.approval.is_some() && !waits.changed, "{waits:?}");
        // One that answered here before was let through then.
        assert!(deployments.deploy("bot", preparing(&gated, &own)).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn who_changed_what_is_kept() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let dana = ops.for_actor(ProjectId::default_project(), Actor::part("dana")).deployments();
        let gated = DeploymentSettings { require_gate: true, ..DeploymentSettings::default() };
        let first = dana.deploy("bot", model("one")).await.unwrap().deployment;
        dana.deploy("bot", Deploy { settings: Some(gated), ..Deploy::default() }).await.unwrap();
        let answer = Some("Back soon.".to_owned());
        let switch = SwitchSafeMode { environment: None, on: true, answer, reason: Some("prices".to_owned()) };
        let last = dana.safe_mode("bot", switch).await.unwrap().deployment;
        assert_eq!((first.updated_by.as_deref(), last.updated_by.as_deref()), (Some("dana"), Some("dana")));
        let history = dana.history("bot", None).await.unwrap();
        assert!(history.iter().all(|change| change.by.as_deref() == Some("dana")), "{history:?}");
        let filter = AuditFilter { action: Some("deployment.moved".to_owned()), ..AuditFilter::default() };
        let kept = store.list_audit(&ProjectId::default_project(), &filter, 10).await.unwrap();
        let kept: Vec<_> = kept.into_iter().rev().map(|record| (record.actor, record.before, record.after)).collect();
        let (by, manifest) = ("dana".to_owned(), &first.manifest);
        let expected = [
            (
                by.clone(),
                serde_json::Value::Null,
                json!({"manifest": manifest, "action": "deploy", "reason": null}),
            ),
            (
                by.clone(),
                json!({"manifest": manifest, "settings": {"require_gate": false}}),
                json!({"manifest": manifest, "settings": {"require_gate": true}, "action": "configure", "reason": null}),
            ),
            (
                by,
                json!({"manifest": manifest, "safe_mode": false, "settings": {"safe_mode": {}}}),
                json!({"manifest": manifest, "safe_mode": true, "settings": {"safe_mode": {"answer": "Back soon."}},
                    "action": "safe_mode_on", "reason": "prices"}),
            ),
        ];
        assert_eq!(kept, expected);
    })
    .await;
}

#[tokio::test]
async fn production_wants_a_passing_run_where_told_so() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 20).await;
        let gated = || Deploy {
            settings: Some(DeploymentSettings { require_gate: true, ..DeploymentSettings::default() }),
            ..model("good")
        };
        let refused = ops.deployments().deploy("bot", gated()).await.unwrap_err();
        assert!(refused.to_string().contains("no completed run"), "{refused}");
        let staging = Deploy { environment: Some("staging".to_owned()), ..gated() };
        ops.deployments().deploy("bot", staging).await.unwrap();

        let passed = finish(&ops, run("good", exact())).await;
        assert!(ops.deployments().deploy("bot", gated()).await.is_err(), "a run alone is no passed gate");
        ops.evaluator().gate(&RunRef::Latest, None, GateConfig::default()).await.unwrap();
        ops.deployments().deploy("bot", gated()).await.unwrap();
        assert_eq!(ops.evaluator().baseline("golden").await.unwrap().unwrap().id, passed.id);
    })
    .await;
}

/// A version whose template wants what no caller can give.
async fn push_one_that_never_renders(ops: &LlmOps) {
    push_prompt(ops, "3.0.0", json!({"content": "Be brief, {{ customer }}. {{ input }}"})).await;
}

#[tokio::test]
async fn what_can_never_be_rendered_does_not_answer() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let deployments = ops.deployments();
        push_prompt(&ops, "1.0.0", json!({})).await;
        push_one_that_never_renders(&ops).await;
        let of = |version: &str| Deploy { prompt: Some(format!("bot@{version}")), ..model("one") };
        let refused = |error: Error| assert!(error.to_string().contains("never be rendered: `customer`"), "{error}");
        refused(deployments.deploy("bot", of("3.0.0")).await.unwrap_err());
        let first = deployments.deploy("bot", of("1.0.0")).await.unwrap();
        refused(deployments.deploy("bot", of("3.0.0")).await.unwrap_err());
        let release = StartRelease { prompt: Some("bot@3.0.0".to_owned()), ..StartRelease::default() };
        refused(ops.releases().start("bot", release).await.unwrap_err());

        // One that was live before this was looked at.
        let (_, mut manifest) = deployments.manifest(first.deployment.manifest.as_str()).await.unwrap();
        let wrong = ops.prompts().resolve("bot@3.0.0").await.unwrap();
        (manifest.prompt_version, manifest.prompt_hash) = (Some("3.0.0".to_owned()), Some(wrong.hash));
        let hash = store.put_manifest(&ProjectId::default_project(), &manifest).await.unwrap();
        let change = DeploymentChange {
            revision: 2,
            action: DeploymentAction::Deploy,
            from: None,
            to: hash.clone(),
            at: llmops_domain::clock::now(),
            by: None,
            reason: None,
        };
        let live = Deployment { manifest: hash, revision: 2, ..first.deployment };
        store.change_deployment(&ProjectId::default_project(), &live, &change).await.unwrap();
        let rehearsed = deployments.rehearse("bot", None).await.unwrap();
        assert!(!rehearsed.ready && rehearsed.manifests[0].problems[0].contains("`customer`"), "{rehearsed:?}");
        let next = Deploy { model: Some("test/two".to_owned()), ..of("1.0.0") };
        deployments.deploy("bot", next).await.unwrap();
        refused(deployments.rollback("bot", Rollback::default()).await.unwrap_err());
    })
    .await;
}

#[tokio::test]
async fn a_part_of_the_samples_lets_nothing_through_and_a_newer_failure_closes_the_gate() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = installation(store, &provider);
        add_samples(&ops, 20).await;
        let gated = || Deploy {
            settings: Some(DeploymentSettings { require_gate: true, ..DeploymentSettings::default() }),
            ..model("good")
        };
        let refused = async || ops.deployments().deploy("bot", gated()).await.unwrap_err().to_string();
        let gate = async |overall_min| {
            let config = GateConfig { overall_min, ..GateConfig::default() };
            ops.evaluator().gate(&RunRef::Latest, None, config).await.unwrap().verdict
        };
        let part = finish(&ops, CreateRun { limit: Some(2), ..run("good", exact()) }).await;
        assert_eq!(gate(0.8).await, Verdict::Pass);
        let said = refused().await;
        assert!(said.contains("no completed run") && said.contains(&format!("({} saw only a part", part.id)), "{said}");
        assert!(ops.evaluator().promote(&RunRef::Latest, false).await.unwrap_err().to_string().contains("a part"));
        // Whoever starts a run may give it any tag.
        let tags = [("gate".to_owned(), "pass".to_owned())].into();
        let whole = finish(&ops, CreateRun { limit: Some(20), tags, ..run("good", exact()) }).await;
        assert!(refused().await.contains("no completed run"));
        assert_eq!(gate(0.8).await, Verdict::Pass);
        ops.deployments().deploy("bot", gated()).await.unwrap();
        assert_eq!(ops.evaluator().baseline("golden").await.unwrap().unwrap().id, whole.id);
        let wrong = Scripted::new(|_| "wrong".to_owned());
        let worse = installation(store, &wrong);
        let failed = finish(&worse, CreateRun { cache: false, ..run("good", exact()) }).await;
        assert_eq!(gate(0.8).await, Verdict::Fail);
        let again = Deploy { settings: gated().settings, ..model("good") };
        let said = worse.deployments().deploy("other", again).await.unwrap_err().to_string();
        assert!(said.contains(&format!("its newest run on golden, {}, failed its gate", failed.id)), "{said}");
    })
    .await;
}

/// What is evaluated is what is deployed, to the last field.
#[tokio::test]
async fn a_manifest_is_evaluated_as_it_is() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 4).await;
        let manifest: Manifest = serde_json::from_value(json!({"model": "test/good", "stop": ["###"],
            "parameters": {"temperature": 0.3}, "post_processing": ["trim"]}))
        .unwrap();
        let gated = Deploy {
            manifest: Some(manifest.clone()),
            settings: Some(DeploymentSettings { require_gate: true, ..DeploymentSettings::default() }),
            ..Deploy::default()
        };
        let Error::Conflict { hint: Some(hint), .. } =
            ops.deployments().deploy("bot", gated.clone()).await.unwrap_err()
        else {
            panic!("a conflict with a hint was expected")
        };
        let named = hint.split("--manifest ").nth(1).unwrap().split(' ').next().unwrap();
        let target = |manifest: Option<Manifest>, hash: Option<&str>| TargetSpec {
            name: "t".to_owned(),
            manifest,
            manifest_hash: hash.map(str::to_owned),
            ..TargetSpec::default()
        };
        let of = |target| CreateRun { target, ..run("good", exact()) };
        for target in [target(None, Some(named)), target(Some(manifest.clone()), None)] {
            let done = finish(&ops, of(target)).await;
            assert_eq!((&done.spec.manifest, &done.spec.manifest_id), (&manifest, &manifest.id().unwrap()));
        }
        ops.evaluator().gate(&RunRef::Latest, None, GateConfig::default()).await.unwrap();
        ops.deployments().deploy("bot", gated).await.unwrap();
        let both = ops.evaluator().create_run(of(target(Some(manifest.clone()), Some(named)))).await.unwrap_err();
        assert!(both.to_string().contains("exclude each other"), "{both}");
        let parts = TargetSpec { model: Some("test/x".to_owned()), ..target(None, Some(named)) };
        let parts = ops.evaluator().create_run(of(parts)).await.unwrap_err();
        assert!(parts.to_string().contains("prompt and model already"), "{parts}");
    })
    .await;
}

#[tokio::test]
async fn a_rehearsal_names_what_could_not_take_over() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let deployments = installation(store, &provider).deployments();
        deployments.deploy("bot", model("one")).await.unwrap();
        deployments.deploy("bot", model("two")).await.unwrap();
        let ready = deployments.rehearse("bot", None).await.unwrap();
        assert!(ready.ready && ready.manifests.len() == 2 && ready.manifests[0].is_live, "{ready:?}");
        provider.down.store(true, Ordering::SeqCst);
        // What was rolled back may be taken again.
        deployments.rollback("bot", Rollback::default()).await.unwrap();
        let down = deployments.rehearse("bot", None).await.unwrap();
        assert_eq!(down.manifests.len(), 2, "{down:?}");
        assert!(!down.ready && down.manifests[1].problems[0].contains("a probe failed"), "{down:?}");
    })
    .await;
}

#[tokio::test]
async fn an_experiment_that_starts_later_is_held_to_the_gate() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 4).await;
        let routed = DeploymentSettings { experiment: Some("later".to_owned()), ..DeploymentSettings::default() };
        let gated = DeploymentSettings { require_gate: true, ..routed.clone() };
        ops.deployments().deploy("bot", Deploy { settings: Some(routed), ..model("one") }).await.unwrap();
        ops.deployments().deploy("bot", Deploy { settings: Some(gated), ..Deploy::default() }).await.unwrap();
        let spec = json!({"name": "later", "metrics": [{"name": "quality"}],
            "variants": [{"id": "control"}, {"id": "other", "model_name": "test/two"}]});
        let made = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        let refused = ops.experiments().start(made.id.as_str()).await.unwrap_err().to_string();
        assert!(
            refused.contains("bot answers by the variants of") && refused.contains("no completed run"),
            "{refused}"
        );
        assert_eq!(variants(&ops).await, Vec::<String>::new());
        finish(&ops, run("two", exact())).await;
        ops.evaluator().gate(&RunRef::Latest, None, GateConfig::default()).await.unwrap();
        ops.experiments().start(made.id.as_str()).await.unwrap();
        assert_eq!(variants(&ops).await, ["test/one", "test/two"]);
    })
    .await;
}

#[tokio::test]
async fn an_experiment_that_starts_later_is_held_to_the_second_key() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        let asking = DeploymentSettings { require_approval: true, ..DeploymentSettings::default() };
        let routed = DeploymentSettings { experiment: Some("later".to_owned()), ..asking.clone() };
        let with = |settings: &DeploymentSettings| Deploy { settings: Some(settings.clone()), ..Deploy::default() };
        let spec = json!({"name": "later", "metrics": [{"name": "quality"}],
            "variants": [{"id": "control"}, {"id": "other", "model_name": "test/two"}]});
        ops.deployments().deploy("bot", Deploy { settings: Some(routed.clone()), ..model("one") }).await.unwrap();
        let made = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        let refused = ops.experiments().start(made.id.as_str()).await.unwrap_err().to_string();
        assert!(refused.contains("bot in production") && refused.contains("a second key has to allow"), "{refused}");
        assert_eq!(variants(&ops).await, Vec::<String>::new());
        // As the hint says: without the key it starts, and naming it again asks.
        assert!(ops.deployments().deploy("bot", with(&asking)).await.unwrap().changed);
        ops.experiments().start(made.id.as_str()).await.unwrap();
        let waits = ops.deployments().deploy("bot", with(&routed)).await.unwrap();
        assert!(waits.approval.is_some() && !waits.changed, "{waits:?}");
        assert_eq!(variants(&ops).await, Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn another_manifest_makes_other_variants_and_those_need_the_gate() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 4).await;
        let spec = json!({"name": "warm", "metrics": [{"name": "quality"}],
            "variants": [{"id": "control"}, {"id": "warm", "parameters": {"temperature": 0.9}}]});
        let made = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        ops.experiments().start(made.id.as_str()).await.unwrap();
        let routed = DeploymentSettings { experiment: Some("warm".to_owned()), ..DeploymentSettings::default() };
        let gated = DeploymentSettings { require_gate: true, ..routed.clone() };
        ops.deployments().deploy("bot", Deploy { settings: Some(routed), ..model("one") }).await.unwrap();
        ops.deployments().deploy("bot", Deploy { settings: Some(gated), ..Deploy::default() }).await.unwrap();
        finish(&ops, run("two", exact())).await;
        ops.evaluator().gate(&RunRef::Latest, None, GateConfig::default()).await.unwrap();
        // It passed its gate, and the variant that is made of it did not.
        let refused = ops.deployments().deploy("bot", model("two")).await.unwrap_err();
        assert!(refused.to_string().contains("no completed run"), "{refused}");
        assert_eq!(live_model(&ops).await, "test/one");
        ops.experiments().cancel("warm").await.unwrap();
        assert!(ops.deployments().deploy("bot", model("two")).await.unwrap().changed);
    })
    .await;
}

#[tokio::test]
async fn users_of_a_running_experiment_keep_their_names() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        bypass(&ops, None).await;
        let settings = |hash_users, experiment: Option<&str>| Deploy {
            settings: Some(DeploymentSettings {
                hash_users,
                experiment: experiment.map(str::to_owned),
                ..DeploymentSettings::default()
            }),
            ..Deploy::default()
        };
        ops.deployments().deploy("bot", model("one")).await.unwrap();
        // Nobody is in it yet.
        for hides in [false, true, false] {
            assert!(ops.deployments().deploy("bot", settings(hides, Some("bypass"))).await.unwrap().changed);
        }
        ops.experiments().assign_variant("bypass", "ana").await.unwrap();
        let refused = ops.deployments().deploy("bot", settings(true, Some("bypass"))).await.unwrap_err();
        assert!(refused.to_string().contains("cannot change while the experiment bypass runs"), "{refused}");
        assert!(!ops.deployments().get("bot", None).await.unwrap().settings.hash_users);
        assert!(ops.deployments().deploy("bot", settings(true, None)).await.unwrap().changed);
    })
    .await;
}
