use serde_json::{Value, json};

use super::*;
use crate::compare::{CategoryEvidence, McNemarEvidence};
use crate::run::Estimate;

fn run(id: &str, overall: Option<f64>, metrics: &[(&str, f64)], categories: &[(&str, f64)]) -> EvaluationRun {
    let estimate = |value: f64| json!({"value": value, "n": 40, "lower": value, "upper": value});
    let metrics: serde_json::Map<String, Value> = metrics.iter().map(|&(n, v)| (n.to_owned(), json!(v))).collect();
    let weight = 1.0 / categories.len().max(1) as f64;
    let category = |score| json!({"score": estimate(score), "pass_rate": null, "weight": weight, "samples": 40, "failed": 0, "errored": 0});
    let categories: serde_json::Map<String, Value> =
        categories.iter().map(|&(n, v)| (n.to_owned(), category(v))).collect();
    serde_json::from_value(json!({
        "id": id, "name": "r", "dataset": "golden", "prompt_name": null, "prompt_version": null, "model_name": "sim/m",
        "metrics": [], "status": "completed",
        "spec": {
            "target": "t", "manifest": {"model": "sim/m"}, "manifest_id": "a".repeat(64), "dataset": "golden", "dataset_version": "b".repeat(64),
            "scoring": {
                "metrics": {
                    "rouge_l": {"kind": "rouge_l", "weight": 1.0}, "latency": {"kind": "latency"}, "cost": {"kind": "cost"},
                    "refused": {"kind": "refusal"},
                },
                "pass_threshold": 0.7, "max_error_rate": 0.02,
            },
            "repeat": 1, "cache": true,
        },
        "results": {
            "total_samples": 40, "passed_samples": 0, "failed_samples": 0, "errored_samples": 0, "errored_trials": 0,
            "pass_rate": estimate(overall.unwrap_or(0.0)), "metric_scores": metrics, "metric_details": {},
            "categories": categories, "overall": overall.map_or(Value::Null, estimate), "failure_reasons": {},
            "error_reasons": {}, "latency": null,
            "spend": {"target_cost": 0.0, "judge_cost": 0.0, "prompt_tokens": 0, "completion_tokens": 0, "cached": 0},
        },
        "progress": {"total": 40, "done": 40, "errored": 0, "cost": 0.0},
        "start_time": null, "end_time": null, "created_at": "2026-11-03T15:40:52Z",
    }))
    .unwrap()
}

fn evidence(categories: &[(&str, [f64; 3], u64)]) -> PairedEvidence {
    let estimate = |[value, lower, upper]: [f64; 3], n| Estimate { value, n, lower, upper };
    PairedEvidence {
        difference: Estimate::exact(0.0, 40),
        method: "bootstrap".into(),
        p_value: None,
        mcnemar: Some(McNemarEvidence { newly_failed: 14, newly_passed: 1, p_value: 0.01, method: "exact".into() }),
        minimum_detectable_effect: None,
        categories: categories
            .iter()
            .map(|&(n, ends, k)| {
                (n.to_owned(), CategoryEvidence { difference: estimate(ends, k), p_value: None, needed_n: None })
            })
            .collect(),
        metrics: BTreeMap::new(),
        pass_rate: None,
    }
}

fn flip(id: &str, before: bool, after: bool) -> SampleChange {
    SampleChange {
        sample_id: id.into(),
        category: "a".into(),
        before: None,
        after: None,
        passed_before: Some(before),
        passed_after: Some(after),
    }
}

#[test]
fn what_moved_is_named() {
    let metrics_before = [("rouge_l", 0.60), ("latency", 1000.0), ("cost", 0.0), ("refused", 0.0), ("old", 1.0)];
    let metrics_after = [("rouge_l", 0.66), ("latency", 1051.0), ("cost", 0.001), ("refused", 0.5), ("new", 1.0)];
    let before = run("run_1", Some(0.9), &metrics_before, &[("a", 0.9), ("b", 0.8), ("gone", 0.5)]);
    let after = run("run_2", Some(0.84), &metrics_after, &[("a", 0.849), ("b", 0.85), ("new", 0.5)]);
    let flips = vec![flip("s1", true, false), flip("s2", true, false), flip("s3", false, true)];
    let compared = compare(&before, &after, None, flips.clone());
    insta::assert_snapshot!(compared.summary, @"Overall went from 0.900 to 0.840 (−0.060), the pass rate from 90.0 % to 84.0 %; 5 regressions (a, cost, latency, overall, pass_rate), 1 improvement (rouge_l); 2 newly failing and 1 newly passing samples.");
    assert_eq!(compared.regressions, ["a", "cost", "latency", "overall", "pass_rate"]);
    assert_eq!(compared.improvements, ["rouge_l"]);
    let names = |of: &std::collections::BTreeMap<String, Change>| of.keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&compared.metric_changes), "cost latency overall refused rouge_l");
    assert_eq!(names(&compared.category_changes), "a b");
    assert_eq!((compared.newly_failed, compared.newly_passed), (2, 1));
    // McNemar counts all flips, of which only some are kept.
    let compared = compare(&before, &after, Some(evidence(&[])), flips);
    assert_eq!((compared.newly_failed, compared.newly_passed, compared.flips.len()), (14, 1, 3));
    insta::assert_snapshot!(compared.summary, @"Overall went from 0.900 to 0.840 (−0.060), the pass rate from 90.0 % to 84.0 %; 5 regressions (a, cost, latency, overall, pass_rate), 1 improvement (rouge_l); 14 newly failing and 1 newly passing samples.");
}

#[test]
fn small_changes_are_neither() {
    let before = run("run_1", Some(0.90), &[("rouge_l", 0.60), ("latency", 1000.0)], &[("a", 0.90)]);
    let after = run("run_2", Some(0.85), &[("rouge_l", 0.65), ("latency", 1050.0)], &[("a", 0.95)]);
    let compared = compare(&before, &after, None, Vec::new());
    assert_eq!((compared.regressions.len(), compared.improvements.len()), (0, 0));
    insta::assert_snapshot!(compared.summary, @"Overall went from 0.900 to 0.850 (−0.050), the pass rate from 90.0 % to 85.0 %; no regressions, no improvements; no sample flipped.");
    let faster = run("run_3", Some(0.85), &[("latency", 900.0)], &[]);
    assert_eq!(compare(&before, &faster, None, Vec::new()).improvements, ["latency"]);
}

#[test]
fn intervals_come_from_shared_samples() {
    let (before, after) = (
        run("run_1", Some(0.9), &[], &[("a", 0.9), ("b", 0.9)]),
        run("run_2", Some(0.8), &[], &[("a", 0.8), ("b", 0.8)]),
    );
    let shared = evidence(&[("a", [-0.1, -0.16, -0.06], 20), ("b", [-0.1, -0.18, -0.07], 10)]);
    let compared = compare(&before, &after, Some(shared), Vec::new());
    assert_eq!(
        (compared.category_changes["a"].interval, compared.category_changes["a"].n),
        (Some([-0.16, -0.06]), Some(20))
    );
    // √(0.03² + 0.04²) = 0.05 below, √(0.02² + 0.015²) = 0.025 above.
    let overall = compared.metric_changes["overall"];
    let [low, high] = overall.interval.unwrap();
    assert!((low + 0.15).abs() < 1e-12 && (high + 0.075).abs() < 1e-12, "{low} {high}");
    assert_eq!(overall.n, Some(30));
    // One pair is no interval, and a category without one leaves overall without.
    let single = evidence(&[("a", [-0.1, -0.1, -0.1], 1), ("b", [-0.1, -0.18, -0.07], 10)]);
    let compared = compare(&before, &after, Some(single), Vec::new());
    assert_eq!((compared.category_changes["a"].interval, compared.metric_changes["overall"].interval), (None, None));
}

#[test]
fn metrics_and_pass_rates_have_intervals_too() {
    let metrics = [("rouge_l", 0.6)];
    let (before, after) = (run("run_1", Some(0.9), &metrics, &[]), run("run_2", Some(0.9), &[("rouge_l", 0.5)], &[]));
    let estimate = |value, n, lower, upper| Estimate { value, n, lower, upper };
    let shared = PairedEvidence {
        metrics: [("rouge_l".to_owned(), estimate(-0.1, 40, -0.2, 0.0))].into(),
        pass_rate: Some(estimate(-0.15, 40, -0.3, -0.01)),
        ..evidence(&[])
    };
    let compared = compare(&before, &after, Some(shared), Vec::new());
    let of = |change: Change| (change.change, change.n, change.interval);
    assert_eq!(of(compared.metric_changes["rouge_l"]), (-0.1, Some(40), Some([-0.2, 0.0])));
    assert_eq!(of(compared.pass_rate.unwrap()), (-0.15, Some(40), Some([-0.3, -0.01])));
    assert_eq!(compared.pass_rate_change, -0.15);
}

/// What a sample lost stays lost when another sample errors and the mean rises.
#[test]
fn changes_are_those_of_shared_samples() {
    let (before, after) = (
        run("run_1", Some(0.85), &[], &[("a", 0.8), ("b", 0.9)]),
        run("run_2", Some(0.862), &[], &[("a", 0.824), ("b", 0.9)]),
    );
    let shared = evidence(&[("a", [-0.176, -0.176, -0.176], 4), ("b", [0.0, -0.01, 0.01], 40)]);
    let compared = compare(&before, &after, Some(shared), Vec::new());
    assert_eq!(compared.category_changes["a"].change, -0.176);
    assert_eq!(compared.metric_changes["overall"].change, -0.088);
    assert_eq!(compared.regressions, ["a", "overall"]);
    insta::assert_snapshot!(compared.summary, @"Overall went from 0.850 to 0.862 (−0.088 on the 44 samples that both have), the pass rate from 85.0 % to 86.2 %; 2 regressions (a, overall), no improvements; 14 newly failing and 1 newly passing samples.");
}

#[test]
fn runs_without_results_compare_to_nothing() {
    let before = run("run_1", Some(0.9), &[("rouge_l", 0.5)], &[("a", 0.9)]);
    let mut after = before.clone();
    after.results = None;
    let compared = compare(&before, &after, None, Vec::new());
    assert!(compared.metric_changes.is_empty() && compared.category_changes.is_empty());
    insta::assert_snapshot!(compared.summary, @"One of the runs has no results.");
    let blank = run("run_2", None, &[("rouge_l", f64::MAX)], &[]);
    assert!(!compare(&before, &blank, None, Vec::new()).metric_changes.contains_key("overall"));
}

proptest::proptest! {
    #[test]
    fn comparing_backwards_swaps_regressions_and_improvements(a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
        let (x, y) = (run("run_1", Some(a), &[("rouge_l", b)], &[("c", a)]), run("run_2", Some(b), &[("rouge_l", a)], &[("c", b)]));
        let (there, back) = (compare(&x, &y, None, Vec::new()), compare(&y, &x, None, Vec::new()));
        proptest::prop_assert_eq!(there.regressions, back.improvements);
        proptest::prop_assert_eq!(there.improvements, back.regressions);
        proptest::prop_assert!(compare(&x, &x, None, Vec::new()).regressions.is_empty());
    }
}
