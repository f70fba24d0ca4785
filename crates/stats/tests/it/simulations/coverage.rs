//! Nominal 95 % intervals cover the truth: at least 94 % averaged over the designs, bootstraps at least 92 % each.
#![expect(clippy::unwrap_used, reason = "a design that errors is a failed test")]

use super::{Draw, times};
use llmops_stats::Interval;
use llmops_stats::agreement::{AlphaMetric, KappaWeights, cohen_kappa, fleiss_kappa, krippendorff_alpha, spearman};
use llmops_stats::bootstrap::{self, BootstrapKind, BootstrapOptions};
use llmops_stats::bounded::{self, Range};
use llmops_stats::cluster::{ClusterMean, Part, weighted_mean};
use llmops_stats::cuped::cuped;
use llmops_stats::mann_whitney::{RankMethod, mann_whitney};
use llmops_stats::mcnemar::{McNemarMethod, PairedTable, mcnemar};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::ppi::{PpiWeight, ppi_mean, ppi_scores};
use llmops_stats::proportion::{Rate, newcombe, wilson};
use llmops_stats::quantile::quantile_difference;
use llmops_stats::ratio::{ratio_difference, relative_difference};
use llmops_stats::sign_test::sign_test;
use llmops_stats::wilcoxon::signed_rank;
use llmops_stats::{TestOptions, bayes, t_test};

type Design = (&'static str, f64, fn(&mut Draw) -> Option<Interval>);

const PLAIN: fn() -> TestOptions = TestOptions::default;

fn rate(draw: &mut Draw, n: u64, p: f64) -> Rate {
    Rate::new((0..n).filter(|_| draw.hit(p)).count() as u64, n).unwrap()
}

fn moments(draw: &mut Draw, n: usize, one: fn(&mut Draw) -> f64) -> Moments {
    Moments::from_slice(&draw.many(n, one)).unwrap()
}

/// Samples of two to six trials around a level of their own, with mean 0.5.
fn clusters(draw: &mut Draw, n: usize) -> Vec<(f64, u64)> {
    (0..n)
        .map(|_| {
            let (level, size) = (draw.uniform(), 2 + u64::from(draw.hit(0.5)) * 4);
            (draw.many(usize::try_from(size).unwrap(), |draw| draw.bernoulli(level)).iter().sum(), size)
        })
        .collect()
}

fn cluster_mean(draw: &mut Draw, n: usize) -> ClusterMean {
    let mut mean = ClusterMean::new();
    for (sum, size) in clusters(draw, n) {
        mean.push(sum, size).unwrap();
    }
    mean
}

/// Two raters who see the same truth among three categories and each mistake it in a quarter of the cases; the weights of
/// agreement follow: both right 0.5625, both wrong alike 0.03125, chance 1/3.
fn raters(draw: &mut Draw, n: usize, raters: usize) -> Vec<Vec<usize>> {
    let category = |draw: &mut Draw| usize::from(draw.hit(2.0 / 3.0)) * (1 + usize::from(draw.hit(0.5)));
    (0..n)
        .map(|_| {
            let truth = category(draw);
            (0..raters)
                .map(|_| if draw.hit(0.25) { (truth + 1 + usize::from(draw.hit(0.5))) % 3 } else { truth })
                .collect()
        })
        .collect()
}

const KAPPA: f64 = (0.5625 + 0.031_25 - 1.0 / 3.0) / (1.0 - 1.0 / 3.0);

fn judged(draw: &mut Draw, weight: PpiWeight) -> Option<Interval> {
    let mut pair = || {
        let human = draw.uniform();
        (human + 0.2 + 0.1 * draw.normal(), human)
    };
    let mut labelled = PairMoments::new();
    let mut unlabelled = Moments::new();
    for _ in 0..60 {
        let (judge, human) = pair();
        labelled.push(judge, human).unwrap();
    }
    for _ in 0..600 {
        unlabelled.push(pair().0).unwrap();
    }
    ppi_mean(&labelled, &unlabelled, weight, 0.95).unwrap().interval
}

fn proportional(draw: &mut Draw, n: usize, slope: f64) -> PairMoments {
    let mut pairs = PairMoments::new();
    for _ in 0..n {
        let size = 1.0 + (5.0 * draw.uniform()).floor();
        pairs.push(slope * size + draw.normal(), size).unwrap();
    }
    pairs
}

const DESIGNS: &[Design] = &[
    ("mean, normal, n = 10", 0.0, |draw| moments(draw, 10, Draw::normal).mean_estimate(0.95).unwrap().interval),
    ("mean, uniform, n = 30", 0.5, |draw| moments(draw, 30, Draw::uniform).mean_estimate(0.95).unwrap().interval),
    ("mean, exponential, n = 200", 1.0, |draw| {
        moments(draw, 200, Draw::exponential).mean_estimate(0.95).unwrap().interval
    }),
    ("cluster mean, 40 samples", 0.5, |draw| cluster_mean(draw, 40).estimate(0.95).unwrap().interval),
    ("weighted mean of categories", 0.5, |draw| {
        let parts: Vec<Part> = [(3.0, 15), (1.0, 40), (0.5, 25)]
            .map(|(weight, n)| Part::new(weight, &cluster_mean(draw, n).estimate(0.95).unwrap()))
            .to_vec();
        weighted_mean(&parts, 0.95).unwrap().interval
    }),
    ("Wilson, 0.9 of 50", 0.9, |draw| wilson(rate(draw, 50, 0.9), 0.95).unwrap().interval),
    ("Wilson, 0.5 of 30", 0.5, |draw| wilson(rate(draw, 30, 0.5), 0.95).unwrap().interval),
    ("Newcombe", 0.15, |draw| {
        let (a, b) = (rate(draw, 40, 0.7), rate(draw, 60, 0.85));
        newcombe(a, b, 0.95).unwrap().interval
    }),
    ("Welch", 1.0, |draw| {
        let (a, b) = (draw.many(12, Draw::normal), draw.many(20, |draw| 1.0 + 2.0 * draw.normal()));
        t_test::welch(&a, &b, PLAIN()).unwrap().interval
    }),
    ("paired t", 0.5, |draw| {
        let (a, b) = (draw.many(20, Draw::normal), draw.many(20, |draw| 0.5 + draw.normal()));
        t_test::paired(&a, &b, PLAIN()).unwrap().interval
    }),
    ("Hodges-Lehmann, exact", 0.5, |draw| {
        let (a, b) = (draw.many(8, Draw::normal), draw.many(12, |draw| 0.5 + draw.normal()));
        mann_whitney(&a, &b, RankMethod::Exact, PLAIN()).unwrap().interval
    }),
    ("Hodges-Lehmann, asymptotic", 0.5, |draw| {
        let (a, b) = (draw.many(40, Draw::normal), draw.many(50, |draw| 0.5 + draw.normal()));
        mann_whitney(&a, &b, RankMethod::Asymptotic, PLAIN()).unwrap().interval
    }),
    ("pseudo-median, exact", 0.5, |draw| {
        let (a, b) = (draw.many(15, Draw::normal), draw.many(15, |draw| 0.5 + draw.normal()));
        signed_rank(&a, &b, RankMethod::Exact, PLAIN()).unwrap().interval
    }),
    ("pseudo-median, asymptotic", 0.5, |draw| {
        let (a, b) = (draw.many(60, Draw::normal), draw.many(60, |draw| 0.5 + draw.normal()));
        signed_rank(&a, &b, RankMethod::Asymptotic, PLAIN()).unwrap().interval
    }),
    ("median of the sign test", std::f64::consts::LN_2, |draw| {
        let (a, b) = (vec![0.0; 30], draw.many(30, Draw::exponential));
        sign_test(&a, &b, PLAIN()).unwrap().interval
    }),
    ("McNemar", 0.0, |draw| {
        let mut table = PairedTable::default();
        (0..80).for_each(|_| table.add(draw.hit(0.8), draw.hit(0.8)));
        mcnemar(table, McNemarMethod::MidP, PLAIN()).unwrap().interval
    }),
    ("median difference", 0.3, |draw| {
        let (a, b) = (draw.many(150, Draw::normal), draw.many(200, |draw| 0.3 + draw.normal()));
        quantile_difference(&a, &b, 0.5, PLAIN()).unwrap().interval
    }),
    ("CUPED", 1.0, |draw| {
        let mut arm = |n, lift: f64| {
            let x = draw.many(n, Draw::normal);
            let y: Vec<f64> = x.iter().map(|x| lift + x + draw.normal()).collect();
            PairMoments::from_slices(&x, &y).unwrap()
        };
        let (a, b) = (arm(30, 0.0), arm(40, 1.0));
        cuped(&a, &b, PLAIN()).unwrap().result.interval
    }),
    ("ratio difference", 0.5, |draw| {
        let (a, b) = (proportional(draw, 60, 1.0), proportional(draw, 80, 1.5));
        ratio_difference(&a, &b, PLAIN()).unwrap().interval
    }),
    ("relative difference", 0.1, |draw| {
        let a = moments(draw, 60, |draw| 10.0 + 2.0 * draw.normal());
        let b = moments(draw, 60, |draw| 11.0 + 2.0 * draw.normal());
        relative_difference(&a, &b, PLAIN()).unwrap().interval
    }),
    ("normal posterior", 0.0, |draw| {
        let (a, b) = (moments(draw, 100, Draw::normal), moments(draw, 100, Draw::normal));
        Some(bayes::normal(&a, &b, None, 0.95).unwrap().interval)
    }),
    ("PPI of a judge biased by +0.2", 0.5, |draw| judged(draw, PpiWeight::Full)),
    ("PPI++ of a judge biased by +0.2", 0.5, |draw| judged(draw, PpiWeight::Tuned)),
    ("Cohen's kappa", KAPPA, |draw| {
        let mut table = vec![vec![0; 3]; 3];
        for pair in raters(draw, 150, 2) {
            table[pair[0]][pair[1]] += 1;
        }
        cohen_kappa(&table, KappaWeights::Unweighted, 0.95).unwrap().interval
    }),
    ("Fleiss' kappa", KAPPA, |draw| {
        let counts: Vec<Vec<u64>> = raters(draw, 100, 4)
            .iter()
            .map(|labels| {
                (0..3).map(|category| labels.iter().filter(|label| **label == category).count() as u64).collect()
            })
            .collect();
        fleiss_kappa(&counts, 0.95).unwrap().interval
    }),
    ("Krippendorff's alpha", KAPPA, |draw| {
        let units: Vec<Vec<f64>> =
            raters(draw, 100, 3).iter().map(|labels| labels.iter().map(|label| *label as f64).collect()).collect();
        krippendorff_alpha(&units, AlphaMetric::Nominal, 0.95).unwrap().interval
    }),
    // Normal with Pearson's 0.8: Spearman's is 6/π · asin(0.4).
    ("Spearman", 0.785_938_9, |draw| {
        let x = draw.many(60, Draw::normal);
        let y: Vec<f64> = x.iter().map(|x| 0.8 * x + 0.6 * draw.normal()).collect();
        spearman(&x, &y, PLAIN()).unwrap().interval
    }),
];

fn bootstrap_of(kind: BootstrapKind) -> BootstrapOptions {
    BootstrapOptions { kind, resamples: 400, ..BootstrapOptions::default() }
}

fn exponentials(draw: &mut Draw, kind: BootstrapKind) -> Option<Interval> {
    bootstrap::mean(&draw.many(100, Draw::exponential), bootstrap_of(kind)).unwrap().interval
}

fn bootstrapped_clusters(draw: &mut Draw, kind: BootstrapKind) -> Option<Interval> {
    bootstrap::cluster_mean(&clusters(draw, 100), bootstrap_of(kind)).unwrap().interval
}

fn bootstrapped_pairs(draw: &mut Draw, kind: BootstrapKind) -> Option<Interval> {
    let (a, b) = (draw.many(100, Draw::uniform), draw.many(100, |draw| 0.5 + draw.uniform()));
    bootstrap::paired_difference(&a, &b, bootstrap_of(kind)).unwrap().interval
}

const BOOTSTRAPS: &[Design] = &[
    ("percentile, exponential", 1.0, |draw| exponentials(draw, BootstrapKind::Percentile)),
    ("BCa, exponential", 1.0, |draw| exponentials(draw, BootstrapKind::Bca)),
    ("percentile, clusters", 0.5, |draw| bootstrapped_clusters(draw, BootstrapKind::Percentile)),
    ("BCa, clusters", 0.5, |draw| bootstrapped_clusters(draw, BootstrapKind::Bca)),
    ("percentile, pairs", 0.5, |draw| bootstrapped_pairs(draw, BootstrapKind::Percentile)),
    ("BCa, pairs", 0.5, |draw| bootstrapped_pairs(draw, BootstrapKind::Bca)),
    ("BCa, two samples", 0.5, |draw| {
        let (a, b) = (draw.many(100, Draw::exponential), draw.many(120, |draw| 1.5 * draw.exponential()));
        bootstrap::difference(&a, &b, bootstrap_of(BootstrapKind::Bca)).unwrap().interval
    }),
];

fn coverage((_, truth, interval): &Design, repetitions: u32) -> f64 {
    let covered = times(repetitions, |draw| interval(draw).is_some_and(|interval| interval.contains(*truth)));
    f64::from(covered) / f64::from(repetitions)
}

fn check(repetitions: u32, bootstrap_repetitions: u32) {
    let covered: Vec<(f64, &str)> = DESIGNS.iter().map(|design| (coverage(design, repetitions), design.0)).collect();
    let mean = covered.iter().map(|(covered, _)| covered).sum::<f64>() / covered.len() as f64;
    assert!(mean >= 0.94, "{mean}: {covered:?}");
    for (covered, name) in &covered {
        assert!(*covered >= 0.92, "{name}: {covered}");
    }
    for design in BOOTSTRAPS {
        let covered = coverage(design, bootstrap_repetitions);
        // Within the simulation's own noise of the 92 % promised.
        let noise = 3.0 * (0.92 * 0.08 / f64::from(bootstrap_repetitions)).sqrt();
        assert!(covered >= 0.92 - noise, "{}: {covered}", design.0);
    }
}

#[test]
fn intervals_cover() {
    check(1_000, 400);
}

#[test]
#[ignore = "full simulation"]
fn intervals_cover_in_full() {
    check(10_000, 4_000);
}

/// A judge that is 0.2 too generous throughout: the raw mean is off by 0.2, the corrected interval is not.
#[test]
fn prediction_powered_intervals_cover_in_500_repetitions() {
    for weight in [PpiWeight::Full, PpiWeight::Tuned] {
        let covered = times(500, |draw| judged(draw, weight).unwrap().contains(0.5));
        assert!(covered >= 470, "{weight:?}: {covered} of 500");
    }
}

/// The part of a weighted mean that is the share of ones among n zeros and ones.
fn share_of_ones(ones: u64, n: u64, weight: f64) -> Part {
    let mean = Moments::from_rate(ones, n).unwrap().mean_estimate(0.95).unwrap();
    Part::new(weight, &bounded::mean(&mean, Range::UNIT, 0.95).unwrap())
}

/// How often the interval covers the rate, summed over all counts that n zeros and ones can have.
fn exact_coverage(n: u64, p: f64) -> f64 {
    // The chance of no one; that of k + 1 follows from that of k.
    let mut chance = (1.0 - p).powf(n as f64);
    let mut covered = 0.0;
    for ones in 0..=n {
        let interval = weighted_mean(&[share_of_ones(ones, n, 1.0)], 0.95).unwrap().interval.unwrap();
        covered += if interval.contains(p) { chance } else { 0.0 };
        chance *= (n - ones) as f64 / (ones + 1) as f64 * p / (1.0 - p);
    }
    covered
}

#[test]
fn bounded_means_of_zeros_and_ones_cover_at_every_rate() {
    for n in [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100] {
        for at in 1..200 {
            let p = f64::from(at) / 200.0;
            let covered = exact_coverage(n, p);
            assert!(covered >= 0.94, "{covered} at n = {n}, p = {p}");
        }
    }
    // Student's interval alone covers 0.95 in 64 of 100 cases.
    assert!(exact_coverage(20, 0.95) >= 0.99);
}

/// Categories by size and rate of ones, all weighted differently.
#[track_caller]
fn check_categories(categories: &[(u64, f64)]) {
    let weights = [3.0, 1.0, 2.0, 0.5];
    let weight = |at: usize| weights[at % weights.len()];
    let total: f64 = (0..categories.len()).map(weight).sum();
    let truth = categories.iter().enumerate().map(|(at, (_, p))| weight(at) * p).sum::<f64>() / total;
    let covered = times(2_000, |draw| {
        let parts: Vec<Part> = categories
            .iter()
            .enumerate()
            .map(|(at, (n, p))| share_of_ones(rate(draw, *n, *p).successes(), *n, weight(at)))
            .collect();
        weighted_mean(&parts, 0.95).unwrap().interval.unwrap().contains(truth)
    });
    assert!(covered >= 1_880, "{covered} of 2000 for {categories:?}");
}

#[test]
fn weighted_means_of_categories_cover() {
    for p in [0.8, 0.9, 0.95, 0.99] {
        check_categories(&[(20, p)]);
        check_categories(&[(5, p); 4]);
        check_categories(&[(10, p), (6, p), (3, p), (1, p)]);
        check_categories(&[(1, p); 20]);
        check_categories(&[(25, p); 4]);
    }
    check_categories(&[(10, 0.5), (10, 0.8), (10, 0.95), (10, 1.0)]);
}

/// Scores that are mostly good, and clusters of trials that mostly pass: whatever the shape, 94 in 100.
#[test]
fn bounded_means_cover_whatever_the_scores_look_like() {
    let good = |draw: &mut Draw| 0.9 + 0.1 * draw.uniform();
    let mixed = |draw: &mut Draw, bad: f64| if draw.hit(bad) { 0.2 * draw.uniform() } else { good(draw) };
    for n in [5, 8, 20, 50, 100] {
        for bad in [0.0, 0.02, 0.05, 0.2] {
            let truth = 0.95 * (1.0 - bad) + 0.1 * bad;
            let covered = times(2_000, |draw| {
                let mean = Moments::from_slice(&draw.many(n, |draw| mixed(draw, bad))).unwrap();
                let mean = bounded::mean(&mean.mean_estimate(0.95).unwrap(), Range::UNIT, 0.95).unwrap();
                mean.interval.unwrap().contains(truth)
            });
            assert!(covered >= 1_880, "{covered} of 2000 at n = {n} with {bad} bad");
        }
        let trials = times(2_000, |draw| {
            let mut mean = ClusterMean::new();
            for _ in 0..n {
                let level = if draw.hit(0.1) { 0.55 } else { 0.99 };
                mean.push(draw.many(3, |draw| draw.bernoulli(level)).iter().sum(), 3).unwrap();
            }
            let of_samples = llmops_stats::Estimate { n: mean.clusters(), ..mean.estimate(0.95).unwrap() };
            bounded::mean(&of_samples, Range::UNIT, 0.95).unwrap().interval.unwrap().contains(0.946)
        });
        assert!(trials >= 1_880, "{trials} of 2000 for {n} samples of three trials");
    }
}

/// People's labels, a judge beside them, and how often the corrected mean covers what people would say of all.
#[track_caller]
fn check_labels(labels: usize, least: u32, truth: f64, one: impl Fn(&mut Draw) -> (f64, f64)) {
    let covered = times(2_000, |draw| {
        let mut labelled = PairMoments::new();
        let mut unlabelled = Moments::new();
        for _ in 0..labels {
            let (judge, human) = one(draw);
            labelled.push(judge, human).unwrap();
        }
        for _ in 0..100 {
            unlabelled.push(one(draw).0).unwrap();
        }
        ppi_scores(&labelled, &unlabelled, Range::UNIT, 0.95).unwrap().interval.unwrap().contains(truth)
    });
    assert!(covered >= least, "{covered} of 2000 with {labels} labels");
}

#[test]
fn corrected_means_cover_with_few_labels() {
    for labels in [3, 5, 10, 20, 50, 200] {
        // People pass nine answers of ten, and the judge agrees with 95 of a hundred.
        check_labels(labels, 1_880, 0.9, |draw| {
            let human = draw.bernoulli(0.9);
            (if draw.hit(0.95) { human } else { 1.0 - human }, human)
        });
        // A judge that is too generous and scatters: λ is fitted to few labels, which costs a little.
        check_labels(labels, 1_840, 0.5, |draw| {
            let human = draw.uniform();
            ((0.2 + 0.7 * human + 0.05 * draw.normal()).clamp(0.0, 1.0), human)
        });
    }
}

/// The power-tuned correction is never much wider than the labels alone, and usually narrower.
#[test]
fn a_judge_makes_labels_worth_no_less() {
    for (labels, others) in [(20, 100), (60, 60), (100, 20)] {
        let mut widths = (0.0, 0.0);
        for noise in [0.05, 0.2, 0.5] {
            times(300, |draw| {
                let mut one = || {
                    let human = 0.3 + 0.4 * draw.uniform();
                    (human + 0.1 + noise * draw.normal(), human)
                };
                let pairs: Vec<(f64, f64)> = (0..labels).map(|_| one()).collect();
                let (judge, human): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
                let rest: Vec<f64> = (0..others).map(|_| one().0).collect();
                let labelled = PairMoments::from_slices(&judge, &human).unwrap();
                let rest = Moments::from_slice(&rest).unwrap();
                let tuned = ppi_mean(&labelled, &rest, PpiWeight::Tuned, 0.95).unwrap();
                let alone = Moments::from_slice(&human).unwrap().mean_estimate(0.95).unwrap();
                widths.0 += tuned.interval.unwrap().width();
                widths.1 += alone.interval.unwrap().width();
                true
            });
            assert!(widths.0 <= 1.01 * widths.1, "{widths:?} with {labels} labels, {others} others and noise {noise}");
        }
    }
}
