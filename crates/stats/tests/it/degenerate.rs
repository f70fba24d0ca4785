//! Inputs at the edge: none, one, equal, tied, not finite. A defined answer or a named error, never NaN.

use llmops_stats::bootstrap::{self, BootstrapOptions};
use llmops_stats::cluster::{ClusterMean, Part, weighted_mean};
use llmops_stats::mcnemar::{McNemarMethod, PairedTable, mcnemar};
use llmops_stats::moments::Moments;
use llmops_stats::power::{self, ProportionMethod, Target};
use llmops_stats::proportion::{Rate, ZVariance, two_proportion_z};
use llmops_stats::{Result, StatsError, TestOptions, TestResult, sign_test::sign_test, t_test};

const NAN: f64 = f64::NAN;

type PairTest = fn(&[f64], &[f64]) -> Result<TestResult>;

const PAIRED: &[(&str, PairTest)] = &[
    ("paired t", |a, b| t_test::paired(a, b, TestOptions::default())),
    ("sign", |a, b| sign_test(a, b, TestOptions::default())),
    ("bootstrap", |a, b| bootstrap::paired_difference(a, b, BootstrapOptions::default())),
];

const INDEPENDENT: &[(&str, PairTest)] = &[
    ("welch", |a, b| t_test::welch(a, b, TestOptions::default())),
    ("student", |a, b| t_test::student(a, b, TestOptions::default())),
    ("bootstrap", |a, b| bootstrap::difference(a, b, BootstrapOptions::default())),
];

fn all() -> impl Iterator<Item = &'static (&'static str, PairTest)> {
    PAIRED.iter().chain(INDEPENDENT)
}

fn finite(name: &str, result: &TestResult) {
    let interval = result.interval.map_or((0.0, 0.0), |interval| (interval.low, interval.high));
    for number in [result.statistic, result.p_value, result.effect, interval.0, interval.1] {
        assert!(number.is_finite(), "{name}: {result:?}");
    }
    assert!((0.0..=1.0).contains(&result.p_value), "{name}: {result:?}");
}

#[test]
fn not_finite_is_refused_with_its_index() {
    for (name, test) in all() {
        for bad in [NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = test(&[1.0, 2.0, 3.0], &[1.0, 2.0, bad]);
            assert_eq!(refused, Err(StatsError::NotFinite { index: 2 }), "{name}");
        }
    }
}

#[test]
fn few_values_have_an_answer_or_a_named_error() {
    for (name, test) in all() {
        for n in 0..3_usize {
            let (control, treatment) = (&[0.1, 0.2, 0.3][..n], &[0.3, 0.1, 0.5][..n]);
            match test(control, treatment) {
                Ok(result) => finite(name, &result),
                Err(error) => assert!(matches!(error, StatsError::TooFew { .. }), "{name} {n}: {error}"),
            }
        }
    }
}

#[test]
fn equal_values_are_no_evidence() {
    for (name, test) in all() {
        let result = test(&[0.7; 30], &[0.7; 30]).unwrap();
        finite(name, &result);
        assert_eq!((result.p_value, result.effect), (1.0, 0.0), "{name}");
    }
}

#[test]
fn a_constant_shift_is_an_answer_or_no_variation() {
    for (name, test) in all() {
        match test(&[0.5; 30], &[0.75; 30]) {
            Ok(result) => finite(name, &result),
            Err(error) => assert!(matches!(error, StatsError::NoVariation { .. }), "{name}: {error}"),
        }
    }
}

#[test]
fn paired_tests_refuse_unequal_lengths() {
    for (name, test) in PAIRED {
        let refused = test(&[1.0, 2.0], &[1.0]);
        assert_eq!(refused, Err(StatsError::LengthMismatch { left: 2, right: 1 }), "{name}");
    }
}

#[test]
fn means_of_nothing_and_of_one() {
    assert!(matches!(Moments::new().mean_estimate(0.95), Err(StatsError::TooFew { .. })));
    assert!(matches!(ClusterMean::new().estimate(0.95), Err(StatsError::TooFew { .. })));
    let mut one = ClusterMean::new();
    one.push_values(&[0.5, 0.7]).unwrap();
    let estimate = one.estimate(0.95).unwrap();
    assert_eq!((estimate.value, estimate.se, estimate.interval), (0.6, None, None));
    let unknown = weighted_mean(&[Part::new(1.0, &estimate)], 0.95).unwrap();
    assert_eq!((unknown.value, unknown.interval), (0.6, None));
    assert!(weighted_mean(&[Part::new(0.0, &estimate)], 0.95).is_err());
    assert!(weighted_mean(&[Part::new(NAN, &estimate)], 0.95).is_err());
}

#[test]
fn rates_at_the_ends() {
    let rate = |successes| Rate::new(successes, 10).unwrap();
    let z = |a, b, variance| two_proportion_z(rate(a), rate(b), variance, TestOptions::default());
    for same in [0, 10] {
        assert_eq!(z(same, same, ZVariance::Pooled).unwrap().p_value, 1.0);
        assert_eq!(z(same, same, ZVariance::Unpooled).unwrap().p_value, 1.0);
    }
    finite("pooled", &z(0, 10, ZVariance::Pooled).unwrap());
    assert!(matches!(z(0, 10, ZVariance::Unpooled), Err(StatsError::NoVariation { .. })));
}

#[test]
fn mcnemar_without_flips() {
    let table = PairedTable { both: 3, neither: 2, ..PairedTable::default() };
    for method in
        [McNemarMethod::Exact, McNemarMethod::MidP, McNemarMethod::ChiSquared, McNemarMethod::ChiSquaredCorrected]
    {
        let result = mcnemar(table, method, TestOptions::default()).unwrap();
        finite("mcnemar", &result);
        assert_eq!(result.p_value, 1.0);
        assert!(mcnemar(PairedTable::default(), method, TestOptions::default()).is_err());
    }
}

#[test]
fn plans_without_an_answer_say_so() {
    let target = Target::default();
    assert!(power::two_proportions_n(0.5, 0.5, ProportionMethod::Arcsine, target).is_err());
    assert!(power::two_proportions_n(0.5, NAN, ProportionMethod::Arcsine, target).is_err());
    assert!(power::two_proportions_n(0.5, 0.6, ProportionMethod::Arcsine, Target { alpha: 0.9, power: 0.5 }).is_err());
    assert!(power::paired_n(0.0, 1.0, target).is_err());
    assert!(power::paired_n(1e-200, 1.0, target).is_err());
    assert_eq!(power::paired_mde(10, 0.0, target).unwrap(), 0.0);
    assert!(power::paired_mde(2, 0.3, target).unwrap() > 1.0, "two pairs detect next to nothing");
    let (down, up) = power::two_proportions_mde(0.99, 10, ProportionMethod::Arcsine, target).unwrap();
    assert!(down.is_some() && up.is_none());
}

#[test]
fn levels_outside_the_unit_interval_are_refused() {
    for (name, test) in [("paired", t_test::paired as fn(&[f64], &[f64], TestOptions) -> _), ("sign", sign_test)] {
        for level in [0.0, 1.0, NAN, -1.0] {
            let refused: Result<TestResult> = test(&[1.0, 2.0, 3.0], &[2.0, 2.5, 3.0], TestOptions::at_level(level));
            assert!(matches!(refused, Err(StatsError::OutOfRange { what: "level", .. })), "{name}");
        }
    }
}

#[test]
fn results_survive_json() {
    let result = t_test::paired(&[1.0, 2.0, 3.5], &[1.5, 2.0, 5.0], TestOptions::default()).unwrap();
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<TestResult>(&text).unwrap(), result);
    assert!(text.contains("\"paired_t\""), "{text}");
    let empty = serde_json::to_string(&Moments::new()).unwrap();
    assert_eq!(serde_json::from_str::<Moments>(&empty).unwrap(), Moments::new());
}
