//! Named checks that add up to a score.

/// One check and its outcome.
///
/// ```
/// use llmops_metrics::Check;
///
/// let checks = [Check::new("short", true, ""), Check::new("polite", false, "no greeting")];
/// assert_eq!(Check::share_passed(&checks), Some(0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, for a reader who asks why; may be empty.
    pub detail: String,
}

impl Check {
    /// A check with its outcome.
    ///
    /// ```
    /// assert!(llmops_metrics::Check::new("short", true, "3 words").passed);
    /// ```
    pub fn new(name: &'static str, passed: bool, detail: impl Into<String>) -> Self {
        Self { name, passed, detail: detail.into() }
    }

    /// The share of checks that hold; `None` when there are none.
    ///
    /// ```
    /// assert_eq!(llmops_metrics::Check::share_passed(&[]), None);
    /// ```
    pub fn share_passed(checks: &[Self]) -> Option<f64> {
        let passed = checks.iter().filter(|check| check.passed).count();
        (!checks.is_empty()).then(|| passed as f64 / checks.len() as f64)
    }
}
