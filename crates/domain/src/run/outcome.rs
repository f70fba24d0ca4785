//! What became of a sample.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MetricScore;

/// What became of a (sample, trial) pair. Never a made-up score: what could not be answered or judged is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Outcome {
    /// Answered and scored by every metric that decides something.
    Scored {
        /// Score by metric.
        scores: BTreeMap<String, MetricScore>,
        /// Weighted mean of the weighted metrics; null where no metric has a weight.
        composite: Option<f64>,
        /// Whether every metric reached its threshold.
        passed: bool,
        /// What did not: `rouge_l < 0.7`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<String>,
        /// Metrics without a score, by name: only such as decide nothing.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unscored: BTreeMap<String, Unscored>,
    },
    /// Not answered or not judged.
    Errored {
        /// A short stable reason to count by: `provider: 500`, `judge: out of range`.
        reason: String,
        /// The whole story.
        message: String,
    },
}

/// Why a metric that is reported only has no score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Unscored {
    /// A short stable reason to count by.
    pub reason: String,
    /// The whole story.
    pub message: String,
}

impl Outcome {
    /// The composite of a scored outcome.
    pub fn composite(&self) -> Option<f64> {
        match self {
            Self::Scored { composite, .. } => *composite,
            Self::Errored { .. } => None,
        }
    }

    /// Whether it passed; null where it errored.
    pub fn passed(&self) -> Option<bool> {
        match self {
            Self::Scored { passed, .. } => Some(*passed),
            Self::Errored { .. } => None,
        }
    }
}

/// What became of a (sample, trial) pair, as a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultStatus {
    /// Scored, and every metric reached its threshold.
    Passed,
    /// Scored, and some metric did not.
    Failed,
    /// Not answered or not judged.
    Errored,
}
