//! Two independent proportions.

use super::{Target, ceil_count, smallest_effect};
use crate::dist::{normal_cdf, normal_quantile};
use crate::error::{Result, StatsError, check_count, check_open_unit, check_unit};
use serde::{Deserialize, Serialize};

/// The formula behind a sample size for two proportions.
///
/// ```
/// use llmops_stats::power::ProportionMethod;
/// assert_eq!(ProportionMethod::default(), ProportionMethod::Arcsine);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProportionMethod {
    /// n = 2((z_{1−α/2} + z_power)/h)², h = 2 asin√p₂ − 2 asin√p₁ (Cohen's h).
    #[default]
    Arcsine,
    /// n = (z_{1−α/2} √(2p̄q̄) + z_power √(p₁q₁ + p₂q₂))² / (p₂ − p₁)²: the pooled z-test.
    Pooled,
    /// n = (z_{1−α/2} + z_power)² (p₁q₁ + p₂q₂) / (p₂ − p₁)²: the unpooled z-test.
    Unpooled,
    /// The pooled n′ widened to n′/4 (1 + √(1 + 4/(n′ |p₂ − p₁|)))²: for Fisher's or Yates-corrected tests.
    Continuity,
}

/// Units needed per arm to tell the rates `p1` and `p2` apart, rounded up.
///
/// Errors: rates outside [0, 1] or equal; α or power outside their ranges; a size beyond 9·10¹⁵.
///
/// ```
/// use llmops_stats::power::{ProportionMethod, Target, two_proportions_n};
/// let n = two_proportions_n(0.60, 0.65, ProportionMethod::Arcsine, Target::default()).unwrap();
/// assert_eq!(n, 1471);
/// ```
pub fn two_proportions_n(p1: f64, p2: f64, method: ProportionMethod, target: Target) -> Result<u64> {
    let target = target.check()?;
    check_unit("rate", p1)?;
    check_unit("rate", p2)?;
    if p1 == p2 {
        return Err(StatsError::OutOfRange { what: "difference of rates", value: 0.0, expected: "not zero" });
    }
    let (z_alpha, z_power) = (-normal_quantile(target.alpha / 2.0), normal_quantile(target.power));
    let n = match method {
        ProportionMethod::Arcsine => 2.0 * ((z_alpha + z_power) / cohen_h(p1, p2)).powi(2),
        ProportionMethod::Unpooled => (z_alpha + z_power).powi(2) * spread(p1, p2) / (p2 - p1).powi(2),
        ProportionMethod::Pooled => pooled_n(p1, p2, z_alpha, z_power),
        ProportionMethod::Continuity => {
            let n = pooled_n(p1, p2, z_alpha, z_power);
            0.25 * n * (1.0 + (1.0 + 4.0 / (n * (p2 - p1).abs())).sqrt()).powi(2)
        }
    };
    ceil_count(n)
}

fn cohen_h(p1: f64, p2: f64) -> f64 {
    2.0 * p2.sqrt().asin() - 2.0 * p1.sqrt().asin()
}

fn spread(p1: f64, p2: f64) -> f64 {
    p1 * (1.0 - p1) + p2 * (1.0 - p2)
}

fn pooled_spread(p1: f64, p2: f64) -> f64 {
    let mean = 0.5 * (p1 + p2);
    2.0 * mean * (1.0 - mean)
}

fn pooled_n(p1: f64, p2: f64, z_alpha: f64, z_power: f64) -> f64 {
    let root = z_alpha * pooled_spread(p1, p2).sqrt() + z_power * spread(p1, p2).sqrt();
    (root / (p2 - p1)).powi(2)
}

/// Power of `n` units per arm to tell `p1` and `p2` apart: the inverse of [`two_proportions_n`], in the direction of the
/// difference (the other tail, negligible at any useful power, is left out, as in the size formulas). Equal rates: α/2.
///
/// ```
/// use llmops_stats::power::{ProportionMethod, two_proportions_power};
/// let power = two_proportions_power((0.60, 0.65), 1471, ProportionMethod::Arcsine, 0.05).unwrap();
/// assert!(power >= 0.8 && power < 0.801);
/// ```
pub fn two_proportions_power(rates: (f64, f64), n: u64, method: ProportionMethod, alpha: f64) -> Result<f64> {
    check_open_unit("alpha", alpha)?;
    check_count("units per arm", 1, n)?;
    let (p1, p2) = rates;
    check_unit("rate", p1)?;
    check_unit("rate", p2)?;
    Ok(power_at(p1, p2, n as f64, method, alpha))
}

fn power_at(p1: f64, p2: f64, n: f64, method: ProportionMethod, alpha: f64) -> f64 {
    let z_alpha = -normal_quantile(alpha / 2.0);
    let gap = (p2 - p1).abs();
    if gap == 0.0 {
        return 0.5 * alpha;
    }
    // Without spread (rates 0 and 1) every observation is decisive.
    let over_spread = |numerator: f64| {
        let denominator = spread(p1, p2).sqrt();
        if denominator > 0.0 {
            numerator / denominator
        } else if numerator > 0.0 {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        }
    };
    let pooled = |n: f64| over_spread(gap * n.sqrt() - z_alpha * pooled_spread(p1, p2).sqrt());
    normal_cdf(match method {
        ProportionMethod::Arcsine => cohen_h(p1, p2).abs() * (0.5 * n).sqrt() - z_alpha,
        ProportionMethod::Unpooled => over_spread(gap * n.sqrt()) - z_alpha,
        ProportionMethod::Pooled => pooled(n),
        // √n = ½ (√n′ + √(n′ + 4/gap)) solved for the uncorrected n′.
        ProportionMethod::Continuity => pooled((n - 1.0 / gap).max(0.0).powi(2) / n),
    })
}

/// The smallest change of a baseline rate that `n` units per arm detect: (downwards, upwards), each as a positive
/// change, `None` where no rate in [0, 1] is far enough.
///
/// ```
/// use llmops_stats::power::{ProportionMethod, Target, two_proportions_mde};
/// let (_, up) = two_proportions_mde(0.60, 1471, ProportionMethod::Arcsine, Target::default()).unwrap();
/// assert!((up.unwrap() - 0.05).abs() < 1e-4);
/// ```
pub fn two_proportions_mde(
    baseline: f64,
    n: u64,
    method: ProportionMethod,
    target: Target,
) -> Result<(Option<f64>, Option<f64>)> {
    let target = target.check()?;
    check_unit("baseline", baseline)?;
    check_count("units per arm", 1, n)?;
    let detect = |sign: f64, room: f64| {
        let other = |change: f64| (baseline + sign * change).clamp(0.0, 1.0);
        smallest_effect(room, target.power, |change| power_at(baseline, other(change), n as f64, method, target.alpha))
    };
    Ok((detect(-1.0, baseline), detect(1.0, 1.0 - baseline)))
}
