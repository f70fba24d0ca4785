//! Feedback over HTTP.

use axum::body::Body;
use http::{Request, StatusCode};
use llmops_domain::access::Role;
use llmops_server::ServerOptions;
use llmops_testing::on_backends;
use serde_json::{Value, json};

use crate::support::{Server, installation};

#[tokio::test]
async fn of_a_list_what_is_no_feedback_is_refused_and_the_rest_is_taken() {
    on_backends(async |store| {
        let server = Server::with(installation((*store).clone()), ServerOptions::default());
        let secret = server.key("default", Role::Viewer).await;
        let check = async |body: Value, status: StatusCode, expected: Value| {
            let request = Request::post("/api/v1/feedback")
                .header("authorization", format!("Bearer {secret}"))
                .header("content-type", "application/json");
            let said = server.send(request.body(Body::from(body.to_string())).unwrap()).await;
            let received: Value = serde_json::from_str(&said.text).unwrap();
            let lines: Vec<&Value> =
                received["problems"].as_array().into_iter().flatten().map(|p| &p["line"]).collect();
            let found = json!([received["accepted"], received["refused"], lines]);
            assert_eq!((said.status, &found), (status, &expected), "{}", said.text);
        };
        let good = json!({"request_id": "r", "thumb": "up"});
        check(json!([good, 5, null, [good]]), StatusCode::CREATED, json!([1, 3, [2, 3, 4]])).await;
        check(json!(["up"]), StatusCode::OK, json!([0, 1, [1]])).await;
        check(json!([]), StatusCode::OK, json!([0, 0, []])).await;
    })
    .await;
}
