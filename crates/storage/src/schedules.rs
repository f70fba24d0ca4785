//! Schedules and their firings.

use jiff::Timestamp;
use llmops_domain::event::Event;
use llmops_domain::id::{ProjectId, RunId};

use serde_json::Value;

use crate::audit::{Change, record};
use crate::db::{Tx, check_name, execute, fetch, micros, prose, row, time};
use crate::{Store, StoreError, events};

/// A schedule as it is stored. What it runs is the engine's to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its name in the project.
    pub name: String,
    /// Who keeps it.
    pub origin: String,
    /// The rest of it, as JSON.
    pub document: String,
    /// The firing that it waits for; null while it is paused.
    pub next_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// A firing of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringRow {
    /// The schedule.
    pub schedule: String,
    /// The time it is for, which names it.
    pub fire_at: Timestamp,
    /// When it is to happen: later by the jitter.
    pub due_at: Timestamp,
    /// `due`, or what came of it.
    pub status: String,
    /// The run that it started.
    pub run: Option<RunId>,
    /// Why it started none.
    pub note: Option<String>,
}

row! {
    struct RawSchedule {
        project_id: String,
        name: String,
        origin: String,
        document: String,
        next_at: Option<i64>,
        created_at: i64,
        updated_at: i64,
    }
}

impl RawSchedule {
    fn read(self) -> Result<(ProjectId, ScheduleRow), StoreError> {
        let row = ScheduleRow {
            name: self.name,
            origin: self.origin,
            document: self.document,
            next_at: self.next_at.map(time).transpose()?,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
        };
        Ok((ProjectId(self.project_id), row))
    }
}

row! {
    struct RawFiring {
        project_id: String,
        schedule: String,
        fire_at: i64,
        due_at: i64,
        status: String,
        run_id: Option<String>,
        note: Option<String>,
    }
}

impl RawFiring {
    fn read(self) -> Result<(ProjectId, FiringRow), StoreError> {
        let row = FiringRow {
            schedule: self.schedule,
            fire_at: time(self.fire_at)?,
            due_at: time(self.due_at)?,
            status: self.status,
            run: self.run_id.map(RunId),
            note: self.note,
        };
        Ok((ProjectId(self.project_id), row))
    }
}

/// The document of a schedule that is about to change.
async fn document(tx: &mut Tx, project: &ProjectId, name: &str) -> Result<Option<String>, StoreError> {
    let sql = tx.dialect(
        "SELECT document FROM schedules WHERE project_id = $1 AND name = $2",
        "SELECT document FROM schedules WHERE project_id = $1 AND name = $2 FOR UPDATE",
    );
    let row = fetch!(fetch_optional, tx, (String,), sql, project.as_str(), name)?;
    Ok(row.map(|(document,)| document))
}

/// What the record of changes says of a schedule: how it scores may name secrets, and is left out.
fn told(document: &str) -> Value {
    let mut told: Value = serde_json::from_str(document).unwrap_or_default();
    if let Some(run) = told.get_mut("run").and_then(Value::as_object_mut) {
        run.remove("scoring");
    }
    told
}

impl Store {
    /// Makes a schedule, or changes it; when it was made stays.
    pub async fn put_schedule(&self, project: &ProjectId, row: &ScheduleRow) -> Result<(), StoreError> {
        check_name("the schedule's name", &row.name)?;
        let sql = "INSERT INTO schedules (project_id, name, origin, document, next_at, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, name) DO UPDATE SET \
                   origin = excluded.origin, document = excluded.document, next_at = excluded.next_at, \
                   updated_at = excluded.updated_at";
        let mut tx = self.write().await?;
        let before = document(&mut tx, project, &row.name).await?;
        execute!(
            tx,
            sql,
            project.as_str(),
            &row.name,
            &row.origin,
            &row.document,
            row.next_at.map(micros),
            micros(row.created_at),
            micros(row.updated_at)
        )
        .map_err(|e| e.of_project(project))?;
        let action = if before.is_some() { "schedule.changed" } else { "schedule.created" };
        let change = Change::new(action, &row.name).before(before.as_deref().map(told)).after(told(&row.document));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// A schedule by its name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn get_schedule(&self, project: &ProjectId, name: &str) -> Result<ScheduleRow, StoreError> {
        let sql = "SELECT project_id, name, origin, document, next_at, created_at, updated_at FROM schedules \
                   WHERE project_id = $1 AND name = $2";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, RawSchedule, sql, project.as_str(), name)?;
        Ok(row.ok_or_else(|| StoreError::not_found("schedule", name))?.read()?.1)
    }

    /// Schedules behind a name, by name.
    pub async fn list_schedules(
        &self,
        project: &ProjectId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, StoreError> {
        let sql = "SELECT project_id, name, origin, document, next_at, created_at, updated_at FROM schedules \
                   WHERE project_id = $1 AND name > $2 ORDER BY name LIMIT $3";
        let mut conn = self.read().await?;
        let rows =
            fetch!(fetch_all, conn, RawSchedule, sql, project.as_str(), after.unwrap_or_default(), i64::from(limit))?;
        rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
    }

    /// Removes a schedule and its firings; the runs stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_schedule(&self, project: &ProjectId, name: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let before = document(&mut tx, project, name).await?;
        let before = before.ok_or_else(|| StoreError::not_found("schedule", name))?;
        let sql = "DELETE FROM schedules WHERE project_id = $1 AND name = $2";
        execute!(tx, sql, project.as_str(), name)?;
        let change = Change::new("schedule.deleted", name).before(told(&before));
        record(&mut tx, self.actor(), project, &change).await?;
        tx.commit().await
    }

    /// Schedules of all projects whose next firing has come, those that wait longest first.
    pub async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<(ProjectId, ScheduleRow)>, StoreError> {
        let sql = "SELECT project_id, name, origin, document, next_at, created_at, updated_at FROM schedules \
                   WHERE next_at IS NOT NULL AND next_at <= $1 ORDER BY next_at, project_id, name LIMIT $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, RawSchedule, sql, micros(now), i64::from(limit))?;
        rows.into_iter().map(RawSchedule::read).collect()
    }

    /// Moves a schedule on to its next firing and keeps the firings that are due now, in one transaction. False, and nothing is
    /// kept, when another process was first, or the schedule was changed.
    #[expect(clippy::too_many_arguments, reason = "what was seen, what comes, and when: none of them belong together")]
    pub async fn advance_schedule(
        &self,
        project: &ProjectId,
        seen: &ScheduleRow,
        next: Option<Timestamp>,
        firings: &[FiringRow],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let sql = "UPDATE schedules SET next_at = $4 \
                   WHERE project_id = $1 AND name = $2 AND next_at = $3 AND updated_at = $5";
        let (next, updated) = (next.map(micros), micros(seen.updated_at));
        let moved = execute!(tx, sql, project.as_str(), &seen.name, seen.next_at.map(micros), next, updated)?;
        if moved == 0 {
            return Ok(false);
        }
        for firing in firings {
            insert_firing(&mut tx, project, firing, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Keeps a firing outside of the timetable. False: there is one for this time already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such schedule.
    pub async fn add_firing(
        &self,
        project: &ProjectId,
        firing: &FiringRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let added = insert_firing(&mut tx, project, firing, now).await.map_err(|e| match e.of_project(project) {
            StoreError::NotFound { .. } => StoreError::not_found("schedule", &firing.schedule),
            e => e,
        })?;
        tx.commit().await?;
        Ok(added > 0)
    }

    /// Says what came of a firing. False: that was said before.
    pub async fn settle_firing(
        &self,
        project: &ProjectId,
        firing: &FiringRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE schedule_firings SET status = $4, run_id = $5, note = $6, updated_at = $7 \
                   WHERE project_id = $1 AND schedule = $2 AND fire_at = $3 AND status = 'due'";
        let run = firing.run.as_ref().map(RunId::as_str);
        let note = firing.note.as_deref().map(prose);
        let mut tx = self.write().await?;
        let settled = execute!(
            tx,
            sql,
            project.as_str(),
            &firing.schedule,
            micros(firing.fire_at),
            &firing.status,
            run,
            note.as_deref(),
            micros(now)
        )?;
        if settled == 1 {
            let event = Event::Schedule {
                schedule: firing.schedule.clone(),
                action: firing.status.clone(),
                due: Some(firing.fire_at),
                run: firing.run.clone(),
                reason: firing.note.clone(),
            };
            events::append(&mut tx, project, now, &event).await?;
        }
        tx.commit().await?;
        self.tell_events();
        Ok(settled > 0)
    }

    /// One firing.
    pub async fn get_firing(
        &self,
        project: &ProjectId,
        schedule: &str,
        fire_at: Timestamp,
    ) -> Result<Option<FiringRow>, StoreError> {
        let sql = "SELECT project_id, schedule, fire_at, due_at, status, run_id, note FROM schedule_firings \
                   WHERE project_id = $1 AND schedule = $2 AND fire_at = $3";
        let mut conn = self.read().await?;
        let row = fetch!(fetch_optional, conn, RawFiring, sql, project.as_str(), schedule, micros(fire_at))?;
        row.map(|row| Ok(row.read()?.1)).transpose()
    }

    /// Firings of a schedule before a time, newest first.
    pub async fn list_firings(
        &self,
        project: &ProjectId,
        schedule: &str,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<FiringRow>, StoreError> {
        let sql = "SELECT project_id, schedule, fire_at, due_at, status, run_id, note FROM schedule_firings \
                   WHERE project_id = $1 AND schedule = $2 AND fire_at < $3 ORDER BY fire_at DESC LIMIT $4";
        let before = before.map_or(i64::MAX, micros);
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, RawFiring, sql, project.as_str(), schedule, before, i64::from(limit))?;
        rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
    }

    /// Firings of all projects that are due and did not happen yet, oldest first.
    pub async fn due_firings(&self, now: Timestamp, limit: u32) -> Result<Vec<(ProjectId, FiringRow)>, StoreError> {
        let sql = "SELECT project_id, schedule, fire_at, due_at, status, run_id, note FROM schedule_firings \
                   WHERE status = 'due' AND due_at <= $1 ORDER BY due_at LIMIT $2";
        let mut conn = self.read().await?;
        let rows = fetch!(fetch_all, conn, RawFiring, sql, micros(now), i64::from(limit))?;
        rows.into_iter().map(RawFiring::read).collect()
    }

    /// Whether an earlier firing of the schedule has yet to happen, or a run that one started is not over.
    pub async fn is_schedule_busy(&self, project: &ProjectId, firing: &FiringRow) -> Result<bool, StoreError> {
        let sql = "SELECT COUNT(*) FROM schedule_firings f \
                   LEFT JOIN runs r ON r.project_id = f.project_id AND r.id = f.run_id \
                   WHERE f.project_id = $1 AND f.schedule = $2 AND f.fire_at < $3 \
                   AND (f.status = 'due' OR r.status = 'pending' OR r.status = 'running')";
        let mut conn = self.read().await?;
        let (busy,) = fetch!(fetch_one, conn, (i64,), sql, project.as_str(), &firing.schedule, micros(firing.fire_at))?;
        Ok(busy > 0)
    }
}

async fn insert_firing(
    tx: &mut crate::db::Tx,
    project: &ProjectId,
    firing: &FiringRow,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "INSERT INTO schedule_firings \
               (project_id, schedule, fire_at, due_at, status, run_id, note, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    execute!(
        tx,
        sql,
        project.as_str(),
        &firing.schedule,
        micros(firing.fire_at),
        micros(firing.due_at),
        &firing.status,
        firing.run.as_ref().map(RunId::as_str),
        firing.note.as_deref(),
        micros(now)
    )
}
