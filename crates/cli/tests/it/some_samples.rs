//! Some of the samples, and answers that are in a file already.

use serde_json::Value;

use crate::project::Project;

const DATASET: &str = r#"{"id": "a1", "input": "Where is my parcel?", "expected_output": "here", "category": "shipping"}
{"id": "a2", "input": "What do I owe you?", "expected_output": "5", "category": "billing"}
{"id": "b1", "input": "Where is the shop?", "expected_output": "here", "category": "shipping"}
"#;
const OUTPUTS: &str = r#"{"id": "a1", "output": "here"}
{"id": "a2", "output": "7"}
{"id": "b1", "output": "there"}
{"id": "c9", "output": "nobody asks"}
"#;
const CONFIG: &str = "version: 1
project: some
providers: {o: {kind: outputs, path: o.jsonl}, c: {kind: command, run: [cat]}, none: {kind: command, run: [no-such-program]}}
targets: {t: {model: o/x}, cat: {model: c/x}, none: {model: none/x}}
datasets: {d: {path: d.jsonl}}
suites: {default: {target: t, dataset: d}}
scoring: {metrics: {exact_match: {weight: 1}, numeric_match: {}}, max_error_rate: 1}
";

fn project() -> Project {
    Project::new(&[("d.jsonl", DATASET), ("o.jsonl", OUTPUTS), ("llmops.yaml", CONFIG)])
}

fn evaluated(project: &Project) -> Vec<String> {
    let lines = project.expect(0, &["run", "results", "latest"]).out;
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["sample_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn samples_are_chosen_by_category_pattern_and_what_failed() {
    let project = project();
    project.expect(0, &["eval"]);
    assert_eq!(evaluated(&project).len(), 3);
    let check = |args: &[&str], expected: &[&str]| {
        project.expect(0, &[&["eval"], args].concat());
        let mut found = evaluated(&project);
        found.sort_unstable();
        assert_eq!(found, expected, "{args:?}");
    };
    check(&["--failing", "latest"], &["a2", "b1"]);
    check(&["--failing", "latest", "--category", "shipping"], &["b1"]);
    check(&["--category", "shipping", "--category", "billing"], &["a1", "a2", "b1"]);
    check(&["--pattern", "^Where", "--limit", "1"], &["a1"]);
    check(&["--pattern", "b1$"], &["b1"]);
    let gate = project.run(&["gate"]);
    assert!(gate.out.contains("Only samples that match `b1$` were evaluated"), "{}", gate.out);
    let none = project.expect(2, &["eval", "--category", "tone"]);
    assert!(none.err.contains("`d` has no samples of the category tone"), "{}", none.err);
    let broken = project.expect(2, &["eval", "--pattern", "("]);
    assert!(broken.err.contains("the pattern `(` is no regular expression"), "{}", broken.err);
}

#[test]
fn what_is_wrong_with_a_file_of_answers_is_told_before_anything_is_asked() {
    let project = project();
    let said = project.expect(0, &["eval"]);
    assert!(said.out.contains("1 output of `o` has an id that no sample of `d` has"), "{}", said.out);
    assert!(said.out.contains("`numeric_match` is reported only and has no score of 2 trials"), "{}", said.out);
    assert!(said.out.contains("cost      $0 (judges $0)"), "{}", said.out);
    project.write("o.jsonl", &format!("{OUTPUTS}{{\"id\": \"a1\", \"output\": \"again\"}}\n"));
    let twice = project.expect(2, &["eval"]);
    assert!(twice.err.contains("o.jsonl:5: the id `a1` is on line 1 too"), "{}", twice.err);
    std::fs::remove_file(project.path("o.jsonl")).unwrap();
    let gone = project.expect(2, &["eval"]);
    assert!(gone.err.contains("cannot read the outputs o.jsonl"), "{}", gone.err);
    let program = project.expect(2, &["eval", "--target", "none", "--dataset", "d"]);
    assert!(program.err.contains("no such program on the PATH"), "{}", program.err);
    // Nobody knows what a program costs.
    let cat = project.expect(0, &["eval", "--target", "cat", "--dataset", "d"]);
    assert!(cat.out.contains("cost      unknown (judges $0)"), "{}", cat.out);
}

#[test]
fn a_prompt_version_knows_where_it_is_in_use_and_how_it_did() {
    let project = Project::new(&[]);
    project.expect(0, &["init", "."]);
    project.expect(0, &["prompt", "push"]);
    let shown = |project: &Project| -> Value {
        let name = "support-bot";
        serde_json::from_str(&project.expect(0, &["prompt", "show", name, "--json"]).out).unwrap()
    };
    let fresh = shown(&project);
    assert_eq!((&fresh["status"], &fresh["scores"]), (&"draft".into(), &Value::Null));
    project.expect(0, &["eval", "--limit", "2"]);
    assert_eq!(shown(&project)["scores"], Value::Null, "a part says nothing of the whole");
    project.expect(0, &["eval"]);
    project.expect(0, &["deploy", "bot", "--prompt", "support-bot", "--model", "sim/support-small", "-e", "staging"]);
    let staged = shown(&project);
    assert_eq!(staged["status"], "staging");
    let score = &staged["scores"][0];
    assert_eq!((&score["dataset"], &score["model"]), (&"golden".into(), &"sim/support-small".into()));
    assert_eq!(score["overall"]["value"], project.scores()["overall"]);
    project.expect(0, &["deploy", "bot", "--prompt", "support-bot", "--model", "sim/support-small"]);
    assert_eq!(shown(&project)["status"], "production");
    let table = project.expect(0, &["prompt", "list"]).out;
    assert!(table.find("support-bot").unwrap() < table.find("llmops/judge").unwrap(), "{table}");
    assert!(project.expect(0, &["prompt", "show", "support-bot"]).out.contains("status production"));
}

#[test]
fn commands_that_only_look_make_no_folder() {
    let project = Project::new(&[]);
    project.expect(0, &["prompt", "list"]);
    project.expect(0, &["run", "list"]);
    assert_ne!(project.run(&["gate"]).code, 0);
    assert!(!project.path(".llmops").exists());
}

#[test]
fn datasets_name_items_and_read_columns_of_maps() {
    let config = "version: 1\nproject: p\ndatasets: {j: {path: j.json}, c: {path: c.csv}}\n";
    let list = r#"[{"id": "a", "input": "What is the first?", "expected": "x"}, {"id": "a", "input": "What is the second?", "expected": "y"}]"#;
    let table = "id,input,expected,metadata.lang,variables.tone\nx,What is asked here?,this,de,kind\n";
    let project = Project::new(&[("llmops.yaml", config), ("j.json", list), ("c.csv", table)]);
    let said = project.expect(1, &["dataset", "build", "j"]);
    assert!(said.err.contains("j.json: item 2: id: `a` is the id of item 1 too"), "{}", said.err);
    project.expect(0, &["dataset", "build", "c"]);
    let sample: Value = serde_json::from_str(&project.expect(0, &["dataset", "export", "c"]).out).unwrap();
    assert_eq!((&sample["metadata"]["lang"], &sample["variables"]["tone"]), (&"de".into(), &"kind".into()));
    let one = project.expect(2, &["dataset", "diff", "c"]);
    assert!(one.err.contains("one version only"), "{}", one.err);
    project.write("c.csv", &format!("{table}y,What else is asked?,that,,\n"));
    project.expect(0, &["dataset", "build", "c"]);
    assert!(project.expect(0, &["dataset", "diff", "c"]).out.contains('y'));
}
