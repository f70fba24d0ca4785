//! The procedures that a run of thousands of samples waits for.

use divan::{Bencher, black_box};
use llmops_stats::bootstrap::{self, BootstrapOptions};
use llmops_stats::cluster::ClusterMean;
use llmops_stats::moments::Moments;

fn main() {
    divan::main();
}

fn values(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919) % 1009) as f64 / 1009.0).collect()
}

#[divan::bench(args = [5_000, 20_000, 1_000_000])]
fn bootstrap_paired_difference(bencher: Bencher<'_, '_>, n: usize) {
    let (control, treatment) = (values(n), values(n).into_iter().rev().collect::<Vec<_>>());
    bencher.bench(|| {
        bootstrap::paired_difference(black_box(&control), black_box(&treatment), BootstrapOptions::default())
    });
}

#[divan::bench]
fn moments_of_a_million(bencher: Bencher<'_, '_>) {
    let values = values(1_000_000);
    bencher.bench(|| Moments::from_slice(black_box(&values)));
}

#[divan::bench]
fn a_million_clusters(bencher: Bencher<'_, '_>) {
    let values = values(1_000_000);
    bencher.bench(|| {
        let mut score = ClusterMean::new();
        for value in black_box(&values) {
            let _ = score.push(3.0 * value, 3);
        }
        score.estimate(0.95)
    });
}
