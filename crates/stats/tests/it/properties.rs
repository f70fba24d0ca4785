//! Invariants over random inputs.

use llmops_stats::agreement::{AlphaMetric, KappaWeights, cohen_kappa, confusion_matrix, krippendorff_alpha, spearman};
use llmops_stats::bootstrap::{self, BootstrapOptions};
use llmops_stats::cluster::ClusterMean;
use llmops_stats::contingency::fisher_exact;
use llmops_stats::cuped::cuped;
use llmops_stats::drift;
use llmops_stats::mann_whitney::{RankMethod, mann_whitney};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::multiple::{Correction, adjust};
use llmops_stats::ppi::{PpiWeight, ppi_mean};
use llmops_stats::proportion::{Rate, newcombe, wilson};
use llmops_stats::quantile::{quantile, quantile_difference};
use llmops_stats::ratio::{ratio_difference, relative_difference};
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};
use llmops_stats::sequential::msprt::msprt;
use llmops_stats::sketch::{ACCURACY, Sketch};
use llmops_stats::wilcoxon::signed_rank;
use llmops_stats::{Alternative, Result, TestOptions, TestResult, sign_test::sign_test, t_test};
use proptest::prelude::*;

fn scores(least: usize) -> impl Strategy<Value = Vec<f64>> {
    // Halves and hundredths: ties are common, as in real scores.
    prop::collection::vec(
        prop_oneof![(0..=2_i32).prop_map(|i| f64::from(i) / 2.0), (0..=100_i32).prop_map(|i| f64::from(i) / 100.0)],
        least..40,
    )
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

type Test = fn(&[f64], &[f64], TestOptions) -> Result<TestResult>;

const PAIRED: &[Test] = &[
    t_test::paired,
    sign_test,
    |a, b, options| signed_rank(a, b, RankMethod::Exact, options),
    |a, b, options| signed_rank(a, b, RankMethod::Asymptotic, options),
];

const INDEPENDENT: &[Test] = &[
    t_test::welch,
    t_test::student,
    |a, b, options| mann_whitney(a, b, RankMethod::Asymptotic, options),
    |a, b, options| mann_whitney(a, b, RankMethod::Auto, options),
];

/// Swapping the arms turns the effect and its interval round and leaves the two-sided p; one-sided ps change places.
fn antisymmetric(test: Test, a: &[f64], b: &[f64]) {
    let (Ok(there), Ok(back)) = (test(a, b, TestOptions::default()), test(b, a, TestOptions::default())) else {
        return;
    };
    assert!((0.0..=1.0).contains(&there.p_value), "{there:?}");
    assert!(close(there.p_value, back.p_value) && close(there.effect, -back.effect), "{there:?} {back:?}");
    if let (Some(there), Some(back)) = (there.interval, back.interval) {
        assert!(close(there.low, -back.high) && close(there.high, -back.low) && there.low <= there.high);
    }
    let one_sided = |a, b, alternative| test(a, b, TestOptions::one_sided(alternative)).map(|result| result.p_value);
    let (less, greater) = (one_sided(a, b, Alternative::Less), one_sided(b, a, Alternative::Greater));
    assert!(close(less.unwrap_or(-1.0), greater.unwrap_or(-1.0)));
}

/// Values at which floating point goes wrong first, up to the largest accepted.
fn extreme() -> impl Strategy<Value = Vec<f64>> {
    let odd = [0.0, -0.0, 1.0, -1.0, 0.1, 1e-300, -5e-324, 1e75, -1e75, 1e15, 1e15 + 1.0, 0.3, 0.1 + 0.2];
    prop::collection::vec(prop::sample::select(odd.to_vec()), 0..12)
}

fn not_nan(result: Result<TestResult>) {
    let Ok(result) = result else { return };
    let interval = result.interval.map_or([0.0; 2], |interval| [interval.low, interval.high]);
    for part in [result.statistic, result.p_value, result.effect, interval[0], interval[1]] {
        assert!(part.is_finite(), "{result:?}");
    }
    assert!((0.0..=1.0).contains(&result.p_value), "{result:?}");
}

proptest! {
    /// Quantiles of few and of many values: as NumPy interpolates them, to the width of a bucket; where each has one of its own, to
    /// half of it.
    #[test]
    fn sketched_quantiles_are_those_of_the_values(values in prop::collection::vec(-9.0..9.0_f64, 1..300), q in 0.0..=1.0_f64) {
        let values: Vec<f64> = values.into_iter().map(f64::exp).collect();
        let mut sketch = Sketch::default();
        for value in &values {
            sketch.add(*value).unwrap();
        }
        let (got, expected) = (sketch.quantile(q).unwrap(), quantile(&values, q).unwrap());
        prop_assert!((got / expected - 1.0).abs() <= 2.02 * ACCURACY, "{} {}", got, expected);
        let few = &values[..values.len().min(2)];
        let mut sketch = Sketch::default();
        for value in few {
            sketch.add(*value).unwrap();
        }
        if few.len() == 2 && (few[0] / few[1] - 1.0).abs() > 0.03 {
            let (got, expected) = (sketch.quantile(q).unwrap(), quantile(few, q).unwrap());
            prop_assert!((got / expected - 1.0).abs() <= 1.01 * ACCURACY, "{} {}", got, expected);
        }
    }

    #[test]
    fn moments_merge_as_they_push(left in scores(0), right in scores(0)) {
        let mut merged = Moments::from_slice(&left).unwrap();
        merged.merge(&Moments::from_slice(&right).unwrap());
        let whole = Moments::from_slice(&[left, right].concat()).unwrap();
        prop_assert_eq!((merged.n(), merged.min(), merged.max()), (whole.n(), whole.min(), whole.max()));
        prop_assert!(close(merged.sum(), whole.sum()) && close(merged.m2(), whole.m2()));
    }

    #[test]
    fn pair_moments_merge_as_they_push(pairs in prop::collection::vec((-5.0..5.0_f64, -5.0..5.0_f64), 2..40), cut in 0.0..1.0_f64) {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small length")]
        let cut = (cut * x.len() as f64) as usize;
        let mut merged = PairMoments::from_slices(&x[..cut], &y[..cut]).unwrap();
        merged.merge(&PairMoments::from_slices(&x[cut..], &y[cut..]).unwrap());
        let whole = PairMoments::from_slices(&x, &y).unwrap();
        prop_assert!(close(merged.covariance().unwrap(), whole.covariance().unwrap()));
    }

    #[test]
    fn clusters_of_one_are_plain_means(values in scores(2)) {
        let mut clustered = ClusterMean::new();
        for &value in &values {
            clustered.push(value, 1).unwrap();
        }
        let (clustered, plain) = (clustered.estimate(0.95).unwrap(), llmops_stats::cluster::mean(&values, 0.95).unwrap());
        prop_assert!(close(clustered.value, plain.value) && close(clustered.se.unwrap(), plain.se.unwrap()));
    }

    #[test]
    fn repeating_a_trial_adds_no_information(values in scores(2), trials in 2..6_u64) {
        let mut once = ClusterMean::new();
        let mut often = ClusterMean::new();
        for &value in &values {
            once.push(value, 1).unwrap();
            often.push(value * trials as f64, trials).unwrap();
        }
        let se = |mean: ClusterMean| mean.estimate(0.95).unwrap().se.unwrap();
        prop_assert!(close(se(once), se(often)));
    }

    #[test]
    fn tests_are_antisymmetric(a in scores(2), b in scores(2)) {
        for &test in INDEPENDENT {
            antisymmetric(test, &a, &b);
        }
        let n = a.len().min(b.len());
        for &test in PAIRED {
            antisymmetric(test, &a[..n], &b[..n]);
        }
    }

    #[test]
    fn bootstrap_intervals_hold_the_estimate(values in scores(5), seed in any::<u64>()) {
        let options = BootstrapOptions { seed, resamples: 500, ..BootstrapOptions::default() };
        let result = bootstrap::mean(&values, options).unwrap();
        let interval = result.interval.unwrap();
        prop_assert!(interval.low <= result.effect + 1e-12 && result.effect <= interval.high + 1e-12, "{:?}", result);
        let range = Moments::from_slice(&values).unwrap();
        prop_assert!(interval.low >= range.min().unwrap() - 1e-12 && interval.high <= range.max().unwrap() + 1e-12);
    }

    #[test]
    fn rates_stay_rates(c1 in 0..50_u64, extra1 in 0..50_u64, c2 in 0..50_u64, extra2 in 1..50_u64) {
        let (control, treatment) = (Rate::new(c1, (c1 + extra1).max(1)).unwrap(), Rate::new(c2, c2 + extra2).unwrap());
        let own = wilson(control, 0.95).unwrap().interval.unwrap();
        prop_assert!(own.low >= 0.0 && own.high <= 1.0 && own.contains(control.value()));
        let both = newcombe(control, treatment, 0.95).unwrap();
        let interval = both.interval.unwrap();
        prop_assert!(interval.low >= -1.0 && interval.high <= 1.0 && interval.contains(both.value));
        let p = fisher_exact(control, treatment, TestOptions::default()).unwrap().p_value;
        prop_assert!((0.0..=1.0).contains(&p) && close(p, fisher_exact(treatment, control, TestOptions::default()).unwrap().p_value));
    }

    #[test]
    fn corrections_are_ordered(p in prop::collection::vec(0.0..=1.0_f64, 0..30)) {
        let adjusted = |correction| adjust(&p, correction).unwrap();
        let (bonferroni, holm, bh) = (adjusted(Correction::Bonferroni), adjusted(Correction::Holm), adjusted(Correction::BenjaminiHochberg));
        for i in 0..p.len() {
            prop_assert!(p[i] <= bh[i] + 1e-12 && bh[i] <= holm[i] + 1e-12 && holm[i] <= bonferroni[i] + 1e-12);
            prop_assert!(bonferroni[i] <= 1.0);
        }
    }

    #[test]
    fn agreement_is_at_most_one(labels in prop::collection::vec((0..4_usize, 0..4_usize), 2..60)) {
        let (a, b): (Vec<usize>, Vec<usize>) = labels.iter().copied().unzip();
        for weights in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
            let (Ok(there), Ok(back)) = (
                cohen_kappa(&confusion_matrix(&a, &b, 4).unwrap(), weights, 0.95),
                cohen_kappa(&confusion_matrix(&b, &a, 4).unwrap(), weights, 0.95),
            ) else { continue };
            prop_assert!(there.value <= 1.0 + 1e-12 && close(there.value, back.value));
            prop_assert!(close(there.se.unwrap(), back.se.unwrap()));
        }
        let units: Vec<Vec<f64>> = labels.iter().map(|&(a, b)| vec![a as f64, b as f64]).collect();
        for metric in [AlphaMetric::Nominal, AlphaMetric::Ordinal, AlphaMetric::Interval] {
            if let Ok(alpha) = krippendorff_alpha(&units, metric, 0.95) {
                prop_assert!(alpha.value <= 1.0 + 1e-12 && alpha.se.is_none_or(f64::is_finite));
            }
        }
    }

    #[test]
    fn distances_are_symmetric_and_bounded(a in scores(1), b in scores(1)) {
        let (there, back) = (drift::ks(&a, &b).unwrap(), drift::ks(&b, &a).unwrap());
        prop_assert!(close(there.statistic, back.statistic) && close(there.p_value, back.p_value));
        prop_assert!((0.0..=1.0).contains(&there.p_value));
        for result in [drift::psi::psi_samples(&a, &b, 5, 0.95).unwrap(), drift::jensen_shannon_samples(&a, &b, 5, 0.95).unwrap()] {
            prop_assert!(result.effect >= 0.0 && (0.0..=1.0).contains(&result.p_value));
            prop_assert!(result.interval.unwrap().contains(result.effect));
        }
        prop_assert!(drift::jensen_shannon_samples(&a, &b, 5, 0.95).unwrap().effect <= 1.0);
    }

    #[test]
    fn nothing_is_ever_nan(a in extreme(), b in extreme()) {
        let options = TestOptions::default();
        let n = a.len().min(b.len());
        let quick = BootstrapOptions { resamples: 100, ..BootstrapOptions::default() };
        for &test in PAIRED {
            not_nan(test(&a[..n], &b[..n], options));
        }
        for &test in INDEPENDENT {
            not_nan(test(&a, &b, options));
        }
        not_nan(bootstrap::paired_difference(&a[..n], &b[..n], quick));
        not_nan(bootstrap::difference(&a, &b, quick));
        not_nan(drift::ks(&a, &b));
        not_nan(spearman(&a[..n], &b[..n], options));
        not_nan(quantile_difference(&a, &b, 0.5, options));
        let (left, right) = (Moments::from_slice(&a).unwrap(), Moments::from_slice(&b).unwrap());
        not_nan(relative_difference(&left, &right, options));
        not_nan(msprt(&left, &right, 0.1, options));
        let early = AsymptoticOptions { min_per_arm: 2, ..AsymptoticOptions::default() };
        not_nan(asymptotic::difference(&left, &right, early));
        let pairs = PairMoments::from_slices(&a[..n], &b[..n]).unwrap();
        not_nan(cuped(&pairs, &pairs, options).map(|outcome| outcome.result));
        not_nan(ratio_difference(&pairs, &pairs, options));
        if let Ok(estimate) = ppi_mean(&pairs, &left, PpiWeight::Tuned, 0.95) {
            prop_assert!(estimate.value.is_finite() && estimate.se.is_none_or(f64::is_finite), "{:?}", estimate);
        }
    }
}
