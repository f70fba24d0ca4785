//! A server without a socket, and requests to it.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use llmops::{LlmOps, Options};
use llmops_api::access::{CreateKey, CreateProject};
use llmops_domain::access::Role;
use llmops_domain::config::providers::{ProviderConfig, SimulatorConfig};
use llmops_domain::id::ProjectId;
use llmops_server::ServerOptions;
use llmops_storage::Store;
use serde_json::Value;
use tower::ServiceExt as _;

/// A server and the installation behind it.
pub(crate) struct Server {
    pub(crate) ops: LlmOps,
    router: Router,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The code of the error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.text)).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An installation over a store, with the simulated provider.
pub(crate) fn installation(store: Store) -> LlmOps {
    let simulator = ProviderConfig::Simulator(SimulatorConfig::default());
    let providers = BTreeMap::from([("sim".to_owned(), simulator)]);
    let providers = llmops_providers::Providers::new(&providers, &BTreeMap::new(), Path::new(".")).unwrap();
    LlmOps::new(store, providers, Options::default())
}

impl Server {
    /// Over a store in memory.
    pub(crate) async fn new() -> Self {
        Self::with(installation(Store::in_memory().await.unwrap()), ServerOptions::default())
    }

    pub(crate) fn with(ops: LlmOps, options: ServerOptions) -> Self {
        Self { router: llmops_server::server(ops.clone(), options), ops }
    }

    /// The answer to a request, of which only the head was read.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Said {
        let (parts, body) = self.open(request).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Said { status: parts.status, headers: parts.headers, text }
    }

    /// A request with a key (empty: without one) and a JSON body (null: without one).
    pub(crate) async fn call(&self, method: &Method, path: &str, key: &str, body: &Value) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Said {
        self.call(&Method::GET, path, key, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> Said {
        self.call(&Method::POST, path, key, body).await
    }

    pub(crate) async fn delete(&self, path: &str, key: &str) -> Said {
        self.call(&Method::DELETE, path, key, &Value::Null).await
    }

    /// The secret of a new key.
    pub(crate) async fn key(&self, project: &str, role: Role) -> String {
        let request = CreateKey {
            limits: llmops_domain::limits::Limits::default(),
            name: format!("{project} {role}"),
            role,
            project: Some(ProjectId::from(project)),
            expires_at: None,
        };
        self.ops.keys().create(request).await.unwrap().secret
    }

    pub(crate) async fn project(&self, id: &str) {
        self.ops.projects().create(CreateProject { id: ProjectId::from(id), name: None }).await.unwrap();
    }
}
