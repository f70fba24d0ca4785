//! Experiments simulated on past data: how often the rules declare a winner where there is none, and how often they find one
//! that there is.

use std::collections::BTreeMap;

use llmops_domain::experiment::{MetricKind, MetricSpec};
use llmops_stats::proportion::{Rate, wilson};
use llmops_stats::unit_sums::UnitValue;
use serde::Serialize;

use super::data::{Arm, ArmMetric, Observed};
use super::{Plan, analyse};

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Simulation {
    /// How many experiments.
    pub experiments: u64,
    /// Units of each, both variants together.
    pub units: u64,
    /// How often each is looked at.
    pub looks: u64,
    /// What the treatment adds to the mean; 0 compares the same with the same.
    pub effect: f64,
    /// The same seed draws the same.
    pub seed: u64,
}

/// A share of experiments with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub n: u64,
    /// Their share.
    pub share: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// Experiments.
    pub experiments: u64,
    /// Units of each.
    pub units: u64,
    /// Looks at each.
    pub looks: u64,
    /// What the treatment added.
    pub effect: f64,
    /// Units in the past data, which units were drawn from with replacement.
    pub past_units: u64,
    /// A winner was declared by the rules.
    pub declared: Share,
    /// The treatment was.
    pub treatment_won: Share,
    /// The control was.
    pub control_won: Share,
    /// What the test for one look would have declared, looked at as often.
    pub naive: Share,
    /// Median of the units at which a winner was declared, where one was.
    pub median_units: Option<u64>,
}

/// Why nothing can be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// Too few units.
    #[error("there are {0} units in the past data: at least 30 are needed to draw from")]
    TooFew(usize),
    /// Not a mean.
    #[error("the simulation draws means and rates: metrics of kind {0} cannot be simulated")]
    Kind(&'static str),
    /// A rate beyond 1.
    #[error("the effect makes a rate of {0}: expected one between 0 and 1")]
    Rate(f64),
}

/// SplitMix64 (Steele, Lea & Flood 2014): the same everywhere.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws units from past values, splits them by the weights of the plan, adds the effect to the treatment's and looks. `plan` has
/// two variants, the control first, and one metric.
///
/// # Errors
/// [`SimulationError`] for too few values or a metric that has no mean.
pub fn simulate(plan: &Plan, past: &[f64], simulation: &Simulation) -> Result<Simulated, SimulationError> {
    let Some(metric) = plan.metrics.first() else { return Err(SimulationError::Kind("none")) };
    let lift = Lift::new(metric, past, simulation.effect)?;
    let mut draws = Draws(simulation.seed);
    let (mut wins, mut losses, mut naive, mut ends) = (0, 0, 0, Vec::new());
    for _ in 0..simulation.experiments {
        let outcome = experiment(plan, metric, (past, &lift), simulation, &mut draws);
        naive += u64::from(outcome.naive);
        if let Some((treatment_won, units)) = outcome.winner {
            wins += u64::from(treatment_won);
            losses += u64::from(!treatment_won);
            ends.push(units);
        }
    }
    ends.sort_unstable();
    Ok(Simulated {
        experiments: simulation.experiments,
        units: simulation.units,
        looks: simulation.looks,
        effect: simulation.effect,
        past_units: past.len() as u64,
        declared: share(wins + losses, simulation.experiments),
        treatment_won: share(wins, simulation.experiments),
        control_won: share(losses, simulation.experiments),
        naive: share(naive, simulation.experiments),
        median_units: ends.get(ends.len() / 2).copied(),
    })
}

fn share(n: u64, of: u64) -> Share {
    let estimate = Rate::new(n, of).and_then(|rate| wilson(rate, 0.95)).ok();
    let bounds = estimate.as_ref().and_then(|e| e.interval).map_or((0.0, 1.0), |i| (i.low, i.high));
    Share { n, share: n as f64 / of.max(1) as f64, low: bounds.0, high: bounds.1 }
}

/// How the treatment changes a unit.
enum Lift {
    /// By an amount.
    Add(f64),
    /// A failure becomes a success, or the other way round, with this chance.
    Flip { from: f64, chance: f64 },
}

impl Lift {
    fn new(metric: &MetricSpec, past: &[f64], effect: f64) -> Result<Self, SimulationError> {
        if past.len() < 30 {
            return Err(SimulationError::TooFew(past.len()));
        }
        match metric.kind() {
            MetricKind::Ordinal => Err(SimulationError::Kind("ordinal")),
            MetricKind::Latency => Err(SimulationError::Kind("latency")),
            MetricKind::Ratio => Err(SimulationError::Kind("ratio")),
            MetricKind::Binary => {
                let rate = past.iter().sum::<f64>() / past.len() as f64;
                if !(0.0..=1.0).contains(&(rate + effect)) {
                    return Err(SimulationError::Rate(rate + effect));
                }
                let (from, room) = if effect > 0.0 { (0.0, 1.0 - rate) } else { (1.0, rate) };
                Ok(Self::Flip { from, chance: if effect == 0.0 { 0.0 } else { effect.abs() / room } })
            }
            MetricKind::Continuous | MetricKind::Count | MetricKind::Cost => Ok(Self::Add(effect)),
        }
    }

    fn apply(&self, value: f64, draws: &mut Draws) -> f64 {
        match *self {
            Self::Add(effect) => value + effect,
            Self::Flip { from, chance } if value == from && draws.next() < chance => 1.0 - value,
            Self::Flip { .. } => value,
        }
    }
}

struct Outcome {
    /// Whether the treatment won, and at how many units.
    winner: Option<(bool, u64)>,
    naive: bool,
}

fn experiment(
    plan: &Plan,
    metric: &MetricSpec,
    (past, lift): (&[f64], &Lift),
    simulation: &Simulation,
    draws: &mut Draws,
) -> Outcome {
    let mut arms = [ArmMetric::default(), ArmMetric::default()];
    let step = (simulation.units / simulation.looks.max(1)).max(1);
    let mut outcome = Outcome { winner: None, naive: false };
    let share = plan.weights.get(1).copied().unwrap_or(0.5);
    for unit in 1..=simulation.units {
        let arm = usize::from(draws.next() < share);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of values")]
        let drawn = past[((draws.next() * past.len() as f64) as usize).min(past.len() - 1)];
        let value = if arm == 1 { lift.apply(drawn, draws) } else { drawn };
        // Past values are finite, and so are sums of two.
        if arms[arm].sums.add(UnitValue { value, second: None }).is_ok() {
            arms[arm].observations += 1;
        }
        if unit % step != 0 {
            continue;
        }
        let arm = |data: &ArmMetric| Arm {
            units: data.sums.units(),
            metrics: BTreeMap::from([(metric.name.clone(), data.clone())]),
        };
        let observed = Observed { arms: arms.iter().map(arm).collect(), counted: "units", ..Observed::default() };
        let result = analyse(plan, &observed);
        let alpha = plan.rules.alpha;
        outcome.naive |= result.comparisons.iter().any(|c| c.fixed.as_ref().is_some_and(|f| f.p_value <= alpha));
        if outcome.winner.is_none() {
            outcome.winner = result.winner.map(|winner| (winner != plan.variants[0], unit));
        }
    }
    outcome
}
