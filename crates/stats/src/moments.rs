//! Streaming moments: count, mean, spread and range of any number of values in constant memory.
//!
//! Welford (1962, Technometrics 4:419) for one value at a time; Chan, Golub & LeVeque (1983, The American Statistician
//! 37:242) to merge two parts. Parts may be accumulated anywhere and merged in any order, to rounding.

use crate::dist::t_critical;
use crate::error::{Result, StatsError, check_count, check_open_unit, is_usable};
use crate::result::{Estimate, Interval, Method};
use serde::{Deserialize, Serialize};

/// Count, mean, sum of squared deviations, minimum and maximum of a stream.
///
/// ```
/// use llmops_stats::moments::Moments;
/// let mut left = Moments::from_slice(&[1.0, 2.0]).unwrap();
/// left.merge(&Moments::from_slice(&[3.0, 6.0]).unwrap());
/// assert_eq!((left.n(), left.mean()), (4, Some(3.0)));
/// assert_eq!(left.variance(), Some(14.0 / 3.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    n: u64,
    mean: f64,
    m2: f64,
    min: f64,
    max: f64,
}

impl Moments {
    /// Moments of no values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::new().mean(), None);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Moments of a slice; refuses NaN and infinite values with their index.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[2.0, 4.0]).unwrap().sum(), 6.0);
    /// ```
    pub fn from_slice(values: &[f64]) -> Result<Self> {
        let mut moments = Self::new();
        for &value in values {
            moments.push(value)?;
        }
        Ok(moments)
    }

    /// Moments from stored parts: `m2` is Σ(x − mean)², `min` ≤ `mean` ≤ `max`.
    ///
    /// ```
    /// use llmops_stats::moments::Moments;
    /// assert_eq!(Moments::from_parts(2, 3.0, 2.0, 2.0, 4.0).unwrap(), Moments::from_slice(&[2.0, 4.0]).unwrap());
    /// ```
    pub fn from_parts(n: u64, mean: f64, m2: f64, min: f64, max: f64) -> Result<Self> {
        if n == 0 {
            return Ok(Self::new());
        }
        if let Some(index) = [mean, m2, min, max].iter().position(|part| !part.is_finite()) {
            return Err(StatsError::NotFinite { index });
        }
        if m2 < 0.0 {
            return Err(StatsError::OutOfRange { what: "m2", value: m2, expected: "at least 0" });
        }
        Ok(Self { n, mean, m2, min, max })
    }

    /// Moments of `successes` ones and `total − successes` zeros.
    ///
    /// ```
    /// let rate = llmops_stats::moments::Moments::from_rate(3, 4).unwrap();
    /// assert_eq!(rate.mean(), Some(0.75));
    /// ```
    pub fn from_rate(successes: u64, total: u64) -> Result<Self> {
        crate::error::check_rate(successes, total)?;
        let (hits, n) = (successes as f64, total as f64);
        let (min, max) = (f64::from(u8::from(successes == total)), f64::from(u8::from(successes > 0)));
        Ok(Self { n: total, mean: hits / n, m2: hits * (n - hits) / n, min, max })
    }

    /// Adds one value; a NaN or infinite value is refused and leaves the moments as they were.
    ///
    /// ```
    /// let mut moments = llmops_stats::moments::Moments::new();
    /// moments.push(1.5).unwrap();
    /// assert!(moments.push(f64::INFINITY).is_err());
    /// assert_eq!(moments.n(), 1);
    /// ```
    pub fn push(&mut self, value: f64) -> Result<()> {
        if !is_usable(value) {
            return Err(StatsError::NotFinite { index: usize::try_from(self.n).unwrap_or(usize::MAX) });
        }
        if self.n == 0 {
            (self.min, self.max) = (value, value);
        }
        self.n += 1;
        let before = value - self.mean;
        self.mean += before / self.n as f64;
        self.m2 += before * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        Ok(())
    }

    /// Adds all values of another stream.
    ///
    /// ```
    /// use llmops_stats::moments::Moments;
    /// let mut all = Moments::new();
    /// all.merge(&Moments::from_slice(&[1.0, 3.0]).unwrap());
    /// assert_eq!(all.mean(), Some(2.0));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (left, right) = (self.n as f64, other.n as f64);
        let total = left + right;
        let delta = other.mean - self.mean;
        self.n += other.n;
        self.mean += delta * right / total;
        self.m2 += other.m2 + delta * delta * left * right / total;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 1.0]).unwrap().n(), 2);
    /// ```
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Arithmetic mean; `None` of no values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 2.0]).unwrap().mean(), Some(1.5));
    /// ```
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then_some(self.mean)
    }

    /// Sum, to rounding; 0 of no values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::new().sum(), 0.0);
    /// ```
    pub fn sum(&self) -> f64 {
        self.mean * self.n as f64
    }

    /// Sum of squared deviations from the mean, Σ(x − x̄)².
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 3.0]).unwrap().m2(), 2.0);
    /// ```
    pub fn m2(&self) -> f64 {
        self.m2
    }

    /// Sample variance Σ(x − x̄)² / (n − 1); `None` below two values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 3.0]).unwrap().variance(), Some(2.0));
    /// ```
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.m2 / (self.n - 1) as f64)
    }

    /// Sample standard deviation; `None` below two values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 1.0]).unwrap().sd(), Some(0.0));
    /// ```
    pub fn sd(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// Standard error of the mean, sd / √n; `None` below two values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[1.0, 3.0]).unwrap().sem(), Some(1.0));
    /// ```
    pub fn sem(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.n as f64).sqrt())
    }

    /// Smallest value; `None` of no values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[4.0, 3.0]).unwrap().min(), Some(3.0));
    /// ```
    pub fn min(&self) -> Option<f64> {
        (self.n > 0).then_some(self.min)
    }

    /// Largest value; `None` of no values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::Moments::from_slice(&[4.0, 3.0]).unwrap().max(), Some(4.0));
    /// ```
    pub fn max(&self) -> Option<f64> {
        (self.n > 0).then_some(self.max)
    }

    /// The mean with its t-interval x̄ ± t(n−1)·s/√n; value alone for one observation.
    ///
    /// Errors: [`StatsError::TooFew`] of no values, [`StatsError::OutOfRange`] for a level outside (0, 1).
    ///
    /// ```
    /// let estimate = llmops_stats::moments::Moments::from_slice(&[1.0, 2.0, 3.0]).unwrap().mean_estimate(0.95).unwrap();
    /// assert!((estimate.interval.unwrap().high - 4.484_137_7).abs() < 1e-6);
    /// ```
    pub fn mean_estimate(&self, level: f64) -> Result<Estimate> {
        check_open_unit("level", level)?;
        check_count("observations", 1, self.n)?;
        let se = self.sem();
        let df = (self.n > 1).then(|| (self.n - 1) as f64);
        let interval = se.zip(df).map(|(se, df)| Interval::around(self.mean, t_critical(level, df) * se, level));
        Ok(Estimate { method: Method::MeanT, n: self.n, value: self.mean, se, df, interval })
    }
}

/// Joint moments of a stream of pairs (x, y): both means, both spreads and the co-moment Σ(x − x̄)(y − ȳ).
///
/// ```
/// use llmops_stats::moments::PairMoments;
/// let mut pairs = PairMoments::new();
/// for (x, y) in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)] {
///     pairs.push(x, y).unwrap();
/// }
/// assert_eq!(pairs.covariance(), Some(2.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PairMoments {
    n: u64,
    mean_x: f64,
    mean_y: f64,
    m2_x: f64,
    m2_y: f64,
    c_xy: f64,
}

impl PairMoments {
    /// Moments of no pairs.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::PairMoments::new().n(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Moments of two slices of equal length.
    ///
    /// ```
    /// let pairs = llmops_stats::moments::PairMoments::from_slices(&[1.0, 3.0], &[5.0, 1.0]).unwrap();
    /// assert_eq!(pairs.covariance(), Some(-4.0));
    /// ```
    pub fn from_slices(x: &[f64], y: &[f64]) -> Result<Self> {
        crate::error::check_pairs(x, y)?;
        let mut pairs = Self::new();
        for (&x, &y) in x.iter().zip(y) {
            pairs.push(x, y)?;
        }
        Ok(pairs)
    }

    /// Moments from stored parts: the means of x and y, and Σ(x − x̄)², Σ(y − ȳ)², Σ(x − x̄)(y − ȳ).
    ///
    /// ```
    /// use llmops_stats::moments::PairMoments;
    /// let parts = PairMoments::from_parts(2, (2.0, 3.0), (2.0, 8.0, -4.0)).unwrap();
    /// assert_eq!(parts, PairMoments::from_slices(&[1.0, 3.0], &[5.0, 1.0]).unwrap());
    /// ```
    pub fn from_parts(n: u64, (mean_x, mean_y): (f64, f64), (m2_x, m2_y, c_xy): (f64, f64, f64)) -> Result<Self> {
        if n == 0 {
            return Ok(Self::new());
        }
        if let Some(index) = [mean_x, mean_y, m2_x, m2_y, c_xy].iter().position(|part| !part.is_finite()) {
            return Err(StatsError::NotFinite { index });
        }
        if let Some(&value) = [m2_x, m2_y].iter().find(|part| **part < 0.0) {
            return Err(StatsError::OutOfRange { what: "m2", value, expected: "at least 0" });
        }
        Ok(Self { n, mean_x, mean_y, m2_x, m2_y, c_xy })
    }

    /// Adds one pair; a NaN or infinite member is refused and leaves the moments as they were.
    ///
    /// ```
    /// let mut pairs = llmops_stats::moments::PairMoments::new();
    /// assert!(pairs.push(1.0, f64::NAN).is_err());
    /// ```
    pub fn push(&mut self, x: f64, y: f64) -> Result<()> {
        if !(is_usable(x) && is_usable(y)) {
            return Err(StatsError::NotFinite { index: usize::try_from(self.n).unwrap_or(usize::MAX) });
        }
        self.n += 1;
        let n = self.n as f64;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / n;
        self.mean_y += dy / n;
        self.m2_x += dx * (x - self.mean_x);
        self.m2_y += dy * (y - self.mean_y);
        self.c_xy += dx * (y - self.mean_y);
        Ok(())
    }

    /// Adds all pairs of another stream.
    ///
    /// ```
    /// use llmops_stats::moments::PairMoments;
    /// let mut all = PairMoments::from_slices(&[1.0], &[2.0]).unwrap();
    /// all.merge(&PairMoments::from_slices(&[3.0], &[6.0]).unwrap());
    /// assert_eq!(all.covariance(), Some(4.0));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (left, right) = (self.n as f64, other.n as f64);
        let total = left + right;
        let weight = left * right / total;
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        self.n += other.n;
        self.mean_x += dx * right / total;
        self.mean_y += dy * right / total;
        self.m2_x += other.m2_x + dx * dx * weight;
        self.m2_y += other.m2_y + dy * dy * weight;
        self.c_xy += other.c_xy + dx * dy * weight;
    }

    /// How many pairs.
    ///
    /// ```
    /// assert_eq!(llmops_stats::moments::PairMoments::from_slices(&[1.0], &[2.0]).unwrap().n(), 1);
    /// ```
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Means of x and y; `None` of no pairs.
    ///
    /// ```
    /// let pairs = llmops_stats::moments::PairMoments::from_slices(&[1.0, 3.0], &[2.0, 2.0]).unwrap();
    /// assert_eq!(pairs.means(), Some((2.0, 2.0)));
    /// ```
    pub fn means(&self) -> Option<(f64, f64)> {
        (self.n > 0).then_some((self.mean_x, self.mean_y))
    }

    /// Sample variances of x and y; `None` below two pairs.
    ///
    /// ```
    /// let pairs = llmops_stats::moments::PairMoments::from_slices(&[1.0, 3.0], &[2.0, 2.0]).unwrap();
    /// assert_eq!(pairs.variances(), Some((2.0, 0.0)));
    /// ```
    pub fn variances(&self) -> Option<(f64, f64)> {
        (self.n > 1).then(|| {
            let scale = (self.n - 1) as f64;
            (self.m2_x / scale, self.m2_y / scale)
        })
    }

    /// Sample covariance; `None` below two pairs.
    ///
    /// ```
    /// let pairs = llmops_stats::moments::PairMoments::from_slices(&[1.0, 3.0], &[2.0, 4.0]).unwrap();
    /// assert_eq!(pairs.covariance(), Some(2.0));
    /// ```
    pub fn covariance(&self) -> Option<f64> {
        (self.n > 1).then(|| self.c_xy / (self.n - 1) as f64)
    }

    /// Pearson's correlation; `None` below two pairs or when x or y is constant.
    ///
    /// ```
    /// let pairs = llmops_stats::moments::PairMoments::from_slices(&[1.0, 3.0], &[2.0, 4.0]).unwrap();
    /// assert!((pairs.correlation().unwrap() - 1.0).abs() < 1e-12);
    /// ```
    pub fn correlation(&self) -> Option<f64> {
        (self.m2_x > 0.0 && self.m2_y > 0.0)
            .then(|| (self.c_xy / (self.m2_x.sqrt() * self.m2_y.sqrt())).clamp(-1.0, 1.0))
    }
}
