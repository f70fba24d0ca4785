//! Every route that the document names, whoever wrote it.

use http::{Method, StatusCode};
use llmops_domain::access::Role;
use serde_json::{Value, json};

use crate::support::Server;

/// An operation of the document.
pub(crate) struct Route {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The weakest role that may; none: everybody.
    pub(crate) role: Option<Role>,
    /// Whether it takes a JSON body.
    pub(crate) takes_json: bool,
    /// Whether it answers with pages.
    has_pages: bool,
}

impl Route {
    /// The path with its parameters replaced.
    pub(crate) fn at(&self, mut value: impl FnMut(&str) -> String) -> String {
        let mut out = String::new();
        for (i, part) in self.path.split(['{', '}']).enumerate() {
            out += &if i % 2 == 0 { part.to_owned() } else { value(part) };
        }
        out
    }
}

/// All operations of the document.
pub(crate) fn routes() -> Vec<Route> {
    let document = serde_json::to_value(llmops_server::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                continue;
            }
            let role = operation["security"][0]["key"][0].as_str().map(|role| role.parse().unwrap());
            routes.push(Route {
                id: operation["operationId"].as_str().unwrap_or(path).to_owned(),
                method,
                path: path.clone(),
                role,
                takes_json: operation["requestBody"]["content"]["application/json"].is_object(),
                has_pages: operation["parameters"].as_array().into_iter().flatten().any(|p| p["name"] == "cursor"),
            });
        }
    }
    assert!(routes.len() > 30, "the document has {} operations", routes.len());
    routes
}

#[test]
fn what_needs_no_key_is_a_short_list() {
    let mut open: Vec<String> =
        routes().into_iter().filter(|route| route.role.is_none()).map(|route| route.id).collect();
    open.sort();
    assert_eq!(open, ["live", "ready", "sign_in", "sign_out"], "a route that changes something needs a key");
}

#[tokio::test]
async fn no_route_answers_without_a_key() {
    let server = Server::new().await;
    for route in routes().iter().filter(|route| route.role.is_some()) {
        for key in ["", "llmops_0000000000000000000000000000000000000000000000000000"] {
            let body = if route.takes_json { json!({}) } else { Value::Null };
            let said = server.call(&route.method, &route.at(|_| "x".to_owned()), key, &body).await;
            let expected = (StatusCode::UNAUTHORIZED, "unauthenticated");
            assert_eq!((said.status, said.code().as_str()), expected, "{} {}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn what_the_gateway_lacks_is_told_in_the_format_of_the_caller() {
    let server = Server::new().await;
    for path in ["/v1/responses", "/v1/completions", "/v1/files"] {
        let said = server.post(path, "", &json!({})).await;
        assert_eq!((said.status, said.code().as_str()), (StatusCode::NOT_FOUND, "not_found"), "{path}");
        let error = &said.json()["error"];
        assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &Value::Null));
        assert!(error["message"].as_str().unwrap().contains("set the client to chat completions"), "{}", said.text);
    }
    let said = server.post("/v1/messages/count_tokens", "", &json!({})).await;
    assert_eq!((&said.json()["type"], &said.json()["error"]["type"]), (&json!("error"), &json!("not_found_error")));
    assert_eq!(server.get("/api/v1/nothing", "").await.json()["error"]["hint"], "GET /openapi.json lists all paths");
}

#[tokio::test]
async fn every_route_needs_the_role_that_the_document_names() {
    let server = Server::new().await;
    for role in Role::ALL {
        let key = server.key("default", role).await;
        for route in routes() {
            let Some(least) = route.role else { continue };
            // Streams do not end by themselves.
            if route.id.starts_with("stream_") && role >= least {
                continue;
            }
            let body = if route.takes_json { json!({}) } else { Value::Null };
            let said = server.call(&route.method, &route.at(|_| "x".to_owned()), &key, &body).await;
            let refused = said.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, role < least, "{role}: {} {}: {} {}", route.method, route.path, said.status, said.text);
            assert_ne!(said.status, StatusCode::UNAUTHORIZED, "{} {}", route.method, route.path);
            assert!(said.status != 500, "{} {}: {}", route.method, route.path, said.text);
        }
    }
}

#[test]
fn operations_have_ids_of_their_own_and_say_what_they_answer() {
    let document = serde_json::to_value(llmops_server::openapi()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert!(ids.insert(id.to_owned()), "{id} is the id of two operations");
            let summary = operation["summary"].as_str().or(operation["description"].as_str()).unwrap_or_default();
            assert!(!summary.is_empty(), "{id} does not say what it does");
        }
    }
}

#[tokio::test]
async fn every_list_refuses_a_limit_that_no_page_has() {
    let server = Server::new().await;
    let key = server.key("default", Role::Admin).await;
    let document = serde_json::to_value(llmops_server::openapi()).unwrap();
    let mut lists = 0;
    for route in routes().iter().filter(|route| route.method == Method::GET) {
        let parameters = document["paths"][&route.path]["get"]["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters.iter().filter(|p| p["name"] == "limit" || p["name"] == "count") {
            lists += 1;
            let name = parameter["name"].as_str().unwrap();
            let most = parameter["schema"]["maximum"].as_u64().unwrap_or_else(|| panic!("{}: no maximum", route.path));
            for wrong in ["0", "-1", "x", &(most + 1).to_string()] {
                let path = format!("{}?{name}={wrong}", route.at(|_| "x".to_owned()));
                let said = server.get(&path, &key).await;
                assert_eq!(said.status, StatusCode::BAD_REQUEST, "{path}: {}", said.text);
            }
        }
    }
    assert!(lists > 15, "{lists} lists have a limit");
}

/// Where a parameter or property is that nobody describes. One that refers to a schema has that one's description.
fn undescribed(at: &str, value: &Value, found: &mut Vec<String>) {
    let says = |value: &Value| value["description"].is_string() || value["$ref"].is_string();
    let described =
        |value: &Value| says(value) || value["oneOf"].as_array().is_some_and(|forms| forms.iter().any(says));
    match value {
        Value::Array(items) => items.iter().for_each(|item| undescribed(at, item, found)),
        Value::Object(fields) => {
            if fields.get("in").is_some_and(Value::is_string) && !says(value) {
                found.push(format!("{at} {}", fields["name"]));
            }
            let properties = fields.get("properties").and_then(Value::as_object).into_iter().flatten();
            found.extend(properties.filter(|(_, of)| !described(of)).map(|(name, _)| format!("{at}.{name}")));
            for (name, field) in fields {
                undescribed(&format!("{at}/{name}"), field, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_parameter_and_property_is_described() {
    let document = serde_json::to_value(llmops_server::openapi()).unwrap();
    let mut found = Vec::new();
    undescribed("", &document["paths"], &mut found);
    undescribed("", &document["components"]["schemas"], &mut found);
    assert!(found.is_empty(), "{} without a description:\n{}", found.len(), found.join("\n"));
}

#[tokio::test]
async fn every_list_refuses_parameters_that_it_does_not_have() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let mut lists = 0;
    let is_list = |route: &&Route| route.method == Method::GET && (route.has_pages || route.id.starts_with("list_"));
    for route in routes().iter().filter(is_list) {
        let said = server.get(&format!("{}?limti=2&nonsense=1", route.at(|_| "x".to_owned())), &admin).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{}: {}", route.path, said.text);
        let error = &said.json()["error"];
        let expected = match error["message"].as_str().unwrap() {
            none if none.contains("none are allowed here") => "unknown query parameter `limti`; none are allowed here",
            _ => "unknown query parameter `limti`; did you mean limit? expected one of ",
        };
        assert!(error["message"].as_str().unwrap().starts_with(expected), "{}: {error}", route.path);
        let named: Vec<_> = error["problems"].as_array().unwrap().iter().map(|problem| &problem["field"]).collect();
        assert_eq!(named, ["limti", "nonsense"], "{}", route.path);
        lists += 1;
    }
    assert!(lists > 25, "{lists} lists");
}

#[tokio::test]
async fn a_cursor_of_no_list_is_refused_by_every_list() {
    let server = Server::new().await;
    let admin = server.key("default", Role::Admin).await;
    let mut lists = 0;
    for route in routes().iter().filter(|route| route.has_pages && !route.path.contains('{')) {
        for cursor in ["", "x", "999", "%00", "after%3A%00"] {
            let said = server.get(&format!("{}?cursor={cursor}", route.path), &admin).await;
            // Numbers of lines are the cursors of this one, and it begins with none.
            let is_one =
                (route.id == "list_audit" && cursor == "999") || (route.id == "list_applied" && cursor.is_empty());
            let expected = if is_one { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            assert_eq!(said.status, expected, "{} {cursor}: {}", route.path, said.text);
            assert!(
                is_one || said.json()["error"]["message"].as_str().unwrap().starts_with("cursor: "),
                "{}",
                said.text
            );
        }
        lists += 1;
    }
    assert!(lists > 15, "{lists} lists");
}
