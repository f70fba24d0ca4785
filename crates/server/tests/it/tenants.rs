//! No key sees another project's rows, on any route.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use llmops_domain::access::Role;
use llmops_storage::{Pace, RecordRow};
use serde_json::{Value, json};

use crate::document::routes;
use crate::support::Server;

/// In everything that the one project stores, and in nothing that is asked for.
const MARK: &str = "markofacme";

/// Fills a project with a row of each kind, and answers with what names them.
async fn fill(server: &Server, key: &str) -> Vec<(&'static str, String)> {
    let prompt = json!({"prompt": {"name": "acme-prompt", "version": "1.0.0", "description": MARK, "content": MARK}});
    assert_eq!(server.post("/api/v1/prompts", key, &prompt).await.status, StatusCode::CREATED);
    let second = json!({"prompt": {"name": "acme-prompt", "version": "1.0.1", "content": format!("{MARK} again")}});
    assert_eq!(server.post("/api/v1/prompts", key, &second).await.status, StatusCode::CREATED);
    let line = json!({"id": "acme-sample", "input": format!("{MARK}?"), "expected_output": MARK, "category": MARK});
    let import = Request::post(format!("/api/v1/datasets/acme-data/versions?description={MARK}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(line.to_string()));
    assert_eq!(server.send(import.unwrap()).await.status, StatusCode::CREATED);
    let run = json!({
        "name": MARK, "target": {"name": MARK, "prompt": "acme-prompt", "model": "sim/small"}, "dataset": "acme-data",
        "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}},
    });
    let run = server.post("/api/v1/runs", key, &run).await;
    assert_eq!(run.status, StatusCode::CREATED, "{}", run.text);
    let run = run.json()["id"].as_str().unwrap().to_owned();
    let ended = server.get(&format!("/api/v1/runs/{run}?wait_ms=10000"), key).await;
    assert_eq!(ended.json()["status"], "completed", "{}", ended.text);
    let promoted = server.post("/api/v1/baselines", key, &json!({"run": run})).await;
    assert_eq!(promoted.status, StatusCode::OK, "{}", promoted.text);
    let alert = json!({"type": "threshold", "severity": "warning", "message": MARK, "source": "acme"});
    let alert = server.post("/api/v1/alerts", key, &alert).await;
    assert_eq!(alert.status, StatusCode::CREATED, "{}", alert.text);
    let alert = alert.json()["alert"]["id"].as_str().unwrap().to_owned();
    let (request, feedback, review) = traffic(server, key).await;
    let bot = format!("{MARK}-bot");
    let deployed = server.post(&format!("/api/v1/deployments/{bot}/deploy"), key, &json!({"model": "sim/small"})).await;
    assert_eq!(deployed.status, StatusCode::OK, "{}", deployed.text);
    let canary = json!({"deployment": bot, "model": "sim/large", "policy": {"judge": {"model": "sim/judge"}}});
    let canary = server.post("/api/v1/canaries", key, &canary).await;
    assert_eq!(canary.status, StatusCode::CREATED, "{}", canary.text);
    let canary = canary.json()["canary"]["id"].as_str().unwrap().to_owned();
    let made = server.post("/api/v1/keys", key, &json!({"name": MARK, "role": "viewer"})).await.json();
    let made = made["key"]["id"].as_str().unwrap().to_owned();
    let more = fill_live(server, key).await;
    vec![
        ("run", run.clone()),
        ("other", run),
        ("sample", "acme-sample".to_owned()),
        ("alert", alert),
        ("canary", canary),
        ("key", made),
        ("project", "acme".to_owned()),
        ("version", "latest".to_owned()),
        ("records id", request),
        ("feedback id", feedback),
        ("reviews id", review),
    ]
    .into_iter()
    .chain(more)
    .collect()
}

/// The same for what has to do with live traffic and time.
async fn fill_live(server: &Server, key: &str) -> Vec<(&'static str, String)> {
    let post = async |path: &str, body: Value| {
        let said = server.post(path, key, &body).await;
        assert!(said.status.is_success(), "{path}: {} {}", said.status, said.text);
        said.json()
    };
    let scoring = json!({"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}});
    let run = json!({"name": MARK, "target": {"name": MARK, "prompt": "acme-prompt", "model": "sim/small"},
        "dataset": "acme-data", "scoring": scoring});
    post("/api/v1/schedules", json!({"name": "acme-schedule", "cron": "@yearly", "run": run})).await;
    post("/api/v1/schedules/acme-schedule/run", Value::Null).await;
    post("/api/v1/deployments/acme-bot/deploy", json!({"prompt": "acme-prompt", "model": "sim/small", "reason": MARK}))
        .await;
    let history = server.get("/api/v1/deployments/acme-bot", key).await.json();
    let ends_at = llmops_domain::clock::now() + jiff::SignedDuration::from_hours(24);
    let silence =
        post("/api/v1/silences", json!({"matcher": {"source": "acme"}, "ends_at": ends_at, "comment": MARK})).await;
    let variants = json!([{"id": "control", "value": MARK}, {"id": "other", "value": "2"}]);
    let experiment = json!({"name": "acme-flag", "description": MARK, "variants": variants, "metrics": ["solved"]});
    let experiment = post("/api/v1/experiments", experiment).await;
    let experiment = experiment["id"].as_str().unwrap().to_owned();
    post(&format!("/api/v1/experiments/{experiment}/start"), Value::Null).await;
    let observation = json!({"unit": MARK, "variant": "control", "metric": "solved", "value": 1.0});
    post(&format!("/api/v1/experiments/{experiment}/observations"), observation).await;
    let score =
        server.call(&Method::PUT, "/api/v1/providers/score", key, &json!({"model": "sim/small", "score": 0.5})).await;
    assert_eq!(score.status, StatusCode::OK, "{}", score.text);
    let applied = json!({"kind": "prompt", "name": MARK, "hash": "a".repeat(64)});
    let applied = server.call(&Method::PUT, "/api/v1/applied", key, &applied).await;
    assert_eq!(applied.status, StatusCode::NO_CONTENT, "{}", applied.text);
    vec![
        ("schedule", "acme-schedule".to_owned()),
        ("deployment", "acme-bot".to_owned()),
        ("hash", history["manifest"].as_str().unwrap().to_owned()),
        ("silence", silence["id"].as_str().unwrap().to_owned()),
        ("experiment", experiment),
        ("flag", "acme-flag".to_owned()),
    ]
}

/// A record of a live call, feedback on it and the item of the review queue that follows; answers with their ids.
async fn traffic(server: &Server, key: &str) -> (String, String, String) {
    let record = json!({"id": "req_acme", "at": "2026-11-26T10:00:00Z", "door": "chat", "model": "sim/small",
        "stream": false, "deployment": MARK, "user": MARK, "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        "total_ms": 1.0, "status": 200, "outcome": "ok", "attempts": [], "response_body": MARK});
    let row = RecordRow::new(&"acme".into(), &serde_json::from_value(record).unwrap()).unwrap();
    server.ops.store().append_record_rows(&[row], Pace::Quick).await.unwrap();
    let body = json!({"request_id": "req_acme", "thumb": "down", "comment": MARK});
    let said = server.post("/api/v1/feedback", key, &body).await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.text);
    let item = server.get("/api/v1/reviews/latest", key).await;
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    ("req_acme".to_owned(), id(&said.json()["ids"][0]), id(&item.json()["id"]))
}

#[tokio::test]
async fn no_key_sees_or_changes_another_projects_rows() {
    let server = Server::new().await;
    server.project("acme").await;
    server.project("other").await;
    let acme = server.key("acme", Role::Admin).await;
    let names = fill(&server, &acme).await;
    // The first list of prompts puts the built-in ones into the registry.
    everything(&server, &acme, &names).await;
    let before = everything(&server, &acme, &names).await;
    assert!(before.matches(MARK).count() > 10, "the owner sees the rows: {before}");
    let other = server.key("other", Role::Admin).await;
    for route in routes().iter().filter(|route| route.role.is_some() && !route.id.starts_with("stream_")) {
        let path = path_of(route, &names);
        // The worst that the body can do is to name the other project's rows.
        let run = names.iter().find(|(name, _)| *name == "run").unwrap().1.clone();
        let body = match route.id.as_str() {
            "promote_baseline" => json!({"run": run}),
            "create_key" => json!({"name": "thief", "role": "admin", "project": "acme"}),
            "create_project" => json!({"id": "acme"}),
            "create_run" => json!({"target": {"name": "t", "prompt": "acme-prompt", "model": "sim/small"},
                "dataset": "acme-data",
                "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}}}),
            _ if route.takes_json => json!({}),
            _ => Value::Null,
        };
        for path in [path.clone(), format!("{path}?project=acme")] {
            let said = server.call(&route.method, &path, &other, &body).await;
            assert!(!said.text.contains(MARK), "{} {path} shows another project's rows: {}", route.method, said.text);
            if route.method != Method::GET && route.path.contains('{') && route.id != "import_dataset" {
                assert!(said.status.is_client_error(), "{} {path}: {} {}", route.method, said.status, said.text);
            }
        }
    }
    assert_eq!(everything(&server, &acme, &names).await, before, "nothing of it changed");
}

fn path_of(route: &crate::document::Route, names: &[(&str, String)]) -> String {
    let named = |name: &str| names.iter().find(|(n, _)| *n == name).map_or("x".to_owned(), |(_, value)| value.clone());
    route.at(|parameter| match (parameter, route.path.split('/').nth(3)) {
        ("name", Some("deployments")) => named("deployment"),
        ("key", Some("evaluate")) => named("flag"),
        ("name", Some("prompts")) => "acme-prompt".to_owned(),
        ("version", Some("prompts")) => "1.0.1".to_owned(),
        ("name", _) => "acme-data".to_owned(),
        ("id", Some(resource)) if names.iter().any(|(name, _)| *name == format!("{resource} id")) => {
            named(&format!("{resource} id"))
        }
        (parameter, _) => named(parameter),
    })
}

/// Everything that a project's admin reads.
async fn everything(server: &Server, key: &str, names: &[(&str, String)]) -> String {
    let mut all = String::new();
    let reading = |route: &&crate::document::Route| {
        // Some answers name the moment at which they were asked for.
        let is_timeless =
            !["get_overview", "get_traffic", "get_canary", "get_experiment_results"].contains(&route.id.as_str());
        route.method == Method::GET && route.role.is_some() && !route.id.starts_with("stream_") && is_timeless
    };
    for route in routes().iter().filter(reading) {
        let mut path = path_of(route, names);
        if route.id.starts_with("compare_prompts") {
            path += "?from=1.0.0";
        }
        if route.id.starts_with("diff_datasets") {
            path += "?from=latest";
        }
        all.extend([path.as_str(), "\n", &server.get(&path, key).await.text, "\n"]);
    }
    all
}

#[tokio::test]
async fn only_admins_of_the_default_project_look_after_others() {
    let server = Server::new().await;
    server.project("acme").await;
    let admin = server.key("default", Role::Admin).await;
    let acme = server.key("acme", Role::Admin).await;
    let listed = server.get("/api/v1/keys?project=acme", &admin).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/v1/keys?project=default", &acme).await.status, StatusCode::NOT_FOUND);
    let changes = server.get("/api/v1/audit?project=acme&action=project", &admin).await.json();
    assert_eq!(changes["items"][0]["action"], "project.created", "{changes}");
    assert_eq!(server.get("/api/v1/audit?project=default", &acme).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/api/v1/projects/default", &acme).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.post("/api/v1/projects", &acme, &json!({"id": "mine"})).await.status, StatusCode::FORBIDDEN);
    let seen = server.get("/api/v1/projects", &acme).await.json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    let made = server.post("/api/v1/projects", &admin, &json!({"id": "mine"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(server.post("/api/v1/projects", &admin, &json!({"id": "mine"})).await.status, StatusCode::CONFLICT);
    for id in ["", "A", "-a", "a b", "ä", &"x".repeat(65)] {
        let said = server.post("/api/v1/projects", &admin, &json!({"id": id})).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY, "{id}");
    }
}
