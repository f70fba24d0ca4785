//! Equality of numbers within a tolerance.

use std::sync::LazyLock;

use regex::Regex;

use crate::score::indicator;

/// Where in the answer the number stands.
///
/// ```
/// use llmops_metrics::numeric_match::{NumberPosition, find_number};
///
/// let text = "3 boxes hold 75 eggs";
/// assert_eq!(find_number(text, NumberPosition::First), Some(3.0));
/// assert_eq!(find_number(text, NumberPosition::Last), Some(75.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberPosition {
    /// The answer is the number, with nothing around it but whitespace, a currency sign, a percent sign or a full stop.
    #[default]
    Whole,
    /// The first number in the text.
    First,
    /// The last number in the text, where worked solutions put their result.
    Last,
}

/// Whether the answer's number equals the expected one within a tolerance.
///
/// Equal means `|answer − expected| ≤ max(absolute, relative · |expected|)`.
///
/// ```
/// use llmops_metrics::numeric_match::{NumberPosition, NumericMatch};
///
/// let exact = NumericMatch::default();
/// assert_eq!(exact.score("1,234.50", 1234.5), 1.0);
///
/// let close = NumericMatch { position: NumberPosition::Last, relative: 0.01, ..NumericMatch::default() };
/// assert_eq!(close.score("4 boxes of 25 make about 99.5.", 100.0), 1.0);
/// assert_eq!(close.score("I do not know.", 100.0), 0.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NumericMatch {
    /// Where the number stands.
    pub position: NumberPosition,
    /// The largest accepted difference.
    pub absolute: f64,
    /// The largest accepted difference as a share of the expected number.
    pub relative: f64,
}

impl NumericMatch {
    /// `1.0` when a number is found and close enough, else `0.0`. An expected value or a tolerance that is not finite
    /// matches nothing.
    ///
    /// ```
    /// use llmops_metrics::numeric_match::NumericMatch;
    ///
    /// assert_eq!(NumericMatch { absolute: 0.5, ..NumericMatch::default() }.score("42.4", 42.0), 1.0);
    /// assert_eq!(NumericMatch::default().score("nan", f64::NAN), 0.0);
    /// ```
    pub fn score(&self, candidate: &str, expected: f64) -> f64 {
        indicator(find_number(candidate, self.position).is_some_and(|found| self.close(found, expected)))
    }

    /// Whether two numbers are equal within the tolerance.
    ///
    /// ```
    /// use llmops_metrics::numeric_match::NumericMatch;
    ///
    /// assert!(NumericMatch { relative: 0.1, ..NumericMatch::default() }.close(-9.5, -10.0));
    /// ```
    pub fn close(&self, found: f64, expected: f64) -> bool {
        let tolerance = self.absolute.max(self.relative * expected.abs());
        expected.is_finite() && tolerance.is_finite() && (found - expected).abs() <= tolerance
    }
}

/// Optional sign (`-`, `+` or `−`), digits with or without commas between groups of three, decimals after a point,
/// exponent.
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[-+−]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+\b|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?").ok()
});

/// The number in a text; `None` when there is none or it is too large for a float.
///
/// A comma separates thousands and a point decimals. A percent sign does not change the value. A minus directly after a
/// letter or digit is a dash: `3-4` holds 3 and 4.
///
/// ```
/// use llmops_metrics::numeric_match::{find_number, NumberPosition};
///
/// assert_eq!(find_number("$1,250.00", NumberPosition::Whole), Some(1250.0));
/// assert_eq!(find_number("between 3-4", NumberPosition::Last), Some(4.0));
/// assert_eq!(find_number("12 apples", NumberPosition::Whole), None);
/// ```
pub fn find_number(text: &str, position: NumberPosition) -> Option<f64> {
    let numbers = NUMBER.as_ref()?.find_iter(text);
    match position {
        NumberPosition::Whole => {
            let mut numbers = numbers;
            let found = numbers.next()?;
            let (before, after) = (text.get(..found.start())?.trim(), text.get(found.end()..)?.trim());
            let alone = matches!(before, "" | "$" | "€" | "£" | "¥" | "-$" | "-€" | "-£")
                && matches!(after, "" | "%" | "." | "%." | "$" | "€" | "£" | "¥");
            let value = parse(text, found)?;
            alone.then_some(if before.starts_with('-') { -value } else { value })
        }
        NumberPosition::First => numbers.into_iter().find_map(|found| parse(text, found)),
        NumberPosition::Last => numbers.filter_map(|found| parse(text, found)).last(),
    }
}

fn parse(text: &str, found: regex::Match<'_>) -> Option<f64> {
    let before = text.get(..found.start()).and_then(|before| before.chars().next_back());
    let dash = before.is_some_and(char::is_alphanumeric);
    let digits = found.as_str().replace(',', "").replace('−', "-");
    let digits = if dash { digits.trim_start_matches(['-', '+']) } else { &digits };
    digits.parse::<f64>().ok().filter(|value| value.is_finite())
}
