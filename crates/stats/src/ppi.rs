//! Prediction-powered inference: few human labels and many judge scores, one unbiased mean.
//!
//! Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023, Science 382:669, arXiv 2301.09633, §2.1); power tuning after
//! Angelopoulos, Duchi & Zrnic (2023, arXiv 2311.01453, "PPI++", §6).

use crate::bounded::Range;
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
    /// λ = s_fy / ((1 + n/N) s_f²), limited to [0, 1]: never wider, in the limit, than the labels alone (PPI++). Both moments are
    /// of the labelled samples: their noise goes together, so that the λ of a few labels is steadier.
    #[default]
    Tuned,
}

/// The mean human score, from labelled pairs (judge, human) and judge scores of samples without a label.
///
/// θ = λ f̄_N + (ȳ − λ f̄)_n, variance λ²s_f²(unlabelled)/N + s²(y − λf)/n; t-interval with Satterthwaite's degrees of
/// freedom, so that few labels do not feign certainty. A tuned λ is itself an estimate: as a slope fitted to the labels it
/// costs them a further degree of freedom, and its variance s²(y − λf)/((n − 1)(1 + n/N)² s_f²) times that of f̄_n − f̄_N is
/// added. Two labels, which cannot tell how far to trust the judge as well, count alone. The unlabelled samples must not
/// contain the labelled ones. `n` counts both. Without unlabelled samples this is the mean of the labels.
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
    Ok(Fit::of(labelled, unlabelled, weight, level)?.estimate)
}

/// [`ppi_mean`] of scores in `range`, power-tuned, whose interval keeps its width where few labels happen to agree.
///
/// Labels that say yes or no, and those that leave no error at all, show no spread by which to tell how far the next
/// one may be off: what n labels did not show gets the room that [`crate::bounded`] gives it, in the range of y − λf.
///
/// Errors: as [`ppi_mean`].
///
/// ```
/// use llmops_stats::{bounded::Range, moments::{Moments, PairMoments}, ppi::ppi_scores};
/// let three = PairMoments::from_slices(&[0.9, 0.8, 0.7], &[1.0, 1.0, 1.0]).unwrap();
/// let unlabelled = Moments::from_slice(&[0.8, 0.7, 0.9, 0.8, 0.75, 0.85]).unwrap();
/// let interval = ppi_scores(&three, &unlabelled, Range::UNIT, 0.95).unwrap().interval.unwrap();
/// assert!((interval.low - 0.292_4).abs() < 1e-4);
/// ```
pub fn ppi_scores(labelled: &PairMoments, unlabelled: &Moments, range: Range, level: f64) -> Result<Estimate> {
    let Fit { estimate, lambda, residual } = Fit::of(labelled, unlabelled, PpiWeight::Tuned, level)?;
    let (judge, human) = labelled.means().unwrap_or_default();
    let (_, var_human) = labelled.variances().unwrap_or_default();
    let n = labelled.n() as f64;
    let slack = 1e-12 * range.width() * range.width();
    // No values with this mean scatter more than those that all lie at the ends (Bhatia & Davis 2000, American
    // Mathematical Monthly 107:353).
    let is_yes_or_no = var_human * (n - 1.0) / n >= range.most_variance(human) - slack;
    let (Some(interval), true) = (estimate.interval, is_yes_or_no || residual <= slack) else { return Ok(estimate) };
    let room = range.less(lambda)?.room(human - lambda * judge, labelled.n(), level);
    let interval = Interval {
        low: estimate.value - (estimate.value - interval.low).hypot(room[0]),
        high: estimate.value + (interval.high - estimate.value).hypot(room[1]),
        level,
    };
    Ok(Estimate { interval: Some(interval), ..estimate })
}

/// A mean, the judge's weight in it, and the variance of y − λf.
struct Fit {
    estimate: Estimate,
    lambda: f64,
    residual: f64,
}

impl Fit {
    fn of(labelled: &PairMoments, unlabelled: &Moments, weight: PpiWeight, level: f64) -> Result<Self> {
        check_open_unit("level", level)?;
        check_count("labelled pairs", 2, labelled.n())?;
        let (judge, human) = labelled.means().unwrap_or_default();
        let (var_judge, var_human) = labelled.variances().unwrap_or_default();
        let covariance = labelled.covariance().unwrap_or_default();
        let (n, many) = (labelled.n() as f64, unlabelled.n() as f64);
        let lambda = match (weight, unlabelled.n()) {
            (_, 0) => 0.0,
            (PpiWeight::Full, _) => 1.0,
            (PpiWeight::Tuned, _) if labelled.n() < 3 || var_judge == 0.0 => 0.0,
            (PpiWeight::Tuned, _) => (covariance / ((1.0 + n / many) * var_judge)).clamp(0.0, 1.0),
        };
        let value = lambda * unlabelled.mean().unwrap_or_default() + human - lambda * judge;
        // A fitted λ makes the residuals look smaller than they are; as in regression, it costs a degree of freedom. With its own
        // variance, times the variance (1/n + 1/N) s_f² of what it weighs, that of the residuals' mean grows by this factor.
        let is_fitted = weight == PpiWeight::Tuned && lambda > 0.0;
        let freedom = if is_fitted { n - 2.0 } else { n - 1.0 };
        let fitted = if is_fitted { 1.0 + 1.0 / ((n - 1.0) * (1.0 + n / many)) } else { 1.0 };
        let residual = (var_human - 2.0 * lambda * covariance + lambda * lambda * var_judge).max(0.0);
        let rectifier = residual * (n - 1.0) / freedom / n * fitted;
        // One unlabelled sample has no variance of its own; that of the labelled ones stands in.
        let imputed =
            if unlabelled.n() == 0 { 0.0 } else { lambda * lambda * unlabelled.variance().unwrap_or(var_judge) / many };
        let (se, df) = satterthwaite((imputed, many.max(2.0)), (rectifier, freedom + 1.0));
        check_result("the estimate or its standard error", &[value, se, df])?;
        let estimate = Estimate {
            method: if weight == PpiWeight::Full { Method::Ppi } else { Method::PpiPlusPlus },
            n: labelled.n() + unlabelled.n(),
            value,
            se: Some(se),
            df: Some(df),
            interval: Some(Interval::around(value, t_critical(level, df) * se, level)),
        };
        Ok(Self { estimate, lambda, residual })
    }
}
