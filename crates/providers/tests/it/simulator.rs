use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use llmops_domain::chat::{ChatRequest, Message, Parameters, Role};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::config::providers::{FaultRates, ProviderConfig, RemoteConfig, SimulatorConfig};
use llmops_providers::simulator::server::{ServerOptions, serve};
use llmops_providers::simulator::{Fault, Script, Simulator};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{ask, limits, providers, remote, request, simulator_server, user};

const SCRIPT: &str = r#"{"input": "What is a refund?", "answer": "Your money back."}
{"input": "weather", "tool_calls": [{"name": "look", "arguments": {"city": "Oslo"}}]}"#;

fn faults(edit: impl Fn(&mut FaultRates)) -> SimulatorConfig {
    let mut config =
        SimulatorConfig { retry_after: HumanDuration(Duration::from_millis(2)), ..SimulatorConfig::default() };
    edit(&mut config.faults);
    config
}

/// Sends one raw request and reads the connection to its end.
async fn raw(url: &str, method: &str, path: &str, body: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn the_server_answers_as_the_provider_in_process_does() {
    let config = SimulatorConfig { seed: 7, quality: 0.5, ..SimulatorConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.jsonl"), SCRIPT).unwrap();
    let url = simulator_server(config.clone(), SCRIPT, None).await;
    let configs = BTreeMap::from([
        ("wire".to_owned(), ProviderConfig::Openai(remote(&url))),
        (
            "here".to_owned(),
            ProviderConfig::Simulator(SimulatorConfig { script: Some("s.jsonl".to_owned()), ..config }),
        ),
    ]);
    let providers = llmops_providers::Providers::new(&configs, &BTreeMap::new(), dir.path()).unwrap();
    for i in 0..50 {
        let mut asked = user(&format!("{i}: What is a refund? Or the weather?"));
        asked.parameters.max_tokens = Some(1 + i % 9);
        asked.parameters.stop = vec!["money".to_owned()];
        let ask = async |name: &str| {
            let mut answer = providers.chat(&providers.resolve(name).unwrap(), &asked).await.unwrap().response;
            answer.latency_ms = 0.0;
            answer
        };
        assert_eq!(ask("wire/m").await, ask("here/m").await);
    }
}

#[tokio::test]
async fn the_wire_format() {
    let url = simulator_server(SimulatorConfig::default(), SCRIPT, None).await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "the weather"}]}],
        "unknown": {"field": 1}, "max_completion_tokens": 100});
    let reply = raw(&url, "POST", "/chat/completions", &body.to_string()).await;
    let (_, json) = reply.split_once("\r\n\r\n").unwrap();
    let mut value: Value = serde_json::from_str(json).unwrap();
    assert!(value["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(value["created"].as_u64().unwrap() > 1_700_000_000);
    value["id"] = json!("");
    value["created"] = json!(0);
    insta::assert_snapshot!(value, @r#"{"id":"","object":"chat.completion","created":0,"model":"m","system_fingerprint":"fp_simulator","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"look","arguments":"{\"city\":\"Oslo\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":6,"completion_tokens":4,"total_tokens":10}}"#);
    let get = async |method: &str, path: &str, body: &str| {
        let reply = raw(&url, method, path, body).await;
        let status = reply.split(' ').nth(1).unwrap().to_owned();
        format!("{status} {}", reply.split_once("\r\n\r\n").unwrap().1)
    };
    insta::assert_snapshot!(get("GET", "/v1/models", "").await, @r#"200 {"object":"list","data":[{"id":"simulator","object":"model","created":0,"owned_by":"simulator"}]}"#);
    insta::assert_snapshot!(get("GET", "/healthz", "").await, @r#"200 {"status":"ok"}"#);
    insta::assert_snapshot!(get("GET", "/v1/chat/completions", "").await, @r#"405 {"error":{"message":"use POST","type":"invalid_request_error","param":null,"code":null}}"#);
    insta::assert_snapshot!(get("POST", "/v1/nothing", "").await, @r#"404 {"error":{"message":"there is nothing at this path","type":"invalid_request_error","param":null,"code":null}}"#);
    insta::assert_snapshot!(get("POST", "/v1/chat/completions", "{}").await, @r#"400 {"error":{"message":"the request cannot be read: missing field `model` at line 1 column 2","type":"invalid_request_error","param":null,"code":null}}"#);
}

#[tokio::test]
async fn streams() {
    let url = simulator_server(SimulatorConfig::default(), SCRIPT, None).await;
    let events = async |text: &str, options: Value| {
        let body = json!({"model": "m", "stream": true, "stream_options": options,
            "messages": [{"role": "user", "content": text}]});
        let reply = raw(&url, "POST", "/v1/chat/completions", &body.to_string()).await;
        assert!(reply.contains("content-type: text/event-stream"), "{reply}");
        let data = reply.lines().filter_map(|line| line.strip_prefix("data: "));
        let short = |data: &str| match serde_json::from_str::<Value>(data) {
            Ok(chunk) => format!("{} {}", chunk["choices"], chunk.get("usage").unwrap_or(&json!("-"))),
            Err(_) => data.to_owned(),
        };
        data.map(short).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(events("What is a refund?", json!({"include_usage": true})).await, @r#"
    [{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}] null
    [{"index":0,"delta":{"content":"Your"},"logprobs":null,"finish_reason":null}] null
    [{"index":0,"delta":{"content":" mon"},"logprobs":null,"finish_reason":null}] null
    [{"index":0,"delta":{"content":"ey b"},"logprobs":null,"finish_reason":null}] null
    [{"index":0,"delta":{"content":"ack."},"logprobs":null,"finish_reason":null}] null
    [{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}] null
    [] {"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}
    [DONE]
    "#);
    insta::assert_snapshot!(events("weather", Value::Null).await, @r#"
    [{"index":0,"delta":{"role":"assistant"},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_0","type":"function","function":{"name":"look","arguments":""}}]},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"ci"}}]},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"ty\":"}}]},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Osl"}}]},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"o\"}"}}]},"logprobs":null,"finish_reason":null}] "-"
    [{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}] "-"
    [DONE]
    "#);
}

#[tokio::test]
async fn what_is_asked_for_is_simulated() {
    let url = simulator_server(SimulatorConfig::default(), SCRIPT, None).await;
    let ask = async |fields: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Where is my parcel?"}]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let reply = raw(&url, "POST", "/v1/chat/completions", &body.to_string()).await;
        serde_json::from_str::<Value>(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let several = ask(json!({"n": 3})).await;
    let choices = several["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(choices[0], ask(json!({})).await["choices"][0]);
    assert_eq!(ask(json!({"n": 0})).await["error"]["message"], "`n` is 0; it must lie between 1 and 128");

    let schema = json!({"type": "object", "properties": {"city": {"enum": ["Oslo"]}, "days": {"type": "integer"}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let made = ask(json!({"response_format": format})).await;
    assert_eq!(made["choices"][0]["message"]["content"], r#"{"city":"Oslo","days":1}"#);

    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": schema}});
    let called = async |choice: Value| {
        let answered = ask(json!({"tools": [tool("a"), tool("b")], "tool_choice": choice})).await;
        answered["choices"][0]["message"]["tool_calls"][0]["function"].to_string()
    };
    let arguments = r#""arguments":"{\"city\":\"Oslo\",\"days\":1}""#;
    assert_eq!(called(json!("required")).await, format!(r#"{{"name":"a",{arguments}}}"#));
    let named = json!({"type": "function", "function": {"name": "b"}});
    assert_eq!(called(named).await, format!(r#"{{"name":"b",{arguments}}}"#));
    assert_eq!(called(json!("auto")).await, "null");

    let reply = raw(&url, "POST", "/v1/embeddings", &json!({"model": "m", "input": ["a", "b"]}).to_string()).await;
    let vectors: Value = serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(vectors["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn faults_on_the_wire() {
    let check = async |edit: fn(&mut FaultRates), reason: &str| {
        let config = faults(edit);
        let url = simulator_server(config.clone(), SCRIPT, None).await;
        let mut wire = remote(&url);
        wire.limits.timeout = HumanDuration(Duration::from_millis(300));
        let error = ask(ProviderConfig::Openai(wire.clone()), &user("weather")).await.unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        let local = SimulatorConfig { limits: wire.limits, ..config };
        let error = ask(ProviderConfig::Simulator(local), &user("weather")).await.unwrap_err();
        if reason != "provider: connection cut" {
            assert_eq!(error.reason(), reason, "in process: {error}");
        }
    };
    check(|f| f.rate_limit = 1.0, "provider: 429").await;
    check(|f| f.server_error = 1.0, "provider: 500").await;
    check(|f| f.hang = 1.0, "provider: timeout").await;
    check(|f| f.drip = 1.0, "provider: timeout").await;
    check(|f| f.cut = 1.0, "provider: connection cut").await;
    check(|f| f.reset = 1.0, "provider: connection cut").await;
    check(|f| f.garbage = 1.0, "provider: unreadable answer").await;
}

#[tokio::test]
async fn a_cut_stream_has_no_end() {
    let url = simulator_server(faults(|f| f.cut = 1.0), SCRIPT, None).await;
    let body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "What is a refund?"}]});
    let reply = raw(&url, "POST", "/v1/chat/completions", &body.to_string()).await;
    assert!(reply.contains("\"content\":\"Your\"") && !reply.contains("[DONE]"), "{reply}");
    assert!(!reply.ends_with("0\r\n\r\n"), "the last chunk must be missing: {reply}");
}

#[tokio::test]
async fn retries_overcome_faults_and_every_request_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("requests.jsonl");
    let rates = |f: &mut FaultRates| (f.rate_limit, f.server_error, f.cut, f.garbage) = (0.2, 0.1, 0.1, 0.1);
    let url = simulator_server(faults(rates), SCRIPT, Some(&path)).await;
    let config = ProviderConfig::Openai(RemoteConfig { limits: limits(20), ..remote(&url) });
    let providers = providers(config);
    let target = providers.resolve("p/m").unwrap();
    let mut attempts = 0;
    for i in 0..20 {
        attempts += target.chat(&user(&format!("{i} What is a refund?"))).await.unwrap().attempts;
    }
    assert!(attempts > 20);
    let lines = async || {
        let mut lines: Vec<Value> = Vec::new();
        while lines.len() < attempts as usize {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            tokio::task::yield_now().await;
        }
        lines
    };
    let lines = lines().await;
    assert_eq!(lines.len(), attempts as usize);
    let of = |i: usize| lines.iter().filter(move |line| line["input"] == format!("{i} What is a refund?"));
    for i in 0..20 {
        assert!(of(i).enumerate().all(|(n, line)| line["attempt"] == n), "attempts count up");
        let last = of(i).next_back().unwrap();
        assert_eq!((&last["status"], &last["model"], last.get("fault")), (&json!(200), &json!("m"), None));
    }
}

#[tokio::test]
async fn latency_is_waited_for_and_streams_spread_it() {
    let latency = Some(HumanDuration(Duration::from_millis(60)));
    let url = simulator_server(SimulatorConfig { latency, ..SimulatorConfig::default() }, SCRIPT, None).await;
    for stream in [false, true] {
        let body =
            json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "What is a refund?"}]});
        let started = Instant::now();
        raw(&url, "POST", "/v1/chat/completions", &body.to_string()).await;
        assert!(started.elapsed() >= Duration::from_millis(55), "{stream} {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn shutdown_ends_everything_and_the_log_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let simulator = Simulator::new(faults(|f| f.hang = 1.0), Script::default()).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = ServerOptions { simulator, request_log: Some(path.clone()) };
    let server = tokio::spawn(serve(listener, options, async move {
        stopped.await.unwrap();
    }));
    let hanging = tokio::spawn(async move { ask(ProviderConfig::Openai(remote(&url)), &user("x")).await });
    while !path.exists() || std::fs::read_to_string(&path).unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(hanging.await.unwrap().unwrap_err().reason(), "provider: connection cut");
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&line["status"], &line["fault"], &line["judge"]), (&json!(0), &json!("hang"), &json!(false)));
}

#[test]
fn a_script_that_cannot_be_read() {
    let config = SimulatorConfig { script: Some("none.jsonl".to_owned()), ..SimulatorConfig::default() };
    let error = Simulator::load(config, Path::new("/nowhere")).err().unwrap();
    assert!(error.to_string().starts_with("cannot read the script none.jsonl: "), "{error}");
}

#[test]
fn log_normal_latencies_have_the_median() {
    let latency = Some(HumanDuration(Duration::from_millis(100)));
    let config = SimulatorConfig { latency, latency_sigma: 0.5, ..SimulatorConfig::default() };
    let simulator = Simulator::new(config, Script::default()).unwrap();
    let mut seconds: Vec<f64> =
        (0..5000).map(|i| simulator.answer(&user(&i.to_string()), 0).latency.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    // The quartiles of a log-normal are median · exp(±0.6745 σ).
    for (at, expected) in [(1250, 0.0714), (2500, 0.1), (3750, 0.1401)] {
        assert!((seconds[at] / expected - 1.0_f64).abs() < 0.06, "{} {expected}", seconds[at]);
    }
}

#[test]
fn json_is_given_where_it_is_asked_for() {
    let simulator = Simulator::new(SimulatorConfig::default(), Script::default()).unwrap();
    let mut asked = user("Tell me");
    asked.response_format = Some(json!({"type": "json_object"}));
    let parsed: Value = serde_json::from_str(&simulator.answer(&asked, 0).text).unwrap();
    assert!(parsed["answer"].is_string());
}

fn any_request() -> impl Strategy<Value = ChatRequest> {
    let role = prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant)];
    let message = (role, ".{0,40}").prop_map(|(role, text)| Message::text(role, text));
    let parameters = (prop::option::of(0_u32..20), prop::collection::vec(".{0,3}", 0..3));
    (prop::collection::vec(message, 0..4), parameters).prop_map(|(messages, (max_tokens, stop))| ChatRequest {
        parameters: Parameters { max_tokens, stop, ..Parameters::default() },
        ..request("m", messages)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_is_a_function_of_seed_and_request(asked in any_request(), seed: u64, quality in 0.0..=1.0) {
        let mut config = faults(|f| (f.rate_limit, f.hang) = (0.3, 0.2));
        (config.seed, config.quality) = (seed, quality);
        let make = || Simulator::new(config.clone(), Script::parse("s", SCRIPT).unwrap()).unwrap();
        let (one, other) = (make(), make());
        for attempt in 0..4 {
            let (counted, number) = one.next_answer(&asked);
            prop_assert_eq!(number, attempt);
            prop_assert_eq!(&counted, &other.answer(&asked, attempt));
            let first = other.answer(&asked, 0);
            prop_assert_eq!((&counted.text, counted.degradation), (&first.text, first.degradation));
            if let Some(max) = asked.parameters.max_tokens {
                prop_assert!(counted.text.chars().count() <= max as usize * 4);
            }
        }
    }

    #[test]
    fn shares_of_faults_are_kept(seed: u64) {
        let mut config = faults(|f| (f.rate_limit, f.garbage) = (0.25, 0.25));
        config.seed = seed;
        let simulator = Simulator::new(config, Script::default()).unwrap();
        let met: Vec<Option<Fault>> = (0..2000).map(|i| simulator.answer(&user("x"), i).fault).collect();
        for fault in [Fault::RateLimit, Fault::Garbage] {
            let count = met.iter().filter(|met| **met == Some(fault)).count();
            prop_assert!((400..600).contains(&count), "{:?} {}", fault, count);
        }
    }
}
