//! Keys: made, listed, used, revoked.

use std::time::{Duration, Instant};

use http::StatusCode;
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_storage::Store;
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{Server, installation};

#[tokio::test]
async fn a_key_is_shown_once_and_stored_hashed() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let made = server.post("/api/v1/keys", &admin, &json!({"name": "ci", "role": "editor"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("llmops_") && secret.len() == 59, "{secret}");
    assert!(secret.starts_with(made.json()["key"]["prefix"].as_str().unwrap()));
    let listed = server.get("/api/v1/keys", &admin).await;
    assert!(listed.text.contains("\"ci\"") && !listed.text.contains(&secret[14..]), "{}", listed.text);
    assert_eq!(server.get("/api/v1/prompts", &secret).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_keys_are_refused() {
    let server = Server::new().await;
    let key = server.key("default", Role::Admin).await;
    for wrong in ["llmops_wrong", &key[..58], &format!("{key}0"), &key.to_uppercase()] {
        let said = server.get("/api/v1/prompts", wrong).await;
        assert_eq!((said.status, said.code().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"), "{wrong}");
        assert_eq!(said.header("www-authenticate"), "Bearer");
        assert!(!said.text.contains(&key[7..]), "a secret does not come back");
    }
    for malformed in ["Basic abc", "Bearer", "Bearer ", "bearer"] {
        let request = http::Request::get("/api/v1/prompts").header("authorization", malformed);
        let said = server.send(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{malformed}");
    }
    let request = http::Request::get("/api/v1/prompts").header("x-api-key", &key);
    assert_eq!(server.send(request.body(axum::body::Body::empty()).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_applications_key_reads_nothing_of_others() {
    let server = Server::new().await;
    let (admin, caller) = (server.key("default", Role::Admin).await, server.key("default", Role::Caller).await);
    let made = server.post("/api/v1/feedback", &caller, &json!({"request_id": "req_1", "thumb": "up"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let flags = server.post("/ofrep/v1/evaluate/flags", &caller, &json!({"context": {"targetingKey": "u"}})).await;
    assert_eq!(flags.status, StatusCode::OK, "{}", flags.text);
    assert_eq!(
        server.post("/api/v1/experiments/x/assign", &caller, &json!({"unit": "u"})).await.status,
        StatusCode::NOT_FOUND
    );
    for path in ["records", "records/req_1", "feedback", "prompts", "deployments", "keys", "events"] {
        let said = server.get(&format!("/api/v1/{path}"), &caller).await;
        assert_eq!((said.status, said.code().as_str()), (StatusCode::FORBIDDEN, "forbidden"), "{path}: {}", said.text);
    }
    assert_eq!(server.get("/api/v1/feedback", &admin).await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_for_keys_say_what_is_wrong() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let check = async |body: Value, status: u16, expected: &str| {
        let said = server.post("/api/v1/keys", &admin, &body).await;
        assert_eq!(said.status.as_u16(), status, "{body}: {}", said.text);
        assert!(said.text.contains(expected), "{body}: {}", said.text);
    };
    check(json!({"name": "", "role": "viewer"}), 422, "expected 1 to 128 characters").await;
    check(json!({"name": "a\nb", "role": "viewer"}), 422, "expected 1 to 128 characters").await;
    check(json!({"name": "x".repeat(129), "role": "viewer"}), 422, "expected 1 to 128 characters").await;
    check(json!({"name": "a", "role": "root"}), 422, "unknown variant").await;
    check(json!({"name": "a", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}), 422, "lies in the past").await;
    check(json!({"name": "a", "role": "viewer", "project": "nope"}), 404, "there is no project `nope`").await;
    check(json!({"name": "a", "role": "viewer", "owner": "x"}), 422, "unknown field").await;
    check(json!({"name": "größer \u{1F980}", "role": "viewer"}), 201, "größer").await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_here_and_within_a_second_on_other_replicas() {
    on_backends_with_url(async |store, url| {
        let here = Server::with(installation(store), ServerOptions::default());
        let there = Server::with(installation(Store::open(&url).await.unwrap()), ServerOptions::default());
        let following = tokio::spawn(there.ops.access().clone().follow());
        let admin = here.key("default", Role::Admin).await;
        let made = here.post("/api/v1/keys", &admin, &json!({"name": "ci", "role": "viewer"})).await.json();
        let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
        there.ops.access().refresh().await.unwrap();
        assert_eq!(there.get("/api/v1/prompts", secret).await.status, StatusCode::OK, "the copy knows the key");
        assert_eq!(here.delete(&format!("/api/v1/keys/{id}"), &admin).await.status, StatusCode::OK);
        let revoked = Instant::now();
        assert_eq!(here.get("/api/v1/prompts", secret).await.status, StatusCode::UNAUTHORIZED);
        while there.get("/api/v1/prompts", secret).await.status != StatusCode::UNAUTHORIZED {
            assert!(revoked.elapsed() < Duration::from_secs(1), "the other replica lets the key in");
            tokio::task::yield_now().await;
        }
        let again = here.delete(&format!("/api/v1/keys/{id}"), &admin).await;
        assert_eq!(again.status, StatusCode::OK, "revoking twice changes nothing");
        following.abort();
        there.ops.access().note_uses().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let made = server.post("/api/v1/keys", &admin, &json!({"name": "watcher", "role": "viewer"})).await.json();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    let request = http::Request::get("/api/v1/events").header("authorization", format!("Bearer {secret}"));
    let stream = server.open(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(server.delete(&format!("/api/v1/keys/{id}"), &admin).await.status, StatusCode::OK);
    let ended = tokio::time::timeout(Duration::from_secs(5), axum::body::to_bytes(stream.into_body(), 1 << 20)).await;
    assert!(ended.is_ok_and(|read| read.is_ok()), "the stream goes on after its key was revoked");
}

/// Like [`on_backends`], for tests that open the store again.
async fn on_backends_with_url(test: impl AsyncFn(Store, String)) {
    on_backends(async |store| test((*store).clone(), store.url().to_owned()).await).await;
}

#[tokio::test]
async fn the_last_use_is_noted() {
    on_backends(async |store| {
        let server = Server::with(installation((**store).clone()), ServerOptions::default());
        let admin = server.key("default", Role::Admin).await;
        assert!(server.get("/api/v1/keys", &admin).await.json()["items"][0]["last_used_at"].is_null());
        // What the store does not take is noted when it does.
        store.execute("ALTER TABLE api_keys RENAME TO elsewhere").await;
        server.ops.access().note_uses().await.unwrap_err();
        store.execute("ALTER TABLE elsewhere RENAME TO api_keys").await;
        server.ops.access().note_uses().await.unwrap();
        assert!(server.get("/api/v1/keys", &admin).await.json()["items"][0]["last_used_at"].is_string());
    })
    .await;
}

#[tokio::test]
async fn one_of_many_first_starts_makes_the_admin_key() {
    on_backends_with_url(async |store, url| {
        let other = Store::open(&url).await.unwrap();
        let (one, two) = (installation(store), installation(other));
        let (one, two) = (one.keys(), two.keys());
        let (a, b) = tokio::join!(one.create_first(None), two.create_first(None));
        let made: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].key.role, Role::Admin);
        assert!(one.create_first(Some("a secret of somebody")).await.is_err(), "it has spaces");
        assert!(one.create_first(Some("0123456789abcdef")).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn dev_lets_this_machine_in_and_no_page_of_another_site() {
    let ops = installation(Store::in_memory().await.unwrap());
    let server = Server::with(ops, ServerOptions { dev: true, ..ServerOptions::default() });
    let check = async |headers: &[(&str, &str)], expected: StatusCode| {
        let mut request = http::Request::post("/api/v1/projects").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let said = server.send(request.body("{}".into()).unwrap()).await;
        assert_eq!(said.status, expected, "{headers:?} {}", said.text);
    };
    let let_in = StatusCode::UNPROCESSABLE_ENTITY;
    check(&[], let_in).await;
    check(&[("host", "127.0.0.1:8080")], let_in).await;
    check(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], let_in).await;
    check(&[("host", "rebound.example")], StatusCode::FORBIDDEN).await;
    check(&[("host", "localhost:8080"), ("origin", "https://evil.example")], StatusCode::FORBIDDEN).await;
    check(&[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN).await;
    check(&[("authorization", "Bearer wrong")], StatusCode::UNAUTHORIZED).await;
    let peer: std::net::SocketAddr = "192.0.2.1:1".parse().unwrap();
    let mut far = http::Request::get("/api/v1/prompts").body(axum::body::Body::empty()).unwrap();
    far.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    assert_eq!(server.send(far).await.status, StatusCode::UNAUTHORIZED, "another machine");
}

#[tokio::test]
async fn every_answer_has_the_request_id_and_protects_browsers() {
    let server = Server::new().await;
    let given = http::Request::get("/healthz").header("x-request-id", "mine-1").body(axum::body::Body::empty());
    assert_eq!(server.send(given.unwrap()).await.header("x-request-id"), "mine-1");
    let odd = http::Request::get("/healthz").header("x-request-id", "a b\"").body(axum::body::Body::empty());
    assert!(server.send(odd.unwrap()).await.header("x-request-id").starts_with("req_"));
    for path in ["/healthz", "/nothing", "/api/v1/prompts", "/openapi.json"] {
        let said = server.get(path, "").await;
        assert!(said.header("x-request-id").starts_with("req_"), "{path}");
        assert!(said.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(said.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[tokio::test]
async fn live_traffic_is_moved_by_operators() {
    let server = Server::new().await;
    let (editor, operator) = (server.key("default", Role::Editor).await, server.key("default", Role::Operator).await);
    let spec = json!({"name": "tone", "variants": [{"id": "a"}, {"id": "b"}], "coverage": 0.5});
    let made = server.post("/api/v1/experiments", &editor, &spec).await;
    let path = format!("/api/v1/experiments/{}", made.json()["id"].as_str().unwrap());
    let check = async |key: &str, changes: Value, status: u16| {
        let said = server.call(&http::Method::PATCH, &path, key, &changes).await;
        assert_eq!(said.status.as_u16(), status, "{changes}: {}", said.text);
    };
    check(&editor, json!({"traffic_split": {"a": 40, "b": 60}}), 200).await;
    assert_eq!(server.post(&format!("{path}/start"), &operator, &json!({})).await.status, StatusCode::OK);
    check(&editor, json!({"traffic_split": {"a": 1, "b": 99}}), 403).await;
    check(&editor, json!({"coverage": 1.0}), 403).await;
    check(&editor, json!({"description": "why", "traffic_split": {"a": 40, "b": 60}, "coverage": 0.5}), 200).await;
    check(&operator, json!({"traffic_split": {"a": 1, "b": 99}, "coverage": 1.0}), 200).await;
}
