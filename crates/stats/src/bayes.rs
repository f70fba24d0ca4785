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
    normal_effect(control.n() + treatment.n(), observed, square(control) + square(treatment), prior, level)
}

/// The same for a difference from `n` units that was estimated elsewhere with its variance, such as one that was adjusted for a
/// covariate, or one of quantiles.
///
/// Errors: as [`normal`]; a difference that is not finite, a variance that is negative or not finite.
///
/// ```
/// let posterior = llmops_stats::bayes::normal_effect(2000, 0.05, 0.000_467_5, None, 0.95).unwrap();
/// assert!((posterior.chance_to_win - 0.989_6).abs() < 1e-3);
/// ```
pub fn normal_effect(
    n: u64,
    observed: f64,
    variance: f64,
    prior: Option<NormalPrior>,
    level: f64,
) -> Result<Posterior> {
    check_open_unit("level", level)?;
    if !observed.is_finite() {
        return Err(StatsError::NotFinite { index: 0 });
    }
    if !(variance >= 0.0 && variance.is_finite()) {
        return Err(StatsError::OutOfRange { what: "variance", value: variance, expected: "at least 0 and finite" });
    }
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
        n,
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
    let n = control.trials() + treatment.trials();
    let series = Series::of(before, after);
    if [before.a, before.b, after.a, after.b].iter().all(|count| *count >= MANY) {
        return Ok(series.posterior(n, level));
    }
    // P(p₂ − p₁ > d) falls with d; the series begins near the answer.
    let quantile = |tail: f64| {
        let exact = |difference: f64| after.exceeds(before, difference) - (1.0 - tail);
        root_near(series.quantile(tail).clamp(-1.0, 1.0), 0.01 * series.sd, exact)
    };
    Ok(Posterior {
        method: Method::BayesBeta,
        n,
        effect: after.mean() - before.mean(),
        chance_to_win: after.exceeds(before, 0.0),
        loss_of_treatment: loss(before, after),
        loss_of_control: loss(after, before),
        interval: Interval { low: quantile((1.0 - level) / 2.0), high: quantile(f64::midpoint(1.0, level)), level },
    })
}

/// The root of a falling function in [−1, 1] near a guess, to 1e-12 (regula falsi, Illinois).
fn root_near(guess: f64, step: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high, mut step) = (guess, guess, step.max(1e-9));
    let mut f_low = f(low);
    let mut f_high = f_low;
    while f_low < 0.0 && low > -1.0 {
        (high, f_high) = (low, f_low);
        low = (low - step).max(-1.0);
        (f_low, step) = (f(low), step * 4.0);
    }
    while f_high > 0.0 && high < 1.0 {
        (low, f_low) = (high, f_high);
        high = (high + step).min(1.0);
        (f_high, step) = (f(high), step * 4.0);
    }
    let mut side = 0_i8;
    for _ in 0..200 {
        if high - low <= 1e-12 || f_low <= 0.0 || f_high >= 0.0 {
            break;
        }
        let mut x = high - f_high * (high - low) / (f_high - f_low);
        // Near the end the next point is the last but for the bracket: close it from the other side.
        x = x.clamp(low + 4e-13, high - 4e-13);
        let value = f(x);
        if value > 0.0 {
            (low, f_low) = (x, value);
            f_high *= if side == 1 { 0.5 } else { 1.0 };
            side = 1;
        } else {
            (high, f_high) = (x, value);
            f_low *= if side == -1 { 0.5 } else { 1.0 };
            side = -1;
        }
    }
    if f_low == 0.0 { low } else { f64::midpoint(low, high) }
}

/// Successes and failures of both arms from which on the distribution of the difference is summed as a series: the terms left
/// out are below 1e-6, and quadrature would take seconds for millions.
const MANY: f64 = 500.0;

/// The distribution of the difference p₂ − p₁ as an Edgeworth series around the normal one (Kendall & Stuart, "The Advanced Theory
/// of Statistics", §6.18), from the cumulants of both posteriors.
struct Series {
    mean: f64,
    sd: f64,
    skewness: f64,
    excess: f64,
}

impl Series {
    fn of(before: Beta, after: Beta) -> Self {
        let (first, second) = (before.cumulants(), after.cumulants());
        let variance = first[0] + second[0];
        Self {
            mean: after.mean() - before.mean(),
            sd: variance.sqrt(),
            skewness: (second[1] - first[1]) / variance.powf(1.5),
            excess: (second[2] + first[2]) / (variance * variance),
        }
    }

    /// P(difference ≤ x).
    fn cdf(&self, x: f64) -> f64 {
        let z = (x - self.mean) / self.sd;
        let (g, k) = (self.skewness, self.excess);
        let square = z * z;
        let terms = g / 6.0 * (square - 1.0)
            + k / 24.0 * z * (square - 3.0)
            + g * g / 72.0 * z * (square * square - 10.0 * square + 15.0);
        (normal_cdf(z) - normal_pdf(z) * terms).clamp(0.0, 1.0)
    }

    fn quantile(&self, p: f64) -> f64 {
        let (mut low, mut high) = (self.mean - 12.0 * self.sd, self.mean + 12.0 * self.sd);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.cdf(middle) < p { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }

    fn posterior(&self, n: u64, level: f64) -> Posterior {
        let reach = 12.0 * self.sd;
        let (low, high) = (self.mean - reach, self.mean + reach);
        // E[max(0, −D)] = ∫ F over negative values, and the same from the other side.
        let below = if low < 0.0 { integrate(low, high.min(0.0), 64, |x| self.cdf(x)) + (-high).max(0.0) } else { 0.0 };
        let above =
            if high > 0.0 { integrate(low.max(0.0), high, 64, |x| 1.0 - self.cdf(x)) + low.max(0.0) } else { 0.0 };
        Posterior {
            method: Method::BayesBeta,
            n,
            effect: self.mean,
            chance_to_win: 1.0 - self.cdf(0.0),
            loss_of_treatment: below.max(0.0),
            loss_of_control: above.max(0.0),
            interval: Interval {
                low: self.quantile((1.0 - level) / 2.0),
                high: self.quantile(f64::midpoint(1.0, level)),
                level,
            },
        }
    }
}

#[derive(Clone, Copy)]
struct Beta {
    a: f64,
    b: f64,
}

impl Beta {
    /// The second, third and fourth.
    fn cumulants(self) -> [f64; 3] {
        let Self { a, b } = self;
        let n = a + b;
        let variance = a * b / (n * n * (n + 1.0));
        let skewness = 2.0 * (b - a) * (n + 1.0).sqrt() / ((n + 2.0) * (a * b).sqrt());
        let excess = 6.0 * ((a - b).powi(2) * (n + 1.0) - a * b * (n + 2.0)) / (a * b * (n + 2.0) * (n + 3.0));
        [variance, skewness * variance.powf(1.5), excess * variance * variance]
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_equals_quadrature_where_both_can_be_had() {
        for (control, treatment) in [
            ((4000, 1600), (5000, 2500)),
            ((12_000, 6000), (15_000, 8000)),
            ((40_000, 5100), (11_000, 5300)),
            ((12_000, 6000), (12_000, 6000)),
        ] {
            let arm = |(n, k): (u32, u32)| Beta { a: 1.0 + f64::from(k), b: 1.0 + f64::from(n - k) };
            let (before, after) = (arm(control), arm(treatment));
            let series = Series::of(before, after);
            for shift in [-3.0, -1.0, 0.0, 0.5, 2.0, 4.0] {
                let difference = series.mean + shift * series.sd;
                let (exact, found) = (1.0 - after.exceeds(before, difference), series.cdf(difference));
                assert!((exact - found).abs() < 1e-6, "{control:?} {treatment:?} {shift}: {exact}, {found}");
            }
            let found = series.posterior(1, 0.95);
            let loss = after.one_more().exceeds(before, 0.0) * after.mean()
                - before.mean() * after.exceeds(before.one_more(), 0.0);
            assert!((found.loss_of_control - loss).abs() < 1e-7, "{}, {loss}", found.loss_of_control);
        }
    }
}
