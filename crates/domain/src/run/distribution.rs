//! How the scores of a run are spread.

use serde::{Deserialize, Serialize};

/// How the composites of a run are spread, by trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScoreDistribution {
    /// Classes of equal width from 0 to 1, ascending.
    pub bins: Vec<ScoreBin>,
    /// Trials that errored: they have no composite.
    pub errored: u64,
}

/// Trials whose composite lies in a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScoreBin {
    /// From here on.
    pub low: f64,
    /// Up to here; the last class holds its end.
    pub high: f64,
    /// Trials that passed.
    pub passed: u64,
    /// Trials that failed.
    pub failed: u64,
}
