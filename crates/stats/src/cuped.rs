//! CUPED: a difference of means with the variance that a pre-experiment covariate explains taken out.
//!
//! Deng, Xu, Kohavi & Walker (2013, WSDM), "Improving the Sensitivity of Online Controlled Experiments by Utilizing
//! Pre-Experiment Data".

use crate::error::{Result, check_count};
use crate::moments::PairMoments;
use crate::result::{Method, TestOptions, TestResult};
use crate::t_test::{finish, satterthwaite};
use serde::{Deserialize, Serialize};

/// A CUPED comparison.
///
/// ```
/// use llmops_stats::{TestOptions, cuped::cuped, moments::PairMoments};
/// let control = PairMoments::from_slices(&[1.0, 2.0, 3.0, 4.0], &[1.1, 2.0, 3.2, 3.9]).unwrap();
/// let treatment = PairMoments::from_slices(&[1.0, 2.0, 3.0, 4.0], &[1.6, 2.5, 3.4, 4.7]).unwrap();
/// let outcome = cuped(&control, &treatment, TestOptions::default()).unwrap();
/// assert!(outcome.variance_reduction > 0.9);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cuped {
    /// The test on the adjusted means.
    pub result: TestResult,
    /// The regression coefficient θ of the metric on the covariate.
    pub theta: f64,
    /// 1 − adjusted/unadjusted variance of the difference; at most 1, and slightly negative when the covariate explains
    /// nothing. 0 when nothing varies.
    pub variance_reduction: f64,
}

/// CUPED-adjusted difference of means, treatment − control, from streamed (covariate, metric) pairs of both arms.
///
/// θ = Σ_arms Σ(x − x̄)(y − ȳ) / Σ_arms Σ(x − x̄)², pooled within arms; effect (ȳ₂ − ȳ₁) − θ(x̄₂ − x̄₁); variance of an
/// arm's mean (s_y² + θ²s_x² − 2θ s_xy)/n; Welch's degrees of freedom. A constant covariate adjusts nothing (θ = 0).
///
/// Errors: an arm of fewer than 2 pairs, adjusted arms constant but different.
///
/// ```
/// use llmops_stats::{TestOptions, cuped::cuped, moments::PairMoments};
/// let control = PairMoments::from_slices(&[5.0, 5.0, 5.0], &[1.0, 2.0, 3.0]).unwrap();
/// let treatment = PairMoments::from_slices(&[5.0, 5.0, 5.0], &[2.0, 3.0, 4.0]).unwrap();
/// let outcome = cuped(&control, &treatment, TestOptions::default()).unwrap();
/// assert_eq!((outcome.theta, outcome.result.effect), (0.0, 1.0));
/// ```
pub fn cuped(control: &PairMoments, treatment: &PairMoments, options: TestOptions) -> Result<Cuped> {
    check_count("pairs of the control", 2, control.n())?;
    check_count("pairs of the treatment", 2, treatment.n())?;
    let arm = |pairs: &PairMoments| {
        let (x, y) = pairs.means().unwrap_or_default();
        let (var_x, var_y) = pairs.variances().unwrap_or_default();
        (x, y, var_x, var_y, pairs.covariance().unwrap_or_default(), pairs.n() as f64)
    };
    let (x1, y1, var_x1, var_y1, cov1, n1) = arm(control);
    let (x2, y2, var_x2, var_y2, cov2, n2) = arm(treatment);
    let covariate = var_x1 * (n1 - 1.0) + var_x2 * (n2 - 1.0);
    let theta = if covariate > 0.0 { (cov1 * (n1 - 1.0) + cov2 * (n2 - 1.0)) / covariate } else { 0.0 };
    // Rounding may take a perfectly explained variance a hair below zero.
    let adjusted =
        |var_x: f64, var_y: f64, cov: f64, n: f64| ((var_y + theta * theta * var_x - 2.0 * theta * cov) / n).max(0.0);
    let (a, b) = (adjusted(var_x1, var_y1, cov1, n1), adjusted(var_x2, var_y2, cov2, n2));
    let (se, df) = satterthwaite((a, n1), (b, n2));
    let effect = (y2 - y1) - theta * (x2 - x1);
    let result = finish((Method::Cuped, control.n() + treatment.n()), effect, se, df, options)?;
    let raw = var_y1 / n1 + var_y2 / n2;
    let variance_reduction = if raw > 0.0 { 1.0 - (a + b) / raw } else { 0.0 };
    Ok(Cuped { result, theta, variance_reduction })
}
