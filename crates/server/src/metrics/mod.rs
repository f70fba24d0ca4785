//! `GET /metrics`: what the process counts, in Prometheus' text format.
//!
//! The list of families is [`FAMILIES`]; the guide of operations repeats it, and a test compares the two. A family is in
//! every answer, with or without samples, so that a dashboard finds it before the first event.

mod families;
pub(crate) mod http;
mod process;
mod text;

use std::time::Duration;

use crate::routes::{Routes, routes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use llmops::LlmOps;
use llmops::jobs::JobCounts;
use llmops_storage::StoreStatus;

pub use families::{FAMILIES, Family, Kind};

use crate::extract::Metered;
use process::Process;
pub use process::begin;
use text::Exposition;

/// Longest that store and queue may take to say what they hold.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn router() -> Routes {
    Routes::new().routes(routes!(metrics))
}

/// Everything that families are read from, as it is at one time.
pub(crate) struct Sources {
    ops: LlmOps,
    /// None while the store is away.
    store: Option<StoreStatus>,
    /// Whether the store takes changes.
    writes: bool,
    /// None while the queue is away, or where there is none.
    queue: Option<JobCounts>,
    process: Process,
}

/// Metrics of the process in Prometheus' text format: of all projects, and so for the keys of the project `default`.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "operations",
    responses((status = 200, content_type = "text/plain", body = String)))]
async fn metrics(Metered(ops): Metered, State(installation): State<LlmOps>) -> Response {
    drop(ops);
    let now = llmops_domain::clock::now();
    let status = tokio::time::timeout(PATIENCE, installation.store().status(now));
    let queue = tokio::time::timeout(PATIENCE, installation.queue_counts());
    let writes = tokio::time::timeout(PATIENCE, installation.store().check_write());
    let (status, queue, writes) = tokio::join!(status, queue, writes);
    let sources = Sources {
        store: status.ok().and_then(Result::ok),
        writes: writes.is_ok_and(|done| done.is_ok()),
        queue: queue.ok().and_then(Result::ok).flatten(),
        process: Process::read(),
        ops: installation,
    };
    let mut out = Exposition::default();
    for family in FAMILIES {
        out.family(family);
        (family.read)(&sources, &mut out);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.into_text()).into_response()
}
