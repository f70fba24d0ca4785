//! Match of a regular expression.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use crate::score::indicator;

/// Longest accepted pattern in bytes. What people write by hand is far shorter; what is longer is a generated list
/// that [`crate::contains`] serves better.
const MAX_PATTERN_BYTES: usize = 16 * 1024;

/// Largest compiled program in bytes, so that `\w{1000}{1000}` is an error and not an exhausted machine.
const MAX_PROGRAM_BYTES: usize = 2 * 1024 * 1024;

/// Why a pattern was refused.
///
/// ```
/// use llmops_metrics::regex_match::{PatternError, RegexMatch};
///
/// assert!(matches!(RegexMatch::new("("), Err(PatternError::Invalid(_))));
/// assert!(matches!(RegexMatch::new(&"x".repeat(20_000)), Err(PatternError::TooLong(20_000))));
/// ```
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum PatternError {
    /// The pattern has more than 16 KiB.
    #[error("the pattern has {0} bytes, more than the allowed {MAX_PATTERN_BYTES}")]
    TooLong(usize),
    /// The pattern is malformed, uses a construct outside the `regex` crate's syntax (look-around, back-references),
    /// or compiles to more than 2 MiB.
    #[error(transparent)]
    Invalid(#[from] regex::Error),
}

/// How the pattern is applied.
///
/// ```
/// use llmops_metrics::regex_match::{RegexMatch, RegexOptions};
///
/// let yes = RegexMatch::with_options("yes", RegexOptions { full: true, ..RegexOptions::default() })?;
/// assert_eq!((yes.score("yes"), yes.score("yes, but")), (1.0, 0.0));
/// # Ok::<(), llmops_metrics::regex_match::PatternError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegexOptions {
    /// The whole candidate has to match, not just a part of it.
    pub full: bool,
    /// Letters match in either case.
    pub ignore_case: bool,
    /// `.` matches line breaks, too.
    pub dot_matches_newline: bool,
}

/// A compiled regular expression; matching takes time linear in the candidate.
///
/// The syntax is that of the [`regex`](https://docs.rs/regex/latest/regex/#syntax) crate.
///
/// ```
/// use llmops_metrics::regex_match::RegexMatch;
///
/// let order = RegexMatch::new(r"order #\d{4}\b")?;
/// assert_eq!(order.score("Your order #1234 has shipped."), 1.0);
/// assert_eq!(order.score("Your order has shipped."), 0.0);
/// # Ok::<(), llmops_metrics::regex_match::PatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegexMatch {
    regex: Regex,
}

impl RegexMatch {
    /// Compiles a pattern that may match anywhere in the candidate.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for a malformed or oversized pattern.
    ///
    /// ```
    /// use llmops_metrics::regex_match::RegexMatch;
    ///
    /// assert!(RegexMatch::new("(").is_err());
    /// ```
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        Self::with_options(pattern, RegexOptions::default())
    }

    /// Compiles a pattern with options.
    ///
    /// # Errors
    ///
    /// [`PatternError`] for a malformed or oversized pattern.
    ///
    /// ```
    /// use llmops_metrics::regex_match::{RegexMatch, RegexOptions};
    ///
    /// let yes = RegexMatch::with_options("yes|no", RegexOptions { full: true, ignore_case: true, ..Default::default() })?;
    /// assert_eq!(yes.score("Yes"), 1.0);
    /// assert_eq!(yes.score("Yes, of course"), 0.0);
    /// # Ok::<(), llmops_metrics::regex_match::PatternError>(())
    /// ```
    pub fn with_options(pattern: &str, options: RegexOptions) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong(pattern.len()));
        }
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .case_insensitive(options.ignore_case)
                .dot_matches_new_line(options.dot_matches_newline)
                .size_limit(MAX_PROGRAM_BYTES)
                .build()
        };
        // The pattern is compiled alone even when it will be anchored: inside the anchors `a)(b` would become valid.
        let mut regex = build(pattern)?;
        if options.full {
            // A pattern in verbose mode may end with a comment, which would swallow the closing anchor.
            regex = build(&format!(r"\A(?:{pattern})\z")).or_else(|_| build(&format!("\\A(?:{pattern}\n)\\z")))?;
        }
        Ok(Self { regex })
    }

    /// `1.0` when the pattern matches, else `0.0`.
    ///
    /// ```
    /// use llmops_metrics::regex_match::RegexMatch;
    ///
    /// assert_eq!(RegexMatch::new("")?.score(""), 1.0);
    /// # Ok::<(), llmops_metrics::regex_match::PatternError>(())
    /// ```
    pub fn score(&self, candidate: &str) -> f64 {
        indicator(self.regex.is_match(candidate))
    }

    /// The pattern as compiled, anchors included.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::regex_match::RegexMatch::new("a+")?.pattern(), "a+");
    /// # Ok::<(), llmops_metrics::regex_match::PatternError>(())
    /// ```
    pub fn pattern(&self) -> &str {
        self.regex.as_str()
    }
}
