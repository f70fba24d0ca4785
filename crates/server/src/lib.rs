//! The HTTP API of llmops: one file per resource under [`api`].
//!
//! [`router`] is mounted by `llmops serve` on a socket and by the command line in its own process.

pub mod api;
mod error;
mod extract;
pub mod gateway;
mod health;
mod ofrep;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use llmops::LlmOps;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use error::ApiError;

/// Largest body of a request that is read whole. Uploads of datasets are streams and have no such limit.
const MAX_BODY: usize = 8 << 20;
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
        (name = "prompts", description = "Versioned prompts"),
        (name = "datasets", description = "Datasets and their versions"),
        (name = "runs", description = "Evaluation runs, their results, comparisons and gates"),
        (name = "baselines", description = "The runs that gates compare with"),
        (name = "providers", description = "Models: health, scores, prices"),
        (name = "alerts", description = "What is wrong, and who is told of it"),
        (name = "deployments", description = "What answers live traffic"),
        (name = "records", description = "What is kept of live calls"),
        (name = "experiments", description = "Experiments, their life and assignments"),
        (name = "flags", description = "OpenFeature remote evaluation (OFREP) of experiments"),
        (name = "events", description = "What happens, live"),
        (name = "schedules", description = "Runs that start by themselves"),
        (name = "operations", description = "Health")
    )
)]
struct ApiDoc;

fn api_router() -> OpenApiRouter<LlmOps> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(api::prompts::router())
        .merge(api::datasets::router())
        .merge(api::judges::router())
        .merge(api::runs::router())
        .merge(api::baselines::router())
        .merge(api::deployments::router())
        .merge(api::records::router())
        .merge(api::experiments::router())
        .merge(ofrep::router())
        .merge(api::events::router())
        .merge(api::alerts::router())
        .merge(api::providers::router())
        .merge(api::channels::router())
        .merge(api::schedules::router())
        .merge(health::router())
}

/// The router over an installation.
pub fn router(ops: LlmOps) -> Router {
    let (router, document) = api_router().split_for_parts();
    let document = axum::Json(document);
    router
        .route("/openapi.json", axum::routing::get(move || std::future::ready(document.clone())))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(ops)
}

/// The OpenAPI 3.1 document of the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api_router().split_for_parts().1
}
