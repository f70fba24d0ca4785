//! What providers may do on the wire beside answering plainly.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use llmops_domain::deployment::DeploymentSettings;
use llmops_domain::record::CallOutcome;
use serde_json::{Value, json};

use crate::support::{
    ANSWER, Fixture, PROVIDER_KEY, Provider, STREAM_HEAD, Step, deployment, header, json_response, piece, split,
};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A response with a body as it is, of a length that its head says.
fn response(status: u16, headers: &str, body: &[u8]) -> Step {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Step::SendRaw([head.as_bytes(), body].concat())
}

const GZIP_JSON: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
const GZIP_EVENTS: &str = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";

/// The answer to a call of a provider that does this.
async fn answered(path: &str, steps: Vec<Step>, stream: bool) -> String {
    let provider = Provider::start(vec![steps]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let call = json!({"model": "local/m", "max_tokens": 9, "messages": [], "stream": stream});
    gateway.post(path, "", &call.to_string()).await
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let answer = answered("/v1/chat/completions", vec![response(200, GZIP_JSON, &gzip(ANSWER))], false).await;
    assert_eq!(split(&answer), (200, ANSWER));
    assert_eq!(header(&answer, "content-encoding"), None);
    assert_eq!(header(&answer, "content-length"), Some(ANSWER.len().to_string()));

    let events =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let packed = gzip(events);
    let answer = answered("/v1/chat/completions", vec![response(200, GZIP_EVENTS, &packed)], true).await;
    assert!(answer.contains(events), "{answer}");
    let translated = answered("/v1/messages", vec![response(200, GZIP_EVENTS, &packed)], true).await;
    assert!(translated.contains("\"text\":\"Hello\"") && translated.contains("message_stop"), "{translated}");
    assert_eq!(header(&translated, "content-encoding"), None);
}

#[tokio::test]
async fn packed_answers_that_cannot_be_unpacked_are_none() {
    for headers in [GZIP_JSON, "content-type: application/json\r\ncontent-encoding: br\r\n"] {
        let answer = answered("/v1/chat/completions", vec![response(200, headers, ANSWER.as_bytes())], false).await;
        assert_eq!(split(&answer).0, 502, "{answer}");
    }
    // What is missing of a stream that has begun is told by how it ends.
    let whole = gzip("data: {}\n\n");
    let answer =
        answered("/v1/chat/completions", vec![response(200, GZIP_EVENTS, &whole[..whole.len() - 2])], true).await;
    assert!(answer.contains("data: {}") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn keys_in_packed_errors_are_taken_out() {
    let error = format!(r#"{{"error":{{"message":"bad key {PROVIDER_KEY}"}}}}"#);
    let packed = || vec![response(401, GZIP_JSON, &gzip(&error))];
    let answer = answered("/v1/chat/completions", packed(), false).await;
    assert_eq!(split(&answer), (401, r#"{"error":{"message":"bad key ***"}}"#));
    assert_eq!(header(&answer, "content-encoding"), None);

    let translated = answered("/v1/messages", packed(), false).await;
    let expected = r#"{"error":{"message":"bad key ***","type":"authentication_error"},"type":"error"}"#;
    let (status, body) = split(&translated);
    let (body, expected): (Value, Value) =
        (serde_json::from_str(body).unwrap(), serde_json::from_str(expected).unwrap());
    assert_eq!((status, body), (401, expected));
    assert_eq!(header(&translated, "content-encoding"), None);

    let unknown = "content-type: text/plain\r\ncontent-encoding: br\r\n";
    let answer = answered("/v1/chat/completions", vec![response(401, unknown, PROVIDER_KEY.as_bytes())], false).await;
    let (status, body) = split(&answer);
    assert!(status == 401 && body.contains("content-encoding `br`") && !body.contains(PROVIDER_KEY), "{answer}");
    assert_eq!(header(&answer, "content-type").as_deref(), Some("application/json"));

    let odd = [b"\xff bad key ", PROVIDER_KEY.as_bytes()].concat();
    let answer = gateway_bytes(vec![response(401, "content-type: text/plain\r\n", &odd)]).await;
    assert!(answer.ends_with(&[b"\xff bad key ".as_slice(), &[b'*'; PROVIDER_KEY.len()]].concat()), "{answer:?}");
}

/// As [`answered`], for answers that are no text.
async fn gateway_bytes(steps: Vec<Step>) -> Vec<u8> {
    let provider = Provider::start(vec![steps]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let mut stream = gateway.open("/v1/chat/completions", "", r#"{"model":"local/m","messages":[]}"#).await;
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn keys_in_streams_are_covered_wherever_pieces_end() {
    let event = format!("data: {{\"error\":{{\"message\":\"bad key {PROVIDER_KEY}\"}}}}\n\n");
    let covered = event.replace(PROVIDER_KEY, &"*".repeat(PROVIDER_KEY.len()));
    let middle = event.find(PROVIDER_KEY).unwrap() + 5;
    for end in [event.len(), middle] {
        let (first, last) = event.split_at(end);
        let mut steps = vec![Step::Send(format!("{STREAM_HEAD}{}", piece("data: {}\n\n")))];
        steps.push(Step::Send(piece(first)));
        steps.extend((!last.is_empty()).then(|| Step::Send(piece(last))));
        steps.push(Step::Send("0\r\n\r\n".to_owned()));
        let provider = Provider::start(vec![steps]).await;
        let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
        let answer = gateway.chat(&json!({"model": "local/m", "messages": [], "stream": true})).await;
        let body: String = chunks(split(&answer).1);
        assert_eq!(body, format!("data: {{}}\n\n{covered}"));
        let record = gateway.record().await;
        assert_eq!(record.outcome, CallOutcome::UpstreamError);
        assert!(!record.error.unwrap().contains(PROVIDER_KEY));
    }
    // A body that ends like the key begins lacks nothing, and neither does its announced length.
    let cut = format!("data: {}", &PROVIDER_KEY[..9]);
    let head = "content-type: text/event-stream\r\n";
    let answer = answered("/v1/chat/completions", vec![response(200, head, cut.as_bytes())], true).await;
    assert!(answer.contains(&cut), "{answer}");
    let whole = ANSWER.replace("Hello.", PROVIDER_KEY);
    let answer = answered("/v1/chat/completions", vec![Step::Send(json_response(200, "", &whole))], false).await;
    assert_eq!(split(&answer).1, whole.replace(PROVIDER_KEY, &"*".repeat(PROVIDER_KEY.len())));
}

#[tokio::test]
async fn keys_in_headers_and_trailers_are_covered() {
    let covered = "*".repeat(PROVIDER_KEY.len());
    for status in [200, 418] {
        let head = format!("x-echo: Bearer {PROVIDER_KEY}\r\nx-other: 1\r\n");
        let answer = answered("/v1/chat/completions", vec![response(status, &head, ANSWER.as_bytes())], false).await;
        assert_eq!(header(&answer, "x-echo"), Some(format!("Bearer {covered}")), "{answer}");
        assert_eq!((header(&answer, "x-other").as_deref(), answer.contains(PROVIDER_KEY)), (Some("1"), false));
    }
    let head = STREAM_HEAD.replace("\r\n\r\n", "\r\ntrailer: x-echo\r\n\r\n");
    let end = format!("0\r\nx-echo: {PROVIDER_KEY}\r\n\r\n");
    let answer = answered("/v1/chat/completions", vec![Step::Send(head + &piece("data: {}\n\n") + &end)], true).await;
    assert!(!answer.contains(PROVIDER_KEY), "{answer}");
}

#[tokio::test]
async fn answers_may_have_a_hundred_headers() {
    let with = async |headers: usize| {
        let many: String = (0..headers).map(|n| format!("x-step-{n}: {n}\r\n")).collect();
        answered("/v1/chat/completions", vec![response(200, &many, ANSWER.as_bytes())], false).await
    };
    let answer = with(90).await;
    assert_eq!(split(&answer), (200, ANSWER));
    assert_eq!(header(&answer, "x-step-89").as_deref(), Some("89"));
    assert_eq!(split(&with(101).await).0, 502);
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let headers = "content-type: application/json\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: \
                   1\r\nproxy-connection: x\r\nx-llmops-guard: replace\r\nx-llmops-cache: hit\r\nx-other: 1\r\n";
    let provider = Provider::start(vec![vec![response(200, headers, ANSWER.as_bytes())]]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let body = r#"{"model":"local/m","messages":[]}"#;
    let sent = "connection: x-mine\r\nx-mine: 1\r\nkeep-alive: 5\r\nproxy-connection: keep-alive\r\nx-other: 1\r\n";
    let answer = gateway.post("/v1/chat/completions", sent, body).await;
    assert_eq!(split(&answer).1, ANSWER);
    for (text, name) in [(&answer, "x-hop"), (&answer, "x-llmops-guard"), (&answer, "x-llmops-cache")] {
        assert_eq!(header(text, name), None, "{name}");
    }
    let asked = &provider.requests()[0];
    assert_eq!(header(asked, "x-mine"), None);
    for text in [&answer, asked] {
        assert_eq!(header(text, "keep-alive"), None, "{text}");
        assert_eq!(header(text, "proxy-connection"), None, "{text}");
        assert_eq!(header(text, "x-other").as_deref(), Some("1"), "{text}");
    }
}

#[tokio::test]
async fn bodies_are_json_whatever_the_caller_calls_them() {
    let provider = Provider::answering(ANSWER).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let form = "content-type: application/x-www-form-urlencoded\r\ncontent-encoding: identity\r\n";
    gateway.post("/v1/chat/completions", form, r#"{"model":"local/m","messages":[]}"#).await;
    let asked = &provider.requests()[0];
    let types: Vec<_> = asked.lines().filter(|line| line.starts_with("content-type")).collect();
    assert_eq!(types, ["content-type: application/json"]);
    assert_eq!(header(asked, "content-encoding"), None);
}

#[tokio::test]
async fn answers_may_begin_with_a_mark_or_with_fields_that_nobody_knows() {
    let marked = format!("\u{feff}{ANSWER}");
    let json = "content-type: application/json\r\n";
    let provider = Provider::start(vec![vec![response(200, json, marked.as_bytes())]]).await;
    let mut gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer), (200, &*marked));
    assert_eq!(gateway.record().await.usage.prompt_tokens, 9);
    let answer = answered("/v1/messages", vec![response(200, json, marked.as_bytes())], false).await;
    assert!(split(&answer).0 == 200 && answer.contains("Hello."), "{answer}");

    let head = "content-type: text/event-stream\r\n";
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\n";
    for before in ["\u{feff}", "server: x\n", "\u{feff}x\n"] {
        let events = format!("{before}{event}");
        let answer = answered("/v1/chat/completions", vec![response(200, head, events.as_bytes())], true).await;
        assert_eq!(split(&answer), (200, &*events));
        let answer = answered("/v1/messages", vec![response(200, head, events.as_bytes())], true).await;
        assert!(answer.contains("\"text\":\"Hello\""), "{before:?}: {answer}");
    }
    let answer = answered("/v1/chat/completions", vec![response(200, json, b"<html>")], false).await;
    assert!(split(&answer).0 == 502 && answer.contains("sent an answer that cannot be read"), "{answer}");
}

#[tokio::test]
async fn redirects_are_nobodys() {
    for status in [301, 302, 307, 308] {
        let elsewhere = "location: http://elsewhere.example/v1\r\n";
        let redirects = vec![response(status, elsewhere, b""), Step::Close];
        let (moved, healthy) = (Provider::start(vec![redirects]).await, Provider::answering(ANSWER).await);
        let fallbacks = DeploymentSettings { fallbacks: vec!["b/m".to_owned()], ..DeploymentSettings::default() };
        let bot = deployment("a/m", json!({}), fallbacks);
        let mut gateway = Fixture::start(&[("a", &moved.url), ("b", &healthy.url)], vec![bot]).await;

        let answer = gateway.chat(&json!({"model": "a/m", "messages": []})).await;
        assert!(split(&answer).0 == 502 && answer.contains("`base_url`"), "{answer}");
        assert!(!answer.contains("elsewhere"), "{answer}");
        assert_eq!(moved.requests().len(), 1, "{status} is not tried again");
        let record = gateway.record().await;
        assert_eq!((record.outcome, record.status), (CallOutcome::UpstreamError, 502));
        assert_eq!((record.usage.prompt_tokens, record.soft_failures), (0, Vec::new()));
        assert_eq!(record.attempts[0].status, Some(status));
        assert!(record.error.unwrap().contains("redirects"));

        let answer = gateway.chat(&json!({"model": "bot", "messages": [{"role": "user", "content": "hi"}]})).await;
        assert_eq!(split(&answer), (200, ANSWER), "somebody else is asked");
    }
}

#[tokio::test]
async fn the_connection_of_a_refusal_serves_the_next_attempt() {
    let refusal = Step::Send(json_response(503, "", r#"{"error":{"message":"busy"}}"#));
    let other = vec![Step::Send(json_response(200, "", ANSWER))];
    let provider = Provider::start(vec![vec![refusal], other]).await;
    let gateway = Fixture::start(&[("local", &provider.url)], Vec::new()).await;
    let answer = gateway.chat(&json!({"model": "local/m", "messages": []})).await;
    assert_eq!(split(&answer), (503, r#"{"error":{"message":"busy"}}"#), "another connection answers otherwise");
    assert_eq!(provider.requests().len(), 2);
}

/// The data of a chunked body.
fn chunks(mut body: &str) -> String {
    let mut all = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        all += &rest[..size];
        body = rest.get(size + 2..).unwrap_or_default();
    }
    all
}
