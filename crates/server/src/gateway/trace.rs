//! Spans of calls through the gateway, made of their records, off the path.

use std::time::Duration;

use jiff::Timestamp;
use llmops::telemetry::{Span, SpanId, SpanKind, Telemetry, TraceContext, span_of};
use llmops_domain::record::{CallAttempt, CallOutcome, Door, RequestRecord};
use serde_json::{Value, json};

/// Tells of a call, and of each attempt to have it answered. `traceparent` is the caller's, where it has named one.
pub(super) fn tell(telemetry: &Telemetry, record: &RequestRecord, traceparent: Option<&str>) {
    let context = traceparent.and_then(TraceContext::parse).unwrap_or_else(|| TraceContext::of(&record.id));
    if !telemetry.wants(&context) {
        return;
    }
    let id = span_of(&record.id);
    telemetry.record(of_call(context, id, record));
    let mut start = record.at;
    for (i, attempt) in record.attempts.iter().enumerate() {
        // The last attempt lasts as long as its answer.
        let is_last = i + 1 == record.attempts.len();
        let end = if is_last { later(record.at, record.total_ms) } else { later(start, attempt.ms) };
        let context = TraceContext { parent: Some(id), ..context };
        telemetry.record(of_attempt(context, span_of(&format!("{} {i}", record.id)), attempt, (start, end)));
        start = end;
    }
}

fn later(start: Timestamp, ms: f64) -> Timestamp {
    let ms = if ms.is_finite() { ms.clamp(0.0, 1e9) } else { 0.0 };
    start.checked_add(Duration::from_secs_f64(ms / 1000.0)).unwrap_or(start)
}

fn of_call(context: TraceContext, id: SpanId, record: &RequestRecord) -> Span {
    let operation = match record.door {
        Door::Embeddings => "embeddings",
        Door::Chat | Door::Messages => "chat",
    };
    let name = record.deployment.as_deref().unwrap_or(&record.model);
    Span {
        context,
        id,
        name: format!("{operation} {name}"),
        kind: SpanKind::Server,
        start: record.at,
        end: later(record.at, record.total_ms),
        attributes: vec![
            ("gen_ai.operation.name", json!(operation)),
            ("gen_ai.provider.name", json!(provider(&record.model))),
            ("gen_ai.request.model", json!(record.model)),
            ("gen_ai.response.model", json!(record.model_answered)),
            ("gen_ai.response.finish_reasons", json!(record.finish_reason.as_ref().map(|reason| [reason]))),
            ("gen_ai.usage.input_tokens", json!(record.usage.prompt_tokens)),
            ("gen_ai.usage.output_tokens", json!(record.usage.completion_tokens)),
            ("http.response.status_code", json!(record.status)),
            ("llmops.request_id", json!(record.id)),
            ("llmops.deployment", json!(record.deployment)),
            ("llmops.environment", json!(record.environment)),
            ("llmops.manifest", json!(record.manifest)),
            ("llmops.variant", json!(record.variant)),
            ("llmops.outcome", json!(record.outcome)),
            ("llmops.cost_usd", json!(record.cost)),
            ("llmops.first_byte_ms", json!(record.first_byte_ms)),
            ("llmops.soft_failures", soft_failures(record)),
        ],
        error: (record.outcome != CallOutcome::Ok).then(|| record.error.clone().unwrap_or_default()),
    }
}

/// The provider, as the configuration names it; nothing where none was asked.
fn provider(model: &str) -> Option<&str> {
    model.split_once('/').map(|(provider, _)| provider)
}

fn soft_failures(record: &RequestRecord) -> Value {
    let kinds: Vec<_> = record.soft_failures.iter().map(|failure| json!(failure.kind)).collect();
    if kinds.is_empty() { Value::Null } else { Value::Array(kinds) }
}

fn of_attempt(context: TraceContext, id: SpanId, attempt: &CallAttempt, times: (Timestamp, Timestamp)) -> Span {
    Span {
        context,
        id,
        name: format!("call {}", attempt.model),
        kind: SpanKind::Client,
        start: times.0,
        end: times.1,
        attributes: vec![
            ("gen_ai.provider.name", json!(provider(&attempt.model))),
            ("gen_ai.request.model", json!(attempt.model)),
            ("http.response.status_code", json!(attempt.status)),
        ],
        error: attempt.error.clone(),
    }
}
