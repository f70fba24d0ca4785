//! Changes of configuration leave a record.

use http::{Method, Request, StatusCode};
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{Server, installation};

fn prompt(version: &str, content: &str) -> Value {
    json!({"prompt": {"name": "p", "version": version, "content": content}})
}

#[tokio::test]
async fn changes_are_recorded_with_who_what_before_and_after() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let admin = server.key("default", Role::Admin).await;
        let editor = server.key("default", Role::Editor).await;
        assert_eq!(server.post("/api/v1/prompts", &editor, &prompt("1.0.0", "one")).await.status, StatusCode::CREATED);
        assert_eq!(server.post("/api/v1/prompts", &editor, &prompt("2.0.0", "two")).await.status, StatusCode::CREATED);
        let again = server.post("/api/v1/prompts", &editor, &prompt("2.0.0", "two")).await;
        assert_eq!(again.status, StatusCode::OK, "what changes nothing leaves no record");
        let activate = Request::post("/api/v1/prompts/p/versions/2.0.0/activate")
            .header("authorization", format!("Bearer {editor}"))
            .header("x-request-id", "from-the-test");
        assert_eq!(server.send(activate.body("".into()).unwrap()).await.status, StatusCode::OK);
        let deleted = server.delete("/api/v1/prompts/p/versions/1.0.0", &editor).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT);
        let lines = "{\"id\": \"1\", \"input\": \"What is it?\", \"expected_output\": \"It.\"}\n";
        let import = Request::post("/api/v1/datasets/d/versions").header("authorization", format!("Bearer {editor}"));
        assert_eq!(server.send(import.body(lines.into()).unwrap()).await.status, StatusCode::CREATED);

        let records = server.get("/api/v1/audit?limit=100", &admin).await.json()["items"].clone();
        let told: Vec<String> = records
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                format!(
                    "{} {} {}",
                    record["actor"].as_str().unwrap(),
                    record["action"].as_str().unwrap(),
                    record["target"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(
            told[..5],
            [
                "default editor dataset.imported d",
                "default editor prompt.deleted p@1.0.0",
                "default editor prompt.activated p",
                "default editor prompt.created p@2.0.0",
                "default editor prompt.created p@1.0.0",
            ]
        );
        assert!(told[5].starts_with("local key.created key_"), "{told:?}");
        assert_eq!(records[2]["request_id"], "from-the-test");
        assert_eq!(
            (&records[2]["before"]["version"], &records[2]["after"]["version"]),
            (&json!("1.0.0"), &json!("2.0.0"))
        );
        assert_eq!(records[1]["before"]["content"], "one", "what is deleted is kept in the record");
        assert!(records[1]["after"].is_null());
        for record in records.as_array().unwrap() {
            assert!(!record.to_string().contains(&admin[14..]), "no secrets");
        }
    })
    .await;
}

#[tokio::test]
async fn records_are_filtered_and_come_in_pages() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    for version in 1..=5 {
        server.post("/api/v1/prompts", &admin, &prompt(&format!("{version}.0.0"), &version.to_string())).await;
    }
    let count = async |query: &str| {
        let said = server.get(&format!("/api/v1/audit?{query}"), &admin).await;
        said.json()["items"].as_array().unwrap_or_else(|| panic!("{query}: {}", said.text)).len()
    };
    assert_eq!(count("action=prompt").await, 5);
    assert_eq!(count("action=prompt.created&target=p@3.0.0").await, 1);
    assert_eq!(count("action=pro").await, 0);
    assert_eq!(count("actor=default%20admin").await, 5);
    assert_eq!(count("start_time=2999-01-01T00:00:00Z").await, 0);
    assert_eq!(count("end_time=2001-01-01T00:00:00Z").await, 0);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/audit?action=prompt&limit=2{cursor}"), &admin).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|r| r["target"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["p@5.0.0", "p@4.0.0", "p@3.0.0", "p@2.0.0", "p@1.0.0"]);
    for (query, status) in [("cursor=x", 400), ("start_time=yesterday", 400), ("limit=x", 400)] {
        let said = server.call(&Method::GET, &format!("/api/v1/audit?{query}"), &admin, &Value::Null).await;
        assert_eq!(said.status.as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn schedules_experiments_and_scores_leave_records_and_no_secret() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let admin = server.key("default", Role::Admin).await;
        let lines = "{\"id\": \"1\", \"input\": \"What is it?\", \"expected_output\": \"It.\"}\n";
        let import = Request::post("/api/v1/datasets/d/versions").header("authorization", format!("Bearer {admin}"));
        assert_eq!(server.send(import.body(lines.into()).unwrap()).await.status, StatusCode::CREATED);
        let post = async |path: &str, body: Value| {
            let said = server.post(path, &admin, &body).await;
            assert!(said.status.is_success(), "{path}: {}", said.text);
            said.json()
        };
        let run = json!({"target": {"name": "t", "model": "sim/m"}, "dataset": "d",
            "scoring": {"metrics": {"exact_match": {"kind": "exact_match", "weight": 1.0}}}});
        post("/api/v1/schedules", json!({"name": "nightly", "cron": "@daily", "run": run})).await;
        post("/api/v1/schedules", json!({"name": "nightly", "cron": "@daily", "run": run})).await;
        post("/api/v1/schedules/nightly/pause", Value::Null).await;
        assert_eq!(server.delete("/api/v1/schedules/nightly", &admin).await.status, StatusCode::NO_CONTENT);
        let variants = json!([{"id": "a", "value": 1}, {"id": "b", "value": 2}]);
        let made = post("/api/v1/experiments", json!({"name": "e", "variants": variants})).await;
        let path = format!("/api/v1/experiments/{}", made["id"].as_str().unwrap());
        for step in ["start", "pause", "resume", "cancel"] {
            post(&format!("{path}/{step}"), Value::Null).await;
        }
        let records = server.get("/api/v1/audit?limit=100", &admin).await.json();
        let records = records["items"].as_array().unwrap();
        let told: Vec<&str> = records.iter().rev().map(|record| record["action"].as_str().unwrap()).collect();
        let about = |noun: &str| told.iter().filter(|action| action.starts_with(noun)).copied().collect::<Vec<_>>();
        assert_eq!(about("schedule."), ["schedule.created", "schedule.changed", "schedule.deleted"]);
        let steps = ["experiment.created", "experiment.started", "experiment.paused", "experiment.resumed"];
        assert_eq!(about("experiment."), [&steps[..], &["experiment.cancelled"]].concat());
        let paused = records.iter().find(|record| record["action"] == "schedule.changed").unwrap();
        assert_eq!((&paused["before"]["paused"], &paused["after"]["paused"]), (&json!(false), &json!(true)));
        assert!(paused["after"]["run"]["scoring"].is_null(), "how it scores may hold secrets: {paused}");
        assert_eq!(records[0]["before"]["status"], "running");
    })
    .await;
}

#[tokio::test]
async fn looking_at_prompts_changes_nothing() {
    let server = Server::new().await;
    let viewer = server.key("default", Role::Viewer).await;
    let admin = server.key("default", Role::Admin).await;
    let before = server.get("/api/v1/audit?limit=100", &admin).await.text;
    let all = server.get("/api/v1/prompts?limit=500", &viewer).await.json();
    let all: Vec<&str> = all["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(all.contains(&"llmops/judge-rubric"), "{all:?}");
    let mut paged = Vec::new();
    let mut path = "/api/v1/prompts?limit=2".to_owned();
    loop {
        let page = server.get(&path, &viewer).await.json();
        paged.extend(page["items"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/prompts?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, all, "page by page it is the same");
    assert_eq!(server.get("/api/v1/audit?limit=100", &admin).await.text, before, "nobody changed anything");
}
