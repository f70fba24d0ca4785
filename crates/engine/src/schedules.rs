//! Schedules: runs that start by themselves, once each time, whatever the number of processes.
//!
//! A schedule's next time is a column. Every process looks for times that have come; moving a schedule on and keeping its firing
//! is one transaction that only one of them gets through. The firing is then a job: whoever takes it makes the run, under an
//! id that follows from the firing, so that making it twice makes one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use llmops_api::runs::CreateRun;
use llmops_api::schedules::{Firing, FiringStatus, Preview, Schedule, ScheduleSpec, TimingError};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::schedule::{self, Overlap, Timetable};
use llmops_storage::{FiringRow, ScheduleRow, StoreError};

use crate::jobs::Job;
use crate::{ContinuousEvaluator, Error, LlmOps, Services};

/// Schedules and firings that one look takes up; the rest follows at once.
const BATCH: u32 = 100;
/// A firing is queued when it is due. One that is still due after this is queued again: its job was lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// How often a firing that waits for its turn looks whether it has come.
pub(crate) const TURN: Duration = Duration::from_millis(500);

/// Manages schedules.
#[derive(Debug, Clone)]
pub struct Scheduler {
    services: Arc<Services>,
    project: ProjectId,
}

/// What a worker that tried to fire is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fired {
    /// Nothing: something came of it.
    Settled,
    /// Try again, when the run before is over.
    NotYet,
}

impl Scheduler {
    /// Makes a schedule, or replaces the one of its name. What it runs must be possible now, so that mistakes show at once.
    pub async fn put(&self, spec: ScheduleSpec) -> Result<Schedule, Error> {
        check_name(&spec.name)?;
        let now = self.services.clock.now();
        let before = match self.services.store.get_schedule(&self.project, &spec.name).await {
            Ok(row) => Some(row),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let created_at = before.as_ref().map_or(now, |row| row.created_at);
        let table = timetable(&spec, created_at)?;
        self.check_work(&spec).await?;
        let document = serde_json::to_string(&spec).map_err(|e| Error::Internal(e.to_string()))?;
        if let Some(before) = &before
            && before.document == document
        {
            return self.get(&spec.name).await;
        }
        let row = ScheduleRow {
            name: spec.name.clone(),
            origin: spec.origin.as_str().to_owned(),
            document,
            next_at: if spec.paused { None } else { table.next_after(now) },
            created_at,
            updated_at: now,
        };
        self.services.store.put_schedule(&self.project, &row).await?;
        self.get(&spec.name).await
    }

    /// One schedule.
    pub async fn get(&self, name: &str) -> Result<Schedule, Error> {
        let row = self.services.store.get_schedule(&self.project, name).await?;
        self.complete(row).await
    }

    /// Schedules behind a name, by name.
    pub async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Schedule>, Error> {
        let rows = self.services.store.list_schedules(&self.project, after, limit).await?;
        let mut schedules = Vec::with_capacity(rows.len());
        for row in rows {
            schedules.push(self.complete(row).await?);
        }
        Ok(schedules)
    }

    async fn complete(&self, row: ScheduleRow) -> Result<Schedule, Error> {
        let last = self.services.store.list_firings(&self.project, &row.name, None, 1).await?.pop();
        Ok(Schedule {
            spec: read(&row)?,
            next_at: row.next_at,
            last: last.map(firing).transpose()?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }

    /// Removes a schedule and the list of its firings; its runs stay.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        Ok(self.services.store.delete_schedule(&self.project, name).await?)
    }

    /// Keeps a schedule from firing until it is resumed.
    pub async fn pause(&self, name: &str) -> Result<Schedule, Error> {
        self.set_paused(name, true).await
    }

    /// Lets a paused schedule fire again, from its next time on: what it would have fired meanwhile was not missed.
    pub async fn resume(&self, name: &str) -> Result<Schedule, Error> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<Schedule, Error> {
        let row = self.services.store.get_schedule(&self.project, name).await?;
        let mut spec = read(&row)?;
        if spec.paused != paused {
            let now = self.services.clock.now();
            spec.paused = paused;
            let next_at = if paused { None } else { timetable(&spec, row.created_at)?.next_after(now) };
            let document = serde_json::to_string(&spec).map_err(|e| Error::Internal(e.to_string()))?;
            let row = ScheduleRow { document, next_at, updated_at: now, ..row };
            self.services.store.put_schedule(&self.project, &row).await?;
        }
        self.get(name).await
    }

    /// Fires a schedule now, paused or not. Its overlap policy holds.
    pub async fn run_now(&self, name: &str) -> Result<Firing, Error> {
        let now = self.services.clock.now();
        let row = due_at(name, now, now);
        if !self.services.store.add_firing(&self.project, &row, now).await? {
            return Err(Error::Conflict {
                message: format!("`{name}` fires at this very moment"),
                hint: Some("its run is on the way".to_owned()),
            });
        }
        self.queue(&row).await;
        firing(row)
    }

    /// The next firings, paused or not.
    pub async fn preview(&self, name: &str, count: u32) -> Result<Preview, Error> {
        let row = self.services.store.get_schedule(&self.project, name).await?;
        let spec = read(&row)?;
        let table = timetable(&spec, row.created_at)?;
        Ok(Preview { timezone: spec.timezone, firings: table.preview(self.services.clock.now(), count as usize) })
    }

    /// Firings before a time, newest first.
    pub async fn firings(&self, name: &str, before: Option<Timestamp>, limit: u32) -> Result<Vec<Firing>, Error> {
        self.services.store.get_schedule(&self.project, name).await?;
        let rows = self.services.store.list_firings(&self.project, name, before, limit).await?;
        rows.into_iter().map(firing).collect()
    }

    /// Moves a schedule whose time has come on, and keeps and queues what is due. Of several processes one does it.
    async fn advance(&self, row: &ScheduleRow) -> Result<(), Error> {
        let (Some(next), now) = (row.next_at, self.services.clock.now()) else { return Ok(()) };
        let spec = read(row)?;
        let due = schedule::due(&timetable(&spec, row.created_at)?, spec.missed, next, now);
        let mut rows: Vec<FiringRow> = Vec::new();
        if let Some(missed) = due.missed {
            let note = "nobody was there in time".to_owned();
            let status = FiringStatus::Missed.as_str().to_owned();
            rows.push(FiringRow { status, note: Some(note), ..due_at(&row.name, missed, missed) });
        }
        for moment in due.fire {
            let name = format!("{}/{}", self.project, row.name);
            let later = moment.checked_add(schedule::delay(spec.jitter.0, &name, moment)).unwrap_or(moment);
            rows.push(due_at(&row.name, moment, later));
        }
        if self.services.store.advance_schedule(&self.project, row, due.next, &rows, now).await? {
            for firing in rows.iter().filter(|row| row.status == FiringStatus::Due.as_str()) {
                self.queue(firing).await;
            }
        }
        Ok(())
    }

    /// Queues a firing. Where the queue cannot be reached, it is found again.
    async fn queue(&self, row: &FiringRow) {
        let job = Job::Fire { schedule: row.schedule.clone(), fire_at: row.fire_at };
        if let Err(error) = self.services.push_job(&self.project, &job, Some(row.due_at)).await {
            tracing::warn!(schedule = row.schedule, %error, "the firing waits until the queue can be reached");
        }
    }

    /// Makes the run of a firing, or says why there is none.
    pub(crate) async fn fire(&self, name: &str, fire_at: Timestamp) -> Result<Fired, Error> {
        let store = &self.services.store;
        let found = store.get_firing(&self.project, name, fire_at).await?;
        let Some(mut row) = found.filter(|row| row.status == FiringStatus::Due.as_str()) else {
            return Ok(Fired::Settled);
        };
        let spec = match store.get_schedule(&self.project, name).await {
            Ok(row) => read(&row)?,
            Err(StoreError::NotFound { .. }) => return Ok(Fired::Settled),
            Err(error) => return Err(error.into()),
        };
        let status = if store.is_schedule_busy(&self.project, &row).await? {
            if spec.overlap == Overlap::Queue {
                return Ok(Fired::NotYet);
            }
            row.note = Some("the run before was not over".to_owned());
            FiringStatus::Skipped
        } else {
            match self.work(&spec, fire_at).await {
                Ok((run, note)) => {
                    (row.run, row.note) = (run, note);
                    FiringStatus::Started
                }
                // What may pass is tried again.
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => {
                    tracing::warn!(schedule = name, %error, "the schedule could not start its run");
                    row.note = Some(error.to_string());
                    FiringStatus::Failed
                }
            }
        };
        status.as_str().clone_into(&mut row.status);
        store.settle_firing(&self.project, &row, self.services.clock.now()).await?;
        Ok(Fired::Settled)
    }

    /// Does what a schedule is for: answers with the run that it started, or with what came of the task.
    async fn work(&self, spec: &ScheduleSpec, fire_at: Timestamp) -> Result<(Option<RunId>, Option<String>), Error> {
        match (&spec.run, &spec.task) {
            (Some(run), _) => Ok((Some(self.start(spec, run, fire_at).await?), None)),
            (None, Some(task)) => Ok((None, Some(self.ops().perform(task).await?))),
            (None, None) => Err(nothing_to_do()),
        }
    }

    async fn start(&self, spec: &ScheduleSpec, run: &CreateRun, fire_at: Timestamp) -> Result<RunId, Error> {
        let id = run_id(&self.project, &spec.name, fire_at);
        let mut request = CreateRun { start: true, ..run.clone() };
        request.tags.entry("schedule".to_owned()).or_insert_with(|| spec.name.clone());
        match self.evaluator().create_run_as(Some(id.clone()), request).await {
            Ok(_) => Ok(id),
            // Made by a worker that died before it could say so, perhaps before it could start it.
            Err(Error::Store(StoreError::Conflict(_))) => {
                self.evaluator().start_run(id.as_str()).await?;
                Ok(id)
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses what could not be done now, so that mistakes show at once.
    async fn check_work(&self, spec: &ScheduleSpec) -> Result<(), Error> {
        match (&spec.run, &spec.task) {
            (Some(run), None) => self.evaluator().check_run(run.clone()).await,
            (None, Some(task)) => self.ops().check_task(task).await,
            _ => Err(nothing_to_do()),
        }
    }

    fn ops(&self) -> LlmOps {
        LlmOps { services: self.services.clone(), project: self.project.clone() }
    }

    fn evaluator(&self) -> ContinuousEvaluator {
        self.ops().evaluator()
    }
}

impl LlmOps {
    /// The schedules.
    pub fn schedules(&self) -> Scheduler {
        Scheduler { services: self.services.clone(), project: self.project.clone() }
    }

    /// Makes due what is due by now, in all projects, and queues firings whose job was lost. Workers do it all the time.
    pub async fn tick(&self) -> Result<(), Error> {
        let (store, now) = (&self.services.store, self.services.clock.now());
        loop {
            let due = store.due_schedules(now, BATCH).await?;
            for (project, row) in &due {
                let schedules = self.for_project(project.clone()).schedules();
                match schedules.advance(row).await {
                    Ok(()) => {}
                    // All others are due still, and would be looked at again and again.
                    Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
                    // One that cannot be read shall not keep the others waiting.
                    Err(error) => {
                        tracing::error!(%project, schedule = row.name, %error, "the schedule cannot be moved on");
                        store.advance_schedule(project, row, None, &[], now).await?;
                    }
                }
            }
            if due.len() < BATCH as usize {
                break;
            }
        }
        let lost = now.checked_sub(LOST_AFTER).unwrap_or(now);
        for (project, row) in store.due_firings(lost, BATCH).await? {
            self.for_project(project).schedules().queue(&row).await;
        }
        Ok(())
    }
}

impl ContinuousEvaluator {
    /// Runs an evaluation by itself from now on: makes or replaces a schedule.
    pub async fn schedule_run(&self, spec: ScheduleSpec) -> Result<Schedule, Error> {
        let ops = LlmOps { services: self.services.clone(), project: self.project.clone() };
        ops.schedules().put(spec).await
    }
}

fn nothing_to_do() -> Error {
    Error::invalid("a schedule has either `run`, an evaluation, or `task`")
}

/// The id of the run that a firing starts.
fn run_id(project: &ProjectId, schedule: &str, fire_at: Timestamp) -> RunId {
    let hash = ContentHash::of_bytes(format!("{project}\n{schedule}\n{fire_at}").as_bytes());
    let random = u64::from_str_radix(hash.as_str().get(..16).unwrap_or("0"), 16).unwrap_or(0);
    RunId::new(fire_at.as_millisecond(), random)
}

/// A firing to make. Its time names it, so it has the precision of what is stored.
fn due_at(schedule: &str, fire_at: Timestamp, due_at: Timestamp) -> FiringRow {
    FiringRow {
        schedule: schedule.to_owned(),
        fire_at: Timestamp::from_microsecond(fire_at.as_microsecond()).unwrap_or(fire_at),
        due_at,
        status: FiringStatus::Due.as_str().to_owned(),
        run: None,
        note: None,
    }
}

fn read(row: &ScheduleRow) -> Result<ScheduleSpec, Error> {
    serde_json::from_str(&row.document)
        .map_err(|e| StoreError::Corrupt(format!("the schedule `{}`: {e}", row.name)).into())
}

fn firing(row: FiringRow) -> Result<Firing, Error> {
    let status = FiringStatus::ALL.into_iter().find(|status| status.as_str() == row.status);
    let status = status.ok_or_else(|| StoreError::Corrupt(format!("`{}` is no status of a firing", row.status)))?;
    Ok(Firing { fire_at: row.fire_at, due_at: row.due_at, status, run: row.run, note: row.note })
}

fn timetable(spec: &ScheduleSpec, anchor: Timestamp) -> Result<Timetable, Error> {
    spec.timetable(anchor).map_err(|error| {
        let hint = match &error {
            TimingError::Either => "write `cron`, or `every` for equal distances",
            TimingError::Schedule(error) => error.hint(),
        };
        Error::invalid(error.to_string()).with_hint(hint)
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts_well && name.len() <= 128 && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(format!("`{name}` is no name of a schedule"))
        .with_hint("a name has 1 to 128 letters, digits, `_`, `-` and `.`, the last two not first"))
}
