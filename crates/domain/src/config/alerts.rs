//! The `alerts` section: what in a run's numbers raises an alert, and how channels are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::HumanDuration;

/// What raises alerts. After each completed run its numbers are compared with those of the completed run before it of the
/// same prompt, model and dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AlertsConfig {
    /// Alert when the pass rate falls by more than this share of all trials.
    pub pass_rate_drop: DropLimits,
    /// Warn when a metric, a category or the overall score falls by more than this.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub metric_drop: f64,
    /// Runs in the rolling mean of a category.
    #[schemars(range(min = 1, max = 100))]
    pub rolling_runs: u32,
    /// Warn when the rolling mean of a category falls below this. Absent: `gate.category_min`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub category_min: Option<f64>,
    /// Which share of the anomalies reported may be false alarms (false discovery rate, Benjamini-Hochberg, over all series
    /// of scores). 0: look for none.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub anomaly_rate: f64,
    /// What comes within this time after a message to a channel goes into its next message, all together.
    pub group_interval: HumanDuration,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self {
            pass_rate_drop: DropLimits::default(),
            metric_drop: 0.1,
            rolling_runs: 3,
            category_min: None,
            anomaly_rate: 0.05,
            group_interval: HumanDuration::from_secs(30),
        }
    }
}

/// Two limits on a drop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DropLimits {
    /// Beyond it: a warning.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warning: f64,
    /// Beyond it: critical.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub critical: f64,
}

impl Default for DropLimits {
    fn default() -> Self {
        Self { warning: 0.05, critical: 0.10 }
    }
}
