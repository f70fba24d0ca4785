//! What a schema finds wrong, in sentences and with places.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::document::Document;
use super::problem::{Problem, escape, unescape};
use super::schema::Schema;
use crate::suggest;

/// Every mistake of a document against a schema, by line.
pub fn validate(document: &Document, schema: &Schema) -> Vec<Problem> {
    let validator = match schema.validator() {
        Ok(validator) => validator,
        Err(error) => return vec![document.problem("", format!("the built-in schema is broken: {error}"), None)],
    };
    let mut translator = Translator { document, schema, problems: Vec::new() };
    for error in validator.iter_errors(&document.value) {
        translator.translate(&error);
    }
    let mut problems = translator.problems;
    problems.sort_by_key(|p| (p.line, p.column));
    problems
}

/// Every mistake of something that came another way than from a file, such as over HTTP, called `name` in messages.
pub fn validate_value(value: &impl serde::Serialize, name: &str, schema: &Schema) -> Vec<Problem> {
    match serde_json::to_value(value) {
        Ok(value) => validate(&Document::of_value(value, name), schema),
        Err(error) => vec![Document::of_value(Value::Null, name).problem("", error.to_string(), None)],
    }
}

struct Translator<'a> {
    document: &'a Document,
    schema: &'a Schema,
    problems: Vec<Problem>,
}

impl<'a> Translator<'a> {
    fn translate(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str();
        if let Some(unset) = self.document.unset.iter().find(|unset| unset.pointer == at) {
            self.problems.push(self.document.unset_problem(unset));
            return;
        }
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => self.unknown_keys(error, unexpected),
            Kind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                self.push_key(at, format!("the key `{key}` is missing"), self.about(error, key));
            }
            Kind::OneOfNotValid { context } | Kind::OneOfMultipleValid { context } | Kind::AnyOf { context } => {
                self.branches(error, context);
            }
            Kind::Type { kind } => self.wrong_type(at, &type_words(kind)),
            Kind::Enum { options } => {
                let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.unknown_word(at, &options);
            }
            Kind::Constant { expected_value } => match expected_value.as_str() {
                Some(word) => self.unknown_word(at, &[word]),
                None => self.push(at, format!("must be {expected_value}, not {}", self.document.quote(at)), None),
            },
            Kind::Minimum { .. }
            | Kind::Maximum { .. }
            | Kind::ExclusiveMinimum { .. }
            | Kind::ExclusiveMaximum { .. } => {
                let range = range(self.parent(error));
                self.push(at, format!("must be {range}, not {}", self.document.quote(at)), None);
            }
            Kind::Pattern { pattern } => {
                let hint = self.parent(error).get("description").and_then(Value::as_str).map(first_sentence);
                let hint = hint.unwrap_or_else(|| format!("expected a text like {pattern}"));
                self.push(at, format!("{} does not fit", self.document.quote(at)), Some(hint));
            }
            Kind::PropertyNames { error } => {
                let key = error.instance().as_str().unwrap_or_default();
                let hint = self.parent(error).get("description").and_then(Value::as_str).map(first_sentence);
                self.push_key(&format!("{at}/{}", escape(key)), "the name does not fit".to_owned(), hint);
            }
            kind => {
                let message = size_words(kind).unwrap_or_else(|| error.masked_with("the value").to_string());
                self.push(at, message, None);
            }
        }
    }

    fn unknown_keys(&mut self, error: &ValidationError<'_>, unexpected: &[String]) {
        let properties = self.parent(error).get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(|p| p.keys()).map(String::as_str).collect();
        for key in unexpected {
            let pointer = format!("{}/{}", error.instance_path().as_str(), escape(key));
            self.push_key(&pointer, "unknown key".to_owned(), Some(suggest::hint(key, known.iter().copied())));
        }
    }

    fn unknown_word(&mut self, at: &str, options: &[&str]) {
        match self.document.value.pointer(at) {
            Some(Value::String(word)) => {
                let hint = if self.document.is_secret(at) {
                    suggest::one_of(options)
                } else {
                    suggest::hint(word, options.iter().copied())
                };
                self.push(at, format!("unknown value {}", self.document.quote(at)), Some(hint));
            }
            _ => {
                self.push(
                    at,
                    format!("expected text, not {}", self.document.quote(at)),
                    Some(suggest::one_of(options)),
                );
            }
        }
    }

    fn wrong_type(&mut self, at: &str, expected: &str) {
        let found = self.document.value.pointer(at).unwrap_or(&Value::Null);
        let hint = match found {
            Value::Number(_) | Value::Bool(_) if expected.contains("text") => Some("put it in quotes".to_owned()),
            Value::String(text) if !self.document.is_secret(at) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" if expected.contains("true") => Some("write true".to_owned()),
                "no" | "off" | "n" if expected.contains("true") => Some("write false".to_owned()),
                number if expected.contains("number") && number.parse::<f64>().is_ok() => {
                    Some("write it without quotes".to_owned())
                }
                _ => None,
            },
            _ => None,
        };
        self.push(at, format!("expected {expected}, not {}", self.document.quote(at)), hint);
    }

    /// Of the branches of a `oneOf` or `anyOf`, reports on the one that was meant.
    fn branches(&mut self, error: &ValidationError<'_>, context: &[Vec<ValidationError<'static>>]) {
        let at = error.instance_path().as_str();
        let schema = self.schema;
        let Some(branches) = schema.as_json().pointer(error.schema_path().as_str()).and_then(Value::as_array) else {
            return self.push(at, "fits none of the forms allowed here".to_owned(), None);
        };
        let branches: Vec<&Value> = branches.iter().map(|branch| schema.resolve(branch)).collect();
        let document = self.document;
        let found = document.value.pointer(at).unwrap_or(&Value::Null);
        if let (true, Some(tag)) = (found.is_object(), tag(&branches)) {
            return self.tagged(at, tag, &branches, context);
        }
        let meant: Vec<usize> = (0..branches.len()).filter(|i| takes(schema, branches[*i], found)).collect();
        if let [only] = meant[..] {
            return self.translate_all(context, only);
        }
        let words: Vec<&str> = branches.iter().flat_map(|branch| words(branch)).collect();
        if !words.is_empty() && !found.is_object() && !found.is_array() {
            return self.unknown_word(at, &words);
        }
        if let Some(map) = found.as_object().filter(|_| !meant.is_empty()) {
            return self.keyed(at, map, &branches, context);
        }
        let mut expected: Vec<&str> = branches.iter().flat_map(|branch| branch_words(schema, branch)).collect();
        expected.dedup();
        self.wrong_type(at, &expected.join(" or "));
    }

    /// A map whose `tag` names the branch.
    fn tagged(&mut self, at: &str, tag: &str, branches: &[&Value], context: &[Vec<ValidationError<'static>>]) {
        let constants: Vec<Option<&str>> =
            branches.iter().map(|branch| branch.get("properties")?.get(tag)?.get("const")?.as_str()).collect();
        let known: Vec<&str> = constants.iter().flatten().copied().collect();
        match self.document.value.pointer(&format!("{at}/{tag}")) {
            None => {
                let hint = self.sibling_name(at).unwrap_or_else(|| suggest::one_of(&known));
                self.push_key(at, format!("the key `{tag}` is missing"), Some(hint));
            }
            Some(value) => match constants.iter().position(|c| c.is_some() && *c == value.as_str()) {
                Some(index) => self.translate_all(context, index),
                None => self.unknown_word(&format!("{at}/{tag}"), &known),
            },
        }
    }

    /// A map with one key that names the branch.
    fn keyed(
        &mut self,
        at: &str,
        map: &serde_json::Map<String, Value>,
        branches: &[&Value],
        context: &[Vec<ValidationError<'static>>],
    ) {
        let keys = |branch: &Value| -> Vec<String> {
            branch.get("properties").and_then(Value::as_object).map(|p| p.keys().cloned().collect()).unwrap_or_default()
        };
        if let Some(index) = branches.iter().position(|branch| keys(branch).iter().any(|key| map.contains_key(key))) {
            return self.translate_all(context, index);
        }
        let known: Vec<String> = branches.iter().flat_map(|branch| keys(branch)).collect();
        for key in map.keys() {
            let hint = suggest::hint(key, known.iter().map(String::as_str));
            self.push_key(&format!("{at}/{}", escape(key)), "unknown key".to_owned(), Some(hint));
        }
        if map.is_empty() {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.push(at, "the map is empty".to_owned(), Some(suggest::one_of(&known)));
        }
    }

    fn translate_all(&mut self, context: &[Vec<ValidationError<'static>>], index: usize) {
        for error in context.get(index).into_iter().flatten() {
            self.translate(error);
        }
    }

    /// For a free name without tag: the built-in name it resembles.
    fn sibling_name(&self, at: &str) -> Option<String> {
        let (parent, key) = at.rsplit_once('/')?;
        let mut node = self.schema.as_json();
        for segment in parent.split('/').skip(1) {
            let node_here = self.schema.resolve(node);
            node = node_here.get("properties")?.get(unescape(segment))?;
        }
        let known = self.schema.resolve(node).get("properties")?.as_object()?;
        let name = unescape(key);
        let nearest = suggest::nearest(&name, known.keys().map(String::as_str))?;
        Some(format!("did you mean {nearest}? A name of your own needs it"))
    }

    /// The schema node that holds the keyword of an error.
    fn parent(&self, error: &ValidationError<'_>) -> &'a Value {
        let path = error.schema_path().as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.as_json().pointer(parent).unwrap_or(&Value::Null)
    }

    /// What a missing key is for.
    fn about(&self, error: &ValidationError<'_>, key: &str) -> Option<String> {
        let property = self.parent(error).get("properties")?.get(key)?;
        let description = property.get("description").or_else(|| self.schema.resolve(property).get("description"))?;
        Some(format!("{key}: {}", first_sentence(description.as_str()?)))
    }

    fn push(&mut self, pointer: &str, message: String, hint: Option<String>) {
        self.problems.push(self.document.problem(pointer, message, hint));
    }

    fn push_key(&mut self, pointer: &str, message: String, hint: Option<String>) {
        self.problems.push(self.document.key_problem(pointer, message, hint));
    }
}

/// The property that every object branch requires with a constant of its own.
fn tag<'a>(branches: &[&'a Value]) -> Option<&'a str> {
    let mut objects = branches.iter().filter_map(|b| b.get("properties")?.as_object());
    let (name, _) = objects.next()?.iter().find(|(_, property)| property.get("const").is_some())?;
    objects.all(|p| p.get(name).is_some_and(|property| property.get("const").is_some())).then_some(name)
}

/// Whether a branch is of the value's JSON type.
fn takes(schema: &Schema, branch: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match branch.get("type") {
        Some(Value::String(kind)) => kind == name || (kind == "integer" && name == "number"),
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => match ["oneOf", "anyOf"].iter().find_map(|k| branch.get(k)).and_then(Value::as_array) {
            Some(inner) => inner.iter().any(|branch| takes(schema, schema.resolve(branch), value)),
            None => false,
        },
    }
}

/// The words that a branch allows.
fn words(branch: &Value) -> Vec<&str> {
    let options = branch.get("enum").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    options.iter().chain(branch.get("const")).filter_map(Value::as_str).collect()
}

/// The types that a branch takes, in words.
fn branch_words(schema: &Schema, branch: &Value) -> Vec<&'static str> {
    match branch.get("type") {
        Some(Value::String(kind)) => plain_word(kind).into_iter().collect(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(|kind| plain_word(kind.as_str()?)).collect(),
        _ => {
            let inner = ["oneOf", "anyOf"].iter().find_map(|k| branch.get(k)?.as_array());
            inner.into_iter().flatten().flat_map(|branch| branch_words(schema, schema.resolve(branch))).collect()
        }
    }
}

fn plain_word(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map",
        _ => return None,
    })
}

fn type_words(kind: &TypeKind) -> String {
    let names: Vec<String> = match kind {
        TypeKind::Single(kind) => vec![kind.to_string()],
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect(),
    };
    let words: Vec<&str> = names.iter().filter_map(|name| plain_word(name)).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(" or ") }
}

/// The range that a number must be in, from all limits of its node.
fn range(node: &Value) -> String {
    let limit = |key: &str| {
        node.get(key).map(|value| match value.as_f64() {
            Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
            _ => value.to_string(),
        })
    };
    match (limit("minimum"), limit("maximum"), limit("exclusiveMinimum")) {
        (Some(low), Some(high), _) if low == high => low,
        (Some(low), Some(high), _) => format!("from {low} to {high}"),
        (_, Some(high), Some(low)) => format!("above {low} and at most {high}"),
        (Some(low), None, _) => format!("at least {low}"),
        (None, None, Some(low)) => format!("above {low}"),
        (None, Some(high), None) => format!("at most {high}"),
        (None, None, None) => "in range".to_owned(),
    }
}

fn size_words(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::MinLength { limit: 1 } | Kind::MinItems { limit: 1 } | Kind::MinProperties { limit: 1 } => {
            "must not be empty".to_owned()
        }
        Kind::MinLength { limit } => format!("needs at least {limit} characters"),
        Kind::MaxLength { limit } => format!("may have at most {limit} characters"),
        Kind::MinItems { limit } | Kind::MinProperties { limit } => format!("needs at least {limit} entries"),
        Kind::MaxItems { limit } | Kind::MaxProperties { limit } => format!("may have at most {limit} entries"),
        Kind::UniqueItems => "has an entry twice".to_owned(),
        _ => return None,
    })
}

/// The first sentence of a description, as it goes on in the middle of another.
fn first_sentence(text: &str) -> String {
    let sentence = text.split(". ").next().unwrap_or(text).trim_end_matches('.').replace('\n', " ");
    // A word with further capitals, such as USD, is a name.
    let is_name = sentence.split(' ').next().is_some_and(|word| word.chars().skip(1).any(char::is_uppercase));
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) if !is_name => first.to_lowercase().chain(letters).collect(),
        _ => sentence,
    }
}
