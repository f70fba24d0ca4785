//! One attempt to deliver a message.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use llmops_domain::alert::{Notice, slack_message};
use llmops_domain::config::channels::{ChannelConfig, CommandChannelConfig};
use llmops_providers::outbound::OutboundError;
use tokio::io::AsyncWriteExt as _;

use super::sign;
use crate::Services;

/// Bytes of an answer or of a program's errors that are kept.
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

/// Sends a message to a channel. `id` is the same with every attempt.
pub(super) async fn send(services: &Services, channel: &str, id: &str, notice: &Notice) -> Result<(), SendError> {
    let body = match services.options.alerts.channels.get(channel) {
        Some(ChannelConfig::Slack(_)) => to_json(&slack_message(notice))?,
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

/// Runs the channel's program with the message on its standard input.
async fn run(services: &Services, command: &CommandChannelConfig, input: Vec<u8>) -> Result<(), SendError> {
    let Some((program, arguments)) = command.run.split_first() else {
        return Err(SendError::last("the channel names no program"));
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(&services.options.alerts.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| SendError::again(format!("{program} cannot be run: {e}")))?;
    let stdin = child.stdin.take();
    let finish = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read its input is free not to.
            let _ = stdin.write_all(&input).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(command.timeout.0, finish)
        .await
        .map_err(|_| SendError::again(format!("{program} took longer than {}", command.timeout)))?
        .map_err(|e| SendError::again(format!("{program} cannot be run: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).chars().take(EXCERPT).collect();
    Err(SendError::again(format!("{program} ended with {}: {}", output.status, said.trim())))
}
