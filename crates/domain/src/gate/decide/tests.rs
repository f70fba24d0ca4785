use serde_json::{Value, json};

use super::*;

/// Overrides of a run: `categories` as name → [score, half-width of the interval, n], and what stands in `spec`.
fn run(overall: Option<f64>, categories: &[(&str, Option<f64>)]) -> EvaluationRun {
    let estimate = |value: f64| json!({"value": value, "n": 40, "lower": value - 0.03, "upper": value + 0.03});
    let categories: serde_json::Map<String, Value> = categories
        .iter()
        .map(|&(name, score)| {
            let score = score.map_or(Value::Null, estimate);
            (
                name.to_owned(),
                json!({"score": score, "pass_rate": null, "weight": 0.5, "samples": 40, "failed": 0, "errored": 0}),
            )
        })
        .collect();
    serde_json::from_value(json!({
        "id": "run_1", "name": "r", "dataset": "golden", "prompt_name": null, "prompt_version": null,
        "model_name": "sim/m", "metrics": [], "status": "completed",
        "spec": {
            "target": "t", "manifest": {"model": "sim/m"}, "manifest_id": "a".repeat(64), "dataset": "golden", "dataset_version": "b".repeat(64),
            "scoring": {
                "metrics": {"judge": {"kind": "judge", "model": "sim/j", "weight": 1.0}},
                "pass_threshold": 0.7, "max_error_rate": 0.02,
            },
            "repeat": 2, "cache": true,
        },
        "results": {
            "total_samples": 50, "passed_samples": 0, "failed_samples": 0, "errored_samples": 0, "errored_trials": 0,
            "pass_rate": estimate(0.9), "metric_scores": {}, "metric_details": {}, "categories": categories,
            "overall": overall.map_or(Value::Null, estimate), "failure_reasons": {}, "error_reasons": {},
            "spend": {"target_cost": 0.0, "judge_cost": 0.0, "prompt_tokens": 0, "completion_tokens": 0, "cached": 0},
            "latency": null,
        },
        "progress": {"total": 100, "done": 100, "errored": 0, "cost": 0.0},
        "start_time": null, "end_time": null, "created_at": "2026-11-03T15:40:52Z",
    }))
    .unwrap()
}

/// A run to compare with.
fn base(overall: Option<f64>, categories: &[(&str, Option<f64>)]) -> EvaluationRun {
    EvaluationRun { id: "run_0".into(), ..run(overall, categories) }
}

fn paired(categories: &[(&str, [f64; 3], u64, Option<u64>)]) -> PairedEvidence {
    let estimate = |[value, lower, upper]: [f64; 3], n| Estimate { value, n, lower, upper };
    PairedEvidence {
        difference: estimate([0.0; 3], 37),
        method: "bootstrap".into(),
        p_value: None,
        mcnemar: None,
        minimum_detectable_effect: None,
        categories: categories
            .iter()
            .map(|&(name, ends, n, needed_n)| {
                let evidence =
                    crate::compare::CategoryEvidence { difference: estimate(ends, n), p_value: None, needed_n };
                (name.to_owned(), evidence)
            })
            .collect(),
        metrics: std::collections::BTreeMap::new(),
        pass_rate: None,
    }
}

fn noise_aware() -> GateConfig {
    GateConfig { mode: GateMode::NoiseAware, ..GateConfig::default() }
}

fn decision(
    config: &GateConfig,
    run: &EvaluationRun,
    baseline: Option<&EvaluationRun>,
    paired: Option<&PairedEvidence>,
) -> Decision {
    decide(&GateInput { config, run, baseline, reference: None, paired, judges: &[] })
}

/// The decision as text.
fn show(decision: &Decision) -> String {
    let checks = decision.checks.iter().map(|c| format!("{} {}: {}", c.status.as_str(), c.name, c.message));
    let verdict = decision.verdict.as_str().to_uppercase();
    std::iter::once(verdict).chain(checks).chain(decision.notices.iter().cloned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn with_a_baseline_drops_decide() {
    let before = base(
        Some(0.9),
        &[("a", Some(0.90)), ("b", Some(0.90)), ("gone", Some(0.9)), ("blank", None), ("lost", Some(0.9))],
    );
    let now = run(
        Some(0.85),
        &[("a", Some(0.85)), ("b", Some(0.60)), ("new", Some(0.71)), ("blank", Some(0.9)), ("lost", None)],
    );
    let evidence = paired(&[("b", [-0.3, -0.4, -0.2], 38, Some(5))]);
    let decided = decision(&GateConfig::default(), &now, Some(&before), Some(&evidence));
    insta::assert_snapshot!(show(&decided), @r#"
    FAIL
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    pass overall_min: Overall is 0.850, at least 0.8.
    pass max_drop/a: a changed by −0.050; a drop of 0.05 is allowed.
    fail max_drop/b: b dropped by 0.300 on the 38 samples that both runs have; at most 0.05 is allowed.
    pass category_min/blank: blank is 0.900, at least 0.72. The baseline has no score for it.
    inconclusive max_drop/lost: lost has no score: nothing that counts for it could be scored, or no metric has a weight.
    fail category_min/new: new is 0.710, below 0.72. The baseline has no score for it.
    fail category_missing/gone: gone has no sample in this run and 40 samples in the baseline: nothing is known of it. If it was given up on purpose, `gate.retired_categories: ["gone"]` accepts that.
    Some samples were scored in one of the two runs only: drops are those of the 37 samples that both have.
    "#);
    let check = decided.checks.iter().find(|c| c.name == "max_drop/b").unwrap();
    insta::assert_snapshot!(serde_json::to_string(check).unwrap(), @r#"{"name":"max_drop/b","status":"fail","baseline":0.9,"current":0.6,"change":-0.3,"limit":0.05,"interval":[-0.4,-0.2],"n":38,"message":"b dropped by 0.300 on the 38 samples that both runs have; at most 0.05 is allowed."}"#);
}

#[test]
fn without_a_baseline_absolute_limits_decide() {
    let now = run(Some(0.80), &[("a", Some(0.72)), ("b", Some(0.7199)), ("c", None)]);
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &now, None, None)), @r#"
    FAIL
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    pass overall_min: Overall is 0.800, at least 0.8.
    pass category_min/a: a is 0.720, at least 0.72.
    fail category_min/b: b is 0.719900, below 0.72.
    inconclusive category_min/c: c has no score: nothing that counts for it could be scored, or no metric has a weight.
    There is no baseline: only the absolute limits apply (overall at least 0.8, every category at least 0.72). `llmops baseline promote RUN` makes one.
    "#);
    let mut empty = base(Some(0.9), &[]);
    empty.results = None;
    let fine = run(Some(0.8), &[("a", Some(0.72))]);
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &fine, Some(&empty), None)), @r#"
    PASS
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    pass overall_min: Overall is 0.800, at least 0.8.
    pass category_min/a: a is 0.720, at least 0.72.
    The baseline has no results: only the absolute limits apply (overall at least 0.8, every category at least 0.72). `llmops baseline promote RUN` makes one.
    "#);
}

/// Four samples fell, and the one that was 0 errored: the mean rises although every sample that can be compared fell.
#[test]
fn a_sample_that_errors_hides_no_drop() {
    let before = base(Some(0.9), &[("key", Some(0.8)), ("rest", Some(0.9))]);
    let mut now = run(Some(0.9), &[("key", Some(0.824)), ("rest", Some(0.9))]);
    now.results.as_mut().unwrap().errored_samples = 1;
    let evidence = paired(&[("key", [-0.176, -0.176, -0.176], 39, None), ("rest", [0.0, -0.01, 0.01], 40, None)]);
    let decided = decision(&GateConfig::default(), &now, Some(&before), Some(&evidence));
    insta::assert_snapshot!(show(&decided), @r#"
    FAIL
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    pass overall_min: Overall is 0.900, at least 0.8.
    fail max_drop/key: key dropped by 0.176 on the 39 samples that both runs have; at most 0.05 is allowed.
    pass max_drop/rest: rest changed by 0.000; a drop of 0.05 is allowed.
    Some samples were scored in one of the two runs only: drops are those of the 37 samples that both have.
    "#);
    let key = decided.checks.iter().find(|c| c.name == "max_drop/key").unwrap();
    assert_eq!(key.change, Some(-0.176));
    // The mark in the chart says the same as the verdict: the value now is below it.
    let floor = key.floor().unwrap();
    assert!((floor - 0.95).abs() < 1e-12 && key.current.unwrap() < floor, "{floor}");
    let rest = decided.checks.iter().find(|c| c.name == "max_drop/rest").unwrap();
    assert!(rest.current.unwrap() > rest.floor().unwrap());
    // The other way round: the mean falls although no sample did.
    let easier = run(Some(0.9), &[("key", Some(0.7))]);
    let evidence = paired(&[("key", [0.0, 0.0, 0.0], 39, None)]);
    assert_eq!(decision(&GateConfig::default(), &easier, Some(&before), Some(&evidence)).verdict, Verdict::Pass);
}

#[test]
fn without_shared_samples_the_means_decide_and_that_is_told() {
    let mut before = base(Some(0.9), &[("a", Some(0.9))]);
    let now = run(Some(0.9), &[("a", Some(0.8))]);
    let notices = |before: &EvaluationRun| {
        let decided = decision(&GateConfig::default(), &now, Some(before), None);
        assert_eq!(decided.verdict, Verdict::Fail);
        decided.notices.join("\n")
    };
    insta::assert_snapshot!(notices(&before), @"No sample was scored in both runs: no sample stands beside its counterpart, and drops are differences of the means.");
    before.spec.dataset_version = crate::hash::ContentHash::of_bytes(b"other");
    insta::assert_snapshot!(notices(&before), @"The baseline ran on another version of the dataset: no sample stands beside its counterpart, and drops are differences of the means.");
}

#[test]
fn a_drop_equal_to_the_limit_passes() {
    let verdict = |before: f64, now: f64| {
        let (before, now) = (base(Some(0.9), &[("a", Some(before))]), run(Some(0.9), &[("a", Some(now))]));
        decision(&GateConfig::default(), &now, Some(&before), None).verdict
    };
    for hundredths in 5..=100_u32 {
        let before = f64::from(hundredths) / 100.0;
        assert_eq!(verdict(before, before - 0.05), Verdict::Pass, "{before}");
        assert_eq!(verdict(before, f64::from(hundredths - 5) / 100.0), Verdict::Pass, "{before}");
        assert_eq!(verdict(before, before - 0.050_001), Verdict::Fail, "{before}");
    }
    assert_eq!(verdict(0.2, 0.9), Verdict::Pass);
}

#[test]
fn noise_decides_nothing() {
    let before = base(Some(0.9), &[("a", Some(0.9)), ("b", Some(0.9)), ("c", Some(0.9)), ("d", Some(0.9))]);
    let now = run(Some(0.78), &[("a", Some(0.8)), ("b", Some(0.8)), ("c", Some(0.8)), ("d", Some(0.8))]);
    let evidence = paired(&[
        ("a", [-0.1, -0.25, 0.01], 12, Some(41)),
        ("b", [-0.1, -0.15, -0.01], 30, None),
        ("c", [-0.1, -0.1, -0.1], 1, None),
    ]);
    insta::assert_snapshot!(show(&decision(&noise_aware(), &now, Some(&before), Some(&evidence))), @r#"
    FAIL
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    inconclusive overall_min: Overall is 0.780, below 0.8, but 40 samples cannot tell it from noise: add samples or trials.
    inconclusive max_drop/a: a dropped by 0.100 on the 12 samples that both runs have, beyond 0.05, but 12 samples cannot tell it from noise: about 41 samples are needed.
    fail max_drop/b: b dropped by 0.100 on the 30 samples that both runs have; at most 0.05 is allowed.
    inconclusive max_drop/c: c dropped by 0.100 on the 1 sample that both runs have, beyond 0.05, but 1 sample cannot tell it from noise: add samples or trials.
    inconclusive max_drop/d: d dropped by 0.100, beyond 0.05, but no samples are shared with the baseline that could show whether that is noise.
    Some samples were scored in one of the two runs only: drops are those of the 37 samples that both have.
    "#);
    let low = run(Some(0.70), &[("a", Some(0.70))]);
    insta::assert_snapshot!(show(&decision(&noise_aware(), &low, None, None)), @r#"
    FAIL
    pass error_rate: 0 of 100 answers errored (0.0 %); 2.0 % are allowed.
    fail overall_min: Overall is 0.700, below 0.8.
    inconclusive category_min/a: a is 0.700, below 0.72, but 40 samples cannot tell it from noise: add samples or trials.
    There is no baseline: only the absolute limits apply (overall at least 0.8, every category at least 0.72). `llmops baseline promote RUN` makes one.
    "#);
}

#[test]
fn a_run_with_too_many_errors_is_inconclusive() {
    let before = base(Some(0.9), &[("a", Some(0.9))]);
    let mut now = run(Some(0.5), &[("a", Some(0.5))]);
    let results = now.results.as_mut().unwrap();
    results.errored_trials = 3;
    results.error_reasons = [("provider: 500".to_owned(), 2), ("judge: no JSON".to_owned(), 1)].into();
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &now, Some(&before), None)), @r#"
    INCONCLUSIVE
    inconclusive error_rate: 3 of 100 answers errored (3.0 %); 2.0 % are allowed. Most often: provider: 500.
    inconclusive overall_min: Overall is 0.500, below 0.8. It does not count as failed: see error_rate.
    inconclusive max_drop/a: a dropped by 0.400 (from 0.900 to 0.500); at most 0.05 is allowed. It does not count as failed: see error_rate.
    No sample was scored in both runs: no sample stands beside its counterpart, and drops are differences of the means.
    "#);
    now.results.as_mut().unwrap().errored_trials = 2;
    assert_eq!(decision(&GateConfig::default(), &now, Some(&before), None).verdict, Verdict::Fail);
    now.status = RunStatus::Failed;
    now.error = Some("the judges have spent their budget".into());
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &now, Some(&before), None)), @r#"
    INCONCLUSIVE
    inconclusive error_rate: The run is failed, not completed: the judges have spent their budget.
    inconclusive overall_min: Overall is 0.500, below 0.8. It does not count as failed: see error_rate.
    inconclusive max_drop/a: a dropped by 0.400 (from 0.900 to 0.500); at most 0.05 is allowed. It does not count as failed: see error_rate.
    No sample was scored in both runs: no sample stands beside its counterpart, and drops are differences of the means.
    "#);
    now.results = None;
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &now, Some(&before), None)), @r#"
    INCONCLUSIVE
    inconclusive error_rate: The run is failed and has no results: the judges have spent their budget.
    "#);
    let mut empty = run(None, &[]);
    empty.results.as_mut().unwrap().total_samples = 0;
    insta::assert_snapshot!(show(&decision(&GateConfig::default(), &empty, None, None)), @r#"
    INCONCLUSIVE
    inconclusive error_rate: The run has no samples.
    inconclusive overall_min: Overall has no score: nothing that counts for it could be scored, or no metric has a weight.
    There is no baseline: only the absolute limits apply (overall at least 0.8, every category at least 0.72). `llmops baseline promote RUN` makes one.
    "#);
}

#[test]
fn a_required_kappa_needs_a_calibration() {
    let config = GateConfig { require_judge_kappa: Some(0.6), ..GateConfig::default() };
    let now = run(Some(0.9), &[]);
    let judge = |kappa: Option<f64>| JudgeAgreement {
        metric: "judge".to_owned(),
        kappa: kappa.map(|value| Estimate { value, n: 40, lower: value - 0.2, upper: value + 0.2 }),
        earlier: Vec::new(),
    };
    let check = |judges: &[JudgeAgreement]| {
        let decided =
            decide(&GateInput { config: &config, run: &now, baseline: None, reference: None, paired: None, judges });
        let checks = decided.checks.iter().filter(|c| c.name.starts_with("judge_kappa"));
        let shown = checks.map(|c| format!("{} {}: {}", c.name, c.status.as_str(), c.message));
        shown.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(check(&[judge(None)]), @"judge_kappa inconclusive: An agreement of the judge `judge` with people of at least 0.6 is required, but this judge was never calibrated. `llmops judge calibrate --labels labels.csv --run run_1 --metric judge` compares it with people.");
    insta::assert_snapshot!(check(&[judge(Some(0.6))]), @"judge_kappa pass: The judge `judge` agrees with people: kappa is 0.600 on 40 labelled samples, at least 0.6.");
    insta::assert_snapshot!(check(&[judge(Some(0.5999))]), @"judge_kappa inconclusive: The judge `judge` agrees too little with people: kappa is 0.599900 on 40 labelled samples, below 0.6. Change its model or prompt; then `llmops judge calibrate --labels labels.csv --run run_1 --metric judge` compares it with people.");
    let tried =
        JudgeAgreement { earlier: vec![Estimate::exact(0.7, 30), Estimate::exact(0.584, 120)], ..judge(Some(0.6)) };
    insta::assert_snapshot!(check(&[tried]), @"judge_kappa pass: The judge `judge` agrees with people: kappa is 0.600 on 40 labelled samples, at least 0.6. Earlier calibrations of it found less: 0.584 on 120.");
    let other = JudgeAgreement { metric: "tone".to_owned(), ..judge(Some(0.9)) };
    insta::assert_snapshot!(check(&[judge(None), other]), @"
    judge_kappa/judge inconclusive: An agreement of the judge `judge` with people of at least 0.6 is required, but this judge was never calibrated. `llmops judge calibrate --labels labels.csv --run run_1 --metric judge` compares it with people.
    judge_kappa/tone pass: The judge `tone` agrees with people: kappa is 0.900 on 40 labelled samples, at least 0.6.
    ");
    assert_eq!(check(&[]), "");
}

#[test]
fn scores_of_another_system_are_a_baseline() {
    let reference = ReferenceScores {
        source: "the MLflow run 4f1c".to_owned(),
        overall: Some(0.9),
        categories: [("a".to_owned(), 0.9), ("b".to_owned(), 0.9), ("退货".to_owned(), 0.9)].into(),
    };
    let now = run(Some(0.86), &[("a", Some(0.86)), ("b", Some(0.8)), ("c", Some(0.8))]);
    let decided = |config: &GateConfig| {
        let reference = Some(&reference);
        show(&decide(&GateInput { config, run: &now, baseline: None, reference, paired: None, judges: &[] }))
    };
    let strict = decided(&GateConfig::default());
    for line in [
        "FAIL",
        "pass overall_min: Overall is 0.860, at least 0.8.",
        "pass max_drop/a: a changed by -0.040; a drop of 0.05 is allowed.",
        "fail max_drop/b: b dropped by 0.100 (from 0.900 to 0.800); at most 0.05 is allowed.",
        "pass category_min/c: c is 0.800, at least 0.72. The baseline has no score for it.",
        "The baseline is the MLflow run 4f1c. Only its scores are known here: no sample is compared with its counterpart.",
        "fail category_missing/退货: 退货 has no sample in this run: nothing is known of it. If it was given up on purpose, `gate.retired_categories: [\"退货\"]` accepts that.",
    ] {
        let line = line.replace("-0.040", &signed(-0.04));
        assert!(strict.lines().any(|found| found == line), "no {line:?} in\n{strict}");
    }
    // Nothing shows whether a drop is noise: that is what it says.
    assert!(decided(&noise_aware()).starts_with("INCONCLUSIVE"));
}

#[test]
fn readers_learn_what_is_not_comparable() {
    let before = base(Some(0.9), &[]);
    let mut now = before.clone();
    now.id = "run_2".into();
    now.spec.dataset_version = crate::hash::ContentHash::of_bytes(b"other");
    now.spec.limit = Some(10);
    now.spec.scoring.metrics[0].weight = Some(0.5);
    now.spec.category_weights = [("a".to_owned(), 1.0)].into();
    let notices = decision(&GateConfig::default(), &now, Some(&before), Some(&paired(&[]))).notices.join("\n");
    insta::assert_snapshot!(notices, @r#"
    Only the first 10 samples of the dataset were evaluated.
    The baseline ran on another version of the dataset: drops are those of the 37 samples that both have.
    The baseline was scored by other metrics: differences of scores mean nothing.
    The baseline weighed the categories differently.
    "#);
    let itself = decision(&GateConfig::default(), &before, Some(&before), None).notices;
    assert_eq!(itself[0], "The run is the baseline itself.");
}

#[test]
fn categories_do_not_vanish_unnoticed() {
    let before = base(Some(0.9), &[("a", Some(0.9)), ("b", Some(0.9))]);
    let now = run(Some(0.9), &[("a", Some(0.9))]);
    let check = |config: &GateConfig, now: &EvaluationRun, shared: u64, verdict: Verdict, noticed: bool| {
        let mut evidence = paired(&[]);
        evidence.difference.n = shared;
        let decided = decision(config, now, Some(&before), Some(&evidence));
        let notices = decided.notices.iter().filter(|notice| notice.ends_with("lacks: b.")).count();
        assert_eq!((decided.verdict, notices), (verdict, usize::from(noticed)), "{}", show(&decided));
    };
    check(&GateConfig::default(), &now, 40, Verdict::Fail, false);
    check(&noise_aware(), &now, 40, Verdict::Fail, false);
    let retired = |name: &str| GateConfig { retired_categories: vec![name.to_owned()], ..GateConfig::default() };
    check(&retired("b"), &now, 40, Verdict::Pass, true);
    check(&retired("B"), &now, 40, Verdict::Fail, false);
    // All samples are there, under other categories.
    check(&GateConfig::default(), &now, 50, Verdict::Pass, true);
    // A part of the dataset is not said to lack what is in the rest.
    let mut part = now.clone();
    part.spec.limit = Some(10);
    check(&GateConfig::default(), &part, 10, Verdict::Inconclusive, false);
    let elsewhere = EvaluationRun { dataset: "other".into(), ..now.clone() };
    check(&GateConfig::default(), &elsewhere, 0, Verdict::Inconclusive, false);
}

#[test]
fn composites_of_other_metrics_are_not_subtracted() {
    let before = base(Some(0.9), &[("a", Some(0.9))]);
    let decided = |config: &GateConfig, score: f64, metrics: Value| {
        let mut now = run(Some(0.9), &[("a", Some(score))]);
        now.spec.scoring.metrics = serde_json::from_value(metrics).unwrap();
        decision(config, &now, Some(&before), None)
    };
    let (config, judge) = (GateConfig::default(), json!({"kind": "judge", "model": "sim/j", "weight": 1.0}));
    insta::assert_snapshot!(show(&decided(&config, 0.8, json!({"chrf": {"kind": "chrf", "weight": 1.0}}))), @"");
    let accepts = GateConfig { accept_changed_scoring: true, ..config.clone() };
    for (config, score, metrics, verdict) in [
        (&config, 0.9, json!({"judge": judge}), Verdict::Pass),
        // What only watches, and what a trial must reach, are no part of the composite.
        (&config, 0.9, json!({"judge": judge, "bleu": {"kind": "bleu"}}), Verdict::Pass),
        (
            &config,
            0.9,
            json!({"judge": {"kind": "judge", "model": "sim/j", "weight": 1.0, "threshold": 0.1}}),
            Verdict::Pass,
        ),
        (&config, 0.9, json!({"judge": {"kind": "judge", "model": "sim/other", "weight": 1.0}}), Verdict::Inconclusive),
        (&accepts, 0.8, json!({"chrf": {"kind": "chrf", "weight": 1.0}}), Verdict::Pass),
        (&accepts, 0.7, json!({"chrf": {"kind": "chrf", "weight": 1.0}}), Verdict::Fail),
    ] {
        let decided = decided(config, score, metrics.clone());
        assert_eq!(decided.verdict, verdict, "{metrics}: {}", show(&decided));
    }
}

#[test]
fn numbers_that_are_none_are_inconclusive() {
    let before = base(Some(0.9), &[("a", Some(0.9))]);
    let mut now = before.clone();
    let results = now.results.as_mut().unwrap();
    results.overall.as_mut().unwrap().value = f64::NAN;
    results.categories.get_mut("a").unwrap().score.as_mut().unwrap().value = f64::NAN;
    let decided = decision(&GateConfig::default(), &now, Some(&before), None);
    assert_eq!(decided.verdict, Verdict::Inconclusive, "{}", show(&decided));
}

#[test]
fn verdicts_have_exit_codes() {
    let codes = |fail| [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive].map(|v| v.exit_code(fail));
    assert_eq!((codes(false), codes(true)), ([0, 1, 3], [0, 1, 1]));
}

proptest::proptest! {
    #[test]
    fn lowering_a_score_never_helps(
        before in 0.0..=1.0_f64, now in 0.0..=1.0_f64, by in 0.0..=1.0_f64, overall in 0.0..=1.0_f64,
        noise in proptest::bool::ANY, with_baseline in proptest::bool::ANY, errors in 0..4_u64,
    ) {
        let config = if noise { noise_aware() } else { GateConfig::default() };
        let baseline = base(Some(0.9), &[("a", Some(before))]);
        let evidence = paired(&[("a", [now - before, now - before - 0.1, now - before + 0.1], 9, None)]);
        let rank = |now: f64, overall: f64| {
            let mut current = run(Some(overall), &[("a", Some(now))]);
            current.results.as_mut().unwrap().errored_trials = errors;
            let baseline = with_baseline.then_some(&baseline);
            match decision(&config, &current, baseline, Some(&evidence)).verdict {
                Verdict::Pass => 2,
                Verdict::Inconclusive => 1,
                Verdict::Fail => 0,
            }
        };
        proptest::prop_assert!(rank(now - by, overall) <= rank(now, overall));
        proptest::prop_assert!(rank(now, overall - by) <= rank(now, overall));
    }
}
