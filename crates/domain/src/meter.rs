//! Counting without locks: what a process reports of itself as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds, in seconds, for what takes milliseconds: statements, requests.
pub const FAST: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds, in seconds, for what a model takes: first bytes, whole answers.
pub const SLOW: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, never below 0.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more until the guard is dropped.
    pub fn enter(&self) -> Entered<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of a [`Gauge`]'s number.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long things took, counted by ranges.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what lies beyond.
    counts: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

/// A [`Histogram`] at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Upper bound in seconds, and how many took at most that long.
    pub up_to: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// The sum of all, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// An empty histogram over ascending bounds in seconds.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_micros: AtomicU64::new(0) }
    }

    /// Counts something that took so many seconds. What is negative or NaN counts as 0.
    pub fn observe(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and saturates"
        )]
        self.sum_micros.fetch_add((seconds * 1e6) as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Distribution {
        let mut count = 0;
        let mut up_to = Vec::with_capacity(self.bounds.len());
        for (i, here) in self.counts.iter().enumerate() {
            count += here.load(Ordering::Relaxed);
            if let Some(bound) = self.bounds.get(i) {
                up_to.push((*bound, count));
            }
        }
        Distribution { up_to, count, sum: self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_range_that_ends_at_or_above_them() {
        const BOUNDS: &[f64] = &[0.1, 1.0];
        let histogram = Histogram::new(BOUNDS);
        for seconds in [0.0, 0.1, 0.100_001, 1.0, 1.5, -3.0, f64::NAN] {
            histogram.observe(seconds);
        }
        let read = histogram.read();
        assert_eq!(read.up_to, [(0.1, 4), (1.0, 6)]);
        assert_eq!(read.count, 7);
        assert!((read.sum - 2.7).abs() < 1e-5, "{}", read.sum);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [FAST, SLOW] {
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_gauge_counts_who_is_there() {
        let gauge = Gauge::default();
        let one = gauge.enter();
        let two = gauge.enter();
        assert_eq!(gauge.get(), 2);
        drop((one, two));
        assert_eq!(gauge.get(), 0);
    }
}
