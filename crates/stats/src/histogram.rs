//! Units by the size of their value, from which sums follow with the values beyond any limit pulled in to it: what a quantile of
//! data that still come needs. Parts merge, and a unit can be taken out again.
//!
//! Sizes fall into buckets that are 2 % wide. A limit is the upper bound of a bucket, so that no bucket is cut: for that limit
//! the sums are exact, and it lies less than 2 % above the quantile that was asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Result, StatsError, check_count, check_unit, is_usable};
use crate::unit_sums::{UnitSums, UnitValue};

/// ln of the width of a bucket.
const WIDTH: f64 = 0.019_802_627_296_179_73;
/// Beyond the index of the largest size: 75 · ln 10 / [`WIDTH`] is 8,721.
const OFFSET: i32 = 10_000;
/// Sizes below this are 0.
const SMALLEST: f64 = 1e-75;
/// Most buckets; beyond, the lowest two share one.
const MOST: usize = 2048;

/// Sums over units, by the size of their value.
///
/// ```
/// use llmops_stats::{histogram::UnitHistogram, unit_sums::UnitValue};
/// let mut units = UnitHistogram::default();
/// for value in [1.0, 2.0, 3.0, 4.0, 1000.0] {
///     units.add(UnitValue { value, second: None }).unwrap();
/// }
/// let limit = units.limit(0.75).unwrap();
/// assert!(limit >= 4.0 && limit < 4.1);
/// let mean = units.limited(limit).moments().unwrap().mean().unwrap();
/// assert!((mean - (10.0 + limit) / 5.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(i32, Vec<f64>)>", into = "Vec<(i32, Vec<f64>)>")]
pub struct UnitHistogram {
    buckets: BTreeMap<i32, UnitSums>,
}

impl TryFrom<Vec<(i32, Vec<f64>)>> for UnitHistogram {
    type Error = String;

    fn try_from(buckets: Vec<(i32, Vec<f64>)>) -> std::result::Result<Self, String> {
        let read = |(place, numbers): (i32, Vec<f64>)| {
            let sums = UnitSums::from_numbers(&numbers).ok_or_else(|| format!("bucket {place} holds no sums"))?;
            Ok((place, sums))
        };
        Ok(Self { buckets: buckets.into_iter().map(read).collect::<std::result::Result<_, String>>()? })
    }
}

impl From<UnitHistogram> for Vec<(i32, Vec<f64>)> {
    fn from(histogram: UnitHistogram) -> Self {
        histogram.buckets.into_iter().map(|(place, sums)| (place, sums.to_numbers())).collect()
    }
}

impl UnitHistogram {
    /// Puts a unit in.
    ///
    /// Errors: as [`UnitSums::add`].
    ///
    /// ```
    /// use llmops_stats::{histogram::UnitHistogram, unit_sums::UnitValue};
    /// assert!(UnitHistogram::default().add(UnitValue { value: f64::NAN, second: None }).is_err());
    /// ```
    pub fn add(&mut self, unit: UnitValue) -> Result<()> {
        if !is_usable(unit.value) {
            return Err(StatsError::NotFinite { index: 0 });
        }
        self.buckets.entry(place(unit.value)).or_default().add(unit)?;
        while self.buckets.len() > MOST
            && let Some((_, lowest)) = self.buckets.pop_first()
            && let Some(mut next) = self.buckets.first_entry()
        {
            next.get_mut().merge(&lowest);
        }
        Ok(())
    }

    /// Takes a unit out that was put in with the same numbers.
    ///
    /// Errors: as [`UnitSums::remove`].
    ///
    /// ```
    /// use llmops_stats::{histogram::UnitHistogram, unit_sums::UnitValue};
    /// let unit = UnitValue { value: 0.3, second: None };
    /// let mut units = UnitHistogram::default();
    /// units.add(unit).unwrap();
    /// units.remove(unit).unwrap();
    /// assert_eq!(units, UnitHistogram::default());
    /// ```
    pub fn remove(&mut self, unit: UnitValue) -> Result<()> {
        if !is_usable(unit.value) {
            return Err(StatsError::NotFinite { index: 0 });
        }
        let own = place(unit.value);
        // Where it is not, it was merged into the lowest.
        let lowest = self.buckets.first_key_value().map_or(own, |(lowest, _)| *lowest);
        let place = if self.buckets.contains_key(&own) { own } else { lowest };
        let sums = self.buckets.entry(place).or_default();
        sums.remove(unit)?;
        if sums.units() == 0 {
            self.buckets.remove(&place);
        }
        Ok(())
    }

    /// Adds the units of another part.
    ///
    /// ```
    /// use llmops_stats::{histogram::UnitHistogram, unit_sums::UnitValue};
    /// let mut units = UnitHistogram::default();
    /// units.add(UnitValue { value: 0.3, second: None }).unwrap();
    /// let part = units.clone();
    /// units.merge(&part);
    /// assert_eq!(units.limited(1.0).units(), 2);
    /// ```
    pub fn merge(&mut self, other: &Self) {
        for (place, sums) in &other.buckets {
            self.buckets.entry(*place).or_default().merge(sums);
        }
    }

    /// The upper bound of the bucket with the quantile `q`, of rank (n − 1)q rounded up.
    ///
    /// Errors: no units, q outside [0, 1].
    ///
    /// ```
    /// assert!(llmops_stats::histogram::UnitHistogram::default().limit(0.99).is_err());
    /// ```
    pub fn limit(&self, q: f64) -> Result<f64> {
        check_unit("quantile", q)?;
        let n: u64 = self.buckets.values().map(UnitSums::units).sum();
        check_count("units", 1, n)?;
        let rank = (q * (n - 1) as f64).ceil();
        let mut before = 0.0;
        for (place, sums) in &self.buckets {
            before += sums.units() as f64;
            if before > rank {
                return Ok(upper(*place));
            }
        }
        Ok(self.buckets.keys().next_back().map_or(0.0, |place| upper(*place)))
    }

    /// The sums of all units, with the values in buckets beyond `limit` (from [`UnitHistogram::limit`], also of other parts) taken to
    /// be the limit.
    ///
    /// ```
    /// let units = llmops_stats::histogram::UnitHistogram::default();
    /// assert_eq!(units.limited(1.0).units(), 0);
    /// ```
    pub fn limited(&self, limit: f64) -> UnitSums {
        let mut all = UnitSums::default();
        for (place, sums) in &self.buckets {
            // A hair of room: the bounds are computed twice.
            let is_beyond = upper(*place) > limit + limit.abs() * 1e-9;
            all.merge(&if is_beyond { sums.levelled(limit) } else { *sums });
        }
        all
    }
}

fn place(value: f64) -> i32 {
    let size = value.abs();
    if size < SMALLEST {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "sizes lie between 1e-75 and 1e75: at most 8,721 in size")]
    let index = (size.ln() / WIDTH).ceil() as i32;
    if value > 0.0 { OFFSET + index } else { -OFFSET - index }
}

/// The largest value of a bucket.
fn upper(place: i32) -> f64 {
    match place {
        0 => 0.0,
        place if place > 0 => (f64::from(place - OFFSET) * WIDTH).exp(),
        place => -(f64::from(-place - OFFSET - 1) * WIDTH).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(value: f64) -> UnitValue {
        UnitValue { value, second: Some(value / 2.0) }
    }

    #[test]
    fn limited_sums_are_those_of_limited_values() {
        let values: Vec<f64> =
            (0..2000).map(|i| f64::from((i * 7919) % 2003 - 300) / 10.0 * f64::from(1 + i % 3)).collect();
        let (mut left, mut right) = (UnitHistogram::default(), UnitHistogram::default());
        for (i, value) in values.iter().enumerate() {
            (if i % 3 == 0 { &mut left } else { &mut right }).add(unit(*value)).unwrap();
        }
        let mut all = left.clone();
        all.merge(&right);
        for q in [0.5, 0.9, 0.99, 1.0] {
            let limit = all.limit(q).unwrap();
            let exact = crate::quantile::quantile(&values, q).unwrap();
            assert!(limit >= exact && limit <= exact + exact.abs() * 0.03, "{q}: {limit}, {exact}");
            let mut expected = UnitSums::default();
            for value in &values {
                expected.add(UnitValue { value: value.min(limit), ..unit(*value) }).unwrap();
            }
            let found = all.limited(limit);
            let (mine, theirs) = (found.covariate_pairs(0.0).unwrap(), expected.covariate_pairs(0.0).unwrap());
            assert_eq!(mine.n(), theirs.n());
            let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{q}: {a}, {b}");
            close(mine.means().unwrap().1, theirs.means().unwrap().1);
            close(mine.variances().unwrap().1, theirs.variances().unwrap().1);
            close(mine.covariance().unwrap(), theirs.covariance().unwrap());
        }
        for value in &values {
            all.remove(unit(*value)).unwrap();
        }
        assert_eq!(all, UnitHistogram::default());
    }

    #[test]
    fn buckets_are_bounded_and_survive() {
        let mut units = UnitHistogram::default();
        for i in 0..5000 {
            units.add(unit((f64::from(i) * 0.03 - 80.0).exp())).unwrap();
        }
        assert_eq!((units.buckets.len(), units.limited(f64::MAX).units()), (MOST, 5000));
        for i in 0..5000 {
            units.remove(unit((f64::from(i) * 0.03 - 80.0).exp())).unwrap();
        }
        assert_eq!(units.buckets.len(), 0);
        units.add(unit(-3.0)).unwrap();
        units.add(unit(0.0)).unwrap();
        let text = serde_json::to_string(&units).unwrap();
        assert_eq!(serde_json::from_str::<UnitHistogram>(&text).unwrap(), units);
        assert!(units.limit(0.0).unwrap() >= -3.0 && units.limit(0.0).unwrap() < -2.9);
    }
}
