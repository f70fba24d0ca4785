//! What the dashboard's first pages are made of.

use http::{Request, StatusCode};
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_testing::on_backends;
use serde_json::json;

use crate::support::{Server, installation};

#[tokio::test]
async fn the_overview_tells_of_runs_prompts_and_deployments() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let operator = server.key("default", Role::Operator).await;
        let empty = server.get("/api/v1/overview", &operator).await;
        assert_eq!(empty.status, StatusCode::OK, "{}", empty.text);
        let empty = empty.json();
        assert_eq!((&empty["quality"], &empty["traffic"]["sums"]["calls"]), (&json!([]), &json!(0)));
        assert_eq!(empty["traffic"]["failure_rate"], json!(null), "no rate without calls");

        let prompt =
            json!({"prompt": {"name": "p", "version": "1.0.0", "content": "Say {{input}}", "change": "first"}});
        assert_eq!(server.post("/api/v1/prompts", &operator, &prompt).await.status, StatusCode::CREATED);
        let lines = "{\"id\": \"1\", \"input\": \"one\", \"expected_output\": \"One.\", \"category\": \"c\"}\n";
        let import = Request::post("/api/v1/datasets/d/versions").header("authorization", format!("Bearer {operator}"));
        assert_eq!(server.send(import.body(lines.into()).unwrap()).await.status, StatusCode::CREATED);
        let run = json!({"target": {"name": "t", "prompt": "p@1.0.0", "model": "sim/small"}, "dataset": "d",
            "scoring": {"metrics": {"token_f1": {"kind": "token_f1", "weight": 1.0}}}});
        let run = server.post("/api/v1/runs", &operator, &run).await;
        assert_eq!(run.status, StatusCode::CREATED, "{}", run.text);
        let id = run.json()["id"].as_str().unwrap().to_owned();
        let done = server.get(&format!("/api/v1/runs/{id}?wait_ms=20000"), &operator).await.json();
        assert_eq!(done["status"], "completed");
        let deploy = json!({"prompt": "p@1.0.0", "model": "sim/small"});
        let deployed = server.post("/api/v1/deployments/bot/deploy", &operator, &deploy).await;
        assert_eq!(deployed.status, StatusCode::OK, "{}", deployed.text);

        let overview = server.get("/api/v1/overview", &operator).await.json();
        assert_eq!(overview["quality"][0]["run"], json!(id));
        assert_eq!(overview["quality"][0]["overall"]["n"], 1);
        assert_eq!(overview["runs"]["completed"], 1);
        assert_eq!(overview["deployments"][0]["prompt"], "p@1.0.0");
        assert_eq!(overview["prompts"][0]["change"], "first");
        let kinds: Vec<&str> =
            overview["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert!(kinds.contains(&"deployment") && kinds.contains(&"run.completed"), "{kinds:?}");
        assert!(!kinds.iter().any(|kind| ["run.progress", "prompt", "dataset"].contains(kind)), "{kinds:?}");

        let quality = server.get("/api/v1/quality", &operator).await.json();
        assert_eq!((&quality["dataset"], &quality["datasets"][0]["runs"]), (&json!("d"), &json!(1)));
        assert_eq!(quality["points"][0]["categories"]["c"]["n"], 1);
        assert_eq!(quality["points"][0].get("partial"), None);
        let part = json!({"target": {"name": "t", "prompt": "p@1.0.0", "model": "sim/small"}, "dataset": "d", "only": {"pattern": "one"},
            "scoring": {"metrics": {"token_f1": {"kind": "token_f1", "weight": 1.0}}}});
        let part = server.post("/api/v1/runs", &operator, &part).await.json()["id"].as_str().unwrap().to_owned();
        server.get(&format!("/api/v1/runs/{part}?wait_ms=20000"), &operator).await;
        let points = server.get("/api/v1/quality", &operator).await.json()["points"].clone();
        assert_eq!((&points[1]["run"], &points[1]["partial"]), (&json!(part), &json!(true)));
        let rules = server.get("/api/v1/gate", &operator).await.json();
        assert_eq!((&rules["max_drop"], &rules["mode"]), (&json!(0.05), &json!("strict")));
        let spread = server.get(&format!("/api/v1/runs/{id}/distribution"), &operator).await.json();
        let counted = spread["bins"].as_array().unwrap().iter().map(|bin| bin["passed"].as_u64().unwrap());
        let failed = spread["bins"].as_array().unwrap().iter().map(|bin| bin["failed"].as_u64().unwrap());
        assert_eq!(counted.chain(failed).sum::<u64>(), 1);
    })
    .await;
}

#[tokio::test]
async fn questions_out_of_bounds_are_refused() {
    let server = Server::new().await;
    let viewer = server.key("default", Role::Viewer).await;
    for path in ["quality?days=0", "quality?days=367", "traffic?hours=0", "traffic?hours=2161", "traffic?nonsense=1"] {
        let said = server.get(&format!("/api/v1/{path}"), &viewer).await;
        assert!(said.status.is_client_error(), "{path}: {}", said.text);
    }
}

#[tokio::test]
async fn a_prompt_is_played_by_editors_and_nothing_is_kept() {
    let server = Server::new().await;
    let (editor, viewer) = (server.key("default", Role::Editor).await, server.key("default", Role::Viewer).await);
    let prompt = json!({"prompt": {"name": "p", "version": "1.0.0", "content": "Say {{input}} in {{tone}}",
        "variables": [{"name": "tone", "type": "string", "required": true}]}});
    assert_eq!(server.post("/api/v1/prompts", &editor, &prompt).await.status, StatusCode::CREATED);
    let play = json!({"prompt": "p", "model": "sim/small", "variables": {"tone": "anger"}, "input": "hello"});
    assert_eq!(server.post("/api/v1/playground", &viewer, &play).await.status, StatusCode::FORBIDDEN);
    let said = server.post("/api/v1/playground", &editor, &play).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    let played = said.json();
    assert_eq!(played["messages"][0]["content"], "Say hello in anger");
    assert!(!played["output"].as_str().unwrap().is_empty());
    for (wrong, word) in [
        (json!({"prompt": "p", "model": "sim/small", "input": "x"}), "tone"),
        (json!({"prompt": "p", "variables": {"tone": "x"}, "input": "x"}), "model"),
        (json!({"prompt": "p", "model": "nobody/small", "variables": {"tone": "x"}}), "nobody"),
    ] {
        let said = server.post("/api/v1/playground", &editor, &wrong).await;
        assert!(said.status.is_client_error() && said.text.contains(word), "{wrong}: {}", said.text);
    }
    assert_eq!(server.get("/api/v1/runs", &editor).await.json()["items"], json!([]));
}

#[tokio::test]
async fn experiments_are_planned() {
    let server = Server::new().await;
    let viewer = server.key("default", Role::Viewer).await;
    let check = async |body: serde_json::Value, expected: serde_json::Value| {
        let said = server.post("/api/v1/experiments/power", &viewer, &body).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.text);
        assert_eq!(said.json(), expected, "{body}");
    };
    // statsmodels: NormalIndPower().solve_power(proportion_effectsize(0.7, 0.6), power=0.8) is 355.4.
    let sizes = |n: u64, days: Option<u64>| json!({"n_per_variant": n, "n_total": 2 * n, "days": days});
    check(json!({"baseline": 0.6, "effect": 0.1}), sizes(356, None)).await;
    check(json!({"baseline": 0.6, "effect": 0.1, "units_per_day": 100}), sizes(356, Some(8))).await;
    // TTestIndPower().solve_power(0.5, power=0.8) is 63.8.
    check(json!({"effect": 5.0, "sd": 10.0}), sizes(64, None)).await;
    // The same with alpha=0.05 / 2 is 430.4, and with 0.05 / 3 for means 85.2.
    let three = json!({"baseline": 0.6, "effect": 0.1, "units_per_day": 100, "variants": 3});
    check(three, json!({"n_per_variant": 431, "n_total": 1293, "days": 13})).await;
    let four = json!({"effect": 5.0, "sd": 10.0, "variants": 4});
    check(four, json!({"n_per_variant": 86, "n_total": 344, "days": null})).await;
    for wrong in [
        json!({"effect": 0.1}),
        json!({"baseline": 0.95, "effect": 0.1}),
        json!({"baseline": 0.5, "effect": 0.0}),
        json!({"baseline": 0.5, "effect": 0.1, "variants": 1}),
    ] {
        let said = server.post("/api/v1/experiments/power", &viewer, &wrong).await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", said.text);
    }
}
