//! MLflow: baselines from a folder in its format, and servers that are away, in trouble or other than they should be.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::project::{PROMPT, Project, SimulatorProcess, config, samples};

/// A project with its simulator, which gives the right answers.
fn project(rename: &[(&str, &str)]) -> (Project, Project, SimulatorProcess) {
    let (mut dataset, script) = samples(20);
    for (from, to) in rename {
        dataset = dataset.replace(&format!("\"category\":\"{from}\""), &format!("\"category\":\"{to}\""));
    }
    let scripts = Project::new(&[("script.jsonl", &script)]);
    let simulator = SimulatorProcess::start(&["--script", &scripts.path("script.jsonl").display().to_string()]);
    let files = [("golden.jsonl", &*dataset), ("prompts/bot.yaml", PROMPT), ("llmops.yaml", &config(simulator.port))];
    (Project::new(&files), scripts, simulator)
}

/// Folders in the project's `mlruns`.
fn experiments(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(project.path("mlruns")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_was_promoted_is_the_baseline_and_keeps_its_categories() {
    let (project, scripts, simulator) = project(&[("billing", "退货"), ("shipping", "tone & style")]);
    project.expect(0, &["eval", "--mlflow", "./mlruns"]);
    let [experiment] = &experiments(&project)[..] else { panic!("one experiment") };

    // Another tool's run is newer, and tagged.
    let foreign = format!("mlruns/{experiment}/{}", "f".repeat(32));
    project.write(&format!("{foreign}/tags/env"), "production");
    project.write(&format!("{foreign}/metrics/overall_score"), "1 0.5 0\n");
    project.write(&format!("{foreign}/meta.yaml"), "lifecycle_stage: active\nstart_time: 9999999999999\n");
    let said = project.expect(0, &["gate", "--mlflow", "./mlruns"]);
    assert!(said.out.contains(&"f".repeat(32)), "{}", said.out);
    let said = project.expect(0, &["baseline", "promote", "latest", "--mlflow", "./mlruns"]);
    assert!(said.err.contains("took env=production"), "{}", said.err);
    let said = project.expect(0, &["gate", "--mlflow", "./mlruns"]);
    assert!(said.out.contains("which is run_"), "{}", said.out);

    // A gate only looks.
    let said = project.expect(0, &["gate", "--mlflow", "./mlruns", "--mlflow-experiment", "other"]);
    assert!(said.out.contains("`other`"), "{}", said.out);
    assert_eq!(experiments(&project).len(), 1);

    // The store is gone, and the answers are worse: the scores in MLflow are the baseline, by the categories' own names.
    std::fs::remove_dir_all(project.path(".llmops")).unwrap();
    let (port, path) = (simulator.port, scripts.path("script.jsonl").display().to_string());
    drop(simulator);
    let _bad = SimulatorProcess::start_on(port, &["--script", &path, "--quality", "0.6"]);
    project.expect(0, &["eval", "--no-cache"]);
    project.expect(1, &["gate", "--mlflow", "./mlruns"]);
    let scores = project.scores();
    let baseline = |name: &str| {
        let check = scores["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        check.map(|check| check["baseline"].clone())
    };
    for name in ["max_drop/退货", "max_drop/tone & style"] {
        assert_eq!(baseline(name), Some(1.0.into()), "{scores:#}");
    }
}

/// The address of a server that says the same to everybody.
fn server(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut read = [0; 4096];
            let _ = stream.read(&mut read);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn no_answer_of_mlflow_takes_the_scores_away() {
    let (project, _scripts, _simulator) = project(&[]);
    let check = |status: &str, body: &str, code: i32, expected: &str| {
        let _ = std::fs::remove_file(project.path("scores.json"));
        let said = project.expect(code, &["eval", "--mlflow", &server(status, body)]);
        assert!(said.err.contains(expected), "{status}: {}", said.err);
        assert_eq!(project.scores()["overall"], 1.0, "{status}");
    };
    check("503 Service Unavailable", "<html>", 0, "mlruns instead");
    check("500 Internal Server Error", "{}", 0, "mlruns instead");
    check("200 OK", "<html>sign in</html>", 0, "mlruns instead");
    check("403 Forbidden", "{\"message\": \"not yours\"}", 2, "not yours");
    let deleted = r#"{"experiment": {"experiment_id": "7", "lifecycle_stage": "deleted"}}"#;
    check("200 OK", deleted, 2, "mlflow experiments restore");
    let said = project.expect(0, &["gate", "--mlflow", &server("200 OK", deleted)]);
    assert!(said.out.contains("No baseline came from MLflow"), "{}", said.out);
}

#[test]
fn passwords_in_addresses_are_not_told() {
    let (project, _scripts, _simulator) = project(&[]);
    let address = "http://ana:s3cretPW@127.0.0.1:1";
    let check = |args: &[&str], expected: &str| {
        let mut command = project.command(args);
        command.env("MLFLOW_TRACKING_URI", address);
        if args.contains(&"--help") {
            command.env("LLMOPS_SERVER", address);
        }
        let said = command.output().unwrap();
        let said = [said.stdout, said.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
        // Tables and help texts are wrapped.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expected) && !said.contains("s3cret"), "{args:?}: {said}");
    };
    check(&["eval"], "MLflow cannot be reached at http://127.0.0.1:1");
    check(&["gate", "--report", "g.md", "--report", "g.html", "--report", "g.xml"], "MLflow cannot be reached");
    for report in ["g.md", "g.html", "g.xml", "scores.json"] {
        assert!(!project.read(report).contains("s3cret"), "{report}");
    }
    check(&["gate", "--mlflow", "postgresql://ana:s3cretPW@h/m"], "`postgresql://h/m` is no place");
    check(&["--help"], "[env: LLMOPS_SERVER]");
    check(&["run", "list", "--server", address], "cannot reach the llmops server at http://127.0.0.1:1");
    check(&["run", "list", "--server", "ana:s3cretPW@127.0.0.1:1"], "`127.0.0.1:1` is no address");
    check(&["doctor", "--server", address], "127.0.0.1:1");
}
