//! Quantiles, and the difference of a quantile between two arms.

use crate::error::{Result, check_count, check_finite, check_unit};

/// The quantile `q` of values, linearly interpolated between order statistics at (n − 1)q (type 7 of Hyndman & Fan
/// 1996, The American Statistician 50:361; NumPy's default).
///
/// Errors: a non-finite value, no values, q outside [0, 1].
///
/// ```
/// assert_eq!(llmops_stats::quantile::quantile(&[4.0, 1.0, 3.0, 2.0], 0.5).unwrap(), 2.5);
/// ```
pub fn quantile(values: &[f64], q: f64) -> Result<f64> {
    check_finite(values)?;
    check_count("observations", 1, values.len() as u64)?;
    check_unit("quantile", q)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(quantile_of_sorted(&sorted, q))
}

/// [`quantile`] of values that are sorted, finite and at least one.
pub(crate) fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ position ≤ len − 1")]
    let index = position.floor() as usize;
    let next = (index + 1).min(sorted.len() - 1);
    let fraction = position - index as f64;
    // Equal neighbours return themselves exactly, whatever the fraction.
    sorted[index] + fraction * (sorted[next] - sorted[index])
}
