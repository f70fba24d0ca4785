//! The Mann-Whitney U test (Wilcoxon rank-sum test) with the Hodges-Lehmann estimate of the shift.
//!
//! Mann & Whitney (1947, Annals of Mathematical Statistics 18:50); Hodges & Lehmann (1963, ibid. 34:598); interval of
//! Moses, as in Hollander, Wolfe & Chicken (2014), "Nonparametric Statistical Methods", §4.3.

use crate::dist::{normal_critical, normal_sf};
use crate::error::{Result, StatsError, check_count, check_finite};
use crate::quantile::sorted;
use crate::ranks::{doubled, kth_by_counting, median_by_counting, midranks, subset_sums, tails};
use crate::result::{Alternative, Interval, Method, TestOptions, TestResult};
use serde::{Deserialize, Serialize};

/// Above this many observations the exact distribution is refused (its table grows with the fourth power).
const EXACT_MOST: usize = 200;

/// How the p-value of a rank test is found.
///
/// ```
/// use llmops_stats::mann_whitney::RankMethod;
/// assert_eq!(RankMethod::default(), RankMethod::Auto);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankMethod {
    /// Exact for small samples (the smaller arm of at most 8 and at most 50 in all; at most 50 pairs), else asymptotic
    /// with continuity correction. The result names what was taken.
    #[default]
    Auto,
    /// The permutation distribution of the (mid)ranks, exact also with ties; at most 200 observations.
    Exact,
    /// Normal approximation with tie-corrected variance and continuity correction.
    Asymptotic,
    /// Normal approximation with tie-corrected variance, without continuity correction.
    AsymptoticUncorrected,
}

/// Mann-Whitney U test of two independent samples.
///
/// `statistic` is U of the treatment: the number of pairs (treatment, control) in which the treatment is larger, ties
/// counted half. `effect` is the Hodges-Lehmann shift, the median of all differences treatment − control, with Moses'
/// interval; `None` when the samples are too small for the level. The exact two-sided p doubles the smaller tail. All
/// values equal: p = 1.
///
/// Errors: a non-finite value, an empty arm, [`RankMethod::Exact`] with more than 200 observations.
///
/// ```
/// use llmops_stats::{Method, TestOptions, mann_whitney::{RankMethod, mann_whitney}};
/// let result = mann_whitney(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0, 7.0], RankMethod::Auto, TestOptions::default()).unwrap();
/// assert_eq!((result.method, result.statistic, result.effect), (Method::MannWhitneyExact, 11.0, 3.0));
/// assert!((result.p_value - 4.0 / 35.0).abs() < 1e-12);
/// ```
pub fn mann_whitney(
    control: &[f64],
    treatment: &[f64],
    method: RankMethod,
    options: TestOptions,
) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    check_finite(control)?;
    check_finite(treatment)?;
    check_count("observations of the control", 1, control.len() as u64)?;
    check_count("observations of the treatment", 1, treatment.len() as u64)?;
    let total = control.len() + treatment.len();
    let smaller = control.len().min(treatment.len());
    let exact = match method {
        RankMethod::Auto => smaller <= 8 && total <= 50,
        RankMethod::Exact if total > EXACT_MOST => {
            let expected = "at most 200 for the exact distribution";
            return Err(StatsError::OutOfRange { what: "observations", value: total as f64, expected });
        }
        RankMethod::Exact => true,
        RankMethod::Asymptotic | RankMethod::AsymptoticUncorrected => false,
    };
    let ranking = Ranking::new(control, treatment);
    let (p_value, cut) = if exact {
        ranking.exact(alternative, level)
    } else {
        ranking.asymptotic(alternative, level, method != RankMethod::AsymptoticUncorrected)
    };
    let (effect, interval) = shift(control, treatment, cut, level);
    Ok(TestResult {
        method: if exact { Method::MannWhitneyExact } else { Method::MannWhitneyAsymptotic },
        n: total as u64,
        statistic: ranking.u,
        df: None,
        p_value,
        alternative,
        effect,
        interval,
    })
}

struct Ranking {
    n1: usize,
    n2: usize,
    ranks: Vec<f64>,
    ties: f64,
    u: f64,
}

impl Ranking {
    fn new(control: &[f64], treatment: &[f64]) -> Self {
        let (ranks, ties) = midranks(&[treatment, control].concat());
        let n2 = treatment.len();
        let rank_sum: f64 = ranks[..n2].iter().sum();
        let least = n2 as f64 * (n2 as f64 + 1.0) / 2.0;
        Self { n1: control.len(), n2, ranks, ties, u: rank_sum - least }
    }

    /// p-value and the index of the lower bound among the sorted differences (0: none).
    fn exact(&self, alternative: Alternative, level: f64) -> (f64, u64) {
        let doubled_ranks: Vec<usize> = self.ranks.iter().map(|rank| doubled(*rank)).collect();
        // The subset that is counted is the smaller arm; the other tail is the same event seen from the other side.
        let flipped = self.n2 > self.n1;
        let (size, sum) = if flipped {
            (self.n1, doubled_ranks[self.n2..].iter().sum())
        } else {
            (self.n2, doubled_ranks[..self.n2].iter().sum::<usize>())
        };
        let mass = subset_sums(&doubled_ranks, Some(size));
        let (lower, upper) = tails(&mass, sum);
        let (less, greater) = if flipped { (upper, lower) } else { (lower, upper) };
        let p_value = match alternative {
            Alternative::TwoSided => (2.0 * less.min(greater)).min(1.0),
            Alternative::Less => less,
            Alternative::Greater => greater,
        };
        // Largest cut with P(U < cut) ≤ (1 − level)/2, from the distribution without ties.
        let untied: Vec<usize> = (1..=self.n1 + self.n2).collect();
        let mass = subset_sums(&untied, Some(size));
        let least = size * (size + 1) / 2;
        let (mut cumulated, mut cut) = (0.0, 0);
        for probability in &mass[least..] {
            cumulated += probability;
            if cumulated > (1.0 - level) / 2.0 {
                break;
            }
            cut += 1;
        }
        (p_value, cut)
    }

    fn asymptotic(&self, alternative: Alternative, level: f64, continuity: bool) -> (f64, u64) {
        let (n1, n2) = (self.n1 as f64, self.n2 as f64);
        let total = n1 + n2;
        let mean = 0.5 * n1 * n2;
        let tied = if total > 1.0 { self.ties / (total * (total - 1.0)) } else { 0.0 };
        let sd = (n1 * n2 / 12.0 * (total + 1.0 - tied)).max(0.0).sqrt();
        let p_value = asymptotic_p(self.u - mean, sd, alternative, continuity);
        (p_value, lower_cut(mean - normal_critical(level) * sd))
    }
}

/// p of a rank statistic at `distance` from its mean; 1 when every value is tied (sd = 0).
pub(crate) fn asymptotic_p(distance: f64, sd: f64, alternative: Alternative, continuity: bool) -> f64 {
    if sd == 0.0 {
        return 1.0;
    }
    let half = if continuity { 0.5 } else { 0.0 };
    match alternative {
        Alternative::TwoSided => (2.0 * normal_sf((distance.abs() - half) / sd)).min(1.0),
        Alternative::Greater => normal_sf((distance - half) / sd),
        Alternative::Less => normal_sf((-distance - half) / sd),
    }
}

/// The index of an order statistic as a count: its floor, 0 when there is none.
pub(crate) fn lower_cut(position: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped at 0, below n₁·n₂")]
    let cut = position.max(0.0).floor() as u64;
    cut
}

/// Median and the `cut`-th smallest and largest of all differences, without listing them.
fn shift(control: &[f64], treatment: &[f64], cut: u64, level: f64) -> (f64, Option<Interval>) {
    let (control, treatment) = (sorted(control.to_vec()), sorted(treatment.to_vec()));
    let at_most = |limit: f64| {
        // Larger treatments need larger controls to stay below the limit: one pass over both.
        let (mut count, mut first) = (0, 0);
        for after in &treatment {
            while first < control.len() && after - control[first] > limit {
                first += 1;
            }
            count += (control.len() - first) as u64;
        }
        count
    };
    shift_by_counting(control.len() as u64 * treatment.len() as u64, cut, level, at_most)
}

/// The median and the `cut`-th smallest and largest of this many differences, known by how many are at most a value.
pub(crate) fn shift_by_counting(
    pairs: u64,
    cut: u64,
    level: f64,
    at_most: impl Fn(f64) -> u64,
) -> (f64, Option<Interval>) {
    let effect = median_by_counting(pairs, &at_most);
    let interval = (cut > 0).then(|| Interval {
        low: kth_by_counting(cut, &at_most),
        high: kth_by_counting(pairs + 1 - cut, &at_most),
        level,
    });
    // Differences that are counted from below may come out as −0.
    (effect + 0.0, interval)
}
