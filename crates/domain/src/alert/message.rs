//! What channels are sent: one message for one alert or for many.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Alert, AlertAction, Severity};
use crate::scorecard::format::truncate;
use crate::scorecard::slack::escape;

/// Alerts that a Slack message shows; the others are counted.
const SLACK_ALERTS: usize = 10;
/// Most characters of Slack's headers.
const SLACK_HEADER: usize = 150;
/// Most characters of an alert's message in Slack (a section takes 3,000).
const SLACK_TEXT: usize = 1500;

/// A message to a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Notice {
    /// `alert.raised` or `alert.resolved` where all alerts were, `alert.group` for a mixture, `alert.test` for a test.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was put together.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// The project.
    pub project: String,
    /// How many alerts it is about.
    pub count: u64,
    /// How many of each severity.
    pub severities: BTreeMap<Severity, u64>,
    /// The most severe of them, at most a hundred; `GET /api/v1/alerts` lists all.
    pub alerts: Vec<NoticeAlert>,
}

/// An alert in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoticeAlert {
    /// What happened to it.
    pub action: AlertAction,
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
}

impl Notice {
    /// A message about alerts of which these are the most severe ones.
    pub fn new(project: &str, alerts: Vec<NoticeAlert>, severities: BTreeMap<Severity, u64>, now: Timestamp) -> Self {
        let all = |action| alerts.iter().all(|told| told.action == action);
        let kind = match () {
            () if all(AlertAction::Raised) => "alert.raised",
            () if all(AlertAction::Resolved) => "alert.resolved",
            () => "alert.group",
        };
        Self {
            kind: kind.to_owned(),
            timestamp: now,
            project: project.to_owned(),
            count: severities.values().sum(),
            severities,
            alerts,
        }
    }

    /// A line for people.
    fn title(&self) -> String {
        let test = if self.kind == "alert.test" { "Test: " } else { "" };
        match &self.alerts[..] {
            [only] if self.count == 1 => {
                let what = match only.action {
                    AlertAction::Resolved => "resolved".to_owned(),
                    _ => format!("{} {}", only.alert.severity, only.alert.kind),
                };
                format!("{test}{what} in {}", self.project)
            }
            _ => {
                let counts: Vec<String> =
                    self.severities.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
                let resolved = if self.kind == "alert.resolved" { " resolved" } else { "" };
                format!("{test}{} alerts{resolved} in {}: {}", self.count, self.project, counts.join(", "))
            }
        }
    }
}

/// The message in the shape of Slack's incoming webhooks: `text` for notifications, `blocks` for the window.
pub fn slack_message(notice: &Notice) -> Value {
    let title = notice.title();
    let mut blocks = vec![json!({
        "type": "header", "text": {"type": "plain_text", "text": truncate(&title, SLACK_HEADER), "emoji": false},
    })];
    for told in notice.alerts.iter().take(SLACK_ALERTS) {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": slack_alert(told)}}));
    }
    let shown = notice.alerts.len().min(SLACK_ALERTS) as u64;
    let mut foot = format!("llmops · {}", notice.timestamp.strftime("%Y-%m-%d %H:%M:%S UTC"));
    if notice.count > shown {
        // Writing to a String cannot fail.
        let _ = write!(foot, " · {} more are not shown", notice.count - shown);
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]}));
    let text = match &notice.alerts[..] {
        [only] if notice.count == 1 => format!("{title}: {}", only.alert.message),
        _ => title,
    };
    json!({"text": escape(&truncate(&text, SLACK_TEXT)), "blocks": blocks})
}

fn slack_alert(told: &NoticeAlert) -> String {
    let alert = &told.alert;
    let label = match told.action {
        AlertAction::Resolved => "Resolved".to_owned(),
        AlertAction::Acknowledged => "Acknowledged".to_owned(),
        AlertAction::Raised => format!("{} {}", alert.severity, alert.kind),
    };
    let mut text = format!("*{label}*  {}\n`{}`", escape(&truncate(&alert.message, SLACK_TEXT)), alert.id);
    if let Some(source_id) = &alert.source_id {
        let _ = write!(text, "  {} `{}`", escape(&truncate(&alert.source, 100)), escape(&truncate(source_id, 100)));
    }
    if alert.count > 1 {
        let _ = write!(text, "  seen {} times", alert.count);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertDraft, AlertType};

    fn told(severity: Severity, message: &str) -> NoticeAlert {
        let draft =
            AlertDraft::new(AlertType::Regression, severity, "evaluation", message).about("run_1", Some("tone"));
        NoticeAlert { action: AlertAction::Raised, alert: draft.into_alert("alert_1".into(), Timestamp::UNIX_EPOCH) }
    }

    fn notice(alerts: Vec<NoticeAlert>, count: u64) -> Notice {
        Notice::new("default", alerts, BTreeMap::from([(Severity::Critical, count)]), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn one_alert_is_told_in_full() {
        let message = slack_message(&notice(vec![told(Severity::Critical, "fell <!channel> & rose")], 1));
        insta::assert_snapshot!(message, @r#"{"text":"critical regression in default: fell &lt;!channel&gt; &amp; rose","blocks":[{"type":"header","text":{"type":"plain_text","text":"critical regression in default","emoji":false}},{"type":"section","text":{"type":"mrkdwn","text":"*critical regression*  fell &lt;!channel&gt; &amp; rose\n`alert_1`  evaluation `run_1`"}},{"type":"context","elements":[{"type":"mrkdwn","text":"llmops · 1970-01-01 00:00:00 UTC"}]}]}"#);
    }

    #[test]
    fn many_alerts_are_counted() {
        let long = "x".repeat(5000);
        let message = slack_message(&notice((0..100).map(|_| told(Severity::Critical, &long)).collect(), 10_000));
        assert_eq!(message["text"], "10000 alerts in default: 10000 critical");
        let blocks = message["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 12);
        assert!(blocks.iter().all(|b| b["text"]["text"].as_str().is_none_or(|t| t.chars().count() <= 3000)));
        assert!(blocks[11]["elements"][0]["text"].as_str().unwrap().ends_with("9990 more are not shown"));
    }
}
