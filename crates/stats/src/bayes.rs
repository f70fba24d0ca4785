//! Bayesian comparison of two arms: chance to win, expected loss, credible interval.

use crate::dist::{beta_reg, binomial_density, integrate, normal_cdf, normal_critical, normal_pdf};
use crate::error::{Result, StatsError, check_count, check_open_unit, check_positive};
use crate::moments::Moments;
use crate::proportion::Rate;
use crate::result::{Interval, Method};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// The posterior of the difference treatment − control, summarised for a decision.
///
/// ```
/// use llmops_stats::{bayes::beta, bayes::BetaPrior, proportion::Rate};
/// let (control, treatment) = (Rate::new(60, 100).unwrap(), Rate::new(70, 100).unwrap());
/// let posterior = beta(control, treatment, BetaPrior::default(), 0.95).unwrap();
/// assert!(posterior.chance_to_win > 0.9);
/// assert!(posterior.loss_of_treatment < posterior.loss_of_control);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// The model, by name.
    pub method: Method,
    /// Observations of both arms.
    pub n: u64,
    /// Posterior mean of treatment − control.
    pub effect: f64,
    /// P(treatment > control), in [0, 1].
    pub chance_to_win: f64,
    /// Expected loss of choosing the treatment, E[max(0, control − treatment)], in the units of the metric.
    pub loss_of_treatment: f64,
    /// Expected loss of choosing the control, E[max(0, treatment − control)].
    pub loss_of_control: f64,
    /// Equal-tailed credible interval of treatment − control.
    pub interval: Interval,
}

/// A normal prior of the difference. Infinite spread is written as `None` in [`normal`].
///
/// ```
/// let sceptical = llmops_stats::bayes::NormalPrior { mean: 0.0, sd: 0.02 };
/// assert_eq!(sceptical.mean, 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NormalPrior {
    /// Prior mean of treatment − control.
    pub mean: f64,
    /// Prior standard deviation, positive.
    pub sd: f64,
}

/// Normal model: the difference of means Δ has a normal likelihood of variance V = s₁²/n₁ + s₂²/n₂, and a normal prior
/// or a flat one (`None`).
///
/// Posterior precision 1/V + 1/τ², mean weighted by precision (Gelman et al. 2013, "Bayesian Data Analysis", §2.5); with
/// posterior N(m, s²): chance to win Φ(m/s), loss of the treatment sφ(m/s) − mΦ(−m/s).
///
/// Errors: an arm of fewer than 2 values, a prior that is not finite or of sd ≤ 0, arms without variation that differ
/// under a flat prior. Without variation and difference the posterior is a point at 0 and the chance to win ½.
///
/// ```
/// use llmops_stats::{bayes::normal, moments::Moments};
/// let (control, treatment) = (Moments::from_rate(600, 1000).unwrap(), Moments::from_rate(650, 1000).unwrap());
/// let posterior = normal(&control, &treatment, None, 0.95).unwrap();
/// assert!((posterior.chance_to_win - 0.989_6).abs() < 1e-3);
/// ```
pub fn normal(control: &Moments, treatment: &Moments, prior: Option<NormalPrior>, level: f64) -> Result<Posterior> {
    check_open_unit("level", level)?;
    check_count("observations of the control", 2, control.n())?;
    check_count("observations of the treatment", 2, treatment.n())?;
    let square = |moments: &Moments| moments.sem().unwrap_or_default().powi(2);
    let observed = treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default();
    let variance = square(control) + square(treatment);
    if variance == 0.0 && observed != 0.0 {
        return Err(StatsError::NoVariation { what: "the values within each arm" });
    }
    let (mean, variance) = match prior {
        Some(NormalPrior { mean, sd }) => {
            check_positive("prior sd", sd)?;
            if !mean.is_finite() {
                return Err(StatsError::OutOfRange { what: "prior mean", value: mean, expected: "finite" });
            }
            // Weights rather than precisions: defined also for V = 0, where the data decide alone.
            let weight = sd * sd / (sd * sd + variance);
            (weight * observed + (1.0 - weight) * mean, weight * variance)
        }
        None => (observed, variance),
    };
    let sd = variance.sqrt();
    let (win, loss_of_treatment, loss_of_control) = if sd > 0.0 {
        let z = mean / sd;
        let density = sd * normal_pdf(z);
        (normal_cdf(z), (density - mean * normal_cdf(-z)).max(0.0), (density + mean * normal_cdf(z)).max(0.0))
    } else {
        (0.5, 0.0, 0.0)
    };
    Ok(Posterior {
        method: Method::BayesNormal,
        n: control.n() + treatment.n(),
        effect: mean,
        chance_to_win: win,
        loss_of_treatment,
        loss_of_control,
        interval: Interval::around(mean, normal_critical(level) * sd, level),
    })
}

/// A beta prior of each rate; uniform unless said otherwise.
///
/// ```
/// let uniform = llmops_stats::bayes::BetaPrior::default();
/// assert_eq!((uniform.alpha, uniform.beta), (1.0, 1.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BetaPrior {
    /// Prior successes, at least ½ (Jeffreys' prior is ½, ½).
    pub alpha: f64,
    /// Prior failures, at least ½.
    pub beta: f64,
}

impl Default for BetaPrior {
    fn default() -> Self {
        Self { alpha: 1.0, beta: 1.0 }
    }
}

/// Beta model of two rates with independent posteriors Beta(α + successes, β + failures).
///
/// P(p₂ > p₁) = ∫ f₂(x) I_x(a₁, b₁) dx by quadrature on x = sin²θ, where every density with parameters ≥ ½ is smooth;
/// losses by E[max(0, p₁ − p₂)] = E(p₁)·P(p₁′ > p₂) − E(p₂)·P(p₁ > p₂′), a prime adding one success (Stucchio 2015,
/// "Bayesian A/B Testing at VWO", §6); interval by inverting the distribution of the difference.
///
/// Errors: a prior below ½, a level outside (0, 1).
///
/// ```
/// use llmops_stats::{bayes::{BetaPrior, beta}, proportion::Rate};
/// let same = Rate::new(30, 50).unwrap();
/// let posterior = beta(same, same, BetaPrior::default(), 0.95).unwrap();
/// assert!((posterior.chance_to_win - 0.5).abs() < 1e-9 && posterior.effect.abs() < 1e-12);
/// ```
pub fn beta(control: Rate, treatment: Rate, prior: BetaPrior, level: f64) -> Result<Posterior> {
    check_open_unit("level", level)?;
    for value in [prior.alpha, prior.beta] {
        if !(value >= 0.5 && value.is_finite()) {
            return Err(StatsError::OutOfRange { what: "prior count", value, expected: "at least 0.5" });
        }
    }
    let posterior = |rate: Rate| Beta {
        a: prior.alpha + rate.successes() as f64,
        b: prior.beta + (rate.trials() - rate.successes()) as f64,
    };
    let (before, after) = (posterior(control), posterior(treatment));
    // E[max(0, p − q)], in terms of chances to win.
    let loss =
        |p: Beta, q: Beta| (p.mean() * p.one_more().exceeds(q, 0.0) - q.mean() * p.exceeds(q.one_more(), 0.0)).max(0.0);
    let quantile = |tail: f64| {
        let (mut low, mut high) = (-1.0_f64, 1.0_f64);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            // P(p₂ − p₁ > d) falls with d.
            if after.exceeds(before, middle) > 1.0 - tail { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    Ok(Posterior {
        method: Method::BayesBeta,
        n: control.trials() + treatment.trials(),
        effect: after.mean() - before.mean(),
        chance_to_win: after.exceeds(before, 0.0),
        loss_of_treatment: loss(before, after),
        loss_of_control: loss(after, before),
        interval: Interval { low: quantile((1.0 - level) / 2.0), high: quantile(f64::midpoint(1.0, level)), level },
    })
}

#[derive(Clone, Copy)]
struct Beta {
    a: f64,
    b: f64,
}

impl Beta {
    fn mean(self) -> f64 {
        self.a / (self.a + self.b)
    }

    fn one_more(self) -> Self {
        Self { a: self.a + 1.0, ..self }
    }

    fn cdf(self, x: f64) -> f64 {
        beta_reg(self.a, self.b, x, 1.0 - x)
    }

    /// P(self > other + shift), integrated over the density of self in θ = asin√x.
    fn exceeds(self, other: Self, shift: f64) -> f64 {
        let centre = self.mean().sqrt().asin();
        // In θ the standard deviation is about 1/(2√(a + b)) whatever the mean; small counts take the whole range.
        let reach = 6.0 / (self.a + self.b).sqrt() + 3.0 / (self.a + self.b);
        let (from, to) = ((centre - reach).max(0.0), (centre + reach).min(FRAC_PI_2));
        let mass = |theta: f64| {
            let (sin, cos) = theta.sin_cos();
            self.density_in_angle(sin, cos)
        };
        let both = |theta: f64| mass(theta) * other.cdf((theta.sin().powi(2) - shift).clamp(0.0, 1.0));
        // Where x − shift enters or leaves [0, 1] the cdf begins like a root: θ = kink ± u² makes it smooth.
        if shift >= 0.0 {
            let start = from.max(shift.min(1.0).sqrt().asin());
            let length = (to - start).max(0.0).sqrt();
            return integrate(0.0, length, 96, |u| 2.0 * u * both(start + u * u)).min(1.0);
        }
        let kink = (1.0 + shift).max(0.0).sqrt().asin();
        let end = to.min(kink).max(from);
        let within = integrate(0.0, (end - from).sqrt(), 96, |u| 2.0 * u * both(end - u * u));
        let certain = if to > end { integrate(end, to, 48, mass) } else { 0.0 };
        (within + certain).min(1.0)
    }

    /// Density of θ where x = sin²θ: 2 sin^{2a−1}θ cos^{2b−1}θ / B(a, b).
    fn density_in_angle(self, sin: f64, cos: f64) -> f64 {
        let Self { a, b } = self;
        // binomial_density(a, b) = (a + b)/(ab) · x^a y^b / B(a, b).
        2.0 * a * b / (a + b) * binomial_density(a, b, sin * sin, cos * cos) / (sin * cos).max(1e-300)
    }
}
