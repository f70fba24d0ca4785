//! Experiments on the wire.

use llmops_domain::experiment::assignment::Exclusion;
use llmops_domain::experiment::{ExperimentStatus, Variant};
use llmops_domain::id::ExperimentId;
use llmops_domain::prompt::{PromptSpec, PromptVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which experiments to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ExperimentQuery {
    /// Experiments in this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<ExperimentStatus>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "llmops_domain::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Ends an experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteExperiment {
    /// Id or name of the variant that won; null or absent: none did.
    #[serde(default)]
    pub winner: Option<String>,
}

/// Whom to assign.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignUnit {
    /// The unit. Absent: the attribute that the experiment's unit names.
    #[serde(default, alias = "user_id", skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What the audience's condition and the segments look at.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub attributes: Map<String, Value>,
}

/// Why a unit has its variant, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentReason {
    /// By its hash.
    Split,
    /// It had the variant before the split changed or the experiment was paused.
    Sticky,
    /// The experiment is over and this variant won. Nobody is counted.
    Winner,
    /// The context does not name the unit, or the name is empty, longer than 1024 bytes or has a NUL character.
    NoUnit,
    /// The attributes do not meet the audience's condition.
    Audience,
    /// Another part of the namespace.
    Namespace,
    /// Held out of all experiments.
    Holdout,
    /// Beyond the coverage.
    Coverage,
    /// The experiment is paused, and the unit was not in it before.
    Paused,
    /// The experiment is over, without a winner.
    NotRunning,
}

impl From<Exclusion> for AssignmentReason {
    fn from(exclusion: Exclusion) -> Self {
        match exclusion {
            Exclusion::NoUnit => Self::NoUnit,
            Exclusion::Audience => Self::Audience,
            Exclusion::Namespace => Self::Namespace,
            Exclusion::Holdout => Self::Holdout,
            Exclusion::Coverage => Self::Coverage,
            Exclusion::Paused => Self::Paused,
            Exclusion::NotRunning => Self::NotRunning,
        }
    }
}

/// The variant of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Assignment {
    /// The experiment.
    pub experiment: ExperimentId,
    /// Its key.
    pub key: String,
    /// The unit.
    pub unit: Option<String>,
    /// Whether the unit takes part: only then do its observations count.
    pub included: bool,
    /// The variant; null when the unit takes no part: treat it as if there were no experiment.
    pub variant: Option<Variant>,
    /// Position of the variant.
    pub variant_index: Option<usize>,
    /// Why.
    pub reason: AssignmentReason,
}

/// A prompt: one of the registry as `NAME`, `NAME@1.2.0` or `NAME@HASH`, or a whole one, which is registered unless it is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum PromptSource {
    /// One of the registry.
    Reference(String),
    /// A whole one.
    Prompt(Box<PromptSpec>),
}

impl From<&str> for PromptSource {
    fn from(reference: &str) -> Self {
        Self::Reference(reference.to_owned())
    }
}

impl From<PromptSpec> for PromptSource {
    fn from(prompt: PromptSpec) -> Self {
        Self::Prompt(Box::new(prompt))
    }
}

impl From<PromptVersion> for PromptSource {
    fn from(version: PromptVersion) -> Self {
        Self::Reference(format!("{}@{}", version.name, version.version))
    }
}

/// Makes an experiment of two prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePromptExperiment {
    /// The experiment's name.
    pub name: String,
    /// What is used today.
    pub control: PromptSource,
    /// What may be better.
    pub treatment: PromptSource,
    /// Share of the treatment, such as 0.3 or 30 (per cent); half where it is left out.
    #[serde(default = "half")]
    pub traffic_split: f64,
}

fn half() -> f64 {
    0.5
}

/// Makes an experiment of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateModelExperiment {
    /// The experiment's name.
    pub name: String,
    /// Two or more models, as `provider/model`; the first is the control. They share the traffic equally.
    pub models: Vec<String>,
    /// Parameters of all of them.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub parameters: Map<String, Value>,
}
