//! Connecting to Redis, for the queue of jobs and for what is spent.

use std::time::Duration;

use redis::Client;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use crate::jobs::QueueError;

/// How long an operation may take before Redis counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to `redis://…` or `rediss://…`.
pub(crate) async fn connect(url: &str) -> Result<ConnectionManager, QueueError> {
    // The library's message would repeat the address, and with it a password.
    let client = Client::open(url).map_err(|e| QueueError::Address(format!("no Redis address: {}", e.category())))?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1);
    ConnectionManager::new_with_config(client, config).await.map_err(|e| QueueError::Redis(e.to_string()))
}
