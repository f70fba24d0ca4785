//! Projects made of what other tools keep in files.
//!
//! A reader turns files into an [`Imported`]: files of a project, and notes on everything that has no counterpart here.
//! Nothing is left out without a note.

pub(crate) mod langfuse;
pub(crate) mod promptfoo;
mod samples;
mod secrets;
pub(crate) mod tensorzero;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use llmops_domain::prompt::PromptSpec;
use llmops_domain::prompt_file;
use llmops_domain::scorecard::format::count;
use llmops_domain::template::Template;
use llmops_domain::yaml::Document;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Kind, Outcome};
use crate::project::read_text;

pub(crate) use self::samples::SampleSet;

/// Variables as the samples have them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    samples: usize,
    /// Type and number of samples, by variable; no type where samples disagree.
    variables: BTreeMap<String, (Option<&'static str>, usize)>,
}

impl Seen {
    /// Looks at the variables of a sample.
    fn look(&mut self, variables: &Map<String, Value>) {
        self.samples += 1;
        for (name, value) in variables {
            let kind = match value {
                Value::Bool(_) => "bool",
                Value::Number(number) if number.is_f64() => "float",
                Value::Number(_) => "int",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                Value::String(_) | Value::Null => "string",
            };
            let (known, count) = self.variables.entry(name.clone()).or_insert((Some(kind), 0));
            *count += 1;
            *known = match *known {
                Some("int" | "float") if matches!(kind, "int" | "float") && *known != Some(kind) => Some("float"),
                same if same == Some(kind) => same,
                _ => None,
            };
        }
    }

    /// Whether there are samples, none of which has the variable.
    fn is_unseen(&self, name: &str) -> bool {
        self.samples > 0 && !self.variables.contains_key(name)
    }

    /// The declaration of a variable. One that some sample does not have is empty there.
    fn declare(&self, name: &str) -> Value {
        let (kind, count) = self.variables.get(name).copied().unwrap_or((Some("string"), 0));
        let kind = kind.unwrap_or("string");
        if count >= self.samples {
            return json!({"name": name, "type": kind, "required": true});
        }
        if kind == "string" {
            return json!({"name": name, "type": kind, "required": false, "default": ""});
        }
        json!({"name": name, "type": kind, "required": false})
    }
}

/// Whether a template says what to do without the variable: `{{ name | default("x") }}`, `{% if name is defined %}`.
fn expects_absence(template: &str, name: &str) -> bool {
    template.match_indices(name).any(|(at, _)| {
        let rest = template[at + name.len()..].trim_start();
        let filter = rest.strip_prefix('|').map(str::trim_start);
        filter.is_some_and(|filter| filter.starts_with("default"))
            || ["is defined", "is not defined", "is undefined"].iter().any(|test| rest.starts_with(test))
    })
}

/// Something that could not be carried over as it was, or that a reader should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    /// Where it stands in the source: `tests[3].assert[0]`.
    pub(crate) place: String,
    /// What became of it.
    pub(crate) what: String,
}

/// What an import makes.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Files by path, relative to the new project.
    pub(crate) files: Vec<(String, String)>,
    /// What to look at.
    pub(crate) notes: Vec<Note>,
    /// What was carried over, in words: `3 prompts`.
    pub(crate) carried: Vec<String>,
    /// What the source has and these files lack, with what to do: told before all else.
    pub(crate) missing: Vec<String>,
    names: BTreeSet<String>,
    /// Names of the environment variables that secrets are to be put into, by the secret.
    withheld: BTreeMap<String, String>,
}

impl Imported {
    pub(crate) fn note(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.notes.push(Note { place: place.into(), what: what.into() });
    }

    /// A name made of a text that no other of its kind has.
    fn name(&mut self, kind: &str, text: &str) -> String {
        let base = slug(text);
        let base = if base.is_empty() { kind.to_owned() } else { base };
        let candidates = std::iter::once(base.clone()).chain((2..).map(|n| format!("{base}-{n}")));
        for name in candidates {
            if self.names.insert(format!("{kind}/{name}")) {
                return name;
            }
        }
        base
    }

    /// Adds a prompt's file, declaring the variables that its templates use as the samples have them.
    fn prompt(&mut self, place: &str, path: &str, mut prompt: Map<String, Value>, seen: &Seen) {
        let variables = variables(&prompt);
        let templates = Value::Object(prompt.clone()).to_string();
        let mut declared = Vec::new();
        for name in variables.iter().filter(|name| !matches!(name.as_str(), "input" | "context")) {
            let mut variable = seen.declare(name);
            if seen.is_unseen(name) {
                self.note(place, format!("no sample has a value for `{name}`: it is empty"));
                if expects_absence(&templates, name) {
                    // A default here would hide the template's own.
                    variable = json!({"name": name, "type": "string", "required": false});
                }
            }
            declared.push(variable);
        }
        if !declared.is_empty() && !prompt.contains_key("variables") {
            prompt.insert("variables".to_owned(), declared.into());
        }
        let text = yaml::write(&Value::Object(prompt));
        if let Err(problems) = prompt_file::parse(&text, path) {
            for problem in problems {
                self.note(place, format!("the prompt needs a hand: {problem}"));
            }
        }
        self.files.push((path.to_owned(), text));
    }

    /// Adds `llmops.yaml`.
    fn config(&mut self, source: &str, config: &Value) {
        let head = format!("# Made by `llmops import` from {source}. `llmops doctor` checks it.\n");
        self.files.insert(0, ("llmops.yaml".to_owned(), head + &yaml::write(config)));
    }
}

/// The variables that a prompt's templates use, in their order. What is no template here is told when the prompt is read.
fn variables(prompt: &Map<String, Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let messages = prompt.get("messages").and_then(Value::as_array).into_iter().flatten();
    let texts = [prompt.get("system"), prompt.get("content")].into_iter().flatten();
    let texts = texts.chain(messages.filter_map(|message| message.get("content"))).filter_map(Value::as_str);
    for template in texts.filter_map(|text| Template::compile(text).ok()) {
        for name in template.placeholders() {
            if !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

/// What was carried over, in words.
fn carried(counts: &[(usize, &str)]) -> Vec<String> {
    counts.iter().map(|(n, noun)| count(*n as u64, noun)).collect()
}

/// Lower-case letters, digits and dashes, a letter or digit first.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(60) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// A text of a prompt that names nothing which cannot be a prompt's name.
fn prompt_name(text: &str) -> String {
    if PromptSpec::is_name(text) && !text.contains('/') { text.to_owned() } else { slug(text) }
}

/// Reads a YAML or JSON file.
fn read_document(path: &Path) -> Outcome<Value> {
    let shown = path.display().to_string();
    let text = read_text(path)?;
    match Document::parse(&text, &shown) {
        Ok(document) if document.problems.is_empty() => Ok(document.value),
        Ok(document) => Err(Failure::of_file(Kind::Usage, &shown, &document.problems)),
        Err(problems) => Err(Failure::of_file(Kind::Usage, &shown, &problems)),
    }
}

/// Reads lines of JSON.
fn read_lines(path: &Path) -> Outcome<Vec<Value>> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|e| {
                Failure::because(Kind::Usage, format!("{}: line {} is no JSON", path.display(), at + 1), &e)
            })
        })
        .collect()
}

/// Reads a table with a header.
fn read_table(path: &Path) -> Outcome<Vec<Vec<(String, String)>>> {
    let wrong = |e: csv::Error| Failure::because(Kind::Usage, format!("{} is no table", path.display()), &e);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).map_err(wrong)?;
    let header: Vec<String> = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect();
    let rows = reader.records().map(|row| {
        let row = row.map_err(wrong)?;
        Ok(header.iter().cloned().zip(row.iter().map(str::to_owned)).collect())
    });
    rows.collect()
}

/// A value as text: a string as it is, anything else as JSON.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The end of a file's name, in lower case.
fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_texts() {
        let check = |text: &str, expected: &str| assert_eq!(slug(text), expected);
        check("Support Bot (v2)", "support-bot-v2");
        check("  ", "");
        check("ÄÖ 7", "7");
        let mut imported = Imported::default();
        assert_eq!(imported.name("prompt", "A"), "a");
        assert_eq!(imported.name("prompt", "a!"), "a-2");
        assert_eq!(imported.name("target", "a"), "a");
        assert_eq!(imported.name("prompt", "…"), "prompt");
    }
}
