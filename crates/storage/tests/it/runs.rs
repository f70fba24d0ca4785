use std::collections::BTreeMap;

use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::run::{Estimate, EvaluationFilter, EvaluationRun, RunResults, RunStatus, Spend};
use llmops_storage::{StatusChange, Store, StoreError};
use llmops_testing::on_backends;

use crate::support::{at, project, run, stored_run};

pub(crate) fn results(overall: f64) -> RunResults {
    RunResults {
        total_samples: 10,
        passed_samples: 9,
        failed_samples: 1,
        errored_samples: 0,
        errored_trials: 0,
        pass_rate: Estimate::exact(0.9, 10),
        metric_scores: BTreeMap::new(),
        metric_details: BTreeMap::new(),
        categories: BTreeMap::new(),
        overall: Some(Estimate::exact(overall, 10)),
        corrected: None,
        failure_reasons: BTreeMap::new(),
        error_reasons: BTreeMap::new(),
        notices: Vec::new(),
        judges: BTreeMap::new(),
        spend: Spend::default(),
        latency: None,
    }
}

async fn step(
    store: &Store,
    id: &str,
    from: RunStatus,
    to: RunStatus,
    second: i64,
) -> Result<EvaluationRun, StoreError> {
    let change = StatusChange { from, to, at: at(second), error: None, results: None };
    store.update_run_status(&project(), &RunId(id.to_owned()), change).await
}

#[tokio::test]
async fn a_run_comes_back_as_it_was_created() {
    on_backends(async |store| {
        let mut whole = run("run_1");
        whole.tags.insert("branch".to_owned(), "main=\u{1F980}".to_owned());
        whole.description = Some("with NUL \0".to_owned());
        store.create_run(&project(), &whole, &[(0, 20)]).await.unwrap();
        assert_eq!(store.get_run(&project(), "run_1").await.unwrap(), whole);
        let again = store.create_run(&project(), &whole, &[]).await.unwrap_err();
        assert_eq!(again.to_string(), "run `run_1` exists already");
        let nowhere = store.create_run(&ProjectId::from("other"), &run("run_2"), &[]).await.unwrap_err();
        assert_eq!(nowhere.to_string(), "there is no project `other`");
        let elsewhere = store.get_run(&ProjectId::from("other"), "run_1").await;
        assert!(matches!(elsewhere, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn runs_are_found_by_the_beginning_of_their_id() {
    on_backends(async |store| {
        for id in ["run_ab", "run_abc", "run_b%"] {
            stored_run(store, id).await;
        }
        let get = async |id: &str| store.get_run(&project(), id).await.map(|run| run.id.0);
        assert_eq!(get("run_ab").await.unwrap(), "run_ab", "a whole id is never ambiguous");
        assert_eq!(get("run_abc").await.unwrap(), "run_abc");
        assert_eq!(get("run_b").await.unwrap(), "run_b%");
        assert!(matches!(get("run_").await, Err(StoreError::Ambiguous { .. })));
        for absent in ["", "run_%", "run_c", "x", "run_abc\0"] {
            let error = get(absent).await;
            assert!(error.is_err(), "{absent:?} is {error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn runs_are_listed_newest_first() {
    on_backends(async |store| {
        for i in 0..5 {
            let mut new = run(&format!("run_{i}"));
            new.created_at = at(i);
            if i % 2 == 0 {
                new.prompt_version = Some("1.2.0".to_owned());
                new.description = Some("NUL \0, \"prompt_version\":\"3.0.0\"".to_owned());
                new.model_name = "sim/large".to_owned();
                new.tags.insert("env".to_owned(), "production".to_owned());
            }
            store.create_run(&project(), &new, &[]).await.unwrap();
        }
        step(store, "run_3", RunStatus::Pending, RunStatus::Running, 9).await.unwrap();
        let list = async |filter: EvaluationFilter| {
            let runs = store.list_runs(&project(), &filter).await.unwrap();
            runs.into_iter().map(|run| run.id.0).collect::<Vec<_>>()
        };
        let all = EvaluationFilter::default();
        assert_eq!(list(all.clone()).await, ["run_4", "run_3", "run_2", "run_1", "run_0"]);
        assert_eq!(list(EvaluationFilter { limit: Some(2), ..all.clone() }).await, ["run_4", "run_3"]);
        assert_eq!(list(EvaluationFilter { before: Some("run_1".into()), ..all.clone() }).await, ["run_0"]);
        let large = EvaluationFilter { model_name: Some("sim/large".to_owned()), ..all.clone() };
        assert_eq!(list(large).await, ["run_4", "run_2", "run_0"]);
        let of_version = EvaluationFilter { prompt_version: Some("1.2.0".to_owned()), ..all.clone() };
        assert_eq!(list(of_version).await, ["run_4", "run_2", "run_0"]);
        let tagged = EvaluationFilter { tag: Some("env=production".to_owned()), ..all.clone() };
        assert_eq!(list(tagged).await, ["run_4", "run_2", "run_0"]);
        assert_eq!(list(EvaluationFilter { status: Some(RunStatus::Running), ..all.clone() }).await, ["run_3"]);
        let between = EvaluationFilter { start_time: Some(at(1)), end_time: Some(at(3)), ..all.clone() };
        assert_eq!(list(between).await, ["run_2", "run_1"]);
        for nothing in [
            EvaluationFilter { prompt_name: Some("x".to_owned()), ..all.clone() },
            EvaluationFilter { prompt_version: Some("1.2".to_owned()), ..all.clone() },
            EvaluationFilter { prompt_version: Some("3.0.0".to_owned()), ..all.clone() },
            EvaluationFilter { dataset: Some("x".to_owned()), ..all.clone() },
            EvaluationFilter { suite: Some("x".to_owned()), ..all.clone() },
        ] {
            assert!(list(nothing).await.is_empty());
        }
        let tags = store.list_runs(&project(), &all).await.unwrap();
        assert_eq!(tags[0].tags.get("env").map(String::as_str), Some("production"));
        assert!(tags[1].tags.is_empty());
    })
    .await;
}

#[tokio::test]
async fn status_changes_only_from_what_the_caller_saw() {
    on_backends(async |store| {
        stored_run(store, "run_1").await;
        let running = step(store, "run_1", RunStatus::Pending, RunStatus::Running, 1).await.unwrap();
        assert_eq!((running.status, running.start_time, running.end_time), (RunStatus::Running, Some(at(1)), None));
        let late = step(store, "run_1", RunStatus::Pending, RunStatus::Running, 2).await.unwrap_err();
        assert_eq!(late.to_string(), "run `run_1` is running by now, not pending");
        let forbidden = step(store, "run_1", RunStatus::Completed, RunStatus::Running, 2).await;
        assert!(matches!(forbidden, Err(StoreError::Transition(_))));
        let absent = step(store, "run_9", RunStatus::Pending, RunStatus::Running, 2).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_failed_run_keeps_its_error_until_it_is_resumed() {
    on_backends(async |store| {
        stored_run(store, "run_1").await;
        let id = RunId("run_1".to_owned());
        step(store, "run_1", RunStatus::Pending, RunStatus::Running, 1).await.unwrap();
        let (error, partial) = (Some("provider said \0"), results(0.5));
        let fail =
            StatusChange { from: RunStatus::Running, to: RunStatus::Failed, at: at(2), error, results: Some(&partial) };
        let failed = store.update_run_status(&project(), &id, fail).await.unwrap();
        assert_eq!(failed.error.as_deref(), Some("provider said \u{FFFD}"));
        assert_eq!((failed.results, failed.end_time), (Some(partial), Some(at(2))));
        let resumed = step(store, "run_1", RunStatus::Failed, RunStatus::Running, 3).await.unwrap();
        assert_eq!((resumed.error, resumed.results, resumed.end_time), (None, None, None));
        assert_eq!(resumed.start_time, Some(at(1)), "it started once");
    })
    .await;
}

#[tokio::test]
async fn results_with_nan_are_refused() {
    on_backends(async |store| {
        stored_run(store, "run_1").await;
        step(store, "run_1", RunStatus::Pending, RunStatus::Running, 1).await.unwrap();
        let nan = results(f64::NAN);
        let change = StatusChange {
            from: RunStatus::Running,
            to: RunStatus::Completed,
            at: at(2),
            error: None,
            results: Some(&nan),
        };
        let refused = store.update_run_status(&project(), &RunId("run_1".to_owned()), change).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        assert_eq!(store.get_run(&project(), "run_1").await.unwrap().status, RunStatus::Running);
    })
    .await;
}

#[tokio::test]
async fn the_baseline_is_the_run_tagged_last() {
    on_backends(async |store| {
        for id in ["run_1", "run_2", "run_3"] {
            stored_run(store, id).await;
        }
        let tag =
            async |id: &str, tag: &str, second| store.tag_run(&project(), &RunId(id.to_owned()), tag, at(second)).await;
        let baseline = async || {
            let run = store.latest_baseline(&project(), "golden", "env=production").await.unwrap();
            run.map(|run| run.id.0)
        };
        assert_eq!(baseline().await, None);
        tag("run_2", "env=production", 1).await.unwrap();
        tag("run_3", "env=staging", 2).await.unwrap();
        assert_eq!(baseline().await.as_deref(), Some("run_2"));
        tag("run_1", "env=production", 3).await.unwrap();
        assert_eq!(baseline().await.as_deref(), Some("run_1"), "tagged later, though older");
        tag("run_2", "env=production", 4).await.unwrap();
        assert_eq!(baseline().await.as_deref(), Some("run_2"), "tagged again");
        assert_eq!(store.latest_baseline(&project(), "other", "env=production").await.unwrap(), None);
        assert!(matches!(tag("run_1", "production", 5).await, Err(StoreError::Invalid(_))));
        assert!(matches!(tag("run_9", "a=b", 5).await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn finds_running_runs_that_nobody_works_on() {
    on_backends(async |store| {
        let key = crate::support::stored_run(store, "run_1").await;
        let orphans = async |now: i64| store.orphaned_runs(at(now)).await.unwrap();
        assert_eq!(orphans(0).await, [], "it is pending");
        let start =
            StatusChange { from: RunStatus::Pending, to: RunStatus::Running, at: at(0), error: None, results: None };
        store.update_run_status(&project(), &"run_1".into(), start).await.unwrap();
        assert_eq!(store.run_status(&key).await.unwrap(), (RunStatus::Running, 0.0));
        store.result_writer().submit(&key, vec![crate::support::scored(0, 0, 0.5)]).await.unwrap();
        assert_eq!(store.run_status(&key).await.unwrap(), (RunStatus::Running, 0.25), "what its judge cost");
        assert_eq!(orphans(0).await, [(project(), "run_1".into())]);
        store.claim_shard(&key, "w", std::time::Duration::from_secs(10), at(0)).await.unwrap().unwrap();
        assert_eq!(orphans(9).await, []);
        assert_eq!(orphans(10).await.len(), 1, "the lease has ended");
    })
    .await;
}
