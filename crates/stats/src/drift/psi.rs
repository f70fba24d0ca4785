//! The population stability index.

use crate::error::{Result, StatsError, check_count, check_finite};
use crate::quantile::quantile_of_sorted;

/// PSI of binned counts: Σ (qᵢ − pᵢ) ln(qᵢ/pᵢ), p the shares of the reference and q those of the current window
/// (Siddiqi 2006, "Credit Risk Scorecards", §9). Each bin is given half a count, so that an empty bin has a finite answer.
/// Below 0.1 is usually read as stable, above 0.25 as shifted.
///
/// Errors: lengths differ, no bins, a window without counts.
///
/// ```
/// use llmops_stats::drift::psi::psi;
/// assert_eq!(psi(&[10, 20, 30], &[10, 20, 30]).unwrap(), 0.0);
/// assert!(psi(&[10, 20, 30], &[30, 20, 10]).unwrap() > 0.25);
/// ```
pub fn psi(reference: &[u64], current: &[u64]) -> Result<f64> {
    if reference.len() != current.len() {
        return Err(StatsError::LengthMismatch { left: reference.len(), right: current.len() });
    }
    check_count("reference counts", 1, reference.iter().sum())?;
    check_count("current counts", 1, current.iter().sum())?;
    let bins = reference.len() as f64;
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64 + 0.5 * bins;
    let (all_p, all_q) = (total(reference), total(current));
    let terms = reference.iter().zip(current).map(|(&p, &q)| {
        let (p, q) = ((p as f64 + 0.5) / all_p, (q as f64 + 0.5) / all_q);
        (q - p) * (q / p).ln()
    });
    Ok(terms.sum())
}

/// PSI of two samples, binned at the quantiles of the reference (`bins` of equal share; equal quantiles are merged, so
/// that ties never split).
///
/// Errors: a non-finite value, an empty sample, fewer than 2 bins.
///
/// ```
/// use llmops_stats::drift::psi::psi_samples;
/// let reference: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
/// let shifted: Vec<f64> = reference.iter().map(|value| value * 0.7).collect();
/// assert!(psi_samples(&reference, &shifted, 10).unwrap() > 0.25);
/// ```
pub fn psi_samples(reference: &[f64], current: &[f64], bins: usize) -> Result<f64> {
    let (reference, current) = bin(reference, current, bins)?;
    psi(&reference, &current)
}

/// Counts of both samples in bins at the reference's quantiles.
pub(super) fn bin(reference: &[f64], current: &[f64], bins: usize) -> Result<(Vec<u64>, Vec<u64>)> {
    check_finite(reference)?;
    check_finite(current)?;
    check_count("reference values", 1, reference.len() as u64)?;
    check_count("current values", 1, current.len() as u64)?;
    check_count("bins", 2, bins as u64)?;
    let mut sorted = reference.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..bins).map(|i| quantile_of_sorted(&sorted, i as f64 / bins as f64)).collect();
    edges.dedup();
    let count = |values: &[f64]| {
        let mut counts = vec![0; edges.len() + 1];
        for value in values {
            counts[edges.partition_point(|edge| edge < value)] += 1;
        }
        counts
    };
    Ok((count(reference), count(current)))
}
