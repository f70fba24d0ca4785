//! The `server` section: how `llmops serve` is reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::IpRange;

/// How `llmops serve` is reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerConfig {
    /// Browsers reach the server by https only (a proxy in front of it decrypts): cookies are marked so.
    pub https: bool,
    /// Addresses and ranges of proxies whose `x-forwarded-for` and `x-forwarded-proto` are believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpRange>,
}
