//! Watched at every observation, sequential procedures still reject at most as often as promised.
#![expect(clippy::unwrap_used, reason = "a design that errors is a failed test")]

use super::{Draw, at_most, times};
use llmops_stats::moments::Moments;
use llmops_stats::proportion::Rate;
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};
use llmops_stats::sequential::betting::BettingSequence;
use llmops_stats::sequential::group::GroupSequential;
use llmops_stats::sequential::{mixture, msprt};
use llmops_stats::{StatsError, TestOptions, TestResult};

type One = fn(&mut Draw) -> f64;

/// Whether any look at either arm's every new unit rejects, up to `most` units per arm.
fn ever(draw: &mut Draw, most: u64, one: One, look: impl Fn(&Moments, &Moments) -> bool) -> bool {
    let (mut control, mut treatment) = (Moments::new(), Moments::new());
    (0..most).any(|_| {
        control.push(one(draw)).unwrap();
        let first = look(&control, &treatment);
        treatment.push(one(draw)).unwrap();
        first || look(&control, &treatment)
    })
}

fn asymptotic_rejects(tuning: f64) -> impl Fn(&Moments, &Moments) -> bool {
    let options = AsymptoticOptions { tuning, ..AsymptoticOptions::default() };
    move |control, treatment| match asymptotic::difference(control, treatment, options) {
        Ok(result) => {
            let early = control.n().min(treatment.n()) < 30;
            assert!(!early || (result.interval.is_none() && result.p_value == 1.0), "decided early: {result:?}");
            decided(&result)
        }
        Err(StatsError::NoVariation { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Interval and p-value must agree.
fn decided(result: &TestResult) -> bool {
    let excluded = result.interval.is_some_and(|interval| !interval.contains(0.0));
    assert_eq!(excluded, result.p_value < 1.0 - result.interval.map_or(1.0, |interval| interval.level), "{result:?}");
    excluded
}

fn check_asymptotic(repetitions: u32, most: u64) {
    let designs: [(&str, One); 4] = [
        ("rate 0.6", |draw| draw.bernoulli(0.6)),
        ("rate 0.9", |draw| draw.bernoulli(0.9)),
        ("normal", Draw::normal),
        ("exponential", Draw::exponential),
    ];
    for (name, one) in designs {
        for tuning in [500.0, 5000.0] {
            let rejected = times(repetitions, |draw| ever(draw, most, one, asymptotic_rejects(tuning)));
            assert!(f64::from(rejected) <= at_most(0.05, repetitions), "{name}, N* = {tuning}: {rejected}");
        }
    }
}

#[test]
fn asymptotic_sequences_survive_peeking_at_every_observation() {
    check_asymptotic(200, 1_000);
}

#[test]
#[ignore = "full simulation"]
fn asymptotic_sequences_survive_peeking_at_every_observation_in_full() {
    check_asymptotic(4_000, 5_000);
}

#[test]
fn asymptotic_sequences_decide_nothing_before_thirty_units_per_arm() {
    let (control, treatment) = (Rate::new(0, 29).unwrap(), Rate::new(99, 100).unwrap());
    let early = asymptotic::rate_difference(control, treatment, AsymptoticOptions::default()).unwrap();
    assert_eq!((early.p_value, early.interval), (1.0, None));
    let control = Rate::new(1, 30).unwrap();
    let later = asymptotic::rate_difference(control, treatment, AsymptoticOptions::default()).unwrap();
    assert!(later.interval.unwrap().low > 0.0 && later.p_value < 0.05);
}

/// One unit in twenty is in the treatment, and values are rare or have a long tail.
fn check_uneven(repetitions: u32, most: u64) {
    let designs: [(&str, One); 3] = [
        ("rate 0.02", |draw| draw.bernoulli(0.02)),
        ("rate 0.98", |draw| draw.bernoulli(0.98)),
        ("few large ones", |draw| if draw.hit(0.03) { draw.normal().exp() } else { 0.0 }),
    ];
    for (name, one) in designs {
        let unit = |arm: &Moments| (arm.variance().unwrap_or_default(), arm.n());
        let look = |control: &Moments, treatment: &Moments| {
            if control.n().min(treatment.n()) < 30 {
                return false;
            }
            let effect = treatment.mean().unwrap() - control.mean().unwrap();
            let variance = asymptotic::variance_of_difference(unit(control), unit(treatment));
            let units = (control.n(), treatment.n());
            asymptotic::effect(units, effect, variance, AsymptoticOptions::default())
                .is_ok_and(|result| decided(&result))
        };
        let rejected = times(repetitions, |draw| {
            let (mut control, mut treatment) = (Moments::new(), Moments::new());
            (0..most).any(|_| {
                for _ in 0..19 {
                    control.push(one(draw)).unwrap();
                }
                treatment.push(one(draw)).unwrap();
                look(&control, &treatment)
            })
        });
        assert!(f64::from(rejected) <= at_most(0.05, repetitions), "{name}: {rejected}");
    }
}

#[test]
fn asymptotic_sequences_hold_in_a_small_arm_beside_a_large_one() {
    check_uneven(200, 250);
}

#[test]
#[ignore = "full simulation"]
fn asymptotic_sequences_hold_in_a_small_arm_beside_a_large_one_in_full() {
    check_uneven(2_000, 1_000);
}

fn check_others(repetitions: u32, most: u64) {
    let bounded = |name: &str, rejected: u32| {
        assert!(f64::from(rejected) <= at_most(0.05, repetitions), "{name}: {rejected} of {repetitions}");
    };
    let mixture = |control: &Moments, treatment: &Moments| {
        mixture::difference(control, treatment, 500.0, 0.95).is_ok_and(|result| !result.interval.unwrap().contains(0.0))
    };
    bounded("normal mixture", times(repetitions, |draw| ever(draw, most, |draw| draw.bernoulli(0.5), mixture)));
    let msprt = |control: &Moments, treatment: &Moments| {
        control.n() >= 100
            && treatment.n() >= 100
            && decided(&msprt::msprt(control, treatment, 0.2, TestOptions::default()).unwrap())
    };
    bounded("mSPRT", times(repetitions, |draw| ever(draw, most, Draw::normal, msprt)));
    let design = GroupSequential::new(&[0.25, 0.5, 0.75, 1.0], 0.05).unwrap();
    let group = |draw: &mut Draw| {
        let mut sum = 0.0;
        (0..4).any(|look| {
            sum += draw.many(50, Draw::normal).iter().sum::<f64>();
            let n = 50.0 * (look as f64 + 1.0);
            design.look(look, sum / n, 1.0 / n.sqrt(), 0).unwrap().reject
        })
    };
    bounded("group sequential", times(repetitions, group));
}

#[test]
fn the_other_sequences_survive_peeking() {
    check_others(300, 500);
}

#[test]
#[ignore = "full simulation"]
fn the_other_sequences_survive_peeking_in_full() {
    check_others(4_000, 3_000);
}

fn check_betting(repetitions: u32, most: u64) {
    let designs: [(f64, One); 3] =
        [(0.5, Draw::uniform), (0.9, |draw| draw.bernoulli(0.9)), (0.8, |draw| 0.6 + 0.4 * draw.uniform())];
    for (mean, one) in designs {
        let missed = times(repetitions, |draw| {
            let mut sequence = BettingSequence::new(0.95).unwrap();
            (0..most).any(|_| {
                sequence.push(one(draw)).unwrap();
                !sequence.interval().contains(mean)
            })
        });
        assert!(f64::from(missed) <= at_most(0.05, repetitions), "{mean}: {missed} of {repetitions}");
    }
}

#[test]
fn betting_sequences_cover_at_every_time() {
    check_betting(150, 300);
}

#[test]
#[ignore = "full simulation"]
fn betting_sequences_cover_at_every_time_in_full() {
    check_betting(2_000, 2_000);
}

/// What betting and a bounded mixture are for: the first adapts to a small variance.
#[test]
fn betting_is_narrower_than_the_mixture_on_steady_values() {
    let mut draw = Draw::new(1);
    let values = draw.many(500, |draw| 0.8 + 0.05 * draw.uniform());
    let mut betting = BettingSequence::new(0.95).unwrap();
    for value in &values {
        betting.push(*value).unwrap();
    }
    let mixture = mixture::mean(&Moments::from_slice(&values).unwrap(), 500.0, 0.95).unwrap().interval.unwrap();
    assert!(betting.interval().width() < 0.5 * mixture.width());
}
