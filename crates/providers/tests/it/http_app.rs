use llmops_domain::chat::{Message, Role};
use llmops_domain::config::providers::{HttpConfig, ProviderConfig};
use serde_json::json;

use crate::support::{FakeServer, Play, ask, limits, request, user};

fn app(url: &str, body: &str, answer: Option<&str>) -> HttpConfig {
    HttpConfig {
        url: format!("{url}/chat?mode=test"),
        method: "post".to_owned(),
        headers: [("x-key".to_owned(), "app-secret-1".to_owned())].into(),
        body: body.to_owned(),
        answer: answer.map(str::to_owned),
        limits: limits(0),
    }
}

#[tokio::test]
async fn the_body_is_rendered_and_the_answer_found() {
    let server =
        FakeServer::start(vec![Play::json(r#"{"data": [{"reply": "Hi \"you\""}], "n": {"a": 1}, "none": null}"#)])
            .await;
    let body = r#"{"q": {{ input | tojson }}, "p": {{ prompt | tojson }}, "s": {{ system | tojson }}, "lang": {{ language | tojson }},
        "m": {{ messages | length }}, "model": "{{ model }}"}"#;
    let mut asked = request("m", vec![Message::text(Role::System, "Kind."), Message::text(Role::User, "say \"é\"\n")]);
    asked.origin.variables.insert("language".to_owned(), "de".into());
    // What the sample asks; the prompt put words around it.
    asked.origin.variables.insert("input".to_owned(), "é".into());
    let answer = async |path| ask(ProviderConfig::Http(app(&server.url(), body, path)), &asked).await;
    assert_eq!(answer(Some("$.data[0].reply")).await.unwrap().response.text, "Hi \"you\"");
    assert_eq!(answer(Some("$.n")).await.unwrap().response.text, r#"{"a":1}"#);
    assert!(answer(None).await.unwrap().response.text.starts_with("{\"data\""));
    let error = answer(Some("$.none")).await.unwrap_err().to_string();
    assert!(error.contains("there is nothing at the `answer` path $.none"), "{error}");

    let received = server.received().remove(0);
    assert!(received.head.starts_with("POST /chat?mode=test HTTP/1.1"), "{}", received.head);
    assert!(received.head.contains("x-key: app-secret-1"), "{}", received.head);
    assert_eq!(received.body, json!({"q": "é", "p": "say \"é\"\n", "s": "Kind.", "lang": "de", "m": 2, "model": "m"}));
}

#[tokio::test]
async fn errors_do_not_show_secrets() {
    let server = FakeServer::start(vec![Play::status(418, "", "app-secret-1 is wrong")]).await;
    let error = ask(ProviderConfig::Http(app(&server.url(), "{}", None)), &user("x")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} answered 418: *** is wrong", server.address));
    let error = ask(ProviderConfig::Http(app(&server.url(), "{{ missing }}", None)), &user("x")).await.unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn get_has_no_body() {
    let server = FakeServer::start(vec![Play::json("plain text")]).await;
    let config = HttpConfig { method: "GET".to_owned(), ..app(&server.url(), "{{ input }}", None) };
    assert_eq!(ask(ProviderConfig::Http(config), &user("x")).await.unwrap().response.text, "plain text");
    assert!(server.received()[0].head.starts_with("GET "));
    assert_eq!(server.received()[0].body, json!(""));
}
