//! Rank statistics of tallied values: how often each value occurs in an arm, rather than the values one by one. Ratings
//! take few distinct values however many there are of them.

use crate::dist::normal_critical;
use crate::error::{Result, StatsError, check_count, is_usable};
use crate::mann_whitney::{RankMethod, asymptotic_p, lower_cut, mann_whitney, shift_by_counting};
use crate::result::{Interval, Method, TestOptions, TestResult};

/// Up to this many values they are listed and given to [`mann_whitney`], which has an exact distribution for few.
const LISTED: u64 = 200;

/// A value and how often it occurs.
pub type Tally = (f64, u64);

/// The Mann-Whitney U test of tallied values; what [`mann_whitney`] gives for the same values listed one by one.
///
/// Errors: as [`mann_whitney`].
///
/// ```
/// use llmops_stats::{TestOptions, mann_whitney::{RankMethod, mann_whitney}, ordinal::mann_whitney_tallied};
/// let (control, treatment) = ([(1.0, 40), (2.0, 90), (3.0, 70)], [(1.0, 20), (2.0, 80), (3.0, 100)]);
/// let list = |tally: &[(f64, u64)]| tally.iter().flat_map(|&(v, n)| vec![v; n as usize]).collect::<Vec<f64>>();
/// let options = TestOptions::default();
/// let tallied = mann_whitney_tallied(&control, &treatment, RankMethod::Asymptotic, options).unwrap();
/// let listed = mann_whitney(&list(&control), &list(&treatment), RankMethod::Asymptotic, options).unwrap();
/// assert!((tallied.p_value - listed.p_value).abs() < 1e-12);
/// assert_eq!((tallied.statistic, tallied.effect, tallied.interval), (listed.statistic, listed.effect, listed.interval));
/// ```
pub fn mann_whitney_tallied(
    control: &[Tally],
    treatment: &[Tally],
    method: RankMethod,
    options: TestOptions,
) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    let (before, after) = (Tallied::new(control)?, Tallied::new(treatment)?);
    check_count("observations of the control", 1, before.n)?;
    check_count("observations of the treatment", 1, after.n)?;
    if before.n + after.n <= LISTED || method == RankMethod::Exact {
        return mann_whitney(&before.list(), &after.list(), method, options);
    }
    let (n1, n2) = (before.n as f64, after.n as f64);
    let total = n1 + n2;
    let statistic: f64 = after.values.iter().map(|&(value, n)| n as f64 * before.placement(value)).sum();
    let ties: f64 = before.together(&after).map(|n| (n as f64).powi(3) - n as f64).sum();
    let sd = (n1 * n2 / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).max(0.0).sqrt();
    let mean = 0.5 * n1 * n2;
    let p_value = asymptotic_p(statistic - mean, sd, alternative, method != RankMethod::AsymptoticUncorrected);
    let (effect, interval) = shift(&before, &after, lower_cut(mean - normal_critical(level) * sd), level);
    Ok(TestResult {
        method: Method::MannWhitneyAsymptotic,
        n: before.n + after.n,
        statistic,
        df: None,
        p_value,
        alternative,
        effect,
        interval,
    })
}

/// The placements of two arms: that of each value is the share of the other arm that it beats (DeLong, DeLong & Clarke-Pearson 1988,
/// Biometrics 44:837). Unlike U's, a variance made of them holds also where the arms differ, so that it gives an interval.
///
/// ```
/// use llmops_stats::ordinal::placements;
/// let found = placements(&[(1.0, 50), (2.0, 50)], &[(1.0, 30), (2.0, 70)]).unwrap();
/// assert!((found.value - 0.1).abs() < 1e-12);
/// // Of the treatment, 30 values beat a quarter of the control, and 70 three quarters.
/// assert!((found.variances.1 - 0.25 * 0.3 * 0.7 * 100.0 / 99.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placements {
    /// The probability of superiority P(T > C) + ½P(T = C), minus ½.
    pub value: f64,
    /// Variance of the placements of the control and of the treatment.
    pub variances: (f64, f64),
    /// Values of the control and of the treatment.
    pub units: (u64, u64),
}

/// The placements of two arms.
///
/// Errors: an arm of fewer than 2 values, a non-finite value.
///
/// ```
/// let found = llmops_stats::ordinal::placements(&[(1.0, 9)], &[(2.0, 9)]).unwrap();
/// assert_eq!((found.value, found.variances), (0.5, (0.0, 0.0)));
/// ```
pub fn placements(control: &[Tally], treatment: &[Tally]) -> Result<Placements> {
    let (before, after) = (Tallied::new(control)?, Tallied::new(treatment)?);
    check_count("observations of the control", 2, before.n)?;
    check_count("observations of the treatment", 2, after.n)?;
    let (mean, variance_after) = spread(&after, |value| before.placement(value) / before.n as f64);
    let (_, variance_before) = spread(&before, |value| 1.0 - after.placement(value) / after.n as f64);
    Ok(Placements { value: mean - 0.5, variances: (variance_before, variance_after), units: (before.n, after.n) })
}

/// Mean and sample variance of a function of tallied values.
fn spread(tally: &Tallied, of: impl Fn(f64) -> f64) -> (f64, f64) {
    let n = tally.n as f64;
    let mean = tally.values.iter().map(|&(value, count)| count as f64 * of(value)).sum::<f64>() / n;
    let squares = tally.values.iter().map(|&(value, count)| count as f64 * (of(value) - mean).powi(2)).sum::<f64>();
    (mean, squares / (n - 1.0))
}

struct Tallied {
    /// Ascending, each value once, none of them 0 times.
    values: Vec<Tally>,
    /// How many values lie before each.
    before: Vec<u64>,
    n: u64,
}

impl Tallied {
    fn new(tally: &[Tally]) -> Result<Self> {
        if let Some(index) = tally.iter().position(|(value, _)| !is_usable(*value)) {
            return Err(StatsError::NotFinite { index });
        }
        let mut sorted: Vec<Tally> = tally.iter().copied().filter(|(_, n)| *n > 0).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut values: Vec<Tally> = Vec::with_capacity(sorted.len());
        for (value, n) in sorted {
            match values.last_mut() {
                Some(last) if last.0 == value => last.1 += n,
                _ => values.push((value, n)),
            }
        }
        let mut n = 0;
        let before = values
            .iter()
            .map(|(_, count)| {
                n += count;
                n - count
            })
            .collect();
        Ok(Self { values, before, n })
    }

    fn list(&self) -> Vec<f64> {
        let times = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        self.values.iter().flat_map(|&(value, n)| std::iter::repeat_n(value, times(n))).collect()
    }

    /// How many values are below `value`, equal ones counted half.
    fn placement(&self, value: f64) -> f64 {
        match self.values.binary_search_by(|(other, _)| other.partial_cmp(&value).unwrap_or(std::cmp::Ordering::Equal))
        {
            Ok(i) => self.before[i] as f64 + self.values[i].1 as f64 / 2.0,
            Err(i) => self.before.get(i).copied().unwrap_or(self.n) as f64,
        }
    }

    /// How often each value occurs in both arms.
    fn together<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let count_in = |tally: &Self, value: f64| {
            let found = tally
                .values
                .binary_search_by(|(other, _)| other.partial_cmp(&value).unwrap_or(std::cmp::Ordering::Equal));
            found.map_or(0, |i| tally.values[i].1)
        };
        let own = self.values.iter().map(move |&(value, n)| n + count_in(other, value));
        own.chain(other.values.iter().filter(move |(value, _)| count_in(self, *value) == 0).map(|(_, n)| *n))
    }
}

/// The Hodges-Lehmann shift with its interval: the median, and the `cut`-th smallest and largest, of all differences, which
/// are counted and not listed.
fn shift(before: &Tallied, after: &Tallied, cut: u64, level: f64) -> (f64, Option<Interval>) {
    let at_most = |limit: f64| {
        // Larger values after need larger ones before to stay below the limit: one pass over both.
        let (mut count, mut first) = (0, 0);
        for &(value, n) in &after.values {
            while before.values.get(first).is_some_and(|(other, _)| value - other > limit) {
                first += 1;
            }
            count += n * (before.n - before.before.get(first).copied().unwrap_or(before.n));
        }
        count
    };
    shift_by_counting(before.n * after.n, cut, level, at_most)
}
