//! Evaluate, promote, make it worse, gate: with a dataset and a simulator in another process.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::json;

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
    // What was asked anew is what is known now.
    project.expect(0, &["eval"]);
    assert_eq!(project.scores()["overall"], scores["overall"]);
    project.expect(1, &["gate"]);

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

/// Results of three samples, two trials each, one of which is answered wrong.
#[test]
fn all_results_can_be_written() {
    let lines = |expected: bool| -> String {
        let line = |i: i32| match (expected, i) {
            (false, 1) => format!("{{\"id\": \"s{i}\", \"output\": \"b,\\\"d\"}}\n"),
            (false, _) => format!("{{\"id\": \"s{i}\", \"output\": \"good\"}}\n"),
            (true, _) => format!("{{\"id\": \"s{i}\", \"input\": \"Question {i}?\", \"expected_output\": \"good\"}}\n"),
        };
        (0..3).map(line).collect()
    };
    let config = "version: 1
project: one
providers: {a: {kind: outputs, path: a.jsonl}}
targets: {support: {model: a/x}}
datasets: {d: {path: d.jsonl}}
scoring: {metrics: {exact_match: {weight: 1}, bleu: {}}}
suites: {default: {target: support, dataset: d, repeat: 2}}
";
    let project = Project::new(&[("a.jsonl", &lines(false)), ("d.jsonl", &lines(true)), ("llmops.yaml", config)]);
    project.expect(0, &["eval"]);
    let all = project.expect(0, &["run", "results", "latest"]).out;
    let read: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let brief = |line: &serde_json::Value| format!("{} {} {}", line["sample_id"], line["trial"], line["status"]);
    assert_eq!(
        read.iter().map(brief).collect::<Vec<_>>().join("\n").replace('"', ""),
        "s0 0 passed\ns0 1 passed\ns1 0 failed\ns1 1 failed\ns2 0 passed\ns2 1 passed"
    );
    assert_eq!((&read[2]["input"], &read[2]["expected_output"][0]), (&"Question 1?".into(), &"good".into()));
    assert_eq!((&read[2]["output"], &read[2]["scores"]["exact_match"]), (&"b,\"d".into(), &0.0.into()));
    project.expect(0, &["run", "results", "latest", "--status", "failed", "--output", "failed.csv"]);
    let table = project.read("failed.csv");
    assert!(
        table.starts_with("sample_id,category,trial,input,expected_output,output,status,composite,exact_match,bleu,")
    );
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("s1,,0,Question 1?,good,\"b,\"\"d\",failed,0,0,"), "{table}");
    project.expect(2, &["run", "results", "latest", "--output", "failed.txt"]);
    // Before anything is asked: there is no such folder.
    let nowhere = project.expect(2, &["eval", "--output", "none/scores.json"]);
    assert!(nowhere.err.contains("there is no folder none"), "{}", nowhere.err);
}

#[test]
fn results_are_rows_of_a_parquet_file() {
    let config = "version: 1
project: one
providers: {a: {kind: outputs, path: a.jsonl}}
targets: {support: {model: a/x}}
datasets: {d: {path: d.jsonl}}
scoring: {metrics: {exact_match: {weight: 1}, latency: {}}}
suites: {default: {target: support, dataset: d, repeat: 2}}
";
    let asked = "{\"id\": \"s0\", \"input\": \"Question ü?\", \"expected_output\": [\"good\", \"fine\"]}\n\
                 {\"id\": \"s1\", \"input\": \"Another one?\", \"expected_output\": \"good\"}\n";
    let answers = "{\"id\": \"s0\", \"output\": \"fine\"}\n{\"id\": \"s1\", \"output\": \"bad\"}\n";
    let project = Project::new(&[("a.jsonl", answers), ("d.jsonl", asked), ("llmops.yaml", config)]);
    project.expect(0, &["eval"]);
    project.expect(0, &["run", "results", "latest", "--output", "all.parquet"]);
    let reader = SerializedFileReader::new(std::fs::File::open(project.path("all.parquet")).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value()).collect();
    let cells = |row: usize| ["sample_id", "trial", "expected_output", "status", "exact_match"].map(|c| &rows[row][c]);
    assert_eq!(rows.len(), 4);
    assert_eq!(cells(1), [&json!("s0"), &json!(1), &json!(r#"["good","fine"]"#), &json!("passed"), &json!(1.0)]);
    assert_eq!(cells(2), [&json!("s1"), &json!(0), &json!("good"), &json!("failed"), &json!(0.0)]);
    assert_eq!(
        (&rows[0]["error"], &rows[0]["input"], &rows[0]["cached"]),
        (&json!(null), &json!("Question ü?"), &json!(false))
    );
    project.write("said.parquet", "not yet");
    project
        .expect(0, &["run", "results", "latest", "--status", "errored", "--format", "parquet", "-o", "said.parquet"]);
    let reader = SerializedFileReader::new(std::fs::File::open(project.path("said.parquet")).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    let refused = project.expect(2, &["run", "results", "latest", "--format", "parquet"]);
    assert!(refused.err.contains("--output FILE"), "{}", refused.err);
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
