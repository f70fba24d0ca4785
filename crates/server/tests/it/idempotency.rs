//! Requests that are sent again.

use axum::body::Body;
use http::{Request, StatusCode};
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{Said, Server, installation};

async fn post(server: &Server, secret: &str, idempotency: &str, path: &str, body: &Value) -> Said {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "application/json")
        .header("idempotency-key", idempotency);
    server.send(request.body(Body::from(body.to_string())).unwrap()).await
}

fn prompt(content: &str) -> Value {
    json!({"prompt": {"name": "p", "version": "1.0.0", "content": content}})
}

#[tokio::test]
async fn a_repeated_request_is_carried_out_once_and_answered_the_same() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let (one, two) = (server.key("default", Role::Editor).await, server.key("default", Role::Editor).await);
        let path = "/api/v1/prompts";
        let first = post(&server, &one, "k1", path, &prompt("a")).await;
        assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
        assert!(!first.headers.contains_key("idempotent-replayed"));
        let again = post(&server, &one, "k1", path, &prompt("a")).await;
        assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text));
        assert_eq!((again.header("idempotent-replayed"), again.header("content-type")), ("true", "application/json"));
        let other_body = post(&server, &one, "k1", path, &prompt("b")).await;
        let mismatch = (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch");
        assert_eq!((other_body.status, other_body.code().as_str()), mismatch);
        let other_caller = post(&server, &two, "k1", path, &prompt("a")).await;
        assert_eq!(other_caller.status, StatusCode::OK, "another caller's key is another key");
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let admin = server.key("default", Role::Admin).await;
        let body = json!({"id": "acme"});
        let many = (0..8).map(|_| post(&server, &admin, "k", "/api/v1/projects", &body));
        for said in futures::future::join_all(many).await {
            let busy = said.status == StatusCode::CONFLICT && said.code() == "idempotency_conflict";
            assert!(said.status == StatusCode::CREATED || busy, "{} {}", said.status, said.text);
        }
        assert_eq!(post(&server, &admin, "k", "/api/v1/projects", &body).await.status, StatusCode::CREATED);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_changed_nothing_may_be_corrected() {
    let server = Server::new().await;
    let key = server.key("default", Role::Editor).await;
    let bad = post(&server, &key, "k", "/api/v1/prompts", &json!({"prompt": {"name": ""}})).await;
    assert!(bad.status.is_client_error(), "{}", bad.status);
    assert_eq!(post(&server, &key, "k", "/api/v1/prompts", &prompt("a")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_answer_with_a_secret_is_not_kept() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let body = json!({"name": "ci", "role": "viewer"});
    assert_eq!(post(&server, &admin, "k", "/api/v1/keys", &body).await.status, StatusCode::CREATED);
    let again = post(&server, &admin, "k", "/api/v1/keys", &body).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::CONFLICT, "conflict"));
    let listed = server.get("/api/v1/keys", &admin).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "the admin's and one more");
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let server = Server::new().await;
    let key = server.key("default", Role::Editor).await;
    for wrong in ["", "a b", &"x".repeat(256)] {
        let said = post(&server, &key, wrong, "/api/v1/prompts", &prompt("a")).await;
        assert_eq!((said.status, said.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"), "{wrong}");
    }
    let said = post(&server, "llmops_unknown", "k", "/api/v1/prompts", &prompt("a")).await;
    assert_eq!(said.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn etags_save_reading_and_prevent_overwriting() {
    let server = Server::new().await;
    let key = server.key("default", Role::Editor).await;
    server.post("/api/v1/prompts", &key, &prompt("a")).await;
    let second = json!({"prompt": {"name": "p", "version": "2.0.0", "content": "b"}});
    server.post("/api/v1/prompts", &key, &second).await;
    let tag = server.get("/api/v1/prompts/p", &key).await.header("etag").to_owned();
    let with = async |method: &str, path: &str, header: &str, tag: &str| {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        server.send(request.header(header, tag).body(Body::empty()).unwrap()).await
    };
    let unchanged = with("GET", "/api/v1/prompts/p", "if-none-match", &tag).await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(unchanged.header("etag"), tag);
    let activate = "/api/v1/prompts/p/versions/2.0.0/activate";
    let stale = with("POST", activate, "if-match", "\"stale\"").await;
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::PRECONDITION_FAILED, "precondition_failed"));
    assert_eq!(with("POST", activate, "if-match", &tag).await.status, StatusCode::OK);
    assert_eq!(with("POST", activate, "if-match", &tag).await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(with("GET", "/api/v1/prompts/p", "if-none-match", &tag).await.status, StatusCode::OK);
    let version = "/api/v1/prompts/p/versions/1.0.0";
    assert_eq!(with("DELETE", version, "if-match", "\"stale\"").await.status, StatusCode::PRECONDITION_FAILED);
    let tag = server.get(version, &key).await.header("etag").to_owned();
    assert_eq!(with("DELETE", version, "if-match", &tag).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bodies_have_limits() {
    let server = Server::new().await;
    let key = server.key("default", Role::Editor).await;
    let send = async |body: String| {
        let request = Request::post("/api/v1/prompts").header("authorization", format!("Bearer {key}"));
        server.send(request.header("content-type", "application/json").body(Body::from(body)).unwrap()).await
    };
    let deep = format!("{{\"prompt\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let said = send(deep).await;
    assert!(said.status == StatusCode::BAD_REQUEST || said.status == StatusCode::UNPROCESSABLE_ENTITY, "{}", said.text);
    let large = send(format!("\"{}\"", "x".repeat(9 << 20))).await;
    assert_eq!((large.status, large.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    for (body, status) in [("", 400), ("{", 400), ("[]", 422), ("null", 422), ("{\"prompt\": 1}", 422)] {
        assert_eq!(send(body.to_owned()).await.status.as_u16(), status, "{body}");
    }
}
