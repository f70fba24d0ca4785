//! Spans of applications that call models themselves, by OpenTelemetry's semantic conventions for generative AI: what of them
//! is a request record. The names that `OpenLLMetry` and `OpenInference` gave to the same before are read, too.

mod said;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::chat::{MOST_TOKENS, Usage};
use crate::id;
use crate::record::{CallAttempt, CallOutcome, Door, RequestRecord};
use crate::redact::{redact, redact_id, redact_label};

/// Attributes that become labels of the record, and the names of the labels.
const LABELS: [(&str, &str); 4] = [
    ("service.name", "service"),
    ("deployment.environment.name", "environment"),
    ("gen_ai.agent.name", "agent"),
    ("gen_ai.tool.name", "tool"),
];

/// Names of who asked. `traceloop.…` are what an application of `OpenLLMetry` says of itself; the others that it and the
/// providers' libraries have are those of the parameter `user`.
const USERS: [&str; 5] =
    ["user.id", "enduser.id", "traceloop.association.properties.user_id", "gen_ai.user", "llm.user"];
/// Names of the conversation.
const SESSIONS: [&str; 3] = ["gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id"];

/// Exceptions of the providers' libraries that are answers of the provider, and their statuses.
const EXCEPTIONS: [(&str, u16); 8] = [
    ("BadRequestError", 400),
    ("AuthenticationError", 401),
    ("PermissionDeniedError", 403),
    ("NotFoundError", 404),
    ("ConflictError", 409),
    ("UnprocessableEntityError", 422),
    ("RateLimitError", 429),
    ("InternalServerError", 500),
];

/// How far ahead the clock of an application may be.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// The start of the year 2000: what began before was written in another unit than nanoseconds, or not at all.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// Why a span of a model call gives no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Its ids are none, so that it could not be told from others.
    #[error(
        "a span has the trace id `{trace}` and the span id `{span}`: expected 32 and 16 hex digits, not all of them 0"
    )]
    Ids {
        /// The trace's id, or the beginning of it.
        trace: String,
        /// The span's, likewise.
        span: String,
    },
    /// It has no time that is one.
    #[error("the span `{0}` began before the year 2000: expected a start in nanoseconds since 1970")]
    Early(String),
    /// It would stay the newest record for ever.
    #[error("the span `{0}` begins more than a day from now: look at the clock of the application")]
    Ahead(String),
}

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
    /// The first of these attributes that says anything: a text, or a number as one.
    fn text(&self, names: &[&str]) -> Option<String> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        names.iter().filter_map(|name| text(self.attributes.get(*name)?)).find(|text| !text.trim().is_empty())
    }

    fn count(&self, names: &[&str]) -> Option<u64> {
        names.iter().find_map(|name| whole(self.attributes.get(*name)?))
    }

    fn is_true(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.attributes.get(*name) == Some(&Value::Bool(true)))
    }

    /// What was called; nothing where the span tells of something else.
    fn door(&self) -> Option<Door> {
        let names = ["gen_ai.operation.name", "openinference.span.kind", "llm.request.type"];
        match self.text(&names).as_deref() {
            Some("embeddings" | "EMBEDDING" | "embedding") => Some(Door::Embeddings),
            Some("chat" | "text_completion" | "generate_content" | "LLM" | "completion" | "unknown") | None => {
                Some(Door::Chat)
            }
            // Agents and tools have spans of their own around those of the model calls.
            Some(_) => None,
        }
    }

    /// When it began, and its ids, where they are what they should be.
    fn check(&self, now: Timestamp) -> Result<Timestamp, SpanError> {
        if !is_id(&self.trace_id, 32) || !is_id(&self.span_id, 16) {
            let [trace, span] = [&self.trace_id, &self.span_id].map(|id| id.chars().take(32).collect());
            return Err(SpanError::Ids { trace, span });
        }
        // 64 bits of nanoseconds end in the year 2554.
        let at = i64::try_from(self.start / 1000).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
        match at {
            Some(at) if at < EARLIEST => Err(SpanError::Early(self.span_id.clone())),
            Some(at) if at <= now.checked_add(AHEAD).unwrap_or(Timestamp::MAX) => Ok(at),
            _ => Err(SpanError::Ahead(self.span_id.clone())),
        }
    }

    /// The record of the model call that this span tells of; nothing where it tells of something else. The same span gives
    /// the same record, so that one that is sent twice is stored once. Contents and errors are redacted.
    ///
    /// # Errors
    /// [`SpanError`] where it tells of a model call, and its ids or its start are none.
    pub fn to_record(&self, now: Timestamp) -> Result<Option<RequestRecord>, SpanError> {
        let (Some(door), Some((model, model_answered))) = (self.door(), self.models()) else { return Ok(None) };
        let at = self.check(now)?;
        let provider = self.text(&["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"]);
        // Prices are found by the names of the conventions, which are in small letters: some write `OpenAI`.
        let provider = provider.map_or_else(|| "unknown".to_owned(), |name| name.to_lowercase());
        let model = format!("{provider}/{model}");
        let ms = self.end.saturating_sub(self.start) as f64 / 1e6;
        let (status, usage) = (self.status(), self.usage());
        let error = self.error.as_deref().map(|text| redact(text).into_owned());
        let attempt = CallAttempt { model: model.clone(), status: Some(status), error: error.clone(), ms };
        // Vectors are no words that anybody answered.
        let (request_body, response_body) = match door {
            Door::Embeddings => (self.embedded(), None),
            Door::Chat | Door::Messages => (self.asked(), self.answered()),
        };
        Ok(Some(RequestRecord {
            id: self.record_id(at),
            at,
            door,
            key: None,
            deployment: None,
            environment: None,
            manifest: None,
            variant: None,
            model,
            model_answered,
            fingerprint: self
                .text(&["openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint"]),
            stream: self.is_stream(),
            user: self.text(&USERS).or_else(|| self.parameter(&["user"])),
            session: self.text(&SESSIONS).map(redact_id),
            trace_id: Some(self.trace_id.clone()),
            tags: self.kept_labels(),
            usage: usage.unwrap_or_default(),
            usage_estimated: usage.is_none(),
            cost: None,
            first_byte_ms: self.first_byte_ms(),
            total_ms: ms,
            status,
            outcome: if error.is_some() { CallOutcome::UpstreamError } else { CallOutcome::Ok },
            error,
            finish_reason: self.finish_reason(),
            soft_failures: Vec::new(),
            undecided: Vec::new(),
            guard: Vec::new(),
            cached: false,
            safe_mode: false,
            attempts: vec![attempt],
            request_body: request_body.map(|text| redact(&text).into_owned()),
            response_body: response_body.map(|text| redact(&text).into_owned()),
        }))
    }

    /// The labels, without what names people.
    fn kept_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        for (name, value) in &mut labels {
            *value = redact_label(name, value);
        }
        labels
    }

    fn record_id(&self, at: Timestamp) -> String {
        let hash = Sha256::digest(format!("{}/{}", self.trace_id, self.span_id).as_bytes());
        let mut bits = [0; 8];
        bits.copy_from_slice(&hash[..8]);
        id::request(at.as_millisecond(), u64::from_be_bytes(bits))
    }

    /// The model that was asked, and the one that answered where both are told. `OpenInference` tells the one that answered
    /// by a name of its own, where the call did not fail, and the other among the parameters of the call.
    fn models(&self) -> Option<(String, Option<String>)> {
        let answered = self.text(&["gen_ai.response.model"]);
        let named = self.text(&["llm.model_name", "embedding.model_name"]);
        if let Some(asked) = self.text(&["gen_ai.request.model"]) {
            return Some((asked, answered));
        }
        if let Some(asked) = self.parameter(&["model", "model_name"]) {
            return Some((asked, answered.or(named)));
        }
        let asked = answered.clone().or(named).or_else(|| self.model_of_request())?;
        Some((asked, answered))
    }

    fn is_stream(&self) -> bool {
        self.is_true(&["gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"])
            || self.parameter(&["stream"]).is_some_and(|stream| stream == "true")
    }

    fn status(&self) -> u16 {
        let told = self.count(&["http.response.status_code", "http.status_code"]).and_then(|s| u16::try_from(s).ok());
        told.unwrap_or_else(|| if self.error.is_some() { self.status_of_error().unwrap_or(500) } else { 200 })
    }

    /// The status of a failed call by what the failure is called: a number, or an exception such as `openai.RateLimitError`.
    fn status_of_error(&self) -> Option<u16> {
        let status = |kind: String| {
            let number = kind.parse().ok().filter(|status| (400..600).contains(status));
            let class = kind.rsplit('.').next().unwrap_or_default();
            number.or_else(|| EXCEPTIONS.iter().find(|(name, _)| *name == class).map(|(_, status)| *status))
        };
        ["error.type", "exception.type"].into_iter().find_map(|name| status(self.text(&[name])?))
    }

    fn usage(&self) -> Option<Usage> {
        let prompt = self.count(&["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"]);
        let completion =
            self.count(&["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"]);
        let cached = self.count(&[
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
        ]);
        let written = self.count(&[
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
        ]);
        let usage = Usage {
            cached_tokens: cached.unwrap_or(0),
            cache_write_tokens: written.unwrap_or(0),
            ..Usage::new(prompt.unwrap_or(0), completion.unwrap_or(0))
        };
        (prompt.is_some() || completion.is_some()).then(|| usage.bounded())
    }

    fn first_byte_ms(&self) -> Option<f64> {
        let seconds = self.attributes.get("gen_ai.response.time_to_first_chunk")?.as_f64()?;
        (seconds.is_finite() && seconds >= 0.0).then_some(seconds * 1000.0)
    }

    fn finish_reason(&self) -> Option<String> {
        let reasons = self.attributes.get("gen_ai.response.finish_reasons");
        let first = reasons.map(|reasons| reasons.as_array().and_then(|all| all.first()).unwrap_or(reasons));
        let first = first.and_then(Value::as_str).map(str::to_owned);
        let first = first
            .or_else(|| self.text(&["llm.finish_reason", "llm.response.finish_reason"]))
            .or_else(|| self.finish_reason_of_answer())?;
        // The conventions name one call; records say what OpenAI says.
        Some(if first == "tool_call" { "tool_calls".to_owned() } else { first })
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let label = |(name, label): (&str, &str)| Some((label.to_owned(), self.text(&[name])?));
        LABELS.into_iter().filter_map(label).collect()
    }
}

/// A count that may be written as a text, or as a number with a fraction of 0.
fn whole(value: &Value) -> Option<u64> {
    let count = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    count.or_else(|| {
        let number = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and cut to what fits"
        )]
        Some(number.min(MOST_TOKENS as f64) as u64)
    })
}

fn is_id(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0')
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

    fn now() -> Timestamp {
        Timestamp::from_second(1_764_000_000).unwrap()
    }

    fn record(attributes: &Value) -> RequestRecord {
        span(attributes).to_record(now()).unwrap().unwrap()
    }

    #[test]
    fn a_chat_is_a_record() {
        let span = span(&json!({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06", "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2,
            "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "c1", "user.id": "ana",
            "service.name": "shop", "gen_ai.input.messages": "[{\"role\":\"user\",\"content\":\"ana@example.org\"}]",
        }));
        let record = span.to_record(now()).unwrap().unwrap();
        assert_eq!((&*record.model, record.model_answered.as_deref()), ("openai/gpt-4o", Some("gpt-4o-2024-08-06")));
        assert_eq!(record.usage, Usage::new(9, 2));
        assert_eq!((record.total_ms, record.status, record.outcome), (250.0, 200, CallOutcome::Ok));
        assert_eq!((record.user.as_deref(), record.session.as_deref()), (Some("ana"), Some("c1")));
        assert_eq!(record.tags["service"], "shop");
        assert!(record.request_body.as_deref().unwrap().contains("[email]"));
        assert_eq!(record.id, span.to_record(now()).unwrap().unwrap().id, "the same span is the same record");
    }

    #[test]
    fn older_names_and_failures() {
        let failed = Span {
            error: Some("rate limited: key sk-proj-abcdefghijklmnop1234 of ana@example.org".to_owned()),
            ..span(&json!({
                "gen_ai.system": "anthropic", "gen_ai.request.model": "claude", "gen_ai.usage.prompt_tokens": 3,
                "http.response.status_code": 429,
            }))
        };
        let record = failed.to_record(now()).unwrap().unwrap();
        assert_eq!((&*record.model, record.status, record.usage.prompt_tokens), ("anthropic/claude", 429, 3));
        assert_eq!(
            (record.outcome, record.error.as_deref()),
            (CallOutcome::UpstreamError, Some("rate limited: key [key] of [email]"))
        );
        assert_eq!(record.attempts[0].error, record.error);
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
            assert_eq!(span(&attributes).to_record(now()), Ok(None), "{attributes}");
        }
        let record = record(&json!({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"}));
        assert_eq!((record.door, &*record.model, record.usage_estimated), (Door::Embeddings, "unknown/e", true));
    }

    #[test]
    fn spans_without_ids_or_time_are_refused() {
        let call = span(&json!({"gen_ai.request.model": "m"}));
        let second = 1_000_000_000;
        let check = |span: Span, expected: &str| {
            let refused = span.to_record(now()).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            // What tells of no model call is nobody's concern.
            assert_eq!(Span { attributes: Map::new(), ..span }.to_record(now()), Ok(None));
        };
        check(Span { trace_id: String::new(), ..call.clone() }, "trace id ``");
        check(Span { trace_id: "0".repeat(32), ..call.clone() }, "not all of them 0");
        check(Span { trace_id: "z".repeat(90), ..call.clone() }, &format!("`{}`", "z".repeat(32)));
        check(Span { span_id: "00f067aa".to_owned(), ..call.clone() }, "span id `00f067aa`");
        check(Span { start: 0, ..call.clone() }, "before the year 2000");
        check(Span { start: 1_764_000_000_000, ..call.clone() }, "nanoseconds");
        check(Span { start: 7_258_118_400 * second, ..call.clone() }, "more than a day");
        check(Span { start: u64::MAX, ..call.clone() }, "more than a day");
        let soon = Span { start: call.start + 23 * 3600 * second, ..call };
        assert!(soon.to_record(now()).unwrap().is_some());
    }

    #[test]
    fn values_of_other_types_are_read() {
        let record = record(&json!({
            "gen_ai.provider.name": "", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o", "user.id": 42,
            "gen_ai.usage.input_tokens": 9.0, "gen_ai.usage.output_tokens": "2", "gen_ai.prompt": null,
            "gen_ai.completion": " ", "llm.is_streaming": true,
        }));
        assert_eq!((&*record.model, record.user.as_deref(), record.stream), ("openai/gpt-4o", Some("42"), true));
        assert_eq!(record.usage, Usage::new(9, 2));
        assert_eq!((record.request_body, record.response_body), (None, None));
    }

    #[test]
    fn absurd_counts_are_cut() {
        for count in [json!(u64::MAX), json!(i64::MAX), json!(1e300), json!(i64::MAX.to_string())] {
            let record = record(&json!({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": count}));
            assert_eq!(record.usage.prompt_tokens, MOST_TOKENS, "{count}");
        }
        for none in [json!(-1), json!(1.5), json!("many"), json!([3])] {
            assert!(record(&json!({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": none})).usage_estimated);
        }
    }

    #[test]
    fn spans_of_openinference() {
        let llm = json!({"openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 7, "llm.token_count.completion": 3, "session.id": "s"});
        let record = record(&llm);
        assert_eq!((&*record.model, record.door, record.session.as_deref()), ("openai/gpt-4o", Door::Chat, Some("s")));
        assert_eq!(record.usage, Usage::new(7, 3));
        let chain = json!({"openinference.span.kind": "CHAIN", "llm.model_name": "gpt-4o", "input.value": "{\"model\": \"m\"}"});
        assert_eq!(span(&chain).to_record(now()), Ok(None));
    }

    /// As the package `openinference-instrumentation-openai` 0.1 writes them.
    #[test]
    fn what_openinference_tells_among_the_parameters() {
        let stream = record(&json!({"openinference.span.kind": "LLM", "llm.system": "openai",
            "llm.model_name": "gpt-4o-mini-2024-07-18", "llm.finish_reason": "tool_calls",
            "llm.invocation_parameters": r#"{"model": "gpt-4o-mini", "stream": true, "user": "maria"}"#}));
        assert_eq!(
            (&*stream.model, stream.model_answered.as_deref()),
            ("openai/gpt-4o-mini", Some("gpt-4o-mini-2024-07-18"))
        );
        assert_eq!((stream.stream, stream.user.as_deref()), (true, Some("maria")));
        assert_eq!(stream.finish_reason.as_deref(), Some("tool_calls"));

        let failed = |attributes: Value| Span { error: Some("refused".to_owned()), ..span(&attributes) };
        let limited = json!({"openinference.span.kind": "LLM", "llm.system": "openai", "exception.type": "openai.RateLimitError",
            "llm.invocation_parameters": r#"{"model": "gpt-4o-mini"}"#, "user.id": "ana"});
        let record = failed(limited).to_record(now()).unwrap().unwrap();
        assert_eq!((&*record.model, record.model_answered, record.status), ("openai/gpt-4o-mini", None, 429));
        assert_eq!((record.outcome, record.user.as_deref()), (CallOutcome::UpstreamError, Some("ana")));
        let asked = json!({"openinference.span.kind": "LLM", "input.value": r#"{"model": "m", "messages": []}"#});
        assert_eq!(failed(asked).to_record(now()).unwrap().unwrap().model, "unknown/m");
        // Not everything with an input is a call of a model.
        assert_eq!(span(&json!({"input.value": r#"{"model": "m"}"#})).to_record(now()), Ok(None));
    }

    #[test]
    fn vectors_are_not_kept() {
        let vectors = json!({"openinference.span.kind": "EMBEDDING", "llm.system": "openai", "embedding.model_name": "e",
            "input.value": r#"{"input": ["a", "b"], "model": "e"}"#, "output.value": r#"{"data": [{"embedding": [0.1]}]}"#,
            "embedding.embeddings.0.embedding.vector": [0.1]});
        let kept = record(&vectors);
        assert_eq!((&*kept.model, kept.door), ("openai/e", Door::Embeddings));
        assert_eq!((kept.request_body.as_deref(), kept.response_body), (Some(r#"["a","b"]"#), None));
    }

    #[test]
    fn users_and_failures_of_openllmetry() {
        let of = |attributes: Value| {
            let mut all = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"});
            all.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
            record(&all)
        };
        let user = |attributes: Value| of(attributes).user;
        assert_eq!(user(json!({"gen_ai.user": "maria"})).as_deref(), Some("maria"));
        assert_eq!(user(json!({"llm.user": "maria"})).as_deref(), Some("maria"));
        let said = json!({"gen_ai.user": "all", "traceloop.association.properties.user_id": "maria",
            "traceloop.association.properties.session_id": "s", "gen_ai.is_streaming": true});
        let said = of(said);
        assert_eq!((said.user.as_deref(), said.session.as_deref(), said.stream), (Some("maria"), Some("s"), true));

        let check = |kind: &str, expected: u16| {
            let attributes = json!({"gen_ai.request.model": "m", "error.type": kind});
            let failed = Span { error: Some("failed".to_owned()), ..span(&attributes) };
            assert_eq!(failed.to_record(now()).unwrap().unwrap().status, expected, "{kind}");
        };
        check("RateLimitError", 429);
        check("anthropic.AuthenticationError", 401);
        check("503", 503);
        check("200", 500);
        check("timeout", 500);
        assert_eq!(of(json!({"error.type": "RateLimitError"})).status, 200);
    }
}
