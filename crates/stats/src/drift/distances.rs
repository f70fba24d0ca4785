//! The Jensen-Shannon distance.

use super::psi::bin;
use crate::error::{Result, StatsError, check_count};

/// Jensen-Shannon distance of binned counts, in [0, 1] (Lin 1991, IEEE Transactions on Information Theory 37:145; Endres &
/// Schindelin 2003, ibid. 49:1858): the square root of ½KL(p‖m) + ½KL(q‖m) in bits, m = (p + q)/2.
///
/// Errors: lengths differ, a window without counts.
///
/// ```
/// use llmops_stats::drift::jensen_shannon;
/// assert_eq!(jensen_shannon(&[5, 5], &[50, 50]).unwrap(), 0.0);
/// assert_eq!(jensen_shannon(&[5, 0], &[0, 7]).unwrap(), 1.0);
/// ```
pub fn jensen_shannon(reference: &[u64], current: &[u64]) -> Result<f64> {
    if reference.len() != current.len() {
        return Err(StatsError::LengthMismatch { left: reference.len(), right: current.len() });
    }
    let (all_p, all_q) = (reference.iter().sum::<u64>(), current.iter().sum::<u64>());
    check_count("reference counts", 1, all_p)?;
    check_count("current counts", 1, all_q)?;
    let part = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).log2() } else { 0.0 };
    let divergence: f64 = reference
        .iter()
        .zip(current)
        .map(|(&p, &q)| {
            let (p, q) = (p as f64 / all_p as f64, q as f64 / all_q as f64);
            let middle = f64::midpoint(p, q);
            0.5 * (part(p, middle) + part(q, middle))
        })
        .sum();
    Ok(divergence.clamp(0.0, 1.0).sqrt())
}

/// [`jensen_shannon`] of two samples, binned as [`super::psi::psi_samples`] does.
///
/// Errors: a non-finite value, an empty sample, fewer than 2 bins.
///
/// ```
/// use llmops_stats::drift::jensen_shannon_samples;
/// let reference: Vec<f64> = (0..100).map(f64::from).collect();
/// assert_eq!(jensen_shannon_samples(&reference, &reference, 10).unwrap(), 0.0);
/// ```
pub fn jensen_shannon_samples(reference: &[f64], current: &[f64], bins: usize) -> Result<f64> {
    let (reference, current) = bin(reference, current, bins)?;
    jensen_shannon(&reference, &current)
}
