//! Means of clustered observations, and weighted means of independent parts.
//!
//! Trials of one sample resemble each other. Treating them as independent understates the uncertainty, so the mean over
//! trials takes its standard error from the spread between samples.

use crate::dist::t_critical;
use crate::error::{Result, StatsError, check_count, check_finite, check_open_unit};
use crate::moments::{Moments, PairMoments};
use crate::result::{Estimate, Interval, Method};
use serde::{Deserialize, Serialize};

/// A streaming mean over clusters of any sizes, with a cluster-robust standard error.
///
/// Mean x̄ = ΣS_g / Σm_g over clusters of size m_g and sum S_g. Standard error
/// √( G/(G−1) · Σ(S_g − m_g x̄)² ) / Σm_g, the CR1 estimator of an intercept (Liang & Zeger 1986, Biometrika 73:13;
/// Miller 2024, "Adding Error Bars to Evals", §2.2); t-interval with G − 1 degrees of freedom. Constant memory: the
/// residual sum follows from the joint moments of (S_g, m_g).
///
/// ```
/// use llmops_stats::cluster::ClusterMean;
/// let mut score = ClusterMean::new();
/// for trials in [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]] {
///     score.push_values(&trials).unwrap();
/// }
/// let estimate = score.estimate(0.95).unwrap();
/// assert!((estimate.value - 5.0 / 9.0).abs() < 1e-12);
/// assert!((estimate.se.unwrap() - 0.293_972_4).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClusterMean {
    clusters: PairMoments,
    observations: u64,
}

impl ClusterMean {
    /// The mean of no clusters.
    ///
    /// ```
    /// assert_eq!(llmops_stats::cluster::ClusterMean::new().clusters(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cluster of `size` observations whose sum is `sum`; a cluster of size 0 carries nothing and is left out.
    ///
    /// ```
    /// let mut score = llmops_stats::cluster::ClusterMean::new();
    /// score.push(1.5, 2).unwrap();
    /// assert_eq!(score.mean(), Some(0.75));
    /// ```
    pub fn push(&mut self, sum: f64, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        self.clusters.push(sum, size as f64)?;
        self.observations += size;
        Ok(())
    }

    /// Adds a cluster given by its observations.
    ///
    /// ```
    /// let mut score = llmops_stats::cluster::ClusterMean::new();
    /// score.push_values(&[0.5, 1.0]).unwrap();
    /// assert_eq!(score.observations(), 2);
    /// ```
    pub fn push_values(&mut self, values: &[f64]) -> Result<()> {
        check_finite(values)?;
        self.push(values.iter().sum(), values.len() as u64)
    }

    /// Adds all clusters of another stream. A cluster must not be split over both.
    ///
    /// ```
    /// use llmops_stats::cluster::ClusterMean;
    /// let (mut left, mut right) = (ClusterMean::new(), ClusterMean::new());
    /// left.push(1.0, 1).unwrap();
    /// right.push(0.0, 1).unwrap();
    /// left.merge(&right);
    /// assert_eq!(left.mean(), Some(0.5));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        self.clusters.merge(&other.clusters);
        self.observations += other.observations;
    }

    /// How many clusters.
    ///
    /// ```
    /// assert_eq!(llmops_stats::cluster::ClusterMean::new().clusters(), 0);
    /// ```
    pub fn clusters(&self) -> u64 {
        self.clusters.n()
    }

    /// How many observations, over all clusters.
    ///
    /// ```
    /// assert_eq!(llmops_stats::cluster::ClusterMean::new().observations(), 0);
    /// ```
    pub fn observations(&self) -> u64 {
        self.observations
    }

    /// Mean over all observations; `None` of none.
    ///
    /// ```
    /// assert_eq!(llmops_stats::cluster::ClusterMean::new().mean(), None);
    /// ```
    pub fn mean(&self) -> Option<f64> {
        self.clusters.means().map(|(sum, size)| sum / size)
    }

    /// The mean with standard error and t-interval; value alone for a single cluster. `n` counts observations.
    ///
    /// Errors: [`StatsError::TooFew`] of no clusters, [`StatsError::OutOfRange`] for a level outside (0, 1).
    ///
    /// ```
    /// let mut score = llmops_stats::cluster::ClusterMean::new();
    /// score.push(2.0, 2).unwrap();
    /// assert!(score.estimate(0.95).unwrap().interval.is_none());
    /// score.push(1.0, 2).unwrap();
    /// assert_eq!(score.estimate(0.95).unwrap().df, Some(1.0));
    /// ```
    pub fn estimate(&self, level: f64) -> Result<Estimate> {
        check_open_unit("level", level)?;
        let Some(mean) = self.mean() else {
            return Err(StatsError::TooFew { what: "clusters", needed: 1, got: 0 });
        };
        let se = self.standard_error(mean);
        let df = se.map(|_| (self.clusters() - 1) as f64);
        let interval = se.zip(df).map(|(se, df)| Interval::around(mean, t_critical(level, df) * se, level));
        Ok(Estimate { method: Method::ClusterMean, n: self.observations, value: mean, se, df, interval })
    }

    fn standard_error(&self, mean: f64) -> Option<f64> {
        let (var_sum, var_size) = self.clusters.variances()?;
        let covariance = self.clusters.covariance()?;
        // The residuals S_g − m_g·x̄ sum to zero, so their variance is their mean square; rounding may dip below 0.
        let residual = (var_sum - 2.0 * mean * covariance + mean * mean * var_size).max(0.0);
        Some((residual * self.clusters() as f64).sqrt() / self.observations as f64)
    }
}

/// One independent part of a weighted mean.
///
/// ```
/// use llmops_stats::cluster::Part;
/// let part = Part { weight: 2.0, value: 0.8, se: Some(0.02), df: Some(40.0), n: 41, room: [0.0; 2] };
/// assert_eq!(part.weight, 2.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Weight, at least 0; weights need not sum to 1.
    pub weight: f64,
    /// Point estimate of the part.
    pub value: f64,
    /// Its standard error; `None` when unknown (a part of a single cluster).
    pub se: Option<f64>,
    /// Degrees of freedom of the standard error; `None` counts as infinitely many.
    pub df: Option<f64>,
    /// Observations of the part.
    pub n: u64,
    /// What its interval has below and above beyond t·se, as margins whose squares add up with it (see [`crate::bounded`]).
    pub room: [f64; 2],
}

impl Part {
    /// A part from an estimate and its weight.
    ///
    /// ```
    /// use llmops_stats::{cluster::Part, moments::Moments};
    /// let mean = Moments::from_slice(&[0.0, 1.0]).unwrap().mean_estimate(0.95).unwrap();
    /// assert_eq!(Part::new(1.0, &mean).value, 0.5);
    /// ```
    pub fn new(weight: f64, estimate: &Estimate) -> Self {
        let Estimate { value, se, df, n, interval, .. } = *estimate;
        let room = interval.zip(se).map(|(interval, se)| {
            let spread = critical(interval.level, df) * se;
            [value - interval.low, interval.high - value]
                .map(|margin| (margin * margin - spread * spread).max(0.0).sqrt())
        });
        Self { weight, value, se, df, n, room: room.unwrap_or_default() }
    }
}

/// Weighted mean of independent estimates, for example an overall score from its categories.
///
/// x̄ = Σw x / Σw, standard error √(Σw² se²) / Σw, t-interval with the degrees of freedom of Welch (1947, Biometrika
/// 34:28) and Satterthwaite, (Σw² se²)² / Σ(w⁴ se⁴ / df). Where parts have room beyond it, the squares of all margins add
/// up (MOVER; Zou, Huang & Zhang 2009, Computational Statistics & Data Analysis 53:1080). Parts of weight 0 are left out.
/// One part of unknown standard error makes the uncertainty of the whole unknown: the value is then given alone.
///
/// Errors: no part of positive weight, a negative or non-finite weight, value or standard error.
///
/// ```
/// use llmops_stats::cluster::{Part, weighted_mean};
/// let parts = [
///     Part { weight: 3.0, value: 0.9, se: Some(0.01), df: Some(99.0), n: 100, room: [0.0; 2] },
///     Part { weight: 1.0, value: 0.5, se: Some(0.05), df: Some(49.0), n: 50, room: [0.0; 2] },
/// ];
/// let overall = weighted_mean(&parts, 0.95).unwrap();
/// assert_eq!(overall.value, 0.8);
/// assert!((overall.se.unwrap() - 0.014_577).abs() < 1e-6);
/// ```
pub fn weighted_mean(parts: &[Part], level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    for (index, part) in parts.iter().enumerate() {
        let se = part.se.unwrap_or(0.0);
        if ![part.weight, part.value, se, part.room[0], part.room[1]].iter().all(|number| number.is_finite()) {
            return Err(StatsError::NotFinite { index });
        }
        if part.weight < 0.0 || se < 0.0 {
            let value = part.weight.min(se);
            return Err(StatsError::OutOfRange { what: "weight or standard error", value, expected: "at least 0" });
        }
    }
    let used = || parts.iter().filter(|part| part.weight > 0.0);
    check_count("parts of positive weight", 1, used().count() as u64)?;
    // Huge weights may add up to more than the largest number, and their parts to less.
    let sum: f64 = used().map(|part| part.weight).sum();
    let scale = if sum.is_finite() { 1.0 } else { used().count() as f64 };
    let total: f64 = used().map(|part| part.weight / scale).sum();
    let share = |part: &Part| part.weight / scale / total;
    let value = used().map(|part| share(part) * part.value).sum::<f64>();
    let n = used().map(|part| part.n).sum();
    let variances: Option<Vec<f64>> = used().map(|part| part.se.map(|se| (share(part) * se).powi(2))).collect();
    let Some(variances) = variances else {
        return Ok(Estimate { method: Method::WeightedMean, n, value, se: None, df: None, interval: None });
    };
    let variance: f64 = variances.iter().sum();
    let spread: f64 = used()
        .zip(&variances)
        .map(|(part, own)| part.df.map_or(0.0, |df| (own / variance).powi(2) / df.max(1.0)))
        .sum();
    let se = variance.sqrt();
    // Without variance, or with known variances only, the interval is the normal one.
    let df = (spread > 0.0).then(|| 1.0 / spread);
    let spread = critical(level, df) * se;
    let margin = |side: usize| {
        let room = used().map(|part| (share(part) * part.room[side]).powi(2)).sum::<f64>();
        if room > 0.0 { spread.hypot(room.sqrt()) } else { spread }
    };
    let interval = Some(Interval { low: value - margin(0), high: value + margin(1), level });
    Ok(Estimate { method: Method::WeightedMean, n, value, se: Some(se), df, interval })
}

/// Quantile of Student's distribution, or of the normal one without degrees of freedom.
pub(crate) fn critical(level: f64, df: Option<f64>) -> f64 {
    df.map_or_else(|| crate::dist::normal_critical(level), |df| t_critical(level, df))
}

/// Mean and t-interval of values that are independent, as [`ClusterMean`] gives for clusters of size 1.
///
/// ```
/// let estimate = llmops_stats::cluster::mean(&[0.2, 0.4, 0.9], 0.95).unwrap();
/// assert!((estimate.value - 0.5).abs() < 1e-12);
/// ```
pub fn mean(values: &[f64], level: f64) -> Result<Estimate> {
    Moments::from_slice(values)?.mean_estimate(level)
}
