//! Means of values that lie in a known range, with intervals that have width also where all values are the same.
//!
//! Student's interval knows only the spread that it sees. Twenty answers that all pass show none, and nine times in
//! twenty that is so at a true rate of 96 %. What may be missing is bounded: a kind of answer that was seen in none of n is
//! at most as frequent as Clopper and Pearson (1934, Biometrika 26:404) say, u = 1 − (α/2)^(1/n), and moves the mean x̄ of
//! values between a and b by at most (x̄ − a)·u downwards and (b − x̄)·u upwards. This room is an uncertainty beside that of
//! the values seen, so the squares of both margins add up (MOVER; Zou & Donner 2008, Statistics in Medicine 27:1693):
//!
//! x̄ − √( (t·se)² + ((x̄ − a)·u)² ) to x̄ + √( (t·se)² + ((b − x̄)·u)² ).
//!
//! For zeros and ones the interval covers the true rate at least 94 times in 100, at every n and rate; if all are equal,
//! it is Clopper and Pearson's. The room shrinks like 1/n and Student's margin like 1/√n, so of many values little is added.

use crate::error::{Result, StatsError, check_count, check_open_unit};
use crate::result::{Estimate, Interval, Method};
use serde::{Deserialize, Serialize};

/// Where values can lie.
///
/// ```
/// use llmops_stats::bounded::Range;
/// assert_eq!(Range::UNIT, Range::new(0.0, 1.0).unwrap());
/// assert!(Range::new(1.0, 0.0).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// Scores: from 0 to 1.
    ///
    /// ```
    /// use llmops_stats::bounded::Range;
    /// assert_eq!(Range::UNIT, Range::new(0.0, 1.0).unwrap());
    /// ```
    pub const UNIT: Self = Self { low: 0.0, high: 1.0 };
    /// Differences of scores: from −1 to 1.
    ///
    /// ```
    /// use llmops_stats::bounded::Range;
    /// assert_eq!(Range::DIFFERENCE, Range::new(-1.0, 1.0).unwrap());
    /// ```
    pub const DIFFERENCE: Self = Self { low: -1.0, high: 1.0 };

    /// From `low` to `high`.
    ///
    /// Errors: bounds that are not finite, `low` not below `high`.
    ///
    /// ```
    /// assert!(llmops_stats::bounded::Range::new(0.0, f64::INFINITY).is_err());
    /// ```
    pub fn new(low: f64, high: f64) -> Result<Self> {
        if low.is_finite() && high.is_finite() && low < high {
            Ok(Self { low, high })
        } else {
            Err(StatsError::OutOfRange { what: "the upper bound", value: high, expected: "finite and above the lower" })
        }
    }

    pub(crate) fn width(self) -> f64 {
        self.high - self.low
    }

    /// Of values with this mean that lie at the ends: the largest that there is.
    pub(crate) fn most_variance(self, mean: f64) -> f64 {
        ((mean - self.low) * (self.high - mean)).max(0.0)
    }

    /// Where y − λf lies, for y and f in this range.
    pub(crate) fn less(self, lambda: f64) -> Result<Self> {
        Self::new(self.low - lambda * self.high, self.high - lambda * self.low)
    }

    /// How far what was seen in none of `n` values may move their mean, downwards and upwards.
    pub(crate) fn room(self, mean: f64, n: u64, level: f64) -> [f64; 2] {
        let unseen = unseen(n, level);
        [(mean - self.low).max(0.0) * unseen, (self.high - mean).max(0.0) * unseen]
    }
}

/// Clopper and Pearson's upper limit of the share of what none of `n` values showed: 1 − (α/2)^(1/n) at the level 1 − α.
///
/// ```
/// let limit = llmops_stats::bounded::unseen(20, 0.95);
/// assert!((limit - 0.168_43).abs() < 1e-5);
/// ```
pub fn unseen(n: u64, level: f64) -> f64 {
    -(((1.0 - level) / 2.0).ln() / n.max(1) as f64).exp_m1()
}

/// The mean `estimate` of values in `range`, with the interval that keeps its width (see the [module](self)).
///
/// `estimate` is of `n` independent values or clusters. Of a single one nothing is known of the spread but that it is at
/// most half the range (Popoviciu 1935, Mathematica 9:129), which stands in. The interval is not cut at the range, so that
/// it can enter a [weighted mean](crate::cluster::weighted_mean); cut it where it is shown.
///
/// Errors: n = 0, a level outside (0, 1), a mean outside the range.
///
/// ```
/// use llmops_stats::{bounded::{self, Range}, moments::Moments};
/// let passed = Moments::from_slice(&[1.0; 20]).unwrap().mean_estimate(0.95).unwrap();
/// let interval = bounded::mean(&passed, Range::UNIT, 0.95).unwrap().interval.unwrap();
/// assert!((interval.low - 0.831_57).abs() < 1e-5 && interval.high == 1.0);
/// ```
pub fn mean(estimate: &Estimate, range: Range, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    check_count("values", 1, estimate.n)?;
    let Estimate { n, value, df, .. } = *estimate;
    // The rounding of a mean may take it a little past the end of the range.
    let slack = 1e-9 * range.width();
    if !(value >= range.low - slack && value <= range.high + slack) {
        return Err(StatsError::OutOfRange { what: "the mean", value, expected: "within the range of the values" });
    }
    let se = estimate.se.unwrap_or(range.width() / 2.0);
    let spread = crate::cluster::critical(level, df) * se;
    let [below, above] = range.room(value, n, level).map(|room| spread.hypot(room));
    let interval = Some(Interval { low: value - below, high: value + above, level });
    Ok(Estimate { method: Method::BoundedMean, n, value, se: Some(se), df, interval })
}
