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
