//! Error rates and coverage by seeded simulation: at modest size in the suite, in full with the ignored tests.

mod coverage;
mod sequential;
mod type_one;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    pub(crate) fn hit(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    pub(crate) fn bernoulli(&mut self, p: f64) -> f64 {
        f64::from(u8::from(self.hit(p)))
    }

    /// Box-Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    pub(crate) fn many(&mut self, n: usize, mut one: impl FnMut(&mut Self) -> f64) -> Vec<f64> {
        (0..n).map(|_| one(self)).collect()
    }
}

/// How many of `repetitions` happen, each with its own seed.
pub(crate) fn times(repetitions: u32, mut happens: impl FnMut(&mut Draw) -> bool) -> u32 {
    (0..repetitions).filter(|seed| happens(&mut Draw::new(u64::from(*seed)))).count().try_into().unwrap_or(u32::MAX)
}

/// The count that a rate of `nominal` exceeds once in a thousand times (three standard deviations and a count).
pub(crate) fn at_most(nominal: f64, repetitions: u32) -> f64 {
    let n = f64::from(repetitions);
    n * nominal + 3.0 * (n * nominal * (1.0 - nominal)).sqrt() + 1.0
}
