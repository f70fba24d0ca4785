//! `prompts/NAME.yaml`: a prompt as people write it.

use std::sync::LazyLock;

use serde_json::Value;

use crate::prompt::PromptSpec;
use crate::render::{CompiledPrompt, RenderError};
use crate::yaml::{Document, Problem, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = crate::yaml::strict(schemars::schema_for!(PromptSpec).to_value());
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "A prompt of llmops".into());
    }
    Schema::new(schema)
});

/// Reads a prompt file. Nothing is expanded in it: `${NAME}` is text.
///
/// # Errors
/// With every mistake of the file, by line: of the YAML, of keys and types, of templates, variables, their defaults
/// and validations, and of the post-processing.
pub fn parse(text: &str, file: &str) -> Result<PromptSpec, Vec<Problem>> {
    let document = Document::parse(text, file)?;
    let (spec, mut problems) = match document.decode::<PromptSpec>(&SCHEMA) {
        Ok(spec) => {
            let problems = senseless(&document, &spec);
            (Some(spec), problems)
        }
        Err(mut problems) => {
            problems.extend(document.beside(&SCHEMA, &[], &problems, |spec| senseless(&document, spec)));
            (None, problems)
        }
    };
    problems.sort_by_key(|p| (p.line, p.column));
    spec.filter(|_| problems.is_empty()).ok_or(problems)
}

/// What a schema cannot say: templates, variables, post-processing.
fn senseless(document: &Document, spec: &PromptSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.body.model.as_deref().is_some_and(|model| !model.contains('/')) {
        let hint = Some("write provider/model".to_owned());
        problems.push(document.problem("/model", format!("{} names no provider", document.quote("/model")), hint));
    }
    match CompiledPrompt::compile(&spec.body) {
        Ok(_) => {}
        Err(RenderError::Prompt(found)) => {
            problems.extend(found.into_iter().map(|p| document.problem(&pointer(&p.field), p.message, None)));
        }
        Err(other) => problems.push(document.problem("", other.to_string(), None)),
    }
    problems
}

/// The JSON Schema of a prompt file.
pub fn json_schema() -> &'static Value {
    SCHEMA.as_json()
}

/// `variables[0].default` as a JSON pointer.
fn pointer(field: &str) -> String {
    let segments = field.split(['.', '[']).map(|segment| segment.trim_end_matches(']'));
    segments.filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}
