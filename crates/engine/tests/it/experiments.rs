//! Experiments: their life, and the same variant for a unit whatever happens.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use llmops::domain::experiment::assignment::Decision;
use llmops::domain::experiment::{ExperimentSpec, ExperimentStatus};
use llmops::{Clock, Error, LlmOps, Options};
use llmops_api::experiments::{Assignment, AssignmentReason};
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_providers::registry::Providers;
use llmops_storage::Store;
use llmops_testing::on_backends;
use serde_json::{Map, Value, json};

/// A clock that the test sets.
#[derive(Debug, Default)]
pub(crate) struct FakeClock {
    pub(crate) hours: AtomicI64,
    ids: AtomicU64,
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.hours.load(Ordering::SeqCst) * 3600).unwrap()
    }

    fn random(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }
}

pub(crate) fn replica(store: &Store, clock: &Arc<FakeClock>) -> LlmOps {
    let providers = Providers::new(&BTreeMap::new(), &BTreeMap::new(), Path::new(".")).unwrap();
    LlmOps::with_clock(store.clone(), providers, Options::default(), clock.clone())
}

pub(crate) fn spec(value: Value) -> ExperimentSpec {
    serde_json::from_value(value).unwrap()
}

fn two(name: &str) -> ExperimentSpec {
    spec(json!({"name": name, "seed": "s", "variants": [{"id": "control"}, {"id": "treatment"}]}))
}

fn units(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|i| format!("user-{i}"))
}

async fn assign_all(replicas: &[&LlmOps], id: &str, range: std::ops::Range<u32>) -> Vec<Assignment> {
    let mut found = Vec::new();
    for (i, unit) in units(range).enumerate() {
        found.push(replicas[i % replicas.len()].experiments().assign_variant(id, &unit).await.unwrap());
    }
    found
}

fn indexes(assignments: &[Assignment]) -> Vec<Option<usize>> {
    assignments.iter().map(|a| a.variant_index).collect()
}

#[tokio::test]
async fn a_life_from_draft_to_winner() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let id = manager.create(two("greeting")).await.unwrap().id.0;
        let early = manager.assign_variant(&id, "u").await.unwrap_err();
        assert!(matches!(&early, Error::Conflict { message, .. } if message.contains("draft")), "{early}");
        let wrong = manager.pause(&id).await.unwrap_err();
        assert_eq!(
            wrong.to_string(),
            format!("a draft experiment cannot be paused: it can be started or cancelled (experiment `{id}`)")
        );
        manager.start(&id).await.unwrap();
        assert!(manager.assign_variant("greeting", "u").await.unwrap().included);
        let running = manager.list(Some(ExperimentStatus::Running), None, 10).await.unwrap();
        assert_eq!(running.len(), 1);
        let done = manager.complete(&id, Some("treatment")).await.unwrap();
        assert_eq!(done.winner.as_deref(), Some("treatment"));
        let after = manager.assign_variant(&id, "u").await.unwrap();
        assert_eq!((after.variant_index, after.included, after.reason), (Some(1), false, AssignmentReason::Winner));
        assert!(matches!(manager.cancel(&id).await, Err(Error::Experiment(..))));
        let events = store.events_after(None, 0, 100).await.unwrap();
        assert_eq!(events.len(), 3, "created, started, completed");
    })
    .await;
}

#[tokio::test]
async fn a_pause_of_a_day_on_three_replicas_moves_nobody() {
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        // Each with connections of its own, as in processes of their own.
        let a = replica(&Store::open(store.url()).await.unwrap(), &clock);
        let b = replica(&Store::open(store.url()).await.unwrap(), &clock);
        let c = replica(&Store::open(store.url()).await.unwrap(), &clock);
        let id = a.experiments().create(two("greeting")).await.unwrap().id.0;
        a.experiments().start(&id).await.unwrap();
        let before = assign_all(&[&a, &b, &c], &id, 0..300).await;
        assert!(before.iter().all(|x| x.included));
        // One replica is gone, without a word.
        drop(c);
        clock.hours.store(1, Ordering::SeqCst);
        b.experiments().pause(&id).await.unwrap();
        wait_for(&a, &id, ExperimentStatus::Paused).await;
        let paused = assign_all(&[&b, &a], &id, 0..300).await;
        assert_eq!(indexes(&paused), indexes(&before));
        let newcomers = assign_all(&[&a, &b], &id, 300..400).await;
        assert!(newcomers.iter().all(|x| x.variant.is_none() && x.reason == AssignmentReason::Paused));
        clock.hours.store(25, Ordering::SeqCst);
        let resumed = a.experiments().resume(&id).await.unwrap();
        assert_eq!(resumed.running_time(clock.now()), std::time::Duration::from_hours(1));
        let d = replica(store, &clock);
        wait_for(&b, &id, ExperimentStatus::Running).await;
        assert_eq!(indexes(&assign_all(&[&d, &b, &a], &id, 0..300).await), indexes(&before));
        assert!(assign_all(&[&d, &b, &a], &id, 300..400).await.iter().all(|x| x.included));
        let key = store.get_experiment(&llmops::domain::id::ProjectId::default_project(), &id).await.unwrap().key;
        let counts = store.exposure_counts(&key).await.unwrap();
        assert_eq!(counts.iter().map(|c| c.units).sum::<u64>(), 400, "each unit is counted once");
    })
    .await;
}

/// Waits until a replica has heard of the status, by the events that every change sends.
async fn wait_for(ops: &LlmOps, id: &str, status: ExperimentStatus) {
    let manager = ops.experiments();
    let heard = async {
        loop {
            let flags = manager.flags().await.unwrap();
            if flags.find(id).is_some_and(|flag| flag.experiment.status == status) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), heard).await.unwrap();
}

#[tokio::test]
async fn another_split_moves_nobody_who_was_there() {
    on_backends(async |store| {
        let clock = Arc::default();
        let (a, b) = (replica(store, &clock), replica(store, &clock));
        let id = a.experiments().create(two("greeting")).await.unwrap().id.0;
        a.experiments().start(&id).await.unwrap();
        let before = assign_all(&[&a, &b], &id, 0..200).await;
        let split = json!({"traffic_split": {"control": 90, "treatment": 10}});
        let changed = a.experiments().update(&id, split.as_object().unwrap(), None).await.unwrap();
        // That it has no metrics was said at the start.
        assert_eq!((changed.allocations.len(), changed.notices.len()), (2, 2), "{:?}", changed.notices);
        let c = replica(store, &clock);
        wait_for_split(&b, &id).await;
        let after = assign_all(&[&c, &b, &a], &id, 0..200).await;
        assert_eq!(indexes(&after), indexes(&before));
        assert!(after.iter().any(|x| x.reason == AssignmentReason::Sticky));
        let newcomers = assign_all(&[&a, &b, &c], &id, 200..400).await;
        let treated = newcomers.iter().filter(|x| x.variant_index == Some(1)).count();
        assert!((5..45).contains(&treated), "{treated} of 200 at 10 %");
        assert_eq!(indexes(&assign_all(&[&b, &c, &a], &id, 200..400).await), indexes(&newcomers));
    })
    .await;
}

async fn wait_for_split(ops: &LlmOps, id: &str) {
    let manager = ops.experiments();
    let heard = async {
        while manager.flags().await.unwrap().find(id).is_none_or(|f| f.experiment.allocations.len() < 2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), heard).await.unwrap();
}

#[tokio::test]
async fn exposures_are_written_off_the_path() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let mut experiment = two("greeting");
        experiment.analysis.segments = vec!["country".to_owned()];
        let id = manager.create(experiment).await.unwrap().id.0;
        manager.start(&id).await.unwrap();
        let flags = manager.flags().await.unwrap();
        let flag = flags.by_key("greeting").unwrap();
        let context = json!({"country": "DE"}).as_object().cloned().unwrap();
        for _ in 0..3 {
            for unit in units(0..500) {
                assert!(manager.evaluate(flag, Some(&unit), &context).await.unwrap().is_included());
            }
        }
        assert!(!manager.evaluate(flag, None, &Map::new()).await.unwrap().is_included());
        manager.flush().await;
        let key = store.get_experiment(&llmops::domain::id::ProjectId::default_project(), &id).await.unwrap().key;
        let counts = store.exposure_counts(&key).await.unwrap();
        assert_eq!(counts.iter().map(|c| c.units).sum::<u64>(), 500);
    })
    .await;
}

#[tokio::test]
async fn hidden_users_are_kept_by_their_hash() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let id = manager.create(two("greeting")).await.unwrap().id.0;
        manager.start(&id).await.unwrap();
        let key = store.get_experiment(&project(), &id).await.unwrap().key;
        let hash = |unit: &str| llmops::domain::hash::ContentHash::of_bytes(unit.as_bytes()).to_string();
        let mut before = Vec::new();
        for round in 0..2 {
            let flags = manager.flags().await.unwrap();
            let flag = flags.by_key("greeting").unwrap();
            for unit in units(0..50) {
                let hidden = manager.evaluate_hidden(flag, &unit, &Map::new()).await.unwrap().variant;
                before.push(hidden);
                if round == 0 {
                    let own = flag.assigner.decide(&unit, &Map::new());
                    assert!(matches!(own, Decision::Assigned(variant) if Some(variant) == hidden), "{unit}: {own:?}");
                }
            }
            manager.flush().await;
            for (unit, variant) in units(0..50).zip(&before) {
                let stored = store.experiment_unit(&key, &hash(&unit)).await.unwrap();
                assert_eq!(stored.map(|unit| unit.variant), *variant);
                assert_eq!(store.experiment_unit(&key, &unit).await.unwrap(), None);
            }
            // At the border of a split that changed, what is kept decides.
            let split = json!({"traffic_split": {"control": 10, "treatment": 90}});
            manager.update(&id, split.as_object().unwrap(), None).await.unwrap();
        }
        assert_eq!(before[..50], before[50..]);
    })
    .await;
}

#[tokio::test]
async fn exclusion_and_changes_have_clear_errors() {
    on_backends(async |store| {
        let manager = replica(store, &Arc::default()).experiments();
        let with = |name: &str, range: [f64; 2]| {
            spec(json!({"name": name, "variants": [{}, {}], "namespace": {"name": "checkout", "range": range}}))
        };
        manager.create(with("first", [0.0, 0.5])).await.unwrap();
        manager.create(with("second", [0.4, 1.0])).await.unwrap();
        manager.create(with("third", [0.5, 1.0])).await.unwrap();
        manager.start("first").await.unwrap();
        let overlap = manager.start("second").await.unwrap_err().to_string();
        assert!(overlap.contains("has [0, 0.5] of the namespace `checkout` already"), "{overlap}");
        manager.start("third").await.unwrap();
        for unit in units(0..200) {
            let (one, other) = (
                manager.assign_variant("first", &unit).await.unwrap(),
                manager.assign_variant("third", &unit).await.unwrap(),
            );
            assert!(one.included != other.included, "{unit} is in exactly one");
        }
        let update =
            async |changes: Value, revision| manager.update("first", changes.as_object().unwrap(), revision).await;
        let Err(Error::Invalid { problems, .. }) = update(json!({"coverage": 0.5, "seed": "x"}), None).await else {
            panic!()
        };
        assert_eq!(problems.iter().filter_map(|p| p.field.as_deref()).collect::<Vec<_>>(), ["seed", "coverage"]);
        assert!(matches!(update(json!({"name": "renamed"}), Some(1)).await, Err(Error::Conflict { .. })));
        assert_eq!(update(json!({"name": "renamed"}), Some(2)).await.unwrap().spec.name, "renamed");
        assert!(matches!(update(json!({"status": "completed"}), None).await, Err(Error::Invalid { .. })));
        let twin = manager.create(spec(json!({"name": "x", "key": "first", "variants": [{}, {}]}))).await.unwrap();
        assert!(matches!(manager.start(twin.id.as_str()).await, Err(Error::Conflict { .. })));
    })
    .await;
}

#[tokio::test]
async fn prompts_and_models_in_one_call() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let prompt = |version: &str, content: &str| -> llmops::domain::prompt::PromptSpec {
            serde_json::from_value(json!({"name": "review", "version": version, "content": content})).unwrap()
        };
        let (old, new) = (prompt("1.0.0", "Review {{ input }}"), prompt("1.1.0", "Review well: {{ input }}"));
        let made = ops.create_prompt_experiment("review-test", old.clone(), new, 0.3).await.unwrap();
        assert_eq!(made.spec.weights(), [0.7, 0.3]);
        assert_eq!(made.spec.variants[1].prompt_version.as_deref(), Some("1.1.0"));
        assert_eq!(ops.prompts().list("review").await.unwrap().len(), 2, "both are registered");
        let again = ops.create_prompt_experiment("again", old, "review@1.1.0", 30.0).await.unwrap();
        assert_eq!(again.spec.weights(), [0.7, 0.3]);
        assert!(ops.create_prompt_experiment("x", "review@9.9.9", "review", 0.5).await.is_err());
        let unknown = prompt("2.0.0", "Review this {{ language }} code: {{ input }}");
        let error = ops.create_prompt_experiment("x", "review@1.0.0", unknown.clone(), 0.5).await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid { problems, .. } if problems[0].message.contains("`language`")),
            "{error}"
        );
        assert_eq!(ops.prompts().list("review").await.unwrap().len(), 2, "it is not registered");
        let push = PushPrompt { prompt: unknown, bump: BumpMode::None, activate: false };
        ops.prompts().create(push).await.unwrap();
        ops.create_prompt_experiment("y", "review@1.0.0", "review@2.0.0", 0.5).await.unwrap();
        let error = ops.experiments().start("y").await.unwrap_err();
        assert!(
            matches!(&error, Error::Invalid { problems, .. } if problems[0].message.contains("`language`")),
            "{error}"
        );
        assert!(ops.create_prompt_experiment("x", "review@1.0.0", "review", 130.0).await.is_err());

        let models = ["openai/gpt-4o".to_owned(), "openai/gpt-4o-mini".to_owned(), "local/llama".to_owned()];
        let parameters = json!({"temperature": 0.2}).as_object().cloned().unwrap();
        let made = ops.create_model_experiment("models", &models, parameters).await.unwrap();
        assert_eq!(made.spec.control_index(), 0);
        assert_eq!(made.spec.variants[2].model_name.as_deref(), Some("local/llama"));
        assert!(ops.create_model_experiment("one", &models[..1], Map::new()).await.is_err());

        let absent = spec(json!({"name": "m", "variants": [{"manifest": "abcdef123456"}, {"prompt_name": "nowhere"}]}));
        ops.experiments().create(absent).await.unwrap();
        assert!(matches!(ops.experiments().start("m").await, Err(Error::Invalid { .. })));
        let elsewhere = spec(json!({"name": "p", "variants": [{"prompt_name": "review"}, {"prompt_name": "nowhere"}]}));
        ops.experiments().create(elsewhere).await.unwrap();
        let started = ops.experiments().start("p").await.unwrap();
        assert_eq!(started.spec.variants[0].prompt_version.as_deref(), Some("1.0.0"), "pinned to what is active");
        let told = |what: &str| started.notices.iter().any(|notice| notice.contains(what));
        assert!(started.notices.len() == 2 && told("not in the registry") && told("never name a winner"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_start_at_the_same_moment_one_has_the_namespace() {
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let replicas = [replica(&Store::open(store.url()).await.unwrap(), &clock), replica(store, &clock)];
        let part = |name: &str, range: [f64; 2]| {
            spec(json!({"name": name, "variants": [{}, {}], "namespace": {"name": "page", "range": range}}))
        };
        for round in 0..5 {
            let mut starting = Vec::new();
            for (i, ops) in replicas.iter().enumerate() {
                let manager = ops.experiments();
                let id = manager.create(part(&format!("{round}-{i}"), [0.0, 0.6])).await.unwrap().id.0;
                starting.push(tokio::spawn(async move { manager.start(&id).await }));
            }
            let mut started = Vec::new();
            for start in starting {
                match start.await.unwrap() {
                    Ok(experiment) => started.push(experiment.id.0),
                    Err(error) => assert!(error.to_string().contains("of the namespace `page` already"), "{error}"),
                }
            }
            assert_eq!(started.len(), 1, "round {round}");
            let beside = replicas[0].experiments();
            let other = beside.create(part(&format!("{round}-beside"), [0.6, 1.0])).await.unwrap().id.0;
            beside.start(&other).await.unwrap();
            for id in started.iter().chain([&other]) {
                beside.cancel(id).await.unwrap();
            }
        }
        let changes = store.list_audit(&project(), &llmops_storage::AuditFilter::default(), 100).await.unwrap();
        let of = |action: &str| changes.iter().filter(|change| change.action == action).count();
        assert_eq!((of("experiment.created"), of("experiment.started"), of("experiment.cancelled")), (15, 10, 10));
    })
    .await;
}

fn project() -> llmops::domain::id::ProjectId {
    llmops::domain::id::ProjectId::default_project()
}

/// Imports rows of `unit,variant,metric,value`.
pub(crate) async fn import(
    ops: &LlmOps,
    id: &str,
    rows: impl Iterator<Item = (String, &'static str, &'static str, f64)>,
) {
    let mut import = ops.experiments().import_observations(id).await.unwrap();
    for (line, (unit, variant, metric, value)) in rows.enumerate() {
        let observation = llmops::domain::experiment::observation::Observation {
            unit: Some(unit),
            variant: Some(variant.to_owned()),
            metric: metric.to_owned(),
            value,
            at: None,
            idempotency_key: None,
        };
        import.push(line as u64 + 1, observation, false).await.unwrap();
    }
    assert_eq!(import.finish().await.unwrap().refused, 0);
}

#[tokio::test]
async fn what_a_running_experiment_finds_is_told_once_and_taken_back() {
    use llmops::domain::alert::AlertFilter;
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let replicas = [replica(store, &clock), replica(&Store::open(store.url()).await.unwrap(), &clock)];
        let ops = &replicas[0];
        let experiment = spec(json!({
            "name": "solver", "variants": [{"id": "control"}, {"id": "new"}], "analysis": {"min_duration": "0s"},
            "metrics": [{"name": "solved", "kind": "binary"},
                {"name": "length", "direction": "lower", "guardrail": {"margin": 1.0}}],
        }));
        let id = ops.experiments().create(experiment).await.unwrap().id.0;
        let started = ops.experiments().start(&id).await.unwrap();
        assert_eq!(started.spec.analysis.min_samples, Some(100), "the configuration's rule is written down");
        let look = async |hour: i64| {
            clock.hours.store(hour, Ordering::SeqCst);
            for ops in &replicas {
                ops.alert_worker().run_once().await.unwrap();
            }
            let open = AlertFilter { open: Some(true), ..AlertFilter::default() };
            let mut open = ops.alerts().list(&open).await.unwrap();
            open.sort_by(|a, b| a.message.cmp(&b.message));
            open.iter().map(|a| (a.metadata["rule"].as_str().unwrap().to_owned(), a.count)).collect::<Vec<_>>()
        };
        assert_eq!(look(1).await, [], "nothing is known yet");
        let unit = |i: u32| (format!("u{i}"), if i.is_multiple_of(2) { "control" } else { "new" });
        let solved = (0..2000).map(|i| (unit(i).0, unit(i).1, "solved", f64::from(i % 10 < 4 + 4 * (i % 2))));
        import(ops, &id, solved).await;
        // The new one answers at greater length than is allowed.
        import(ops, &id, (0..2000).map(|i| (unit(i).0, unit(i).1, "length", f64::from(i % 7 + 5 * (i % 2))))).await;
        assert_eq!(look(2).await, [("guardrail/length/new".to_owned(), 1)], "no winner breaks a guardrail");
        // Units of one variant are lost.
        import(ops, &id, (0..500).map(|i| (format!("gone{i}"), "new", "solved", f64::from(i % 10 < 8)))).await;
        let blocked = [("sample_ratio_mismatch".to_owned(), 1)];
        assert_eq!(look(3).await, blocked, "data that cannot be trusted break no guardrail");
        import(ops, &id, (0..500).map(|i| (format!("came{i}"), "control", "solved", f64::from(i % 10 < 4)))).await;
        assert_eq!(look(4).await, [("guardrail/length/new".to_owned(), 1)]);
        // As many short answers bring the mean back.
        import(ops, &id, (0..2000).map(|i| (unit(i).0, unit(i).1, "length", f64::from(i % 7)))).await;
        import(ops, &id, (0..2000).map(|i| (unit(i).0, unit(i).1, "length", f64::from(i % 7 + 1 - (i % 2))))).await;
        import(ops, &id, (0..8000).map(|i| (unit(i % 2000).0, unit(i % 2000).1, "length", f64::from(i % 7)))).await;
        assert_eq!(look(5).await, [("winner/new".to_owned(), 1)]);
        assert_eq!(look(6).await, [("winner/new".to_owned(), 1)], "it is told once");
        // Units of one variant are lost.
        import(ops, &id, (0..500).map(|i| (format!("more{i}"), "new", "solved", f64::from(i % 10 < 8)))).await;
        assert_eq!(look(7).await, blocked, "and nothing is concluded");
        import(ops, &id, (0..500).map(|i| (format!("found{i}"), "control", "solved", f64::from(i % 10 < 4)))).await;
        assert_eq!(look(8).await, [("winner/new".to_owned(), 1)], "they were found");
        ops.experiments().complete(&id, Some("new")).await.unwrap();
        assert_eq!(look(9).await, []);
        assert_eq!(look(10).await, []);
    })
    .await;
}

#[tokio::test]
async fn the_one_look_of_a_fixed_horizon_stands() {
    use llmops_api::observations::ResultsQuery;
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let replicas = [replica(store, &clock), replica(&Store::open(store.url()).await.unwrap(), &clock)];
        let start = async |name: &str| {
            let experiment = spec(json!({
                "name": name, "variants": [{"id": "control"}, {"id": "new"}],
                "analysis": {"min_duration": "1d", "basis": "fixed_horizon", "planned_n": 300},
                "metrics": [{"name": "solved", "kind": "binary"}],
            }));
            let id = replicas[0].experiments().create(experiment).await.unwrap().id.0;
            replicas[0].experiments().start(&id).await.unwrap();
            id
        };
        // So many more units, of which the new variant solves so many in ten and the control four.
        let add = async |id: &str, units: std::ops::Range<u32>, new: u32| {
            let of = |i: u32| (format!("u{i}"), if i.is_multiple_of(2) { "control" } else { "new" });
            let rate = |i: u32| if i.is_multiple_of(2) { 4 } else { new };
            import(&replicas[0], id, units.map(|i| (of(i).0, of(i).1, "solved", f64::from(i / 2 % 10 < rate(i)))))
                .await;
        };
        let results = async |ops: usize, id: &str| {
            replicas[ops].experiments().get_results(id, &ResultsQuery::default()).await.unwrap()
        };
        let (found, alike) = (start("found").await, start("alike").await);
        add(&found, 0..600, 7).await;
        add(&alike, 0..600, 4).await;
        let early = results(0, &found).await;
        assert_eq!((early.winner, early.missing[0].what.as_str()), (None, "duration"));
        clock.hours.store(25, Ordering::SeqCst);
        let first = results(0, &found).await;
        assert_eq!(first.winner.as_deref(), Some("new"), "{:?}", first.missing);
        replicas[1].alert_worker().run_once().await.unwrap();
        // Later units say the opposite of what the look found.
        clock.hours.store(50, Ordering::SeqCst);
        add(&found, 600..2600, 2).await;
        add(&alike, 600..2600, 9).await;
        let again = results(1, &found).await;
        assert_eq!((again.winner, again.recommendation), (first.winner, first.recommendation));
        assert_eq!(again.total_samples, 2600);
        let look = "the one look was taken at 2027-01-16T09:00:00Z with 600 units";
        assert!(again.notices.iter().any(|notice| notice.starts_with(look)), "{:?}", again.notices);
        let nothing = results(1, &alike).await;
        assert_eq!((nothing.winner, nothing.missing[0].what.as_str()), (None, "significance"));
        assert!(nothing.recommendation.starts_with("Choose nothing on this"), "{}", nothing.recommendation);
        let kept = replicas[0].experiments().get(&alike).await.unwrap().one_look.unwrap();
        assert_eq!((kept.total_samples, kept.winner), (600, None));
    })
    .await;
}

#[tokio::test]
async fn every_count_of_units_must_have_the_split() {
    use llmops::domain::experiment::observation::Observation;
    use llmops::domain::experiment::result::Conclusion;
    use llmops_api::observations::ResultsQuery;
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let ops = replica(store, &clock);
        // Of 4,000 units so many are of the first variant, after these were assigned.
        let check = async |assigned: u32, first: u32, is_named: bool, expected: Option<&str>| {
            let experiment = spec(json!({
                "name": format!("of-{assigned}-{first}-{is_named}"), "variants": [{"id": "a"}, {"id": "b"}], "seed": "s",
                "analysis": {"min_duration": "0s"}, "metrics": [{"name": "solved", "kind": "binary"}],
            }));
            let experiments = ops.experiments();
            let id = experiments.create(experiment).await.unwrap().id.0;
            experiments.start(&id).await.unwrap();
            for i in 0..assigned {
                experiments.assign_variant(&id, &format!("else-{i}")).await.unwrap();
            }
            let mut import = experiments.import_observations(&id).await.unwrap();
            for i in 0..4000 {
                let observation = Observation {
                    unit: is_named.then(|| format!("u{i}")),
                    variant: Some(if i < first { "a" } else { "b" }.to_owned()),
                    metric: "solved".to_owned(),
                    value: f64::from(i % 10 < if i < first { 4 } else { 7 }),
                    at: None,
                    idempotency_key: None,
                };
                import.push(u64::from(i) + 1, observation, false).await.unwrap();
            }
            import.finish().await.unwrap();
            let result = experiments.get_results(&id, &ResultsQuery::default()).await.unwrap();
            let wrong = result.sample_ratio.filter(|ratio| ratio.mismatch).map(|ratio| ratio.counted);
            assert_eq!(wrong.as_deref(), expected, "{assigned} {first} {is_named}");
            let conclusion = if expected.is_some() { Conclusion::Blocked } else { Conclusion::Winner };
            assert_eq!(result.conclusion, conclusion, "{}", result.recommendation);
        };
        check(0, 2000, true, None).await;
        check(1, 1000, true, Some("observed units")).await;
        check(0, 1000, false, Some("units with solved")).await;
        check(0, 2000, false, None).await;
    })
    .await;
}

#[tokio::test]
async fn observations_that_one_variant_loses_block_the_conclusion() {
    use llmops_api::observations::ResultsQuery;
    on_backends(async |store| {
        let clock = Arc::new(FakeClock::default());
        let ops = replica(store, &clock);
        let experiment = spec(json!({
            "name": "loss", "variants": [{"id": "a"}, {"id": "b"}], "seed": "s",
            "analysis": {"min_duration": "0s"}, "metrics": [{"name": "solved", "kind": "binary"}],
        }));
        let experiments = ops.experiments();
        let id = experiments.create(experiment).await.unwrap().id.0;
        experiments.start(&id).await.unwrap();
        let mut rows = Vec::new();
        for (i, unit) in units(0..2000).enumerate() {
            let index = experiments.assign_variant(&id, &unit).await.unwrap().variant_index.unwrap();
            let solved = i % 2 == 0;
            // Half of the second variant's failures are never recorded.
            if index == 0 || solved || i % 4 == 1 {
                rows.push((unit, ["a", "b"][index], "solved", f64::from(u8::from(solved))));
            }
        }
        import(&ops, &id, rows.into_iter()).await;
        let result = experiments.get_results(&id, &ResultsQuery::default()).await.unwrap();
        assert_eq!(result.winner, None, "{}", result.recommendation);
        let ratio = result.sample_ratio.unwrap();
        assert_eq!((ratio.mismatch, ratio.counted.as_str()), (true, "units with solved"));
        assert!(result.recommendation.contains("record one for every unit"), "{}", result.recommendation);
    })
    .await;
}

#[tokio::test]
async fn a_draft_of_the_same_key_assigns_nobody_otherwise() {
    on_backends(async |store| {
        let ops = replica(store, &Arc::default());
        let manager = ops.experiments();
        let first = manager.create(two("greeting")).await.unwrap().id;
        manager.start(first.as_str()).await.unwrap();
        manager.assign_variant("greeting", "ana").await.unwrap();
        manager.complete(first.as_str(), Some("treatment")).await.unwrap();
        let draft = manager.create(two("greeting")).await.unwrap().id;
        let assigned = manager.assign_variant("greeting", "ana").await.unwrap();
        assert_eq!((&assigned.experiment, assigned.reason), (&first, AssignmentReason::Winner));
        assert!(matches!(manager.assign_variant(draft.as_str(), "ana").await, Err(Error::Conflict { .. })));
        manager.start(draft.as_str()).await.unwrap();
        assert_eq!(manager.assign_variant("greeting", "ana").await.unwrap().experiment, draft);
    })
    .await;
}
