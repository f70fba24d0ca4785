use super::*;

fn spec(yaml_like: serde_json::Value) -> ExperimentSpec {
    serde_json::from_value(yaml_like).unwrap()
}

fn problems(value: serde_json::Value) -> Vec<String> {
    let error = spec(value).checked().unwrap_err();
    error.problems.into_iter().map(|p| format!("{}: {}", p.field, p.message)).collect()
}

#[test]
fn what_was_left_out_is_filled_in() {
    let value = serde_json::json!({
        "name": "prompt-a-vs-b",
        "variants": [{"name": "Variant A"}, {"name": "Variant B"}],
        "metrics": ["quality", "latency", {"name": "solved", "kind": "binary"}],
    });
    let done = spec(value).checked().unwrap();
    assert_eq!(done.key, "prompt-a-vs-b");
    assert_eq!(
        done.variants.iter().map(|v| (v.id.as_str(), v.is_control)).collect::<Vec<_>>(),
        [("variant-a", true), ("variant-b", false)]
    );
    assert_eq!(done.weights(), [0.5, 0.5]);
    assert_eq!(done.target_metric.as_deref(), Some("quality"));
    assert_eq!(done.metrics[1].kind(), MetricKind::Latency);
    assert_eq!(done.clone().checked(), Ok(done), "checking twice changes nothing");
}

#[test]
fn the_control_is_the_one_that_is_called_so() {
    let value = serde_json::json!({"name": "e", "variants": [{"id": "new"}, {"id": "control"}]});
    assert_eq!(spec(value).checked().unwrap().control_index(), 1);
    let value = serde_json::json!({"name": "e", "variants": [{}, {}, {}]});
    let ids: Vec<_> = spec(value).checked().unwrap().variants.into_iter().map(|v| v.id).collect();
    assert_eq!(ids, ["control", "variant-2", "variant-3"]);
}

#[test]
fn splits_by_id_or_name_in_fractions_or_percentages() {
    let value = serde_json::json!({
        "name": "e", "variants": [{"id": "a", "name": "Old one"}, {"id": "b"}],
        "traffic_split": {"Old one": 70, "b": 30},
    });
    assert_eq!(spec(value).checked().unwrap().weights(), [0.7, 0.3]);
}

#[test]
fn all_mistakes_come_at_once() {
    insta::assert_snapshot!(problems(serde_json::json!({
        "name": " ",
        "variants": [
            {"id": "a", "is_control": true}, {"id": "a", "is_control": true, "prompt_version": "1.0.0"}
        ],
        "traffic_split": {"a": 0.5, "trietment": 0.6},
        "coverage": 1.5,
        "unit": {"attribute": ""},
        "audience": {"country": {"$inn": ["DE"]}},
        "namespace": {"name": "n", "range": [0.5, 0.5]},
        "holdout": {"name": "h", "share": 1.0},
        "metrics": [
            "quality", "quality", {"name": "r", "kind": "ratio"}, {"name": "l", "cap": 1, "floor": 2, "quantile": 95}
        ],
        "target_metric": "qualty",
        "analysis": {"alpha": 0.9, "basis": "fixed_horizon", "min_samples": 0},
    })).join("\n"), @r"
    name: expected a name, and it is empty
    variants[1].prompt_version: a prompt's version without the prompt's name: write prompt_name too
    variants[1].id: variants[0] has the id `a` already: give each its own
    variants: a, a are marked as control: expected exactly one
    traffic_split.trietment: `trietment` is no variant: expected one of a, a
    traffic_split: there is no share for the variant `a`: write 0 if it shall have none
    coverage: the coverage is 1.5: expected a share from 0 to 1
    unit.attribute: expected a name, and it is empty
    audience.country.$inn: `$inn` is no operator: did you mean $in?
    namespace.range: the range is [0.5, 0.5]: expected two numbers from 0 to 1, the smaller first
    holdout.share: the share is 1: expected a number from 0 to below 1
    metrics[1].name: the metric `quality` is declared twice
    metrics[2].denominator: a ratio needs the name of the metric below the line
    metrics[3].cap: it is 1 and the floor is 2: expected a cap above the floor
    metrics[3].quantile: it is 95: expected a number between 0 and 1
    target_metric: `qualty` is not among the metrics: did you mean quality?
    analysis.alpha: alpha is 0.9: expected a chance above 0 and at most 0.5
    analysis.planned_n: a fixed horizon needs the number of units per variant that it is planned for
    analysis.min_samples: expected 1 or more
    ");
}

#[test]
fn segments_are_there_once_and_values_are_of_one_type() {
    let value = serde_json::json!({
        "name": "e", "variants": [{"value": 1}, {"value": "x"}, {}, {"value": 2.5}],
        "analysis": {"segments": ["country", "plan", "country"]},
    });
    insta::assert_snapshot!(problems(value).join("\n"), @r"
    variants[1].value: it is a text, and that of another variant a number: expected values of one type
    analysis.segments[2]: `country` is there twice
    ");
}

#[test]
fn a_wrong_sum_is_named() {
    let value =
        serde_json::json!({"name": "e", "variants": [{}, {}], "traffic_split": {"control": 0.5, "treatment": 0.6}});
    insta::assert_snapshot!(problems(value).join("\n"), @"traffic_split: the shares sum to 1.1: expected fractions that sum to 1 or percentages that sum to 100");
    insta::assert_snapshot!(problems(serde_json::json!({"name": "e", "variants": [{}]})).join("\n"), @"variants: there are 1: expected 2 to 100");
}
