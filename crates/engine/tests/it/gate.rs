//! Gates: with and without a baseline, and when nothing can be decided.

use llmops::domain::dataset::Sample;
use llmops::domain::gate::{GateConfig, GateMode, Verdict};
use llmops::evaluator::RunRef;
use llmops_testing::on_backends;

use crate::scripted::{Scripted, add_samples, exact, finish, installation, right, run};

const LATEST: RunRef = RunRef::Latest;

#[tokio::test]
async fn a_drop_fails_and_names_the_samples() {
    on_backends(async |store| {
        let provider = Scripted::new(|request| {
            let bad = request.model == "worse" && request.last_user_text().ends_with("4?");
            if bad { "no idea".to_owned() } else { right(request) }
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 100).await;
        finish(&ops, run("good", exact())).await;
        let alone = ops.evaluator().gate(&LATEST, None, GateConfig::default()).await.unwrap();
        assert_eq!(alone.verdict, Verdict::Pass);
        assert!(alone.notices.iter().any(|n| n.contains("no baseline")));
        ops.evaluator().promote(&LATEST, false).await.unwrap();

        finish(&ops, run("worse", exact())).await;
        let report = ops.evaluator().gate(&LATEST, None, GateConfig::default()).await.unwrap();
        assert_eq!(report.verdict, Verdict::Fail);
        let failed: Vec<&str> =
            report.checks.iter().filter(|c| c.status == Verdict::Fail).map(|c| c.name.as_str()).collect();
        assert_eq!(failed, ["max_drop/a"]);
        // Whoever reads the run later sees the verdict with its checks.
        let run = ops.evaluator().get_run(&LATEST, None).await.unwrap();
        let kept = run.gate.unwrap();
        assert_eq!((kept.verdict, &kept.checks, &kept.notices), (Verdict::Fail, &report.checks, &report.notices));
        assert_eq!((kept.baseline, kept.config), (report.baseline.map(|run| run.id), GateConfig::default()));
        assert_eq!((run.tags["gate"].as_str(), report.run.gate), ("fail", None));
        assert_eq!(report.samples.len(), 10);
        assert!(report.samples.iter().all(|s| s.sample_id.ends_with('4') && s.baseline_output.is_some()));
        let compared = report.comparison.unwrap();
        for change in [compared.metric_changes["exact_match"], compared.pass_rate.unwrap()] {
            let [low, high] = change.interval.unwrap();
            assert!(change.n == Some(100) && low < change.change && change.change < high && high < 0.0, "{change:?}");
            assert!((change.change + 0.1).abs() < 1e-12, "{change:?}");
        }
        let paired = compared.paired.unwrap();
        assert_eq!(paired.mcnemar.unwrap().newly_failed, 10);
        assert!(paired.difference.upper < 0.0 && paired.minimum_detectable_effect.unwrap() > 0.0);
    })
    .await;
}

#[tokio::test]
async fn a_sample_of_several_trials_is_named_once() {
    on_backends(async |store| {
        let provider = Scripted::new(|request| {
            let asked = request.last_user_text();
            let bad = asked.ends_with("4?") || (asked.ends_with("5?") && request.origin.trial == 1);
            if bad { "no idea".to_owned() } else { right(request) }
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 20).await;
        finish(&ops, llmops_api::runs::CreateRun { repeat: 3, ..run("m", exact()) }).await;
        let report = ops.evaluator().gate(&LATEST, None, GateConfig::default()).await.unwrap();
        let named: Vec<(&str, &str)> =
            report.samples.iter().map(|note| (&*note.sample_id, note.reasons.last().unwrap().as_str())).collect();
        let (all, one) = ("3 of 3 trials failed", "1 of 3 trials failed");
        let mut sorted = named.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [("s0004", all), ("s0005", one), ("s0014", all), ("s0015", one)]);
        let junit = llmops::domain::scorecard::junit(&report);
        assert_eq!(junit.matches("classname=\"samples.").count(), 4, "{junit}");
        let failed: u64 = report.run.results.unwrap().categories.values().map(|category| category.failed).sum();
        assert_eq!(failed, 4);
    })
    .await;
}

/// A sample that asks or expects something else by now is another sample, whatever its id.
#[tokio::test]
async fn changed_questions_are_not_compared() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 20).await;
        finish(&ops, run("good", exact())).await;
        ops.evaluator().promote(&LATEST, false).await.unwrap();
        let sample = |i: usize, question: &str, expected: &str| Sample {
            id: format!("s{i:04}"),
            input: question.to_owned(),
            expected_output: vec![expected.to_owned()],
            category: Some("a".to_owned()),
            source: Some("by hand".to_owned()),
            ..Sample::default()
        };
        let changed = vec![
            sample(0, "question 0?", "answer 0"),
            sample(2, "question 200?", "another answer"),
            sample(4, "question 4?", "another answer"),
        ];
        ops.datasets().add_samples("golden", changed).await.unwrap();
        finish(&ops, run("good", exact())).await;
        let config = GateConfig { overall_min: 0.0, ..GateConfig::default() };
        let report = ops.evaluator().gate(&LATEST, None, config).await.unwrap();
        let check = report.checks.iter().find(|c| c.name == "max_drop/a").unwrap();
        assert_eq!((check.status, check.n, check.change), (Verdict::Pass, Some(8), Some(0.0)), "{}", check.message);
        assert_eq!((check.baseline, check.current), (Some(1.0), Some(0.8)));
        assert!(report.notices.iter().any(|n| n.ends_with("drops are those of the 18 samples that both have.")));
        let compared = report.comparison.unwrap();
        assert_eq!((compared.category_changes["a"].change, compared.newly_failed), (0.0, 0));
    })
    .await;
}

#[tokio::test]
async fn noise_aware_wants_significance() {
    on_backends(async |store| {
        // Two of twenty samples of category `a` fail: a drop of 0.1 that chance explains.
        let provider = Scripted::new(|request| {
            let asked = request.last_user_text();
            let bad = request.model == "worse" && (asked == "question 0?" || asked == "question 2?");
            if bad { "no idea".to_owned() } else { right(request) }
        });
        let ops = installation(store, &provider);
        add_samples(&ops, 40).await;
        finish(&ops, run("good", exact())).await;
        ops.evaluator().promote(&LATEST, false).await.unwrap();
        finish(&ops, run("worse", exact())).await;
        let strict = ops.evaluator().gate(&LATEST, None, GateConfig::default()).await.unwrap();
        assert_eq!(strict.verdict, Verdict::Fail);
        let config = GateConfig { mode: GateMode::NoiseAware, ..GateConfig::default() };
        let aware = ops.evaluator().gate(&LATEST, None, config).await.unwrap();
        let check = aware.checks.iter().find(|c| c.name == "max_drop/a").unwrap();
        assert_eq!(check.status, Verdict::Inconclusive, "{}", check.message);
        assert!(check.message.contains("samples"), "{}", check.message);
    })
    .await;
}

#[tokio::test]
async fn the_baseline_is_that_of_the_same_dataset() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(right));
        add_samples(&ops, 10).await;
        finish(&ops, run("good", exact())).await;
        ops.evaluator().promote(&LATEST, false).await.unwrap();
        assert!(ops.evaluator().baseline("golden").await.unwrap().is_some());
        assert!(ops.evaluator().baseline("other").await.unwrap().is_none());
    })
    .await;
}
