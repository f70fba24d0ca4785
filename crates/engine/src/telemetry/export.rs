//! The sending end: batches of spans as OTLP's JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Message, Span, SpanCounts, SpanKind};

/// Most spans of an export.
const BATCH: usize = 512;
/// Longest that a span waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts at one export.
const ATTEMPTS: u32 = 3;
/// First pause between two of them; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// Where spans are sent.
#[derive(Debug, Clone)]
pub struct Collector {
    /// The whole address, with `/v1/traces`.
    pub url: String,
    /// Headers of each export.
    pub headers: BTreeMap<String, String>,
    /// `service.name`.
    pub service_name: String,
    /// `service.instance.id`: the process.
    pub instance: String,
}

/// Sends until the last handle is dropped.
pub(super) async fn run(collector: Collector, mut receiver: mpsc::Receiver<Message>, counts: Arc<SpanCounts>) {
    // Installing it twice is no error that matters: the first one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
    let mut is_failing = false;
    while let Some(first) = receiver.recv().await {
        let (spans, flushed) = collect(first, &mut receiver).await;
        if !spans.is_empty() {
            match send(&client, &collector, &spans).await {
                Ok(()) => {
                    counts.sent.add(spans.len() as u64);
                    is_failing = false;
                }
                Err(error) => {
                    counts.lost.add(spans.len() as u64);
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(error, "the collector does not take spans; they are left out until it does");
                    }
                }
            }
        }
        for done in flushed {
            // Who stopped waiting does not hear it.
            let _ = done.send(());
        }
    }
}

async fn collect(first: Message, receiver: &mut mpsc::Receiver<Message>) -> (Vec<Span>, Vec<oneshot::Sender<()>>) {
    let (mut spans, mut flushed) = (Vec::new(), Vec::new());
    let until = Instant::now() + LINGER;
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Span(span) => spans.push(*span),
            Message::Flush(done) => flushed.push(done),
        }
        next = if spans.len() >= BATCH {
            None
        } else if flushed.is_empty() {
            timeout_at(until, receiver.recv()).await.ok().flatten()
        } else {
            receiver.try_recv().ok()
        };
    }
    (spans, flushed)
}

/// One export, tried again where the collector asks for it.
async fn send(client: &reqwest::Client, collector: &Collector, spans: &[Span]) -> Result<(), String> {
    let body = payload(collector, spans).to_string();
    let mut pause = PAUSE;
    for attempt in 1.. {
        let mut request = client.post(&collector.url).header("content-type", "application/json").body(body.clone());
        for (name, value) in &collector.headers {
            request = request.header(name, value);
        }
        let failure = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 502..=504) => answer.status().to_string(),
            Ok(answer) => return Err(format!("it answered {}", answer.status())),
            // The address may hold a secret.
            Err(error) => error.without_url().to_string(),
        };
        if attempt >= ATTEMPTS {
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

/// An export in OTLP's JSON: numbers of 64 bits are text, numbers of traces and spans are hex digits.
fn payload(collector: &Collector, spans: &[Span]) -> Value {
    let resource = [
        ("service.name", json!(collector.service_name)),
        ("service.version", json!(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", json!(collector.instance)),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&resource)},
        "scopeSpans": [{
            "scope": {"name": "llmops", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans.iter().map(as_json).collect::<Vec<_>>(),
        }],
    }]})
}

fn as_json(span: &Span) -> Value {
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    let mut object = json!({
        "traceId": hex::encode(span.context.trace.0),
        "spanId": hex::encode(span.id.0),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": span.start.as_nanosecond().to_string(),
        "endTimeUnixNano": span.end.as_nanosecond().to_string(),
        "attributes": attributes(&span.attributes),
        "status": span.error.as_ref().map_or(json!({}), |message| json!({"code": 2, "message": message})),
    });
    if let Some(parent) = span.context.parent {
        object["parentSpanId"] = json!(hex::encode(parent.0));
    }
    object
}

fn attributes(pairs: &[(&'static str, Value)]) -> Value {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_null());
    pairs.map(|(key, value)| json!({"key": key, "value": any(value)})).collect()
}

fn any(value: &Value) -> Value {
    match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(truth) => json!({"boolValue": truth}),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => json!({"intValue": whole.to_string()}),
            None => json!({"doubleValue": number}),
        },
        Value::Array(items) => json!({"arrayValue": {"values": items.iter().map(any).collect::<Vec<_>>()}}),
        other => json!({"stringValue": other.to_string()}),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::{SpanId, TraceContext};
    use super::*;

    #[test]
    fn writes_what_collectors_read() {
        let collector = Collector {
            url: String::new(),
            headers: BTreeMap::new(),
            service_name: "shop".to_owned(),
            instance: "host:1".to_owned(),
        };
        let context = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let span = Span {
            context,
            id: SpanId([1, 2, 3, 4, 5, 6, 7, 8]),
            name: "chat bot".to_owned(),
            kind: SpanKind::Client,
            start: Timestamp::from_second(1).unwrap(),
            end: Timestamp::from_millisecond(1500).unwrap(),
            attributes: vec![
                ("a", json!("x")),
                ("b", json!(7)),
                ("c", json!(0.5)),
                ("d", json!(true)),
                ("e", json!(["stop"])),
                ("f", Value::Null),
            ],
            error: Some("it broke".to_owned()),
        };
        let spans = payload(&collector, &[span])["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
        let attribute = |key: &str, value: Value| json!({"key": key, "value": value});
        let expected = json!([{
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "0102030405060708",
            "parentSpanId": "00f067aa0ba902b7",
            "name": "chat bot",
            "kind": 3,
            "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "1500000000",
            "attributes": [
                attribute("a", json!({"stringValue": "x"})),
                attribute("b", json!({"intValue": "7"})),
                attribute("c", json!({"doubleValue": 0.5})),
                attribute("d", json!({"boolValue": true})),
                attribute("e", json!({"arrayValue": {"values": [{"stringValue": "stop"}]}})),
            ],
            "status": {"code": 2, "message": "it broke"},
        }]);
        assert_eq!(spans, expected);
    }
}
