//! Winsorisation: extreme values pulled in to a quantile, so that one outlier does not decide a mean.

use crate::error::{Result, StatsError, check_count, check_finite, check_unit};
use crate::quantile::quantile_of_sorted;
use serde::{Deserialize, Serialize};

/// Winsorised values with the limits that were applied.
///
/// ```
/// let capped = llmops_stats::winsor::winsorize(&[1.0, 2.0, 3.0, 100.0], 0.0, 0.75).unwrap();
/// assert_eq!((capped.high, capped.changed), (27.25, 1));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Winsorized {
    /// The values, in their order, limited to [`low`, `high`].
    pub values: Vec<f64>,
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
    /// How many values were changed.
    pub changed: u64,
}

/// Limits values to their own quantiles `lower` and `upper` (Tukey 1962; quantiles as [`crate::quantile::quantile`]).
/// To compare arms, take the limits of both together and apply them with [`clip`].
///
/// Errors: a non-finite value, no values, `lower` or `upper` outside [0, 1], `lower` above `upper`.
///
/// ```
/// let capped = llmops_stats::winsor::winsorize(&[-50.0, 1.0, 2.0, 3.0, 4.0], 0.25, 1.0).unwrap();
/// assert_eq!(capped.values, [1.0, 1.0, 2.0, 3.0, 4.0]);
/// ```
pub fn winsorize(values: &[f64], lower: f64, upper: f64) -> Result<Winsorized> {
    check_unit("lower quantile", lower)?;
    check_unit("upper quantile", upper)?;
    if lower > upper {
        return Err(StatsError::OutOfRange { what: "lower quantile", value: lower, expected: "at most the upper" });
    }
    check_finite(values)?;
    check_count("observations", 1, values.len() as u64)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    clip(values, quantile_of_sorted(&sorted, lower), quantile_of_sorted(&sorted, upper))
}

/// Limits values to [`low`, `high`].
///
/// Errors: a non-finite value or limit, `low` above `high`.
///
/// ```
/// assert_eq!(llmops_stats::winsor::clip(&[-1.0, 0.5, 7.0], 0.0, 1.0).unwrap().values, [0.0, 0.5, 1.0]);
/// ```
pub fn clip(values: &[f64], low: f64, high: f64) -> Result<Winsorized> {
    check_finite(values)?;
    check_finite(&[low, high])?;
    if low > high {
        return Err(StatsError::OutOfRange { what: "lower limit", value: low, expected: "at most the upper limit" });
    }
    let clipped: Vec<f64> = values.iter().map(|value| value.clamp(low, high)).collect();
    let changed = values.iter().zip(&clipped).filter(|(before, after)| before != after).count() as u64;
    Ok(Winsorized { values: clipped, low, high, changed })
}
