//! A judge compared with people, and what gates make of it.

use llmops::LlmOps;
use llmops::domain::calibration::{CalibrationFilter, HumanLabel};
use llmops::domain::chat::ChatRequest;
use llmops::domain::gate::{GateConfig, GateReport, Verdict};
use llmops::domain::run::{Estimate, EvaluationRun};
use llmops::domain::scoring::ScoringSpec;
use llmops::evaluator::{CalibrationRequest, RunRef};
use llmops_testing::on_backends;
use serde_json::json;

use crate::scripted::{Scripted, add_samples, finish, installation, right, run};

const SAMPLES: usize = 60;

/// What people think of answer `i`.
fn truth(i: usize) -> f64 {
    ((i * 37) % 60) as f64 / 100.0
}

/// Answers questions, and judges answers 0.2 too generously.
fn generous(request: &ChatRequest) -> String {
    let text = request.last_user_text();
    let Some(asked) = text.split("question ").nth(1).filter(|_| text.starts_with("<axes")) else {
        return right(request);
    };
    let i: usize = asked.split('?').next().unwrap().parse().unwrap();
    json!({"quality": {"score": truth(i) + 0.2, "reason": "because"}, "overall": truth(i) + 0.2}).to_string()
}

fn judged(rubric: &str) -> ScoringSpec {
    serde_json::from_value(json!({
        "metrics": {"judge": {"kind": "judge", "model": "test/judge", "rubric": [rubric], "weight": 1.0}},
        "pass_threshold": 0.3, "max_error_rate": 0.02,
    }))
    .unwrap()
}

fn labels(of: impl Iterator<Item = usize>) -> Vec<HumanLabel> {
    let label =
        |i: usize| HumanLabel { sample_id: format!("s{i:04}"), trial: 0, rater: "ann".to_owned(), score: truth(i) };
    of.map(label).collect()
}

async fn evaluated(ops: &LlmOps, rubric: &str) -> EvaluationRun {
    finish(ops, run("small", judged(rubric))).await
}

async fn gated(ops: &LlmOps, run: &EvaluationRun, kappa: f64) -> GateReport {
    let config =
        GateConfig { require_judge_kappa: Some(kappa), overall_min: 0.0, category_min: 0.0, ..GateConfig::default() };
    ops.evaluator().gate(&RunRef::Id(run.id.0.clone()), None, config).await.unwrap()
}

#[tokio::test]
#[expect(clippy::large_futures, reason = "a test may use the stack")]
async fn a_judge_is_compared_with_people_and_corrected() {
    on_backends(async |store| {
        let ops = installation(store, &Scripted::new(generous));
        add_samples(&ops, SAMPLES).await;
        let first = evaluated(&ops, "quality").await;
        let before = gated(&ops, &first, 0.3).await;
        assert_eq!(before.verdict, Verdict::Inconclusive);
        assert!(before.checks.iter().any(|c| c.message.contains("llmops judge calibrate --labels labels.csv --run")));

        let request = CalibrationRequest { labels: labels((0..SAMPLES).step_by(2)), ..CalibrationRequest::default() };
        let found = ops.evaluator().calibrate(&RunRef::Latest, request).await.unwrap();
        assert_eq!((found.samples, found.raters, found.labels), (30, 1, 30));
        assert!((found.bias.value - 0.2).abs() < 1e-9, "{:?}", found.bias);
        assert!((found.agreement.spearman.unwrap().value - 1.0).abs() < 1e-9);
        let people: f64 = (0..SAMPLES).map(truth).sum::<f64>() / SAMPLES as f64;
        let overall = found.overall.clone().unwrap();
        assert!((overall.raw.value - people - 0.2).abs() < 1e-9, "{overall:?} {people}");
        assert!(overall.corrected.lower <= people && people <= overall.corrected.upper, "{overall:?} {people}");
        // 30 labelled answers of even numbers: the judge passes 0.1 to 0.3 too many.
        let confusion = found.confusion;
        assert_eq!(confusion.people_pass_only, 0);
        assert!(confusion.judge_passes_only > 5, "{confusion:?}");

        let stored = ops.evaluator().calibrations(&CalibrationFilter::default()).await.unwrap();
        assert_eq!(stored, std::slice::from_ref(&found));
        assert_eq!(ops.evaluator().calibration(found.id.as_str()).await.unwrap(), found);
        let kept = ops.evaluator().get_run(&RunRef::Latest, None).await.unwrap();
        assert_eq!(kept.results.unwrap().corrected, found.overall);

        let kappa = found.agreement.cohen_kappa.unwrap().value;
        assert_eq!(gated(&ops, &first, kappa - 0.01).await.verdict, Verdict::Pass);
        assert_eq!(gated(&ops, &first, kappa + 0.01).await.verdict, Verdict::Inconclusive);

        // The same judge on another run is known; its error is taken over.
        let second = evaluated(&ops, "quality").await;
        let corrected = second.results.clone().unwrap().corrected.unwrap();
        assert!((corrected.corrected.value - people).abs() < 1e-9, "{corrected:?}");
        assert_eq!(gated(&ops, &second, kappa - 0.01).await.verdict, Verdict::Pass);
        // Another rubric is another judge.
        let other = evaluated(&ops, "quality: whether it is nice").await;
        assert_eq!(other.results.clone().unwrap().corrected, None);
        assert_eq!(gated(&ops, &other, 0.0).await.verdict, Verdict::Inconclusive);
    })
    .await;
}

/// Three equal answers to a question, labelled alike, say as much as one.
#[tokio::test]
async fn trials_of_a_sample_are_no_further_samples() {
    let ops = installation(&llmops_storage::Store::in_memory().await.unwrap(), &Scripted::new(generous));
    add_samples(&ops, SAMPLES).await;
    let mut request = run("small", judged("quality"));
    request.repeat = 3;
    finish(&ops, request).await;
    let found = async |labels| {
        let request = CalibrationRequest { labels, ..CalibrationRequest::default() };
        ops.evaluator().calibrate(&RunRef::Latest, request).await.unwrap()
    };
    let once: Vec<HumanLabel> = labels(0..SAMPLES)
        .into_iter()
        .enumerate()
        .map(|(i, label)| HumanLabel { score: (label.score + 0.003 * (i % 7) as f64).min(1.0), ..label })
        .collect();
    let trials = (0..3).flat_map(|trial| once.iter().map(move |label| HumanLabel { trial, ..label.clone() })).collect();
    let (once, thrice) = (found(once).await, found(trials).await);
    assert_eq!((once.samples, thrice.samples, thrice.labels), (60, 60, 180));
    let same = |a: Estimate, b: Estimate| {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(
            a.n == b.n && near(a.value, b.value) && near(a.lower, b.lower) && near(a.upper, b.upper),
            "{a:?} {b:?}"
        );
    };
    same(once.bias, thrice.bias);
    same(once.category_bias["a"], thrice.category_bias["a"]);
    same(once.agreement.cohen_kappa.unwrap(), thrice.agreement.cohen_kappa.unwrap());
    same(once.agreement.spearman.unwrap(), thrice.agreement.spearman.unwrap());
    assert!((once.agreement.spearman_p.unwrap() - thrice.agreement.spearman_p.unwrap()).abs() < 1e-12);
    let accuracy = thrice.agreement.accuracy.unwrap();
    assert!(accuracy.n == 60 && accuracy.upper - accuracy.lower > 0.1, "{accuracy:?}");
}

#[tokio::test]
async fn labels_that_cannot_be_used_are_refused() {
    let ops = installation(&llmops_storage::Store::in_memory().await.unwrap(), &Scripted::new(generous));
    add_samples(&ops, 4).await;
    evaluated(&ops, "quality").await;
    let refused = async |request: CalibrationRequest| {
        ops.evaluator().calibrate(&RunRef::Latest, request).await.unwrap_err().to_string()
    };
    let with = |labels| CalibrationRequest { labels, ..CalibrationRequest::default() };
    assert!(refused(with(Vec::new())).await.contains("0 labels"));
    assert!(refused(with(labels(0..1))).await.contains("at least 2 are needed"));
    assert!(refused(with(labels(90..99))).await.contains("no answer for `s0090` (trial 0)"));
    assert!(refused(with([labels(0..2), labels(0..1)].concat())).await.contains("labels `s0000` twice"));
    let mut wrong = labels(0..3);
    wrong[1].score = f64::NAN;
    assert!(refused(with(wrong)).await.contains("labels[1].score: NaN is not between 0 and 1"));
    let metric = CalibrationRequest { metric: Some("rouge_l".to_owned()), ..with(labels(0..3)) };
    assert!(refused(metric).await.contains("`rouge_l` is no judged metric"));
    let threshold = CalibrationRequest { threshold: Some(0.0), ..with(labels(0..3)) };
    assert!(refused(threshold).await.contains("a threshold of 0"));
    // Nobody disagrees about anything: no kappa, and the reason is told.
    let all = CalibrationRequest { threshold: Some(0.01), ..with(labels(1..4)) };
    let found = ops.evaluator().calibrate(&RunRef::Latest, all).await.unwrap();
    assert_eq!(found.agreement.cohen_kappa, None);
    assert!(found.notices.iter().any(|n| n.starts_with("Cohen's kappa cannot be computed")), "{:?}", found.notices);
}
