//! Assertions that stand with the sample.

use llmops_domain::run::MetricScore;
use llmops_domain::scoring::assertions::{self, Assertion, Assertions, Expected};
use llmops_metrics::bleu::sentence_bleu;
use llmops_metrics::contains::{Contains, Quantifier};
use llmops_metrics::json_schema::JsonSchema;
use llmops_metrics::json_valid::{Wrapping, json_valid};
use llmops_metrics::levenshtein::distance;
use llmops_metrics::refusal::refusal_rule;
use llmops_metrics::regex_match::RegexMatch;
use llmops_metrics::rouge::{Rouge, RougeKind};
use serde_json::{Value, json};

use super::text::TextScratch;
use super::{ScoreError, Scored};

/// Scores an answer by the assertions of its sample.
pub(super) fn score(name: &str, scored: Scored<'_>, scratch: &mut TextScratch) -> Result<MetricScore, ScoreError> {
    let id = &scored.sample.id;
    let wrong = |detail: String| {
        ScoreError::new(
            format!("{name}: assertions cannot be read"),
            format!("the sample `{id}`: metadata.assertions: {detail}"),
        )
    };
    let Some(of_sample) = Assertions::of(scored.sample).map_err(wrong)? else {
        let message = format!("the sample `{id}` has no metadata.assertions, which `{name}` checks");
        return Err(ScoreError::new(format!("{name}: no assertions"), message));
    };
    let limits_cost = |assertion: &Assertion| matches!(assertion.expected, Expected::Cost { .. });
    if scored.cost.is_none() && of_sample.all.iter().any(limits_cost) {
        return Err(super::no_price(name));
    }
    let mut held = Vec::with_capacity(of_sample.all.len());
    let (mut unmet, mut detail) = (Vec::new(), Vec::new());
    for (at, assertion) in of_sample.all.iter().enumerate() {
        let holds = holds(assertion, scored, scratch).map_err(|e| wrong(format!("assertion {}: {e}", at + 1)))?;
        held.push((assertion.weight, holds));
        detail.push(json!({"assertion": assertion, "holds": holds}));
        if !holds && assertion.weight > 0.0 {
            unmet.push(words(assertion));
        }
    }
    let score = assertions::score(of_sample.threshold, &held);
    let reason = (score < 1.0).then(|| unmet.join("; "));
    Ok(MetricScore { score, reason, detail: Some(Value::Array(detail)) })
}

/// Whether an assertion holds of an answer.
fn holds(assertion: &Assertion, scored: Scored<'_>, scratch: &mut TextScratch) -> Result<bool, String> {
    let output = scored.output;
    let contains = |quantifier, values: &[String], ignore_case| {
        Contains { quantifier, ignore_case }.score(output, values).is_some_and(|score| score == 1.0)
    };
    let found = match &assertion.expected {
        Expected::Equals { value: Value::String(text) } => output == text,
        Expected::Equals { value } => serde_json::from_str::<Value>(output).is_ok_and(|answer| is_same(&answer, value)),
        Expected::Contains { value, ignore_case } => {
            contains(Quantifier::All, std::slice::from_ref(value), *ignore_case)
        }
        Expected::ContainsAny { values, ignore_case } => contains(Quantifier::Any, values, *ignore_case),
        Expected::ContainsAll { values, ignore_case } => contains(Quantifier::All, values, *ignore_case),
        Expected::StartsWith { value } => output.starts_with(value.as_str()),
        Expected::Regex { value } => RegexMatch::new(value).map_err(|e| e.to_string())?.score(output) == 1.0,
        Expected::Json { schema } => is_json(output, schema.as_ref())?,
        Expected::ContainsJson { schema } => {
            let mut any = false;
            for text in json_texts(output) {
                any = any || is_json(text, schema.as_ref())?;
            }
            any
        }
        Expected::Levenshtein { value, max } => u64::try_from(distance(output, value)).is_ok_and(|edits| edits <= *max),
        Expected::Rouge1 { value, min } => {
            let rouge = Rouge::new(vec![RougeKind::N(1)]);
            rouge.score_pair(&mut scratch.rouge, output, value)[0].f1 >= *min
        }
        Expected::Bleu { value, min } => {
            sentence_bleu(output, std::slice::from_ref(value)).is_some_and(|score| score >= *min)
        }
        Expected::Words { min, max } => {
            let words = output.split_whitespace().count() as u64;
            min.is_none_or(|min| words >= min) && max.is_none_or(|max| words <= max)
        }
        Expected::Refusal {} => refusal_rule(output).is_some(),
        Expected::Latency { max_ms } => scored.response.latency_ms <= *max_ms,
        Expected::Cost { max } => scored.cost.is_some_and(|cost| cost <= *max),
    };
    Ok(found != assertion.not)
}

/// Whether two JSON values are the same: 1 and 1.0 are the same number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}

fn is_json(text: &str, schema: Option<&Value>) -> Result<bool, String> {
    match schema {
        None => Ok(json_valid(text, Wrapping::None) == 1.0),
        Some(schema) => {
            let schema = JsonSchema::new(schema).map_err(|e| format!("the schema is wrong: {e}"))?;
            Ok(schema.check(text, Wrapping::None).is_ok())
        }
    }
}

/// The outermost JSON objects and arrays of a text.
fn json_texts(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(['{', '[']).map(|offset| at + offset) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        at = match values.next() {
            Some(Ok(_)) => {
                let end = start + values.byte_offset();
                found.push(&text[start..end]);
                end
            }
            _ => start + 1,
        };
    }
    found
}

/// An assertion that did not hold, in words.
fn words(assertion: &Assertion) -> String {
    let metric = assertion.metric.as_deref().map(|metric| format!("{metric}: ")).unwrap_or_default();
    let not = if assertion.not { "not " } else { "" };
    match serde_json::to_value(&assertion.expected) {
        Ok(Value::Object(mut fields)) => {
            let kind = fields.remove("type").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
            let options: Vec<String> = fields.into_iter().map(|(_, value)| value.to_string()).collect();
            format!("{metric}{not}{kind} {}", options.join(" ")).trim_end().to_owned()
        }
        _ => format!("{metric}{not}"),
    }
}

#[cfg(test)]
mod tests {
    use llmops_domain::chat::ChatResponse;
    use llmops_domain::dataset::Sample;

    use super::*;

    /// Whether an answer meets an assertion, given as JSON.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
    fn check(assertion: Value, output: &str, expected: bool) {
        let sample = Sample {
            id: "s".to_owned(),
            metadata: [("assertions".to_owned(), json!([assertion]))].into(),
            ..Sample::default()
        };
        let response = ChatResponse { latency_ms: 120.0, ..ChatResponse::default() };
        let scored = Scored { sample: &sample, trial: 0, output, response: &response, cost: Some(0.002) };
        let found = TextScratch::with(|scratch| score("assertions", scored, scratch)).unwrap();
        assert_eq!(found.score == 1.0, expected, "{sample:?} {output:?} {found:?}");
        assert_eq!(found.reason.is_none(), expected);
    }

    #[test]
    fn assertions_hold_or_do_not() {
        check(json!({"type": "equals", "value": "a"}), "a", true);
        check(json!({"type": "equals", "value": "a"}), "a ", false);
        check(json!({"type": "equals", "value": {"a": [1, 2]}}), "{\"a\": [1,2]}", true);
        check(json!({"type": "equals", "value": 4}), "4", true);
        check(json!({"type": "equals", "value": 4}), "4.0", true);
        check(json!({"type": "equals", "value": {"a": [1.0, {"b": 2}]}}), "{\"a\": [1, {\"b\": 2.0}]}", true);
        check(json!({"type": "equals", "value": {"a": 1}}), "{\"a\": 1, \"b\": 1}", false);
        check(json!({"type": "equals", "value": 9_007_199_254_740_993_i64}), "9007199254740992", false);
        check(json!({"type": "equals", "value": 4}), "four", false);
        check(json!({"type": "contains", "value": "ÄB"}), "xäbx", false);
        check(json!({"type": "contains", "value": "ÄB", "ignore_case": true}), "xäbx", true);
        check(json!({"type": "contains_any", "values": ["a", "b"]}), "cb", true);
        check(json!({"type": "contains_all", "values": ["a", "b"]}), "cb", false);
        check(json!({"type": "contains_all", "values": ["a", "b"], "not": true}), "cb", true);
        check(json!({"type": "starts_with", "value": "He"}), "Hello", true);
        check(json!({"type": "regex", "value": "^\\d+$"}), "42", true);
        check(json!({"type": "regex", "value": "^\\d+$"}), "42!", false);
        check(json!({"type": "levenshtein", "value": "kitten", "max": 3}), "sitting", true);
        check(json!({"type": "levenshtein", "value": "kitten", "max": 2}), "sitting", false);
        check(json!({"type": "rouge_1", "value": "the cat sat", "min": 0.6}), "the cat ran", true);
        check(json!({"type": "bleu", "value": "the cat sat on the mat", "min": 0.99}), "the cat sat on the mat", true);
        check(json!({"type": "words", "min": 2, "max": 3}), "one two three", true);
        check(json!({"type": "words", "max": 2}), "one two three", false);
        check(json!({"type": "refusal"}), "I'm sorry, but I can't help with that.", true);
        check(json!({"type": "latency", "max_ms": 100}), "", false);
        check(json!({"type": "cost", "max": 0.002}), "", true);
    }

    #[test]
    fn json_is_found_in_text() {
        let schema = json!({"required": ["a"]});
        check(json!({"type": "json"}), " {\"a\": 1} ", true);
        check(json!({"type": "json"}), "here: {\"a\": 1}", false);
        check(json!({"type": "json", "schema": schema}), "{\"b\": 1}", false);
        check(json!({"type": "contains_json"}), "here: {\"a\": 1}.", true);
        check(json!({"type": "contains_json"}), "{ no } [either", false);
        check(json!({"type": "contains_json", "schema": schema}), "{\"b\": 1} and {\"a\": {}}", true);
        check(json!({"type": "contains_json", "schema": schema}), "{\"b\": {\"a\": 1}}", false);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_score() {
        let response = ChatResponse::default();
        let fails = |metadata: Value, expected: &str| {
            let metadata = serde_json::from_value(metadata).unwrap();
            let sample = Sample { id: "s".to_owned(), metadata, ..Sample::default() };
            let scored = Scored { sample: &sample, trial: 0, output: "", response: &response, cost: None };
            let error = TextScratch::with(|scratch| score("assertions", scored, scratch)).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        };
        fails(json!({}), "no metadata.assertions");
        fails(json!({"assertions": [{"type": "regex", "value": "("}]}), "assertion 1");
        fails(json!({"assertions": [{"type": "cost", "max": 1}]}), "the model has no price");
        let none = [(assertions::ASSERTIONS.to_owned(), json!([{"type": "refusal"}]))];
        let sample = Sample { metadata: none.into(), ..Sample::default() };
        let scored = Scored { sample: &sample, trial: 0, output: "yes", response: &response, cost: None };
        let found = TextScratch::with(|scratch| score("assertions", scored, scratch)).unwrap();
        assert!(found.score == 0.0 && found.score.is_sign_positive(), "{found:?}");
        fails(json!({"assertions": [{"type": "json", "schema": {"type": 3}}]}), "the schema is wrong");
    }
}
