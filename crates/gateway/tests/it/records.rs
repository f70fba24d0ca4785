//! Records say what happened: what was counted, how it ended, who answered, what went wrong.

use llmops_domain::deployment::{CacheSettings, DeploymentSettings};
use llmops_domain::hash::ContentHash;
use llmops_domain::record::{BodyPolicy, CallOutcome, RequestRecord};
use llmops_domain::soft_failure::{GuardAction, GuardConfig};
use serde_json::{Value, json};

use crate::support::{
    Fixture, PROVIDER_KEY, Provider, STREAM_HEAD, Step, deployment, header, json_response, piece, split,
};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

/// A stream of this text, in one chunk.
fn stream(text: &str) -> String {
    format!("{STREAM_HEAD}{}0\r\n\r\n", piece(text))
}

fn events(events: &[&str]) -> String {
    stream(&events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>())
}

fn call(model: &str, stream: bool) -> Value {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "12345678"}], "stream": stream})
}

/// The answer and the record of a call to a provider that sends these bytes.
async fn recorded(provider: &str, path: &str, is_stream: bool, bytes: &str) -> (String, RequestRecord) {
    let upstream = Provider::start(vec![vec![Step::Send(bytes.to_owned())]]).await;
    let mut gateway = Fixture::start(&[(provider, &upstream.url)], Vec::new()).await;
    let answer = gateway.post(path, "", &call(&format!("{provider}/m"), is_stream).to_string()).await;
    (answer, gateway.record().await)
}

const CLAUDE_USAGE: &str = r#""input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000"#;

fn claude() -> String {
    json_response(
        200,
        "",
        &format!(
            r#"{{"model":"claude-9","content":[{{"type":"text","text":"Hi."}}],"stop_reason":"end_turn","usage":{{{CLAUDE_USAGE},"output_tokens":5}}}}"#
        ),
    )
}

fn claude_streamed() -> String {
    events(&[
        &format!(
            r#"{{"type":"message_start","message":{{"model":"claude-9","usage":{{{CLAUDE_USAGE},"output_tokens":1}}}}}}"#
        ),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi."}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}"#,
        r#"{"type":"message_stop"}"#,
    ])
}

#[tokio::test]
async fn tokens_are_what_the_provider_counted() {
    let uncounted = r#"{"model":"m-1","choices":[{"index":0,"message":{"content":"1234"},"finish_reason":"stop"}]}"#;
    let delta = r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"1234"},"finish_reason":"stop"}]}"#;
    for (provider, path, is_stream, bytes, expected) in [
        ("anthropic", CHAT, false, claude(), (1110, 5, false)),
        ("anthropic", CHAT, true, claude_streamed(), (1110, 5, false)),
        ("anthropic", MESSAGES, false, claude(), (1110, 5, false)),
        ("anthropic", MESSAGES, true, claude_streamed(), (1110, 5, false)),
        // Where it counted none, by what was said.
        ("local", CHAT, false, json_response(200, "", uncounted), (2, 1, true)),
        ("local", MESSAGES, false, json_response(200, "", uncounted), (2, 1, true)),
        ("local", CHAT, true, events(&[delta, "[DONE]"]), (2, 1, true)),
        ("local", MESSAGES, true, events(&[delta, "[DONE]"]), (2, 1, true)),
        // What comes after the end counts no more.
        ("local", CHAT, true, events(&[delta, "[DONE]", r#"{"usage":{"prompt_tokens":99}}"#]), (2, 1, true)),
        ("local", MESSAGES, true, events(&[delta, "[DONE]", r#"{"usage":{"prompt_tokens":99}}"#]), (2, 1, true)),
    ] {
        let (answer, record) = recorded(provider, path, is_stream, &bytes).await;
        let usage = record.usage;
        let found = (usage.prompt_tokens, usage.completion_tokens, record.usage_estimated);
        assert_eq!(found, expected, "{provider} {path} {is_stream}: {answer}");
        let model = if provider == "local" { "m-1" } else { "claude-9" };
        assert_eq!((record.outcome, record.model_answered.as_deref()), (CallOutcome::Ok, Some(model)));
    }
}

#[tokio::test]
async fn a_model_answered_only_where_the_provider_says_so() {
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}"#;
    let unnamed = r#"{"choices":[{"index":0,"message":{"content":"Hi."}}],"usage":{"prompt_tokens":3}}"#;
    for (provider, path, is_stream, bytes) in [
        ("gemini", CHAT, false, json_response(200, "", blocked)),
        ("gemini", CHAT, true, events(&[blocked])),
        ("local", MESSAGES, false, json_response(200, "", unnamed)),
        ("local", CHAT, false, json_response(200, "", unnamed)),
    ] {
        let (answer, record) = recorded(provider, path, is_stream, &bytes).await;
        assert_eq!(record.model_answered, None, "{provider} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_safe_answer_names_no_model_and_costs_nothing() {
    let empty = r#"{"model":"m-1","choices":[{"index":0,"message":{"content":""}}],"usage":{"prompt_tokens":3}}"#;
    let provider = Provider::answering(empty).await;
    let guard = GuardConfig {
        actions: vec![GuardAction::Replace],
        safe_answer: Some("Please call us.".to_owned()),
        ..GuardConfig::default()
    };
    let settings = DeploymentSettings { guard, ..DeploymentSettings::default() };
    let bot = deployment("local/m", json!({}), settings);
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    let answer = gateway.chat(&call("bot", false)).await;
    assert!(answer.contains("Please call us."), "{answer}");
    let record = gateway.record().await;
    assert_eq!((record.model_answered, record.usage.prompt_tokens, record.usage_estimated), (None, 3, false));
}

#[tokio::test]
async fn a_guard_lets_pass_what_it_cannot_read() {
    for body in [
        r#"{"choices":[{"message":{"content":null,"tool_calls":[{"type":"custom","custom":{"name":"f","input":"x"}}]}}]}"#,
        r#"{"choices":[{"message":{"content":"Hi."}}],"usage":{"prompt_tokens":3.0}}"#,
        r#"{"choices":[{"message":{"content":[{"type":"image_url"}]}}]}"#,
    ] {
        let provider = Provider::answering(body).await;
        let guard = GuardConfig {
            actions: vec![GuardAction::Replace],
            safe_answer: Some("Please call us.".to_owned()),
            ..GuardConfig::default()
        };
        let settings = DeploymentSettings { guard, ..DeploymentSettings::default() };
        let mut gateway =
            Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", json!({}), settings)]).await;
        let mut call = call("bot", false);
        call["tools"] = json!([{"type": "custom", "custom": {"name": "f"}}]);
        let answer = gateway.chat(&call).await;
        assert_eq!(split(&answer), (200, body));
        assert_eq!(gateway.record().await.soft_failures, [], "{body}");
    }
}

#[tokio::test]
async fn a_stream_without_its_end_is_cut() {
    let hello = r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#;
    let finished = r#"{"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}"#;
    let claude = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#;
    let (cut, ok) = (CallOutcome::Cut, CallOutcome::Ok);
    for (provider, path, sent, outcome) in [
        ("local", CHAT, vec![hello], cut),
        ("local", MESSAGES, vec![hello], cut),
        ("anthropic", CHAT, vec![claude], cut),
        ("anthropic", MESSAGES, vec![claude], cut),
        ("local", CHAT, vec![hello, "[DONE]"], ok),
        ("local", MESSAGES, vec![hello, "[DONE]"], ok),
        ("local", CHAT, vec![hello, finished], ok),
        ("local", MESSAGES, vec![hello, finished], ok),
        ("anthropic", CHAT, vec![claude, r#"{"type":"message_stop"}"#], ok),
    ] {
        let (answer, record) = recorded(provider, path, true, &events(&sent)).await;
        assert_eq!(record.outcome, outcome, "{provider} {path} {sent:?}: {answer}");
        assert_eq!(record.error.is_some(), outcome == cut);
        let is_translated = (provider == "anthropic") == (path == CHAT);
        if is_translated {
            let (ends, fails) =
                (answer.contains("[DONE]") || answer.contains("message_stop"), answer.contains("error"));
            assert_eq!((ends, fails), (outcome == ok, outcome == cut), "{answer}");
        }
    }
}

#[tokio::test]
async fn anthropics_clients_name_the_user_in_their_own_place() {
    let provider = Provider::answering(r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#).await;
    let bot = deployment("local/m", json!({}), DeploymentSettings::default());
    let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
    for (path, said, expected) in
        [(MESSAGES, json!({}), Some("ana")), (MESSAGES, json!({"user": "ben"}), Some("ben")), (CHAT, json!({}), None)]
    {
        let mut call = call("bot", false);
        (call["metadata"], call["llmops"]) = (json!({"user_id": "ana"}), said);
        gateway.post(path, "", &call.to_string()).await;
        assert_eq!(gateway.record().await.user.as_deref(), expected, "{path}");
    }
}

#[tokio::test]
async fn labels_and_sessions_are_kept_as_bodies_are() {
    let provider = Provider::answering(r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#).await;
    let hash = ContentHash::of_bytes(b"ana@example.org").to_string();
    for (policy, mail, key, session) in [
        (BodyPolicy::Full, "[email]", "[key]", hash.as_str()),
        (BodyPolicy::Hashed, "[email]", "[key]", hash.as_str()),
        (BodyPolicy::None, "[email]", "[key]", hash.as_str()),
        (BodyPolicy::Raw, "ana@example.org", "sk-proj-abcdefghijklmnop1234", "ana@example.org"),
    ] {
        let settings = DeploymentSettings { bodies: policy, ..DeploymentSettings::default() };
        let bot = deployment("local/m", json!({}), settings);
        let mut gateway = Fixture::start(&[("local", &provider.url)], vec![bot]).await;
        let mut call = call("bot", false);
        let tags = json!({"mail": "ana@example.org", "k": "sk-proj-abcdefghijklmnop1234", "team": "a"});
        call["llmops"] = json!({"session": "ana@example.org", "tags": tags});
        gateway.chat(&call).await;
        let record = gateway.record().await;
        assert_eq!(record.session.as_deref(), Some(session), "{policy:?}");
        let kept = ["mail", "k", "team"].map(|name| record.tags[name].as_str());
        assert_eq!(kept, [mail, key, "a"], "{policy:?}");
    }
}

/// Clients take a connection that breaks for an error of the network, and not for one of the model's.
#[tokio::test]
async fn a_translated_stream_that_breaks_off_ends_with_an_error_event() {
    let hello = r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#;
    let claude = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#;
    for (model, path, sent, event) in
        [("local/m", MESSAGES, hello, "event: error\ndata: {"), ("anthropic/m", CHAT, claude, "\"upstream_error\"")]
    {
        for (then, words, why) in [
            (Step::Close, "the model provider's answer stopped before its end", "the provider's answer broke off"),
            (Step::UntilClosed, "the answer took longer than it may", "the answer took longer than it may"),
        ] {
            let begun = format!("{STREAM_HEAD}{}", piece(&format!("data: {sent}\n\n")));
            let upstream = Provider::start(vec![vec![Step::Send(begun), then.clone()]]).await;
            let timeout_total = "100ms".parse().unwrap();
            let settings = DeploymentSettings { timeout_total, ..DeploymentSettings::default() };
            let providers = [(model.split_once('/').unwrap().0, &*upstream.url)];
            let mut gateway = Fixture::start(&providers, vec![deployment(model, json!({}), settings)]).await;
            let answer = gateway.post(path, "", &call("bot", true).to_string()).await;
            assert!(answer.contains("Hel") && answer.contains(event), "{path} {then:?}: {answer}");
            assert!(answer.contains(&format!("\"message\":\"{words}\"")), "{path} {then:?}: {answer}");
            assert!(answer.ends_with("0\r\n\r\n") && !answer.contains("[DONE]"), "{path} {then:?}: {answer}");
            let record = gateway.record().await;
            assert_eq!(record.outcome, CallOutcome::Cut, "{path} {then:?}");
            assert!(record.error.as_deref().is_some_and(|error| error.starts_with(why)), "{:?}", record.error);
        }
    }
}

#[tokio::test]
async fn only_whole_answers_are_kept() {
    let cut = events(&[r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"Hel"}}]}"#]);
    let whole =
        events(&[r#"{"model":"m-1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#]);
    let close = |bytes: &str| vec![Step::Send(bytes.to_owned()), Step::Close];
    for path in [CHAT, MESSAGES] {
        let provider = Provider::start(vec![close(&cut), close(&whole)]).await;
        let settings = DeploymentSettings { cache: Some(CacheSettings::default()), ..DeploymentSettings::default() };
        let mut gateway =
            Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", json!({}), settings)]).await;
        for (expected, asked) in [("miss", 1), ("miss", 2), ("hit", 2)] {
            let answer = gateway.post(path, "", &call("bot", true).to_string()).await;
            assert_eq!(header(&answer, "x-llmops-cache").as_deref(), Some(expected), "{answer}");
            assert_eq!(header(&answer, "content-type").as_deref(), Some("text/event-stream"));
            assert_eq!(provider.requests().len(), asked);
            let record = gateway.record().await;
            assert_eq!((record.usage.prompt_tokens, record.usage_estimated), (2, true));
            assert_eq!(record.model_answered.as_deref(), Some("m-1"));
        }
    }
}

#[tokio::test]
async fn a_kept_answer_has_the_type_that_it_came_with() {
    let body = r#"{"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}"#;
    let provider = Provider::answering(body).await;
    let settings = DeploymentSettings { cache: Some(CacheSettings::default()), ..DeploymentSettings::default() };
    let mut gateway =
        Fixture::start(&[("local", &provider.url)], vec![deployment("local/m", json!({}), settings)]).await;
    for _ in 0..2 {
        let answer = gateway.chat(&call("bot", true)).await;
        assert_eq!(header(&answer, "content-type").as_deref(), Some("application/json"), "{answer}");
        assert_eq!(split(&answer), (200, body));
        gateway.record().await;
    }
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn a_whole_answer_is_not_kept_for_a_stream() {
    let whole = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"modelVersion":"g-1"}"#;
    let provider = Provider::start(vec![
        vec![Step::Send(json_response(200, "", whole)), Step::Close],
        vec![Step::Send(events(&[whole])), Step::Close],
    ])
    .await;
    let settings = DeploymentSettings { cache: Some(CacheSettings::default()), ..DeploymentSettings::default() };
    let mut gateway =
        Fixture::start(&[("gemini", &provider.url)], vec![deployment("gemini/g", json!({}), settings)]).await;
    for (is_stream, kind) in [(false, "application/json"), (true, "text/event-stream")] {
        let answer = gateway.chat(&call("bot", is_stream)).await;
        assert_eq!(header(&answer, "content-type").as_deref(), Some(kind), "{answer}");
        gateway.record().await;
    }
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn trailers_end_an_answer() {
    let event = piece("data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n");
    let head = STREAM_HEAD.replace("\r\n\r\n", "\r\ntrailer: x-sum\r\n\r\n");
    for (provider, path) in [("local", CHAT), ("local", MESSAGES)] {
        let (answer, record) = recorded(provider, path, true, &format!("{head}{event}0\r\nx-sum: 7\r\n\r\n")).await;
        assert_eq!(record.outcome, CallOutcome::Ok, "{answer}");
    }
}

#[tokio::test]
async fn counts_of_long_answers_are_found_at_their_ends() {
    let numbers = "0.12345678,".repeat(500_000);
    for body in [
        format!(r#"{{"data":[{numbers}0],"usage":{{"prompt_tokens":7777,"total_tokens":7777}}}}"#),
        format!(r#"{{"usage":{{"prompt_tokens":7777,"total_tokens":7777}},"data":[{numbers}0]}}"#),
    ] {
        let provider = Provider::answering(&body).await;
        let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
        let answer = gateway.post("/v1/embeddings", "", r#"{"model":"local/e","input":["a"]}"#).await;
        assert_eq!(split(&answer), (200, &*body));
        let record = gateway.record().await;
        assert_eq!((record.usage.prompt_tokens, record.usage_estimated), (7777, false));
    }
    // Of a stream its last events are read.
    let long = events(&[
        &format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "a".repeat(5 << 20)),
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}"#,
    ]);
    let (_, record) = recorded("local", CHAT, true, &long).await;
    assert_eq!((record.outcome, record.usage.prompt_tokens), (CallOutcome::Ok, 7));
    assert_eq!(record.soft_failures, []);
}

#[tokio::test]
async fn streams_are_read_however_their_lines_end() {
    let delta = r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let two = delta.replace("}]}", "\n}]}").replace('\n', "\ndata: ");
    for text in
        [format!("data: {delta}\r\rdata: [DONE]\r\r"), format!("data: {two}\n\n"), format!("data: {delta}\r\n\r\n")]
    {
        // Some servers stream without being asked.
        for is_asked in [true, false] {
            let (answer, record) = recorded("local", CHAT, is_asked, &stream(&text)).await;
            assert_eq!((record.outcome, record.usage.completion_tokens), (CallOutcome::Ok, 1), "{answer}");
        }
    }
}

#[tokio::test]
async fn errors_are_recorded_without_keys() {
    let secret = format!("bad key {PROVIDER_KEY} of ana@example.org");
    let in_json = |field: &str| json_response(400, "", &json!({field: secret}).to_string());
    for (is_stream, bytes) in [
        (false, json_response(400, "", &json!({"error": {"message": secret}}).to_string())),
        (false, in_json("message")),
        (false, in_json("detail")),
        (false, json_response(400, "", &secret)),
        (true, events(&[&json!({"error": {"message": secret}}).to_string()])),
        (true, stream(&format!("event: error\ndata: {}\n\n", json!({"message": secret})))),
        (false, json_response(200, "", &json!({"error": secret}).to_string())),
    ] {
        let (answer, record) = recorded("local", CHAT, is_stream, &bytes).await;
        assert_eq!(record.outcome, CallOutcome::UpstreamError, "{answer}");
        // Lengths stay true where the caller's bytes are covered.
        let error = record.error.unwrap().replace(&"*".repeat(PROVIDER_KEY.len()), "***");
        assert_eq!(error, "bad key *** of [email]", "{answer}");
    }
}
