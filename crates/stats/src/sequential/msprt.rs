//! The mixture sequential probability ratio test (Robbins 1970; Johari, Koomen, Pekelis & Walsh 2022, Operations Research
//! 70:1806, "Always Valid Inference").
//!
//! With an effect Δ of variance V and a normal mixture N(0, τ²) over alternatives the likelihood ratio is
//! Λ = √(V/(V + τ²)) · exp( τ²Δ² / (2V(V + τ²)) ); p = 1/Λ. The interval at level 1 − α is
//! Δ ± √( V(V + τ²)/τ² · (ln((V + τ²)/V) − 2 ln α) ).

use crate::error::{Result, StatsError, check_count, check_positive, check_result};
use crate::moments::Moments;
use crate::result::{Alternative, Interval, Method, TestOptions, TestResult};

/// mSPRT of a difference of means, treatment − control, from streamed moments.
///
/// `tau` is the standard deviation of the effects expected, in the units of the metric. `statistic` is ln Λ. The
/// variance is estimated: look from a hundred or so units per arm on, or use [`super::asymptotic`], which waits. Under
/// continuous looks the running minimum of p is valid too. Two-sided, whatever the alternative of `options`.
///
/// Errors: an arm of fewer than 2 values, tau not positive, arms constant but different.
///
/// ```
/// use llmops_stats::{TestOptions, moments::Moments, sequential::msprt::msprt};
/// let (control, treatment) = (Moments::from_rate(600, 1000).unwrap(), Moments::from_rate(700, 1000).unwrap());
/// let result = msprt(&control, &treatment, 0.05, TestOptions::default()).unwrap();
/// assert!(result.p_value < 0.001 && result.interval.unwrap().low > 0.0);
/// ```
pub fn msprt(control: &Moments, treatment: &Moments, tau: f64, options: TestOptions) -> Result<TestResult> {
    let level = options.check()?.level;
    check_positive("tau", tau)?;
    check_count("observations of the control", 2, control.n())?;
    check_count("observations of the treatment", 2, treatment.n())?;
    let effect = treatment.mean().unwrap_or_default() - control.mean().unwrap_or_default();
    let square = |moments: &Moments| moments.sem().unwrap_or_default().powi(2);
    let variance = square(control) + square(treatment);
    if variance == 0.0 && effect != 0.0 {
        return Err(StatsError::NoVariation { what: "the values within each arm" });
    }
    let mixture = tau * tau;
    let (statistic, margin) = if variance > 0.0 {
        let spread = (mixture / variance).ln_1p();
        let evidence = mixture * effect * effect / (variance * (variance + mixture));
        let scale = variance * (variance + mixture) / mixture;
        (0.5 * (evidence - spread), (scale * (spread - 2.0 * (1.0 - level).ln())).sqrt())
    } else {
        (0.0, 0.0)
    };
    check_result("the likelihood ratio or the interval", &[statistic, margin])?;
    Ok(TestResult {
        method: Method::Msprt,
        n: control.n() + treatment.n(),
        statistic,
        df: None,
        p_value: (-statistic).exp().min(1.0),
        alternative: Alternative::TwoSided,
        effect,
        interval: Some(Interval::around(effect, margin, level)),
    })
}
