//! The `channels` section: who is told of alerts, and how.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::HumanDuration;
use crate::alert::{Alert, AlertType, Severity};

/// One channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ChannelConfig {
    /// A signed POST to a web address (Standard Webhooks).
    Webhook(WebhookConfig),
    /// A Slack incoming webhook, or anything that takes the same messages.
    Slack(SlackConfig),
    /// PagerDuty's Events API v2, or anything that takes the same events.
    Pagerduty(PagerdutyConfig),
    /// A program: the message as JSON on standard input.
    Command(CommandChannelConfig),
}

impl ChannelConfig {
    /// The kind, as written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Pagerduty(_) => "pagerduty",
            Self::Command(_) => "command",
        }
    }

    /// How long an attempt may take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Webhook(channel) => channel.timeout.0,
            Self::Slack(channel) => channel.timeout.0,
            Self::Pagerduty(channel) => channel.timeout.0,
            Self::Command(channel) => channel.timeout.0,
        }
    }

    /// Which alerts it is told of.
    pub fn wants(&self) -> &Wants {
        match self {
            Self::Webhook(channel) => &channel.wants,
            Self::Slack(channel) => &channel.wants,
            Self::Pagerduty(channel) => &channel.wants,
            Self::Command(channel) => &channel.wants,
        }
    }
}

/// Which alerts a channel is told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wants {
    /// Only alerts of these types. Absent: of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<AlertType>,
    /// Only alerts of these severities. Absent: of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<Severity>,
    /// Tell it also when an alert is resolved.
    pub resolved: bool,
    /// Only alerts of these projects, by id. Absent: of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
}

impl Default for Wants {
    fn default() -> Self {
        Self { types: Vec::new(), severities: Vec::new(), resolved: true, projects: Vec::new() }
    }
}

impl Wants {
    /// Whether an alert of this type and severity is wanted.
    pub fn admit(&self, kind: AlertType, severity: Severity) -> bool {
        (self.types.is_empty() || self.types.contains(&kind))
            && (self.severities.is_empty() || self.severities.contains(&severity))
    }

    /// Whether alerts of this project are wanted.
    pub fn admit_project(&self, project: &str) -> bool {
        self.projects.is_empty() || self.projects.iter().any(|named| named == project)
    }

    /// Whether the channel was told of an alert, as severe as it was then.
    pub fn heard_of(&self, alert: &Alert) -> bool {
        alert.told().iter().any(|severity| self.admit(alert.kind, *severity))
    }
}

/// A signed POST to a web address.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookConfig {
    /// Where to.
    #[serde(skip_serializing)]
    pub url: String,
    /// The secret that messages are signed with, usually `"${ALERT_WEBHOOK_SECRET}"`: `whsec_` and base64, or any text.
    #[serde(skip_serializing, default)]
    #[schemars(length(min = 1))]
    pub secret: Option<String>,
    /// An attempt that takes longer has failed.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// Which alerts.
    #[serde(flatten)]
    pub wants: Wants,
}

/// A Slack incoming webhook.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlackConfig {
    /// The incoming webhook's address, which is a secret: `"${SLACK_WEBHOOK_URL}"`.
    #[serde(skip_serializing)]
    pub url: String,
    /// An attempt that takes longer has failed.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// Which alerts.
    #[serde(flatten)]
    pub wants: Wants,
}

/// A service of PagerDuty with an integration of the kind Events API v2.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PagerdutyConfig {
    /// The integration's key, which is a secret: `"${PAGERDUTY_ROUTING_KEY}"`.
    #[serde(skip_serializing)]
    #[schemars(length(min = 1))]
    pub routing_key: String,
    /// Where events go. Absent: PagerDuty's address in the United States; accounts in Europe have another one.
    #[serde(skip_serializing, default = "pagerduty_url")]
    pub url: String,
    /// An attempt that takes longer has failed.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// Which alerts.
    #[serde(flatten)]
    pub wants: Wants,
}

fn pagerduty_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

/// A program that is run with each message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandChannelConfig {
    /// Program and arguments, in the project folder.
    #[schemars(length(min = 1))]
    pub run: Vec<String>,
    /// A program that takes longer is ended, and has failed.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// Which alerts.
    #[serde(flatten)]
    pub wants: Wants,
}

fn timeout() -> HumanDuration {
    HumanDuration::from_secs(15)
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookConfig").field("wants", &self.wants).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PagerdutyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagerdutyConfig").field("wants", &self.wants).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SlackConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackConfig").field("wants", &self.wants).finish_non_exhaustive()
    }
}
