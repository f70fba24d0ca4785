//! Krippendorff's alpha.

use super::jackknifed;
use crate::error::{Result, StatsError, check_count, check_open_unit};
use crate::moments::Moments;
use crate::ranks::midranks;
use crate::result::{Estimate, Method};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The distance between two ratings.
///
/// ```
/// use llmops_stats::agreement::AlphaMetric;
/// assert_ne!(AlphaMetric::Nominal, AlphaMetric::Ordinal);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaMetric {
    /// 1 when they differ: categories without order.
    Nominal,
    /// Squared difference of midranks: ordered categories.
    Ordinal,
    /// Squared difference: scores on a scale.
    Interval,
}

/// Krippendorff's alpha (Hayes & Krippendorff 2007, Communication Methods and Measures 1:77) of any number of raters with
/// missing ratings: `units[i]` lists the ratings that unit i got, by whomever.
///
/// α = 1 − D_o/D_e: D_o is the mean distance of the pairs within units, each unit weighted by its ratings and its pairs by
/// 1/(m_u − 1); D_e the mean distance of all pairs. Units with fewer than two ratings are left out. Jackknife interval over
/// units (ordinal ranks held fixed). `n` counts the units used.
///
/// Errors: a non-finite rating (the index counts over all ratings), no unit with two ratings, all ratings equal
/// ([`StatsError::NoVariation`]).
///
/// ```
/// use llmops_stats::agreement::{AlphaMetric, krippendorff_alpha};
/// let units = [vec![1.0, 1.0], vec![2.0, 2.0, 2.0], vec![3.0, 2.0], vec![1.0], vec![3.0, 3.0]];
/// let alpha = krippendorff_alpha(&units, AlphaMetric::Interval, 0.95).unwrap();
/// assert!((alpha.value - 0.818_181_8).abs() < 1e-6);
/// ```
pub fn krippendorff_alpha(units: &[Vec<f64>], metric: AlphaMetric, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    let all: Vec<f64> = units.iter().flatten().copied().collect();
    crate::error::check_finite(&all)?;
    let used: Vec<&Vec<f64>> = units.iter().filter(|unit| unit.len() > 1).collect();
    check_count("units with two ratings", 1, used.len() as u64)?;
    let ((value, left_out), method) = match metric {
        AlphaMetric::Nominal => ((nominal(&used), nominal_left_out(&used)), Method::KrippendorffNominal),
        AlphaMetric::Interval => (spread(used.iter().map(|unit| unit.as_slice()))?, Method::KrippendorffInterval),
        AlphaMetric::Ordinal => {
            // The ordinal distance is the interval distance of midranks: Σ n_g between, less half of both ends.
            let flat: Vec<f64> = used.iter().flat_map(|unit| unit.iter().copied()).collect();
            let (ranks, _) = midranks(&flat);
            let mut rest = ranks.as_slice();
            let ranked = used.iter().map(|unit| {
                let (own, after) = rest.split_at(unit.len());
                rest = after;
                own
            });
            (spread(ranked)?, Method::KrippendorffOrdinal)
        }
    };
    let Some(value) = value else {
        return Err(StatsError::NoVariation { what: "the ratings" });
    };
    // Leaving out the only unit that differs leaves nothing to disagree on; the full value stands in.
    let left_out: Vec<f64> = left_out.into_iter().map(|part| part.unwrap_or(value)).collect();
    Ok(jackknifed(method, used.len() as u64, value, &left_out, level))
}

/// Merged moments and Σ m/(m − 1)·M₂ of the units. Squared distances need no more: within a unit
/// Σ_{i≠j}(x_i − x_j)² = 2mM₂.
type Spread = (Moments, f64);

fn spread_sums<'a>(parts: impl Iterator<Item = &'a Moments>) -> Vec<Spread> {
    let (mut all, mut observed) = (Moments::new(), 0.0);
    let mut sums = vec![(all, observed)];
    for part in parts {
        let m = part.n() as f64;
        all.merge(part);
        observed += m / (m - 1.0) * part.m2();
        sums.push((all, observed));
    }
    sums
}

fn spread_alpha((mut all, before): Spread, (rest, after): Spread) -> Option<f64> {
    all.merge(&rest);
    let n = all.n() as f64;
    let expected = n / (n - 1.0) * all.m2();
    (expected > 0.0).then(|| 1.0 - (before + after) / expected)
}

/// α of all units, and without each of them: prefixes merged with suffixes, constant time each.
fn spread<'a>(units: impl Iterator<Item = &'a [f64]>) -> Result<(Option<f64>, Vec<Option<f64>>)> {
    let parts: Vec<Moments> = units.map(Moments::from_slice).collect::<Result<_>>()?;
    let (prefixes, suffixes) = (spread_sums(parts.iter()), spread_sums(parts.iter().rev()));
    let without = (0..parts.len()).map(|index| spread_alpha(prefixes[index], suffixes[parts.len() - 1 - index]));
    Ok((spread_alpha(prefixes[parts.len()], suffixes[0]), without.collect()))
}

type Counts = BTreeMap<u64, f64>;

fn counts(unit: &[f64]) -> Counts {
    let mut counts = Counts::new();
    for value in unit {
        // Adding 0.0 makes −0.0 and 0.0 one category.
        *counts.entry((value + 0.0).to_bits()).or_default() += 1.0;
    }
    counts
}

/// Pairs of a unit that differ, each weighted 1/(m − 1).
fn differing(counts: &Counts, m: f64) -> f64 {
    (m * m - counts.values().map(|count| count * count).sum::<f64>()) / (m - 1.0)
}

struct Nominal {
    totals: Counts,
    n: f64,
    squares: f64,
    observed: f64,
}

impl Nominal {
    fn of(units: &[&Vec<f64>]) -> Self {
        let mut totals = Counts::new();
        let (mut n, mut observed) = (0.0, 0.0);
        for unit in units {
            let own = counts(unit);
            n += unit.len() as f64;
            observed += differing(&own, unit.len() as f64);
            for (value, count) in own {
                *totals.entry(value).or_default() += count;
            }
        }
        let squares = totals.values().map(|count| count * count).sum();
        Self { totals, n, squares, observed }
    }

    fn alpha(observed: f64, n: f64, squares: f64) -> Option<f64> {
        let expected = (n * n - squares) / (n - 1.0);
        (expected > 0.0).then(|| 1.0 - observed / expected)
    }
}

fn nominal(units: &[&Vec<f64>]) -> Option<f64> {
    let all = Nominal::of(units);
    Nominal::alpha(all.observed, all.n, all.squares)
}

fn nominal_left_out(units: &[&Vec<f64>]) -> Vec<Option<f64>> {
    let all = Nominal::of(units);
    units
        .iter()
        .map(|unit| {
            let (own, m) = (counts(unit), unit.len() as f64);
            let moved: f64 = own
                .iter()
                .map(|(value, count)| {
                    let total = all.totals[value];
                    total * total - (total - count) * (total - count)
                })
                .sum();
            Nominal::alpha(all.observed - differing(&own, m), all.n - m, all.squares - moved)
        })
        .collect()
}
