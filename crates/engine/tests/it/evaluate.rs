//! Runs: results, trials, cache, errors, resumption, judges.

use std::sync::atomic::{AtomicU32, Ordering};

use llmops::Error;
use llmops::domain::chat::ChatRequest;
use llmops::domain::gate::{GateConfig, Verdict};
use llmops::domain::judge::parse_judge_request;
use llmops::domain::run::{Outcome, RunStatus};
use llmops::domain::scoring::{JudgeSpec, MetricSpec, ScorerSpec, ScoringSpec};
use llmops::evaluator::RunRef;
use llmops_api::prompts::{BumpMode, PushPrompt};
use llmops_api::runs::CreateRun;
use llmops_storage::Store;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run, scoring, wait};

fn judge() -> ScorerSpec {
    ScorerSpec::Judge(JudgeSpec::with_model("test/judge"))
}

/// Scores 0.9 for everything.
fn judged(request: &ChatRequest) -> String {
    match parse_judge_request(&request.last_user_text()) {
        Some(_) => r#"{"factual_accuracy": 0.9, "instruction_following": 0.9, "safety": 0.9}"#.to_owned(),
        None => right(request),
    }
}

#[tokio::test]
async fn aggregates_by_category_and_overall() {
    on_backends(async |store| {
        // One wrong answer among the five of category `a`.
        let provider = Scripted::new(|r| if r.last_user_text() == "question 2?" { "no".into() } else { right(r) });
        let ops = installation(store, &provider);
        add_samples(&ops, 10).await;
        let done = finish(&ops, run("m", exact())).await;
        assert_eq!(done.status, RunStatus::Completed);
        let results = done.results.unwrap();
        assert_eq!((results.total_samples, results.passed_samples, results.failed_samples), (10, 9, 1));
        assert!((results.categories["a"].score.unwrap().value - 0.8).abs() < 1e-12);
        assert!((results.overall.unwrap().value - 0.9).abs() < 1e-12);
        assert_eq!(results.failure_reasons["exact_match < 0.7"], 1);
        assert!(results.pass_rate.lower < 0.9 && results.pass_rate.upper < 1.0);
        let weighed = |a: f64, b: f64| CreateRun {
            category_weights: [("a".to_owned(), a), ("b".to_owned(), b)].into(),
            ..run("m", exact())
        };
        let overall = finish(&ops, weighed(3e8, 1e8)).await.results.unwrap().overall.unwrap();
        assert!((overall.value - 0.85).abs() < 1e-12, "{overall:?}");
        for (a, b) in [(-1.0, 2.0), (f64::MAX, f64::MAX), (0.0, 0.0)] {
            let refused = ops.evaluator().create_run(weighed(a, b)).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{a} {b}: {refused:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn trials_are_asked_apart_and_count_as_one_sample() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = installation(store, &provider);
        add_samples(&ops, 4).await;
        let mut request = run("m", exact());
        request.repeat = 3;
        let results = finish(&ops, request.clone()).await.results.unwrap();
        assert_eq!(provider.calls(), 12);
        assert_eq!((results.total_samples, results.pass_rate.n), (4, 4));
        // The second time everything comes from the cache.
        let again = finish(&ops, request.clone()).await.results.unwrap();
        assert_eq!((provider.calls(), again.spend.cached), (12, 12));
        request.cache = false;
        finish(&ops, request).await;
        assert_eq!(provider.calls(), 24);
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_is_down_fails_the_run_and_resuming_finishes_it() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = installation(store, &provider);
        add_samples(&ops, 200).await;
        provider.down.store(true, Ordering::SeqCst);
        let failed = finish(&ops, run("m", exact())).await;
        assert_eq!(failed.status, RunStatus::Failed);
        assert!(failed.error.unwrap().contains("503"));
        assert!(failed.progress.done < 200, "it gave up early");
        provider.down.store(false, Ordering::SeqCst);
        let resumed = ops.evaluator().start_run(failed.id.as_str()).await.unwrap();
        let done = wait(&ops, &resumed).await;
        assert_eq!(done.status, RunStatus::Completed);
        assert_eq!(done.results.unwrap().passed_samples, 200);
        assert_eq!(provider.calls(), 200, "nothing is asked twice");
    })
    .await;
}

/// Whether a judge is asked.
fn is_for_the_judge(request: &ChatRequest) -> bool {
    parse_judge_request(&request.last_user_text()).is_some()
}

#[tokio::test]
async fn a_judge_that_is_down_fails_the_run_although_the_target_answers() {
    let store = Store::in_memory().await.unwrap();
    let ops = installation(&store, &Scripted::failing(judged, is_for_the_judge));
    add_samples(&ops, 400).await;
    let failed = finish(&ops, run("m", scoring([("judge", 1.0, judge())]))).await;
    assert_eq!(failed.status, RunStatus::Failed);
    assert!(failed.error.as_ref().unwrap().contains("503"), "{:?}", failed.error);
    assert!(failed.progress.done < 400, "it gave up early");
}

#[tokio::test]
async fn a_judge_that_fails_now_and_then_ends_no_run_whose_answers_are_known() {
    let store = Store::in_memory().await.unwrap();
    let judgements = AtomicU32::new(0);
    let every_third =
        move |request: &ChatRequest| is_for_the_judge(request) && judgements.fetch_add(1, Ordering::SeqCst) % 3 == 2;
    let ops = installation(&store, &Scripted::failing(judged, every_third));
    add_samples(&ops, 90).await;
    finish(&ops, run("m", exact())).await;
    let judged = ScoringSpec { max_error_rate: 0.5, ..scoring([("judge", 1.0, judge())]) };
    let done = finish(&ops, run("m", judged)).await;
    assert_eq!((done.status, done.error.as_deref()), (RunStatus::Completed, None));
    let results = done.results.unwrap();
    assert_eq!((results.spend.cached, results.errored_samples), (90, 30));
}

#[tokio::test]
async fn errors_are_never_scores() {
    on_backends(async |store| {
        let provider = Scripted::new(|request| match parse_judge_request(&request.last_user_text()) {
            Some(asked) if asked.candidate == "answer 3" => r#"{"factual_accuracy": 7}"#.to_owned(),
            _ => judged(request),
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 100).await;
        let done = finish(&ops, run("m", scoring([("judge", 1.0, judge())]))).await;
        assert_eq!(done.status, RunStatus::Completed);
        let results = done.results.unwrap();
        assert_eq!((results.errored_samples, results.passed_samples), (1, 99));
        assert!((results.overall.unwrap().value - 0.9).abs() < 1e-12, "the errored sample is not a zero");
        let sample = &ops.evaluator().results_of_sample(&done.id, "s0003").await.unwrap()[0];
        assert!(matches!(&sample.outcome, Outcome::Errored { reason, .. } if reason.starts_with("judge")));
    })
    .await;
}

/// It is told apart, with fewer samples behind it. Once a judge of that kind cannot be reached, it is left alone.
#[tokio::test]
async fn a_metric_that_is_reported_only_takes_no_sample_along() {
    on_backends(async |store| {
        let provider = Scripted::new(|request| match parse_judge_request(&request.last_user_text()) {
            Some(asked) if asked.candidate == "answer 3" => r#"{"factual_accuracy": 7}"#.to_owned(),
            _ => judged(request),
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 100).await;
        let reported = |scorer| MetricSpec { weight: None, threshold: None, scorer };
        let mut scoring = exact();
        scoring.metrics.insert("judge".to_owned(), reported(judge()));
        let fields = serde_json::from_value(serde_json::json!({"kind": "json_fields"})).unwrap();
        scoring.metrics.insert("fields".to_owned(), reported(fields));
        let done = finish(&ops, run("m", scoring.clone())).await;
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.error);
        let results = done.results.unwrap();
        assert_eq!((results.passed_samples, results.errored_samples, results.overall.unwrap().value), (100, 0, 1.0));
        assert_eq!((results.metric_details["judge"].n, results.metric_details.get("fields")), (99, None));
        let told = |of: &str| results.notices.iter().any(|notice| notice.starts_with(of));
        assert!(
            told("`judge` is reported only and has no score of 1 trial; most often: judge"),
            "{:?}",
            results.notices
        );
        assert!(told("`fields` is reported only and has no score of 100 trials; most often: fields: expected output"));
        let sample = &ops.evaluator().results_of_sample(&done.id, "s0003").await.unwrap()[0];
        let Outcome::Scored { scores, unscored, .. } = &sample.outcome else { panic!("{:?}", sample.outcome) };
        assert_eq!(scores.keys().collect::<Vec<_>>(), ["exact_match"]);
        assert_eq!(unscored.keys().collect::<Vec<_>>(), ["fields", "judge"]);
        // One by which samples fail decides, and errors what it cannot score.
        scoring.metrics["judge"].threshold = Some(0.1);
        let results = finish(&ops, run("m", scoring)).await.results.unwrap();
        assert_eq!((results.passed_samples, results.errored_samples), (99, 1));
    })
    .await;
}

/// The model answered, and whoever asked for another form has nothing: that is a failure of the prompt, which a gate must find.
#[tokio::test]
async fn answers_without_the_promised_form_fail() {
    on_backends(async |store| {
        let provider = Scripted::new(|request| match request.last_user_text().as_ref() {
            "question 2?" => "answer 2, as you asked".to_owned(),
            _ => serde_json::json!({ "a": right(request) }).to_string(),
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 10).await;
        let prompt = serde_json::json!({"name": "form", "version": "1.0.0", "content": "{{input}}", "post_processing": [{"json_path": "$.a"}]});
        let push = PushPrompt { prompt: serde_json::from_value(prompt).unwrap(), bump: BumpMode::None, activate: true };
        ops.prompts().create(push).await.unwrap();
        let mut scoring = exact();
        let latency = MetricSpec { weight: None, threshold: None, scorer: ScorerSpec::Latency { max_ms: None } };
        scoring.metrics.insert("latency".to_owned(), latency);
        let mut request = run("m", scoring);
        request.target.prompt = Some("form".to_owned());
        let done = finish(&ops, request).await;
        assert_eq!(done.status, RunStatus::Completed);
        let results = done.results.unwrap();
        assert_eq!((results.passed_samples, results.failed_samples, results.errored_samples), (9, 1, 0));
        assert_eq!(results.failure_reasons["post-processing: not_json"], 1);
        assert!((results.categories["a"].score.unwrap().value - 0.8).abs() < 1e-12);
        let trial = ops.evaluator().results_of_sample(&done.id, "s0002").await.unwrap().remove(0);
        assert_eq!(trial.output, "answer 2, as you asked");
        let Outcome::Scored { scores, composite, passed, .. } = trial.outcome else { panic!("{:?}", trial.outcome) };
        assert_eq!((scores["exact_match"].score, scores["latency"].score, composite, passed), (0.0, 5.0, Some(0.0), false));
        let config = GateConfig { category_min: 0.9, ..GateConfig::default() };
        let report = ops.evaluator().gate(&RunRef::Latest, None, config).await.unwrap();
        assert_eq!(report.verdict, Verdict::Fail);
    })
    .await;
}

/// What an answer costs does not depend on whether somebody asked before.
#[tokio::test]
async fn limits_of_cost_hold_for_answers_from_the_cache() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 4).await;
        let limited = |max| {
            let mut scoring = exact();
            let cost = MetricSpec { weight: None, threshold: None, scorer: ScorerSpec::Cost { max } };
            scoring.metrics.insert("cost".to_owned(), cost);
            scoring
        };
        for cached in [0, 4] {
            // An answer costs three dollars.
            let results = finish(&ops, run("priced", limited(Some(2.0)))).await.results.unwrap();
            assert_eq!((results.spend.cached, results.passed_samples, results.failed_samples), (cached, 0, 4));
            assert_eq!(
                (results.metric_scores["cost"], results.spend.target_cost),
                (3.0, if cached == 0 { 12.0 } else { 0.0 })
            );
        }
        assert_eq!(finish(&ops, run("priced", limited(Some(3.0)))).await.results.unwrap().passed_samples, 4);
        let unknown = finish(&ops, run("unpriced", limited(Some(2.0)))).await;
        assert_eq!(unknown.results.unwrap().error_reasons["cost: the model has no price"], 4);
        assert_eq!(finish(&ops, run("unpriced", limited(None))).await.results.unwrap().passed_samples, 4);
    })
    .await;
}

#[tokio::test]
async fn judges_keep_to_their_budget() {
    on_backends(async |store| {
        let provider = Scripted::new(judged);
        let ops = installation(store, &provider);
        add_samples(&ops, 50).await;
        let mut spec = scoring([("judge", 1.0, judge())]);
        // A judgement costs three dollars.
        spec.max_judge_cost = Some(30.0);
        let done = finish(&ops, run("m", spec)).await;
        assert_eq!(done.status, RunStatus::Failed, "most samples could not be judged");
        let results = done.results.unwrap();
        assert_eq!(results.error_reasons["judge budget"], 40);
        assert!((results.spend.judge_cost - 30.0).abs() < 1e-9, "{}", results.spend.judge_cost);
        assert!(results.notices.iter().any(|n| n.contains("max_judge_cost") && n.contains("40 trials")));
        // What cannot be judged is not asked for, but for what was on its way: a run of 50 costs the target 50 calls at most.
        let asked = provider.calls();
        assert!((20..=60).contains(&asked), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_run_can_be_resumed() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let ops = installation(store, &provider);
        add_samples(&ops, 3_000).await;
        let started = ops.evaluator().create_run(run("m", exact())).await.unwrap();
        let id = llmops::evaluator::RunRef::Id(started.id.0.clone());
        let stopped = ops.evaluator().cancel(&id).await.unwrap();
        if stopped.status == RunStatus::Cancelled {
            ops.evaluator().start_run(started.id.as_str()).await.unwrap();
        }
        let done = wait(&ops, &started).await;
        assert_eq!((done.status, done.results.unwrap().total_samples), (RunStatus::Completed, 3_000));
        assert_eq!(provider.calls(), 3_000);
    })
    .await;
}

#[tokio::test]
async fn two_workers_share_a_run() {
    on_backends(async |store| {
        let provider = Scripted::new(right);
        let (one, other) = (installation(store, &provider), installation(store, &provider));
        add_samples(&one, 5_000).await;
        let mut request = run("m", exact());
        request.start = false;
        request.cache = false;
        let run = one.evaluator().create_run(request).await.unwrap();
        one.evaluator().start_run(run.id.as_str()).await.unwrap();
        other.evaluator().start_run(run.id.as_str()).await.unwrap();
        let (first, second) = tokio::join!(wait(&one, &run), wait(&other, &run));
        let done = if first.status.is_final() { first } else { second };
        let done = if done.status.is_final() { done } else { wait(&one, &run).await };
        assert_eq!((done.status, done.results.unwrap().passed_samples), (RunStatus::Completed, 5_000));
        assert_eq!(provider.calls(), 5_000, "no pair is asked by both");
    })
    .await;
}
