//! Sample size, power and minimum detectable effect, before or after the data.
//!
//! All are two-sided at level α. Proportions: arcsine (Cohen 1988, §6.2), pooled and unpooled normal forms (Fleiss,
//! Levin & Paik 2003, §4.2) and the continuity-corrected form (Casagrande, Pike & Smith 1978, Biometrics 34:483).
//! Means: exact, by the non-central t distribution. McNemar: Connor (1987, Biometrics 43:207).

mod means;
mod proportions;

pub use means::{
    mcnemar_pairs, mean_difference_mde, mean_difference_n, mean_difference_power, paired_mde, paired_n, paired_power,
};
pub use proportions::{ProportionMethod, two_proportions_mde, two_proportions_n, two_proportions_power};

use crate::error::{Result, StatsError, check_open_unit};
use serde::{Deserialize, Serialize};

/// The two error rates of a planned test.
///
/// ```
/// let target = llmops_stats::power::Target::default();
/// assert_eq!((target.alpha, target.power), (0.05, 0.8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Two-sided significance level, in (0, 1); 0.05 unless said otherwise.
    pub alpha: f64,
    /// Probability of detecting the effect, in (α, 1); 0.8 unless said otherwise.
    pub power: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self { alpha: 0.05, power: 0.8 }
    }
}

impl Target {
    fn check(self) -> Result<Self> {
        check_open_unit("alpha", self.alpha)?;
        check_open_unit("power", self.power)?;
        if self.power <= self.alpha {
            let expected = "greater than alpha";
            return Err(StatsError::OutOfRange { what: "power", value: self.power, expected });
        }
        Ok(self)
    }
}

/// The smallest n ≥ `least` whose power reaches the target, for a power that grows with n.
fn smallest(least: u64, target: f64, power: impl Fn(u64) -> f64) -> Result<u64> {
    const LARGEST: u64 = 1 << 52;
    if power(least) >= target {
        return Ok(least);
    }
    let (mut low, mut high) = (least, least.max(1) * 2);
    while power(high) < target {
        if high > LARGEST {
            return Err(StatsError::NoConvergence { what: "the sample size" });
        }
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if power(middle) < target { low = middle } else { high = middle }
    }
    Ok(high)
}

/// The smallest effect in (0, `most`) whose power reaches the target; `None` when `most` does not reach it.
fn smallest_effect(most: f64, target: f64, power: impl Fn(f64) -> f64) -> Option<f64> {
    if power(most) < target {
        return None;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if power(middle) < target { low = middle } else { high = middle }
    }
    Some(high)
}

/// A formula's sample size as a count.
pub(crate) fn ceil_count(n: f64) -> Result<u64> {
    if !(n.is_finite() && n < 9e15) {
        return Err(StatsError::NoConvergence { what: "the sample size" });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: finite and below 2⁵³")]
    Ok(n.max(1.0).ceil() as u64)
}
