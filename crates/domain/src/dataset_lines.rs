//! One record of a dataset file becomes a [`Sample`], or says what is wrong with it.

mod fields;

use serde_json::{Map, Value};

use crate::chat::Message;
use crate::dataset::Sample;
use crate::scoring::NAMES_OF_THE_WHOLE;
use crate::scoring::agent::EXPECTED_TOOL_CALLS;
use crate::scoring::assertions::{ASSERTIONS, Assertions};
use fields::{Fields, parse_object};

/// Longest id, in characters.
const MAX_ID_CHARS: usize = 256;

/// The fields of a record and their other names.
pub const FIELDS: [&str; 13] = [
    EXPECTED_TOOL_CALLS,
    "id",
    "input",
    "prompt",
    "messages",
    "expected_output",
    "expected",
    "reference_response",
    "category",
    "context",
    "variables",
    "source",
    "metadata",
];

/// A record as a file holds it.
#[derive(Debug)]
pub enum Record<'a> {
    /// A line of JSON. Blank lines are no records.
    Line(&'a str),
    /// A JSON object.
    Object(Value),
    /// A row of a table: the header's names with the cells. An empty cell is an absent field.
    Row(&'a [(&'a str, &'a str)]),
    /// A record with something that its file can hold and no sample, such as a number that is none.
    Wrong(LineProblem),
}

/// A record that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The sample.
    pub sample: Sample,
    /// Fields that samples do not have. They were put into the metadata.
    pub unknown_fields: Vec<String>,
    /// Whether there was no id, and the sample's is derived from its content.
    pub derived_id: bool,
    /// What the record calls the input: `input` or `prompt`.
    pub input_name: &'static str,
    /// What the record calls the expected output.
    pub expected_name: &'static str,
}

/// Something wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineProblem {
    /// The field, as the record names it; empty when it is about the whole record.
    pub field: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// How to fix it, where that can be told.
    pub hint: Option<String>,
}

impl LineProblem {
    /// A problem without a hint.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), hint: None }
    }
}

impl std::fmt::Display for LineProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// Reads a record.
///
/// `prompt` is `input`, `reference_response` and `expected` are `expected_output`. Numbers become ids as text; a missing
/// id is derived from the content. Fields that samples do not have go to the metadata. In a row, cells of `messages`,
/// `variables`, `metadata`, `context` and `expected_output` that begin with `[` or `{` are JSON, and a column `metadata.lang` is
/// `lang` of the metadata; `variables.…` likewise.
///
/// # Errors
/// With everything that is wrong with the record.
pub fn read(record: Record<'_>) -> Result<Reading, Vec<LineProblem>> {
    let mut fields = match record {
        Record::Line(text) => Fields::new(parse_object(text).map_err(|problem| vec![problem])?, false),
        Record::Object(Value::Object(map)) => Fields::new(map.into_iter().collect(), false),
        Record::Object(other) => return Err(vec![fields::not_an_object(&other)]),
        Record::Wrong(problem) => return Err(vec![problem]),
        Record::Row(cells) => {
            let filled = cells.iter().filter(|(_, cell)| !cell.is_empty());
            Fields::new(filled.map(|(name, cell)| ((*name).to_owned(), Value::from(*cell))).collect(), true)
        }
    };
    let (input_name, input) = fields.text(&["input", "prompt"]);
    let (expected_name, expected_output) = fields.texts(&["expected_output", "expected", "reference_response"]);
    let id = fields.id();
    let messages = fields.messages();
    let category = fields.text(&["category"]).1;
    if let Some(name) = category.as_deref().filter(|name| NAMES_OF_THE_WHOLE.contains(name)) {
        fields.problem("category", format!("reports call what is made of all samples `{name}`: choose another name"));
    }
    let mut sample = Sample {
        id: String::new(),
        input: input.unwrap_or_default(),
        messages,
        expected_output,
        category,
        context: fields.texts(&["context"]).1,
        variables: fields.map("variables").into_iter().collect(),
        source: fields.text(&["source"]).1,
        metadata: fields.map("metadata").into_iter().collect(),
    };
    if let Some(calls) = fields.tool_calls() {
        sample.metadata.insert(EXPECTED_TOOL_CALLS.to_owned(), calls);
    }
    fields.columns_into("metadata.", &mut sample.metadata);
    fields.columns_into("variables.", &mut sample.variables);
    let unknown_fields = fields.rest_into(&mut sample.metadata);
    if sample.metadata.get(ASSERTIONS).is_some_and(Assertions::are_meant)
        && let Err(problem) = Assertions::of(&sample)
    {
        fields.problem(&format!("metadata.{ASSERTIONS}"), problem);
    }
    if !fields.problems.is_empty() {
        return Err(fields.problems);
    }
    let derived_id = id.is_none();
    sample.id = match id {
        Some(id) => id,
        None => derived_id_of(&sample)?,
    };
    Ok(Reading { sample, unknown_fields, derived_id, input_name, expected_name })
}

/// The id of a sample that was given none: `s-` and the beginning of the hash of its content.
fn derived_id_of(sample: &Sample) -> Result<String, Vec<LineProblem>> {
    let hash = sample.hash().map_err(|error| vec![LineProblem::new("", format!("has no JSON form: {error}"))])?;
    Ok(format!("s-{}", hash.short()))
}

impl Fields {
    fn id(&mut self) -> Option<String> {
        let (_, value) = self.take(&["id"])?;
        let id = match value {
            Value::String(text) if text.trim().is_empty() => return None,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => {
                self.wrong("id", "text or a number", &other);
                return None;
            }
        };
        if id.chars().count() > MAX_ID_CHARS {
            self.problem("id", format!("is longer than {MAX_ID_CHARS} characters"));
        }
        if id.chars().any(char::is_control) {
            self.problem("id", "holds a control character".to_owned());
        }
        Some(id)
    }

    fn text(&mut self, names: &[&'static str]) -> (&'static str, Option<String>) {
        match self.take(names) {
            None => (names[0], None),
            Some((name, Value::String(text))) => (name, Some(text)),
            Some((name, other)) => {
                self.wrong(name, "text", &other);
                (name, None)
            }
        }
    }

    fn texts(&mut self, names: &[&'static str]) -> (&'static str, Vec<String>) {
        let Some((name, value)) = self.take(names) else { return (names[0], Vec::new()) };
        let value = if self.is_row { fields::cell_json(value) } else { value };
        let texts = match value {
            Value::String(text) => vec![text],
            Value::Array(items) => {
                let texts = items.into_iter().enumerate().filter_map(|(index, item)| match item {
                    Value::String(text) => Some(text),
                    other => {
                        self.wrong(&format!("{name}[{index}]"), "text", &other);
                        None
                    }
                });
                texts.collect()
            }
            other => {
                self.wrong(name, "text or a list of texts", &other);
                Vec::new()
            }
        };
        (name, texts)
    }

    fn messages(&mut self) -> Vec<Message> {
        let items = match self.take_json("messages") {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong("messages", "a list of messages", &other);
                return Vec::new();
            }
        };
        let mut messages = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let field = format!("messages[{index}]");
            if !item.is_object() {
                self.wrong(&field, "a message like {\"role\": \"user\", \"content\": …}", &item);
                continue;
            }
            match serde_json::from_value(item) {
                Ok(message) => messages.push(message),
                Err(error) => self.problem(&field, error.to_string()),
            }
        }
        messages
    }

    /// The tool calls that are expected of the answer.
    fn tool_calls(&mut self) -> Option<Value> {
        let value = self.take_json(EXPECTED_TOOL_CALLS)?;
        let Value::Array(calls) = &value else {
            self.wrong(EXPECTED_TOOL_CALLS, "a list of calls", &value);
            return None;
        };
        for (index, call) in calls.iter().enumerate() {
            let name = call.pointer("/function/name").or_else(|| call.get("name")).unwrap_or(call);
            if !name.is_string() {
                let field = format!("{EXPECTED_TOOL_CALLS}[{index}]");
                self.wrong(&field, "a tool's name, or {\"name\": …, \"arguments\": {…}}", call);
            }
        }
        Some(value)
    }

    fn map(&mut self, name: &'static str) -> Map<String, Value> {
        match self.take_json(name) {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.wrong(name, "a JSON object", &other);
                Map::new()
            }
        }
    }
}
