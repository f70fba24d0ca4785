//! Alerts: what they are, which numbers of a run raise and resolve them, and when channels are told.

/// Text forms of an enum.
macro_rules! names {
    ($name:ident, $what:literal, $($variant:ident = $text:literal),+) => {
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire and in the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    format!("`{text}` is no {}: {}", $what, crate::suggest::one_of(&[$($text),+]))
                })
            }
        }
    };
}

mod delivery;
mod experiment;
mod message;
mod pagerduty;
mod rules;
mod silence;
mod telling;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

pub use delivery::{Delivery, DeliveryStatus, GIVE_UP_AFTER, next_attempt};
pub use experiment::{ExperimentRef, ExperimentReview};
pub use message::{Notice, NoticeAlert, slack_message};
pub use pagerduty::pagerduty_events;
pub use rules::{Drift, Lineage, Review, Reviewed, Subject, SubjectKind, review, score_series};
pub use silence::{Matcher, Silence};
pub use telling::{Known, Telling, decide, held_until};

use crate::hash::ContentHash;
use crate::id::AlertId;

/// Why there is an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertType {
    /// Worse than the run before.
    Regression,
    /// Beyond a limit that was set.
    Threshold,
    /// Unlike what came before, by a statistical test.
    Anomaly,
    /// An experiment needs attention: a winner, a wrong split, a guardrail.
    Experiment,
}

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

names!(
    AlertType,
    "type of alert",
    Regression = "regression",
    Threshold = "threshold",
    Anomaly = "anomaly",
    Experiment = "experiment"
);
names!(Severity, "severity", Info = "info", Warning = "warning", Critical = "critical");

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertAction {
    /// It is new, or came again after its cooldown, or became more severe.
    Raised,
    /// A person has seen it.
    Acknowledged,
    /// What it was about is well again, or a person said so.
    Resolved,
}

names!(AlertAction, "action", Raised = "raised", Acknowledged = "acknowledged", Resolved = "resolved");

/// An alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// The id.
    pub id: AlertId,
    /// Why there is an alert.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// How urgent it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What it is about: `evaluation`, `experiment`, or the word of whoever created it.
    pub source: String,
    /// Which of those: a run, an experiment.
    #[serde(default)]
    pub source_id: Option<String>,
    /// The number that is wrong: `pass_rate`, a metric, a category.
    #[serde(default)]
    pub metric: Option<String>,
    /// The limit that was passed.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// What was measured.
    #[serde(default)]
    pub actual_value: Option<f64>,
    /// The evidence: intervals, numbers of observations, the runs compared.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// When it was raised first.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a person acknowledged it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acked_at: Option<Timestamp>,
    /// When it was resolved.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
    /// When it came last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
    /// When channels were last told of it. Null: it was silenced, or another one of the same cause had just been sent.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub notified_at: Option<Timestamp>,
    /// The severities that channels were told of: those that heard of one of them hear of its end, whatever it is then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notified_severities: Vec<Severity>,
    /// How often it came since it was raised first.
    pub count: u64,
    /// The same for all alerts of one cause.
    pub fingerprint: ContentHash,
}

/// What somebody wants to alert of.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertDraft {
    /// Why.
    pub kind: AlertType,
    /// How urgent it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What it is about: `evaluation`, `experiment` …
    pub source: String,
    /// Which of those.
    pub source_id: Option<String>,
    /// The number that is wrong.
    pub metric: Option<String>,
    /// The limit that was passed.
    pub threshold: Option<f64>,
    /// What was measured.
    pub actual_value: Option<f64>,
    /// The evidence.
    pub metadata: Map<String, Value>,
    /// What tells alerts of one cause from others.
    pub keys: AlertKeys,
}

/// What tells alerts of one cause from others, at three grains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertKeys {
    /// One cause: while it lasts there is one open alert.
    pub fingerprint: ContentHash,
    /// One thing that is wrong, whichever rule says so: channels are told of it once in a cooldown.
    pub topic: ContentHash,
    /// All that one review can raise or resolve: a lineage of runs, an experiment.
    pub scope: ContentHash,
}

impl AlertKeys {
    /// Keys from the words that make them up.
    pub fn new(source: &str, scope: &Value, topic: &Value, cause: &Value) -> Self {
        // Values have a JSON form.
        let hash = |value: Value| ContentHash::of_bytes(value.to_string().as_bytes());
        Self {
            fingerprint: hash(json!([source, scope, topic, cause])),
            topic: hash(json!([source, scope, topic])),
            scope: hash(json!([source, scope])),
        }
    }
}

impl AlertDraft {
    /// An alert of whoever watches something: alerts of the same type about the same `metric` of the same source are one
    /// cause; without a metric the message tells them apart.
    pub fn new(kind: AlertType, severity: Severity, source: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            severity,
            message: message.into(),
            source: source.to_owned(),
            source_id: None,
            metric: None,
            threshold: None,
            actual_value: None,
            metadata: Map::new(),
            keys: AlertKeys::new(source, &Value::Null, &Value::Null, &Value::Null),
        }
        .keyed(None)
    }

    /// Names what it is about.
    #[must_use]
    pub fn about(mut self, source_id: impl Into<String>, metric: Option<&str>) -> Self {
        self.source_id = Some(source_id.into());
        self.metric = metric.map(str::to_owned);
        self.keyed(None)
    }

    /// Sets the numbers: the limit and what was measured.
    #[must_use]
    pub fn measured(mut self, threshold: Option<f64>, actual: Option<f64>) -> Self {
        (self.threshold, self.actual_value) = (threshold, actual);
        self
    }

    /// Computes the keys anew; `cause` replaces what tells causes apart by default.
    #[must_use]
    pub fn keyed(mut self, cause: Option<&str>) -> Self {
        let topic = match (cause, &self.metric) {
            (Some(cause), _) => json!({"cause": cause}),
            (None, Some(metric)) => json!({"metric": metric}),
            (None, None) => json!({"message": self.message}),
        };
        self.keys = AlertKeys::new(&self.source, &json!(self.source_id), &topic, &json!(self.kind));
        self
    }

    /// The alert that it becomes when there is none of its cause.
    pub fn into_alert(self, id: AlertId, now: Timestamp) -> Alert {
        Alert {
            id,
            kind: self.kind,
            severity: self.severity,
            message: self.message,
            source: self.source,
            source_id: self.source_id,
            metric: self.metric,
            threshold: self.threshold,
            actual_value: self.actual_value,
            metadata: self.metadata,
            created_at: now,
            acked_at: None,
            resolved_at: None,
            last_seen_at: now,
            notified_at: None,
            notified_severities: Vec::new(),
            count: 1,
            fingerprint: self.keys.fingerprint,
        }
    }
}

impl Severity {
    /// Its place in the order, from 0.
    pub fn rank(self) -> u8 {
        self as u8
    }
}

impl Alert {
    /// The same alert when its cause shows again: the newest evidence counts. One that became more severe is no longer
    /// acknowledged.
    #[must_use]
    pub fn again(self, draft: AlertDraft, now: Timestamp) -> Self {
        let is_worse = draft.severity > self.severity;
        Self {
            created_at: self.created_at,
            acked_at: self.acked_at.filter(|_| !is_worse),
            notified_at: self.notified_at,
            notified_severities: self.notified_severities,
            count: self.count.saturating_add(1),
            ..draft.into_alert(self.id, now)
        }
    }
}

impl Alert {
    /// What would raise it again as it is. Its fingerprint is kept, its topic and scope are those that are given.
    pub fn draft(&self, topic: ContentHash, scope: ContentHash) -> AlertDraft {
        AlertDraft {
            kind: self.kind,
            severity: self.severity,
            message: self.message.clone(),
            source: self.source.clone(),
            source_id: self.source_id.clone(),
            metric: self.metric.clone(),
            threshold: self.threshold,
            actual_value: self.actual_value,
            metadata: self.metadata.clone(),
            keys: AlertKeys { fingerprint: self.fingerprint.clone(), topic, scope },
        }
    }

    /// Notes that channels are told of it as it is now.
    pub fn tell(&mut self, now: Timestamp) {
        self.notified_at = Some(now);
        if !self.notified_severities.contains(&self.severity) {
            self.notified_severities.push(self.severity);
        }
    }

    /// The severities that channels were told of.
    pub fn told(&self) -> &[Severity] {
        // Alerts of earlier versions do not say.
        match self.notified_at {
            Some(_) if self.notified_severities.is_empty() => std::slice::from_ref(&self.severity),
            _ => &self.notified_severities,
        }
    }
}

/// Which alerts to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertFilter {
    /// Of these types; none: of all.
    pub types: Vec<AlertType>,
    /// Of these severities; none: of all.
    pub severities: Vec<Severity>,
    /// About this.
    pub source: Option<String>,
    /// Only those that nobody acknowledged.
    pub unacked: bool,
    /// Only open ones (false: only resolved ones).
    pub open: Option<bool>,
    /// Raised at or after.
    pub start_time: Option<Timestamp>,
    /// Raised before.
    pub end_time: Option<Timestamp>,
    /// Only alerts with a smaller id: the cursor of the page before. Alerts are listed newest first.
    pub before: Option<AlertId>,
    /// Most alerts to answer with.
    pub limit: Option<u32>,
}
