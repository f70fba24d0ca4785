//! Two windows of counts by bin, as shares: what the distances between distributions have in common.

use crate::dist::chi_squared_sf;
use crate::error::{Result, StatsError, check_count, check_finite};
use crate::quantile::{quantile_of_sorted, sorted};
use crate::result::{Alternative, Interval, Method, TestResult};

/// The shares of the bins in a reference and a current window.
pub(super) struct Windows {
    shares: Vec<(f64, f64)>,
    reference: u64,
    current: u64,
    /// Bins that hold anything in either window.
    occupied: usize,
}

impl Windows {
    /// `smoothing` is added to the count of every bin.
    pub(super) fn new(reference: &[u64], current: &[u64], smoothing: f64) -> Result<Self> {
        if reference.len() != current.len() {
            return Err(StatsError::LengthMismatch { left: reference.len(), right: current.len() });
        }
        let (n, m) = (reference.iter().sum(), current.iter().sum());
        check_count("reference counts", 1, n)?;
        check_count("current counts", 1, m)?;
        let extra = smoothing * reference.len() as f64;
        let share = |count: u64, all: u64| (count as f64 + smoothing) / (all as f64 + extra);
        let shares = reference.iter().zip(current).map(|(&p, &q)| (share(p, n), share(q, m))).collect();
        let occupied = reference.iter().zip(current).filter(|&(&p, &q)| p + q > 0).count();
        Ok(Self { shares, reference: n, current: m, occupied })
    }

    /// Σ `term`(pᵢ, qᵢ).
    pub(super) fn sum(&self, term: impl Fn(f64, f64) -> f64) -> f64 {
        self.shares.iter().map(|&(p, q)| term(p, q)).sum()
    }

    /// 1/n + 1/m: the scale of what chance alone does to the shares.
    pub(super) fn noise(&self) -> f64 {
        1.0 / self.reference as f64 + 1.0 / self.current as f64
    }

    /// Standard error of a function of the shares whose derivatives by pᵢ and qᵢ are given, both windows multinomial and
    /// independent (delta method; Agresti 2013, "Categorical Data Analysis", §16.1). A bin of share 0 adds nothing.
    pub(super) fn delta_se(&self, by_p: impl Fn(f64, f64) -> f64, by_q: impl Fn(f64, f64) -> f64) -> f64 {
        let (mut p1, mut p2, mut q1, mut q2) = (0.0, 0.0, 0.0, 0.0);
        for &(p, q) in &self.shares {
            if p > 0.0 {
                let slope = by_p(p, q);
                p1 += p * slope;
                p2 += p * slope * slope;
            }
            if q > 0.0 {
                let slope = by_q(p, q);
                q1 += q * slope;
                q2 += q * slope * slope;
            }
        }
        let variance = (p2 - p1 * p1).max(0.0) / self.reference as f64 + (q2 - q1 * q1).max(0.0) / self.current as f64;
        variance.sqrt()
    }

    /// The result of a test whose statistic is χ² with one degree of freedom less than there are occupied bins. With one
    /// occupied bin there is nothing that could differ, and p is 1.
    pub(super) fn test(&self, method: Method, effect: f64, statistic: f64, interval: Interval) -> TestResult {
        let df = self.occupied.saturating_sub(1) as f64;
        TestResult {
            method,
            n: self.reference + self.current,
            statistic,
            df: Some(df),
            p_value: if df > 0.0 { chi_squared_sf(statistic, df) } else { 1.0 },
            alternative: Alternative::TwoSided,
            effect,
            interval: Some(interval),
        }
    }
}

/// Counts of both samples in bins at the reference's quantiles.
pub(super) fn bin(reference: &[f64], current: &[f64], bins: usize) -> Result<(Vec<u64>, Vec<u64>)> {
    check_finite(reference)?;
    check_finite(current)?;
    check_count("reference values", 1, reference.len() as u64)?;
    check_count("current values", 1, current.len() as u64)?;
    check_count("bins", 2, bins as u64)?;
    let sorted = sorted(reference.to_vec());
    let mut edges: Vec<f64> = (1..bins).map(|i| quantile_of_sorted(&sorted, i as f64 / bins as f64)).collect();
    edges.dedup();
    let count = |values: &[f64]| {
        let mut counts = vec![0; edges.len() + 1];
        for value in values {
            counts[edges.partition_point(|edge| edge < value)] += 1;
        }
        counts
    };
    Ok((count(reference), count(current)))
}
