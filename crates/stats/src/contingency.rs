//! Contingency tables: the chi-squared test of independence and Fisher's exact test.

use crate::dist::{binomial_density, chi_squared_sf};
use crate::error::{Result, StatsError, check_count};
use crate::proportion::{Rate, newcombe};
use crate::result::{Alternative, Method, TestOptions, TestResult};

/// Chi-squared test of two rates (Pearson 1900), with Yates' continuity correction where asked for.
///
/// χ² = Σ (|O − E| − c)² / E over the 2×2 table, c = min(½, |O − E|) with the correction and 0 without, one degree of
/// freedom. `effect` is the difference of rates with Newcombe's interval. No variation at all: χ² = 0, p = 1. The
/// alternative of `options` is not used: the test is two-sided.
///
/// Errors: a level outside (0, 1).
///
/// ```
/// use llmops_stats::{TestOptions, contingency::chi_squared_rates, proportion::Rate};
/// let (control, treatment) = (Rate::new(600, 1000).unwrap(), Rate::new(650, 1000).unwrap());
/// let result = chi_squared_rates(control, treatment, false, TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.020_921_3).abs() < 1e-7, "as the pooled z-test");
/// ```
pub fn chi_squared_rates(control: Rate, treatment: Rate, yates: bool, options: TestOptions) -> Result<TestResult> {
    let level = options.check()?.level;
    let interval = newcombe(control, treatment, level)?.interval;
    let row = |rate: Rate| vec![rate.successes(), rate.trials() - rate.successes()];
    let (statistic, df, _) = pearson(&[row(control), row(treatment)], yates)?;
    Ok(TestResult {
        method: if yates { Method::ChiSquaredYates } else { Method::ChiSquared },
        n: control.trials() + treatment.trials(),
        statistic,
        df: Some(df),
        p_value: if df > 0.0 { chi_squared_sf(statistic, df) } else { 1.0 },
        alternative: Alternative::TwoSided,
        effect: treatment.value() - control.value(),
        interval,
    })
}

/// Chi-squared test of independence of an r×c table of counts.
///
/// χ² = Σ (O − E)² / E, (r − 1)(c − 1) degrees of freedom. Rows and columns without counts are left out; if fewer than
/// two of either remain, p = 1. `effect` is Cramér's V = √(χ² / (n · min(r − 1, c − 1))), in [0, 1], without interval.
///
/// Errors: rows of different lengths, no counts.
///
/// ```
/// use llmops_stats::contingency::chi_squared;
/// let result = chi_squared(&[vec![10, 20, 30], vec![20, 20, 20]]).unwrap();
/// assert_eq!(result.df, Some(2.0));
/// assert!((result.statistic - 16.0 / 3.0).abs() < 1e-12);
/// ```
pub fn chi_squared(table: &[Vec<u64>]) -> Result<TestResult> {
    let (statistic, df, smaller) = pearson(table, false)?;
    let n: u64 = table.iter().flatten().sum();
    Ok(TestResult {
        method: Method::ChiSquared,
        n,
        statistic,
        df: Some(df),
        p_value: if df > 0.0 { chi_squared_sf(statistic, df) } else { 1.0 },
        alternative: Alternative::TwoSided,
        effect: if df > 0.0 { (statistic / (n as f64 * smaller)).sqrt().min(1.0) } else { 0.0 },
        interval: None,
    })
}

/// χ², degrees of freedom and min(r − 1, c − 1) of the table without its empty rows and columns.
fn pearson(table: &[Vec<u64>], yates: bool) -> Result<(f64, f64, f64)> {
    let width = table.first().map_or(0, Vec::len);
    if let Some(row) = table.iter().find(|row| row.len() != width) {
        return Err(StatsError::LengthMismatch { left: width, right: row.len() });
    }
    check_count("observations", 1, table.iter().flatten().sum())?;
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let columns: Vec<f64> = (0..width).map(|j| table.iter().map(|row| row[j]).sum::<u64>() as f64).collect();
    let total: f64 = rows.iter().sum();
    let filled = |sums: &[f64]| sums.iter().filter(|sum| **sum > 0.0).count() as f64 - 1.0;
    let (r, c) = (filled(&rows), filled(&columns));
    let mut statistic = 0.0;
    for (row, row_sum) in table.iter().zip(&rows) {
        for (&observed, column_sum) in row.iter().zip(&columns) {
            let expected = row_sum * column_sum / total;
            if expected > 0.0 {
                let distance = (observed as f64 - expected).abs();
                let correction = if yates { distance.min(0.5) } else { 0.0 };
                statistic += (distance - correction).powi(2) / expected;
            }
        }
    }
    Ok((if r * c > 0.0 { statistic } else { 0.0 }, r * c, r.min(c)))
}

/// Fisher's exact test of two rates (Fisher 1935).
///
/// Conditional on the margins the successes of the treatment are hypergeometric. Two-sided p: the probability of all
/// tables that are no more probable than the observed one (to a relative 10⁻⁷, so that rounding does not split ties).
/// `statistic` is the number of successes of the treatment; `effect` is the difference of rates with Newcombe's
/// interval.
///
/// Errors: a level outside (0, 1).
///
/// ```
/// use llmops_stats::{TestOptions, contingency::fisher_exact, proportion::Rate};
/// let (control, treatment) = (Rate::new(1, 10).unwrap(), Rate::new(6, 10).unwrap());
/// let result = fisher_exact(control, treatment, TestOptions::default()).unwrap();
/// assert!((result.p_value - 0.057_276).abs() < 1e-6);
/// ```
pub fn fisher_exact(control: Rate, treatment: Rate, options: TestOptions) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    let interval = newcombe(control, treatment, level)?.interval;
    let successes = control.successes() + treatment.successes();
    let observed = treatment.successes();
    let (least, most) = (successes.saturating_sub(control.trials()), successes.min(treatment.trials()));
    let mass = |k: u64| hypergeometric(k, successes, control.trials(), treatment.trials());
    let p_value: f64 = match alternative {
        Alternative::Less => (least..=observed).map(mass).sum(),
        Alternative::Greater => (observed..=most).map(mass).sum(),
        Alternative::TwoSided => {
            let limit = mass(observed) * (1.0 + 1e-7);
            (least..=most).map(mass).filter(|probability| *probability <= limit).sum()
        }
    };
    Ok(TestResult {
        method: Method::FisherExact,
        n: control.trials() + treatment.trials(),
        statistic: observed as f64,
        df: None,
        p_value: p_value.min(1.0),
        alternative,
        effect: treatment.value() - control.value(),
        interval,
    })
}

/// P(k successes in the treatment), as a ratio of binomial densities, which keeps all digits (Loader 2000).
fn hypergeometric(k: u64, successes: u64, control: u64, treatment: u64) -> f64 {
    let total = (control + treatment) as f64;
    if successes == 0 || successes == control + treatment {
        return 1.0;
    }
    let p = successes as f64 / total;
    let q = (total - successes as f64) / total;
    let other = successes - k;
    binomial_density(k as f64, (treatment - k) as f64, p, q)
        * (binomial_density(other as f64, (control - other) as f64, p, q)
            / binomial_density(successes as f64, total - successes as f64, p, q))
}
