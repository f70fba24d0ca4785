//! Inputs at the edge: none, one, equal, tied, not finite. A defined answer or a named error, never NaN.

use llmops_stats::agreement::{
    AlphaMetric, KappaWeights, cohen_kappa, confusion_matrix, fleiss_kappa, krippendorff_alpha, spearman,
};
use llmops_stats::bayes::{self, BetaPrior, NormalPrior};
use llmops_stats::bootstrap::{self, BootstrapOptions};
use llmops_stats::bounded::{self, Range};
use llmops_stats::cluster::{ClusterMean, Part, weighted_mean};
use llmops_stats::contingency::{chi_squared, chi_squared_rates, fisher_exact};
use llmops_stats::cuped::cuped;
use llmops_stats::drift::{self, Adwin, AdwinOptions, Cusum, Ewma, PageHinkley, PageHinkleyOptions, Reference};
use llmops_stats::mann_whitney::{RankMethod, mann_whitney};
use llmops_stats::mcnemar::{McNemarMethod, PairedTable, mcnemar};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::multiple::{Correction, adjust};
use llmops_stats::power::{self, ProportionMethod, Target};
use llmops_stats::ppi::{PpiWeight, ppi_mean, ppi_scores};
use llmops_stats::proportion::{Rate, ZVariance, two_proportion_z};
use llmops_stats::quantile::{quantile, quantile_difference};
use llmops_stats::ratio::{ratio, ratio_difference, relative_difference};
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};
use llmops_stats::sequential::betting::BettingSequence;
use llmops_stats::sequential::group::GroupSequential;
use llmops_stats::sequential::{mixture, msprt::msprt};
use llmops_stats::srm::sample_ratio_mismatch;
use llmops_stats::wilcoxon::signed_rank;
use llmops_stats::winsor::{clip, winsorize};
use llmops_stats::{Estimate, Result, StatsError, TestOptions, TestResult, sign_test::sign_test, t_test};

const NAN: f64 = f64::NAN;

type PairTest = fn(&[f64], &[f64]) -> Result<TestResult>;

const PAIRED: &[(&str, PairTest)] = &[
    ("Wilcoxon", |a, b| signed_rank(a, b, RankMethod::Auto, TestOptions::default())),
    ("Wilcoxon, asymptotic", |a, b| signed_rank(a, b, RankMethod::Asymptotic, TestOptions::default())),
    ("paired t", |a, b| t_test::paired(a, b, TestOptions::default())),
    ("sign", |a, b| sign_test(a, b, TestOptions::default())),
    ("bootstrap", |a, b| bootstrap::paired_difference(a, b, BootstrapOptions::default())),
];

#[test]
fn a_clear_step_of_coarse_values_is_told_and_an_unclear_one_is_not() {
    let arm =
        |fast: usize| -> Vec<f64> { (0..2000).map(|i| if i < fast { 4.0 } else { 5.0 }).chain([1.0, 9.0]).collect() };
    let check = |control: usize, treatment: usize, at_most: f64, at_least: f64| {
        let (before, after) = (arm(control), arm(treatment));
        let values = quantile_difference(&before, &after, 0.95, TestOptions::default()).unwrap();
        let single = |values: &[f64]| {
            let mut sketch = llmops_stats::sketch::Sketch::default();
            for value in values {
                sketch.add(*value).unwrap();
            }
            llmops_stats::quantile::sketched(&[sketch], 0.95, true).unwrap()
        };
        let sketched =
            llmops_stats::quantile::difference_of(&single(&before), &single(&after), TestOptions::default()).unwrap();
        for result in [values, sketched] {
            assert!((result.effect - 1.0).abs() < 0.1, "{result:?}");
            assert!(result.p_value <= at_most && result.p_value >= at_least, "{result:?}");
        }
    };
    check(1980, 1700, 0.01, 0.0);
    check(1905, 1895, 1.0, 0.05);
}

const INDEPENDENT: &[(&str, PairTest)] = &[
    ("Mann-Whitney", |a, b| mann_whitney(a, b, RankMethod::Auto, TestOptions::default())),
    ("Mann-Whitney, asymptotic", |a, b| mann_whitney(a, b, RankMethod::Asymptotic, TestOptions::default())),
    ("median difference", |a, b| quantile_difference(a, b, 0.5, TestOptions::default())),
    ("relative difference", |a, b| {
        relative_difference(&Moments::from_slice(a)?, &Moments::from_slice(b)?, TestOptions::default())
    }),
    ("asymptotic confidence sequence", |a, b| {
        asymptotic::difference(&Moments::from_slice(a)?, &Moments::from_slice(b)?, AsymptoticOptions::default())
    }),
    ("mSPRT", |a, b| msprt(&Moments::from_slice(a)?, &Moments::from_slice(b)?, 0.1, TestOptions::default())),
    ("Kolmogorov-Smirnov", drift::ks),
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
    let heavy = |weight| {
        let part = |value| Part { weight, value, se: Some(0.1), df: Some(9.0), n: 10, room: [0.0; 2] };
        let mean = weighted_mean(&[part(0.2), part(0.8)], 0.95).unwrap();
        (mean.value, mean.se.unwrap(), mean.df.unwrap())
    };
    for weight in [f64::MIN_POSITIVE, 1e-9, 1e300, f64::MAX] {
        assert_eq!(heavy(weight), heavy(1.0), "{weight}");
    }
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

#[test]
fn rank_tests_refuse_an_exact_distribution_that_is_too_large() {
    let many: Vec<f64> = (0..300).map(f64::from).collect();
    let refused = mann_whitney(&many, &many, RankMethod::Exact, TestOptions::default());
    assert!(matches!(refused, Err(StatsError::OutOfRange { what: "observations", .. })));
    let shifted: Vec<f64> = many.iter().map(|value| value + 1.0).collect();
    let refused = signed_rank(&many, &shifted, RankMethod::Exact, TestOptions::default());
    assert!(matches!(refused, Err(StatsError::OutOfRange { what: "differences", .. })));
    // A hundred thousand values a side: neither differences nor averages are listed.
    let many: Vec<f64> = (0..100_000).map(|i| f64::from(i * 7919 % 100_003)).collect();
    let shifted: Vec<f64> = many.iter().map(|value| value + 2.0).collect();
    let result = mann_whitney(&many, &shifted, RankMethod::Auto, TestOptions::default()).unwrap();
    assert_eq!(result.effect, 2.0);
    let result = signed_rank(&many, &shifted, RankMethod::Auto, TestOptions::default()).unwrap();
    assert_eq!(result.effect, 2.0);
}

#[test]
fn contingency_tables_at_the_edge() {
    let rate = |successes| Rate::new(successes, 10).unwrap();
    for same in [0, 10] {
        for result in [
            chi_squared_rates(rate(same), rate(same), true, TestOptions::default()).unwrap(),
            fisher_exact(rate(same), rate(same), TestOptions::default()).unwrap(),
        ] {
            finite("table", &result);
            assert_eq!((result.p_value, result.effect), (1.0, 0.0));
        }
    }
    finite("apart", &fisher_exact(rate(0), rate(10), TestOptions::default()).unwrap());
    let single = chi_squared(&[vec![3, 4], vec![0, 0]]).unwrap();
    assert_eq!((single.statistic, single.p_value, single.effect), (0.0, 1.0, 0.0));
    assert!(chi_squared(&[]).is_err());
    assert!(chi_squared(&[vec![0, 0]]).is_err());
    assert_eq!(chi_squared(&[vec![1, 2], vec![1]]), Err(StatsError::LengthMismatch { left: 2, right: 1 }));
}

#[test]
fn splits_at_the_edge() {
    assert_eq!(sample_ratio_mismatch(&[10, 0], &[1.0, 0.0]).unwrap().p_value, 1.0);
    for (units, weights) in [
        (&[0, 0][..], &[0.5, 0.5][..]),
        (&[5, 5], &[0.0, 0.0]),
        (&[5, 5], &[0.5, -0.5]),
        (&[5, 5], &[0.5, NAN]),
        (&[5], &[0.5, 0.5]),
        (&[], &[]),
    ] {
        assert!(sample_ratio_mismatch(units, weights).is_err(), "{units:?} {weights:?}");
    }
    assert!(quantile(&[], 0.5).is_err() && quantile(&[1.0], 1.5).is_err());
    assert_eq!(quantile(&[1.0], 0.9).unwrap(), 1.0);
    assert!(winsorize(&[], 0.0, 1.0).is_err() && winsorize(&[1.0], 0.9, 0.1).is_err());
    assert!(clip(&[NAN], 0.0, 1.0).is_err() && clip(&[0.5], 1.0, 0.0).is_err());
    assert_eq!(adjust(&[], Correction::Holm).unwrap(), Vec::<f64>::new());
    assert!(adjust(&[1.1], Correction::Holm).is_err() && adjust(&[NAN], Correction::Holm).is_err());
}

#[test]
fn bounded_means_at_the_edge() {
    let interval = |values: &[f64]| {
        let mean = Moments::from_slice(values).unwrap().mean_estimate(0.95).unwrap();
        let interval = bounded::mean(&mean, Range::UNIT, 0.95).unwrap().interval.unwrap();
        ((interval.low * 1e4).round() / 1e4, (interval.high * 1e4).round() / 1e4)
    };
    assert_eq!(interval(&[1.0; 20]), (0.8316, 1.0));
    assert_eq!(interval(&[0.0; 3]), (0.0, 0.7076));
    assert_eq!(interval(&[0.5; 2]), (0.0791, 0.9209));
    // Half the range is the most that a single value can be from its mean.
    assert!(interval(&[1.0]).0 < 0.0);
    let beyond = Moments::from_slice(&[1.5; 3]).unwrap().mean_estimate(0.95).unwrap();
    assert!(matches!(bounded::mean(&beyond, Range::UNIT, 0.95), Err(StatsError::OutOfRange { .. })));
    assert!(matches!(Range::new(f64::NAN, 1.0), Err(StatsError::OutOfRange { .. })));
}

#[test]
fn few_labels_feign_no_certainty() {
    let judge = Moments::from_slice(&[0.8, 0.9, 0.7, 0.85, 0.75, 0.9, 0.8]).unwrap();
    let interval = |f: &[f64], y: &[f64]| {
        let labelled = PairMoments::from_slices(f, y).unwrap();
        let interval = ppi_scores(&labelled, &judge, Range::UNIT, 0.95).unwrap().interval.unwrap();
        (interval.low.max(0.0), interval.high.min(1.0))
    };
    for (f, y) in [(vec![0.9, 0.8, 0.7], vec![1.0; 3]), (vec![0.8; 3], vec![1.0; 3]), (vec![0.9, 0.8], vec![1.0, 0.0])]
    {
        let (low, high) = interval(&f, &y);
        assert!(high - low > 0.7, "{f:?} {y:?}: {low} {high}");
    }
    // Labels between the ends that scatter have Student's interval.
    let labelled = PairMoments::from_slices(&[0.9, 0.8, 0.7, 0.6], &[0.7, 0.65, 0.5, 0.35]).unwrap();
    let tuned = ppi_mean(&labelled, &judge, PpiWeight::Tuned, 0.95).unwrap();
    assert_eq!(ppi_scores(&labelled, &judge, Range::UNIT, 0.95).unwrap(), tuned);
}

#[test]
fn adjusted_and_ratio_means_at_the_edge() {
    let pairs = |x: &[f64], y: &[f64]| PairMoments::from_slices(x, y).unwrap();
    let (flat, one) = (pairs(&[1.0; 5], &[2.0; 5]), pairs(&[1.0], &[2.0]));
    let outcome = cuped(&flat, &flat, TestOptions::default()).unwrap();
    assert_eq!((outcome.result.p_value, outcome.theta, outcome.variance_reduction), (1.0, 0.0, 0.0));
    assert!(matches!(cuped(&flat, &one, TestOptions::default()), Err(StatsError::TooFew { .. })));
    assert_eq!(ratio_difference(&flat, &flat, TestOptions::default()).unwrap().p_value, 1.0);
    assert!(matches!(ratio_difference(&one, &flat, TestOptions::default()), Err(StatsError::TooFew { .. })));
    assert_eq!(ratio(&one, 0.95).unwrap().interval, None);
    let zero = pairs(&[1.0, 2.0], &[1.0, -1.0]);
    assert!(matches!(ratio(&zero, 0.95), Err(StatsError::OutOfRange { .. })));
    assert!(matches!(ratio(&PairMoments::new(), 0.95), Err(StatsError::TooFew { .. })));
    let labels = ppi_mean(&flat, &Moments::new(), PpiWeight::Tuned, 0.95).unwrap();
    assert_eq!((labels.value, labels.se), (2.0, Some(0.0)));
    let single = ppi_mean(&flat, &Moments::from_slice(&[0.5]).unwrap(), PpiWeight::Full, 0.95).unwrap();
    assert_eq!(single.value, 1.5);
    assert!(ppi_mean(&one, &Moments::new(), PpiWeight::Full, 0.95).is_err());
}

#[test]
fn posteriors_at_the_edge() {
    let flat = Moments::from_slice(&[0.5; 10]).unwrap();
    let posterior = bayes::normal(&flat, &flat, None, 0.95).unwrap();
    assert_eq!((posterior.chance_to_win, posterior.effect), (0.5, 0.0));
    let shifted = Moments::from_slice(&[0.75; 10]).unwrap();
    assert!(matches!(bayes::normal(&flat, &shifted, None, 0.95), Err(StatsError::NoVariation { .. })));
    let prior = |mean, sd| Some(NormalPrior { mean, sd });
    assert!(bayes::normal(&flat, &flat, prior(0.0, 0.0), 0.95).is_err());
    assert!(bayes::normal(&flat, &flat, prior(NAN, 1.0), 0.95).is_err());
    let rate = |successes, n| Rate::new(successes, n).unwrap();
    for (a, b) in [(rate(0, 1), rate(1, 1)), (rate(0, 100_000), rate(100_000, 100_000)), (rate(7, 7), rate(7, 7))] {
        let posterior = bayes::beta(a, b, BetaPrior { alpha: 0.5, beta: 0.5 }, 0.95).unwrap();
        let parts = [posterior.chance_to_win, posterior.loss_of_treatment, posterior.loss_of_control];
        assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)), "{posterior:?}");
        assert!(posterior.interval.low <= posterior.interval.high);
    }
    assert!(bayes::beta(rate(1, 2), rate(1, 2), BetaPrior { alpha: 0.0, beta: 1.0 }, 0.95).is_err());
}

#[test]
fn sequences_at_the_edge() {
    assert!(mixture::mean(&Moments::new(), 100.0, 0.95).is_err());
    assert!(mixture::mean(&Moments::from_slice(&[2.0]).unwrap(), 100.0, 0.95).is_err());
    let one = Moments::from_slice(&[1.0]).unwrap();
    let zero = Moments::from_slice(&[0.0]).unwrap();
    finite("mixture", &mixture::difference(&zero, &one, 100.0, 0.95).unwrap());
    let (zeros, ones) = (Moments::from_rate(0, 1_000_000).unwrap(), Moments::from_rate(1_000_000, 1_000_000).unwrap());
    let decided = mixture::difference(&zeros, &ones, 100.0, 0.95).unwrap();
    finite("mixture", &decided);
    assert!(decided.p_value < 1e-6);
    let mut betting = BettingSequence::new(0.95).unwrap();
    for _ in 0..10_000 {
        betting.push(1.0).unwrap();
    }
    let interval = betting.interval();
    assert!(interval.low > 0.99 && interval.high == 1.0, "{interval}");
    for fractions in [&[][..], &[0.5, 0.5], &[0.5, 1.1], &[0.0, 1.0], &[NAN]] {
        assert!(GroupSequential::new(fractions, 0.05).is_err(), "{fractions:?}");
    }
    let design = GroupSequential::new(&[0.001, 1.0], 0.05).unwrap();
    assert!(design.boundaries().iter().all(|boundary| boundary.is_finite()));
    assert!(design.look(0, 1.0, 0.0, 10).is_err());
    assert!(asymptotic::effect((100, 100), NAN, 1.0, AsymptoticOptions::default()).is_err());
    assert!(asymptotic::effect((100, 100), 0.1, -1.0, AsymptoticOptions::default()).is_err());
    assert!(asymptotic::mean(&Moments::new(), AsymptoticOptions::default()).is_err());
}

#[test]
fn agreement_at_the_edge() {
    let kappa = |table: &[Vec<u64>]| cohen_kappa(table, KappaWeights::Linear, 0.95);
    assert!(matches!(kappa(&[vec![5, 0], vec![0, 0]]), Err(StatsError::NoVariation { .. })));
    assert!(matches!(kappa(&[]), Err(StatsError::TooFew { .. })));
    assert!(matches!(kappa(&[vec![1, 2]]), Err(StatsError::LengthMismatch { .. })));
    assert_eq!(kappa(&[vec![5, 0], vec![0, 5]]).unwrap().value, 1.0);
    let ends = |found: Estimate| found.interval.map(|i| ((i.low * 1e3).round() / 1e3, (i.high * 1e3).round() / 1e3));
    // Agreement in all of ten tells of at least 69 %, and chance alone of half.
    assert_eq!(ends(kappa(&[vec![5, 0], vec![0, 5]]).unwrap()), Some((0.383, 1.0)));
    // A judge who passes everything says nothing, and four answers do not tell how little.
    assert_eq!(ends(kappa(&[vec![0, 1], vec![0, 3]]).unwrap()), Some((-1.0, 1.0)));
    let all = fleiss_kappa(&[vec![3, 0], vec![0, 3], vec![3, 0], vec![0, 3]], 0.95).unwrap();
    assert_eq!((all.value, ends(all)), (1.0, Some((-0.205, 1.0))));
    assert!(confusion_matrix(&[2], &[0], 2).is_err());
    assert!(matches!(fleiss_kappa(&[], 0.95), Err(StatsError::TooFew { .. })));
    assert!(matches!(fleiss_kappa(&[vec![1, 0]], 0.95), Err(StatsError::TooFew { .. })));
    assert!(matches!(fleiss_kappa(&[vec![2, 0], vec![2, 0]], 0.95), Err(StatsError::NoVariation { .. })));
    assert!(matches!(fleiss_kappa(&[vec![2, 0], vec![1, 2]], 0.95), Err(StatsError::OutOfRange { .. })));
    assert_eq!(fleiss_kappa(&[vec![1, 1]], 0.95).unwrap().interval, None);
    for metric in [AlphaMetric::Nominal, AlphaMetric::Ordinal, AlphaMetric::Interval] {
        let alpha = |units: &[Vec<f64>]| krippendorff_alpha(units, metric, 0.95);
        assert!(matches!(alpha(&[]), Err(StatsError::TooFew { .. })));
        assert!(matches!(alpha(&[vec![1.0], vec![]]), Err(StatsError::TooFew { .. })));
        assert!(matches!(alpha(&[vec![1.0, 1.0], vec![1.0, 1.0]]), Err(StatsError::NoVariation { .. })));
        assert!(matches!(alpha(&[vec![1.0, NAN]]), Err(StatsError::NotFinite { index: 1 })));
        assert_eq!(alpha(&[vec![1.0, 1.0], vec![2.0, 2.0]]).unwrap().value, 1.0);
        assert_eq!(alpha(&[vec![1.0, 2.0]]).unwrap().interval, None);
    }
    let ranks = |x: &[f64], y: &[f64]| spearman(x, y, TestOptions::default());
    assert!(matches!(ranks(&[1.0; 4], &[1.0, 2.0, 3.0, 4.0]), Err(StatsError::NoVariation { .. })));
    assert!(matches!(ranks(&[1.0; 2], &[1.0, 2.0]), Err(StatsError::TooFew { .. })));
    for sign in [1.0, -1.0] {
        let perfect = ranks(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0].map(|value| sign * value)).unwrap();
        finite("Spearman", &perfect);
        assert!((perfect.effect - sign).abs() < 1e-12 && perfect.p_value < 1e-9);
    }
}

#[test]
fn detectors_at_the_edge() {
    let reference = Reference::new(0.5, 0.1).unwrap();
    let mut ewma = Ewma::new(reference, 0.2, 3.0).unwrap();
    let mut cusum = Cusum::new(reference, 0.5, 5.0).unwrap();
    let mut page_hinkley = PageHinkley::new(PageHinkleyOptions::default()).unwrap();
    let mut adwin = Adwin::new(AdwinOptions::default()).unwrap();
    for _ in 0..1_000 {
        assert_eq!(ewma.push(0.5).unwrap(), None);
        assert_eq!(cusum.push(0.5).unwrap(), None);
        assert_eq!(page_hinkley.push(0.5).unwrap(), None);
        assert_eq!(adwin.push(0.5).unwrap(), None);
    }
    let before = (ewma, cusum, page_hinkley, adwin.clone());
    for bad in [NAN, f64::INFINITY] {
        let refused = Err(StatsError::NotFinite { index: 1_000 });
        assert_eq!(
            [ewma.push(bad), cusum.push(bad), page_hinkley.push(bad), adwin.push(bad)],
            [(); 4].map(|()| refused.clone())
        );
    }
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!((ewma, cusum, page_hinkley, adwin), before, "a refused value leaves no trace");
    assert_eq!(serde_json::from_str::<(Ewma, Cusum, PageHinkley, Adwin)>(&text).unwrap(), before);
    assert!(drift::psi::psi(&[0, 0], &[1, 1], 0.95).is_err() && drift::psi::psi(&[1], &[1, 1], 0.95).is_err());
    assert!(drift::jensen_shannon(&[0, 0], &[1, 1], 0.95).is_err());
    let constant = drift::psi::psi_samples(&[0.5; 10], &[0.5; 10], 10, 0.95).unwrap();
    assert_eq!((constant.effect, constant.df, constant.p_value), (0.0, Some(0.0), 1.0));
    assert!(drift::psi::psi_samples(&[], &[0.5], 10, 0.95).is_err());
    assert!(drift::psi::psi_samples(&[0.5], &[0.5], 10, 1.0).is_err());
    assert!(drift::ks_many(&[], 0.05).unwrap().is_empty());
}
