//! Control charts against a known reference: EWMA and CUSUM.

use super::{Direction, check_value};
use crate::error::{Result, StatsError, check_positive};
use crate::moments::Moments;
use serde::{Deserialize, Serialize};

/// Mean and standard deviation of the series when all is well.
///
/// ```
/// use llmops_stats::{drift::Reference, moments::Moments};
/// let reference = Reference::from_moments(&Moments::from_slice(&[0.7, 0.8, 0.9]).unwrap()).unwrap();
/// assert!((reference.mean() - 0.8).abs() < 1e-12 && (reference.sd() - 0.1).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    mean: f64,
    sd: f64,
}

impl Reference {
    /// A reference from its parameters.
    ///
    /// Errors: a mean that is not finite, a standard deviation that is not positive.
    ///
    /// ```
    /// assert!(llmops_stats::drift::Reference::new(0.8, 0.0).is_err());
    /// ```
    pub fn new(mean: f64, sd: f64) -> Result<Self> {
        check_positive("standard deviation", sd)?;
        if !mean.is_finite() {
            return Err(StatsError::OutOfRange { what: "mean", value: mean, expected: "finite" });
        }
        Ok(Self { mean, sd })
    }

    /// A reference from past values.
    ///
    /// Errors: fewer than 2 values, all values equal ([`StatsError::NoVariation`]).
    ///
    /// ```
    /// use llmops_stats::{drift::Reference, moments::Moments};
    /// assert!(Reference::from_moments(&Moments::from_slice(&[0.5, 0.5]).unwrap()).is_err());
    /// ```
    pub fn from_moments(past: &Moments) -> Result<Self> {
        match (past.mean(), past.sd()) {
            (Some(mean), Some(sd)) if sd > 0.0 => Self::new(mean, sd),
            (Some(_), Some(_)) => Err(StatsError::NoVariation { what: "the reference values" }),
            _ => Err(StatsError::TooFew { what: "reference values", needed: 2, got: past.n() }),
        }
    }

    /// Its mean.
    ///
    /// ```
    /// assert_eq!(llmops_stats::drift::Reference::new(0.8, 0.1).unwrap().mean(), 0.8);
    /// ```
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Its standard deviation.
    ///
    /// ```
    /// assert_eq!(llmops_stats::drift::Reference::new(0.8, 0.1).unwrap().sd(), 0.1);
    /// ```
    pub fn sd(&self) -> f64 {
        self.sd
    }
}

/// Exponentially weighted moving average chart (Roberts 1959, Technometrics 1:239; Montgomery 2013, §9.2).
///
/// z_t = λx_t + (1 − λ)z_{t−1} from z₀ = μ; alarm when |z_t − μ| > L·σ√( λ/(2 − λ) · (1 − (1 − λ)^{2t}) ). λ = 0.2 and
/// L = 2.86 give a false alarm about every 370 values.
///
/// ```
/// use llmops_stats::drift::{Direction, Ewma, Reference};
/// let mut chart = Ewma::new(Reference::new(0.8, 0.05).unwrap(), 0.2, 2.86).unwrap();
/// assert_eq!(chart.push(0.81).unwrap(), None);
/// let alarm = (0..10).find_map(|_| chart.push(0.74).unwrap());
/// assert_eq!(alarm, Some(Direction::Down));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ewma {
    reference: Reference,
    lambda: f64,
    limit: f64,
    n: u64,
    average: f64,
}

impl Ewma {
    /// A chart with smoothing `lambda` in (0, 1] and alarm limit `limit` in standard errors.
    ///
    /// ```
    /// use llmops_stats::drift::{Ewma, Reference};
    /// assert!(Ewma::new(Reference::new(0.0, 1.0).unwrap(), 1.5, 3.0).is_err());
    /// ```
    pub fn new(reference: Reference, lambda: f64, limit: f64) -> Result<Self> {
        if !(lambda > 0.0 && lambda <= 1.0) {
            return Err(StatsError::OutOfRange { what: "lambda", value: lambda, expected: "in (0, 1]" });
        }
        check_positive("limit", limit)?;
        Ok(Self { reference, lambda, limit, n: 0, average: reference.mean })
    }

    /// Adds a value; the direction when the average is beyond its limit.
    ///
    /// Errors: a NaN or infinite value, which leaves the chart as it was.
    ///
    /// ```
    /// use llmops_stats::drift::{Direction, Ewma, Reference};
    /// let mut chart = Ewma::new(Reference::new(0.0, 1.0).unwrap(), 1.0, 3.0).unwrap();
    /// assert_eq!(chart.push(4.0).unwrap(), Some(Direction::Up));
    /// ```
    pub fn push(&mut self, value: f64) -> Result<Option<Direction>> {
        check_value(value, self.n)?;
        self.n += 1;
        self.average += self.lambda * (value - self.average);
        // Logarithms, so that no count is too large for the power.
        let settled = -(2.0 * self.n as f64 * (-self.lambda).ln_1p()).exp_m1();
        let margin = self.limit * self.reference.sd * (self.lambda / (2.0 - self.lambda) * settled).sqrt();
        let distance = self.average - self.reference.mean;
        Ok((distance.abs() > margin).then_some(if distance > 0.0 { Direction::Up } else { Direction::Down }))
    }

    /// The current average.
    ///
    /// ```
    /// use llmops_stats::drift::{Ewma, Reference};
    /// assert_eq!(Ewma::new(Reference::new(0.8, 0.1).unwrap(), 0.2, 3.0).unwrap().average(), 0.8);
    /// ```
    pub fn average(&self) -> f64 {
        self.average
    }
}

/// Two-sided tabular cumulative sum chart (Page 1954, Biometrika 41:100; Montgomery 2013, §9.1).
///
/// With u = (x − μ)/σ: C⁺ = max(0, C⁺ + u − k), C⁻ = max(0, C⁻ − u − k); alarm when one exceeds h, which then starts
/// again from 0. k is half the shift to detect, in standard deviations; k = 0.5, h = 4.77 give a false alarm about every
/// 370 values.
///
/// ```
/// use llmops_stats::drift::{Cusum, Direction, Reference};
/// let mut chart = Cusum::new(Reference::new(0.8, 0.05).unwrap(), 0.5, 4.77).unwrap();
/// let alarm = (0..20).find_map(|_| chart.push(0.75).unwrap());
/// assert_eq!(alarm, Some(Direction::Down));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    reference: Reference,
    slack: f64,
    limit: f64,
    n: u64,
    up: f64,
    down: f64,
}

impl Cusum {
    /// A chart with slack `slack` (k ≥ 0) and limit `limit` (h > 0), both in standard deviations.
    ///
    /// ```
    /// use llmops_stats::drift::{Cusum, Reference};
    /// assert!(Cusum::new(Reference::new(0.0, 1.0).unwrap(), -1.0, 5.0).is_err());
    /// ```
    pub fn new(reference: Reference, slack: f64, limit: f64) -> Result<Self> {
        if !(slack >= 0.0 && slack.is_finite()) {
            return Err(StatsError::OutOfRange { what: "slack", value: slack, expected: "at least 0 and finite" });
        }
        check_positive("limit", limit)?;
        Ok(Self { reference, slack, limit, n: 0, up: 0.0, down: 0.0 })
    }

    /// Adds a value; the direction when a sum passes its limit.
    ///
    /// Errors: a NaN or infinite value, which leaves the chart as it was.
    ///
    /// ```
    /// use llmops_stats::drift::{Cusum, Direction, Reference};
    /// let mut chart = Cusum::new(Reference::new(0.0, 1.0).unwrap(), 0.5, 4.0).unwrap();
    /// assert_eq!(chart.push(3.0).unwrap(), None);
    /// assert_eq!(chart.push(3.0).unwrap(), Some(Direction::Up));
    /// ```
    pub fn push(&mut self, value: f64) -> Result<Option<Direction>> {
        check_value(value, self.n)?;
        self.n += 1;
        let u = (value - self.reference.mean) / self.reference.sd;
        self.up = (self.up + u - self.slack).max(0.0);
        self.down = (self.down - u - self.slack).max(0.0);
        if self.up > self.limit {
            self.up = 0.0;
            return Ok(Some(Direction::Up));
        }
        if self.down > self.limit {
            self.down = 0.0;
            return Ok(Some(Direction::Down));
        }
        Ok(None)
    }

    /// The sums C⁺ and C⁻, in standard deviations.
    ///
    /// ```
    /// use llmops_stats::drift::{Cusum, Reference};
    /// let mut chart = Cusum::new(Reference::new(0.0, 1.0).unwrap(), 0.5, 4.0).unwrap();
    /// chart.push(2.0).unwrap();
    /// assert_eq!(chart.sums(), (1.5, 0.0));
    /// ```
    pub fn sums(&self) -> (f64, f64) {
        (self.up, self.down)
    }
}
