//! What stands beside an answer where caller and provider speak different formats: thoughts, pictures, sources; and what must
//! not change on the way: numbers, and the words of an error.

use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use serde_json::{Value, json};

use crate::support::{ANSWER, Fixture, Provider, STREAM_HEAD, Step, deployment, json_response, piece, split};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn streamed(events: &[&str]) -> Vec<Step> {
    let events: String = events.iter().map(|event| format!("{event}\n\n")).collect();
    vec![Step::Send(format!("{STREAM_HEAD}{}0\r\n\r\n", piece(&events))), Step::Close]
}

fn whole(body: &str) -> Vec<Step> {
    vec![Step::Send(json_response(200, "", body)), Step::Close]
}

/// The JSON of the events of a streamed answer that came in chunks.
fn events(answer: &str) -> Vec<Value> {
    let lines = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter_map(|data| serde_json::from_str(data).ok()).collect()
}

/// The answer to a call of a provider that is played so.
async fn answered(provider: &str, path: &str, theirs: &Value, play: Vec<Step>) -> String {
    let upstream = Provider::start(vec![play]).await;
    let gateway = Fixture::start(&[(provider, &upstream.url)], Vec::new()).await;
    let mut call = json!({"model": format!("{provider}/m"), "max_tokens": 3000,
        "messages": [{"role": "user", "content": "hi"}]});
    call.as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());
    gateway.post(path, "", &call.to_string()).await
}

/// What a provider is sent for the body of a call.
async fn sent(provider: &str, path: &str, call: &str, answer: &str) -> String {
    let upstream = Provider::answering(answer).await;
    let gateway = Fixture::start(&[(provider, &upstream.url)], Vec::new()).await;
    let answer = gateway.post(path, "", call).await;
    assert_eq!(split(&answer).0, 200, "{answer}");
    upstream.body()
}

const THINKS: &str = r#"{"model":"claude-9","content":[{"type":"thinking","thinking":"hm","signature":"s1"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"Hi.","citations":[{"type":"web_search_result_location","url":"https://a","title":"A","encrypted_index":"e"}]}],"stop_reason":"end_turn"}"#;

#[tokio::test]
async fn thoughts_and_sources_of_anthropic_reach_openais_clients() {
    let blocks =
        json!([{"type": "thinking", "thinking": "hm", "signature": "s1"}, {"type": "redacted_thinking", "data": "x"}]);
    let source = json!({"url": "https://a", "title": "A", "start_index": 0, "end_index": 3});
    let annotation = json!({"type": "url_citation", "url_citation": source});
    let answer = answered("anthropic", CHAT, &json!({}), whole(THINKS)).await;
    let body: Value = serde_json::from_str(split(&answer).1).unwrap();
    let message = &body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Hi."), &json!("hm")));
    assert_eq!((&message["thinking_blocks"], &message["annotations"]), (&blocks, &json!([annotation])));

    let delta = |index: u32, delta: Value| {
        format!("data: {}", json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let begin = |index: u32, block: Value| {
        format!("data: {}", json!({"type": "content_block_start", "index": index, "content_block": block}))
    };
    let stop = |index: u32| format!("data: {}", json!({"type": "content_block_stop", "index": index}));
    let play = [
        begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "h"})),
        delta(0, json!({"type": "thinking_delta", "thinking": "m"})),
        delta(0, json!({"type": "signature_delta", "signature": "s1"})),
        stop(0),
        begin(1, json!({"type": "redacted_thinking", "data": "x"})),
        stop(1),
        begin(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "Hi."})),
        delta(2, json!({"type": "citations_delta", "citation": {"url": "https://a", "title": "A"}})),
        stop(2),
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#.to_owned(),
        r#"data: {"type":"message_stop"}"#.to_owned(),
    ];
    let play = streamed(&play.iter().map(String::as_str).collect::<Vec<_>>());
    let answer = answered("anthropic", CHAT, &json!({"stream": true}), play).await;
    let events = events(&answer);
    let said = |name: &'static str| events.iter().map(move |event| event["choices"][0]["delta"][name].clone());
    let texts = |name: &'static str| said(name).filter_map(|text| text.as_str().map(str::to_owned)).collect::<String>();
    assert_eq!((texts("reasoning_content"), texts("content")), ("hm".to_owned(), "Hi.".to_owned()));
    // Each is whole, and numbered, so that those who put pieces together and those who do not have the same.
    let lists =
        |name: &'static str| said(name).filter_map(|list| list.as_array().cloned()).flatten().collect::<Vec<_>>();
    let numbered = |mut item: Value, index: u32| {
        item["index"] = json!(index);
        item
    };
    assert_eq!(lists("thinking_blocks"), [numbered(blocks[0].clone(), 0), numbered(blocks[1].clone(), 1)]);
    assert_eq!(lists("annotations"), [numbered(annotation, 0)]);
}

#[tokio::test]
async fn thoughts_that_are_handed_back_let_anthropic_think_among_calls() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let check = async |content: Value, blocks: Value, expected: Option<Value>| {
        let theirs = json!({"role": "assistant", "content": content, "tool_calls": [call], "thinking_blocks": blocks,
            "reasoning_content": "hm"});
        let messages = json!([{"role": "user", "content": "a"}, theirs,
            {"role": "tool", "tool_call_id": "c1", "content": "b"},
            // A second call of the same round has no thoughts of its own.
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "b"}]);
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let call = json!({"model": "anthropic/c", "reasoning_effort": "low", "tools": tools, "messages": messages});
        let sent: Value = serde_json::from_str(&sent("anthropic", CHAT, &call.to_string(), THINKS).await).unwrap();
        assert_eq!(sent.get("thinking").is_some(), expected.is_some(), "{blocks}: {sent}");
        let used = json!({"type": "tool_use", "id": "c1", "name": "f", "input": {}});
        let mut content: Vec<Value> = expected.and_then(|thoughts| thoughts.as_array().cloned()).unwrap_or_default();
        content.extend(theirs["content"].as_str().map(|text| json!({"type": "text", "text": text})));
        content.push(used);
        assert_eq!(sent["messages"][1]["content"], Value::from(content), "{blocks}");
    };
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "s1"});
    let redacted = json!({"type": "redacted_thinking", "data": "x"});
    let streamed = json!({"type": "thinking", "thinking": "hm", "signature": "s1", "index": 0});
    check(Value::Null, json!([thinking, redacted]), Some(json!([thinking, redacted]))).await;
    check(json!("Hi."), json!([streamed]), Some(json!([thinking]))).await;
    // What is nobody's of Anthropic.
    let unsigned = json!({"type": "thinking", "thinking": "hm", "signature": null});
    check(json!("Hi."), json!([unsigned, {"type": "thinking", "thinking": "hm"}, "hm"]), None).await;
    check(Value::Null, Value::Null, None).await;

    let messages = json!([{"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "thinking_blocks": [thinking]}, {"role": "user", "content": "c"}]);
    let call = json!({"model": "gemini/g", "messages": messages}).to_string();
    let gemini = sent("gemini", CHAT, &call, r#"{"candidates":[{"content":{"parts":[{"text":"d"}]}}]}"#).await;
    assert!(!gemini.contains("hm"), "{gemini}");
}

#[tokio::test]
async fn thoughts_and_pictures_of_gemini_reach_openais_clients() {
    let parts = r#"[{"text":"hm","thought":true},{"inlineData":{"mimeType":"image/png","data":"AA=="}}]"#;
    let gemini = format!(r#"{{"candidates":[{{"content":{{"parts":{parts}}},"finishReason":"STOP"}}]}}"#);
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let mut settings = DeploymentSettings::default();
    settings.guard.empty = true;
    for stream in [false, true] {
        let play = if stream { streamed(&[&format!("data: {gemini}")]) } else { whole(&gemini) };
        let upstream = Provider::start(vec![play]).await;
        let bot = deployment("gemini/g", json!({}), settings.clone());
        let mut gateway = Fixture::start(&[("gemini", &upstream.url)], vec![bot]).await;
        let call = json!({"model": "bot", "modalities": ["text", "image"], "reasoning_effort": "low", "stream": stream,
            "messages": [{"role": "user", "content": "hi"}]});
        let answer = gateway.chat(&call).await;
        if stream {
            let mut image = image.clone();
            image["index"] = json!(0);
            let events = events(&answer);
            let said = |name: &str| events.iter().find_map(|event| event["choices"][0]["delta"].get(name));
            assert_eq!((said("reasoning_content"), said("images")), (Some(&json!("hm")), Some(&json!([image]))));
        } else {
            let body: Value = serde_json::from_str(split(&answer).1).unwrap();
            let message = &body["choices"][0]["message"];
            assert_eq!((&message["reasoning_content"], &message["images"]), (&json!("hm"), &json!([image])));
        }
        let sent: Value = serde_json::from_str(&upstream.body()).unwrap();
        let config = &sent["generationConfig"];
        assert_eq!(config["responseModalities"], json!(["TEXT", "IMAGE"]));
        assert_eq!(config["thinkingConfig"], json!({"thinkingBudget": 1024, "includeThoughts": true}));
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.soft_failures), (CallOutcome::Ok, Vec::new()), "a picture is an answer");
    }
}

#[tokio::test]
async fn thoughts_in_openais_format_reach_anthropics_clients_that_ask_for_them() {
    let message = r#"{"role":"assistant","content":"Hi.","reasoning_content":"hm"}"#;
    let body = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]}}"#);
    let chunks = [
        r#"data: {"choices":[{"delta":{"reasoning":"hm"}}]}"#,
        r#"data: {"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}"#,
        "data: [DONE]",
    ];
    for asks in [true, false] {
        let thinking = if asks { json!({"type": "enabled", "budget_tokens": 1024}) } else { Value::Null };
        let answer = answered("local", MESSAGES, &json!({"thinking": thinking}), whole(&body)).await;
        let read: Value = serde_json::from_str(split(&answer).1).unwrap();
        let thoughts = json!({"type": "thinking", "thinking": "hm", "signature": ""});
        let text = json!({"type": "text", "text": "Hi."});
        let expected = if asks { json!([thoughts, text]) } else { json!([text]) };
        assert_eq!(read["content"], expected);
        let theirs = json!({"thinking": thinking, "stream": true});
        let answer = answered("local", MESSAGES, &theirs, streamed(&chunks)).await;
        let events = events(&answer);
        let begun = events.iter().filter_map(|event| event["content_block"]["type"].as_str());
        let begun: Vec<&str> = begun.collect();
        assert_eq!(begun, if asks { vec!["thinking", "text"] } else { vec!["text"] });
        assert_eq!(answer.contains(r#"{"type":"thinking_delta","thinking":"hm"}"#), asks, "{answer}");
    }
}

/// Anthropic refuses what nobody signed; all else of a call in its format stays as it was written.
#[tokio::test]
async fn thoughts_of_others_do_not_reach_anthropic() {
    let body = |unsigned: &str| {
        format!(
            r#"{{"model":"MODEL","messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{unsigned}{{"type":"thinking","thinking":"x","signature":"s"}},{{"type":"text","text":"b","n":1.0}}]}},{{"role":"user","content":"c"}}],"max_tokens":9}}"#
        )
    };
    let unsigned = r#"{"type":"thinking","thinking":"hm","signature":""},"#;
    for unsigned in [unsigned, ""] {
        let call = body(unsigned).replace("MODEL", "anthropic/c");
        assert_eq!(sent("anthropic", MESSAGES, &call, THINKS).await, body("").replace("MODEL", "c"));
    }
    let upstream = Provider::answering(THINKS).await;
    let bot = deployment("anthropic/c", json!({}), DeploymentSettings::default());
    let gateway = Fixture::start(&[("anthropic", &upstream.url)], vec![bot]).await;
    gateway.post(MESSAGES, "", &body(unsigned).replace("MODEL", "bot")).await;
    let sent = upstream.body();
    assert!(!sent.contains("hm") && sent.contains(r#""signature":"s""#), "{sent}");
}

#[tokio::test]
async fn numbers_in_schemas_are_as_they_were_written() {
    let schema = r#"{"type": "object", "maximum": 123456789012345678901234567890, "multipleOf": 0.1000000000000000055511151231257827, "minimum": 9007199254740993}"#;
    let tool = |more: &str| format!(r#"{{"type":"function","function":{{"name":"f","parameters":{schema}{more}}}}}"#);
    let answers = [("anthropic", THINKS), ("gemini", r#"{"candidates":[{"content":{"parts":[{"text":"d"}]}}]}"#)];
    for (provider, answer) in answers {
        let call = |fields: &str| {
            format!(r#"{{"model":"{provider}/m","messages":[{{"role":"user","content":"a"}}],{fields}}}"#)
        };
        let with_tools = call(&format!(r#""tools":[{},{}]"#, tool(""), tool(r#","strict":true"#)));
        let sent_tools = sent(provider, CHAT, &with_tools, answer).await;
        assert_eq!(sent_tools.matches(schema).count(), 2, "{sent_tools}");
        let format =
            format!(r#""response_format":{{"type":"json_schema","json_schema":{{"name":"a","schema":{schema}}}}}"#);
        let sent_format = sent(provider, CHAT, &call(&format), answer).await;
        assert!(sent_format.contains(schema), "{sent_format}");
        // Where the system text says it, without the spaces.
        let said = call(&format!(r#"{format},"tools":[{}]"#, tool("")));
        let said = sent(provider, CHAT, &said, answer).await;
        for number in ["123456789012345678901234567890", "0.1000000000000000055511151231257827"] {
            assert_eq!(said.matches(number).count(), 2, "{said}");
        }
        // A deployment's callers bring tools of their own.
        let upstream = Provider::answering(answer).await;
        let bot = deployment(&format!("{provider}/m"), json!({}), DeploymentSettings::default());
        let gateway = Fixture::start(&[(provider, &upstream.url)], vec![bot]).await;
        gateway.post(CHAT, "", &with_tools.replace(&format!("{provider}/m"), "bot")).await;
        assert_eq!(upstream.body().matches(schema).count(), 2, "{}", upstream.body());
    }
    // From Anthropic's format, where another one is asked.
    let format = format!(r#"{{"type":"json_schema","schema":{schema}}}"#);
    let call = format!(
        r#"{{"model":"local/m","max_tokens":9,"messages":[],"output_config":{{"format":{format}}},"tools":[{{"name":"f","input_schema":{schema}}}]}}"#
    );
    let sent = sent("local", MESSAGES, &call, ANSWER).await;
    assert_eq!(sent.matches(schema).count(), 2, "{sent}");
}

#[tokio::test]
async fn an_error_in_plain_words_is_one_in_a_translated_stream() {
    let chat = r#"data: {"choices":[{"delta":{"content":"Hel"}}]}"#;
    let messages = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#;
    let gemini = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hel"}]}}]}"#;
    let words = "event: error\ndata: upstream went away";
    for (provider, path, begun, last) in [
        ("anthropic", CHAT, messages, r#"data: {"type":"message_stop"}"#),
        ("gemini", CHAT, gemini, "data: [DONE]"),
        ("local", MESSAGES, chat, "data: [DONE]"),
    ] {
        let upstream = Provider::start(vec![streamed(&[begun, words, last])]).await;
        let mut gateway = Fixture::start(&[(provider, &upstream.url)], Vec::new()).await;
        let call = json!({"model": format!("{provider}/m"), "max_tokens": 9, "stream": true,
            "messages": [{"role": "user", "content": "hi"}]});
        let answer = gateway.post(path, "", &call.to_string()).await;
        let error = events(&answer).pop().unwrap();
        let expected = if path == MESSAGES {
            json!({"type": "error", "error": {"type": "api_error", "message": "upstream went away"}})
        } else {
            json!({"error": {"message": "upstream went away", "type": "api_error", "param": null, "code": "upstream_error"}})
        };
        assert_eq!(error, expected, "{provider}: {answer}");
        assert!(answer.contains("Hel") && !answer.contains("message_stop") && !answer.contains("[DONE]"), "{answer}");
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.error.as_deref()), (CallOutcome::UpstreamError, Some("upstream went away")));

        // Before anything of an answer came it is an error like others.
        let answer = answered(provider, path, &json!({"stream": true}), streamed(&[words])).await;
        assert!(split(&answer).0 == 502 && answer.contains("upstream went away"), "{provider}: {answer}");
    }
}
