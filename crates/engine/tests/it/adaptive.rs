//! Adaptive allocation: how often its intervals exclude the truth, what plain means would do, who gets the traffic, and that one
//! replica decides. The numbers are drawn from a seed, so the tests say the same everywhere.

#![expect(clippy::print_stdout, reason = "the simulations show their rates")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops::analysis::adaptive::next_shares;
use llmops::analysis::{Arm, ArmMetric, Horizon, Observed, Plan, analyse};
use llmops::domain::experiment::{Adaptive, AnalysisPlan, MetricKind, MetricSpec};
use llmops_stats::TestOptions;
use llmops_stats::t_test::welch_from_moments;
use llmops_stats::unit_sums::UnitValue;

use crate::peeking::Draws;

/// Units between two steps.
const STEP: u64 = 250;
const STEPS: usize = 20;

fn plan(arms: usize) -> Plan {
    let metric = MetricSpec { kind: Some(MetricKind::Binary), ..MetricSpec::named("solved") };
    let rules = AnalysisPlan { min_duration: "0s".parse().unwrap(), ..AnalysisPlan::default() };
    Plan {
        name: "simulated".to_owned(),
        variants: (0..arms).map(|arm| format!("v{arm}")).collect(),
        control: 0,
        weights: Vec::new(),
        retired: Vec::new(),
        target: metric.name.clone(),
        metrics: vec![metric],
        rules,
        min_samples: 100,
        test: None,
        elapsed: None,
        horizon: Horizon::Unknown,
        bayes: false,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// What came of many adaptive experiments.
#[derive(Debug, Default)]
struct Outcome {
    /// The always-valid interval excluded the truth at some look.
    missed: u32,
    /// The interval for one look of plain means excluded the truth at the end.
    plain_missed: u32,
    winners: BTreeMap<String, u32>,
    /// Share of all units in each arm.
    traffic: Vec<f64>,
}

/// Experiments with these rates of the arms, which all move by `drift` from the first day to the last.
fn simulate(experiments: u32, rates: &[f64], drift: f64, seed: u64) -> Outcome {
    let (plan, rule) = (plan(rates.len()), Adaptive::default());
    let mut draws = Draws(seed);
    let mut outcome = Outcome { traffic: vec![0.0; rates.len()], ..Outcome::default() };
    for _ in 0..experiments {
        let mut shares = vec![1.0 / rates.len() as f64; rates.len()];
        let mut observed = Observed { arms: vec![Arm::default(); rates.len()], ..Observed::default() };
        let (mut missed, mut winner) = (false, None);
        for step in 0..STEPS {
            let moved = drift * step as f64 / (STEPS - 1) as f64;
            let mut arms = vec![Arm::default(); rates.len()];
            for _ in 0..STEP {
                let (mut place, mut arm) = (draws.next(), 0);
                while arm + 1 < shares.len() && place >= shares[arm] {
                    place -= shares[arm];
                    arm += 1;
                }
                let solved = draws.next() < rates[arm] + moved;
                let unit = UnitValue { value: f64::from(u8::from(solved)), second: None };
                for arms in [&mut arms, &mut observed.arms] {
                    let data: &mut ArmMetric = arms[arm].metrics.entry("solved".to_owned()).or_default();
                    data.sums.add(unit).unwrap();
                    data.observations += 1;
                }
            }
            observed.allocations.insert(step, arms);
            let result = analyse(&plan, &observed);
            for (comparison, rate) in result.comparisons.iter().zip(&rates[1..]) {
                let truth = rate - rates[0];
                missed |= comparison.interval.is_some_and(|i| i.low > truth || i.high < truth);
            }
            winner = winner.or(result.winner);
            if let Some((next, _)) = next_shares(&plan, &observed, &rule) {
                shares = next;
            }
        }
        outcome.missed += u32::from(missed);
        outcome.plain_missed += u32::from(plain_misses(&observed, rates));
        if let Some(winner) = winner {
            *outcome.winners.entry(winner).or_default() += 1;
        }
        for (traffic, arm) in outcome.traffic.iter_mut().zip(&observed.arms) {
            let units = arm.metrics["solved"].sums.units() as f64;
            *traffic += units / (f64::from(experiments) * STEP as f64 * STEPS as f64);
        }
    }
    outcome
}

/// Whether the interval of plain means excludes the truth for the second arm.
fn plain_misses(observed: &Observed, rates: &[f64]) -> bool {
    let moments = |arm: usize| observed.arms[arm].metrics["solved"].sums.moments().unwrap();
    let interval = welch_from_moments(&moments(0), &moments(1), TestOptions::default()).unwrap().interval.unwrap();
    let truth = rates[1] - rates[0];
    interval.low > truth || interval.high < truth
}

fn check(experiments: u32) {
    let share = |n: u32| f64::from(n) / f64::from(experiments);
    // 5 % and three standard errors of the simulation.
    let bound = 0.05 + 3.0 * (0.05 * 0.95 / f64::from(experiments)).sqrt();
    let better = simulate(experiments, &[0.30, 0.40], 0.3, 7);
    println!("two arms, 0.30 and 0.40, both rising by 0.3: {better:?}");
    assert!(share(better.missed) <= bound, "the interval misses too often: {better:?}");
    assert!(better.traffic[1] > 0.65, "the better arm does not get the traffic: {better:?}");
    let (right, wrong) =
        (better.winners.get("v1").copied().unwrap_or(0), better.winners.get("v0").copied().unwrap_or(0));
    assert!(share(right) > 0.9 && share(wrong) <= 0.01, "{better:?}");
    let same = simulate(experiments, &[0.4, 0.4], 0.3, 8);
    println!("two arms alike: {same:?}");
    assert!(share(same.winners.values().sum()) <= bound && share(same.missed) <= bound, "{same:?}");
    assert!(share(same.plain_missed) > 0.2, "plain means would do as well: {same:?}");
    let three = simulate(experiments, &[0.3, 0.3, 0.4], 0.0, 9);
    println!("three arms: {three:?}");
    // Two intervals at 95 % each.
    assert!(share(three.missed) <= 2.0 * bound, "{three:?}");
    assert!(three.traffic[2] > 0.45, "{three:?}");
}

#[test]
fn intervals_hold_and_the_better_arm_gets_the_traffic() {
    check(100);
}

#[test]
#[ignore = "minutes; the test before does the same with fewer experiments"]
fn intervals_hold_in_many_experiments() {
    check(2000);
}
