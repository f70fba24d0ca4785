//! The shapes of a score, and the choice of the best reference.

use serde::{Deserialize, Serialize};

/// Precision, recall and their harmonic mean, each in `[0, 1]`.
///
/// ```
/// use llmops_metrics::Prf;
///
/// let score = Prf::from_counts(2, 4, 2);
/// assert_eq!((score.precision, score.recall), (0.5, 1.0));
/// assert_eq!(score.f1, 2.0 / 3.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prf {
    /// Share of the candidate that is found in the reference.
    pub precision: f64,
    /// Share of the reference that is found in the candidate.
    pub recall: f64,
    /// `2 · precision · recall / (precision + recall)`, and 0 where both are 0.
    pub f1: f64,
}

impl Prf {
    /// Nothing in common.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::Prf::ZERO.f1, 0.0);
    /// ```
    pub const ZERO: Self = Self { precision: 0.0, recall: 0.0, f1: 0.0 };

    /// Everything in common.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::Prf::ONE.f1, 1.0);
    /// ```
    pub const ONE: Self = Self { precision: 1.0, recall: 1.0, f1: 1.0 };

    /// Adds the harmonic mean to a precision and a recall.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::Prf::new(0.0, 0.0).f1, 0.0);
    /// ```
    #[must_use]
    pub fn new(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }

    /// The score of `common` matches between a candidate of `candidate` units and a reference of `reference` units;
    /// an empty side counts as one unit, so that it gives 0 rather than a division by zero.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::Prf::from_counts(0, 0, 3), llmops_metrics::Prf::ZERO);
    /// ```
    #[must_use]
    pub fn from_counts(common: usize, candidate: usize, reference: usize) -> Self {
        Self::new(common as f64 / candidate.max(1) as f64, common as f64 / reference.max(1) as f64)
    }
}

/// The highest value of `score` over the references; `None` when there are none.
///
/// ```
/// use llmops_metrics::best_of;
///
/// let longest = best_of(&["a", "abc"], |reference| reference.len() as f64);
/// assert_eq!(longest, Some(3.0));
/// assert_eq!(best_of::<&str>(&[], |_| 1.0), None);
/// ```
pub fn best_of<S: AsRef<str>>(references: &[S], mut score: impl FnMut(&str) -> f64) -> Option<f64> {
    references.iter().map(|reference| score(reference.as_ref())).reduce(f64::max)
}

/// `1.0` for yes, `0.0` for no.
pub(crate) fn indicator(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}
