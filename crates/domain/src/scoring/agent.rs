//! Options of the scorers that look at tool calls and at conversations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::ListScore;

/// The field of a dataset's line, and key of a sample's metadata, that holds the tool calls expected of an answer.
pub const EXPECTED_TOOL_CALLS: &str = "expected_tool_calls";

/// A call that is expected: in files its name, or a map of name and arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(untagged, expecting = "expected a tool's name, or {name, arguments}")]
pub enum ExpectedCall {
    /// The tool's name; it takes no arguments, or they do not count.
    Name(String),
    /// Name and arguments.
    Call {
        /// The tool's name.
        name: String,
        /// The arguments.
        #[serde(default)]
        arguments: Value,
    },
}

/// How the arguments of a call are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentMatch {
    /// All of them, and no others.
    #[default]
    Exact,
    /// The expected ones; others may be there.
    Subset,
    /// Not at all.
    Ignore,
}

/// What the order of calls has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOrder {
    /// The order of the expected calls.
    #[default]
    Same,
    /// Any.
    Any,
}

/// Options of `tool_call`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ToolCallSpec {
    /// What is expected of every answer. Absent: the sample's `expected_tool_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<ExpectedCall>>,
    /// How arguments are compared.
    #[serde(default)]
    pub arguments: ArgumentMatch,
    /// What the order has to be.
    #[serde(default)]
    pub order: CallOrder,
    /// Texts in arguments are equal without regard to case and to the amount of white space.
    #[serde(default)]
    pub lenient_strings: bool,
    /// Largest difference between numbers in arguments that counts as equal.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub absolute: f64,
    /// Which share is the score.
    #[serde(default)]
    pub score: ListScore,
}

/// Options of `trajectory`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct TrajectorySpec {
    /// What the calls have to be, compared with the expected ones. Absent: they are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<TrajectoryMode>,
    /// What is expected of every answer. Absent: the sample's `expected_tool_calls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<ExpectedCall>>,
    /// How arguments are compared.
    #[serde(default)]
    pub arguments: ArgumentMatch,
    /// The most calls in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
    /// Tools that have to be called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Tools that must not be called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
    /// How often one call may be made with the same arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_repeats: Option<u64>,
}

/// What the calls of an answer have to be, compared with the expected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrajectoryMode {
    /// The expected calls in this order, and no others.
    Strict,
    /// The expected calls in any order, and no others.
    Unordered,
    /// No call that is not expected; some may be missing.
    Subset,
    /// All expected calls; there may be others.
    Superset,
}

/// Options of `conversation`. What is left out is not checked; the score is the share of checks that hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ConversationSpec {
    /// The fewest turns of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_turns: Option<u64>,
    /// The most turns of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u64>,
    /// The assistant says something after each turn of the user.
    #[serde(default)]
    pub answered: bool,
    /// No answer of the assistant is as similar as this to an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_similarity: Option<f64>,
    /// What the assistant has to say, in this order, without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// What the assistant must not say, without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
}

impl TrajectorySpec {
    /// Whether nothing would be checked.
    pub fn is_empty(&self) -> bool {
        self.mode.is_none()
            && self.max_calls.is_none()
            && self.required.is_empty()
            && self.forbidden.is_empty()
            && self.max_repeats.is_none()
    }
}

impl ConversationSpec {
    /// Whether nothing would be checked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
