//! A judge compared with people, from the command line.

use std::fmt::Write as _;

use serde_json::Value;

use crate::project::Project;

const CONFIG: &str = "\
version: 1
project: t
providers:
  done: {kind: outputs, path: outputs.jsonl}
  sim: {kind: simulator, judges: {harsh: {bias: -0.1}}}
targets: {t: {model: done/x}}
datasets: {golden: {path: golden.jsonl}}
scoring: {metrics: {judge: {weight: 1, model: sim/harsh, rubric: [factual_accuracy]}}, pass_threshold: 0.55, max_error_rate: 0}
gate: {overall_min: 0.1, category_min: 0.1, require_judge_kappa: 0.3}
";
const WORDS: [&str; 5] = ["alpha", "bravo", "charlie", "delta", "echo"];

/// 40 samples whose answers have one to five of the five words of the reference.
fn project() -> Project {
    let (mut dataset, mut outputs, mut labels) = (String::new(), String::new(), "Sample ID,verdict,rater\n".to_owned());
    for i in 0..40 {
        let words = i % 5 + 1;
        let (answer, all) = (WORDS[..words].join(" "), WORDS.join(" "));
        writeln!(
            dataset,
            "{{\"id\": \"q{i:02}\", \"prompt\": \"What is question number {i}?\", \"reference_response\": \"{all}\"}}"
        )
        .unwrap();
        writeln!(outputs, "{{\"id\": \"q{i:02}\", \"output\": \"{answer}\"}}").unwrap();
        if i < 20 {
            for rater in ["ann", "bob"] {
                writeln!(labels, "q{i:02},{},{rater}", if words > 2 { "good" } else { "bad" }).unwrap();
            }
        }
    }
    Project::new(&[
        ("llmops.yaml", CONFIG),
        ("golden.jsonl", &dataset),
        ("outputs.jsonl", &outputs),
        ("labels.csv", &labels),
    ])
}

#[test]
fn a_gate_that_asks_for_people_waits_for_them() {
    let project = project();
    project.expect(0, &["dataset", "build", "golden"]);
    project.expect(0, &["eval"]);
    let before = project.expect(3, &["gate"]);
    assert!(before.out.contains("llmops judge calibrate --labels labels.csv"), "{}", before.out);

    let said = project.expect(0, &["judge", "calibrate", "--labels", "labels.csv", "--json"]);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&found["samples"], &found["labels"], &found["raters"]), (&20.into(), &40.into(), &2.into()));
    assert_eq!(found["agreement"]["fleiss_kappa_people"]["value"], 1.0);
    assert_eq!(found["metric"], "judge");
    let interval =
        |at: &Value| (at["lower"].as_f64().unwrap(), at["value"].as_f64().unwrap(), at["upper"].as_f64().unwrap());
    let (lower, value, upper) = interval(&found["overall"]["corrected"]);
    assert!(lower < value && value < upper, "{found:#}");
    let kappa = found["agreement"]["cohen_kappa"]["value"].as_f64().unwrap();
    assert!(kappa > 0.3, "{found:#}");

    let after = project.expect(0, &["gate"]);
    assert!(after.out.contains("Corrected for the judge's error"), "{}", after.out);
    assert_eq!(project.scores()["overall_corrected"], found["overall"]["corrected"]);
    let shown = project.expect(0, &["run", "show", "latest"]);
    assert!(shown.out.contains("20 labelled samples"), "{}", shown.out);
    let listed = project.expect(0, &["judge", "calibrations"]);
    assert!(listed.out.contains("sim/harsh"), "{}", listed.out);
    let text = project.expect(0, &["judge", "calibrate", "--labels", "labels.csv"]).out;
    for expected in ["Cohen's kappa", "Krippendorff's alpha", "judge: pass", "judge − people", "corrected"] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}

#[test]
fn labels_tell_all_their_mistakes() {
    let project = project();
    project.write("wrong.csv", "sample,label\nq00,4\n,pass\nq01,perhaps\nq02,yes\nq02,no\n");
    let said = project.expect(1, &["judge", "calibrate", "--labels", "wrong.csv"]);
    for expected in [
        "wrong.csv:2: label: 4 is not between 0 and 1; name another scale, such as --scale 1-5",
        "wrong.csv:3: sample_id: missing",
        "wrong.csv:4: label: `perhaps` is no score",
        "wrong.csv:6: `human` labels `q02` twice; the first time on line 5",
    ] {
        assert!(said.err.contains(expected), "{expected} is missing in:\n{}", said.err);
    }
    project.write("empty.csv", "sample,label\n");
    assert!(project.expect(1, &["judge", "calibrate", "--labels", "empty.csv"]).err.contains("has no labels"));
    project.expect(2, &["judge", "calibrate", "--labels", "absent.csv"]);
    project.expect(2, &["judge", "calibrate", "--labels", "wrong.csv", "--scale", "5-1"]);
}
