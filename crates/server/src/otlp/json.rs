//! OTLP's JSON: numbers of 64 bits are texts, ids are hex digits.

use llmops_domain::genai_span::Span;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ResourceSpans {
    resource: Attributed,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Attributed {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ScopeSpans {
    spans: Vec<WireSpan>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct WireSpan {
    trace_id: String,
    span_id: String,
    #[serde(deserialize_with = "nanoseconds")]
    start_time_unix_nano: u64,
    #[serde(deserialize_with = "nanoseconds")]
    end_time_unix_nano: u64,
    attributes: Vec<KeyValue>,
    events: Vec<Attributed>,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: Value,
    message: String,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: Value,
}

fn nanoseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    read.ok_or_else(|| serde::de::Error::custom(format!("`{value}` is no time in nanoseconds")))
}

/// The value of an `AnyValue`.
fn plain(value: &Value) -> Value {
    let Some((kind, value)) = value.as_object().and_then(|fields| fields.iter().next()) else { return Value::Null };
    match &**kind {
        "intValue" => {
            value.as_str().and_then(|text| text.parse::<i64>().ok()).map_or_else(|| value.clone(), Value::from)
        }
        "arrayValue" => {
            let values = value["values"].as_array().map(Vec::as_slice).unwrap_or_default();
            Value::Array(values.iter().map(plain).collect())
        }
        "kvlistValue" => {
            let pairs = value["values"].as_array().map(Vec::as_slice).unwrap_or_default();
            let pair = |pair: &Value| Some((pair["key"].as_str()?.to_owned(), plain(&pair["value"])));
            Value::Object(pairs.iter().filter_map(pair).collect())
        }
        _ => value.clone(),
    }
}

fn add(attributes: &[KeyValue], to: &mut Map<String, Value>) {
    to.extend(attributes.iter().map(|pair| (pair.key.clone(), plain(&pair.value))));
}

/// The spans of a request.
pub(super) fn spans(body: &[u8]) -> Result<Vec<Span>, String> {
    let request: Request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut spans = Vec::new();
    for resource in &request.resource_spans {
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let mut attributes = Map::new();
            add(&resource.resource.attributes, &mut attributes);
            span.events.iter().for_each(|event| add(&event.attributes, &mut attributes));
            add(&span.attributes, &mut attributes);
            let is_error = span.status.code == 2 || span.status.code == "STATUS_CODE_ERROR";
            let message = Some(&span.status.message).filter(|message| !message.is_empty());
            let error = is_error.then(|| message.cloned().unwrap_or_else(|| "the span ended with an error".to_owned()));
            spans.push(Span {
                trace_id: span.trace_id.to_ascii_lowercase(),
                span_id: span.span_id.to_ascii_lowercase(),
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                error,
                attributes,
            });
        }
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_with_values_of_all_kinds() {
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"spans": [{
                "traceId": "4BF92F3577B34DA6A3CE929D0E0E4736", "spanId": "00F067AA0BA902B7",
                "startTimeUnixNano": "1764000000000000000", "endTimeUnixNano": 1_764_000_000_000_000_001_u64,
                "attributes": [
                    {"key": "i", "value": {"intValue": "7"}}, {"key": "d", "value": {"doubleValue": 0.5}},
                    {"key": "b", "value": {"boolValue": true}}, {"key": "n"},
                    {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": 1}]}}},
                    {"key": "k", "value": {"kvlistValue": {"values": [{"key": "y", "value": {"intValue": "2"}}]}}}],
                "events": [{"name": "e", "attributes": [{"key": "gen_ai.prompt", "value": {"stringValue": "hi"}}]}],
                "status": {"code": 2, "message": "broken"},
            }]}],
        }]});
        let spans = spans(body.to_string().as_bytes()).unwrap();
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((spans[0].end - spans[0].start, spans[0].error.as_deref()), (1, Some("broken")));
        let expected = json!({"service.name": "shop", "gen_ai.prompt": "hi", "i": 7, "d": 0.5, "b": true, "n": null,
            "a": ["x", 1], "k": {"y": 2}});
        assert_eq!(Value::Object(spans[0].attributes.clone()), expected);
    }

    #[test]
    fn what_cannot_be_read() {
        assert_eq!(spans(b"{}"), Ok(Vec::new()));
        assert!(spans(b"[").is_err());
        let late = br#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}"#;
        assert!(spans(late).unwrap_err().contains("soon"));
    }
}
