//! Each request has a name, the caller's `x-request-id` or a new one, and a line in the log when it was answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header::HeaderName};
use axum::middleware::Next;
use axum::response::Response;
use llmops::LlmOps;
use llmops::telemetry::{Span, SpanId, SpanKind, TraceContext};
use llmops_domain::id;
use tracing::Instrument as _;

use crate::caller::Known;
use crate::metrics::http::{NO_ROUTE, meters};

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over.
const LONGEST: usize = 128;
/// Routes that machines ask every few seconds: their lines are for those who look for them.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The name of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Names the request, counts it, and writes its line.
pub(crate) async fn name(State(ops): State<LlmOps>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_plain(id));
    let id: Arc<str> = match given {
        Some(id) => id.into(),
        None => id::request(llmops_domain::clock::now().as_millisecond(), ops.random()).into(),
    };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let method = request.method().clone();
    let context = ops.telemetry().is_on().then(|| trace_context(&request, &id));
    // Of the same target as the line, so that both are wanted or neither.
    let span = tracing::info_span!(target: "llmops::access", "request", %id, %method, route);
    request.extensions_mut().insert(RequestId(id.clone()));
    let (started, in_flight) = (Instant::now(), meters().in_flight.enter());
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let took = started.elapsed();
    meters().route(route, &method).note(response.status(), took);
    let known = response.extensions_mut().remove::<Known>();
    if let Some(context) = context {
        trace(&ops, context, (&*id, &method, route), (response.status().as_u16(), took));
    }
    span.in_scope(|| line(route, response.status().as_u16(), milliseconds(took), known.as_ref()));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// Where the request belongs: the caller's trace, or one of its own.
fn trace_context(request: &Request, id: &str) -> TraceContext {
    let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    header.and_then(TraceContext::parse).unwrap_or_else(|| TraceContext::of(id))
}

fn trace(
    ops: &LlmOps,
    context: TraceContext,
    (id, method, route): (&str, &Method, &str),
    (status, took): (u16, Duration),
) {
    if PROBES.contains(&route) {
        return;
    }
    let end = llmops_domain::clock::now();
    ops.telemetry().record(Span {
        context,
        id: SpanId::new(ops.random()),
        name: format!("{method} {route}"),
        kind: SpanKind::Server,
        start: end.checked_sub(took).unwrap_or(end),
        end,
        attributes: vec![
            ("http.request.method", method.as_str().into()),
            ("http.route", route.into()),
            ("http.response.status_code", status.into()),
            ("llmops.request_id", id.into()),
        ],
        error: (status >= 500).then(|| format!("status {status}")),
    });
}

/// To the microsecond: what a reader of the log needs, and no more digits.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1000.0
}

/// The line of an answered request: its id, method and route come from the span. No secret, path or query is in it.
fn line(route: &str, status: u16, ms: f64, known: Option<&Known>) {
    let (key, project) = (known.map(|known| known.key.as_str()), known.map(|known| known.project.as_str()));
    if PROBES.contains(&route) && status < 400 {
        tracing::debug!(target: "llmops::access", status, ms, key, project, "answered");
    } else {
        tracing::info!(target: "llmops::access", status, ms, key, project, "answered");
    }
}

/// Whether an id can stand in a log without doubt about where it ends.
fn is_plain(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
}
