//! A mergeable sketch of a distribution for quantiles with a bounded relative error (Masson, Rim & Lee 2019, PVLDB 12:2195,
//! "DDSketch"), which also counts below a value, as variances of quantiles need.
//!
//! A positive value falls into the bucket ⌈ln x / ln γ⌉ with γ = (1 + a)/(1 − a) and relative accuracy a = 0.5 %. Within a
//! bucket, values are taken to be spread evenly: one that has a bucket of its own is known to a, several that share one and
//! lie at the same end of it to 2a.

use std::collections::BTreeMap;

use crate::error::{Result, StatsError, check_count, check_unit, is_usable};
use crate::quantile::Steps;
use serde::{Deserialize, Serialize};

/// The relative accuracy.
///
/// ```
/// // A median of 200 ms is found within one millisecond.
/// assert_eq!(200.0 * llmops_stats::sketch::ACCURACY, 1.0);
/// ```
pub const ACCURACY: f64 = 0.005;
/// Sizes below this are 0.
const SMALLEST: f64 = 1e-75;
/// Most buckets; beyond, the smallest sizes share one.
const MOST: usize = 4096;

/// Counts of values by size.
///
/// ```
/// use llmops_stats::sketch::Sketch;
/// let mut sketch = Sketch::default();
/// for value in 1..=1000 {
///     sketch.add(f64::from(value)).unwrap();
/// }
/// assert!((sketch.quantile(0.95).unwrap() - 950.0).abs() < 5.0);
/// assert!((sketch.below(500.0) - 500.0).abs() < 5.0);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sketch {
    n: u64,
    zeros: u64,
    /// Buckets by index of size.
    positive: BTreeMap<i32, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    negative: BTreeMap<i32, u64>,
}

impl Sketch {
    /// Adds a value.
    ///
    /// Errors: a value that is NaN, infinite or beyond 10⁷⁵.
    ///
    /// ```
    /// assert!(llmops_stats::sketch::Sketch::default().add(f64::NAN).is_err());
    /// ```
    pub fn add(&mut self, value: f64) -> Result<()> {
        if !is_usable(value) {
            return Err(StatsError::NotFinite { index: usize::try_from(self.n).unwrap_or(usize::MAX) });
        }
        self.n += 1;
        if value.abs() < SMALLEST {
            self.zeros += 1;
        } else {
            let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
            *side.entry(index(value.abs())).or_default() += 1;
            limit(side);
        }
        Ok(())
    }

    /// Takes a value out that was added before, whatever came between: the counts are as if it had never come. Without such a value
    /// nothing changes.
    ///
    /// Errors: as [`Sketch::add`].
    ///
    /// ```
    /// use llmops_stats::sketch::Sketch;
    /// let mut sketch = Sketch::default();
    /// sketch.add(-3.0).unwrap();
    /// let before = sketch.clone();
    /// sketch.add(9000.0).unwrap();
    /// sketch.remove(9000.0).unwrap();
    /// sketch.remove(9000.0).unwrap();
    /// assert_eq!(sketch, before);
    /// ```
    pub fn remove(&mut self, value: f64) -> Result<()> {
        if !is_usable(value) {
            return Err(StatsError::NotFinite { index: usize::try_from(self.n).unwrap_or(usize::MAX) });
        }
        if value.abs() < SMALLEST {
            self.n -= u64::from(self.zeros > 0);
            self.zeros = self.zeros.saturating_sub(1);
            return Ok(());
        }
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        let own = index(value.abs());
        // The smallest sizes may have been poured together, into the first that is left.
        let poured = side.first_key_value().map(|(first, _)| *first).filter(|first| side.len() >= MOST && own < *first);
        let place = poured.unwrap_or(own);
        if let Some(n) = side.get_mut(&place) {
            *n -= 1;
            self.n -= 1;
            if *n == 0 {
                side.remove(&place);
            }
        }
        Ok(())
    }

    /// Adds the values of another sketch.
    ///
    /// ```
    /// use llmops_stats::sketch::Sketch;
    /// let mut all = Sketch::default();
    /// all.add(3.0).unwrap();
    /// let part = all.clone();
    /// all.merge(&part);
    /// assert_eq!(all.n(), 2);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.zeros += other.zeros;
        for (side, part) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (index, n) in part {
                *side.entry(*index).or_default() += n;
            }
            limit(side);
        }
    }

    /// The sketch in few bytes: counts by bucket, as differences from the bucket before.
    ///
    /// ```
    /// use llmops_stats::sketch::Sketch;
    /// let mut sketch = Sketch::default();
    /// for value in [-2.0, 0.0, 1e-9, 7.5, 7.5] {
    ///     sketch.add(value).unwrap();
    /// }
    /// assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch));
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + 3 * (self.positive.len() + self.negative.len()));
        write_number(&mut bytes, self.zeros);
        for side in [&self.positive, &self.negative] {
            write_number(&mut bytes, side.len() as u64);
            let mut before = 0_i64;
            for (&index, &n) in side {
                let step = i64::from(index) - before;
                before = i64::from(index);
                // Zigzag: small steps of either sign are small numbers.
                write_number(&mut bytes, ((step << 1) ^ (step >> 63)).cast_unsigned());
                write_number(&mut bytes, n);
            }
        }
        bytes
    }

    /// What [`Sketch::to_bytes`] wrote; `None` of anything else.
    ///
    /// ```
    /// assert_eq!(llmops_stats::sketch::Sketch::from_bytes(&[1, 2, 3]), None);
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut sketch = Self { zeros: read_number(&mut rest)?, ..Self::default() };
        sketch.n = sketch.zeros;
        for side in [&mut sketch.positive, &mut sketch.negative] {
            let mut index = 0_i64;
            for _ in 0..read_number(&mut rest)? {
                let step = read_number(&mut rest)?;
                index = index.checked_add((step >> 1).cast_signed() ^ -(step & 1).cast_signed())?;
                let n = read_number(&mut rest)?;
                sketch.n = sketch.n.checked_add(n)?;
                side.insert(i32::try_from(index).ok()?, n);
            }
        }
        rest.is_empty().then_some(sketch)
    }

    /// How many values.
    ///
    /// ```
    /// assert_eq!(llmops_stats::sketch::Sketch::default().n(), 0);
    /// ```
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The quantile `q`, linearly interpolated between the values of the ranks beside (n − 1)q, as
    /// [`quantile`](crate::quantile::quantile) does.
    ///
    /// Errors: no values, q outside [0, 1].
    ///
    /// ```
    /// let mut sketch = llmops_stats::sketch::Sketch::default();
    /// sketch.add(250.0).unwrap();
    /// assert!((sketch.quantile(0.5).unwrap() / 250.0 - 1.0).abs() < 0.005);
    /// sketch.add(350.0).unwrap();
    /// assert!((sketch.quantile(0.5).unwrap() / 300.0 - 1.0).abs() < 0.005);
    /// ```
    pub fn quantile(&self, q: f64) -> Result<f64> {
        check_count("observations", 1, self.n)?;
        check_unit("quantile", q)?;
        let position = q * (self.n - 1) as f64;
        let (rank, fraction) = (position.floor(), position.fract());
        let (mut before, mut lower) = (0.0, None);
        for (low, high, n) in self.buckets() {
            let n = n as f64;
            // The middle of the value of a rank, were each value of the bucket as wide as its rank.
            let value = |rank: f64| low + (high - low) * ((rank + 0.5 - before) / n).clamp(0.0, 1.0);
            if lower.is_none() && before + n > rank {
                lower = Some(value(rank));
            }
            if let Some(lower) = lower.filter(|_| fraction == 0.0 || before + n > rank + 1.0) {
                return Ok(lower + fraction * (value(rank + 1.0) - lower));
            }
            before += n;
        }
        Ok(lower.unwrap_or_default())
    }

    /// How many values are at most `value`, interpolated within its bucket.
    ///
    /// ```
    /// assert_eq!(llmops_stats::sketch::Sketch::default().below(1.0), 0.0);
    /// ```
    pub fn below(&self, value: f64) -> f64 {
        let mut count = 0.0;
        for (low, high, n) in self.buckets() {
            let share = if value >= high {
                1.0
            } else if value <= low {
                break;
            } else {
                (value - low) / (high - low)
            };
            count += share * n as f64;
        }
        count
    }

    /// The values in an interval, as far as buckets tell; the next ones beside it are those of buckets that do not touch its own.
    pub(crate) fn steps(&self, low: f64, high: f64) -> Steps {
        let mut steps = Steps { values: 0, distinct: 0, below: low, above: high, has_gaps: false };
        let mut last: Option<f64> = None;
        for (from, to, n) in self.buckets() {
            // The bound of one bucket is computed as that of the next, so that those that touch are equal.
            let gap = last.filter(|last| *last < from);
            if to >= low && from <= high {
                if let Some(before) = gap.filter(|_| steps.distinct == 0) {
                    steps.below = before;
                }
                (steps.values, steps.distinct) = (steps.values + n, steps.distinct + 1);
                steps.has_gaps |= gap.is_some();
            } else if from > high {
                if gap.is_some() {
                    (steps.above, steps.has_gaps) = (from, true);
                }
                break;
            }
            last = Some(to);
        }
        steps
    }

    /// Buckets from the least to the largest: bounds and number of values.
    fn buckets(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let negative = self.negative.iter().rev().map(|(&index, &n)| (-bound(index), -bound(index - 1), n));
        let zeros = (self.zeros > 0).then_some((0.0, 0.0, self.zeros));
        let positive = self.positive.iter().map(|(&index, &n)| (bound(index - 1), bound(index), n));
        negative.chain(zeros).chain(positive)
    }
}

/// Seven bits a byte, the lowest first.
#[expect(clippy::cast_possible_truncation, reason = "seven bits fit into a byte")]
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn ln_gamma() -> f64 {
    ((1.0 + ACCURACY) / (1.0 - ACCURACY)).ln()
}

fn index(size: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "sizes lie between 1e-75 and 1e75: at most 17,300 in size")]
    let index = (size.ln() / ln_gamma()).ceil() as i32;
    index
}

/// Upper bound of a bucket.
fn bound(index: i32) -> f64 {
    (f64::from(index) * ln_gamma()).exp()
}

/// Pours the smallest sizes together.
fn limit(side: &mut BTreeMap<i32, u64>) {
    while side.len() > MOST
        && let Some((_, n)) = side.pop_first()
        && let Some(mut next) = side.first_entry()
    {
        *next.get_mut() += n;
    }
}
