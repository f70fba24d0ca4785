//! Bringing a project folder to a server: what is to be done with each piece, decided from three hashes.
//!
//! The server remembers what was applied last. A piece that differs from that was edited elsewhere, in the dashboard or by
//! another folder, and is not overwritten unless somebody says so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;

/// The kinds of pieces that a project folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PieceKind {
    /// A file of `prompts/`.
    Prompt,
    /// A dataset of the configuration.
    Dataset,
    /// A suite of the configuration that runs by itself.
    Schedule,
    /// A file of `experiments/`.
    Experiment,
}

impl PieceKind {
    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Dataset => "dataset",
            Self::Schedule => "schedule",
            Self::Experiment => "experiment",
        }
    }

    /// All of them, in the order in which they are applied: what others need comes first.
    pub const ALL: [Self; 4] = [Self::Prompt, Self::Dataset, Self::Schedule, Self::Experiment];
}

impl std::fmt::Display for PieceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was applied last of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppliedPiece {
    /// Its kind.
    pub kind: PieceKind,
    /// Its name.
    pub name: String,
    /// The hash of its content.
    pub hash: ContentHash,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// By whom: the name of a key, or `local`.
    pub by: String,
}

/// What is to be done with a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing: the server has it.
    Unchanged,
    /// The server does not have it.
    Create,
    /// The server has what was applied last.
    Change,
    /// The server has it from the folder, and the folder no longer does.
    Remove,
    /// Somebody changed or made it on the server since it was applied last.
    EditedElsewhere,
}

/// Decides what to do with a piece: what the folder has, what the server has, and what was applied last.
pub fn step(folder: Option<&ContentHash>, server: Option<&ContentHash>, applied: Option<&ContentHash>) -> Step {
    match (folder, server) {
        (folder, server) if folder == server => Step::Unchanged,
        (Some(_), None) => Step::Create,
        (folder, _) if server == applied => {
            if folder.is_some() {
                Step::Change
            } else {
                Step::Remove
            }
        }
        // What never came from a folder is nobody's to remove.
        (None, _) if applied.is_none() => Step::Unchanged,
        _ => Step::EditedElsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hashes_decide() {
        let hash = |text: &str| (!text.is_empty()).then(|| ContentHash::of_bytes(text.as_bytes()));
        let check = |folder: &str, server: &str, applied: &str, expected: Step| {
            let (f, s, a) = (hash(folder), hash(server), hash(applied));
            assert_eq!(step(f.as_ref(), s.as_ref(), a.as_ref()), expected, "{folder:?} {server:?} {applied:?}");
        };
        check("a", "a", "", Step::Unchanged);
        check("a", "a", "b", Step::Unchanged);
        check("a", "", "", Step::Create);
        check("a", "", "a", Step::Create);
        check("b", "a", "a", Step::Change);
        check("b", "a", "", Step::EditedElsewhere);
        check("b", "c", "a", Step::EditedElsewhere);
        check("a", "c", "a", Step::EditedElsewhere);
        check("", "a", "a", Step::Remove);
        check("", "c", "a", Step::EditedElsewhere);
        check("", "c", "", Step::Unchanged);
        check("", "", "a", Step::Unchanged);
    }
}
