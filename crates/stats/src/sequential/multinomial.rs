//! A sample-ratio test that may be looked at after every unit (Lindon & Malek 2022, NeurIPS, "Anytime-Valid Inference for
//! Multinomial Count Data").
//!
//! With k arms of probabilities θ under the null hypothesis, counts x of n units in all, and a Dirichlet(c·θ) prior over the
//! alternatives, the Bayes factor
//!
//! BF = Γ(c)/Γ(c + n) · Π Γ(cθᵢ + xᵢ)/Γ(cθᵢ) / Π θᵢ^xᵢ
//!
//! is a martingale under the null hypothesis, so P(BF ever reaches 1/α) ≤ α (Ville). p = min(1, 1/BF); its running minimum is
//! valid too.

use crate::error::{Result, check_positive, check_result};
use crate::result::{Alternative, Method, TestResult};

/// The concentration c that is used unless another is asked for: departures of the order of 1/√c are expected.
///
/// ```
/// // Departures of about three points: shares of 0.53 and 0.47 where halves were wanted.
/// let departure = 1.0 / llmops_stats::sequential::multinomial::CONCENTRATION.sqrt();
/// assert!((departure - 0.0316).abs() < 1e-4);
/// ```
pub const CONCENTRATION: f64 = 1000.0;

/// Tests the number of units per arm against the weights of the split, at any number of looks.
///
/// Arms of weight 0 are left out together with their units: a unit where none can be needs no test, and is a mismatch by
/// itself. `statistic` is ln BF. `effect` is the deviation of largest size
/// among the arms' shares, observed − expected. With one arm left, or without units, p = 1.
///
/// Errors: lengths differ, a negative or non-finite weight, no arm of positive weight, a concentration that is not positive.
///
/// ```
/// use llmops_stats::sequential::multinomial::{CONCENTRATION, sample_ratio};
/// let fine = sample_ratio(&[5_050, 4_950], &[0.5, 0.5], CONCENTRATION).unwrap();
/// assert_eq!(fine.p_value, 1.0);
/// let broken = sample_ratio(&[5_300, 4_700], &[0.5, 0.5], CONCENTRATION).unwrap();
/// assert!(broken.p_value < 0.001);
/// ```
pub fn sample_ratio(units: &[u64], weights: &[f64], concentration: f64) -> Result<TestResult> {
    check_positive("concentration", concentration)?;
    let arms = crate::srm::arms(units, weights)?;
    let n = arms.iter().map(|(units, _)| units).sum::<u64>();
    let total = n as f64;
    let mut statistic = libm::lgamma(concentration) - libm::lgamma(concentration + total);
    let mut effect = 0.0_f64;
    for &(observed, share) in &arms {
        let count = observed as f64;
        let prior = concentration * share;
        statistic += libm::lgamma(prior + count) - libm::lgamma(prior) - count * share.ln();
        let off = count / total.max(1.0) - share;
        if n > 0 && off.abs() > effect.abs() {
            effect = off;
        }
    }
    check_result("the Bayes factor", &[statistic])?;
    // With one arm the Bayes factor is 1 but for rounding.
    let statistic = if arms.len() < 2 { 0.0 } else { statistic };
    Ok(TestResult {
        method: Method::SequentialSampleRatio,
        n,
        statistic,
        df: None,
        p_value: (-statistic).exp().min(1.0),
        alternative: Alternative::TwoSided,
        effect,
        interval: None,
    })
}
