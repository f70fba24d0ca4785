//! Traces: spans of requests, jobs, runs and calls of models, sent to a collector over OTLP/HTTP as JSON.
//!
//! Whoever has something to tell hands over a finished [`Span`] and goes on: the queue is bounded, and what finds no place
//! in it is counted and left out. Nothing is done where no collector is named.

mod export;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::hash::ContentHash;
use llmops_domain::meter::Counter;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use export::Collector;

/// Spans that may wait to be sent.
const QUEUE: usize = 4096;

/// The number of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub(crate) [u8; 16]);

/// The number of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub(crate) [u8; 8]);

impl SpanId {
    /// From random bits.
    pub fn new(random: u64) -> Self {
        // Zero is none.
        Self(random.max(1).to_be_bytes())
    }
}

/// Where a span belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span that caused it.
    pub parent: Option<SpanId>,
    /// Whether whoever caused it wants it sent.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads the header `traceparent` of the W3C; none where it is none.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may have more behind it; `ff` is none.
        let is_version = version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
        let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_version || ![version, trace, parent, flags].into_iter().all(lower) {
            return None;
        }
        let trace: [u8; 16] = hex::decode(trace).ok()?.try_into().ok()?;
        let parent: [u8; 8] = hex::decode(parent).ok()?.try_into().ok()?;
        let flags: [u8; 1] = hex::decode(flags).ok()?.try_into().ok()?;
        if trace == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some(Self { trace: TraceId(trace), parent: Some(SpanId(parent)), sampled: flags[0] & 1 == 1 })
    }

    /// The trace of a thing that has a name, such as a run: the same in every process.
    pub fn of(name: &str) -> Self {
        let hash = hex::decode(ContentHash::of_bytes(name.as_bytes()).as_str()).unwrap_or_default();
        let mut trace = [0; 16];
        trace.copy_from_slice(hash.get(..16).unwrap_or(&[1; 16]));
        Self { trace: TraceId(trace), parent: None, sampled: false }
    }
}

/// The span of a thing that has a name.
pub fn span_of(name: &str) -> SpanId {
    let hash = hex::decode(ContentHash::of_bytes(format!("span {name}").as_bytes()).as_str()).unwrap_or_default();
    let mut id = [0; 8];
    id.copy_from_slice(hash.get(..8).unwrap_or(&[1; 8]));
    SpanId(id)
}

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside.
    Internal,
    /// A request that came.
    Server,
    /// A request that was sent.
    Client,
}

/// Something that began and ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where it belongs.
    pub context: TraceContext,
    /// Its number.
    pub id: SpanId,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: SpanKind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What is known of it. Nothing here may be a secret, or what was said.
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong.
    pub error: Option<String>,
}

enum Message {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

/// Where spans are handed over. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Option<Arc<Sending>>);

#[derive(Debug)]
struct Sending {
    sender: mpsc::Sender<Message>,
    sample_ratio: f64,
    counts: Arc<SpanCounts>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// Spans that the collector took.
    pub sent: Counter,
    /// Spans that found no place, or that the collector did not take.
    pub lost: Counter,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Telemetry {
    /// Sends spans to a collector from now on.
    pub fn start(collector: Collector, sample_ratio: f64) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counts = Arc::new(SpanCounts::default());
        tokio::spawn(export::run(collector, receiver, counts.clone()));
        Self(Some(Arc::new(Sending { sender, sample_ratio, counts })))
    }

    /// Whether a trace is sent: asked before a span is put together.
    pub fn wants(&self, context: &TraceContext) -> bool {
        let Some(sending) = &self.0 else { return false };
        // The last bytes of a trace's number are random, and the same for whoever else decides by them.
        let mut last = [0; 8];
        last.copy_from_slice(&context.trace.0[8..]);
        context.sampled || (u64::from_be_bytes(last) >> 11) as f64 / ((1_u64 << 53) as f64) < sending.sample_ratio
    }

    /// Whether a collector is named.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over a span, if its trace is sent.
    pub fn record(&self, span: Span) {
        if !self.wants(&span.context) {
            return;
        }
        if let Some(sending) = &self.0
            && sending.sender.try_send(Message::Span(Box::new(span))).is_err()
        {
            sending.counts.lost.count();
        }
    }

    /// Sends what waits, and waits for it, at most so long.
    pub async fn flush(&self, patience: Duration) {
        let Some(sending) = &self.0 else { return };
        let all = async {
            let (done, waiting) = oneshot::channel();
            if sending.sender.send(Message::Flush(done)).await.is_ok() {
                // An error means that the task is gone.
                let _ = waiting.await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }

    /// What became of spans so far: sent and lost.
    pub fn counts(&self) -> (u64, u64) {
        self.0.as_ref().map_or((0, 0), |sending| (sending.counts.sent.get(), sending.counts.lost.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_headers_of_the_w3c() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::parse(good).unwrap();
        assert_eq!(hex::encode(context.trace.0), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.sampled && !TraceContext::parse(&good.replace("-01", "-00")).unwrap().sampled);
        assert!(TraceContext::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f-00f067aa0ba902b7-01",
            "äö",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_have_traces_of_their_own() {
        assert_eq!(TraceContext::of("run_1"), TraceContext::of("run_1"));
        assert_ne!(TraceContext::of("run_1").trace, TraceContext::of("run_2").trace);
        assert!(!Telemetry::default().wants(&TraceContext::of("run_1")), "it is off without a collector");
    }
}
