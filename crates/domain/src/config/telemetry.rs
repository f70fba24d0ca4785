//! The `telemetry` section: where traces are sent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Traces over OTLP/HTTP, for `llmops serve` and `llmops worker`. Off without an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TelemetryConfig {
    /// The collector, such as `http://127.0.0.1:4318`; `/v1/traces` is added. `OTEL_EXPORTER_OTLP_ENDPOINT` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Headers of each export, such as a key of the collector's.
    pub headers: BTreeMap<String, String>,
    /// The name of this service in traces. `OTEL_SERVICE_NAME` says otherwise.
    pub service_name: String,
    /// Share of traces that are sent, 0 to 1. A caller's trace that is sampled already always is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { endpoint: None, headers: BTreeMap::new(), service_name: "llmops".to_owned(), sample_ratio: 1.0 }
    }
}
