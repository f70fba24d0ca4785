//! The tests of two arms against SciPy, statsmodels and GrowthBook's engine.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

use crate::support::{alternative, close, count, fixture, interval_close, number, numbers, rows};
use llmops_stats::contingency::{chi_squared, chi_squared_rates, fisher_exact};
use llmops_stats::cuped::cuped;
use llmops_stats::mann_whitney::{RankMethod, mann_whitney};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::multiple::{Correction, adjust};
use llmops_stats::proportion::Rate;
use llmops_stats::quantile::quantile_difference;
use llmops_stats::ratio::{ratio_difference, relative_difference};
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};
use llmops_stats::sign_test::sign_test;
use llmops_stats::srm::sample_ratio_mismatch;
use llmops_stats::wilcoxon::signed_rank;
use llmops_stats::{TestOptions, TestResult, t_test};
use serde_json::Value;

fn rank_method(row: &Value) -> RankMethod {
    match (row["method"].as_str().unwrap(), row["continuity"].as_bool().unwrap()) {
        ("exact", _) => RankMethod::Exact,
        (_, true) => RankMethod::Asymptotic,
        (_, false) => RankMethod::AsymptoticUncorrected,
    }
}

fn options(row: &Value) -> TestOptions {
    TestOptions::one_sided(alternative(&row["alternative"]))
}

fn rates(row: &Value) -> (Rate, Rate) {
    let rate = |successes: &str, trials: &str| Rate::new(count(&row[successes]), count(&row[trials])).unwrap();
    (rate("c1", "n1"), rate("c2", "n2"))
}

#[test]
fn mann_whitney_equals_scipy() {
    for row in rows(&fixture("comparisons"), "mann_whitney") {
        let (control, treatment) = (numbers(&row["control"]), numbers(&row["treatment"]));
        let result = mann_whitney(&control, &treatment, rank_method(row), options(row)).unwrap();
        close(result.statistic, number(&row["statistic"]));
        close(result.p_value, number(&row["p"]));
        close(result.effect, number(&row["shift"]));
        let interval = result.interval.unwrap();
        assert!(interval.contains(result.effect), "{result:?}");
    }
}

#[test]
fn wilcoxon_equals_scipy() {
    for row in rows(&fixture("comparisons"), "wilcoxon") {
        let (control, treatment) = (numbers(&row["control"]), numbers(&row["treatment"]));
        let result = signed_rank(&control, &treatment, rank_method(row), options(row)).unwrap();
        close(result.statistic, number(&row["statistic"]));
        close(result.p_value, number(&row["p"]));
        close(result.effect, number(&row["effect"]));
        assert!(result.interval.unwrap().contains(result.effect), "{result:?}");
    }
}

#[test]
fn sign_test_equals_the_binomial_test() {
    for row in rows(&fixture("comparisons"), "sign") {
        let (control, treatment) = (numbers(&row["control"]), numbers(&row["treatment"]));
        let result = sign_test(&control, &treatment, options(row)).unwrap();
        close(result.p_value, number(&row["p"]));
        close(result.effect, number(&row["effect"]));
    }
}

#[test]
fn contingency_tables_equal_scipy() {
    let fixture = fixture("comparisons");
    for row in rows(&fixture, "fisher") {
        let (control, treatment) = rates(row);
        close(fisher_exact(control, treatment, options(row)).unwrap().p_value, number(&row["p"]));
    }
    for row in rows(&fixture, "chi_squared") {
        let (control, treatment) = rates(row);
        for (yates, key) in [(false, "plain"), (true, "yates")] {
            let result = chi_squared_rates(control, treatment, yates, TestOptions::default()).unwrap();
            let expected = numbers(&row[key]);
            close(result.statistic, expected[0]);
            close(result.p_value, expected[1]);
        }
    }
    for row in rows(&fixture, "tables") {
        let table: Vec<Vec<u64>> = row["table"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(count).collect())
            .collect();
        let result = chi_squared(&table).unwrap();
        close(result.statistic, number(&row["statistic"]));
        close(result.p_value, number(&row["p"]));
        close(result.df.unwrap(), number(&row["df"]));
        close(result.effect, number(&row["v"]));
    }
}

#[test]
fn sample_ratio_mismatch_equals_scipy() {
    for row in rows(&fixture("comparisons"), "srm") {
        let units: Vec<u64> = row["units"].as_array().unwrap().iter().map(count).collect();
        let result = sample_ratio_mismatch(&units, &numbers(&row["weights"])).unwrap();
        close(result.statistic, number(&row["statistic"]));
        close(result.p_value, number(&row["p"]));
    }
}

#[test]
fn quantile_difference_equals_numpy() {
    for row in rows(&fixture("comparisons"), "quantiles") {
        let (control, treatment) = (numbers(&row["control"]), numbers(&row["treatment"]));
        let result = quantile_difference(&control, &treatment, number(&row["q"]), TestOptions::default()).unwrap();
        close(result.effect, number(&row["effect"]));
        close(result.statistic, number(&row["statistic"]));
        close(result.p_value, number(&row["p"]));
    }
}

#[test]
fn cuped_equals_welch_on_adjusted_values() {
    for row in rows(&fixture("comparisons"), "cuped") {
        let arm = |x: &str, y: &str| PairMoments::from_slices(&numbers(&row[x]), &numbers(&row[y])).unwrap();
        let outcome = cuped(&arm("x1", "y1"), &arm("x2", "y2"), TestOptions::default()).unwrap();
        close(outcome.theta, number(&row["theta"]));
        close(outcome.result.statistic, number(&row["statistic"]));
        close(outcome.result.df.unwrap(), number(&row["df"]));
        close(outcome.result.p_value, number(&row["p"]));
    }
}

#[test]
fn corrections_equal_statsmodels() {
    for row in rows(&fixture("comparisons"), "multiple") {
        for (correction, key) in
            [(Correction::Bonferroni, "bonferroni"), (Correction::Holm, "holm"), (Correction::BenjaminiHochberg, "bh")]
        {
            let adjusted = adjust(&numbers(&row["p"]), correction).unwrap();
            for (got, expected) in adjusted.iter().zip(numbers(&row[key])) {
                close(*got, expected);
            }
        }
    }
}

#[track_caller]
fn equals_outcome(result: &TestResult, expected: &Value) {
    close(result.effect, number(&expected["effect"]));
    close(result.p_value, number(&expected["p"]));
    let interval = numbers(&expected["interval"]);
    interval_close(result.interval, interval[0], interval[1]);
}

#[test]
fn rates_equal_growthbook() {
    for row in rows(&fixture("gbstats"), "proportions") {
        let (control, treatment) = rates(row);
        equals_outcome(&t_test::welch_rates(control, treatment, TestOptions::default()).unwrap(), &row["welch"]);
        for (tuning, key) in [(500.0, "sequential_500"), (5000.0, "sequential_5000")] {
            let options = AsymptoticOptions { tuning, ..AsymptoticOptions::default() };
            equals_outcome(&asymptotic::rate_difference(control, treatment, options).unwrap(), &row[key]);
        }
    }
}

#[test]
fn means_and_ratios_equal_growthbook() {
    let fixture = fixture("gbstats");
    for row in rows(&fixture, "samples") {
        let arm = |key: &str| Moments::from_slice(&numbers(&row[key])).unwrap();
        let (control, treatment) = (arm("control"), arm("treatment"));
        let options = AsymptoticOptions { tuning: 1000.0, ..AsymptoticOptions::default() };
        equals_outcome(&asymptotic::difference(&control, &treatment, options).unwrap(), &row["sequential"]);
        // The engine takes the degrees of freedom of the absolute difference: interval and p agree to its accuracy.
        let relative = relative_difference(&control, &treatment, TestOptions::default()).unwrap();
        close(relative.effect, number(&row["relative"]["effect"]));
        let expected = numbers(&row["relative"]["interval"]);
        let interval = relative.interval.unwrap();
        assert!((interval.low - expected[0]).abs() < 0.01 * (expected[1] - expected[0]));
    }
    for row in rows(&fixture, "ratios") {
        let arm = |key: &str| PairMoments::from_slices(&numbers(&row[key]["m"]), &numbers(&row[key]["d"])).unwrap();
        let result = ratio_difference(&arm("control"), &arm("treatment"), TestOptions::default()).unwrap();
        equals_outcome(&result, &row["test"]);
    }
}
