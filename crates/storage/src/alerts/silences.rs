//! Silences, and the open alerts that they hold back until they are over.

use std::time::Duration;

use jiff::Timestamp;
use llmops_domain::alert::{Alert, AlertAction, Known, Silence, Telling, decide, held_until};
use llmops_domain::event::Event;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{AlertId, ProjectId};

use super::{Route, lock_topic, notify, tell_topic, update};
use crate::audit::{Change, record};
use crate::db::{Tx, check_name, decode, encode, execute, fetch, hash_of_text, micros};
use crate::{Store, StoreError, events};

const SILENCES: &str = "SELECT document FROM alert_silences WHERE project_id = $1 AND ends_at > $2 ORDER BY id";

impl Store {
    /// Stores a silence, or replaces the one with its id.
    pub async fn put_silence(&self, project: &ProjectId, silence: &Silence) -> Result<(), StoreError> {
        check_name("the silence's id", &silence.id)?;
        let sql = "INSERT INTO alert_silences (project_id, id, ends_at, document) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (project_id, id) DO UPDATE SET ends_at = excluded.ends_at, document = excluded.document";
        let document = encode("the silence", silence)?;
        let mut tx = self.write().await?;
        execute!(tx, sql, project.as_str(), silence.id.as_str(), micros(silence.ends_at), document.as_str())
            .map_err(|e| e.of_project(project))?;
        let change = Change::new("silence.created", silence.id.as_str()).after(silence);
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// The silences that have not ended, oldest first.
    pub async fn list_silences(&self, project: &ProjectId, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), SILENCES, project.as_str(), micros(now))?;
        rows.iter().map(|(document,)| decode("a silence", document)).collect()
    }

    /// Ends a silence. What it held back is looked at anew.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_silence(&self, project: &ProjectId, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM alert_silences WHERE project_id = $1 AND id = $2";
        if execute!(tx, sql, project.as_str(), id)? == 0 {
            tx.rollback().await?;
            return Err(StoreError::not_found("silence", id));
        }
        let sql =
            "UPDATE alerts SET held_until = 0 WHERE project_id = $1 AND resolved_at IS NULL AND held_until IS NOT NULL";
        execute!(tx, sql, project.as_str())?;
        record(&mut tx, self.actor(), project, &Change::new("silence.ended", id)).await?;
        tx.commit().await
    }

    /// The projects with open alerts whose time has come: a silence held them back, and it is over.
    pub async fn projects_with_held_alerts(&self, now: Timestamp) -> Result<Vec<ProjectId>, StoreError> {
        let sql = "SELECT DISTINCT project_id FROM alerts \
                   WHERE resolved_at IS NULL AND held_until IS NOT NULL AND held_until <= $1";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, (String,), sql, micros(now))?;
        Ok(rows.into_iter().map(|(project,)| ProjectId(project)).collect())
    }

    /// Tells the channels of open alerts that a silence held back, if nothing keeps them from it any more; answers with those that
    /// are told. Others stay held back until that is over.
    pub async fn tell_held_alerts(
        &self,
        project: &ProjectId,
        routes: &[Route],
        cooldown: Duration,
        now: Timestamp,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut tx = self.write().await?;
        let silences = silences_of(&mut tx, project, now).await?;
        let sql = "SELECT topic, id, scope FROM alerts WHERE project_id = $1 AND resolved_at IS NULL \
                   AND held_until IS NOT NULL AND held_until <= $2 ORDER BY topic, severity DESC, id";
        let held = fetch!(fetch_all, tx, (String, String, String), sql, project.as_str(), micros(now))?;
        let mut told = Vec::new();
        for (topic, id, scope) in held {
            let (topic, scope) = (hash_of_text(&topic)?, hash_of_text(&scope)?);
            let topic_told = lock_topic(&mut tx, project, &topic).await?;
            // Somebody may have told or resolved it while this waited for the topic.
            let Some(mut alert) = held_alert(&mut tx, project, &id, now).await? else { continue };
            let draft = alert.draft(topic.clone(), scope);
            let before = alert.clone();
            let known = Known { open: Some(&before), told: topic_told, silences: &silences, cooldown };
            if decide(&draft, &known, now) == Telling::Told {
                alert.tell(now);
                tell_topic(&mut tx, project, &topic, &alert, now).await?;
                notify(&mut tx, project, routes, (&alert, AlertAction::Raised), now).await?;
                update(&mut tx, project, &alert).await?;
                told.push(alert);
            }
            hold(&mut tx, project, &before.id, &topic, held_until(&before, &draft, &known, now)).await?;
        }
        for alert in &told {
            let event = Event::Alert { action: AlertAction::Raised, alert: Box::new(alert.clone()) };
            events::append(&mut tx, project, now, &event).await?;
        }
        tx.commit().await?;
        self.tell_events();
        Ok(told)
    }
}

pub(super) async fn silences_of(tx: &mut Tx, project: &ProjectId, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
    let rows = fetch!(fetch_all, tx, (String,), SILENCES, project.as_str(), micros(now))?;
    rows.iter().map(|(document,)| decode("a silence", document)).collect()
}

/// Notes until when an alert is held back.
pub(super) async fn hold(
    tx: &mut Tx,
    project: &ProjectId,
    id: &AlertId,
    topic: &ContentHash,
    until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let sql = "UPDATE alerts SET held_until = $3, topic = $4 WHERE project_id = $1 AND id = $2";
    execute!(tx, sql, project.as_str(), id.as_str(), until.map(micros), topic.as_str())?;
    Ok(())
}

/// An open alert whose time has come.
async fn held_alert(tx: &mut Tx, project: &ProjectId, id: &str, now: Timestamp) -> Result<Option<Alert>, StoreError> {
    let sql = tx.dialect(
        "SELECT document FROM alerts WHERE project_id = $1 AND id = $2 AND resolved_at IS NULL AND held_until <= $3",
        "SELECT document FROM alerts WHERE project_id = $1 AND id = $2 AND resolved_at IS NULL AND held_until <= $3 \
         FOR UPDATE",
    );
    let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), id, micros(now))?;
    row.map(|(document,)| decode("an alert", &document)).transpose()
}
