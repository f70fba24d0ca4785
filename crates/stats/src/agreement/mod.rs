//! Agreement between raters: people with people, a judge with people.
//!
//! [`cohen_kappa`] for two raters and categories (weighted for ordered ones), [`fleiss_kappa`] for any fixed number of
//! raters, [`krippendorff_alpha`] for any number with missing ratings, [`spearman`] for two rankings. All are 1 at perfect
//! agreement and about 0 at chance. Landis & Koch's (1977) words: above 0.6 substantial, above 0.8 almost perfect.

mod kappa;
mod krippendorff;
mod spearman;

pub use kappa::{KappaWeights, cohen_kappa, confusion_matrix, fleiss_kappa};
pub use krippendorff::{AlphaMetric, krippendorff_alpha};
pub use spearman::{spearman, spearman_of_dependent};

use crate::bounded::{self, Range};
use crate::dist::t_critical;
use crate::error::Result;
use crate::moments::Moments;
use crate::result::{Estimate, Interval, Method};

/// Estimate with the jackknife's standard error √((m−1)/m · Σ(θ₍ᵢ₎ − θ̄)²) over `m` units, t-interval limited to
/// [−1, 1].
fn jackknifed(method: Method, n: u64, value: f64, left_out: &[f64], level: f64) -> Estimate {
    let m = left_out.len() as f64;
    if left_out.len() < 2 {
        return Estimate { method, n, value, se: None, df: None, interval: None };
    }
    let mean = left_out.iter().sum::<f64>() / m;
    let square: f64 = left_out.iter().map(|value| (value - mean).powi(2)).sum();
    let se = ((m - 1.0) / m * square).sqrt();
    let interval = within_one(value, t_critical(level, m - 1.0) * se, level);
    Estimate { method, n, value, se: Some(se), df: Some(m - 1.0), interval: Some(interval) }
}

fn within_one(value: f64, margin: f64, level: f64) -> Interval {
    Interval { low: (value - margin).max(-1.0), high: (value + margin).min(1.0), level }
}

/// A kappa whose standard error came out as 0, because raters agreed in everything or one of them always said the same, with the
/// interval of the share of agreement `observed`, `chance` agreement taken as known (Cohen 1960). As it is where there is spread.
fn with_room(kappa: Estimate, observed: &Moments, chance: f64, level: f64) -> Result<Estimate> {
    if kappa.se.is_none_or(|se| se > 1e-9) {
        return Ok(kappa);
    }
    let share = bounded::mean(&observed.mean_estimate(level)?, Range::UNIT, level)?;
    let end = |share: f64| ((share.clamp(0.0, 1.0) - chance) / (1.0 - chance)).clamp(-1.0, 1.0);
    let interval = share.interval.map(|i| Interval { low: end(i.low), high: end(i.high), level });
    Ok(Estimate { interval, ..kappa })
}
