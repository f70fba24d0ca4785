use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::experiment::ExperimentSpec;
use crate::id::ExperimentId;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn running(spec: Value) -> Experiment {
    let spec: ExperimentSpec = serde_json::from_value(spec).unwrap();
    Experiment::draft(ExperimentId::from("exp_1"), spec.checked().unwrap(), at(0)).start(at(1)).unwrap()
}

fn with_split(experiment: &Experiment, control: f64, coverage: f64) -> Experiment {
    let mut spec = experiment.spec.clone();
    spec.traffic_split = [("control".to_owned(), control), ("treatment".to_owned(), 1.0 - control)].into();
    spec.coverage = coverage;
    experiment.revise(spec, at(2)).unwrap()
}

fn units() -> impl Iterator<Item = String> {
    (0..4000).map(|i| format!("user-{i}"))
}

fn nobody() -> Map<String, Value> {
    Map::new()
}

#[test]
fn buckets_are_growthbooks() {
    // From PyPI's growthbook 4.0.0: `growthbook.core.gbhash(seed, unit, 2)`.
    for (seed, unit, expected) in
        [("", "a", 0.0216), ("", "b", 0.9054), ("b", "a", 0.665), ("seed-é", "ünï-😀", 0.4941), ("s", "", 0.5827)]
    {
        assert_eq!(bucket(seed, unit), expected, "{seed:?} {unit:?}");
    }
}

#[test]
fn raising_coverage_moves_nobody() {
    let narrow = Splitter::new("seed", &[0.5, 0.3, 0.2], 0.3);
    let wide = Splitter::new("seed", &[0.5, 0.3, 0.2], 0.7);
    let mut joined = 0;
    for unit in units() {
        match (narrow.variant(&unit), wide.variant(&unit)) {
            (Some(before), after) => assert_eq!(Some(before), after),
            (None, after) => joined += usize::from(after.is_some()),
        }
    }
    assert!((1400..1800).contains(&joined), "{joined}");
    assert_eq!(wide.variant(""), None);
}

#[test]
fn the_shares_of_later_units_are_known_where_nobody_can_return_for_another_part() {
    let of = |weights: &[f64], coverage: f64| Allocation { at: at(0), weights: weights.to_vec(), coverage, step: None };
    let check = |expected: bool, allocations: &[Allocation]| {
        let (last, earlier) = allocations.split_last().unwrap();
        assert_eq!(has_known_shares(earlier, last), expected, "{allocations:?}");
    };
    check(true, &[of(&[0.5, 0.5], 0.3)]);
    check(true, &[of(&[0.5, 0.5], 1.0), of(&[0.8, 0.2], 1.0)]);
    check(true, &[of(&[0.5, 0.3, 0.2], 0.3), of(&[0.5, 0.3, 0.2], 0.7)]);
    check(false, &[of(&[0.5, 0.5], 0.5), of(&[0.8, 0.2], 0.5)]);
    check(false, &[of(&[0.5, 0.5], 0.5), of(&[0.8, 0.2], 1.0)]);
    check(true, &[of(&[0.5, 0.5], 0.5), of(&[0.5, 0.5], 1.0), of(&[0.8, 0.2], 1.0)]);
}

#[test]
fn the_store_is_asked_only_where_the_splits_differ() {
    let experiment = running(json!({"name": "e", "variants": [{}, {}], "seed": "s"}));
    let before = Assigner::new(&experiment);
    let after = Assigner::new(&with_split(&experiment, 0.8, 1.0));
    assert_eq!(after.epoch(), 1);
    let mut asked = 0;
    for unit in units() {
        let Decision::Assigned(old) = before.decide(&unit, &nobody()) else { panic!("{unit}") };
        match after.decide(&unit, &nobody()) {
            Decision::Assigned(new) => assert_eq!(old, new),
            Decision::Ask { fresh, keep: None } => {
                assert_eq!((old, fresh), (1, Some(0)));
                asked += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1000..1400).contains(&asked), "{asked}");
}

#[test]
fn without_stickiness_the_hash_alone_decides() {
    let experiment = running(json!({"name": "e", "variants": [{}, {}], "seed": "s", "sticky": false}));
    let after = Assigner::new(&with_split(&experiment, 0.8, 1.0));
    assert!(units().all(|unit| matches!(after.decide(&unit, &nobody()), Decision::Assigned(_))));
}

#[test]
fn a_pause_adds_nobody_and_moves_nobody() {
    let experiment = running(json!({"name": "e", "variants": [{}, {}], "coverage": 0.5}));
    let (before, paused) = (Assigner::new(&experiment), Assigner::new(&experiment.pause(at(3)).unwrap()));
    let resumed = Assigner::new(&experiment.pause(at(3)).unwrap().resume(at(90_000)).unwrap());
    for unit in units() {
        let expected = match before.decide(&unit, &nobody()) {
            Decision::Assigned(_) => Decision::Ask { fresh: None, keep: None },
            other => other,
        };
        assert_eq!(paused.decide(&unit, &nobody()), expected);
        assert_eq!(resumed.decide(&unit, &nobody()), before.decide(&unit, &nobody()));
    }
}

#[test]
fn who_takes_no_part() {
    let experiment = running(json!({
        "name": "e", "variants": [{}, {}], "audience": {"plan": "pro"},
        "holdout": {"name": "h", "share": 0.1}, "namespace": {"name": "n", "range": [0.0, 0.5]},
    }));
    let assigner = Assigner::new(&experiment);
    let pro = json!({"plan": "pro"}).as_object().cloned().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for unit in units() {
        *counts.entry(format!("{:?}", assigner.decide(&unit, &pro))).or_insert(0) += 1;
        assert!(!matches!(assigner.decide(&unit, &nobody()), Decision::Assigned(_)));
    }
    assert!((300..500).contains(&counts["Excluded(Holdout)"]), "{counts:?}");
    assert!((1600..2000).contains(&counts["Excluded(Namespace)"]), "{counts:?}");
    assert_eq!(assigner.decide("", &pro), Decision::Excluded(Exclusion::NoUnit));
}

#[test]
fn what_is_over_serves_its_winner() {
    let experiment = running(json!({"name": "e", "variants": [{}, {}]}));
    let won = Assigner::new(&experiment.complete(Some("treatment"), at(5)).unwrap());
    assert_eq!(won.decide("u", &nobody()), Decision::Won(1));
    for over in [experiment.complete(None, at(5)).unwrap(), experiment.cancel(at(5)).unwrap()] {
        assert_eq!(Assigner::new(&over).decide("u", &nobody()), Decision::Excluded(Exclusion::NotRunning));
    }
}

#[test]
fn units_and_segments_come_from_the_context() {
    let mut spec = json!({"name": "e", "variants": [{}, {}], "unit": {"attribute": "organisation"}});
    spec["analysis"] = json!({"segments": ["country", "missing"]});
    let assigner = Assigner::new(&running(spec));
    let context = json!({"organisation": 42, "targetingKey": "u", "country": "DE"}).as_object().cloned().unwrap();
    assert_eq!(assigner.unit_of(&context).as_deref(), Some("42"));
    assert_eq!(assigner.segments_of(&context), r#"{"country":"DE"}"#);
    assert_eq!(assigner.unit_of(&nobody()), None);
    let users = Assigner::new(&running(json!({"name": "e", "variants": [{}, {}]})));
    assert_eq!(users.unit_of(&context).as_deref(), Some("u"));
    let mut spec = json!({"name": "e", "variants": [{}, {}], "unit": {"attribute": "org.id"}});
    spec["analysis"] = json!({"segments": ["org.plan", "a.b"]});
    let assigner = Assigner::new(&running(spec));
    let context = json!({"org": {"id": "o1", "plan": "pro"}, "a.b": 7, "a": {"b": 8}}).as_object().cloned().unwrap();
    assert_eq!(assigner.unit_of(&context).as_deref(), Some("o1"), "by its path, as in conditions");
    let segments: serde_json::Value = serde_json::from_str(&assigner.segments_of(&context)).unwrap();
    assert_eq!(segments, json!({"a.b": 7, "org.plan": "pro"}));
}

#[test]
fn segments_can_be_stored_whatever_callers_say() {
    let mut spec = json!({"name": "e", "variants": [{}, {}]});
    spec["analysis"] = json!({"segments": ["s"]});
    let assigner = Assigner::new(&running(spec));
    let of = |value: Value| {
        let kept = assigner.segments_of(json!({"s": value}).as_object().unwrap());
        serde_json::from_str::<Value>(&kept).unwrap().get("s").cloned()
    };
    for same in [json!("DE"), json!(1.5), json!(true), json!(["a", "b"]), json!("ü".repeat(200))] {
        assert_eq!(of(same.clone()), Some(same));
    }
    assert_eq!(of(json!("D\u{0}E\n")), Some(json!("D\u{fffd}E\u{fffd}")));
    assert_eq!(of(json!(vec!["long"; 100])), None);
    assert_eq!(of(Value::Null), None);
    let cut = |text: String| of(json!(text)).unwrap().as_str().unwrap().to_owned();
    let (one, other) = (cut("漢".repeat(3000)), cut("漢".repeat(2999)));
    assert!(one.starts_with(&"漢".repeat(200)) && one.chars().count() < 220, "{one}");
    assert_ne!(one, other, "another text is another segment");
}
