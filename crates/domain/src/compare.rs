//! Comparison of two runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::run::Estimate;

mod runs;

pub use runs::compare;

/// A change beyond this (5 %) is called a regression or an improvement.
pub const NOTABLE_CHANGE: f64 = 0.05;

/// What changed from one run to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunComparison {
    /// The run before.
    pub run1_id: RunId,
    /// The run after.
    pub run2_id: RunId,
    /// Change of each metric both have, and of `overall`.
    pub metric_changes: BTreeMap<String, Change>,
    /// Change of each category both have.
    pub category_changes: BTreeMap<String, Change>,
    /// Pass rate after less pass rate before.
    pub pass_rate_change: f64,
    /// The pass rates, with the interval of their change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_rate: Option<Change>,
    /// Metrics and categories that fell by more than 5 %.
    pub regressions: Vec<String>,
    /// Metrics and categories that rose by more than 5 %.
    pub improvements: Vec<String>,
    /// Samples whose pass or fail changed, worst first.
    pub flips: Vec<SampleChange>,
    /// Samples that now fail and passed before.
    pub newly_failed: u64,
    /// Samples that now pass and failed before.
    pub newly_passed: u64,
    /// The paired statistics on the samples both runs share.
    pub paired: Option<PairedEvidence>,
    /// One sentence.
    pub summary: String,
}

/// One number before and after.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// After less before. Where not both runs scored the same samples: the mean change of the samples that both scored.
    pub change: f64,
    /// 95 % interval of the paired difference, where samples are shared.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Shared samples behind it.
    #[serde(default)]
    pub n: Option<u64>,
}

/// Paired statistics over the samples that both runs scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PairedEvidence {
    /// Mean difference of the composites (after less before), with the bootstrap interval.
    pub difference: Estimate,
    /// How the interval was made.
    pub method: String,
    /// Two-sided p-value of no difference (paired t).
    pub p_value: Option<f64>,
    /// Pass and fail flips.
    pub mcnemar: Option<McNemarEvidence>,
    /// Smallest mean difference that this many samples show with 80 % power at α = 0.05.
    pub minimum_detectable_effect: Option<f64>,
    /// The same by category.
    pub categories: BTreeMap<String, CategoryEvidence>,
    /// Mean difference of each metric that both have, with the t-interval.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Estimate>,
    /// Mean difference of the shares of trials that passed, with the t-interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_rate: Option<Estimate>,
}

/// McNemar's test on pass and fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct McNemarEvidence {
    /// Passed before, fails now.
    pub newly_failed: u64,
    /// Failed before, passes now.
    pub newly_passed: u64,
    /// Two-sided p-value.
    pub p_value: f64,
    /// Exact, mid-p or chi-squared.
    pub method: String,
}

/// Paired difference of one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryEvidence {
    /// Mean difference of the composites, with interval.
    pub difference: Estimate,
    /// Two-sided p-value of no difference (paired t); null where all differences are equal.
    pub p_value: Option<f64>,
    /// Samples needed for a difference of this size to be significant with 80 % power.
    pub needed_n: Option<u64>,
}

/// One sample before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleChange {
    /// The sample.
    pub sample_id: String,
    /// Its category.
    pub category: String,
    /// Composite before (mean over trials).
    pub before: Option<f64>,
    /// Composite after.
    pub after: Option<f64>,
    /// Whether every trial passed before.
    pub passed_before: Option<bool>,
    /// Whether every trial passes now.
    pub passed_after: Option<bool>,
}
