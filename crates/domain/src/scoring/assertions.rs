//! Assertions: what one sample wants of its answer, written with the sample.
//!
//! They stand in the sample's metadata under `assertions`, as a list or with a threshold:
//!
//! ```json
//! {"id": "1", "input": "…", "metadata": {"assertions": [
//!     {"type": "contains", "value": "4.90"},
//!     {"type": "regex", "value": "(?i)sorry", "not": true},
//!     {"type": "json", "schema": {"required": ["total"]}, "weight": 2}]}}
//! {"id": "2", "input": "…", "metadata": {"assertions": {"threshold": 0.5, "all": [{"type": "latency", "max_ms": 800}]}}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::Sample;

/// The key of a sample's metadata.
pub const ASSERTIONS: &str = "assertions";

/// The keys that assertions of all types have.
const COMMON_KEYS: [&str; 4] = ["type", "not", "weight", "metric"];

/// What a sample wants of its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertions {
    /// The share of the assertions, by weight, that must hold, from 0 to 1. Absent: all of them must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The assertions. None of them: every answer is right.
    pub all: Vec<Assertion>,
}

/// One assertion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// What is expected.
    #[serde(flatten)]
    pub expected: Expected,
    /// Whether the opposite is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not: bool,
    /// How much it counts beside the others, at least 0. One that weighs nothing is not looked at.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// What it measures, for people: it stands before what did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it skips by reference")]
fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

/// What can be asserted of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Expected {
    /// The answer is this text; or this JSON, where it is no text.
    Equals {
        /// The text or JSON.
        value: Value,
    },
    /// The text is in the answer.
    Contains {
        /// The text.
        value: String,
        /// Whether case does not matter.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ignore_case: bool,
    },
    /// Some of the texts are in the answer.
    ContainsAny {
        /// The texts.
        values: Vec<String>,
        /// Whether case does not matter.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ignore_case: bool,
    },
    /// All of the texts are in the answer.
    ContainsAll {
        /// The texts.
        values: Vec<String>,
        /// Whether case does not matter.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ignore_case: bool,
    },
    /// The answer begins with the text.
    StartsWith {
        /// The text.
        value: String,
    },
    /// The expression matches somewhere in the answer.
    Regex {
        /// The expression.
        value: String,
    },
    /// The answer is JSON, and fits the schema where there is one.
    Json {
        /// A JSON Schema.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
    },
    /// Some JSON object or array stands in the answer, and fits the schema where there is one.
    ContainsJson {
        /// A JSON Schema.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
    },
    /// The answer is at most so many edits away from the text.
    Levenshtein {
        /// The text.
        value: String,
        /// Edits: characters added, removed or replaced.
        max: u64,
    },
    /// The F-measure of ROUGE-1 with the text is at least so high.
    #[serde(rename = "rouge_1")]
    Rouge1 {
        /// The text.
        value: String,
        /// From 0 to 1.
        min: f64,
    },
    /// Sentence BLEU with the text is at least so high.
    Bleu {
        /// The text.
        value: String,
        /// From 0 to 1.
        min: f64,
    },
    /// The answer has so many words.
    Words {
        /// At least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<u64>,
        /// At most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
    },
    /// The model declines to answer.
    Refusal {},
    /// The call took no longer. Answers from the cache keep the time of the call that made them.
    Latency {
        /// Milliseconds.
        max_ms: f64,
    },
    /// The call cost no more.
    Cost {
        /// USD.
        max: f64,
    },
}

impl Assertions {
    /// Whether a value in the metadata is meant to be assertions: a list of what has a `type`, or something with such a list.
    pub fn are_meant(value: &Value) -> bool {
        let list = value.get("all").unwrap_or(value).as_array();
        list.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one.get("type").is_some_and(Value::is_string)))
    }

    /// The assertions of a sample; `None` where it has none written down.
    ///
    /// # Errors
    /// When what is written down is not understood: what is wrong, in words.
    pub fn of(sample: &Sample) -> Result<Option<Self>, String> {
        let Some(value) = sample.metadata.get(ASSERTIONS) else { return Ok(None) };
        let read = match value {
            Value::Array(_) => Vec::<Assertion>::deserialize(value).map(|all| Self { threshold: None, all }),
            _ => Self::deserialize(value),
        };
        let found = read.map_err(|error| error.to_string())?;
        unknown_keys(value)?;
        if found.threshold.is_some_and(|t| !(0.0..=1.0).contains(&t)) {
            return Err("threshold: expected a number from 0 to 1".to_owned());
        }
        match found.all.iter().position(|a| !a.weight.is_finite() || a.weight < 0.0) {
            Some(at) => Err(format!("assertion {}: expected a weight of at least 0", at + 1)),
            None => Ok(Some(found)),
        }
    }
}

/// Keys that an assertion of a type may have, besides [`COMMON_KEYS`].
fn keys_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "contains" => &["value", "ignore_case"],
        "contains_any" | "contains_all" => &["values", "ignore_case"],
        "equals" | "starts_with" | "regex" => &["value"],
        "json" | "contains_json" => &["schema"],
        "levenshtein" => &["value", "max"],
        "rouge_1" | "bleu" => &["value", "min"],
        "words" => &["min", "max"],
        "latency" => &["max_ms"],
        "cost" => &["max"],
        _ => &[],
    }
}

/// Refuses keys that say nothing: a misspelt `not` would check the opposite of what is meant.
fn unknown_keys(value: &Value) -> Result<(), String> {
    let all = value.get("all").unwrap_or(value).as_array();
    for (at, assertion) in all.into_iter().flatten().enumerate() {
        let kind = assertion.get("type").and_then(Value::as_str).unwrap_or_default();
        let known: Vec<&str> = keys_of(kind).iter().chain(&COMMON_KEYS).copied().collect();
        let keys = assertion.as_object().into_iter().flat_map(serde_json::Map::keys);
        if let Some(key) = keys.into_iter().find(|key| !known.contains(&key.as_str())) {
            let hint = crate::suggest::hint(key, known);
            return Err(format!("assertion {}: unknown key `{key}`; {hint}", at + 1));
        }
    }
    Ok(())
}

/// The score of an answer from what held, as (weight, held): 1 where enough held, else the share by weight that held.
pub fn score(threshold: Option<f64>, held: &[(f64, bool)]) -> f64 {
    let total: f64 = held.iter().map(|(weight, _)| weight).sum();
    if total == 0.0 {
        return 1.0;
    }
    let share = held.iter().filter(|(_, held)| *held).map(|(weight, _)| weight).sum::<f64>() / total;
    // The sum of nothing is −0.
    let share = share + 0.0;
    let is_enough = match threshold {
        Some(threshold) => share >= threshold - 1e-9,
        None => held.iter().all(|(weight, held)| *held || *weight == 0.0),
    };
    if is_enough { 1.0 } else { share }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Result<Option<Assertions>, String> {
        Assertions::of(&Sample { metadata: [(ASSERTIONS.to_owned(), value)].into(), ..Sample::default() })
    }

    #[test]
    fn a_list_or_an_object_is_understood() {
        assert_eq!(Assertions::of(&Sample::default()), Ok(None));
        let list = of(json!([{"type": "contains", "value": "a"}, {"type": "refusal", "not": true, "weight": 2}]));
        let list = list.unwrap().unwrap();
        assert_eq!((list.all.len(), list.all[1].not, list.all[1].weight), (2, true, 2.0));
        let object = of(json!({"threshold": 0.5, "all": []})).unwrap().unwrap();
        assert_eq!(object.threshold, Some(0.5));
        let written = serde_json::to_value(&list.all).unwrap();
        assert_eq!(
            written,
            json!([{"type": "contains", "value": "a"}, {"type": "refusal", "not": true, "weight": 2.0}])
        );
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let check = |value: Value, expected: &str| {
            let said = of(value).unwrap_err();
            assert!(said.contains(expected), "{said}");
        };
        check(json!([{"type": "telepathy"}]), "unknown variant `telepathy`");
        check(json!([{"type": "contains"}]), "missing field `value`");
        check(
            json!([{"type": "refusal"}, {"type": "contains", "value": "a", "Not": true}]),
            "assertion 2: unknown key `Not`; did you mean not?",
        );
        check(
            json!({"all": [{"type": "words", "maximum": 1}]}),
            "unknown key `maximum`; expected one of min, max, type, not, weight",
        );
        check(json!({"threshold": 2, "all": []}), "from 0 to 1");
        check(json!([{"type": "refusal", "weight": -1}]), "assertion 1");
        check(json!("contains: a"), "invalid type");
    }

    /// Every type with all of its keys: none of them is unknown.
    #[test]
    fn all_keys_are_known() {
        let all = json!([
            {"type": "equals", "value": {"maximum": 1}, "not": true, "weight": 2},
            {"type": "contains", "value": "a", "ignore_case": true},
            {"type": "contains_any", "values": ["a"], "ignore_case": true},
            {"type": "contains_all", "values": ["a"], "ignore_case": true},
            {"type": "starts_with", "value": "a"},
            {"type": "regex", "value": "a"},
            {"type": "json", "schema": {"x": 1}},
            {"type": "contains_json", "schema": {}},
            {"type": "levenshtein", "value": "a", "max": 1},
            {"type": "rouge_1", "value": "a", "min": 0.5},
            {"type": "bleu", "value": "a", "min": 0.5},
            {"type": "words", "min": 1, "max": 2},
            {"type": "refusal"},
            {"type": "latency", "max_ms": 1.0},
            {"type": "cost", "max": 1.0},
        ]);
        assert_eq!(of(all).unwrap().unwrap().all.len(), 15);
        let meant = |value: Value| Assertions::are_meant(&value);
        assert!(meant(json!([{"type": "nope"}])) && meant(json!({"all": [{"type": "words"}]})));
        assert!(!meant(json!(["a", "b"])) && !meant(json!([])) && !meant(json!({"x": 1})) && !meant(json!([{"a": 1}])));
    }

    #[test]
    fn the_score_is_one_exactly_when_enough_holds() {
        let check = |threshold, held: &[(f64, bool)], expected| assert_eq!(score(threshold, held), expected);
        check(None, &[], 1.0);
        check(None, &[(1.0, true), (1.0, true)], 1.0);
        check(None, &[(1.0, true), (3.0, false)], 0.25);
        check(None, &[(1.0, true), (0.0, false)], 1.0);
        check(Some(0.25), &[(1.0, true), (3.0, false)], 1.0);
        check(Some(0.3), &[(1.0, true), (3.0, false)], 0.25);
        check(Some(0.0), &[(1.0, false)], 1.0);
    }
}
