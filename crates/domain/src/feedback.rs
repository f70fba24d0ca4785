//! Feedback: what people, and the application itself, say of an answer.
//!
//! Feedback names the answer by the id of its request record or by a trace id. Several may be about one answer; the last
//! word of each kind is the [`Opinion`] on it, and sums count opinions ([`FeedbackTally`]): one person's three clicks on one
//! answer are one observation.

mod read;
mod report;
mod tally;
pub mod topics;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use read::{FIELDS, FeedbackProblem, read};
pub use report::{FeedbackReport, PromptFeedback, html, markdown, slack};
pub use tally::{FeedbackTally, Opinion, slices};

use crate::hash::ContentHash;
use crate::id::FeedbackId;

/// A rating of at most this share of its scale is low.
pub const LOW_RATING: f64 = 0.4;
/// A rating of at least this share of its scale is high.
pub const HIGH_RATING: f64 = 0.8;

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Thumb {
    /// The answer was good.
    Up,
    /// The answer was not.
    Down,
}

/// A rating and the scale that it was given on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rating {
    /// From `min` to `scale`.
    pub value: f64,
    /// The best rating there is, such as 5 for five stars.
    pub scale: f64,
    /// The worst rating there is; absent: 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Rating {
    /// Its share of the scale, from 0 to 1.
    pub fn share(&self) -> f64 {
        ((self.value - self.min) / (self.scale - self.min)).clamp(0.0, 1.0)
    }
}

/// What somebody says of an answer, as it is sent. One of `request_id` and `trace_id` names the answer, and at least one of
/// the other fields says something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackBody {
    /// The id of the request, as `x-llmops-request-id` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Instead: the id of the trace that the request belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Up or down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumb: Option<Thumb>,
    /// A rating, with its scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// A word of the application's choice, such as `helpful` or `wrong_tone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the person wrote. E-mail addresses, phone and card numbers and keys in it are replaced before it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The answer as it should have been. What is personal or secret in it is replaced before it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// What the application noticed: `retried`, `copied`, `abandoned`, `response_chars`, `latency_ms`, `tool_success` …;
    /// numbers, texts, true and false.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub signals: BTreeMap<String, Value>,
    /// The same key again is the same feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Who says it, where that is known; else the user of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// When it was said; absent: when it arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// Whether an answer was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sentiment {
    /// A thumb down, a low rating, or a correction without a verdict.
    Negative,
    /// A rating in between.
    Neutral,
    /// A thumb up or a high rating.
    Positive,
}

impl FeedbackBody {
    /// What names the answer that it is about: feedback with the same subject is about one answer.
    pub fn subject(&self) -> String {
        match (&self.request_id, &self.trace_id) {
            (Some(request), _) => request.clone(),
            (None, Some(trace)) => format!("trace:{trace}"),
            (None, None) => String::new(),
        }
    }

    /// Whether it finds the answer good; nothing where it does not say. The thumb decides, then the rating.
    pub fn sentiment(&self) -> Option<Sentiment> {
        sentiment(self.thumb, self.rating.map(|rating| rating.share()), self.correction.is_some())
    }
}

/// Whether an answer with this thumb, this rating as a share of its scale, and perhaps a correction was found good.
fn sentiment(thumb: Option<Thumb>, rating: Option<f64>, corrected: bool) -> Option<Sentiment> {
    match (thumb, rating) {
        (Some(Thumb::Up), _) => Some(Sentiment::Positive),
        (Some(Thumb::Down), _) => Some(Sentiment::Negative),
        (None, Some(share)) if share <= LOW_RATING => Some(Sentiment::Negative),
        (None, Some(share)) if share >= HIGH_RATING => Some(Sentiment::Positive),
        (None, Some(_)) => Some(Sentiment::Neutral),
        (None, None) => corrected.then_some(Sentiment::Negative),
    }
}

/// What is known of the answer that feedback is about, once its record has been found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackContext {
    /// The record.
    pub request_id: String,
    /// The deployment that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The manifest that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ContentHash>,
    /// Its prompt, as `NAME@VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The model, as `provider/model`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The variant of an experiment, as `experiment/variant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The end user, as the record has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The caller's labels: the segments of summaries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Feedback as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// When it was said.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What was said.
    #[serde(flatten)]
    pub body: FeedbackBody,
    /// Whether the answer was found good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Sentiment>,
    /// The answer that it is about; absent while its record is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<FeedbackContext>,
}

impl Feedback {
    /// What names the answer: the record where it was found, however the feedback named it; else as
    /// [`FeedbackBody::subject`] does.
    pub fn subject(&self) -> String {
        self.context.as_ref().map_or_else(|| self.body.subject(), |context| context.request_id.clone())
    }

    /// Puts the SHA-256 of the user's id in its place, as records of deployments that hash their users have it.
    pub fn hash_user(&mut self) {
        if let Some(user) = self.body.user.as_mut().filter(|user| ContentHash::parse(user).is_none()) {
            *user = ContentHash::of_bytes(user.as_bytes()).to_string();
        }
    }
}

/// Which feedback is meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct FeedbackFilter {
    /// On answers of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// On the answer to this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// negative, neutral or positive
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub sentiment: Option<Sentiment>,
    /// Only feedback with a correction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<bool>,
    /// At or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Where the page before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items on the page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crate::page::limit")]
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<Sentiment>) {
        let body: FeedbackBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.sentiment(), expected);
    }

    #[test]
    fn sentiment_follows_the_thumb_then_the_rating_then_a_correction() {
        check(r#"{"thumb": "up", "rating": {"value": 1, "scale": 5}}"#, Some(Sentiment::Positive));
        check(r#"{"thumb": "down", "correction": "x"}"#, Some(Sentiment::Negative));
        check(r#"{"rating": {"value": 2, "scale": 5}}"#, Some(Sentiment::Negative));
        check(r#"{"rating": {"value": 3, "scale": 5}}"#, Some(Sentiment::Neutral));
        check(r#"{"rating": {"value": 4, "scale": 5}, "correction": "x"}"#, Some(Sentiment::Positive));
        check(r#"{"rating": {"value": -1, "scale": 1, "min": -1}}"#, Some(Sentiment::Negative));
        check(r#"{"correction": "x"}"#, Some(Sentiment::Negative));
        check(r#"{"label": "funny", "comment": "x"}"#, None);
    }
}
