//! ADWIN, the adaptive window.

use super::{Direction, check_value};
use crate::error::{Result, StatsError, check_open_unit};
use crate::moments::Moments;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Buckets of one size before two of them are merged.
const BUCKETS_PER_SIZE: usize = 5;

/// Parameters of [`Adwin`].
///
/// ```
/// let options = llmops_stats::drift::AdwinOptions::default();
/// assert_eq!((options.delta, options.clock, options.min_part, options.grace), (0.002, 32, 5, 10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdwinOptions {
    /// Confidence of the cuts: the bound on false alarms, in (0, 1); 0.002 unless said otherwise.
    pub delta: f64,
    /// Values between two searches for a cut, at least 1; 32 unless said otherwise.
    pub clock: u64,
    /// Smallest part of the window that is compared; 5 unless said otherwise.
    pub min_part: u64,
    /// Values before the first search; 10 unless said otherwise.
    pub grace: u64,
}

impl Default for AdwinOptions {
    fn default() -> Self {
        Self { delta: 0.002, clock: 32, min_part: 5, grace: 10 }
    }
}

/// A window that grows while its mean is steady and drops its older part when two parts differ (Bifet & Gavaldà 2007, SIAM
/// Data Mining, "Learning from Time-Changing Data with Adaptive Windowing").
///
/// Values are kept as an exponential histogram of moments, so memory is logarithmic in the window. Two parts of n₀ and n₁
/// values differ when |μ₀ − μ₁| > √(2m σ² ln(2 ln(n)/δ)) + ⅔ m ln(2 ln(n)/δ), m = 1/n₀ + 1/n₁ (each less the smallest
/// part, plus 1, as implementations have it). Meant for values in [0, 1].
///
/// ```
/// use llmops_stats::drift::{Adwin, Direction};
/// let mut window = Adwin::new(Default::default()).unwrap();
/// for i in 0..500 {
///     assert_eq!(window.push(if i % 5 == 0 { 0.7 } else { 0.85 }).unwrap(), None);
/// }
/// let alarm = (0..200).find_map(|i| window.push(if i % 5 == 0 { 0.3 } else { 0.5 }).unwrap());
/// assert_eq!(alarm, Some(Direction::Down));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    options: AdwinOptions,
    /// Newest first; row i holds buckets of 2^i values, newest first.
    rows: Vec<VecDeque<Moments>>,
    window: Moments,
    seen: u64,
}

impl Adwin {
    /// An empty window.
    ///
    /// Errors: δ outside (0, 1), a clock of 0.
    ///
    /// ```
    /// use llmops_stats::drift::{Adwin, AdwinOptions};
    /// assert!(Adwin::new(AdwinOptions { delta: 1.0, ..Default::default() }).is_err());
    /// ```
    pub fn new(options: AdwinOptions) -> Result<Self> {
        check_open_unit("delta", options.delta)?;
        if options.clock == 0 {
            return Err(StatsError::OutOfRange { what: "clock", value: 0.0, expected: "at least 1" });
        }
        Ok(Self { options, rows: vec![VecDeque::new()], window: Moments::new(), seen: 0 })
    }

    /// Adds a value; the direction in which the mean moved when older values were dropped.
    ///
    /// Errors: a NaN or infinite value, which leaves the window as it was.
    ///
    /// ```
    /// let mut window = llmops_stats::drift::Adwin::new(Default::default()).unwrap();
    /// assert_eq!(window.push(0.5).unwrap(), None);
    /// assert_eq!(window.width(), 1);
    /// ```
    pub fn push(&mut self, value: f64) -> Result<Option<Direction>> {
        check_value(value, self.seen)?;
        let single = Moments::from_slice(&[value])?;
        self.seen += 1;
        self.rows[0].push_front(single);
        self.window.merge(&single);
        self.compress();
        if !self.seen.is_multiple_of(self.options.clock) || self.window.n() <= self.options.grace {
            return Ok(None);
        }
        let mut moved = None;
        while let Some(direction) = self.cut() {
            moved = moved.or(Some(direction));
            self.drop_oldest();
        }
        Ok(moved)
    }

    /// Values in the window.
    ///
    /// ```
    /// assert_eq!(llmops_stats::drift::Adwin::new(Default::default()).unwrap().width(), 0);
    /// ```
    pub fn width(&self) -> u64 {
        self.window.n()
    }

    /// Moments of the window.
    ///
    /// ```
    /// let mut window = llmops_stats::drift::Adwin::new(Default::default()).unwrap();
    /// window.push(0.5).unwrap();
    /// assert_eq!(window.window().mean(), Some(0.5));
    /// ```
    pub fn window(&self) -> &Moments {
        &self.window
    }

    fn compress(&mut self) {
        let mut row = 0;
        while self.rows[row].len() > BUCKETS_PER_SIZE {
            let (oldest, next) = (self.rows[row].pop_back(), self.rows[row].pop_back());
            if row + 1 == self.rows.len() {
                self.rows.push(VecDeque::new());
            }
            if let (Some(mut merged), Some(next)) = (oldest, next) {
                merged.merge(&next);
                self.rows[row + 1].push_front(merged);
            }
            row += 1;
        }
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Moments> {
        self.rows.iter().rev().flat_map(|row| row.iter().rev())
    }

    /// The direction of the first cut, from the oldest bucket on, at which both sides differ.
    fn cut(&self) -> Option<Direction> {
        let n = self.window.n() as f64;
        let variance = self.window.m2() / n;
        let delta = (2.0 * n.ln() / self.options.delta).ln();
        let least = self.options.min_part as f64;
        let total = self.window.sum();
        let (mut n0, mut sum0) = (0.0, 0.0);
        for bucket in self.oldest_first() {
            n0 += bucket.n() as f64;
            sum0 += bucket.sum();
            let n1 = n - n0;
            if n0 <= least || n1 <= least {
                continue;
            }
            let m = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0);
            let margin = (2.0 * m * variance * delta).sqrt() + 2.0 / 3.0 * m * delta;
            let difference = (total - sum0) / n1 - sum0 / n0;
            if difference.abs() > margin {
                return Some(if difference > 0.0 { Direction::Up } else { Direction::Down });
            }
        }
        None
    }

    fn drop_oldest(&mut self) {
        while self.rows.len() > 1 && self.rows[self.rows.len() - 1].is_empty() {
            self.rows.pop();
        }
        let last = self.rows.len() - 1;
        self.rows[last].pop_back();
        // Merged anew rather than subtracted: rounding cannot pile up.
        let mut window = Moments::new();
        self.oldest_first().for_each(|bucket| window.merge(bucket));
        self.window = window;
    }
}
