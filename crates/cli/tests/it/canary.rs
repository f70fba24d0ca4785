//! Canaries from the command line, over a running server with live traffic: a better candidate is promoted though the
//! server is killed in between, a harmful one is aborted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::project::{Project, SimulatorProcess};

const QUESTION: &str = "What does delivery cost?";
const RIGHT: &str = "Delivery costs 4.90 and is free for orders from 60 on.";
const WRONG: &str = "Please look at the map in our shop window.";
const POLICY: &str = "\
share: 100%
window: {min: 0s}
min_samples: 60
judge: {model: up/judge}
guardrails: {error_rate: 10%, latency_slack: 5s, score_tolerance: 10%}
";

/// A server that is killed when the test ends.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(project: &Project) -> Self {
        let mut child =
            project.command(&["serve", "--dev", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended");
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        Self { child, address }
    }

    fn llmops(&self, project: &Project, args: &[&str]) -> Value {
        let url = format!("http://{}", self.address);
        let args: Vec<&str> = args.iter().copied().chain(["--server", &url, "--json"]).collect();
        serde_json::from_str(&project.expect(0, &args).out).unwrap()
    }

    /// A call, and the milliseconds that it took.
    fn chat(&self, number: usize) -> f64 {
        let body = json!({"model": "bot", "messages": [{"role": "user", "content": QUESTION}],
            "llmops": {"user": format!("user-{number}")}})
        .to_string();
        let started = Instant::now();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ";
        write!(stream, "{head}{length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        started.elapsed().as_secs_f64() * 1000.0
    }

    /// Waits until the canary's report is as wanted.
    fn until(&self, project: &Project, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let report = self.llmops(project, &["canary", "status", "bot"]);
            if wanted(&report) {
                return report;
            }
            assert!(Instant::now() < end, "{report:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL: nothing is put in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_status(report: &Value, status: &str) -> bool {
    report["canary"]["state"]["status"] == status
}

#[test]
fn live_traffic_promotes_the_better_and_aborts_the_harmful_candidate() {
    let script = [(Some("old"), WRONG), (None, RIGHT)].map(|(model, answer)| match model {
        None => json!({"input": QUESTION, "answer": answer}).to_string(),
        Some(model) => json!({"input": QUESTION, "answer": answer, "model": model}).to_string(),
    });
    let project = Project::new(&[("answers.jsonl", &script.join("\n")), ("policy.yaml", POLICY)]);
    let answers = project.path("answers.jsonl");
    let upstream = SimulatorProcess::start(&["--script", answers.to_str().unwrap()]);
    let config = format!(
        "version: 1\nproject: shop\nproviders:\n  up: {{kind: openai, base_url: \"http://127.0.0.1:{}/v1\", api_key: x}}\n",
        upstream.port
    );
    project.write("llmops.yaml", &config);
    let server = Server::start(&project);
    server.llmops(&project, &["deploy", "bot", "--model", "up/old"]);
    let started = server.llmops(&project, &["canary", "start", "bot", "--model", "up/new", "--policy", "policy.yaml"]);
    let candidate = started["canary"]["candidate"].as_str().unwrap().to_owned();
    let until_live = Instant::now() + Duration::from_secs(20);
    let mut sent = 0;
    // Gateways hear of a canary within a second.
    while server.llmops(&project, &["canary", "status", "bot"])["evidence"]["asked"] == 0 {
        server.chat(sent);
        sent += 1;
        assert!(Instant::now() < until_live);
    }
    for number in 0..30 {
        server.chat(1000 + number);
    }
    let seen = |report: &Value| report["evidence"]["asked"].as_u64().unwrap() + report["waiting"].as_u64().unwrap();
    let before = server.until(&project, |report| seen(report) >= 30);
    drop(server);

    let server = Server::start(&project);
    let known = seen(&before);
    let after = server.until(&project, |report| report["waiting"] == 0);
    assert!(seen(&after) >= known, "{known} were kept: {after:#}");
    let times: Vec<f64> = (0..70).map(|number| server.chat(2000 + number)).collect();
    let report = server.until(&project, |report| has_status(report, "promoted"));
    let net = &report["situation"]["measures"]["net_win"];
    assert!(net["value"].as_f64().unwrap() > 0.9 && net["low"].as_f64().unwrap() > 0.0, "{net:#}");
    let mut sorted = times.clone();
    sorted.sort_by(f64::total_cmp);
    assert!(sorted[sorted.len() / 2] < 500.0, "callers wait for nobody: {times:?}");
    let history = server.llmops(&project, &["history", "bot"]);
    assert_eq!(history["items"][0]["to"].as_str().unwrap(), candidate);
    let rows = project.expect(0, &["canary", "export", "bot", "--server", &format!("http://{}", server.address)]).out;
    let first: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    for column in ["ts", "prompt_hash", "prod_model", "shadow_model", "prod_score", "shadow_score", "delta"] {
        assert!(!first[column].is_null(), "{column}: {first:#}");
    }
    let replayed = server.llmops(&project, &["canary", "replay", "bot"]);
    assert!(replayed.as_array().unwrap().iter().all(|one| one["differences"] == json!([])), "{replayed:#}");

    // The other way round: what is live now is better than what comes.
    server.llmops(&project, &["canary", "start", "bot", "--model", "up/old", "--policy", "policy.yaml"]);
    let mut number = 3000;
    let aborted = server.until(&project, |report| {
        for i in 0..10 {
            server.chat(number + i);
        }
        number += 10;
        has_status(report, "aborted")
    });
    let cause = &aborted["canary"]["state"]["cause"];
    assert!(*cause == "net_loss" || cause["guardrail"] == "score_tolerance", "{cause}");
    let alerts = server.llmops(&project, &["alert", "list"]);
    let critical = alerts["items"].as_array().unwrap().iter().find(|alert| alert["severity"] == "critical").unwrap();
    assert!(critical["message"].as_str().unwrap().contains("canary of bot in production: abort"), "{critical:#}");
    assert_eq!(server.llmops(&project, &["history", "bot"])["items"][0]["to"].as_str().unwrap(), candidate);
}

#[test]
fn mistakes_of_a_policy_come_at_once() {
    let project = Project::new(&[("policy.yaml", "share: 7\njudge: {modl: x/y}\n")]);
    let said = project.expect(2, &["canary", "start", "bot", "--model", "sim/new", "--policy", "policy.yaml"]);
    for expected in ["policy.yaml:1", "share", "policy.yaml:2", "modl"] {
        assert!(said.err.contains(expected), "{}", said.err);
    }
    let said = project.expect(0, &["canary", "list"]);
    assert!(said.out.contains("There is no canary yet"), "{}", said.out);
    let said = project.expect(2, &["canary", "status", "bot"]);
    assert!(said.err.contains("llmops canary start"), "{}", said.err);
}
