//! Observations and results on the wire.

use serde::{Deserialize, Serialize};

use crate::Problem;

/// What became of observations. They are on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecordedObservations {
    /// How many are new.
    pub accepted: u64,
    /// How many were recorded before: the same key, or the same time and value.
    pub duplicates: u64,
    /// How many of those had another value, which the new one took the place of.
    #[serde(default)]
    pub replaced: u64,
    /// How many of those that are new do not count, because they lie before their unit was exposed or before the experiment began.
    #[serde(default)]
    pub early: u64,
    /// How many were refused.
    pub refused: u64,
    /// What is wrong with them, the first hundred.
    pub problems: Vec<Problem>,
}

/// How observations of a body are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportObservationsQuery {
    /// A name of the body, such as that of a file. A line without key (and without unit or time) gets one: of this name, what the
    /// line is about (everything but its value), and how many lines before it are about the same. So the same body again counts
    /// nothing twice, also after lines were added, and a value that was mended takes the place of the one before. Bodies with other
    /// observations of the same units need other names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Whether lines without unit are taken, each as a unit of its own. Else a line or table without `unit` is refused.
    pub no_units: bool,
}

/// What results are shown by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResultsQuery {
    /// Also within each segment.
    pub by_segment: bool,
    /// Also by the day on which units entered, and cumulated over days.
    pub by_day: bool,
}
