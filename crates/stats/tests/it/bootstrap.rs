//! The bootstrap: determinism, agreement with the t-interval where both are right, bounded work.

use crate::support::close_to;
use llmops_stats::bootstrap::{self, BootstrapKind, BootstrapOptions};
use llmops_stats::cluster::ClusterMean;
use llmops_stats::{Method, TestOptions, t_test};

fn values(n: u32, step: u32) -> Vec<f64> {
    (0..n).map(|i| f64::from(i * step % 101) / 101.0).collect()
}

#[test]
fn the_seed_decides_the_bits() {
    let (control, treatment) = (values(300, 7), values(300, 11));
    let run = |seed| {
        let options = BootstrapOptions { seed, ..BootstrapOptions::default() };
        bootstrap::paired_difference(&control, &treatment, options).unwrap()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).interval, run(2).interval);
}

#[test]
fn agrees_with_the_t_interval_on_many_pairs() {
    let (control, treatment) = (values(5000, 7), values(5000, 11));
    let t = t_test::paired(&control, &treatment, TestOptions::default()).unwrap();
    let expected = t.interval.unwrap();
    for kind in [BootstrapKind::Percentile, BootstrapKind::Bca] {
        let options = BootstrapOptions { kind, ..BootstrapOptions::default() };
        let interval = bootstrap::paired_difference(&control, &treatment, options).unwrap().interval.unwrap();
        close_to(interval.low, expected.low, 0.06 * expected.width());
        close_to(interval.high, expected.high, 0.06 * expected.width());
    }
}

#[test]
fn clusters_widen_the_interval_as_the_robust_error_does() {
    // Trials of a sample are equal: the information is that of the samples.
    let samples = values(400, 7);
    let clusters: Vec<(f64, u64)> = samples.iter().map(|value| (5.0 * value, 5)).collect();
    let mut robust = ClusterMean::new();
    for &(sum, size) in &clusters {
        robust.push(sum, size).unwrap();
    }
    let expected = robust.estimate(0.95).unwrap().interval.unwrap();
    let interval = bootstrap::cluster_mean(&clusters, BootstrapOptions::default()).unwrap().interval.unwrap();
    close_to(interval.width(), expected.width(), 0.08 * expected.width());
}

#[test]
fn a_million_pairs_take_the_named_fallback() {
    let (control, treatment) = (values(1_000_000, 7), values(1_000_000, 11));
    let result = bootstrap::paired_difference(&control, &treatment, BootstrapOptions::default()).unwrap();
    assert_eq!(result.method, Method::BootstrapNormal);
}

#[test]
fn two_samples_and_any_statistic() {
    let (control, treatment) = (values(80, 7), values(120, 11));
    let welch = t_test::welch(&control, &treatment, TestOptions::default()).unwrap().interval.unwrap();
    let two = bootstrap::difference(&control, &treatment, BootstrapOptions::default()).unwrap();
    close_to(two.interval.unwrap().low, welch.low, 0.1 * welch.width());
    let average = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let general = bootstrap::statistic(&control, average, BootstrapOptions::default()).unwrap();
    let special = bootstrap::mean(&control, BootstrapOptions::default()).unwrap();
    // The same resamples; the two sum the estimate in another order, which moves a resample that ties with it.
    close_to(general.interval.unwrap().low, special.interval.unwrap().low, 1e-3);
    close_to(general.interval.unwrap().high, special.interval.unwrap().high, 1e-3);
}

#[test]
fn a_correction_beyond_its_pole_ends_at_the_end() {
    let distribution: Vec<f64> = (0..=1000).map(f64::from).collect();
    for (estimate, acceleration) in [(2000.0, 0.3), (-2000.0, -0.3)] {
        let interval = bootstrap::bca_interval(&distribution, estimate, acceleration, 0.99).unwrap();
        assert!(interval.low <= interval.high, "{estimate}: {interval:?}");
        let end = if estimate > 0.0 { interval.high } else { interval.low };
        assert_eq!(end, estimate.clamp(0.0, 1000.0));
    }
}
