//! The fields of one record, taken one after the other; what nobody takes is unknown.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::LineProblem;
use crate::yaml::shorten;

/// Fields that are still to be taken, and what was wrong with those that were.
pub(super) struct Fields {
    entries: Vec<(String, Value)>,
    pub(super) is_row: bool,
    pub(super) problems: Vec<LineProblem>,
}

impl Fields {
    pub(super) fn new(entries: Vec<(String, Value)>, is_row: bool) -> Self {
        let mut fields = Self { entries: Vec::with_capacity(entries.len()), is_row, problems: Vec::new() };
        for (name, value) in entries {
            if name.contains('\0') || holds_nul(&value) {
                fields.problem(&name, "holds the character U+0000, which databases refuse".to_owned());
            } else if fields.entries.iter().any(|(known, _)| *known == name) {
                fields.problem(&name, "is given twice".to_owned());
            } else if !value.is_null() {
                fields.entries.push((name, value));
            }
        }
        fields
    }

    pub(super) fn problem(&mut self, field: &str, message: String) {
        self.problems.push(LineProblem::new(shorten(field), message));
    }

    pub(super) fn wrong(&mut self, field: &str, expected: &str, found: &Value) {
        self.problem(field, format!("expected {expected}, not {}", kind(found)));
    }

    /// Takes the field of one of these names, and reports it when there are two.
    pub(super) fn take(&mut self, names: &[&'static str]) -> Option<(&'static str, Value)> {
        let mut taken: Option<(&'static str, Value)> = None;
        for name in names {
            let Some(index) = self.entries.iter().position(|(known, _)| known == name) else { continue };
            let (_, value) = self.entries.swap_remove(index);
            match &taken {
                None => taken = Some((name, value)),
                Some((_, first)) if *first == value => {}
                Some((first, _)) => {
                    let message = format!("differs from `{first}`, which is the same field: give one of them");
                    self.problem(name, message);
                }
            }
        }
        taken
    }

    /// Takes a field that is never text; text is read as JSON, which is how tables hold it.
    pub(super) fn take_json(&mut self, name: &'static str) -> Option<Value> {
        let (_, value) = self.take(&[name])?;
        let Value::String(text) = &value else { return Some(value) };
        if text.trim().is_empty() {
            return None;
        }
        if !text.trim_start().starts_with(['[', '{']) {
            return Some(value);
        }
        match serde_json::from_str(text) {
            Ok(json) => Some(json),
            Err(error) => {
                self.problem(name, format!("no valid JSON: {error}"));
                None
            }
        }
    }

    /// Moves the columns whose names begin so into a map, under the rest of the name. Only rows have such: an object has the map.
    pub(super) fn columns_into(&mut self, prefix: &str, map: &mut BTreeMap<String, Value>) {
        if !self.is_row {
            return;
        }
        let is_one = |(name, _): &mut (String, Value)| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
        let columns: Vec<(String, Value)> = self.entries.extract_if(.., is_one).collect();
        for (name, value) in columns {
            let rest = name[prefix.len()..].to_owned();
            match map.entry(rest) {
                Entry::Occupied(known) => {
                    let message = format!("`{}` is given twice", known.key());
                    self.problems.push(LineProblem::new(shorten(&name), message));
                }
                Entry::Vacant(free) => drop(free.insert(value)),
            }
        }
    }

    /// Moves what is left into the metadata, and answers its names.
    pub(super) fn rest_into(&mut self, metadata: &mut BTreeMap<String, Value>) -> Vec<String> {
        let mut names = Vec::new();
        for (name, value) in std::mem::take(&mut self.entries) {
            if metadata.contains_key(&name) {
                self.problem(&name, "no field of a sample, and the metadata has this name already".to_owned());
                continue;
            }
            names.push(name.clone());
            metadata.insert(name, value);
        }
        names
    }
}

/// A cell that is JSON as that, else as it is: `[1] says so` is text.
pub(super) fn cell_json(value: Value) -> Value {
    match &value {
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    }
}

/// Reads a line as a JSON object with all its keys, repeated ones too.
pub(super) fn parse_object(text: &str) -> Result<Vec<(String, Value)>, LineProblem> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(LineProblem::new("", "the line is empty"));
    }
    if !text.starts_with('{') {
        return Err(match serde_json::from_str::<Value>(text) {
            Ok(other) => not_an_object(&other),
            Err(_) => LineProblem::new("", format!("no JSON object: `{}`", shorten(text))),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let entries = deserializer.deserialize_map(Entries);
    entries.and_then(|entries| deserializer.end().map(|()| entries)).map_err(|error| {
        // The line is the file's, and the caller knows its number.
        let message = error.to_string().replace(" at line 1 column ", ", at column ");
        LineProblem::new("", format!("no valid JSON: {message}"))
    })
}

pub(super) fn not_an_object(found: &Value) -> LineProblem {
    LineProblem::new("", format!("expected a JSON object like {{\"id\": …, \"prompt\": …}}, not {}", kind(found)))
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{}`", shorten(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        _ => false,
    }
}
