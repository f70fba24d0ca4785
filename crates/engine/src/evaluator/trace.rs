//! Spans of runs and of their calls. A run has a trace of its own, the same in every process that works on it.

use jiff::Timestamp;
use llmops_domain::chat::Usage;
use llmops_domain::run::EvaluationRun;
use llmops_providers::ProviderError;
use serde_json::{Value, json};

use super::execution::Execution;
use super::shard::Pair;
use crate::Services;
use crate::telemetry::{Span, SpanId, SpanKind, TraceContext, span_of};

impl Execution {
    /// Tells of a call of the target's model, as a part of the run.
    pub(super) fn trace(&self, pair: &Pair, start: Timestamp, came: Result<Usage, &ProviderError>) {
        let context = TraceContext { parent: Some(span_of(self.id.as_str())), ..TraceContext::of(self.id.as_str()) };
        if !self.services.options.telemetry.wants(&context) {
            return;
        }
        let usage = came.unwrap_or_default();
        let tokens = |tokens: u64| if came.is_ok() { json!(tokens) } else { Value::Null };
        self.services.options.telemetry.record(Span {
            context,
            id: SpanId::new(self.services.clock.random()),
            name: format!("chat {}", self.target.model()),
            kind: SpanKind::Client,
            start,
            end: self.services.clock.now(),
            attributes: vec![
                ("gen_ai.operation.name", json!("chat")),
                ("gen_ai.request.model", json!(self.target.model())),
                ("gen_ai.usage.input_tokens", tokens(usage.prompt_tokens)),
                ("gen_ai.usage.output_tokens", tokens(usage.completion_tokens)),
                ("llmops.sample", json!(pair.sample.id)),
                ("llmops.trial", json!(pair.trial)),
                ("error.type", came.as_ref().err().map_or(Value::Null, |e| json!(e.reason()))),
            ],
            error: came.err().map(ToString::to_string),
        });
    }
}

/// Tells of a run that has ended.
pub(super) fn run_ended(services: &Services, run: &EvaluationRun) {
    let context = TraceContext::of(run.id.as_str());
    if !services.options.telemetry.wants(&context) {
        return;
    }
    let end = run.end_time.unwrap_or_else(|| services.clock.now());
    services.options.telemetry.record(Span {
        context,
        id: span_of(run.id.as_str()),
        name: format!("run {}", run.dataset),
        kind: SpanKind::Internal,
        start: run.start_time.unwrap_or(end),
        end,
        attributes: vec![
            ("llmops.run", json!(run.id)),
            ("llmops.run.status", json!(run.status)),
            ("llmops.dataset", json!(run.dataset)),
            ("llmops.samples", json!(run.progress.done)),
            ("llmops.samples.errored", json!(run.progress.errored)),
            ("gen_ai.request.model", json!(run.model_name)),
        ],
        error: run.error.clone(),
    });
}
