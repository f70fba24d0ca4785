//! From YAML events to a [`Document`], with limits on size, depth and what aliases may grow to.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::document::{Document, Position, Unset};
use super::expand::expand;
use super::problem::{Problem, dotted, escape, shorten};
use super::scalar::resolve;

/// Longest file that is read, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 64;
/// Most that a file may grow to by aliases: one per value, and one per 64 bytes of text.
const MAX_WEIGHT: usize = 300_000;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
type Place = (u64, u64);
/// The file cannot be read on; what is wrong is among the problems.
struct Stop;

/// A map or list that is being read.
struct Frame {
    content: Content,
    place: Place,
    anchor: usize,
    /// Length of the pointer of this value.
    pointer_len: usize,
}

enum Content {
    List(Vec<Value>),
    Map { map: Map<String, Value>, key: Option<(String, Place)> },
}

/// What an alias repeats.
struct Anchored {
    value: Value,
    weight: usize,
    variables: Vec<String>,
    unset: Vec<String>,
}

pub(super) struct Builder<'a> {
    document: Document,
    env: Option<Env<'a>>,
    stack: Vec<Frame>,
    pointer: String,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
    documents: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: &str, env: Option<Env<'a>>) -> Self {
        let document = Document {
            file: file.to_owned(),
            value: Value::Null,
            positions: HashMap::new(),
            expanded: HashMap::new(),
            unset: Vec::new(),
            problems: Vec::new(),
        };
        let (stack, pointer, anchors) = (Vec::new(), String::new(), HashMap::new());
        Self { document, env, stack, pointer, anchors, weight: 0, documents: 0 }
    }

    pub(super) fn build(mut self, text: &str) -> Result<Document, Vec<Problem>> {
        match self.read(text) {
            Ok(()) => Ok(self.document),
            Err(Stop) => Err(self.document.problems),
        }
    }

    fn read(&mut self, text: &str) -> Result<(), Stop> {
        if text.len() > MAX_BYTES {
            return Err(self.stop((0, 0), format!("the file is larger than {} MiB", MAX_BYTES >> 20), None));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => self.event(event, span)?,
                Err(error) => return Err(self.syntax(&error, text)),
            }
        }
        if self.documents == 0 || self.document.value.is_null() {
            return Err(self.stop((1, 1), "the file is empty".to_owned(), None));
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = place(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let hint = Some("keep one, without `---` between".to_owned());
                    return Err(self.stop(place, "more than one document in the file".to_owned(), hint));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), place);
                self.spend(&value, place)?;
                let here = self.here();
                self.keep_anchor(anchor, &value, &here)?;
                self.deliver(value, place, true);
            }
            Event::SequenceStart(anchor, tag) => self.open(Content::List(Vec::new()), anchor, tag.as_deref(), place)?,
            Event::MappingStart(anchor, tag) => {
                self.open(Content::Map { map: Map::new(), key: None }, anchor, tag.as_deref(), place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => self.alias(anchor, place)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, place: Place) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.stop(place, format!("nested deeper than {MAX_DEPTH} levels"), None));
        }
        self.spend(&Value::Null, place)?;
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.unknown_tag(tag, place);
        }
        let pointer_len = self.pointer.len();
        self.pointer.push_str(&self.child_segment());
        self.stack.push(Frame { content, place, anchor, pointer_len });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.content {
            Content::List(items) => Value::Array(items),
            Content::Map { map, .. } => Value::Object(map),
        };
        let here = self.pointer.clone();
        self.keep_anchor(frame.anchor, &value, &here)?;
        self.pointer.truncate(frame.pointer_len);
        self.deliver(value, frame.place, false);
        Ok(())
    }

    /// Segment of the value that comes next, with its slash; empty for the root. A key that is itself a map or list
    /// gets a segment that no value has.
    fn child_segment(&self) -> String {
        match self.stack.last().map(|frame| &frame.content) {
            None => String::new(),
            Some(Content::List(items)) => format!("/{}", items.len()),
            Some(Content::Map { key: Some((key, _)), .. }) => format!("/{}", escape(key)),
            Some(Content::Map { key: None, .. }) => "/~".to_owned(),
        }
    }

    /// JSON pointer of the value that comes next.
    fn here(&self) -> String {
        format!("{}{}", self.pointer, self.child_segment())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    /// Puts a finished value where it belongs: as the root, a list entry, a key or a map's value.
    fn deliver(&mut self, value: Value, place: Place, is_scalar: bool) {
        if self.awaits_key() {
            self.take_key(value, place, is_scalar);
            return;
        }
        let pointer = self.here();
        let mut position = Position { key: None, value: place };
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.document.value = value,
            Some(Content::List(items)) => items.push(value),
            Some(Content::Map { map, key }) => {
                if let Some((key, key_place)) = key.take() {
                    position.key = Some(key_place);
                    map.insert(key, value);
                }
            }
        }
        self.document.positions.insert(pointer, position);
    }

    fn take_key(&mut self, value: Value, place: Place, is_scalar: bool) {
        let key = match value {
            Value::String(text) => text,
            other if is_scalar => {
                let hint = Some(format!("put it in quotes: \"{other}\""));
                self.problem(place, format!("the key `{other}` is no text"), hint);
                other.to_string()
            }
            _ => {
                self.problem(place, "a map or a list cannot be a key".to_owned(), None);
                // A stand-in that no other key has.
                format!("~{}:{}", place.0, place.1)
            }
        };
        if key == "<<" {
            let hint = Some("repeat the keys, or put an alias in the place of the whole value".to_owned());
            self.problem(place, "merge keys (`<<`) are no part of YAML 1.2".to_owned(), hint);
        }
        let Some(Frame { content: Content::Map { map, key: slot }, .. }) = self.stack.last_mut() else { return };
        let known = map.contains_key(&key);
        *slot = Some((key, place));
        if known {
            let pointer = self.here();
            let first = self.document.positions.get(&pointer).and_then(|p| p.key).map_or(0, |(line, _)| line);
            self.push(&pointer, place, format!("the key is given twice, first on line {first}"), None);
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Value {
        let text = self.expanded(text, place);
        let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
        if let Some(tag) = tag.filter(|tag| core.is_none() && !matches!(tag.suffix.as_str(), "" | "!")) {
            self.unknown_tag(tag, place);
        }
        if style != ScalarStyle::Plain || core == Some("str") || (tag.is_some() && core.is_none()) {
            return Value::String(text.into_owned());
        }
        resolve(&text).unwrap_or_else(|message| {
            let here = self.here();
            self.push(&here, place, message.to_owned(), None);
            Value::Null
        })
    }

    /// The text with its variables expanded, where the file's are; keys' never are.
    fn expanded<'t>(&mut self, text: &'t str, place: Place) -> Cow<'t, str> {
        let expanded = match self.env {
            Some(env) if !self.awaits_key() => expand(text, env),
            _ => Ok(None),
        };
        let here = self.here();
        match expanded {
            Ok(None) => Cow::Borrowed(text),
            Ok(Some(expanded)) => {
                let unset = expanded.unset.into_iter();
                self.document.unset.extend(unset.map(|variable| Unset { pointer: here.clone(), variable }));
                if !expanded.variables.is_empty() {
                    self.document.expanded.insert(here, expanded.variables);
                }
                Cow::Owned(expanded.text)
            }
            Err(message) => {
                self.push(&here, place, message, None);
                Cow::Borrowed(text)
            }
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, place: Place) {
        self.problem(place, format!("unknown YAML tag `{}`", shorten(&tag.to_string())), None);
    }

    fn keep_anchor(&mut self, anchor: usize, value: &Value, pointer: &str) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        let inside =
            |candidate: &str| candidate.strip_prefix(pointer).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let document = &self.document;
        let variables = document.expanded.iter().filter(|(p, _)| inside(p)).flat_map(|(_, v)| v.clone()).collect();
        let unset = document.unset.iter().filter(|u| inside(&u.pointer)).map(|u| u.variable.clone()).collect();
        let weight = weight(value);
        // The copy that waits for aliases counts too: nested anchors would multiply it.
        self.grow(weight, (0, 0))?;
        self.anchors.insert(anchor, Anchored { value: value.clone(), weight, variables, unset });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(self.stop(place, "the alias refers to the value it stands in".to_owned(), None));
        };
        let cost = anchored.weight;
        self.grow(cost, place)?;
        let Some(anchored) = self.anchors.get(&anchor) else { return Ok(()) };
        let pointer = self.here();
        let unset = anchored.unset.iter();
        self.document
            .unset
            .extend(unset.map(|variable| Unset { pointer: pointer.clone(), variable: variable.clone() }));
        if !anchored.variables.is_empty() {
            self.document.expanded.insert(pointer, anchored.variables.clone());
        }
        let value = anchored.value.clone();
        let is_scalar = !value.is_array() && !value.is_object();
        self.deliver(value, place, is_scalar);
        Ok(())
    }

    fn spend(&mut self, scalar: &Value, place: Place) -> Result<(), Stop> {
        self.grow(weight(scalar), place)
    }

    fn grow(&mut self, by: usize, place: Place) -> Result<(), Stop> {
        self.weight = self.weight.saturating_add(by);
        if self.weight > MAX_WEIGHT {
            let hint = Some("aliases count with all they repeat".to_owned());
            return Err(self.stop(place, "the file holds too many values".to_owned(), hint));
        }
        Ok(())
    }

    /// A problem of the map or list that is being read.
    fn problem(&mut self, place: Place, message: String, hint: Option<String>) {
        let pointer = self.pointer.clone();
        self.push(&pointer, place, message, hint);
    }

    fn stop(&mut self, place: Place, message: String, hint: Option<String>) -> Stop {
        self.push("", place, message, hint);
        Stop
    }

    fn push(&mut self, pointer: &str, place: Place, message: String, hint: Option<String>) {
        let (file, (line, column)) = (self.document.file.clone(), place);
        self.document.problems.push(Problem { file, line, column, field: dotted(pointer), message, hint });
    }

    fn syntax(&mut self, error: &saphyr_parser::ScanError, text: &str) -> Stop {
        let marker = error.marker();
        let place = (marker.line() as u64, marker.col() as u64 + 1);
        let line = text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let hint = if line[..indent].contains('\t') || error.info().contains(" tab") {
            Some("indent with spaces: YAML takes no tabs".to_owned())
        } else if error.info().contains("mapping values") {
            Some("put text that holds `: ` in quotes".to_owned())
        } else {
            None
        };
        self.stop(place, format!("no valid YAML: {}", error.info()), hint)
    }
}

fn place(span: Span) -> Place {
    (span.start.line() as u64, span.start.col() as u64 + 1)
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(key, value)| 1 + key.len() / 64 + weight(value)).sum::<usize>(),
        _ => 1,
    }
}
