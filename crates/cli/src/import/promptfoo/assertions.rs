//! Assertions in promptfoo's words and in ours.

use llmops_domain::template::Template;
use llmops_metrics::regex_match::RegexMatch;
use serde_json::{Map, Value, json};

use super::Reader;
use super::prompts::template;
use crate::failure::Outcome;
use crate::import::as_text;

/// Edits that promptfoo allows where none are named.
const EDITS: u64 = 5;
/// What ROUGE must reach where nothing is named.
const ROUGE: f64 = 0.75;
/// What BLEU must reach where nothing is named.
const BLEU: f64 = 0.5;

/// Assertions that ask a model or compare embeddings, and the metric here that answers the same question.
const JUDGED: [(&str, &str); 13] = [
    ("llm-rubric", "`checklist` with the rubric among its items"),
    ("g-eval", "`judge` with the criteria as its rubric"),
    ("model-graded-closedqa", "`checklist` with the criterion among its items"),
    ("factuality", "`accuracy`"),
    ("model-graded-factuality", "`accuracy`"),
    ("answer-relevance", "`answer_relevance`"),
    ("context-faithfulness", "`faithfulness`, with the passages as the sample's context"),
    ("context-recall", "`faithfulness`, with the passages as the sample's context"),
    ("context-relevance", "`judge` with a rubric of your own"),
    ("similar", "`embedding_similarity`, with the text as the sample's expected_output"),
    ("select-best", "`llmops compare` of two runs, or `pairwise`"),
    ("perplexity", "no metric here"),
    ("classifier", "`http` or `command`, which ask a classifier of your own"),
];

impl Reader {
    /// An assertion in our words, or why it has none.
    pub(super) fn assertion(
        &self,
        place: &str,
        assertion: &Value,
        vars: &Map<String, Value>,
    ) -> Outcome<Result<Vec<Value>, String>> {
        let written = match self.referred(assertion) {
            Ok(written) => written,
            Err(why) => return Ok(Err(why)),
        };
        let assertion = written.as_ref().unwrap_or(assertion);
        let kind = assertion.get("type").map(as_text).unwrap_or_default();
        if kind == "assert-set" {
            return self.set(place, assertion, vars);
        }
        if assertion.get("transform").is_some() {
            return Ok(Err("it changes the answer by a program of its own first".to_owned()));
        }
        let value = match assertion.get("value") {
            Some(Value::String(text)) if text.starts_with("file://") => {
                match Self::read_or_why(self.value_file(text)) {
                    Err(why) => return Ok(Err(why)),
                    Ok(Some(value)) => Some(value),
                    Ok(None) => return Ok(Err(format!("{text} is a program; `command` scorers run yours"))),
                }
            }
            other => other.cloned(),
        };
        let value = match value.map(|value| filled(value, vars)).transpose() {
            Ok(value) => value.unwrap_or_default(),
            Err(error) => return Ok(Err(format!("its value is no template here: {error}"))),
        };
        let metric = assertion.get("metric").filter(|metric| !metric.is_null());
        let metric = match metric.map(|metric| filled(as_text(metric).into(), vars)).transpose() {
            Ok(metric) => metric.map(|metric| as_text(&metric)),
            Err(error) => return Ok(Err(format!("its metric is no template here: {error}"))),
        };
        let (name, not) = kind.strip_prefix("not-").map_or((kind.as_str(), false), |name| (name, true));
        let threshold = assertion.get("threshold").and_then(Value::as_f64);
        Ok(translate(name, &value, threshold).map(|mut found| {
            if not {
                found["not"] = true.into();
            }
            if let Some(weight) = assertion.get("weight").and_then(Value::as_f64).filter(|weight| *weight != 1.0) {
                found["weight"] = weight.into();
            }
            if let Some(metric) = metric {
                found["metric"] = metric.into();
            }
            vec![found]
        }))
    }

    /// The assertion that one with a `$ref` stands for, with what it says itself laid over; none where it has no `$ref`.
    fn referred(&self, assertion: &Value) -> Result<Option<Value>, String> {
        let Some(reference) = assertion.get("$ref").map(as_text) else { return Ok(None) };
        let name = reference.strip_prefix("#/assertionTemplates/").unwrap_or(&reference);
        let Some(Value::Object(template)) = self.templates.get(name) else {
            return Err(format!("there is no assertion template `{name}`"));
        };
        let mut written = template.clone();
        written.extend(assertion.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        written.remove("$ref");
        Ok(Some(Value::Object(written)))
    }

    /// The assertions of a set; one without a threshold wants all of them, as a list does.
    fn set(&self, place: &str, set: &Value, vars: &Map<String, Value>) -> Outcome<Result<Vec<Value>, String>> {
        if set.get("threshold").is_some() {
            return Ok(Err("a set with a threshold of its own: only the whole test can have one here".to_owned()));
        }
        let mut all = Vec::new();
        for inner in set.get("assert").and_then(Value::as_array).into_iter().flatten() {
            let mut inner = inner.clone();
            // What is measured by the set is measured by each of it.
            if let (Some(metric), Some(inner)) = (set.get("metric"), inner.as_object_mut()) {
                inner.entry("metric").or_insert_with(|| metric.clone());
            }
            match self.assertion(place, &inner, vars)? {
                Ok(found) => all.extend(found),
                Err(why) => return Ok(Err(format!("one of the set: {why}"))),
            }
        }
        Ok(Ok(all))
    }
}

/// A value with the test's variables put in.
fn filled(value: Value, vars: &Map<String, Value>) -> Result<Value, String> {
    match value {
        Value::String(text) if text.contains("{{") || text.contains("{%") => {
            let template = Template::compile(&template(&text)).map_err(|e| e.to_string())?;
            let variables = vars.clone().into_iter().collect();
            template.render(&variables).map(Value::String).map_err(|e| e.to_string())
        }
        Value::Array(items) => items.into_iter().map(|item| filled(item, vars)).collect(),
        other => Ok(other),
    }
}

/// One assertion, by its name without `not-`.
fn translate(name: &str, value: &Value, threshold: Option<f64>) -> Result<Value, String> {
    let text = || as_text(value);
    let needs = |what: &str| Err(format!("{what} is missing"));
    let ignore_case = name.starts_with('i');
    Ok(match name {
        "equals" => json!({"type": "equals", "value": value}),
        "contains" => json!({"type": "contains", "value": text()}),
        "icontains" => json!({"type": "contains", "value": text(), "ignore_case": true}),
        "contains-any" | "icontains-any" => cased("contains_any", value, ignore_case),
        "contains-all" | "icontains-all" => cased("contains_all", value, ignore_case),
        "starts-with" => json!({"type": "starts_with", "value": text()}),
        "regex" => match RegexMatch::new(&text()) {
            Ok(_) => json!({"type": "regex", "value": text()}),
            Err(error) => return Err(format!("the expression is none here: {error}")),
        },
        "is-json" | "contains-json" => {
            let kind = if name == "is-json" { "json" } else { "contains_json" };
            match schema(value)? {
                Some(schema) => json!({"type": kind, "schema": schema}),
                None => json!({"type": kind}),
            }
        }
        "levenshtein" => {
            // Edits are whole numbers: so many and a half are no more than so many.
            let max =
                threshold.map_or(EDITS, |edits| format!("{:.0}", edits.max(0.0).floor()).parse().unwrap_or(EDITS));
            json!({"type": "levenshtein", "value": text(), "max": max})
        }
        "rouge-n" => json!({"type": "rouge_1", "value": text(), "min": threshold.unwrap_or(ROUGE)}),
        "bleu" => json!({"type": "bleu", "value": text(), "min": threshold.unwrap_or(BLEU)}),
        "word-count" => words(value)?,
        "is-refusal" => json!({"type": "refusal"}),
        "latency" => match threshold {
            Some(limit) => json!({"type": "latency", "max_ms": limit}),
            None => return needs("its threshold"),
        },
        "cost" => match threshold {
            Some(limit) => json!({"type": "cost", "max": limit}),
            None => return needs("its threshold"),
        },
        "javascript" | "python" | "ruby" | "webhook" => {
            return Err(format!("`{name}` is a program: scorers of kind `command` and `http` are yours to write"));
        }
        "" => return needs("its type"),
        other => {
            return Err(match JUDGED.iter().find(|(theirs, _)| *theirs == other) {
                Some((_, ours)) => format!("`{other}` asks a model about one sample; for all of them there is {ours}"),
                None => format!("`{other}` has no counterpart here"),
            });
        }
    })
}

fn cased(kind: &str, value: &Value, ignore_case: bool) -> Value {
    let values: Vec<String> = match value {
        Value::Array(items) => items.iter().map(as_text).collect(),
        other => comma_separated(&as_text(other)),
    };
    if ignore_case {
        json!({"type": kind, "values": values, "ignore_case": true})
    } else {
        json!({"type": kind, "values": values})
    }
}

/// The parts between commas; commas within double quotes are text, and the quotes around a part go.
fn comma_separated(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

fn schema(value: &Value) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => match llmops_domain::yaml::Document::parse(text, "schema") {
            Ok(document) if document.value.is_object() => Ok(Some(document.value)),
            _ => Err("its schema is neither JSON nor YAML".to_owned()),
        },
        other => Ok(Some(other.clone())),
    }
}

fn words(value: &Value) -> Result<Value, String> {
    match value {
        Value::Object(limits) => Ok(json!({"type": "words", "min": limits.get("min"), "max": limits.get("max")})),
        other => match as_text(other).trim().parse::<u64>() {
            Ok(count) => Ok(json!({"type": "words", "min": count, "max": count})),
            Err(_) => Err("its value is no number of words".to_owned()),
        },
    }
}

/// The assertion of a cell: `contains: a`, `similar(0.8): a`, `fn: …`, or a text that the answer must equal.
pub(super) fn of_cell(cell: &str) -> Value {
    let Some((head, value)) = cell.split_once(':') else { return bare(cell) };
    let head = head.trim();
    let (name, threshold) = match head.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim().parse::<f64>().ok()),
        None => (head, None),
    };
    let name = match name {
        "fn" | "eval" => "javascript",
        "grade" => "llm-rubric",
        other => other,
    };
    let value = value.trim();
    let is_known = {
        let positive = name.strip_prefix("not-").unwrap_or(name);
        let others = ["javascript", "python", "webhook"];
        others.contains(&positive)
            || JUDGED.iter().any(|(theirs, _)| *theirs == positive)
            || !matches!(translate(positive, &Value::Null, Some(0.5)), Err(why) if why.contains("no counterpart"))
    };
    if !is_known || name.is_empty() {
        return json!({"type": "equals", "value": cell});
    }
    // Cost and latency have their limit where others have their value.
    let limit = matches!(name, "latency" | "cost").then(|| value.parse::<f64>().ok()).flatten();
    let mut assertion = json!({"type": name, "value": value});
    if let Some(threshold) = threshold.or(limit) {
        assertion["threshold"] = threshold.into();
    }
    assertion
}

/// A cell without a colon: an assertion that needs no value, else a text.
fn bare(cell: &str) -> Value {
    let name = cell.strip_prefix("not-").unwrap_or(cell);
    if matches!(name, "is-json" | "contains-json" | "is-refusal") {
        return json!({"type": cell});
    }
    json!({"type": "equals", "value": cell})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_assertions() {
        let check = |cell: &str, expected: Value| assert_eq!(of_cell(cell), expected, "{cell}");
        check("Paris", json!({"type": "equals", "value": "Paris"}));
        check("contains: Paris", json!({"type": "contains", "value": "Paris"}));
        check("not-icontains: sorry", json!({"type": "not-icontains", "value": "sorry"}));
        check("levenshtein(3): Paris", json!({"type": "levenshtein", "value": "Paris", "threshold": 3.0}));
        check("latency: 500", json!({"type": "latency", "value": "500", "threshold": 500.0}));
        check("is-json", json!({"type": "is-json"}));
        check("Answer: 42", json!({"type": "equals", "value": "Answer: 42"}));
        check("grade: is polite", json!({"type": "llm-rubric", "value": "is polite"}));
        check("fn: output.length < 5", json!({"type": "javascript", "value": "output.length < 5"}));
    }

    #[test]
    fn what_has_a_counterpart_is_translated() {
        let check = |name: &str, value: Value, expected: Value| assert_eq!(translate(name, &value, None), Ok(expected));
        check(
            "icontains-any",
            json!("a, b"),
            json!({"type": "contains_any", "values": ["a", "b"], "ignore_case": true}),
        );
        check("contains-any", json!("a, \"b,c\", d"), json!({"type": "contains_any", "values": ["a", "b,c", "d"]}));
        check("contains-all", json!(["a"]), json!({"type": "contains_all", "values": ["a"]}));
        check("word-count", json!({"max": 3}), json!({"type": "words", "min": null, "max": 3}));
        check("is-json", json!("required: [a]"), json!({"type": "json", "schema": {"required": ["a"]}}));
        check("rouge-n", json!("a"), json!({"type": "rouge_1", "value": "a", "min": 0.75}));
    }

    #[test]
    fn what_has_none_says_why() {
        let check = |name: &str, expected: &str| {
            let why = translate(name, &json!("x"), None).unwrap_err();
            assert!(why.contains(expected), "{why}");
        };
        check("llm-rubric", "checklist");
        check("similar", "embedding_similarity");
        check("javascript", "command");
        check("latency", "threshold");
        check("is-xml", "no counterpart");
        assert!(translate("regex", &json!("(?=x)"), None).unwrap_err().contains("none here"));
    }
}
