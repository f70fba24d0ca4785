//! Time and randomness, injected so that tests decide both.

use std::sync::Mutex;

use jiff::Timestamp;
use rand::{Rng, SeedableRng};

/// Where the time and random bits come from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time.
    fn now(&self) -> Timestamp;
    /// Random bits for identifiers.
    fn random(&self) -> u64;
}

/// The clock of the machine and a generator seeded by the operating system.
#[derive(Debug)]
pub struct SystemClock(Mutex<rand::rngs::StdRng>);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Mutex::new(rand::rngs::StdRng::from_rng(&mut rand::rng())))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        llmops_domain::clock::now()
    }

    fn random(&self) -> u64 {
        self.0.lock().map_or_else(|poisoned| poisoned.into_inner().next_u64(), |mut rng| rng.next_u64())
    }
}
