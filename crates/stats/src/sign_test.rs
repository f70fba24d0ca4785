//! The sign test: do paired differences point up or down more often than a fair coin?

use crate::dist::binomial_half_cdf;
use crate::error::{Result, check_count, check_pairs};
use crate::quantile::{quantile_of_sorted, sorted};
use crate::result::{Alternative, Interval, Method, TestOptions, TestResult};

/// Exact sign test of paired differences treatment − control (Conover 1999, "Practical Nonparametric Statistics", §3.4).
///
/// Zero differences are dropped. `statistic` is the number of positive differences, which is binomial(m, ½) under the
/// null hypothesis; `effect` is the median difference (of all pairs), with the distribution-free interval between order
/// statistics whose coverage is at least the level; with too few pairs for such an interval it is `None`. `n` counts
/// pairs. All differences zero: p = 1.
///
/// Errors: lengths differ, a non-finite value, no pairs.
///
/// ```
/// use llmops_stats::{TestOptions, sign_test::sign_test};
/// let result = sign_test(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 3.0, 4.0, 5.0, 4.0], TestOptions::default()).unwrap();
/// assert_eq!((result.statistic, result.p_value), (4.0, 0.375));
/// ```
pub fn sign_test(control: &[f64], treatment: &[f64], options: TestOptions) -> Result<TestResult> {
    let options = options.check()?;
    check_pairs(control, treatment)?;
    let n = control.len() as u64;
    check_count("pairs", 1, n)?;
    let differences = sorted(treatment.iter().zip(control).map(|(after, before)| after - before).collect());
    let up = differences.iter().filter(|difference| **difference > 0.0).count() as u64;
    let down = differences.iter().filter(|difference| **difference < 0.0).count() as u64;
    let moved = up + down;
    let p_value = match options.alternative {
        Alternative::TwoSided => (2.0 * binomial_half_cdf(up.min(down), moved)).min(1.0),
        Alternative::Greater => binomial_half_cdf(down, moved),
        Alternative::Less => binomial_half_cdf(up, moved),
    };
    Ok(TestResult {
        method: Method::SignTest,
        n,
        statistic: up as f64,
        df: None,
        p_value,
        alternative: options.alternative,
        effect: quantile_of_sorted(&differences, 0.5),
        interval: median_interval(&differences, options.level),
    })
}

/// The widest-in order statistics x_(k), x_(n+1−k) with P(Bin(n, ½) < k) ≤ (1 − level)/2.
fn median_interval(sorted: &[f64], level: f64) -> Option<Interval> {
    let n = sorted.len() as u64;
    let tail = (1.0 - level) / 2.0;
    // Bisection on k: the binomial cdf grows with it.
    let (mut fits, mut too_many) = (0, n / 2 + 1);
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        if binomial_half_cdf(middle - 1, n) <= tail { fits = middle } else { too_many = middle }
    }
    let k = usize::try_from(fits).ok()?;
    (k > 0).then(|| Interval { low: sorted[k - 1], high: sorted[sorted.len() - k], level })
}
