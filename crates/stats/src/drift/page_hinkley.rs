//! The Page-Hinkley test.

use super::{Direction, check_value};
use crate::error::{Result, StatsError, check_positive};
use serde::{Deserialize, Serialize};

/// Parameters of [`PageHinkley`], in the units of the series.
///
/// ```
/// let options = llmops_stats::drift::PageHinkleyOptions::default();
/// assert_eq!((options.min_values, options.delta, options.threshold), (30, 0.005, 50.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PageHinkleyOptions {
    /// Values before an alarm is possible; 30 unless said otherwise.
    pub min_values: u64,
    /// Change that is tolerated, at least 0; 0.005 unless said otherwise.
    pub delta: f64,
    /// Height of the alarm, positive; 50 unless said otherwise. For scores in [0, 1], 1 to 5 is more apt.
    pub threshold: f64,
    /// Forgetting factor of the sums, in (0, 1]; 0.9999 unless said otherwise.
    pub alpha: f64,
}

impl Default for PageHinkleyOptions {
    fn default() -> Self {
        Self { min_values: 30, delta: 0.005, threshold: 50.0, alpha: 0.9999 }
    }
}

/// Page-Hinkley test, both ways (Page 1954; Hinkley 1971, Biometrika 58:509; forgetting as in River).
///
/// With x̄_t the running mean: up_t = α·up_{t−1} + x_t − x̄_t − δ against its minimum, down_t = α·down_{t−1} + x_t − x̄_t + δ
/// against its maximum; alarm when one distance exceeds the threshold, after which the test starts anew.
///
/// ```
/// use llmops_stats::drift::{Direction, PageHinkley, PageHinkleyOptions};
/// let options = PageHinkleyOptions { threshold: 2.0, ..PageHinkleyOptions::default() };
/// let mut test = PageHinkley::new(options).unwrap();
/// for _ in 0..100 {
///     assert_eq!(test.push(0.8).unwrap(), None);
/// }
/// let alarm = (0..50).find_map(|_| test.push(0.6).unwrap());
/// assert_eq!(alarm, Some(Direction::Down));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    options: PageHinkleyOptions,
    n: u64,
    mean: f64,
    up: f64,
    down: f64,
    least_up: f64,
    most_down: f64,
}

impl PageHinkley {
    /// A test from its parameters.
    ///
    /// Errors: a parameter outside its range.
    ///
    /// ```
    /// use llmops_stats::drift::{PageHinkley, PageHinkleyOptions};
    /// assert!(PageHinkley::new(PageHinkleyOptions { alpha: 0.0, ..Default::default() }).is_err());
    /// ```
    pub fn new(options: PageHinkleyOptions) -> Result<Self> {
        check_positive("threshold", options.threshold)?;
        if !(options.delta >= 0.0 && options.delta.is_finite()) {
            let expected = "at least 0 and finite";
            return Err(StatsError::OutOfRange { what: "delta", value: options.delta, expected });
        }
        if !(options.alpha > 0.0 && options.alpha <= 1.0) {
            return Err(StatsError::OutOfRange { what: "alpha", value: options.alpha, expected: "in (0, 1]" });
        }
        Ok(Self { options, n: 0, mean: 0.0, up: 0.0, down: 0.0, least_up: 0.0, most_down: 0.0 })
    }

    /// Adds a value; the direction when the alarm is raised.
    ///
    /// Errors: a NaN or infinite value, which leaves the test as it was.
    ///
    /// ```
    /// let mut test = llmops_stats::drift::PageHinkley::new(Default::default()).unwrap();
    /// assert_eq!(test.push(0.5).unwrap(), None);
    /// ```
    pub fn push(&mut self, value: f64) -> Result<Option<Direction>> {
        check_value(value, self.n)?;
        let PageHinkleyOptions { min_values, delta, threshold, alpha } = self.options;
        self.n += 1;
        self.mean += (value - self.mean) / self.n as f64;
        let deviation = value - self.mean;
        self.up = alpha * self.up + deviation - delta;
        self.down = alpha * self.down + deviation + delta;
        let first = self.n == 1;
        self.least_up = if first { self.up } else { self.least_up.min(self.up) };
        self.most_down = if first { self.down } else { self.most_down.max(self.down) };
        if self.n < min_values {
            return Ok(None);
        }
        let alarm = if self.up - self.least_up > threshold {
            Some(Direction::Up)
        } else if self.most_down - self.down > threshold {
            Some(Direction::Down)
        } else {
            None
        };
        if alarm.is_some() {
            *self = Self { n: 0, mean: 0.0, up: 0.0, down: 0.0, least_up: 0.0, most_down: 0.0, ..*self };
        }
        Ok(alarm)
    }
}
