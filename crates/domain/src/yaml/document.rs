//! A YAML file as a JSON value with the place of each part.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::builder::Builder;
use super::problem::{Problem, dotted, escape, shorten};
use super::schema::Schema;
use super::validate::validate;

/// Most values that are tried without what does not fit.
const MOST_MISFITS: usize = 100;

/// Where a value and its key stand: lines and columns from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line and column of the key; none for list entries and the root.
    pub key: Option<(u64, u64)>,
    /// Line and column of the value.
    pub value: (u64, u64),
}

/// A scalar that names an environment variable without value and default. The scalar's text is left as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// JSON pointer of the scalar.
    pub pointer: String,
    /// The variable.
    pub variable: String,
}

/// A YAML file: its value, the places in the text, and what was wrong with the text itself.
///
/// `Debug` would show expanded secrets, so there is none.
#[derive(Clone)]
pub struct Document {
    /// The file, as the caller named it.
    pub file: String,
    /// The whole file as JSON.
    pub value: Value,
    /// Places by JSON pointer. Parts of an alias have the place of the alias.
    pub positions: HashMap<String, Position>,
    /// Scalars (by JSON pointer) that hold values of environment variables, with the variables' names.
    pub expanded: HashMap<String, Vec<String>>,
    /// Scalars with variables that are not set.
    pub unset: Vec<Unset>,
    /// Mistakes in the text: duplicate keys, keys that are no text, numbers that are none.
    pub problems: Vec<Problem>,
}

impl Document {
    /// Reads YAML as it stands.
    ///
    /// # Errors
    /// When the text is no YAML, or too large or too deep to be read. Lesser mistakes are in [`Self::problems`].
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Problem>> {
        Builder::new(file, None).build(text)
    }

    /// What came another way than as a text: it has no lines.
    pub fn of_value(value: Value, file: &str) -> Self {
        Self {
            file: file.to_owned(),
            value,
            positions: HashMap::new(),
            expanded: HashMap::new(),
            unset: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Reads YAML and expands `${NAME}`, `${NAME:-default}` and `$$` in its scalars (not in keys).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with_env(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        Builder::new(file, Some(env)).build(text)
    }

    /// Checks against the schema and decodes. The problems of the text come first.
    ///
    /// # Errors
    /// With every problem of the file, by line.
    pub fn decode<T: DeserializeOwned>(&self, schema: &Schema) -> Result<T, Vec<Problem>> {
        let mut problems = self.problems.clone();
        // A number that is none reads as nothing, which the schema need not report again.
        let known =
            |problem: &Problem| self.problems.iter().any(|p| (p.line, p.column) == (problem.line, problem.column));
        problems.extend(validate(self, schema).into_iter().filter(|problem| !known(problem)));
        if problems.is_empty() {
            return serde_path_to_error::deserialize(&self.value).map_err(|error| vec![self.misfit(&error)]);
        }
        problems.sort_by_key(|p| (p.line, p.column));
        Err(problems)
    }

    /// The same value without the fields that these problems are about, so that what else is wrong can be told with them: the value,
    /// where the rest makes one, and the problems with those that only decoding finds.
    pub fn rest<T: DeserializeOwned>(&self, problems: Vec<Problem>) -> (Option<T>, Vec<Problem>) {
        let (decoded, problems, _) = self.without(problems);
        (decoded, problems)
    }

    /// What else is wrong beside these mistakes of form, by a check of what can be read without them: so that all mistakes of a file
    /// come at once. What may follow from a mistake is left out: findings about its part or what is made of it, and those of
    /// sections that look at (`looks_at`, by section) one of which something is missing.
    pub fn beside<T: DeserializeOwned>(
        &self,
        schema: &Schema,
        looks_at: &[(&str, &[&str])],
        mistakes: &[Problem],
        check: impl FnOnce(&T) -> Vec<Problem>,
    ) -> Vec<Problem> {
        let (decoded, mut found, rest) = self.without(mistakes.to_vec());
        found.drain(..mistakes.len());
        // What is missing because it was taken out is no mistake.
        found.retain(|misfit| !mistakes.iter().any(|mistake| is_within(&mistake.field, &misfit.field)));
        let known = schema.as_json().get("properties").and_then(Value::as_object);
        let is_strange = |name: &str| !known.is_some_and(|known| known.contains_key(name));
        // A section under a wrong name is missed by others.
        let strange = mistakes.iter().any(|mistake| is_strange(section(&mistake.field)));
        let is_lost = |name: &&str| match self.value.get(name) {
            None => strange,
            written => !is_whole(written, rest.get(name)),
        };
        let follows = |problem: &Problem| {
            let looks = looks_at.iter().find(|(of, _)| *of == section(&problem.field));
            let pointer: String = segments(&problem.field).iter().map(|name| format!("/{}", escape(name))).collect();
            !is_whole(self.value.pointer(&pointer), rest.pointer(&pointer))
                || looks.is_some_and(|(_, others)| others.iter().any(is_lost))
                || mistakes.iter().any(|mistake| {
                    is_within(&problem.field, &mistake.field)
                        // Sums are made of all weights.
                        || (mistake.field.ends_with(".weight") && is_within(&mistake.field, &problem.field))
                })
        };
        let findings = decoded.as_ref().map(check).unwrap_or_default();
        found.extend(findings.into_iter().filter(|problem| !follows(problem)));
        found
    }

    /// What the value makes without the fields of these problems; the problems with those that only decoding finds; and the value.
    fn without<T: DeserializeOwned>(&self, mut problems: Vec<Problem>) -> (Option<T>, Vec<Problem>, Value) {
        let mut value = self.value.clone();
        for problem in &problems {
            remove(&mut value, &problem.field);
        }
        let mut restored = Vec::new();
        for _ in 0..MOST_MISFITS {
            match serde_path_to_error::deserialize(&value) {
                Ok(decoded) => return (Some(decoded), problems, value),
                Err(error) => {
                    let misfit = self.misfit(&error);
                    let missing = misfit.field.is_empty().then(|| missing_field(&error.inner().to_string())).flatten();
                    if let Some(name) = missing.filter(|name| !restored.contains(name))
                        && restore(&mut value, &self.value, &name)
                    {
                        restored.push(name);
                        continue;
                    }
                    if misfit.field.is_empty() || !remove(&mut value, &misfit.field) {
                        break;
                    }
                    problems.push(misfit);
                }
            }
        }
        (None, problems, value)
    }

    /// What the schema let through and the type refuses, such as `1.0` for a count.
    fn misfit(&self, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
        use serde_path_to_error::Segment;
        let segments = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let pointer: String = segments.collect();
        if let Some(number) = self.value.pointer(&pointer).and_then(Value::as_f64).filter(|n| n.fract() == 0.0) {
            let message = format!("expected a whole number, not {}", self.quote(&pointer));
            let hint = (!self.is_secret(&pointer)).then(|| format!("write {number:.0}"));
            return self.problem(&pointer, message, hint);
        }
        // The library's text quotes the value.
        let secret = self.is_secret(&pointer) || self.expanded.keys().any(|p| p.starts_with(&pointer));
        let message = if secret { "does not fit".to_owned() } else { error.inner().to_string() };
        self.problem(&pointer, message, None)
    }

    /// A problem at a value.
    pub fn problem(&self, pointer: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        let place = self.place(pointer).map_or((0, 0), |p| p.value);
        self.problem_at(place, dotted(pointer), message.into(), hint)
    }

    /// A problem at a key (at the value where it has none).
    pub fn key_problem(&self, pointer: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        let place = self.place(pointer).map_or((0, 0), |p| p.key.unwrap_or(p.value));
        self.problem_at(place, dotted(pointer), message.into(), hint)
    }

    /// The problem of a variable that is not set.
    pub fn unset_problem(&self, unset: &Unset) -> Problem {
        let name = &unset.variable;
        let hint = Some(format!("set it, or give a default: ${{{name}:-…}}"));
        self.problem(&unset.pointer, format!("the environment variable {name} is not set"), hint)
    }

    fn problem_at(&self, place: (u64, u64), field: String, message: String, hint: Option<String>) -> Problem {
        let message = one_line(message);
        Problem { file: self.file.clone(), line: place.0, column: place.1, field, message, hint }
    }

    /// The place of a value, else of the nearest value around it.
    fn place(&self, mut pointer: &str) -> Option<&Position> {
        loop {
            if let Some(position) = self.positions.get(pointer) {
                return Some(position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// The environment variables whose values a scalar holds.
    fn variables_in(&self, mut pointer: &str) -> Option<&Vec<String>> {
        loop {
            // An alias of a map is marked as a whole.
            if let Some(variables) = self.expanded.get(pointer) {
                return Some(variables);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// Whether a scalar holds the value of an environment variable.
    pub fn is_secret(&self, pointer: &str) -> bool {
        self.variables_in(pointer).is_some()
    }

    /// A value as messages may show it: shortened, and never what came from the environment.
    pub fn quote(&self, pointer: &str) -> String {
        if let Some(variables) = self.variables_in(pointer) {
            let names: Vec<String> = variables.iter().map(|name| format!("${{{name}}}")).collect();
            return format!("the value of {}", names.join(" and "));
        }
        match self.value.pointer(pointer) {
            None | Some(Value::Null) => "nothing".to_owned(),
            Some(Value::String(text)) => format!("`{}`", shorten(text)),
            Some(Value::Array(_)) => "a list".to_owned(),
            Some(Value::Object(_)) => "a map".to_owned(),
            Some(scalar) => format!("`{scalar}`"),
        }
    }
}

/// The segments of a dotted path: `a."b.c"[0].d` has `a`, `b.c`, `0` and `d`.
fn segments(field: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let (mut segment, mut is_quoted) = (String::new(), false);
    for c in field.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            '.' | '[' | ']' if !is_quoted => segments.push(std::mem::take(&mut segment)),
            _ => segment.push(c),
        }
    }
    segments.push(segment);
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// The first segment of a dotted path.
fn section(field: &str) -> &str {
    field.split(['.', '[']).next().unwrap_or_default()
}

/// Whether one dotted path is another, or goes through it.
fn is_within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether nothing was taken out of a value itself, whatever became of what lies deeper.
fn is_whole(written: Option<&Value>, left: Option<&Value>) -> bool {
    match (written, left) {
        (None, _) => true,
        (Some(Value::Object(written)), Some(Value::Object(left))) => written.keys().eq(left.keys()),
        (Some(Value::Array(written)), Some(Value::Array(left))) => written.len() == left.len(),
        (Some(_), left) => left.is_some(),
    }
}

/// Takes away a field by its dotted path, and says whether anything was there; of a list, nothing is left, as its places would be
/// others.
fn remove(value: &mut Value, field: &str) -> bool {
    let names = segments(field);
    let mut place = value;
    for (at, name) in names.iter().enumerate() {
        let Some(fields) = place.as_object_mut() else { return false };
        let is_last = at + 1 == names.len();
        if is_last || fields.get(name).is_some_and(Value::is_array) {
            return fields.remove(name).is_some();
        }
        let Some(next) = fields.get_mut(name) else { return false };
        place = next;
    }
    false
}

/// The field that an error of decoding says is missing.
fn missing_field(error: &str) -> Option<String> {
    error.strip_prefix("missing field `")?.split('`').next().map(str::to_owned)
}

/// Puts back a field of the first level without which there is no whole, such as its name: a text as it is written, a list or a map
/// with nothing in it. Says whether there is one.
fn restore(value: &mut Value, written: &Value, name: &str) -> bool {
    let Some(fields) = value.as_object_mut() else { return false };
    let restored = match written.get(name) {
        Some(text @ Value::String(_)) => text.clone(),
        Some(Value::Array(_)) => Value::Array(Vec::new()),
        Some(Value::Object(_)) => Value::Object(serde_json::Map::new()),
        _ => return false,
    };
    fields.insert(name.to_owned(), restored).is_none()
}

/// Libraries draw a picture of the text and put the reason last: keeps what comes before the picture, and the reason.
fn one_line(message: String) -> String {
    let (Some((first, _)), Some(last)) = (message.split_once('\n'), message.lines().last()) else { return message };
    let reason = last.trim().trim_start_matches("error: ");
    format!("{} {reason}", first.trim_end_matches("regex parse error:").trim_end())
}
