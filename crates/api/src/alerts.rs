//! Alerts, silences, channels and deliveries on the wire.

use jiff::Timestamp;
use llmops_domain::alert::{Alert, AlertType, Matcher, Severity, Telling};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Raises an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAlert {
    /// Why there is an alert.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// How urgent it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    #[schema(min_length = 1, max_length = 4000)]
    pub message: String,
    /// What it is about, in a word: `retriever`, `experiment` …
    #[schema(min_length = 1, max_length = 200)]
    pub source: String,
    /// Which of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 400)]
    pub source_id: Option<String>,
    /// The number that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 400)]
    pub metric: Option<String>,
    /// The limit that was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_value: Option<f64>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Alerts of one source with the same cause are one. Absent: those about the same metric are, or, without a metric, those
    /// with the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What became of an alert that was raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RaisedAlert {
    /// The alert: new, or the open one of the same cause.
    pub alert: Alert,
    /// Whether channels are told, and why not.
    pub telling: Telling,
}

/// Whether an alert is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// Its cause lasts.
    Open,
    /// It does not.
    Resolved,
}

/// Which alerts to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// Types, with commas between them: `regression`, `threshold`, `anomaly`, `experiment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
    /// Severities, with commas between them: `info`, `warning`, `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severities: Option<String>,
    /// Alerts about this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Only those that nobody acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unacked: Option<bool>,
    /// Only open, or only resolved ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<AlertStatus>,
    /// Raised at or after (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = DateTime)]
    pub start_time: Option<String>,
    /// Raised before (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(format = DateTime)]
    pub end_time: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Alerts on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Silences alerts for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSilence {
    /// Which alerts; the empty matcher fits all.
    #[serde(default)]
    pub matcher: Matcher,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Timestamp,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// A channel of the configuration. What is secret of it stays where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// `webhook`, `slack` or `command`.
    pub kind: String,
    /// Only alerts of these types; empty: of all.
    pub types: Vec<AlertType>,
    /// Only alerts of these severities; empty: of all.
    pub severities: Vec<Severity>,
    /// Whether it is told when an alert is resolved.
    pub resolved: bool,
    /// Environment variables that it needs and that are not set.
    pub unset: Vec<String>,
}

/// Tests channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestChannels {
    /// Only this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// How a test message fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestedChannel {
    /// The channel.
    pub channel: String,
    /// Its kind.
    pub kind: String,
    /// Whether the channel took the message.
    pub ok: bool,
    /// Why not.
    pub error: Option<String>,
}

/// Which messages to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// `pending`, `delivered` or `dead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<llmops_domain::alert::DeliveryStatus>,
    /// To this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Messages on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
