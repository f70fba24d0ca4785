//! Spearman's rank correlation.

use crate::dist::{normal_critical, t_sf};
use crate::error::{Result, StatsError, check_count, check_pairs};
use crate::moments::PairMoments;
use crate::ranks::midranks;
use crate::result::{Interval, Method, TestOptions, TestResult, symmetric_p};

/// Spearman's rank correlation ρ (1904, American Journal of Psychology 15:72): Pearson's correlation of midranks.
///
/// `statistic` and `effect` are ρ; p from t = ρ√((n−2)/(1−ρ²)) with n − 2 degrees of freedom (0 at ρ = ±1); interval by
/// Fisher's z with standard error √((1 + ρ²/2)/(n − 3)) (Bonett & Wright 2000, Psychometrika 65:23), `None` below 4 pairs.
///
/// Errors: lengths differ, a non-finite value, fewer than 3 pairs, x or y constant ([`StatsError::NoVariation`]).
///
/// ```
/// use llmops_stats::{TestOptions, agreement::spearman};
/// let result = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0], TestOptions::default()).unwrap();
/// assert!((result.effect - 0.8).abs() < 1e-12);
/// assert!((result.p_value - 0.104_088).abs() < 1e-6);
/// ```
pub fn spearman(x: &[f64], y: &[f64], options: TestOptions) -> Result<TestResult> {
    spearman_of_dependent(x, y, x.len() as f64, options)
}

/// The same for pairs that are not independent, such as several answers to one question: the p-value and the interval are
/// those of as many pairs as they are worth (`effective`, at most all of them).
///
/// Errors: as [`spearman`].
///
/// ```
/// use llmops_stats::{TestOptions, agreement::{spearman, spearman_of_dependent}};
/// let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]);
/// let once = spearman(&x, &y, TestOptions::default()).unwrap();
/// let twice = spearman_of_dependent(&[x, x].concat(), &[y, y].concat(), 5.0, TestOptions::default()).unwrap();
/// assert!((once.p_value - twice.p_value).abs() < 1e-12);
/// ```
pub fn spearman_of_dependent(x: &[f64], y: &[f64], effective: f64, options: TestOptions) -> Result<TestResult> {
    let TestOptions { alternative, level } = options.check()?;
    check_pairs(x, y)?;
    check_count("pairs", 3, x.len() as u64)?;
    if effective.is_nan() || effective <= 2.0 {
        return Err(StatsError::TooFew { what: "independent pairs", needed: 3, got: 2 });
    }
    let pairs = PairMoments::from_slices(&midranks(x).0, &midranks(y).0)?;
    let Some(rho) = pairs.correlation() else {
        return Err(StatsError::NoVariation { what: "the ratings of one side" });
    };
    let n = effective.min(x.len() as f64);
    let df = n - 2.0;
    // At ρ = ±1 the tails of t are 0 and 1, which the infinite statistic gives by itself.
    let t = rho * (df / ((1.0 - rho) * (1.0 + rho)).max(f64::MIN_POSITIVE)).sqrt();
    let interval = (n > 3.0).then(|| {
        if rho.abs() >= 1.0 - 1e-15 {
            return Interval { low: rho, high: rho, level };
        }
        let margin = normal_critical(level) * ((1.0 + 0.5 * rho * rho) / (n - 3.0)).sqrt();
        Interval { low: (rho.atanh() - margin).tanh(), high: (rho.atanh() + margin).tanh(), level }
    });
    Ok(TestResult {
        method: Method::Spearman,
        n: x.len() as u64,
        statistic: rho,
        df: Some(df),
        p_value: symmetric_p(t, alternative, |t| t_sf(t, df)),
        alternative,
        effect: rho,
        interval,
    })
}
