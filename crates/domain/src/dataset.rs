//! Datasets: named collections of samples, in versions that are the hash of their samples.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::chat::Message;
use crate::hash::ContentHash;
use crate::id::DatasetId;
use crate::scoring::agent::EXPECTED_TOOL_CALLS;
use crate::scoring::assertions::ASSERTIONS;

/// What a dataset is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatasetType {
    /// Curated by hand; the gate's measure.
    #[default]
    Golden,
    /// Cases that once went wrong.
    Regression,
    /// A public or internal benchmark.
    Benchmark,
    /// Collected from users.
    User,
}

impl DatasetType {
    /// The name as written in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Golden => "golden",
            Self::Regression => "regression",
            Self::Benchmark => "benchmark",
            Self::User => "user",
        }
    }
}

impl std::str::FromStr for DatasetType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Golden, Self::Regression, Self::Benchmark, Self::User]
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or_else(|| format!("unknown dataset type `{text}`: expected golden, regression, benchmark or user"))
    }
}

/// One case: what is asked and what a good answer is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Unique in its dataset version.
    pub id: String,
    /// What is asked. `prompt` in files is the same.
    #[serde(default, alias = "prompt", skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// A conversation instead of, or before, the input.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Good answers; any of them will do. A single text in files is a list of one.
    #[serde(
        default,
        alias = "expected",
        alias = "reference_response",
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub expected_output: Vec<String>,
    /// The category it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Passages the answer should rest on. A single text in files is a list of one.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// Values for the prompt's variables.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Value>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Anything else.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum OneOrMany {
        None,
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::None => Vec::new(),
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

impl Sample {
    /// Hash of the whole sample; a changed sample is one whose id stayed and whose hash did not.
    ///
    /// # Errors
    /// When a variable or metadata value has no JSON form.
    pub fn hash(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of_json(self)
    }

    /// Hash of what is asked (input, messages, context, variables): two samples that share it are duplicates.
    ///
    /// # Errors
    /// When a variable has no JSON form.
    pub fn question_hash(&self) -> Result<ContentHash, serde_json::Error> {
        ContentHash::of_json(&(&self.input, &self.messages, &self.context, &self.variables))
    }

    /// Whether the other sample asks and expects the same. The category, the source and notes in the metadata may differ: an
    /// answer is as good with them as without.
    pub fn is_same_case(&self, other: &Self) -> bool {
        let expects = |key: &str| self.metadata.get(key) == other.metadata.get(key);
        self.input == other.input
            && self.messages == other.messages
            && self.context == other.context
            && self.variables == other.variables
            && self.expected_output == other.expected_output
            && expects(ASSERTIONS)
            && expects(EXPECTED_TOOL_CALLS)
    }
}

/// A dataset with its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dataset {
    /// The id.
    pub id: DatasetId,
    /// Unique in its project.
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Hash of the newest version; null before the first.
    pub version: Option<ContentHash>,
    /// Samples in the newest version.
    pub sample_count: u64,
    /// When the dataset was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the newest version was added.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// One version of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatasetVersion {
    /// The dataset's name.
    pub dataset: String,
    /// Hash of its samples, independent of their order.
    pub version: ContentHash,
    /// Number of samples.
    pub sample_count: u64,
    /// Samples per category; samples without one count under the empty name.
    pub categories: BTreeMap<String, u64>,
    /// When it was built.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What differs between two versions, by sample id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatasetDiff {
    /// The older version.
    pub from: String,
    /// The newer version.
    pub to: String,
    /// Ids only the newer has.
    pub added: Vec<String>,
    /// Ids only the older has.
    pub removed: Vec<String>,
    /// Ids whose content differs.
    pub changed: Vec<String>,
    /// Number of samples that are the same.
    pub unchanged: u64,
}
