//! What is kept of a judgement beside its score.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::AxisScore;
use super::debate::{DebateRecord, Dropped, Statement};
use super::verdicts::{Claim, ItemAnswer};
use crate::hash::ContentHash;

/// The detail of a judged score: who judged, with which prompt, and all that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeDetail {
    /// The judging model, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// The judging models, where they are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judges: Vec<String>,
    /// Label of the judge's prompt, `NAME@VERSION`.
    pub prompt: String,
    /// Hash of the judge's prompt.
    pub prompt_hash: ContentHash,
    /// USD that this judgement cost; answers from the cache cost nothing.
    #[serde(default)]
    pub cost: f64,
    /// Score and reason of each axis of a rubric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, AxisScore>,
    /// The answer's claims, of a metric that counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<Claim>>,
    /// A checklist, answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemAnswer>,
    /// A comparison in both orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// What each judge of a panel said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub panel: Vec<Statement>,
    /// The transcript of a debate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debate: Option<DebateRecord>,
    /// Judges that failed or left the format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

impl JudgeDetail {
    /// A detail that says only which prompt was used.
    pub fn new(prompt: String, prompt_hash: ContentHash) -> Self {
        Self {
            judge: None,
            judges: Vec::new(),
            prompt,
            prompt_hash,
            cost: 0.0,
            axes: BTreeMap::new(),
            claims: None,
            items: Vec::new(),
            comparison: None,
            panel: Vec::new(),
            debate: None,
            dropped: Vec::new(),
        }
    }
}

/// Who is better, seen from the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The candidate.
    Candidate,
    /// What it is compared with.
    Opponent,
    /// Neither.
    Tie,
}

/// A comparison in both orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the candidate was compared with: `reference`, or `run RUN`.
    pub against: String,
    /// The answer it was compared with.
    pub opponent: String,
    /// Who won where the candidate was shown first.
    pub candidate_first: Side,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_first_reason: Option<String>,
    /// Who won where the candidate was shown second.
    pub candidate_second: Side,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_second_reason: Option<String>,
    /// Whether the two orders disagree.
    pub flipped: bool,
}

impl Comparison {
    /// 1 where the candidate wins in both orders, 0 where it loses in both, else 0.5: a tie.
    pub fn score(&self) -> f64 {
        match (self.candidate_first, self.candidate_second) {
            (Side::Candidate, Side::Candidate) => 1.0,
            (Side::Opponent, Side::Opponent) => 0.0,
            _ => 0.5,
        }
    }
}
