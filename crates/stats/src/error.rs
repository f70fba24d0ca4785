//! What can be wrong with the input of a statistical procedure.

use thiserror::Error;

/// Why a procedure refused its input. No procedure of this crate returns NaN instead.
///
/// ```
/// use llmops_stats::{StatsError, moments::Moments};
/// let refused = Moments::from_slice(&[1.0, f64::NAN]).unwrap_err();
/// assert_eq!(refused, StatsError::NotFinite { index: 1 });
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A value is NaN, infinite, or beyond 10⁷⁵, where fourth powers overflow. In a procedure of two samples the index counts
    /// within its own sample.
    #[error("value {index} is not a finite number (of at most 1e75)")]
    NotFinite {
        /// Position of the value, from 0.
        index: usize,
    },
    /// The procedure is not defined on so few values.
    #[error("{what}: {needed} needed, {got} given")]
    TooFew {
        /// What is counted: "pairs", "clusters", "observations" …
        what: &'static str,
        /// The smallest count that has an answer.
        needed: u64,
        /// The count given.
        got: u64,
    },
    /// Two sequences that belong together differ in length.
    #[error("lengths differ: {left} and {right}")]
    LengthMismatch {
        /// Length of the first sequence.
        left: usize,
        /// Length of the second sequence.
        right: usize,
    },
    /// A parameter is outside its range.
    #[error("{what} is {value}, must be {expected}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The range, in words.
        expected: &'static str,
    },
    /// The values do not vary, so there is nothing to scale the statistic with.
    #[error("{what} do not vary: the statistic is undefined")]
    NoVariation {
        /// Which values.
        what: &'static str,
    },
    /// The values differ so much in size that the result is beyond the range of numbers.
    #[error("{what} is beyond the range of numbers")]
    Overflow {
        /// Which result.
        what: &'static str,
    },
    /// An iteration did not reach its tolerance.
    #[error("{what} did not converge")]
    NoConvergence {
        /// What was computed.
        what: &'static str,
    },
}

/// The result of a procedure of this crate.
///
/// ```
/// fn half(x: f64) -> llmops_stats::Result<f64> { Ok(x / 2.0) }
/// assert_eq!(half(3.0).unwrap(), 1.5);
/// ```
pub type Result<T> = std::result::Result<T, StatsError>;

/// Finite, and so is the square of its variance, also summed over many values.
pub(crate) fn is_usable(value: f64) -> bool {
    value.abs() <= 1e75
}

pub(crate) fn check_finite(values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !is_usable(*value)) {
        Some(index) => Err(StatsError::NotFinite { index }),
        None => Ok(()),
    }
}

pub(crate) fn check_pairs(left: &[f64], right: &[f64]) -> Result<()> {
    if left.len() != right.len() {
        return Err(StatsError::LengthMismatch { left: left.len(), right: right.len() });
    }
    check_finite(left)?;
    check_finite(right)
}

pub(crate) fn check_count(what: &'static str, needed: u64, got: u64) -> Result<()> {
    if got < needed { Err(StatsError::TooFew { what, needed, got }) } else { Ok(()) }
}

/// Accepts values strictly between 0 and 1 (levels, α, power).
pub(crate) fn check_open_unit(what: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value < 1.0 {
        Ok(())
    } else {
        Err(StatsError::OutOfRange { what, value, expected: "strictly between 0 and 1" })
    }
}

/// Accepts values from 0 to 1 (rates).
pub(crate) fn check_unit(what: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(StatsError::OutOfRange { what, value, expected: "between 0 and 1" })
    }
}

/// The last gate before a result is given: whatever the sizes of the inputs, no NaN and no infinity gets through.
pub(crate) fn check_result(what: &'static str, parts: &[f64]) -> Result<()> {
    if parts.iter().all(|part| part.is_finite()) { Ok(()) } else { Err(StatsError::Overflow { what }) }
}

pub(crate) fn check_positive(what: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(StatsError::OutOfRange { what, value, expected: "positive and finite" })
    }
}

pub(crate) fn check_rate(successes: u64, total: u64) -> Result<()> {
    check_count("trials", 1, total)?;
    if successes > total {
        return Err(StatsError::OutOfRange {
            what: "successes",
            value: successes as f64,
            expected: "at most the number of trials",
        });
    }
    Ok(())
}
