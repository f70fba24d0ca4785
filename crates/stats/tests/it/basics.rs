//! The procedures of the gate against SciPy and statsmodels.

use crate::support::{alternative, close, close_to, count, fixture, interval_close, number, numbers, rows};
use llmops_stats::bounded::{self, Range};
use llmops_stats::cluster::{ClusterMean, Part, weighted_mean};
use llmops_stats::mcnemar::{McNemarMethod, PairedTable, mcnemar};
use llmops_stats::moments::Moments;
use llmops_stats::power::{self, ProportionMethod, Target};
use llmops_stats::proportion::{Rate, ZVariance, newcombe, two_proportion_z, wilson};
use llmops_stats::{TestOptions, bootstrap, t_test};
use serde_json::Value;

#[test]
fn t_tests_equal_scipy() {
    for row in rows(&fixture("basics"), "t_tests") {
        let (control, treatment) = (numbers(&row["control"]), numbers(&row["treatment"]));
        let options = TestOptions { alternative: alternative(&row["alternative"]), level: 0.9 };
        let result = match row["test"].as_str().unwrap() {
            "welch" => t_test::welch(&control, &treatment, options),
            "student" => t_test::student(&control, &treatment, options),
            _ => t_test::paired(&control, &treatment, options),
        }
        .unwrap();
        close(result.statistic, number(&row["statistic"]));
        close(result.df.unwrap(), number(&row["df"]));
        close(result.p_value, number(&row["p"]));
        interval_close(result.interval, number(&row["low"]), number(&row["high"]));
    }
}

#[test]
fn clustered_means_equal_statsmodels_and_merge() {
    for row in rows(&fixture("basics"), "clusters") {
        let mut whole = ClusterMean::new();
        let mut halves = [ClusterMean::new(), ClusterMean::new()];
        for (index, cluster) in row["data"].as_array().unwrap().iter().enumerate() {
            whole.push_values(&numbers(cluster)).unwrap();
            halves[index % 2].push_values(&numbers(cluster)).unwrap();
        }
        let [mut merged, second] = halves;
        merged.merge(&second);
        for mean in [whole, merged] {
            let estimate = mean.estimate(0.95).unwrap();
            close(estimate.value, number(&row["mean"]));
            close(estimate.se.unwrap(), number(&row["se"]));
            interval_close(estimate.interval, number(&row["low"]), number(&row["high"]));
        }
    }
}

#[test]
fn bounded_means_equal_their_formula() {
    for row in rows(&fixture("basics"), "bounded") {
        let weights = numbers(&row["weights"]);
        let part = |(values, weight): (&Value, &f64)| {
            let mean = Moments::from_slice(&numbers(values)).unwrap().mean_estimate(0.95).unwrap();
            Part::new(*weight, &bounded::mean(&mean, Range::UNIT, 0.95).unwrap())
        };
        let parts: Vec<Part> = row["values"].as_array().unwrap().iter().zip(&weights).map(part).collect();
        let mean = weighted_mean(&parts, 0.95).unwrap();
        let ends = numbers(&row["interval"]);
        close(mean.value, number(&row["mean"]));
        interval_close(mean.interval, ends[0], ends[1]);
    }
}

#[test]
fn rates_equal_statsmodels() {
    for row in rows(&fixture("basics"), "rates") {
        let control = Rate::new(count(&row["c1"]), count(&row["n1"])).unwrap();
        let treatment = Rate::new(count(&row["c2"]), count(&row["n2"])).unwrap();
        let bounds = numbers(&row["wilson"]);
        interval_close(wilson(control, 0.9).unwrap().interval, bounds[0], bounds[1]);
        let bounds = numbers(&row["newcombe"]);
        interval_close(newcombe(control, treatment, 0.95).unwrap().interval, bounds[0], bounds[1]);
        for (variance, key) in [(ZVariance::Pooled, "pooled"), (ZVariance::Unpooled, "unpooled")] {
            let expected = numbers(&row[key]);
            let result = two_proportion_z(control, treatment, variance, TestOptions::default()).unwrap();
            close(result.statistic, expected[0]);
            close(result.p_value, expected[1]);
        }
    }
}

#[test]
fn six_hundred_against_six_hundred_fifty() {
    let (control, treatment) = (Rate::new(600, 1000).unwrap(), Rate::new(650, 1000).unwrap());
    let p = |variance| two_proportion_z(control, treatment, variance, TestOptions::default()).unwrap().p_value;
    close_to(p(ZVariance::Unpooled), 0.020_750_9, 5e-8);
    close_to(p(ZVariance::Pooled), 0.020_921_3, 5e-8);
    close_to(t_test::welch_rates(control, treatment, TestOptions::default()).unwrap().p_value, 0.020_852_1, 5e-8);
    // With the sample variances of the zeros and ones, as SciPy's ttest_ind on the 2,000 rows.
    let (control, treatment) = (Moments::from_rate(600, 1000).unwrap(), Moments::from_rate(650, 1000).unwrap());
    let welch = t_test::welch_from_moments(&control, &treatment, TestOptions::default()).unwrap();
    close(welch.p_value, 0.020_916_023_110_102_825);
}

#[test]
fn mcnemar_equals_statsmodels() {
    for row in rows(&fixture("basics"), "flips") {
        let cells: Vec<u64> = row["table"].as_array().unwrap().iter().map(count).collect();
        let [both, only_control, only_treatment, neither] = cells[..] else { panic!("four cells") };
        let table = PairedTable { both, only_control, only_treatment, neither };
        let test = |method| mcnemar(table, method, TestOptions::default()).unwrap();
        close(test(McNemarMethod::Exact).p_value, number(&row["exact"]));
        if table.flips() == 0 {
            continue;
        }
        close(test(McNemarMethod::MidP).p_value, number(&row["mid_p"]));
        for (method, key) in
            [(McNemarMethod::ChiSquared, "chi2"), (McNemarMethod::ChiSquaredCorrected, "chi2_corrected")]
        {
            let expected = numbers(&row[key]);
            close(test(method).statistic, expected[0]);
            close(test(method).p_value, expected[1]);
        }
    }
}

#[test]
fn power_equals_statsmodels() {
    for row in rows(&fixture("basics"), "power") {
        let (alpha, goal) = (number(&row["alpha"]), number(&row["power"]));
        let target = Target { alpha, power: goal };
        if row["kind"] == "proportions" {
            let (p1, p2) = (number(&row["p1"]), number(&row["p2"]));
            for (method, key) in [
                (ProportionMethod::Arcsine, "arcsine"),
                (ProportionMethod::Pooled, "pooled"),
                (ProportionMethod::Unpooled, "unpooled"),
                (ProportionMethod::Continuity, "continuity"),
            ] {
                let n = power::two_proportions_n(p1, p2, method, target).unwrap();
                assert_eq!(n, count(&row[key]), "{key} {row}");
                let reached = |n| power::two_proportions_power((p1, p2), n, method, alpha).unwrap();
                assert!(reached(n) >= goal && reached(n - 1) < goal, "{key} {row}");
            }
            continue;
        }
        let effect = number(&row["effect"]);
        assert_eq!(power::mean_difference_n(effect, 1.0, target).unwrap(), count(&row["two_n"]));
        assert_eq!(power::paired_n(2.0 * effect, 2.0, target).unwrap(), count(&row["one_n"]));
        close(power::mean_difference_power(effect, 1.0, 20, alpha).unwrap(), number(&row["two_at_20"]));
        close(power::paired_power(effect, 1.0, 20, alpha).unwrap(), number(&row["one_at_20"]));
        close(power::paired_power(effect / 20.0, 1.0, 5000, alpha).unwrap(), number(&row["one_at_5000"]));
        close(power::paired_mde(50, 1.0, target).unwrap(), number(&row["mde_at_50"]));
        close(power::mean_difference_mde(50, 1.0, target).unwrap(), number(&row["two_mde_at_50"]));
    }
}

#[test]
fn sixty_against_sixty_five_percent_needs_1471_per_variant() {
    let n = power::two_proportions_n(0.60, 0.65, ProportionMethod::Arcsine, Target::default()).unwrap();
    assert_eq!(n, 1471);
}

#[test]
fn bootstrap_intervals_are_read_off_as_defined() {
    for row in rows(&fixture("basics"), "bca") {
        let distribution = numbers(&row["distribution"]);
        let expected = numbers(&row["percentile"]);
        interval_close(bootstrap::percentile_interval(&distribution, 0.95).ok(), expected[0], expected[1]);
        let (estimate, acceleration) = (number(&row["estimate"]), number(&row["acceleration"]));
        let interval = bootstrap::bca_interval(&distribution, estimate, acceleration, 0.95).ok();
        let expected = numbers(&row["bca"]);
        interval_close(interval, expected[0], expected[1]);
    }
}

/// Scores that repeat: many resamples have the mean of the sample, and rounding must not put them all on one side of it.
#[test]
fn bootstrap_intervals_of_tied_scores_equal_scipy_in_any_order() {
    let options = bootstrap::BootstrapOptions { resamples: 20_000, ..Default::default() };
    for row in rows(&fixture("basics"), "tied") {
        let [n, lost, won] = ["n", "lost", "won"].map(|name| usize::try_from(count(&row[name])).unwrap());
        let mut values = vec![0.0; n];
        values[..lost].fill(-1.0);
        values[lost..lost + won].fill(1.0);
        let found = bootstrap::mean(&values, options).unwrap();
        interval_close(found.interval, number(&row["low"]), number(&row["high"]));
        for _ in 0..n {
            values.rotate_left(5);
            values.swap(0, n / 2);
            assert_eq!(bootstrap::mean(&values, options).unwrap(), found, "{values:?}");
            let pairs = bootstrap::paired_difference(
                &vec![0.5; n],
                &values.iter().map(|v| v + 0.5).collect::<Vec<_>>(),
                options,
            );
            assert_eq!(pairs.unwrap(), found);
        }
    }
}
