//! The `server` section: how `llmops serve` is reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::IpRange;

use super::duration::HumanDuration;

/// How `llmops serve` is reached, and how it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerConfig {
    /// Browsers reach the server by https only (a proxy in front of it decrypts): cookies are marked so.
    pub https: bool,
    /// Addresses and ranges of proxies whose `x-forwarded-for` and `x-forwarded-proto` are believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpRange>,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Longest that requests, runs and messages under way may take to end when the process is told to stop.
    pub shutdown_timeout: HumanDuration,
    /// How long the server goes on answering after it was told to stop, while `/readyz` says so already: the time that a load
    /// balancer needs to hear of it.
    pub shutdown_delay: HumanDuration,
    /// Longest that the head of a request may take to arrive, and that a connection may stay open without one. Longer than
    /// the idle time of the load balancer in front.
    pub header_timeout: HumanDuration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            https: false,
            trusted_proxies: Vec::new(),
            metrics: MetricsAccess::default(),
            log_format: LogFormat::default(),
            shutdown_timeout: HumanDuration::from_secs(30),
            shutdown_delay: HumanDuration::from_secs(0),
            header_timeout: HumanDuration::from_secs(75),
        }
    }
}

/// Who may read the metrics of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Keys of the project `default`, from the viewer's up.
    #[default]
    Key,
    /// Whoever reaches the server.
    Open,
    /// Nobody.
    Off,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}
