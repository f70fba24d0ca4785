//! t-tests: Welch, Student and paired, from values or from streamed [`Moments`].
//!
//! Student (1908, Biometrika 6:1); Welch (1947, Biometrika 34:28). Both arms constant and equal: statistic 0, p = 1,
//! an interval of no width. Constant and different: [`StatsError::NoVariation`], since no spread means no scale.

use crate::dist::{t_critical, t_sf};
use crate::error::{Result, StatsError, check_count, check_pairs, check_result};
use crate::moments::Moments;
use crate::proportion::Rate;
use crate::result::{Interval, Method, TestOptions, TestResult, symmetric_p};

/// Welch's test for means of two independent samples with unequal variances.
///
/// t = (x̄₂ − x̄₁) / √(s₁²/n₁ + s₂²/n₂), with Welch-Satterthwaite degrees of freedom.
///
/// Errors: a non-finite value, an arm of fewer than 2 values, constant arms that differ.
///
/// ```
/// use llmops_stats::{TestOptions, t_test::welch};
/// let result = welch(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 7.0], TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.083_707).abs() < 1e-6);
/// ```
pub fn welch(control: &[f64], treatment: &[f64], options: TestOptions) -> Result<TestResult> {
    welch_from_moments(&Moments::from_slice(control)?, &Moments::from_slice(treatment)?, options)
}

/// [`welch`] of two streams, without their rows.
///
/// ```
/// use llmops_stats::{TestOptions, moments::Moments, t_test::welch_from_moments};
/// let (control, treatment) = (Moments::from_rate(600, 1000).unwrap(), Moments::from_rate(650, 1000).unwrap());
/// let result = welch_from_moments(&control, &treatment, TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.020_916_0).abs() < 1e-7);
/// ```
pub fn welch_from_moments(control: &Moments, treatment: &Moments, options: TestOptions) -> Result<TestResult> {
    let (first, second) = variances(control, treatment)?;
    let (n1, n2) = (control.n() as f64, treatment.n() as f64);
    let (se, df) = satterthwaite((first / n1, n1), (second / n2, n2));
    finish((Method::WelchT, control.n() + treatment.n()), difference(control, treatment), se, df, options)
}

/// [`welch`] of two rates, each with the variance p(1 − p)/n of a proportion instead of the sample variance
/// p(1 − p)/(n − 1) of its zeros and ones (which [`welch_from_moments`] takes). Experiment platforms compute it so.
///
/// Errors: an arm of fewer than 2 trials, rates of 0 and 1.
///
/// ```
/// use llmops_stats::{TestOptions, proportion::Rate, t_test::welch_rates};
/// let (control, treatment) = (Rate::new(600, 1000).unwrap(), Rate::new(650, 1000).unwrap());
/// let result = welch_rates(control, treatment, TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.020_852_1).abs() < 1e-7);
/// ```
pub fn welch_rates(control: Rate, treatment: Rate, options: TestOptions) -> Result<TestResult> {
    check_count("trials of the control", 2, control.trials())?;
    check_count("trials of the treatment", 2, treatment.trials())?;
    let part = |rate: Rate| (rate.variance(), rate.trials() as f64);
    let (se, df) = satterthwaite(part(control), part(treatment));
    let n = control.trials() + treatment.trials();
    finish((Method::WelchT, n), treatment.value() - control.value(), se, df, options)
}

/// Standard error and degrees of freedom of a difference from (squared standard error, n) of both arms.
pub(crate) fn satterthwaite((a, n1): (f64, f64), (b, n2): (f64, f64)) -> (f64, f64) {
    let sum = a + b;
    // (a + b)² / (a²/(n₁−1) + b²/(n₂−1)) in shares of the sum, whose squares neither vanish nor overflow.
    let (first, second) = (a / sum, b / sum);
    let df = if sum > 0.0 { 1.0 / (first * first / (n1 - 1.0) + second * second / (n2 - 1.0)) } else { n1 + n2 - 2.0 };
    (sum.sqrt(), df)
}

/// Student's test for means of two independent samples with equal variances.
///
/// t = (x̄₂ − x̄₁) / (s_p √(1/n₁ + 1/n₂)), n₁ + n₂ − 2 degrees of freedom, s_p² the pooled variance.
///
/// Errors: as [`welch`].
///
/// ```
/// use llmops_stats::{TestOptions, t_test::student};
/// let result = student(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0], TestOptions::default()).unwrap();
/// assert_eq!(result.df, Some(4.0));
/// ```
pub fn student(control: &[f64], treatment: &[f64], options: TestOptions) -> Result<TestResult> {
    student_from_moments(&Moments::from_slice(control)?, &Moments::from_slice(treatment)?, options)
}

/// [`student`] of two streams, without their rows.
///
/// ```
/// use llmops_stats::{TestOptions, moments::Moments, t_test::student_from_moments};
/// let arm = Moments::from_slice(&[1.0, 2.0]).unwrap();
/// assert_eq!(student_from_moments(&arm, &arm, TestOptions::default()).unwrap().p_value, 1.0);
/// ```
pub fn student_from_moments(control: &Moments, treatment: &Moments, options: TestOptions) -> Result<TestResult> {
    variances(control, treatment)?;
    let (n1, n2) = (control.n() as f64, treatment.n() as f64);
    let df = n1 + n2 - 2.0;
    let se = ((control.m2() + treatment.m2()) / df * (1.0 / n1 + 1.0 / n2)).sqrt();
    finish((Method::StudentT, control.n() + treatment.n()), difference(control, treatment), se, df, options)
}

/// Paired t-test of treatment − control on the same units.
///
/// t = d̄ / (s_d / √n), n − 1 degrees of freedom.
///
/// Errors: lengths differ, a non-finite value, fewer than 2 pairs, all differences equal and not zero.
///
/// ```
/// use llmops_stats::{TestOptions, t_test::paired};
/// let result = paired(&[1.0, 2.0, 3.0], &[1.5, 2.1, 3.9], TestOptions::default()).unwrap();
/// assert!((result.effect - 0.5).abs() < 1e-12);
/// assert_eq!(result.n, 3);
/// ```
pub fn paired(control: &[f64], treatment: &[f64], options: TestOptions) -> Result<TestResult> {
    check_pairs(control, treatment)?;
    let mut differences = Moments::new();
    for (before, after) in control.iter().zip(treatment) {
        differences.push(after - before)?;
    }
    paired_from_moments(&differences, options)
}

/// [`paired`] from the streamed moments of the differences treatment − control.
///
/// ```
/// use llmops_stats::{TestOptions, moments::Moments, t_test::paired_from_moments};
/// let differences = Moments::from_slice(&[0.1, 0.3, 0.2, 0.4]).unwrap();
/// assert!(paired_from_moments(&differences, TestOptions::default()).unwrap().p_value < 0.05);
/// ```
pub fn paired_from_moments(differences: &Moments, options: TestOptions) -> Result<TestResult> {
    let n = differences.n();
    check_count("pairs", 2, n)?;
    let (effect, se) = (differences.mean().unwrap_or_default(), differences.sem().unwrap_or_default());
    finish((Method::PairedT, n), effect, se, (n - 1) as f64, options)
}

fn variances(control: &Moments, treatment: &Moments) -> Result<(f64, f64)> {
    let too_few = |what, got| StatsError::TooFew { what, needed: 2, got };
    let first = control.variance().ok_or_else(|| too_few("observations of the control", control.n()))?;
    let second = treatment.variance().ok_or_else(|| too_few("observations of the treatment", treatment.n()))?;
    Ok((first, second))
}

fn difference(control: &Moments, treatment: &Moments) -> f64 {
    treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default()
}

/// Test and interval of an effect with a t-distributed error.
pub(crate) fn finish(
    (method, n): (Method, u64),
    effect: f64,
    se: f64,
    df: f64,
    options: TestOptions,
) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    check_result("the effect or its standard error", &[effect, se, df])?;
    if se == 0.0 && effect != 0.0 {
        return Err(StatsError::NoVariation { what: "the values" });
    }
    let statistic = if se > 0.0 { effect / se } else { 0.0 };
    // Without spread and without effect there is no evidence in any direction.
    let p_value = if se > 0.0 { symmetric_p(statistic, alternative, |t| t_sf(t, df)) } else { 1.0 };
    let interval = Some(Interval::around(effect, t_critical(level, df) * se, level));
    check_result("the statistic", &[statistic])?;
    Ok(TestResult { method, n, statistic, df: Some(df), p_value, alternative, effect, interval })
}
