//! The path of an agent: which tools it called on its way to the answer.

use crate::check::Check;
use crate::score::indicator;
use crate::tool_call::{CallOrder, ToolCall, ToolCallMatch};

/// What the calls have to be, compared with the expected ones.
///
/// ```
/// use llmops_metrics::tool_call::{ToolCall, ToolCallMatch};
/// use llmops_metrics::trajectory::{TrajectoryMode, trajectory_match};
/// use serde_json::Value;
///
/// let made = [ToolCall::new("search", Value::Null)];
/// let expected = ["search", "open"].map(|name| ToolCall::new(name, Value::Null));
/// let holds = |mode| trajectory_match(&made, &expected, mode, &ToolCallMatch::default());
/// assert_eq!((holds(TrajectoryMode::Subset), holds(TrajectoryMode::Superset)), (1.0, 0.0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrajectoryMode {
    /// The expected calls in this order and no others.
    #[default]
    Strict,
    /// The expected calls in any order and no others.
    Unordered,
    /// No call that is not expected; some may be missing.
    Subset,
    /// All expected calls; there may be others.
    Superset,
}

/// `1.0` when the calls are as the mode demands, else `0.0`. How two calls are compared is the matcher's; its order is
/// the mode's: `Strict` asks for the same order, the others for any.
///
/// ```
/// use llmops_metrics::tool_call::{ToolCall, ToolCallMatch};
/// use llmops_metrics::trajectory::{trajectory_match, TrajectoryMode};
/// use serde_json::Value;
///
/// let calls = ["search", "open", "answer"].map(|name| ToolCall::new(name, Value::Null));
/// let expected = ["search", "answer"].map(|name| ToolCall::new(name, Value::Null));
/// let matcher = ToolCallMatch::default();
/// assert_eq!(trajectory_match(&calls, &expected, TrajectoryMode::Superset, &matcher), 1.0);
/// assert_eq!(trajectory_match(&calls, &expected, TrajectoryMode::Strict, &matcher), 0.0);
/// ```
pub fn trajectory_match(
    calls: &[ToolCall],
    expected: &[ToolCall],
    mode: TrajectoryMode,
    matcher: &ToolCallMatch,
) -> f64 {
    let order = if mode == TrajectoryMode::Strict { CallOrder::Same } else { CallOrder::Any };
    let score = ToolCallMatch { order, ..matcher.clone() }.score(calls, expected);
    indicator(match mode {
        TrajectoryMode::Strict | TrajectoryMode::Unordered => score.precision == 1.0 && score.recall == 1.0,
        TrajectoryMode::Subset => calls.is_empty() || score.precision == 1.0,
        TrajectoryMode::Superset => expected.is_empty() || score.recall == 1.0,
    })
}

/// Limits on a trajectory that need no expected one. What is left at its default is not checked.
///
/// ```
/// use llmops_metrics::{Check, tool_call::ToolCall, trajectory::TrajectoryLimits};
/// use serde_json::json;
///
/// let limits = TrajectoryLimits {
///     max_calls: Some(3),
///     required: vec!["lookup".into()],
///     forbidden: vec!["delete".into()],
///     max_repeats: Some(1),
/// };
/// let calls = vec![ToolCall::new("lookup", json!({"id": 1})); 2];
/// let checks = limits.check(&calls);
/// let failed: Vec<&str> = checks.iter().filter(|check| !check.passed).map(|check| check.name).collect();
/// assert_eq!(failed, ["repeats"]);
/// assert_eq!(Check::share_passed(&checks), Some(0.75));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrajectoryLimits {
    /// The most calls in total: check `calls`.
    pub max_calls: Option<usize>,
    /// Names of tools that have to be called: check `required`.
    pub required: Vec<String>,
    /// Names of tools that must not be called: check `forbidden`.
    pub forbidden: Vec<String>,
    /// How often one call may be made with the same arguments: check `repeats`. An agent that asks the same thing again
    /// and again is in a loop.
    pub max_repeats: Option<usize>,
}

impl TrajectoryLimits {
    /// One check for each limit that is set, in the order of the fields.
    ///
    /// ```
    /// use llmops_metrics::trajectory::TrajectoryLimits;
    ///
    /// assert!(TrajectoryLimits::default().check(&[]).is_empty());
    /// ```
    pub fn check(&self, calls: &[ToolCall]) -> Vec<Check> {
        let mut checks = Vec::new();
        let called = |name: &String| calls.iter().any(|call| call.name == *name);
        if let Some(most) = self.max_calls {
            checks.push(Check::new("calls", calls.len() <= most, format!("{} of at most {most}", calls.len())));
        }
        if !self.required.is_empty() {
            let missing: Vec<&str> = self.required.iter().filter(|name| !called(name)).map(String::as_str).collect();
            checks.push(Check::new("required", missing.is_empty(), listing("missing: ", &missing)));
        }
        if !self.forbidden.is_empty() {
            let used: Vec<&str> = self.forbidden.iter().filter(|name| called(name)).map(String::as_str).collect();
            checks.push(Check::new("forbidden", used.is_empty(), listing("called: ", &used)));
        }
        if let Some(most) = self.max_repeats {
            let repeats = |call: &ToolCall| calls.iter().filter(|other| *other == call).count();
            let worst = calls.iter().map(|call| (repeats(call), &call.name)).max_by_key(|(count, _)| *count);
            let passed = worst.is_none_or(|(count, _)| count <= most);
            let detail = worst.map(|(count, name)| format!("{name}: {count} of at most {most}")).unwrap_or_default();
            checks.push(Check::new("repeats", passed, detail));
        }
        checks
    }
}

fn listing(label: &str, names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!("{label}{}", names.join(", ")) }
}
