//! Streams of events.

use serde::{Deserialize, Serialize};

/// Which events to stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Begin behind this event; 0 begins with the oldest that is kept. Absent: from now on. The header `Last-Event-ID`, which
    /// browsers send when they connect again, comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Types with commas between them, such as `alert,run.completed`; `run` stands for all that begin with `run.`. Absent:
    /// all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
}
