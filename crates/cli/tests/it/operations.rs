//! Keeping a server running: its log, its configuration, its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::project::{Project, SimulatorProcess, config, samples};

/// A server in another process, whose log is read all the time.
struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
    address: String,
}

impl Server {
    fn start(project: &Project, args: &[&str]) -> Self {
        let args = [&["serve", "--dev", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = project.command(&args).stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let kept = log.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 0 {
                kept.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut server = Self { child, log, address: String::new() };
        let said = server.wait_for("serves http://");
        said.split("serves http://").nth(1).unwrap().split(' ').next().unwrap().clone_into(&mut server.address);
        server
    }

    fn said(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log, as soon as a text is in it.
    fn wait_for(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let said = self.said();
            if said.contains(text) {
                return said;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "no `{text}` in: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// Sends a request and answers with its status, head and body.
    fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<(u16, String, String)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(head(method, path, headers, body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, head.to_lowercase(), body.to_owned()))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the process has ended by itself.
    fn ended(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn head(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_log_has_a_line_for_each_request_and_no_secret() {
    let project = Project::new(&[]);
    let server = Server::start(&project, &["--log-format", "json"]);
    let key = "llmops_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk";
    let made = server.call("POST", "/api/v1/keys", "", r#"{"name": "ci", "role": "viewer"}"#).unwrap().2;
    let made: Value = serde_json::from_str(&made).unwrap();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    let with = |secret: &str, name: &str| format!("authorization: Bearer {secret}\r\nx-request-id: {name}\r\n");
    assert_eq!(server.call("GET", "/api/v1/prompts/nothing?token=hush", &with(secret, "mine-1"), "").unwrap().0, 404);
    assert_eq!(server.call("GET", "/api/v1/prompts", &with(key, "mine-2"), "").unwrap().0, 401);
    let (_, head, _) = server.call("GET", "/healthz", "x-request-id: mine-3\r\n", "").unwrap();
    assert!(head.contains("x-request-id: mine-3"), "{head}");
    server.call("GET", "/nothing/at/all", "x-request-id: mine-4\r\n", "").unwrap();
    let said = server.wait_for("mine-4");
    let lines: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let line = |name: &str| lines.iter().find(|line| line["span"]["id"] == name).cloned();
    let found = line("mine-1").unwrap();
    assert_eq!(
        (
            &found["target"],
            &found["status"],
            &found["key"],
            &found["project"],
            &found["span"]["route"],
            &found["span"]["method"]
        ),
        (
            &json!("llmops::access"),
            &json!(404),
            &json!(id),
            &json!("default"),
            &json!("/api/v1/prompts/{name}"),
            &json!("GET")
        )
    );
    assert!(found["ms"].as_f64().unwrap() > 0.0 && found["timestamp"].is_string(), "{found}");
    assert_eq!((&line("mine-2").unwrap()["status"], &line("mine-2").unwrap()["key"]), (&json!(401), &json!(null)));
    assert_eq!(line("mine-4").unwrap()["span"]["route"], "none");
    assert!(line("mine-3").is_none(), "probes are not told by default");
    for hidden in [secret, key, "hush", "/nothing/at/all"] {
        assert!(!said.contains(hidden), "{hidden} is in the log: {said}");
    }
}

#[test]
fn the_configuration_is_read_again() {
    let yaml =
        |rest: &str| format!("version: 1\nproject: p\nproviders:\n  sim: {{kind: simulator, script: a.jsonl}}\n{rest}");
    let answer = |text: &str| format!("{{\"input\": \"Hello there?\", \"answer\": \"{text}\"}}\n");
    let project = Project::new(&[("llmops.yaml", &yaml("")), ("a.jsonl", &answer("one")), ("b.jsonl", &answer("two"))]);
    let mut server = Server::start(&project, &[]);
    let ask = || {
        let question = json!({"model": "sim/m", "messages": [{"role": "user", "content": "Hello there?"}]});
        let said = server.call("POST", "/v1/chat/completions", "", &question.to_string()).unwrap().2;
        serde_json::from_str::<Value>(&said).unwrap()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let reload = || {
        let (status, _, body) = server.call("POST", "/api/v1/config/reload", "", "").unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert_eq!(ask(), "one");
    assert_eq!(reload(), (200, json!({"applied": [], "needs_restart": []})));

    project.write("llmops.yaml", "version: 1\nprojct: p\ngate: {overall_min: 7}\n");
    let (status, body) = reload();
    let problems = body["error"]["problems"].to_string();
    assert_eq!(status, 422, "{body}");
    assert!(problems.contains("projct") && problems.contains("overall_min"), "all mistakes at once: {problems}");
    assert_eq!(ask(), "one", "the old one stays");
    server.signal("HUP");
    server.wait_for("the configuration is wrong, and the old one stays");

    project
        .write("llmops.yaml", &yaml("server: {https: true}\ngate: {overall_min: 0.9}\n").replace("a.jsonl", "b.jsonl"));
    assert_eq!(reload(), (200, json!({"applied": ["gate", "providers"], "needs_restart": ["server"]})));
    let begun = Instant::now();
    while ask() != "two" {
        assert!(begun.elapsed() < Duration::from_secs(10), "the gateway still asks the old provider");
    }
    let audit = project.expect(0, &["audit", "list", "--action", "config", "--json"]).out;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "what changed nothing is no change: {audit}");
    assert_eq!(audit["items"][0]["action"], "config.reloaded");

    project.write("llmops.yaml", &yaml("server: {https: true}\n"));
    server.signal("HUP");
    server.wait_for("the configuration was read again");
    while ask() != "one" {
        assert!(begun.elapsed() < Duration::from_secs(20), "the signal changed nothing");
    }
    project.expect(0, &["deploy", "bot", "--model", "sim/m"]);
    project.write("llmops.yaml", &yaml("").replace("sim:", "simulated:"));
    let (status, body) = reload();
    assert_eq!(
        (status, &body["error"]["problems"][0]["message"]),
        (422, &json!("bot in production is answered by sim/m"))
    );
    server.signal("TERM");
    assert_eq!(server.ended(), 0);
}

/// A client that writes until it is refused, and counts what was acknowledged.
fn write_on(address: &str, experiment: &str, writer: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let unit = format!("w{writer}-{i}");
        let body = json!({"unit": unit, "variant": "control", "metric": "solved", "value": 1.0}).to_string();
        let sent = TcpStream::connect(address).and_then(|mut stream| {
            let path = format!("/api/v1/experiments/{experiment}/observations");
            stream.write_all(head("POST", &path, "", &body).as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match sent {
            Ok(answer) if answer.starts_with("HTTP/1.1 2") => acknowledged.push(unit),
            _ => return acknowledged,
        }
    }
    acknowledged
}

const EXPERIMENT: &str = "name: greeting\nvariants:\n  - {id: control, value: a}\n  - {id: warm, value: b}\n\
                          metrics: [solved]\ntarget_metric: solved\n";

#[test]
fn told_to_stop_under_load_it_loses_nothing_and_streams_end_properly() {
    let simulator = SimulatorProcess::start(&["--latency", "600ms"]);
    let project = Project::new(&[("llmops.yaml", &config(simulator.port)), ("e.yaml", EXPERIMENT)]);
    project.write("prompts/bot.yaml", crate::project::PROMPT);
    project.write("golden.jsonl", &samples(4).0);
    let mut server = Server::start(&project, &[]);
    let url = format!("http://{}", server.address);
    let made = project.expect(0, &["experiment", "create", "e.yaml", "--start", "--server", &url, "--json"]).out;
    let experiment = serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();

    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (address, experiment) = (server.address.clone(), experiment.clone());
            std::thread::spawn(move || write_on(&address, &experiment, writer))
        })
        .collect();
    // A stream of events, and a call whose answer is under way when the signal comes.
    let mut events = server.connect();
    events.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    events.read_exact(&mut first).unwrap();
    let mut call = server.connect();
    let question = json!({"model": "local/bot", "stream": true, "messages": [{"role": "user", "content": "Hello?"}]});
    call.write_all(head("POST", "/v1/chat/completions", "", &question.to_string()).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.signal("TERM");

    let mut answer = String::new();
    call.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("data: [DONE]"), "the answer was cut: {answer}");
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).unwrap();
    assert!(
        rest.ends_with(b"0\r\n\r\n"),
        "the stream of events ends as streams do: {}",
        String::from_utf8_lossy(&rest)
    );
    let acknowledged: Vec<String> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(server.ended(), 0, "{}", server.said());
    assert!(acknowledged.len() > 20, "there was load: {}", acknowledged.len());

    let results = project.expect(0, &["experiment", "results", &experiment, "--json"]).out;
    let results: Value = serde_json::from_str(&results).unwrap();
    let counted = results["total_samples"].as_u64().unwrap_or_else(|| panic!("{results}"));
    assert!(counted >= acknowledged.len() as u64, "{counted} of {} acknowledged observations", acknowledged.len());
    let records = project.expect(0, &["records", "query", "--json"]).out;
    let records: Value = serde_json::from_str(&records).unwrap();
    assert_eq!(records["items"][0]["outcome"], "ok", "the record of the last call is there: {records}");
}

#[test]
fn what_does_not_end_in_time_is_cut_and_its_record_says_so() {
    let simulator = SimulatorProcess::start(&["--latency", "60s"]);
    let project = Project::new(&[("llmops.yaml", &(config(simulator.port) + "server: {shutdown_timeout: 500ms}\n"))]);
    let mut server = Server::start(&project, &[]);
    let mut call = server.connect();
    let question = json!({"model": "local/bot", "messages": [{"role": "user", "content": "Hello?"}]});
    call.write_all(head("POST", "/v1/chat/completions", "", &question.to_string()).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let told = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended(), 0, "{}", server.said());
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
    let records = project.expect(0, &["records", "query", "--json"]).out;
    let records: Value = serde_json::from_str(&records).unwrap();
    assert_eq!(records["items"][0]["outcome"], "cancelled", "{records}");
}

#[test]
fn a_client_that_sends_no_head_is_left() {
    let project = Project::new(&[("llmops.yaml", "version: 1\nproject: p\nserver: {header_timeout: 300ms}\n")]);
    let server = Server::start(&project, &[]);
    let mut slow = server.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert_eq!(server.call("GET", "/healthz", "", "").unwrap().0, 200);
}

/// Headers and body of what was posted.
type Posted = Arc<Mutex<Vec<(String, Value)>>>;

/// A collector in this process: what was posted, and with which headers.
fn collector() -> (u16, Posted) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let posted = Posted::default();
    let kept = posted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            // The first export is refused for a while: it comes again.
            let is_first = kept.lock().unwrap().is_empty();
            kept.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
            let status = if is_first { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (port, posted)
}

#[test]
fn traces_reach_a_collector_and_belong_to_the_callers() {
    let (port, posted) = collector();
    let yaml = format!(
        "version: 1\nproject: p\nproviders:\n  sim: {{kind: simulator}}\n\
         telemetry: {{endpoint: \"http://127.0.0.1:{port}\", headers: {{x-team: red}}, service_name: shop}}\n"
    );
    let project = Project::new(&[("llmops.yaml", &yaml), ("golden.jsonl", &samples(3).0)]);
    let mut server = Server::start(&project, &[]);
    let url = format!("http://{}", server.address);
    let context = |trace: &str| format!("traceparent: 00-{}-00f067aa0ba902b7-01\r\n", trace.repeat(16));
    server.call("GET", "/api/v1/prompts/nothing", &context("aa"), "").unwrap();
    let question = json!({"model": "sim/m", "messages": [{"role": "user", "content": "a private question"}]});
    server.call("POST", "/v1/chat/completions", &context("bb"), &question.to_string()).unwrap();
    project.expect(0, &["dataset", "import", "golden.jsonl", "--name", "golden", "--server", &url]);
    let run = json!({"target": {"name": "t", "model": "sim/m"}, "dataset": "golden",
        "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}}});
    let made = server.call("POST", "/api/v1/runs", "", &run.to_string()).unwrap().2;
    let run = serde_json::from_str::<Value>(&made).unwrap()["id"].as_str().unwrap().to_owned();
    server.call("GET", &format!("/api/v1/runs/{run}?wait_ms=20000"), "", "").unwrap();
    server.signal("TERM");
    assert_eq!(server.ended(), 0);

    let posted = posted.lock().unwrap();
    assert!(posted.len() > 1 && posted[0].0.starts_with("post /v1/traces") && posted[0].0.contains("x-team: red"));
    let mut spans: Vec<Value> = Vec::new();
    for (_, export) in posted.iter().skip(1) {
        let resource = &export["resourceSpans"][0]["resource"]["attributes"][0];
        assert_eq!(resource, &json!({"key": "service.name", "value": {"stringValue": "shop"}}));
        spans.extend(export["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
    }
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).cloned().collect::<Vec<_>>();
    let request = &named("GET /api/v1/prompts/{name}")[0];
    assert_eq!((&request["traceId"], &request["parentSpanId"]), (&json!("aa".repeat(16)), &json!("00f067aa0ba902b7")));
    let (call, attempt) = (&named("chat sim/m")[0], named("call sim/m"));
    assert_eq!((&call["traceId"], &call["parentSpanId"]), (&json!("bb".repeat(16)), &json!("00f067aa0ba902b7")));
    assert!(attempt.iter().all(|attempt| attempt["parentSpanId"] == call["spanId"]), "{attempt:?}");
    let (evaluation, calls) = (&named("run golden")[0], named("chat m"));
    assert_eq!(calls.len(), 3, "{spans:?}");
    for call in &calls {
        assert_eq!((&call["traceId"], &call["parentSpanId"]), (&evaluation["traceId"], &evaluation["spanId"]));
    }
    assert!(!named("job run").is_empty());
    let all = Value::Array(spans.clone()).to_string();
    assert!(!all.contains("a private question"), "what was said is in no span");
}
