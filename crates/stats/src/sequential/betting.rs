//! Betting confidence sequences for means of values in [0, 1] (Waudby-Smith & Ramdas 2024, JRSS B 86:1; arXiv
//! 2010.09686, §4.1): valid at every n, and as narrow as the variance of the data allows.
//!
//! For each candidate mean m two gamblers bet that the truth is above or below it, with wealth
//! K⁺ = Π(1 + λ⁺(xᵢ − m)) and K⁻ = Π(1 − λ⁻(xᵢ − m)). Bets are the predictable plug-in
//! λ_t = √( 2 ln(2/α) / (σ̂²_{t−1} t ln(t + 1)) ), cut at ½/m and ½/(1 − m). A candidate is out once max(K⁺, K⁻)/2 ≥ 1/α.

use crate::error::{Result, StatsError, check_open_unit};
use crate::result::{Estimate, Interval, Method};
use serde::{Deserialize, Serialize};

/// Candidate means, from 0 to 1; the interval is widened to the next candidate outwards, so that the grid costs width
/// (at most 1/500) and never coverage.
const CANDIDATES: usize = 501;

/// A betting confidence sequence: push values as they come, look as often as wanted. Constant memory.
///
/// ```
/// use llmops_stats::sequential::betting::BettingSequence;
/// let mut sequence = BettingSequence::new(0.95).unwrap();
/// for i in 0..500 {
///     sequence.push(if i % 10 == 0 { 0.0 } else { 1.0 }).unwrap();
/// }
/// let interval = sequence.interval();
/// assert!(interval.contains(0.9) && interval.width() < 0.1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BettingSequence {
    level: f64,
    n: u64,
    sum: f64,
    /// Σ(xᵢ − μ̂ᵢ)² with the running mean including xᵢ, as the plug-in variance is defined.
    squares: f64,
    log_up: Vec<f64>,
    log_down: Vec<f64>,
    /// First and last candidate that was never ruled out.
    first: usize,
    last: usize,
}

impl BettingSequence {
    /// A sequence of time-uniform coverage `level`, in (0, 1).
    ///
    /// ```
    /// use llmops_stats::sequential::betting::BettingSequence;
    /// assert!(BettingSequence::new(1.0).is_err());
    /// let fresh = BettingSequence::new(0.9).unwrap().interval();
    /// assert_eq!((fresh.low, fresh.high), (0.0, 1.0));
    /// ```
    pub fn new(level: f64) -> Result<Self> {
        check_open_unit("level", level)?;
        let (log_up, log_down) = (vec![0.0; CANDIDATES], vec![0.0; CANDIDATES]);
        Ok(Self { level, n: 0, sum: 0.0, squares: 0.0, log_up, log_down, first: 0, last: CANDIDATES - 1 })
    }

    /// Adds a value in [0, 1]; another value is refused and leaves the sequence as it was.
    ///
    /// ```
    /// let mut sequence = llmops_stats::sequential::betting::BettingSequence::new(0.95).unwrap();
    /// assert!(sequence.push(1.5).is_err());
    /// assert!(sequence.push(f64::NAN).is_err());
    /// ```
    pub fn push(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(StatsError::NotFinite { index: usize::try_from(self.n).unwrap_or(usize::MAX) });
        }
        if !(0.0..=1.0).contains(&value) {
            return Err(StatsError::OutOfRange { what: "value", value, expected: "between 0 and 1" });
        }
        let alpha = 1.0 - self.level;
        let t = self.n as f64 + 1.0;
        // The bet may know the past only: variance of the first t − 1 values, with a prior observation of ¼.
        let variance = (0.25 + self.squares) / t;
        let bet = (2.0 * (2.0 / alpha).ln() / (variance * t * t.ln_1p())).sqrt();
        self.wager(value, bet);
        self.n += 1;
        self.sum += value;
        let centre = (0.5 + self.sum) / (t + 1.0);
        self.squares += (value - centre).powi(2);
        let limit = (2.0 / alpha).ln();
        let out = |index: usize| self.log_up[index].max(self.log_down[index]) >= limit;
        let (mut first, mut last) = (self.first, self.last);
        while first < last && out(first) {
            first += 1;
        }
        while last > first && out(last) {
            last -= 1;
        }
        (self.first, self.last) = (first, last);
        Ok(())
    }

    fn wager(&mut self, value: f64, bet: f64) {
        let step = 1.0 / (CANDIDATES - 1) as f64;
        for (index, (up, down)) in self.log_up.iter_mut().zip(&mut self.log_down).enumerate() {
            let m = index as f64 * step;
            // Division by 0 gives an infinite limit: at m = 0 nothing can be lost by betting upwards.
            *up += (bet.min(0.5 / m) * (value - m)).ln_1p();
            *down += (-bet.min(0.5 / (1.0 - m)) * (value - m)).ln_1p();
        }
    }

    /// The interval of the mean: all candidates never ruled out, widened by one step on both sides.
    ///
    /// ```
    /// let mut sequence = llmops_stats::sequential::betting::BettingSequence::new(0.95).unwrap();
    /// sequence.push(0.4).unwrap();
    /// assert_eq!(sequence.interval().level, 0.95);
    /// ```
    pub fn interval(&self) -> Interval {
        let steps = (CANDIDATES - 1) as f64;
        let low = self.first.saturating_sub(1) as f64 / steps;
        let high = (self.last + 1).min(CANDIDATES - 1) as f64 / steps;
        Interval { low, high, level: self.level }
    }

    /// The running mean with the interval.
    ///
    /// Errors: no values yet.
    ///
    /// ```
    /// let mut sequence = llmops_stats::sequential::betting::BettingSequence::new(0.95).unwrap();
    /// assert!(sequence.estimate().is_err());
    /// sequence.push(0.4).unwrap();
    /// assert_eq!(sequence.estimate().unwrap().value, 0.4);
    /// ```
    pub fn estimate(&self) -> Result<Estimate> {
        crate::error::check_count("observations", 1, self.n)?;
        Ok(Estimate {
            method: Method::Betting,
            n: self.n,
            value: self.sum / self.n as f64,
            se: None,
            df: None,
            interval: Some(self.interval()),
        })
    }
}

/// Interval of the difference treatment − control of two streams, by the union bound: give each stream the level
/// 1 − α/2 (0.975 for 95 %), and the result has level 1 − α.
///
/// ```
/// use llmops_stats::sequential::betting::{BettingSequence, difference_interval};
/// let stream = |value: f64| {
///     let mut sequence = BettingSequence::new(0.975).unwrap();
///     (0..300).for_each(|_| sequence.push(value).unwrap());
///     sequence
/// };
/// let interval = difference_interval(&stream(0.3), &stream(0.8));
/// assert!(interval.low > 0.0 && interval.contains(0.5));
/// assert!((interval.level - 0.95).abs() < 1e-12);
/// ```
pub fn difference_interval(control: &BettingSequence, treatment: &BettingSequence) -> Interval {
    let (before, after) = (control.interval(), treatment.interval());
    Interval {
        low: after.low - before.high,
        high: after.high - before.low,
        level: 1.0 - (1.0 - before.level) - (1.0 - after.level),
    }
}
