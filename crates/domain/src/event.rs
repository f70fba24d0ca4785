//! Events: what happened, for those who watch a project live.
//!
//! An event is stored with an id that only grows, so that a watcher who was away asks for what came after the last one
//! it saw. Whoever adds a kind of event adds a variant to [`Event`] and a row to [`EventType`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertAction};
use crate::id::RunId;
use crate::run::{Estimate, Progress, RunStatus};
use crate::suggest;

/// What happened, in one project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type")]
pub enum Event {
    /// Work on a run began, or began again.
    #[serde(rename = "run.started")]
    RunStarted(RunNews),
    /// A run has more results than before. Sent at most once a second for each run, and kept for a short time only.
    #[serde(rename = "run.progress")]
    RunProgress {
        /// The run.
        run: RunId,
        /// How far it is.
        progress: Progress,
    },
    /// A run has all its results.
    #[serde(rename = "run.completed")]
    RunCompleted(RunNews),
    /// A run could not go on, or has too many errors.
    #[serde(rename = "run.failed")]
    RunFailed(RunNews),
    /// A run was stopped by a person.
    #[serde(rename = "run.cancelled")]
    RunCancelled(RunNews),
    /// An alert was raised or changed.
    #[serde(rename = "alert")]
    Alert {
        /// What happened to it.
        action: AlertAction,
        /// The alert as it is now.
        alert: Box<Alert>,
    },
    /// A deployment points elsewhere.
    #[serde(rename = "deployment")]
    Deployment {
        /// Its name.
        deployment: String,
        /// The environment, such as `production`.
        environment: String,
        /// What was done: `deploy`, `rollback` …
        action: String,
        /// The manifest it points to now.
        manifest: Option<String>,
        /// The manifest it pointed to before.
        previous: Option<String>,
    },
    /// An experiment changed its status.
    #[serde(rename = "experiment")]
    Experiment {
        /// Its id.
        experiment: String,
        /// Its name.
        name: String,
        /// The status it has now.
        status: String,
    },
    /// An incident was opened or closed.
    #[serde(rename = "incident")]
    Incident {
        /// Its id.
        incident: String,
        /// The deployment.
        deployment: String,
        /// Its environment.
        environment: String,
        /// What happened to it: `opened` or `closed`.
        action: String,
    },
    /// A version of a prompt was written, made the active one, or deleted.
    #[serde(rename = "prompt")]
    Prompt {
        /// The prompt's name.
        prompt: String,
        /// The version.
        version: String,
        /// What was done with it: `created`, `activated` or `deleted`.
        action: String,
    },
    /// A dataset has another newest version than before.
    #[serde(rename = "dataset")]
    Dataset {
        /// Its name.
        dataset: String,
        /// The version that is the newest now.
        version: String,
    },
    /// A canary was started, or came a step further.
    #[serde(rename = "canary")]
    Canary {
        /// Its id.
        canary: String,
        /// The deployment whose traffic it answers.
        deployment: String,
        /// The environment, such as `production`.
        environment: String,
        /// The status it has now.
        status: String,
        /// The candidate's manifest.
        candidate: String,
        /// Why.
        note: Option<String>,
    },
    /// A release was begun, came a step further, waits for something else, or ended.
    #[serde(rename = "release")]
    Release {
        /// Its id.
        release: String,
        /// The deployment.
        deployment: String,
        /// Where it stands: `open`, `released` or `cancelled`.
        status: String,
        /// The step that it is at.
        step: String,
        /// What it waits for, and which command brings that about.
        waiting: Option<String>,
    },
    /// A schedule's time came: it started a run, or had a reason not to.
    #[serde(rename = "schedule")]
    Schedule {
        /// Its name.
        schedule: String,
        /// What came of it: `started`, `skipped` or `failed`.
        action: String,
        /// The tick that it was about.
        #[schema(value_type = Option<String>, format = DateTime)]
        due: Option<Timestamp>,
        /// The run that it started.
        run: Option<RunId>,
        /// Why, where that is not plain.
        reason: Option<String>,
    },
}

/// A run that changed its status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunNews {
    /// The run.
    pub run: RunId,
    /// Its status now.
    pub status: RunStatus,
    /// The suite it was started from.
    pub suite: Option<String>,
    /// The dataset's name.
    pub dataset: String,
    /// The prompt's name.
    pub prompt_name: Option<String>,
    /// The model, as `provider/model`.
    pub model_name: String,
    /// Why it failed, where it did.
    pub error: Option<String>,
    /// Share of trials that passed, where there are results.
    pub pass_rate: Option<Estimate>,
    /// The overall score, where there are results.
    pub overall: Option<Estimate>,
}

impl RunNews {
    /// The event of a run in this status; none for a run that waits.
    pub fn into_event(self) -> Option<Event> {
        match self.status {
            RunStatus::Pending => None,
            RunStatus::Running => Some(Event::RunStarted(self)),
            RunStatus::Completed => Some(Event::RunCompleted(self)),
            RunStatus::Failed => Some(Event::RunFailed(self)),
            RunStatus::Cancelled => Some(Event::RunCancelled(self)),
        }
    }
}

/// The kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum EventType {
    /// Work on a run began.
    #[serde(rename = "run.started")]
    RunStarted,
    /// A run has more results.
    #[serde(rename = "run.progress")]
    RunProgress,
    /// A run has all its results.
    #[serde(rename = "run.completed")]
    RunCompleted,
    /// A run could not go on.
    #[serde(rename = "run.failed")]
    RunFailed,
    /// A run was stopped.
    #[serde(rename = "run.cancelled")]
    RunCancelled,
    /// An alert was raised or changed.
    #[serde(rename = "alert")]
    Alert,
    /// A deployment points elsewhere.
    #[serde(rename = "deployment")]
    Deployment,
    /// An experiment changed its status.
    #[serde(rename = "experiment")]
    Experiment,
    /// A version of a prompt was written, activated or deleted.
    #[serde(rename = "prompt")]
    Prompt,
    /// A dataset has another newest version.
    #[serde(rename = "dataset")]
    Dataset,
    /// A canary came a step further.
    #[serde(rename = "canary")]
    Canary,
    /// A schedule fired, or did not.
    #[serde(rename = "schedule")]
    Schedule,
    /// An incident was opened or closed.
    #[serde(rename = "incident")]
    Incident,
    /// A release moved.
    #[serde(rename = "release")]
    Release,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::RunStarted,
        Self::RunProgress,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
        Self::Alert,
        Self::Deployment,
        Self::Experiment,
        Self::Prompt,
        Self::Dataset,
        Self::Canary,
        Self::Schedule,
        Self::Incident,
        Self::Release,
    ];

    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunStarted => "run.started",
            Self::RunProgress => "run.progress",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::Alert => "alert",
            Self::Deployment => "deployment",
            Self::Experiment => "experiment",
            Self::Prompt => "prompt",
            Self::Dataset => "dataset",
            Self::Canary => "canary",
            Self::Schedule => "schedule",
            Self::Incident => "incident",
            Self::Release => "release",
        }
    }
}

impl std::fmt::Display for EventType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventType {
        match self {
            Self::RunStarted(_) => EventType::RunStarted,
            Self::RunProgress { .. } => EventType::RunProgress,
            Self::RunCompleted(_) => EventType::RunCompleted,
            Self::RunFailed(_) => EventType::RunFailed,
            Self::RunCancelled(_) => EventType::RunCancelled,
            Self::Alert { .. } => EventType::Alert,
            Self::Deployment { .. } => EventType::Deployment,
            Self::Experiment { .. } => EventType::Experiment,
            Self::Prompt { .. } => EventType::Prompt,
            Self::Dataset { .. } => EventType::Dataset,
            Self::Canary { .. } => EventType::Canary,
            Self::Schedule { .. } => EventType::Schedule,
            Self::Incident { .. } => EventType::Incident,
            Self::Release { .. } => EventType::Release,
        }
    }
}

/// An event with its place in the order of a project's events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoredEvent {
    /// Grows from event to event; numbers may be left out. Ask for what came `after` it.
    pub id: u64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Which kinds of event are wanted. The empty filter wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter(BTreeSet<EventType>);

/// A name that is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no type of event: {hint}")]
pub struct UnknownEventType {
    name: String,
    hint: String,
}

impl EventFilter {
    /// Whether it lets this kind through.
    pub fn admits(&self, kind: EventType) -> bool {
        self.0.is_empty() || self.0.contains(&kind)
    }
}

impl FromIterator<EventType> for EventFilter {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        Self(types.into_iter().collect())
    }
}

impl std::str::FromStr for EventFilter {
    type Err = UnknownEventType;

    /// Names with commas between them; `run` stands for everything that begins with `run.`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut wanted = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let before = wanted.len();
            let fits = |kind: &EventType| {
                kind.as_str() == name || kind.as_str().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            };
            let named: Vec<EventType> = EventType::ALL.into_iter().filter(fits).collect();
            wanted.extend(&named);
            if wanted.len() == before && named.is_empty() {
                let hint = suggest::hint(name, EventType::ALL.iter().map(|kind| kind.as_str()).chain(["run"]));
                return Err(UnknownEventType { name: name.chars().take(64).collect(), hint });
            }
        }
        Ok(Self(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_name() {
        for kind in EventType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let event = Event::RunProgress { run: "run_1".into(), progress: Progress::default() };
        assert_eq!(serde_json::to_value(&event).unwrap()["type"], event.kind().as_str());
    }

    #[test]
    fn a_stored_event_survives_json() {
        let progress = Progress { total: 10, done: 4, errored: 1, cost: 0.25 };
        let event = Event::RunProgress { run: "run_1".into(), progress };
        let stored = StoredEvent { id: 7, at: Timestamp::UNIX_EPOCH, event };
        let text = serde_json::to_string(&stored).unwrap();
        insta::assert_snapshot!(text, @r#"{"id":7,"at":"1970-01-01T00:00:00Z","type":"run.progress","run":"run_1","progress":{"total":10,"done":4,"errored":1,"cost":0.25}}"#);
        assert_eq!(serde_json::from_str::<StoredEvent>(&text).unwrap(), stored);
    }

    #[test]
    fn filters_by_name_and_family() {
        let check = |text: &str, kind: EventType, expected: bool| {
            assert_eq!(text.parse::<EventFilter>().unwrap().admits(kind), expected, "{text} {kind}");
        };
        check("", EventType::Schedule, true);
        check("run", EventType::RunProgress, true);
        check("run", EventType::Alert, false);
        check(" alert , run.completed", EventType::RunCompleted, true);
        check("alert,run.completed", EventType::RunFailed, false);
        check("run,run.failed", EventType::RunFailed, true);
        for wrong in ["ru", "run.", "alerts", "*"] {
            assert!(wrong.parse::<EventFilter>().is_err(), "{wrong}");
        }
        insta::assert_snapshot!("alerts".parse::<EventFilter>().unwrap_err(), @"`alerts` is no type of event: did you mean alert?");
    }
}
