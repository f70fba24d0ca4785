//! What goes through is what was sent.

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use serde_json::{Value, json};

use crate::support::{
    ANSWER, Fixture, KEY, PROVIDER_KEY, Provider, STREAM_HEAD, Step, deployment, header, json_response, piece, split,
};

#[tokio::test]
async fn a_request_is_forwarded_as_it_was_written() {
    let provider = Provider::answering(ANSWER).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let body = r#"{"model":"local/vendor/m", "messages":[{"role":"user","content":"h\u00e9 {{x}}","cache_control":{"a":1e2}}],
        "temperature":1.0,"new_field":{"b":[1,  2]},"llmops":{"user":"u1","tags":{"team":"a"}}}"#;
    let headers = "idempotency-key: k-1\r\nopenai-beta: x=1\r\nx-llmops-session: s1\r\nx-api-key: other\r\ncookie: \
                   a=b\r\naccept-encoding: gzip\r\nx-forwarded-for: 10.0.0.1\r\nopenai-organization: \
                   org\r\nopenai-project: p\r\ncf-connecting-ip: 10.0.0.1\r\ntrue-client-ip: 10.0.0.1\r\nx-client-ip: \
                   10.0.0.1\r\nreferer: https://example.org\r\nhttp-referer: https://app.example.org\r\n";
    let answer = gateway.post("/v1/chat/completions", headers, body).await;

    assert_eq!(split(&answer), (200, ANSWER), "{answer}");
    assert_eq!(
        provider.body(),
        r#"{"model":"vendor/m","messages":[{"role":"user","content":"h\u00e9 {{x}}","cache_control":{"a":1e2}}],"temperature":1.0,"new_field":{"b":[1,  2]}}"#
    );
    let sent = &provider.requests()[0];
    assert!(sent.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{sent}");
    assert_eq!(header(sent, "authorization").unwrap(), format!("Bearer {PROVIDER_KEY}"));
    assert_eq!(header(sent, "idempotency-key").as_deref(), Some("k-1"));
    assert_eq!(header(sent, "openai-beta").as_deref(), Some("x=1"));
    // By this one OpenRouter knows the application.
    assert_eq!(header(sent, "http-referer").as_deref(), Some("https://app.example.org"));
    for kept_back in [
        "x-llmops-session",
        "x-api-key",
        "cookie",
        "x-forwarded-for",
        "openai-organization",
        "openai-project",
        "cf-connecting-ip",
        "true-client-ip",
        "x-client-ip",
        "referer",
    ] {
        assert_eq!(header(sent, kept_back), None, "{kept_back}");
    }
    assert!(!sent.contains(KEY));
    assert_eq!(header(sent, "accept-encoding").as_deref(), Some("identity"));

    let record = gateway.record().await;
    assert_eq!(header(&answer, "x-llmops-request-id").as_deref(), Some(&*record.id));
    assert_eq!((record.user.as_deref(), record.session.as_deref()), (Some("u1"), Some("s1")));
    assert_eq!((record.usage.prompt_tokens, record.usage.completion_tokens), (9, 2));
    assert_eq!(record.model_answered.as_deref(), Some("m-2026"));
    assert_eq!((record.outcome, record.status, record.attempts.len()), (CallOutcome::Ok, 200, 1));
}

#[tokio::test]
async fn fields_and_the_space_between_them_stay_where_they_are() {
    let check = async |model: &str, path: &str, theirs: &str, expected: &str| {
        let provider = Provider::answering(ANSWER).await;
        let gateway = Fixture::start(&[(model, &provider.url)], Vec::new()).await;
        gateway.post(path, "", theirs).await;
        assert_eq!(provider.body(), expected);
    };
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    let spaced = " {\"messages\" : [],  \"z\":1E+2, \"model\" :\"NAME\",\n \"a\": {\"model\":1} } ";
    let (theirs, expected) = (spaced.replace("NAME", "local/m"), spaced.replace("NAME", "m"));
    check("local", chat, &theirs, &expected).await;
    check("local", "/v1/embeddings", &theirs, &expected).await;
    check("anthropic", messages, &spaced.replace("NAME", "anthropic/m"), &expected).await;
    let ours = r#"{"a":1, "llmops":{"user":"u"}, "model":"local/m", "b":[ ]}"#;
    check("local", chat, ours, r#"{"a":1,"model":"m","b":[ ]}"#).await;
}

/// A client that still sends when its connection is closed reports that, and never reads why.
#[tokio::test]
async fn who_is_refused_may_finish_sending() {
    let gateway = Fixture::start(&[], Vec::new()).await;
    let large = " ".repeat(8 << 20);
    for (method, path, headers, status) in [
        ("POST", "/v1/completions", "", 404),
        ("PUT", "/v1/chat/completions", "", 405),
        ("POST", "/v1/messages", "content-encoding: gzip\r\n", 415),
    ] {
        let answer = gateway.send(method, path, headers, &large).await;
        assert_eq!(split(&answer).0, status, "{path} {answer}");
    }
    let answer = gateway.send("POST", "/v1/messages", "", &" ".repeat(40 << 20)).await;
    assert!(split(&answer).0 == 413 && answer.contains("request_too_large"), "{answer}");
}

#[tokio::test]
async fn an_error_of_the_provider_is_the_callers() {
    let error = format!(r#"{{"error":{{"message":"bad key {PROVIDER_KEY}","type":"t","code":"c"}}}}"#);
    let provider = Provider::start(vec![vec![Step::Send(json_response(400, "x-upstream: 1\r\n", &error))]]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer), (400, r#"{"error":{"message":"bad key ***","type":"t","code":"c"}}"#));
    assert_eq!(header(&answer, "x-upstream").as_deref(), Some("1"));
    assert_eq!(provider.requests().len(), 1, "a wrong request is not repeated");
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.status), (CallOutcome::UpstreamError, 400));
    assert!(!record.error.unwrap().contains(PROVIDER_KEY));
}

#[tokio::test]
async fn a_provider_that_wants_to_be_left_alone_says_so_to_the_caller() {
    let limited = json_response(429, "retry-after: 30\r\n", r#"{"error":{"message":"slow down"}}"#);
    let provider = Provider::start(vec![vec![Step::Send(limited)]]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer).0, 429);
    assert_eq!(header(&answer, "retry-after").as_deref(), Some("30"));
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_comes_as_it_is_sent() {
    let events = [
        ": ping\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
    ];
    let mut script = vec![Step::Send(format!("{STREAM_HEAD}{}{}", piece(events[0]), piece(events[1]))), Step::Wait];
    script.push(Step::Send(format!("{}{}0\r\n\r\n", piece(events[2]), piece(events[3]))));
    let provider = Provider::start(vec![script]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let request = json!({"model": "local/m", "messages": [], "stream": true}).to_string();
    let mut stream = gateway.open("/v1/chat/completions", "", &request).await;

    let mut seen = String::new();
    while !seen.contains("He") {
        seen += &read_some(&mut stream).await;
    }
    assert!(!seen.contains("llo"), "the provider has not sent it yet");
    provider.go_on();
    loop {
        let more = read_some(&mut stream).await;
        if more.is_empty() {
            break;
        }
        seen += &more;
    }
    for event in events {
        assert!(seen.contains(event.trim()), "{event}: {seen}");
    }
    assert_eq!(header(&seen, "content-type").as_deref(), Some("text/event-stream"));
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.usage.completion_tokens, record.usage_estimated), (CallOutcome::Ok, 2, false));
    assert_eq!(record.finish_reason.as_deref(), Some("stop"));
    assert!(record.first_byte_ms.unwrap() <= record.total_ms);
}

#[tokio::test]
async fn tokens_are_estimated_where_the_provider_counts_none() {
    let event =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"12345678\"},\"finish_reason\":\"stop\"}]}\n\n";
    let provider = Provider::start(vec![vec![Step::Send(format!("{STREAM_HEAD}{}0\r\n\r\n", piece(event)))]]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    gateway.chat(&json!({"model": "local/m", "messages": [{"role": "user", "content": "abcd"}], "stream": true})).await;
    let record = gateway.record().await;
    assert_eq!((record.usage.prompt_tokens, record.usage.completion_tokens, record.usage_estimated), (1, 2, true));
}

#[tokio::test]
async fn an_error_inside_a_stream_is_handed_on_and_recorded() {
    let event = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n";
    let provider = Provider::start(vec![vec![Step::Send(format!("{STREAM_HEAD}{}0\r\n\r\n", piece(event)))]]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": [], "stream": true})).await;
    assert!(answer.contains("overloaded"), "{answer}");
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.error.as_deref()), (CallOutcome::UpstreamError, Some("overloaded")));
}

#[tokio::test]
async fn embeddings_and_anthropics_messages_are_forwarded() {
    let provider =
        Provider::answering(r#"{"object":"list","data":[],"usage":{"prompt_tokens":2,"total_tokens":2}}"#).await;
    let mut gateway = Fixture::start(&[("local", &provider.url), ("anthropic", &provider.url)], Vec::new()).await;
    gateway.post("/v1/embeddings", "", r#"{"model":"local/e","input":["a","b"],"dimensions":8}"#).await;
    assert!(provider.requests()[0].starts_with("POST /v1/embeddings "));
    assert_eq!(gateway.record().await.usage.prompt_tokens, 2);

    let body = r#"{"model":"anthropic/claude","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[]}"#;
    let answer = gateway.post("/v1/messages", "anthropic-version: 2023-06-01\r\n", body).await;
    assert_eq!(split(&answer).0, 200);
    let sent = &provider.requests()[1];
    assert!(sent.starts_with("POST /v1/messages "), "{sent}");
    assert_eq!(header(sent, "x-api-key").as_deref(), Some(PROVIDER_KEY));
    assert!(sent.ends_with(r#"{"model":"claude","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[]}"#));
}

/// The version of Anthropic's API is the caller's where the provider gets the caller's words, and ours where it gets ours.
#[tokio::test]
async fn the_version_of_anthropics_api_is_the_callers() {
    let provider = Provider::answering(r#"{"content":[{"type":"text","text":"Hi."}],"stop_reason":"end_turn"}"#).await;
    let bot = deployment("anthropic/c", json!({}), DeploymentSettings::default());
    let gateway = Fixture::start(&[("anthropic", &provider.url)], vec![bot]).await;
    let theirs = "anthropic-version: 2027-01-31\r\nanthropic-beta: x\r\n";
    let ours = "2023-06-01";
    let mut asked = 0;
    for model in ["anthropic/c", "bot"] {
        for (path, headers, expected) in [
            ("/v1/messages", theirs, "2027-01-31"),
            ("/v1/messages", "", ours),
            ("/v1/chat/completions", theirs, ours),
            ("/v1/chat/completions", "", ours),
        ] {
            let call = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]});
            let answer = gateway.post(path, headers, &call.to_string()).await;
            assert_eq!(split(&answer).0, 200, "{answer}");
            let sent = &provider.requests()[asked];
            assert_eq!(header(sent, "anthropic-version").as_deref(), Some(expected), "{model} {path}: {sent}");
            assert_eq!(sent.to_lowercase().matches("anthropic-version:").count(), 1, "{sent}");
            asked += 1;
        }
    }
}

#[tokio::test]
async fn what_the_gateway_refuses_itself() {
    let provider = Provider::answering(ANSWER).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    for (path, body, status, message) in [
        ("/v1/chat/completions", "{", 400, "not the expected JSON object"),
        ("/v1/chat/completions", r#"{"messages":[]}"#, 400, "`model` is missing"),
        ("/v1/chat/completions", r#"{"model":"bot","messages":[]}"#, 404, "there is no deployment `bot`"),
        ("/v1/chat/completions", r#"{"model":"other/m","messages":[]}"#, 404, "there is no deployment"),
        ("/v1/completions", "{}", 404, "nothing at /v1/completions"),
    ] {
        let answer = gateway.post(path, "", body).await;
        assert_eq!(split(&answer).0, status, "{answer}");
        assert!(answer.contains(message), "{answer}");
    }
    let packed = gateway.post("/v1/chat/completions", "content-encoding: gzip\r\n", "{}").await;
    assert!(split(&packed).0 == 415 && packed.contains("without content-encoding"), "{packed}");
    let unknown = gateway.post("/v1/messages", "", r#"{"model":"bot","messages":[]}"#).await;
    assert!(split(&unknown).0 == 404 && unknown.contains(r#""type":"not_found_error""#), "{unknown}");
    let refused = gateway.post("/v1/messages", "", "{}").await;
    assert!(
        split(&refused).1.starts_with(r#"{"error":{"message":"#) || refused.contains(r#""type":"error""#),
        "{refused}"
    );
    assert_eq!(provider.requests().len(), 0);
}

#[tokio::test]
async fn doors_take_their_methods_only() {
    let gateway = Fixture::start(&[], Vec::new()).await;
    for (method, path, allowed) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("DELETE", "/v1/messages", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/bot", "GET"),
    ] {
        let answer = gateway.send(method, path, "", "{}").await;
        assert_eq!(split(&answer).0, 405, "{answer}");
        assert_eq!(header(&answer, "allow").as_deref(), Some(allowed), "{answer}");
        assert!(answer.contains(&format!("{path} takes {allowed} only")), "{answer}");
    }
}

#[tokio::test]
async fn models_are_found_by_escaped_names() {
    let bot = deployment("local/m", json!({}), DeploymentSettings::default());
    let gateway = Fixture::start(&[("local", "http://127.0.0.1:1/v1")], vec![bot]).await;
    for (name, status) in [("bot", 200), ("bot@production", 200), ("bot%40production", 200), ("bot%40staging", 404)] {
        let answer = gateway.send("GET", &format!("/v1/models/{name}"), "", "").await;
        assert_eq!(split(&answer).0, status, "{answer}");
    }
}

#[tokio::test]
async fn models_are_listed_once_as_the_caller_knows_them() {
    let bot = deployment("local/m", json!({}), DeploymentSettings::default());
    let mut staged = bot.clone();
    staged.deployment.environment = "staging".to_owned();
    let gateway = Fixture::start(&[("local", "http://127.0.0.1:1/v1")], vec![bot, staged]).await;
    let list = gateway.send("GET", "/v1/models", "", "").await;
    let list: Value = serde_json::from_str(split(&list).1).unwrap();
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "llmops"});
    assert_eq!(list, json!({"object": "list", "data": [model("bot"), model("bot@staging")]}));
    let anthropic = "anthropic-version: 2023-06-01\r\n";
    let list = gateway.send("GET", "/v1/models", anthropic, "").await;
    let list: Value = serde_json::from_str(split(&list).1).unwrap();
    let created_at = "1970-01-01T00:00:00Z";
    let model = |id: &str| json!({"type": "model", "id": id, "display_name": id, "created_at": created_at});
    let data = json!([model("bot"), model("bot@staging")]);
    assert_eq!(list, json!({"data": data, "has_more": false, "first_id": "bot", "last_id": "bot@staging"}));
    let one = gateway.send("GET", "/v1/models/bot", anthropic, "").await;
    assert_eq!(serde_json::from_str::<Value>(split(&one).1).unwrap(), model("bot"));
}

#[tokio::test]
async fn providers_of_other_formats_have_no_embeddings() {
    let url = "http://127.0.0.1:1/v1";
    let gateway = Fixture::start(&[("anthropic", url), ("gemini", url)], Vec::new()).await;
    for model in ["anthropic/e", "gemini/e"] {
        let answer = gateway.post("/v1/embeddings", "", &json!({"model": model, "input": "a"}).to_string()).await;
        assert!(split(&answer).0 == 400 && answer.contains("has no embeddings"), "{answer}");
        assert!(answer.contains(r#""param":"model""#), "{answer}");
    }
}

async fn read_some(stream: &mut tokio::net::TcpStream) -> String {
    let mut piece = [0; 4096];
    let n = tokio::io::AsyncReadExt::read(stream, &mut piece).await.unwrap();
    String::from_utf8(piece[..n].to_vec()).unwrap()
}
