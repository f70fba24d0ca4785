//! Messages to channels: put together from notices, leased by whoever sends them.
//!
//! A message is pending until its channel took it or it is given up. Whoever sends it holds a lease by moving its next
//! attempt into the future: when the sender dies, it is due again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::alert::{Alert, Delivery, DeliveryStatus, Notice, NoticeAlert, Severity};
use llmops_domain::id::ProjectId;

use crate::alerts::severity_of;
use crate::bulk::{Insert, fetch_rows, insert_rows};
use crate::db::{Tx, count, decode, encode, execute, fetch, micros, micros_after, prose, row, time};
use crate::{Store, StoreError};

/// Alerts that a message names.
const NAMED: usize = 100;
/// How long the messages after one that its channel does not take wait for it: the last word shall come last, and one message
/// that is never taken shall not keep the others for a day.
const ORDERED: Duration = Duration::from_mins(2);
/// Most messages of a page.
const MOST: u32 = 500;

/// How the next message to a channel is put together.
#[derive(Debug, Clone, Copy)]
pub struct Compose<'a> {
    /// The project.
    pub project: &'a ProjectId,
    /// The channel.
    pub channel: &'a str,
    /// The message's id.
    pub id: &'a str,
    /// Whether the channel keeps track of each alert, and must hear how each of them is: of one alert the last notice is told,
    /// and what is beyond the hundred of this message waits for the next one.
    pub each: bool,
    /// Least time since the message before.
    pub interval: Duration,
    /// When.
    pub now: Timestamp,
    /// When the message is given up.
    pub give_up_at: Timestamp,
}

/// The condition under which a message of `due` may be taken: its time has come, and no message before it waits that was made
/// since the given time.
macro_rules! due {
    ($now:literal, $since:literal) => {
        concat!(
            "due.status = 'pending' AND due.next_attempt_at <= ",
            $now,
            " AND NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE earlier.status = 'pending' \
             AND earlier.project_id = due.project_id AND earlier.channel = due.channel AND earlier.id < due.id \
             AND earlier.created_at > ",
            $since,
            ")"
        )
    };
}

/// A leased message.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedDelivery {
    /// Its project.
    pub project: ProjectId,
    /// The message; `attempt` counts this attempt.
    pub delivery: Delivery,
    owner: String,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// The channel took the message.
    Delivered,
    /// It did not, and is asked again.
    Again {
        /// When.
        at: Timestamp,
        /// Why it did not.
        error: String,
    },
    /// It did not, and is not asked again.
    Dead {
        /// Why it did not.
        error: String,
    },
}

row! {
    struct Row {
        project_id: String,
        id: String,
        channel: String,
        status: String,
        attempt: i64,
        next_attempt_at: i64,
        created_at: i64,
        updated_at: i64,
        give_up_at: i64,
        error: Option<String>,
        document: String,
    }
}

impl Row {
    fn into_delivery(self) -> Result<Delivery, StoreError> {
        let status: DeliveryStatus = self.status.parse().map_err(StoreError::Corrupt)?;
        Ok(Delivery {
            id: self.id,
            channel: self.channel,
            status,
            attempt: count(self.attempt)?,
            next_attempt_at: (status == DeliveryStatus::Pending).then(|| time(self.next_attempt_at)).transpose()?,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            give_up_at: time(self.give_up_at)?,
            error: self.error,
            notice: decode::<Notice>("a message", &self.document)?,
        })
    }
}

impl Store {
    /// The channels that notices wait for.
    pub async fn channels_with_notices(&self) -> Result<Vec<(ProjectId, String)>, StoreError> {
        let sql = "SELECT DISTINCT project_id, channel FROM alert_notices";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String, String), sql)?;
        Ok(rows.into_iter().map(|(project, channel)| (ProjectId(project), channel)).collect())
    }

    /// Puts all that waits for a channel into one message, unless the message before was a short time ago. Null where
    /// nothing came of it.
    pub async fn compose_delivery(&self, compose: Compose<'_>) -> Result<Option<Delivery>, StoreError> {
        let Compose { project, channel, now, .. } = compose;
        let mut tx = self.write().await?;
        // This row is the lock among those who put messages together.
        let sql = "INSERT INTO channel_states (project_id, channel, composed_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (project_id, channel) DO UPDATE SET composed_at = excluded.composed_at \
                   WHERE channel_states.composed_at <= $4";
        let interval = i64::try_from(compose.interval.as_micros()).unwrap_or(i64::MAX);
        let before = micros(now).saturating_sub(interval);
        if execute!(tx, sql, project.as_str(), channel, micros(now), before)? == 0 {
            return Ok(None);
        }
        // What nobody sent for as long as a message is tried is no news any more.
        let stale = now.checked_sub(compose.give_up_at.duration_since(now)).unwrap_or(Timestamp::MIN);
        let sql = "DELETE FROM alert_notices WHERE project_id = $1 AND channel = $2 AND at < $3";
        execute!(tx, sql, project.as_str(), channel, micros(stale))?;
        let (alerts, severities) = take_notices(&mut tx, &compose).await?;
        if alerts.is_empty() {
            // The next notice shall not wait for a message that was none.
            let sql = "DELETE FROM channel_states WHERE project_id = $1 AND channel = $2";
            execute!(tx, sql, project.as_str(), channel)?;
            tx.commit().await?;
            return Ok(None);
        }
        let delivery = Delivery {
            id: compose.id.to_owned(),
            channel: channel.to_owned(),
            status: DeliveryStatus::Pending,
            attempt: 0,
            next_attempt_at: Some(now),
            created_at: now,
            updated_at: now,
            give_up_at: compose.give_up_at,
            error: None,
            notice: Notice::new(project.as_str(), alerts, severities, now),
        };
        insert(&mut tx, project, &delivery).await?;
        tx.commit().await?;
        Ok(Some(delivery))
    }

    /// Takes the message that is due longest, until `now + lease`. The messages of a channel are taken in their order, for as
    /// long as that does not hold them up.
    pub async fn claim_delivery(
        &self,
        owner: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<LeasedDelivery>, StoreError> {
        let ordered = micros(now).saturating_sub(i64::try_from(ORDERED.as_micros()).unwrap_or(i64::MAX));
        {
            // Mostly nothing is due: find that out without taking the lock of writers.
            let sql = concat!("SELECT id FROM deliveries AS due WHERE ", due!("$1", "$2"), " LIMIT 1");
            let mut conn = self.read().await?;
            if fetch!(fetch_optional, conn, (String,), sql, micros(now), ordered)?.is_none() {
                return Ok(None);
            }
        }
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            concat!(
                "UPDATE deliveries SET owner = $1, next_attempt_at = $2, attempt = attempt + 1, updated_at = $3 \
                 WHERE (project_id, id) = (SELECT project_id, id FROM deliveries AS due WHERE ",
                due!("$3", "$4"),
                " ORDER BY next_attempt_at, id LIMIT 1) RETURNING *"
            ),
            concat!(
                "UPDATE deliveries SET owner = $1, next_attempt_at = $2, attempt = attempt + 1, updated_at = $3 \
                 WHERE (project_id, id) = (SELECT project_id, id FROM deliveries AS due WHERE ",
                due!("$3", "$4"),
                " ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *"
            ),
        );
        let until = micros_after(now, lease);
        let row = fetch!(fetch_optional, tx, Row, sql, owner, until, micros(now), ordered)?;
        tx.commit().await?;
        row.map(|row| {
            let project = ProjectId(row.project_id.clone());
            Ok(LeasedDelivery { project, delivery: row.into_delivery()?, owner: owner.to_owned() })
        })
        .transpose()
    }

    /// Stores how an attempt ended, unless the lease was lost.
    pub async fn finish_delivery(
        &self,
        leased: &LeasedDelivery,
        attempted: &Attempted,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (status, at, error) = match attempted {
            Attempted::Delivered => (DeliveryStatus::Delivered, now, None),
            Attempted::Again { at, error } => (DeliveryStatus::Pending, *at, Some(prose(error))),
            Attempted::Dead { error } => (DeliveryStatus::Dead, now, Some(prose(error))),
        };
        let sql = "UPDATE deliveries SET status = $4, next_attempt_at = $5, error = $6, updated_at = $7, owner = NULL \
                   WHERE project_id = $1 AND id = $2 AND owner = $3 AND attempt = $8";
        let mut tx = self.write().await?;
        execute!(
            tx,
            sql,
            leased.project.as_str(),
            leased.delivery.id.as_str(),
            leased.owner.as_str(),
            status.as_str(),
            micros(at),
            error,
            micros(now),
            i64::from(leased.delivery.attempt)
        )?;
        tx.commit().await
    }

    /// Messages, newest first, at most `limit` (and 500); `before` is the id that the page before ended with.
    pub async fn list_deliveries(
        &self,
        project: &ProjectId,
        status: Option<DeliveryStatus>,
        channel: Option<&str>,
        (before, limit): (Option<&str>, u32),
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = "SELECT * FROM deliveries WHERE project_id = $1 AND ($2 IS NULL OR status = $2) \
                   AND ($3 IS NULL OR channel = $3) AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5";
        let status = status.map(DeliveryStatus::as_str);
        let mut conn = self.read().await?;
        let limit = i64::from(limit.min(MOST + 1));
        let rows = fetch!(fetch_all, conn, Row, sql, project.as_str(), status, channel, before, limit)?;
        rows.into_iter().map(Row::into_delivery).collect()
    }

    /// Sends a message anew: one that was given up, or that is delivered already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn replay_delivery(
        &self,
        project: &ProjectId,
        id: &str,
        now: Timestamp,
        give_up_at: Timestamp,
    ) -> Result<Delivery, StoreError> {
        let sql = "UPDATE deliveries SET status = 'pending', attempt = 0, next_attempt_at = $3, updated_at = $3, \
                   give_up_at = $4, owner = NULL, error = NULL WHERE project_id = $1 AND id = $2 RETURNING *";
        let mut tx = self.write().await?;
        let row = fetch!(fetch_optional, tx, Row, sql, project.as_str(), id, micros(now), micros(give_up_at))?;
        tx.commit().await?;
        row.ok_or_else(|| StoreError::not_found("delivery", id))?.into_delivery()
    }
}

const FORGET_NOTICES: Insert = Insert {
    head: "DELETE FROM alert_notices WHERE seq IN (SELECT v.column1 FROM (VALUES",
    columns: 1,
    tail: ") AS v)",
};
const FIND_ALERTS: Insert = Insert {
    head: "SELECT a.id, a.document FROM (VALUES",
    columns: 2,
    tail: ") AS v JOIN alerts AS a ON a.project_id = v.column1 AND a.id = v.column2",
};

row! {
    /// A notice that waits for a channel.
    struct Waiting {
        seq: i64,
        alert_id: String,
        action: String,
        severity: i64,
    }
}

/// Takes what the next message tells: the alerts that it names, and how many there are of each severity.
async fn take_notices(
    tx: &mut Tx,
    compose: &Compose<'_>,
) -> Result<(Vec<NoticeAlert>, BTreeMap<Severity, u64>), StoreError> {
    let (project, channel) = (compose.project.as_str(), compose.channel);
    let sql = if compose.each {
        "SELECT seq, alert_id, action, severity FROM alert_notices WHERE project_id = $1 AND channel = $2"
    } else {
        // What comes meanwhile is not deleted unread.
        "DELETE FROM alert_notices WHERE project_id = $1 AND channel = $2 RETURNING seq, alert_id, action, severity"
    };
    let waiting = fetch!(fetch_all, tx, Waiting, sql, project, channel)?;
    let all: Vec<i64> = waiting.iter().map(|notice| notice.severity).collect();
    let seqs: Vec<(String, i64)> = waiting.iter().map(|notice| (notice.alert_id.clone(), notice.seq)).collect();
    let named = choose(waiting, compose.each);
    let counted = if compose.each { named.iter().map(|notice| notice.severity).collect() } else { all };
    let mut severities = BTreeMap::new();
    for rank in counted {
        *severities.entry(severity_of(rank)?).or_default() += 1;
    }
    if compose.each {
        // What came before the last notice of an alert is told with it.
        let told: BTreeMap<&str, i64> = named.iter().map(|notice| (notice.alert_id.as_str(), notice.seq)).collect();
        let is_told = |(alert, seq): &&(String, i64)| told.get(alert.as_str()).is_some_and(|last| seq <= last);
        let told: Vec<i64> = seqs.iter().filter(is_told).map(|(_, seq)| *seq).collect();
        insert_rows!(tx, FORGET_NOTICES, &told, |seq| *seq).await?;
    }
    let ids: BTreeSet<&str> = named.iter().map(|notice| notice.alert_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let found = fetch_rows!(tx, (String, String), FIND_ALERTS, &ids, |id| project, *id).await?;
    let documents: BTreeMap<String, String> = found.into_iter().collect();
    let mut alerts = Vec::with_capacity(named.len());
    for notice in named {
        let Some(document) = documents.get(&notice.alert_id) else { continue };
        let action = notice.action.parse().map_err(StoreError::Corrupt)?;
        alerts.push(NoticeAlert { action, alert: decode::<Alert>("an alert", document)? });
    }
    Ok((alerts, severities))
}

/// The notices that a message names: those of the most severe alerts first, and those of one alert in the order in which they
/// came. Where `each` alert must be told, of one alert the last one only.
fn choose(mut waiting: Vec<Waiting>, each: bool) -> Vec<Waiting> {
    let mut places = BTreeMap::<String, (Reverse<i64>, i64)>::new();
    for notice in &waiting {
        let place = places.entry(notice.alert_id.clone()).or_insert((Reverse(notice.severity), notice.seq));
        *place = (place.0.min(Reverse(notice.severity)), place.1.min(notice.seq));
    }
    waiting.sort_by_cached_key(|notice| (places.get(&notice.alert_id).copied(), notice.seq));
    if each {
        let mut heard = BTreeSet::new();
        waiting.reverse();
        waiting.retain(|notice| heard.insert(notice.alert_id.clone()));
        waiting.reverse();
    }
    waiting.truncate(NAMED);
    waiting
}

async fn insert(tx: &mut Tx, project: &ProjectId, delivery: &Delivery) -> Result<(), StoreError> {
    let sql = "INSERT INTO deliveries (project_id, id, channel, status, next_attempt_at, created_at, updated_at, \
               give_up_at, document) VALUES ($1, $2, $3, 'pending', $4, $4, $4, $5, $6)";
    let document = encode("the message", &delivery.notice)?;
    execute!(
        tx,
        sql,
        project.as_str(),
        delivery.id.as_str(),
        delivery.channel.as_str(),
        micros(delivery.created_at),
        micros(delivery.give_up_at),
        document.as_str()
    )?;
    Ok(())
}
