//! Equality of two texts, plain or after normalisation.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::score::{best_of, indicator};
use crate::text::{collapse_whitespace, is_space};

/// Whether the candidate equals a reference.
///
/// The default compares byte by byte. Each option removes one kind of difference from both sides first; they apply in
/// the order composition, case, whitespace.
///
/// ```
/// use llmops_metrics::exact_match::ExactMatch;
///
/// assert_eq!(ExactMatch::default().score("Paris", &["Paris"]), Some(1.0));
/// assert_eq!(ExactMatch::default().score(" paris", &["Paris"]), Some(0.0));
/// assert_eq!(ExactMatch::normalised().score(" paris\n", &["London", "Paris"]), Some(1.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of a normalisation, not a state")]
pub struct ExactMatch {
    /// Ignore whitespace at both ends.
    pub trim: bool,
    /// Compare in lower case (Unicode lower-casing; `ß` and `SS` stay different).
    pub ignore_case: bool,
    /// Read every run of whitespace as one space; implies `trim`.
    pub collapse_whitespace: bool,
    /// Compose characters first (Unicode NFC), so that `é` equals `e` with a combining accent.
    pub compose: bool,
}

impl ExactMatch {
    /// Every option switched on.
    ///
    /// ```
    /// use llmops_metrics::exact_match::ExactMatch;
    ///
    /// assert!(ExactMatch::normalised().matches("Cafe\u{301}  au lait ", "café au lait"));
    /// ```
    #[must_use]
    pub fn normalised() -> Self {
        Self { trim: true, ignore_case: true, collapse_whitespace: true, compose: true }
    }

    /// `1.0` when the candidate equals any reference under these options, else `0.0`; `None` without references. Two
    /// empty texts are equal.
    ///
    /// ```
    /// use llmops_metrics::exact_match::ExactMatch;
    ///
    /// assert_eq!(ExactMatch::default().score("", &[""]), Some(1.0));
    /// assert_eq!(ExactMatch::default().score::<&str>("", &[]), None);
    /// ```
    pub fn score<S: AsRef<str>>(&self, candidate: &str, references: &[S]) -> Option<f64> {
        let candidate = self.normalise(candidate);
        best_of(references, |reference| indicator(candidate == self.normalise(reference)))
    }

    /// Whether the two texts are equal under these options.
    ///
    /// ```
    /// use llmops_metrics::exact_match::ExactMatch;
    ///
    /// assert!(ExactMatch { trim: true, ..ExactMatch::default() }.matches("42\n", "42"));
    /// ```
    pub fn matches(&self, candidate: &str, reference: &str) -> bool {
        self.normalise(candidate) == self.normalise(reference)
    }

    fn normalise(self, text: &str) -> Cow<'_, str> {
        let mut text = Cow::Borrowed(text);
        if self.compose && !is_nfc(&text) {
            text = Cow::Owned(text.nfc().collect());
        }
        if self.ignore_case {
            text = Cow::Owned(text.to_lowercase());
        }
        if self.collapse_whitespace {
            Cow::Owned(collapse_whitespace(&text))
        } else if self.trim {
            match text {
                Cow::Borrowed(borrowed) => Cow::Borrowed(borrowed.trim_matches(is_space)),
                Cow::Owned(owned) => Cow::Owned(owned.trim_matches(is_space).to_owned()),
            }
        } else {
            text
        }
    }
}

/// Byte-by-byte equality with any reference: `1.0` or `0.0`, `None` without references.
///
/// ```
/// use llmops_metrics::exact_match::exact_match;
///
/// assert_eq!(exact_match("yes", &["no", "yes"]), Some(1.0));
/// ```
pub fn exact_match<S: AsRef<str>>(candidate: &str, references: &[S]) -> Option<f64> {
    ExactMatch::default().score(candidate, references)
}
