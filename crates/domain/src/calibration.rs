//! Calibration of judges against people: labels, what came out of a comparison, and which judge it is about.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::id::{CalibrationId, RunId};
use crate::run::Estimate;

mod labels;

pub use labels::{LabelScale, Labels};

/// What one person said about one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HumanLabel {
    /// The sample.
    pub sample_id: String,
    /// Which answer to it, where there are several trials; from 0.
    #[serde(default)]
    pub trial: u32,
    /// Who said it.
    #[serde(default = "anybody")]
    pub rater: String,
    /// The score from 0 (bad) to 1 (good); of a yes-or-no label, 0 or 1.
    pub score: f64,
}

fn anybody() -> String {
    labels::ANYBODY.to_owned()
}

/// Which judge: what decides its scores. Another model, prompt or option is another judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgeIdentity {
    /// Hash of model, prompt and options.
    pub hash: ContentHash,
    /// The model or models, as `provider/model`.
    pub model: String,
    /// Hash of the prompt, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_hash: Option<String>,
}

/// How far judge and people agree. What cannot be computed is absent, and a notice says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Agreement {
    /// Cohen's kappa of the judge with the people's majority, pass or fail.
    pub cohen_kappa: Option<Estimate>,
    /// Fleiss' kappa of the judge and the people as raters among others, pass or fail.
    pub fleiss_kappa: Option<Estimate>,
    /// Fleiss' kappa of the people alone: no judge can be expected to agree with them more than they do.
    pub fleiss_kappa_people: Option<Estimate>,
    /// Krippendorff's alpha (interval) of the judge and the people.
    pub krippendorff_alpha: Option<Estimate>,
    /// Krippendorff's alpha (interval) of the people alone.
    pub krippendorff_alpha_people: Option<Estimate>,
    /// Spearman's rank correlation of the judge's scores with the people's mean scores.
    pub spearman: Option<Estimate>,
    /// p-value of no correlation.
    pub spearman_p: Option<f64>,
    /// Share of samples on which judge and majority agree, pass or fail (Wilson's interval).
    pub accuracy: Option<Estimate>,
}

/// Samples by what the people's majority and the judge said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Confusion {
    /// Both say pass.
    pub both_pass: u64,
    /// The judge passes what people fail.
    pub judge_passes_only: u64,
    /// People pass what the judge fails.
    pub people_pass_only: u64,
    /// Both say fail.
    pub both_fail: u64,
}

/// A mean as the judge sees it, and as people would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Corrected {
    /// As the judge scored it.
    pub raw: Estimate,
    /// Corrected by the judge's error on the labelled samples (prediction-powered inference). `n` counts labelled and
    /// other samples.
    pub corrected: Estimate,
    /// Samples with a label that went into the correction.
    pub labelled: u64,
    /// The calibration that the correction is from.
    pub calibration: CalibrationId,
}

/// A judge compared with people on the answers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgeCalibration {
    /// The id.
    pub id: CalibrationId,
    /// The judge.
    pub judge: JudgeIdentity,
    /// The metric that the judge computes in the run.
    pub metric: String,
    /// The run whose answers were labelled.
    pub run: RunId,
    /// Its dataset.
    pub dataset: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// A score passes at or above this.
    pub threshold: f64,
    /// Labels.
    pub labels: u64,
    /// People.
    pub raters: u64,
    /// Samples with a label and a score of the judge.
    pub samples: u64,
    /// How far they agree.
    pub agreement: Agreement,
    /// Who passes what.
    pub confusion: Confusion,
    /// Mean of judge − people: above 0, the judge is too generous.
    pub bias: Estimate,
    /// The same by category.
    pub category_bias: BTreeMap<String, Estimate>,
    /// Mean of the metric in the run, raw and corrected.
    pub metric_mean: Corrected,
    /// The run's overall score, raw and corrected. Absent where the judge has no weight in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall: Option<Corrected>,
    /// What a reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// How well the judge of one metric of a run agrees with people.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeAgreement {
    /// The metric.
    pub metric: String,
    /// Cohen's kappa of the newest calibration of exactly this judge; absent where there is none, or it has none.
    pub kappa: Option<Estimate>,
    /// Kappas of earlier calibrations of this judge, newest first.
    pub earlier: Vec<Estimate>,
}

/// Which calibrations to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CalibrationFilter {
    /// Of the judge with this hash.
    pub judge: Option<String>,
    /// Of this run.
    pub run: Option<String>,
    /// Only calibrations with a smaller id: the cursor of the page before. They are listed newest first.
    pub before: Option<String>,
    /// Most calibrations to answer with.
    pub limit: Option<u32>,
}

/// Everything that is wrong with labels that did not come from a file.
pub fn check_labels(labels: &[HumanLabel]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, label) in labels.iter().enumerate() {
        if !(0.0..=1.0).contains(&label.score) {
            problems.push(format!("labels[{index}].score: {} is not between 0 and 1", label.score));
        }
        if label.sample_id.is_empty() {
            problems.push(format!("labels[{index}].sample_id: is empty"));
        }
        if !seen.insert((&label.sample_id, label.trial, &label.rater)) {
            problems.push(format!("labels[{index}]: `{}` labels `{}` twice", label.rater, label.sample_id));
        }
    }
    problems
}
