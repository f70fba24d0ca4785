//! The population stability index.

use super::shares::{Windows, bin};
use crate::error::Result;
use crate::result::{Interval, Method, TestResult};

/// PSI of binned counts: Σ (qᵢ − pᵢ) ln(qᵢ/pᵢ), p the shares of the reference and q those of the current window
/// (Siddiqi 2006, "Credit Risk Scorecards", §9). Each bin is given half a count, so that an empty bin has a finite answer.
/// Below 0.1 is usually read as stable, above 0.25 as shifted.
///
/// `effect` is the index. Its size depends on how much data there is, so it comes with a test: where nothing changed,
/// `statistic` = PSI / (1/n + 1/m) is asymptotically χ² with B − 1 degrees of freedom, n and m the counts of both windows
/// and B the bins that hold any (Yurdakul & Naranjo 2020, Journal of Risk Model Validation 14(4)). The interval of the
/// index is the delta method's, bounded by 0; at PSI near 0 it is wide, and the test is the one to read.
///
/// Errors: lengths differ, no bins, a window without counts, a level outside (0, 1).
///
/// ```
/// use llmops_stats::drift::psi::psi;
/// assert_eq!(psi(&[10, 20, 30], &[10, 20, 30], 0.95).unwrap().effect, 0.0);
/// let moved = psi(&[10, 20, 30], &[30, 20, 10], 0.95).unwrap();
/// assert!(moved.effect > 0.25 && moved.p_value < 0.01);
/// ```
pub fn psi(reference: &[u64], current: &[u64], level: f64) -> Result<TestResult> {
    let windows = Windows::new(reference, current, 0.5)?;
    let index = windows.sum(|p, q| (q - p) * (q / p).ln());
    // How the index moves with the share of a bin in either window.
    let se = windows.delta_se(|p, q| (p / q).ln() + 1.0 - q / p, |p, q| (q / p).ln() + 1.0 - p / q);
    let interval = Interval::normal(index, se, level)?;
    let interval = Interval { low: interval.low.max(0.0), ..interval };
    Ok(windows.test(Method::PopulationStability, index, index / windows.noise(), interval))
}

/// PSI of two samples, binned at the quantiles of the reference (`bins` of equal share; equal quantiles are merged, so
/// that ties never split).
///
/// The test takes the bins as given before the data; as they are the reference's quantiles, it is a little conservative.
///
/// Errors: a non-finite value, an empty sample, fewer than 2 bins, a level outside (0, 1).
///
/// ```
/// use llmops_stats::drift::psi::psi_samples;
/// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
/// let shifted: Vec<f64> = reference.iter().map(|value| value * 0.7).collect();
/// assert!(psi_samples(&reference, &shifted, 10, 0.95).unwrap().effect > 0.25);
/// ```
pub fn psi_samples(reference: &[f64], current: &[f64], bins: usize, level: f64) -> Result<TestResult> {
    let (reference, current) = bin(reference, current, bins)?;
    psi(&reference, &current, level)
}
