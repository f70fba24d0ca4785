//! Field-by-field comparison of JSON.
//!
//! Where exact equality says only *wrong*, this says how much of the expected document is right, and which fields are not.

use serde_json::Value;

use crate::json_valid::{Wrapping, unwrap_json};
use crate::numeric_match::NumericMatch;
use crate::text::collapse_whitespace;

/// How values are compared.
///
/// ```
/// use llmops_metrics::json_fields::JsonFields;
/// use llmops_metrics::numeric_match::NumericMatch;
/// use serde_json::json;
///
/// let cents = JsonFields {
///     numbers: NumericMatch { absolute: 0.01, ..NumericMatch::default() },
///     ignore: vec!["/id".into()],
///     ..JsonFields::default()
/// };
/// assert_eq!(cents.score(r#"{"id": 7, "price": 9.99}"#, &json!({"id": 1, "price": 10.0})).score, 1.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonFields {
    /// What may surround the JSON in the answer.
    pub wrapping: Wrapping,
    /// Tolerance between numbers; `position` has no meaning here.
    pub numbers: NumericMatch,
    /// Strings are equal regardless of case and of the amount of whitespace.
    pub lenient_strings: bool,
    /// Fields of the answer that the expected document lacks are ignored; otherwise each is a mistake.
    pub allow_extra: bool,
    /// JSON Pointers of fields that are left out of the comparison, with all below them.
    pub ignore: Vec<String>,
}

/// One compared field.
///
/// ```
/// use llmops_metrics::json_fields::JsonFields;
/// use serde_json::json;
///
/// let result = JsonFields::default().score(r#"{"a": [1]}"#, &json!({"a": [1, 2]}));
/// assert_eq!((result.fields[1].path.as_str(), &result.fields[1].found), ("/a/1", &None));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FieldMatch {
    /// JSON Pointer to the field; empty for the whole document.
    pub path: String,
    /// The expected value; `None` for a field that should not be there.
    pub expected: Option<Value>,
    /// The answer's value; `None` for a missing field.
    pub found: Option<Value>,
    /// Whether they are equal.
    pub matches: bool,
}

/// The outcome for all fields.
///
/// ```
/// use llmops_metrics::json_fields::JsonFields;
/// use serde_json::json;
///
/// let result = JsonFields::default().score(r#"{"a": 1, "b": 3}"#, &json!({"a": 1, "b": 2}));
/// assert_eq!((result.score, result.fields.len()), (0.5, 2));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct JsonFieldsScore {
    /// Share of compared fields that match; 1 when there are none.
    pub score: f64,
    /// Every field, the expected ones in document order, then the extra ones.
    pub fields: Vec<FieldMatch>,
}

impl JsonFields {
    /// Compares the JSON in an answer with the expected document. An answer that is not JSON scores 0 with every
    /// expected field missing.
    ///
    /// The fields are the leaves: strings, numbers, booleans, nulls, empty arrays and empty objects. Array items are
    /// fields of their index.
    ///
    /// ```
    /// use llmops_metrics::json_fields::JsonFields;
    /// use serde_json::json;
    ///
    /// let expected = json!({"name": "Ada", "born": 1815, "tags": ["maths"]});
    /// let result = JsonFields::default().score(r#"{"name": "Ada", "born": 1816, "tags": ["maths"]}"#, &expected);
    /// assert_eq!(result.score, 2.0 / 3.0);
    /// assert_eq!(result.fields.iter().find(|field| !field.matches).unwrap().path, "/born");
    /// ```
    pub fn score(&self, candidate: &str, expected: &Value) -> JsonFieldsScore {
        let found: Option<Value> = serde_json::from_str(unwrap_json(candidate, self.wrapping)).ok();
        let result = self.score_found(found.as_ref(), expected);
        // Where every field is ignored, there still has to be JSON.
        if found.is_none() && result.fields.is_empty() { JsonFieldsScore { score: 0.0, ..result } } else { result }
    }

    /// Compares two values that are there already.
    ///
    /// ```
    /// use llmops_metrics::json_fields::JsonFields;
    /// use serde_json::json;
    ///
    /// let fields = JsonFields { allow_extra: true, ..JsonFields::default() };
    /// assert_eq!(fields.score_value(&json!({"a": 1, "b": 2}), &json!({"a": 1})).score, 1.0);
    /// ```
    pub fn score_value(&self, candidate: &Value, expected: &Value) -> JsonFieldsScore {
        self.score_found(Some(candidate), expected)
    }

    fn score_found(&self, found: Option<&Value>, expected: &Value) -> JsonFieldsScore {
        let mut fields = Vec::new();
        self.compare(String::new(), Some(expected), found, &mut fields);
        // Extra fields after the expected ones: the reader looks for what was asked first.
        fields.sort_by_key(|field| field.expected.is_none());
        let matching = fields.iter().filter(|field| field.matches).count();
        let score = if fields.is_empty() { 1.0 } else { matching as f64 / fields.len() as f64 };
        JsonFieldsScore { score, fields }
    }

    fn compare(&self, path: String, expected: Option<&Value>, found: Option<&Value>, out: &mut Vec<FieldMatch>) {
        if self.ignore.contains(&path) {
            return;
        }
        let keys = children(expected, found);
        if keys.is_empty() {
            if expected.is_none() && self.allow_extra {
                return;
            }
            let matches = match (expected, found) {
                (Some(expected), Some(found)) => self.equal(expected, found),
                _ => false,
            };
            out.push(FieldMatch { path, expected: expected.cloned(), found: found.cloned(), matches });
            return;
        }
        for (key, expected, found) in keys {
            self.compare(format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), expected, found, out);
        }
    }

    fn equal(&self, expected: &Value, found: &Value) -> bool {
        match (expected, found) {
            (Value::Number(expected), Value::Number(found)) => {
                // Integers beyond 2^53 differ before they are rounded to floats.
                let tolerant = self.numbers.absolute > 0.0 || self.numbers.relative > 0.0;
                let integers = expected.is_i64() || expected.is_u64();
                expected == found
                    || (tolerant || !integers || found.is_f64())
                        && expected.as_f64().zip(found.as_f64()).is_some_and(|(a, b)| self.numbers.close(b, a))
            }
            (Value::String(expected), Value::String(found)) if self.lenient_strings => {
                collapse_whitespace(&expected.to_lowercase()) == collapse_whitespace(&found.to_lowercase())
            }
            _ => expected == found,
        }
    }
}

type Child<'v> = (String, Option<&'v Value>, Option<&'v Value>);

/// The fields below two values, by key, when both are objects or both arrays or one is missing; else they are leaves.
fn children<'v>(expected: Option<&'v Value>, found: Option<&'v Value>) -> Vec<Child<'v>> {
    match (expected, found) {
        (Some(Value::Object(_)) | None, Some(Value::Object(_)) | None) => {
            let expected = expected.and_then(Value::as_object);
            let found = found.and_then(Value::as_object);
            let keys = expected.into_iter().flatten().map(|(key, _)| key);
            let extra = found.into_iter().flatten().map(|(key, _)| key);
            let extra = extra.filter(|key| expected.is_none_or(|expected| !expected.contains_key(*key)));
            keys.chain(extra)
                .map(|key| (key.clone(), expected.and_then(|e| e.get(key)), found.and_then(|f| f.get(key))))
                .collect()
        }
        (Some(Value::Array(_)) | None, Some(Value::Array(_)) | None) => {
            let expected = expected.and_then(Value::as_array);
            let found = found.and_then(Value::as_array);
            let length = expected.map_or(0, Vec::len).max(found.map_or(0, Vec::len));
            (0..length)
                .map(|at| (at.to_string(), expected.and_then(|e| e.get(at)), found.and_then(|f| f.get(at))))
                .collect()
        }
        // Of different kinds, or the answer has a leaf here: what was expected counts field by field, so that a
        // document in the wrong shape does not count as one small mistake.
        (Some(value @ (Value::Object(_) | Value::Array(_))), Some(_)) => children(Some(value), None),
        _ => Vec::new(),
    }
}
