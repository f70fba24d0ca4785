use std::time::Duration;

use llmops_domain::chat::{Message, Parameters, Role};
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};
use llmops_providers::ProviderError;
use serde_json::{Value, json};

use crate::support::{FakeServer, Play, ask, limits, remote, request, user};

const ANSWER: &str = r#"{"id": "x", "model": "m-2024", "choices": [{"index": 0, "message": {"role": "assistant",
    "content": "Hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}"#;

/// What a request becomes on the wire.
async fn sent(
    config: impl Fn(RemoteConfig) -> ProviderConfig,
    request: &llmops_domain::chat::ChatRequest,
) -> (String, Value) {
    let server = FakeServer::start(vec![Play::json(ANSWER)]).await;
    ask(config(remote(&server.url())), request).await.unwrap();
    let received = server.received().remove(0);
    (received.head, received.body)
}

fn all_parameters() -> Parameters {
    Parameters {
        temperature: Some(0.0),
        top_p: Some(0.5),
        max_tokens: Some(9),
        stop: vec!["###".to_owned()],
        seed: Some(3),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.2),
        ..Parameters::default()
    }
}

#[tokio::test]
async fn the_whole_request_is_sent() {
    let mut asked = request("m", vec![Message::text(Role::System, "Be kind."), Message::text(Role::User, "é \"x\"")]);
    asked.parameters = all_parameters();
    asked.tools = vec![json!({"type": "function", "function": {"name": "f"}})];
    asked.response_format = Some(json!({"type": "json_object"}));
    asked.origin.sample_id = Some("never sent".to_owned());
    let (head, body) = sent(ProviderConfig::Openai, &asked).await;
    assert!(head.starts_with("POST /chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer sk-very-secret\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let expected = json!({
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "é \"x\""}],
        "max_tokens": 9, "temperature": 0.0, "top_p": 0.5, "presence_penalty": 0.1, "frequency_penalty": 0.2,
        "stop": ["###"], "seed": 3,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_object"}
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn quirks_of_providers() {
    let mut asked = request("o3-mini", vec![Message::text(Role::User, "x")]);
    asked.parameters = all_parameters();
    let messages = json!([{"role": "user", "content": "x"}]);
    let (_, body) = sent(ProviderConfig::Openai, &asked).await;
    let reasoning =
        json!({"model": "o3-mini", "messages": messages, "max_completion_tokens": 9, "stop": ["###"], "seed": 3});
    assert_eq!(body, reasoning);

    let (_, body) = sent(ProviderConfig::Mistral, &asked).await;
    assert_eq!((&body["random_seed"], &body["seed"], &body["temperature"]), (&json!(3), &Value::Null, &json!(0.0)));

    let extra = [("temperature", json!(null)), ("max_tokens", json!(1)), ("top_k", json!(40))];
    asked.parameters.extra_body = extra.map(|(name, value)| (name.to_owned(), value)).into();
    let (_, body) = sent(ProviderConfig::Vllm, &asked).await;
    assert_eq!((&body["max_tokens"], &body["top_k"]), (&json!(1), &json!(40)));
    assert!(body.get("temperature").is_none(), "{body}");
}

#[tokio::test]
async fn headers_and_paths() {
    let named = |remote: RemoteConfig| {
        ProviderConfig::Openai(RemoteConfig {
            base_url: remote.base_url.map(|url| format!("{url}/v1/")),
            organization: Some("org".to_owned()),
            project: Some("proj".to_owned()),
            headers: [("X-Team".to_owned(), "quality".to_owned())].into(),
            ..remote
        })
    };
    let (head, _) = sent(named, &user("x")).await;
    for expected in
        ["POST /v1/chat/completions ", "openai-organization: org", "openai-project: proj", "x-team: quality"]
    {
        assert!(head.contains(expected), "{head}");
    }
    let (head, _) = sent(ProviderConfig::Azure, &request("my deployment", Vec::new())).await;
    let path = "POST /openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21 ";
    assert!(head.starts_with(path) && head.contains("api-key: sk-very-secret"), "{head}");
    let newer = |remote: RemoteConfig| {
        ProviderConfig::Azure(RemoteConfig { base_url: remote.base_url.map(|url| url + "/openai/v1"), ..remote })
    };
    let (head, _) = sent(newer, &user("x")).await;
    assert!(head.starts_with("POST /openai/v1/chat/completions "), "{head}");
}

#[tokio::test]
async fn answers_of_every_shape() {
    let check = async |body: &str, expected: Value| {
        let server = FakeServer::start(vec![Play::json(body)]).await;
        let response = ask(ProviderConfig::Openai(remote(&server.url())), &user("x")).await.unwrap().response;
        assert!(response.latency_ms > 0.0);
        let calls: Vec<_> = response.tool_calls.iter().map(|call| &call.function.arguments).collect();
        let usage = (response.usage.prompt_tokens, response.usage.completion_tokens);
        assert_eq!(json!([response.text, response.finish_reason, response.model, usage, calls]), expected, "{body}");
    };
    check(ANSWER, json!(["Hello", "stop", "m-2024", [7, 2], []])).await;
    check(r#"{"choices": [{"message": {"content": null}}]}"#, json!(["", null, "", [0, 0], []])).await;
    check(
        r#"{"choices": [{"message": {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]},
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}], "usage": null}"#,
        json!(["ab", null, "", [0, 0], []]),
    )
    .await;
    check(
        r#"{"choices": [{"message": {"content": null, "refusal": "I can't"}, "finish_reason": "stop"}]}"#,
        json!(["I can't", "content_filter", "", [0, 0], []]),
    )
    .await;
    check(
        r#"{"choices": [{"message": {"content": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": "{broken"}}]}, "finish_reason": "tool_calls"}], "error": null,
            "usage": {"prompt_tokens": 1, "completion_tokens": null, "total_tokens": 1}}"#,
        json!(["", "tool_calls", "", [1, 0], ["{broken"]]),
    )
    .await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    let truncated = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\"".to_vec();
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let check = async |play: Play, reason: &str, message: &str| {
        let server = FakeServer::start(vec![play]).await;
        let error = ask(ProviderConfig::Openai(remote(&server.url())), &user("x")).await.unwrap_err();
        let text = error.to_string().replace(&server.address.to_string(), "HOST");
        assert_eq!(error.reason(), reason, "{text}");
        assert!(text.contains(message), "{text}");
        assert!(!text.contains("secret"), "{text}");
    };
    let echoing = r#"{"error": {"message": "wrong key sk-very-secret"}}"#;
    check(Play::status(401, "", echoing), "provider: 401", "HOST answered 401: wrong key ***").await;
    check(Play::status(503, "", "<h1>down</h1>"), "provider: 503", "HOST answered 503: <h1>down</h1>").await;
    check(Play::Close(truncated), "provider: connection cut", "HOST cut the connection").await;
    check(Play::Close(Vec::new()), "provider: connection cut", "HOST cut the connection").await;
    check(Play::Close(announced), "provider: answer too large", "HOST sent more than 33554432 bytes").await;
    check(Play::json("<html>Not JSON"), "provider: unreadable answer", "it begins with: <html>Not JSON").await;
    check(Play::json("{}"), "provider: unreadable answer", "there is no `choices[0]`").await;
    check(Play::json(r#"{"choices": [{}]}"#), "provider: unreadable answer", "no `choices[0].message`").await;
    check(
        Play::json(r#"{"error": {"message": "upstream busy", "code": 429}}"#),
        "provider: 429",
        "HOST answered 429: upstream busy",
    )
    .await;
    check(Play::json(r#"{"error": {"message": "odd", "code": "x"}}"#), "provider: 502", "odd").await;
    check(Play::Send(b"not http at all\r\n\r\n".to_vec()), "provider: connection cut", "HOST cut").await;
}

#[tokio::test]
async fn huge_bodies_without_a_length_are_refused() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(40 << 20, b'x');
    let server = FakeServer::start(vec![Play::Close(endless)]).await;
    let error = ask(ProviderConfig::Openai(remote(&server.url())), &user("x")).await.unwrap_err();
    assert_eq!(error.reason(), "provider: answer too large");
}

#[tokio::test]
async fn silence_and_drips_time_out() {
    for play in [Play::Hang, Play::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec())] {
        let server = FakeServer::start(vec![play]).await;
        let mut config = remote(&server.url());
        config.limits.timeout = HumanDuration(Duration::from_millis(100));
        let error = ask(ProviderConfig::Openai(config), &user("x")).await.unwrap_err();
        assert_eq!(error, ProviderError::Timeout { after: Duration::from_millis(100) });
        assert!(error.is_unavailable());
    }
}

#[tokio::test]
async fn a_refused_connection_names_its_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = ask(ProviderConfig::Openai(remote(&format!("http://{address}/v1"))), &user("x")).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
    assert!(error.is_unavailable() && error.hint().is_some());
}

#[tokio::test]
async fn faults_are_overcome_on_one_connection_or_many() {
    let plays = vec![
        Play::status(500, "", "oops"),
        Play::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        Play::json("garbage"),
        Play::status(429, "retry-after-ms: 1\r\n", "{}"),
        Play::json(ANSWER),
    ];
    let server = FakeServer::start(plays).await;
    let config = RemoteConfig { limits: limits(4), ..remote(&server.url()) };
    let answer = ask(ProviderConfig::Openai(config), &user("x")).await.unwrap();
    assert_eq!((answer.response.text.as_str(), answer.attempts), ("Hello", 5));
    assert_eq!(server.received().len(), 5);
}

#[tokio::test]
async fn refusals_are_asked_once() {
    for code in [400, 401, 403, 404, 405, 413, 422] {
        let server = FakeServer::start(vec![Play::status(code, "retry-after: 0\r\n", "{}")]).await;
        let config = RemoteConfig { limits: limits(3), ..remote(&server.url()) };
        let error = ask(ProviderConfig::Openai(config), &user("x")).await.unwrap_err();
        assert_eq!(error.reason(), format!("provider: {code}"));
        assert_eq!(server.received().len(), 1, "{code}");
    }
}
