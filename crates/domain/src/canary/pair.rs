//! One request answered twice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Canary;
use crate::chat::{Message, Parameters};
use crate::hash::ContentHash;
use crate::id::CanaryId;
use crate::soft_failure::SoftFailureKind;

/// A request that production answered and the candidate answers too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShadowPair {
    /// The id of the request's record: a request makes one pair at most.
    pub id: String,
    /// When the request came.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What pairs of the same user, or else of the same session, have in common: a hash. Others stand alone.
    pub cluster: String,
    /// The first 64 bits of the SHA-256 of what was asked, as a signed number.
    pub prompt_hash: i64,
    /// How far it is.
    pub status: PairStatus,
    /// Its place in the order in which pairs were settled, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// What production answered.
    pub production: SeenAnswer,
    /// What the candidate answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<SeenAnswer>,
    /// Which was better, seen from the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<PairVerdict>,
    /// Whether the judge changed its mind with the order, which makes a tie.
    #[serde(default)]
    pub flipped: bool,
    /// Score of production's answer, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production_score: Option<f64>,
    /// Score of the candidate's answer, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_score: Option<f64>,
    /// The judge's reasons, where texts are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Why there is no answer of the candidate, or no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// USD that the judge cost.
    #[serde(default)]
    pub judge_cost: f64,
    /// What was asked and answered, while it is needed or where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<ShadowTexts>,
}

impl ShadowPair {
    /// USD that the pair cost beside production's answer.
    pub fn spent(&self) -> f64 {
        self.judge_cost + self.candidate.as_ref().and_then(|answer| answer.cost).unwrap_or(0.0)
    }

    /// Takes the outcome over; texts that are not kept go.
    #[must_use]
    pub fn settled(mut self, outcome: PairOutcome, keep_texts: bool) -> Self {
        self.status = outcome.status;
        self.candidate = outcome.candidate;
        self.verdict = outcome.verdict;
        self.flipped = outcome.flipped;
        (self.production_score, self.candidate_score) = outcome.scores.unzip();
        self.error = outcome.error;
        self.judge_cost = outcome.judge_cost;
        if keep_texts {
            self.reasons = outcome.reasons;
            if let Some(texts) = &mut self.texts {
                texts.candidate_answer = outcome.answer;
            }
        } else {
            self.texts = None;
        }
        self
    }
}

/// How far a pair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairStatus {
    /// The candidate has not answered yet.
    Waiting,
    /// Both answers were compared.
    Judged,
    /// The candidate gave no answer.
    CandidateFailed,
    /// Both answered, and the judge gave no verdict: it counts for everything but wins and losses.
    Unjudged,
}

impl PairStatus {
    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Judged => "judged",
            Self::CandidateFailed => "candidate_failed",
            Self::Unjudged => "unjudged",
        }
    }
}

/// What is seen of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SeenAnswer {
    /// The model that was asked, as `provider/model`.
    pub model: String,
    /// Milliseconds until its end.
    pub latency_ms: f64,
    /// USD by the price table; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Whether no provider counted its tokens, so that the cost is an estimate: it is compared with no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub usage_estimated: bool,
    /// Characters of its text.
    pub chars: u64,
    /// What was wrong with its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soft_failures: Vec<SoftFailureKind>,
}

/// Which answer was better, seen from the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairVerdict {
    /// The candidate's.
    Win,
    /// Production's.
    Loss,
    /// Neither.
    Tie,
}

impl PairVerdict {
    /// The name as written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Win => "win",
            Self::Loss => "loss",
            Self::Tie => "tie",
        }
    }
}

/// What became of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairOutcome {
    /// How far it came; never waiting.
    pub status: PairStatus,
    /// What was seen of the candidate's answer.
    pub candidate: Option<SeenAnswer>,
    /// The text of that answer.
    pub answer: Option<String>,
    /// Which was better.
    pub verdict: Option<PairVerdict>,
    /// Whether the order changed the judge's mind.
    pub flipped: bool,
    /// The scores of production's and the candidate's answer.
    pub scores: Option<(f64, f64)>,
    /// The judge's reasons.
    pub reasons: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// USD that the judge cost.
    pub judge_cost: f64,
}

impl PairOutcome {
    /// Of a candidate that gave no answer.
    pub fn failed(error: String) -> Self {
        Self {
            status: PairStatus::CandidateFailed,
            candidate: None,
            answer: None,
            verdict: None,
            flipped: false,
            scores: None,
            reasons: Vec::new(),
            error: Some(error),
            judge_cost: 0.0,
        }
    }
}

/// What was asked and answered. The conversation is the caller's own: each manifest puts its prompt around it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShadowTexts {
    /// The caller's messages.
    pub messages: Vec<Message>,
    /// The caller's values of the prompt's variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub variables: BTreeMap<String, Value>,
    /// The caller's sampling parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// The tools that the caller offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub tools: Vec<Value>,
    /// The form of answer that the caller asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub response_format: Option<Value>,
    /// What production answered.
    pub production_answer: String,
    /// What the candidate answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_answer: Option<String>,
}

impl ShadowTexts {
    /// What was asked, in one text: for judges and samples.
    pub fn question(&self) -> String {
        match self.messages.as_slice() {
            [only] => only.as_text().into_owned(),
            messages => {
                let said = |message: &Message| format!("{}: {}", message.role.as_str(), message.as_text());
                messages.iter().map(said).collect::<Vec<_>>().join("\n\n")
            }
        }
    }
}

/// A settled pair as it is exported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShadowRow {
    /// When the request came.
    #[schema(value_type = String, format = DateTime)]
    pub ts: Timestamp,
    /// The first 64 bits of the SHA-256 of what was asked, as a signed number.
    pub prompt_hash: i64,
    /// Production's model.
    pub prod_model: String,
    /// The candidate's model.
    pub shadow_model: String,
    /// Score of production's answer, from 0 to 1.
    pub prod_score: Option<f64>,
    /// Score of the candidate's answer, from 0 to 1.
    pub shadow_score: Option<f64>,
    /// The candidate's score less production's.
    pub delta: Option<f64>,
    /// `win`, `loss` or `tie`, seen from the candidate.
    pub verdict: Option<PairVerdict>,
    /// How far it is.
    pub status: PairStatus,
    /// Whether the order changed the judge's mind.
    pub flipped: bool,
    /// Production's manifest.
    pub prod_manifest: ContentHash,
    /// The candidate's manifest.
    pub shadow_manifest: ContentHash,
    /// Milliseconds of production's answer.
    pub prod_latency_ms: f64,
    /// Milliseconds of the candidate's answer.
    pub shadow_latency_ms: Option<f64>,
    /// USD of production's answer.
    pub prod_cost: Option<f64>,
    /// USD of the candidate's answer.
    pub shadow_cost: Option<f64>,
    /// Whether production's cost is an estimate: such a pair says nothing of costs.
    #[serde(default)]
    pub prod_usage_estimated: bool,
    /// Whether the candidate's is.
    #[serde(default)]
    pub shadow_usage_estimated: bool,
    /// Characters of production's answer.
    pub prod_chars: u64,
    /// Characters of the candidate's answer.
    pub shadow_chars: Option<u64>,
    /// Soft failures of production's answer.
    pub prod_soft_failures: Vec<SoftFailureKind>,
    /// Soft failures of the candidate's answer.
    pub shadow_soft_failures: Vec<SoftFailureKind>,
    /// USD that the judge cost.
    pub judge_cost: f64,
    /// Why there is no answer of the candidate, or no verdict.
    pub error: Option<String>,
    /// The request's record.
    pub request_id: String,
    /// What pairs of one user or session have in common.
    pub cluster: String,
    /// Its place in the order in which pairs were settled.
    pub number: Option<u64>,
    /// The canary.
    pub canary: CanaryId,
}

impl ShadowRow {
    /// The row of a pair.
    pub fn new(canary: &Canary, pair: ShadowPair) -> Self {
        let ShadowPair { production, candidate, .. } = pair;
        let scores = pair.production_score.zip(pair.candidate_score);
        Self {
            ts: pair.at,
            prompt_hash: pair.prompt_hash,
            prod_model: production.model,
            shadow_model: canary.candidate_model.clone(),
            prod_score: pair.production_score,
            shadow_score: pair.candidate_score,
            delta: scores.map(|(production, candidate)| candidate - production),
            verdict: pair.verdict,
            status: pair.status,
            flipped: pair.flipped,
            prod_manifest: canary.production.clone(),
            shadow_manifest: canary.candidate.clone(),
            prod_latency_ms: production.latency_ms,
            shadow_latency_ms: candidate.as_ref().map(|answer| answer.latency_ms),
            prod_cost: production.cost,
            shadow_cost: candidate.as_ref().and_then(|answer| answer.cost),
            prod_usage_estimated: production.usage_estimated,
            shadow_usage_estimated: candidate.as_ref().is_some_and(|answer| answer.usage_estimated),
            prod_chars: production.chars,
            shadow_chars: candidate.as_ref().map(|answer| answer.chars),
            prod_soft_failures: production.soft_failures,
            shadow_soft_failures: candidate.map(|answer| answer.soft_failures).unwrap_or_default(),
            judge_cost: pair.judge_cost,
            error: pair.error,
            request_id: pair.id,
            cluster: pair.cluster,
            number: pair.number,
            canary: canary.id.clone(),
        }
    }

    /// The pair that a row was made from, without texts: enough to add it up again.
    pub fn into_pair(self) -> ShadowPair {
        let candidate = self.shadow_latency_ms.map(|latency_ms| SeenAnswer {
            model: self.shadow_model,
            latency_ms,
            cost: self.shadow_cost,
            usage_estimated: self.shadow_usage_estimated,
            chars: self.shadow_chars.unwrap_or(0),
            soft_failures: self.shadow_soft_failures,
        });
        ShadowPair {
            id: self.request_id,
            at: self.ts,
            cluster: self.cluster,
            prompt_hash: self.prompt_hash,
            status: self.status,
            number: self.number,
            production: SeenAnswer {
                model: self.prod_model,
                latency_ms: self.prod_latency_ms,
                cost: self.prod_cost,
                usage_estimated: self.prod_usage_estimated,
                chars: self.prod_chars,
                soft_failures: self.prod_soft_failures,
            },
            candidate,
            verdict: self.verdict,
            flipped: self.flipped,
            production_score: self.prod_score,
            candidate_score: self.shadow_score,
            reasons: Vec::new(),
            error: self.error,
            judge_cost: self.judge_cost,
            texts: None,
        }
    }
}

/// The first 64 bits of the SHA-256 of a prompt, as a signed number.
pub fn prompt_hash(prompt: &[u8]) -> i64 {
    let digest = Sha256::digest(prompt);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// Why a request that was drawn makes no pair. Each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Production gave no answer to compare with.
    NoAnswer,
    /// Another manifest answered: the safe mode, an experiment's variant, or a deployment of the last second.
    OtherManifest,
    /// The answer was kept from an equal request: it took no time and cost nothing.
    Cached,
    /// The request holds what records redact.
    Redacted,
    /// The request offers tools, or the answer calls one.
    Tools,
    /// The request asks for several answers (`n`): the judge compares one with one.
    SeveralAnswers,
    /// The request has no messages that a candidate could be asked with.
    Unreadable,
    /// The budget of the hour is spent.
    HourlyBudget,
    /// Too many pairs wait in memory, because the store is away or texts may not be written.
    Busy,
    /// The pair waited when the canary ended, or only in memory when it was paused.
    Ended,
}

impl SkipReason {
    /// The name as written in JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::OtherManifest => "other_manifest",
            Self::Cached => "cached",
            Self::Redacted => "redacted",
            Self::Tools => "tools",
            Self::SeveralAnswers => "several_answers",
            Self::Unreadable => "unreadable",
            Self::HourlyBudget => "hourly_budget",
            Self::Busy => "busy",
            Self::Ended => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    #[test]
    fn a_prompts_hash_is_the_beginning_of_its_sha256() {
        // printf '%s' "What is 2+2?" | sha256sum
        let hex = crate::hash::ContentHash::of_bytes(b"What is 2+2?");
        let expected = u64::from_str_radix(&hex.as_str()[..16], 16).unwrap().cast_signed();
        assert_eq!(prompt_hash(b"What is 2+2?"), expected);
        assert!((0..64_u8).any(|i| prompt_hash(&[i]) < 0), "the highest bit counts");
    }

    #[test]
    fn texts_go_with_the_judgement_unless_they_are_kept() {
        let texts = ShadowTexts {
            messages: vec![Message::text(Role::User, "hi")],
            production_answer: "hello".to_owned(),
            ..ShadowTexts::default()
        };
        let waiting = ShadowPair {
            id: "req_1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            cluster: "c".to_owned(),
            prompt_hash: 1,
            status: PairStatus::Waiting,
            number: None,
            production: SeenAnswer::default(),
            candidate: None,
            verdict: None,
            flipped: false,
            production_score: None,
            candidate_score: None,
            reasons: Vec::new(),
            error: None,
            judge_cost: 0.0,
            texts: Some(texts),
        };
        let outcome = PairOutcome {
            status: PairStatus::Judged,
            candidate: Some(SeenAnswer { cost: Some(0.25), ..SeenAnswer::default() }),
            answer: Some("good day".to_owned()),
            verdict: Some(PairVerdict::Win),
            scores: Some((0.0, 1.0)),
            reasons: vec!["hi is answered".to_owned()],
            judge_cost: 0.5,
            error: None,
            flipped: false,
        };
        let kept = waiting.clone().settled(outcome.clone(), true);
        assert_eq!(kept.texts.unwrap().candidate_answer.as_deref(), Some("good day"));
        let hashed = waiting.settled(outcome, false);
        assert!(hashed.texts.is_none() && hashed.reasons.is_empty());
        assert_eq!((hashed.production_score, hashed.candidate_score), (Some(0.0), Some(1.0)));
    }
}
