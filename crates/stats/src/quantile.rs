//! Quantiles, and the difference of a quantile between two arms.

use crate::dist::{normal_critical, normal_sf};
use crate::error::{Result, check_count, check_finite, check_open_unit, check_unit};
use crate::result::{Interval, Method, TestOptions, TestResult, symmetric_p};
use crate::sketch::Sketch;

/// The quantile `q` of values, linearly interpolated between order statistics at (n − 1)q (type 7 of Hyndman & Fan
/// 1996, The American Statistician 50:361; NumPy's default).
///
/// Errors: a non-finite value, no values, q outside [0, 1].
///
/// ```
/// assert_eq!(llmops_stats::quantile::quantile(&[4.0, 1.0, 3.0, 2.0], 0.5).unwrap(), 2.5);
/// ```
pub fn quantile(values: &[f64], q: f64) -> Result<f64> {
    check_finite(values)?;
    check_count("observations", 1, values.len() as u64)?;
    check_unit("quantile", q)?;
    Ok(quantile_of_sorted(&sorted(values.to_vec()), q))
}

/// The values in ascending order.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// [`quantile`] of values that are sorted, finite and at least one.
pub(crate) fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ position ≤ len − 1")]
    let index = position.floor() as usize;
    let next = (index + 1).min(sorted.len() - 1);
    let fraction = position - index as f64;
    // Equal neighbours return themselves exactly, whatever the fraction.
    sorted[index] + fraction * (sorted[next] - sorted[index])
}

/// Difference of the quantile `q` of two independent samples, treatment − control, such as the 95th percentile of
/// latency.
///
/// z = (Q₂ − Q₁) / √(v₁ + v₂). The variance of each quantile is ((Q_u − Q_l) / 2z*)², from the distribution-free
/// interval between the order statistics at q ∓ z*√(q(1−q)/n), z* = Φ⁻¹(0.975) (Deng, Knoblich & Lu 2018, KDD,
/// "Applying the Delta Method in Metric Analytics", §4).
///
/// Where values come in coarse steps, such as whole seconds, that interval is one step or none at all, whichever way chance has it.
/// So where at most 6 values lie in it, each more than twice on average, it reaches to the next value on both sides; and where even
/// 5 standard errors of the share reach no other value, the nearest is taken to be 5 standard errors away.
///
/// Errors: a non-finite value, q outside (0, 1), [`crate::StatsError::TooFew`] when the order statistics reach beyond
/// the sample (n < z*² · max(q/(1−q), (1−q)/q)), constant arms that differ.
///
/// ```
/// use llmops_stats::{TestOptions, quantile::quantile_difference};
/// let control: Vec<f64> = (0..200).map(f64::from).collect();
/// let treatment: Vec<f64> = control.iter().map(|value| value + 30.0).collect();
/// let result = quantile_difference(&control, &treatment, 0.9, TestOptions::default()).unwrap();
/// assert!((result.effect - 30.0).abs() < 1e-9 && result.p_value < 0.001);
/// ```
pub fn quantile_difference(control: &[f64], treatment: &[f64], q: f64, options: TestOptions) -> Result<TestResult> {
    options.check()?;
    let single = |values: &[f64]| -> Result<QuantileEstimate> {
        check_finite(values)?;
        estimate((values.len() as u64, q), &sorted(values.to_vec()), |_| None)
    };
    check_open_unit("quantile", q)?;
    check_finite(treatment)?;
    difference_of(&single(control)?, &single(treatment)?, options)
}

/// A quantile of an arm whose observations come in clusters: its value and the variance of that value.
///
/// ```
/// use llmops_stats::quantile::{QuantileEstimate, clustered};
/// let calls: Vec<Vec<f64>> = (0..100).map(|user| vec![f64::from(user), f64::from(user) + 0.5]).collect();
/// let QuantileEstimate { value, observations, groups, .. } = clustered(&calls, 0.5).unwrap();
/// assert_eq!((value, observations, groups), (49.75, 200, 100));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileEstimate {
    /// The quantile.
    pub value: f64,
    /// Variance of the estimate.
    pub variance: f64,
    /// Observations.
    pub observations: u64,
    /// Independent groups of observations.
    pub groups: u64,
    /// Whether groups have more than one observation.
    pub clustered: bool,
    /// Whether values come in such coarse steps that the variance is that of the steps.
    pub coarse: bool,
}

/// The quantile `q` of clusters of observations, such as the calls of each user.
///
/// As [`quantile_difference`], except that the reach of the interval is z* times the standard error of the share of
/// observations below the quantile, by the delta method over clusters (Deng, Knoblich & Lu 2018, §4.2). With one
/// observation each it is that of independent observations.
///
/// Errors: as [`quantile_difference`]; fewer than 2 clusters.
///
/// ```
/// let single: Vec<Vec<f64>> = (0..100).map(|i| vec![f64::from(i)]).collect();
/// assert!(llmops_stats::quantile::clustered(&single, 0.5).unwrap().variance > 0.0);
/// ```
pub fn clustered(groups: &[Vec<f64>], q: f64) -> Result<QuantileEstimate> {
    let all = groups.concat();
    check_finite(&all)?;
    let all = sorted(all);
    let independent = groups.iter().all(|group| group.len() <= 1);
    estimate((all.len() as u64, q), &all, |value| {
        let below = |group: &Vec<f64>| group.iter().filter(|other| **other <= value).count() as f64;
        (!independent).then(|| {
            let filled = groups.iter().filter(|group| !group.is_empty());
            filled.map(|group| (below(group), group.len() as f64)).collect()
        })
    })
}

/// The same from sketches of random parts of the arm's units: the parts are the clusters, so that users with many
/// observations are accounted for. `independent` says that every unit has one observation, which needs no clusters.
///
/// Errors: as [`clustered`].
///
/// ```
/// use llmops_stats::{quantile::sketched, sketch::Sketch};
/// let mut parts = vec![Sketch::default(); 10];
/// for i in 0..1000_u32 {
///     parts[(i % 10) as usize].add(f64::from(i + 1)).unwrap();
/// }
/// assert!((sketched(&parts, 0.9, true).unwrap().value - 900.0).abs() < 5.0);
/// ```
pub fn sketched(parts: &[Sketch], q: f64, independent: bool) -> Result<QuantileEstimate> {
    let mut all = Sketch::default();
    for part in parts {
        all.merge(part);
    }
    estimate((all.n(), q), &all, |value| {
        let filled = parts.iter().filter(|part| part.n() > 0);
        (!independent).then(|| filled.map(|part| (part.below(value), part.n() as f64)).collect())
    })
}

/// The normal interval of such a quantile.
///
/// Errors: a level outside (0, 1).
///
/// ```
/// let single: Vec<Vec<f64>> = (0..100).map(|i| vec![f64::from(i)]).collect();
/// let estimate = llmops_stats::quantile::clustered(&single, 0.5).unwrap();
/// assert!(llmops_stats::quantile::interval_of(&estimate, 0.95).unwrap().contains(49.5));
/// ```
pub fn interval_of(estimate: &QuantileEstimate, level: f64) -> Result<Interval> {
    check_open_unit("level", level)?;
    Ok(Interval::around(estimate.value, normal_critical(level) * estimate.variance.sqrt(), level))
}

/// Tests the difference of two such quantiles, treatment − control, as [`quantile_difference`] does.
///
/// Errors: those of [`quantile_difference`] about variation and options.
///
/// ```
/// use llmops_stats::{TestOptions, quantile::{clustered, difference_of, quantile_difference}};
/// let arm = |shift: f64| (0..200).map(|i| f64::from(i) + shift).collect::<Vec<f64>>();
/// let single = |values: &[f64]| values.iter().map(|v| vec![*v]).collect::<Vec<_>>();
/// let (control, treatment) = (arm(0.0), arm(9.0));
/// let estimates = (clustered(&single(&control), 0.9).unwrap(), clustered(&single(&treatment), 0.9).unwrap());
/// let result = difference_of(&estimates.0, &estimates.1, TestOptions::default()).unwrap();
/// assert_eq!(result, quantile_difference(&control, &treatment, 0.9, TestOptions::default()).unwrap());
/// ```
pub fn difference_of(
    control: &QuantileEstimate,
    treatment: &QuantileEstimate,
    options: TestOptions,
) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    let (effect, se) = (treatment.value - control.value, (control.variance + treatment.variance).sqrt());
    if se == 0.0 && effect != 0.0 {
        return Err(crate::StatsError::NoVariation { what: "the values around the quantile" });
    }
    let statistic = if se > 0.0 { effect / se } else { 0.0 };
    crate::error::check_result("the statistic", &[statistic])?;
    let clustered = control.clustered || treatment.clustered;
    Ok(TestResult {
        method: if clustered { Method::QuantileDifferenceClustered } else { Method::QuantileDifference },
        n: control.observations + treatment.observations,
        statistic,
        df: None,
        p_value: if se > 0.0 { symmetric_p(statistic, alternative, normal_sf) } else { 1.0 },
        alternative,
        effect,
        interval: Some(Interval::around(effect, normal_critical(level) * se, level)),
    })
}

/// The values that lie in an interval, and the next ones beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steps {
    /// How many values.
    pub(crate) values: u64,
    /// How many different ones; not counted far beyond [`FEW_STEPS`].
    pub(crate) distinct: u64,
    /// The next smaller value; the interval's lower bound where there is none, or no gap.
    pub(crate) below: f64,
    /// The next larger value.
    pub(crate) above: f64,
    /// Whether there is a gap between these values: in a sketch, buckets that touch have none.
    pub(crate) has_gaps: bool,
}

/// At most so many different values in an interval are coarse.
pub(crate) const FEW_STEPS: u64 = 6;
/// So many standard errors reach no further than the next value where they do not reach it.
const CERTAIN: f64 = 5.0;

/// Values that a quantile is read from.
trait Distribution {
    fn quantile_at(&self, position: f64) -> Result<f64>;
    fn steps(&self, low: f64, high: f64) -> Steps;
}

impl Distribution for Vec<f64> {
    fn quantile_at(&self, position: f64) -> Result<f64> {
        Ok(quantile_of_sorted(self, position))
    }

    fn steps(&self, low: f64, high: f64) -> Steps {
        let (from, to) = (self.partition_point(|v| *v < low), self.partition_point(|v| *v <= high));
        let (mut at, mut distinct) = (from, 0);
        while at < to && distinct <= FEW_STEPS {
            let value = self[at];
            at += self[at..to].partition_point(|v| *v <= value);
            distinct += 1;
        }
        let below = from.checked_sub(1).map_or(low, |i| self[i]);
        let above = self.get(to).copied().unwrap_or(high);
        let has_gaps = distinct > 1 || below < low || above > high;
        Steps { values: (to - from) as u64, distinct, below, above, has_gaps }
    }
}

impl Distribution for Sketch {
    fn quantile_at(&self, position: f64) -> Result<f64> {
        self.quantile(position.clamp(0.0, 1.0))
    }

    fn steps(&self, low: f64, high: f64) -> Steps {
        Sketch::steps(self, low, high)
    }
}

/// `shares` answers with (observations at most the quantile, observations) of each cluster, and with nothing where the
/// observations are independent.
fn estimate(
    (n, q): (u64, f64),
    values: &impl Distribution,
    shares: impl FnOnce(f64) -> Option<Vec<(f64, f64)>>,
) -> Result<QuantileEstimate> {
    check_open_unit("quantile", q)?;
    let z = normal_critical(0.95);
    let needed = z * z * (q / (1.0 - q)).max((1.0 - q) / q);
    check_count("observations for this quantile", crate::power::ceil_count(needed)?.max(2), n)?;
    let value = values.quantile_at(q)?;
    let (se, groups, clustered) = match shares(value) {
        None => ((q * (1.0 - q) / n as f64).sqrt(), n, false),
        Some(clusters) => {
            check_count("units", 2, clusters.len() as u64)?;
            let pairs: (Vec<f64>, Vec<f64>) = clusters.into_iter().map(|(below, size)| (size, below)).unzip();
            let share = crate::ratio::ratio(&crate::moments::PairMoments::from_slices(&pairs.1, &pairs.0)?, 0.95)?;
            (share.se.unwrap_or_default(), share.n, true)
        }
    };
    let (sd, coarse) = spread(values, (q, value), se)?;
    Ok(QuantileEstimate { value, variance: sd * sd, observations: n, groups, clustered, coarse })
}

/// The standard error of a quantile, from that of the share of values below it, and whether it is one of coarse steps.
fn spread(values: &impl Distribution, (q, value): (f64, f64), se: f64) -> Result<(f64, bool)> {
    let z = normal_critical(0.95);
    let around = |reach: f64| -> Result<(f64, f64)> {
        Ok((values.quantile_at((q - reach).max(0.0))?, values.quantile_at((q + reach).min(1.0))?))
    };
    let (low, high) = around(z * se)?;
    let near = values.steps(low, high);
    let is_few = near.distinct <= FEW_STEPS && near.values > 2 * near.distinct;
    if !is_few || !near.has_gaps {
        return Ok(((high - low) / (2.0 * z), false));
    }
    // Beyond the last value there might be one as far away as the others are.
    let step = (high - low) / (near.distinct.saturating_sub(1)).max(1) as f64;
    let below = if near.below < low { near.below } else { low - step };
    let above = if near.above > high { near.above } else { high + step };
    let (low, high) = around(CERTAIN * se)?;
    let far = values.steps(low, high);
    let gaps = [(far.below < low).then_some(value - far.below), (far.above > high).then_some(far.above - value)];
    let sd = match gaps.into_iter().flatten().min_by(f64::total_cmp) {
        Some(gap) if far.distinct == 1 => gap / CERTAIN,
        _ => (above - below) / (2.0 * z),
    };
    Ok((sd, true))
}
