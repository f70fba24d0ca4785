//! `llmops experiment`: drafts, steps, assignments.

use crate::project::Project;

const EXPERIMENT: &str = "name: greeting
description: Does a warmer greeting help?
variants:
  - {id: formal, value: 1.0}
  - {id: warm, value: 2.5}
traffic_split: {formal: 70, warm: 30}
metrics: [solved, {name: latency, guardrail: {margin: 50}}]
";

/// Whether the text has all of these.
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn a_file_becomes_an_experiment_and_has_a_life() {
    let project = Project::new(&[("greeting.yaml", EXPERIMENT)]);
    let made = project.expect(0, &["experiment", "create", "greeting.yaml"]).out;
    has(&made, &["greeting", "draft", "formal", "warm", "control", "solved", "Does a warmer greeting help?"]);
    let early = project.expect(2, &["experiment", "pause", "greeting"]).err;
    assert!(early.contains("a draft experiment cannot be paused: it can be started or cancelled"), "{early}");
    project.expect(0, &["experiment", "start", "greeting"]);
    let assigned = project.expect(0, &["experiment", "assign", "greeting", "--unit", "user-1", "--json"]).out;
    let assigned: serde_json::Value = serde_json::from_str(&assigned).unwrap();
    assert_eq!((&assigned["included"], &assigned["reason"]), (&true.into(), &"split".into()));
    project.expect(0, &["experiment", "update", "greeting", "--split", "formal=0.1,warm=0.9"]);
    let again = project.expect(0, &["experiment", "assign", "greeting", "--unit", "user-1", "--json"]).out;
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["variant"], assigned["variant"], "another split moves nobody");
    project.expect(0, &["experiment", "pause", "greeting"]);
    project.expect(0, &["experiment", "resume", "greeting"]);
    let list = project.expect(0, &["experiment", "list", "--json"]).out;
    assert!(list.contains("\"status\": \"running\""));
    let none = project.expect(2, &["experiment", "complete", "greeting", "--winner", "cold"]).err;
    assert!(none.contains("`cold` is no variant of this experiment: expected formal or warm"), "{none}");
    let done = project.expect(0, &["experiment", "complete", "greeting", "--winner", "warm", "--json"]).out;
    assert!(done.contains("\"winner\": \"warm\""));
    let unknown = project.expect(2, &["experiment", "show", "nothing"]).err;
    assert!(unknown.contains("there is no experiment `nothing`"), "{unknown}");
}

#[test]
fn what_cannot_start_leaves_no_draft() {
    let project = Project::new(&[("greeting.yaml", EXPERIMENT)]);
    project.expect(0, &["experiment", "create", "greeting.yaml", "--start"]);
    let refused = project.run(&["experiment", "create", "greeting.yaml", "--start"]);
    assert!(refused.err.contains("another experiment with the key `greeting` is running"), "{}", refused.err);
    let list = project.expect(0, &["experiment", "list", "--json"]).out;
    assert_eq!(list.matches("\"status\"").count(), 1, "{list}");
    assert!(list.contains("\"status\": \"running\""), "{list}");
}

#[test]
fn what_can_never_end_says_so_at_the_start() {
    let endless = "name: endless\nvariants: [{id: a}, {id: b, model_name: nope/xx}]\n";
    let project = Project::new(&[("endless.yaml", endless), ("greeting.yaml", EXPERIMENT)]);
    let started = project.expect(0, &["experiment", "create", "endless.yaml", "--start", "--json"]).out;
    has(
        &started,
        &["it can never name a winner: it has no metrics and no target_metric", "variant `b` cannot be called here"],
    );
    let fine = project.expect(0, &["experiment", "create", "greeting.yaml", "--start"]).out;
    assert!(!fine.contains("never"), "{fine}");
}

#[test]
fn mistakes_of_a_file_come_with_their_lines() {
    let file = "name: greeting\nvariants: [{id: a}, {id: b, wieght: 3}]\ntraffic_split: {a: 0.5, b: 0.6}\n";
    let sum = "name: greeting\nvariants: [{id: a}, {id: b}]\ntraffic_split: {a: 0.5, b: 0.6}\n";
    let project = Project::new(&[("e.yaml", file), ("sum.yaml", sum)]);
    has(&project.expect(2, &["experiment", "create", "e.yaml"]).err, &["e.yaml:2", "wieght"]);
    let sum = project.expect(2, &["experiment", "create", "sum.yaml"]).err;
    has(&sum, &["sum.yaml", "the shares sum to 1.1: expected fractions that sum to 1 or percentages that sum to 100"]);
}

#[test]
fn prompts_and_models_without_a_file() {
    let prompt = |version: &str| format!("name: bot\nversion: {version}\ncontent: \"v{version} {{{{ input }}}}\"\n");
    let project = Project::new(&[("old.yaml", &prompt("1.0.0")), ("new.yaml", &prompt("1.1.0"))]);
    let create = ["experiment", "create", "--json", "--name"];
    let two = ["bot-test", "--control", "old.yaml", "--treatment", "new.yaml", "--split", "0.3", "--start"];
    let made = project.expect(0, &[&create[..], &two].concat()).out;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!((&made["status"], &made["traffic_split"]["treatment"]), (&"running".into(), &0.3.into()));
    assert_eq!(made["variants"][1]["prompt_version"], "1.1.0");
    let models = ["models", "--model", "openai/gpt-4o", "--model", "sim/small", "--param", "temperature=0.2"];
    let made = project.expect(0, &[&create[..], &models].concat()).out;
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["variants"][1]["parameters"]["temperature"], 0.2);
}

#[test]
fn offline_assignments_are_csv() {
    let units = "\u{feff}user-1\r\nuser-2\nünï-😀\n\na,b\nuser-3";
    let project = Project::new(&[("units.txt", units)]);
    let base = ["experiment", "assign", "--seed", "button-colour", "--units", "units.txt", "--weights"];
    let run = |more: &[&str]| project.expect(0, &[&base[..], more].concat());
    // What PyPI's growthbook 4.0.0 answers.
    let expected = "unit,variant\nuser-1,1\nuser-2,1\nünï-😀,0\n,\n\"a,b\",\nuser-3,0\n";
    assert_eq!(run(&["0.5,0.3,0.2", "--coverage", "0.8"]).out, expected);
    assert_eq!(run(&["50,30,20", "--coverage", "0.8"]).out, run(&["0.5,0.3,0.2", "--coverage", "0.8"]).out);
    let near = run(&["0.333,0.333,0.333"]);
    assert!(near.err.contains("the weights sum to 0.999"), "{}", near.err);
    let wrong = |more: &[&str]| project.expect(2, &[&base[..], more].concat()).err;
    has(&wrong(&["0.5,0.6"]), &["the shares sum to 1.1"]);
    has(&wrong(&["0.5,half"]), &["`half`, which is no number"]);
    has(&wrong(&["0.5,0.5", "--coverage", "1.5"]), &["--coverage is 1.5: expected a share from 0 to 1"]);
    project.write("units.txt", "");
    assert_eq!(run(&["0.5,0.5"]).out, "unit,variant\n");
    std::fs::write(project.path("units.txt"), b"ok\n\xff\xfe\n").unwrap();
    has(&wrong(&["0.5,0.5"]), &["units.txt:2: the line is no UTF-8 text"]);
}
