//! Declared variables: types, defaults and validation of the values given for them.

use std::borrow::Cow;

use regex::Regex;
use serde_json::{Number, Value};

use crate::prompt::{Validation, Variable, VariableType};
use crate::template::RESERVED_NAMES;

/// A declared variable, compiled.
#[derive(Debug, Clone)]
pub(super) struct CompiledVariable {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) default: Option<Value>,
    kind: VariableType,
    allowed: Allowed,
}

#[derive(Debug, Clone)]
enum Allowed {
    Anything,
    /// The whole value as text must match; the pattern as written is kept for messages.
    Matching(Regex, String),
    OneOf(Vec<Value>),
}

impl CompiledVariable {
    /// Compiles a declaration.
    ///
    /// # Errors
    /// Everything that is wrong with it: field (empty for the variable itself) and message.
    pub(super) fn compile(variable: &Variable) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        if let Some(problem) = name_problem(&variable.name) {
            problems.push((".name", problem));
        }
        let allowed = compile_validation(variable).unwrap_or_else(|found| {
            problems.extend(found.into_iter().map(|p| (".validation", p)));
            Allowed::Anything
        });
        let mut compiled = Self {
            name: variable.name.clone(),
            required: variable.required,
            default: None,
            kind: variable.kind,
            allowed,
        };
        if let Some(default) = variable.default.as_ref().filter(|d| !d.is_null()) {
            match compiled.accept(default) {
                Ok(default) => compiled.default = Some(default.into_owned()),
                Err(problem) => problems.push((".default", problem)),
            }
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    /// Checks a value, and turns it into the variable's type where nothing is lost by that.
    ///
    /// # Errors
    /// What is wrong with the value. The value itself is cut short in it: it may be long, and it may be private.
    pub(super) fn accept<'v>(&self, value: &'v Value) -> Result<Cow<'v, Value>, String> {
        let value = coerce(value, self.kind)?;
        match &self.allowed {
            Allowed::Anything => Ok(value),
            Allowed::Matching(regex, pattern) => {
                let matches = match value.as_str() {
                    Some(text) => regex.is_match(text),
                    None => regex.is_match(&value.to_string()),
                };
                if matches { Ok(value) } else { Err(format!("{} does not match `{pattern}`", shown(&value))) }
            }
            Allowed::OneOf(values) if values.contains(&value) => Ok(value),
            Allowed::OneOf(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                Err(format!("{} is none of {}", shown(&value), values.join(", ")))
            }
        }
    }
}

fn name_problem(name: &str) -> Option<String> {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Some(format!("`{name}` cannot be used in a template: write letters, digits and `_`, no digit first"));
    }
    let keywords = ["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"];
    (RESERVED_NAMES.contains(&name) || keywords.contains(&name))
        .then(|| format!("`{name}` has a meaning of its own in templates: choose another name"))
}

fn compile_validation(variable: &Variable) -> Result<Allowed, Vec<String>> {
    match &variable.validation {
        None => Ok(Allowed::Anything),
        // `.` matches line feeds here: values are often texts of many lines, and `.+` means "not empty".
        // The pattern is compiled alone first: `a)|(b` would become valid between the parentheses.
        Some(Validation::Regex(pattern)) => Regex::new(pattern)
            .and_then(|_| Regex::new(&format!(r"\A(?s:{pattern})\z")))
            .map(|whole| Allowed::Matching(whole, pattern.clone()))
            .map_err(|error| vec![format!("`{pattern}` is no regular expression: {error}")]),
        Some(Validation::Enum(values)) if values.is_empty() => Err(vec!["the list of allowed values is empty".into()]),
        Some(Validation::Enum(values)) => {
            let (mut allowed, mut problems) = (Vec::new(), Vec::new());
            for value in values {
                match coerce(value, variable.kind) {
                    Ok(value) => allowed.push(value.into_owned()),
                    Err(problem) => problems.push(problem),
                }
            }
            if problems.is_empty() { Ok(Allowed::OneOf(allowed)) } else { Err(problems) }
        }
    }
}

/// Turns a value into a type where nothing is lost by it, because values often arrive as text (CSV, command line, forms):
///
/// * `string` takes numbers, true and false as they are written in JSON;
/// * `int` takes `3.0`, and text in the form of a JSON whole number (`"3"`, not `"+3"`, `"03"` or `" 3"`);
/// * `float` takes whole numbers, and text in the form of a JSON number;
/// * `bool` takes the texts `true` and `false`;
/// * `array` and `object` take text that is JSON of that type.
fn coerce(value: &Value, kind: VariableType) -> Result<Cow<'_, Value>, String> {
    let coerced = match (kind, value) {
        (VariableType::String, Value::String(_))
        | (VariableType::Float, Value::Number(_))
        | (VariableType::Bool, Value::Bool(_))
        | (VariableType::Array, Value::Array(_))
        | (VariableType::Object, Value::Object(_)) => return Ok(Cow::Borrowed(value)),
        (VariableType::Int, Value::Number(n)) if n.is_i64() || n.is_u64() => return Ok(Cow::Borrowed(value)),
        (VariableType::String, Value::Number(_) | Value::Bool(_)) => Some(Value::String(value.to_string())),
        (VariableType::Int, Value::Number(n)) => whole(n),
        (VariableType::Int, Value::String(text)) => json_number(text).and_then(|n| whole(&n)),
        (VariableType::Float, Value::String(text)) => json_number(text).map(Value::Number),
        (VariableType::Bool, Value::String(text)) => text.parse().ok().map(Value::Bool),
        (VariableType::Array, Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_array),
        (VariableType::Object, Value::String(text)) => serde_json::from_str(text).ok().filter(Value::is_object),
        _ => None,
    };
    coerced.map(Cow::Owned).ok_or_else(|| format!("{} is no {}", shown(value), type_name(kind)))
}

fn json_number(text: &str) -> Option<Number> {
    // `from_str` allows white space around the number; a text with that is not the number alone.
    text.bytes().all(|b| !b.is_ascii_whitespace()).then(|| serde_json::from_str(text).ok()).flatten()
}

fn whole(n: &Number) -> Option<Value> {
    // From 2^53 on, whole numbers have neighbours that read as the same float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if n.is_i64() || n.is_u64() {
        return Some(Value::Number(n.clone()));
    }
    let float = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below ±2^53")]
    Some(Value::from(float as i64))
}

/// The name of a type with its meaning, for messages.
fn type_name(kind: VariableType) -> &'static str {
    match kind {
        VariableType::String => "string",
        VariableType::Int => "int (a whole number)",
        VariableType::Float => "float (a number)",
        VariableType::Bool => "bool (true or false)",
        VariableType::Array => "array (a list)",
        VariableType::Object => "object (a map)",
    }
}

/// A value in a message: JSON, cut to 40 characters.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "helpers take `json!` values as they are written")]
mod tests {
    use serde_json::json;

    use super::*;

    fn variable(declaration: Value) -> Result<CompiledVariable, String> {
        let declaration: Variable = serde_json::from_value(declaration).unwrap();
        CompiledVariable::compile(&declaration).map_err(|p| {
            p.into_iter().map(|(field, problem)| format!("{field}: {problem}")).collect::<Vec<_>>().join("\n")
        })
    }

    #[track_caller]
    fn accepts(kind: &str, value: Value, expected: Value) {
        let variable = variable(json!({"name": "x", "type": kind})).unwrap();
        assert_eq!(variable.accept(&value).map(Cow::into_owned), Ok(expected), "{kind}");
    }

    #[track_caller]
    fn refuses(kind: &str, values: Value) {
        let variable = variable(json!({"name": "x", "type": kind})).unwrap();
        for value in values.as_array().unwrap() {
            assert!(variable.accept(value).is_err(), "{kind} {value}");
        }
    }

    #[test]
    fn values_become_their_type_without_loss() {
        accepts("string", json!("é"), json!("é"));
        accepts("string", json!(3), json!("3"));
        accepts("string", json!(0.5), json!("0.5"));
        accepts("string", json!(true), json!("true"));
        accepts("int", json!("3"), json!(3));
        accepts("int", json!("-9223372036854775808"), json!(i64::MIN));
        accepts("int", json!(u64::MAX), json!(u64::MAX));
        accepts("int", json!(3.0), json!(3));
        accepts("int", json!("3e2"), json!(300));
        accepts("int", json!("9007199254740991.0"), json!(9_007_199_254_740_991_i64));
        accepts("float", json!(3), json!(3));
        accepts("float", json!("3.25"), json!(3.25));
        accepts("bool", json!("false"), json!(false));
        accepts("array", json!("[1, \"a\"]"), json!([1, "a"]));
        accepts("object", json!("{\"a\": 1}"), json!({"a": 1}));
    }

    #[test]
    fn other_values_are_refused() {
        refuses("string", json!([null, [], {}]));
        refuses(
            "int",
            json!([3.5, "3.5", "+3", "03", " 3", "3 ", "", "three", "0x10", true, 1e300, "1e300", null, []]),
        );
        refuses("int", json!(["9007199254740992.0", "9007199254740993.0", "-9007199254740993.0", 1e16]));
        refuses("float", json!(["", "NaN", "inf", "1,5", " 1", true, [], null]));
        refuses("bool", json!(["True", "yes", "1", 1, 0, null, ""]));
        refuses("array", json!(["{}", "1,2", {}, 1, null, "["]));
        refuses("object", json!(["[]", [], "x", null]));
    }

    #[test]
    fn validation_covers_the_whole_value() {
        let check = |validation: Value, kind: &str, value: Value| {
            let variable = variable(json!({"name": "x", "type": kind, "validation": validation})).unwrap();
            variable.accept(&value).map_or_else(|e| e, |v| format!("ok {v}"))
        };
        assert_eq!(check(json!(".+"), "string", json!("line 1\nline 2\n")), "ok \"line 1\\nline 2\\n\"");
        assert_eq!(check(json!("a|bc"), "string", json!("bcd")), "\"bcd\" does not match `a|bc`");
        assert_eq!(check(json!("[0-9]{2}"), "int", json!("42")), "ok 42");
        assert_eq!(check(json!("(?i)go|rust"), "string", json!("Rust")), "ok \"Rust\"");
        assert_eq!(check(json!(["a", "b"]), "string", json!("c")), "\"c\" is none of \"a\", \"b\"");
        assert_eq!(check(json!(["1", 2]), "int", json!("2")), "ok 2");
        let long = check(json!("x"), "string", json!("é".repeat(1000)));
        assert_eq!(long, format!("\"{}… does not match `x`", "é".repeat(39)));
    }

    #[test]
    fn declarations_are_checked() {
        let problems = |declaration| variable(declaration).map(|_| ()).unwrap_err();
        insta::assert_snapshot!(problems(json!({"name": "a b", "validation": "("})), @r#"
        .name: `a b` cannot be used in a template: write letters, digits and `_`, no digit first
        .validation: `(` is no regular expression: regex parse error:
            (
            ^
        error: unclosed group
        "#);
        insta::assert_snapshot!(problems(json!({"name": "loop", "validation": []})), @r#"
        .name: `loop` has a meaning of its own in templates: choose another name
        .validation: the list of allowed values is empty
        "#);
        insta::assert_snapshot!(problems(json!({"name": "n", "type": "int", "default": "x", "validation": [1, "y"]})), @r#"
        .validation: "y" is no int (a whole number)
        .default: "x" is no int (a whole number)
        "#);
        insta::assert_snapshot!(problems(json!({"name": "n", "default": "c", "validation": ["a"]})), @r#".default: "c" is none of "a""#);
        assert!(problems(json!({"name": "n", "validation": "x{1000}{1000}{1000}"})).contains("no regular expression"));
        assert!(problems(json!({"name": "n", "validation": "a)|(b"})).contains("no regular expression"));
        assert!(variable(json!({"name": "_x1", "type": "int", "default": "3"})).unwrap().default == Some(json!(3)));
        assert!(variable(json!({"name": "x", "type": "int", "default": null})).unwrap().default.is_none());
    }
}
