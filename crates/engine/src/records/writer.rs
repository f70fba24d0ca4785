//! The writer of request records: batches into the store, and a file for the time when the store is away. Nothing is
//! dropped in silence.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_storage::{Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::spill::Spill;

/// Longest that a record waits to be written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Most records of a batch.
const BATCH: usize = 2_000;
/// Longest that the store may take for a batch before records go to the file.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records that wait in memory for a store that is slower than they come.
const MOST_WAITING: usize = 50_000;
/// How often a store that was away is tried.
const RETRY: Duration = Duration::from_secs(1);

type Owned = (ProjectId, RequestRecord);

enum Message {
    Record(Box<Owned>),
    Flush(oneshot::Sender<()>),
}

/// How many records went where, since the start of the process.
#[derive(Debug, Default)]
pub struct RecordCounts {
    written: AtomicU64,
    spilled: AtomicU64,
    waiting: AtomicU64,
    lost: AtomicU64,
}

impl RecordCounts {
    /// Records in the store.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that went by way of the file.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Records in the file now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Records that neither store nor file took.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Writes records. Clones share the task that does it.
#[derive(Debug, Clone)]
pub struct RecordWriter {
    sender: mpsc::UnboundedSender<Message>,
    counts: Arc<RecordCounts>,
    /// Tells the task that somebody waits.
    hurry: Arc<Notify>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl RecordWriter {
    /// Starts the task. Records spill into `folder`; without one they wait in memory.
    pub(crate) fn start(store: Store, folder: Option<PathBuf>, owner: &str, counts: Arc<RecordCounts>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let hurry = Arc::new(Notify::new());
        let spill = Spill::new(folder, owner);
        let task = Task { store, spill, counts: counts.clone(), hurry: hurry.clone(), next_try: None };
        tokio::spawn(task.run(receiver));
        Self { sender, counts, hurry }
    }

    /// Hands over a record. It is written within the flush interval.
    pub fn submit(&self, project: ProjectId, record: RequestRecord) {
        // The task ends with the last writer only.
        if self.sender.send(Message::Record(Box::new((project, record)))).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was handed over is in the store or in the file.
    pub async fn flush(&self) {
        let (done, waiting) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            self.hurry.notify_one();
            // An error means that the task is gone, and so is what it had.
            let _ = waiting.await;
        }
    }

    /// What became of the records so far.
    pub fn counts(&self) -> &RecordCounts {
        &self.counts
    }
}

struct Task {
    store: Store,
    spill: Spill,
    counts: Arc<RecordCounts>,
    hurry: Arc<Notify>,
    /// When the store is tried again; absent: it is there.
    next_try: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Message>) {
        if let Err(error) = self.spill.adopt() {
            tracing::error!(%error, "records that were put aside cannot be read");
        }
        if self.spill.waiting() > 0 {
            self.next_try = Some(Instant::now());
        }
        loop {
            let first = match self.next_try {
                None => receiver.recv().await,
                Some(at) => {
                    if let Ok(message) = timeout_at(at, receiver.recv()).await {
                        message
                    } else {
                        self.replay().await;
                        continue;
                    }
                }
            };
            let Some(first) = first else { break };
            let (batch, flushed) = collect(first, &mut receiver, &self.hurry).await;
            if receiver.len() > MOST_WAITING {
                // The store is slower than what comes: a file is quicker, and memory has an end.
                self.next_try.get_or_insert(Instant::now() + RETRY);
            }
            self.write(batch).await;
            if self.next_try.is_some_and(|at| at <= Instant::now()) {
                self.replay().await;
            }
            for done in flushed {
                // Who stopped waiting does not hear it.
                let _ = done.send(());
            }
        }
        self.replay().await;
    }

    async fn write(&mut self, batch: Vec<Owned>) {
        if batch.is_empty() {
            return;
        }
        if self.next_try.is_some() {
            self.put_aside(batch);
            return;
        }
        match self.append(&batch).await {
            Ok(()) => {}
            Err(Failure::Away) => {
                tracing::warn!("the store does not answer: request records go to a file until it does");
                self.next_try = Some(Instant::now() + RETRY);
                self.put_aside(batch);
            }
            Err(Failure::Refused(error)) => self.one_by_one(batch, &error).await,
        }
    }

    async fn append(&self, batch: &[Owned]) -> Result<(), Failure> {
        match tokio::time::timeout(PATIENCE, self.store.append_records(batch)).await {
            Ok(Ok(())) => {
                self.counts.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(_) | Ok(Err(StoreError::Unavailable(_))) => Err(Failure::Away),
            Ok(Err(error)) => Err(Failure::Refused(error)),
        }
    }

    /// One record that the store refuses shall not take the others along.
    async fn one_by_one(&mut self, batch: Vec<Owned>, error: &StoreError) {
        tracing::warn!(%error, "a batch of request records was refused and is written one by one");
        for record in batch {
            match self.append(std::slice::from_ref(&record)).await {
                Ok(()) => {}
                Err(Failure::Away) => self.put_aside(vec![record]),
                Err(Failure::Refused(error)) => {
                    self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(record = %record.1.id, %error, "a request record cannot be stored");
                }
            }
        }
    }

    fn put_aside(&mut self, batch: Vec<Owned>) {
        let count = batch.len() as u64;
        match self.spill.put(batch) {
            Ok(()) => {
                self.counts.spilled.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.lost.fetch_add(count, Ordering::Relaxed);
                tracing::error!(%error, count, "request records could be written neither to the store nor to the file");
            }
        }
        self.counts.waiting.store(self.spill.waiting(), Ordering::Relaxed);
    }

    /// Brings what was put aside into the store. Whatever was stored already is not stored twice.
    async fn replay(&mut self) {
        if self.spill.waiting() == 0 {
            self.next_try = None;
            return;
        }
        self.next_try = Some(Instant::now() + RETRY);
        let pieces = match self.spill.pieces(BATCH) {
            Ok(pieces) => pieces,
            Err(error) => {
                tracing::error!(%error, "records that were put aside cannot be read");
                return;
            }
        };
        for piece in pieces {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::error!(%error, "records that were put aside cannot be read");
                    return;
                }
            };
            match self.append(&piece).await {
                Ok(()) => {}
                Err(Failure::Away) => return,
                Err(Failure::Refused(error)) => self.one_by_one(piece, &error).await,
            }
        }
        match self.spill.clear() {
            Ok(()) => {
                self.next_try = None;
                tracing::info!("the store is back, and has all request records");
            }
            Err(error) => tracing::error!(%error, "the file of request records cannot be removed"),
        }
        self.counts.waiting.store(self.spill.waiting(), Ordering::Relaxed);
    }
}

enum Failure {
    Away,
    Refused(StoreError),
}

/// What comes within the flush interval after the first message, or at once where somebody waits for it or a batch is full
/// already. The task sleeps meanwhile: it is not woken by every record.
async fn collect(
    first: Message,
    receiver: &mut mpsc::UnboundedReceiver<Message>,
    hurry: &Notify,
) -> (Vec<Owned>, Vec<oneshot::Sender<()>>) {
    if receiver.len() < BATCH && !matches!(first, Message::Flush(_)) {
        // Either way it is time.
        let _ = timeout_at(Instant::now() + FLUSH_INTERVAL, hurry.notified()).await;
    }
    let (mut batch, mut flushed) = (Vec::new(), Vec::new());
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Record(record) => batch.push(*record),
            Message::Flush(done) => flushed.push(done),
        }
        next = if batch.len() < BATCH { receiver.try_recv().ok() } else { None };
    }
    (batch, flushed)
}
