//! Schedules on the wire.

use jiff::Timestamp;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::id::RunId;
use llmops_domain::schedule::{Missed, Overlap, ScheduleError, Timetable};
use serde::{Deserialize, Serialize};

use crate::feedback::SendReport;
use crate::runs::CreateRun;

/// Who keeps a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// People and programs, over the API.
    #[default]
    Api,
    /// A configuration file: the schedule changes and goes with it.
    Config,
}

impl Origin {
    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Config => "config",
        }
    }
}

/// What a schedule says: when to run what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Its name in the project: 1 to 128 letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// Who keeps it.
    #[serde(default)]
    pub origin: Origin,
    /// Whether it waits until somebody resumes it.
    #[serde(default)]
    pub paused: bool,
    /// A cron expression of five fields (`0 3 * * *`), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this
    /// or `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time between two runs, such as `24h`, counted from when the schedule was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub every: Option<HumanDuration>,
    /// Time zone of the cron expression, a name of the IANA database.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Runs start later by up to this, so that schedules of the same time spread.
    #[serde(default = "none", skip_serializing_if = "is_none")]
    #[schema(value_type = String)]
    pub jitter: HumanDuration,
    /// When the run before is not over: `skip` this one, or `queue` it.
    #[serde(default)]
    pub overlap: Overlap,
    /// When nobody was there to run it: `skip` it, or `run_once` for all that was missed.
    #[serde(default)]
    pub missed: Missed,
    /// The evaluation that runs. `NAME` of a prompt or dataset without version means the one that is active or newest then.
    /// Either this or `task`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<CreateRun>,
    /// Something else that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<ScheduledTask>,
}

/// Something that is done by itself, and is no evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScheduledTask {
    /// The report on feedback is sent to a channel.
    FeedbackReport(SendReport),
    /// The manifests that were live are rehearsed; one that could not take over raises an alert.
    Rehearsal {
        /// The deployment.
        deployment: String,
        /// Its environment; absent: `production`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
    },
}

impl std::fmt::Display for ScheduledTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FeedbackReport(report) => write!(f, "feedback report to {}", report.channel),
            Self::Rehearsal { deployment, environment: None } => write!(f, "rehearsal of {deployment}"),
            Self::Rehearsal { deployment, environment: Some(environment) } => {
                write!(f, "rehearsal of {deployment} in {environment}")
            }
        }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn none() -> HumanDuration {
    HumanDuration::from_secs(0)
}

fn is_none(duration: &HumanDuration) -> bool {
    duration.0.is_zero()
}

/// A schedule that says neither or both of `cron` and `every`, or what cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Not exactly one of them.
    #[error("a schedule has either `cron` or `every`")]
    Either,
    /// It cannot be read.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl ScheduleSpec {
    /// What it does, in a few words.
    pub fn work(&self) -> String {
        match (&self.run, &self.task) {
            (Some(run), _) => format!("{} on {}", run.target.name, run.dataset),
            (None, Some(task)) => task.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The timetable of a schedule that was made at `anchor`.
    ///
    /// # Errors
    /// When it says neither or both of `cron` and `every`, or what cannot be read.
    pub fn timetable(&self, anchor: Timestamp) -> Result<Timetable, TimingError> {
        match (&self.cron, self.every) {
            (Some(cron), None) => Ok(Timetable::cron(cron, &self.timezone)?),
            (None, Some(every)) => Ok(Timetable::every(every.0, anchor)?),
            _ => Err(TimingError::Either),
        }
    }
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Schedule {
    /// When it runs what.
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    /// The next firing. Null while it is paused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// What came of it last.
    pub last: Option<Firing>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What came of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiringStatus {
    /// It waits for a worker, or for its turn.
    Due,
    /// It started a run.
    Started,
    /// It was left out because the run before was not over.
    Skipped,
    /// Nobody was there in time.
    Missed,
    /// The run could not be made.
    Failed,
}

impl FiringStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Due, Self::Started, Self::Skipped, Self::Missed, Self::Failed];

    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Started => "started",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// One firing of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Firing {
    /// The time it is for.
    #[schema(value_type = String, format = DateTime)]
    pub fire_at: Timestamp,
    /// When it happens: later by the jitter.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// What came of it.
    pub status: FiringStatus,
    /// The run that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Why it started none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How far to look ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// Firings to show, 1 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub count: Option<u32>,
}

/// The next firings of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preview {
    /// Its time zone.
    pub timezone: String,
    /// The firings, in UTC, in order.
    #[schema(value_type = Vec<String>)]
    pub firings: Vec<Timestamp>,
}
