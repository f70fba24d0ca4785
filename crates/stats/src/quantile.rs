//! Quantiles, and the difference of a quantile between two arms.

use crate::dist::{normal_critical, normal_sf};
use crate::error::{Result, check_count, check_finite, check_open_unit, check_unit};
use crate::result::{Interval, Method, TestOptions, TestResult, symmetric_p};

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

/// Difference of the quantile `q` of two independent samples, treatment − control, such as the 95th percentile of
/// latency.
///
/// z = (Q₂ − Q₁) / √(v₁ + v₂). The variance of each quantile is ((Q_u − Q_l) / 2z*)², from the distribution-free
/// interval between the order statistics at q ∓ z*√(q(1−q)/n), z* = Φ⁻¹(0.975) (Deng, Knoblich & Lu 2018, KDD,
/// "Applying the Delta Method in Metric Analytics", §4).
///
/// Errors: a non-finite value, q outside (0, 1), [`crate::StatsError::TooFew`] when the order statistics reach beyond
/// the sample (n < z*² · max(q/(1−q), (1−q)/q)), constant arms that differ.
///
/// ```
/// use llmops_stats::{TestOptions, quantile::quantile_difference};
/// let control: Vec<f64> = (0..200).map(f64::from).collect();
/// let treatment: Vec<f64> = control.iter().map(|value| value + 30.0).collect();
/// let result = quantile_difference(&control, &treatment, 0.9, TestOptions::default()).unwrap();
/// assert!((result.effect - 30.0).abs() < 1e-9 && result.p_value < 0.001);
/// ```
pub fn quantile_difference(control: &[f64], treatment: &[f64], q: f64, options: TestOptions) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    check_open_unit("quantile", q)?;
    check_finite(control)?;
    check_finite(treatment)?;
    let (before, before_variance) = quantile_and_variance(control, q)?;
    let (after, after_variance) = quantile_and_variance(treatment, q)?;
    let (effect, se) = (after - before, (before_variance + after_variance).sqrt());
    if se == 0.0 && effect != 0.0 {
        return Err(crate::StatsError::NoVariation { what: "the values around the quantile" });
    }
    let statistic = if se > 0.0 { effect / se } else { 0.0 };
    crate::error::check_result("the statistic", &[statistic])?;
    Ok(TestResult {
        method: Method::QuantileDifference,
        n: (control.len() + treatment.len()) as u64,
        statistic,
        df: None,
        p_value: if se > 0.0 { symmetric_p(statistic, alternative, normal_sf) } else { 1.0 },
        alternative,
        effect,
        interval: Some(Interval::around(effect, normal_critical(level) * se, level)),
    })
}

fn quantile_and_variance(values: &[f64], q: f64) -> Result<(f64, f64)> {
    let z = normal_critical(0.95);
    let needed = z * z * (q / (1.0 - q)).max((1.0 - q) / q);
    check_count("observations for this quantile", crate::power::ceil_count(needed)?.max(2), values.len() as u64)?;
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let reach = z * (q * (1.0 - q) / values.len() as f64).sqrt();
    let spread = quantile_of_sorted(&sorted, q + reach) - quantile_of_sorted(&sorted, q - reach);
    Ok((quantile_of_sorted(&sorted, q), (spread / (2.0 * z)).powi(2)))
}
