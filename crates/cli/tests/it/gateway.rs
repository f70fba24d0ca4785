//! Live traffic, from the command line: deploy, call, roll back, look at the records.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::project::Project;

const CONFIG: &str = "version: 1\nproject: shop\nproviders:\n  sim: {kind: simulator, script: answers.jsonl}\n";
const ANSWERS: &str = "{\"input\": \"What does delivery cost?\", \"answer\": \"4.90, free from 60.\"}\n";

/// Posts a chat and answers with head and body.
fn chat(address: &str, body: &Value) -> (String, String) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[test]
fn a_deployment_answers_and_is_rolled_back() {
    let project = Project::new(&[("llmops.yaml", CONFIG), ("answers.jsonl", ANSWERS)]);
    let mut server =
        project.command(&["serve", "--dev", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the server ended");
    }
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let url = format!("http://{address}");
    let llmops = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["--server", &url, "--json"]).collect();
        let said = project.run(&args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let first = llmops(&["deploy", "bot", "--model", "sim/small"]);
    let second = llmops(&["deploy", "bot", "--model", "sim/large", "--reason", "larger"]);
    let question = json!({
        "model": "bot",
        "messages": [{"role": "user", "content": "What does delivery cost?"}],
        "llmops": {"user": "ana"},
    });
    let wait_for = |manifest: &Value| loop {
        let (head, body) = chat(&address, &question);
        if head.contains(manifest.as_str().unwrap()) {
            return body;
        }
    };
    let answer: Value = serde_json::from_str(&wait_for(&second["deployment"]["manifest"])).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "4.90, free from 60.");
    assert_eq!(answer["model"], "large");

    let back = llmops(&["rollback", "bot", "--reason", "too slow"]);
    assert_eq!(back["deployment"]["manifest"], first["deployment"]["manifest"]);
    wait_for(&first["deployment"]["manifest"]);
    let history = llmops(&["history", "bot"]);
    let said: Vec<_> = history["items"].as_array().unwrap().iter().map(|c| (&c["action"], &c["reason"])).collect();
    assert_eq!(said[..2], [(&json!("rollback"), &json!("too slow")), (&json!("deploy"), &json!("larger"))]);

    let records = loop {
        let records = llmops(&["records", "query", "--user", "ana"]);
        if !records["items"].as_array().unwrap().is_empty() {
            break records;
        }
    };
    assert_eq!(records["items"][0]["outcome"], "ok");
    assert!(llmops(&["records", "erase", "--user", "ana"])["records"].as_u64().unwrap() > 0);
    server.kill().unwrap();
    server.wait().unwrap();
}
