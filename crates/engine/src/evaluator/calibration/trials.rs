//! Several labelled answers to one question are no several questions: intervals are those of the samples.

use std::collections::BTreeMap;

use llmops_domain::run::Estimate;
use llmops_stats::StatsError;
use llmops_stats::bounded::Range;
use llmops_stats::cluster::ClusterMean;

use super::super::aggregate::{category_name, estimate, pass_rate};
use super::Rated;
use crate::Error;

/// The labelled trials of each sample.
pub(super) fn samples(rated: &[Rated]) -> impl Iterator<Item = &[Rated]> {
    rated.chunk_by(|a, b| a.ordinal == b.ordinal)
}

/// By how much the judge is above people on the trials of a sample: sum and number.
pub(super) fn bias_of(trials: &[Rated]) -> (f64, u64) {
    (trials.iter().map(|one| one.judge - one.human()).sum(), trials.len() as u64)
}

/// The mean difference over all trials. Three answers to one question are not three questions: its interval is that of the samples.
pub(super) fn mean_of_samples(sums: impl Iterator<Item = (f64, u64)>) -> Result<Estimate, Error> {
    let found = estimate(&clusters(sums)?, Some(Range::DIFFERENCE))?;
    Ok(found.ok_or(StatsError::TooFew { what: "labelled samples", needed: 1, got: 0 })?)
}

fn clusters(sums: impl Iterator<Item = (f64, u64)>) -> Result<ClusterMean, Error> {
    let mut mean = ClusterMean::new();
    for (sum, size) in sums {
        mean.push(sum, size)?;
    }
    Ok(mean)
}

pub(super) fn category_bias(rated: &[Rated]) -> Result<BTreeMap<String, Estimate>, Error> {
    let mut sums: BTreeMap<&str, Vec<(f64, u64)>> = BTreeMap::new();
    for trials in samples(rated) {
        let own = trials.first().map_or("", |one| one.category.as_str());
        sums.entry(category_name(own)).or_default().push(bias_of(trials));
    }
    let estimates =
        sums.into_iter().map(|(category, sums)| Ok((category.to_owned(), mean_of_samples(sums.into_iter())?)));
    estimates.collect()
}

/// How many samples were labelled, and how many independent answers the labelled trials are worth at least: as many as if
/// all trials of a sample said the same, (Σm)²/Σm² for samples with m trials (Kish 1965, Survey Sampling, §11.7).
#[derive(Clone, Copy)]
pub(super) struct Worth {
    pub(super) samples: u64,
    trials: f64,
    pub(super) answers: f64,
}

impl Worth {
    pub(super) fn of(rated: &[Rated]) -> Self {
        let sizes = || samples(rated).map(|trials| trials.len() as f64);
        let (trials, squares) = (rated.len() as f64, sizes().map(|size| size * size).sum::<f64>());
        Self { samples: samples(rated).count() as u64, trials, answers: trials * trials / squares }
    }

    /// An agreement of so many trials, with the interval of so many answers.
    pub(super) fn widen(self, found: Estimate) -> Estimate {
        let factor = (self.trials / self.answers).sqrt();
        let Estimate { value, n, lower, upper } = found;
        let n = if self.answers < self.trials { n.min(self.samples) } else { n };
        // Nobody agrees more than in everything, nor less than in nothing.
        let (lower, upper) = (value - factor * (value - lower), value + factor * (upper - value));
        Estimate { value, n, lower: lower.max(-1.0), upper: upper.min(1.0) }
    }
}

/// The share of equal verdicts: with Wilson's interval where every sample has one trial, else that of the samples.
pub(super) fn accuracy(rated: &[Rated], threshold: f64) -> Result<Option<Estimate>, Error> {
    let agrees = |one: &&Rated| one.majority(threshold) == (one.judge >= threshold);
    let same = |trials: &[Rated]| (trials.iter().filter(agrees).count() as f64, trials.len() as u64);
    pass_rate(&clusters(samples(rated).map(same))?, samples(rated).all(|trials| trials.len() == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_intervals_end_where_agreement_does() {
        let worth = Worth { samples: 4, trials: 16.0, answers: 4.0 };
        let found = worth.widen(Estimate { value: -0.6, n: 16, lower: -0.9, upper: 0.4 });
        assert_eq!(found, Estimate { value: -0.6, n: 4, lower: -1.0, upper: 1.0 });
    }
}
