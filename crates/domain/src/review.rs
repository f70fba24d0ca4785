//! The review queue: answers that a person should look at, and what a person decides.
//!
//! An item is decided once. What becomes a good answer by it, becomes a sample of a dataset, and the sample says where it
//! came from: request, manifest, who.

mod asked;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use asked::{Asked, NotAsked, answer_in_words, answer_text, asked, offered_tools};

use crate::chat::Message;
use crate::dataset::Sample;
use crate::hash::ContentHash;
use crate::id::ReviewId;

/// Why an answer is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewReason {
    /// A thumb down or a low rating.
    LowRating,
    /// Somebody sent the answer as it should have been.
    Correction,
    /// The content of the answer failed a check.
    SoftFailure,
    /// A candidate's answer lost against the one in production.
    ShadowLoss,
    /// A judge's score is close to the threshold, or judges disagree.
    UncertainJudge,
}

impl ReviewReason {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::LowRating, Self::Correction, Self::SoftFailure, Self::ShadowLoss, Self::UncertainJudge];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LowRating => "low_rating",
            Self::Correction => "correction",
            Self::SoftFailure => "soft_failure",
            Self::ShadowLoss => "shadow_loss",
            Self::UncertainJudge => "uncertain_judge",
        }
    }
}

impl std::str::FromStr for ReviewReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<&str> = Self::ALL.iter().map(|reason| reason.as_str()).collect();
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no reason: {}", crate::suggest::hint(text, names)))
    }
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStatus {
    /// Nobody has decided.
    #[default]
    Open,
    /// The suggested answer, or else the answer itself, is right.
    Accepted,
    /// Somebody wrote the right answer.
    Corrected,
    /// It has a label and is no sample.
    Labelled,
    /// There is nothing to learn from it.
    Dismissed,
}

impl ReviewStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Open, Self::Accepted, Self::Corrected, Self::Labelled, Self::Dismissed];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Corrected => "corrected",
            Self::Labelled => "labelled",
            Self::Dismissed => "dismissed",
        }
    }
}

impl std::str::FromStr for ReviewStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<&str> = Self::ALL.iter().map(|status| status.as_str()).collect();
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no status: {}", crate::suggest::hint(text, names)))
    }
}

/// An answer for the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewReviewItem {
    /// Why it is there.
    pub reason: ReviewReason,
    /// What it is about: `request/ID`, `shadow/ID`, `run/RUN/SAMPLE`. The same origin again is the same item.
    pub origin: String,
    /// What was seen, in a sentence.
    pub detail: String,
    /// The request record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The deployment that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The manifest that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ContentHash>,
    /// The end user, so that erasing them erases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What was asked. Empty where no body was kept: then only a person can say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// The conversation before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// The variables of the prompt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub variables: BTreeMap<String, Value>,
    /// The answer in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// A better answer: a user's correction, or the answer that won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The category that its sample would count for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl NewReviewItem {
    /// An item without any text.
    pub fn new(reason: ReviewReason, origin: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            reason,
            origin: origin.into(),
            detail: detail.into(),
            request_id: None,
            deployment: None,
            manifest: None,
            user: None,
            input: String::new(),
            messages: Vec::new(),
            variables: BTreeMap::new(),
            output: None,
            suggestion: None,
            category: None,
        }
    }
}

/// What a person does about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewAction {
    /// Takes the suggested answer for right, or, without one, the answer itself: it becomes a sample. An answer that somebody or the
    /// guard found fault with is taken only with `answer_was_right`.
    Accept,
    /// Writes the right answer: it becomes a sample.
    Correct,
    /// Gives it a label.
    Label,
    /// Lays it aside.
    Dismiss,
}

/// A decision as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// What is done.
    pub action: ReviewAction,
    /// The right answer, for `correct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What was asked, where the record keeps no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The label, for `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The dataset that gets the sample; absent: `golden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The category of the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Whether a sample of the dataset that asks the same is replaced. Otherwise it is a conflict.
    #[serde(default)]
    pub replace: bool,
    /// For `accept` of an answer that was rated low or failed softly, and that nobody suggested another for: that it was right all the
    /// same.
    #[serde(default)]
    pub answer_was_right: bool,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReviewDecision {
    /// What was done.
    pub action: ReviewAction,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The answer that is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The dataset that has it as a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The version of the dataset that has it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_version: Option<ContentHash>,
    /// The sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// An item of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReviewItem {
    /// Its id.
    pub id: ReviewId,
    /// When it came into the queue.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: ReviewStatus,
    /// What it is.
    #[serde(flatten)]
    pub item: NewReviewItem,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<ReviewDecision>,
}

/// Why a decision is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// Somebody was first.
    #[error("{by} decided on it already: it is {status}")]
    Decided {
        /// Who.
        by: String,
        /// What it is since.
        status: &'static str,
    },
    /// A field is needed.
    #[error("{field}: missing: {expected}")]
    Missing {
        /// The field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A field makes no sense here.
    #[error("{field}: {action} takes none")]
    Unwanted {
        /// The field.
        field: &'static str,
        /// The action.
        action: &'static str,
    },
}

impl ReviewItem {
    /// The item after the same answer came again: a suggestion is taken up, and what was seen is told once. What somebody
    /// has decided on stays as it is.
    #[must_use]
    pub fn seen_again(mut self, new: &NewReviewItem) -> Self {
        if self.status != ReviewStatus::Open {
            return self;
        }
        if new.suggestion.is_some() {
            self.item.suggestion.clone_from(&new.suggestion);
            self.item.reason = new.reason;
        }
        if !self.item.detail.contains(&new.detail) {
            self.item.detail = format!("{}; {}", self.item.detail, new.detail);
        }
        self
    }

    /// The item without what users said of the answer, which was erased. What a person decided stays.
    #[must_use]
    pub fn without_words(mut self) -> Self {
        self.item.suggestion = None;
        "what was said of it was erased".clone_into(&mut self.item.detail);
        self
    }

    /// Accepts the suggestion, or else the answer itself: every later answer is measured by it.
    fn accept(&self, request: &Decide) -> Result<(ReviewStatus, Option<String>), ReviewError> {
        let missing = |field, expected| Err(ReviewError::Missing { field, expected });
        let Some(answer) = self.to_accept() else {
            return missing("answer", "the item has no text to accept: correct it instead, with the right answer");
        };
        let is_own = self.item.suggestion.as_deref().is_none_or(|text| text.trim().is_empty());
        if is_own && self.is_doubted() && !request.answer_was_right {
            return missing(
                "answer_was_right",
                "fault was found with the answer, and nobody suggested another: write the right one (`correct`), or say that it \
                 was right all the same (`answer_was_right`, --answer-was-right)",
            );
        }
        Ok((ReviewStatus::Accepted, Some(answer.to_owned())))
    }

    /// Whether it is here because somebody, or the guard, found fault with the answer.
    fn is_doubted(&self) -> bool {
        matches!(self.item.reason, ReviewReason::LowRating | ReviewReason::SoftFailure)
    }

    /// What accepting it would make the expected answer: the suggestion, or else the answer itself.
    pub fn to_accept(&self) -> Option<&str> {
        let texts = [self.item.suggestion.as_deref(), self.item.output.as_deref()];
        texts.into_iter().flatten().find(|text| !text.trim().is_empty())
    }

    /// Whether somebody decided just what this asks for.
    pub fn is_decided_so(&self, request: &Decide) -> bool {
        let open = Self { status: ReviewStatus::Open, ..self.clone() };
        self.decision.as_ref().is_some_and(|decision| {
            let wanted = open.decide(request).ok().and_then(|(_, answer)| answer);
            decision.action == request.action && decision.label == request.label && decision.answer == wanted
        })
    }

    /// What a decision makes of the item: the status and, for `accept` and `correct`, the good answer.
    ///
    /// # Errors
    /// [`ReviewError`] when somebody decided before, or the decision lacks what it needs.
    pub fn decide(&self, request: &Decide) -> Result<(ReviewStatus, Option<String>), ReviewError> {
        if self.status != ReviewStatus::Open {
            let by = self.decision.as_ref().map_or_else(|| "somebody".to_owned(), |decision| decision.by.clone());
            return Err(ReviewError::Decided { by, status: self.status.as_str() });
        }
        let missing = |field, expected| Err(ReviewError::Missing { field, expected });
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let (answer, label) = (given(&request.answer), given(&request.label));
        let unwanted = |field, action| Err(ReviewError::Unwanted { field, action });
        match request.action {
            ReviewAction::Accept if answer.is_some() => unwanted("answer", "accept"),
            ReviewAction::Accept => self.accept(request),
            ReviewAction::Correct if answer.is_some() => Ok((ReviewStatus::Corrected, answer)),
            ReviewAction::Correct => missing("answer", "the answer as it should be"),
            ReviewAction::Label if answer.is_some() => unwanted("answer", "label"),
            ReviewAction::Label if label.is_some() => Ok((ReviewStatus::Labelled, None)),
            ReviewAction::Label => missing("label", "a word such as `wrong_tone`"),
            ReviewAction::Dismiss if answer.is_some() => unwanted("answer", "dismiss"),
            ReviewAction::Dismiss => Ok((ReviewStatus::Dismissed, None)),
        }
    }

    /// The sample that its question and a good answer make, with where it came from.
    ///
    /// # Errors
    /// [`ReviewError::Missing`] when neither the item nor the decision has a question.
    pub fn sample(&self, request: &Decide, answer: &str, by: &str) -> Result<Sample, ReviewError> {
        let item = &self.item;
        let input = request.input.clone().filter(|input| !input.trim().is_empty());
        let input = input.unwrap_or_else(|| item.input.clone());
        if input.trim().is_empty() && item.messages.is_empty() {
            let expected = "the record keeps no text of the request: give what was asked (--input TEXT)";
            return Err(ReviewError::Missing { field: "input", expected });
        }
        let facts = [
            ("review", json!(self.id)),
            ("reason", json!(item.reason)),
            ("request_id", json!(item.request_id)),
            ("deployment", json!(item.deployment)),
            ("manifest", json!(item.manifest)),
            ("by", json!(by)),
        ];
        let facts = facts.into_iter().filter(|(_, value)| !value.is_null());
        Ok(Sample {
            id: self.id.as_str().replace('_', "-"),
            input,
            messages: item.messages.clone(),
            expected_output: vec![answer.to_owned()],
            category: request.category.clone().or_else(|| item.category.clone()),
            variables: item.variables.clone(),
            source: Some("review".to_owned()),
            metadata: facts.map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Sample::default()
        })
    }
}

/// Which items are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ReviewFilter {
    /// open, accepted, corrected, labelled or dismissed
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<ReviewStatus>,
    /// low_rating, correction, soft_failure, shadow_loss or uncertain_judge
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub reason: Option<ReviewReason>,
    /// Answers of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
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

    fn item(output: Option<&str>, suggestion: Option<&str>) -> ReviewItem {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let item = NewReviewItem {
            input: "What does delivery cost?".to_owned(),
            output: text(output),
            suggestion: text(suggestion),
            request_id: Some("req_1".to_owned()),
            ..NewReviewItem::new(ReviewReason::LowRating, "req_1", "a thumb down")
        };
        let id = ReviewId("review_1".to_owned());
        ReviewItem { id, created_at: Timestamp::UNIX_EPOCH, status: ReviewStatus::Open, item, decision: None }
    }

    fn decide(action: &str, field: &str, text: &str) -> Decide {
        let mut value = json!({"action": action});
        if !field.is_empty() {
            value[field] = json!(text);
        }
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(item: &ReviewItem, request: &Decide, expected: &str) {
        let found = match item.decide(request) {
            Ok((status, answer)) => format!("{} {}", status.as_str(), answer.unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found.trim(), expected);
    }

    #[test]
    fn decisions() {
        let both = item(Some("5.90"), Some("4.90"));
        check(&both, &decide("accept", "", ""), "accepted 4.90");
        let doubted = item(Some("5.90"), None);
        let error = doubted.decide(&decide("accept", "", "")).unwrap_err();
        assert!(matches!(error, ReviewError::Missing { field: "answer_was_right", .. }), "{error}");
        check(&doubted, &Decide { answer_was_right: true, ..decide("accept", "", "") }, "accepted 5.90");
        let mut uncertain = doubted;
        uncertain.item.reason = ReviewReason::UncertainJudge;
        check(&uncertain, &decide("accept", "", ""), "accepted 5.90");
        check(
            &item(None, None),
            &decide("accept", "", ""),
            "answer: missing: the item has no text to accept: correct it instead, with the right answer",
        );
        check(&both, &decide("accept", "answer", "x"), "answer: accept takes none");
        check(&both, &decide("correct", "answer", "4.95"), "corrected 4.95");
        check(&both, &decide("correct", "answer", " "), "answer: missing: the answer as it should be");
        check(&both, &decide("label", "label", "price"), "labelled");
        check(&both, &decide("label", "", ""), "label: missing: a word such as `wrong_tone`");
        check(&both, &decide("dismiss", "", ""), "dismissed");
        let decided = ReviewItem { status: ReviewStatus::Dismissed, ..both };
        check(&decided, &decide("accept", "", ""), "somebody decided on it already: it is dismissed");
    }

    #[test]
    fn an_answer_that_comes_again_is_one_item() {
        let again = |reason, detail: &str, suggestion: Option<&str>| NewReviewItem {
            suggestion: suggestion.map(str::to_owned),
            ..NewReviewItem::new(reason, "req_1", detail)
        };
        let first = item(Some("5.90"), None);
        assert_eq!(first.clone().seen_again(&again(ReviewReason::LowRating, "a thumb down", None)), first);
        let second = first.seen_again(&again(ReviewReason::SoftFailure, "truncated", None));
        assert_eq!((second.item.reason, &*second.item.detail), (ReviewReason::LowRating, "a thumb down; truncated"));
        let third = second.seen_again(&again(ReviewReason::Correction, "a correction", Some("4.90")));
        assert_eq!((third.item.reason, third.item.suggestion.as_deref()), (ReviewReason::Correction, Some("4.90")));
        let decided = ReviewItem { status: ReviewStatus::Accepted, ..third };
        assert_eq!(decided.clone().seen_again(&again(ReviewReason::Correction, "x", Some("y"))), decided);
    }

    #[test]
    fn a_sample_says_where_it_came_from() {
        let item = item(Some("5.90"), None);
        let sample = item.sample(&decide("correct", "answer", "4.90"), "4.90", "dana").unwrap();
        insta::assert_json_snapshot!(sample, @r#"
        {
          "id": "review-1",
          "input": "What does delivery cost?",
          "expected_output": [
            "4.90"
          ],
          "source": "review",
          "metadata": {
            "by": "dana",
            "reason": "low_rating",
            "request_id": "req_1",
            "review": "review_1"
          }
        }
        "#);
        let mut silent = item;
        silent.item.input.clear();
        assert!(silent.sample(&decide("accept", "", ""), "x", "dana").is_err());
        assert_eq!(silent.sample(&decide("accept", "input", "Why?"), "x", "dana").unwrap().input, "Why?");
    }
}
