//! A run that is killed with SIGKILL and resumed ends with the same results, and asks for nothing twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::project::{PROMPT, Project, SimulatorProcess, config, samples};

const SAMPLES: usize = 5_000;
const CONCURRENCY: usize = 16;

fn project(dataset: &str, port: u16) -> Project {
    Project::new(&[("golden.jsonl", dataset), ("prompts/bot.yaml", PROMPT), ("llmops.yaml", &config(port))])
}

/// Requests the simulator has logged, by question.
fn asked(log: &str) -> HashMap<String, usize> {
    let mut asked = HashMap::new();
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        *asked.entry(entry["input"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    asked
}

#[test]
fn kill_and_resume() {
    let (dataset, script) = samples(SAMPLES);
    let files = Project::new(&[("script.jsonl", &script)]);
    let (script, log) = (files.path("script.jsonl"), files.path("requests.jsonl"));
    let (script, log_path) = (script.display().to_string(), log.display().to_string());
    // Some answers are bad, so that there is something to get wrong.
    let args = ["--script", &script, "--quality", "0.8", "--latency", "2ms", "--request-log", &log_path];
    let simulator = SimulatorProcess::start(&args);

    let killed = project(&dataset, simulator.port);
    let mut child = killed.command(&["--quiet", "eval"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while asked(&std::fs::read_to_string(&log).unwrap_or_default()).len() < SAMPLES / 3 {
        assert!(Instant::now() < deadline, "the run does not get going");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let listed = killed.expect(0, &["run", "list"]);
    assert!(listed.out.contains("interrupted") && listed.err.contains("llmops eval --resume=run_"), "{}", listed.out);
    assert!(killed.expect(0, &["run", "show", "latest"]).out.contains("interrupted: nobody works on it"));
    // It is not finished: nothing is written wrong, and nothing can be decided.
    killed.expect(3, &["gate"]);
    killed.expect(3, &["baseline", "promote", "latest"]);
    killed.expect(0, &["--quiet", "eval", "--resume"]);

    let twice: usize = asked(&std::fs::read_to_string(&log).unwrap()).values().map(|times| times - 1).sum();
    assert!(twice <= 2 * CONCURRENCY, "{twice} samples were asked twice; at most those on their way may be");

    let whole = project(&dataset, simulator.port);
    whole.expect(0, &["--quiet", "eval"]);
    let (mut resumed, mut whole) = (killed.scores(), whole.scores());
    for scores in [&mut resumed, &mut whole] {
        let scores = scores.as_object_mut().unwrap();
        scores.remove("run");
        scores.remove("run_timestamp");
    }
    assert_eq!(resumed, whole);
    assert_eq!(resumed["total_examples"], SAMPLES);
}

#[test]
fn what_asks_to_end_stops_a_run_in_order() {
    let (dataset, script) = samples(400);
    let files = Project::new(&[("script.jsonl", &script)]);
    let script = files.path("script.jsonl").display().to_string();
    let log = files.path("requests.jsonl");
    let simulator = SimulatorProcess::start(&[
        "--script",
        &script,
        "--latency",
        "200ms",
        "--request-log",
        &log.display().to_string(),
    ]);
    let stopped = project(&dataset, simulator.port);
    for signal in ["-TERM", "-HUP"] {
        let child = stopped.command(&["eval", "--no-cache"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let before = asked(&std::fs::read_to_string(&log).unwrap_or_default()).values().sum::<usize>();
        let deadline = Instant::now() + Duration::from_mins(1);
        while asked(&std::fs::read_to_string(&log).unwrap_or_default()).values().sum::<usize>() < before + 20 {
            assert!(Instant::now() < deadline, "the run does not get going");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains("llmops eval --resume goes on"), "{said}");
        let runs = stopped.expect(0, &["--json", "run", "list", "--limit", "1"]).out;
        let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
        assert_eq!(runs["items"][0]["status"], "cancelled");
    }
}

/// ROUGE sees no word of Arabic: all of it errors, and another metric mends that.
#[test]
fn a_resumed_run_is_as_it_began() {
    let config = "version: 1
project: arabic
providers: {a: {kind: outputs, path: a.jsonl}}
targets: {t: {model: a/x}}
datasets: {d: {path: d.jsonl}}
scoring: {metrics: {rouge_l: {weight: 1}}}
";
    let project = Project::new(&[
        ("a.jsonl", "{\"id\": \"s\", \"output\": \"مرحبا بكم\"}\n"),
        ("d.jsonl", "{\"id\": \"s\", \"input\": \"كيف الحال اليوم؟\", \"expected_output\": \"مرحبا بكم\"}\n"),
        ("llmops.yaml", config),
    ]);
    let none = project.expect(2, &["eval", "--resume"]);
    assert!(none.err.contains("there is no run yet"), "{}", none.err);
    project.expect(3, &["eval"]);
    for option in
        [&["--limit", "2"][..], &["--repeat", "5"], &["--dataset", "x"], &["--no-cache"], &["--tag", "a=b"], &["s"]]
    {
        let args: Vec<&str> = ["eval", "--resume"].into_iter().chain(option.iter().copied()).collect();
        let said = project.expect(2, &args);
        assert!(said.err.contains("cannot be used with"), "{}", said.err);
    }
    // Nothing was changed: it goes on, and ends the same.
    project.expect(3, &["eval", "--resume"]);
    project.write("llmops.yaml", &config.replace("rouge_l", "chrf"));
    let refused = project.expect(2, &["eval", "--resume"]);
    assert!(
        refused.err.contains("the metric `chrf` is new") && refused.err.contains("begins a new run"),
        "{}",
        refused.err
    );
    let id = refused.err.split("--resume=").nth(1).unwrap().split('`').next().unwrap();
    let named = project.expect(3, &["eval", &format!("--resume={id}")]);
    assert!(named.err.contains("note: the metric `chrf` is new"), "{}", named.err);
    project.expect(0, &["eval"]);
    assert_eq!(project.scores()["overall"], 1.0);
}

/// The file of the store cannot grow any more, as on a full disk.
#[test]
#[ignore = "the store is waited for as long as a minute"]
fn a_run_that_cannot_be_finished_ends() {
    let (dataset, script) = samples(20_000);
    let config = config(1).replace(
        "kind: openai, base_url: \"http://127.0.0.1:1/v1\", api_key: none, max_concurrency: 16, retries: 1",
        "kind: simulator, script: script.jsonl",
    );
    let project = Project::new(&[
        ("golden.jsonl", &dataset),
        ("script.jsonl", &script),
        ("prompts/bot.yaml", PROMPT),
        ("llmops.yaml", &config),
    ]);
    project.expect(0, &["dataset", "build"]);
    // What waits in SQLite's log is no part of the file yet.
    let written = ["llmops.db", "llmops.db-wal"]
        .map(|name| std::fs::metadata(project.path(".llmops").join(name)).map_or(0, |file| file.len()));
    let kilobytes = written.iter().sum::<u64>() / 1024 + 1024;
    let eval = project.command(&["eval"]);
    let limited = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" eval");
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &limited]).arg(eval.get_program()).current_dir(eval.get_current_dir().unwrap());
    let said = command.stdin(std::process::Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(3), "{err}");
    assert!(err.contains("did not complete") && err.contains("llmops eval --resume"), "{err}");
    assert!(!err.contains('\u{1b}') && err.lines().count() < 20, "one line of the log says it: {err}");
    project.expect(0, &["eval", "--resume"]);
}
