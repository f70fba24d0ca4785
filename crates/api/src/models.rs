//! Models of the configured providers on the wire.

use serde::{Deserialize, Serialize};

/// Asks models for a sign of life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckModels {
    /// The models, as `provider/model`.
    #[schema(min_items = 1, max_items = 100)]
    pub models: Vec<String>,
}

/// Sets a model's score by hand, in place of what runs measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetModelScore {
    /// The model, as `provider/model`.
    pub model: String,
    /// The score. Absent or null: forget the one that was set.
    #[serde(default)]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub score: Option<f64>,
}
