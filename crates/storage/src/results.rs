//! Sample results: reading pages of them, what is done, pairs of two runs.

use std::collections::HashSet;

use llmops_domain::chat::Usage;
use llmops_domain::run::{Outcome, SampleResult};
use serde::{Deserialize, Serialize};

use crate::{RunKey, Store, StoreError};

/// A sample result without the answer: what aggregation needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Position of the sample in its dataset version.
    #[serde(skip)]
    pub ordinal: u64,
    /// Trial, from 0.
    #[serde(skip)]
    pub trial: u32,
    /// The category it counts for; empty where it has none.
    #[serde(skip)]
    pub category: String,
    /// Scored or errored.
    pub outcome: Outcome,
    /// Milliseconds of the target's call.
    pub latency_ms: f64,
    /// USD of the target's call.
    pub cost: f64,
    /// USD of the judges' calls.
    pub judge_cost: f64,
    /// Tokens of the target's call.
    pub usage: Usage,
    /// Whether the answer came from the response cache.
    pub cached: bool,
}

/// What became of a pair, as a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultStatus {
    /// Scored, and every metric reached its threshold.
    Passed,
    /// Scored, and some metric did not.
    Failed,
    /// Not answered or not judged.
    Errored,
}

/// The order of a list of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultOrder {
    /// By sample and trial.
    #[default]
    Ordinal,
    /// Lowest composite first; results without a composite before all others.
    Worst,
    /// Highest composite first; results without a composite behind all others.
    Best,
}

/// Which results to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultFilter {
    /// Of this category.
    pub category: Option<String>,
    /// With this status.
    pub status: Option<ResultStatus>,
    /// In this order.
    pub order: ResultOrder,
}

/// Where a page of results ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResultCursor {
    /// Composite of the last result.
    pub composite: Option<f64>,
    /// Its sample.
    pub ordinal: u64,
    /// Its trial.
    pub trial: u32,
}

/// One run's side of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Mean composite of the scored trials.
    pub composite: Option<f64>,
    /// Whether every scored trial passed; null where all errored.
    pub passed: Option<bool>,
}

/// A sample that two runs have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedSample {
    /// The sample.
    pub sample_id: String,
    /// Its category in the second run.
    pub category: String,
    /// In the first run.
    pub before: Side,
    /// In the second run.
    pub after: Side,
}

/// A page of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedPage {
    /// Pairs by sample id. A page may be empty and not be the last.
    pub pairs: Vec<PairedSample>,
    /// Where the next page begins; null at the end.
    pub next: Option<String>,
}

impl Store {
    /// The (ordinal, trial) pairs with a result, errored ones included, among the pair indices `[from, to)`.
    pub async fn done_pairs(&self, run: &RunKey, from: u64, to: u64) -> Result<HashSet<(u64, u32)>, StoreError> {
        todo!()
    }

    /// Deletes errored results and reopens their shards, so that a resumed run tries them again. What they cost stays
    /// counted. Answers with their number.
    pub async fn clear_errored(&self, run: &RunKey) -> Result<u64, StoreError> {
        todo!()
    }

    /// At most `limit` results behind the pair `after`, by (ordinal, trial).
    pub async fn stream_results(
        &self,
        run: &RunKey,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<SampleResult>, StoreError> {
        todo!()
    }

    /// Like [`Store::stream_results`], without the answers.
    pub async fn stream_measured(
        &self,
        run: &RunKey,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<Measured>, StoreError> {
        todo!()
    }

    /// All trials of one sample.
    pub async fn get_results_of_sample(&self, run: &RunKey, sample_id: &str) -> Result<Vec<SampleResult>, StoreError> {
        todo!()
    }

    /// A page of results, and the cursor of the next where there may be more.
    pub async fn list_results(
        &self,
        run: &RunKey,
        filter: &ResultFilter,
        cursor: Option<&ResultCursor>,
        limit: u32,
    ) -> Result<(Vec<SampleResult>, Option<ResultCursor>), StoreError> {
        todo!()
    }

    /// A page of the samples that both runs have, by sample id, behind `after`. Memory and time are those of the page.
    pub async fn paired(
        &self,
        run1: &RunKey,
        run2: &RunKey,
        after: Option<&str>,
        limit: u32,
    ) -> Result<PairedPage, StoreError> {
        todo!()
    }
}
