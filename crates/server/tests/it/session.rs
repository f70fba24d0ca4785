//! Browsers: signing in, the cookie, pages of other sites, signing out.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use llmops_domain::access::Role;
use llmops_domain::net::IpRange;
use llmops_server::ServerOptions;
use llmops_storage::Store;
use serde_json::json;

use crate::support::{Said, Server, installation};

async fn sign_in(server: &Server, key: &str) -> Said {
    server.post("/api/v1/session", "", &json!({"key": key})).await
}

/// `NAME=TOKEN` of the cookie that was set.
fn cookie(said: &Said) -> String {
    said.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn with_cookie(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Said {
    let mut request = Request::builder().method(method).uri(path).header("host", "llmops.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.header("content-type", "application/json").body(Body::from("{}")).unwrap()).await
}

#[tokio::test]
async fn a_cookie_reads_and_changes_from_own_pages_only() {
    let server = Server::new().await;
    let said = sign_in(&server, &server.key("default", Role::Admin).await).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    let set = said.header("set-cookie");
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    let cookie = cookie(&said);
    let check = async |method: Method, headers: &[(&str, &str)], expected: StatusCode| {
        let headers = [headers, &[("cookie", cookie.as_str())]].concat();
        let said = with_cookie(&server, method, "/api/v1/projects", &headers).await;
        assert_eq!(said.status, expected, "{headers:?} {}", said.text);
    };
    let changes = StatusCode::UNPROCESSABLE_ENTITY;
    check(Method::GET, &[], StatusCode::OK).await;
    check(Method::POST, &[("sec-fetch-site", "same-origin")], changes).await;
    check(Method::POST, &[("origin", "https://llmops.example")], changes).await;
    check(Method::POST, &[], StatusCode::FORBIDDEN).await;
    check(Method::POST, &[("origin", "https://evil.example")], StatusCode::FORBIDDEN).await;
    check(Method::POST, &[("origin", "null")], StatusCode::FORBIDDEN).await;
    check(Method::POST, &[("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN).await;
    check(Method::GET, &[("upgrade", "websocket"), ("origin", "https://evil.example")], StatusCode::FORBIDDEN).await;
}

#[tokio::test]
async fn a_session_ends_with_signing_out_and_with_its_key() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let made = server.post("/api/v1/keys", &admin, &json!({"name": "dana", "role": "viewer"})).await.json();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    let cookies = [cookie(&sign_in(&server, secret).await), cookie(&sign_in(&server, secret).await)];
    let who = async |cookie: &str| with_cookie(&server, Method::GET, "/api/v1/session", &[("cookie", cookie)]).await;
    let said = who(&cookies[0]).await.json();
    assert_eq!((&said["name"], &said["role"], &said["project"]), (&json!("dana"), &json!("viewer"), &json!("default")));
    assert!(said["expires_at"].is_string());
    let headers = [("cookie", cookies[0].as_str()), ("sec-fetch-site", "same-origin")];
    let out = with_cookie(&server, Method::DELETE, "/api/v1/session", &headers).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(who(&cookies[0]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(who(&cookies[1]).await.status, StatusCode::OK, "the other browser stays signed in");
    server.delete(&format!("/api/v1/keys/{id}"), &admin).await;
    assert_eq!(who(&cookies[1]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_in_is_throttled_by_address_behind_proxies_that_are_believed() {
    let ops = installation(Store::in_memory().await.unwrap());
    let proxy: IpRange = "127.0.0.1".parse().unwrap();
    let options = ServerOptions { trusted_proxies: vec![proxy], ..ServerOptions::default() };
    let server = Server::with(ops, options);
    let right = server.key("default", Role::Viewer).await;
    let attempt = async |from: &str, key: &str| {
        let mut request = Request::post("/api/v1/session");
        for line in from.split(" + ") {
            request = request.header("x-forwarded-for", line);
        }
        let body = json!({"key": key}).to_string();
        server.send(request.header("content-type", "application/json").body(Body::from(body)).unwrap()).await
    };
    for _ in 0..10 {
        assert_eq!(attempt("192.0.2.1", "wrong").await.status, StatusCode::UNAUTHORIZED);
    }
    let said = attempt("192.0.2.1", &right).await;
    assert_eq!((said.status, said.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    assert!(said.headers.contains_key("retry-after"));
    assert_eq!(attempt("10.0.0.1, 192.0.2.2", &right).await.status, StatusCode::OK, "another address");
    assert_eq!(attempt("192.0.2.2, 192.0.2.1", &right).await.status, StatusCode::TOO_MANY_REQUESTS, "a hop made up");
    assert_eq!(
        attempt("192.0.2.2 + 192.0.2.1", &right).await.status,
        StatusCode::TOO_MANY_REQUESTS,
        "in a line of its own"
    );
}

#[tokio::test]
async fn cookies_of_an_encrypted_way_are_marked() {
    let ops = installation(Store::in_memory().await.unwrap());
    let server = Server::with(ops, ServerOptions { https: true, ..ServerOptions::default() });
    let said = sign_in(&server, &server.key("default", Role::Viewer).await).await;
    assert!(said.header("set-cookie").starts_with("__Host-llmops_session="));
    assert!(said.header("set-cookie").ends_with("; Secure"));
    assert!(said.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn another_site_cannot_sign_its_visitors_in() {
    let server = Server::new().await;
    let key = server.key("default", Role::Viewer).await;
    let request = Request::post("/api/v1/session").header("sec-fetch-site", "cross-site");
    let request = request.header("content-type", "application/json").body(Body::from(json!({"key": key}).to_string()));
    assert_eq!(server.send(request.unwrap()).await.status, StatusCode::FORBIDDEN);
}
