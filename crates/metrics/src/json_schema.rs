//! Conformance of a JSON answer to a JSON Schema.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use thiserror::Error;

use crate::json_valid::{Wrapping, unwrap_json};
use crate::score::indicator;

/// Violations that are reported of one answer; more of them would not help a reader.
const MAX_VIOLATIONS: usize = 20;

/// Steps a `pattern` keyword may backtrack on one string before it counts as not matching.
const BACKTRACK_LIMIT: usize = 100_000;

/// The schema itself is unusable: not a valid JSON Schema, a malformed `pattern`, or a reference to a schema outside
/// the document (nothing is ever fetched).
///
/// ```
/// use llmops_metrics::json_schema::JsonSchema;
/// use serde_json::json;
///
/// assert!(JsonSchema::new(&json!({"type": "no such type"})).is_err());
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("invalid JSON schema: {0}")]
pub struct SchemaError(String);

/// Why an answer does not conform.
///
/// ```
/// use llmops_metrics::json_schema::{JsonSchema, Nonconformity};
/// use llmops_metrics::json_valid::Wrapping;
/// use serde_json::json;
///
/// let schema = JsonSchema::new(&json!({"type": "object"})).unwrap();
/// assert!(matches!(schema.check("{", Wrapping::None), Err(Nonconformity::NotJson(_))));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonconformity {
    /// The answer is not JSON; the parser's message.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The JSON violates the schema; the first twenty violations.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Violations(Vec<Violation>),
}

/// One violated keyword.
///
/// ```
/// use llmops_metrics::json_schema::{JsonSchema, Nonconformity};
/// use llmops_metrics::json_valid::Wrapping;
/// use serde_json::json;
///
/// let schema = JsonSchema::new(&json!({"properties": {"age": {"type": "integer"}}})).unwrap();
/// let Err(Nonconformity::Violations(found)) = schema.check(r#"{"age": "old"}"#, Wrapping::None) else { panic!() };
/// assert_eq!(found[0].path, "/age");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer to the offending value in the answer; empty for the whole answer.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.path, self.message)
        }
    }
}

/// A compiled JSON Schema, draft 4 to 2020-12 by its `$schema`, 2020-12 without one.
///
/// ```
/// use llmops_metrics::{json_schema::JsonSchema, json_valid::Wrapping};
/// use serde_json::json;
///
/// let schema = JsonSchema::new(&json!({
///     "type": "object",
///     "properties": {"intent": {"enum": ["refund", "status"]}},
///     "required": ["intent"],
/// }))?;
/// assert_eq!(schema.score(r#"{"intent": "refund"}"#, Wrapping::None), 1.0);
/// assert_eq!(schema.score(r#"{"intent": "weather"}"#, Wrapping::None), 0.0);
/// # Ok::<(), llmops_metrics::json_schema::SchemaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonSchema {
    validator: Validator,
}

impl JsonSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when the schema is invalid or refers to another document.
    ///
    /// ```
    /// use llmops_metrics::json_schema::JsonSchema;
    ///
    /// assert!(JsonSchema::new(&serde_json::json!({"type": "nonsense"})).is_err());
    /// ```
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        jsonschema::options()
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT))
            .build(schema)
            .map(|validator| Self { validator })
            .map_err(|error| SchemaError(error.to_string()))
    }

    /// `1.0` when the candidate is JSON that conforms, else `0.0`.
    ///
    /// ```
    /// use llmops_metrics::{json_schema::JsonSchema, json_valid::Wrapping};
    ///
    /// let schema = JsonSchema::new(&serde_json::json!({"type": "array"}))?;
    /// assert_eq!(schema.score("```\n[1]\n```", Wrapping::Fence), 1.0);
    /// # Ok::<(), llmops_metrics::json_schema::SchemaError>(())
    /// ```
    pub fn score(&self, candidate: &str, wrapping: Wrapping) -> f64 {
        let value = serde_json::from_str::<Value>(unwrap_json(candidate, wrapping));
        indicator(value.is_ok_and(|value| self.validator.is_valid(&value)))
    }

    /// The answer's JSON when it conforms.
    ///
    /// # Errors
    ///
    /// [`Nonconformity`] says what is wrong and where.
    ///
    /// ```
    /// use llmops_metrics::{json_schema::JsonSchema, json_valid::Wrapping};
    ///
    /// let schema = JsonSchema::new(&serde_json::json!({"properties": {"n": {"maximum": 3}}}))?;
    /// let wrong = schema.check(r#"{"n": 4}"#, Wrapping::None).unwrap_err();
    /// assert_eq!(wrong.to_string(), "/n: 4 is greater than the maximum of 3");
    /// # Ok::<(), llmops_metrics::json_schema::SchemaError>(())
    /// ```
    pub fn check(&self, candidate: &str, wrapping: Wrapping) -> Result<Value, Nonconformity> {
        let value: Value = serde_json::from_str(unwrap_json(candidate, wrapping))
            .map_err(|error| Nonconformity::NotJson(error.to_string()))?;
        let violations: Vec<Violation> = self
            .validator
            .iter_errors(&value)
            .take(MAX_VIOLATIONS)
            .map(|error| Violation { path: error.instance_path().to_string(), message: error.to_string() })
            .collect();
        if violations.is_empty() { Ok(value) } else { Err(Nonconformity::Violations(violations)) }
    }
}
