//! OTLP's JSON: numbers of 64 bits are texts, ids are hex digits.

use llmops_domain::genai_span::Span;
use serde_json::{Map, Value, json};

use super::Refused;

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

/// The items of a list; none where it is absent or null, which says the same.
fn list<'a>(of: &'a Value, name: &str) -> Result<&'a [Value], String> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("`{name}`: expected a list")),
    }
}

fn text(of: &Value, name: &str) -> Result<String, String> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{name}`: expected a text")),
    }
}

fn nanoseconds(of: &Value, name: &str) -> Result<u64, String> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            let read = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            read.ok_or_else(|| format!("`{name}`: expected a time in nanoseconds, as a number or a text"))
        }
    }
}

fn attributes(of: &Value, to: &mut Map<String, Value>) -> Result<(), String> {
    for pair in list(of, "attributes")? {
        to.insert(text(pair, "key")?, plain(&pair["value"]));
    }
    Ok(())
}

fn span(of: &Value, resource: &Map<String, Value>) -> Result<Span, String> {
    if !of.is_object() {
        return Err("expected an object".to_owned());
    }
    let mut all = resource.clone();
    for event in list(of, "events")? {
        attributes(event, &mut all)?;
    }
    // Its own attributes have the last word.
    attributes(of, &mut all)?;
    let status = &of["status"];
    let is_error = status["code"] == 2 || status["code"] == "STATUS_CODE_ERROR";
    let message = Some(text(status, "message")?).filter(|message| !message.is_empty());
    Ok(Span {
        trace_id: text(of, "traceId")?.to_ascii_lowercase(),
        span_id: text(of, "spanId")?.to_ascii_lowercase(),
        start: nanoseconds(of, "startTimeUnixNano")?,
        end: nanoseconds(of, "endTimeUnixNano")?,
        error: is_error.then(|| message.unwrap_or_else(|| "the span ended with an error".to_owned())),
        attributes: all,
    })
}

/// The spans of a request, each of them or what is wrong with it.
pub(super) fn spans(body: &[u8]) -> Result<Vec<Result<Span, String>>, String> {
    let request: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if !request.is_object() {
        return Err("expected an object".to_owned());
    }
    let mut spans = Vec::new();
    for of_resource in list(&request, "resourceSpans")? {
        let mut resource = Map::new();
        let read = attributes(&of_resource["resource"], &mut resource);
        for scope in list(of_resource, "scopeSpans")? {
            spans.extend(list(scope, "spans")?.iter().map(|one| read.clone().and_then(|()| span(one, &resource))));
        }
    }
    Ok(spans)
}

/// The answer to a request.
pub(super) fn answer(refused: Option<&Refused>) -> Value {
    refused.map_or_else(
        || json!({}),
        // Numbers of 64 bits are texts.
        |Refused { spans, message }| {
            json!({"partialSuccess": {"rejectedSpans": spans.to_string(), "errorMessage": message}})
        },
    )
}

#[cfg(test)]
mod tests {
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
        let spans: Vec<Span> = spans(body.to_string().as_bytes()).unwrap().into_iter().map(Result::unwrap).collect();
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
        for wrong in ["[", "[]", "5", r#"{"resourceSpans": {}}"#, r#"{"resourceSpans": [{"scopeSpans": 5}]}"#] {
            assert!(spans(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let check = |body: Value, expected: usize| {
            let read = spans(body.to_string().as_bytes()).unwrap();
            assert_eq!(read.into_iter().filter(|span| *span == Ok(Span::default())).count(), expected, "{body}");
        };
        check(json!({"resourceSpans": null}), 0);
        check(
            json!({"resourceSpans": [null, {"resource": null, "scopeSpans": null}, {"scopeSpans": [{"spans": null}]}]}),
            0,
        );
        let span = json!({"traceId": null, "spanId": null, "startTimeUnixNano": null, "endTimeUnixNano": null,
            "attributes": null, "events": null, "status": null});
        let others = [json!({"events": [null]}), json!({"status": {"code": null, "message": null}})];
        check(json!({"resourceSpans": [{"scopeSpans": [{"spans": [span, others[0], others[1]]}]}]}), 3);
    }

    #[test]
    fn a_wrong_span_is_one_span() {
        let wrong = [
            json!({"startTimeUnixNano": "soon"}),
            json!({"attributes": 5}),
            json!({"attributes": [{"key": 5}]}),
            json!({"traceId": 5}),
            json!({"status": {"message": 5}}),
            json!(5),
        ];
        let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{}, wrong[0], wrong[1], wrong[2], wrong[3], wrong[4],
            wrong[5], {}]}]}]});
        let read = spans(body.to_string().as_bytes()).unwrap();
        assert_eq!(read.iter().filter(|span| span.is_ok()).count(), 2);
        assert_eq!(read.len(), 8);
        assert!(read[1].as_ref().unwrap_err().contains("startTimeUnixNano"));
    }
}
