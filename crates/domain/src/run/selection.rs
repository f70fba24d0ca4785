//! Which samples of a dataset version a run evaluates.

use std::collections::BTreeSet;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::dataset::Sample;

/// A choice of samples. What is given must hold, all of it; what is left out leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SampleSelection {
    /// Samples of one of these categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Samples whose id or question (the input, or the text of a message) matches this regular expression somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Samples that did not pass in this run: failed or errored in some trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Samples with these ids; those that failed are kept so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<BTreeSet<String>>,
}

impl SampleSelection {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What it chooses, for people, as the end of a sentence: `of the category billing`.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        match self.categories.as_slice() {
            [] => {}
            [one] => parts.push(format!("of the category {one}")),
            several => parts.push(format!("of the categories {}", several.join(", "))),
        }
        parts.extend(self.pattern.as_ref().map(|pattern| format!("that match `{pattern}`")));
        match (&self.failing, &self.ids) {
            (Some(run), _) => parts.push(format!("that did not pass in {run}")),
            (None, Some(ids)) => parts.push(format!("of {} chosen ids", ids.len())),
            (None, None) => {}
        }
        parts.join(" and ")
    }

    /// Ready to be asked of samples.
    ///
    /// # Errors
    /// When the pattern is no regular expression.
    pub fn compile(&self) -> Result<Chosen, String> {
        let pattern = self.pattern.as_deref().map(Regex::new).transpose().map_err(|error| {
            format!("the pattern `{}` is no regular expression: {error}", self.pattern.as_deref().unwrap_or_default())
        })?;
        Ok(Chosen { categories: self.categories.iter().cloned().collect(), pattern, ids: self.ids.clone() })
    }
}

/// A choice of samples, compiled.
#[derive(Debug, Clone)]
pub struct Chosen {
    categories: BTreeSet<String>,
    pattern: Option<Regex>,
    ids: Option<BTreeSet<String>>,
}

impl Chosen {
    /// Whether a sample is chosen.
    pub fn has(&self, sample: &Sample) -> bool {
        let category = sample.category.as_deref().unwrap_or_default();
        (self.categories.is_empty() || self.categories.contains(category))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&sample.id))
            && self.pattern.as_ref().is_none_or(|pattern| {
                pattern.is_match(&sample.id)
                    || pattern.is_match(&sample.input)
                    || sample.messages.iter().any(|message| pattern.is_match(&message.as_text()))
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(selection: Value, expected: &[&str]) {
        let samples = json!([
            {"id": "a1", "input": "Where is my Größe?", "category": "billing"},
            {"id": "a2", "input": "Where is it?", "category": "tone"},
            {"id": "b1", "input": "", "messages": [{"role": "user", "content": "Hello, 7*7?"}]},
        ]);
        let samples: Vec<Sample> = serde_json::from_value(samples).unwrap();
        let selection: SampleSelection = serde_json::from_value(selection).unwrap();
        let chosen = selection.compile().unwrap();
        let found: Vec<&str> = samples.iter().filter(|sample| chosen.has(sample)).map(|s| s.id.as_str()).collect();
        assert_eq!(found, expected, "{selection:?}");
        assert_eq!(selection.is_all(), selection.describe().is_empty());
    }

    #[test]
    fn everything_that_is_given_holds() {
        check(json!({}), &["a1", "a2", "b1"]);
        check(json!({"categories": ["billing", "none"]}), &["a1"]);
        check(json!({"pattern": "^a"}), &["a1", "a2"]);
        check(json!({"pattern": "(?i)GRÖSSE|größe"}), &["a1"]);
        check(json!({"pattern": r"\*"}), &["b1"]);
        check(json!({"ids": ["a2", "b1"]}), &["a2", "b1"]);
        check(json!({"ids": []}), &[]);
        check(json!({"categories": ["tone"], "pattern": "Where", "ids": ["a1", "a2"]}), &["a2"]);
    }

    #[test]
    fn a_choice_is_told() {
        let told = |selection: Value| serde_json::from_value::<SampleSelection>(selection).unwrap().describe();
        assert_eq!(
            told(json!({"categories": ["a", "b"], "pattern": "x", "failing": "run_1", "ids": ["s"]})),
            "of the categories a, b and that match `x` and that did not pass in run_1"
        );
        let broken = SampleSelection { pattern: Some("(".to_owned()), ..SampleSelection::default() };
        assert!(broken.compile().unwrap_err().starts_with("the pattern `(` is no regular expression"));
    }
}
