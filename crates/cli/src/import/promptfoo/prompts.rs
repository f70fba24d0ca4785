//! Prompts: texts, chat messages, and files that hold them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{PROGRAMS, Reader};
use crate::failure::{Failure, Kind, Outcome};
use crate::import::{as_text, extension, prompt_name, read_document, read_lines, read_table};
use crate::project::read_text;

/// What stands between the prompts of a text file.
const DELIMITER: &str = "---";

/// A prompt that was found.
pub(super) struct Prompt {
    pub(super) place: String,
    pub(super) name: String,
    /// The content of its file.
    pub(super) file: Map<String, Value>,
}

impl Reader {
    /// All prompts of the configuration.
    pub(super) fn prompts(&mut self, value: &Value) -> Outcome<Vec<Prompt>> {
        let mut prompts = Vec::new();
        match value {
            Value::Null => {
                self.imported.note("prompts", "there are none: the sample's input is sent as it is");
                self.prompt_text(&mut prompts, "prompts", "prompt", "{{ prompt }}");
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.prompt_item(&mut prompts, &format!("prompts[{at}]"), item)?;
                }
            }
            // The old form: a map from files to labels.
            Value::Object(map) if !map.contains_key("raw") && !map.contains_key("id") => {
                for (path, label) in map {
                    let label = label.as_str().unwrap_or(path);
                    self.prompt_reference(&mut prompts, &format!("prompts.{path}"), path, Some(label))?;
                }
            }
            other => self.prompt_item(&mut prompts, "prompts", other)?,
        }
        Ok(prompts)
    }

    fn prompt_item(&mut self, prompts: &mut Vec<Prompt>, place: &str, item: &Value) -> Outcome {
        match item {
            Value::String(text) => self.prompt_reference(prompts, place, text, None),
            Value::Object(map) => {
                let label = map.get("label").or_else(|| map.get("display")).and_then(Value::as_str);
                for key in ["config", "function", "provider"].iter().filter(|key| map.contains_key(**key)) {
                    self.imported.note(format!("{place}.{key}"), "not carried over");
                }
                match (map.get("raw"), map.get("id").or_else(|| map.get("file"))) {
                    (Some(raw), _) => {
                        let text = as_text(raw);
                        self.prompt_text(prompts, place, label.unwrap_or(&text), &text);
                        Ok(())
                    }
                    (None, Some(id)) => self.prompt_reference(prompts, place, &as_text(id), label),
                    (None, None) => {
                        self.imported.note(place, "not carried over: it has neither `raw` nor `id`");
                        Ok(())
                    }
                }
            }
            other => {
                self.imported.note(place, format!("not carried over: `{other}` is no prompt"));
                Ok(())
            }
        }
    }

    /// A text, or the name of a file.
    fn prompt_reference(
        &mut self,
        prompts: &mut Vec<Prompt>,
        place: &str,
        reference: &str,
        label: Option<&str>,
    ) -> Outcome {
        let is_file = reference.starts_with("file://")
            || (!reference.contains(char::is_whitespace) && Self::program(reference).is_some())
            || (!reference.contains('\n') && is_prompt_file(Path::new(reference)) && !reference.contains("{{"));
        if !is_file {
            self.prompt_text(prompts, place, label.unwrap_or(reference), reference);
            return Ok(());
        }
        if let Some(program) = Self::program(reference).filter(|program| !program.contains('*')) {
            let what = format!("not carried over: {program} is a program; write what it says as a template");
            self.imported.note(place, what);
            return Ok(());
        }
        let path = self.path(reference);
        let files = expand(&path)?;
        if files.is_empty() {
            return Err(Failure::usage(format!("{place}: there is no file {}", path.display())));
        }
        for file in files {
            self.prompt_file(prompts, place, &file, label)?;
        }
        Ok(())
    }

    fn prompt_file(&mut self, prompts: &mut Vec<Prompt>, place: &str, file: &Path, label: Option<&str>) -> Outcome {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let label = label.unwrap_or(&stem);
        match extension(file).as_str() {
            "txt" => {
                let text = read_text(file)?;
                for part in split(&text) {
                    self.prompt_text(prompts, place, label, part.trim());
                }
            }
            "yaml" | "yml" => {
                let text = match read_document(file)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.prompt_text(prompts, place, label, &text);
            }
            "jsonl" => {
                for line in read_lines(file)? {
                    self.prompt_text(prompts, place, label, &line.to_string());
                }
            }
            "csv" => {
                for row in read_table(file)? {
                    let cell =
                        |name: &str| row.iter().find(|(column, _)| column == name).map(|(_, cell)| cell.as_str());
                    match cell("prompt") {
                        Some(text) => self.prompt_text(prompts, place, cell("label").unwrap_or(label), text),
                        None => self.imported.note(place, format!("{} has no column `prompt`", file.display())),
                    }
                }
            }
            ending if PROGRAMS.contains(&ending) => {
                let what =
                    format!("not carried over: {} is a program; write what it says as a template", file.display());
                self.imported.note(place, what);
            }
            _ => {
                let text = read_text(file)?;
                self.prompt_text(prompts, place, label, text.trim());
            }
        }
        Ok(())
    }

    /// A prompt from its text, which may be chat messages in JSON.
    fn prompt_text(&mut self, prompts: &mut Vec<Prompt>, place: &str, label: &str, text: &str) {
        let label = if label.lines().count() > 1 || label.contains("{{") { "prompt" } else { label };
        let name = prompt_name(label);
        let name = self.imported.name("prompt", &name);
        let mut file = Map::new();
        file.insert("name".to_owned(), name.clone().into());
        file.insert("version".to_owned(), "1.0.0".into());
        if let Some(messages) = messages(text) {
            file.insert("messages".to_owned(), messages.into());
        } else {
            if text.trim_start().starts_with('[') && text.contains("\"role\"") {
                let what =
                    "these are messages made by a template, which cannot be told apart here: they are sent as text";
                self.imported.note(place, what);
            }
            file.insert("content".to_owned(), template(text).into());
        }
        prompts.push(Prompt { place: place.to_owned(), name, file });
    }
}

/// Chat messages, where the text is a JSON list of them.
fn messages(text: &str) -> Option<Vec<Value>> {
    let Value::Array(items) = serde_json::from_str(text.trim()).ok()? else { return None };
    let message = |item: Value| {
        let role = item.get("role")?.as_str()?.to_owned();
        let content = item.get("content")?.as_str().map(template)?;
        Some(json!({"role": role, "content": content}))
    };
    let messages: Option<Vec<Value>> = items.into_iter().map(message).collect();
    messages.filter(|messages| !messages.is_empty())
}

/// The template in the words of this one: `dump` writes JSON there, `tojson` does here.
pub(super) fn template(text: &str) -> String {
    let pairs = [("| dump", "| tojson"), ("|dump", "| tojson"), ("| safe", ""), ("|safe", "")];
    let mut out = text.to_owned();
    if text.contains("{{") || text.contains("{%") {
        for (theirs, ours) in pairs {
            out = out.replace(theirs, ours);
        }
    }
    out
}

fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim() == DELIMITER {
            parts.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    parts.push(&text[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

fn is_prompt_file(path: &Path) -> bool {
    let known = ["txt", "json", "jsonl", "yaml", "yml", "md", "j2", "csv", "js", "mjs", "cjs", "ts", "py"];
    known.contains(&extension(path).as_str())
}

/// The files that a path names: itself, or those that a `*` in its last part matches.
pub(super) fn expand(path: &Path) -> Outcome<Vec<PathBuf>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return Ok(if path.is_file() { vec![path.to_owned()] } else { Vec::new() });
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Failure::because(Kind::Usage, format!("cannot read {}", folder.display()), &e))?;
    let matches =
        |name: &str| name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after);
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| matches(&name.to_string_lossy())))
        .collect();
    files.sort();
    Ok(files)
}
