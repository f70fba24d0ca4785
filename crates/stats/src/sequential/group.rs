//! Group-sequential tests: a planned number of looks that share α by an O'Brien-Fleming-like spending function.
//!
//! Lan & DeMets (1983, Biometrika 70:659): after the information fraction t, each side of a test of two-sided level α has
//! spent 2(1 − Φ(z_{1−α/4}/√t)), which is α/2 at t = 1. Boundaries by recursive integration of the joint density of the looks (Armitage, McPherson & Rowe 1969, JRSS A
//! 132:235).

use crate::dist::{normal_cdf, normal_pdf, normal_quantile, normal_sf};
use crate::error::{Result, StatsError, check_count, check_open_unit, check_positive};
use crate::result::{Alternative, Interval, Method, TestResult, symmetric_p};
use serde::{Deserialize, Serialize};

/// Quadrature points across the continuation region per look.
const POINTS: usize = 401;

/// A design: the information fractions of the looks and the boundary at each.
///
/// ```
/// use llmops_stats::sequential::group::GroupSequential;
/// let design = GroupSequential::new(&[0.2, 0.4, 0.6, 0.8, 1.0], 0.05).unwrap();
/// for (boundary, published) in design.boundaries().iter().zip([4.8769, 3.3569, 2.6803, 2.2898, 2.0310]) {
///     assert!((boundary - published).abs() < 2e-4);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSequential {
    fractions: Vec<f64>,
    alpha: f64,
    boundaries: Vec<f64>,
}

/// The outcome of one look.
///
/// ```
/// use llmops_stats::sequential::group::GroupSequential;
/// let design = GroupSequential::new(&[0.5, 1.0], 0.05).unwrap();
/// let look = design.look(0, 0.05, 0.02, 1000).unwrap();
/// assert!(!look.reject, "z = 2.5 at half time is below {}", look.boundary);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// z, its nominal p-value (compare z with the boundary, not p with α), and the repeated confidence interval
    /// effect ± boundary·se, valid over all looks.
    pub result: TestResult,
    /// The boundary of this look, in standard errors.
    pub boundary: f64,
    /// Whether |z| reaches the boundary: the test stops with a significant effect.
    pub reject: bool,
}

impl GroupSequential {
    /// Plans looks at increasing information fractions, the last of which may be below 1 (then not all of α is spent).
    ///
    /// Errors: no looks or more than 100, fractions not increasing within (0, 1], α outside (0, 1).
    ///
    /// ```
    /// use llmops_stats::sequential::group::GroupSequential;
    /// let single = GroupSequential::new(&[1.0], 0.05).unwrap();
    /// assert!((single.boundaries()[0] - 1.959_963_985).abs() < 1e-8);
    /// ```
    pub fn new(fractions: &[f64], alpha: f64) -> Result<Self> {
        check_open_unit("alpha", alpha)?;
        check_count("looks", 1, fractions.len() as u64)?;
        let mut previous = 0.0;
        for &fraction in fractions {
            if !(fraction > previous && fraction <= 1.0) || fractions.len() > 100 {
                let expected = "increasing within (0, 1], at most 100 of them";
                return Err(StatsError::OutOfRange { what: "information fraction", value: fraction, expected });
            }
            previous = fraction;
        }
        let boundaries = boundaries(fractions, alpha);
        Ok(Self { fractions: fractions.to_vec(), alpha, boundaries })
    }

    /// The boundary of each look, in standard errors.
    ///
    /// ```
    /// let design = llmops_stats::sequential::group::GroupSequential::new(&[0.5, 1.0], 0.05).unwrap();
    /// assert!(design.boundaries()[0] > design.boundaries()[1]);
    /// ```
    pub fn boundaries(&self) -> &[f64] {
        &self.boundaries
    }

    /// The information fraction of each look.
    ///
    /// ```
    /// let design = llmops_stats::sequential::group::GroupSequential::new(&[0.5, 1.0], 0.05).unwrap();
    /// assert_eq!(design.fractions(), [0.5, 1.0]);
    /// ```
    pub fn fractions(&self) -> &[f64] {
        &self.fractions
    }

    /// Evaluates the look of index `look` (from 0) for an effect with standard error `se` from `n` units.
    ///
    /// Errors: a look that is not planned, a non-finite effect, `se` not positive.
    ///
    /// ```
    /// let design = llmops_stats::sequential::group::GroupSequential::new(&[0.5, 1.0], 0.05).unwrap();
    /// assert!(design.look(1, 0.05, 0.02, 2000).unwrap().reject);
    /// assert!(design.look(2, 0.05, 0.02, 2000).is_err());
    /// ```
    pub fn look(&self, look: usize, effect: f64, se: f64, n: u64) -> Result<Look> {
        let Some(&boundary) = self.boundaries.get(look) else {
            let expected = "one of the planned looks";
            return Err(StatsError::OutOfRange { what: "look", value: look as f64, expected });
        };
        check_positive("standard error", se)?;
        if !effect.is_finite() {
            return Err(StatsError::NotFinite { index: 0 });
        }
        let statistic = effect / se;
        let result = TestResult {
            method: Method::GroupSequential,
            n,
            statistic,
            df: None,
            p_value: symmetric_p(statistic, Alternative::TwoSided, normal_sf),
            alternative: Alternative::TwoSided,
            effect,
            interval: Some(Interval::around(effect, boundary * se, 1.0 - self.alpha)),
        };
        Ok(Look { result, boundary, reject: statistic.abs() >= boundary })
    }
}

/// α spent up to the information fraction `t`, both sides together: 4(1 − Φ(z_{1−α/4}/√t)).
///
/// Errors: t outside (0, 1], α outside (0, 1).
///
/// ```
/// use llmops_stats::sequential::group::alpha_spent;
/// assert!((alpha_spent(1.0, 0.05).unwrap() - 0.05).abs() < 1e-12);
/// assert!(alpha_spent(0.5, 0.05).unwrap() < 0.006);
/// ```
pub fn alpha_spent(t: f64, alpha: f64) -> Result<f64> {
    check_open_unit("alpha", alpha)?;
    if !(t > 0.0 && t <= 1.0) {
        return Err(StatsError::OutOfRange { what: "information fraction", value: t, expected: "in (0, 1]" });
    }
    Ok(spent(t, alpha))
}

fn spent(t: f64, alpha: f64) -> f64 {
    4.0 * normal_sf(-normal_quantile(alpha / 4.0) / t.sqrt())
}

/// Works on the Brownian scale S = z√t, whose increments are independent and normal.
fn boundaries(fractions: &[f64], alpha: f64) -> Vec<f64> {
    let mut found = Vec::with_capacity(fractions.len());
    // Points and weights·density of S over the continuation region of the look before; at first, all mass at 0.
    let mut mass = vec![(0.0, 1.0)];
    let (mut before, mut spent_before) = (0.0, 0.0);
    for &fraction in fractions {
        let step = (fraction - before).sqrt();
        let spend = spent(fraction, alpha) - spent_before;
        let exit = |limit: f64| -> f64 {
            mass.iter()
                .map(|(s, weight)| weight * (normal_sf((limit - s) / step) + normal_cdf((-limit - s) / step)))
                .sum()
        };
        let (mut low, mut high) = (0.0, 40.0 * fraction.sqrt());
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if exit(middle) > spend { low = middle } else { high = middle }
        }
        let limit = high;
        found.push(limit / fraction.sqrt());
        mass = continue_within(&mass, limit.min(9.0 * fraction.sqrt()), step);
        (before, spent_before) = (fraction, spent_before + spend);
    }
    found
}

/// Density of S after a step of standard deviation `step`, on Simpson's points within ±limit.
fn continue_within(mass: &[(f64, f64)], limit: f64, step: f64) -> Vec<(f64, f64)> {
    let width = 2.0 * limit / (POINTS - 1) as f64;
    (0..POINTS)
        .map(|index| {
            let s = -limit + index as f64 * width;
            let simpson = if index == 0 || index == POINTS - 1 {
                1.0
            } else if index % 2 == 1 {
                4.0
            } else {
                2.0
            };
            let density: f64 = mass.iter().map(|(from, weight)| weight * normal_pdf((s - from) / step) / step).sum();
            (s, simpson * width / 3.0 * density)
        })
        .collect()
}
