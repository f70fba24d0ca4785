//! Alerts: raised, acknowledged and resolved in one transaction with what channels and watchers are told.

mod silences;

use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::alert::{
    Alert, AlertAction, AlertDraft, AlertFilter, Known, Severity, Telling, decide as telling_of, held_until,
};
use llmops_domain::config::channels::Wants;
use llmops_domain::event::Event;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{AlertId, ProjectId, RunId};

use crate::audit::{Change, record};
use crate::bulk::{Insert, fetch_rows};
use crate::db::{
    Tx, check_name, decode, encode, execute, fetch, fitting, micros, micros_after, prefix_end, time, without_nul,
};
use crate::{Store, StoreError, events};
use silences::{hold, silences_of};

/// Alerts of a page where the filter names no limit.
const DEFAULT_LIMIT: u32 = 50;
/// Most alerts of a page.
const MOST_ALERTS: u32 = 1000;

/// A channel and which alerts it is told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// Which alerts.
    pub wants: Wants,
}

/// Alerts to raise.
#[derive(Debug, Clone)]
pub struct Raise<'a> {
    /// What is wrong, with the id of the alert that it becomes when there is none of its cause.
    pub drafts: Vec<(AlertId, AlertDraft)>,
    /// Who is told.
    pub routes: &'a [Route],
    /// Least time between two notifications of one topic.
    pub cooldown: Duration,
    /// When.
    pub now: Timestamp,
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// The alert as it is now.
    pub alert: Alert,
    /// Whether channels are told.
    pub telling: Telling,
}

/// A completed run whose numbers are to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingReview {
    /// Its project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    key: i64,
    owner: String,
}

impl Store {
    /// Raises alerts: what has an open alert of its cause is counted there. All that follows (notices for the channels,
    /// events) is stored with it.
    pub async fn raise_alerts(&self, project: &ProjectId, raise: Raise<'_>) -> Result<Vec<Raised>, StoreError> {
        let Raise { mut drafts, routes, cooldown, now } = raise;
        // Topics are locked in one order, and of a topic the most severe alert is told.
        drafts.sort_by(|(_, a), (_, b)| (&a.keys.topic, b.severity).cmp(&(&b.keys.topic, a.severity)));
        let mut tx = self.write().await?;
        let silences = silences_of(&mut tx, project, now).await?;
        let mut raised = Vec::with_capacity(drafts.len());
        for (id, draft) in drafts {
            let told = lock_topic(&mut tx, project, &draft.keys.topic).await?;
            let open = open_alert(&mut tx, project, &draft.keys.fingerprint).await?;
            let known = Known { open: open.as_ref(), told, silences: &silences, cooldown };
            let telling = telling_of(&draft, &known, now);
            let (topic, scope) = (draft.keys.topic.clone(), draft.keys.scope.clone());
            let is_new = open.is_none();
            let as_draft = draft.clone();
            let mut alert = match open.clone() {
                Some(open) => open.again(draft, now),
                None => draft.into_alert(id, now),
            };
            if telling == Telling::Told {
                alert.tell(now);
                tell_topic(&mut tx, project, &topic, &alert, now).await?;
                notify(&mut tx, project, routes, (&alert, AlertAction::Raised), now).await?;
            }
            if is_new {
                insert(&mut tx, project, &alert, &scope).await?;
            } else {
                update(&mut tx, project, &alert).await?;
            }
            // What is held back already stays so during a cooldown: its time comes.
            if telling == Telling::Silenced || (!is_new && telling != Telling::Cooldown) {
                let until = held_until(&alert, &as_draft, &known, now);
                hold(&mut tx, project, &alert.id, &topic, until).await?;
            }
            raised.push(Raised { alert, telling });
        }
        for Raised { alert, .. } in raised.iter().filter(|raised| raised.telling == Telling::Told) {
            let event = Event::Alert { action: AlertAction::Raised, alert: Box::new(alert.clone()) };
            events::append(&mut tx, project, now, &event).await?;
        }
        tx.commit().await?;
        self.tell_events();
        Ok(raised)
    }

    /// Marks an alert as seen by a person. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn acknowledge_alert(
        &self,
        project: &ProjectId,
        id: &AlertId,
        now: Timestamp,
    ) -> Result<Alert, StoreError> {
        let mut tx = self.write().await?;
        let mut alert = alert_to_change(&mut tx, project, id).await?;
        if alert.acked_at.is_none() {
            let change = Change::new("alert.acknowledged", id.as_str()).before(&alert);
            alert.acked_at = Some(now);
            update(&mut tx, project, &alert).await?;
            record(&mut tx, self.actor(), project, &change.after(&alert)).await?;
            let event = Event::Alert { action: AlertAction::Acknowledged, alert: Box::new(alert.clone()) };
            events::append(&mut tx, project, now, &event).await?;
        }
        tx.commit().await?;
        self.tell_events();
        Ok(alert)
    }

    /// Resolves alerts. Channels that were told of them are told of this too. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such alert: then none is resolved.
    pub async fn resolve_alerts(
        &self,
        project: &ProjectId,
        ids: &[AlertId],
        routes: &[Route],
        now: Timestamp,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut ids: Vec<&AlertId> = ids.iter().collect();
        // Rows are locked in one order.
        ids.sort();
        let mut tx = self.write().await?;
        let (mut alerts, mut told) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            let mut alert = alert_to_change(&mut tx, project, id).await?;
            if alert.resolved_at.is_none() {
                let change = Change::new("alert.resolved", id.as_str()).before(&alert);
                alert.resolved_at = Some(now);
                update(&mut tx, project, &alert).await?;
                record(&mut tx, self.actor(), project, &change.after(&alert)).await?;
                notify(&mut tx, project, routes, (&alert, AlertAction::Resolved), now).await?;
                told.push(alert.clone());
            }
            alerts.push(alert);
        }
        for alert in told {
            let event = Event::Alert { action: AlertAction::Resolved, alert: Box::new(alert) };
            events::append(&mut tx, project, now, &event).await?;
        }
        tx.commit().await?;
        self.tell_events();
        Ok(alerts)
    }

    /// An alert by its id or a beginning of it that fits no other.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] or [`StoreError::Ambiguous`].
    pub async fn get_alert(&self, project: &ProjectId, id: &str) -> Result<Alert, StoreError> {
        if id.is_empty() {
            return Err(StoreError::not_found("alert", id));
        }
        let sql = "SELECT document FROM alerts WHERE project_id = $1 AND id >= $2 AND id < $3 \
                   ORDER BY id LIMIT 2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), id, prefix_end(id))?;
        let found = rows.iter().map(|(document,)| decode("an alert", document)).collect::<Result<Vec<Alert>, _>>()?;
        let alert = fitting(found, |alert| alert.id.as_str() == id, "alert", id)?;
        alert.ok_or_else(|| StoreError::not_found("alert", id))
    }

    /// Alerts, newest first; at most `filter.limit` (default 50, at most 1,000).
    pub async fn list_alerts(&self, project: &ProjectId, filter: &AlertFilter) -> Result<Vec<Alert>, StoreError> {
        // A list of names, each between commas: both dialects can look into it.
        let types = filter.types.iter().fold(",".to_owned(), |list, kind| format!("{list}{kind},"));
        let severities = filter.severities.iter().fold(",".to_owned(), |list, s| format!("{list}{},", s.rank()));
        let sql = "SELECT document FROM alerts WHERE project_id = $1 \
                   AND ($2 = ',' OR $2 LIKE '%,' || type || ',%') \
                   AND ($3 = ',' OR $3 LIKE '%,' || CAST(severity AS TEXT) || ',%') \
                   AND ($4 IS NULL OR source = $4) AND ($5 = 0 OR acked_at IS NULL) \
                   AND ($6 IS NULL OR (CASE WHEN resolved_at IS NULL THEN 1 ELSE 0 END) = $6) \
                   AND created_at >= $7 AND created_at < $8 AND ($9 IS NULL OR id < $9) ORDER BY id DESC LIMIT $10";
        let mut conn = self.read().await?;
        let rows = fetch!(
            fetch_all,
            conn,
            (String,),
            sql,
            project.as_str(),
            types.as_str(),
            severities.as_str(),
            filter.source.as_deref(),
            i64::from(filter.unacked),
            filter.open.map(i64::from),
            filter.start_time.map_or(i64::MIN, micros),
            filter.end_time.map_or(i64::MAX, micros),
            filter.before.as_ref().map(AlertId::as_str),
            i64::from(filter.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_ALERTS))
        )?;
        rows.iter().map(|(document,)| decode("an alert", document)).collect()
    }

    /// The open alerts of a scope.
    pub async fn open_alerts(&self, project: &ProjectId, scope: &ContentHash) -> Result<Vec<Alert>, StoreError> {
        let sql =
            "SELECT document FROM alerts WHERE project_id = $1 AND scope = $2 AND resolved_at IS NULL ORDER BY id";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, project.as_str(), scope.as_str())?;
        rows.iter().map(|(document,)| decode("an alert", document)).collect()
    }

    /// The open alerts of these causes.
    pub async fn open_alerts_of(&self, project: &ProjectId, causes: &[&ContentHash]) -> Result<Vec<Alert>, StoreError> {
        let mut conn = self.read().await?;
        let found = fetch_rows!(conn, (String,), FIND_OPEN, causes, |cause| project.as_str(), cause.as_str()).await?;
        found.iter().map(|(document,)| decode("an alert", document)).collect()
    }

    /// Takes a completed run whose numbers nobody has looked at, until `now + lease`; `only` names the run.
    pub async fn claim_review(
        &self,
        only: Option<(&ProjectId, &RunId)>,
        owner: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<PendingReview>, StoreError> {
        if only.is_none() {
            // Mostly nothing waits: find that out without taking the lock of writers.
            let sql = "SELECT run_key FROM alert_reviews WHERE lease_until <= $1 LIMIT 1";
            let mut conn = self.read().await?;
            if fetch!(fetch_optional, conn, (i64,), sql, micros(now))?.is_none() {
                return Ok(None);
            }
        }
        let mut tx = self.write().await?;
        let sql = tx.dialect(
            "UPDATE alert_reviews SET owner = $1, lease_until = $2 WHERE run_key = (SELECT run_key FROM alert_reviews \
             WHERE lease_until <= $3 AND ($4 IS NULL OR (project_id = $4 AND run_id = $5)) ORDER BY run_key LIMIT 1) \
             RETURNING run_key, project_id, run_id",
            "UPDATE alert_reviews SET owner = $1, lease_until = $2 WHERE run_key = (SELECT run_key FROM alert_reviews \
             WHERE lease_until <= $3 AND ($4 IS NULL OR (project_id = $4 AND run_id = $5)) ORDER BY run_key LIMIT 1 \
             FOR UPDATE SKIP LOCKED) RETURNING run_key, project_id, run_id",
        );
        let until = micros_after(now, lease);
        let (project, run) = only.unzip();
        let row = fetch!(
            fetch_optional,
            tx,
            (i64, String, String),
            sql,
            owner,
            until,
            micros(now),
            project.map(ProjectId::as_str),
            run.map(RunId::as_str)
        )?;
        tx.commit().await?;
        Ok(row.map(|(key, project, run)| PendingReview {
            project: ProjectId(project),
            run: RunId(run),
            key,
            owner: owner.to_owned(),
        }))
    }

    /// The run's numbers were looked at.
    pub async fn finish_review(&self, review: &PendingReview) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM alert_reviews WHERE run_key = $1 AND owner = $2";
        execute!(tx, sql, review.key, review.owner.as_str())?;
        tx.commit().await
    }
}

const FIND_OPEN: Insert = Insert {
    head: "SELECT a.document FROM (VALUES",
    columns: 2,
    tail: ") AS v JOIN alerts AS a ON a.project_id = v.column1 AND a.fingerprint = v.column2 AND a.resolved_at IS NULL",
};

/// Notes, in the transaction of its completion, that a run is to be looked at.
pub(crate) async fn request_review(tx: &mut Tx, project: &ProjectId, run: &RunId) -> Result<(), StoreError> {
    let sql = "INSERT INTO alert_reviews (run_key, project_id, run_id, lease_until) \
               SELECT key, project_id, id, 0 FROM runs WHERE project_id = $1 AND id = $2 \
               ON CONFLICT (run_key) DO NOTHING";
    execute!(tx, sql, project.as_str(), run.as_str())?;
    Ok(())
}

/// Locks a topic until the end of the transaction; answers when channels were last told of it.
async fn lock_topic(
    tx: &mut Tx,
    project: &ProjectId,
    topic: &ContentHash,
) -> Result<Option<(Timestamp, Severity)>, StoreError> {
    let sql = "INSERT INTO alert_topics (project_id, topic) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    execute!(tx, sql, project.as_str(), topic.as_str()).map_err(|e| e.of_project(project))?;
    let sql = tx.dialect(
        "SELECT told_at, severity FROM alert_topics WHERE project_id = $1 AND topic = $2",
        "SELECT told_at, severity FROM alert_topics WHERE project_id = $1 AND topic = $2 FOR UPDATE",
    );
    let (told_at, severity) = fetch!(fetch_one, tx, (Option<i64>, Option<i64>), sql, project.as_str(), topic.as_str())?;
    let told = told_at.map(time).transpose()?.zip(severity.map(severity_of).transpose()?);
    Ok(told)
}

async fn tell_topic(
    tx: &mut Tx,
    project: &ProjectId,
    topic: &ContentHash,
    alert: &Alert,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE alert_topics SET told_at = $3, severity = $4 WHERE project_id = $1 AND topic = $2";
    execute!(tx, sql, project.as_str(), topic.as_str(), micros(now), i64::from(alert.severity.rank()))?;
    Ok(())
}

async fn open_alert(tx: &mut Tx, project: &ProjectId, fingerprint: &ContentHash) -> Result<Option<Alert>, StoreError> {
    let sql = tx.dialect(
        "SELECT document FROM alerts WHERE project_id = $1 AND fingerprint = $2 AND resolved_at IS NULL",
        "SELECT document FROM alerts WHERE project_id = $1 AND fingerprint = $2 AND resolved_at IS NULL FOR UPDATE",
    );
    let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), fingerprint.as_str())?;
    row.map(|(document,)| decode("an alert", &document)).transpose()
}

async fn alert_to_change(tx: &mut Tx, project: &ProjectId, id: &AlertId) -> Result<Alert, StoreError> {
    let sql = tx.dialect(
        "SELECT document FROM alerts WHERE project_id = $1 AND id = $2",
        "SELECT document FROM alerts WHERE project_id = $1 AND id = $2 FOR UPDATE",
    );
    let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id.as_str())?;
    let (document,) = row.ok_or_else(|| StoreError::not_found("alert", id.as_str()))?;
    decode("an alert", &document)
}

async fn insert(tx: &mut Tx, project: &ProjectId, alert: &Alert, scope: &ContentHash) -> Result<(), StoreError> {
    check_name("the alert's source", &alert.source)?;
    let sql = "INSERT INTO alerts (project_id, id, fingerprint, scope, type, severity, source, created_at, document) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let document = document_of(alert)?;
    execute!(
        tx,
        sql,
        project.as_str(),
        alert.id.as_str(),
        alert.fingerprint.as_str(),
        scope.as_str(),
        alert.kind.as_str(),
        i64::from(alert.severity.rank()),
        alert.source.as_str(),
        micros(alert.created_at),
        document.as_str()
    )?;
    Ok(())
}

async fn update(tx: &mut Tx, project: &ProjectId, alert: &Alert) -> Result<(), StoreError> {
    let sql = "UPDATE alerts SET severity = $3, acked_at = $4, resolved_at = $5, document = $6 \
               WHERE project_id = $1 AND id = $2";
    let document = document_of(alert)?;
    execute!(
        tx,
        sql,
        project.as_str(),
        alert.id.as_str(),
        i64::from(alert.severity.rank()),
        alert.acked_at.map(micros),
        alert.resolved_at.map(micros),
        document.as_str()
    )?;
    Ok(())
}

fn document_of(alert: &Alert) -> Result<String, StoreError> {
    encode("the alert", alert).map(|text| without_nul(&text).into_owned())
}

/// Notes for each channel that wants it what it shall be told.
async fn notify(
    tx: &mut Tx,
    project: &ProjectId,
    routes: &[Route],
    (alert, action): (&Alert, AlertAction),
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO alert_notices (project_id, channel, alert_id, action, severity, at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let is_wanted = |route: &&Route| match action {
        // It may have become less severe since.
        AlertAction::Resolved => route.wants.resolved && route.wants.heard_of(alert),
        _ => route.wants.admit(alert.kind, alert.severity),
    };
    for route in routes.iter().filter(is_wanted) {
        execute!(
            tx,
            sql,
            project.as_str(),
            route.channel.as_str(),
            alert.id.as_str(),
            action.as_str(),
            i64::from(alert.severity.rank()),
            micros(now)
        )?;
    }
    Ok(())
}

pub(crate) fn severity_of(rank: i64) -> Result<Severity, StoreError> {
    let known = Severity::ALL.iter().copied().find(|severity| i64::from(severity.rank()) == rank);
    known.ok_or_else(|| StoreError::Corrupt(format!("{rank} is no severity")))
}
