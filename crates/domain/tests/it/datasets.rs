//! Dataset records and rules: what is read, and what mistakes read like.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;

use llmops_domain::config::{Config, DatasetConfig};
use llmops_domain::dataset_lines::{self, Reading, Record};
use llmops_domain::dataset_schema::{MAX_PROBLEMS, Report, Validator};
use serde_json::json;

fn line(text: &str) -> String {
    shown(dataset_lines::read(Record::Line(text)))
}

fn row(cells: &[(&str, &str)]) -> String {
    shown(dataset_lines::read(Record::Row(cells)))
}

/// The sample as JSON and what was noted, or the problems.
fn shown(reading: Result<Reading, Vec<dataset_lines::LineProblem>>) -> String {
    match reading {
        Ok(reading) => {
            let mut text = serde_json::to_string(&reading.sample).unwrap();
            if !reading.unknown_fields.is_empty() {
                let _ = write!(text, " unknown: {}", reading.unknown_fields.join(", "));
            }
            text
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn lines_that_are_read() {
    insta::assert_snapshot!(line(r#"{"id": "f001", "category": "factual_accuracy", "prompt": "What is …?", "reference_response": "…", "source": "manual", "metadata": {}}"#), @r#"{"id":"f001","input":"What is …?","expected_output":["…"],"category":"factual_accuracy","source":"manual"}"#);
    insta::assert_snapshot!(line(r#"{"id": "s2", "input": "…", "expected_output": ["a", "b"], "context": "c", "variables": {"language": "Go"}, "messages": null}"#), @r#"{"id":"s2","input":"…","expected_output":["a","b"],"context":["c"],"variables":{"language":"Go"}}"#);
    insta::assert_snapshot!(line(r#"{"id": 7, "input": "x", "expected": "y"}"#), @r#"{"id":"7","input":"x","expected_output":["y"]}"#);
    insta::assert_snapshot!(line(r#"{"input": "x"}"#), @r#"{"id":"s-842c37007d71","input":"x"}"#);
    insta::assert_snapshot!(line(r#"{"id": "", "input": "x", "id2": 1, "difficulty": "hard"}"#), @r#"{"id":"s-0e2eaf041bc8","input":"x","metadata":{"difficulty":"hard","id2":1}} unknown: id2, difficulty"#);
    insta::assert_snapshot!(line(r#"{"id": "1", "messages": [{"role": "user", "content": "Hi"}]}"#), @r#"{"id":"1","messages":[{"role":"user","content":"Hi"}]}"#);
    insta::assert_snapshot!(line("\u{feff}{\"id\": 1.5, \"input\": \"x\", \"prompt\": \"x\"}\r\n"), @r#"{"id":"1.5","input":"x"}"#);
    insta::assert_snapshot!(line(r#"{"id": "1", "input": "x", "variables": "{\"a\": [1]}", "expected": "[1]"}"#), @r#"{"id":"1","input":"x","expected_output":["[1]"],"variables":{"a":[1]}}"#);
}

#[test]
fn lines_that_are_not() {
    insta::assert_snapshot!(line(" "), @"the line is empty");
    insta::assert_snapshot!(line("id,prompt"), @"no JSON object: `id,prompt`");
    insta::assert_snapshot!(line("[1, 2]"), @r#"expected a JSON object like {"id": …, "prompt": …}, not a list"#);
    insta::assert_snapshot!(line("null"), @r#"expected a JSON object like {"id": …, "prompt": …}, not null"#);
    insta::assert_snapshot!(line(r#"{"id": "1", "prompt": "x""#), @"no valid JSON: EOF while parsing an object, at column 25");
    insta::assert_snapshot!(line(r#"{"id": "1"} {"id": "2"}"#), @"no valid JSON: trailing characters, at column 13");
    insta::assert_snapshot!(line(r#"{"id": "1", "prompt": "\ud800"}"#), @"no valid JSON: unexpected end of hex escape, at column 30");
    insta::assert_snapshot!(line(r#"{"id": "1", "prompt": NaN}"#), @"no valid JSON: expected value, at column 23");
    insta::assert_snapshot!(line(&format!(r#"{{"id": "1", "metadata": {{"a": {}}}}}"#, "[".repeat(10_000))), @"no valid JSON: recursion limit exceeded, at column 156");
    insta::assert_snapshot!(line(r#"{"id": "1", "prompt": "x", "prompt": "y", "input": "z"}"#), @"
    prompt: is given twice
    prompt: differs from `input`, which is the same field: give one of them
    ");
    insta::assert_snapshot!(line(r#"{"id": "1", "prompt": "x", "input": "z"}"#), @"prompt: differs from `input`, which is the same field: give one of them");
    insta::assert_snapshot!(line(r#"{"id": true, "prompt": 7, "expected": {"a": 1}, "category": ["x"], "source": 1}"#), @"
    prompt: expected text, not the number 7
    expected: expected text or a list of texts, not an object
    id: expected text or a number, not true or false
    category: expected text, not a list
    source: expected text, not the number 1
    ");
    insta::assert_snapshot!(line(r#"{"id": "1", "expected": ["a", 2], "context": [null], "variables": [1], "metadata": "x"}"#), @"
    expected[1]: expected text, not the number 2
    context[0]: expected text, not null
    variables: expected a JSON object, not a list
    metadata: expected a JSON object, not the text `x`
    ");
    insta::assert_snapshot!(line(r#"{"id": "1", "messages": [{"role": "usr", "content": "x"}, {"content": "x"}, 3]}"#), @r#"
    messages[0]: unknown variant `usr`, expected one of `system`, `developer`, `user`, `assistant`, `tool`
    messages[1]: missing field `role`
    messages[2]: expected a message like {"role": "user", "content": …}, not the number 3
    "#);
    insta::assert_snapshot!(line(r#"{"id": "1", "messages": {"role": "user"}}"#), @"messages: expected a list of messages, not an object");
    insta::assert_snapshot!(line(r#"{"id": "1", "input": "x", "variables": "{a}"}"#), @"variables: no valid JSON: key must be a string at line 1 column 2");
    insta::assert_snapshot!(line(r#"{"id": "a\nb", "input": "x\u0000", "metadata": {"a": ["\u0000"]}}"#), @"
    input: holds the character U+0000, which databases refuse
    metadata: holds the character U+0000, which databases refuse
    id: holds a control character
    ");
    insta::assert_snapshot!(line(r#"{"id": "1", "input": "x", "extra": 1, "metadata": {"extra": 2}}"#), @"extra: no field of a sample, and the metadata has this name already");
    insta::assert_snapshot!(line(&format!(r#"{{"id": "{}", "input": "x"}}"#, "é".repeat(257))), @"id: is longer than 256 characters");
}

#[test]
fn rows() {
    insta::assert_snapshot!(row(&[("id", "1"), ("prompt", "x"), ("reference_response", ""), ("score", "3")]), @r#"{"id":"1","input":"x","metadata":{"score":"3"}} unknown: score"#);
    insta::assert_snapshot!(row(&[("id", "1"), ("input", "[x]"), ("expected", r#"["a", "b"]"#), ("context", "[1] says so")]), @r#"{"id":"1","input":"[x]","expected_output":["a","b"],"context":["[1] says so"]}"#);
    insta::assert_snapshot!(row(&[("id", "1"), ("messages", r#"[{"role": "user", "content": "Hi"}]"#), ("metadata", r#"{"a": 1}"#)]), @r#"{"id":"1","messages":[{"role":"user","content":"Hi"}],"metadata":{"a":1}}"#);
    insta::assert_snapshot!(row(&[("id", "1"), ("input", "x"), ("input", "y"), ("variables", "{oops"), ("metadata", "x")]), @"
    input: is given twice
    variables: no valid JSON: key must be a string at line 1 column 2
    metadata: expected a JSON object, not the text `x`
    ");
}

#[test]
fn objects() {
    let object = |value| shown(dataset_lines::read(Record::Object(value)));
    insta::assert_snapshot!(object(json!({"id": 1, "input": "x", "source": null})), @r#"{"id":"1","input":"x"}"#);
    insta::assert_snapshot!(object(json!(["x"])), @r#"expected a JSON object like {"id": …, "prompt": …}, not a list"#);
}

fn rules(yaml: &str) -> DatasetConfig {
    let text = format!("datasets: {{d: {{path: d.jsonl, {yaml}}}}}");
    Config::parse(&text, "llmops.yaml", |_| None).unwrap().0.datasets["d"].clone()
}

fn validate(rules: &DatasetConfig, lines: &[&str]) -> Report {
    let mut validator = Validator::new("d.jsonl", rules);
    for (number, line) in (1..).zip(lines) {
        validator.push(number, dataset_lines::read(Record::Line(line)));
    }
    validator.finish()
}

fn check(yaml: &str, lines: &[&str]) -> String {
    let report = validate(&rules(yaml), lines);
    let mut text = format!("{} fine {:?}\n", report.samples, report.categories);
    for problem in &report.problems {
        let _ = writeln!(text, "{problem}");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

#[test]
fn fine_datasets() {
    let golden = r#"{"id": "1", "prompt": "What is the capital?", "reference_response": "Paris"}"#;
    insta::assert_snapshot!(check("type: golden", &[golden]), @r#"1 fine {"": 1}"#);
    insta::assert_snapshot!(check("type: user", &[r#"{"id": "1", "prompt": "What is the capital?"}"#]), @r#"1 fine {"": 1}"#);
    insta::assert_snapshot!(check("type: user, min_prompt_chars: 0", &[r#"{"id": "1", "prompt": "x"}"#]), @r#"1 fine {"": 1}"#);
}

#[test]
fn inputs() {
    // "Must exceed 10 characters": characters, not bytes, white space around them not counted.
    insta::assert_snapshot!(check("type: user", &[
        r#"{"id": "1", "prompt": "0123456789"}"#,
        r#"{"id": "2", "prompt": "01234567890"}"#,
        r#"{"id": "3", "prompt": "  0123456789  "}"#,
        r#"{"id": "4", "prompt": "ééééé"}"#,
        r#"{"id": "5", "input": "x"}"#,
        r#"{"id": "6", "input": " "}"#,
        r#"{"id": "7"}"#,
        r#"{"id": "8", "messages": [{"role": "user", "content": "Hi"}]}"#,
        r#"{"id": "9", "messages": [{"role": "user", "content": "Hi there, how are you?"}]}"#
    ]), @r#"
    2 fine {"": 9}
    d.jsonl:1: prompt: has 10 characters, needs at least 11
    d.jsonl:3: prompt: has 10 characters, needs at least 11
    d.jsonl:4: prompt: has 5 characters, needs at least 11
    d.jsonl:5: input: has 1 character, needs at least 11
    d.jsonl:6: input: is missing: give `input` (or `prompt`), `messages` or `variables`
    d.jsonl:7: input: is missing: give `input` (or `prompt`), `messages` or `variables`
    d.jsonl:8: messages: has 2 characters, needs at least 11
    "#);
    insta::assert_snapshot!(check("type: user, max_prompt_tokens: 4", &[
        r#"{"id": "1", "prompt": "four words are fine"}"#,
        r#"{"id": "2", "prompt": "these five words are not"}"#,
        r#"{"id": "3", "messages": [{"role": "system", "content": "be brief and kind"}, {"role": "user", "content": "hello over there"}]}"#
    ]), @r#"
    0 fine {"": 3}
    d.jsonl:1: prompt: has about 5 tokens, may have at most 4
    d.jsonl:2: prompt: has about 7 tokens, may have at most 4
    d.jsonl:3: messages: has about 10 tokens, may have at most 4
    "#);
}

#[test]
fn fields_of_other_names_are_named() {
    insta::assert_snapshot!(check("type: golden", &[
        r#"{"pergunta": "Qual é o prazo?", "resposta": "30 dias"}"#,
        r#"{"pergunta": "Qual é o preço?", "resposta": "30 reais"}"#
    ]), @r#"
    0 fine {"": 2}
    d.jsonl:1: input: is missing: give `input` (or `prompt`), `messages` or `variables`; the record has `pergunta`, `resposta`: rename the field that holds the question
    d.jsonl:1: expected_output: is missing: samples of a golden dataset need one
    d.jsonl:2: input: is missing: give `input` (or `prompt`), `messages` or `variables`; the record has `pergunta`, `resposta`: rename the field that holds the question
    d.jsonl:2: expected_output: is missing: samples of a golden dataset need one
    warning: d.jsonl:1: id: no id: it is derived from the content, and changes with it (2 samples in all)
    warning: d.jsonl:1: pergunta: no field of a sample: kept in the metadata (2 samples in all)
    warning: d.jsonl:1: resposta: no field of a sample: kept in the metadata (2 samples in all)
    "#);
}

#[test]
fn references() {
    for kind in ["golden", "regression", "benchmark", "user"] {
        let report = validate(&rules(&format!("type: {kind}")), &[r#"{"id": "1", "prompt": "What is the capital?"}"#]);
        assert_eq!(report.is_valid(), matches!(kind, "benchmark" | "user"), "{kind}");
    }
    insta::assert_snapshot!(check("type: golden", &[
        r#"{"id": "1", "prompt": "What is the capital?"}"#,
        r#"{"id": "2", "prompt": "What is the capitol?", "reference_response": " "}"#,
        r#"{"id": "3", "prompt": "What is a capital?", "expected_output": []}"#
    ]), @r#"
    0 fine {"": 3}
    d.jsonl:1: expected_output: is missing: samples of a golden dataset need one
    d.jsonl:2: reference_response: is blank
    d.jsonl:3: expected_output: is missing: samples of a golden dataset need one
    "#);
    insta::assert_snapshot!(check("type: user", &[
        r#"{"id": "1", "prompt": "What is the capital?", "expected_output": ["Paris", ""]}"#,
        r#"{"id": "2", "prompt": "What is a capital?", "expected": ""}"#
    ]), @r#"
    0 fine {"": 2}
    d.jsonl:1: expected_output[1]: is blank
    d.jsonl:2: expected: is blank
    "#);
}

#[test]
fn categories() {
    let yaml = "type: user, categories: {tone: {min_examples: 1}, facts: {min_examples: 3}, safety: {min_examples: 1}}";
    insta::assert_snapshot!(check(yaml, &[
        r#"{"id": "1", "prompt": "A first question", "category": "facts"}"#,
        r#"{"id": "2", "prompt": "A second question", "category": "fatcs"}"#,
        r#"{"id": "3", "prompt": "A third question"}"#,
        r#"{"id": "4", "prompt": "A fourth question", "category": ""}"#,
        r#"{"id": "5", "prompt": "A fifth question", "category": "style"}"#,
        r#"{"id": "6", "prompt": "short", "category": "tone"}"#
    ]), @r#"
    1 fine {"facts": 1, "tone": 1}
    d.jsonl:2: category: `fatcs` is no category of this dataset; did you mean facts?
    d.jsonl:3: category: is missing; expected one of tone, facts, safety
    d.jsonl:4: category: is missing; expected one of tone, facts, safety
    d.jsonl:5: category: `style` is no category of this dataset; expected one of tone, facts, safety
    d.jsonl:6: prompt: has 5 characters, needs at least 11
    d.jsonl: category `facts` has 1 sample, needs at least 3
    d.jsonl: category `safety` has 0 samples, needs at least 1
    "#);
}

#[test]
fn duplicates() {
    insta::assert_snapshot!(check("type: user", &[
        r#"{"id": "1", "prompt": "A first question"}"#,
        r#"{"id": "2", "prompt": "A first question", "category": "x"}"#,
        r#"{"id": "1", "prompt": "A second question"}"#,
        r#"{"id": "1", "prompt": "A second question"}"#,
        r#"{"id": "3", "prompt": "A second question", "context": "elsewhere"}"#,
        r#"{"prompt": "A third question"}"#,
        r#"{"prompt": "A third question"}"#
    ]), @r#"
    3 fine {"": 6, "x": 1}
    d.jsonl:2: prompt: asks the same as line 1
    d.jsonl:3: id: `1` is the id of line 1 too
    d.jsonl:4: id: `1` is the id of line 1 too
    d.jsonl:4: prompt: asks the same as line 3
    d.jsonl:7: prompt: asks the same as line 6
    warning: d.jsonl:6: id: no id: it is derived from the content, and changes with it (2 samples in all)
    "#);
}

#[test]
fn warnings_are_counted_once() {
    insta::assert_snapshot!(check("type: user", &[
        r#"{"prompt": "A first question", "level": 1}"#,
        r#"{"prompt": "A second question", "level": 2, "catgory": "x"}"#,
        r#"{"prompt": "A third question", "level": 3}"#
    ]), @r#"
    3 fine {"": 3}
    warning: d.jsonl:1: id: no id: it is derived from the content, and changes with it (3 samples in all)
    warning: d.jsonl:1: level: no field of a sample: kept in the metadata (3 samples in all)
    warning: d.jsonl:2: catgory: no field of a sample: kept in the metadata (1 sample in all); did you mean category?
    "#);
}

#[test]
fn several_mistakes_of_one_line() {
    insta::assert_snapshot!(check("type: golden, categories: {a: {min_examples: 1}}", &[
        r#"{"id": "1", "prompt": "x", "category": "b"}"#,
        "oops",
        r#"{"id": 1, "prompt": [], "category": 3}"#
    ]), @"
    0 fine {}
    d.jsonl:1: prompt: has 1 character, needs at least 11
    d.jsonl:1: expected_output: is missing: samples of a golden dataset need one
    d.jsonl:1: category: `b` is no category of this dataset; expected a
    d.jsonl:2: no JSON object: `oops`
    d.jsonl:3: prompt: expected text, not a list
    d.jsonl:3: category: expected text, not the number 3
    d.jsonl: category `a` has 0 samples, needs at least 1
    ");
    insta::assert_snapshot!(check("type: golden", &[]), @"
    0 fine {}
    d.jsonl: the file holds no samples
    ");
}

#[test]
fn many_mistakes_are_counted() {
    let lines = vec!["{"; MAX_PROBLEMS + 234];
    let report = validate(&rules("type: user"), &lines);
    assert_eq!((report.problems.len(), report.hidden, report.is_valid()), (MAX_PROBLEMS, 234, false));
}

/// The state of a million samples is a few dozen bytes each; this would take minutes or gigabytes otherwise.
#[test]
fn many_samples() {
    let mut validator = Validator::new("d.jsonl", &rules("type: user"));
    for number in 0..20_000_u32 {
        let value = json!({"id": number, "input": format!("Question number {number}"), (format!("f{number}")): 1});
        assert!(validator.push(number.into(), dataset_lines::read(Record::Object(value))).is_some());
    }
    let report = validator.finish();
    assert_eq!((report.samples, report.warnings.len()), (20_000, 100));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever the line, it is read or refused; what is read is a sample that reads back the same.
    #[test]
    fn reads_any_line(text in r#"(\{("(id|input|prompt|messages|metadata|x)": ?("a|é"|1|null|\{\}|\[\]|"\{")?,? ?){0,4}\}?|\PC{0,40})"#) {
        if let Ok(reading) = dataset_lines::read(Record::Line(&text)) {
            let again = serde_json::to_string(&reading.sample).unwrap();
            let again = dataset_lines::read(Record::Line(&again)).unwrap();
            proptest::prop_assert_eq!(again.sample, reading.sample);
        }
    }
}
