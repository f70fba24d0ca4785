//! Anthropic's and Gemini's formats, against fake servers.

use llmops_domain::chat::{ChatRequest, FunctionCall, Message, Parameters, Role, ToolCall};
use llmops_domain::config::providers::{ProviderConfig, RemoteConfig};
use serde_json::{Value, json};

use crate::support::{FakeServer, Play, ask, remote, request, user};

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
    messages: [{"role":"user","content":"Weather in Oslo?"},{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"weather","input":{"city":"Oslo"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"4 degrees"},{"type":"text","text":"What is this?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]
    temperature: 0.0
    stop_sequences: ["END"]
    tools: [{"name":"weather","description":"The weather","input_schema":{"type":"object"}}]
    top_k: 3
    "#);
    assert_eq!(
        read,
        json!(["Let me see.", "tool_calls", "claude-x", [100, 5], [["tu_1", "weather", r#"{"city":"Oslo"}"#]]])
    );
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
        {"text": "Let me see."}, {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "s"}]},
        "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7, "totalTokenCount": 22}, "modelVersion": "gemini-x"}"#;
    let (head, body, read) = exchange(ProviderConfig::Gemini, &rich(), answer).await;
    assert!(head.starts_with("POST /models/model-1:generateContent HTTP/1.1"), "{head}");
    assert!(head.contains("x-goog-api-key: sk-very-secret"), "{head}");
    insta::assert_snapshot!(fields(&body), @r#"
    systemInstruction: {"parts":[{"text":"Be kind.\n\nBe brief."}]}
    contents: [{"role":"user","parts":[{"text":"Weather in Oslo?"}]},{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"result":"4 degrees"}}},{"text":"What is this?"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"fileData":{"fileUri":"https://x/y.png"}}]}]
    tools: [{"functionDeclarations":[{"name":"weather","description":"The weather","parametersJsonSchema":{"type":"object"}}]}]
    generationConfig: {"temperature":0.0,"topP":1.0,"maxOutputTokens":64,"stopSequences":["END"],"seed":5}
    top_k: 3
    "#);
    assert_eq!(
        read,
        json!(["Let me see.", "tool_calls", "gemini-x", [10, 12], [["call_0", "weather", r#"{"city":"Oslo"}"#]]])
    );
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
