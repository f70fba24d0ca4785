//! Adaptive allocation: shares of traffic that follow what is known of the arms (top-two Thompson sampling), and the analysis of
//! data that were collected so.

use crate::dist::{integrate, normal_cdf, normal_pdf};
use crate::error::{Result, StatsError, check_open_unit};
use crate::unit_sums::UnitSums;

/// Steps of the sum that stands for the integral, in standard errors.
const REACH: f64 = 8.0;

/// The chance of each arm that its mean is the largest, when its estimate is normal with this mean and standard error (a flat
/// prior). They sum to 1; arms that are equal for sure share.
///
/// P(i is best) = ∫ φᵢ(x) Πⱼ Φⱼ(x) dx, by quadrature: the same bits everywhere.
///
/// Errors: fewer than two arms, a number that is not finite, a negative standard error.
///
/// ```
/// let chances = llmops_stats::allocation::chance_best(&[(0.50, 0.02), (0.55, 0.02)]).unwrap();
/// // Φ(0.05 / (0.02·√2)).
/// assert!((chances[1] - 0.961_450).abs() < 1e-6);
/// ```
pub fn chance_best(arms: &[(f64, f64)]) -> Result<Vec<f64>> {
    if arms.len() < 2 {
        return Err(StatsError::TooFew { what: "arms", needed: 2, got: arms.len() as u64 });
    }
    if let Some(index) = arms.iter().position(|(mean, se)| !mean.is_finite() || !se.is_finite() || *se < 0.0) {
        return Err(StatsError::NotFinite { index });
    }
    let largest = arms.iter().map(|(_, se)| *se).fold(0.0, f64::max);
    let scale = arms.iter().map(|(mean, _)| mean.abs()).fold(1e-300, f64::max);
    // An arm that is known much better than the others would be a step, which quadrature does not see.
    let se = |own: f64| own.max(largest * 1e-2).max(scale * 1e-12);
    let chance = |i: usize| {
        let (mean, own) = (arms[i].0, se(arms[i].1));
        let density = |z: f64| {
            let x = mean + own * z;
            let others = arms.iter().enumerate().filter(|(j, _)| *j != i);
            normal_pdf(z) * others.map(|(_, (other, error))| normal_cdf((x - other) / se(*error))).product::<f64>()
        };
        integrate(-REACH, REACH, 256, density).max(0.0)
    };
    let chances: Vec<f64> = (0..arms.len()).map(chance).collect();
    let sum: f64 = chances.iter().sum();
    Ok(chances.into_iter().map(|chance| chance / sum).collect())
}

/// The shares of top-two Thompson sampling (Russo 2020, "Simple Bayesian algorithms for best-arm identification"): an arm is
/// drawn by its chance to be the best; with the chance 1 − `beta` it is put aside and another one drawn. Then every arm gets at
/// least `floor`.
///
/// ψᵢ = αᵢ (β + (1 − β) Σⱼ≠ᵢ αⱼ / (1 − αⱼ)), share floor + (1 − K·floor) ψᵢ.
///
/// Errors: a `beta` outside (0, 1), a floor below 0 or above 1/K, chances that do not sum to 1.
///
/// ```
/// use llmops_stats::allocation::top_two;
/// let shares = top_two(&[0.1, 0.9], 0.5, 0.1).unwrap();
/// // Of two arms each is the other's second: half each, whatever the chances; so beta decides.
/// assert!((shares[1] - 0.5).abs() < 1e-12);
/// assert!(top_two(&[0.1, 0.9], 0.8, 0.1).unwrap()[1] > 0.6);
/// ```
pub fn top_two(chances: &[f64], beta: f64, floor: f64) -> Result<Vec<f64>> {
    check_open_unit("beta", beta)?;
    let arms = chances.len() as f64;
    if !(floor >= 0.0 && floor * arms <= 1.0) {
        return Err(StatsError::OutOfRange { what: "floor", value: floor, expected: "from 0 to 1 / arms" });
    }
    let sum: f64 = chances.iter().sum();
    if chances.len() < 2 || chances.iter().any(|chance| chance.is_nan() || *chance < 0.0) || (sum - 1.0).abs() > 1e-6 {
        return Err(StatsError::OutOfRange { what: "sum of the chances", value: sum, expected: "1, of two or more" });
    }
    // Of an arm that is best for sure, the others are second alike.
    let second = |i: usize, j: usize| {
        let rest = 1.0 - chances[j];
        if rest > 1e-12 { chances[i] * chances[j] / rest } else { chances[j] / (arms - 1.0) }
    };
    let share = |i: usize| {
        let seconds: f64 = (0..chances.len()).filter(|j| *j != i).map(|j| second(i, j)).sum();
        beta * chances[i] + (1.0 - beta) * seconds
    };
    let shares: Vec<f64> = (0..chances.len()).map(share).collect();
    let total: f64 = shares.iter().sum();
    Ok(shares.into_iter().map(|share| floor + (1.0 - arms * floor) * share / total).collect())
}

/// Sums of each arm, of units that came in stretches of time with different shares, as if the shares had been fixed: they have
/// the mean and the standard error of the reweighted estimate, so that every comparison of means can take them. `stretches` are
/// lists of arms, in one order.
///
/// Within a stretch the shares are fixed, so that it is an experiment of its own; stretches count by all the units that came in
/// them. That is the inverse-propensity estimator with the shares as they turned out (Hájek). It does not mistake a change over
/// time for a difference between arms, which plain means do as soon as shares change.
///
/// ȳᵢ = Σₖ (Nₖ/N) ȳᵢₖ, squared standard error Σₖ (Nₖ/N)² s²ᵢₖ/nᵢₖ. A stretch in which an arm (of those that have units at all) has
/// fewer than two is left out for all of them.
///
/// Errors: no stretch that can be counted, sums beyond the range of numbers.
///
/// ```
/// use llmops_stats::{allocation::reweigh, unit_sums::{UnitSums, UnitValue}};
/// let arm = |values: &[f64]| {
///     let mut sums = UnitSums::default();
///     values.iter().for_each(|value| sums.add(UnitValue { value: *value, second: None }).unwrap());
///     sums
/// };
/// // The mood changes from day to day, the difference of 0.75 hardly does: plain means would differ by 6.5.
/// let days = [vec![arm(&[1.0, 2.0, 3.0, 2.0]), arm(&[2.0, 3.0])], vec![arm(&[11.0, 12.0]), arm(&[12.0, 13.0, 12.0, 13.0])]];
/// let arms = reweigh(&days).unwrap();
/// let mean = |arm: &UnitSums| arm.moments().unwrap().mean().unwrap();
/// assert!((mean(&arms[1]) - mean(&arms[0]) - 0.75).abs() < 1e-12);
/// ```
pub fn reweigh(stretches: &[Vec<UnitSums>]) -> Result<Vec<UnitSums>> {
    let arms = stretches.iter().map(Vec::len).max().unwrap_or(0);
    let of = |stretch: &[UnitSums], arm: usize| stretch.get(arm).copied().unwrap_or_default();
    let has_units = |arm: &usize| stretches.iter().any(|stretch| of(stretch, *arm).units() > 0);
    let there: Vec<usize> = (0..arms).filter(has_units).collect();
    let (mut total, mut found) = (0.0, vec![(0_u64, 0.0, 0.0); arms]);
    for stretch in stretches {
        if there.iter().any(|arm| of(stretch, *arm).units() < 2) {
            continue;
        }
        let weight = stretch.iter().map(UnitSums::units).sum::<u64>() as f64;
        total += weight;
        for arm in &there {
            let moments = of(stretch, *arm).moments()?;
            let error = moments.sem().unwrap_or_default();
            let (units, mean, square) = &mut found[*arm];
            *units += moments.n();
            *mean += weight * moments.mean().unwrap_or_default();
            *square += (weight * error).powi(2);
        }
    }
    if total == 0.0 {
        return Err(StatsError::TooFew { what: "units of each arm under one allocation", needed: 2, got: 0 });
    }
    let sums = |(units, mean, square): (u64, f64, f64)| {
        let n = units as f64;
        UnitSums::from_moments(units, mean / total, square / (total * total) * n * (n - 1.0))
    };
    Ok(found.into_iter().map(|arm| if arm.0 == 0 { UnitSums::default() } else { sums(arm) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_chances(arms: &[(f64, f64)], expected: &[f64]) {
        let found = chance_best(arms).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{arms:?}: {found} instead of {expected}");
        }
    }

    #[test]
    fn chances() {
        check_chances(&[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)], &[1.0 / 3.0; 3]);
        check_chances(&[(0.0, 1.0), (1.0, 1.0)], &[0.239_750_061, 0.760_249_939]);
        check_chances(&[(0.0, 0.0), (1.0, 0.0)], &[0.0, 1.0]);
        check_chances(&[(1.0, 0.0), (1.0, 0.0)], &[0.5, 0.5]);
        let nearly = chance_best(&[(0.0, 1e-9), (0.5, 1.0)]).unwrap()[1];
        assert!((nearly - 0.691_462).abs() < 1e-3, "{nearly}");
        assert!(chance_best(&[(0.0, 1.0)]).is_err());
        assert!(chance_best(&[(0.0, 1.0), (f64::NAN, 1.0)]).is_err());
    }

    #[test]
    fn stretches_are_weighed() {
        let arm = |values: &[f64]| {
            let mut sums = UnitSums::default();
            for &value in values {
                sums.add(crate::unit_sums::UnitValue { value, second: None }).unwrap();
            }
            sums
        };
        let fixed = [arm(&[1.0, 2.0, 4.0]), arm(&[2.0, 3.0, 3.0])];
        let same = reweigh(&[fixed.to_vec()]).unwrap();
        for (found, expected) in same.iter().zip(&fixed) {
            let (found, expected) = (found.moments().unwrap(), expected.moments().unwrap());
            assert!((found.mean().unwrap() - expected.mean().unwrap()).abs() < 1e-12);
            assert!((found.sem().unwrap() - expected.sem().unwrap()).abs() < 1e-12, "one stretch is as it is");
        }
        // A stretch with one unit of an arm cannot be counted; an arm that nobody ever saw does not matter.
        let (one, none) = (arm(&[9.0]), UnitSums::default());
        let found = reweigh(&[vec![fixed[0], fixed[1], none], vec![fixed[0], one, none]]).unwrap();
        assert_eq!(found.iter().map(UnitSums::units).collect::<Vec<_>>(), [3, 3, 0]);
        assert!(reweigh(&[vec![one, one]]).is_err());
        assert!(reweigh(&[]).is_err());
    }

    #[test]
    fn shares() {
        let check = |chances: &[f64], beta: f64, floor: f64, expected: &[f64]| {
            let found = top_two(chances, beta, floor).unwrap();
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{chances:?}: {found} instead of {expected}");
            }
        };
        check(&[0.2, 0.8], 0.5, 0.0, &[0.5, 0.5]);
        check(&[0.0, 1.0], 0.8, 0.0, &[0.2, 0.8]);
        check(&[0.0, 0.0, 1.0], 0.5, 0.1, &[0.275, 0.275, 0.45]);
        // Russo's formula by hand: 0.6·(0.5 + 0.5·(0.3/0.7 + 0.1/0.9)) and so on.
        check(&[0.6, 0.3, 0.1], 0.5, 0.0, &[0.461_904_762, 0.391_666_667, 0.146_428_571]);
        assert!(top_two(&[0.5, 0.5], 1.0, 0.1).is_err());
        assert!(top_two(&[0.5, 0.5], 0.5, 0.6).is_err());
        assert!(top_two(&[0.5, 0.6], 0.5, 0.1).is_err());
    }
}
