//! `/metrics`: who may read it, and that the documented list is what it tells.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode};
use llmops_domain::access::Role;
use llmops_domain::config::server::MetricsAccess;
use llmops_domain::id::ProjectId;
use llmops_domain::record::{CallOutcome, Door, RequestRecord};
use llmops_domain::soft_failure::{SoftFailure, SoftFailureKind};
use llmops_server::ServerOptions;
use llmops_server::metrics::{FAMILIES, Kind};
use llmops_storage::Store;
use serde_json::{Value, json};

use crate::support::{Server, installation};

/// The guide that people read.
const GUIDE: &str = include_str!("../../../../docs/operations.md");

fn record(deployment: &str) -> RequestRecord {
    let value = json!({
        "id": "req_1", "at": "2026-01-01T00:00:00Z", "door": Door::Chat, "deployment": deployment, "environment": "production",
        "model": "sim/m", "stream": false, "usage": {"prompt_tokens": 10, "completion_tokens": 4}, "cost": 0.5,
        "first_byte_ms": 20.0, "total_ms": 300.0, "status": 200, "outcome": CallOutcome::Ok, "attempts": [],
        "soft_failures": [SoftFailure { kind: SoftFailureKind::Empty, detail: "no text".to_owned() }],
    });
    serde_json::from_value(value).unwrap()
}

/// The samples of an answer: name, labels, value.
fn samples(text: &str) -> Vec<(String, Vec<String>, f64)> {
    let line = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.split_once('=').unwrap().0.to_owned()).collect();
        (name.to_owned(), labels, value.parse().unwrap())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

#[tokio::test]
async fn the_documented_list_is_what_is_exposed() {
    let mut documented = BTreeMap::new();
    for row in GUIDE.lines().filter(|line| line.starts_with("| `llmops_") || line.starts_with("| `process_")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let labels: Vec<String> =
            cells[2].split(", ").filter(|l| !l.is_empty()).map(|l| l.trim_matches('`').to_owned()).collect();
        documented.insert(cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels, cells[3].to_owned()));
    }
    let mut table = BTreeMap::new();
    let mut rows = String::new();
    for family in FAMILIES {
        let kind = format!("{:?}", family.kind).to_lowercase();
        let labels: Vec<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
        let shown: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        rows += &format!("| `{}` | {kind} | {} | {} |\n", family.name, shown.join(", "), family.help);
        table.insert(family.name.to_owned(), (kind, labels, family.help.to_owned()));
    }
    assert_eq!(documented, table, "docs/operations.md lists other metrics; the table should be:\n{rows}");

    let server = Server::new().await;
    let key = server.key("default", Role::Viewer).await;
    server.ops.meters().calls.note(&ProjectId::default_project(), &record("bot"));
    let text = server.get("/metrics", &key).await.text;
    let text = format!("{text}{}", server.get("/metrics", &key).await.text);
    let told: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert_eq!(told.len(), FAMILIES.len());
    for (name, labels, value) in samples(&text) {
        let family = FAMILIES
            .iter()
            .find(|family| match family.kind {
                Kind::Histogram => {
                    ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{}{end}", family.name))
                }
                Kind::Counter | Kind::Gauge => name == family.name,
            })
            .unwrap_or_else(|| panic!("{name} is no family"));
        let mut expected: Vec<&str> = family.labels.to_vec();
        if name.ends_with("_bucket") {
            expected.push("le");
        }
        assert_eq!(labels, expected, "{name}");
        assert!(value.is_finite() && value >= 0.0, "{name} {value}");
    }
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = Server::new().await;
    let key = server.key("default", Role::Editor).await;
    server.ops.meters().calls.note(&ProjectId::default_project(), &record("bot"));
    server.ops.meters().calls.note(&ProjectId::default_project(), &record("bot"));
    server.get("/api/v1/prompts/no-such-prompt-anywhere", &key).await;
    let text = server.get("/metrics", &key).await.text;
    let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    has(r#"llmops_gateway_calls_total{project="default",deployment="bot",environment="production",outcome="ok"} 2"#);
    has(r#"llmops_gateway_tokens_total{project="default",deployment="bot",environment="production",kind="prompt"} 20"#);
    has(r#"llmops_gateway_cost_usd_total{project="default",deployment="bot",environment="production"} 1"#);
    has(
        r#"llmops_gateway_soft_failures_total{project="default",deployment="bot",environment="production",kind="empty"} 2"#,
    );
    has(
        r#"llmops_gateway_call_seconds_bucket{project="default",deployment="bot",environment="production",le="0.25"} 0"#,
    );
    has(
        r#"llmops_gateway_call_seconds_bucket{project="default",deployment="bot",environment="production",le="0.5"} 2"#,
    );
    has("llmops_store_up 1");
    has("llmops_ready 1");
    let asked = text.lines().any(|line| {
        line.starts_with(r#"llmops_http_requests_total{route="/api/v1/prompts/{name}",method="GET",status="404"}"#)
    });
    assert!(asked && !text.contains("no-such-prompt-anywhere"), "routes are templates: {text}");
}

#[tokio::test]
async fn series_of_deployments_are_bounded() {
    let server = Server::new().await;
    let key = server.key("default", Role::Viewer).await;
    for i in 0..300 {
        server.ops.meters().calls.note(&ProjectId::default_project(), &record(&format!("bot-{i}")));
    }
    let text = server.get("/metrics", &key).await.text;
    let series = text.lines().filter(|line| line.starts_with("llmops_gateway_calls_total")).count();
    assert_eq!(series, 201);
    assert!(
        text.contains(
            r#"llmops_gateway_calls_total{project="other",deployment="other",environment="",outcome="ok"} 100"#
        )
    );
}

#[tokio::test]
async fn access_follows_the_configuration() {
    let check = async |metrics: MetricsAccess, who: Option<(&str, Role)>, expected: StatusCode| {
        let ops = installation(Store::in_memory().await.unwrap());
        let server = Server::with(ops, ServerOptions { metrics, ..ServerOptions::default() });
        server.project("acme").await;
        let key = match who {
            Some((project, role)) => server.key(project, role).await,
            None => String::new(),
        };
        let said = server.call(&Method::GET, "/metrics", &key, &Value::Null).await;
        assert_eq!(said.status, expected, "{metrics:?} {who:?} {}", said.text);
    };
    check(MetricsAccess::Key, None, StatusCode::UNAUTHORIZED).await;
    check(MetricsAccess::Key, Some(("default", Role::Viewer)), StatusCode::OK).await;
    check(MetricsAccess::Key, Some(("acme", Role::Admin)), StatusCode::FORBIDDEN).await;
    check(MetricsAccess::Open, None, StatusCode::OK).await;
    check(MetricsAccess::Off, Some(("default", Role::Admin)), StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn readiness_tells_what_is_wrong() {
    let server = Server::new().await;
    let ready = async |path: &str| {
        let said = server.send(Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
        let reasons: Vec<String> = match said.status {
            StatusCode::OK | StatusCode::BAD_REQUEST => Vec::new(),
            _ => said.json()["error"]["problems"]
                .as_array()
                .unwrap_or_else(|| panic!("{}", said.text))
                .iter()
                .map(|p| p["field"].to_string())
                .collect(),
        };
        (said.status.as_u16(), reasons.join(","))
    };
    assert_eq!(ready("/readyz").await, (200, String::new()));
    server.ops.readiness().enter(llmops::Phase::Starting);
    assert_eq!(ready("/readyz").await, (503, "\"phase\"".to_owned()));
    server.ops.readiness().enter(llmops::Phase::Stopping);
    assert_eq!(ready("/readyz?part=gateway").await, (503, "\"phase\"".to_owned()));
    assert_eq!(ready("/healthz").await, (200, String::new()), "it lives while it stops");
    server.ops.readiness().enter(llmops::Phase::Running);
    let long_ago = llmops_domain::clock::now() - jiff::SignedDuration::from_secs(60);
    server.ops.readiness().gateway_is_fresh(long_ago);
    assert_eq!(ready("/readyz").await, (503, "\"gateway\"".to_owned()));
    server.ops.readiness().gateway_is_fresh(llmops_domain::clock::now());
    server.ops.store().close().await;
    assert_eq!(ready("/readyz").await, (503, "\"store\"".to_owned()));
    assert_eq!(ready("/readyz?part=gateway").await, (200, String::new()), "live traffic goes on without the store");
    assert_eq!(ready("/readyz?part=half").await.0, 400);
}
