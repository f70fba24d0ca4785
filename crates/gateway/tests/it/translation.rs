//! Callers and providers that speak different formats.

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use llmops_domain::soft_failure::SoftFailureKind;
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
            r#"{"model":"m-2026","system_fingerprint":"fp_1","choices":[{"delta":{"content":"lo."},"finish_reason":"stop"}]}"#,
            r#"{"id":"c","model":"m-2026","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
            "[DONE]",
        ]),
    ])
    .await;
    let bot = deployment("local/m", json!({"system": "Be kind."}), DeploymentSettings::default());
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
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
    // Anthropic's format has no place for it; who watches the model behind a manifest needs it all the same.
    for _ in 0..2 {
        assert_eq!(gateway.record().await.fingerprint.as_deref(), Some("fp_1"));
    }
}

#[tokio::test]
async fn errors_keep_their_status_and_change_their_shape() {
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
    let provider = Provider::start(vec![vec![Step::Send(json_response(429, "retry-after: 30\r\n", error))]]).await;
    let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/claude", "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.chat(&call).await;
    let expected =
        r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#;
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
    check(r#"{"message":"pay","code":402}"#, 402, "billing_error", "pay").await;
    check(r#"{"message":"too large","code":413}"#, 413, "request_too_large", "too large").await;
    check(r#"{"message":"broken"}"#, 502, "api_error", "broken").await;
}

#[tokio::test]
async fn an_error_of_anthropic_inside_a_success_is_an_error() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let provider = Provider::answering(error).await;
    let gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/c", "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.chat(&call).await;
    assert!(split(&answer).0 == 529 && answer.contains("Overloaded"), "{answer}");
}

/// A refusal in OpenAI's format ends the answer of an Anthropic client as one, and the guard sees it.
#[tokio::test]
async fn refusals_are_told_in_the_words_of_the_door() {
    let refusal = r#"{"choices":[{"message":{"content":null,"refusal":"I cannot."},"finish_reason":"stop"}]}"#;
    let provider = Provider::answering(refusal).await;
    let mut settings = DeploymentSettings::default();
    settings.guard.refusal = true;
    let bot = deployment("local/m", json!({}), settings);
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let call = json!({"model": "bot", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
    let body: Value = serde_json::from_str(split(&answer).1).unwrap();
    assert_eq!((&body["content"][0]["text"], &body["stop_reason"]), (&json!("I cannot."), &json!("refusal")));
    let found: Vec<_> = gateway.record().await.soft_failures.iter().map(|failure| failure.kind).collect();
    assert_eq!(found, [SoftFailureKind::Refusal]);
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
        check(model, json!({"verbosity": "low"}), r#""param":"verbosity""#).await;
        check(model, json!({"new_one": 1}), r#""param":"new_one""#).await;
        check(model, json!({"reasoning_effort": "much"}), r#""param":"reasoning_effort""#).await;
        check(model, json!({"tools": tools(), "tool_choice": {"type": "allowed_tools"}}), r#""param":"tool_choice""#)
            .await;
        let calls = json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}});
        check(model, json!({"messages": [calls]}), "messages[0]: `function_call` cannot be said").await;
        let spoken = json!({"role": "assistant", "content": null, "audio": {"id": "a"}});
        check(model, json!({"messages": [spoken]}), "messages[0]: `audio` cannot be said").await;
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
    check("anthropic/c", json!({"presence_penalty": 1.5}), r#""param":"presence_penalty""#).await;
    check("anthropic/c", json!({"frequency_penalty": 1.5}), r#""param":"frequency_penalty""#).await;
    check("gemini/g", json!({"thinking": {"type": "enabled"}}), r#""param":"thinking""#).await;
}

/// `LangChain` says it with every forced tool.
#[tokio::test]
async fn gemini_is_asked_by_who_wants_one_call_at_most() {
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    let forced = json!({"type": "function", "function": {"name": "f"}});
    let of_openai = json!({"parallel_tool_calls": false, "tools": tools(), "tool_choice": forced});
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let forced = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    let of_anthropic = json!({"max_tokens": 9, "tools": tools, "tool_choice": forced});
    for (path, theirs) in [(chat, of_openai), (messages, of_anthropic)] {
        let expected = json!({
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        });
        assert_eq!(sent("gemini/g", path, &theirs, &["contents", "generationConfig"]).await, expected, "{path}");
    }
}

/// A reason that the caller's format does not have is the nearest for the caller, and itself for the record.
#[tokio::test]
async fn reasons_outside_the_formats_are_the_nearest() {
    for (reason, expected, kept) in [("OTHER", "content_filter", "other"), ("STOP", "stop", "stop")] {
        let answer = GEMINI.replace("STOP", reason);
        for is_stream in [false, true] {
            let play = if is_stream { stream(&[&answer]) } else { vec![Step::Send(json_response(200, "", &answer))] };
            let provider = Provider::start(vec![play]).await;
            let mut gateway = Fixture::start(&[("gemini", &provider.url)], Vec::new()).await;
            let messages = json!([{"role": "user", "content": "hi"}]);
            let answer = gateway.chat(&json!({"model": "gemini/g", "messages": messages, "stream": is_stream})).await;
            assert!(answer.contains(&format!(r#""finish_reason":"{expected}""#)), "{answer}");
            assert_eq!(gateway.record().await.finish_reason.as_deref(), Some(kept), "{reason} {is_stream}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_known_by_its_beginning_where_no_header_says_so() {
    let of_anthropic = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}"#;
    let of_openai = r#"{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    for kind in ["", "content-type: text/plain\r\n"] {
        for (model, path, events) in [
            ("anthropic/c", "/v1/chat/completions", vec![of_anthropic, end]),
            ("local/m", "/v1/messages", vec![of_openai, "[DONE]"]),
        ] {
            let mut play = stream(&events);
            play[0] = Step::Send(STREAM_HEAD.replace("content-type: text/event-stream\r\n", kind));
            let provider = Provider::start(vec![play]).await;
            let gateway = Fixture::start(&[(model.split_once('/').unwrap().0, &provider.url)], Vec::new()).await;
            let messages = json!([{"role": "user", "content": "hi"}]);
            let call = json!({"model": model, "max_tokens": 9, "messages": messages, "stream": true});
            let answer = gateway.post(path, "", &call.to_string()).await;
            assert!(split(&answer).0 == 200 && answer.contains("Hello"), "{kind} {answer}");
            assert_eq!(header(&answer, "content-type").as_deref(), Some("text/event-stream"), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_says_nothing_is_taken() {
    let provider = Provider::answering(CLAUDE).await;
    let gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
    let call = json!({"model": "anthropic/c", "messages": [{"role": "user", "content": "hi"}], "n": 1, "logprobs": false,
        "logit_bias": {}, "modalities": ["text"], "functions": [], "user": "ana", "service_tier": "auto",
        "parallel_tool_calls": false, "tools": tools(), "verbosity": "medium", "presence_penalty": 0,
        "reasoning_effort": "none", "new_one": null});
    let answer = gateway.chat(&call).await;
    assert_eq!(split(&answer).0, 200, "{answer}");
    let sent: Value = serde_json::from_str(&provider.body()).unwrap();
    assert_eq!(sent["metadata"], json!({"user_id": "ana"}));
    assert_eq!(sent["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    let fields =
        ["n", "logprobs", "logit_bias", "modalities", "functions", "user", "service_tier", "parallel_tool_calls"];
    for left_out in
        fields.into_iter().chain(["verbosity", "presence_penalty", "reasoning_effort", "new_one", "thinking"])
    {
        assert!(sent.get(left_out).is_none(), "{left_out}: {sent}");
    }
}

const GEMINI: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi."}]},"finishReason":"STOP"}]}"#;

/// What a provider is sent for a call, without the model and the fields in `without`.
async fn sent(model: &str, path: &str, theirs: &Value, without: &[&str]) -> Value {
    let provider = match model.split_once('/').unwrap().0 {
        "gemini" => Provider::answering(GEMINI),
        "anthropic" => Provider::answering(CLAUDE),
        _ => Provider::answering(ANSWER),
    }
    .await;
    let gateway = Fixture::start(&[(model.split_once('/').unwrap().0, &provider.url)], Vec::new()).await;
    let mut call = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
    let answer = gateway.post(path, "", &call.to_string()).await;
    assert_eq!(split(&answer).0, 200, "{model} {theirs}: {answer}");
    let mut sent: Value = serde_json::from_str(&provider.body()).unwrap();
    sent.as_object_mut().unwrap().retain(|name, _| name != "model" && !without.contains(&&**name));
    sent
}

#[tokio::test]
async fn how_hard_to_think_is_told_in_the_providers_words() {
    let check = async |model: &str, path: &str, theirs: Value, expected: Value| {
        assert_eq!(sent(model, path, &theirs, &["messages", "contents"]).await, expected, "{model} {theirs}");
    };
    let (messages, chat) = ("/v1/messages", "/v1/chat/completions");
    let thinks = json!({"max_tokens": 3000, "temperature": 1.0, "top_p": 0.9, "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 2048}});
    let reasons = json!({"max_completion_tokens": 3000, "reasoning_effort": "medium"});
    check("local/gpt-5", messages, thinks.clone(), reasons).await;
    let plain = json!({"max_tokens": 3000, "temperature": 1.0, "top_p": 0.9, "top_k": 5});
    check("local/gpt-4o", messages, thinks.clone(), plain).await;
    let config = json!({"maxOutputTokens": 3000, "temperature": 1.0, "topP": 0.9, "topK": 5,
        "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true}});
    check("gemini/g", messages, thinks, json!({"generationConfig": config})).await;

    let high = json!({"reasoning_effort": "high", "temperature": 0.5});
    let thinking = |budget: u32| json!({"type": "enabled", "budget_tokens": budget});
    check("anthropic/c", chat, high.clone(), json!({"max_tokens": 28672, "thinking": thinking(24576)})).await;
    let config = json!({"temperature": 0.5, "thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": true}});
    check("gemini/g", chat, high, json!({"generationConfig": config})).await;
    for (most, budget) in [(8000, 4000), (2000, 1024), (1025, 1024)] {
        let theirs = json!({"reasoning_effort": "medium", "max_completion_tokens": most});
        check("anthropic/c", chat, theirs, json!({"max_tokens": most, "thinking": thinking(budget)})).await;
    }
    for most in [0, 1, 1024] {
        let theirs = json!({"reasoning_effort": "low", "max_tokens": most});
        check("anthropic/c", chat, theirs, json!({"max_tokens": most})).await;
    }
    // In the words of the provider itself.
    let theirs = json!({"thinking": thinking(2048), "max_tokens": 3000, "top_k": 5});
    check("anthropic/c", chat, theirs.clone(), theirs).await;
}

#[tokio::test]
async fn thoughts_of_anthropic_are_asked_for_where_it_lets_them() {
    let check = async |theirs: Value, expected: bool| {
        let body = sent("anthropic/c", "/v1/chat/completions", &theirs, &[]).await;
        assert_eq!(body.get("thinking").is_some(), expected, "{theirs}");
        body
    };
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let body = check(json!({"reasoning_effort": "low", "response_format": schema}), true).await;
    assert!(body.get("tools").is_none() && body["system"].as_str().unwrap().contains("JSON schema"), "{body}");
    check(json!({"reasoning_effort": "low", "tools": tools(), "tool_choice": "auto"}), true).await;
    check(json!({"reasoning_effort": "low", "tools": tools(), "tool_choice": "required"}), false).await;
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut round = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "b"}]);
    check(json!({"reasoning_effort": "low", "tools": tools(), "messages": round}), false).await;
    round.as_array_mut().unwrap().push(json!({"role": "user", "content": "c"}));
    check(json!({"reasoning_effort": "low", "tools": tools(), "messages": round}), true).await;
}

#[tokio::test]
async fn a_deployment_on_a_reasoning_model_takes_anthropics_limit() {
    let provider = Provider::answering(ANSWER).await;
    let bot = deployment("local/o3-mini", json!({}), DeploymentSettings::default());
    let gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let call =
        json!({"model": "bot", "max_tokens": 9, "temperature": 0.5, "messages": [{"role": "user", "content": "a"}]});
    gateway.post("/v1/messages", "", &call.to_string()).await;
    let sent: Value = serde_json::from_str(&provider.body()).unwrap();
    assert_eq!(sent["max_completion_tokens"], 9);
    assert!(sent.get("max_tokens").is_none() && sent.get("temperature").is_none(), "{sent}");
}

#[tokio::test]
async fn schemas_of_anthropics_clients_are_asked_for() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false});
    let format = json!({"type": "json_schema", "schema": schema});
    for theirs in [json!({"output_config": {"format": format}}), json!({"output_format": format})] {
        let body = sent("local/m", "/v1/messages", &theirs, &["messages"]).await;
        let named = json!({"name": "answer", "schema": schema, "strict": true});
        assert_eq!(body, json!({"response_format": {"type": "json_schema", "json_schema": named}}));
        let body = sent("gemini/g", "/v1/messages", &theirs, &["contents"]).await;
        assert_eq!(body["generationConfig"]["responseJsonSchema"], schema, "{body}");
    }
}

#[tokio::test]
async fn marks_for_anthropics_cache_are_handed_on() {
    let mark = json!({"type": "ephemeral"});
    let text = |text: &str| json!({"type": "text", "text": text, "cache_control": mark});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "system", "content": "Be kind."},
        {"role": "system", "content": [text("Be brief.")]},
        {"role": "user", "content": [text("a"), {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [text("r")]},
        {"role": "user", "content": "c", "cache_control": mark},
    ]);
    let tool = json!({"type": "function", "function": {"name": "f"}, "cache_control": mark});
    let theirs = json!({"tools": [tool], "cache_control": mark, "messages": messages});
    let body = sent("anthropic/c", "/v1/chat/completions", &theirs, &["max_tokens"]).await;
    let result = json!({"type": "tool_result", "tool_use_id": "c1", "content": "r", "cache_control": mark});
    let expected = json!({
        "cache_control": mark,
        "system": [{"type": "text", "text": "Be kind."}, text("Be brief.")],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}],
        "messages": [
            {"role": "user", "content": [text("a"), {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
            {"role": "user", "content": [result, text("c")]},
        ],
    });
    assert_eq!(body, expected);
    let body = sent("gemini/g", "/v1/chat/completions", &theirs, &[]).await;
    assert!(!body.to_string().contains("cache_control"), "{body}");
}

#[tokio::test]
async fn a_refusal_of_earlier_is_a_turn() {
    let refusal = json!({"role": "assistant", "content": null, "refusal": "I cannot."});
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let theirs = json!({"messages": [said("user", "a"), refusal, said("user", "b")], "tool_choice": "auto"});
    let body = sent("anthropic/c", "/v1/chat/completions", &theirs, &["max_tokens"]).await;
    let expected = json!([said("user", "a"), said("assistant", "I cannot."), said("user", "b")]);
    assert_eq!(body, json!({ "messages": expected }), "no choice without tools");
}

#[tokio::test]
async fn calls_of_tools_are_run_by_anthropics_clients_whatever_the_reason() {
    let calls = r#"{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
    let whole = format!(r#"{{"choices":[{{"message":{calls},"finish_reason":"stop"}}]}}"#);
    let provider = Provider::start(vec![
        vec![Step::Send(json_response(200, "", &whole)), Step::Close],
        stream(&[
            &format!(r#"{{"choices":[{{"index":0,"delta":{calls}}}]}}"#),
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ]),
    ])
    .await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    for stream in [false, true] {
        let call = json!({"model": "local/m", "max_tokens": 9, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]});
        let answer = gateway.post("/v1/messages", "", &call.to_string()).await;
        assert!(answer.contains(r#""stop_reason":"tool_use""#), "{stream}: {answer}");
    }
}

#[tokio::test]
async fn counts_may_be_null() {
    for (reason, expected) in [("tool_use", "tool_calls"), ("max_tokens", "length")] {
        let usage = json!({"input_tokens": null, "output_tokens": 9});
        let end = json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}).to_string();
        let text = json!({"type": "text", "text": "a"});
        let whole = json!({"model": null, "content": [text], "stop_reason": reason, "usage": usage}).to_string();
        let provider = Provider::start(vec![
            vec![Step::Send(json_response(200, "", &whole)), Step::Close],
            stream(&[
                r#"{"type":"message_start","message":{"model":"claude-9","usage":{"input_tokens":10,"output_tokens":1}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
                &end,
                r#"{"type":"message_stop"}"#,
            ]),
        ])
        .await;
        let mut gateway = Fixture::start(&[("anthropic", &provider.url)], Vec::new()).await;
        for stream in [false, true] {
            let call =
                json!({"model": "anthropic/c", "messages": [{"role": "user", "content": "hi"}], "stream": stream});
            let answer = gateway.chat(&call).await;
            assert!(answer.contains(&format!(r#""finish_reason":"{expected}""#)), "{answer}");
            let record = gateway.record().await;
            let told = (record.usage.completion_tokens, record.finish_reason.as_deref());
            assert_eq!(told, (9, Some(expected)), "stream: {stream}");
        }
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

/// Before anything of an answer came somebody else can be asked.
#[tokio::test]
async fn a_translated_stream_that_begins_with_an_error_is_one() {
    let start =
        r#"{"type":"message_start","message":{"model":"claude-9","usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
    let begun = format!("{STREAM_HEAD}{}0\r\n\r\n", piece(&format!("data: {start}\n\ndata: {error}\n\n")));
    let provider = Provider::start(vec![vec![Step::Send(begun), Step::Close]]).await;
    let healthy = Provider::answering(ANSWER).await;
    let settings = DeploymentSettings { fallbacks: vec!["local/m".to_owned()], ..DeploymentSettings::default() };
    let bot = deployment("anthropic/c", json!({}), settings);
    let gateway = Fixture::start(&[("anthropic", &provider.url), ("local", &healthy.url)], vec![bot]).await;
    let mut call = json!({"model": "anthropic/c", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let answer = gateway.chat(&call).await;
    assert!(split(&answer).0 == 529 && answer.contains(r#""message":"busy""#), "{answer}");
    call["model"] = json!("bot");
    assert_eq!(split(&gateway.chat(&call).await), (200, ANSWER));
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
