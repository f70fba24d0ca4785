//! What the test modules share: fixtures and tolerant comparison.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use llmops_stats::{Alternative, Interval};
use serde_json::Value;

pub(crate) fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn rows<'a>(fixture: &'a Value, key: &str) -> &'a [Value] {
    fixture[key].as_array().unwrap()
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub(crate) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

pub(crate) fn alternative(value: &Value) -> Alternative {
    match value.as_str().unwrap() {
        "less" => Alternative::Less,
        "greater" => Alternative::Greater,
        _ => Alternative::TwoSided,
    }
}

/// Equal to 1e-9, relative to the expectation where that is larger than 1.
#[track_caller]
pub(crate) fn close(got: f64, expected: f64) {
    close_to(got, expected, 1e-9);
}

#[track_caller]
pub(crate) fn close_to(got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "got {got}, expected {expected}");
}

#[track_caller]
pub(crate) fn interval_close(got: Option<Interval>, low: f64, high: f64) {
    let got = got.expect("an interval");
    close(got.low, low);
    close(got.high, high);
}
