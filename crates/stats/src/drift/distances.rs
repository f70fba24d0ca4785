//! The Jensen-Shannon distance.

use super::shares::{Windows, bin};
use crate::error::Result;
use crate::result::{Interval, Method, TestResult};
use std::f64::consts::LN_2;

/// Jensen-Shannon distance of binned counts, in [0, 1] (Lin 1991, IEEE Transactions on Information Theory 37:145; Endres &
/// Schindelin 2003, ibid. 49:1858): the square root of ½KL(p‖m) + ½KL(q‖m) in bits, m = (p + q)/2.
///
/// `effect` is the distance. Where nothing changed, the divergence (its square, in nats) is to second order
/// ⅛ Σ (pᵢ − qᵢ)²/mᵢ, so `statistic` = 8 · divergence / (1/n + 1/m) is asymptotically χ² with B − 1 degrees of freedom, n
/// and m the counts of both windows and B the bins that hold any (Menéndez et al. 1997, Journal of the Franklin Institute
/// 334:307, on φ-divergences). The interval is the delta method's for the divergence, bounded by 0 and 1 and carried over
/// to the distance; near 0 it is wide, and the test is the one to read.
///
/// Errors: lengths differ, a window without counts, a level outside (0, 1).
///
/// ```
/// use llmops_stats::drift::jensen_shannon;
/// let same = jensen_shannon(&[5, 5], &[50, 50], 0.95).unwrap();
/// assert_eq!((same.effect, same.p_value), (0.0, 1.0));
/// assert_eq!(jensen_shannon(&[5, 0], &[0, 7], 0.95).unwrap().effect, 1.0);
/// ```
pub fn jensen_shannon(reference: &[u64], current: &[u64], level: f64) -> Result<TestResult> {
    let windows = Windows::new(reference, current, 0.0)?;
    let part = |share: f64, middle: f64| if share > 0.0 { share * (share / middle).ln() } else { 0.0 };
    let nats = windows.sum(|p, q| {
        let middle = f64::midpoint(p, q);
        0.5 * (part(p, middle) + part(q, middle))
    });
    let nats = nats.clamp(0.0, LN_2);
    let slope = |share: f64, other: f64| 0.5 * (share / f64::midpoint(share, other)).ln();
    let se = windows.delta_se(slope, |p, q| slope(q, p));
    let distance = |nats: f64| (nats / LN_2).clamp(0.0, 1.0).sqrt();
    let divergence = Interval::normal(nats, se, level)?;
    let interval = Interval { low: distance(divergence.low), high: distance(divergence.high), level };
    Ok(windows.test(Method::JensenShannon, distance(nats), 8.0 * nats / windows.noise(), interval))
}

/// [`jensen_shannon`] of two samples, binned as [`super::psi::psi_samples`] does.
///
/// Errors: a non-finite value, an empty sample, fewer than 2 bins, a level outside (0, 1).
///
/// ```
/// use llmops_stats::drift::jensen_shannon_samples;
/// let reference: Vec<f64> = (0..100).map(f64::from).collect();
/// assert_eq!(jensen_shannon_samples(&reference, &reference, 10, 0.95).unwrap().effect, 0.0);
/// ```
pub fn jensen_shannon_samples(reference: &[f64], current: &[f64], bins: usize, level: f64) -> Result<TestResult> {
    let (reference, current) = bin(reference, current, bins)?;
    jensen_shannon(&reference, &current, level)
}
