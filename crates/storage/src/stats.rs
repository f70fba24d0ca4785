//! How the database answers, for the metrics of the process.

use std::sync::LazyLock;
use std::time::Instant;

use llmops_domain::meter::{Counter, FAST, Histogram};

use crate::StoreError;

/// What became of the statements of all stores of this process.
#[derive(Debug)]
pub struct StoreStats {
    /// How long statements took, failed ones included.
    pub statements: Histogram,
    /// Statements and connections that failed because the database was away, locked or full.
    pub unavailable: Counter,
    /// Statements that the database refused, and rows that could not be read.
    pub refused: Counter,
}

static STATS: LazyLock<StoreStats> = LazyLock::new(|| StoreStats {
    statements: Histogram::new(FAST),
    unavailable: Counter::default(),
    refused: Counter::default(),
});

/// What was counted since the process began.
pub fn stats() -> &'static StoreStats {
    &STATS
}

/// A statement that has begun.
pub(crate) struct Timed(Instant);

impl Timed {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Notes how it ended.
    pub(crate) fn end<T>(self, done: &Result<T, StoreError>) {
        STATS.statements.observe(self.0.elapsed().as_secs_f64());
        if let Err(error) = done {
            note(error);
        }
    }
}

/// Counts a failure. Rows that exist already are an answer and no failure.
pub(crate) fn note(error: &StoreError) {
    match error {
        StoreError::Unavailable(_) => STATS.unavailable.count(),
        error if error.is_unique_violation() => {}
        _ => STATS.refused.count(),
    }
}
