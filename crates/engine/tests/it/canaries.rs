//! Canaries over real stores: pairs of live calls are asked again, judged, added up, and decided on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use llmops::canary::replay::replay;
use llmops::domain::access::Actor;
use llmops::domain::alert::{AlertFilter, Severity};
use llmops::domain::canary::{
    AbortCause, Action, BodyHandling, Canary, CanaryPolicy, CanaryState, Guardrail, SeenCall, ShadowPair, Share,
};
use llmops::domain::chat::ChatRequest;
use llmops::domain::dataset::Sample;
use llmops::domain::deployment::DeploymentSettings;
use llmops::domain::id::KeyId;
use llmops::domain::record::{BodyPolicy, CallOutcome, Door, RequestRecord};
use llmops::domain::release::ReleaseStep;
use llmops::domain::review::{ReviewFilter, ReviewReason};
use llmops::jobs::{StoredQueue, Worker, WorkerOptions};
use llmops::{CanarySampler, Error, LlmOps, Options};
use llmops_api::canaries::{ChangeCanary, StartCanary};
use llmops_api::deployments::Deploy;
use llmops_api::feedback::{ExportFormat, ExportQuery};
use llmops_api::incidents::{CloseIncident, OpenIncident};
use llmops_api::releases::{StartRelease, WaiveStep};
use llmops_storage::{PairFilter, Store, VersionSelector};
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::deployments::push_prompt;
use crate::scripted::{Scripted, installation_with};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// `test/better` and `test/worse` answer so; `test/judge` prefers what is better; everything else is `fair`.
fn answers(request: &ChatRequest) -> String {
    let text: String = request.messages.iter().map(|m| m.as_text().into_owned()).collect();
    match request.model.as_str() {
        "judge" => {
            let place = |word: &str| text.rfind(word).unwrap_or(usize::MAX);
            let winner = match (place("better answer"), place("worse answer"), place("fair answer")) {
                (better, usize::MAX, fair) if better != usize::MAX => {
                    if better < fair {
                        "first"
                    } else {
                        "second"
                    }
                }
                (usize::MAX, worse, fair) if worse != usize::MAX => {
                    if worse < fair {
                        "second"
                    } else {
                        "first"
                    }
                }
                _ => "tie",
            };
            json!({"winner": winner, "reason": "because"}).to_string()
        }
        "better" => "a better answer".to_owned(),
        "worse" => "a worse answer".to_owned(),
        _ => "a fair answer".to_owned(),
    }
}

fn installation(store: &Store) -> LlmOps {
    let queue = Some(Arc::new(StoredQueue(llmops_storage::Store::clone(store))) as Arc<dyn llmops::jobs::Queue>);
    installation_with(store, &Scripted::new(answers), Options { queue, ..Options::default() })
}

fn policy() -> CanaryPolicy {
    let mut policy = CanaryPolicy::with_judge("test/judge");
    policy.share = Share(1.0);
    policy.window.min = "0s".parse().unwrap();
    policy.min_samples = 60;
    policy.guardrails.error_rate = Some(Share(0.1));
    policy.guardrails.score_tolerance = Some(Share(0.1));
    policy.budget.per_hour = 1e6;
    policy.budget.total = 1e6;
    policy
}

async fn start(ops: &LlmOps, model: &str, policy: CanaryPolicy) -> Canary {
    ops.deployments().deploy("bot", Deploy { model: Some("test/fair".to_owned()), ..Deploy::default() }).await.unwrap();
    start_beside(ops, model, policy).await.unwrap()
}

async fn start_beside(ops: &LlmOps, model: &str, policy: CanaryPolicy) -> Result<Canary, Error> {
    let request = StartCanary { model: Some(format!("test/{model}")), ..request(policy) };
    ops.canaries().start(request).await.map(|started| started.canary)
}

/// A canary of `bot` whose candidate is still to be named.
fn request(policy: CanaryPolicy) -> StartCanary {
    StartCanary {
        deployment: "bot".to_owned(),
        environment: None,
        manifest: None,
        manifest_hash: None,
        prompt: None,
        model: None,
        parameters: llmops::domain::chat::Parameters::default(),
        policy,
        dry_run: false,
        draft: false,
    }
}

fn worker(ops: &LlmOps) -> Worker {
    ops.start_worker(WorkerOptions { concurrency: 4, poll: Duration::from_millis(20) })
}

/// A call that production answered, by its own user unless one is named.
fn call(canary: &Canary, user: Option<&str>, question: &str) -> (RequestRecord, SeenCall) {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let record = json!({
        "id": format!("req_{number:08}"), "at": llmops_domain::clock::now(), "door": "chat", "deployment": "bot",
        "environment": "production", "manifest": canary.production, "model": "test/fair", "stream": false,
        "user": user, "usage": {}, "cost": 0.01, "first_byte_ms": 5.0, "total_ms": 5.0, "status": 200,
        "outcome": "ok", "attempts": [],
    });
    let record: RequestRecord = serde_json::from_value(record).unwrap();
    let body = json!({"model": "bot", "messages": [{"role": "user", "content": format!("{question} {number}")}]});
    let seen = SeenCall {
        canary: Arc::new(canary.clone()),
        request: body.to_string().into_bytes(),
        variables: BTreeMap::new(),
        answer: "a fair answer".to_owned(),
        calls_tools: false,
        record_bodies: BodyPolicy::Full,
    };
    (record, seen)
}

fn traffic(ops: &LlmOps, sampler: &CanarySampler, canary: &Canary, calls: u32) {
    for _ in 0..calls {
        let (record, seen) = call(canary, None, "How far is the moon?");
        sampler.offer(ops.project(), &record, seen);
    }
}

/// Waits until the canary is in one of these states, by name.
async fn until(ops: &LlmOps, states: &[&str]) -> Canary {
    for _ in 0..600 {
        let canary = ops.canaries().get("bot", None).await.unwrap();
        if states.contains(&canary.state.as_str()) {
            return canary;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let report = ops.canaries().report("bot", None).await.unwrap();
    panic!("it is {}: {report:#?}", report.canary.state.as_str());
}

async fn alerts(ops: &LlmOps) -> Vec<(Severity, String)> {
    let alerts = ops.alerts().list(&AlertFilter::default()).await.unwrap();
    alerts.into_iter().filter(|alert| alert.source == "canary").map(|alert| (alert.severity, alert.message)).collect()
}

async fn live(ops: &LlmOps) -> String {
    let deployment = ops.deployments().get("bot", None).await.unwrap();
    ops.deployments().manifest(deployment.manifest.as_str()).await.unwrap().1.model
}

#[tokio::test]
async fn a_better_candidate_is_promoted_and_its_log_can_be_replayed() {
    on_backends(async |store| {
        let ops = installation(store);
        let canary = start(&ops, "better", policy()).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        let promoted = until(&ops, &["promoted"]).await;
        assert!(promoted.note.unwrap().contains("net win rate of 100.0 %"));
        assert_eq!(live(&ops).await, "test/better");
        let history = ops.deployments().history("bot", None).await.unwrap();
        assert!(history.last().unwrap().reason.as_ref().unwrap().starts_with(&format!("canary {}", canary.id)));
        worker.stop(Duration::from_secs(5)).await;
        let pairs = ops.canaries().pairs(&canary, &PairFilter::default(), 500).await.unwrap();
        assert!(pairs.len() >= 60 && pairs.iter().all(|pair| pair.texts.is_none()), "texts are not kept");
        let log = ops.canaries().decisions(&canary, 0, 100).await.unwrap();
        assert_eq!(log.last().unwrap().decision.action, Action::Promote);
        let replayed = replay(&canary.policy, &log, &pairs);
        assert!(replayed.iter().all(|r| r.differences.is_empty() && r.from_pairs), "{replayed:#?}");
        let mut stricter = canary.policy.clone();
        stricter.min_samples = 1000;
        let last = replay(&stricter, &log, &pairs).pop().unwrap();
        assert_eq!((last.logged, last.again), (Action::Promote, Action::Hold));
        assert_eq!(alerts(&ops).await[0].0, Severity::Info);
    })
    .await;
}

#[tokio::test]
async fn a_harmful_candidate_is_aborted_with_a_critical_alert_and_its_losses_become_samples() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.bodies = BodyHandling::Keep;
        policy.guardrails.score_tolerance = None;
        let canary = start(&ops, "worse", policy).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        // Many ask alike.
        for _ in 0..3 {
            let (record, mut seen) = call(&canary, None, "");
            seen.request =
                json!({"messages": [{"role": "user", "content": "Who asks twice?"}]}).to_string().into_bytes();
            sampler.offer(ops.project(), &record, seen);
        }
        traffic(&ops, &sampler, &canary, 60);
        let aborted = until(&ops, &["aborted"]).await;
        assert_eq!(aborted.state, CanaryState::Aborted { cause: AbortCause::NetLoss });
        assert_eq!(live(&ops).await, "test/fair");
        worker.stop(Duration::from_secs(5)).await;
        let raised = alerts(&ops).await;
        let critical = raised.iter().find(|(severity, _)| *severity == Severity::Critical).unwrap();
        assert!(critical.1.contains("even its upper bound"), "{raised:?}");
        let lost = ops.datasets().version("bot-lost", &llmops_storage::VersionSelector::Latest).await.unwrap();
        let samples = ops.datasets().get_samples(&lost, 0, 100).await.unwrap();
        // Thirty pairs at the least, three of them alike.
        assert!(samples.len() >= 28, "{}", samples.len());
        assert_eq!(samples.iter().filter(|(_, sample)| sample.input == "Who asks twice?").count(), 1);
        let sample = &samples[0].1;
        assert_eq!(sample.expected_output, ["a fair answer"]);
        assert_eq!(sample.metadata["candidate_answer"], "a worse answer");
        assert_eq!(sample.metadata["canary"], json!(canary.id));
        let sums = ops.canaries().report("bot", None).await.unwrap();
        assert_eq!(sums.waiting, 0, "nothing waits for a canary that is over");

        let open = ops.reviews().list(&ReviewFilter::default(), 500).await.unwrap();
        assert!((30..=100).contains(&open.len()), "{}", open.len());
        assert!(open.iter().all(|item| item.item.reason == ReviewReason::ShadowLoss && !item.item.input.is_empty()));
        assert_eq!(open[0].item.output.as_deref(), Some("a worse answer"));
        assert_eq!(open[0].item.suggestion.as_deref(), Some("a fair answer"));
        let query = ExportQuery { format: ExportFormat::Preference, ..ExportQuery::default() };
        let (counts, mut lines) = ops.feedback().export(query).await.unwrap();
        assert!(counts.examples >= 1, "{counts:?}");
        let line = lines.recv().await.unwrap().unwrap();
        let pair: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(pair["chosen"][0]["content"], "a fair answer");
        assert_eq!(pair["rejected"][0]["content"], "a worse answer");
        let query = ExportQuery { format: ExportFormat::OpenaiFt, ..ExportQuery::default() };
        let (counts, _) = ops.feedback().export(query).await.unwrap();
        assert_eq!(counts.considered, 0, "nobody said that they are good: {counts:?}");
    })
    .await;
}

#[tokio::test]
async fn pairs_of_a_process_that_died_are_answered_by_the_next() {
    on_backends(async |store| {
        let first = installation(store);
        let canary = start(&first, "better", policy()).await;
        let sampler = first.canary_sampler();
        traffic(&first, &sampler, &canary, 40);
        sampler.flush().await;
        // The process is gone before any worker of it began, and the queue has lost what it had.
        for (_, canary, pair) in store.waiting_shadow_pairs(Timestamp::MAX, 100).await.unwrap() {
            let job = llmops::jobs::Job::Shadow { canary, pair };
            store.withdraw_job(&job.name(first.project())).await.unwrap();
        }
        drop((sampler, first));
        let queue = Some(Arc::new(StoredQueue(llmops_storage::Store::clone(store))) as Arc<dyn llmops::jobs::Queue>);
        let options = Options { queue, lease: Duration::from_millis(100), ..Options::default() };
        let second = installation_with(store, &Scripted::new(answers), options);
        let worker = worker(&second);
        for _ in 0..600 {
            if second.canaries().report("bot", None).await.unwrap().evidence.asked == 40 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worker.stop(Duration::from_secs(5)).await;
        let report = second.canaries().report("bot", None).await.unwrap();
        assert_eq!((report.evidence.asked, report.evidence.wins, report.waiting), (40, 40, 0));
    })
    .await;
}

#[tokio::test]
async fn a_judge_that_says_nothing_is_told() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.judge.model = "test/fair".to_owned();
        policy.min_samples = 1000;
        let canary = start(&ops, "better", policy).await;
        let (sampler, worker) = (ops.canary_sampler(), worker(&ops));
        traffic(&ops, &sampler, &canary, 32);
        sampler.flush().await;
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.unjudged >= 30 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut told = Vec::new();
        for _ in 0..100 {
            told = alerts(&ops).await;
            if !told.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(told.len() == 1 && told[0].1.contains("test/fair could not compare the last 30 pairs"), "{told:?}");
        until(&ops, &["paused"]).await;
        ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
        let open = AlertFilter { open: Some(true), ..AlertFilter::default() };
        assert_eq!(ops.alerts().list(&open).await.unwrap().len(), 0, "what was warned of is over");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_pair_is_counted_with_the_reason() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.min_samples = 1000;
        let canary = start(&ops, "better", policy).await;
        let sampler = ops.canary_sampler();
        let offer = |change: &dyn Fn(&mut RequestRecord, &mut SeenCall)| {
            let (mut record, mut seen) = call(&canary, None, "Hello");
            change(&mut record, &mut seen);
            sampler.offer(ops.project(), &record, seen);
        };
        offer(&|record, _| record.outcome = CallOutcome::Cut);
        offer(&|_, seen| seen.answer = "write to ana@example.org".to_owned());
        offer(&|_, seen| {
            seen.variables = BTreeMap::from([("email".to_owned(), json!("jane.doe@example.com"))]);
        });
        offer(&|_, seen| seen.calls_tools = true);
        offer(&|_, seen| {
            let body = json!({"messages": [{"role": "user", "content": "Pay"}], "functions": [{"name": "pay"}]});
            seen.request = body.to_string().into_bytes();
        });
        offer(&|_, seen| seen.request = b"{}".to_vec());
        offer(&|_, seen| {
            let body = json!({"messages": [{"role": "user", "content": "Say it twice"}], "n": 2});
            seen.request = body.to_string().into_bytes();
        });
        offer(&|record, _| record.manifest = Some(llmops::domain::hash::ContentHash::of_bytes(b"other")));
        offer(&|record, _| record.manifest = Some(canary.candidate.clone()));
        offer(&|record, _| record.door = Door::Embeddings);
        sampler.flush().await;
        let report = ops.canaries().report("bot", None).await.unwrap();
        let expected = [
            ("no_answer", 1),
            ("other_manifest", 1),
            ("redacted", 2),
            ("several_answers", 1),
            ("tools", 2),
            ("unreadable", 1),
        ];
        let expected: BTreeMap<String, u64> = expected.map(|(reason, n)| (reason.to_owned(), n)).into();
        assert_eq!((report.skipped, report.waiting), (expected, 0));
    })
    .await;
}

#[tokio::test]
async fn texts_that_may_not_be_written_are_judged_from_memory() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        (policy.bodies, policy.min_samples) = (BodyHandling::Keep, 1000);
        let canary = start(&ops, "better", policy).await;
        let sampler = ops.canary_sampler();
        for _ in 0..10 {
            let (mut record, mut seen) = call(&canary, Some("ana"), "My secret");
            record.usage_estimated = true;
            seen.record_bodies = BodyPolicy::None;
            sampler.offer(ops.project(), &record, seen);
        }
        sampler.flush().await;
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.asked == 10 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pairs = ops.canaries().pairs(&canary, &PairFilter::default(), 500).await.unwrap();
        assert_eq!(pairs.len(), 10);
        assert!(pairs.iter().all(|pair| pair.texts.is_none() && pair.reasons.is_empty()), "{pairs:?}");
        let estimated = |pair: &ShadowPair| {
            let candidate = pair.candidate.as_ref().unwrap();
            (pair.production.usage_estimated, candidate.usage_estimated) == (true, false)
        };
        assert!(pairs.iter().all(estimated), "{pairs:?}");
        let report = ops.canaries().report("bot", None).await.unwrap();
        assert_eq!(report.evidence.net_win.clusters, 1, "one user, one cluster");
        assert_eq!(ops.records().erase_user("ana").await.unwrap().shadow_pairs, 10);
        assert!(ops.canaries().pairs(&canary, &PairFilter::default(), 500).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_waits_in_memory_is_not_asked_after_an_abort_or_beyond_the_budget() {
    on_backends(async |store| {
        let provider = Scripted::new(answers);
        let ops = installation_with(store, &provider, Options::default());
        let sampler = ops.canary_sampler();
        let skipped = async |reason: &str, calls: u64| {
            for _ in 0..600 {
                sampler.flush().await;
                if ops.canaries().report("bot", None).await.unwrap().skipped.get(reason) == Some(&calls) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{:#?}", ops.canaries().report("bot", None).await.unwrap());
        };
        let mut policy = policy();
        policy.bodies = BodyHandling::Hashed;
        // What gateways know of it is a second old.
        let canary = start(&ops, "better", policy.clone()).await;
        ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
        traffic(&ops, &sampler, &canary, 10);
        skipped("ended", 10).await;
        assert_eq!(provider.calls(), 0);
        policy.budget.per_hour = 1e-9;
        let canary = start_beside(&ops, "better", policy).await.unwrap();
        // As gateways knew it before the money was spent.
        let mut rich = canary.clone();
        rich.policy.budget.per_hour = 1e6;
        traffic(&ops, &sampler, &rich, 1);
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.asked == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let calls = provider.calls();
        assert_eq!(calls, 3, "the candidate, and the judge in both orders");
        traffic(&ops, &sampler, &rich, 10);
        skipped("hourly_budget", 10).await;
        assert_eq!(provider.calls(), calls);
    })
    .await;
}

#[tokio::test]
async fn the_budget_limits_the_hour_and_ends_the_canary() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        // The judge reads and writes 1,000 tokens for 1 and 2 dollars, twice a pair.
        (policy.budget.per_hour, policy.budget.total, policy.min_samples) = (12.0, 1e6, 1000);
        let canary = start(&ops, "better", policy.clone()).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 20);
        sampler.flush().await;
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().waiting == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let report = ops.canaries().report("bot", None).await.unwrap();
        // Four at a time may be under way when the last dollar goes.
        assert!((2..=6).contains(&report.evidence.asked), "{report:#?}");
        assert_eq!(report.skipped["hourly_budget"] + report.evidence.asked, 20);
        ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
        (policy.budget.per_hour, policy.budget.total) = (1e6, 12.0);
        let canary = start_beside(&ops, "better", policy).await.unwrap();
        traffic(&ops, &sampler, &canary, 20);
        let aborted = until(&ops, &["aborted"]).await;
        assert_eq!(aborted.state, CanaryState::Aborted { cause: AbortCause::Budget });
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn an_approval_needs_a_second_key() {
    on_backends(async |store| {
        let ops = installation(store);
        let as_key = |key: &str| {
            let actor = Actor { name: key.to_owned(), key: Some(KeyId(key.to_owned())), request_id: None };
            ops.for_actor(ops.project().clone(), actor)
        };
        let (dana, eve) = (as_key("key_dana"), as_key("key_eve"));
        let mut policy = policy();
        policy.promote.approval = true;
        let canary = start(&dana, "better", policy).await;
        let early = eve.canaries().approve("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(early.to_string().contains("does not wait for an approval"), "{early}");
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        until(&ops, &["awaiting_approval"]).await;
        assert_eq!(live(&ops).await, "test/fair");
        let own = dana.canaries().approve("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(matches!(own, Error::Forbidden(_)), "{own}");
        let approved = eve.canaries().approve("bot", ChangeCanary::default()).await.unwrap();
        assert_eq!((approved.state, approved.approved_by.as_deref()), (CanaryState::Promoted, Some("key_eve")));
        assert_eq!(live(&ops).await, "test/better");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn stages_expose_users_and_guardrails_take_them_back() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.stages = vec![Share(0.01), Share(0.25), Share(1.0)];
        policy.stage.min = "0s".parse().unwrap();
        policy.stage.min_samples = 40;
        let canary = start(&ops, "better", policy).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        let exposed = until(&ops, &["exposing"]).await;
        let share = |live: &llmops::domain::deployment::LiveDeployment| {
            live.canary.as_ref().and_then(|c| c.exposure.as_ref()).map(|exposure| exposure.share)
        };
        assert_eq!(share(&ops.live_deployments().await.unwrap()[0]), Some(Share(0.01)));
        let seen_by_users = |canary: &Canary, failing: bool| {
            for i in 0..120 {
                let (mut record, seen) = call(canary, None, "Hi");
                if i % 2 == 0 {
                    record.manifest = Some(canary.candidate.clone());
                    record.outcome = if failing { CallOutcome::UpstreamError } else { CallOutcome::Ok };
                }
                sampler.offer(ops.project(), &record, seen);
            }
        };
        seen_by_users(&exposed, false);
        let mut second = exposed.clone();
        for _ in 0..600 {
            second = ops.canaries().get("bot", None).await.unwrap();
            if second.state == (CanaryState::Exposing { stage: 1 }) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(second.state, CanaryState::Exposing { stage: 1 }, "{second:?}");
        assert_eq!(share(&ops.live_deployments().await.unwrap()[0]), Some(Share(0.25)));
        seen_by_users(&second, true);
        let aborted = until(&ops, &["aborted"]).await;
        assert_eq!(aborted.state, CanaryState::Aborted { cause: AbortCause::Guardrail(Guardrail::ErrorRate) });
        assert!(ops.live_deployments().await.unwrap()[0].canary.is_none(), "nobody is exposed any more");
        assert_eq!(live(&ops).await, "test/fair");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn an_experiment_keeps_its_users_from_the_candidate() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.stages = vec![Share(0.5), Share(1.0)];
        policy.stage.min_samples = 1000;
        let canary = start(&ops, "better", policy.clone()).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        until(&ops, &["exposing"]).await;
        let exposed = async || {
            let live = ops.live_deployments().await.unwrap();
            let production = live.iter().find(|live| live.deployment.environment == "production").unwrap();
            production.canary.as_ref().is_some_and(|canary| canary.exposure.is_some())
        };
        assert!(exposed().await);
        // A release does not take users out of the canary.
        let releases = ops.releases();
        let release = StartRelease { model: Some("test/worse".to_owned()), ..StartRelease::default() };
        releases.start("bot", release).await.unwrap();
        for step in [ReleaseStep::Gate, ReleaseStep::Staging] {
            releases.waive("bot", WaiveStep { step, reason: "a try".to_owned() }).await.unwrap();
        }
        let waiting = releases.get("bot").await.unwrap().waiting.unwrap();
        assert!(waiting.contains("shows its candidate to users of bot"), "{waiting}");
        releases.cancel("bot", "").await.unwrap();

        let spec = json!({"name": "tone", "variants": [{"id": "control"}, {"id": "b", "model_name": "test/worse"}],
            "metrics": [{"name": "quality"}]});
        let experiment = ops.experiments().create(serde_json::from_value(spec).unwrap()).await.unwrap();
        ops.experiments().start(experiment.id.as_str()).await.unwrap();
        let settings =
            Some(DeploymentSettings { experiment: Some("tone".to_owned()), ..DeploymentSettings::default() });
        ops.deployments().deploy("bot", Deploy { settings, ..Deploy::default() }).await.unwrap();
        assert!(!exposed().await, "who is assigned to a variant sees that");
        ops.canaries().pause("bot", ChangeCanary::default()).await.unwrap();
        let held = ops.canaries().resume("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(held.to_string().contains("the experiment tone assigns the users of bot"), "{held}");
        ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
        let again = StartCanary { model: Some("test/better".to_owned()), ..request(policy) };
        let started = ops.canaries().start(again).await.unwrap();
        assert!(started.notices.iter().any(|notice| notice.contains("no stage begins")), "{:?}", started.notices);
        traffic(&ops, &sampler, &started.canary, 100);
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.asked == 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let report = ops.canaries().report("bot", None).await.unwrap();
        assert_eq!((report.decision.action, report.canary.state), (Action::Expose(0), CanaryState::Shadowing));
        assert!(report.held.unwrap().contains("the experiment tone assigns the users of bot"));
        ops.experiments().complete("tone", None).await.unwrap();
        until(&ops, &["exposing"]).await;
        assert!(exposed().await);
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn who_is_erased_is_in_no_dataset_of_lost_questions() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        (policy.bodies, policy.min_samples) = (BodyHandling::Keep, 1000);
        let canary = start(&ops, "worse", policy).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        for user in ["ana", "ana", "ben"] {
            let (record, seen) = call(&canary, Some(user), "How far is the moon?");
            sampler.offer(ops.project(), &record, seen);
        }
        sampler.flush().await;
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.asked == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
        let lost = async || ops.datasets().get("bot-lost").await.unwrap().sample_count;
        assert_eq!(lost().await, 3);
        let added = async || ops.datasets().added("bot-lost", None, 100).await.unwrap().len();
        assert_eq!(added().await, 3);
        let erased = ops.records().erase_user("ana").await.unwrap();
        assert_eq!((erased.samples, erased.datasets_left), (2, vec!["bot-lost".to_owned()]));
        assert_eq!(lost().await, 1);
        // No version is empty: a sample that says so stands for those that are gone.
        let erased = ops.records().erase_user("ben").await.unwrap();
        assert_eq!((erased.samples, erased.datasets_left, lost().await), (1, vec!["bot-lost".to_owned()], 1));
        let version = ops.datasets().version("bot-lost", &VersionSelector::Latest).await.unwrap();
        let left = ops.datasets().get_samples(&version, 0, 10).await.unwrap();
        assert_eq!((&*left[0].1.input, left[0].1.messages.len()), ("(erased)", 0));
        assert_eq!(added().await, 0, "what nobody pulled yet is not offered any more");
        assert_eq!(ops.records().erase_user("eve").await.unwrap().datasets_left, Vec::<String>::new());
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn an_incident_keeps_further_users_from_the_candidate() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.stages = vec![Share(0.01), Share(1.0)];
        let canary = start(&ops, "better", policy).await;
        let incident = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(incident).await.unwrap();
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 100);
        let mut log = Vec::new();
        for _ in 0..600 {
            log = ops.canaries().decisions(&canary, 0, 100).await.unwrap();
            if log.len() == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let report = ops.canaries().report("bot", None).await.unwrap();
        assert_eq!((report.decision.action, report.canary.state), (Action::Expose(0), CanaryState::Shadowing));
        assert!(report.held.unwrap().contains("is frozen by the incident"));
        let logged: Vec<(u64, bool)> = log.iter().map(|entry| (entry.situation.asked, entry.acted)).collect();
        assert_eq!(logged.len(), 4, "one entry for each 25 pairs: {logged:?}");
        assert!(log.iter().all(|entry| entry.acted == entry.decision.action.is_hold()), "{logged:?}");
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        until(&ops, &["exposing"]).await;

        ops.canaries().pause("bot", ChangeCanary::default()).await.unwrap();
        let incident = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(incident).await.unwrap();
        let frozen = ops.canaries().resume("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(frozen.to_string().contains("is frozen by the incident"), "{frozen}");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_candidate_that_proves_itself_during_an_incident_is_promoted_after_it() {
    on_backends(async |store| {
        let ops = installation(store);
        let canary = start(&ops, "better", policy()).await;
        let open = || OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        let incident = ops.incidents().open(open()).await.unwrap().incident;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 100);
        for _ in 0..600 {
            if ops.canaries().report("bot", None).await.unwrap().evidence.asked == 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let report = ops.canaries().report("bot", None).await.unwrap();
        assert_eq!((report.decision.action, report.canary.state), (Action::Promote, CanaryState::Shadowing));
        assert!(report.held.unwrap().contains(incident.id.as_str()));
        let by_hand = ops.canaries().promote("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(by_hand.to_string().contains("is frozen by the incident"), "{by_hand}");
        assert!(alerts(&ops).await.is_empty(), "{:?}", alerts(&ops).await);
        ops.incidents().close("bot", CloseIncident::default()).await.unwrap();
        until(&ops, &["promoted"]).await;
        assert_eq!(live(&ops).await, "test/better");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn an_approval_during_an_incident_changes_nothing() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut policy = policy();
        policy.promote.approval = true;
        let canary = start(&ops, "better", policy).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        until(&ops, &["awaiting_approval"]).await;
        let open = OpenIncident { deployment: "bot".to_owned(), ..OpenIncident::default() };
        ops.incidents().open(open).await.unwrap();
        let actor = Actor { name: "eve".to_owned(), key: Some(KeyId("key_eve".to_owned())), request_id: None };
        let other = ops.for_actor(ops.project().clone(), actor);
        let frozen = other.canaries().approve("bot", ChangeCanary::default()).await.unwrap_err();
        assert!(frozen.to_string().contains("is frozen by the incident"), "{frozen}");
        assert_eq!(until(&ops, &["awaiting_approval"]).await.approved_by, None);
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_decides_and_changes_nothing() {
    on_backends(async |store| {
        let ops = installation(store);
        ops.deployments()
            .deploy("bot", Deploy { model: Some("test/fair".to_owned()), ..Deploy::default() })
            .await
            .unwrap();
        let request = json!({"deployment": "bot", "model": "test/better", "policy": policy(), "dry_run": true});
        let request: StartCanary = serde_json::from_value(request).unwrap();
        let canary = ops.canaries().start(request).await.unwrap().canary;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 80);
        until(&ops, &["concluded"]).await;
        assert_eq!(live(&ops).await, "test/fair");
        let log = ops.canaries().decisions(&canary, 0, 100).await.unwrap();
        assert!(!log.last().unwrap().acted);
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_judge_that_compares_nothing_is_told_and_paid_no_longer() {
    on_backends(async |store| {
        let ops = installation(store);
        let mut mute = policy();
        // It answers no JSON.
        mute.judge.model = "test/fair".to_owned();
        let canary = start(&ops, "better", mute).await;
        let (worker, sampler) = (worker(&ops), ops.canary_sampler());
        traffic(&ops, &sampler, &canary, 45);
        let paused = until(&ops, &["paused"]).await;
        let note = paused.note.unwrap();
        assert!(note.starts_with("the judge test/fair could not compare the last 30 pairs"), "{note}");
        let told = alerts(&ops).await;
        assert!(told.len() == 1 && told[0].1.contains("it is paused: mend the judge"), "{told:?}");
        worker.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn people_pause_resume_promote_and_what_goes_live_meanwhile_ends_it() {
    on_backends(async |store| {
        let ops = installation(store);
        let canaries = ops.canaries();
        let canary = start(&ops, "better", policy()).await;
        let taken = start_beside(&ops, "worse", policy()).await.unwrap_err();
        assert!(taken.to_string().contains("not over"), "{taken}");
        let change = || ChangeCanary { reason: Some("lunch".to_owned()), ..ChangeCanary::default() };
        assert_eq!(canaries.pause("bot", change()).await.unwrap().state, CanaryState::Paused { stage: None });
        assert!(ops.live_deployments().await.unwrap()[0].canary.is_none());
        assert!(matches!(canaries.pause("bot", change()).await, Err(Error::Conflict { .. })));
        assert_eq!(canaries.resume("bot", change()).await.unwrap().state, CanaryState::Shadowing);
        assert_eq!(canaries.promote("bot", change()).await.unwrap().state, CanaryState::Promoted);
        assert_eq!(live(&ops).await, "test/better");
        assert!(canaries.abort(canary.id.as_str(), change()).await.is_err(), "it is over");

        start_beside(&ops, "worse", policy()).await.unwrap();
        let worker = worker(&ops);
        ops.deployments()
            .deploy("bot", Deploy { model: Some("test/third".to_owned()), ..Deploy::default() })
            .await
            .unwrap();
        let aborted = until(&ops, &["aborted"]).await;
        assert_eq!(aborted.state, CanaryState::Aborted { cause: AbortCause::ProductionChanged });
        worker.stop(Duration::from_secs(5)).await;
        let same = start_beside(&ops, "third", policy()).await.unwrap_err();
        assert!(same.to_string().contains("already"), "{same}");
        let mut wrong = policy();
        wrong.stages = vec![Share(0.5), Share(0.1)];
        let wrong = start_beside(&ops, "better", wrong).await.unwrap_err();
        assert!(wrong.to_string().contains("policy.stages[1]"), "{wrong}");
        let mut wrong = policy();
        wrong.stage.min_samples = 0;
        let wrong = start_beside(&ops, "better", wrong).await.unwrap_err();
        assert!(wrong.to_string().contains("policy.stage.min_samples: must be"), "{wrong}");
        let settings = DeploymentSettings { required_fields: vec!["model_version".to_owned()], ..Default::default() };
        let unfit = Deploy {
            settings: Some(settings),
            model_version: Some("1".to_owned()),
            model: Some("test/third".to_owned()),
            ..Deploy::default()
        };
        ops.deployments().deploy("bot", unfit).await.unwrap();
        let unfit = start_beside(&ops, "better", policy()).await.unwrap_err();
        assert!(unfit.to_string().contains("model_version"), "{unfit}");
        let log: Vec<Value> = ops
            .audit()
            .list(None, &llmops_storage::AuditFilter { action: Some("canary".to_owned()), ..Default::default() }, 50)
            .await
            .unwrap()
            .into_iter()
            .map(|record| json!(record.action))
            .collect();
        assert!(log.contains(&json!("canary.paused")) && log.contains(&json!("canary.promoted_by_hand")), "{log:?}");
    })
    .await;
}

#[tokio::test]
async fn a_candidate_differs_in_what_is_named() {
    on_backends(async |store| {
        let ops = installation(store);
        push_prompt(&ops, "1.0.0", json!({"parameters": {"temperature": 0.2}})).await;
        push_prompt(&ops, "1.1.0", json!({"model": "test/better", "parameters": {"temperature": 0.9}})).await;
        let live = json!({"prompt": "bot@1.0.0", "model": "test/fair", "retriever_index_version": "kb-1"});
        ops.deployments().deploy("bot", serde_json::from_value(live).unwrap()).await.unwrap();
        let candidate = async |request: StartCanary| {
            let started = ops.canaries().start(request).await.unwrap();
            ops.canaries().abort("bot", ChangeCanary::default()).await.unwrap();
            let (_, manifest) = ops.deployments().manifest(started.canary.candidate.as_str()).await.unwrap();
            let (prompt, model) = (manifest.prompt_label().unwrap(), manifest.model);
            (prompt, model, manifest.parameters.temperature.unwrap(), started.notices.join("; "))
        };
        let named = |prompt: Option<&str>, model: Option<&str>| StartCanary {
            prompt: prompt.map(str::to_owned),
            model: model.map(str::to_owned),
            ..request(policy())
        };
        let (prompt, model, temperature, notices) = candidate(named(Some("bot@1.1.0"), None)).await;
        assert_eq!((prompt.as_str(), model.as_str(), temperature), ("bot@1.1.0", "test/fair", 0.2));
        for expected in ["bot@1.1.0 names the model test/better", "keeps the parameters that are live"] {
            assert!(notices.contains(expected), "{notices}");
        }
        let (prompt, model, temperature, notices) = candidate(named(None, Some("test/better"))).await;
        assert_eq!((prompt.as_str(), model.as_str(), temperature), ("bot@1.0.0", "test/better", 0.2));
        assert!(!notices.contains("keeps"), "{notices}");
        let (_, model, temperature, _) = candidate(named(Some("bot@1.1.0"), Some("test/worse"))).await;
        assert_eq!((model.as_str(), temperature), ("test/worse", 0.9));
        let sample = Sample { id: "1".to_owned(), input: "How far?".to_owned(), ..Sample::default() };
        ops.datasets().add_samples("golden", vec![sample]).await.unwrap();
        let mut own = named(None, Some("test/judge"));
        (own.policy.bodies, own.policy.losses) = (BodyHandling::Keep, Some("golden".to_owned()));
        let (.., notices) = candidate(own).await;
        for expected in ["test/judge judges its own answers", "lost pairs go into the golden dataset golden"] {
            assert!(notices.contains(expected), "{notices}");
        }
        let nothing = ops.canaries().start(named(None, None)).await.unwrap_err();
        assert!(nothing.to_string().contains("nothing to deploy"), "{nothing}");
    })
    .await;
}
