//! Means of independent and paired samples, and McNemar's test.

use super::{Target, ceil_count, smallest, smallest_effect};
use crate::dist::{noncentral_t_cdf, normal_cdf, normal_quantile, t_critical};
use crate::error::{Result, StatsError, check_count, check_open_unit, check_positive};

/// Above this the non-central t is normal to more digits than a plan has, and its series too long to sum.
const NORMAL_DF: f64 = 1e6;

/// Power of a two-sided t-test with `df` degrees of freedom whose statistic is centred at `ncp`.
fn t_power(ncp: f64, df: f64, alpha: f64) -> f64 {
    if df > NORMAL_DF || ncp > 37.0 {
        let z = -normal_quantile(alpha / 2.0);
        return normal_cdf(ncp - z) + normal_cdf(-ncp - z);
    }
    let critical = t_critical(1.0 - alpha, df);
    (1.0 - noncentral_t_cdf(critical, df, ncp) + noncentral_t_cdf(-critical, df, ncp)).clamp(0.0, 1.0)
}

fn check_effect(difference: f64, sd: f64) -> Result<f64> {
    check_positive("standard deviation", sd)?;
    if difference == 0.0 || !difference.is_finite() {
        let expected = "finite and not zero";
        return Err(StatsError::OutOfRange { what: "difference", value: difference, expected });
    }
    Ok(difference.abs() / sd)
}

/// Power of a paired t-test: `n` pairs, differences of mean `difference` and standard deviation `sd`.
///
/// Errors: fewer than 2 pairs, sd not positive, α outside (0, 1).
///
/// ```
/// let power = llmops_stats::power::paired_power(0.5, 1.0, 34, 0.05).unwrap();
/// assert!((power - 0.807_778).abs() < 1e-6);
/// ```
pub fn paired_power(difference: f64, sd: f64, n: u64, alpha: f64) -> Result<f64> {
    check_open_unit("alpha", alpha)?;
    check_count("pairs", 2, n)?;
    check_positive("standard deviation", sd)?;
    if !difference.is_finite() {
        return Err(StatsError::NotFinite { index: 0 });
    }
    Ok(t_power(difference.abs() / sd * (n as f64).sqrt(), (n - 1) as f64, alpha))
}

/// Pairs needed for a paired t-test to detect a mean difference, given the standard deviation of the differences.
///
/// Errors: sd not positive, a difference of 0, α or power outside their ranges.
///
/// ```
/// use llmops_stats::power::{Target, paired_n};
/// assert_eq!(paired_n(0.5, 1.0, Target::default()).unwrap(), 34);
/// ```
pub fn paired_n(difference: f64, sd: f64, target: Target) -> Result<u64> {
    let target = target.check()?;
    let effect = check_effect(difference, sd)?;
    smallest(2, target.power, |n| t_power(effect * (n as f64).sqrt(), (n - 1) as f64, target.alpha))
}

/// The smallest mean difference (absolute) that `n` pairs detect, given the standard deviation of the differences.
///
/// Errors: fewer than 2 pairs, sd negative or not finite. Without spread (sd = 0) any difference is detected: 0.
///
/// ```
/// use llmops_stats::power::{Target, paired_mde};
/// let mde = paired_mde(100, 0.2, Target::default()).unwrap();
/// assert!((mde - 0.056_6).abs() < 1e-4);
/// ```
pub fn paired_mde(n: u64, sd: f64, target: Target) -> Result<f64> {
    let target = target.check()?;
    check_count("pairs", 2, n)?;
    mde(sd, (n as f64).sqrt(), (n - 1) as f64, target)
}

fn mde(sd: f64, root: f64, df: f64, target: Target) -> Result<f64> {
    if sd == 0.0 {
        return Ok(0.0);
    }
    check_positive("standard deviation", sd)?;
    let reach = |most: f64| smallest_effect(most, target.power, |ncp| t_power(ncp, df, target.alpha));
    // The centre needed at one degree of freedom and α = 0.001 is in the hundreds; widen until it is inside.
    let mut most = 8.0;
    while most < 1e9 {
        if let Some(ncp) = reach(most) {
            return Ok(ncp * sd / root);
        }
        most *= 4.0;
    }
    Err(StatsError::NoConvergence { what: "the minimum detectable effect" })
}

/// Power of a two-sample t-test with `n` units per arm and common standard deviation `sd`.
///
/// Errors: fewer than 2 units, sd not positive, α outside (0, 1).
///
/// ```
/// let power = llmops_stats::power::mean_difference_power(0.5, 1.0, 64, 0.05).unwrap();
/// assert!((power - 0.801_459).abs() < 1e-6);
/// ```
pub fn mean_difference_power(difference: f64, sd: f64, n: u64, alpha: f64) -> Result<f64> {
    check_open_unit("alpha", alpha)?;
    check_count("units per arm", 2, n)?;
    check_positive("standard deviation", sd)?;
    if !difference.is_finite() {
        return Err(StatsError::NotFinite { index: 0 });
    }
    Ok(t_power(difference.abs() / sd * (0.5 * n as f64).sqrt(), 2.0 * (n as f64 - 1.0), alpha))
}

/// Units needed per arm for a two-sample t-test to detect a difference of means.
///
/// Errors: sd not positive, a difference of 0, α or power outside their ranges.
///
/// ```
/// use llmops_stats::power::{Target, mean_difference_n};
/// assert_eq!(mean_difference_n(0.5, 1.0, Target::default()).unwrap(), 64);
/// ```
pub fn mean_difference_n(difference: f64, sd: f64, target: Target) -> Result<u64> {
    let target = target.check()?;
    let effect = check_effect(difference, sd)?;
    smallest(2, target.power, |n| t_power(effect * (0.5 * n as f64).sqrt(), 2.0 * (n as f64 - 1.0), target.alpha))
}

/// The smallest difference of means (absolute) that `n` units per arm detect.
///
/// Errors: fewer than 2 units, sd negative or not finite.
///
/// ```
/// use llmops_stats::power::{Target, mean_difference_mde};
/// assert!((mean_difference_mde(64, 1.0, Target::default()).unwrap() - 0.499).abs() < 1e-3);
/// ```
pub fn mean_difference_mde(n: u64, sd: f64, target: Target) -> Result<f64> {
    let target = target.check()?;
    check_count("units per arm", 2, n)?;
    mde(sd, (0.5 * n as f64).sqrt(), 2.0 * (n as f64 - 1.0), target)
}

/// Pairs needed for McNemar's test, given the probabilities of a regression and of an improvement.
///
/// n = (z_{1−α/2} √d + z_power √(d − δ²))² / δ², d = sum and δ = difference of both (Connor 1987).
///
/// Errors: probabilities outside [0, 1], summing above 1 or equal; α or power outside their ranges.
///
/// ```
/// use llmops_stats::power::{Target, mcnemar_pairs};
/// assert_eq!(mcnemar_pairs(0.10, 0.05, Target::default()).unwrap(), 469);
/// ```
pub fn mcnemar_pairs(regressions: f64, improvements: f64, target: Target) -> Result<u64> {
    let target = target.check()?;
    crate::error::check_unit("share of regressions", regressions)?;
    crate::error::check_unit("share of improvements", improvements)?;
    let (sum, difference) = (regressions + improvements, improvements - regressions);
    crate::error::check_unit("share of flips", sum)?;
    if difference == 0.0 {
        return Err(StatsError::OutOfRange { what: "difference of shares", value: 0.0, expected: "not zero" });
    }
    let (z_alpha, z_power) = (-normal_quantile(target.alpha / 2.0), normal_quantile(target.power));
    let root = z_alpha * sum.sqrt() + z_power * (sum - difference * difference).max(0.0).sqrt();
    ceil_count((root / difference).powi(2))
}
