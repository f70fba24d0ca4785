//! Detectors of change in a series of scores, and distances between two windows of it.
//!
//! | detector | sees | parameters in |
//! | --- | --- | --- |
//! | [`Ewma`] | small lasting shifts of the mean | standard deviations of a reference |
//! | [`Cusum`] | lasting shifts of about 2k standard deviations, soonest | standard deviations of a reference |
//! | [`PageHinkley`] | shifts away from the series' own mean | units of the series |
//! | [`Adwin`] | any change of the mean, at every scale of time, with a bound on false alarms | none but δ |
//! | [`ks`], [`psi`](mod@psi), [`jensen_shannon`] | any change of the distribution between two windows | – |
//!
//! Streaming detectors are small values that serialise; each is pushed one value at a time and answers whether that value
//! raised the alarm. [`ks_many`] tests many series and controls the false discovery rate.

mod adwin;
mod control_charts;
mod distances;
mod ks;
mod page_hinkley;
pub mod psi;
mod shares;

pub use adwin::{Adwin, AdwinOptions};
pub use control_charts::{Cusum, Ewma, Reference};
pub use distances::{jensen_shannon, jensen_shannon_samples};
pub use ks::{SeriesDrift, ks, ks_many};
pub use page_hinkley::{PageHinkley, PageHinkleyOptions};

use serde::{Deserialize, Serialize};

/// Which way a series moved.
///
/// ```
/// use llmops_stats::drift::Direction;
/// assert_ne!(Direction::Up, Direction::Down);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The values rose.
    Up,
    /// The values fell.
    Down,
}

fn check_value(value: f64, n: u64) -> crate::Result<()> {
    if crate::error::is_usable(value) {
        Ok(())
    } else {
        Err(crate::StatsError::NotFinite { index: usize::try_from(n).unwrap_or(usize::MAX) })
    }
}
