//! Assigning units.

use std::sync::Arc;

use llmops_api::experiments::{Assignment, AssignmentReason};
use llmops_domain::experiment::ExperimentStatus;
use llmops_domain::experiment::assignment::{Decision, Exclusion, Exposure};
use llmops_domain::hash::ContentHash;
use serde_json::{Map, Value};

use super::ExperimentManager;
use super::live::{Flag, Flags};
use crate::Error;

/// The variant of a unit in a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Position of the variant; none when the unit takes no part.
    pub variant: Option<usize>,
    /// Why.
    pub reason: AssignmentReason,
}

impl Assigned {
    fn excluded(exclusion: Exclusion) -> Self {
        Self { variant: None, reason: exclusion.into() }
    }

    /// Whether the unit takes part: only then do its observations count.
    pub fn is_included(self) -> bool {
        matches!(self.reason, AssignmentReason::Split | AssignmentReason::Sticky)
    }
}

/// A unit: the name that decides what it gets, and the one that it is kept under, which are two where users are hidden.
#[derive(Debug, Clone, Copy)]
struct UnitName<'a> {
    own: &'a str,
    kept: &'a str,
}

impl<'a> From<&'a str> for UnitName<'a> {
    fn from(name: &'a str) -> Self {
        Self { own: name, kept: name }
    }
}

/// Who waits for the writing of a first exposure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// The caller: what it is told is on disk.
    Acknowledged,
    /// Nobody: it is on disk a moment later.
    Batched,
}

impl ExperimentManager {
    /// The variant of a unit: see [`ExperimentManager::assign`].
    pub async fn assign_variant(&self, experiment: &str, unit: &str) -> Result<Assignment, Error> {
        self.assign(experiment, Some(unit), &Map::new()).await
    }

    /// The variant of a unit with these attributes. Where `unit` is absent, the attributes name it. A unit's first exposure is
    /// stored before this returns; later calls write nothing. A key means the experiment that is running or paused, else the one that
    /// was completed last: a draft of the same key changes nothing for anybody before it starts.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] for a draft, which assigns nobody yet.
    pub async fn assign(
        &self,
        experiment: &str,
        unit: Option<&str>,
        attributes: &Map<String, Value>,
    ) -> Result<Assignment, Error> {
        let flags = self.flags().await?;
        let flag = match flags.find(experiment) {
            Some(flag) => flag.clone(),
            None => match self.find_flag(experiment).await? {
                Ok(flag) => flag,
                Err(over) => return Ok(*over),
            },
        };
        let named = unit.map(Into::into).or_else(|| flag.assigner.unit_of(attributes));
        // What is over has its winner for everybody, also for who is nobody.
        let unit = named.as_deref().unwrap_or_default().into();
        let assigned = self.assign_in(&flag, unit, attributes, Durability::Acknowledged).await?;
        let spec = &flag.experiment.spec;
        Ok(Assignment {
            experiment: flag.experiment.id.clone(),
            key: spec.key.clone(),
            unit: named.map(std::borrow::Cow::into_owned),
            included: assigned.is_included(),
            variant: assigned.variant.map(|index| spec.variants[index].clone()),
            variant_index: assigned.variant,
            reason: assigned.reason,
        })
    }

    /// The variant of a unit in a flag of the snapshot; a first exposure is written a moment later.
    pub async fn evaluate(
        &self,
        flag: &Flag,
        unit: Option<&str>,
        attributes: &Map<String, Value>,
    ) -> Result<Assigned, Error> {
        self.assign_in(flag, unit.unwrap_or_default().into(), attributes, Durability::Batched).await
    }

    /// The same of a user of whom no more than the hash is kept, as records and feedback have it.
    pub async fn evaluate_hidden(
        &self,
        flag: &Flag,
        user: &str,
        attributes: &Map<String, Value>,
    ) -> Result<Assigned, Error> {
        let hash = ContentHash::of_bytes(user.as_bytes());
        let unit = UnitName { own: user, kept: hash.as_str() };
        self.assign_in(flag, unit, attributes, Durability::Batched).await
    }

    /// The variant of a unit without waiting for anything; none when the store must be asked, which is so only for units at the
    /// border of a split that changed, and while the experiment is paused.
    fn evaluate_at_once(&self, flag: &Flag, unit: UnitName<'_>, attributes: &Map<String, Value>) -> Option<Assigned> {
        let assigned = match flag.assigner.decide(unit.own, attributes) {
            Decision::Assigned(variant) => Assigned { variant: Some(variant), reason: AssignmentReason::Split },
            Decision::Excluded(exclusion) => Assigned::excluded(exclusion),
            Decision::Won(variant) => Assigned { variant: Some(variant), reason: AssignmentReason::Winner },
            Decision::Ask { .. } => return None,
        };
        let exposures = &self.services.experiments.exposures;
        if let (Some(variant), true) = (assigned.variant, assigned.is_included())
            && !exposures.is_seen(&flag.key, unit.kept)
        {
            exposures.note(&flag.key, self.exposure(flag, unit.kept, variant, attributes));
        }
        Some(assigned)
    }

    fn exposure(&self, flag: &Flag, unit: &str, variant: usize, attributes: &Map<String, Value>) -> Exposure {
        Exposure {
            unit: unit.into(),
            variant,
            epoch: flag.assigner.epoch(),
            at: self.services.clock.now().as_microsecond(),
            segments: flag.assigner.segments_of(attributes),
        }
    }

    async fn assign_in(
        &self,
        flag: &Flag,
        unit: UnitName<'_>,
        attributes: &Map<String, Value>,
        durability: Durability,
    ) -> Result<Assigned, Error> {
        let exposures = &self.services.experiments.exposures;
        if durability == Durability::Batched
            && let Some(assigned) = self.evaluate_at_once(flag, unit, attributes)
        {
            return Ok(assigned);
        }
        let decision = flag.assigner.decide(unit.own, attributes);
        let unit = unit.kept;
        let (fresh, keep) = match decision {
            Decision::Excluded(exclusion) => return Ok(Assigned::excluded(exclusion)),
            Decision::Won(index) => return Ok(Assigned { variant: Some(index), reason: AssignmentReason::Winner }),
            Decision::Assigned(variant) => {
                if !exposures.is_seen(&flag.key, unit) {
                    exposures.settle(&flag.key, self.exposure(flag, unit, variant, attributes)).await?;
                }
                return Ok(Assigned { variant: Some(variant), reason: AssignmentReason::Split });
            }
            Decision::Ask { fresh, keep } => (fresh, keep),
        };
        let stored = if let Some(variant) = exposures.known(&flag.key, unit) {
            Some(variant)
        } else {
            let stored = self.services.store.experiment_unit(&flag.key, unit).await?.map(|stored| stored.variant);
            if let Some(variant) = stored {
                exposures.remember(&flag.key, unit, variant);
            }
            stored
        };
        match (stored, fresh) {
            (Some(variant), _) => {
                Ok(Assigned { variant: Some(keep.unwrap_or(variant)), reason: AssignmentReason::Sticky })
            }
            (None, Some(variant)) => {
                let exposure = self.exposure(flag, unit, variant, attributes);
                let stored = exposures.settle(&flag.key, exposure).await?;
                Ok(Assigned { variant: Some(stored.variant), reason: AssignmentReason::Split })
            }
            (None, None) => {
                let paused = flag.experiment.status == ExperimentStatus::Paused;
                Ok(Assigned::excluded(if paused { Exclusion::Paused } else { Exclusion::Coverage }))
            }
        }
    }

    /// The experiments that clients can ask for.
    pub async fn flags(&self) -> Result<Arc<Flags>, Error> {
        self.services.experiments.flags(&self.project).await
    }

    /// An experiment that the snapshot does not have: one that another process started a moment ago, a draft, or one that is over.
    async fn find_flag(&self, name: &str) -> Result<Result<Arc<Flag>, Box<Assignment>>, Error> {
        let experiment = self.get(name).await?;
        if experiment.status == ExperimentStatus::Draft {
            return Err(Error::Conflict {
                message: format!("experiment `{}` is a draft: it assigns nobody yet", experiment.id),
                hint: Some(format!("start it: llmops experiment start {}", experiment.id)),
            });
        }
        self.services.experiments.refresh().await?;
        if let Some(flag) = self.services.experiments.loaded_flags(&self.project).find(experiment.id.as_str()) {
            return Ok(Ok(flag.clone()));
        }
        Ok(Err(Box::new(Assignment {
            experiment: experiment.id,
            key: experiment.spec.key,
            unit: None,
            included: false,
            variant: None,
            variant_index: None,
            reason: AssignmentReason::NotRunning,
        })))
    }
}
