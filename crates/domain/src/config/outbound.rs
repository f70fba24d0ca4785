//! The `outbound` section: where llmops may send requests that users ask for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::IpRange;

/// Where llmops may send requests whose address users of the API choose: webhooks, scorers over HTTP. The public Internet
/// is always allowed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OutboundConfig {
    /// Private addresses and ranges that are allowed all the same: `10.1.2.3`, `10.0.0.0/8`, `127.0.0.1`.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpRange>,
}
