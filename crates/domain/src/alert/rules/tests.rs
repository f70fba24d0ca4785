use super::*;
use crate::id::AlertId;
use jiff::Timestamp;

/// A run with a pass rate, a metric `rouge_l` and a category `tone`.
fn run(id: &str, [pass_rate, rouge_l, tone]: [f64; 3]) -> EvaluationRun {
    let estimate = |value: f64| json!({"value": value, "n": 40, "lower": value - 0.1, "upper": value + 0.1});
    let category = json!({
        "score": estimate(tone), "pass_rate": null, "weight": 1.0, "samples": 40, "failed": 0, "errored": 0,
    });
    serde_json::from_value(json!({
        "id": id, "name": "r", "dataset": "golden", "prompt_name": "bot", "prompt_version": "1.0.0",
        "model_name": "sim/m", "metrics": [], "status": "completed",
        "spec": {
            "target": "t", "manifest": {"model": "sim/m"}, "manifest_id": "a".repeat(64), "dataset": "golden",
            "dataset_version": "b".repeat(64), "repeat": 1, "cache": true,
            "scoring": {
                "metrics": {"rouge_l": {"kind": "rouge_l", "weight": 1.0}, "latency": {"kind": "latency"}},
                "pass_threshold": 0.7, "max_error_rate": 0.02,
            },
        },
        "results": {
            "total_samples": 40, "passed_samples": 0, "failed_samples": 0, "errored_samples": 0, "errored_trials": 0,
            "pass_rate": estimate(pass_rate), "metric_scores": {},
            "metric_details": {"rouge_l": estimate(rouge_l), "latency": estimate(900.0)},
            "categories": {"tone": category}, "overall": null, "failure_reasons": {}, "error_reasons": {},
            "latency": null,
            "spend": {"target_cost": 0.0, "judge_cost": 0.0, "prompt_tokens": 0, "completion_tokens": 0, "cached": 0},
        },
        "progress": {"total": 40, "done": 40, "errored": 0, "cost": 0.0},
        "start_time": null, "end_time": null, "created_at": "2026-11-03T15:40:52Z",
    }))
    .unwrap()
}

/// A watcher that remembers what is open, as the store does.
#[derive(Default)]
struct Story {
    past: Vec<EvaluationRun>,
    /// What the next run and the one before it say of the samples that both have.
    common: Option<PairedEvidence>,
    open: Vec<Alert>,
    thresholds: BTreeMap<String, f64>,
}

impl Story {
    /// Adds a run; answers with what it raised and resolved, a word each.
    fn run(&mut self, values: [f64; 3]) -> Vec<String> {
        self.drifting(values, &[])
    }

    fn drifting(&mut self, values: [f64; 3], drift: &[Drift]) -> Vec<String> {
        self.reviewed(run(&format!("run_{}", self.past.len()), values), drift)
    }

    fn reviewed(&mut self, current: EvaluationRun, drift: &[Drift]) -> Vec<String> {
        let lineage = Lineage::of(&current).unwrap();
        let found = review(&Review {
            run: &current,
            lineage: &lineage,
            history: &self.past,
            common: self.common.as_ref(),
            open: &self.open,
            drift,
            rules: &AlertsConfig::default(),
            thresholds: &self.thresholds,
            category_min: 0.72,
        });
        let word =
            |alert: &Alert| format!("{} {}", alert.metadata["rule"].as_str().unwrap(), alert.metric.as_ref().unwrap());
        let mut words = Vec::new();
        for id in &found.resolve {
            let at = self.open.iter().position(|alert| alert.id == *id).unwrap();
            words.push(format!("resolved: {}", word(&self.open.remove(at))));
        }
        for draft in found.raise {
            let id = AlertId(draft.keys.fingerprint.short().to_owned());
            let alert = match self.open.iter().position(|alert| alert.fingerprint == draft.keys.fingerprint) {
                Some(at) => self.open.remove(at).again(draft, Timestamp::UNIX_EPOCH),
                None => draft.into_alert(id, Timestamp::UNIX_EPOCH),
            };
            words.push(format!("{} {}", alert.severity, word(&alert)));
            self.open.push(alert);
        }
        self.past.insert(0, current);
        words
    }
}

#[test]
fn a_pass_rate_that_falls_is_a_regression_by_its_size() {
    let check = |from: f64, to: f64, expected: &[&str]| {
        let mut story = Story::default();
        assert_eq!(story.run([from, 0.8, 0.9]), [""; 0]);
        assert_eq!(story.run([to, 0.8, 0.9]), expected, "{from} to {to}");
    };
    check(0.95, 0.95, &[]);
    check(0.95, 1.00, &[]);
    check(0.95, 0.90, &[]);
    check(0.95, 0.89, &["warning regression pass_rate"]);
    check(0.90, 0.80, &["warning regression pass_rate"]);
    check(0.95, 0.84, &["critical regression pass_rate"]);
    check(1.00, 0.00, &["critical regression pass_rate"]);
}

#[test]
fn a_metric_or_category_that_falls_is_a_warning() {
    let check = |to: [f64; 2], expected: &[&str]| {
        let mut story = Story::default();
        story.run([0.9, 0.8, 0.9]);
        assert_eq!(story.run([0.9, to[0], to[1]]), expected, "{to:?}");
    };
    check([0.7, 0.8], &[]);
    check([0.69, 0.9], &["warning regression rouge_l"]);
    check([0.1, 0.79], &["warning regression rouge_l", "warning regression tone"]);
}

#[test]
fn being_bad_again_is_no_recovery() {
    let mut story = Story::default();
    story.run([0.95, 0.8, 0.9]);
    assert_eq!(story.run([0.50, 0.8, 0.9]), ["critical regression pass_rate"]);
    assert_eq!(story.run([0.50, 0.8, 0.9]), ["critical regression pass_rate"], "the same, a second time");
    assert_eq!(story.open[0].count, 2);
    assert_eq!(story.run([0.88, 0.8, 0.9]), ["warning regression pass_rate"], "better, not yet well");
    assert_eq!(story.run([0.91, 0.8, 0.9]), ["resolved: regression pass_rate"]);
    assert_eq!(story.run([0.50, 0.8, 0.9]), ["critical regression pass_rate"], "a new one");
    assert_eq!(story.open[0].count, 1);
}

#[test]
fn thresholds_hold_from_the_first_run_on() {
    let limits = |names: [(&str, f64); 3]| names.map(|(name, limit)| (name.to_owned(), limit)).into();
    let mut story =
        Story { thresholds: limits([("pass_rate", 0.9), ("tone", 0.5), ("latency", 1.0)]), ..Story::default() };
    assert_eq!(story.run([0.89, 0.8, 0.5]), ["warning threshold pass_rate"]);
    assert_eq!(story.run([0.90, 0.8, 0.9]), ["resolved: threshold pass_rate"]);
}

#[test]
fn the_rolling_mean_needs_its_runs() {
    let mut story = Story::default();
    assert_eq!(story.run([0.9, 0.8, 0.70]), [""; 0]);
    assert_eq!(story.run([0.9, 0.8, 0.70]), [""; 0]);
    assert_eq!(story.run([0.9, 0.8, 0.70]), ["warning rolling_mean tone"]);
    assert_eq!(story.run([0.9, 0.8, 0.75]), ["warning rolling_mean tone"], "0.717");
    assert_eq!(story.run([0.9, 0.8, 0.75]), ["resolved: rolling_mean tone"]);
}

#[test]
fn a_drift_is_an_anomaly_and_downwards_a_warning() {
    let subject = || Subject { kind: SubjectKind::Metric, name: "rouge_l".to_owned() };
    let drift = |drifted, recent: f64| Drift {
        subject: subject(),
        method: "Kolmogorov-Smirnov".to_owned(),
        reference: (0.8, 20),
        recent: (recent, 5),
        p_value: 0.001,
        adjusted_p: 0.01,
        drifted,
    };
    let mut story = Story::default();
    story.run([0.9, 0.8, 0.9]);
    assert_eq!(story.drifting([0.9, 0.8, 0.9], &[drift(true, 0.75)]), ["warning anomaly rouge_l"]);
    insta::assert_snapshot!(story.open[0].message, @"bot on golden with sim/m: the metric rouge_l is lower than it was: mean 0.750 (n 5) after 0.800 (n 20); Kolmogorov-Smirnov, p 1.00e-2 adjusted for all series");
    assert_eq!(story.drifting([0.9, 0.8, 0.9], &[drift(true, 0.85)]), ["info anomaly rouge_l"]);
    assert_eq!(story.drifting([0.9, 0.8, 0.9], &[drift(false, 0.8)]), ["resolved: anomaly rouge_l"]);
}

#[test]
fn one_topic_whichever_rule_says_so() {
    let mut story = Story { thresholds: [("pass_rate".to_owned(), 0.9)].into(), ..Story::default() };
    story.run([0.95, 0.8, 0.9]);
    let current = run("run_x", [0.5, 0.8, 0.9]);
    let found = review(&Review {
        run: &current,
        lineage: &Lineage::of(&current).unwrap(),
        history: &story.past,
        common: None,
        open: &[],
        drift: &[],
        rules: &AlertsConfig::default(),
        thresholds: &story.thresholds,
        category_min: 0.72,
    });
    let [regression, threshold] = &found.raise[..] else { panic!("{:#?}", found.raise) };
    assert_eq!(regression.keys.topic, threshold.keys.topic);
    assert_ne!(regression.keys.fingerprint, threshold.keys.fingerprint);
    assert_eq!(regression.keys.scope, Lineage::of(&current).unwrap().scope());
    insta::assert_snapshot!(regression.message, @"bot on golden with sim/m: the pass rate fell by 45.0 points, from 0.950 (n 40, 0.850 to 1.050) to 0.500 (n 40, 0.400 to 0.600)");
    assert_eq!(regression.threshold, Some(0.95 - 0.10));
}

/// What two runs say of 3 samples that both have.
fn evidence(pass_rate: f64, composite: f64) -> PairedEvidence {
    let estimate = |value: f64| json!({"value": value, "n": 3, "lower": value - 0.1, "upper": value + 0.1});
    serde_json::from_value(json!({
        "difference": estimate(composite), "method": "bootstrap", "p_value": null, "mcnemar": null,
        "minimum_detectable_effect": null, "categories": {}, "pass_rate": estimate(pass_rate),
    }))
    .unwrap()
}

#[test]
fn new_questions_are_no_regression() {
    let grown = |values| {
        let mut run = run("run_x", values);
        run.spec.dataset_version = crate::hash::ContentHash::of_bytes(b"grown");
        run
    };
    let check = |common: Option<PairedEvidence>, expected: &[&str]| {
        let mut story = Story::default();
        story.run([1.0, 0.9, 0.9]);
        story.common = common;
        assert_eq!(story.reviewed(grown([0.5, 0.5, 0.9]), &[]), expected);
        story
    };
    check(Some(evidence(0.0, 0.0)), &[]);
    // Nothing is known of what both have.
    check(None, &[]);
    let mut story = check(Some(evidence(-0.3, 0.0)), &["critical regression pass_rate"]);
    insta::assert_snapshot!(story.open[0].message, @"bot on golden with sim/m: the pass rate fell by 30.0 points on the 3 samples that both runs have; it is 0.500 (n 40, 0.400 to 0.600)");
    // From here on the samples are the same.
    assert_eq!(story.reviewed(grown([0.79, 0.5, 0.9]), &[]), ["resolved: regression pass_rate"]);
}

#[test]
fn a_part_is_no_news_of_the_whole() {
    let whole = run("run_1", [0.9, 0.8, 0.7]);
    let part = |limit| {
        let mut run = whole.clone();
        run.spec.limit = Some(limit);
        Lineage::of(&run).unwrap()
    };
    let lineages = [Lineage::of(&whole).unwrap(), part(10), part(20)];
    for (at, one) in lineages.iter().enumerate() {
        for other in &lineages[at + 1..] {
            assert_ne!(one.scope(), other.scope());
        }
    }
    assert_eq!(lineages[1].shown(), "bot on the first 10 of golden with sim/m");
    let mut chosen = whole;
    chosen.spec.only = Some(crate::run::SampleSelection::default());
    assert_eq!(Lineage::of(&chosen), None);
}

#[test]
fn series_follow_the_runs() {
    let runs = [run("run_1", [0.9, 0.8, 0.7]), run("run_2", [0.8, 0.7, 0.6])];
    let series = score_series(&runs);
    let names: Vec<_> = series.keys().map(|subject| subject.name.as_str()).collect();
    assert_eq!(names, ["pass_rate", "rouge_l", "tone"], "latency is no score");
    assert_eq!(series.into_values().next().unwrap(), [0.9, 0.8]);
}
