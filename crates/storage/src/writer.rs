//! The writer: one task that groups what many submit into few commits.
//!
//! A commit begins as soon as the one before is through and takes whatever was submitted in the meantime: no timers, so a
//! lone result waits for one commit and a flood shares them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use llmops_domain::run::{Outcome, SampleResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::bulk::{Insert, insert_rows};
use crate::cache::CacheRow;
use crate::db::{Pools, Tx, big, check_name, execute};
use crate::observations::{Batch, NewObservation, ObservedExperiment, Recorded};
use crate::results::{Answer, Measured};
use crate::{CacheLimits, RunKey, Store, StoreError, StoreOptions};

/// Most rows of one commit: what SQLite writes in well under a tenth of a second.
const COMMIT_ROWS: usize = 4096;
/// Kilobytes that may wait for the writer. Who submits more waits.
const QUEUE_KIB: u32 = 64 << 10;

/// First pause of the writer when the database cannot be reached; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const INSERT_RESULTS: Insert = Insert {
    head: "INSERT INTO results \
           (run_key, ordinal, trial, project_id, sample_id, category, passed, composite, measured, answer) VALUES",
    columns: 10,
    tail: "ON CONFLICT DO NOTHING",
};

/// A sample result as its row.
struct ResultRow {
    run: i64,
    ordinal: i64,
    trial: i64,
    project: Arc<str>,
    sample_id: String,
    category: String,
    /// 0 or 1; null where it errored.
    passed: Option<i64>,
    composite: Option<f64>,
    measured: String,
    answer: String,
    cost: f64,
    judge_cost: f64,
}

/// What the writer is asked to do.
enum Work {
    Results(Vec<ResultRow>),
    Cache(CacheRow),
    /// Observations, and where it is said what became of them.
    Observe(Batch, Arc<Mutex<Recorded>>),
    /// Nothing: the answer says that all before it is done.
    Flush,
}

struct Job {
    work: Work,
    done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Its share of the queue.
    _room: OwnedSemaphorePermit,
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Queue {
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// Starts the writer. It ends when the last queue is dropped and all jobs are done.
    pub(crate) fn start(pools: Pools, options: StoreOptions) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write_all(pools, options, receiver));
        Self { jobs: sender, room: Arc::new(Semaphore::new(QUEUE_KIB as usize)) }
    }

    /// Waits for room, then puts the job into the queue.
    async fn send(
        &self,
        work: Work,
        bytes: usize,
        done: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) -> Result<(), StoreError> {
        // One job that is larger than the queue takes all of it.
        let kib = u32::try_from(bytes / 1024).unwrap_or(QUEUE_KIB).clamp(1, QUEUE_KIB);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| stopped())?;
        self.jobs.send(Job { work, done, _room: room }).map_err(|_| stopped())
    }

    async fn send_and_wait(&self, work: Work, bytes: usize) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        self.send(work, bytes, Some(done)).await?;
        wait.await.map_err(|_| stopped())?
    }

    /// Waits until everything before is written.
    pub(crate) async fn flush(&self) {
        // A writer that has stopped has nothing left to write.
        let _ = self.send_and_wait(Work::Flush, 0).await;
    }

    /// Submits observations and returns when they are on disk, with what became of them.
    pub(crate) async fn observe(
        &self,
        experiment: Arc<ObservedExperiment>,
        observations: Vec<NewObservation>,
    ) -> Result<Recorded, StoreError> {
        let bytes = observations.len() * 256;
        let recorded = Arc::<Mutex<Recorded>>::default();
        let work = Work::Observe(Batch { experiment, observations }, recorded.clone());
        self.send_and_wait(work, bytes).await?;
        Ok(std::mem::take(&mut *recorded.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Submits an answer for the cache; whether it was written is nobody's concern.
    pub(crate) async fn cache(&self, row: CacheRow) {
        let bytes = row.body.len();
        // The writer stops only with the process.
        let _ = self.send(Work::Cache(row), bytes, None).await;
    }
}

/// The runtime that the writer lives in is gone.
fn stopped() -> StoreError {
    StoreError::Unavailable(Arc::new(sqlx::Error::WorkerCrashed))
}

/// Writes sample results. Clones share one queue.
#[derive(Clone)]
pub struct ResultWriter {
    queue: Queue,
}

impl ResultWriter {
    /// Submits results of a run and returns when they are on disk. A pair that has a result keeps it, so submitting again is
    /// harmless. Waits while the queue is full. What was submitted is written even when nobody waits any more.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for NaN or a NUL character in a sample id or category, before anything is written;
    /// [`StoreError::Unavailable`] when the database could not be reached for as long as the options say: submit again.
    pub async fn submit(&self, run: &RunKey, results: Vec<SampleResult>) -> Result<(), StoreError> {
        if results.is_empty() {
            return Ok(());
        }
        let rows = results.into_iter().map(|r| row_of(run, r)).collect::<Result<Vec<_>, _>>()?;
        let bytes = rows.iter().map(|row| row.measured.len() + row.answer.len() + 256).sum();
        self.queue.send_and_wait(Work::Results(rows), bytes).await
    }
}

impl Store {
    /// The writer of sample results.
    pub fn result_writer(&self) -> ResultWriter {
        ResultWriter { queue: self.queue().clone() }
    }
}

/// Makes the row, here and not in the writer, so that many submitters share the work.
fn row_of(run: &RunKey, result: SampleResult) -> Result<ResultRow, StoreError> {
    check_name("the sample id", &result.sample_id)?;
    check_name("the category", &result.category)?;
    check_numbers(&result)?;
    let (passed, composite) = (result.outcome.passed().map(i64::from), result.outcome.composite());
    let measured = Measured {
        ordinal: result.ordinal,
        trial: result.trial,
        category: String::new(),
        outcome: result.outcome,
        latency_ms: result.latency_ms,
        cost: result.cost,
        judge_cost: result.judge_cost,
        usage: result.usage,
        cached: result.cached,
    };
    let answer = Answer { output: result.output, tool_calls: result.tool_calls, finish_reason: result.finish_reason };
    let no_json = |e| StoreError::Invalid(format!("the result of sample `{}` has no JSON form: {e}", result.sample_id));
    Ok(ResultRow {
        run: run.key,
        ordinal: big(result.ordinal),
        trial: i64::from(result.trial),
        project: Arc::clone(&run.project),
        passed,
        composite,
        measured: serde_json::to_string(&measured).map_err(no_json)?,
        answer: serde_json::to_string(&answer).map_err(no_json)?,
        cost: result.cost + result.judge_cost,
        judge_cost: result.judge_cost,
        sample_id: result.sample_id,
        category: result.category,
    })
}

/// JSON would write NaN and infinity as null, and nobody could read the result again.
fn check_numbers(result: &SampleResult) -> Result<(), StoreError> {
    let mut numbers = vec![("latency_ms", result.latency_ms), ("cost", result.cost), ("judge_cost", result.judge_cost)];
    if let Outcome::Scored { scores, composite, .. } = &result.outcome {
        numbers.extend(scores.iter().map(|(name, score)| (name.as_str(), score.score)));
        numbers.extend(composite.map(|composite| ("composite", composite)));
    }
    match numbers.iter().find(|(_, number)| !number.is_finite()) {
        None => Ok(()),
        Some((name, number)) => Err(StoreError::Invalid(format!(
            "`{name}` of sample `{}` is {number}: a result holds finite numbers only",
            result.sample_id
        ))),
    }
}

async fn write_all(pools: Pools, options: StoreOptions, mut receiver: mpsc::UnboundedReceiver<Job>) {
    let mut jobs = Vec::new();
    while let Some(job) = receiver.recv().await {
        let mut rows = 0;
        let mut next = Some(job);
        while let Some(job) = next {
            rows += match &job.work {
                Work::Results(results) => results.len(),
                Work::Cache(_) => 1,
                Work::Observe(batch, _) => batch.observations.len(),
                Work::Flush => 0,
            };
            jobs.push(job);
            next = if rows < COMMIT_ROWS { receiver.try_recv().ok() } else { None };
        }
        write_jobs(&pools, options, std::mem::take(&mut jobs)).await;
    }
}

/// Writes the jobs in one transaction. When one of them cannot be written, the others shall not suffer: each gets its own.
async fn write_jobs(pools: &Pools, options: StoreOptions, jobs: Vec<Job>) {
    let limits = options.cache;
    let done = write_patiently(pools, options, &jobs).await;
    match done {
        Err(error) if jobs.len() > 1 && !matches!(error, StoreError::Unavailable(_)) => {
            for job in jobs {
                let done = write_group(pools, limits, std::slice::from_ref(&job)).await;
                if let (None, Err(error)) = (&job.done, &done) {
                    tracing::warn!(%error, "an answer was not cached");
                }
                answer(job, done);
            }
        }
        done => {
            let unheard = jobs.iter().filter(|job| job.done.is_none()).count();
            if let Err(error) = &done
                && unheard > 0
            {
                tracing::warn!(%error, answers = unheard, "answers were not cached");
            }
            for job in jobs {
                answer(job, done.clone());
            }
        }
    }
}

/// Writes the jobs, again and again while the database cannot be reached. What was submitted meanwhile waits behind them.
async fn write_patiently(pools: &Pools, options: StoreOptions, jobs: &[Job]) -> Result<(), StoreError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match write_group(pools, options.cache, jobs).await {
            Err(error) if error.may_pass() && started.elapsed() < options.write_patience => {
                // Once: the same line every second for a minute says no more.
                if pause == FIRST_PAUSE {
                    tracing::warn!(%error, jobs = jobs.len(), "results wait for the database");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
}

fn answer(job: Job, done: Result<(), StoreError>) {
    if let Some(waiting) = job.done {
        // Who stopped waiting does not hear it; the rows are written all the same.
        drop(waiting.send(done));
    }
}

async fn write_group(pools: &Pools, limits: CacheLimits, jobs: &[Job]) -> Result<(), StoreError> {
    let mut results = Vec::new();
    let mut cache = Vec::new();
    // Experiments in one order, because replicas lock them.
    let mut observed = BTreeMap::<i64, Vec<(&Batch, &Arc<Mutex<Recorded>>)>>::new();
    for job in jobs {
        match &job.work {
            Work::Results(rows) => results.extend(rows),
            Work::Cache(row) => cache.push(row),
            Work::Observe(batch, recorded) => {
                observed.entry(batch.experiment.number()).or_default().push((batch, recorded));
            }
            Work::Flush => {}
        }
    }
    if results.is_empty() && cache.is_empty() && observed.is_empty() {
        return Ok(());
    }
    // In the order of the index: neighbours share pages, and replicas lock in one order.
    results.sort_by_key(|row| (row.run, row.ordinal, row.trial));
    crate::cache::sort(&mut cache);
    let mut tx = pools.write().await?;
    crate::cache::make_place(&mut tx, &cache).await?;
    let inserted = insert(&mut tx, &results).await? + crate::cache::insert(&mut tx, &cache).await?;
    if inserted < (results.len() + cache.len()) as u64 {
        // Some were there before. Rare, so it may take a second pass, one by one, to tell which are new.
        tx.rollback().await?;
        tx = pools.write().await?;
        crate::cache::make_place(&mut tx, &cache).await?;
        results = only_new(&mut tx, &results, async |tx, row| insert(tx, row).await).await?;
        cache = only_new(&mut tx, &cache, async |tx, row| crate::cache::insert(tx, row).await).await?;
    }
    count_results(&mut tx, &results).await?;
    crate::cache::count_new(&mut tx, limits, &cache).await?;
    for jobs in observed.into_values() {
        let batches: Vec<&Batch> = jobs.iter().map(|(batch, _)| *batch).collect();
        for ((_, slot), recorded) in jobs.iter().zip(crate::observations::apply(&mut tx, &batches).await?) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = recorded;
        }
    }
    tx.commit().await
}

/// Inserts results and says how many pairs had none before.
async fn insert(tx: &mut Tx, rows: &[&ResultRow]) -> Result<u64, StoreError> {
    insert_rows!(
        tx,
        INSERT_RESULTS,
        rows,
        |row| row.run,
        row.ordinal,
        row.trial,
        &*row.project,
        &row.sample_id,
        &row.category,
        row.passed,
        row.composite,
        &row.measured,
        &row.answer
    )
    .await
}

/// Inserts one by one and keeps those that were not there.
async fn only_new<'a, T>(
    tx: &mut Tx,
    rows: &[&'a T],
    insert: impl AsyncFn(&mut Tx, &[&T]) -> Result<u64, StoreError>,
) -> Result<Vec<&'a T>, StoreError> {
    let mut new = Vec::new();
    for row in rows {
        if insert(tx, std::slice::from_ref(row)).await? > 0 {
            new.push(*row);
        }
    }
    Ok(new)
}

/// Adds the new results to the counters of their runs.
async fn count_results(tx: &mut Tx, rows: &[&ResultRow]) -> Result<(), StoreError> {
    let mut runs = BTreeMap::<i64, (i64, i64, f64, f64)>::new();
    for row in rows {
        let (done, errored, cost, judge_cost) = runs.entry(row.run).or_default();
        *done += 1;
        *errored += i64::from(row.passed.is_none());
        *cost += row.cost;
        *judge_cost += row.judge_cost;
    }
    for (run, (done, errored, cost, judge_cost)) in runs {
        let sql = "UPDATE runs SET done = done + $2, errored = errored + $3, cost = cost + $4, \
                   judge_cost = judge_cost + $5 WHERE key = $1";
        if execute!(tx, sql, run, done, errored, cost, judge_cost)? == 0 {
            return Err(StoreError::Conflict("the run was deleted".to_owned()));
        }
    }
    Ok(())
}
