//! Feedback and the review queue on the wire.

use jiff::Timestamp;
use llmops_domain::feedback::FeedbackBody;
use llmops_domain::id::FeedbackId;
use llmops_domain::review::ReviewItem;
use llmops_domain::run::Estimate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Problem;
use crate::datasets::ImportedDataset;

/// The header of an export that holds its [`ExportCounts`] as JSON.
pub const EXPORT_COUNTS: &str = "x-llmops-export";

/// What became of feedback. What was accepted is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReceivedFeedback {
    /// How many are new.
    pub accepted: u64,
    /// How many were there before, by their key.
    pub duplicates: u64,
    /// How many were refused.
    pub refused: u64,
    /// The ids, in the order sent; those of duplicates are the ones they had.
    pub ids: Vec<FeedbackId>,
    /// What is wrong with those that were refused, the first hundred; `line` is the position in the list, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What feedback is summed up by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SummaryBy {
    /// Everything together.
    #[default]
    All,
    /// The day on which the first of it was said, UTC.
    Day,
    /// The prompt version, as `NAME@VERSION`.
    Prompt,
    /// The manifest.
    Manifest,
    /// The variant of an experiment, as `experiment/variant`.
    Variant,
    /// The deployment.
    Deployment,
    /// The model.
    Model,
    /// The caller's labels, as `NAME=VALUE`: segments.
    Tag,
}

impl SummaryBy {
    /// The name in queries and of the stored sums.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Day => "day",
            Self::Prompt => "prompt",
            Self::Manifest => "manifest",
            Self::Variant => "variant",
            Self::Deployment => "deployment",
            Self::Model => "model",
            Self::Tag => "tag",
        }
    }
}

/// What is summed up, by what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SummaryQuery {
    /// all, day, prompt, manifest, variant, deployment, model or tag
    #[param(inline)]
    pub by: SummaryBy,
    /// Only answers of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// From the day of this time on; absent: 30 days before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Up to the day of this time; absent: today.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
}

/// What was said of answers, summed up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackSummary {
    /// What the rows are.
    pub by: SummaryBy,
    /// The first day, UTC.
    pub first_day: String,
    /// The last day, UTC.
    pub last_day: String,
    /// The rows; days in order, others with the most answers first.
    pub rows: Vec<FeedbackSummaryRow>,
    /// Answers that something was said of, in all rows and in none: not every answer has a prompt or a variant.
    pub requests: u64,
    /// Of these, those that there is no record of: wrong ids, or records that are still to come. They are of no deployment, so that with
    /// one it is 0.
    pub unjoined: u64,
}

/// What was said of the answers of one prompt version, day, segment … Each answer counts once, with the last word on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FeedbackSummaryRow {
    /// Which one.
    pub name: String,
    /// Answers that anything was said of.
    pub requests: u64,
    /// Share of thumbs up among answers with a thumb, with Wilson's interval.
    pub thumbs_up: Option<Estimate>,
    /// Mean rating as a share of the scale, with a t-interval; of a single rating, the whole scale.
    pub rating: Option<Estimate>,
    /// Share of these answers that were corrected, with Wilson's interval.
    pub corrected: Option<Estimate>,
    /// Answers with a comment.
    pub comments: u64,
}

/// An item after a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decided {
    /// The item.
    pub item: ReviewItem,
    /// The version of the dataset that its sample went to, where it made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<ImportedDataset>,
}

/// Where answers for the review queue are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectReviews {
    /// A run: answers that its judges are uncertain of.
    pub run: String,
}

/// What was found for the review queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CollectedReviews {
    /// Items that are new.
    pub added: u64,
    /// Answers that are in the queue, or were decided on, already.
    pub known: u64,
}

/// What feedback is exported as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// Each piece of feedback with the question and the answer.
    #[default]
    Jsonl,
    /// `{"messages": […]}` a line, as OpenAI's fine-tuning takes it: corrected answers, and those that were found good.
    OpenaiFt,
    /// `{"prompt": […], "chosen": […], "rejected": […]}` a line, as preference training takes it: corrections, decisions of the
    /// review queue, comparisons that a candidate lost.
    Preference,
}

/// One piece of feedback, or many.
#[derive(Debug, Clone, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum SubmitFeedback {
    /// Many pieces, each with the fields of one: those that are wrong are refused with their position, and the rest is taken.
    #[schema(value_type = Vec<Value>)]
    Many(Vec<Value>),
    /// One piece. It is read by hand, so that everything that is wrong is told at once.
    #[schema(value_type = FeedbackBody)]
    One(Value),
}

/// What is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ExportQuery {
    /// jsonl, openai-ft or preference
    #[param(inline)]
    pub format: ExportFormat,
    /// Only answers of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Said at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// Most examples, 1 to 100,000; absent: 10,000.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "examples_within_bounds")]
    #[param(minimum = 1, maximum = 100_000)]
    pub limit: Option<u32>,
    /// Also examples in which `[email]`, `[phone]`, `[card]`, `[iban]`, `[ssn]` or `[key]` stands for what was replaced.
    pub redacted: bool,
}

/// Most examples of one export.
pub const MAX_EXAMPLES: u32 = 100_000;

fn examples_within_bounds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let limit = Option::<u32>::deserialize(deserializer)?;
    match limit {
        Some(limit) if !(1..=MAX_EXAMPLES).contains(&limit) => {
            Err(serde::de::Error::custom(format!("limit is {limit}: expected 1 to {MAX_EXAMPLES}")))
        }
        limit => Ok(limit),
    }
}

/// What was exported, and what was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExportCounts {
    /// Examples that were looked at.
    pub considered: u64,
    /// Examples that were exported.
    pub examples: u64,
    /// Left out: almost the same as one that was exported (`MinHash` over three words, similarity of 0.8 or more).
    pub duplicates: u64,
    /// Left out: an e-mail address, a phone or card number or a key is in it.
    pub secrets: u64,
    /// Left out: something in it was replaced when it was recorded.
    pub redacted: u64,
    /// Left out: the record keeps no text of the question, or is gone.
    pub without_text: u64,
    /// Left out: there is no good answer, or none to set it against.
    pub without_answer: u64,
}

/// Makes a dataset of the questions whose answers were found bad.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HardExamples {
    /// The dataset, which is made where there is none.
    pub dataset: String,
    /// Only answers of this deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Said at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// Most samples; absent: 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The dataset of hard examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HardExamplesMade {
    /// Its version.
    pub dataset: ImportedDataset,
    /// What was looked at, and left out.
    pub counts: ExportCounts,
}

/// What is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ReportQuery {
    /// Only answers of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// How many days, 1 to 366; absent: 7. They are compared with as many days before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<u32>,
    /// The last day is that of this time; absent: today.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// The embedding model that groups complaints; absent: the one of the configuration, else words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A report that is sent to a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SendReport {
    /// The channel of the configuration.
    pub channel: String,
    /// What is reported.
    #[serde(flatten)]
    pub report: ReportQuery,
}
