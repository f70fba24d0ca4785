//! The request record: what is kept of one call of the gateway.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::Usage;
use crate::hash::ContentHash;
use crate::soft_failure::{GuardAction, SoftFailure, SoftFailureKind};

/// What of a call's bodies is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyPolicy {
    /// The text, with e-mail addresses, phone numbers, card numbers and keys replaced.
    #[default]
    Full,
    /// The text as it was.
    Raw,
    /// Its SHA-256.
    Hashed,
    /// Nothing.
    None,
}

/// Which door of the gateway was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/messages`
    Messages,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The caller has a whole answer.
    Ok,
    /// The provider answered with an error, which the caller has.
    UpstreamError,
    /// No provider could be reached, none answered in time, or the deployment's prompt could not be rendered for the call.
    Unavailable,
    /// The answer broke off after it had begun.
    Cut,
    /// The caller left before the end.
    Cancelled,
    /// The gateway refused: the request was wrong, or over a limit.
    Refused,
}

impl CallOutcome {
    /// Whether a call says anything of what was to answer it. What the gateway refused, and what its caller left, does not: such
    /// calls are in no share.
    pub fn counts(self) -> bool {
        !matches!(self, Self::Refused | Self::Cancelled)
    }

    /// Whether the caller got no whole answer, by no doing of its own.
    pub fn is_failure(self) -> bool {
        self.counts() && self != Self::Ok
    }

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UpstreamError => "upstream_error",
            Self::Unavailable => "unavailable",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// One attempt to get an answer from one provider. Every line of a provider's log is one attempt of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallAttempt {
    /// The model asked, as `provider/model`.
    pub model: String,
    /// The status; of an error inside a success, the one that it means. Absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Milliseconds until its first byte, or until it failed.
    pub ms: f64,
}

/// What an attempt is called that was dropped before it was answered: the caller left, or another provider was faster.
pub const GIVEN_UP: &str = "given up before it was answered";

impl CallAttempt {
    /// Whether it was dropped before it was answered, which says nothing about the provider.
    pub fn is_given_up(&self) -> bool {
        self.status.is_none() && self.error.as_deref() == Some(GIVEN_UP)
    }
}

/// What is kept of one call.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, by its name on the wire")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RequestRecord {
    /// Its id, which the answer carries as `x-llmops-request-id`.
    pub id: String,
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Which door.
    pub door: Door,
    /// The id of the caller's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The deployment; absent where a model was named directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The deployment's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The manifest that answered; absent where none did: a model was named directly, or the safe mode's fixed answer was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ContentHash>,
    /// Whether the deployment was in safe mode: its strict manifest, or its fixed answer, stood in for the one that is deployed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub safe_mode: bool,
    /// The variant of an experiment, as `experiment/variant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The model asked last, as `provider/model`; of a kept answer, the one that gave it. Where none was asked, the name that the
    /// caller gave.
    pub model: String,
    /// The model that the provider says answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_answered: Option<String>,
    /// The provider's `system_fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The end user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The trace of the application that the call belongs to: 32 hex digits, as `traceparent` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The caller's own labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Tokens.
    pub usage: Usage,
    /// Whether tokens were estimated from the text because a provider reported none: those of the answer, or of attempts that
    /// were given up.
    #[serde(default)]
    pub usage_estimated: bool,
    /// USD by the price table; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Milliseconds until the first byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// Milliseconds until the end.
    pub total_ms: f64,
    /// The status that the caller got.
    pub status: u16,
    /// How it ended.
    pub outcome: CallOutcome,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// What was wrong with the content of an answer that came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soft_failures: Vec<SoftFailure>,
    /// Checks that were to look at the answer and could not: what they would have said is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<SoftFailureKind>,
    /// What the guard did about a soft failure before the caller had the answer: `retry`, `fall_back` or `replace`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<GuardAction>,
    /// Whether the answer is one that was kept from an equal request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// All attempts, in order.
    pub attempts: Vec<CallAttempt>,
    /// The request's body, by the deployment's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<String>,
    /// The answer: its text, by the deployment's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
}

impl RequestRecord {
    /// Whether all its numbers have a form in JSON: NaN and infinite ones have none.
    pub fn is_finite(&self) -> bool {
        let optional = [self.cost, self.first_byte_ms].into_iter().flatten();
        let attempts = self.attempts.iter().map(|attempt| attempt.ms);
        optional.chain(attempts).chain([self.total_ms]).all(f64::is_finite)
    }
}

/// Which records are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct RecordFilter {
    /// Calls of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Calls in this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Calls that this manifest answered, by the beginning of its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Calls of this model, as `provider/model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Calls that ended this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub outcome: Option<CallOutcome>,
    /// Calls for this user, also where users are kept as hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Calls in this session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Only calls with soft failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_failed: Option<bool>,
    /// At or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Where the page before ended: only older records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only records with a larger id: newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Records on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}
