//! Occurrence of given strings in the answer.

use crate::score::indicator;
use crate::text::lower_if;

/// How many of the strings have to occur.
///
/// ```
/// use llmops_metrics::contains::Quantifier;
///
/// assert_eq!(Quantifier::default(), Quantifier::Any);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantifier {
    /// One of them is enough.
    #[default]
    Any,
    /// Every one of them.
    All,
}

/// Whether the candidate contains any or all of some strings.
///
/// ```
/// use llmops_metrics::contains::{Contains, Quantifier};
///
/// let any = Contains { quantifier: Quantifier::Any, ignore_case: true };
/// assert_eq!(any.score("Refund within 30 DAYS", &["14 days", "30 days"]), Some(1.0));
///
/// let all = Contains { quantifier: Quantifier::All, ignore_case: true };
/// assert_eq!(all.score("Refund within 30 DAYS", &["14 days", "30 days"]), Some(0.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contains {
    /// Any or all.
    pub quantifier: Quantifier,
    /// Compare in lower case (Unicode lower-casing).
    pub ignore_case: bool,
}

impl Contains {
    /// `1.0` when the condition holds, else `0.0`; `None` when there are no strings to look for. The empty string
    /// occurs in every text. Time is linear in the candidate for each string.
    ///
    /// ```
    /// use llmops_metrics::contains::Contains;
    ///
    /// assert_eq!(Contains::default().score("", &[""]), Some(1.0));
    /// assert_eq!(Contains::default().score::<&str>("text", &[]), None);
    /// ```
    pub fn score<S: AsRef<str>>(&self, candidate: &str, strings: &[S]) -> Option<f64> {
        if strings.is_empty() {
            return None;
        }
        let candidate = lower_if(candidate, self.ignore_case);
        let mut occurs = strings.iter().map(|string| {
            let string = lower_if(string.as_ref(), self.ignore_case);
            candidate.contains(&*string)
        });
        Some(indicator(match self.quantifier {
            Quantifier::Any => occurs.any(|found| found),
            Quantifier::All => occurs.all(|found| found),
        }))
    }
}
