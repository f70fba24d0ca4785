//! Prediction-powered inference: few human labels and many judge scores, one unbiased mean.
//!
//! Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023, Science 382:669, arXiv 2301.09633, §2.1); power tuning after
//! Angelopoulos, Duchi & Zrnic (2023, arXiv 2311.01453, "PPI++", §6).

use crate::dist::t_critical;
use crate::error::{Result, check_count, check_open_unit, check_result};
use crate::moments::{Moments, PairMoments};
use crate::result::{Estimate, Interval, Method};
use crate::t_test::satterthwaite;

/// How far the judge's scores are trusted.
///
/// ```
/// use llmops_stats::ppi::PpiWeight;
/// assert_eq!(PpiWeight::default(), PpiWeight::Tuned);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PpiWeight {
    /// λ = 1: the judge's mean, corrected by its mean error on the labelled samples.
    Full,
    /// λ = s_fy / ((1 + n/N) s_f²), limited to [0, 1]: never wider, in the limit, than the labels alone (PPI++).
    #[default]
    Tuned,
}

/// The mean human score, from labelled pairs (judge, human) and judge scores of samples without a label.
///
/// θ = λ f̄_N + (ȳ − λ f̄)_n, variance λ²s_f²(unlabelled)/N + s²(y − λf)/n; t-interval with Satterthwaite's degrees of
/// freedom, so that few labels do not feign certainty (a tuned λ costs the labels a further one). The unlabelled samples must not contain the labelled ones. `n`
/// counts both. Without unlabelled samples this is the mean of the labels.
///
/// Errors: fewer than 2 labelled pairs, a level outside (0, 1).
///
/// ```
/// use llmops_stats::{moments::{Moments, PairMoments}, ppi::{PpiWeight, ppi_mean}};
/// // The judge is 0.2 too generous throughout: its raw mean is 0.8.
/// let labelled = PairMoments::from_slices(&[0.7, 0.9, 0.8, 0.6], &[0.5, 0.7, 0.6, 0.4]).unwrap();
/// let unlabelled = Moments::from_slice(&[0.8, 0.7, 0.9, 0.8, 0.75, 0.85]).unwrap();
/// let mean = ppi_mean(&labelled, &unlabelled, PpiWeight::Full, 0.95).unwrap();
/// assert!((mean.value - 0.6).abs() < 1e-12);
/// ```
pub fn ppi_mean(labelled: &PairMoments, unlabelled: &Moments, weight: PpiWeight, level: f64) -> Result<Estimate> {
    check_open_unit("level", level)?;
    check_count("labelled pairs", 2, labelled.n())?;
    let (judge, human) = labelled.means().unwrap_or_default();
    let (var_judge, var_human) = labelled.variances().unwrap_or_default();
    let covariance = labelled.covariance().unwrap_or_default();
    let (n, many) = (labelled.n() as f64, unlabelled.n() as f64);
    let lambda = match (weight, unlabelled.n()) {
        (_, 0) => 0.0,
        (PpiWeight::Full, _) => 1.0,
        (PpiWeight::Tuned, _) => {
            // The spread of the judge's scores over all samples, labelled or not.
            let pooled = (var_judge * (n - 1.0) + unlabelled.m2()) / (n + many - 2.0).max(1.0);
            if pooled > 0.0 { (covariance / ((1.0 + n / many) * pooled)).clamp(0.0, 1.0) } else { 0.0 }
        }
    };
    let value = lambda * unlabelled.mean().unwrap_or_default() + human - lambda * judge;
    // A fitted λ makes the residuals look smaller than they are; as in regression, it costs a degree of freedom.
    let freedom = if weight == PpiWeight::Tuned && lambda > 0.0 && n > 2.0 { n - 2.0 } else { n - 1.0 };
    let residual = (var_human - 2.0 * lambda * covariance + lambda * lambda * var_judge).max(0.0);
    let rectifier = residual * (n - 1.0) / freedom / n;
    // One unlabelled sample has no variance of its own; that of the labelled ones stands in.
    let imputed =
        if unlabelled.n() == 0 { 0.0 } else { lambda * lambda * unlabelled.variance().unwrap_or(var_judge) / many };
    let (se, df) = satterthwaite((imputed, many.max(2.0)), (rectifier, freedom + 1.0));
    check_result("the estimate or its standard error", &[value, se, df])?;
    Ok(Estimate {
        method: if weight == PpiWeight::Full { Method::Ppi } else { Method::PpiPlusPlus },
        n: labelled.n() + unlabelled.n(),
        value,
        se: Some(se),
        df: Some(df),
        interval: Some(Interval::around(value, t_critical(level, df) * se, level)),
    })
}
