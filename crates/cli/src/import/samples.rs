//! Samples on their way into a dataset's file.

use std::collections::{BTreeMap, BTreeSet};

use llmops_domain::hash::ContentHash;
use serde_json::{Map, Value, json};

use super::Imported;

/// The samples of one dataset. Two that ask the same become one, because a dataset asks nothing twice.
#[derive(Debug, Default)]
pub(crate) struct SampleSet {
    samples: Vec<Map<String, Value>>,
    /// Position by the hash of what is asked.
    asked: BTreeMap<String, usize>,
    ids: BTreeSet<String>,
}

impl SampleSet {
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Adds a sample, or its assertions to the one that asks the same. A sample that asks nothing is left out, and one whose id
    /// is taken gets another: the dataset can be built.
    pub(crate) fn push(&mut self, imported: &mut Imported, place: &str, mut sample: Map<String, Value>) {
        if asks_nothing(&sample) {
            imported.note(place, "not carried over: it asks nothing");
            return;
        }
        let Some(&at) = self.asked.get(&question(&sample)) else {
            self.add(imported, place, sample);
            return;
        };
        let first = &mut self.samples[at];
        let id = first.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if assertions(&sample).is_none_or(<[Value]>::is_empty) || raw_assertions(first) == raw_assertions(&sample) {
            imported.note(place, format!("asks the same as the sample `{id}`, which stands for both"));
        } else if threshold(first).is_none() && threshold(&sample).is_none() {
            add_assertions(first, &sample);
            imported.note(place, format!("asks the same as the sample `{id}`: its assertions were added to that one"));
        } else {
            // Assertions of which a share must hold cannot stand beside others.
            let what =
                format!("asks the same as the sample `{id}` with another threshold: a variable tells them apart");
            imported.note(place, what);
            tell_apart(&mut sample);
            self.add(imported, place, sample);
        }
    }

    fn add(&mut self, imported: &mut Imported, place: &str, mut sample: Map<String, Value>) {
        let id = sample.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let others = (2..).map(|n| format!("{id}-{n}"));
        let free = std::iter::once(id.clone()).chain(others).find(|id| self.ids.insert(id.clone())).unwrap_or_default();
        if free != id {
            imported.note(place, format!("its id `{id}` is taken: it is called `{free}`"));
            sample.insert("id".to_owned(), free.into());
        }
        self.asked.insert(question(&sample), self.samples.len());
        self.samples.push(sample);
    }

    /// The file: a line for each sample.
    pub(crate) fn lines(&self) -> String {
        self.samples.iter().map(|sample| Value::Object(sample.clone()).to_string() + "\n").collect()
    }
}

/// The hash of what is asked.
fn question(sample: &Map<String, Value>) -> String {
    let asked: Vec<Option<&Value>> = ["input", "messages", "context", "variables"].map(|key| sample.get(key)).into();
    ContentHash::of_json(&asked).map(|hash| hash.to_string()).unwrap_or_default()
}

/// Whether there is neither an input, nor messages, nor variables: no dataset takes that.
fn asks_nothing(sample: &Map<String, Value>) -> bool {
    let is_blank = |value: &Value| match value {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    ["input", "messages", "variables"].iter().all(|key| sample.get(*key).is_none_or(is_blank))
}

/// Adds a variable, which prompts may leave unused, with the sample's id.
fn tell_apart(sample: &mut Map<String, Value>) {
    let id = sample.get("id").cloned().unwrap_or_default();
    let variables = sample.entry("variables").or_insert_with(|| json!({}));
    if let Some(variables) = variables.as_object_mut() {
        let name = if variables.contains_key("test") { "test_id" } else { "test" };
        variables.insert(name.to_owned(), id);
    }
}

fn raw_assertions(sample: &Map<String, Value>) -> Option<&Value> {
    sample.get("metadata")?.get("assertions")
}

/// The assertions of a sample's metadata, whether they have a threshold or not.
fn assertions(sample: &Map<String, Value>) -> Option<&[Value]> {
    let found = raw_assertions(sample)?;
    found.as_array().or_else(|| found.get("all")?.as_array()).map(Vec::as_slice)
}

/// The share of its assertions that must hold, where that is not all of them.
fn threshold(sample: &Map<String, Value>) -> Option<&Value> {
    raw_assertions(sample)?.get("threshold")
}

fn add_assertions(first: &mut Map<String, Value>, other: &Map<String, Value>) {
    let mut all = assertions(first).unwrap_or_default().to_vec();
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
