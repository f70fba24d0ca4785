//! What an experiment found: the shapes of its results.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Basis, Correction, Direction, MetricKind};

/// An interval and its level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bounds {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Nominal coverage, between 0 and 1.
    pub level: f64,
}

/// What is known of one metric in one variant. The unit counts once, however often it was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MetricSummary {
    /// Units (users) with at least one observation.
    pub units: u64,
    /// Observations of these units.
    pub observations: u64,
    /// The mean over units of what a unit counts with: its mean; for counts its sum. For ratios Σ numerator / Σ denominator,
    /// for binary metrics the rate. Null without units.
    pub mean: Option<f64>,
    /// Standard deviation between units; null below two units and for ratios.
    pub sd: Option<f64>,
    /// Smallest observation.
    pub min: Option<f64>,
    /// Largest observation.
    pub max: Option<f64>,
    /// Interval of the mean for one look at the data; null below two units, and where all units have the same value.
    pub interval: Option<Bounds>,
    /// How mean and interval were found.
    pub method: Option<String>,
    /// The quantile that is compared and its value, for metrics that are compared by quantile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<QuantileSummary>,
}

/// A quantile of the observations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuantileSummary {
    /// Which one, between 0 and 1.
    pub q: f64,
    /// Its value.
    pub value: f64,
    /// Its interval for one look at the data.
    pub interval: Option<Bounds>,
}

/// What is known of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VariantResult {
    /// Units observed on the target metric.
    pub sample_count: u64,
    /// The mean of each metric.
    pub metric_values: BTreeMap<String, f64>,
    /// The rate of the target metric, where it is binary.
    pub conversion_rate: Option<f64>,
    /// Relative difference of the target metric from the control's, 0.05 being 5 % more; null for the control.
    pub improvement: Option<f64>,
    /// Whether it is the control.
    pub is_control: bool,
    /// Units that the sample-ratio check counts: exposed ones, or observed ones where exposures are not known, or not of all of
    /// them.
    pub units: u64,
    /// Everything about each metric.
    pub metrics: BTreeMap<String, MetricSummary>,
}

/// A test that is valid for one look at the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FixedTest {
    /// Its name.
    pub test: String,
    /// Its key.
    pub method: String,
    /// What is compared: `difference of means`, `difference of rates` …
    pub estimand: String,
    /// The test statistic.
    pub statistic: f64,
    /// Degrees of freedom.
    pub df: Option<f64>,
    /// Two-sided p-value.
    pub p_value: f64,
    /// Treatment − control.
    pub effect: f64,
    /// Interval of the effect.
    pub interval: Option<Bounds>,
}

/// What is valid at every look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlwaysValid {
    /// Its name.
    pub test: String,
    /// What is compared.
    pub estimand: String,
    /// Treatment − control.
    pub effect: f64,
    /// p-value; 1 while there are too few units to decide anything.
    pub p_value: f64,
    /// Interval that holds at all looks together; null while there are too few units.
    pub interval: Option<Bounds>,
}

/// The Bayesian view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BayesianView {
    /// The model.
    pub model: String,
    /// The chance that the treatment is better, in the direction of the metric.
    pub chance_to_win: f64,
    /// What is lost on average, in units of the metric, when the treatment is chosen and is worse.
    pub expected_loss: f64,
    /// Credible interval of treatment − control.
    pub interval: Bounds,
}

/// A relative difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lift {
    /// Treatment / control − 1.
    pub value: f64,
    /// Its interval, of means: as the difference's, it holds at every look (Fieller) where the basis is always valid, else for one look
    /// (delta method).
    pub interval: Option<Bounds>,
}

/// Variance taken out with a pre-period covariate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CovariateUse {
    /// The covariate.
    pub covariate: String,
    /// Regression coefficient.
    pub theta: f64,
    /// Share of the variance that it took out.
    pub variance_reduction: f64,
}

/// Where a guardrail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardrailState {
    /// Shown to be worse by less than the margin.
    Holds,
    /// Not shown either way yet.
    Open,
    /// Shown to be worse by more than the margin.
    Violated,
}

/// A guardrail metric in one variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuardrailResult {
    /// Where it stands.
    pub state: GuardrailState,
    /// The margin as an amount of the metric.
    pub margin: f64,
    /// How much worse it is (negative: better), as an amount.
    pub harm: f64,
    /// Largest harm that the data allow.
    pub harm_at_most: Option<f64>,
}

/// One metric of one variant beside the control's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comparison {
    /// The metric.
    pub metric: String,
    /// Its kind.
    pub kind: MetricKind,
    /// Which way is better.
    pub direction: Direction,
    /// The variant.
    pub variant: String,
    /// What it is compared with.
    pub control: String,
    /// Units of both.
    pub units: u64,
    /// Treatment − control.
    pub difference: Option<f64>,
    /// Interval of the difference on the basis that decides.
    pub interval: Option<Bounds>,
    /// Relative difference of what is compared; ranks have none.
    pub lift: Option<Lift>,
    /// p-value on the basis that decides.
    pub p_value: Option<f64>,
    /// The same, corrected for the comparisons made together.
    pub p_value_corrected: Option<f64>,
    /// Whether the corrected p-value is at most alpha.
    pub significant: bool,
    /// Whether the difference points in the better direction; null without difference.
    pub better: Option<bool>,
    /// For one look at the data.
    pub fixed: Option<FixedTest>,
    /// For any number of looks.
    pub always_valid: Option<AlwaysValid>,
    /// The Bayesian view.
    pub bayes: Option<BayesianView>,
    /// The covariate, where one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuped: Option<CovariateUse>,
    /// The guardrail, where the metric is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<GuardrailResult>,
    /// Why there is no comparison, or what a reader should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// Whether the variants have the share of units that they should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleRatio {
    /// Whether there is a mismatch: then nothing is concluded.
    pub mismatch: bool,
    /// p-value that is valid at every look (Dirichlet-multinomial); a mismatch is at most 0.001.
    pub p_value: f64,
    /// p-value of the chi-squared test, for one look.
    pub chi_squared_p: f64,
    /// Units of each variant.
    pub observed: BTreeMap<String, u64>,
    /// What they should be.
    pub expected: BTreeMap<String, f64>,
    /// What was counted: `exposures`, `observed units` or `units with` the target metric; of several that are checked, the one that
    /// is wrong.
    pub counted: String,
}

/// What the data allow to conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// A variant is better and everything that must hold does.
    Winner,
    /// Something is missing.
    Undecided,
    /// The data cannot be trusted: a sample-ratio mismatch.
    Blocked,
}

/// What is missing for a winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Missing {
    /// `samples`, `duration`, `significance`, `guardrail`, `planned_n`, `sample_ratio`, `data`, or `declared` of a question that was
    /// asked after the start.
    pub what: String,
    /// In words, with the numbers.
    pub message: String,
}

impl Missing {
    /// Whether more units or days are missing, and not that what was found decides nothing: before those are there, the one look of a
    /// fixed horizon is not due.
    pub fn comes_with_time(&self) -> bool {
        matches!(self.what.as_str(), "samples" | "duration" | "planned_n" | "data")
    }
}

/// When a winner may be expected, if things go on as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forecast {
    /// More units needed, all variants together; null where no number of them is likely to decide.
    pub more_units: Option<u64>,
    /// Days from now, where it is known how many units come a day.
    pub days: Option<f64>,
    /// What it rests on, in words.
    pub message: String,
}

/// What was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Excluded {
    /// Units seen in more than one variant: with all their observations they count for none.
    pub units_in_several_variants: u64,
    /// Some of them by name.
    pub examples: Vec<String>,
    /// Observations that lie before their unit was exposed, or before the experiment began: they are no effect of a variant.
    #[serde(default)]
    pub early_observations: u64,
}

/// The comparisons within one segment or up to one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Slice {
    /// `country=DE`, or the day `2026-11-26`.
    pub name: String,
    /// Means by variant and metric.
    pub variant_results: BTreeMap<String, BTreeMap<String, MetricSummary>>,
    /// Corrected over all segments, variants and metrics together; days are not corrected.
    pub comparisons: Vec<Comparison>,
}

/// What the one look of a plan with a fixed horizon found. It is taken once, and stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OneLook {
    /// When it was taken.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Units observed on the target metric, all variants together.
    pub total_samples: u64,
    /// The variant that won, if one did.
    pub winner: Option<String>,
    /// The corrected p-value of the strongest comparison on the target metric.
    pub significance: f64,
    /// One sentence.
    pub recommendation: String,
    /// What was missing for a winner.
    pub missing: Vec<Missing>,
}

impl OneLook {
    /// The look that these results are; nothing on another basis, and while anything is missing that only time brings.
    pub fn of(results: &ExperimentResult) -> Option<Self> {
        let is_due = results.basis == Basis::FixedHorizon
            && results.conclusion != Conclusion::Blocked
            && !results.missing.iter().any(Missing::comes_with_time);
        is_due.then(|| Self {
            at: results.computed_at,
            total_samples: results.total_samples,
            winner: results.winner.clone(),
            significance: results.significance,
            recommendation: results.recommendation.clone(),
            missing: results.missing.clone(),
        })
    }
}

/// What an experiment found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExperimentResult {
    /// The experiment's id, or the file.
    pub experiment: String,
    /// The control.
    pub control: String,
    /// The metric that decides.
    pub target_metric: String,
    /// By variant.
    pub variant_results: BTreeMap<String, VariantResult>,
    /// Units observed on the target metric, all variants together.
    pub total_samples: u64,
    /// The variant that won, and nothing until everything holds that must.
    pub winner: Option<String>,
    /// The corrected p-value of the strongest comparison on the target metric, on the basis that decides: how often a
    /// difference this clear would be seen somewhere without any being there. 1 without data.
    pub significance: f64,
    /// 1 − significance.
    pub confidence: f64,
    /// One sentence.
    pub recommendation: String,
    /// What the data allow.
    pub conclusion: Conclusion,
    /// What the conclusion rests on.
    pub basis: Basis,
    /// The chance of a false conclusion that is accepted.
    pub alpha: f64,
    /// The correction.
    pub correction: Correction,
    /// What is missing for a winner.
    pub missing: Vec<Missing>,
    /// When that may be expected.
    pub forecast: Option<Forecast>,
    /// Every metric of every variant beside the control's; the target metric first.
    pub comparisons: Vec<Comparison>,
    /// The sample-ratio check; null where no unit was counted, or the shares that units should have are not known.
    pub sample_ratio: Option<SampleRatio>,
    /// What was left out.
    pub excluded: Excluded,
    /// What a reader should know.
    pub notices: Vec<String>,
    /// Within each segment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Slice>,
    /// Of the units that entered on each day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Slice>,
    /// Of all units that had entered by the end of each day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cumulative: Vec<Slice>,
    /// When this was computed.
    #[schema(value_type = String, format = DateTime)]
    pub computed_at: Timestamp,
}

/// A number with so many significant digits, without trailing zeros: `0.0312`, `−1.5`, `2.1e−7`.
///
/// ```
/// # use llmops_domain::experiment::result::significant;
/// assert_eq!(significant(0.031_249, 3), "0.0312");
/// assert_eq!(significant(-1500.0, 3), "−1500");
/// assert_eq!(significant(2.14e-7, 3), "2.1e−7");
/// ```
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs();
    let text = if (1e-4..1e7).contains(&magnitude) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 9 digits")]
        let places = (digits as f64 - 1.0 - magnitude.log10().floor()).clamp(0.0, 9.0) as usize;
        let text = format!("{value:.places$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.1e}")
    };
    text.replace('-', "−")
}

/// The same with a plus sign before what is above 0.
///
/// ```
/// # use llmops_domain::experiment::result::signed;
/// assert_eq!(signed(0.5, 3), "+0.5");
/// ```
pub fn signed(value: f64, digits: usize) -> String {
    let plus = if value > 0.0 { "+" } else { "" };
    format!("{plus}{}", significant(value, digits))
}
