//! Scorers that compute, run programs and call endpoints, as they come out of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use llmops::domain::config::providers::CallLimits;
use llmops::domain::dataset::Sample;
use llmops::domain::run::{Outcome, RunStatus};
use llmops::domain::scoring::{MetricSpec, ScorerSpec, ScoringSpec};
use llmops::evaluator::RunRef;
use llmops::{LlmOps, Options, OwnScorers};
use llmops_providers::Providers;
use llmops_storage::Store;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::scripted::{Scripted, run};

/// Scores one answer to one sample by one metric.
async fn scored(options: Options, metric: &Value, sample: &Value, output: &str) -> Result<(f64, String), String> {
    let output = output.to_owned();
    let provider: Arc<Scripted> = Scripted::new(move |_| output.clone());
    let limits = CallLimits { retries: 0, ..CallLimits::default() };
    let providers = Providers::new(&BTreeMap::new(), &BTreeMap::new(), Path::new("/"))
        .unwrap()
        .with_provider("test", provider, &limits);
    let ops = LlmOps::new(Store::in_memory().await.unwrap(), providers, options);
    let sample: Sample = serde_json::from_value(sample.clone()).unwrap();
    ops.datasets().add_samples("golden", vec![sample]).await.unwrap();
    let metric: MetricSpec = serde_json::from_value(metric.clone()).unwrap();
    let scoring = ScoringSpec {
        metrics: [("m".to_owned(), MetricSpec { weight: Some(1.0), ..metric })].into(),
        pass_threshold: 0.7,
        max_error_rate: 1.0,
        max_judge_cost: None,
    };
    let created = ops.evaluator().create_run(run("small", scoring)).await.map_err(|e| e.to_string())?;
    let id = RunRef::Id(created.id.0.clone());
    let done = ops.evaluator().wait(&id, std::time::Duration::from_mins(1)).await.unwrap();
    assert_eq!(done.status, RunStatus::Completed, "{:?}", done.error);
    let results = ops.evaluator().results_of_sample(&created.id, "s").await.unwrap();
    match &results[0].outcome {
        Outcome::Scored { scores, .. } => Ok((scores["m"].score, scores["m"].reason.clone().unwrap_or_default())),
        Outcome::Errored { reason, .. } => Err(reason.clone()),
    }
}

#[track_caller]
fn near(found: &Result<(f64, String), String>, score: f64, reason: &str) {
    let (value, why) = found.as_ref().unwrap();
    assert!((value - score).abs() < 1e-6, "{value}, not {score}: {why}");
    assert_eq!(why, reason);
}

async fn check(metric: Value, expected: Value, output: &str, score: f64, reason: &str) {
    let sample = json!({"id": "s", "input": "Where is my order?", "expected_output": expected});
    near(&scored(Options::default(), &metric, &sample, output).await, score, reason);
}

#[tokio::test]
async fn comparisons_piece_by_piece() {
    check(json!({"kind": "bleu"}), json!("The dog had bit the man."), "The dog bit the man.", 0.511_508, "").await;
    check(
        json!({"kind": "chrf"}),
        json!(["nothing", "The dog had bit the man."]),
        "The dog bit the man.",
        0.676_471,
        "",
    )
    .await;
    let numeric = json!({"kind": "numeric_match", "relative": 0.01});
    check(numeric.clone(), json!("100"), "4 × 25 makes about 99.5.", 1.0, "").await;
    check(numeric.clone(), json!("about 100"), "It is 90.", 0.0, "90 found, 100 expected").await;
    check(numeric.clone(), json!("100"), "I do not know.", 0.0, "no number found, 100 expected").await;
    check(numeric.clone(), json!("kostet 4,90 €."), "Das kostet 3,90 €.", 0.0, "3.9 found, 4.9 expected").await;
    check(numeric, json!("4.90"), "Das kostet 4,90 €.", 1.0, "").await;
    let fields = json!({"kind": "json_fields", "allow_fences": true});
    let expected = json!(r#"{"name": "Ada", "born": 1815}"#);
    check(fields.clone(), expected.clone(), "```json\n{\"name\": \"Ada\", \"born\": 1816}\n```", 0.5, "wrong: /born")
        .await;
    check(fields, expected, "no JSON", 0.0, "wrong: /name, /born").await;
    let list = json!({"kind": "list_match", "item_threshold": 0.6});
    check(list.clone(), json!("apples, pears"), "- pears\n- appels\n", 1.0, "").await;
    check(list, json!("apples, pears"), "1. pears\n2. milk\n", 0.5, "missing: apples; not expected: milk").await;
    let items = json!({"kind": "list_match", "items": true, "score": "recall", "similarity": "normalised"});
    check(items, json!(["Milk", "bread"]), "milk, bread, eggs", 1.0, "not expected: eggs").await;
    let german = "Ihre Bestellung ist heute bei uns angekommen.";
    check(json!({"kind": "language", "languages": ["de"]}), json!([]), german, 1.0, "").await;
    check(json!({"kind": "language"}), json!([]), german, 0.0, "it is written in `de`").await;
    check(json!({"kind": "length", "unit": "words", "max": 3}), json!([]), "one two three four", 0.0, "4 words").await;
}

#[tokio::test]
async fn tools_and_conversations() {
    let sample = json!({"id": "s", "input": "Where is my order?",
        "metadata": {"expected_tool_calls": ["greet", {"name": "find", "arguments": {"id": 1}}]}});
    let calls = r#"{"tool_calls": [{"name": "greet"}, {"name": "find", "arguments": {"id": 2}}]}"#;
    let score = async |metric: Value, output: &str| scored(Options::default(), &metric, &sample, output).await;
    near(
        &score(json!({"kind": "tool_call"}), calls).await,
        0.5,
        r#"called greet(), find({"id":2}), expected greet(), find({"id":1})"#,
    );
    near(&score(json!({"kind": "tool_call", "arguments": "ignore"}), calls).await, 1.0, "");
    near(&score(json!({"kind": "tool_call", "calls": []}), "Hello.").await, 1.0, "");
    let openai = r#"[{"function": {"name": "find", "arguments": "{\"id\": 1}"}}]"#;
    near(
        &score(json!({"kind": "tool_call", "score": "precision"}), openai).await.map(|(s, _)| (s, String::new())),
        1.0,
        "",
    );
    let path =
        json!({"kind": "trajectory", "mode": "unordered", "arguments": "ignore", "max_calls": 1, "required": ["x"]});
    near(&score(path, calls).await, 1.0 / 3.0, "calls: 2 of at most 1; required: missing: x");
    let talk = json!({"kind": "conversation", "answered": true, "mentions": ["order"], "forbidden": ["sorry"]});
    near(&score(talk, "Sorry, your order is late.").await, 2.0 / 3.0, "forbidden: said: sorry");
    let bare = json!({"id": "s", "input": "x"});
    let missing = scored(Options::default(), &json!({"kind": "tool_call"}), &bare, calls).await;
    assert_eq!(missing, Err("m: no expected tool calls".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_compared_is_errored() {
    let error = async |metric: Value, expected: Value| {
        let sample = json!({"id": "s", "input": "12", "expected_output": expected});
        scored(Options::default(), &metric, &sample, "x").await.unwrap_err()
    };
    assert_eq!(error(json!({"kind": "bleu"}), json!([])).await, "m: no expected output");
    assert_eq!(error(json!({"kind": "numeric_match"}), json!("none")).await, "m: no number expected");
    assert_eq!(error(json!({"kind": "json_fields"}), json!("{")).await, "m: expected output is no JSON");
    assert_eq!(error(json!({"kind": "language"}), json!([])).await, "m: no language in the input");
    let wrong = error(json!({"kind": "language", "languages": ["xx"]}), json!([])).await;
    assert!(wrong.contains("unknown language `xx`"), "{wrong}");
}

fn own(metric: &Value) -> Options {
    let metric: MetricSpec = serde_json::from_value(metric.clone()).unwrap();
    Options { own_scorers: OwnScorers::of([&metric.scorer]), ..Options::default() }
}

fn shell(script: &str, persistent: bool) -> Value {
    json!({"kind": "command", "run": ["sh", "-c", script], "persistent": persistent, "timeout": "5s",
        "env": {"WORD": "kept"}})
}

async fn by(metric: &Value) -> Result<(f64, String), String> {
    let sample = json!({"id": "s", "input": "question", "expected_output": "yes", "context": ["é"]});
    scored(own(metric), metric, &sample, "yes").await
}

#[cfg(unix)]
#[tokio::test]
async fn programs_score() {
    let script = r#"read -r line; case "$line" in *'"output":"yes"'*'"reference":"yes"'*) echo '{"score": 0.75, "reason": "'$WORD'"}';; *) exit 9;; esac"#;
    near(&by(&shell(script, false)).await, 0.75, "kept");
    let looping = "while read -r line; do echo '{\"score\": true}'; done";
    near(&by(&shell(looping, true)).await, 1.0, "");
    for (script, persistent, expected) in [
        ("exit 3", false, "m: command failed"),
        ("exit 3", true, "m: command failed"),
        ("echo hello", false, "m: unreadable answer"),
        ("echo hello; read -r x; read -r y", true, "m: unreadable answer"),
        ("echo '{\"score\": 7}'", false, "m: out of range"),
        ("head -c 2000000 /dev/zero", false, "m: answer too large"),
        ("head -c 2000000 /dev/zero; read -r x; read -r y", true, "m: answer too large"),
    ] {
        assert_eq!(by(&shell(script, persistent)).await, Err(expected.to_owned()), "{script} {persistent}");
    }
    let mut late = shell("sleep 60", false);
    late["timeout"] = json!("50ms");
    assert_eq!(by(&late).await, Err("m: timeout".to_owned()));
    late["persistent"] = json!(true);
    assert_eq!(by(&late).await, Err("m: timeout".to_owned()));
}

#[tokio::test]
async fn a_program_that_is_not_configured_here_is_not_run() {
    let sample = json!({"id": "s", "input": "x"});
    let refused = scored(Options::default(), &shell("echo", false), &sample, "x").await.unwrap_err();
    assert!(refused.contains("the program `sh` is not run here"), "{refused}");
    // Other arguments are another program.
    let refused = scored(own(&shell("true", false)), &shell("false", false), &sample, "x").await;
    assert!(refused.is_err(), "{refused:?}");
}

/// Answers requests on a loopback port, one connection after the other.
async fn endpoint(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            // A request is complete when it has the body that its head announces.
            let text = loop {
                let count = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if count == 0 || body.len() >= length.parse().unwrap() {
                    break text;
                }
            };
            let (status, body) = answer(&text);
            let length = body.len();
            let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (address, serving)
}

#[tokio::test]
async fn endpoints_score() {
    let tries = AtomicU32::new(0);
    let (address, serving) = endpoint(move |request| {
        let key = if request.contains("x-key: sesame") { "sesame" } else { "none" };
        let right = request.contains(r#""output":"yes""#);
        match request.split(' ').nth(1) {
            Some("/score") if right => (200, json!({"score": 0.5, "reason": key}).to_string()),
            Some("/flaky") if tries.fetch_add(1, Ordering::SeqCst) == 0 => (503, "busy".to_owned()),
            Some("/flaky") => (200, json!({"score": 1}).to_string()),
            _ => (404, String::new()),
        }
    })
    .await;
    let at =
        |path: &str| json!({"kind": "http", "url": format!("http://{address}{path}"), "headers": {"x-key": "sesame"}});
    near(&by(&at("/score")).await, 0.5, "sesame");
    near(&by(&at("/flaky")).await, 1.0, "");
    assert_eq!(by(&at("/absent")).await, Err("m: 404".to_owned()));
    // Somebody else's address on this machine.
    let sample = json!({"id": "s", "input": "x"});
    let refused = scored(Options::default(), &at("/score"), &sample, "x").await.unwrap_err();
    assert!(refused.contains("a run cannot bring headers"), "{refused}");
    let mut bare = at("/score");
    bare["headers"] = json!({});
    let refused = scored(Options::default(), &bare, &sample, "x").await;
    assert_eq!(refused, Err("m: configuration".to_owned()));
    serving.abort();
}

#[test]
fn secrets_are_not_stored() {
    let metric: ScorerSpec = serde_json::from_value(shell("x", false)).unwrap();
    let stored = serde_json::to_string(&metric).unwrap();
    assert!(!stored.contains("kept") && !format!("{metric:?}").contains("kept"), "{stored}");
}
