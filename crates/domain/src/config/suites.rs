//! The `suites` section: which target is evaluated on which dataset, how often and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A target on a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuiteConfig {
    /// The target's name.
    pub target: String,
    /// The dataset's name.
    pub dataset: String,
    /// Trials of each sample.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 1000))]
    pub repeat: u32,
    /// Evaluate only the first samples, in the order of their ids. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<u32>,
    /// When it runs by itself: a cron expression (`0 3 * * *`) or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    /// Absent: at `operations.evaluation_interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Time zone of the schedule, such as `Europe/Berlin`. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

fn once() -> u32 {
    1
}
