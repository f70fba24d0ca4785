//! Calibrations of judges.

use http::Method;
use llmops_domain::calibration::JudgeCalibration;

use super::{Client, ClientError, segment};
use crate::judges::{CalibrateJudge, CalibrationQuery};
use crate::page::Page;

impl Client {
    /// Compares a judge with people.
    pub async fn calibrate_judge(&self, request: &CalibrateJudge) -> Result<JudgeCalibration, ClientError> {
        self.send(Method::POST, "/api/v1/judges/calibrations", request).await
    }

    /// Calibrations, newest first.
    pub async fn list_calibrations(&self, query: &CalibrationQuery) -> Result<Page<JudgeCalibration>, ClientError> {
        self.get_with("/api/v1/judges/calibrations", query).await
    }

    /// One calibration.
    pub async fn get_calibration(&self, id: &str) -> Result<JudgeCalibration, ClientError> {
        self.get(&format!("/api/v1/judges/calibrations/{}", segment(id))).await
    }
}
