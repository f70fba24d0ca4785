//! Spans of applications that call models themselves.

use http::{Request, StatusCode};
use llmops_domain::access::Role;
use serde_json::{Value, json};

use crate::support::Server;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A span of a model call of a minute ago, with what `more` says.
fn span(id: u64, more: &Value) -> Value {
    let start = (llmops_domain::clock::now().as_second() - 60) * 1_000_000_000;
    let mut span = json!({"traceId": TRACE, "spanId": format!("{id:016x}"), "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": start + 1_000_000, "attributes": [
            {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": i64::MAX.to_string()}}]});
    for (name, field) in more.as_object().unwrap() {
        span[name] = field.clone();
    }
    span
}

#[tokio::test]
async fn a_span_that_is_refused_keeps_no_other_out() {
    let server = Server::new().await;
    let key = server.key("default", Role::Operator).await;
    let send = async |spans: Value| {
        let said =
            server.post("/v1/traces", &key, &json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.text);
        said.json()
    };
    let secret = "bad key sk-proj-abcdefghijklmnop1234 of ana@example.org";
    let good = [
        span(1, &json!({"events": null, "status": null})),
        span(2, &json!({"status": {"code": 2, "message": secret}})),
    ];
    assert_eq!(send(json!(good)).await, json!({}));
    let mixed = [
        span(3, &json!({"startTimeUnixNano": "soon"})),
        span(4, &json!({"startTimeUnixNano": "7258118400000000000"})),
        span(5, &json!({})),
        span(6, &json!({"traceId": "xyz"})),
        span(0, &json!({})),
        span(7, &json!({"startTimeUnixNano": null, "attributes": null})),
    ];
    let told = send(json!(mixed)).await;
    assert_eq!(told["partialSuccess"]["rejectedSpans"], "4", "{told}");
    let message = told["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(message.contains("startTimeUnixNano") && message.contains("the first of several"), "{message}");

    let records = server.get("/api/v1/records", &key).await;
    assert_eq!(records.json()["items"].as_array().unwrap().len(), 3, "{}", records.text);
    assert!(records.text.contains("bad key [key] of [email]"), "{}", records.text);
    assert!(!records.text.contains("ana@example.org") && !records.text.contains("sk-proj"), "{}", records.text);
    let traffic = server.get("/api/v1/traffic", &key).await.json();
    assert_eq!(traffic["sums"]["calls"], 3);
}

#[tokio::test]
async fn protobuf_is_answered_in_protobuf() {
    let server = Server::new().await;
    let key = server.key("default", Role::Operator).await;
    // A request with one span, which ends in the middle of a number.
    let body = vec![0x0A, 0x05, 0x12, 0x03, 0x12, 0x01, 0x8F];
    let request = Request::post("/v1/traces").header("authorization", format!("Bearer {key}"));
    let request = request.header("content-type", "application/x-protobuf").body(body.into()).unwrap();
    let said = server.send(request).await;
    assert_eq!((said.status, said.header("content-type")), (StatusCode::OK, "application/x-protobuf"), "{}", said.text);
    assert!(said.text.contains("in the middle of a number"), "{:?}", said.text);
}

#[tokio::test]
async fn what_is_too_large_or_oddly_packed_is_told_by_its_code() {
    let server = Server::new().await;
    let key = server.key("default", Role::Operator).await;
    let check = async |path: &str, encoding: Option<&str>, body: Vec<u8>, expected: (StatusCode, &str)| {
        let mut request = Request::post(path).header("authorization", format!("Bearer {key}"));
        request = request.header("content-type", "application/json");
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let said = server.send(request.body(body.into()).unwrap()).await;
        assert_eq!((said.status, said.code().as_str()), expected, "{path} {encoding:?}: {}", said.text);
    };
    let unknown = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    check("/v1/traces", Some("br"), b"x".to_vec(), unknown).await;
    check("/v1/traces", Some("gzip"), b"x".to_vec(), (StatusCode::BAD_REQUEST, "invalid_request")).await;
    let long_line = vec![b'x'; (8 << 20) + 1];
    check("/api/v1/datasets/d/versions", None, long_line, (StatusCode::PAYLOAD_TOO_LARGE, "too_large")).await;
}
