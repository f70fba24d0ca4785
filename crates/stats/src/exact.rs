//! Sums that can be taken back: a sum of floating-point numbers held in two words, so that what was added can be
//! subtracted later without leaving a trace, and so that the order of arrival does not show.
//!
//! The arithmetic is the error-free transformation of Knuth (two-sum) and Dekker (two-product, by fused multiply-add);
//! a sum carries about 106 bits.

use serde::{Deserialize, Serialize};

/// Relative size of what rounding one summand can leave of a difference that is 0: 2⁻¹⁰⁴.
const NOISE: f64 = 4.93e-32;

/// A sum with its rounding error.
///
/// ```
/// use llmops_stats::exact::ExactSum;
/// let mut sum = ExactSum::default();
/// for value in [1e16, 0.1, -1e16] {
///     sum.add(value);
/// }
/// assert_eq!(sum.value(), 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub struct ExactSum {
    high: f64,
    low: f64,
}

impl From<(f64, f64)> for ExactSum {
    fn from((high, low): (f64, f64)) -> Self {
        Self { high, low }
    }
}

impl From<ExactSum> for (f64, f64) {
    fn from(sum: ExactSum) -> Self {
        (sum.high, sum.low)
    }
}

impl ExactSum {
    /// Adds a number.
    ///
    /// ```
    /// let mut sum = llmops_stats::exact::ExactSum::default();
    /// sum.add(0.5);
    /// assert_eq!(sum.value(), 0.5);
    /// ```
    pub fn add(&mut self, value: f64) {
        self.merge(Self { high: value, low: 0.0 });
    }

    /// Adds the product of two numbers, unrounded.
    ///
    /// ```
    /// let mut sum = llmops_stats::exact::ExactSum::default();
    /// sum.add_product(0.1, 0.1);
    /// sum.add_product(-0.1, 0.1);
    /// assert_eq!(sum.value(), 0.0);
    /// ```
    pub fn add_product(&mut self, a: f64, b: f64) {
        let high = a * b;
        self.merge(Self { high, low: a.mul_add(b, -high) });
    }

    /// Adds another sum.
    ///
    /// ```
    /// let mut sum = llmops_stats::exact::ExactSum::default();
    /// sum.merge(sum);
    /// assert_eq!(sum.value(), 0.0);
    /// ```
    pub fn merge(&mut self, other: Self) {
        let (high, error) = two_sum(self.high, other.high);
        let (low, rest) = two_sum(self.low, other.low);
        let (high, error) = fast_two_sum(high, error + low);
        let (high, low) = fast_two_sum(high, error + rest);
        *self = Self { high, low };
    }

    /// The sum, rounded once.
    ///
    /// ```
    /// assert_eq!(llmops_stats::exact::ExactSum::default().value(), 0.0);
    /// ```
    pub fn value(self) -> f64 {
        self.high + self.low
    }

    /// The sum divided by n, rounded once: equal numbers have themselves as their mean. 0 for n = 0.
    ///
    /// ```
    /// let mut sum = llmops_stats::exact::ExactSum::default();
    /// (0..3).for_each(|_| sum.add(0.1));
    /// assert_eq!(sum.mean(3), 0.1);
    /// ```
    pub fn mean(self, n: u64) -> f64 {
        let (first, second) = self.divided(n);
        first + second
    }

    /// The quotient in two words.
    fn divided(self, n: u64) -> (f64, f64) {
        if n == 0 {
            return (0.0, 0.0);
        }
        let n = n as f64;
        let first = self.high / n;
        (first, ((-first).mul_add(n, self.high) + self.low) / n)
    }

    /// Σ(a − ā)(b − b̄) = Σab − Σa·Σb/n of n pairs, where `self` is Σab: in two words, because the difference is small
    /// where the means are large.
    ///
    /// ```
    /// use llmops_stats::exact::ExactSum;
    /// let (mut sum, mut squares) = (ExactSum::default(), ExactSum::default());
    /// for value in [1e8, 1e8 + 1.0, 1e8 + 2.0] {
    ///     sum.add(value);
    ///     squares.add_product(value, value);
    /// }
    /// assert_eq!(squares.centred(sum, sum, 3), 2.0);
    /// let (mut sum, mut squares) = (ExactSum::default(), ExactSum::default());
    /// for _ in 0..50 {
    ///     sum.add(0.3);
    ///     squares.add_product(0.3, 0.3);
    /// }
    /// assert_eq!(squares.centred(sum, sum, 50), 0.0);
    /// ```
    pub fn centred(self, a: Self, b: Self, n: u64) -> f64 {
        // q = Σa/n in two words, then Σab − q·Σb.
        let (first, second) = a.divided(n);
        let mut total = self;
        total.add_product(-first, b.high);
        total.add_product(-first, b.low);
        total.add_product(-second, b.high);
        total.add_product(-second, b.low);
        // What is left of equal values is the rounding of the last of 106 bits, and not spread.
        let value = total.value();
        if value.abs() <= self.value().abs() * NOISE * (n as f64 + 8.0) { 0.0 } else { value }
    }
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// For |a| ≥ |b|.
fn fast_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}
