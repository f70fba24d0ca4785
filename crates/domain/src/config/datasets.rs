//! The `datasets` section: the files that hold samples, and what each sample must be.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::DatasetType;

/// "Prompts must exceed 10 characters."
pub const DEFAULT_MIN_PROMPT_CHARS: u32 = 11;

/// A dataset and the rules for its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetConfig {
    /// The file with the samples (`.jsonl`, `.json`, `.csv` or `.parquet`), relative to the project folder.
    #[schemars(length(min = 1))]
    pub path: String,
    /// What it is for. Golden and regression datasets need a reference for every sample.
    #[serde(rename = "type", default)]
    pub kind: DatasetType,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Fewest characters of an input, white space at both ends not counted.
    #[serde(default = "default_min_prompt_chars")]
    #[schemars(range(max = 1_000_000))]
    pub min_prompt_chars: u32,
    /// Most tokens of an input, estimated. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_prompt_tokens: Option<u32>,
    /// The categories a sample may have. Absent: any, with equal weights.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub categories: IndexMap<String, CategoryConfig>,
}

fn default_min_prompt_chars() -> u32 {
    DEFAULT_MIN_PROMPT_CHARS
}

/// One category of a dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CategoryConfig {
    /// Share of the overall score. All categories have one, and they sum to 1; or none has, and all count the same.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub weight: Option<f64>,
    /// Fewest samples.
    #[schemars(range(max = 1_000_000_000))]
    pub min_examples: u32,
}

impl DatasetConfig {
    /// The rules for a file that no configuration names: an input, whatever its length, and any category.
    pub fn permissive() -> Self {
        Self {
            path: String::new(),
            kind: DatasetType::User,
            description: None,
            min_prompt_chars: 1,
            max_prompt_tokens: None,
            categories: IndexMap::new(),
        }
    }

    /// Categories with their weights: equal ones where the file names none. Empty: any category, equal weights.
    pub fn category_weights(&self) -> IndexMap<String, f64> {
        let equal = 1.0 / self.categories.len().max(1) as f64;
        self.categories.iter().map(|(name, category)| (name.clone(), category.weight.unwrap_or(equal))).collect()
    }
}
