//! The HTTP API of llmops: one file per resource under [`api`].
//!
//! [`router`] is mounted by `llmops serve` on a socket and by the command line in its own process.

pub mod api;
mod caller;
mod cookie;
mod dashboard;
mod docs;
mod error;
mod etag;
mod extract;
pub mod gateway;
mod headers;
mod health;
mod idempotency;
mod lanes;
mod listen;
pub mod metrics;
mod ndjson;
mod ofrep;
mod openapi;
mod origin;
mod otlp;
mod patience;
mod request_id;
mod rounds;
mod routes;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use llmops::LlmOps;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;

use caller::Authenticator;
pub use caller::ServerOptions;
pub use error::ApiError;
pub use listen::{ListenOptions, Listening, listen};
pub use openapi::openapi;
use routes::Routes;

/// Largest body of a request that is read whole. Uploads of datasets are streams and have no such limit.
pub(crate) const MAX_BODY: usize = 8 << 20;
/// Longest that a request may wait for a run.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "llmops",
        description = "Prompts, datasets, evaluation runs, baselines and gates. Errors are \
                       `{\"error\": {\"code\", \"message\", \"hint\", \"problems\"}}`; codes are stable.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "overview", description = "What a person looks at first, in one answer each"),
        (name = "prompts", description = "Versioned prompts"),
        (name = "datasets", description = "Datasets and their versions"),
        (name = "runs", description = "Evaluation runs, their results, comparisons and gates"),
        (name = "baselines", description = "The runs that gates compare with"),
        (name = "providers", description = "Models: health, scores, prices"),
        (name = "alerts", description = "What is wrong, and who is told of it"),
        (name = "deployments", description = "What answers live traffic"),
        (name = "canaries", description = "Candidates on live traffic, unseen at first"),
        (name = "records", description = "What is kept of live calls"),
        (name = "feedback", description = "What people say of answers"),
        (name = "reviews", description = "Answers that a person should look at"),
        (name = "releases", description = "Manifests on their way to production, and second keys"),
        (name = "incidents", description = "Something is wrong with a deployment"),
        (name = "experiments", description = "Experiments, their life and assignments"),
        (name = "flags", description = "OpenFeature remote evaluation (OFREP) of experiments"),
        (name = "judges", description = "Judges compared with people"),
        (name = "events", description = "What happens, live"),
        (name = "schedules", description = "Runs that start by themselves"),
        (name = "keys", description = "Keys of the API"),
        (name = "projects", description = "Tenants: no key reaches the rows of another project"),
        (name = "session", description = "Signing in with a browser"),
        (name = "audit", description = "Who changed what"),
        (name = "operations", description = "Health, metrics, configuration")
    )
)]
struct ApiDoc;

fn api_router() -> Routes {
    Routes::new()
        .merge(api::prompts::router())
        .merge(api::datasets::router())
        .merge(api::judges::router())
        .merge(api::runs::router())
        .merge(api::baselines::router())
        .merge(api::deployments::router())
        .merge(api::canaries::router())
        .merge(api::records::router())
        .merge(api::feedback::router())
        .merge(api::reviews::router())
        .merge(api::incidents::router())
        .merge(api::releases::router())
        .merge(api::experiments::router())
        .merge(api::observations::router())
        .merge(ofrep::router())
        .merge(otlp::router())
        .merge(api::events::router())
        .merge(api::alerts::router())
        .merge(api::providers::router())
        .merge(api::channels::router())
        .merge(api::schedules::router())
        .merge(api::keys::router())
        .merge(api::projects::router())
        .merge(api::session::router())
        .merge(api::audit::router())
        .merge(api::applied::router())
        .merge(api::config::router())
        .merge(api::overview::router())
        .merge(api::workbench::router())
        .merge(health::router())
        .merge(metrics::router())
}

/// The router over an installation for callers in the same process: they own it, and need no key.
pub fn router(ops: LlmOps) -> Router {
    let routes = routes(&ops).layer(from_fn_with_state(ops.clone(), idempotency::once)).layer(from_fn(caller::trust));
    around(routes, ops, false)
}

/// The router over an installation for callers on the network. It looks at their keys; [`llmops::Access::follow`] must
/// run beside it. It wants to be served with `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn server(ops: LlmOps, options: ServerOptions) -> Router {
    let https = options.https;
    let authenticator = Arc::new(Authenticator::new(ops.clone(), options));
    let routes = routes(&ops)
        .layer(from_fn_with_state(ops.clone(), idempotency::once))
        .layer(from_fn_with_state(authenticator, caller::look))
        .layer(from_fn(patience::limit));
    around(routes, ops, https)
}

fn routes(ops: &LlmOps) -> Router {
    api_router()
        .into_router()
        .merge(docs::router().with_state(()))
        .merge(ofrep::slashed())
        .fallback(dashboard::serve)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(ops.clone())
}

/// What happens to every request before anybody looks at it, and to every answer after.
fn around(routes: Router, ops: LlmOps, https: bool) -> Router {
    routes
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(https, headers::protect))
        .layer(from_fn_with_state(ops, request_id::name))
}
