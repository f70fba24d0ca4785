//! Asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Annals of Statistics;
//! arXiv 2103.06476, eq. 9, 155 and 161).
//!
//! With N units in both arms, variance V of the estimated difference and s² = N·V, the interval at level 1 − α is
//!
//! Δ ± √(s²) · √( 2(Nρ² + 1) / (Nρ)² · ln(√(Nρ² + 1)/α) ),  ρ² = (−2 ln α + ln(1 − 2 ln α)) / N*,
//!
//! narrowest when about N* units have been seen. The p-value inverts the interval at this ρ; its running minimum is
//! valid too. The central limit theorem that it rests on says nothing about a handful of units, so nothing is decided
//! (p = 1, no interval) before [`AsymptoticOptions::min_per_arm`] units in each arm.

use super::rho_squared;
use crate::error::{Result, StatsError, check_open_unit, check_positive, check_result};
use crate::moments::Moments;
use crate::proportion::Rate;
use crate::result::{Alternative, Estimate, Interval, Method, TestResult};
use serde::{Deserialize, Serialize};

/// Settings of an asymptotic confidence sequence; fixed before the first look.
///
/// ```
/// let options = llmops_stats::sequential::asymptotic::AsymptoticOptions::default();
/// assert_eq!((options.level, options.tuning, options.min_per_arm), (0.95, 5000.0, 30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AsymptoticOptions {
    /// Time-uniform coverage, in (0, 1); 0.95 unless said otherwise.
    pub level: f64,
    /// N*: the total number of units (both arms) at which the interval should be narrowest; 5,000 unless said
    /// otherwise.
    pub tuning: f64,
    /// Units in each arm before anything is decided; 30 unless said otherwise, and never below 2.
    pub min_per_arm: u64,
}

impl Default for AsymptoticOptions {
    fn default() -> Self {
        Self { level: 0.95, tuning: 5000.0, min_per_arm: 30 }
    }
}

impl AsymptoticOptions {
    fn check(self) -> Result<Self> {
        check_open_unit("level", self.level)?;
        check_positive("tuning", self.tuning)?;
        Ok(Self { min_per_arm: self.min_per_arm.max(2), ..self })
    }
}

/// Difference of two means, treatment − control, from streamed moments (sample variances s²/n).
///
/// Where one arm is much smaller than the other and its values are skewed or rare, use [`effect`] with
/// [`variance_of_difference`].
///
/// `statistic` is Δ/√V. `n` counts both arms.
///
/// Errors: an option outside its range; arms beyond the minimum that are constant but different.
///
/// ```
/// use llmops_stats::{moments::Moments, sequential::asymptotic};
/// let arm = |shift: f64| Moments::from_slice(&(0..200).map(|i| f64::from(i % 10) + shift).collect::<Vec<_>>()).unwrap();
/// let result = asymptotic::difference(&arm(0.0), &arm(2.0), Default::default()).unwrap();
/// assert!(result.interval.unwrap().low > 0.0);
/// ```
pub fn difference(control: &Moments, treatment: &Moments, options: AsymptoticOptions) -> Result<TestResult> {
    let options = options.check()?;
    let square = |moments: &Moments| moments.sem().map_or(0.0, |se| se * se);
    let effect = treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default();
    decide((control.n(), treatment.n()), effect, square(control) + square(treatment), options)
}

/// Difference of two rates, treatment − control, with variance p(1 − p)/n in each arm.
///
/// Errors: as [`difference`].
///
/// ```
/// use llmops_stats::{proportion::Rate, sequential::asymptotic};
/// let (control, treatment) = (Rate::new(600, 1000).unwrap(), Rate::new(650, 1000).unwrap());
/// let interval = asymptotic::rate_difference(control, treatment, Default::default()).unwrap().interval.unwrap();
/// assert!((interval.low - -0.017_541_6).abs() < 1e-7 && (interval.high - 0.117_541_6).abs() < 1e-7);
/// ```
pub fn rate_difference(control: Rate, treatment: Rate, options: AsymptoticOptions) -> Result<TestResult> {
    let options = options.check()?;
    let effect = treatment.value() - control.value();
    decide((control.trials(), treatment.trials()), effect, control.variance() + treatment.variance(), options)
}

/// Any estimated difference with its squared standard error, such as a CUPED-adjusted or ratio metric.
///
/// Errors: a non-finite effect, a negative or non-finite variance, and as [`difference`].
///
/// ```
/// use llmops_stats::sequential::asymptotic;
/// let result = asymptotic::effect((1000, 1000), 0.05, 0.000_467_5, Default::default()).unwrap();
/// assert!(result.p_value < 0.3);
/// ```
pub fn effect(units: (u64, u64), effect: f64, variance: f64, options: AsymptoticOptions) -> Result<TestResult> {
    let options = options.check()?;
    if !effect.is_finite() {
        return Err(StatsError::NotFinite { index: 0 });
    }
    if !(variance >= 0.0 && variance.is_finite()) {
        return Err(StatsError::OutOfRange { what: "variance", value: variance, expected: "at least 0 and finite" });
    }
    decide(units, effect, variance, options)
}

/// The variance of the difference of what two arms estimate, from (variance of one unit, units) of each: never less than both
/// arms' variances together, weighed by their units, give.
///
/// An arm's own variance is small just where its mean is off by chance: of rare events that did not happen yet, or of a long
/// tail that was not seen yet, it knows nothing. In arms of equal size the other one makes up for that, and nothing changes here;
/// a small arm beside a large one would be believed. The central limit theorem's promise is only kept at looks as early as
/// [`AsymptoticOptions::min_per_arm`] when the larger arm says how far values scatter.
///
/// ```
/// use llmops_stats::sequential::asymptotic::variance_of_difference;
/// // 40 of 1,900 and none of 100: the small arm's own variance is 0.
/// let rate = 40.0 / 1900.0_f64;
/// let variance = variance_of_difference((rate * (1.0 - rate), 1900), (0.0, 100));
/// assert!(rate / variance.sqrt() < 1.5);
/// assert_eq!(variance_of_difference((0.5, 100), (0.1, 100)), 0.006);
/// ```
pub fn variance_of_difference(control: (f64, u64), treatment: (f64, u64)) -> f64 {
    let (n1, n2) = (control.1 as f64, treatment.1 as f64);
    let own = control.0 / n1 + treatment.0 / n2;
    if control.1 == treatment.1 {
        return own;
    }
    own.max((n1 * control.0 + n2 * treatment.0) / (n1 + n2) * (1.0 / n1 + 1.0 / n2))
}

/// The mean of one stream; before [`AsymptoticOptions::min_per_arm`] values the value is given alone.
///
/// Errors: no values, an option outside its range.
///
/// ```
/// use llmops_stats::{moments::Moments, sequential::asymptotic};
/// let stream = Moments::from_rate(80, 100).unwrap();
/// let interval = asymptotic::mean(&stream, Default::default()).unwrap().interval.unwrap();
/// assert!(interval.contains(0.8) && interval.width() > 0.16, "wider than an interval for one look");
/// ```
pub fn mean(stream: &Moments, options: AsymptoticOptions) -> Result<Estimate> {
    let options = options.check()?;
    let Some(value) = stream.mean() else {
        return Err(StatsError::TooFew { what: "observations", needed: 1, got: 0 });
    };
    let se = stream.sem();
    let interval = se.filter(|_| stream.n() >= options.min_per_arm).map(|se| {
        let margin = se * half_width(stream.n() as f64, options);
        Interval::around(value, margin, options.level)
    });
    Ok(Estimate { method: Method::AsymptoticConfidenceSequence, n: stream.n(), value, se, df: None, interval })
}

/// A mean, rate or ratio that was estimated elsewhere with its standard error, such as a cluster-robust one, from `n`
/// independent observations or clusters; before [`AsymptoticOptions::min_per_arm`] of them the value is given alone.
///
/// Errors: a non-finite value, a negative or non-finite standard error, an option outside its range.
///
/// ```
/// use llmops_stats::{moments::Moments, sequential::asymptotic};
/// let stream = Moments::from_rate(80, 100).unwrap();
/// let direct = asymptotic::mean(&stream, Default::default()).unwrap();
/// let estimated = asymptotic::estimated(100, 0.8, stream.sem().unwrap(), Default::default()).unwrap();
/// assert_eq!(direct.interval, estimated.interval);
/// ```
pub fn estimated(n: u64, value: f64, se: f64, options: AsymptoticOptions) -> Result<Estimate> {
    let options = options.check()?;
    if !value.is_finite() {
        return Err(StatsError::NotFinite { index: 0 });
    }
    if !(se >= 0.0 && se.is_finite()) {
        return Err(StatsError::OutOfRange { what: "standard error", value: se, expected: "at least 0 and finite" });
    }
    let interval =
        (n >= options.min_per_arm).then(|| Interval::around(value, se * half_width(n as f64, options), options.level));
    Ok(Estimate { method: Method::AsymptoticConfidenceSequence, n, value, se: Some(se), df: None, interval })
}

/// Half the width of the interval in standard errors: √(2(Nρ² + 1)/(Nρ²) · ln(√(Nρ² + 1)/α)).
fn half_width(n: f64, options: AsymptoticOptions) -> f64 {
    let alpha = 1.0 - options.level;
    let time = n * rho_squared(alpha, options.tuning);
    (2.0 * (time + 1.0) / time * (0.5 * time.ln_1p() - alpha.ln())).sqrt()
}

fn decide((n1, n2): (u64, u64), effect: f64, variance: f64, options: AsymptoticOptions) -> Result<TestResult> {
    let n = n1 + n2;
    let result = |statistic, p_value, interval| TestResult {
        method: Method::AsymptoticConfidenceSequence,
        n,
        statistic,
        df: None,
        p_value,
        alternative: Alternative::TwoSided,
        effect,
        interval,
    };
    let se = variance.sqrt();
    let statistic = if se > 0.0 { effect / se } else { 0.0 };
    check_result("the statistic", &[statistic])?;
    if n1.min(n2) < options.min_per_arm {
        return Ok(result(statistic, 1.0, None));
    }
    if se == 0.0 && effect != 0.0 {
        return Err(StatsError::NoVariation { what: "the values within each arm" });
    }
    let time = n as f64 * rho_squared(1.0 - options.level, options.tuning);
    let exponent = -0.5 * statistic * statistic * time / (time + 1.0);
    let p_value = ((time + 1.0).sqrt() * exponent.exp()).min(1.0);
    let interval = Interval::around(effect, se * half_width(n as f64, options), options.level);
    Ok(result(statistic, p_value, Some(interval)))
}
