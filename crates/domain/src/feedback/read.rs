//! Feedback as it arrives: read by hand, so that everything that is wrong is told at once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{FeedbackBody, Rating, Thumb};
use crate::suggest;

/// The fields that feedback may have.
pub const FIELDS: [&str; 11] = [
    "request_id",
    "trace_id",
    "thumb",
    "rating",
    "label",
    "comment",
    "correction",
    "signals",
    "idempotency_key",
    "user",
    "at",
];
/// The fields that say something.
const SAYING: [&str; 6] = ["thumb", "rating", "label", "comment", "correction", "signals"];

/// Longest id, key and user, in characters.
const MAX_ID: usize = 256;
/// Digits of a trace's id (W3C Trace Context).
const TRACE_ID: usize = 32;
/// Beginnings of the ids that providers give to their answers.
const PROVIDERS_IDS: [&str; 4] = ["chatcmpl-", "cmpl-", "resp_", "msg_"];
/// Longest label, name and text of a signal.
const MAX_LABEL: usize = 200;
/// Longest comment.
const MAX_COMMENT: usize = 10_000;
/// Longest correction.
const MAX_CORRECTION: usize = 200_000;
/// Most signals.
const MAX_SIGNALS: usize = 32;

/// One thing that is wrong with feedback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FeedbackProblem {
    /// The field, as a dotted path; empty when it is about the whole.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// Reads feedback.
///
/// # Errors
/// With everything that is wrong with it.
pub fn read(value: &Value) -> Result<FeedbackBody, Vec<FeedbackProblem>> {
    let mut reader = Reader { problems: Vec::new() };
    let Value::Object(map) = value else {
        reader.wrong("", format!("expected an object with {}, not {}", FIELDS.join(", "), kind(value)));
        return Err(reader.problems);
    };
    for name in map.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        reader.wrong(name, format!("no field of feedback: {}", suggest::hint(name, FIELDS)));
    }
    let body = FeedbackBody {
        request_id: reader.request_id(map),
        trace_id: reader.trace_id(map),
        thumb: reader.thumb(map),
        rating: reader.rating(map),
        label: reader.text(map, "label", MAX_LABEL),
        comment: reader.text(map, "comment", MAX_COMMENT),
        correction: reader.text(map, "correction", MAX_CORRECTION),
        signals: reader.signals(map),
        idempotency_key: reader.name(map, "idempotency_key"),
        user: reader.name(map, "user"),
        at: reader.time(map),
    };
    let is_given = |name: &str| map.get(name).is_some_and(|value| !value.is_null());
    if !["request_id", "trace_id"].iter().any(|name| is_given(name)) {
        reader.wrong("request_id", "missing: name the answer by `request_id` (the x-llmops-request-id) or `trace_id`");
    }
    if !SAYING.iter().any(|name| is_given(name)) {
        reader.wrong("", format!("it says nothing: expected at least one of {}", SAYING.join(", ")));
    }
    if reader.problems.is_empty() { Ok(body) } else { Err(reader.problems) }
}

struct Reader {
    problems: Vec<FeedbackProblem>,
}

impl Reader {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        // A name that somebody else chose is not repeated at any length.
        let field = field.chars().take(MAX_LABEL).collect();
        self.problems.push(FeedbackProblem { field, message: message.into() });
    }

    /// A text on one line that names something.
    fn name(&mut self, map: &Map<String, Value>, field: &str) -> Option<String> {
        let text = self.text(map, field, MAX_ID)?;
        if text.chars().any(char::is_control) {
            self.wrong(field, "it contains a control character: remove it");
        }
        Some(text)
    }

    fn request_id(&mut self, map: &Map<String, Value>) -> Option<String> {
        let id = self.name(map, "request_id")?;
        if let Some(prefix) = PROVIDERS_IDS.iter().find(|prefix| id.starts_with(**prefix)) {
            let message = format!(
                "`{prefix}…` is the provider's id of its answer, which no record has: expected the answer's x-llmops-request-id"
            );
            self.wrong("request_id", message);
        }
        Some(id)
    }

    /// As records have it: hex digits are the same in either case.
    fn trace_id(&mut self, map: &Map<String, Value>) -> Option<String> {
        let id = self.name(map, "trace_id")?.to_ascii_lowercase();
        let is_trace = id.len() == TRACE_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_trace || id.bytes().all(|byte| byte == b'0') {
            let message = "no id of a trace: expected the 32 hex digits of `traceparent`, not all of them 0";
            self.wrong("trace_id", message);
        }
        Some(id)
    }

    fn text(&mut self, map: &Map<String, Value>, field: &str, most: usize) -> Option<String> {
        match map.get(field)? {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => {
                self.wrong(field, "it is empty: expected a text, or no such field");
                None
            }
            Value::String(text) => {
                let count = text.chars().count();
                if count > most {
                    self.wrong(field, format!("it has {count} characters: expected at most {most}"));
                }
                Some(text.replace('\0', "\u{FFFD}"))
            }
            other => {
                self.wrong(field, format!("expected a text, not {}", kind(other)));
                None
            }
        }
    }

    fn thumb(&mut self, map: &Map<String, Value>) -> Option<Thumb> {
        match map.get("thumb")? {
            Value::Null => None,
            Value::String(text) if text == "up" => Some(Thumb::Up),
            Value::String(text) if text == "down" => Some(Thumb::Down),
            other => {
                self.wrong("thumb", format!("expected \"up\" or \"down\", not {}", shown(other)));
                None
            }
        }
    }

    fn rating(&mut self, map: &Map<String, Value>) -> Option<Rating> {
        const PARTS: [&str; 3] = ["value", "scale", "min"];
        let rating = match map.get("rating")? {
            Value::Null => return None,
            Value::Object(rating) => rating,
            other => {
                self.wrong("rating", format!("expected {{\"value\": 4, \"scale\": 5}}, not {}", shown(other)));
                return None;
            }
        };
        for name in rating.keys().filter(|name| !PARTS.contains(&name.as_str())) {
            self.wrong(&format!("rating.{name}"), format!("no field of a rating: {}", suggest::hint(name, PARTS)));
        }
        let value = self.number(rating, "value");
        let scale = self.number(rating, "scale");
        let min = if rating.get("min").is_none_or(Value::is_null) { Some(0.0) } else { self.number(rating, "min") };
        let rating = Rating { value: value?, scale: scale?, min: min? };
        if rating.scale <= rating.min {
            let message = format!("it is {}: expected more than the scale's beginning, {}", rating.scale, rating.min);
            self.wrong("rating.scale", message);
        } else if !(rating.min..=rating.scale).contains(&rating.value) {
            let message = format!("it is {}: expected {} to {}", rating.value, rating.min, rating.scale);
            self.wrong("rating.value", message);
        }
        Some(rating)
    }

    fn number(&mut self, map: &Map<String, Value>, name: &str) -> Option<f64> {
        let number = map.get(name).and_then(Value::as_f64).filter(|number| number.is_finite() && number.abs() <= 1e6);
        if number.is_none() {
            let found = map.get(name).map_or("is missing".to_owned(), |value| format!("is {}", shown(value)));
            self.wrong(&format!("rating.{name}"), format!("it {found}: expected a number of at most 1000000 in size"));
        }
        number
    }

    fn signals(&mut self, map: &Map<String, Value>) -> BTreeMap<String, Value> {
        let signals = match map.get("signals") {
            None | Some(Value::Null) => return BTreeMap::new(),
            Some(Value::Object(signals)) => signals,
            Some(other) => {
                self.wrong("signals", format!("expected an object such as {{\"copied\": true}}, not {}", kind(other)));
                return BTreeMap::new();
            }
        };
        if signals.is_empty() {
            self.wrong("signals", "it is empty: expected at least one, or no such field");
        }
        if signals.len() > MAX_SIGNALS {
            self.wrong("signals", format!("there are {}: expected at most {MAX_SIGNALS}", signals.len()));
        }
        for (name, value) in signals.iter().take(MAX_SIGNALS) {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if name.is_empty() || name.len() > MAX_LABEL || !name.chars().all(fits) {
                let message = "no name of a signal: expected letters, digits, `_`, `-` and `.`";
                self.wrong(&format!("signals.{name}"), message);
            }
            let is_plain = match value {
                Value::Bool(_) | Value::Number(_) => true,
                Value::String(text) => text.chars().count() <= MAX_LABEL && !text.contains('\0'),
                _ => false,
            };
            if !is_plain {
                let message = format!("expected a number, true, false or a text of at most {MAX_LABEL} characters");
                self.wrong(&format!("signals.{name}"), message);
            }
        }
        signals.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn time(&mut self, map: &Map<String, Value>) -> Option<Timestamp> {
        match map.get("at")? {
            Value::Null => None,
            Value::String(text) if text.parse::<Timestamp>().is_ok() => text.parse().ok(),
            other => {
                self.wrong(
                    "at",
                    format!("{} is no time: expected RFC 3339, such as 2026-11-01T00:00:00Z", shown(other)),
                );
                None
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The value itself where it is short, else what it is.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 { text } else { kind(value).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = match read(&serde_json::from_str(text).unwrap()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn the_example_of_the_documentation_reads() {
        let text = r#"{"request_id": "req_1", "thumb": "up", "rating": {"value": 4, "scale": 5}, "label": "helpful",
            "comment": "thanks", "correction": "the edited answer", "signals": {"retried": false, "response_chars": 312,
            "latency_ms": 840, "tool_success": true}, "idempotency_key": "k"}"#;
        let body = read(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(body.rating.unwrap().share(), 0.8);
        assert_eq!(body, serde_json::from_str(text).unwrap());
        let upper = read(&serde_json::json!({"trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736", "thumb": "up"})).unwrap();
        assert_eq!(upper.subject(), "trace:4bf92f3577b34da6a3ce929d0e0e4736");
        check(
            r#"{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "rating": {"value": 0, "scale": 10}, "comment": null}"#,
            &[],
        );
        check(r#"{"request_id": "r", "signals": {"copied": true}, "at": "2026-11-26T10:00:00Z"}"#, &[]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        check(
            r#"{"thumbs": "up", "rating": {"value": 6, "scale": 5}, "comment": "", "signals": {"a b": [1]}, "at": 5}"#,
            &[
                "thumbs: no field of feedback: did you mean thumb?",
                "rating.value: it is 6: expected 0 to 5",
                "comment: it is empty: expected a text, or no such field",
                "signals.a b: no name of a signal: expected letters, digits, `_`, `-` and `.`",
                "signals.a b: expected a number, true, false or a text of at most 200 characters",
                "at: 5 is no time: expected RFC 3339, such as 2026-11-01T00:00:00Z",
                "request_id: missing: name the answer by `request_id` (the x-llmops-request-id) or `trace_id`",
            ],
        );
    }

    #[test]
    fn single_mistakes() {
        check(
            "[]",
            &[": expected an object with request_id, trace_id, thumb, rating, label, comment, correction, \
                       signals, idempotency_key, user, at, not a list"],
        );
        check(
            r#"{"request_id": "r", "idempotency_key": "k"}"#,
            &[": it says nothing: expected at least one of thumb, rating, label, comment, correction, signals"],
        );
        check(r#"{"request_id": "r", "thumb": true}"#, &["thumb: expected \"up\" or \"down\", not true"]);
        check(r#"{"request_id": "r", "rating": 4}"#, &["rating: expected {\"value\": 4, \"scale\": 5}, not 4"]);
        check(
            r#"{"request_id": "r", "rating": {"value": "4", "sacle": 5}}"#,
            &[
                "rating.sacle: no field of a rating: did you mean scale?",
                "rating.value: it is \"4\": expected a number of at most 1000000 in size",
                "rating.scale: it is missing: expected a number of at most 1000000 in size",
            ],
        );
        check(
            r#"{"request_id": "r", "rating": {"value": 1, "scale": 1, "min": 1}}"#,
            &["rating.scale: it is 1: expected more than the scale's beginning, 1"],
        );
        check(
            &format!(r#"{{"request_id": "{}", "thumb": "up"}}"#, "x".repeat(300)),
            &["request_id: it has 300 characters: expected at most 256"],
        );
        check(
            r#"{"request_id": "a\u0007b", "thumb": "up"}"#,
            &["request_id: it contains a control character: remove it"],
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[{}\\[\\]\":,a-z0-9.eE-]{0,80}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = read(&value);
            }
        }
    }
}
