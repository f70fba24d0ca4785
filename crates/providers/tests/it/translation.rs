//! Anthropic's and Gemini's formats, against fake servers.

use llmops_domain::chat::{ChatRequest, FunctionCall, Message, Parameters, Role, ToolCall};
use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};
use llmops_providers::upstream::Purpose;
use serde_json::{Value, json};

use crate::support::{FakeServer, Play, ask, providers, remote, request, user};

/// A conversation with everything in it.
fn rich() -> ChatRequest {
    let call = ToolCall {
        id: "call_1".to_owned(),
        kind: "function".to_owned(),
        function: FunctionCall { name: "weather".to_owned(), arguments: r#"{"city": "Oslo"}"#.to_owned() },
    };
    let picture = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    ]);
    let mut messages = vec![
        Message::text(Role::System, "Be kind."),
        Message::text(Role::Developer, "Be brief."),
        Message::text(Role::User, "Weather in Oslo?"),
        Message { tool_calls: vec![call], ..Message::text(Role::Assistant, "") },
        Message { tool_call_id: Some("call_1".to_owned()), ..Message::text(Role::Tool, "4 degrees") },
        Message { content: picture, ..Message::text(Role::User, "") },
    ];
    messages[3].content = Value::Null;
    let mut asked = request("model-1", messages);
    asked.parameters = Parameters {
        temperature: Some(0.0),
        top_p: Some(1.0),
        max_tokens: Some(64),
        stop: vec!["END".to_owned()],
        seed: Some(5),
        extra_body: [("top_k".to_owned(), json!(3))].into(),
        ..Parameters::default()
    };
    asked.tools = vec![json!({"type": "function", "function": {
        "name": "weather", "description": "The weather", "parameters": {"type": "object"}}})];
    asked
}

async fn exchange(
    config: impl Fn(RemoteConfig) -> ProviderConfig,
    asked: &ChatRequest,
    answer: &str,
) -> (String, Value, Value) {
    let server = FakeServer::start(vec![Play::json(answer)]).await;
    let response = ask(config(remote(&server.url())), asked).await.unwrap().response;
    let received = server.received().remove(0);
    let calls: Vec<Value> =
        response.tool_calls.iter().map(|call| json!([call.id, call.function.name, call.function.arguments])).collect();
    let usage = [response.usage.prompt_tokens, response.usage.completion_tokens];
    let read = json!([response.text, response.finish_reason, response.model, usage, calls]);
    (received.head, received.body, read)
}

/// The fields of a body, one a line.
fn fields(body: &Value) -> String {
    let lines = body.as_object().unwrap().iter().map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn anthropic() {
    let answer = r#"{"id": "msg", "type": "message", "model": "claude-x", "stop_reason": "tool_use", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Let me "},
        {"type": "text", "text": "see."}, {"type": "tool_use", "id": "tu_1", "name": "weather", "input": {"city": "Oslo"}}],
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": null}}"#;
    let (head, body, read) = exchange(ProviderConfig::Anthropic, &rich(), answer).await;
    assert!(head.starts_with("POST /messages HTTP/1.1"), "{head}");
    assert!(head.contains("x-api-key: sk-very-secret") && head.contains("anthropic-version: 2023-06-01"), "{head}");
    insta::assert_snapshot!(fields(&body), @r#"
    model: "model-1"
    max_tokens: 64
    system: "Be kind.\n\nBe brief."
    temperature: 0.0
    stop_sequences: ["END"]
    tools: [{"name":"weather","description":"The weather","input_schema":{"type":"object"}}]
    top_k: 3
    messages: [{"role":"user","content":"Weather in Oslo?"},{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"weather","input":{"city":"Oslo"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"4 degrees"},{"type":"text","text":"What is this?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]
    "#);
    assert_eq!(
        read,
        json!(["Let me see.", "tool_calls", "claude-x", [100, 5], [["tu_1", "weather", r#"{"city":"Oslo"}"#]]])
    );
}

#[test]
fn a_version_of_anthropics_api_that_is_configured_is_nobodys_to_change() {
    let version = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = RemoteConfig { headers, ..remote("http://h") };
        let upstream = providers(ProviderConfig::Anthropic(config)).upstream("p").unwrap();
        let endpoint = upstream.endpoint(Purpose::Chat, "m").unwrap();
        (endpoint.headers["anthropic-version"].clone(), endpoint.default_header.is_some())
    };
    assert_eq!(version(&[]), ("2023-06-01".parse().unwrap(), true));
    assert_eq!(version(&[("Anthropic-Version", "2027-01-31")]), ("2027-01-31".parse().unwrap(), false));
}

#[tokio::test]
async fn anthropic_structured_answers() {
    let mut asked = user("x");
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    asked.response_format = Some(json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}));
    let answer = r#"{"content": [{"type": "text", "text": "Here: "}, {"type": "tool_use", "id": "t", "name": "give_answer",
        "input": {"a": 1}}], "stop_reason": "tool_use", "model": "c"}"#;
    let (_, body, read) = exchange(ProviderConfig::Anthropic, &asked, answer).await;
    assert_eq!(body["tools"][0]["input_schema"], schema);
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "give_answer"}));
    assert_eq!(read, json!([r#"{"a":1}"#, "stop", "c", [0, 0], []]));

    asked.response_format = Some(json!({"type": "json_object"}));
    let (_, body, _) = exchange(ProviderConfig::Anthropic, &asked, r#"{"content": []}"#).await;
    assert_eq!(body["system"], "Answer with one JSON object and nothing else.");
    assert_eq!(body["max_tokens"], 4096);
}

#[tokio::test]
async fn anthropic_reasons_to_stop() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("new_one", "new_one"),
    ] {
        let answer = json!({"content": [], "stop_reason": reason}).to_string();
        let (_, _, read) = exchange(ProviderConfig::Anthropic, &user("x"), &answer).await;
        assert_eq!(read[1], expected);
    }
}

#[tokio::test]
async fn gemini() {
    let answer = r#"{"candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": true},
        {"text": "Let me see."}, {"functionCall": {"id": "c1", "name": "weather", "args": {
        "city": "Oslo", "id": 12345678901234567890123}}, "thoughtSignature": "s+/="}]},
        "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7, "totalTokenCount": 22}, "modelVersion": "gemini-x"}"#;
    let (head, body, read) = exchange(ProviderConfig::Gemini, &rich(), answer).await;
    assert!(head.starts_with("POST /models/model-1:generateContent HTTP/1.1"), "{head}");
    assert!(head.contains("x-goog-api-key: sk-very-secret"), "{head}");
    insta::assert_snapshot!(fields(&body), @r#"
    systemInstruction: {"parts":[{"text":"Be kind.\n\nBe brief."}]}
    tools: [{"functionDeclarations":[{"name":"weather","description":"The weather","parametersJsonSchema":{"type":"object"}}]}]
    generationConfig: {"temperature":0.0,"topP":1.0,"maxOutputTokens":64,"stopSequences":["END"],"seed":5,"topK":3}
    contents: [{"role":"user","parts":[{"text":"Weather in Oslo?"}]},{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"result":"4 degrees"}}},{"text":"What is this?"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"fileData":{"fileUri":"https://x/y.png"}}]}]
    "#);
    assert_eq!(
        read,
        json!([
            "Let me see.",
            "tool_calls",
            "gemini-x",
            [10, 12],
            [["c1__thought__s-_", "weather", r#"{"city":"Oslo","id":12345678901234567890123}"#]]
        ])
    );
}

/// A conversation in which one tool after the other was called, under these ids.
fn calls_in_turn(ids: [&str; 2], arguments: &str) -> ChatRequest {
    let call = |(id, name): (&str, &str)| {
        let function = FunctionCall { name: name.to_owned(), arguments: arguments.to_owned() };
        let call = ToolCall { id: id.to_owned(), kind: "function".to_owned(), function };
        let result = Message::text(Role::Tool, format!("of {name}"));
        [
            Message { tool_calls: vec![call], ..Message::text(Role::Assistant, "") },
            Message { tool_call_id: Some(id.to_owned()), ..result },
        ]
    };
    let messages = ids.into_iter().zip(["f", "g"]).flat_map(call);
    request("m", std::iter::once(Message::text(Role::User, "x")).chain(messages).collect())
}

#[tokio::test]
async fn gemini_knows_its_calls_again() {
    let answer = r#"{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]}}]}"#;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, _, read) = exchange(ProviderConfig::Gemini, &user("x"), answer).await;
        ids.extend(read[4].as_array().unwrap().iter().map(|call| call[0].to_string()));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");

    // Under one id each, as an earlier answer may have had them.
    let asked = calls_in_turn(["call_0", "call_0"], "{}");
    let (_, body, _) = exchange(ProviderConfig::Gemini, &asked, answer).await;
    let named = |at: usize| body["contents"][at]["parts"][0]["functionResponse"].clone();
    assert_eq!(named(2), json!({"name": "f", "response": {"result": "of f"}}));
    assert_eq!(named(4), json!({"name": "g", "response": {"result": "of g"}}));

    let asked = calls_in_turn(["c1__thought__s-_", "c2__thought__abcd"], "{}");
    let (_, body, _) = exchange(ProviderConfig::Gemini, &asked, answer).await;
    let signature = |at: usize| body["contents"][at]["parts"][0]["thoughtSignature"].clone();
    assert_eq!((signature(1), signature(3)), (json!("s+/="), json!("abcd")));
    assert_eq!(body["contents"][4]["parts"][0]["functionResponse"]["name"], "g");
}

#[tokio::test]
async fn arguments_are_sent_as_they_were_written() {
    for (config, answer) in [
        (ProviderConfig::Anthropic as fn(RemoteConfig) -> ProviderConfig, r#"{"content": []}"#),
        (ProviderConfig::Gemini, r#"{"candidates": [{}]}"#),
    ] {
        let server = FakeServer::start(vec![Play::json(answer)]).await;
        let number = "12345678901234567890123";
        let asked = calls_in_turn(["a", "b"], &format!(r#"{{"id": {number}}}"#));
        ask(config(remote(&server.url())), &asked).await.unwrap();
        assert!(server.received()[0].text.contains(&format!(r#"{{"id": {number}}}"#)), "{}", server.received()[0].text);
    }
}

#[tokio::test]
async fn files_and_sounds() {
    let ask_with = async |config: fn(RemoteConfig) -> ProviderConfig, part: Value, answer: &str| {
        let server = FakeServer::start(vec![Play::json(answer)]).await;
        let asked = request("m", vec![Message { content: json!([part]), ..Message::text(Role::User, "") }]);
        match ask(config(remote(&server.url())), &asked).await {
            Ok(_) => server.received()[0].body.clone(),
            Err(error) => json!(error.to_string()),
        }
    };
    let (claude, gemini) = (r#"{"content": []}"#, r#"{"candidates": [{}]}"#);
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}});
    let body = ask_with(ProviderConfig::Anthropic, pdf.clone(), claude).await;
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "AA=="});
    let document = json!([{"type": "document", "source": source, "title": "a.pdf"}]);
    assert_eq!(body["messages"][0]["content"], document);
    let body = ask_with(ProviderConfig::Gemini, pdf, gemini).await;
    let data = json!([{"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}]);
    assert_eq!(body["contents"][0]["parts"], data);
    let body = ask_with(ProviderConfig::Gemini, sound.clone(), gemini).await;
    assert_eq!(body["contents"][0]["parts"], json!([{"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}]));

    let check = async |part: Value, expected: &str| {
        let error = ask_with(ProviderConfig::Anthropic, part.clone(), claude).await.to_string();
        assert!(error.contains(expected), "{part}: {error}");
    };
    check(sound, "input_audio").await;
    check(json!({"type": "file", "file": {"file_id": "f1"}}), "type `file`").await;
    check(json!({"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}}), "type `text/csv`").await;
    check(json!({"type": "video_url", "video_url": {"url": "https://x"}}), "type `video_url`").await;
}

#[tokio::test]
async fn a_choice_of_tools_leaves_the_answers_tool_alone() {
    let check = async |response_format: Value, extra: Value, expected: Value| {
        let mut asked = user("x");
        asked.response_format = Some(response_format).filter(|format| !format.is_null());
        asked.parameters.extra_body = serde_json::from_value(extra.clone()).unwrap();
        if asked.response_format.is_none() {
            asked.tools = vec![json!({"type": "function", "function": {"name": "f"}})];
        }
        let (_, body, _) = exchange(ProviderConfig::Anthropic, &asked, r#"{"content": []}"#).await;
        assert_eq!(json!([body["tool_choice"], body["metadata"]]), expected, "{extra}");
        assert!(body.get("user").is_none() && body.get("parallel_tool_calls").is_none(), "{body}");
    };
    let schema = json!({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}});
    let forced = json!({"type": "tool", "name": "give_answer"});
    check(schema, json!({"tool_choice": "auto"}), json!([forced, null])).await;
    let auto = json!({"type": "auto", "disable_parallel_tool_use": true});
    let user = json!({"user_id": "u"});
    check(Value::Null, json!({"parallel_tool_calls": false, "user": "u"}), json!([auto, user])).await;
    let any = json!({"tool_choice": "required", "parallel_tool_calls": true});
    check(Value::Null, any, json!([{"type": "any"}, null])).await;
    let none = json!({"tool_choice": "none", "parallel_tool_calls": false});
    check(Value::Null, none, json!([{"type": "none"}, null])).await;
}

#[tokio::test]
async fn gemini_formats_and_filters() {
    let mut asked = user("x");
    asked.model = "tunedModels/mine".to_owned();
    asked.response_format = Some(json!({"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}));
    asked.parameters.temperature = Some(0.5);
    asked.parameters.extra_body = [("generationConfig".to_owned(), json!({"topK": 1}))].into();
    let blocked = r#"{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}"#;
    let (head, body, read) = exchange(ProviderConfig::Gemini, &asked, blocked).await;
    assert!(head.starts_with("POST /tunedModels/mine:generateContent "), "{head}");
    let config = json!({
        "temperature": 0.5, "topK": 1, "responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}
    });
    assert_eq!(body["generationConfig"], config);
    assert_eq!(read, json!(["", "content_filter", "", [3, 0], []]));
    for (reason, expected) in
        [("MAX_TOKENS", "length"), ("RECITATION", "content_filter"), ("STOP", "stop"), ("NEW_ONE", "new_one")]
    {
        let answer = json!({"candidates": [{"finishReason": reason}]}).to_string();
        let (_, _, read) = exchange(ProviderConfig::Gemini, &user("x"), &answer).await;
        assert_eq!(read[1], expected);
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    for (config, body) in [
        (ProviderConfig::Anthropic as fn(RemoteConfig) -> ProviderConfig, "{}"),
        (ProviderConfig::Anthropic, "[]"),
        (ProviderConfig::Gemini, "{}"),
        (ProviderConfig::Gemini, "nonsense"),
    ] {
        let server = FakeServer::start(vec![Play::json(body)]).await;
        let error = ask(config(remote(&server.url())), &user("x")).await.unwrap_err();
        assert_eq!(error.reason(), "provider: unreadable answer", "{body}");
    }
}
