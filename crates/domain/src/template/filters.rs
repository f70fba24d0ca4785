//! The filters of prompts: those of Jinja that cannot multiply data, and our own versions of four that could.
//!
//! Ours (`tojson`, `join`, `indent`, `replace`) draw the text they make from an allowance of the rendering. `tojson`
//! writes plain JSON, without the HTML escapes of Jinja's. What all filters read is limited too: the engine counts a
//! filter as one step, however long its text is.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters, functions, tests};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{Bounded, MAX_OUTPUT_BYTES};

/// Deepest indentation that `tojson` and `indent` take.
const MAX_INDENT: usize = 64;

/// Most that the filters of one rendering may read: bytes of text, and 64 for each item of a list or map.
const MAX_READ: usize = 256 << 20;

/// What the filters of one rendering may still do.
struct Allowance {
    /// Text they may make, in bytes.
    make: usize,
    /// What they may read, in bytes.
    read: usize,
}

/// A filter that draws what it reads from the allowance.
fn metered(
    filter: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<Value>, Kwargs) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, mut arguments, named| {
        let size = |value: &Value| match value.as_str() {
            Some(text) => text.len(),
            None => value.len().unwrap_or(0).saturating_mul(64),
        };
        let read = arguments.iter().map(size).fold(0, usize::saturating_add);
        let allowance = allowance(state);
        allowance.read = allowance.read.checked_sub(read).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("filters would read more than {MAX_READ} bytes of text"))
        })?;
        if named.args().next().is_some() {
            arguments.push(Value::from(named));
        }
        filter.call(state, &arguments)
    }
}

fn allowance<'s>(state: &'s mut State<'_, '_>) -> &'s mut Allowance {
    state.get_or_insert_extension(Allowance { make: MAX_OUTPUT_BYTES, read: MAX_READ })
}

macro_rules! known_filters {
    ($($name:literal => $filter:expr),* $(,)?) => {
        const NAMES: &[&str] = &[$($name),*];

        fn register_filters(environment: &mut Environment<'_>) {
            $(environment.add_filter($name, metered(Value::from_function($filter)));)*
        }
    };
}

known_filters! {
    "abs" => filters::abs,
    "attr" => filters::attr,
    "bool" => filters::bool,
    "capitalize" => filters::capitalize,
    "count" => filters::length,
    "d" => filters::default,
    "default" => filters::default,
    "dictsort" => filters::dictsort,
    "first" => filters::first,
    "float" => filters::float,
    "groupby" => filters::groupby,
    "indent" => indent,
    "int" => filters::int,
    "items" => filters::items,
    "join" => join,
    "last" => filters::last,
    "length" => filters::length,
    "lines" => filters::lines,
    "list" => filters::list,
    "lower" => filters::lower,
    "map" => filters::map,
    "max" => filters::max,
    "min" => filters::min,
    "reject" => filters::reject,
    "rejectattr" => filters::rejectattr,
    "replace" => replace,
    "reverse" => filters::reverse,
    "round" => filters::round,
    "safe" => filters::safe,
    "select" => filters::select,
    "selectattr" => filters::selectattr,
    "sort" => filters::sort,
    "split" => filters::split,
    "string" => string,
    "title" => filters::title,
    "tojson" => tojson,
    "trim" => filters::trim,
    "unique" => filters::unique,
    "upper" => filters::upper,
}

/// What is wrong with the name of a filter, if there is none of that name.
pub(super) fn unknown_filter(name: &str) -> Option<String> {
    (!NAMES.contains(&name)).then(|| format!("filter {name} is unknown; known filters: {}", NAMES.join(", ")))
}

/// The same of a test: what stands behind `is`.
pub(super) fn unknown_test(name: &str) -> Option<String> {
    (!TESTS.contains(&name)).then(|| format!("test {name} is unknown; known tests: {}", TESTS.join(", ")))
}

/// Adds filters, tests and `range`.
pub(super) fn register(environment: &mut Environment<'_>) {
    register_filters(environment);
    register_tests(environment);
    // The engine refuses ranges of more than 100,000 items.
    environment.add_function("range", functions::range);
}

macro_rules! known_tests {
    ($($name:literal => $test:expr),* $(,)?) => {
        const TESTS: &[&str] = &[$($name),*];

        fn register_tests(environment: &mut Environment<'_>) {
            $(environment.add_test($name, $test);)*
        }
    };
}

known_tests! {
    "boolean" => tests::is_boolean,
    "defined" => tests::is_defined,
    "divisibleby" => tests::is_divisibleby,
    "endingwith" => tests::is_endingwith,
    "eq" => tests::is_eq,
    "equalto" => tests::is_eq,
    "even" => tests::is_even,
    "false" => tests::is_false,
    "float" => tests::is_float,
    "ge" => tests::is_ge,
    "gt" => tests::is_gt,
    "in" => tests::is_in,
    "integer" => tests::is_integer,
    "iterable" => tests::is_iterable,
    "le" => tests::is_le,
    "lower" => tests::is_lower,
    "lt" => tests::is_lt,
    "mapping" => tests::is_mapping,
    "ne" => tests::is_ne,
    "none" => tests::is_none,
    "number" => tests::is_number,
    "odd" => tests::is_odd,
    "sequence" => tests::is_sequence,
    "startingwith" => tests::is_startingwith,
    "string" => tests::is_string,
    "true" => tests::is_true,
    "undefined" => tests::is_undefined,
    "upper" => tests::is_upper,
}

/// A value as JSON, on one line or indented.
pub(super) fn to_json(value: &Value, indent: Option<usize>) -> Result<String, Error> {
    let mut out = Bounded::default();
    let written = match indent {
        None => value.serialize(&mut Serializer::new(&mut out)),
        Some(width) => {
            let spaces = " ".repeat(width.min(MAX_INDENT));
            let pretty = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, pretty))
        }
    };
    match written {
        Ok(()) => Ok(out.into_string()),
        Err(_) if out.full => Err(too_much()),
        Err(error) => Err(Error::new(ErrorKind::BadSerialization, error.to_string())),
    }
}

fn too_much() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("filters would make more than {MAX_OUTPUT_BYTES} bytes of text"))
}

/// Takes `bytes` of text from what the rendering's filters may make.
fn charge(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let allowance = allowance(state);
    allowance.make = allowance.make.checked_sub(bytes).ok_or_else(too_much)?;
    Ok(())
}

/// The text of a value as it would be printed.
fn text_of(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => to_json(value, None),
    }
}

fn string(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    let text = text_of(&value)?;
    charge(state, text.len())?;
    Ok(Value::from(text))
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands named arguments over by value")]
fn tojson(state: &mut State<'_, '_>, value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    options.assert_all_used()?;
    let text = to_json(value, indent)?;
    charge(state, text.len())?;
    Ok(text)
}

fn join(state: &mut State<'_, '_>, value: &Value, separator: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (i, item) in value.try_iter()?.enumerate() {
        let text = text_of(&item)?;
        let separator = if i == 0 { "" } else { separator.unwrap_or_default() };
        charge(state, separator.len() + text.len())?;
        joined.push_str(separator);
        joined.push_str(&text);
    }
    Ok(joined)
}

fn replace(state: &mut State<'_, '_>, text: &str, from: &str, to: &str) -> Result<String, Error> {
    charge(state, text.len() + text.matches(from).count().saturating_mul(to.len()))?;
    Ok(text.replace(from, to))
}

/// Indents all lines but the first (or that too), blank ones only when asked to, as Jinja does.
fn indent(
    state: &mut State<'_, '_>,
    text: &str,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
) -> Result<String, Error> {
    let width = width.unwrap_or(4).min(MAX_INDENT);
    let lines = text.matches('\n').count() + 1;
    charge(state, text.len() + lines * width)?;
    let spaces = " ".repeat(width);
    let mut out = String::with_capacity(text.len() + lines * width);
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let wanted = i > 0 || first.unwrap_or(false);
        if wanted && (!line.trim().is_empty() || blank.unwrap_or(false)) {
            out.push_str(&spaces);
        }
        out.push_str(line);
    }
    Ok(out)
}
