//! Callers and providers that speak different formats.

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use serde_json::{Value, json};

use crate::support::{ANSWER, Fixture, Provider, STREAM_HEAD, Step, deployment, header, json_response, piece, split};

const CLAUDE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-9","content":[{"type":"text","text":"Hi."},{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":4,"output_tokens":2}}"#;

fn stream(events: &[&str]) -> Vec<Step> {
    let mut steps = vec![Step::Send(STREAM_HEAD.to_owned())];
    for event in events {
        steps.push(Step::Send(piece(&format!("data: {event}\n\n"))));
    }
    steps.push(Step::Send("0\r\n\r\n".to_owned()));
    steps
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
}

/// The JSON of the events of a streamed answer that came in chunks.
fn events(answer: &str) -> Vec<Value> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

#[tokio::test]
async fn openai_to_anthropic() {
    let provider = Provider::answering(CLAUDE).await;
    let bot = deployment("anthropic/claude", json!({"system": "Be kind."}), DeploymentSettings::default());
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], vec![bot]).await;
    let call = json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 7,
        "tools": tools(), "tool_choice": "required"});
    let answer = gateway.chat(&call).await;
    let (status, body) = split(&answer);
    assert_eq!(status, 200, "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    let choice = &body["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("Hi."), &json!("tool_calls")));
    assert_eq!(choice["message"]["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{\"a\":1}"}));
    assert_eq!(body["usage"], json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}));
    let sent: Value = serde_json::from_str(&provider.body()).unwrap();
    assert_eq!((&sent["system"], &sent["tool_choice"]), (&json!("Be kind."), &json!({"type": "any"})));
    assert_eq!((&sent["max_tokens"], &sent["tools"][0]["name"]), (&json!(7), &json!("f")));
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.attempts.len(), record.usage.prompt_tokens), (CallOutcome::Ok, 1, 4));
    assert_eq!(record.model_answered.as_deref(), Some("claude-9"));
}

#[tokio::test]
async fn openai_to_anthropic_streamed() {
    let provider = Provider::start(vec![stream(&[
        r#"{"type":"message_start","message":{"model":"claude-9","usage":{"input_tokens":4,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}"#,
    ])])
    .await;
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/claude", "messages": [{"role": "user", "content": "hi"}], "stream": true,
        "stream_options": {"include_usage": true}});
    let answer = gateway.chat(&call).await;
    let events = events(&answer);
    let texts: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(texts, "Hello");
    let last = events.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(7)));
    assert!(answer.contains("data: [DONE]"), "{answer}");
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk" && event["model"] == "claude-9"));
    assert!(provider.body().contains("\"stream\":true"));
    let record = gateway.record().await;
    assert_eq!((record.usage.completion_tokens, record.usage_estimated), (3, false));
}

#[tokio::test]
async fn openai_to_gemini() {
    let whole = r#"{"candidates":[{"content":{"parts":[{"text":"Hi."}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2},"modelVersion":"g-1"}"#;
    let provider = Provider::start(vec![
        vec![Step::Send(json_response(200, "", whole)), Step::Close],
        stream(&[r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"modelVersion":"g-1"}"#, whole]),
    ])
    .await;
    let gateway = Fixture::start(&[("gemini", &provider.url)], Vec::new()).await;
    let mut call = json!({"model": "gemini/g", "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.chat(&call).await;
    assert!(answer.contains(r#""finish_reason":"length""#), "{answer}");
    call["stream"] = json!(true);
    let answer = gateway.chat(&call).await;
    let texts: String = events(&answer).iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(texts, "HiHi.");
    let requests = provider.requests();
    assert!(requests[0].starts_with("POST /v1/models/g:generateContent "), "{}", requests[0]);
    assert!(requests[1].starts_with("POST /v1/models/g:streamGenerateContent?alt=sse "), "{}", requests[1]);
}

#[tokio::test]
async fn anthropic_to_openai() {
    let provider = Provider::start(vec![
        vec![Step::Send(json_response(200, "", ANSWER)), Step::Close],
        stream(&[
            r#"{"id":"c","model":"m-2026","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}"#,
            r#"{"id":"c","model":"m-2026","choices":[{"index":0,"delta":{"content":"lo."},"finish_reason":"stop"}]}"#,
            r#"{"id":"c","model":"m-2026","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
            "[DONE]",
        ]),
    ])
    .await;
    let bot = deployment("local/m", json!({"system": "Be kind."}), DeploymentSettings::default());
    let gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let mut call = json!({"model": "bot", "max_tokens": 9, "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
    let body: Value = serde_json::from_str(split(&answer).1).unwrap();
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hello."}]));
    // Of nine tokens read, four were in the provider's cache.
    let usage =
        json!({"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0});
    assert_eq!((&body["stop_reason"], &body["usage"]), (&json!("end_turn"), &usage));
    call["stream"] = json!(true);
    let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
    let kinds: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let delta = "content_block_delta";
    assert_eq!(
        kinds,
        ["message_start", "content_block_start", delta, delta, "content_block_stop", "message_delta", "message_stop"]
    );
    let sent: Value = serde_json::from_str(provider.requests()[1].split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "Be kind."}));
    assert_eq!(sent["messages"][1], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn errors_keep_their_status_and_change_their_shape() {
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let provider = Provider::start(vec![vec![Step::Send(json_response(429, "retry-after: 30\r\n", error))]]).await;
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/claude", "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.chat(&call).await;
    let expected = r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"429"}}"#;
    let body: Value = serde_json::from_str(split(&answer).1).unwrap();
    assert_eq!((split(&answer).0, &body), (429, &serde_json::from_str::<Value>(expected).unwrap()));
    assert_eq!(header(&answer, "retry-after").as_deref(), Some("30"));
    assert_eq!(gateway.record().await.outcome, CallOutcome::UpstreamError);
}

#[tokio::test]
async fn an_error_inside_a_success_is_an_error() {
    let check = async |error: &str, status: u16, kind: &str, message: &str| {
        let provider = Provider::answering(&format!(r#"{{"error":{error}}}"#)).await;
        let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
        let call = json!({"model": "local/m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
        let body: Value = serde_json::from_str(split(&answer).1).unwrap();
        let expected = json!({"type": "error", "error": {"type": kind, "message": message}});
        assert_eq!((split(&answer).0, &body), (status, &expected), "{answer}");
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.status), (CallOutcome::UpstreamError, status));
    };
    check(r#"{"message":"slow down","code":429}"#, 429, "rate_limit_error", "slow down").await;
    check(r#"{"message":"too long","code":400}"#, 400, "invalid_request_error", "too long").await;
    check(r#"{"message":"broken"}"#, 502, "api_error", "broken").await;
}

#[tokio::test]
async fn what_another_format_cannot_say_is_refused_by_name() {
    let check = async |model: &str, theirs: Value, expected: &str| {
        let provider = Provider::answering(CLAUDE).await;
        let providers = [("anthropic", &*provider.url), ("gemini", &provider.url), ("simulator", "")];
        let gateway = Fixture::start(&providers, Vec::new()).await;
        let mut call = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        call.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
        let answer = gateway.chat(&call).await;
        assert_eq!(split(&answer).0, 400, "{theirs}: {answer}");
        assert!(answer.contains(expected), "{theirs}: {answer}");
        assert!(provider.requests().is_empty());
    };
    // Those in the process cannot be told it, either.
    for model in ["anthropic/c", "gemini/g", "simulator/m"] {
        check(model, json!({"n": 2}), r#""param":"n""#).await;
        check(model, json!({"logprobs": true}), r#""param":"logprobs""#).await;
    }
    for model in ["anthropic/c", "gemini/g"] {
        check(model, json!({"logit_bias": {"50256": -100}}), r#""param":"logit_bias""#).await;
        check(model, json!({"modalities": ["text", "audio"]}), r#""param":"modalities""#).await;
        check(model, json!({"functions": [{"name": "f"}]}), r#""param":"functions""#).await;
        check(
            model,
            json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
            "tools[0]: a tool of the type `custom`",
        )
        .await;
        let part = json!({"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://x"}}]});
        check(model, json!({"messages": [part]}), "a content part of the type `video_url`").await;
    }
    let sound = json!([{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]);
    check("anthropic/c", json!({"messages": [{"role": "user", "content": sound}]}), "input_audio").await;
    check("gemini/g", json!({"parallel_tool_calls": false}), "parallel_tool_calls").await;
}

#[tokio::test]
async fn what_says_nothing_is_taken() {
    let provider = Provider::answering(CLAUDE).await;
    let gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/c", "messages": [{"role": "user", "content": "hi"}], "n": 1, "logprobs": false,
        "logit_bias": {}, "modalities": ["text"], "functions": [], "user": "ana", "service_tier": "auto",
        "parallel_tool_calls": false, "tools": tools()});
    let answer = gateway.chat(&call).await;
    assert_eq!(split(&answer).0, 200, "{answer}");
    let sent: Value = serde_json::from_str(&provider.body()).unwrap();
    assert_eq!(sent["metadata"], json!({"user_id": "ana"}));
    assert_eq!(sent["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    for left_out in
        ["n", "logprobs", "logit_bias", "modalities", "functions", "user", "service_tier", "parallel_tool_calls"]
    {
        assert!(sent.get(left_out).is_none(), "{left_out}: {sent}");
    }
}

#[tokio::test]
async fn a_stream_whose_lines_end_in_cr_is_translated() {
    let events = [
        r#"{"choices":[{"index":0,"delta":{"content":"Hé"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let text: String = events.iter().map(|event| format!("data: {event}\r\r")).collect();
    let provider = Provider::start(vec![vec![Step::Send(format!("{STREAM_HEAD}{}0\r\n\r\n", piece(&text)))]]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let call = json!({"model": "local/m", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
    assert!(answer.contains(r#""text":"Hé""#) && answer.contains("message_stop"), "{answer}");
}

#[tokio::test]
async fn a_translated_stream_ends_with_its_last_event_though_the_provider_stays() {
    let mut steps = stream(&[
        r#"{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#,
        "[DONE]",
        r#"{"choices":[{"index":0,"delta":{"content":"unheard"}}]}"#,
    ]);
    steps.pop();
    steps.push(Step::UntilClosed);
    let mut provider = Provider::start(vec![steps]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let call = json!({"model": "local/m", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
    assert!(answer.contains("message_stop") && !answer.contains("unheard"), "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    provider.was_closed().await;
    assert_eq!(gateway.record().await.outcome, CallOutcome::Ok);
}

#[tokio::test]
async fn an_error_inside_a_translated_stream_is_surfaced() {
    let provider = Provider::start(vec![stream(&[
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
    ])])
    .await;
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/claude", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let answer = gateway.chat(&call).await;
    assert!(answer.contains(r#""message":"busy""#) && !answer.contains("[DONE]"), "{answer}");
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.error.as_deref()), (CallOutcome::UpstreamError, Some("busy")));
}

#[tokio::test]
async fn translated_attempts_are_all_noted() {
    let busy = vec![Step::Send(json_response(529, "", r#"{"error":{"message":"busy"}}"#)), Step::Close];
    let provider = Provider::start(vec![busy, vec![Step::Send(json_response(200, "", CLAUDE))]]).await;
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/claude", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(split(&gateway.chat(&call).await).0, 200);
    let statuses: Vec<_> = gateway.record().await.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(529), Some(200)]);
}
