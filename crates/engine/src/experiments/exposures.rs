//! Exposures: each unit's first one is stored, in batches, off the path of the answer.
//!
//! A table of fingerprints remembers which units this process has handed to the writer, so that a unit that comes again costs one
//! look. A fingerprint may be overwritten by another: then the unit is handed over once more, and the store keeps the first.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use llmops_domain::experiment::assignment::Exposure;
use llmops_storage::{ExperimentKey, Store, StoreError, StoredUnit};
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// Fingerprints of units that were handed over (8 bytes each).
const SEEN: usize = 1 << 18;
/// Exposures of one commit.
const BATCH: usize = 2048;
/// Exposures that may wait while the store is down. What comes beyond is handed over when the unit comes again.
const MOST_WAITING: usize = 200_000;
/// Stored variants that are remembered, twice this at most.
const KNOWN: usize = 50_000;
/// Longest wait between two tries to write.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

enum Work {
    Store(ExperimentKey, Exposure, Option<oneshot::Sender<Result<StoredUnit, StoreError>>>),
    Flush(oneshot::Sender<()>),
}

/// What was handed over, and the way to the writer.
pub(crate) struct Exposures {
    hasher: RandomState,
    /// Made when the first unit is asked for: two megabytes are much to a server without experiments.
    seen: LazyLock<Box<[AtomicU64]>>,
    known: Mutex<Known>,
    queue: mpsc::UnboundedSender<Work>,
    waiting: std::sync::Arc<AtomicUsize>,
    /// The writer's end, until the writer is started.
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Work>>>,
}

/// Variants that the store told, in two generations.
#[derive(Default)]
struct Known {
    young: std::collections::HashMap<u64, usize>,
    old: std::collections::HashMap<u64, usize>,
}

impl Exposures {
    pub(crate) fn new() -> Self {
        let (queue, receiver) = mpsc::unbounded_channel();
        Self {
            hasher: RandomState::new(),
            seen: LazyLock::new(|| (0..SEEN).map(|_| AtomicU64::new(0)).collect()),
            known: Mutex::default(),
            queue,
            waiting: std::sync::Arc::default(),
            receiver: Mutex::new(Some(receiver)),
        }
    }

    /// Starts the writer, unless it runs already. It ends with the last handle on the exposures.
    pub(crate) fn start(&self, store: &Store) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receiver) = receiver {
            tokio::spawn(write_all(store.clone(), receiver, self.waiting.clone()));
        }
    }

    /// Never 0: that is an empty place in the table.
    fn fingerprint(&self, key: &ExperimentKey, unit: &str) -> u64 {
        self.hasher.hash_one((key.number(), unit)) | 1
    }

    fn place(&self, fingerprint: u64) -> &AtomicU64 {
        let index = usize::try_from(fingerprint >> 32).unwrap_or(0) % self.seen.len();
        &self.seen[index]
    }

    /// Whether the unit was handed over before. May say no where it was.
    pub(crate) fn is_seen(&self, key: &ExperimentKey, unit: &str) -> bool {
        let fingerprint = self.fingerprint(key, unit);
        self.place(fingerprint).load(Ordering::Relaxed) == fingerprint
    }

    fn mark(&self, key: &ExperimentKey, unit: &str) {
        let fingerprint = self.fingerprint(key, unit);
        self.place(fingerprint).store(fingerprint, Ordering::Relaxed);
    }

    /// Hands an exposure over; it is on disk a moment later.
    pub(crate) fn note(&self, key: &ExperimentKey, exposure: Exposure) {
        if self.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            // Not marked: the unit's next exposure is handed over instead.
            return;
        }
        self.mark(key, &exposure.unit);
        self.send(key, exposure, None);
    }

    /// Stores an exposure and answers with what is stored: this one, or one that was there before.
    pub(crate) async fn settle(&self, key: &ExperimentKey, exposure: Exposure) -> Result<StoredUnit, Error> {
        let (done, wait) = oneshot::channel();
        let unit = exposure.unit.clone();
        self.send(key, exposure, Some(done));
        let stored = wait.await.map_err(|_| Error::Internal("the writer of exposures ended".to_owned()))??;
        self.mark(key, &unit);
        self.remember(key, &unit, stored.variant);
        Ok(stored)
    }

    fn send(
        &self,
        key: &ExperimentKey,
        exposure: Exposure,
        done: Option<oneshot::Sender<Result<StoredUnit, StoreError>>>,
    ) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // The writer ends after this sender does.
        let _ = self.queue.send(Work::Store(key.clone(), exposure, done));
    }

    /// The stored variant of a unit, where this process has learnt it.
    pub(crate) fn known(&self, key: &ExperimentKey, unit: &str) -> Option<usize> {
        let fingerprint = self.fingerprint(key, unit);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.young.get(&fingerprint).or_else(|| known.old.get(&fingerprint)).copied()
    }

    /// Remembers a stored variant: it never changes.
    pub(crate) fn remember(&self, key: &ExperimentKey, unit: &str, variant: usize) {
        let fingerprint = self.fingerprint(key, unit);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.young.len() >= KNOWN {
            known.old = std::mem::take(&mut known.young);
        }
        known.young.insert(fingerprint, variant);
    }

    /// Waits until everything that was handed over is stored.
    pub(crate) async fn flush(&self) {
        if self.receiver.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        let (done, wait) = oneshot::channel();
        if self.queue.send(Work::Flush(done)).is_ok() {
            let _ = wait.await;
        }
    }
}

async fn write_all(store: Store, mut receiver: mpsc::UnboundedReceiver<Work>, waiting: std::sync::Arc<AtomicUsize>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let (mut rows, mut asked, mut flushes) = (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        for work in batch.drain(..) {
            match work {
                Work::Store(key, exposure, done) => {
                    if let Some(done) = done {
                        asked.push((rows.len(), done));
                    }
                    rows.push((key, exposure));
                }
                Work::Flush(done) => flushes.push(done),
            }
        }
        write_batch(&store, &rows, asked, &receiver).await;
        waiting.fetch_sub(rows.len(), Ordering::Relaxed);
        for done in flushes {
            // Who asked may have gone.
            let _ = done.send(());
        }
    }
}

type Asked = Vec<(usize, oneshot::Sender<Result<StoredUnit, StoreError>>)>;

/// Writes a batch, again and again while the store is down; who waits hears of the first failure.
async fn write_batch(
    store: &Store,
    rows: &[(ExperimentKey, Exposure)],
    mut asked: Asked,
    receiver: &mpsc::UnboundedReceiver<Work>,
) {
    let mut pause = Duration::from_millis(50);
    loop {
        let Err(error) = store.insert_exposures(rows).await else { break };
        for (_, done) in asked.drain(..) {
            let _ = done.send(Err(error.clone()));
        }
        if !matches!(error, StoreError::Unavailable(_)) || receiver.is_closed() {
            tracing::error!(%error, exposures = rows.len(), "exposures could not be stored");
            return;
        }
        tracing::warn!(%error, exposures = rows.len(), "exposures wait for the store");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    for (row, done) in asked {
        let (key, exposure) = &rows[row];
        let stored = store.experiment_unit(key, &exposure.unit).await.and_then(|unit| {
            unit.ok_or_else(|| StoreError::Conflict(format!("the exposure of `{}` is gone", exposure.unit)))
        });
        let _ = done.send(stored);
    }
}
