//! Normal-mixture confidence sequences for means of values in [0, 1]; valid at every n, without asymptotics.
//!
//! A value in [0, 1] is sub-Gaussian with variance ¼ (Hoeffding 1963). The two-sided normal mixture boundary of Robbins
//! (1970) in the form of Howard, Ramdas, McAuliffe & Sekhon (2021, Annals of Statistics 49:1055, eq. 14): after t values
//! with intrinsic time v = t/4, |Σ(x − μ)| ≤ √( (v + r) · ln((v + r)/(r α²)) ) at all times with probability 1 − α.

use crate::error::{Result, StatsError, check_count, check_open_unit, check_positive};
use crate::moments::Moments;
use crate::result::{Alternative, Estimate, Interval, Method, TestResult};

/// The mean of a stream of values in [0, 1]. `tuning` is the number of values at which the interval should be
/// narrowest.
///
/// Errors: no values, a value outside [0, 1], a level or tuning outside its range.
///
/// ```
/// use llmops_stats::{moments::Moments, sequential::mixture};
/// let stream = Moments::from_rate(700, 1000).unwrap();
/// let interval = mixture::mean(&stream, 1000.0, 0.95).unwrap().interval.unwrap();
/// assert!(interval.contains(0.7) && interval.width() < 0.12);
/// ```
pub fn mean(stream: &Moments, tuning: f64, level: f64) -> Result<Estimate> {
    let (value, margin) = value_and_margin(stream, tuning, level, 1.0 - level)?;
    let interval = Interval { low: (value - margin).max(0.0), high: (value + margin).min(1.0), level };
    Ok(Estimate { method: Method::NormalMixture, n: stream.n(), value, se: None, df: None, interval: Some(interval) })
}

/// Difference of the means of two streams in [0, 1], treatment − control, however their values are interleaved: each
/// mean's interval at α/2, by the union bound. `tuning` counts the values of one arm.
///
/// `statistic` is the effect; the p-value is the smallest α whose interval excludes 0.
///
/// Errors: as [`mean`], for either arm.
///
/// ```
/// use llmops_stats::{moments::Moments, sequential::mixture};
/// let (control, treatment) = (Moments::from_rate(500, 1000).unwrap(), Moments::from_rate(700, 1000).unwrap());
/// let result = mixture::difference(&control, &treatment, 1000.0, 0.95).unwrap();
/// assert!(result.interval.unwrap().low > 0.0 && result.p_value < 0.05);
/// ```
pub fn difference(control: &Moments, treatment: &Moments, tuning: f64, level: f64) -> Result<TestResult> {
    let margins = |alpha: f64| -> Result<(f64, f64)> {
        let (before, low) = value_and_margin(control, tuning, level, alpha / 2.0)?;
        let (after, high) = value_and_margin(treatment, tuning, level, alpha / 2.0)?;
        Ok((after - before, low + high))
    };
    let (effect, margin) = margins(1.0 - level)?;
    // The margin falls with α; bisect ln α for the α at which it equals the effect.
    let (mut low, mut high) = (-745.0_f64, 0.0_f64);
    if effect.abs() > margins(1.0)?.1 {
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if margins(middle.exp())?.1 < effect.abs() { high = middle } else { low = middle }
        }
    }
    Ok(TestResult {
        method: Method::NormalMixture,
        n: control.n() + treatment.n(),
        statistic: effect,
        df: None,
        p_value: high.exp(),
        alternative: Alternative::TwoSided,
        effect,
        interval: Some(Interval { low: (effect - margin).max(-1.0), high: (effect + margin).min(1.0), level }),
    })
}

/// The mean and half the width of its interval at `alpha`. The mixture is tuned for 1 − level whatever `alpha` is asked
/// for, so that one and the same martingale is inverted.
fn value_and_margin(stream: &Moments, tuning: f64, level: f64, alpha: f64) -> Result<(f64, f64)> {
    check_open_unit("level", level)?;
    check_positive("tuning", tuning)?;
    check_count("observations", 1, stream.n())?;
    for value in [stream.min(), stream.max()].into_iter().flatten() {
        if !(0.0..=1.0).contains(&value) {
            return Err(StatsError::OutOfRange { what: "value", value, expected: "between 0 and 1" });
        }
    }
    let n = stream.n() as f64;
    // rho_squared(α, v) is 1/r with r the mixture's parameter in units of intrinsic time.
    let r = 1.0 / super::rho_squared(1.0 - level, tuning / 4.0);
    let v = n / 4.0 + r;
    let margin = (v * ((v / r).ln() - 2.0 * alpha.ln())).max(0.0).sqrt() / n;
    Ok((stream.mean().unwrap_or_default(), margin))
}
