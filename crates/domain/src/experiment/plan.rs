//! How an experiment's results are judged, declared before it starts.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::duration::HumanDuration;

/// What a conclusion rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Always-valid p-values and intervals: looking at them at any time is safe.
    #[default]
    AlwaysValid,
    /// One look, when `planned_n` units of each variant are in. What it finds stands, whatever comes later.
    FixedHorizon,
}

/// How many comparisons are corrected for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Correction {
    /// Holm: the chance of any false conclusion stays below alpha.
    #[default]
    Holm,
    /// Benjamini-Hochberg: the share of false conclusions among all stays below alpha.
    Bh,
    /// None.
    None,
}

/// How the results are judged. Declared at the start, because a rule chosen after a look at the data is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnalysisPlan {
    /// What a conclusion rests on.
    pub basis: Basis,
    /// The chance of a false conclusion that is accepted.
    pub alpha: f64,
    /// How many comparisons are corrected for.
    pub correction: Correction,
    /// Units that each variant needs before a winner is named. Absent: `min_samples_for_significance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_samples: Option<u64>,
    /// How long it must have run, pauses left out, before a winner is named.
    #[schema(value_type = String, example = "7d")]
    pub min_duration: HumanDuration,
    /// Units per variant that the experiment is planned for; needed for `fixed_horizon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_n: Option<u64>,
    /// Units that come a day, all variants together: what the plan is checked with at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units_per_day: Option<u64>,
    /// From when on observations of units count whose exposure is not known. Absent: from the start. For what began elsewhere, or is
    /// to warm up first.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Timestamp>,
    /// Attributes of the first exposure by which results are also shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
}

impl Default for AnalysisPlan {
    fn default() -> Self {
        Self {
            basis: Basis::AlwaysValid,
            alpha: 0.05,
            correction: Correction::Holm,
            min_samples: None,
            min_duration: HumanDuration(Duration::from_hours(7 * 24)),
            planned_n: None,
            units_per_day: None,
            counts_from: None,
            segments: Vec::new(),
        }
    }
}
