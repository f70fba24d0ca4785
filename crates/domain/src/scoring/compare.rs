//! Options of the scorers that compare an answer with an expected one, piece by piece.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `chrf`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ChrfSpec {
    /// Count n-grams of words, too: chrF++.
    #[serde(default)]
    pub plus_plus: bool,
}

/// Options of `numeric_match`. `1,234.50`, `1.234,50`, `1'234.50` and `12,34,567` are read as they are meant, and so are `3,90` and
/// digits of other scripts; `1,234` is a thousand and more, `1.234` is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct NumericMatchSpec {
    /// Largest difference that counts as equal.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub absolute: f64,
    /// Largest difference that counts as equal, as a share of the expected number. The larger of both counts.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub relative: f64,
    /// Which number of the text counts.
    #[serde(default)]
    pub position: NumberPosition,
}

/// Which number of a text counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberPosition {
    /// The text is the number and nothing else.
    Whole,
    /// The first one.
    First,
    /// The last one, where worked solutions put their result.
    #[default]
    Last,
}

/// Options of `json_fields`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct JsonFieldsSpec {
    /// Accept a Markdown code fence around the answer.
    #[serde(default)]
    pub allow_fences: bool,
    /// Fields that the expected output does not have are no mistakes.
    #[serde(default)]
    pub allow_extra: bool,
    /// Texts are equal without regard to case and to the amount of white space.
    #[serde(default)]
    pub lenient_strings: bool,
    /// Largest difference between numbers that counts as equal.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub absolute: f64,
    /// The same as a share of the expected number. The larger of both counts.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub relative: f64,
    /// JSON Pointers of fields that do not count, such as `/meta/created_at`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

/// Options of `list_match`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct ListMatchSpec {
    /// How two items are compared.
    #[serde(default)]
    pub similarity: ItemSimilarity,
    /// The embedding model of `similarity: embeddings`: a directory, or NAME, OWNER/NAME or OWNER/NAME@REVISION on the
    /// Hugging Face hub. Absent: sentence-transformers/all-MiniLM-L6-v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Items are the same from this similarity on.
    #[serde(default = "default_item_threshold")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub item_threshold: f64,
    /// The expected outputs of a sample are the items of one list. Otherwise each of them is a list, and the best one
    /// counts.
    #[serde(default)]
    pub items: bool,
    /// Which share is the score.
    #[serde(default)]
    pub score: ListScore,
}

fn default_item_threshold() -> f64 {
    0.8
}

impl Default for ListMatchSpec {
    fn default() -> Self {
        Self {
            similarity: ItemSimilarity::default(),
            model: None,
            item_threshold: default_item_threshold(),
            items: false,
            score: ListScore::default(),
        }
    }
}

/// How two items of lists are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemSimilarity {
    /// Equal but for case and white space.
    Normalised,
    /// 1 − edit distance ÷ length of the longer item, without regard to case.
    #[default]
    Levenshtein,
    /// F-measure of words.
    TokenF1,
    /// F-measure of ROUGE-L with stemmed words.
    RougeL,
    /// chrF.
    Chrf,
    /// Cosine of the mean token embeddings: items that mean the same in other words are the same.
    Embeddings,
}

/// Which share is the score of a comparison of two lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListScore {
    /// Of the given ones that are expected.
    Precision,
    /// Of the expected ones that were given.
    Recall,
    /// The harmonic mean of both.
    #[default]
    F1,
}

/// Options of `language`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct LanguageSpec {
    /// Accepted languages, as codes of ISO 639-1 or 639-3. Absent: the language of the sample's input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
}

/// Options of `length`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
pub struct LengthSpec {
    /// What is counted.
    #[serde(default)]
    pub unit: LengthUnit,
    /// The least length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The greatest length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// What makes up a length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthUnit {
    /// Unicode characters.
    #[default]
    Characters,
    /// Bytes of UTF-8.
    Bytes,
    /// Words between white space.
    Words,
    /// Lines.
    Lines,
}
