//! Incidents on the wire.

use llmops_domain::incident::{Incident, Timeline};
use serde::{Deserialize, Serialize};

/// Opens an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenIncident {
    /// The deployment.
    pub deployment: String,
    /// Its environment; absent: `production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What is wrong, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the safe mode is switched on.
    #[serde(default)]
    pub safe_mode: bool,
    /// The fixed answer of the safe mode, where none is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether the manifest before the present one answers again.
    #[serde(default)]
    pub rollback: bool,
}

/// An incident that was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenedIncident {
    /// The incident.
    pub incident: Incident,
    /// What could not be done at once, and why. The incident is open all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// What a person should know: who still sees a candidate, what was taken away with the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// Something to remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddNote {
    /// What.
    pub text: String,
}

/// Closes an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CloseIncident {
    /// How it was resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// The regression dataset that gets the inputs that failed; absent: one named after the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
}

/// A closed incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClosedIncident {
    /// What happened, with the incident and its post-mortem.
    pub timeline: Timeline,
    /// Inputs in the dataset; none where no text of a failing call was kept.
    pub samples: u64,
    /// Of these, inputs whose right answer is known.
    pub with_answer: u64,
    /// Failing calls whose text was not kept.
    pub without_text: u64,
    /// Failing calls whose inputs are not in the dataset, as it would have got too large.
    #[serde(default)]
    pub left_out: u64,
    /// Whether the deployment's safe mode is still on: closing an incident does not switch it off.
    #[serde(default)]
    pub safe_mode: bool,
}
