//! The Wilcoxon signed-rank test of paired differences, with the Hodges-Lehmann pseudo-median.
//!
//! Wilcoxon (1945, Biometrics Bulletin 1:80); interval of Tukey, as in Hollander, Wolfe & Chicken (2014), §3.3.

use crate::dist::normal_critical;
use crate::error::{Result, StatsError, check_count, check_pairs};
use crate::mann_whitney::{RankMethod, asymptotic_p, lower_cut};
use crate::ranks::{doubled, kth_by_counting, median_by_counting, midranks, subset_sums, tails};
use crate::result::{Alternative, Interval, Method, TestOptions, TestResult};

/// Wilcoxon signed-rank test of treatment − control on the same units.
///
/// Zero differences are dropped (Wilcoxon's rule), ties get midranks. `statistic` is W⁺, the rank sum of the positive
/// differences; `effect` is the pseudo-median, the median of the averages (dᵢ + dⱼ)/2, i ≤ j, of the differences that
/// are not zero, with Tukey's interval (`None` when there are too few for the level). Exact up to 50 pairs unless asked
/// otherwise; the result names the method taken. All differences zero: p = 1, effect 0. `n` counts all pairs.
///
/// Errors: lengths differ, a non-finite value, no pairs, [`RankMethod::Exact`] with more than 200 non-zero differences.
///
/// ```
/// use llmops_stats::{Method, TestOptions, mann_whitney::RankMethod, wilcoxon::signed_rank};
/// let before = [1.0, 2.0, 3.0, 4.0, 5.0];
/// let after = [1.5, 2.7, 3.3, 3.9, 6.1];
/// let result = signed_rank(&before, &after, RankMethod::Auto, TestOptions::default()).unwrap();
/// assert_eq!((result.method, result.statistic, result.p_value), (Method::WilcoxonExact, 14.0, 0.125));
/// ```
pub fn signed_rank(control: &[f64], treatment: &[f64], method: RankMethod, options: TestOptions) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    check_pairs(control, treatment)?;
    let n = control.len() as u64;
    check_count("pairs", 1, n)?;
    let differences: Vec<f64> = treatment
        .iter()
        .zip(control)
        .map(|(after, before)| after - before)
        .filter(|difference| *difference != 0.0)
        .collect();
    let moved = differences.len();
    let exact = match method {
        RankMethod::Auto => moved <= 50,
        RankMethod::Exact if moved > 200 => {
            let expected = "at most 200 for the exact distribution";
            return Err(StatsError::OutOfRange { what: "differences", value: moved as f64, expected });
        }
        RankMethod::Exact => true,
        RankMethod::Asymptotic | RankMethod::AsymptoticUncorrected => false,
    };
    let name = if exact { Method::WilcoxonExact } else { Method::WilcoxonAsymptotic };
    let result = |statistic, p_value, effect, interval| {
        Ok(TestResult { method: name, n, statistic, df: None, p_value, alternative, effect, interval })
    };
    if moved == 0 {
        return result(0.0, 1.0, 0.0, None);
    }
    let (ranks, ties) = midranks(&differences.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
    let (p_value, cut) = if exact {
        exact_p(&differences, &ranks, alternative, level)
    } else {
        let m = moved as f64;
        let variance = m * (m + 1.0) * (2.0 * m + 1.0) / 24.0 - ties / 48.0;
        let (mean, sd) = (m * (m + 1.0) / 4.0, variance.max(0.0).sqrt());
        let distance = positive_sum(&differences, &ranks) - mean;
        let continuity = method != RankMethod::AsymptoticUncorrected;
        (asymptotic_p(distance, sd, alternative, continuity), lower_cut(mean - normal_critical(level) * sd))
    };
    let (effect, interval) = pseudo_median(differences.clone(), cut, level);
    result(positive_sum(&differences, &ranks), p_value, effect, interval)
}

fn positive_sum(differences: &[f64], ranks: &[f64]) -> f64 {
    differences.iter().zip(ranks).filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum()
}

fn exact_p(differences: &[f64], ranks: &[f64], alternative: Alternative, level: f64) -> (f64, u64) {
    let doubled_ranks: Vec<usize> = ranks.iter().map(|rank| doubled(*rank)).collect();
    let mass = subset_sums(&doubled_ranks, None);
    let (less, greater) = tails(&mass, doubled(positive_sum(differences, ranks)));
    let p_value = match alternative {
        Alternative::TwoSided => (2.0 * less.min(greater)).min(1.0),
        Alternative::Less => less,
        Alternative::Greater => greater,
    };
    let untied: Vec<usize> = (1..=differences.len()).collect();
    let (mut cumulated, mut cut) = (0.0, 0);
    for probability in subset_sums(&untied, None) {
        cumulated += probability;
        if cumulated > (1.0 - level) / 2.0 {
            break;
        }
        cut += 1;
    }
    (p_value, cut)
}

/// Median and the `cut`-th smallest and largest of the Walsh averages, without listing them.
fn pseudo_median(mut differences: Vec<f64>, cut: u64, level: f64) -> (f64, Option<Interval>) {
    differences.sort_unstable_by(f64::total_cmp);
    let at_most = |limit: f64| {
        // For growing i the largest j with an average below the limit falls; only j ≥ i is counted.
        let (mut count, mut end) = (0, differences.len());
        for (i, first) in differences.iter().enumerate() {
            while end > i && 0.5 * first + 0.5 * differences[end - 1] > limit {
                end -= 1;
            }
            if end <= i {
                break;
            }
            count += (end - i) as u64;
        }
        count
    };
    let m = differences.len() as u64;
    let averages = m * (m + 1) / 2;
    let effect = median_by_counting(averages, at_most);
    let interval = (cut > 0).then(|| Interval {
        low: kth_by_counting(cut, at_most),
        high: kth_by_counting(averages + 1 - cut, at_most),
        level,
    });
    (effect, interval)
}
