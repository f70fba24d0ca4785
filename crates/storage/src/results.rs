//! Sample results: reading pages of them, what is done, pairs of two runs.

use std::collections::HashSet;

use llmops_domain::chat::{ToolCall, Usage};
pub use llmops_domain::run::ResultOrder;
use llmops_domain::run::{Outcome, ResultStatus, SampleResult};
use serde::{Deserialize, Serialize};

use crate::db::{Conn, big, count, decode, execute, fetch, row};
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

/// The part of a result that only people read, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) output: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finish_reason: Option<String>,
}

row! {
    struct ResultRow {
        ordinal: i64,
        trial: i64,
        sample_id: String,
        category: String,
        measured: String,
        answer: String,
    }
}

impl ResultRow {
    fn into_result(self) -> Result<SampleResult, StoreError> {
        let measured: Measured = decode("a sample result", &self.measured)?;
        let answer: Answer = decode("an answer", &self.answer)?;
        Ok(SampleResult {
            ordinal: count(self.ordinal)?,
            trial: count(self.trial)?,
            sample_id: self.sample_id,
            category: self.category,
            outcome: measured.outcome,
            output: answer.output,
            tool_calls: answer.tool_calls,
            finish_reason: answer.finish_reason,
            latency_ms: measured.latency_ms,
            cost: measured.cost,
            judge_cost: measured.judge_cost,
            usage: measured.usage,
            cached: measured.cached,
        })
    }
}

/// The bound of a page behind a pair; before the first pair without one.
fn behind(after: Option<(u64, u32)>) -> (i64, i64) {
    after.map_or((-1, -1), |(ordinal, trial)| (big(ordinal), i64::from(trial)))
}

impl Store {
    /// The (ordinal, trial) pairs with a result, errored ones included, among the pair indices `[from, to)`.
    pub async fn done_pairs(&self, run: &RunKey, from: u64, to: u64) -> Result<HashSet<(u64, u32)>, StoreError> {
        let repeat = u64::from(run.repeat);
        let sql = "SELECT ordinal, trial FROM results WHERE run_key = $1 AND ordinal >= $2 AND ordinal < $3";
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, (i64, i64), sql, run.key, big(from / repeat), big(to.div_ceil(repeat)))?
        };
        let mut done = HashSet::with_capacity(rows.len());
        for (ordinal, trial) in rows {
            let (ordinal, trial) = (count::<u64>(ordinal)?, count::<u32>(trial)?);
            if (from..to).contains(&(ordinal * repeat + u64::from(trial))) {
                done.insert((ordinal, trial));
            }
        }
        Ok(done)
    }

    /// Deletes errored results and reopens their shards, so that a resumed run tries them again. What they cost stays
    /// counted. Answers with their number.
    pub async fn clear_errored(&self, run: &RunKey) -> Result<u64, StoreError> {
        let reopen = "UPDATE shards SET done = FALSE WHERE run_key = $1 AND done AND EXISTS \
                      (SELECT 1 FROM results r WHERE r.run_key = $1 AND r.passed IS NULL \
                      AND r.ordinal >= start_pair / $2 AND r.ordinal <= (end_pair - 1) / $2)";
        let mut tx = self.write().await?;
        execute!(tx, reopen, run.key, i64::from(run.repeat))?;
        let cleared = execute!(tx, "DELETE FROM results WHERE run_key = $1 AND passed IS NULL", run.key)?;
        let sql = "UPDATE runs SET done = done - $2, errored = errored - $2 WHERE key = $1";
        execute!(tx, sql, run.key, big(cleared))?;
        tx.commit().await?;
        Ok(cleared)
    }

    /// At most `limit` results behind the pair `after`, by (ordinal, trial).
    pub async fn stream_results(
        &self,
        run: &RunKey,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<SampleResult>, StoreError> {
        let sql = "SELECT ordinal, trial, sample_id, category, measured, answer FROM results \
                   WHERE run_key = $1 AND (ordinal, trial) > ($2, $3) ORDER BY ordinal, trial LIMIT $4";
        let (ordinal, trial) = behind(after);
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, ResultRow, sql, run.key, ordinal, trial, i64::from(limit))?
        };
        rows.into_iter().map(ResultRow::into_result).collect()
    }

    /// Like [`Store::stream_results`], without the answers.
    pub async fn stream_measured(
        &self,
        run: &RunKey,
        after: Option<(u64, u32)>,
        limit: u32,
    ) -> Result<Vec<Measured>, StoreError> {
        let sql = "SELECT ordinal, trial, category, measured FROM results \
                   WHERE run_key = $1 AND (ordinal, trial) > ($2, $3) ORDER BY ordinal, trial LIMIT $4";
        let (ordinal, trial) = behind(after);
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, (i64, i64, String, String), sql, run.key, ordinal, trial, i64::from(limit))?
        };
        let lean = |(ordinal, trial, category, text): (i64, i64, String, String)| {
            let measured = decode("a sample result", &text)?;
            Ok(Measured { ordinal: count(ordinal)?, trial: count(trial)?, category, ..measured })
        };
        rows.into_iter().map(lean).collect()
    }

    /// What became of every trial of the samples whose ids lie in a range, in the order of the ids.
    pub async fn outcomes_between(
        &self,
        run: &RunKey,
        (first, last): (&str, &str),
    ) -> Result<Vec<(String, Outcome)>, StoreError> {
        let sql = "SELECT sample_id, measured FROM results \
                   WHERE run_key = $1 AND sample_id >= $2 AND sample_id <= $3 ORDER BY sample_id";
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, (String, String), sql, run.key, first, last)?
        };
        let outcome = |(id, text): (String, String)| {
            let measured: Measured = decode("a sample result", &text)?;
            Ok((id, measured.outcome))
        };
        rows.into_iter().map(outcome).collect()
    }

    /// All trials of one sample.
    pub async fn get_results_of_sample(&self, run: &RunKey, sample_id: &str) -> Result<Vec<SampleResult>, StoreError> {
        let sql = "SELECT ordinal, trial, sample_id, category, measured, answer FROM results \
                   WHERE run_key = $1 AND sample_id = $2 ORDER BY ordinal, trial";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, ResultRow, sql, run.key, sample_id)?;
        rows.into_iter().map(ResultRow::into_result).collect()
    }

    /// A page of results, and the cursor of the next where there may be more.
    pub async fn list_results(
        &self,
        run: &RunKey,
        filter: &ResultFilter,
        cursor: Option<&ResultCursor>,
        limit: u32,
    ) -> Result<(Vec<SampleResult>, Option<ResultCursor>), StoreError> {
        // Composites are at least 0; a result without one stands before or behind them all.
        let (sql, sign) = match filter.order {
            ResultOrder::Ordinal => (LIST_BY_ORDINAL, 0.0),
            ResultOrder::Worst => (LIST_BY_COMPOSITE, 1.0),
            ResultOrder::Best => (LIST_BY_COMPOSITE, -1.0),
        };
        let rank = cursor.map_or(f64::MIN, |c| sign * c.composite.unwrap_or(-1.0));
        let (ordinal, trial) = behind(cursor.map(|c| (c.ordinal, c.trial)));
        let status = filter.status.map(|status| match status {
            ResultStatus::Failed => 0_i64,
            ResultStatus::Passed => 1,
            ResultStatus::Errored => 2,
        });
        let category = filter.category.as_deref();
        let limit_rows = i64::from(limit);
        let rows = {
            let mut conn = self.read().await?;
            fetch!(fetch_all, conn, ResultRow, sql, run.key, category, status, ordinal, trial, limit_rows, rank, sign)?
        };
        let full = rows.len() == limit as usize;
        let results = rows.into_iter().map(ResultRow::into_result).collect::<Result<Vec<_>, _>>()?;
        let next = results.last().filter(|_| full).map(|last| ResultCursor {
            composite: last.outcome.composite(),
            ordinal: last.ordinal,
            trial: last.trial,
        });
        Ok((results, next))
    }

    /// A page of the samples that both runs have, by sample id, behind `after`. Memory and time are those of the page.
    pub async fn paired(
        &self,
        run1: &RunKey,
        run2: &RunKey,
        after: Option<&str>,
        limit: u32,
    ) -> Result<PairedPage, StoreError> {
        let (before, behind) = {
            let mut conn = self.read().await?;
            (sides(&mut conn, run1, after, limit).await?, sides(&mut conn, run2, after, limit).await?)
        };
        // A full page says nothing about ids behind its last.
        let ends =
            [&before, &behind].map(|page| page.last().filter(|_| page.len() == limit as usize).map(|s| s.0.clone()));
        let next = ends.into_iter().flatten().min();
        let mut others = behind.into_iter().peekable();
        let mut pairs = Vec::new();
        for (sample_id, _, side) in before {
            while others.next_if(|other| other.0 < sample_id).is_some() {}
            if next.as_ref().is_none_or(|end| sample_id <= *end)
                && let Some((_, category, after)) = others.next_if(|other| other.0 == sample_id)
            {
                pairs.push(PairedSample { sample_id, category, before: side, after });
            }
        }
        Ok(PairedPage { pairs, next })
    }
}

/// Takes the values of [`LIST_BY_COMPOSITE`], and needs the first six.
const LIST_BY_ORDINAL: &str = "SELECT ordinal, trial, sample_id, category, measured, answer FROM results \
     WHERE run_key = $1 AND (ordinal, trial) > ($4, $5) AND ($2 IS NULL OR category = $2) \
     AND ($3 IS NULL OR COALESCE(passed, 2) = $3) ORDER BY ordinal, trial LIMIT $6";

const LIST_BY_COMPOSITE: &str = "SELECT ordinal, trial, sample_id, category, measured, answer FROM results \
     WHERE run_key = $1 AND ($8 * COALESCE(composite, -1), ordinal, trial) > ($7, $4, $5) \
     AND ($2 IS NULL OR category = $2) AND ($3 IS NULL OR COALESCE(passed, 2) = $3) \
     ORDER BY $8 * COALESCE(composite, -1), ordinal, trial LIMIT $6";

/// A page of one run's samples: id, category and the mean over trials.
async fn sides(
    conn: &mut Conn,
    run: &RunKey,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<(String, String, Side)>, StoreError> {
    let sql = "SELECT sample_id, MIN(category), AVG(composite), MIN(passed) FROM results \
               WHERE run_key = $1 AND sample_id >= $2 GROUP BY sample_id ORDER BY sample_id LIMIT $3";
    // The smallest text behind `after`, ids being free of NUL.
    let from = after.map(|after| format!("{after}\u{1}")).unwrap_or_default();
    let rows =
        fetch!(fetch_all, conn, (String, String, Option<f64>, Option<i64>), sql, run.key, from, i64::from(limit))?;
    let side = |(id, category, composite, passed): (_, _, _, Option<i64>)| {
        (id, category, Side { composite, passed: passed.map(|passed| passed == 1) })
    };
    Ok(rows.into_iter().map(side).collect())
}
