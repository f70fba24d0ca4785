//! Executing a run: pairs in, durable sample results out.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmops_domain::chat::ChatResponse;
use llmops_domain::id::RunId;
use llmops_domain::render::CompiledTarget;
use llmops_domain::run::{Chosen, Outcome, RunSpec, RunStatus, SampleResult};
use llmops_providers::{ProviderError, Target};
use llmops_storage::{RunKey, StoreError, VersionKey};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::shard::{Held, Pair, ShardGuard, feed};
use crate::cache::ResponseCache;
use crate::scorers::{Reached, ScoreError, Scored, ScoredAnswer, Scorers};
use crate::{Error, Services, patience};

/// Calls in a row that found the provider unavailable before the run gives up. A provider that is down fails fast this
/// way, instead of every sample trying and retrying on its own.
const GIVE_UP_AFTER: u32 = 16;
/// Pairs on their way per call that the provider takes at a time: enough to keep it busy while results are written.
const PIPELINE_DEPTH: usize = 2;
/// Calls at a time to a provider that names no limit.
const UNLIMITED_CALLS: usize = 256;
/// Pages of pairs that are read ahead.
const PAGES_AHEAD: usize = 2;
/// Pairs that are worked on and written together when nothing is waited for: handing each around on its own would take
/// longer than answering it.
const INSTANT_BATCH: usize = 125;
/// Batches of such pairs on their way.
const INSTANT_BATCHES: usize = 8;

/// Everything that one process needs to work on one run.
pub(super) struct Execution {
    pub(super) services: Arc<Services>,
    pub(super) id: RunId,
    pub(super) key: RunKey,
    pub(super) spec: RunSpec,
    pub(super) dataset: VersionKey,
    pub(super) compiled: CompiledTarget,
    pub(super) target: Target,
    pub(super) scorers: Scorers,
    /// The samples that are evaluated, where not all are.
    pub(super) chosen: Option<Chosen>,
    pub(super) cache: ResponseCache,
    pub(super) owner: String,
    pub(super) held: Held,
    pub(super) stop: Stop,
}

/// Why a run ends before its last pair.
#[derive(Debug, Clone)]
pub(super) enum StopReason {
    /// A person cancelled it.
    Cancelled,
    /// A provider cannot be reached.
    Unavailable(String),
    /// Others ended the run.
    Ended,
    /// This process is asked to stop; others go on.
    Leaving,
}

/// Tells everything that works on a run to stop.
#[derive(Default)]
pub(super) struct Stop {
    stopped: AtomicBool,
    reason: Mutex<Option<StopReason>>,
    /// Calls in a row that did not reach the target, and answers in a row for whose score somebody could not be reached: an
    /// answer from the cache says nothing of the one, and a target that answers nothing of the other.
    target_unavailable: AtomicU32,
    scorers_unavailable: AtomicU32,
    woken: Notify,
}

impl Stop {
    /// Stops, for the first reason given.
    pub(super) fn because(&self, reason: StopReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stopped.store(true, Ordering::Release);
        self.woken.notify_waiters();
    }

    pub(super) fn reason(&self) -> Option<StopReason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Execution {
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.stopped.load(Ordering::Acquire)
    }

    pub(super) fn lease(&self) -> Duration {
        self.services.options.lease
    }

    /// Whether other processes bring themselves to the run, so that this one need not wait for them.
    pub(super) fn is_queued(&self) -> bool {
        self.services.options.queue.is_some()
    }

    /// Calls the store until it answers, as long as the run is not stopped: what was asked and scored is not lost because
    /// the store is away for a while.
    pub(super) async fn patiently<T, E, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        E: Into<Error>,
        F: Future<Output = Result<T, E>>,
    {
        patience::with(&self.services.options, &self.stop.stopped, call).await
    }

    /// Works until no shard is left, or until stopped. What is on its way when it stops still ends on disk.
    pub(super) async fn work(self: Arc<Self>) -> Result<(), Error> {
        let (batch, batches) = if self.target.is_instant() && self.scorers.is_instant() {
            (INSTANT_BATCH, INSTANT_BATCHES)
        } else {
            (1, self.target.max_concurrency().unwrap_or(UNLIMITED_CALLS) * PIPELINE_DEPTH)
        };
        let (sender, mut pages) = mpsc::channel(PAGES_AHEAD);
        let feeder = tokio::spawn(feed(self.clone(), sender));
        let keeper = tokio::spawn(keep_leases(self.clone()));
        let places = Arc::new(Semaphore::new(batches));
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        let mut failure = None;
        while failure.is_none() && !self.is_stopped() {
            let page: Option<Vec<Pair>> = tokio::select! {
                page = pages.recv() => page,
                () = self.stop.woken.notified() => None,
            };
            let Some(page) = page else { break };
            let mut page = page.into_iter().peekable();
            while page.peek().is_some() && failure.is_none() && !self.is_stopped() {
                let Ok(place) = places.clone().acquire_owned().await else { break };
                let (run, pairs) = (self.clone(), page.by_ref().take(batch).collect());
                tasks.spawn(async move {
                    let written = run.answer_and_write(pairs).await;
                    drop(place);
                    written
                });
                while let Some(done) = tasks.try_join_next() {
                    failure = failure.or(flatten(done).err());
                }
            }
        }
        drop(pages);
        while let Some(done) = tasks.join_next().await {
            failure = failure.or(flatten(done).err());
        }
        keeper.abort();
        let fed = flatten(feeder.await);
        failure.map_or(fed, Err)
    }

    async fn answer_and_write(&self, pairs: Vec<Pair>) -> Result<(), Error> {
        let shards: Vec<_> = pairs.iter().map(|pair| pair.shard.clone()).collect();
        let mut results = Vec::with_capacity(pairs.len());
        // Batches exist where nothing is waited for, so that one after the other is as fast as all at once.
        for pair in pairs {
            results.push(self.answer(pair).await);
        }
        self.services.meters.note_results(&results);
        self.services.writer.submit(&self.key, results).await?;
        self.services.events.publish_progress(&self.id, &self.key).await;
        for shard in shards {
            if shard.done() {
                self.complete(&shard).await?;
            }
        }
        Ok(())
    }

    /// Marks a shard as done, unless the lease was lost meanwhile: then it is the new owner's to do.
    pub(super) async fn complete(&self, shard: &ShardGuard) -> Result<(), Error> {
        self.held.remove(&shard.shard);
        match self.patiently(|| self.services.store.complete_shard(&shard.shard)).await {
            Ok(()) | Err(Error::Store(StoreError::LeaseLost { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether another process holds a part of this run.
    pub(super) async fn others_are_at_work(&self) -> Result<bool, Error> {
        let summary = self.patiently(|| self.services.store.shard_summary(&self.key)).await?;
        Ok(summary.leases.iter().any(|lease| lease.owner != self.owner))
    }

    async fn answer(&self, pair: Pair) -> SampleResult {
        let mut result = SampleResult {
            ordinal: pair.ordinal,
            trial: pair.trial,
            sample_id: pair.sample.id.clone(),
            category: pair.sample.category.clone().unwrap_or_default(),
            outcome: Outcome::Errored { reason: String::new(), message: String::new() },
            output: String::new(),
            tool_calls: Vec::new(),
            finish_reason: None,
            latency_ms: 0.0,
            cost: 0.0,
            judge_cost: 0.0,
            usage: llmops_domain::chat::Usage::default(),
            cached: pair.cached.is_some(),
        };
        if let Some(ScoreError { reason, message, .. }) = self.scorers.exhausted() {
            result.outcome = Outcome::Errored { reason, message };
            return result;
        }
        let (response, cost) = match self.ask(&pair, &mut result).await {
            Ok(answered) => answered,
            Err((reason, message)) => {
                result.outcome = Outcome::Errored { reason, message };
                return result;
            }
        };
        result.output.clone_from(&response.text);
        let has_form = self.compiled.post_process(&mut result.output);
        let (sample, output) = (&*pair.sample, &*result.output);
        let scored = Scored { sample, trial: pair.trial, output, response: &response, cost };
        let ScoredAnswer { outcome, judge_cost, reached } = match has_form {
            Ok(()) => self.scorers.score(scored).await,
            Err(problem) => self.scorers.without_form(scored, &problem),
        };
        match (reached, &outcome) {
            (Reached::All, _) => self.stop.scorers_unavailable.store(0, Ordering::Relaxed),
            (Reached::NotAll, Outcome::Errored { message, .. }) => {
                self.note_unavailable(&self.stop.scorers_unavailable, message);
            }
            _ => {}
        }
        result.outcome = outcome;
        result.judge_cost = judge_cost;
        result.tool_calls = response.tool_calls;
        result.finish_reason = response.finish_reason;
        result
    }

    /// The target's answer, from the cache or the provider, and what it cost when it was asked.
    async fn ask(
        &self,
        pair: &Pair,
        result: &mut SampleResult,
    ) -> Result<(ChatResponse, Option<f64>), (String, String)> {
        if let Some(known) = &pair.cached {
            result.usage = known.response.usage;
            result.latency_ms = known.response.latency_ms;
            return Ok((known.response.clone(), known.cost));
        }
        let request = pair.request.as_ref().map_err(|e| ("render".to_owned(), e.to_string()))?;
        let asked_at = self.services.clock.now();
        let answer = self.services.providers.chat(&self.target, request).await;
        self.trace(pair, asked_at, answer.as_ref().map(|answer| answer.response.usage));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.note_failure(&error)),
        };
        self.stop.target_unavailable.store(0, Ordering::Relaxed);
        result.usage = answer.response.usage;
        result.latency_ms = answer.response.latency_ms;
        result.cost = answer.cost.unwrap_or(0.0);
        if let Some(key) = &pair.key {
            self.cache.put(key, &answer).await;
        }
        Ok((answer.response, answer.cost))
    }

    fn note_failure(&self, error: &ProviderError) -> (String, String) {
        if error.is_unavailable() {
            self.note_unavailable(&self.stop.target_unavailable, &error.to_string());
        }
        (error.reason(), error.to_string())
    }

    fn note_unavailable(&self, in_a_row: &AtomicU32, message: &str) {
        if in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= GIVE_UP_AFTER {
            self.stop.because(StopReason::Unavailable(message.to_owned()));
        }
    }
}

/// Renews the leases on the shards this process works on, three times a lease, and learns when others ended the run.
async fn keep_leases(run: Arc<Execution>) {
    let store = &run.services.store;
    loop {
        tokio::time::sleep(run.lease() / 3).await;
        for shard in run.held.all() {
            let now = run.services.clock.now();
            if let Err(error) = store.renew_lease(&shard, run.lease(), now).await {
                tracing::warn!(run = %run.id, shard = shard.index, %error, "could not renew a lease");
            }
        }
        match store.run_status(&run.key).await {
            Ok((RunStatus::Running, judge_cost)) => run.scorers.note_spent(judge_cost),
            Ok((status, _)) => {
                tracing::info!(run = %run.id, %status, "others ended the run");
                return run.stop.because(StopReason::Ended);
            }
            Err(error) => tracing::warn!(run = %run.id, %error, "could not look how the run stands"),
        }
    }
}

fn flatten(joined: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    joined.unwrap_or_else(|panic| Err(Error::Internal(format!("a task of the run failed: {panic}"))))
}
