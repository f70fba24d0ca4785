//! A canary: a candidate manifest that answers a share of live traffic unseen by users, judged beside what production
//! answered, and a policy that decides what follows: hold, warn, promote, or abort.
//!
//! | part | what it holds |
//! | --- | --- |
//! | [`policy`] | what a person decided beforehand |
//! | [`share`] | a part of the traffic, as people write it |
//! | [`request`] | what the candidate is asked |
//! | [`pair`] | one request answered twice, and what was seen of both answers |
//! | [`evidence`] | sums over pairs, kept as pairs come; deciding never reads pairs again |
//! | [`decide`](decide()) | from what the sums say to what is done, with every reason and number |
//! | [`state`] | the steps that are possible, and which of them people take |

mod conclude;
mod decide;
pub mod evidence;
pub mod pair;
pub mod policy;
pub mod request;
pub mod share;
pub mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use decide::{
    Action, BURN_IN, Check, CheckStatus, Conclusion, Decision, FEWEST_CLUSTERS, GuardrailMeasure, Measure, Measures,
    Phase, Situation, broken, decide,
};
pub use evidence::{Arm, ClusterSums, ClusterTotals, Evidence, LatencyCounts, StageEvidence};
pub use pair::{PairOutcome, PairStatus, PairVerdict, ShadowPair, ShadowRow, ShadowTexts, SkipReason};
pub use policy::{BodyHandling, CanaryPolicy, Guardrail, Guardrails, Share};
pub use state::{AbortCause, CanaryState, InvalidCanaryStep};

use crate::experiment::assignment::bucket;
use crate::hash::ContentHash;
use crate::id::CanaryId;
use crate::manifest::Manifest;
use crate::prompt::PromptBody;
use crate::record::BodyPolicy;

/// How the note of a canary begins whose promotion another key has to allow.
pub const SECOND_KEY: &str = "it waits for a second key";

/// A candidate beside what is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Canary {
    /// The id.
    pub id: CanaryId,
    /// The deployment whose traffic is answered again.
    pub deployment: String,
    /// The deployment's environment.
    pub environment: String,
    /// The manifest under trial.
    pub candidate: ContentHash,
    /// The candidate's model, as `provider/model`.
    pub candidate_model: String,
    /// The manifest that was live when the canary began: what the candidate is compared with.
    pub production: ContentHash,
    /// The model of that manifest.
    pub production_model: String,
    /// What decides.
    pub policy: CanaryPolicy,
    /// Whether decisions are only written down: nothing is exposed, promoted or rolled back.
    #[serde(default)]
    pub dry_run: bool,
    /// Where it stands.
    pub state: CanaryState,
    /// Since when it stands there.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Seconds under way before `since`: pauses do not count.
    #[serde(default)]
    pub active_seconds: u64,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// Who let it be promoted, where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Why it ended or waits, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Grows with every change.
    pub revision: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Canary {
    /// How long it has been under way, pauses left out.
    pub fn elapsed(&self, now: Timestamp) -> SignedDuration {
        let before = SignedDuration::from_secs(i64::try_from(self.active_seconds).unwrap_or(i64::MAX));
        if self.state.is_under_way() { before.saturating_add(now.duration_since(self.since)) } else { before }
    }

    /// Whether a request is answered again by the candidate: its share is drawn by the hash of the request, so the same
    /// request is always drawn alike.
    pub fn draws(&self, request_hash: &str) -> bool {
        is_drawn(self.id.as_str(), request_hash, self.policy.share)
    }

    /// The canary after a step, at `now`.
    ///
    /// # Errors
    /// [`InvalidCanaryStep`] where the present state does not lead there.
    pub fn moved(&self, to: CanaryState, now: Timestamp) -> Result<Self, InvalidCanaryStep> {
        self.state.check_step(&to)?;
        let active_seconds = u64::try_from(self.elapsed(now).as_secs()).unwrap_or(0);
        Ok(Self { state: to, since: now, active_seconds, revision: self.revision + 1, updated_at: now, ..self.clone() })
    }

    /// How it is named to people: `NAME in ENVIRONMENT`.
    pub fn place(&self) -> String {
        format!("{} in {}", self.deployment, self.environment)
    }
}

/// A decision as it was written down, with everything it was made from: it can be made again by anyone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoggedDecision {
    /// Its number in the canary's log, from 1.
    pub number: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it was made from.
    pub situation: Situation,
    /// What was decided.
    pub decision: Decision,
    /// What was done: nothing in a dry run, or where another process or a person was faster.
    pub acted: bool,
}

/// A canary as a gateway needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveCanary {
    /// The canary.
    pub canary: Arc<Canary>,
    /// Whom the candidate answers, while it is exposed.
    pub exposure: Option<Exposure>,
}

/// A candidate that users see.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// The share of them.
    pub share: Share,
    /// The candidate.
    pub manifest: Manifest,
    /// The body of its prompt.
    pub prompt: Option<PromptBody>,
}

/// A call that a deployment with a canary answered, as the gateway saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenCall {
    /// The canary that was live when the call came.
    pub canary: Arc<Canary>,
    /// The caller's request, as it came.
    pub request: Vec<u8>,
    /// The caller's values of the prompt's variables.
    pub variables: BTreeMap<String, Value>,
    /// The text of the answer.
    pub answer: String,
    /// Whether the answer wants a tool called.
    pub calls_tools: bool,
    /// What the deployment's records keep of bodies: where they keep none, nothing else may.
    pub record_bodies: BodyPolicy,
}

/// Whether a unit is within a share, by the same hash that assigns units to experiments. A larger share holds every
/// unit that a smaller one holds.
pub fn is_drawn(seed: &str, unit: &str, share: Share) -> bool {
    bucket(seed, unit) < share.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_keeps_whom_the_smaller_one_had() {
        let units: Vec<String> = (0..20_000).map(|i| format!("request-{i}")).collect();
        let drawn = |share: f64| -> Vec<&String> {
            units.iter().filter(|unit| is_drawn("canary_1", unit, Share(share))).collect()
        };
        let (small, large) = (drawn(0.05), drawn(0.25));
        assert!(small.iter().all(|unit| large.contains(unit)));
        assert!((small.len() as f64 / 20_000.0 - 0.05).abs() < 0.006, "{}", small.len());
        assert!((large.len() as f64 / 20_000.0 - 0.25).abs() < 0.012, "{}", large.len());
        assert_eq!(drawn(0.0).len(), 0);
        assert_eq!(drawn(1.0).len(), units.len());
        assert_ne!(drawn(0.05), units.iter().filter(|u| is_drawn("canary_2", u, Share(0.05))).collect::<Vec<_>>());
    }
}
