//! Intervals and tests for rates: Wilson, Newcombe, and the two-proportion z-test.

use crate::dist::{normal_critical, normal_sf};
use crate::error::{Result, check_open_unit, check_rate};
use crate::result::{Estimate, Interval, Method, TestOptions, TestResult, symmetric_p};
use serde::{Deserialize, Serialize};

/// A number of successes among trials.
///
/// ```
/// use llmops_stats::proportion::Rate;
/// assert_eq!(Rate::new(3, 4).unwrap().value(), 0.75);
/// assert!(Rate::new(5, 4).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    successes: u64,
    trials: u64,
}

impl Rate {
    /// `successes` among `trials`.
    ///
    /// Errors: no trials, more successes than trials.
    ///
    /// ```
    /// assert!(llmops_stats::proportion::Rate::new(0, 0).is_err());
    /// ```
    pub fn new(successes: u64, trials: u64) -> Result<Self> {
        check_rate(successes, trials)?;
        Ok(Self { successes, trials })
    }

    /// How many successes.
    ///
    /// ```
    /// assert_eq!(llmops_stats::proportion::Rate::new(3, 4).unwrap().successes(), 3);
    /// ```
    pub fn successes(self) -> u64 {
        self.successes
    }

    /// How many trials.
    ///
    /// ```
    /// assert_eq!(llmops_stats::proportion::Rate::new(3, 4).unwrap().trials(), 4);
    /// ```
    pub fn trials(self) -> u64 {
        self.trials
    }

    /// successes / trials.
    ///
    /// ```
    /// assert_eq!(llmops_stats::proportion::Rate::new(1, 4).unwrap().value(), 0.25);
    /// ```
    pub fn value(self) -> f64 {
        self.successes as f64 / self.trials as f64
    }

    /// Squared standard error of the rate.
    pub(crate) fn variance(self) -> f64 {
        self.value() * (1.0 - self.value()) / self.trials as f64
    }
}

/// Wilson's score interval of a rate (Wilson 1927, JASA 22:209); inside [0, 1] at every count, also 0 and n.
///
/// Bounds (p̂ + z²/2n ± z√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). The value of the estimate is p̂ itself, and its standard
/// error √(p̂(1−p̂)/n).
///
/// Errors: a level outside (0, 1).
///
/// ```
/// use llmops_stats::proportion::{Rate, wilson};
/// let interval = wilson(Rate::new(0, 10).unwrap(), 0.95).unwrap().interval.unwrap();
/// assert_eq!(interval.low, 0.0);
/// assert!((interval.high - 0.277_5).abs() < 1e-4);
/// ```
pub fn wilson(rate: Rate, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    Ok(Estimate {
        method: Method::WilsonInterval,
        n: rate.trials,
        value: rate.value(),
        se: Some(rate.variance().sqrt()),
        df: None,
        interval: Some(wilson_interval(rate, level)),
    })
}

fn wilson_interval(rate: Rate, level: f64) -> Interval {
    let (p, n, z) = (rate.value(), rate.trials as f64, normal_critical(level));
    let square = z * z;
    let centre = (p + square / (2.0 * n)) / (1.0 + square / n);
    let margin = z / (1.0 + square / n) * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    // At 0 and n the bound is 0 and 1 by algebra; rounding must not say otherwise.
    let low = if rate.successes == 0 { 0.0 } else { centre - margin };
    let high = if rate.successes == rate.trials { 1.0 } else { centre + margin };
    Interval { low, high, level }
}

/// Newcombe's hybrid score interval of the difference of two independent rates (1998, Statistics in Medicine 17:873,
/// method 10): Wilson bounds of both arms, squared and added.
///
/// Errors: a level outside (0, 1).
///
/// ```
/// use llmops_stats::proportion::{Rate, newcombe};
/// let (control, treatment) = (Rate::new(48, 80).unwrap(), Rate::new(56, 70).unwrap());
/// let interval = newcombe(control, treatment, 0.95).unwrap().interval.unwrap();
/// assert!((interval.low - 0.052_4).abs() < 1e-4 && (interval.high - 0.333_9).abs() < 1e-4);
/// ```
pub fn newcombe(control: Rate, treatment: Rate, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    let (p1, p2) = (control.value(), treatment.value());
    let (w1, w2) = (wilson_interval(control, level), wilson_interval(treatment, level));
    let interval = Interval {
        low: (p2 - p1) - (p2 - w2.low).hypot(w1.high - p1),
        high: (p2 - p1) + (w2.high - p2).hypot(p1 - w1.low),
        level,
    };
    Ok(Estimate {
        method: Method::NewcombeInterval,
        n: control.trials + treatment.trials,
        value: p2 - p1,
        se: Some((control.variance() + treatment.variance()).sqrt()),
        df: None,
        interval: Some(interval),
    })
}

/// The variance under the null hypothesis of a two-proportion z-test.
///
/// ```
/// use llmops_stats::proportion::ZVariance;
/// assert_eq!(ZVariance::default(), ZVariance::Pooled);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZVariance {
    /// p̄(1 − p̄)(1/n₁ + 1/n₂), as the null hypothesis of one rate says.
    #[default]
    Pooled,
    /// p₁(1 − p₁)/n₁ + p₂(1 − p₂)/n₂, consistent with the Wald interval.
    Unpooled,
}

/// Two-proportion z-test.
///
/// z = (p₂ − p₁) / √variance; the interval of the difference is Newcombe's. Both rates 0 or both 1: z = 0, p = 1.
///
/// Errors: a level outside (0, 1); unpooled with both variances 0 and different rates
/// ([`crate::StatsError::NoVariation`]).
///
/// ```
/// use llmops_stats::{TestOptions, proportion::{Rate, ZVariance, two_proportion_z}};
/// let (control, treatment) = (Rate::new(600, 1000).unwrap(), Rate::new(650, 1000).unwrap());
/// let pooled = two_proportion_z(control, treatment, ZVariance::Pooled, TestOptions::default()).unwrap();
/// let unpooled = two_proportion_z(control, treatment, ZVariance::Unpooled, TestOptions::default()).unwrap();
/// assert!((pooled.p_value - 0.020_921_3).abs() < 1e-7);
/// assert!((unpooled.p_value - 0.020_750_9).abs() < 1e-7);
/// ```
pub fn two_proportion_z(
    control: Rate,
    treatment: Rate,
    variance: ZVariance,
    options: TestOptions,
) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    let (n1, n2) = (control.trials as f64, treatment.trials as f64);
    let effect = treatment.value() - control.value();
    let (se, method) = match variance {
        ZVariance::Pooled => {
            let rate = (control.successes + treatment.successes) as f64 / (n1 + n2);
            ((rate * (1.0 - rate) * (1.0 / n1 + 1.0 / n2)).sqrt(), Method::TwoProportionZPooled)
        }
        ZVariance::Unpooled => ((control.variance() + treatment.variance()).sqrt(), Method::TwoProportionZUnpooled),
    };
    if se == 0.0 && effect != 0.0 {
        return Err(crate::StatsError::NoVariation { what: "the outcomes within each arm" });
    }
    let statistic = if se > 0.0 { effect / se } else { 0.0 };
    let p_value = if se > 0.0 { symmetric_p(statistic, alternative, normal_sf) } else { 1.0 };
    let interval = newcombe(control, treatment, level)?.interval;
    let n = control.trials + treatment.trials;
    Ok(TestResult { method, n, statistic, df: None, p_value, alternative, effect, interval })
}
