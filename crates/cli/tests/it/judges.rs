//! Judges from the command line: a debate with a liar and a judge that breaks its format, its transcript, the prompts.

use crate::project::{Project, SimulatorProcess};

const DATASET: &str = r#"{"id": "q1", "category": "geo", "input": "What is the capital of France?", "expected_output": "Paris is the capital of France.", "context": "Its capital is Paris."}
{"id": "q2", "category": "geo", "input": "What is the capital of Italy?", "expected_output": "Rome is the capital of Italy.", "context": "Its capital is Rome."}
"#;

const SCRIPT: &str = r#"{"input": "What is the capital of France?", "answer": "Paris is the capital."}
{"input": "What is the capital of Italy?", "answer": "I like the pizza there."}
"#;

fn project(port: u16, metrics: &str) -> Project {
    let config = format!(
        r#"version: 1
project: judged
providers:
  local: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1"}}
targets:
  bot: {{model: local/m}}
datasets:
  golden: {{path: golden.jsonl}}
scoring:
  pass_threshold: 0.5
  metrics:
{metrics}
"#
    );
    Project::new(&[("golden.jsonl", DATASET), ("llmops.yaml", &config)])
}

#[test]
fn a_debate_over_the_wire_ends_near_the_honest_judges_and_can_be_read() {
    let scripts = Project::new(&[("script.jsonl", SCRIPT)]);
    let script = scripts.path("script.jsonl").display().to_string();
    let characters = ["--judge", "honest-too:bias=0.02", "--judge", "liar:mode=liar", "--judge", "broken:mode=broken"];
    let simulator = SimulatorProcess::start(&[&["--script", &script], characters.as_slice()].concat());
    let models = "[local/honest, local/honest-too, local/liar, local/broken]";
    let metrics = format!("    debate: {{weight: 1.0, models: {models}, rubric: [factual_accuracy]}}");
    let project = project(simulator.port, &metrics);
    project.expect(0, &["eval"]);
    for sample in ["q1", "q2"] {
        let shown = project.expect(0, &["run", "show", "latest", "--sample", sample, "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
        let score = &shown["trials"][0]["outcome"]["scores"]["debate"];
        let first = score["detail"]["debate"]["rounds"][0].as_array().unwrap();
        let honest =
            first.iter().filter(|said| said["judge"] != "local/liar").map(|said| said["score"].as_f64().unwrap());
        let consensus = score["score"].as_f64().unwrap();
        assert!(honest.clone().count() == 2 && honest.into_iter().all(|h| (h - consensus).abs() <= 0.05), "{score}");
    }
    let shown = project.expect(0, &["run", "show", "latest", "--sample", "q1"]).out;
    for expected in [
        "debate: how it was judged",
        "round 1",
        "round 3",
        "local/honest-too",
        "local/liar",
        "dropped in round 1: local/broken",
        "llmops/judge-rubric@1.0.0",
    ] {
        assert!(shown.contains(expected), "{expected} is missing in:\n{shown}");
    }
    let run = project.expect(0, &["run", "show", "latest"]).out;
    assert!(run.contains("local/broken was dropped 2 times"), "{run}");
}

#[test]
fn judges_and_their_prompts_are_listed() {
    let project = project(
        1,
        "    judge: {weight: 0.5, model: local/a}\n    debate: {weight: 0.5, models: [local/a, local/b, local/c]}",
    );
    let listed = project.expect(0, &["judge", "list"]).out;
    for expected in
        ["judge", "debate", "local/a, local/b, local/c", "llmops/judge-rubric@1.0.0", "llmops/judge-debate@1.0.0"]
    {
        assert!(listed.contains(expected), "{expected} is missing in:\n{listed}");
    }
    let judges: serde_json::Value = serde_json::from_str(&project.expect(0, &["judge", "list", "--json"]).out).unwrap();
    let prompts = project.expect(0, &["prompt", "list"]).out;
    assert!(prompts.contains("llmops/judge-faithfulness"), "{prompts}");
    let shown = project.expect(0, &["prompt", "show", "llmops/judge-rubric", "--json"]).out;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["hash"], judges[0]["prompt_hash"]);
}

#[test]
fn mistakes_of_judges_are_told_with_their_line() {
    let metrics = r#"    debate: {weight: 0.5, models: [local/a, nowhere/b], rounds: 3, prompt: "x@y"}
    checklist: {weight: 0.5, model: local/a, items: ["A?", "A?", {item: "B?", weight: 0}]}"#;
    let said = project(1, metrics).expect(2, &["eval"]).err;
    for expected in [
        "`nowhere/b` names no provider of the file",
        "`x@y` names no prompt version",
        "`A?` is in the checklist twice",
        "must be above 0",
        "llmops.yaml:13",
        "llmops.yaml:12",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
}
