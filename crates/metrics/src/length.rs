//! Limits on the length of an answer.

use crate::score::indicator;
use crate::text::words;

/// What is counted.
///
/// ```
/// use llmops_metrics::length::LengthUnit;
///
/// assert_eq!((LengthUnit::Characters.count("né"), LengthUnit::Bytes.count("né")), (2, 3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthUnit {
    /// Unicode scalar values.
    #[default]
    Characters,
    /// Bytes of UTF-8.
    Bytes,
    /// Runs of characters other than whitespace.
    Words,
    /// Lines as `str::lines` splits them; a final line break opens no line.
    Lines,
}

impl LengthUnit {
    /// The number of units in a text.
    ///
    /// ```
    /// use llmops_metrics::length::LengthUnit;
    ///
    /// assert_eq!(LengthUnit::Characters.count("né\n"), 3);
    /// assert_eq!(LengthUnit::Words.count("  two words "), 2);
    /// assert_eq!(LengthUnit::Lines.count("a\nb\n"), 2);
    /// ```
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Characters => text.chars().count(),
            Self::Bytes => text.len(),
            Self::Words => words(text).count(),
            Self::Lines => text.lines().count(),
        }
    }
}

/// Inclusive limits; a missing one is no limit.
///
/// ```
/// use llmops_metrics::length::{Length, LengthUnit};
///
/// let short = Length { unit: LengthUnit::Words, min: Some(1), max: Some(3) };
/// assert_eq!(short.score("Yes, it is."), 1.0);
/// assert_eq!(short.score(""), 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// What is counted.
    pub unit: LengthUnit,
    /// The least length.
    pub min: Option<usize>,
    /// The greatest length.
    pub max: Option<usize>,
}

impl Length {
    /// `1.0` when the candidate's length is within the limits, else `0.0`; always `0.0` when `min` exceeds `max`.
    ///
    /// ```
    /// use llmops_metrics::length::Length;
    ///
    /// assert_eq!(Length { max: Some(5), ..Length::default() }.score("123456"), 0.0);
    /// ```
    pub fn score(&self, candidate: &str) -> f64 {
        let length = self.unit.count(candidate);
        indicator(self.min.is_none_or(|min| length >= min) && self.max.is_none_or(|max| length <= max))
    }
}
