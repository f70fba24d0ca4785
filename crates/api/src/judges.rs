//! Judges on the wire: calibrations against people.

use llmops_domain::calibration::HumanLabel;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/judges/calibrations`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrateJudge {
    /// The run whose answers were labelled: an id, the beginning of one, `latest` or `baseline`.
    pub run: String,
    /// The judged metric. Absent: the only one of the run.
    #[serde(default)]
    pub metric: Option<String>,
    /// A score passes at or above this. Absent: the metric's own threshold.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// What people said about the run's answers.
    pub labels: Vec<HumanLabel>,
}

/// Query of `GET /api/v1/judges/calibrations`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CalibrationQuery {
    /// Of the judge with this hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Of the run with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The page after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
