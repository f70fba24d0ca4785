//! Cohen's and Fleiss' kappa.

use super::{jackknifed, with_room, within_one};
use crate::dist::normal_critical;
use crate::error::{Result, StatsError, check_count, check_open_unit};
use crate::moments::Moments;
use crate::result::{Estimate, Method};
use serde::{Deserialize, Serialize};

/// How much a disagreement counts, by the distance of the categories.
///
/// ```
/// use llmops_stats::agreement::KappaWeights;
/// assert_eq!(KappaWeights::default(), KappaWeights::Unweighted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KappaWeights {
    /// Every disagreement counts 1: for categories without order.
    #[default]
    Unweighted,
    /// |i − j| / (k − 1).
    Linear,
    /// (i − j)² / (k − 1)².
    Quadratic,
}

/// Counts how often rater A says i and rater B says j, for categories numbered from 0 below `categories`.
///
/// Errors: lengths differ, a category out of range.
///
/// ```
/// use llmops_stats::agreement::confusion_matrix;
/// assert_eq!(confusion_matrix(&[0, 1, 1], &[0, 0, 1], 2).unwrap(), [[1, 0], [1, 1]]);
/// ```
pub fn confusion_matrix(a: &[usize], b: &[usize], categories: usize) -> Result<Vec<Vec<u64>>> {
    if a.len() != b.len() {
        return Err(StatsError::LengthMismatch { left: a.len(), right: b.len() });
    }
    let mut table = vec![vec![0; categories]; categories];
    for (&i, &j) in a.iter().zip(b) {
        if i.max(j) >= categories {
            let expected = "below the number of categories";
            return Err(StatsError::OutOfRange { what: "category", value: i.max(j) as f64, expected });
        }
        table[i][j] += 1;
    }
    Ok(table)
}

/// Cohen's kappa of a square confusion matrix (Cohen 1960, Educational and Psychological Measurement 20:37; weighted:
/// 1968, Psychological Bulletin 70:213).
///
/// κ = 1 − Σ w p / Σ w e, for disagreement weights w, observed shares p and shares e expected from the margins; large
/// sample standard error of Fleiss, Cohen & Everitt (1969, Psychological Bulletin 72:323), normal interval limited to
/// [−1, 1]. Where that error is 0, as with raters who agree in everything, the interval is that of the share of agreement
/// (see [`crate::bounded`]), given the agreement by chance.
///
/// Errors: a table that is not square, no ratings, or both raters using one and the same category only
/// ([`StatsError::NoVariation`]: chance agreement is 1).
///
/// ```
/// use llmops_stats::agreement::{KappaWeights, cohen_kappa};
/// let kappa = cohen_kappa(&[vec![20, 5], vec![10, 15]], KappaWeights::Unweighted, 0.95).unwrap();
/// assert!((kappa.value - 0.4).abs() < 1e-12);
/// ```
pub fn cohen_kappa(table: &[Vec<u64>], weights: KappaWeights, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    if let Some(row) = table.iter().find(|row| row.len() != table.len()) {
        return Err(StatsError::LengthMismatch { left: table.len(), right: row.len() });
    }
    let n: u64 = table.iter().flatten().sum();
    check_count("ratings", 1, n)?;
    let k = table.len();
    let total = n as f64;
    let share = |i: usize, j: usize| table[i][j] as f64 / total;
    let rows: Vec<f64> = (0..k).map(|i| (0..k).map(|j| share(i, j)).sum()).collect();
    let columns: Vec<f64> = (0..k).map(|j| (0..k).map(|i| share(i, j)).sum()).collect();
    // Agreement weights: 1 on the diagonal.
    let agreement = |i: usize, j: usize| {
        let distance = i.abs_diff(j) as f64 / (k - 1).max(1) as f64;
        match weights {
            KappaWeights::Unweighted => f64::from(u8::from(i == j)),
            KappaWeights::Linear => 1.0 - distance,
            KappaWeights::Quadratic => 1.0 - distance * distance,
        }
    };
    let cells = || (0..k).flat_map(|i| (0..k).map(move |j| (i, j)));
    let expected: f64 = cells().map(|(i, j)| agreement(i, j) * rows[i] * columns[j]).sum();
    let disagreement: f64 = cells().map(|(i, j)| (1.0 - agreement(i, j)) * rows[i] * columns[j]).sum();
    if disagreement == 0.0 {
        return Err(StatsError::NoVariation { what: "the ratings" });
    }
    let value = 1.0 - cells().map(|(i, j)| (1.0 - agreement(i, j)) * share(i, j)).sum::<f64>() / disagreement;
    // Mean agreement weight of each row and column, in the margins of the other rater.
    let by_row: Vec<f64> = (0..k).map(|i| (0..k).map(|j| agreement(i, j) * columns[j]).sum()).collect();
    let by_column: Vec<f64> = (0..k).map(|j| (0..k).map(|i| agreement(i, j) * rows[i]).sum()).collect();
    // The published Σ p g² − (κ − pₑ(1 − κ))², centred: the second term is the square of the mean of g.
    let centre = value - expected * (1.0 - value);
    let spread: f64 = cells()
        .map(|(i, j)| share(i, j) * (agreement(i, j) - (by_row[i] + by_column[j]) * (1.0 - value) - centre).powi(2))
        .sum();
    let se = (spread / total).sqrt() / disagreement;
    let method = match weights {
        KappaWeights::Unweighted => Method::CohenKappa,
        KappaWeights::Linear => Method::CohenKappaLinear,
        KappaWeights::Quadratic => Method::CohenKappaQuadratic,
    };
    let interval = Some(within_one(value, normal_critical(level) * se, level));
    let kappa = Estimate { method, n, value, se: Some(se), df: None, interval };
    let observed = || cells().map(|(i, j)| (agreement(i, j), table[i][j] as f64));
    let mean = observed().map(|(agreement, count)| agreement * count).sum::<f64>() / total;
    let squares: f64 = observed().map(|(agreement, count)| count * (agreement - mean).powi(2)).sum();
    with_room(kappa, &Moments::from_parts(n, mean, squares, 0.0, 1.0)?, expected, level)
}

/// Fleiss' kappa (1971, Psychological Bulletin 76:378) of `counts[subject][category]`, with the same number of ratings,
/// at least 2, for every subject.
///
/// κ = (P̄ − P̄ₑ) / (1 − P̄ₑ), P̄ the mean share of agreeing pairs per subject and P̄ₑ the sum of squared category shares;
/// jackknife interval over subjects, and as for [`cohen_kappa`] where it has no width. `n` counts subjects; one subject gives
/// the value alone.
///
/// Errors: no subjects, rows of different lengths or totals, fewer than 2 ratings, one category only
/// ([`StatsError::NoVariation`]).
///
/// ```
/// use llmops_stats::agreement::fleiss_kappa;
/// let kappa = fleiss_kappa(&[vec![3, 0], vec![0, 3], vec![2, 1], vec![3, 0]], 0.95).unwrap();
/// assert!((kappa.value - 0.625).abs() < 1e-12);
/// ```
pub fn fleiss_kappa(counts: &[Vec<u64>], level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    check_count("subjects", 1, counts.len() as u64)?;
    let (categories, raters) = (counts[0].len(), counts[0].iter().sum::<u64>());
    check_count("ratings per subject", 2, raters)?;
    for row in counts {
        if row.len() != categories {
            return Err(StatsError::LengthMismatch { left: categories, right: row.len() });
        }
        let value = row.iter().sum::<u64>();
        if value != raters {
            let expected = "the same for every subject";
            return Err(StatsError::OutOfRange { what: "ratings of a subject", value: value as f64, expected });
        }
    }
    let per_subject: Vec<f64> = counts
        .iter()
        .map(|row| {
            let pairs: u64 = row.iter().map(|count| count * count.saturating_sub(1)).sum();
            pairs as f64 / (raters * (raters - 1)) as f64
        })
        .collect();
    let agreement: f64 = per_subject.iter().sum();
    let totals: Vec<u64> = (0..categories).map(|j| counts.iter().map(|row| row[j]).sum()).collect();
    let kappa = |agreement: f64, totals: &mut dyn Iterator<Item = u64>, subjects: f64| {
        let ratings = subjects * raters as f64;
        let chance: f64 = totals.map(|count| (count as f64 / ratings).powi(2)).sum();
        (chance < 1.0).then(|| (agreement / subjects - chance) / (1.0 - chance))
    };
    let m = counts.len() as f64;
    let Some(value) = kappa(agreement, &mut totals.iter().copied(), m) else {
        return Err(StatsError::NoVariation { what: "the ratings" });
    };
    // A leave-one-out sample of one category only has no kappa; the full value stands in, which moves nothing.
    let left_out: Vec<f64> = counts
        .iter()
        .zip(&per_subject)
        .map(|(row, own)| {
            let mut rest = totals.iter().zip(row).map(|(total, count)| total - count);
            if counts.len() < 2 { value } else { kappa(agreement - own, &mut rest, m - 1.0).unwrap_or(value) }
        })
        .collect();
    let found = jackknifed(Method::FleissKappa, counts.len() as u64, value, &left_out, level);
    let ratings = m * raters as f64;
    let chance = totals.iter().map(|count| (*count as f64 / ratings).powi(2)).sum();
    with_room(found, &Moments::from_slice(&per_subject)?, chance, level)
}
