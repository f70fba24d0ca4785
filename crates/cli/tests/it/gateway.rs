//! Live traffic, from the command line: deploy, call, roll back, look at the records.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::project::Project;

const CONFIG: &str = "version: 1\nproject: shop\nproviders:\n  sim: {kind: simulator, script: answers.jsonl}\n";
const ANSWERS: &str = "{\"input\": \"What does delivery cost?\", \"answer\": \"4.90, free from 60.\"}\n";

/// Posts a chat and answers with head and body.
fn chat(address: &str, body: &Value) -> (String, String) {
    post(address, "/v1/chat/completions", "", body)
}

/// Posts JSON and answers with head, in lower case, and body.
fn post(address: &str, path: &str, headers: &str, body: &Value) -> (String, String) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Starts a server and answers with its address.
fn serve(project: &Project) -> (Child, String) {
    let mut server =
        project.command(&["serve", "--dev", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the server ended");
    }
    let address = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    // Whatever it says later shall not block it.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    (server, address)
}

#[test]
fn keys_have_limits_and_users_have_variants() {
    let project =
        Project::new(&[("llmops.yaml", CONFIG), ("answers.jsonl", ANSWERS), ("bot.yaml", "experiment: size\n")]);
    let (mut server, address) = serve(&project);
    let url = format!("http://{address}");
    let llmops = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["--server", &url, "--json"]).collect();
        let said = project.run(&args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.err);
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let experiment = json!({
        "name": "size", "metrics": ["quality"],
        "variants": [{"id": "small", "is_control": true}, {"id": "large", "model_name": "sim/large"}],
    });
    let (head, made) = post(&address, "/api/v1/experiments", "", &experiment);
    assert!(head.contains(" 201 "), "{head}{made}");
    let id = serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    llmops(&["experiment", "start", &id]);
    llmops(&["deploy", "bot", "--model", "sim/small", "--settings", "bot.yaml"]);

    // Both variants answer, each user has one, and it answers with its own model.
    let mut seen = std::collections::BTreeMap::new();
    let ask = |user: &str| {
        let messages = json!([{"role": "user", "content": "What does delivery cost?"}]);
        let (head, body) = chat(&address, &json!({"model": "bot", "messages": messages, "user": user}));
        let variant = head.lines().find_map(|line| line.strip_prefix("x-llmops-variant: ")).map(str::to_owned)?;
        Some((variant, serde_json::from_str::<Value>(&body).unwrap()["model"].clone()))
    };
    while ask("u0").is_none() {}
    for user in (0..40).map(|number| format!("u{number}")) {
        let (variant, model) = ask(&user).unwrap();
        assert_eq!(Some((variant.clone(), model.clone())), ask(&user), "{user}");
        seen.insert(variant, model);
    }
    let expected = [("size/large", json!("large")), ("size/small", json!("small"))];
    assert_eq!(seen, expected.map(|(variant, model)| (variant.to_owned(), model)).into());

    let created = llmops(&["key", "create", "app", "--requests-per-day", "2", "--cost-per-month", "5"]);
    assert_eq!(created["key"]["limits"], json!({"requests_per_day": 2, "cost_per_month": 5.0}));
    let bearer = format!("authorization: Bearer {}\r\n", created["secret"].as_str().unwrap());
    let ask = || post(&address, "/v1/chat/completions", &bearer, &json!({"model": "bot", "messages": []}));
    let statuses: Vec<bool> = (0..3).map(|_| ask().0.contains(" 429 ")).collect();
    assert_eq!(statuses, [false, false, true]);
    let (head, body) = ask();
    assert!(head.contains("retry-after: ") && body.contains("2 requests in a day"), "{head}{body}");
    let limited = llmops(&["key", "limit", created["key"]["id"].as_str().unwrap(), "--tokens-per-day", "1000000"]);
    assert_eq!(limited["limits"], json!({"tokens_per_day": 1_000_000}));
    while ask().0.contains(" 429 ") {}

    while llmops(&["records", "soft-failures", "bot", "--window", "1h"])["calls"].as_u64().unwrap() < 80 {}
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_deployment_answers_and_is_rolled_back() {
    let project = Project::new(&[("llmops.yaml", CONFIG), ("answers.jsonl", ANSWERS)]);
    let (mut server, address) = serve(&project);
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

    let models = || -> Vec<String> { project.read("version.yaml").lines().take(2).map(str::to_owned).collect() };
    let file = ["--write-model-version", "version.yaml"];
    llmops(&[&["history", "bot"][..], &file].concat());
    assert_eq!(models(), ["current_model: \"sim/large\"", "baseline_model: \"sim/small\""]);
    let back = llmops(&[&["rollback", "bot", "--reason", "too slow"][..], &file].concat());
    assert_eq!(models(), ["current_model: \"sim/small\"", "baseline_model: \"sim/large\""]);
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

#[test]
fn calls_of_many_bytes_have_records_though_the_server_is_stopped_after_them() {
    let project = Project::new(&[("llmops.yaml", CONFIG), ("answers.jsonl", ANSWERS)]);
    let (mut server, address) = serve(&project);
    let url = format!("http://{address}");
    assert_eq!(project.run(&["deploy", "bot", "--model", "sim/small", "--server", &url]).code, 0);
    let ask = |user: &str, length: usize| {
        let messages = json!([{"role": "user", "content": "x".repeat(length)}]);
        chat(&address, &json!({"model": "bot", "messages": messages, "user": user})).0
    };
    while !ask("first", 1).contains(" 200 ") {}
    for user in ["large", "small"] {
        assert!(ask(user, if user == "large" { 500_000 } else { 5 }).contains(" 200 "));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    for (user, length) in [("large", 500_000), ("small", 5)] {
        let said = project.run(&["records", "query", "--user", user, "--json"]);
        let records: Value = serde_json::from_str(&said.out).unwrap();
        let request = records["items"][0]["request_body"].as_str().unwrap();
        assert!(request.contains(&"x".repeat(length)) && records["items"].as_array().unwrap().len() == 1, "{user}");
    }
}
