//! An experiment as a YAML or JSON file.

use std::sync::LazyLock;

use serde_json::Value;

use super::{ExperimentSpec, InvalidExperiment, SpecProblem};
use crate::yaml::{Document, Problem, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = crate::yaml::strict(schemars::schema_for!(ExperimentSpec).to_value());
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "An experiment of llmops".into());
    }
    Schema::new(schema)
});

/// Parts that are held against others.
const LOOKS_AT: [(&str, &[&str]); 3] = [
    ("traffic_split", &["variants"]),
    ("target_metric", &["metrics"]),
    ("adaptive", &["variants", "metrics", "target_metric", "traffic_split", "analysis"]),
];

/// Reads an experiment file and fills in what was left out.
///
/// # Errors
/// With every mistake of the file, by line.
pub fn parse(text: &str, file: &str) -> Result<ExperimentSpec, Vec<Problem>> {
    let document = Document::parse(text, file)?;
    let mut problems = match document.decode::<ExperimentSpec>(&SCHEMA) {
        Ok(spec) => match spec.checked() {
            Ok(spec) => return Ok(spec),
            Err(invalid) => in_file(&document, invalid),
        },
        Err(mut problems) => {
            let check = |spec: &ExperimentSpec| {
                spec.clone().checked().err().map(|invalid| in_file(&document, invalid)).unwrap_or_default()
            };
            problems.extend(document.beside(&SCHEMA, &LOOKS_AT, &problems, check));
            problems
        }
    };
    problems.sort_by_key(|p| (p.line, p.column));
    Err(problems)
}

fn in_file(document: &Document, invalid: InvalidExperiment) -> Vec<Problem> {
    let problem = |p: SpecProblem| document.problem(&pointer(&p.field), p.message, None);
    invalid.problems.into_iter().map(problem).collect()
}

/// The JSON Schema of an experiment file.
pub fn json_schema() -> &'static Value {
    SCHEMA.as_json()
}

/// `variants[0].id` as a JSON pointer.
fn pointer(field: &str) -> String {
    let segments = field.split(['.', '[']).map(|segment| segment.trim_end_matches(']'));
    segments.filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let found = parse(text, "e.yaml").unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_file_is_read_with_all_it_may_hold() {
        let spec = parse(
            "name: greeting\nvariants:\n  - {name: Formal, value: 1.0}\n  - {name: Warm, value: 2.0}\n\
             traffic_split: {formal: 70, warm: 30}\nunit: {attribute: organisation}\n\
             audience: {country: {$in: [DE, FR]}}\nmetrics:\n  - solved\n  - {name: latency, guardrail: {margin: 50}}\n\
             analysis: {min_duration: 14d}\n",
            "e.yaml",
        )
        .unwrap();
        assert_eq!(spec.weights(), [0.7, 0.3]);
        assert_eq!(spec.variants[0].value.as_ref().unwrap().to_string(), "1.0");
        assert_eq!(spec.target_metric.as_deref(), Some("solved"));
    }

    #[test]
    fn mistakes_have_their_lines() {
        insta::assert_snapshot!(problems("name: greeting\nvariants: [{id: a}, {idd: b}]\nsplit: 3\n"), @r"
        e.yaml:2:22: variants[1].idd: unknown key; did you mean id?
        e.yaml:3:1: split: unknown key; expected one of name, key, description, variants, traffic_split, coverage, unit, sticky, seed, audience, namespace, holdout, metrics, target_metric, analysis, adaptive, metadata
        ");
        // What makes no sense is told with what cannot be read, unless it may follow from it: `b` may be the variant that was meant.
        insta::assert_snapshot!(
            problems(
                "name: greeting\nvariants: [{id: a}, {idd: b}]\ntraffic_split: {a: 1, b: 1}\ntarget_metric: zz\n\
                 metrics: [y, y]\nsticky: maybe\n"
            ),
            @r"
        e.yaml:2:22: variants[1].idd: unknown key; did you mean id?
        e.yaml:4:16: target_metric: `zz` is not among the metrics: expected y
        e.yaml:5:14: metrics[1].name: the metric `y` is declared twice
        e.yaml:6:9: sticky: expected true or false, not `maybe`
        "
        );
        insta::assert_snapshot!(
            problems("name: greeting\nvariants:\n  - id: a\n  - id: a\ncoverage: 0.5\ntarget_metric: x\nmetrics: [y]\n"),
            @r"
        e.yaml:4:9: variants[1].id: variants[0] has the id `a` already: give each its own
        e.yaml:6:16: target_metric: `x` is not among the metrics: expected y
        "
        );
    }
}
