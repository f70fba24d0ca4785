//! What is kept, and by whom: verdicts of gates, edits of datasets.

use axum::body::Body;
use http::{Request, StatusCode};
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{Said, Server, installation};

/// Lines of a dataset.
fn lines(ids: &[&str]) -> String {
    let line = |id: &&str| json!({"id": id, "input": format!("What is {id}?"), "expected_output": id});
    ids.iter().map(line).map(|line| format!("{line}\n")).collect()
}

async fn import_to(server: &Server, key: &str, versions: &str, body: Body) -> Said {
    let request = Request::post(format!("/api/v1/datasets/{versions}"));
    let request = request.header("authorization", format!("Bearer {key}"));
    server.send(request.body(body).unwrap()).await
}

async fn import(server: &Server, key: &str, query: &str, ids: &[&str]) -> Said {
    import_to(server, key, &format!("d/versions{query}"), lines(ids).into()).await
}

/// A run over the dataset `d`, which has ended.
async fn run(server: &Server, key: &str) -> Value {
    let run = json!({"target": {"name": "t", "model": "sim/small"}, "dataset": "d",
        "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}}});
    let run = server.post("/api/v1/runs", key, &run).await.json()["id"].as_str().unwrap().to_owned();
    let done = server.get(&format!("/api/v1/runs/{run}?wait_ms=20000"), key).await.json();
    assert_eq!(done["status"], "completed");
    done
}

#[tokio::test]
async fn a_dataset_that_comes_in_pieces_is_the_same() {
    let server = Server::new().await;
    let editor = server.key("default", Role::Editor).await;
    let text = lines(&["1", "2", "3"]);
    let whole = import(&server, &editor, "", &["1", "2", "3"]).await.json()["version"]["version"].clone();
    for size in [1, 2, 7, 50, text.len() - 1] {
        let pieces: Vec<_> =
            text.as_bytes().chunks(size).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let body = Body::from_stream(futures::stream::iter(pieces));
        let said = import_to(&server, &editor, "d/versions", body).await;
        assert_eq!(said.json()["version"]["version"], whole, "{size}: {}", said.text);
    }
}

#[tokio::test]
async fn baselines_of_all_datasets_are_listed() {
    let server = Server::new().await;
    let editor = server.key("default", Role::Editor).await;
    assert_eq!(import(&server, &editor, "", &["1"]).await.status, StatusCode::CREATED);
    let run = run(&server, &editor).await;
    assert_eq!(server.post("/api/v1/baselines", &editor, &json!({"run": run["id"]})).await.status, StatusCode::OK);
    for i in 0..500 {
        let versions = format!("before-{i}/versions");
        let said = import_to(&server, &editor, &versions, lines(&["1"]).into()).await;
        assert_eq!(said.status, StatusCode::CREATED, "{}", said.text);
    }
    let baselines = server.get("/api/v1/baselines", &editor).await.json();
    assert_eq!(baselines["items"][0]["dataset"], "d", "it comes behind five hundred others");
    assert_eq!(baselines["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_viewer_reads_verdicts_and_an_editor_keeps_them() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let admin = server.key("default", Role::Admin).await;
        let (editor, viewer) = (server.key("default", Role::Editor).await, server.key("default", Role::Viewer).await);
        assert_eq!(import(&server, &editor, "", &["1"]).await.status, StatusCode::CREATED);
        let run = run(&server, &editor).await;
        let path = format!("/api/v1/runs/{}", run["id"].as_str().unwrap());
        let gate = async |key: &str, body: Value| {
            let said = server.post(&format!("{path}/gate"), key, &body).await;
            assert_eq!(said.status, StatusCode::OK, "{}", said.text);
            said.json()
        };
        let tag = async || server.get(&path, &viewer).await.json()["tags"]["gate"].clone();
        let records = async || {
            let said = server.get("/api/v1/audit?action=run.gated", &admin).await.json();
            said["items"].as_array().unwrap().clone()
        };
        let deploy = async || {
            let body = json!({"manifest_hash": run["spec"]["manifest_id"], "settings": {"require_gate": true}});
            server.post("/api/v1/deployments/gated/deploy", &admin, &body).await.status
        };
        let anything = json!({"config": {"overall_min": 0.0, "category_min": 0.0, "max_drop": 1.0}});

        let report = gate(&viewer, anything.clone()).await;
        assert_eq!(report["verdict"], "pass");
        assert!(report["notices"].to_string().contains("not kept"), "{report}");
        assert_eq!((tag().await, records().await), (json!(null), vec![]), "reading changes nothing");
        assert_eq!(deploy().await, StatusCode::CONFLICT);

        let report = gate(&editor, json!({})).await;
        assert_eq!(report["verdict"], "fail");
        assert!(!report["notices"].to_string().contains("not kept"), "{report}");
        assert_eq!(tag().await, "fail");
        gate(&viewer, anything.clone()).await;
        assert_eq!((tag().await, deploy().await), (json!("fail"), StatusCode::CONFLICT));

        gate(&editor, anything).await;
        assert_eq!((tag().await, deploy().await), (json!("pass"), StatusCode::OK));
        let records = records().await;
        assert_eq!(records.len(), 2);
        assert_eq!((&records[0]["actor"], &records[0]["target"]), (&json!("default editor"), &run["id"]));
        assert_eq!(records[0]["before"], json!({"verdict": "fail"}));
        assert_eq!(
            (&records[0]["after"]["verdict"], &records[0]["after"]["rules"]["overall_min"]),
            (&json!("pass"), &json!(0.0))
        );
        assert_eq!(records[1]["before"], json!(null));
    })
    .await;
}

#[tokio::test]
async fn an_edit_does_not_undo_what_was_changed_meanwhile() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let editor = server.key("default", Role::Editor).await;
        let absent = import(&server, &editor, &format!("?replaces={}", "0".repeat(64)), &["1"]).await;
        assert_eq!(absent.status, StatusCode::CONFLICT, "{}", absent.text);
        assert_eq!(server.get("/api/v1/datasets/d", &editor).await.status, StatusCode::NOT_FOUND);
        let first = import(&server, &editor, "", &["1"]).await.json()["version"]["version"].clone();
        let edit = format!("?replaces={}", first.as_str().unwrap());
        let one = import(&server, &editor, &edit, &["1", "2"]).await;
        assert_eq!(one.status, StatusCode::CREATED, "{}", one.text);
        let other = import(&server, &editor, &edit, &["1", "3"]).await;
        assert_eq!((other.status, other.code().as_str()), (StatusCode::CONFLICT, "conflict"));
        let second = one.json()["version"]["version"].as_str().unwrap().to_owned();
        assert!(other.text.contains(&second[..12]), "{}", other.text);
        let dataset = server.get("/api/v1/datasets/d", &editor).await.json();
        assert_eq!((&dataset["version"], &dataset["sample_count"]), (&json!(second), &json!(2)));
        let versions = server.get("/api/v1/datasets/d/versions", &editor).await.json();
        assert_eq!(versions["items"].as_array().unwrap().len(), 2, "nothing is left of what was refused");
        for wrong in ["?replaces=", "?replaces=latest", "?replaces=abcd"] {
            assert_eq!(import(&server, &editor, wrong, &["4"]).await.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
        assert_eq!(
            import(&server, &editor, "", &["5"]).await.status,
            StatusCode::CREATED,
            "an import replaces anything"
        );
    })
    .await;
}

#[tokio::test]
async fn samples_that_are_added_at_the_same_time_all_stay() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let editor = server.key("default", Role::Editor).await;
        import(&server, &editor, "", &["first"]).await;
        let datasets = server.ops.datasets();
        let add = async |id: &str| {
            let sample = json!({"id": id, "input": format!("What is {id}?")});
            datasets.add_samples("d", vec![serde_json::from_value(sample).unwrap()]).await.unwrap();
        };
        tokio::join!(add("a"), add("b"), add("c"), add("d"));
        let dataset = server.get("/api/v1/datasets/d", &editor).await.json();
        assert_eq!(dataset["sample_count"], 5);
    })
    .await;
}

#[tokio::test]
async fn a_broken_line_is_told_with_its_own_number() {
    let server = Server::new().await;
    let editor = server.key("default", Role::Editor).await;
    let request = Request::post("/api/v1/datasets/d/versions").header("authorization", format!("Bearer {editor}"));
    let lines = "{\"id\": \"1\", \"input\": \"What?\"}\nnope\n";
    let said = server.send(request.body(lines.into()).unwrap()).await;
    let error = said.json()["error"].clone();
    assert_eq!(error["message"], "1 problem(s) in 2 samples; nothing was written");
    assert_eq!(error["problems"], json!([{"line": 2, "message": "expected ident, at column 2"}]));
}

#[tokio::test]
async fn a_session_names_its_key() {
    let server = Server::new().await;
    let viewer = server.key("default", Role::Viewer).await;
    let session = server.get("/api/v1/session", &viewer).await.json();
    let keys = server.ops.keys().list(None, None, 10).await.unwrap();
    assert_eq!(session["key"], json!(keys[0].id));
}
