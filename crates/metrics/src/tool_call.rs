//! Comparison of tool calls with the expected ones: names, arguments, order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json_fields::JsonFields;
use crate::matching::largest_matching;
use crate::score::Prf;

/// One call of a tool.
///
/// ```
/// use llmops_metrics::tool_call::ToolCall;
/// use serde_json::json;
///
/// let call = ToolCall::new("get_order", json!({"id": 1234}));
/// assert_eq!(call.name, "get_order");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments, an object as a rule.
    #[serde(default)]
    pub arguments: Value,
}

impl ToolCall {
    /// A call with arguments.
    ///
    /// ```
    /// use llmops_metrics::tool_call::ToolCall;
    ///
    /// assert!(ToolCall::new("ping", serde_json::Value::Null).arguments.is_null());
    /// ```
    pub fn new(name: impl Into<String>, arguments: Value) -> Self {
        Self { name: name.into(), arguments }
    }
}

/// How arguments are compared.
///
/// ```
/// use llmops_metrics::tool_call::{ArgumentMatch, ToolCall, ToolCallMatch};
/// use serde_json::json;
///
/// let names = ToolCallMatch { arguments: ArgumentMatch::Ignore, ..ToolCallMatch::default() };
/// assert!(names.matches(&ToolCall::new("find", json!({"id": 1})), &ToolCall::new("find", json!({"id": 2}))));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArgumentMatch {
    /// All of them, and no others.
    #[default]
    Exact,
    /// The expected ones; further arguments are allowed.
    Subset,
    /// Not at all: names only.
    Ignore,
}

/// What the order of calls has to be.
///
/// ```
/// use llmops_metrics::tool_call::CallOrder;
///
/// assert_eq!(CallOrder::default(), CallOrder::Same);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallOrder {
    /// The order of the expected calls; other calls may stand between them.
    #[default]
    Same,
    /// Any order.
    Any,
}

/// How calls are compared.
///
/// ```
/// use llmops_metrics::tool_call::{ToolCall, ToolCallMatch};
/// use serde_json::json;
///
/// let expected = [ToolCall::new("find", json!({"id": 1})), ToolCall::new("refund", json!({"id": 1}))];
/// let calls = [ToolCall::new("find", json!({"id": 1})), ToolCall::new("refund", json!({"id": 2}))];
/// let score = ToolCallMatch::default().score(&calls, &expected);
/// assert_eq!((score.precision, score.recall), (0.5, 0.5));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCallMatch {
    /// The comparison of arguments.
    pub arguments: ArgumentMatch,
    /// The order of calls.
    pub order: CallOrder,
    /// The comparison of values within the arguments: tolerance, lenient strings, ignored paths. `allow_extra` follows
    /// from `arguments`.
    pub values: JsonFields,
}

impl ToolCallMatch {
    /// Whether one call is as expected.
    ///
    /// ```
    /// use llmops_metrics::tool_call::{ArgumentMatch, ToolCall, ToolCallMatch};
    /// use serde_json::json;
    ///
    /// let subset = ToolCallMatch { arguments: ArgumentMatch::Subset, ..ToolCallMatch::default() };
    /// let call = ToolCall::new("find", json!({"id": 1, "verbose": true}));
    /// assert!(subset.matches(&call, &ToolCall::new("find", json!({"id": 1}))));
    /// ```
    pub fn matches(&self, call: &ToolCall, expected: &ToolCall) -> bool {
        if call.name != expected.name {
            return false;
        }
        let allow_extra = match self.arguments {
            ArgumentMatch::Ignore => return true,
            ArgumentMatch::Subset => true,
            ArgumentMatch::Exact => false,
        };
        // A call without arguments is written as null by some models and as an empty object by others.
        let empty = Value::Object(serde_json::Map::new());
        let arguments = |value| if matches!(value, &Value::Null) { &empty } else { value };
        let (call, expected) = (arguments(&call.arguments), arguments(&expected.arguments));
        if allow_extra && expected == &empty {
            return true;
        }
        JsonFields { allow_extra, ..self.values.clone() }.score_value(call, expected).score == 1.0
    }

    /// Precision: share of the calls that were expected. Recall: share of the expected calls that were made. Each call
    /// matches at most one expected call; with [`CallOrder::Same`] the matched calls are the longest sequence that both
    /// lists have in this order. No calls where none were expected is 1.
    ///
    /// ```
    /// use llmops_metrics::tool_call::{CallOrder, ToolCall, ToolCallMatch};
    /// use serde_json::Value;
    ///
    /// let calls = ["b", "a"].map(|name| ToolCall::new(name, Value::Null));
    /// let expected = ["a", "b"].map(|name| ToolCall::new(name, Value::Null));
    /// assert_eq!(ToolCallMatch::default().score(&calls, &expected).f1, 0.5);
    /// let any = ToolCallMatch { order: CallOrder::Any, ..ToolCallMatch::default() };
    /// assert_eq!(any.score(&calls, &expected).f1, 1.0);
    /// ```
    pub fn score(&self, calls: &[ToolCall], expected: &[ToolCall]) -> Prf {
        if calls.is_empty() && expected.is_empty() {
            return Prf::ONE;
        }
        let matches: Vec<Vec<bool>> =
            calls.iter().map(|call| expected.iter().map(|other| self.matches(call, other)).collect()).collect();
        let common = match self.order {
            CallOrder::Same => in_order(&matches, expected.len()),
            CallOrder::Any => {
                let partners: Vec<Vec<usize>> =
                    matches.iter().map(|call| (0..expected.len()).filter(|&other| call[other]).collect()).collect();
                largest_matching(&partners, expected.len()).len()
            }
        };
        Prf::from_counts(common, calls.len(), expected.len())
    }
}

/// The longest common subsequence of both lists under the matrix of matches.
fn in_order(matches: &[Vec<bool>], expected: usize) -> usize {
    let mut row = vec![0; expected + 1];
    for call in matches {
        let mut diagonal = 0;
        for (at, &equal) in call.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if equal { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[expected]
}
