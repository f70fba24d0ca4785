//! The writer of request records: batches into the store, and files for the time when the store is away, or has more to do
//! than it can. Nothing is dropped in silence.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use llmops_domain::id::ProjectId;
use llmops_domain::record::RequestRecord;
use llmops_storage::{Pace, RecordRow, Store, StoreError};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::spill::Spill;

/// Longest that a record waits to be written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// Most records of a batch.
const BATCH: usize = 2_000;
/// A batch of more is stored quickly: calls come so fast that they wait for a processor anyway.
const MANY: usize = 1_000;
/// Longest that the store may take for a batch before records go to files.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records that wait in memory for a store that is slower than they come: a file is quicker, and memory has an end.
const MOST_WAITING: usize = 8_000;
/// How often a store that was away is tried.
const RETRY: Duration = Duration::from_secs(1);

enum Message {
    Record(RecordRow),
    Flush(Flush),
}

/// Somebody waits until what was handed over before is in the store or in a file.
struct Flush {
    /// Files will not do.
    to_store: bool,
    /// Hears whether it is so.
    done: oneshot::Sender<bool>,
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

    /// Records that went by way of a file.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Records in files now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Records that neither store nor file took.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Writes records. Clones share the tasks that do it.
#[derive(Debug, Clone)]
pub struct RecordWriter {
    queue: Queue,
    /// For what comes while the queue is full.
    overflow: mpsc::UnboundedSender<Message>,
    counts: Arc<RecordCounts>,
}

/// The way to the task that stores.
#[derive(Debug, Clone)]
struct Queue {
    sender: mpsc::UnboundedSender<Message>,
    length: Arc<AtomicUsize>,
    /// Tells the task that somebody waits, or that there is something to fetch.
    hurry: Arc<Notify>,
}

/// Waits until a task has done what it was given before.
async fn flush(sender: &mpsc::UnboundedSender<Message>, hurry: &Notify, to_store: bool) -> bool {
    let (done, waiting) = oneshot::channel();
    if sender.send(Message::Flush(Flush { to_store, done })).is_err() {
        return true;
    }
    hurry.notify_one();
    // An error means that the task is gone, and so is what it had.
    waiting.await.unwrap_or(true)
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl RecordWriter {
    /// Starts the tasks. Records spill into `folder`; without one they wait in memory.
    ///
    /// Where the runtime has several threads, the task that stores has one of its own, which yields to all others: calls
    /// shall not wait for the records of earlier ones. What it does not keep up with goes to files until there is time.
    pub(crate) fn start(store: Store, folder: Option<PathBuf>, owner: &str, counts: Arc<RecordCounts>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let queue = Queue { sender, length: Arc::default(), hurry: Arc::default() };
        let spill = Arc::new(Spill::new(folder, owner));
        if let Err(error) = spill.check() {
            let about = "request records cannot be put aside: they will be lost while the store is away";
            tracing::warn!(folder = %spill.place(), %error, "{about}");
        }
        if let Err(error) = spill.adopt() {
            tracing::error!(%error, "records that were put aside cannot be read");
        }
        let task = Task {
            store,
            spill: spill.clone(),
            counts: counts.clone(),
            length: queue.length.clone(),
            hurry: queue.hurry.clone(),
            next_try: None,
        };
        let runtime = Handle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
            tokio::task::spawn_blocking(move || {
                llmops_storage::yield_this_thread();
                runtime.block_on(task.run(receiver));
            });
        } else {
            tokio::spawn(task.run(receiver));
        }
        let (overflow, overflowing) = mpsc::unbounded_channel();
        tokio::spawn(put_aside_overflow(overflowing, spill, counts.clone(), queue.hurry.clone()));
        Self { queue, overflow, counts }
    }

    /// Hands over a record. It is written within the flush interval, to the store or to a file.
    pub fn submit(&self, project: &ProjectId, record: &RequestRecord) {
        // Here and not where it is written: whoever made the record has it at hand.
        let row = match RecordRow::new(project, record) {
            Ok(row) => row,
            Err(error) => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                return tracing::error!(%error, "a request record cannot be stored");
            }
        };
        let message = Message::Record(row);
        let sent = if self.queue.length.load(Ordering::Relaxed) < MOST_WAITING {
            self.queue.length.fetch_add(1, Ordering::Relaxed);
            self.queue.sender.send(message)
        } else {
            self.overflow.send(message)
        };
        // The tasks end with the last writer only.
        if sent.is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was handed over is in the store or in a file.
    pub async fn flush(&self) {
        for sender in [&self.overflow, &self.queue.sender] {
            flush(sender, &self.queue.hurry, false).await;
        }
    }

    /// Brings everything that was handed over into the store, out of files too, for as long as a writer lives.
    pub(crate) fn holder(&self) -> impl Fn() -> Option<BoxFuture<'static, bool>> + Send + Sync + use<> {
        let (overflow, queue) = (self.overflow.downgrade(), self.queue.sender.downgrade());
        let hurry = self.queue.hurry.clone();
        move || {
            let (overflow, queue, hurry) = (overflow.upgrade()?, queue.upgrade()?, hurry.clone());
            Some(async move { flush(&overflow, &hurry, false).await && flush(&queue, &hurry, true).await }.boxed())
        }
    }

    /// What became of the records so far.
    pub fn counts(&self) -> &RecordCounts {
        &self.counts
    }
}

/// Writes to files what came while the store's queue was full.
async fn put_aside_overflow(
    mut receiver: mpsc::UnboundedReceiver<Message>,
    spill: Arc<Spill>,
    counts: Arc<RecordCounts>,
    hurry: Arc<Notify>,
) {
    let nobody = Notify::new();
    while let Some(first) = receiver.recv().await {
        let (batch, flushed) = collect(first, &mut receiver, &nobody).await;
        let (spill, counts) = (spill.clone(), counts.clone());
        // Serialising and syncing take their time.
        if let Err(error) = tokio::task::spawn_blocking(move || put_aside(&spill, &counts, batch)).await {
            tracing::error!(%error, "request records could not be put aside");
        }
        hurry.notify_one();
        answer(flushed, true);
    }
}

fn put_aside(spill: &Spill, counts: &RecordCounts, batch: Vec<RecordRow>) {
    let count = batch.len() as u64;
    if count == 0 {
        return;
    }
    match spill.put(batch) {
        Ok(()) => {
            counts.spilled.fetch_add(count, Ordering::Relaxed);
        }
        Err(error) => {
            counts.lost.fetch_add(count, Ordering::Relaxed);
            tracing::error!(%error, count, "request records could be written neither to the store nor to a file");
        }
    }
    counts.waiting.store(spill.waiting(), Ordering::Relaxed);
}

fn answer(flushed: Vec<Flush>, in_store: bool) {
    for flush in flushed {
        // Who stopped waiting does not hear it.
        let _ = flush.done.send(in_store || !flush.to_store);
    }
}

struct Task {
    store: Store,
    spill: Arc<Spill>,
    counts: Arc<RecordCounts>,
    /// Records that were sent and not yet taken.
    length: Arc<AtomicUsize>,
    hurry: Arc<Notify>,
    /// When the store is tried again; absent: it is there.
    next_try: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Message>) {
        loop {
            let first = tokio::select! {
                biased;
                first = receiver.recv() => first,
                () = self.time_to_replay() => {
                    self.replay().await;
                    continue;
                }
            };
            let Some(first) = first else { break };
            let (batch, flushed) = collect(first, &mut receiver, &self.hurry).await;
            self.length.fetch_sub(batch.len(), Ordering::Relaxed);
            self.write(batch).await;
            let in_store = flushed.iter().any(|flush| flush.to_store) && self.replay_all().await;
            answer(flushed, in_store);
            // What was put aside has its turn, too, however much comes.
            let is_due = self.next_try.is_none_or(|at| at <= Instant::now());
            if is_due && self.spill.waiting() > 0 && receiver.len() < BATCH {
                self.replay().await;
            }
        }
        // The next process finds the files. What waits in memory has no other chance.
        while self.spill.is_in_memory() && self.spill.waiting() > 0 && self.replay().await {}
    }

    /// Until there is something to replay, and a store that may take it.
    async fn time_to_replay(&self) {
        while self.spill.waiting() == 0 {
            self.hurry.notified().await;
        }
        if let Some(at) = self.next_try {
            tokio::time::sleep_until(at).await;
        }
    }

    async fn write(&mut self, batch: Vec<RecordRow>) {
        if batch.is_empty() {
            return;
        }
        if self.next_try.is_some_and(|at| at > Instant::now()) {
            put_aside(&self.spill, &self.counts, batch);
            return;
        }
        let pace = if batch.len() > MANY { Pace::Quick } else { Pace::Gentle };
        match self.append(&batch, pace).await {
            Ok(()) => {}
            Err(Failure::Away) => put_aside(&self.spill, &self.counts, batch),
            Err(Failure::Refused(error)) => self.one_by_one(batch, &error).await,
        }
    }

    async fn append(&mut self, batch: &[RecordRow], pace: Pace) -> Result<(), Failure> {
        let why = match tokio::time::timeout(PATIENCE, self.store.append_record_rows(batch, pace)).await {
            Ok(Ok(())) => {
                self.counts.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
                self.next_try = None;
                return Ok(());
            }
            Ok(Err(error)) if error.is_of_row() => return Err(Failure::Refused(error)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        // Whatever else is wrong is the store's: it may be mended, and the records are still there then.
        if self.next_try.is_none() {
            tracing::warn!(why, "the store takes no records: request records go to files until it does");
        }
        self.next_try = Some(Instant::now() + RETRY);
        Err(Failure::Away)
    }

    /// One record that the store refuses shall not take the others along.
    async fn one_by_one(&mut self, batch: Vec<RecordRow>, error: &StoreError) {
        tracing::warn!(%error, "a batch of request records was refused and is written one by one");
        for record in batch {
            match self.append(std::slice::from_ref(&record), Pace::Gentle).await {
                Ok(()) => {}
                Err(Failure::Away) => put_aside(&self.spill, &self.counts, vec![record]),
                Err(Failure::Refused(error)) => {
                    self.counts.lost.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(record = record.id(), %error, "a request record cannot be stored");
                }
            }
        }
    }

    /// Brings all that waits by now into the store. False: it does not take it.
    async fn replay_all(&mut self) -> bool {
        for _ in 0..self.spill.pieces_waiting() {
            if !self.replay().await {
                return false;
            }
        }
        true
    }

    /// Brings what has waited longest into the store; whatever was stored already is not stored twice. False: not now.
    async fn replay(&mut self) -> bool {
        let Some(piece) = self.spill.first() else { return true };
        let (records, damaged) = match piece.read() {
            Ok(read) => read,
            Err(error) => {
                self.counts.lost.fetch_add(piece.count(), Ordering::Relaxed);
                tracing::error!(%error, "records that were put aside cannot be read");
                self.spill.give_up_first();
                return true;
            }
        };
        // Nobody waits for these, but calls may wait for the processor.
        match self.append(&records, Pace::Gentle).await {
            Ok(()) => {}
            Err(Failure::Away) => return false,
            Err(Failure::Refused(error)) => self.one_by_one(records, &error).await,
        }
        if damaged > 0 {
            // Another version may be able to read them.
            self.counts.lost.fetch_add(damaged, Ordering::Relaxed);
            self.spill.give_up_first();
        } else if let Err(error) = self.spill.forget_first() {
            tracing::error!(%error, "a file of request records cannot be removed");
        }
        self.counts.waiting.store(self.spill.waiting(), Ordering::Relaxed);
        if self.spill.waiting() == 0 {
            tracing::info!("the store has all request records that were put aside");
        }
        true
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
) -> (Vec<RecordRow>, Vec<Flush>) {
    if receiver.len() < BATCH && !matches!(first, Message::Flush(_)) {
        // Either way it is time.
        let _ = timeout_at(Instant::now() + FLUSH_INTERVAL, hurry.notified()).await;
    }
    let (mut batch, mut flushed) = (Vec::with_capacity((receiver.len() + 1).min(BATCH)), Vec::new());
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Record(row) => batch.push(row),
            Message::Flush(flush) => flushed.push(flush),
        }
        next = if batch.len() < BATCH { receiver.try_recv().ok() } else { None };
    }
    (batch, flushed)
}
