//! What is kept of the units of an arm: sums over one value per unit, from which a unit can be taken out again.
//!
//! A unit (a user) may be observed many times. Its observations are one cluster, so the arm is summed over units: when a
//! unit's value changes, its old value is taken out and the new one put in. Sums are exact to about 106 bits, so that
//! the result is the same in whatever order observations arrived.

use crate::error::{Result, StatsError, is_usable};
use crate::exact::ExactSum;
use crate::moments::{Moments, PairMoments};
use serde::{Deserialize, Serialize};

/// One unit's contribution: its value, and a second number where there is one (a pre-period covariate, or the
/// denominator of a ratio).
///
/// ```
/// let unit = llmops_stats::unit_sums::UnitValue { value: 0.8, second: None };
/// assert_eq!(unit.value, 0.8);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UnitValue {
    /// The unit's value.
    pub value: f64,
    /// The covariate or denominator, where the unit has one.
    pub second: Option<f64>,
}

/// Sums over the units of an arm.
///
/// ```
/// use llmops_stats::unit_sums::{UnitSums, UnitValue};
/// let unit = |value| UnitValue { value, second: None };
/// let mut sums = UnitSums::default();
/// for value in [1.0, 2.0, 6.0] {
///     sums.add(unit(value)).unwrap();
/// }
/// sums.replace(unit(6.0), unit(3.0)).unwrap();
/// assert_eq!(sums.moments().unwrap().mean(), Some(2.0));
/// assert_eq!(sums.moments().unwrap().variance(), Some(1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct UnitSums {
    units: u64,
    /// Units whose value is exactly 0 or 1.
    zeros: u64,
    ones: u64,
    y: ExactSum,
    yy: ExactSum,
    /// Units that have a second number, with the sums over them.
    paired: u64,
    x: ExactSum,
    xx: ExactSum,
    xy: ExactSum,
    y_paired: ExactSum,
}

impl UnitSums {
    /// Puts a unit in.
    ///
    /// Errors: a value that is NaN, infinite or beyond 10⁷⁵; the sums stay as they were.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// assert!(sums.add(UnitValue { value: f64::NAN, second: None }).is_err());
    /// assert_eq!(sums.units(), 0);
    /// ```
    pub fn add(&mut self, unit: UnitValue) -> Result<()> {
        check(unit)?;
        self.units += 1;
        self.zeros += u64::from(unit.value == 0.0);
        self.ones += u64::from(unit.value == 1.0);
        self.paired += u64::from(unit.second.is_some());
        self.sum(unit, 1.0);
        Ok(())
    }

    /// Takes a unit out that was put in with the same numbers.
    ///
    /// Errors: as [`UnitSums::add`]; [`StatsError::TooFew`] when there is no such unit to take out.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let unit = UnitValue { value: 0.1, second: Some(0.3) };
    /// let mut sums = UnitSums::default();
    /// sums.add(unit).unwrap();
    /// sums.remove(unit).unwrap();
    /// assert_eq!(sums, UnitSums::default());
    /// ```
    pub fn remove(&mut self, unit: UnitValue) -> Result<()> {
        check(unit)?;
        let (zero, one, second) =
            (u64::from(unit.value == 0.0), u64::from(unit.value == 1.0), u64::from(unit.second.is_some()));
        if self.units == 0 || self.zeros < zero || self.ones < one || self.paired < second {
            return Err(StatsError::TooFew { what: "units to take one out of", needed: 1, got: 0 });
        }
        self.units -= 1;
        self.zeros -= zero;
        self.ones -= one;
        self.paired -= second;
        if self.units == 0 {
            *self = Self::default();
        } else {
            self.sum(unit, -1.0);
        }
        Ok(())
    }

    /// Takes a unit out and puts it in with other numbers.
    ///
    /// Errors: as [`UnitSums::add`] and [`UnitSums::remove`].
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// assert!(sums.replace(UnitValue { value: 1.0, second: None }, UnitValue { value: 2.0, second: None }).is_err());
    /// ```
    pub fn replace(&mut self, old: UnitValue, new: UnitValue) -> Result<()> {
        check(new)?;
        self.remove(old)?;
        self.add(new)
    }

    /// Adds the units of another part.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// sums.add(UnitValue { value: 2.0, second: None }).unwrap();
    /// let part = sums;
    /// sums.merge(&part);
    /// assert_eq!((sums.units(), sums.moments().unwrap().mean()), (2, Some(2.0)));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.units += other.units;
        self.zeros += other.zeros;
        self.ones += other.ones;
        self.paired += other.paired;
        for (sum, part) in [
            (&mut self.y, other.y),
            (&mut self.yy, other.yy),
            (&mut self.x, other.x),
            (&mut self.xx, other.xx),
            (&mut self.xy, other.xy),
            (&mut self.y_paired, other.y_paired),
        ] {
            sum.merge(part);
        }
    }

    /// The sums that the same units would have were the value of each `value`.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// sums.add(UnitValue { value: 9.0, second: Some(2.0) }).unwrap();
    /// let mut expected = UnitSums::default();
    /// expected.add(UnitValue { value: 4.0, second: Some(2.0) }).unwrap();
    /// assert_eq!(sums.levelled(4.0), expected);
    /// ```
    #[must_use]
    pub fn levelled(&self, value: f64) -> Self {
        let (n, paired) = (self.units as f64, self.paired as f64);
        let product = |a: f64, b: f64| {
            let mut sum = ExactSum::default();
            sum.add_product(a, b);
            sum
        };
        let (x, small) = self.x.into();
        let mut xy = product(x, value);
        xy.add_product(small, value);
        Self {
            zeros: if value == 0.0 { self.units } else { 0 },
            ones: if value == 1.0 { self.units } else { 0 },
            y: product(n, value),
            yy: product(n * value, value),
            xy,
            y_paired: product(paired, value),
            ..*self
        }
    }

    /// How many units.
    ///
    /// ```
    /// assert_eq!(llmops_stats::unit_sums::UnitSums::default().units(), 0);
    /// ```
    pub fn units(&self) -> u64 {
        self.units
    }

    /// How many units have a second number.
    ///
    /// ```
    /// assert_eq!(llmops_stats::unit_sums::UnitSums::default().paired(), 0);
    /// ```
    pub fn paired(&self) -> u64 {
        self.paired
    }

    /// The units whose value is 1, where every value is 0 or 1: (ones, units). `None` otherwise, and of no units.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// for value in [1.0, 0.0, 1.0] {
    ///     sums.add(UnitValue { value, second: None }).unwrap();
    /// }
    /// assert_eq!(sums.rate(), Some((2, 3)));
    /// sums.add(UnitValue { value: 0.5, second: None }).unwrap();
    /// assert_eq!(sums.rate(), None);
    /// ```
    pub fn rate(&self) -> Option<(u64, u64)> {
        (self.units > 0 && self.zeros + self.ones == self.units).then_some((self.ones, self.units))
    }

    /// Moments of the units' values. Their range is not kept: `min` and `max` of the answer are both the mean.
    ///
    /// Errors: sums beyond the range of numbers.
    ///
    /// ```
    /// assert_eq!(llmops_stats::unit_sums::UnitSums::default().moments().unwrap().n(), 0);
    /// ```
    pub fn moments(&self) -> Result<Moments> {
        let mean = self.y.mean(self.units);
        Moments::from_parts(self.units, mean, self.yy.centred(self.y, self.y, self.units).max(0.0), mean, mean)
    }

    /// Joint moments (value, second number) of units that all have both, as the numerator and denominator of a ratio.
    ///
    /// Errors: a unit without second number ([`StatsError::LengthMismatch`]), sums beyond the range of numbers.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// for (second, value) in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)] {
    ///     sums.add(UnitValue { value, second: Some(second) }).unwrap();
    /// }
    /// assert_eq!(sums.ratio_pairs().unwrap().means(), Some((4.0, 2.0)));
    /// ```
    pub fn ratio_pairs(&self) -> Result<PairMoments> {
        let n = self.units;
        if self.paired < n {
            return Err(StatsError::LengthMismatch {
                left: usize::try_from(n).unwrap_or(usize::MAX),
                right: usize::try_from(self.paired).unwrap_or(usize::MAX),
            });
        }
        if n == 0 {
            return Ok(PairMoments::new());
        }
        let scale = n as f64;
        PairMoments::from_parts(
            n,
            (self.y.value() / scale, self.x.value() / scale),
            (
                self.yy.centred(self.y, self.y, n).max(0.0),
                self.xx.centred(self.x, self.x, n).max(0.0),
                self.xy.centred(self.x, self.y, n),
            ),
        )
    }

    /// Joint moments (covariate, value) of all units, a missing covariate taken to be `missing`: with the mean of all
    /// known ones, such a unit neither moves nor informs the adjustment.
    ///
    /// Errors: sums beyond the range of numbers, a `missing` that is not finite.
    ///
    /// ```
    /// use llmops_stats::unit_sums::{UnitSums, UnitValue};
    /// let mut sums = UnitSums::default();
    /// sums.add(UnitValue { value: 2.0, second: Some(1.0) }).unwrap();
    /// sums.add(UnitValue { value: 4.0, second: None }).unwrap();
    /// assert_eq!(sums.covariate_pairs(3.0).unwrap().means(), Some((2.0, 3.0)));
    /// ```
    pub fn covariate_pairs(&self, missing: f64) -> Result<PairMoments> {
        if self.units == 0 {
            return Ok(PairMoments::new());
        }
        if !is_usable(missing) {
            return Err(StatsError::NotFinite { index: 0 });
        }
        let lacking = (self.units - self.paired) as f64;
        let (mut x, mut xx, mut xy) = (self.x, self.xx, self.xy);
        x.add_product(lacking, missing);
        xx.add_product(lacking * missing, missing);
        // Σ over the lacking units of missing·y.
        let mut rest = self.y;
        let (high, low) = self.y_paired.into();
        rest.add(-high);
        rest.add(-low);
        xy.add_product(missing, rest.value());
        let (n, scale) = (self.units, self.units as f64);
        PairMoments::from_parts(
            n,
            (x.value() / scale, self.y.value() / scale),
            (xx.centred(x, x, n).max(0.0), self.yy.centred(self.y, self.y, n).max(0.0), xy.centred(x, self.y, n)),
        )
    }

    /// Sum and number of the known second numbers, for the mean over several arms.
    ///
    /// ```
    /// assert_eq!(llmops_stats::unit_sums::UnitSums::default().second(), (0.0, 0));
    /// ```
    pub fn second(&self) -> (f64, u64) {
        (self.x.value(), self.paired)
    }

    fn sum(&mut self, UnitValue { value, second }: UnitValue, sign: f64) {
        self.y.add(sign * value);
        self.yy.add_product(sign * value, value);
        if let Some(second) = second {
            self.x.add(sign * second);
            self.xx.add_product(sign * second, second);
            self.xy.add_product(sign * second, value);
            self.y_paired.add(sign * value);
        }
    }
}

impl UnitSums {
    /// Sums of so many units with this mean and sum of squared deviations from it.
    pub(crate) fn from_moments(units: u64, mean: f64, m2: f64) -> Self {
        let n = units as f64;
        let (mut y, mut yy) = (ExactSum::default(), ExactSum::default());
        y.add_product(n, mean);
        // n·mean² to the last digits, so that the difference from the squares is m2 again.
        let (high, low) = y.into();
        yy.add_product(high, mean);
        yy.add_product(low, mean);
        yy.add(m2);
        Self { units, y, yy, ..Self::default() }
    }

    /// The numbers that make them up, without those of a second number where no unit has one.
    pub(crate) fn to_numbers(self) -> Vec<f64> {
        let mut numbers = vec![self.units as f64, self.zeros as f64, self.ones as f64];
        let mut push = |sum: ExactSum| {
            let (high, low) = sum.into();
            numbers.extend([high, low]);
        };
        push(self.y);
        push(self.yy);
        if self.paired > 0 {
            [self.x, self.xx, self.xy, self.y_paired].into_iter().for_each(push);
            numbers.push(self.paired as f64);
        }
        numbers
    }

    /// What [`UnitSums::to_numbers`] wrote; `None` of anything else.
    pub(crate) fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let count = |i: usize| {
            let n = *numbers.get(i)?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number below 2^53")]
            let whole = (n >= 0.0 && n.fract() == 0.0 && n < 9e15).then_some(n as u64);
            whole
        };
        let sum = |i: usize| Some(ExactSum::from((*numbers.get(i)?, *numbers.get(i + 1)?)));
        let sums =
            Self { units: count(0)?, zeros: count(1)?, ones: count(2)?, y: sum(3)?, yy: sum(5)?, ..Self::default() };
        match numbers.len() {
            7 => Some(sums),
            16 => Some(Self { paired: count(15)?, x: sum(7)?, xx: sum(9)?, xy: sum(11)?, y_paired: sum(13)?, ..sums }),
            _ => None,
        }
    }
}

fn check(unit: UnitValue) -> Result<()> {
    let usable = is_usable(unit.value) && unit.second.is_none_or(is_usable);
    if usable { Ok(()) } else { Err(StatsError::NotFinite { index: 0 }) }
}
