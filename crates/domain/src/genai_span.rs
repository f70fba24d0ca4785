//! Spans of applications that call models themselves, by OpenTelemetry's semantic conventions for generative AI: what of them
//! is a request record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::chat::Usage;
use crate::id;
use crate::record::{CallAttempt, CallOutcome, Door, RequestRecord};
use crate::redact::redact;

/// Attributes that become labels of the record, and the names of the labels.
const LABELS: [(&str, &str); 4] = [
    ("service.name", "service"),
    ("deployment.environment.name", "environment"),
    ("gen_ai.agent.name", "agent"),
    ("gen_ai.tool.name", "tool"),
];

/// A span, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// What went wrong; absent where nothing did.
    pub error: Option<String>,
    /// The span's attributes, with those of its resource and of its events.
    pub attributes: Map<String, Value>,
}

impl Span {
    fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.attributes.get(*name)?.as_str()).filter(|text| !text.is_empty())
    }

    fn count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| self.attributes.get(*name)?.as_u64())
    }

    /// A text, or the JSON of what is none.
    fn content(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.attributes.get(*name))?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The record of the model call that this span tells of; nothing where it tells of something else. The same span gives
    /// the same record, so that one that is sent twice is stored once. Contents are redacted.
    pub fn to_record(&self) -> Option<RequestRecord> {
        let operation = self.text(&["gen_ai.operation.name"]);
        let door = match operation {
            Some("embeddings") => Door::Embeddings,
            Some("chat" | "text_completion" | "generate_content") | None => Door::Chat,
            // Agents and tools have spans of their own around those of the model calls.
            Some(_) => return None,
        };
        let model = self.text(&["gen_ai.request.model", "gen_ai.response.model"])?;
        let provider = self.text(&["gen_ai.provider.name", "gen_ai.system"]).unwrap_or("unknown");
        let at = Timestamp::from_microsecond(i64::try_from(self.start / 1000).ok()?).ok()?;
        let ms = self.end.saturating_sub(self.start) as f64 / 1e6;
        let model = format!("{provider}/{model}");
        let status = self.status();
        let usage = self.usage();
        let attempt = CallAttempt { model: model.clone(), status: Some(status), error: self.error.clone(), ms };
        Some(RequestRecord {
            id: self.record_id(at),
            at,
            door,
            key: None,
            deployment: None,
            environment: None,
            manifest: None,
            variant: None,
            model,
            model_answered: self.text(&["gen_ai.response.model"]).map(str::to_owned),
            fingerprint: self
                .text(&["openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint"])
                .map(str::to_owned),
            stream: self.attributes.get("gen_ai.request.stream") == Some(&Value::Bool(true)),
            user: self.text(&["user.id", "enduser.id"]).map(str::to_owned),
            session: self.text(&["gen_ai.conversation.id", "session.id"]).map(str::to_owned),
            trace_id: (!self.trace_id.is_empty()).then(|| self.trace_id.clone()),
            tags: self.labels(),
            usage: usage.unwrap_or_default(),
            usage_estimated: usage.is_none(),
            cost: None,
            first_byte_ms: self.first_byte_ms(),
            total_ms: ms,
            status,
            outcome: if self.error.is_some() { CallOutcome::UpstreamError } else { CallOutcome::Ok },
            error: self.error.clone(),
            finish_reason: self.finish_reason(),
            soft_failures: Vec::new(),
            guard: Vec::new(),
            cached: false,
            attempts: vec![attempt],
            request_body: self
                .content(&["gen_ai.input.messages", "gen_ai.prompt", "input.value"])
                .map(|text| redact(&text).into_owned()),
            response_body: self
                .content(&["gen_ai.output.messages", "gen_ai.completion", "output.value"])
                .map(|text| redact(&text).into_owned()),
        })
    }

    fn record_id(&self, at: Timestamp) -> String {
        let hash = Sha256::digest(format!("{}/{}", self.trace_id, self.span_id).as_bytes());
        let mut bits = [0; 8];
        bits.copy_from_slice(&hash[..8]);
        id::request(at.as_millisecond(), u64::from_be_bytes(bits))
    }

    fn status(&self) -> u16 {
        let told = self.count(&["http.response.status_code", "http.status_code"]).and_then(|s| u16::try_from(s).ok());
        told.unwrap_or(if self.error.is_some() { 500 } else { 200 })
    }

    fn usage(&self) -> Option<Usage> {
        let prompt = self.count(&["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]);
        let completion = self.count(&["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]);
        (prompt.is_some() || completion.is_some())
            .then(|| Usage { prompt_tokens: prompt.unwrap_or(0), completion_tokens: completion.unwrap_or(0) })
    }

    fn first_byte_ms(&self) -> Option<f64> {
        let seconds = self.attributes.get("gen_ai.response.time_to_first_chunk")?.as_f64()?;
        (seconds.is_finite() && seconds >= 0.0).then_some(seconds * 1000.0)
    }

    fn finish_reason(&self) -> Option<String> {
        let reasons = self.attributes.get("gen_ai.response.finish_reasons")?;
        let first = reasons.as_array().and_then(|reasons| reasons.first()).unwrap_or(reasons);
        first.as_str().map(str::to_owned)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let label = |(name, label): (&str, &str)| Some((label.to_owned(), self.text(&[name])?.to_owned()));
        LABELS.into_iter().filter_map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(attributes: &Value) -> Span {
        Span {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            start: 1_764_000_000_000_000_000,
            end: 1_764_000_000_250_000_000,
            error: None,
            attributes: attributes.as_object().cloned().unwrap(),
        }
    }

    #[test]
    fn a_chat_is_a_record() {
        let span = span(&json!({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2,
            "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "c1", "user.id": "ana",
            "service.name": "shop", "gen_ai.input.messages": "[{\"role\":\"user\",\"content\":\"ana@example.org\"}]",
        }));
        let record = span.to_record().unwrap();
        assert_eq!((&*record.model, record.model_answered.as_deref()), ("openai/gpt-4o", Some("gpt-4o-2024-08-06")));
        assert_eq!(record.usage, Usage { prompt_tokens: 9, completion_tokens: 2 });
        assert_eq!((record.total_ms, record.status, record.outcome), (250.0, 200, CallOutcome::Ok));
        assert_eq!((record.user.as_deref(), record.session.as_deref()), (Some("ana"), Some("c1")));
        assert_eq!(record.tags["service"], "shop");
        assert!(record.request_body.as_deref().unwrap().contains("[email]"));
        assert_eq!(record.id, span.to_record().unwrap().id, "the same span is the same record");
    }

    #[test]
    fn older_names_and_failures() {
        let failed = Span {
            error: Some("rate limited".to_owned()),
            ..span(&json!({
                "gen_ai.system": "anthropic", "gen_ai.request.model": "claude", "gen_ai.usage.prompt_tokens": 3,
                "http.response.status_code": 429,
            }))
        };
        let record = failed.to_record().unwrap();
        assert_eq!((&*record.model, record.status, record.usage.prompt_tokens), ("anthropic/claude", 429, 3));
        assert_eq!((record.outcome, record.error.as_deref()), (CallOutcome::UpstreamError, Some("rate limited")));
    }

    #[test]
    fn other_spans_are_none() {
        for attributes in [
            json!({}),
            json!({"http.request.method": "GET"}),
            json!({"gen_ai.operation.name": "execute_tool", "gen_ai.request.model": "m"}),
            json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"}),
            json!({"gen_ai.operation.name": "chat"}),
        ] {
            assert_eq!(span(&attributes).to_record(), None, "{attributes}");
        }
        let embedding = span(&json!({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"}));
        let record = embedding.to_record().unwrap();
        assert_eq!((record.door, &*record.model, record.usage_estimated), (Door::Embeddings, "unknown/e", true));
    }
}
