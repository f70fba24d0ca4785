//! Ratio metrics by the delta method: cost per resolved request, tokens per session, relative lift.
//!
//! Deng, Knoblich & Lu (2018, KDD), "Applying the Delta Method in Metric Analytics: A Practical Guide with Novel Ideas".
//! The unit of randomisation contributes one pair (numerator, denominator).

use crate::dist::t_critical;
use crate::error::{Result, StatsError, check_count, check_open_unit, check_result};
use crate::moments::{Moments, PairMoments};
use crate::result::{Estimate, Interval, Method, TestOptions, TestResult};
use crate::t_test::{finish, satterthwaite};

/// Ratio of sums R = Σm / Σd with its interval, from streamed (numerator, denominator) pairs.
///
/// Variance (s_m² − 2R s_md + R² s_d²) / (n d̄²); t-interval with n − 1 degrees of freedom, value alone for one unit.
///
/// Errors: no units, a mean denominator of 0.
///
/// ```
/// use llmops_stats::{moments::PairMoments, ratio::ratio};
/// let units = PairMoments::from_slices(&[2.0, 3.0, 10.0], &[1.0, 2.0, 5.0]).unwrap();
/// assert!((ratio(&units, 0.95).unwrap().value - 15.0 / 8.0).abs() < 1e-12);
/// ```
pub fn ratio(units: &PairMoments, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    let (value, variance) = ratio_and_variance(units, "units")?;
    let se = variance.map(f64::sqrt);
    let df = se.map(|_| (units.n() - 1) as f64);
    let interval = se.zip(df).map(|(se, df)| Interval::around(value, t_critical(level, df) * se, level));
    Ok(Estimate { method: Method::RatioDelta, n: units.n(), value, se, df, interval })
}

/// Difference of two ratio metrics, treatment − control, from streamed (numerator, denominator) pairs.
///
/// Each arm's variance by the delta method as in [`ratio`]; Welch's degrees of freedom.
///
/// Errors: an arm of fewer than 2 units, a mean denominator of 0, arms without variation that differ.
///
/// ```
/// use llmops_stats::{TestOptions, moments::PairMoments, ratio::ratio_difference};
/// let control = PairMoments::from_slices(&[2.0, 3.0, 10.0], &[1.0, 2.0, 5.0]).unwrap();
/// let treatment = PairMoments::from_slices(&[1.0, 3.0, 4.0], &[1.0, 2.0, 5.0]).unwrap();
/// let result = ratio_difference(&control, &treatment, TestOptions::default()).unwrap();
/// assert!((result.effect - (1.0 - 15.0 / 8.0)).abs() < 1e-12);
/// ```
pub fn ratio_difference(control: &PairMoments, treatment: &PairMoments, options: TestOptions) -> Result<TestResult> {
    check_count("units of the control", 2, control.n())?;
    check_count("units of the treatment", 2, treatment.n())?;
    let (before, before_variance) = ratio_and_variance(control, "units of the control")?;
    let (after, after_variance) = ratio_and_variance(treatment, "units of the treatment")?;
    let (se, df) = satterthwaite(
        (before_variance.unwrap_or_default(), control.n() as f64),
        (after_variance.unwrap_or_default(), treatment.n() as f64),
    );
    finish((Method::RatioDelta, control.n() + treatment.n()), after - before, se, df, options)
}

/// Relative difference of two means, treatment / control − 1, with its delta-method interval.
///
/// Variance v₂/x̄₁² + x̄₂² v₁/x̄₁⁴ for squared standard errors v of the means; Welch's degrees of freedom.
///
/// Errors: an arm of fewer than 2 values, a control mean of 0, arms without variation that differ.
///
/// ```
/// use llmops_stats::{TestOptions, moments::Moments, ratio::relative_difference};
/// let control = Moments::from_slice(&[9.0, 10.0, 11.0]).unwrap();
/// let treatment = Moments::from_slice(&[11.0, 12.0, 13.0]).unwrap();
/// assert!((relative_difference(&control, &treatment, TestOptions::default()).unwrap().effect - 0.2).abs() < 1e-12);
/// ```
pub fn relative_difference(control: &Moments, treatment: &Moments, options: TestOptions) -> Result<TestResult> {
    check_count("observations of the control", 2, control.n())?;
    check_count("observations of the treatment", 2, treatment.n())?;
    let (before, after) = (control.mean().unwrap_or_default(), treatment.mean().unwrap_or_default());
    if before == 0.0 {
        return Err(StatsError::OutOfRange { what: "mean of the control", value: 0.0, expected: "not zero" });
    }
    let square = |moments: &Moments| (moments.sem().unwrap_or_default() / before).powi(2);
    let a = (after / before).powi(2) * square(control);
    let b = square(treatment);
    let (se, df) = satterthwaite((a, control.n() as f64), (b, treatment.n() as f64));
    finish((Method::RelativeDelta, control.n() + treatment.n()), after / before - 1.0, se, df, options)
}

fn ratio_and_variance(units: &PairMoments, what: &'static str) -> Result<(f64, Option<f64>)> {
    let Some((numerator, denominator)) = units.means() else {
        return Err(StatsError::TooFew { what, needed: 1, got: 0 });
    };
    if denominator == 0.0 {
        return Err(StatsError::OutOfRange { what: "mean of the denominators", value: 0.0, expected: "not zero" });
    }
    let value = numerator / denominator;
    let variance = units.variances().zip(units.covariance()).map(|((var_m, var_d), cov)| {
        let residual = (var_m - 2.0 * value * cov + value * value * var_d).max(0.0);
        residual / (units.n() as f64 * denominator * denominator)
    });
    check_result("the ratio or its standard error", &[value, variance.unwrap_or_default()])?;
    Ok((value, variance))
}
