//! Events: what happens in a project, for those who watch.
//!
//! Whoever changes something publishes an event; it is stored before anybody hears of it. One task of the process reads
//! what was stored, by this process or another, and hands it to all subscriptions. A subscription that does not keep up
//! misses nothing and holds nobody up: it reads what it missed from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use llmops_domain::event::{Event, EventFilter, StoredEvent};
use llmops_domain::id::{ProjectId, RunId};
use llmops_storage::{RunKey, Store, StoreError};
use tokio::sync::{OnceCell, broadcast, watch};

use crate::{Clock, Error, Services};

/// Longest that an event of another process stays unseen where the database does not tell of it.
const POLL: Duration = Duration::from_millis(250);
/// Least time between two events of one run's progress.
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Events that a subscription may be behind before it reads from the store.
const BUFFER: usize = 1024;
/// Events read at a time.
const PAGE: u32 = 500;

/// An event and whose it is.
type Told = Arc<(ProjectId, StoredEvent)>;

/// Where events are published and subscribed to. One per process, for all projects.
pub(crate) struct EventBus {
    store: Store,
    clock: Arc<dyn Clock>,
    told: OnceCell<broadcast::Sender<Told>>,
    closed: watch::Sender<bool>,
    /// When the progress of each run was published last.
    progress: Mutex<HashMap<RunId, Timestamp>>,
}

impl EventBus {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, told: OnceCell::new(), closed: watch::Sender::new(false), progress: Mutex::default() }
    }

    /// Stores an event and answers with its id; whoever subscribed to it hears of it, in every process.
    pub(crate) async fn publish(&self, project: &ProjectId, event: Event) -> Result<u64, Error> {
        Ok(self.store.append_event(project, self.clock.now(), &event).await?)
    }

    /// Publishes how far a run is, at most once a second and not in its first second. What is left out costs nothing.
    pub(crate) async fn publish_progress(&self, id: &RunId, run: &RunKey) {
        if !self.is_due(id) {
            return;
        }
        let published = async {
            let progress = self.store.progress(run).await?;
            self.publish(&run.project(), Event::RunProgress { run: id.clone(), progress }).await
        };
        if let Err(error) = published.await {
            // The run goes on, and another event comes in a second.
            tracing::debug!(run = %id, %error, "no news of a run's progress");
        }
    }

    fn is_due(&self, run: &RunId) -> bool {
        let now = self.clock.now();
        let recently = |at: &Timestamp| now.duration_since(*at) < PROGRESS_EVERY;
        let mut last = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(run) {
            Some(at) if recently(at) => false,
            Some(at) => {
                *at = now;
                true
            }
            None => {
                // Runs that ended stay behind: forget them when there are many.
                if last.len() > 1000 {
                    last.retain(|_, at| recently(at));
                }
                last.insert(run.clone(), now);
                false
            }
        }
    }

    /// Ends all subscriptions, for a process that stops.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// The task's sending end, started with the first subscription.
    async fn told(&self) -> Result<&broadcast::Sender<Told>, Error> {
        self.told
            .get_or_try_init(|| async {
                let last = self.store.last_event().await?;
                let (sender, _) = broadcast::channel(BUFFER);
                tokio::spawn(tell(self.store.clone(), sender.clone(), last, self.closed.subscribe()));
                Ok(sender)
            })
            .await
    }

    pub(crate) async fn subscribe(
        &self,
        project: &ProjectId,
        after: Option<u64>,
        filter: EventFilter,
    ) -> Result<Subscription, Error> {
        let told = self.told().await?.subscribe();
        // Read after the subscription began: what comes later reaches it one way or the other.
        let last = self.store.last_event().await?;
        let cursor = after.unwrap_or(last).min(last);
        Ok(Subscription {
            store: self.store.clone(),
            project: project.clone(),
            filter,
            page: Vec::new().into_iter(),
            is_behind: cursor < last,
            cursor,
            told,
            closed: self.closed.subscribe(),
        })
    }
}

/// Reads what is stored and tells everybody. Ends with the process's subscriptions or when the bus is closed.
async fn tell(store: Store, told: broadcast::Sender<Told>, mut last: u64, mut closed: watch::Receiver<bool>) {
    let mut news = store.event_news();
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = news.wait(POLL) => {}
            _ = closed.wait_for(|closed| *closed) => return,
        }
        match tell_news(&store, &told, &mut last).await {
            Ok(()) => is_failing = false,
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "cannot read events; trying again");
                }
            }
        }
    }
}

async fn tell_news(store: &Store, told: &broadcast::Sender<Told>, last: &mut u64) -> Result<(), StoreError> {
    loop {
        let newest = store.last_event().await?;
        if newest == *last {
            return Ok(());
        }
        // Whoever subscribes after this line starts behind `newest`.
        if told.receiver_count() == 0 {
            *last = newest;
            return Ok(());
        }
        let page = store.events_after(None, *last, PAGE).await?;
        if page.is_empty() {
            *last = newest;
        }
        for (project, event) in page {
            *last = event.id;
            // Nobody listens any more: fine.
            let _ = told.send(Arc::new((project, event)));
        }
    }
}

/// A project's events as they come, in order, none left out and none twice.
pub struct Subscription {
    store: Store,
    project: ProjectId,
    filter: EventFilter,
    /// Events that were read from the store.
    page: std::vec::IntoIter<StoredEvent>,
    /// Whether the store may have more behind the cursor.
    is_behind: bool,
    /// The last event seen.
    cursor: u64,
    told: broadcast::Receiver<Told>,
    closed: watch::Receiver<bool>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("project", &self.project)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// The id of the last event that was seen, wanted or not: to resume behind it.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The next event; none when the process stops.
    ///
    /// # Errors
    /// When the store cannot be read. The next call tries again, and nothing is left out.
    pub async fn next(&mut self) -> Result<Option<StoredEvent>, Error> {
        loop {
            if *self.closed.borrow() {
                return Ok(None);
            }
            if let Some(event) = self.page.next() {
                self.cursor = event.id;
                if self.filter.admits(event.event.kind()) {
                    return Ok(Some(event));
                }
            } else if self.is_behind {
                let page = self.store.events_after(Some(&self.project), self.cursor, PAGE).await?;
                self.is_behind = !page.is_empty();
                self.page = page.into_iter().map(|(_, event)| event).collect::<Vec<_>>().into_iter();
            } else if let Some(event) = self.live().await {
                return Ok(Some(event));
            }
        }
    }

    /// Waits for one told event; none when it was of no interest.
    async fn live(&mut self) -> Option<StoredEvent> {
        let told = tokio::select! {
            told = self.told.recv() => told,
            _ = self.closed.wait_for(|closed| *closed) => return None,
        };
        match told {
            Ok(told) if told.1.id > self.cursor => {
                self.cursor = told.1.id;
                let is_wanted = told.0 == self.project && self.filter.admits(told.1.event.kind());
                is_wanted.then(|| told.1.clone())
            }
            Ok(_) => None,
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.is_behind = true;
                None
            }
            Err(broadcast::error::RecvError::Closed) => {
                // The telling task ends only when the bus is closed; until that is seen, read from the store.
                self.is_behind = true;
                tokio::time::sleep(POLL).await;
                None
            }
        }
    }
}

/// A project's events: publish, subscribe, list.
#[derive(Debug, Clone)]
pub struct Events {
    services: Arc<Services>,
    project: ProjectId,
}

impl Events {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Stores an event and answers with its id.
    pub async fn publish(&self, event: Event) -> Result<u64, Error> {
        self.services.events.publish(&self.project, event).await
    }

    /// The events behind `after`, or from now on, as they come.
    pub async fn subscribe(&self, after: Option<u64>, filter: EventFilter) -> Result<Subscription, Error> {
        self.services.events.subscribe(&self.project, after, filter).await
    }

    /// Ends all subscriptions of the process, so that it can stop.
    pub fn close(&self) {
        self.services.events.close();
    }
}
