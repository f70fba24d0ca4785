//! Sample-ratio mismatch: did the arms of an experiment get the share of units that they should?

use crate::dist::chi_squared_sf;
use crate::error::{Result, StatsError, check_count, check_finite};
use crate::result::{Alternative, Method, TestResult};

/// Chi-squared goodness of fit of the units per arm to the weights of the split (Fabijan et al. 2019, KDD).
///
/// χ² = Σ (O − E)² / E with E = n·w/Σw over the arms of positive weight; arms of weight 0 are left out together with
/// their units: a unit where none can be needs no test, and is a mismatch by itself. `effect` is the deviation of largest size among the arms' shares, observed − expected, without
/// interval. With one arm left, p = 1. A usual alarm threshold is p < 0.001.
///
/// Errors: lengths differ, a negative or non-finite weight, no arm of positive weight, no units in those arms.
///
/// ```
/// use llmops_stats::srm::sample_ratio_mismatch;
/// let fine = sample_ratio_mismatch(&[5_010, 4_990], &[0.5, 0.5]).unwrap();
/// assert!(fine.p_value > 0.8);
/// let broken = sample_ratio_mismatch(&[5_300, 4_700, 12], &[0.5, 0.5, 0.0]).unwrap();
/// assert!(broken.p_value < 0.001);
/// assert!((broken.effect - 0.03).abs() < 1e-12);
/// ```
pub fn sample_ratio_mismatch(units: &[u64], weights: &[f64]) -> Result<TestResult> {
    let arms = arms(units, weights)?;
    let n: u64 = arms.iter().map(|(units, _)| units).sum();
    check_count("units", 1, n)?;
    let total = n as f64;
    let (mut statistic, mut effect) = (0.0, 0.0_f64);
    for &(observed, share) in &arms {
        let expected = total * share;
        let off = observed as f64 - expected;
        statistic += off * off / expected;
        if off.abs() > (effect * total).abs() {
            effect = off / total;
        }
    }
    let df = arms.len() as f64 - 1.0;
    Ok(TestResult {
        method: Method::SampleRatioMismatch,
        n,
        statistic,
        df: Some(df),
        p_value: if df > 0.0 { chi_squared_sf(statistic, df) } else { 1.0 },
        alternative: Alternative::TwoSided,
        effect,
        interval: None,
    })
}

/// The units of the arms of positive weight, with the share of all units that each should have.
pub(crate) fn arms(units: &[u64], weights: &[f64]) -> Result<Vec<(u64, f64)>> {
    if units.len() != weights.len() {
        return Err(StatsError::LengthMismatch { left: units.len(), right: weights.len() });
    }
    check_finite(weights)?;
    if let Some(&value) = weights.iter().find(|weight| **weight < 0.0) {
        return Err(StatsError::OutOfRange { what: "weight", value, expected: "at least 0" });
    }
    let arms = || units.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
    check_count("arms of positive weight", 1, arms().count() as u64)?;
    let sum: f64 = arms().map(|(_, weight)| weight).sum();
    Ok(arms().map(|(units, weight)| (*units, weight / sum)).collect())
}
