//! Experiments that are looked at all the time: how often they declare a winner that is none, and whether a broken split is
//! seen. The numbers are drawn from a seed, so the tests say the same everywhere.

#![expect(clippy::print_stdout, reason = "the simulations show their rates")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops::analysis::simulate::{Simulation, simulate};
use llmops::analysis::{Arm, ArmMetric, Horizon, Observed, Plan, analyse};
use llmops::domain::experiment::result::{Conclusion, ExperimentResult};
use llmops::domain::experiment::{AnalysisPlan, MetricKind, MetricSpec};
use llmops_stats::unit_sums::UnitValue;

/// Units between two looks.
const STEP: u64 = 50;

/// SplitMix64 (Steele, Lea & Flood 2014).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn plan() -> Plan {
    let metric = MetricSpec { kind: Some(MetricKind::Binary), ..MetricSpec::named("solved") };
    Plan {
        name: "simulated".to_owned(),
        variants: vec!["control".to_owned(), "new".to_owned()],
        control: 0,
        weights: vec![0.5, 0.5],
        retired: Vec::new(),
        target: metric.name.clone(),
        metrics: vec![metric],
        rules: AnalysisPlan::default(),
        min_samples: 100,
        test: None,
        elapsed: None,
        horizon: Horizon::Unknown,
        bayes: false,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Two arms that fill.
struct Arms {
    metrics: [ArmMetric; 2],
}

impl Arms {
    fn new() -> Self {
        Self { metrics: [ArmMetric::default(), ArmMetric::default()] }
    }

    fn add(&mut self, arm: usize, solved: bool) {
        self.metrics[arm].sums.add(UnitValue { value: f64::from(u8::from(solved)), second: None }).unwrap();
        self.metrics[arm].observations += 1;
    }

    fn look(&self, plan: &Plan) -> ExperimentResult {
        let arm = |metric: &ArmMetric| Arm {
            units: metric.sums.units(),
            metrics: BTreeMap::from([("solved".to_owned(), metric.clone())]),
        };
        let observed =
            Observed { arms: self.metrics.iter().map(arm).collect(), counted: "exposures", ..Observed::default() };
        analyse(plan, &observed)
    }
}

/// What was declared first, and whether an uncorrected z-test for one look would have declared something at some look.
fn experiment(seed: u64, rates: [f64; 2], units: u64) -> (Option<String>, bool) {
    let (plan, mut draws, mut arms) = (plan(), Draws(seed), Arms::new());
    let (mut declared, mut naive) = (None, false);
    for unit in 1..=units {
        let arm = usize::from(draws.next() < 0.5);
        arms.add(arm, draws.next() < rates[arm]);
        if unit % STEP == 0 {
            let result = arms.look(&plan);
            naive |= result.comparisons[0].fixed.as_ref().is_some_and(|fixed| fixed.p_value <= 0.05);
            declared = declared.or(result.winner);
        }
    }
    (declared, naive)
}

/// The share that is exceeded by chance once in a thousand.
fn bound(share: f64, n: u64) -> f64 {
    share + 3.09 * (share * (1.0 - share) / n as f64).sqrt()
}

fn same_variants(experiments: u64) {
    let (mut declared, mut naive) = (0, 0);
    for seed in 0..experiments {
        let (winner, once) = experiment(seed.wrapping_mul(7919) + 1, [0.6, 0.6], 5000);
        declared += u64::from(winner.is_some());
        naive += u64::from(once);
    }
    let share = |n: u64| n as f64 / experiments as f64;
    println!("alike: {declared} of {experiments} declared a winner, {naive} would by the test for one look");
    assert!(share(declared) <= bound(0.05, experiments), "{declared} of {experiments}");
    assert!(share(naive) > 0.2, "{naive} of {experiments}");
}

fn different_variants(experiments: u64) {
    let (mut right, mut wrong) = (0_u64, 0_u64);
    for seed in 0..experiments {
        match experiment(seed.wrapping_mul(104_729) + 3, [0.6, 0.65], 5000).0.as_deref() {
            Some("new") => right += 1,
            Some(_) => wrong += 1,
            None => {}
        }
    }
    println!("five points better: {right} right and {wrong} wrong winners in {experiments}");
    assert!(right > experiments / 3, "{right} of {experiments} are too few to mean anything");
    assert!(right as f64 >= 0.99 * (right + wrong) as f64, "{wrong} of {} are wrong", right + wrong);
}

/// Units until the mismatch is flagged, where a share of the second arm's units is lost.
fn units_until_flagged(seed: u64, lost: f64, most: u64) -> Option<u64> {
    let (plan, mut draws, mut arms) = (plan(), Draws(seed), Arms::new());
    for unit in 1..=most {
        let arm = usize::from(draws.next() < 0.5);
        if arm == 0 || draws.next() >= lost {
            arms.add(arm, draws.next() < [0.6, 0.7][arm]);
        }
        if unit % STEP == 0 {
            let result = arms.look(&plan);
            if result.sample_ratio.as_ref().is_some_and(|ratio| ratio.mismatch) {
                assert_eq!(
                    (result.conclusion, result.winner),
                    (Conclusion::Blocked, None),
                    "{}",
                    result.recommendation
                );
                return Some(unit);
            }
        }
    }
    None
}

/// A/A experiments in which one unit in twenty is in the treatment, drawn from so many zeros and these other values.
fn small_arm(kind: MetricKind, zeros: usize, others: impl Iterator<Item = f64>, experiments: u64) {
    let metric = MetricSpec { kind: Some(kind), ..MetricSpec::named("bought") };
    let plan = Plan { weights: vec![0.95, 0.05], target: metric.name.clone(), metrics: vec![metric], ..plan() };
    let past: Vec<f64> = std::iter::repeat_n(0.0, zeros).chain(others).collect();
    let simulation = Simulation { experiments, units: 4000, looks: 20, effect: 0.0, seed: 21 };
    let found = simulate(&plan, &past, &simulation).unwrap();
    println!("{kind:?}, one unit in twenty: {} of {experiments} declared a winner", found.declared.n);
    assert!(found.declared.share <= bound(0.05, experiments), "{found:?}");
}

#[test]
fn same_variants_rarely_win_in_a_small_arm() {
    small_arm(MetricKind::Binary, 98, [1.0, 1.0].into_iter(), 150);
    small_arm(MetricKind::Binary, 2, std::iter::repeat_n(1.0, 98), 150);
    // Three in a hundred buy, some of them for a lot.
    small_arm(MetricKind::Cost, 970, (0..30).map(|i| (f64::from(i) / 6.0).exp()), 150);
}

#[test]
fn same_variants_rarely_win() {
    same_variants(200);
}

#[test]
fn different_variants_win_in_the_right_direction() {
    different_variants(50);
}

#[test]
fn a_broken_split_is_flagged() {
    for seed in 0..20 {
        assert!(units_until_flagged(seed * 31 + 7, 0.1, 20_000).is_some(), "seed {seed}");
    }
    let false_alarms = (0..20).filter(|seed| units_until_flagged(seed * 17 + 5, 0.0, 20_000).is_some()).count();
    assert_eq!(false_alarms, 0);
}

#[test]
#[ignore = "minutes"]
fn same_variants_rarely_win_in_full() {
    same_variants(2000);
}

#[test]
#[ignore = "minutes"]
fn different_variants_win_in_the_right_direction_in_full() {
    different_variants(500);
}
