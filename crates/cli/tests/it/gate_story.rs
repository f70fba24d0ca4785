//! Evaluate, promote, make it worse, gate: with a dataset and a simulator in another process.

use crate::project::{PROMPT, Project, SimulatorProcess, config, samples};

fn project(dataset: &str, port: u16) -> Project {
    Project::new(&[("golden.jsonl", dataset), ("prompts/bot.yaml", PROMPT), ("llmops.yaml", &config(port))])
}

#[test]
fn passes_against_itself_fails_after_a_regression_and_cannot_decide_without_a_provider() {
    let (dataset, script) = samples(60);
    let scripts = Project::new(&[("script.jsonl", &script)]);
    let path = scripts.path("script.jsonl").display().to_string();
    let good = SimulatorProcess::start(&["--script", &path]);
    let port = good.port;
    let project = project(&dataset, port);

    project.expect(0, &["dataset", "build", "golden"]);
    project.expect(0, &["eval"]);
    assert_eq!(project.scores()["overall"], 1.0);
    let first = project.expect(0, &["gate"]);
    assert!(first.out.to_lowercase().contains("no baseline"), "{}", first.out);
    project.expect(0, &["baseline", "promote", "latest"]);
    let same = project.expect(0, &["gate"]);
    assert!(same.out.contains("PASS"), "{}", same.out);
    assert_eq!(project.scores()["verdict"], "pass");

    drop(good);
    let bad = SimulatorProcess::start_on(port, &["--script", &path, "--quality", "0.6"]);
    project.expect(0, &["eval", "--no-cache"]);
    let worse = project.expect(1, &["gate", "--report", "card.md", "--report", "junit.xml", "--report", "report.html"]);
    assert!(worse.out.contains("FAIL") && worse.out.contains("billing"), "{}", worse.out);
    assert!(worse.out.contains("q000"), "names samples: {}", worse.out);
    let scores = project.scores();
    assert_eq!(scores["verdict"], "fail");
    assert!(scores["checks"].as_array().unwrap().iter().any(|c| c["name"] == "max_drop/billing"));
    assert!(project.read("card.md").contains("max_drop") || project.read("card.md").contains("billing"));
    assert!(project.read("junit.xml").starts_with("<?xml"));
    assert!(project.read("report.html").contains("<svg"));

    drop(bad);
    let down = project.expect(3, &["eval", "--no-cache"]);
    assert!(down.err.contains(&format!("127.0.0.1:{port}")), "names the address: {}", down.err);
    // The scores of the run before are none of this one.
    assert!(!project.path("scores.json").exists());
    project.write("scores.json", "{\"verdict\": \"pass\"}");
    project.expect(3, &["gate"]);
    assert!(!project.path("scores.json").exists());
}

/// A device cannot be put into the place of a file: it is written to as it is, and what a link points to is replaced.
#[cfg(unix)]
#[test]
fn scores_go_where_links_and_devices_point() {
    let project = Project::new(&[]);
    project.expect(0, &["init", "."]);
    project.write("real.json", "");
    std::os::unix::fs::symlink("real.json", project.path("link.json")).unwrap();
    std::os::unix::fs::symlink("/dev/null", project.path("nothing.json")).unwrap();
    project.expect(0, &["eval", "--output", "link.json"]);
    project.expect(0, &["gate", "--output", "nothing.json"]);
    assert!(project.path("link.json").is_symlink() && project.path("nothing.json").is_symlink());
    assert!(project.read("real.json").contains("overall"));
}

/// Two suites on one dataset, and a dataset without categories.
#[test]
fn a_suite_is_gated_by_its_own_run() {
    let lines = |answer: &str| -> String {
        (0..4).map(|i| format!("{{\"id\": \"s{i}\", \"output\": \"{answer}\"}}\n")).collect()
    };
    let dataset: String = (0..4)
        .map(|i| format!("{{\"id\": \"s{i}\", \"input\": \"Question {i}?\", \"expected_output\": \"good\"}}\n"))
        .collect();
    let config = "version: 1
project: two
providers: {a: {kind: outputs, path: a.jsonl}, b: {kind: outputs, path: b.jsonl}}
targets: {support: {model: a/x}, sales: {model: b/x}}
datasets: {d: {path: d.jsonl}}
scoring: {metrics: {exact_match: {weight: 1}}}
suites: {default: {target: support, dataset: d}, sales: {target: sales, dataset: d}, none: {target: sales, dataset: d}}
";
    let project = Project::new(&[
        ("a.jsonl", &lines("bad")),
        ("b.jsonl", &lines("good")),
        ("d.jsonl", &dataset),
        ("llmops.yaml", config),
    ]);
    project.expect(0, &["eval"]);
    project.expect(0, &["eval", "sales"]);
    project.expect(0, &["gate", "--suite", "sales"]);
    let newest = project.expect(0, &["gate"]);
    assert!(newest.err.contains("the newest run is of the suite `sales`"), "{}", newest.err);
    project.expect(1, &["gate", "--suite", "default", "--report", "junit.xml"]);
    assert_eq!(project.scores()["overall"], 0.0);
    assert_eq!(project.read("junit.xml").matches("classname=\"samples.").count(), 4, "{}", project.read("junit.xml"));
    let missing = project.expect(2, &["gate", "--suite", "none"]);
    assert!(missing.err.contains("there is no run of the suite `none`"), "{}", missing.err);
}

#[test]
fn a_dataset_with_mistakes_tells_all_of_them_and_writes_nothing() {
    let lines = [
        r#"{"id": "a", "category": "x", "prompt": "too short", "reference_response": "fine"}"#,
        r#"{"id": "a", "category": "x", "prompt": "a prompt that is long enough", "reference_response": "fine"}"#,
        r#"{"id": "c", "category": "x", "prompt": "another prompt that is long enough", "reference_response": "  "}"#,
        "not json",
    ];
    let project = project(&lines.join("\n"), 1);
    let said = project.expect(1, &["dataset", "build", "golden"]);
    for expected in ["golden.jsonl:1", "golden.jsonl:2", "golden.jsonl:3", "golden.jsonl:4"] {
        assert!(said.err.contains(expected), "{expected} is missing in:\n{}", said.err);
    }
    let listed = project.expect(0, &["dataset", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0, "nothing was written");
}

#[test]
fn the_project_of_init_works_as_it_is() {
    let project = Project::new(&[]);
    project.expect(0, &["init"]);
    project.expect(0, &["eval"]);
    project.expect(0, &["baseline", "promote", "latest"]);
    project.expect(0, &["gate"]);
    project.expect(2, &["init"]);
}
