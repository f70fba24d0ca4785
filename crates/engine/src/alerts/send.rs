//! One attempt to deliver a message.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use llmops_domain::alert::{Alert, AlertAction, Notice, NoticeAlert, pagerduty_events, slack_message};
use llmops_domain::config::channels::{ChannelConfig, CommandChannelConfig, Wants};
use llmops_domain::hash::ContentHash;
use llmops_providers::outbound::OutboundError;
use llmops_providers::program::Program;
use llmops_storage::LeasedDelivery;

use super::sign;
use crate::Services;

/// Characters of an answer that are kept.
const EXCERPT: usize = 300;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SendError {
    /// In words. Without secrets: addresses of channels are among them.
    pub(super) message: String,
    /// Whether another attempt makes no sense.
    pub(super) is_final: bool,
    /// How long the receiver asks to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl SendError {
    /// It took too long.
    pub(super) fn timeout() -> Self {
        Self::again("it took too long")
    }

    fn again(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_final: false, retry_after: None }
    }

    fn last(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_final: true, retry_after: None }
    }
}

/// Sends a message that waited for its turn.
pub(super) async fn send_leased(services: &Services, leased: &LeasedDelivery) -> Result<(), SendError> {
    let LeasedDelivery { project, delivery, .. } = leased;
    let Some(ChannelConfig::Pagerduty(pager)) = services.options.alerts.channels.get(&delivery.channel) else {
        return send(services, &delivery.channel, &delivery.id, &delivery.notice).await;
    };
    let causes: Vec<&ContentHash> = delivery.notice.alerts.iter().map(|told| &told.alert.fingerprint).collect();
    let open = services.store.open_alerts_of(project, &causes).await;
    let open = open.map_err(|_| SendError::again("the store cannot be reached"))?;
    let mut notice = delivery.notice.clone();
    notice.alerts.retain(|told| is_news(told, &open, &pager.wants));
    send(services, &delivery.channel, &delivery.id, &notice).await
}

/// Whether what is told of an alert still holds. A message that is late must not open an incident again that the one after it
/// has closed, nor close one that was opened since.
fn is_news(told: &NoticeAlert, open: &[Alert], wants: &Wants) -> bool {
    let is_open = open.iter().any(|alert| alert.fingerprint == told.alert.fingerprint && wants.heard_of(alert));
    is_open == (told.action != AlertAction::Resolved)
}

/// Sends a message to a channel. `id` is the same with every attempt.
pub(super) async fn send(services: &Services, channel: &str, id: &str, notice: &Notice) -> Result<(), SendError> {
    let body = match services.options.alerts.channels.get(channel) {
        Some(ChannelConfig::Slack(_)) => to_json(&slack_message(notice))?,
        Some(ChannelConfig::Pagerduty(pager)) => {
            // An event for each alert. When one is not taken all come again, which their keys make harmless.
            for event in pagerduty_events(notice, &pager.routing_key) {
                send_body(services, channel, id, to_json(&event)?).await?;
            }
            return Ok(());
        }
        _ => to_json(notice)?,
    };
    send_body(services, channel, id, body).await
}

/// Sends a message in the shape that the channel takes.
pub(super) async fn send_body(services: &Services, channel: &str, id: &str, body: Vec<u8>) -> Result<(), SendError> {
    let options = &services.options.alerts;
    let Some(config) = options.channels.get(channel) else {
        return Err(SendError::last(format!("no channel is named `{channel}` any more")));
    };
    if let Some(variables) = options.unset.get(channel) {
        return Err(SendError::again(format!("{} is not set", variables.join(", "))));
    }
    match config {
        ChannelConfig::Webhook(webhook) => {
            let mut request = post(&webhook.url)?;
            // Receivers refuse old timestamps: that of the attempt, not of the message.
            let timestamp = services.clock.now().as_second();
            request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
            if let Some(secret) = &webhook.secret {
                let signature = sign::signature(secret, id, timestamp, &body);
                request = request.header("webhook-signature", signature.unwrap_or_default());
            }
            exchange(services, request, body, webhook.timeout.0).await
        }
        ChannelConfig::Slack(slack) => exchange(services, post(&slack.url)?, body, slack.timeout.0).await,
        ChannelConfig::Pagerduty(pager) => exchange(services, post(&pager.url)?, body, pager.timeout.0).await,
        ChannelConfig::Command(command) => run(services, command, body).await,
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, SendError> {
    serde_json::to_vec(value).map_err(|e| SendError::last(format!("the message has no JSON form: {e}")))
}

fn post(url: &str) -> Result<http::request::Builder, SendError> {
    let uri: http::Uri = url.parse().map_err(|_| SendError::last("the channel's `url` is no web address"))?;
    Ok(Request::post(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("llmops/", env!("CARGO_PKG_VERSION"))))
}

async fn exchange(
    services: &Services,
    request: http::request::Builder,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(), SendError> {
    let request = request.body(Bytes::from(body)).map_err(|e| SendError::last(format!("no request: {e}")))?;
    match services.outbound.send(request, timeout).await {
        Ok(response) => judge(&response),
        // The address itself may be a secret, as Slack's are.
        Err(OutboundError::Address { why, .. }) => {
            Err(SendError::last(format!("the channel's `url` is no address: {why}")))
        }
        Err(error) => Err(SendError::again(error.to_string())),
    }
}

fn judge(response: &Response<Bytes>) -> Result<(), SendError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let excerpt: String = String::from_utf8_lossy(response.body()).chars().take(EXCERPT).collect();
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(SendError {
        message: format!("the receiver answered {status} {excerpt}").trim_end().to_owned(),
        // "Gone" says that nobody will ever listen there again.
        is_final: status == StatusCode::GONE,
        retry_after: seconds.map(Duration::from_secs),
    })
}

/// Runs the channel's program with the message on its standard input. What it started ends with it when it takes too long.
async fn run(services: &Services, command: &CommandChannelConfig, input: Vec<u8>) -> Result<(), SendError> {
    let program = Program::new(&command.run, &BTreeMap::new(), None, &services.options.alerts.folder)
        .map_err(|error| SendError::last(error.to_string()))?;
    match tokio::time::timeout(command.timeout.0, program.tell(&input)).await {
        Ok(told) => told.map_err(|error| SendError::again(error.to_string())),
        Err(_) => Err(SendError::again(format!("{} took longer than {}", program.name(), command.timeout))),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use llmops_domain::alert::{AlertDraft, AlertType, Severity};

    use super::*;

    #[test]
    fn a_late_message_neither_opens_nor_closes_what_is_otherwise_by_now() {
        let alert = |severity| {
            let draft = AlertDraft::new(AlertType::Threshold, severity, "it", "low");
            let mut alert = draft.into_alert("alert_1".into(), Timestamp::UNIX_EPOCH);
            alert.tell(Timestamp::UNIX_EPOCH);
            alert
        };
        let wants = Wants { severities: vec![Severity::Critical], ..Wants::default() };
        let check = |action, open: &[Alert], expected| {
            let told = NoticeAlert { action, alert: alert(Severity::Critical) };
            assert_eq!(is_news(&told, open, &wants), expected, "{action} {open:?}");
        };
        check(AlertAction::Raised, &[alert(Severity::Critical)], true);
        check(AlertAction::Raised, &[], false);
        check(AlertAction::Resolved, &[], true);
        check(AlertAction::Resolved, &[alert(Severity::Critical)], false);
        // Another channel's matter.
        check(AlertAction::Resolved, &[alert(Severity::Warning)], true);
        let milder = alert(Severity::Critical)
            .again(AlertDraft::new(AlertType::Threshold, Severity::Warning, "it", "low"), Timestamp::UNIX_EPOCH);
        check(AlertAction::Raised, &[milder], true);
    }
}
