//! Feeding a run: claims shards, reads their samples, renders requests, looks answers up.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llmops_domain::chat::ChatRequest;
use llmops_domain::dataset::Sample;
use llmops_domain::hash::ContentHash;
use llmops_domain::render::RenderError;
use llmops_storage::Shard;
use tokio::sync::mpsc;

use super::execution::Execution;
use crate::Error;
use crate::cache::CachedAnswer;
use crate::cache::ResponseCache;

/// (sample, trial) pairs of a shard when a run is split.
pub(crate) const SHARD_PAIRS: u64 = 1_000;
/// Samples read at a time.
const PAGE: u32 = 250;

/// One (sample, trial) pair on its way to an answer.
pub(super) struct Pair {
    pub(super) shard: Arc<ShardGuard>,
    pub(super) ordinal: u64,
    pub(super) trial: u32,
    pub(super) sample: Arc<Sample>,
    pub(super) request: Result<ChatRequest, RenderError>,
    pub(super) key: Option<ContentHash>,
    pub(super) cached: Option<CachedAnswer>,
}

/// Counts what is left of a shard, so that it is marked complete exactly when its last pair is on disk.
pub(super) struct ShardGuard {
    pub(super) shard: Shard,
    left: AtomicI64,
}

impl ShardGuard {
    /// One pair is on disk (or the feeder has handed out the last one). True for whoever was last.
    pub(super) fn done(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// Shards that this process holds a lease on.
#[derive(Default)]
pub(super) struct Held(Mutex<BTreeMap<u32, Shard>>);

impl Held {
    fn add(&self, shard: Shard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.index, shard);
    }

    pub(super) fn remove(&self, shard: &Shard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard.index);
    }

    pub(super) fn all(&self) -> Vec<Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Claims shard after shard and sends their pairs page by page, until none is left or nobody listens any more.
pub(super) async fn feed(run: Arc<Execution>, pages: mpsc::Sender<Vec<Pair>>) -> Result<(), Error> {
    while !run.is_stopped() {
        let (store, clock) = (&run.services.store, &run.services.clock);
        let claimed = run.patiently(|| store.claim_shard(&run.key, &run.owner, run.lease(), clock.now())).await?;
        match claimed {
            Some(shard) => {
                run.held.add(shard.clone());
                if feed_shard(&run, shard, &pages).await?.is_none() {
                    return Ok(());
                }
            }
            None if run.is_queued() || !run.others_are_at_work().await? => return Ok(()),
            // The rest is in other hands. Wait for it, and take over what its owner drops.
            None => tokio::time::sleep(run.lease().min(Duration::from_secs(1)) / 2).await,
        }
    }
    Ok(())
}

/// Sends what the shard still lacks. `None`: nobody listens any more.
async fn feed_shard(run: &Arc<Execution>, shard: Shard, pages: &mpsc::Sender<Vec<Pair>>) -> Result<Option<()>, Error> {
    let repeat = u64::from(run.spec.repeat);
    let store = &run.services.store;
    let done = run.patiently(|| store.done_pairs(&run.key, shard.start, shard.end)).await?;
    let (mut ordinal, end) = (shard.start / repeat, shard.end.div_ceil(repeat));
    let indices = shard.start..shard.end;
    let guard = Arc::new(ShardGuard { shard, left: AtomicI64::new(1) });
    while ordinal < end && !run.is_stopped() {
        let limit = u32::try_from((end - ordinal).min(u64::from(PAGE))).unwrap_or(PAGE);
        let samples = run.patiently(|| store.stream_samples(run.dataset, ordinal, limit)).await?;
        let Some(last) = samples.last().map(|(at, _)| *at) else { break };
        let mut page = Vec::new();
        let is_chosen = |(_, sample): &(u64, Sample)| run.chosen.as_ref().is_none_or(|chosen| chosen.has(sample));
        for (at, sample) in samples.into_iter().filter(is_chosen) {
            let sample = Arc::new(sample);
            for trial in 0..run.spec.repeat {
                let index = at * repeat + u64::from(trial);
                if indices.contains(&index) && !done.contains(&(at, trial)) {
                    page.push(prepare(run, &guard, (at, trial), &sample));
                }
            }
        }
        look_up(run, &mut page).await?;
        guard.left.fetch_add(i64::try_from(page.len()).unwrap_or(i64::MAX), Ordering::AcqRel);
        if pages.send(page).await.is_err() {
            return Ok(None);
        }
        ordinal = last + 1;
    }
    // Stopped half-way, the feeder keeps its own count, so that the shard is not taken for complete.
    if !run.is_stopped() && guard.done() {
        run.complete(&guard).await?;
    }
    Ok(Some(()))
}

fn prepare(run: &Execution, guard: &Arc<ShardGuard>, (ordinal, trial): (u64, u32), sample: &Arc<Sample>) -> Pair {
    let request = run.compiled.request_for_sample(sample, trial);
    let key = match &request {
        Ok(request) if run.target.is_cacheable() => {
            ResponseCache::key(&run.spec.manifest.model, run.target.fingerprint(), request)
        }
        _ => None,
    };
    Pair { shard: guard.clone(), ordinal, trial, sample: sample.clone(), request, key, cached: None }
}

async fn look_up(run: &Execution, page: &mut [Pair]) -> Result<(), Error> {
    let keys: Vec<ContentHash> = page.iter().filter_map(|pair| pair.key.clone()).collect();
    let mut known: HashMap<ContentHash, CachedAnswer> = run.patiently(|| run.cache.get_many(&keys)).await?;
    for pair in page {
        pair.cached = pair.key.as_ref().and_then(|key| known.remove(key));
    }
    Ok(())
}
