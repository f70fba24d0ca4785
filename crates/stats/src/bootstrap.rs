//! Seeded bootstrap intervals: percentile, BCa, and both over clusters.
//!
//! Efron & Tibshirani (1993), "An Introduction to the Bootstrap", §13.3 (percentile), §14.3 (BCa). The p-value inverts
//! the percentile interval: 2·min(share of resamples ≤ 0, share ≥ 0), each count increased by one so that it is never 0
//! (Davison & Hinkley 1997, §4.2). Resampling is ChaCha8 from the seed: the same input and seed give the same bits on
//! every machine. Above [`NORMAL_ABOVE`] observations resampling adds time and no information, so a normal interval
//! is given and named as such.

use crate::dist::{normal_cdf, normal_critical, normal_quantile, normal_sf};
use crate::error::{Result, StatsError, check_count, check_finite, check_open_unit, check_pairs, is_usable};
use crate::moments::Moments;
use crate::quantile::{quantile_of_sorted, sorted};
use crate::result::{Alternative, Interval, Method, TestResult, symmetric_p};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Above this many observations (or clusters) the normal approximation takes the place of resampling.
///
/// ```
/// assert_eq!(llmops_stats::bootstrap::NORMAL_ABOVE, 20_000);
/// ```
pub const NORMAL_ABOVE: usize = 20_000;

/// What sums of at most [`NORMAL_ABOVE`] terms differ by, relative to the largest, when they are added in another order.
/// Means that really differ lie further apart: by 1/n and more where scores repeat.
const ROUNDING: f64 = 1e-12;

/// How an interval is read off the bootstrap distribution.
///
/// ```
/// use llmops_stats::bootstrap::BootstrapKind;
/// assert_eq!(BootstrapKind::default(), BootstrapKind::Bca);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapKind {
    /// The quantiles (1 ∓ level)/2 of the resampled statistic.
    Percentile,
    /// Quantiles corrected for bias (from the share of resamples below the estimate) and skewness (from the jackknife).
    #[default]
    Bca,
}

/// Settings of a bootstrap.
///
/// ```
/// let options = llmops_stats::bootstrap::BootstrapOptions { seed: 7, ..Default::default() };
/// assert_eq!((options.resamples, options.level), (2_000, 0.95));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootstrapOptions {
    /// Nominal coverage, in (0, 1); 0.95 unless said otherwise.
    pub level: f64,
    /// Number of resamples, at least 100; 2,000 unless said otherwise.
    pub resamples: u32,
    /// Seed of the generator.
    pub seed: u64,
    /// How the interval is read off.
    pub kind: BootstrapKind,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self { level: 0.95, resamples: 2_000, seed: 0, kind: BootstrapKind::Bca }
    }
}

impl BootstrapOptions {
    fn check(self) -> Result<Self> {
        check_open_unit("level", self.level)?;
        check_count("resamples", 100, u64::from(self.resamples))?;
        Ok(self)
    }

    fn method(self) -> Method {
        match self.kind {
            BootstrapKind::Percentile => Method::BootstrapPercentile,
            BootstrapKind::Bca => Method::BootstrapBca,
        }
    }
}

/// Bootstrap of a mean. `effect` and `statistic` are the mean, the p-value tests it against 0. The same values in another
/// order give the same bits.
///
/// Errors: a non-finite value, fewer than 2 values, fewer than 100 resamples, a level outside (0, 1). Constant values
/// give an interval of no width.
///
/// ```
/// use llmops_stats::bootstrap::{self, BootstrapOptions};
/// let values: Vec<f64> = (0..50).map(|i| f64::from(i) / 50.0).collect();
/// let result = bootstrap::mean(&values, BootstrapOptions::default()).unwrap();
/// let interval = result.interval.unwrap();
/// assert!(interval.low > 0.39 && interval.low < 0.43 && interval.contains(0.49));
/// ```
pub fn mean(values: &[f64], options: BootstrapOptions) -> Result<TestResult> {
    let options = options.check()?;
    check_finite(values)?;
    check_count("observations", 2, values.len() as u64)?;
    let values = &sorted(values.to_vec())[..];
    let moments = Moments::from_slice(values)?;
    let estimate = moments.mean().unwrap_or_default();
    if values.len() > NORMAL_ABOVE {
        return Ok(normal(values.len() as u64, estimate, moments.sem().unwrap_or_default(), options.level));
    }
    if moments.m2() == 0.0 {
        return Ok(degenerate(values.len() as u64, estimate, options.method(), options.level));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let distribution = (0..options.resamples).map(|_| resampled_mean(values, &mut rng)).collect();
    let acceleration = acceleration(values.iter().map(|value| value - estimate));
    Ok(read_off(values.len() as u64, estimate, distribution, acceleration, (options.method(), options)))
}

/// Bootstrap of the mean of paired differences treatment − control; pairs are resampled together.
///
/// Errors: as [`mean`], and [`StatsError::LengthMismatch`].
///
/// ```
/// use llmops_stats::bootstrap::{self, BootstrapOptions};
/// let before = [0.2, 0.5, 0.4, 0.9, 0.6, 0.3];
/// let after = [0.4, 0.6, 0.7, 1.0, 0.7, 0.6];
/// let result = bootstrap::paired_difference(&before, &after, BootstrapOptions::default()).unwrap();
/// assert!(result.interval.unwrap().low > 0.0);
/// ```
pub fn paired_difference(control: &[f64], treatment: &[f64], options: BootstrapOptions) -> Result<TestResult> {
    check_pairs(control, treatment)?;
    let differences: Vec<f64> = treatment.iter().zip(control).map(|(after, before)| after - before).collect();
    mean(&differences, options)
}

/// Bootstrap of the difference of the means of two independent samples, each resampled within itself.
///
/// Errors: as [`mean`], for either sample.
///
/// ```
/// use llmops_stats::bootstrap::{self, BootstrapOptions};
/// let result =
///     bootstrap::difference(&[0.1, 0.2, 0.3, 0.2], &[0.8, 0.9, 0.7], BootstrapOptions::default()).unwrap();
/// assert!((result.effect - 0.6).abs() < 1e-12);
/// ```
pub fn difference(control: &[f64], treatment: &[f64], options: BootstrapOptions) -> Result<TestResult> {
    let options = options.check()?;
    check_finite(control)?;
    check_finite(treatment)?;
    let (control, treatment) = (&sorted(control.to_vec())[..], &sorted(treatment.to_vec())[..]);
    let (before, after) = (Moments::from_slice(control)?, Moments::from_slice(treatment)?);
    check_count("observations of the control", 2, before.n())?;
    check_count("observations of the treatment", 2, after.n())?;
    let (mean_before, mean_after) = (before.mean().unwrap_or_default(), after.mean().unwrap_or_default());
    let estimate = mean_after - mean_before;
    let n = before.n() + after.n();
    if control.len().max(treatment.len()) > NORMAL_ABOVE {
        let se = before.sem().unwrap_or_default().hypot(after.sem().unwrap_or_default());
        return Ok(normal(n, estimate, se, options.level));
    }
    if before.m2() + after.m2() == 0.0 {
        return Ok(degenerate(n, estimate, options.method(), options.level));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let distribution = (0..options.resamples)
        .map(|_| {
            let resampled_control = resampled_mean(control, &mut rng);
            resampled_mean(treatment, &mut rng) - resampled_control
        })
        .collect();
    let influences = control
        .iter()
        .map(|value| (mean_before - value) / before.n() as f64)
        .chain(treatment.iter().map(|value| (value - mean_after) / after.n() as f64));
    Ok(read_off(n, estimate, distribution, acceleration(influences), (options.method(), options)))
}

/// Bootstrap of a mean over clusters given as (sum, size); whole clusters are resampled. `n` counts clusters.
///
/// Errors: as [`mean`], counted in clusters. Clusters of size 0 are left out.
///
/// ```
/// use llmops_stats::bootstrap::{self, BootstrapOptions};
/// let clusters = [(3.0, 3), (0.0, 3), (2.0, 3), (3.0, 4), (1.0, 2), (0.0, 1)];
/// let result = bootstrap::cluster_mean(&clusters, BootstrapOptions::default()).unwrap();
/// assert_eq!(result.effect, 9.0 / 16.0);
/// assert_eq!(result.method.to_string(), "bias-corrected and accelerated cluster bootstrap");
/// ```
pub fn cluster_mean(clusters: &[(f64, u64)], options: BootstrapOptions) -> Result<TestResult> {
    let options = options.check()?;
    if let Some(index) = clusters.iter().position(|(sum, _)| !is_usable(*sum)) {
        return Err(StatsError::NotFinite { index });
    }
    let clusters: Vec<(f64, f64)> =
        clusters.iter().filter(|(_, size)| *size > 0).map(|&(sum, size)| (sum, size as f64)).collect();
    let n = clusters.len() as u64;
    check_count("clusters", 2, n)?;
    let total: f64 = clusters.iter().map(|(_, size)| size).sum();
    let estimate = clusters.iter().map(|(sum, _)| sum).sum::<f64>() / total;
    let residuals = || clusters.iter().map(|(sum, size)| sum - size * estimate);
    if clusters.len() > NORMAL_ABOVE {
        let square: f64 = residuals().map(|residual| residual * residual).sum();
        let se = (square * n as f64 / (n - 1) as f64).sqrt() / total;
        return Ok(normal(n, estimate, se, options.level));
    }
    let method = match options.kind {
        BootstrapKind::Percentile => Method::ClusterBootstrapPercentile,
        BootstrapKind::Bca => Method::ClusterBootstrapBca,
    };
    let (first_sum, first_size) = clusters[0];
    if clusters.iter().all(|(sum, size)| sum / size == first_sum / first_size) {
        return Ok(degenerate(n, estimate, method, options.level));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let distribution = (0..options.resamples)
        .map(|_| {
            let (mut sum, mut size) = (0.0, 0.0);
            for_each_draw(clusters.len(), &mut rng, |index| {
                sum += clusters[index].0;
                size += clusters[index].1;
            });
            sum / size
        })
        .collect();
    // The jackknife over clusters: leaving out g moves the ratio by −residual_g / (total − m_g).
    let influences = clusters.iter().map(|(sum, size)| (sum - size * estimate) / (total - size));
    Ok(read_off(n, estimate, distribution, acceleration(influences), (method, options)))
}

/// Bootstrap of any statistic of one sample, such as a median. The acceleration of BCa comes from the jackknife, so the
/// statistic is evaluated `resamples + n` times; there is no fallback for large n.
///
/// Errors: as [`mean`]; a statistic that is not finite on a resample is [`StatsError::NotFinite`] with the resample's
/// index.
///
/// ```
/// use llmops_stats::bootstrap::{self, BootstrapOptions};
/// let largest = |values: &[f64]| values.iter().copied().fold(f64::MIN, f64::max);
/// let result = bootstrap::statistic(&[1.0, 2.0, 5.0], largest, BootstrapOptions::default()).unwrap();
/// assert_eq!(result.effect, 5.0);
/// ```
pub fn statistic(values: &[f64], statistic: impl Fn(&[f64]) -> f64, options: BootstrapOptions) -> Result<TestResult> {
    let options = options.check()?;
    check_finite(values)?;
    let n = values.len() as u64;
    check_count("observations", 2, n)?;
    let values = &sorted(values.to_vec())[..];
    let estimate = statistic(values);
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut sample = vec![0.0; values.len()];
    let mut distribution = Vec::with_capacity(options.resamples as usize);
    for _ in 0..options.resamples {
        let mut position = 0;
        for_each_draw(values.len(), &mut rng, |index| {
            sample[position] = values[index];
            position += 1;
        });
        distribution.push(statistic(&sample));
    }
    check_finite(&distribution)?;
    let left_out: Vec<f64> =
        (0..values.len()).map(|out| statistic(&[&values[..out], &values[out + 1..]].concat())).collect();
    check_finite(&left_out)?;
    let centre = left_out.iter().sum::<f64>() / n as f64;
    let acceleration = acceleration(left_out.iter().map(|value| centre - value));
    Ok(read_off(n, estimate, distribution, acceleration, (options.method(), options)))
}

/// Percentile interval of a bootstrap distribution: its quantiles (1 ∓ level)/2, linearly interpolated.
///
/// ```
/// let distribution: Vec<f64> = (0..=100).map(f64::from).collect();
/// let interval = llmops_stats::bootstrap::percentile_interval(&distribution, 0.9).unwrap();
/// assert!((interval.low - 5.0).abs() < 1e-9 && (interval.high - 95.0).abs() < 1e-9);
/// ```
pub fn percentile_interval(distribution: &[f64], level: f64) -> Result<Interval> {
    check_open_unit("level", level)?;
    check_finite(distribution)?;
    check_count("resamples", 1, distribution.len() as u64)?;
    let sorted = sorted(distribution.to_vec());
    Ok(interval_at(&sorted, (1.0 - level) / 2.0, f64::midpoint(1.0, level), level))
}

/// BCa interval of a bootstrap distribution, from the estimate and the acceleration â.
///
/// Bias z₀ = Φ⁻¹(share below the estimate, ties counted half; what differs from it by rounding alone is a tie); quantiles Φ(z₀ + (z₀ + z)/(1 − â(z₀ + z))) for
/// z = Φ⁻¹((1 ∓ level)/2). An estimate outside the whole distribution has no finite bias: the share is then held half
/// a resample away from 0 and 1.
///
/// ```
/// let distribution: Vec<f64> = (0..=100).map(f64::from).collect();
/// let interval = llmops_stats::bootstrap::bca_interval(&distribution, 50.0, 0.0, 0.9).unwrap();
/// assert!((interval.low - 5.0).abs() < 1e-9, "no bias, no skewness: the percentile interval");
/// ```
pub fn bca_interval(distribution: &[f64], estimate: f64, acceleration: f64, level: f64) -> Result<Interval> {
    check_open_unit("level", level)?;
    check_finite(distribution)?;
    check_count("resamples", 1, distribution.len() as u64)?;
    let (sorted, estimate) = in_order(distribution.to_vec(), estimate);
    Ok(bca_of_sorted(&sorted, estimate, acceleration, level))
}

fn bca_of_sorted(sorted: &[f64], estimate: f64, acceleration: f64, level: f64) -> Interval {
    let count = sorted.len() as f64;
    let below = sorted.partition_point(|value| *value < estimate) as f64;
    let up_to = sorted.partition_point(|value| *value <= estimate) as f64;
    let share = (0.5 * (below + up_to) / count).clamp(0.5 / count, 1.0 - 0.5 / count);
    let bias = normal_quantile(share);
    let corrected = |tail: f64| {
        let shifted = bias + normal_quantile(tail);
        let scale = 1.0 - acceleration * shifted;
        // Beyond the pole of the formula there is nothing but the end of the distribution.
        if scale > 0.0 { normal_cdf(bias + shifted / scale) } else { f64::from(u8::from(shifted > 0.0)) }
    };
    interval_at(sorted, corrected((1.0 - level) / 2.0), corrected(f64::midpoint(1.0, level)), level)
}

fn interval_at(sorted: &[f64], low: f64, high: f64, level: f64) -> Interval {
    Interval { low: quantile_of_sorted(sorted, low), high: quantile_of_sorted(sorted, high), level }
}

/// The resampled statistics in order, and the estimate. Where scores repeat, as 0 and 1 do, many resamples have the very value
/// of the estimate, or are 0; sums of the same terms in another order miss it by rounding. One side would get all of
/// these ties, so what is that near is made equal.
fn in_order(distribution: Vec<f64>, estimate: f64) -> (Vec<f64>, f64) {
    let mut sorted = sorted(distribution);
    let largest = sorted.first().into_iter().chain(sorted.last()).fold(estimate.abs(), |most, v| most.max(v.abs()));
    let slack = ROUNDING * largest;
    let estimate = if estimate.abs() <= slack { 0.0 } else { estimate };
    for value in &mut sorted {
        if (*value - estimate).abs() <= slack {
            *value = estimate;
        } else if value.abs() <= slack {
            *value = 0.0;
        }
    }
    (sorted, estimate)
}

/// Draws `n` indices below `n`. The 32-bit multiply-shift favours no index by more than n/2³², which is below 5·10⁻⁶
/// for every n that is resampled, and costs half of a 64-bit draw.
fn for_each_draw(n: usize, rng: &mut ChaCha8Rng, mut visit: impl FnMut(usize)) {
    for _ in 0..n {
        let index = (u64::from(rng.next_u32()) * n as u64) >> 32;
        visit(index as usize);
    }
}

fn resampled_mean(values: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    let mut sum = 0.0;
    for_each_draw(values.len(), rng, |index| sum += values[index]);
    sum / values.len() as f64
}

/// â = Σu³ / (6 (Σu²)^{3/2}) of the empirical influences u; 0 when nothing varies.
fn acceleration(influences: impl Iterator<Item = f64> + Clone) -> f64 {
    // In units of the largest, so that no cube vanishes or overflows.
    let largest = influences.clone().fold(0.0, |largest: f64, u| largest.max(u.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let (square, cube) =
        influences.map(|u| u / largest).fold((0.0, 0.0), |(square, cube), u| (square + u * u, cube + u * u * u));
    cube / (6.0 * f64::powf(square, 1.5))
}

fn read_off(
    n: u64,
    estimate: f64,
    distribution: Vec<f64>,
    acceleration: f64,
    (method, options): (Method, BootstrapOptions),
) -> TestResult {
    let (sorted, estimate) = in_order(distribution, estimate);
    let level = options.level;
    let interval = match options.kind {
        BootstrapKind::Percentile => interval_at(&sorted, (1.0 - level) / 2.0, f64::midpoint(1.0, level), level),
        BootstrapKind::Bca => bca_of_sorted(&sorted, estimate, acceleration, level),
    };
    let at_most = sorted.partition_point(|value| *value <= 0.0) as f64;
    let at_least = (sorted.len() - sorted.partition_point(|value| *value < 0.0)) as f64;
    let p_value = (2.0 * (at_most.min(at_least) + 1.0) / (sorted.len() as f64 + 1.0)).min(1.0);
    result(method, n, estimate, p_value, interval)
}

fn normal(n: u64, estimate: f64, se: f64, level: f64) -> TestResult {
    let interval = Interval::around(estimate, normal_critical(level) * se, level);
    let p_value = match (se > 0.0, estimate == 0.0) {
        (true, _) => symmetric_p(estimate / se, Alternative::TwoSided, normal_sf),
        (false, true) => 1.0,
        (false, false) => 0.0,
    };
    result(Method::BootstrapNormal, n, estimate, p_value, interval)
}

/// Every resample of constant values is the estimate itself.
fn degenerate(n: u64, estimate: f64, method: Method, level: f64) -> TestResult {
    let p_value = if estimate == 0.0 { 1.0 } else { 0.0 };
    result(method, n, estimate, p_value, Interval { low: estimate, high: estimate, level })
}

fn result(method: Method, n: u64, estimate: f64, p_value: f64, interval: Interval) -> TestResult {
    TestResult {
        method,
        n,
        statistic: estimate,
        df: None,
        p_value,
        alternative: Alternative::TwoSided,
        effect: estimate,
        interval: Some(interval),
    }
}
