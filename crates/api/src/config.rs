//! The configuration of a server on the wire.

use serde::{Deserialize, Serialize};

/// What became of a configuration that was read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Sections that changed and hold from now on.
    pub applied: Vec<String>,
    /// Sections that changed and hold when the process is started again.
    pub needs_restart: Vec<String>,
}
