//! Datasets on the wire.

use llmops_domain::dataset::{DatasetType, DatasetVersion, Sample};
use serde::{Deserialize, Serialize};

/// What a new version of a dataset is, beside its samples (which are the body: NDJSON, one sample a line).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// What the dataset is for; `golden` for a new one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<DatasetType>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The version (its whole hash) whose samples were edited. Where another one is the dataset's current version by now, the
    /// import is refused with 409, so that it does not undo what was changed meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportedDataset {
    /// The version.
    pub version: DatasetVersion,
    /// False when the same samples were there already.
    pub created: bool,
    /// Things worth a look.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Which versions to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The older version: a hash or its beginning.
    pub from: String,
    /// The newer version. Absent: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A sample with its place in the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SampleAt {
    /// Position, from 0.
    pub ordinal: u64,
    /// The sample.
    #[serde(flatten)]
    pub sample: Sample,
}
