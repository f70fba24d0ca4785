//! Samples on their way into a dataset's file.

use std::collections::BTreeMap;

use llmops_domain::hash::ContentHash;
use serde_json::{Map, Value, json};

use super::Imported;

/// The samples of one dataset. Two that ask the same become one, because a dataset asks nothing twice.
#[derive(Debug, Default)]
pub(crate) struct SampleSet {
    samples: Vec<Map<String, Value>>,
    /// Position by the hash of what is asked.
    asked: BTreeMap<String, usize>,
}

impl SampleSet {
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds a sample, or its assertions to the one that asks the same.
    pub(crate) fn push(&mut self, imported: &mut Imported, place: &str, sample: Map<String, Value>) {
        let question: Vec<Option<&Value>> =
            ["input", "messages", "context", "variables"].map(|key| sample.get(key)).into();
        let hash = ContentHash::of_json(&question).map(|hash| hash.to_string()).unwrap_or_default();
        let Some(&at) = self.asked.get(&hash) else {
            self.asked.insert(hash, self.samples.len());
            self.samples.push(sample);
            return;
        };
        let first = &mut self.samples[at];
        let id = first.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if assertions(&sample).is_some_and(|more| !more.is_empty()) {
            add_assertions(first, &sample);
            imported.note(place, format!("asks the same as the sample `{id}`: its assertions were added to that one"));
        } else {
            imported.note(place, format!("asks the same as the sample `{id}`, which stands for both"));
        }
    }

    /// The file: a line for each sample.
    pub(crate) fn lines(&self) -> String {
        self.samples.iter().map(|sample| Value::Object(sample.clone()).to_string() + "\n").collect()
    }
}

/// The assertions of a sample's metadata, whether they have a threshold or not.
fn assertions(sample: &Map<String, Value>) -> Option<&Vec<Value>> {
    let found = sample.get("metadata")?.get("assertions")?;
    found.as_array().or_else(|| found.get("all")?.as_array())
}

fn add_assertions(first: &mut Map<String, Value>, other: &Map<String, Value>) {
    let mut all = assertions(first).cloned().unwrap_or_default();
    for assertion in assertions(other).into_iter().flatten() {
        if !all.contains(assertion) {
            all.push(assertion.clone());
        }
    }
    let metadata = first.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("assertions".to_owned(), all.into());
    }
}
