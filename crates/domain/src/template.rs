//! Prompt templates: Jinja syntax (`{{ name }}`, `{% if %}`, `{% for %}`, `{% set %}`, filters), made safe to run on
//! templates and values that nobody has reviewed.
//!
//! * A value is inserted literally and never rendered again: `{{` inside a value stays text. Nothing is escaped.
//! * A variable that is missing is an error that names it; only `is defined`, `default(…)` and a plain `{% if name %}`
//!   may look at one. (The engine calls this semi-strict.)
//! * Lists and objects print as JSON, and so do numbers, `true`, `false` and `null`.
//! * What is not a tag is sent as it is written, a trailing line feed included.
//! * Work, memory and output are bounded: see [`vet`] and the constants below.
//!
//! Filters: the ones of Jinja that cannot multiply data (see [`filters`]). The only function is `range`.

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::Value;

mod filters;
mod vet;

/// Longest template text, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 1 << 20;
/// Most bytes that a rendered text has beyond the texts among its values, which may be as long as their sender may send; filters of
/// one rendering may make this much besides.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Engine instructions that one rendering may take: some 20,000 turns of a small loop.
pub const MAX_STEPS: u64 = 200_000;
/// Names that no variable can have because the engine gives them a meaning.
pub const RESERVED_NAMES: [&str; 4] = ["loop", "range", "self", "super"];

/// The one template that each environment holds.
const NAME: &str = "template";

/// A template, compiled once and rendered often.
#[derive(Debug, Clone)]
pub struct Template {
    body: Body,
    placeholders: Vec<Placeholder>,
}

#[derive(Debug, Clone)]
enum Body {
    /// Text without any tag.
    Literal(String),
    Compiled(Box<Environment<'static>>),
}

/// A variable's name and the same as a key of the engine, so that rendering need not make one.
#[derive(Debug, Clone)]
struct Placeholder {
    name: String,
    key: minijinja::Value,
}

/// Why a template does not compile or render, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, near `{near}`: {problem}")]
pub struct TemplateError {
    /// Line of the template's text, from 1.
    pub line: usize,
    /// The text it happened at, cut to one short line.
    pub near: String,
    /// What is wrong.
    pub problem: TemplateProblem,
}

/// What is wrong with a template or its values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// The text is no template.
    #[error("{0}")]
    Syntax(String),
    /// Something that Jinja has and prompts may not use.
    #[error("{what} cannot be used in a prompt: {instead}")]
    Refused {
        /// The construct.
        what: String,
        /// Why, or what to write instead.
        instead: &'static str,
    },
    /// A variable, or an attribute of one, that the template needs and nobody gave.
    #[error("`{0}` has no value: give one, or write `{0} | default(\"…\")`")]
    Missing(String),
    /// Rendering took too many steps or made too much text.
    #[error("{0}")]
    TooMuch(String),
    /// An operation that its values do not allow.
    #[error("{0}")]
    Failed(String),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// When the text is too long, is no valid template, or uses what prompts may not use.
    pub fn compile(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE_BYTES {
            let problem = TemplateProblem::TooMuch(format!(
                "the template has {} bytes; at most {MAX_TEMPLATE_BYTES} are allowed: pass long texts as variables",
                text.len()
            ));
            return Err(TemplateError { line: 1, near: excerpt(text), problem });
        }
        if let Some(literal) = vet::vet(text)? {
            return Ok(Self { body: Body::Literal(literal), placeholders: Vec::new() });
        }
        let mut environment = base().clone();
        environment.add_template_owned(NAME, text.to_owned()).map_err(|e| explain(&e, text))?;
        let template = environment.get_template(NAME).map_err(|e| explain(&e, text))?;
        let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        names.retain(|name| !RESERVED_NAMES.contains(&name.as_str()));
        names.sort_unstable();
        let placeholders =
            names.into_iter().map(|name| Placeholder { key: minijinja::Value::from(name.as_str()), name }).collect();
        Ok(Self { body: Body::Compiled(Box::new(environment)), placeholders })
    }

    /// Names of the variables the template may ask for, sorted.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.placeholders.iter().map(|p| p.name.as_str())
    }

    /// Whether the template may ask for a variable.
    pub fn uses(&self, name: &str) -> bool {
        self.placeholders().any(|p| p == name)
    }

    /// Renders the template. Only the variables it uses are looked at.
    ///
    /// # Errors
    /// When a variable it needs is missing, an operation does not suit its values, or a limit is reached.
    pub fn render(&self, variables: &BTreeMap<String, Value>) -> Result<String, TemplateError> {
        let environment = match &self.body {
            Body::Literal(text) => return Ok(text.clone()),
            Body::Compiled(environment) => environment,
        };
        let given = |p: &Placeholder| Some((p.key.clone(), to_engine(variables.get(&p.name)?)));
        let context = minijinja::Value::from_pairs(self.placeholders.iter().filter_map(given));
        let values = self.placeholders.iter().filter_map(|p| variables.get(&p.name));
        let given = values.map(text_bytes).fold(0, usize::saturating_add);
        let mut out = Bounded { most: MAX_OUTPUT_BYTES.saturating_add(given), ..Bounded::default() };
        let rendered = environment.get_template(NAME).and_then(|t| t.render_captured_to(context, &mut out).map(drop));
        if let Err(error) = rendered {
            let source = environment.get_template(NAME).map(|t| t.source().to_owned()).unwrap_or_default();
            return Err(if out.full { too_long(&error, &source) } else { explain(&error, &source) });
        }
        Ok(out.into_string())
    }
}

/// The environment that every template's own is a cheap copy of.
fn base() -> &'static Environment<'static> {
    static BASE: OnceLock<Environment<'static>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut environment = Environment::empty();
        environment.set_syntax(syntax());
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(print_value);
        environment.set_fuel(Some(MAX_STEPS));
        // Lets errors name the missing variable and point at the text.
        environment.set_debug(true);
        filters::register(&mut environment);
        environment
    })
}

fn syntax() -> SyntaxConfig {
    // The default delimiters are never refused.
    SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default()
}

/// Writes a value into a prompt: text as it is, everything else as JSON.
fn print_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    if let Some(text) = value.as_str() {
        return Ok(out.write_str(text)?);
    }
    if value.is_undefined() {
        // What `{{ "a" if false }}` comes to; missing variables never get here.
        return Ok(());
    }
    Ok(out.write_str(&filters::to_json(value, None)?)?)
}

/// Turns JSON into a value of the engine.
fn to_engine(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(b) => minijinja::Value::from(*b),
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => minijinja::Value::from(i),
            (None, Some(u)) => minijinja::Value::from(u),
            (None, None) => minijinja::Value::from(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Array(items) => items.iter().map(to_engine).collect(),
        Value::Object(map) => minijinja::Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), to_engine(v)))),
    }
}

/// Bytes of all texts in a value.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).fold(0, usize::saturating_add),
        Value::Object(map) => map.values().map(text_bytes).fold(0, usize::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A text that refuses to grow beyond a number of bytes.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Default for Bounded {
    fn default() -> Self {
        Self { bytes: Vec::new(), most: MAX_OUTPUT_BYTES, full: false }
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bounded {
    fn into_string(self) -> String {
        // The engine writes whole strings only, so nothing is ever replaced.
        String::from_utf8(self.bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

fn too_long(error: &minijinja::Error, source: &str) -> TemplateError {
    let mut explained = explain(error, source);
    explained.problem = TemplateProblem::TooMuch(format!(
        "the rendered text would be more than {MAX_OUTPUT_BYTES} bytes longer than the values in it"
    ));
    explained
}

/// Turns an error of the engine into ours.
fn explain(error: &minijinja::Error, source: &str) -> TemplateError {
    let span = error.range().and_then(|range| source.get(range));
    let line = error.line().unwrap_or(1);
    let near = excerpt(span.or_else(|| source.lines().nth(line - 1)).unwrap_or(source));
    let detail = || error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let problem = match error.kind() {
        ErrorKind::UndefinedError => TemplateProblem::Missing(missing_name(&detail(), &near)),
        ErrorKind::OutOfFuel => {
            TemplateProblem::TooMuch(format!("rendering takes more than {MAX_STEPS} steps: loop over less"))
        }
        ErrorKind::SyntaxError | ErrorKind::BadEscape => TemplateProblem::Syntax(detail()),
        _ => TemplateProblem::Failed(detail()),
    };
    TemplateError { line, near, problem }
}

/// The engine says "`user.name` is undefined" where it knows the expression.
fn missing_name(detail: &str, near: &str) -> String {
    let named = detail.split_once('`').and_then(|(_, rest)| rest.split_once("` is undefined"));
    named.map_or(near, |(name, _)| name).to_owned()
}

/// The first line of a text, at most 60 characters of it.
fn excerpt(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut chars = line.chars();
    let mut cut: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests;
