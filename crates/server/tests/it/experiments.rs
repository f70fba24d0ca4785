//! Experiments over REST.

use http::StatusCode;
use llmops_domain::access::Role;
use serde_json::{Value, json};

use crate::support::Server;

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let server = Server::new().await;
    let key = server.key("default", Role::Operator).await;
    let prompt =
        |version: &str| json!({"name": "bot", "version": version, "content": format!("{version} {{{{ input }}}}")});
    let two = json!({"name": "e", "control": prompt("1.0.0"), "treatment": prompt("1.1.0")});
    let made = server.post("/api/v1/experiments/prompt", &key, &two).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.json()["traffic_split"], json!({"control": 0.5, "treatment": 0.5}));
    let path = format!("/api/v1/experiments/{}", made.json()["id"].as_str().unwrap());
    let started = server.post(&format!("{path}/start"), &key, &Value::Null).await;
    assert_eq!(started.json()["status"], "running");
    let done = server.post(&format!("{path}/complete"), &key, &Value::Null).await;
    assert_eq!((done.status, &done.json()["winner"]), (StatusCode::OK, &Value::Null), "{}", done.text);
}

#[tokio::test]
async fn drafts_can_be_deleted() {
    let server = Server::new().await;
    let key = server.key("default", Role::Operator).await;
    let make = async || {
        let draft = json!({"name": "e", "variants": [{"id": "a"}, {"id": "b"}]});
        let made = server.post("/api/v1/experiments", &key, &draft).await;
        format!("/api/v1/experiments/{}", made.json()["id"].as_str().unwrap())
    };
    let draft = make().await;
    assert_eq!(server.delete(&draft, &key).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&draft, &key).await.status, StatusCode::NOT_FOUND);
    let running = make().await;
    server.post(&format!("{running}/start"), &key, &Value::Null).await;
    assert_eq!(server.delete(&running, &key).await.status, StatusCode::CONFLICT);
    assert_eq!(server.get(&running, &key).await.json()["status"], "running");
}
