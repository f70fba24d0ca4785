//! The two-sample Kolmogorov-Smirnov test, for one series or many.

use crate::error::{Result, check_count, check_finite, check_open_unit};
use crate::multiple::{Correction, adjust};
use crate::quantile::sorted;
use crate::result::{Alternative, Method, TestResult};
use serde::{Deserialize, Serialize};

/// Up to this product of sizes the p-value is exact.
const EXACT_PATHS: usize = 1_000_000;

/// Two-sided two-sample Kolmogorov-Smirnov test (Smirnov 1939).
///
/// `statistic` and `effect` are D, the largest distance between the empirical distributions, in [0, 1]. p is exact (share
/// of the interleavings of both samples that reach D; conservative under ties) up to n₁·n₂ = 10⁶, and otherwise
/// Kolmogorov's 2Σ(−1)^{k−1} exp(−2k²λ²) at λ = D√(n₁n₂/(n₁ + n₂)); the method says which.
///
/// Errors: a non-finite value, an empty sample.
///
/// ```
/// use llmops_stats::drift::ks;
/// let result = ks(&[1.0, 2.0, 3.0, 4.0], &[3.5, 4.5, 5.5, 6.5]).unwrap();
/// assert_eq!(result.statistic, 0.75);
/// assert!((result.p_value - 0.228_571_4).abs() < 1e-6);
/// ```
pub fn ks(reference: &[f64], current: &[f64]) -> Result<TestResult> {
    check_finite(reference)?;
    check_finite(current)?;
    let (n1, n2) = (reference.len(), current.len());
    check_count("reference values", 1, n1 as u64)?;
    check_count("current values", 1, n2 as u64)?;
    let gap = largest_gap(reference, current);
    let statistic = gap as f64 / (n1 as f64 * n2 as f64);
    let exact = n1.saturating_mul(n2) <= EXACT_PATHS;
    let p_value = if exact {
        exact_p(n1, n2, gap)
    } else {
        kolmogorov(statistic * (n1 as f64 * n2 as f64 / (n1 + n2) as f64).sqrt())
    };
    Ok(TestResult {
        method: if exact { Method::KolmogorovSmirnovExact } else { Method::KolmogorovSmirnovAsymptotic },
        n: (n1 + n2) as u64,
        statistic,
        df: None,
        p_value,
        alternative: Alternative::TwoSided,
        effect: statistic,
        interval: None,
    })
}

/// max |i·n₂ − j·n₁| over the steps of both distributions: D in whole numbers.
fn largest_gap(reference: &[f64], current: &[f64]) -> u64 {
    let (a, b) = (sorted(reference.to_vec()), sorted(current.to_vec()));
    let (mut i, mut j, mut gap) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let value = if a[i] < b[j] { a[i] } else { b[j] };
        // Ties step together.
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        gap = gap.max((i as u64 * b.len() as u64).abs_diff(j as u64 * a.len() as u64));
    }
    gap
}

/// 1 − the share of lattice paths from (0, 0) to (n₁, n₂) that stay strictly within the gap.
fn exact_p(n1: usize, n2: usize, gap: u64) -> f64 {
    if gap == 0 {
        return 1.0;
    }
    let inside = |i: usize, j: usize| (i as u64 * n2 as u64).abs_diff(j as u64 * n1 as u64) < gap;
    // share[j]: of all paths to (i, j), the part that stayed inside; the last step came from the left or from below in
    // proportion to the paths through there, i : j.
    let mut share = vec![0.0; n2 + 1];
    for i in 0..=n1 {
        for j in 0..=n2 {
            share[j] = match (i, j) {
                _ if !inside(i, j) => 0.0,
                (0, 0) => 1.0,
                (0, _) => share[j - 1],
                (_, 0) => share[0],
                _ => (i as f64 * share[j] + j as f64 * share[j - 1]) / (i + j) as f64,
            };
        }
    }
    (1.0 - share[n2]).clamp(0.0, 1.0)
}

fn kolmogorov(lambda: f64) -> f64 {
    // Below this the alternating series needs many terms for an answer that is 1 to all digits.
    if lambda < 0.2 {
        return 1.0;
    }
    let mut sum = 0.0;
    for k in 1..100_u32 {
        let k = f64::from(k);
        let term = (-2.0 * k * k * lambda * lambda).exp();
        sum += if k % 2.0 == 1.0 { term } else { -term };
        if term < 1e-18 {
            break;
        }
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

/// One series of [`ks_many`].
///
/// ```
/// use llmops_stats::drift::ks_many;
/// let flat: Vec<f64> = (0..50).map(f64::from).collect();
/// let series = ks_many(&[(&flat, &flat)], 0.05).unwrap();
/// assert!(!series[0].drifted);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesDrift {
    /// The test of this series.
    pub result: TestResult,
    /// Its Benjamini-Hochberg adjusted p-value.
    pub adjusted_p: f64,
    /// Whether the adjusted p-value is at most the rate asked for.
    pub drifted: bool,
}

/// Tests many (reference, current) series and flags those that drifted, at a false discovery rate of `rate` (Benjamini &
/// Hochberg 1995).
///
/// Errors: as [`ks`] for any series, a rate outside (0, 1).
///
/// ```
/// use llmops_stats::drift::ks_many;
/// let flat: Vec<f64> = (0..50).map(f64::from).collect();
/// let moved: Vec<f64> = flat.iter().map(|value| value + 30.0).collect();
/// let drifted: Vec<bool> = ks_many(&[(&flat, &flat), (&flat, &moved)], 0.05).unwrap().iter().map(|s| s.drifted).collect();
/// assert_eq!(drifted, [false, true]);
/// ```
pub fn ks_many(series: &[(&[f64], &[f64])], rate: f64) -> Result<Vec<SeriesDrift>> {
    check_open_unit("false discovery rate", rate)?;
    let results: Vec<TestResult> =
        series.iter().map(|(reference, current)| ks(reference, current)).collect::<Result<_>>()?;
    let p_values: Vec<f64> = results.iter().map(|result| result.p_value).collect();
    let adjusted = adjust(&p_values, Correction::BenjaminiHochberg)?;
    Ok(results
        .into_iter()
        .zip(adjusted)
        .map(|(result, adjusted_p)| SeriesDrift { result, adjusted_p, drifted: adjusted_p <= rate })
        .collect())
}
