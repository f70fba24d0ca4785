//! Messages in the shape of PagerDuty's Events API v2: an event for each alert, and one incident for one cause.

use serde_json::{Value, json};

use super::message::{Notice, NoticeAlert};
use super::{AlertAction, Severity};
use crate::id::ProjectId;

/// Most characters of a summary.
const SUMMARY: usize = 1024;

/// The events of a message. Alerts of one cause have one `dedup_key`, so that an event that comes twice changes nothing.
pub fn pagerduty_events(notice: &Notice, routing_key: &str) -> Vec<Value> {
    notice.alerts.iter().map(|told| event(notice, told, routing_key)).collect()
}

fn event(notice: &Notice, told: &NoticeAlert, routing_key: &str) -> Value {
    let alert = &told.alert;
    let action = match told.action {
        AlertAction::Raised => "trigger",
        AlertAction::Acknowledged => "acknowledge",
        AlertAction::Resolved => "resolve",
    };
    let test = if notice.kind == "alert.test" { "Test: " } else { "" };
    // A pager shows this line alone. The project that an installation begins with is the only one of most.
    let project = &notice.project;
    let of = if *project == ProjectId::default_project().0 { String::new() } else { format!("{project}: ") };
    let summary: String = format!("{test}{of}{}", alert.message).chars().take(SUMMARY).collect();
    let severity = match alert.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": format!("llmops/{}/{}", notice.project, alert.fingerprint),
        "client": "llmops",
        "payload": {
            "summary": summary,
            "source": alert.source_id.as_deref().unwrap_or(&alert.source),
            "severity": severity,
            "timestamp": alert.last_seen_at,
            "component": alert.source,
            "group": notice.project,
            "class": alert.kind,
            "custom_details": {
                "alert": alert.id, "metric": alert.metric, "threshold": alert.threshold,
                "actual_value": alert.actual_value, "count": alert.count, "evidence": alert.metadata,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::alert::{AlertDraft, AlertType};

    fn notice(action: AlertAction, message: &str) -> Notice {
        let draft = AlertDraft::new(AlertType::Regression, Severity::Critical, "evaluation", message)
            .about("run_1", Some("tone"));
        let alert = draft.into_alert("alert_1".into(), Timestamp::UNIX_EPOCH);
        Notice::new("shop", vec![NoticeAlert { action, alert }], BTreeMap::new(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_alert_is_an_event_of_its_cause() {
        let events = pagerduty_events(&notice(AlertAction::Raised, "tone fell"), "key");
        assert_eq!(events.len(), 1);
        let event = &events[0];
        assert_eq!(event["event_action"], "trigger");
        assert_eq!(event["routing_key"], "key");
        assert_eq!(event["payload"]["summary"], "shop: tone fell");
        assert_eq!(event["payload"]["severity"], "critical");
        assert_eq!(event["payload"]["source"], "run_1");
        assert_eq!(event["payload"]["class"], "regression");
        assert_eq!(event["payload"]["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(event["payload"]["custom_details"]["metric"], "tone");
        let resolved = &pagerduty_events(&notice(AlertAction::Resolved, "tone rose"), "key")[0];
        assert_eq!(resolved["event_action"], "resolve");
        assert_eq!(resolved["dedup_key"], event["dedup_key"], "the same cause is the same incident");
    }

    #[test]
    fn summaries_are_as_short_as_they_must_be() {
        let event = &pagerduty_events(&notice(AlertAction::Raised, &"ü".repeat(3000)), "key")[0];
        assert_eq!(event["payload"]["summary"].as_str().unwrap().chars().count(), SUMMARY);
    }
}
