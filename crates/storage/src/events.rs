//! Events: appended in the transaction of what they tell of, read by those who watch.

use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::event::{Event, StoredEvent};
use llmops_domain::id::ProjectId;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::db::{Pools, Tx, big, count, decode, encode, execute, fetch, micros, time};
use crate::{Store, StoreError};

/// The channel of PostgreSQL's notifications: other processes hear of an event when its transaction commits.
const CHANNEL: &str = "llmops_events";
/// Most events of a page.
const PAGE: u32 = 1000;

/// Appends an event in the transaction of what it tells of. It must be the last statement of it: the row that gives the
/// next id stays locked until the commit.
pub(crate) async fn append(tx: &mut Tx, project: &ProjectId, at: Timestamp, event: &Event) -> Result<u64, StoreError> {
    let document = encode("the event", event)?;
    let (id,) = fetch!(fetch_one, tx, (i64,), "UPDATE event_sequence SET last = last + 1 RETURNING last")?;
    let sql = "INSERT INTO events (id, project_id, type, at, document) VALUES ($1, $2, $3, $4, $5)";
    execute!(tx, sql, id, project.as_str(), event.kind().as_str(), micros(at), document.as_str())
        .map_err(|e| e.of_project(project))?;
    if let Tx::Postgres(_) = tx {
        fetch!(fetch_all, tx, (), "SELECT pg_notify($1, '')", CHANNEL)?;
    }
    count(id)
}

/// Tells when there may be new events: at once for those of this process and, on PostgreSQL, of others; else when the
/// patience of the waiting one is at an end.
pub struct EventNews {
    local: watch::Receiver<()>,
    remote: Option<PgListener>,
    pools: Pools,
}

impl std::fmt::Debug for EventNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventNews")
    }
}

impl EventNews {
    /// Waits for news, at most `patience`. A connection that broke is made again with the next call.
    pub async fn wait(&mut self, patience: Duration) {
        self.listen().await;
        let waited = tokio::time::timeout(patience, async {
            match &mut self.remote {
                None => self.local.changed().await.is_ok(),
                Some(remote) => tokio::select! {
                    local = self.local.changed() => local.is_ok(),
                    remote = remote.recv() => remote.is_ok(),
                },
            }
        })
        .await;
        if waited == Ok(false) {
            // The listener failed: poll until it listens again.
            self.remote = None;
            tokio::time::sleep(patience).await;
        }
    }

    async fn listen(&mut self) {
        let Pools::Postgres(pool) = &self.pools else { return };
        if self.remote.is_some() {
            return;
        }
        match listener(pool).await {
            Ok(remote) => self.remote = Some(remote),
            Err(error) => tracing::debug!(%error, "cannot listen for events; polling instead"),
        }
    }
}

async fn listener(pool: &sqlx::PgPool) -> Result<PgListener, sqlx::Error> {
    let mut remote = PgListener::connect_with(pool).await?;
    remote.listen(CHANNEL).await?;
    Ok(remote)
}

impl Store {
    /// Stores an event and answers with its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such project.
    pub async fn append_event(&self, project: &ProjectId, at: Timestamp, event: &Event) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let id = append(&mut tx, project, at, event).await?;
        tx.commit().await?;
        self.tell_events();
        Ok(id)
    }

    /// Wakes those of this process who wait for events: to be called after the commit of a transaction that appended some.
    pub(crate) fn tell_events(&self) {
        self.events().send_replace(());
    }

    /// Where to wait for events.
    pub fn event_news(&self) -> EventNews {
        EventNews { local: self.events().subscribe(), remote: None, pools: self.pools().clone() }
    }

    /// The id of the newest event of all projects; 0 when there never was one.
    pub async fn last_event(&self) -> Result<u64, StoreError> {
        let mut conn = self.read().await?;
        let (last,) = fetch!(fetch_one, conn, (i64,), "SELECT last FROM event_sequence")?;
        count(last)
    }

    /// The events behind `after`, in order, at most `limit` (and 1,000); of one project or of all.
    pub async fn events_after(
        &self,
        project: Option<&ProjectId>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(ProjectId, StoredEvent)>, StoreError> {
        let sql = "SELECT id, project_id, at, document FROM events WHERE id > $1 AND ($2 IS NULL OR project_id = $2) \
                   ORDER BY id LIMIT $3";
        let mut conn = self.read().await?;
        let project = project.map(ProjectId::as_str);
        let limit = i64::from(limit.min(PAGE));
        let rows = fetch!(fetch_all, conn, (i64, String, i64, String), sql, big(after), project, limit)?;
        rows.into_iter()
            .map(|(id, project, at, document)| {
                let event = StoredEvent { id: count(id)?, at: time(at)?, event: decode("an event", &document)? };
                Ok((ProjectId(project), event))
            })
            .collect()
    }
}
