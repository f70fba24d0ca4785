//! What was applied of project folders, on the wire.

use llmops_domain::apply::PieceKind;
use llmops_domain::hash::ContentHash;
use serde::{Deserialize, Serialize};

/// Says what was applied of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutApplied {
    /// Its kind.
    pub kind: PieceKind,
    /// Its name.
    #[schema(min_length = 1, max_length = 400)]
    pub name: String,
    /// The hash of its content; absent: it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<ContentHash>,
}
