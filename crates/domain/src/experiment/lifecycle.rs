//! The life of an experiment: `draft → running ⇄ paused → completed | cancelled`, and what may change on the way.

use std::time::Duration;

use jiff::Timestamp;

use super::check::{InvalidExperiment, SpecProblem};
use super::result::OneLook;
use super::{Allocation, Experiment, ExperimentSpec, ExperimentStatus, Pause};
use crate::id::ExperimentId;

/// A step in the life of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From draft to running, or from paused back to running.
    Start,
    /// From running to paused.
    Pause,
    /// From paused to running.
    Resume,
    /// From running or paused to completed.
    Complete,
    /// From anything that is not over to cancelled.
    Cancel,
}

impl Step {
    /// What is done to the experiment.
    pub fn past(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Complete => "completed",
            Self::Cancel => "cancelled",
        }
    }
}

impl ExperimentStatus {
    /// All statuses.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Running, Self::Paused, Self::Completed, Self::Cancelled];

    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// Whether units have a variant: running or paused.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// The steps that are possible, as a person may take them.
    fn possible(self) -> &'static str {
        match self {
            Self::Draft => "it can be started or cancelled",
            Self::Running => "it can be paused, completed or cancelled",
            Self::Paused => "it can be resumed, completed or cancelled",
            Self::Completed | Self::Cancelled => "it is over; a new experiment can be made from it",
        }
    }

    /// The status behind a step.
    ///
    /// # Errors
    /// [`InvalidStep`] when the step is not possible from here.
    pub fn after(self, step: Step) -> Result<Self, InvalidStep> {
        use ExperimentStatus::{Cancelled, Completed, Draft, Paused, Running};
        match (self, step) {
            (Draft | Paused, Step::Start) | (Paused, Step::Resume) => Ok(Running),
            (Running, Step::Pause) => Ok(Paused),
            (Running | Paused, Step::Complete) => Ok(Completed),
            (Draft | Running | Paused, Step::Cancel) => Ok(Cancelled),
            (status, step) => Err(InvalidStep { status, step }),
        }
    }
}

impl std::fmt::Display for ExperimentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ExperimentStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
            format!("unknown experiment status `{text}`: expected draft, running, paused, completed or cancelled")
        })
    }
}

/// A step that is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {status} experiment cannot be {}: {}", .step.past(), .status.possible())]
pub struct InvalidStep {
    /// The present status.
    pub status: ExperimentStatus,
    /// The step that was asked for.
    pub step: Step,
}

/// Why an experiment stays as it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StepError {
    /// The step is not possible from here.
    #[error(transparent)]
    Step(#[from] InvalidStep),
    /// The winner is no variant.
    #[error("`{winner}` is no variant of this experiment: expected {}", .known.join(" or "))]
    Winner {
        /// What was named.
        winner: String,
        /// The ids there are.
        known: Vec<String>,
    },
}

impl Experiment {
    /// A new draft of a checked spec.
    pub fn draft(id: ExperimentId, mut spec: ExperimentSpec, now: Timestamp) -> Self {
        if spec.seed.is_empty() {
            id.as_str().clone_into(&mut spec.seed);
        }
        Self {
            id,
            spec,
            status: ExperimentStatus::Draft,
            start_time: None,
            end_time: None,
            winner: None,
            allocations: Vec::new(),
            pauses: Vec::new(),
            notices: Vec::new(),
            one_look: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Starts a draft, or resumes what is paused.
    ///
    /// # Errors
    /// [`StepError::Step`] in any other status.
    pub fn start(&self, now: Timestamp) -> Result<Self, StepError> {
        self.go(Step::Start, now)
    }

    /// Pauses: no unit is added, and those that are in keep their variant.
    ///
    /// # Errors
    /// [`StepError::Step`] unless it is running.
    pub fn pause(&self, now: Timestamp) -> Result<Self, StepError> {
        self.go(Step::Pause, now)
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`StepError::Step`] unless it is paused.
    pub fn resume(&self, now: Timestamp) -> Result<Self, StepError> {
        self.go(Step::Resume, now)
    }

    /// Ends it, with the id or name of the variant that won, or without a winner.
    ///
    /// # Errors
    /// [`StepError::Step`] unless it is running or paused; [`StepError::Winner`] for what is no variant.
    pub fn complete(&self, winner: Option<&str>, now: Timestamp) -> Result<Self, StepError> {
        let mut next = self.go(Step::Complete, now)?;
        next.winner = winner.map(|name| self.variant_id(name)).transpose()?;
        Ok(next)
    }

    /// Gives it up.
    ///
    /// # Errors
    /// [`StepError::Step`] when it is over already.
    pub fn cancel(&self, now: Timestamp) -> Result<Self, StepError> {
        self.go(Step::Cancel, now)
    }

    fn variant_id(&self, name: &str) -> Result<String, StepError> {
        let index = self.spec.variant_index(name).ok_or_else(|| StepError::Winner {
            winner: name.to_owned(),
            known: self.spec.variants.iter().map(|v| v.id.clone()).collect(),
        })?;
        Ok(self.spec.variants[index].id.clone())
    }

    fn go(&self, step: Step, now: Timestamp) -> Result<Self, StepError> {
        let status = self.status.after(step)?;
        let mut next = Self { status, ..self.changed(now) };
        if self.status == ExperimentStatus::Draft && status == ExperimentStatus::Running {
            next.start_time = Some(now);
            next.allocations = vec![next.spec.allocation(now)];
        }
        if status == ExperimentStatus::Paused {
            next.pauses.push(Pause { from: now, to: None });
        } else if let Some(last) = next.pauses.last_mut().filter(|p| p.to.is_none()) {
            last.to = Some(now.max(last.from));
        }
        if status.is_final() {
            next.end_time = Some(now);
        }
        Ok(next)
    }

    /// The experiment with its one look; nothing where it was taken before, or the experiment is over.
    pub fn looked(&self, look: &OneLook) -> Option<Self> {
        let may_look = self.status.is_live() && self.one_look.is_none();
        may_look.then(|| Self { one_look: Some(look.clone()), ..self.changed(look.at) })
    }

    fn changed(&self, now: Timestamp) -> Self {
        Self { revision: self.revision + 1, updated_at: now, ..self.clone() }
    }

    /// How long it ran until `now` (or its end), pauses left out.
    pub fn running_time(&self, now: Timestamp) -> Duration {
        let Some(start) = self.start_time else { return Duration::ZERO };
        let end = self.end_time.unwrap_or(now);
        let between = |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let paused: Duration = self.pauses.iter().map(|p| between(p.from, p.to.unwrap_or(end))).sum();
        between(start, end).saturating_sub(paused)
    }

    /// The experiment with another spec, as far as its status allows. A draft may become anything. While it is running or
    /// paused its name, description, metadata and split may change and its coverage may rise; once it is over, name,
    /// description and metadata. `spec` must be checked.
    ///
    /// # Errors
    /// [`InvalidExperiment`] with every field that may not change.
    pub fn revise(&self, mut spec: ExperimentSpec, now: Timestamp) -> Result<Self, InvalidExperiment> {
        if spec.seed.is_empty() {
            self.spec.seed.clone_into(&mut spec.seed);
        }
        let mut next = Self { spec, ..self.changed(now) };
        if self.status == ExperimentStatus::Draft {
            return Ok(next);
        }
        let problems = self.frozen(&next.spec);
        if !problems.is_empty() {
            return Err(InvalidExperiment { problems });
        }
        if !self.status.is_live() {
            return Ok(next);
        }
        let allocation = next.spec.allocation(now);
        let last = next.allocations.last();
        let split_changed = last.is_none_or(|last| last.weights != allocation.weights);
        if split_changed || last.is_none_or(|last| last.coverage != allocation.coverage) {
            next.allocations.push(allocation);
        }
        if split_changed {
            next.notices.push(next.split_notice(now));
        }
        Ok(next)
    }

    /// The fields that differ in `spec` and may not.
    fn frozen(&self, spec: &ExperimentSpec) -> Vec<SpecProblem> {
        let old = &self.spec;
        let status = self.status;
        let why = format!("a {status} experiment keeps its");
        let advice = "make a new experiment instead";
        let mut problems = Vec::new();
        let mut keep = |same: bool, field: &str| {
            if !same {
                problems.push(SpecProblem::new(field, format!("{why} {field}: {advice}")));
            }
        };
        keep(spec.key == old.key, "key");
        keep(spec.variants == old.variants, "variants");
        keep(spec.unit == old.unit, "unit");
        keep(spec.sticky == old.sticky, "sticky");
        keep(spec.seed == old.seed, "seed");
        keep(spec.audience == old.audience, "audience");
        keep(spec.namespace == old.namespace, "namespace");
        keep(spec.holdout == old.holdout, "holdout");
        keep(spec.metrics == old.metrics, "metrics");
        keep(spec.target_metric == old.target_metric, "target_metric");
        keep(spec.analysis == old.analysis, "analysis");
        keep(spec.adaptive == old.adaptive, "adaptive");
        if status.is_final() {
            keep(spec.weights() == old.weights(), "traffic_split");
            keep(spec.coverage == old.coverage, "coverage");
        } else if spec.coverage < old.coverage {
            let message = format!(
                "the coverage of a {status} experiment can only rise, and it is {}: lowering it would move units out; \
                 pause the experiment instead",
                old.coverage
            );
            problems.push(SpecProblem::new("coverage", message));
        }
        problems
    }
}

impl ExperimentSpec {
    fn allocation(&self, at: Timestamp) -> Allocation {
        Allocation { at, weights: self.weights(), coverage: self.coverage, step: None }
    }
}

impl Experiment {
    /// What a reader of its results should know of every change of the split by hand.
    pub fn split_notices(&self) -> impl Iterator<Item = String> + '_ {
        let changes = self.allocations.windows(2).filter(|two| two[0].weights != two[1].weights);
        changes.filter(|two| two[1].step.is_none()).map(|two| self.split_notice(two[1].at))
    }

    fn split_notice(&self, at: Timestamp) -> String {
        let keep = if self.spec.sticky {
            "units that were assigned before keep their variant"
        } else {
            "units at the borders changed their variant, because the experiment is not sticky"
        };
        let at = at.strftime("%Y-%m-%d %H:%M UTC");
        format!(
            "the split changed at {at} while units were assigned: {keep}; results before and after differ in their mix"
        )
    }
}

#[cfg(test)]
#[path = "lifecycle/tests.rs"]
mod tests;
