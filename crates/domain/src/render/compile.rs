//! From a prompt as written to one that renders, with everything that is wrong with it at once.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CONTEXT, CompiledMessage, CompiledPrompt, CompiledVariable, Content, FieldProblem, INPUT};
use crate::chat::{Message, Role};
use crate::post_process::PostProcessor;
use crate::prompt::PromptBody;
use crate::template::Template;

/// Compiles a prompt, or answers all its problems.
pub(super) fn compile(body: &PromptBody) -> Result<CompiledPrompt, Vec<FieldProblem>> {
    let mut compiler = Compiler::default();
    if body.content.is_some() && !body.messages.is_empty() {
        compiler.problem("messages", "the prompt has `content` too: write either of them");
    }
    let system = body.system.as_deref().and_then(|text| compiler.template("system", text));
    let mut messages: Vec<CompiledMessage> = Vec::new();
    for (i, message) in body.messages.iter().enumerate() {
        let field = format!("messages[{i}].content");
        let content = compiler.content(&field, &message.content, 0);
        let frame = Message { content: Value::Null, ..message.clone() };
        messages.push(CompiledMessage { field, frame, content });
    }
    if let Some(template) = body.content.as_deref().and_then(|text| compiler.template("content", text)) {
        let frame = Message { content: Value::Null, ..Message::text(Role::User, "") };
        messages.push(CompiledMessage { field: "content".to_owned(), frame, content: Content::Text(template) });
    }
    let variables = compiler.variables(body);
    let post_processor = PostProcessor::compile(&body.post_processing).unwrap_or_else(|errors| {
        for (i, error) in errors {
            compiler.problem(&format!("post_processing[{i}]"), &error.to_string());
        }
        PostProcessor::default()
    });
    if !compiler.problems.is_empty() {
        return Err(compiler.problems);
    }
    let declared = |name: &str| variables.iter().any(|v| v.name == name) || name == INPUT || name == CONTEXT;
    let undeclared = compiler.placeholders.iter().filter(|name| !declared(name)).cloned().collect();
    let mut prompt = CompiledPrompt {
        system,
        examples: examples(body),
        messages,
        variables,
        undeclared,
        placeholders: compiler.placeholders,
        post_processor,
        warnings: Vec::new(),
    };
    prompt.warnings = warnings(&prompt, body);
    Ok(prompt)
}

fn examples(body: &PromptBody) -> Vec<Message> {
    let pair =
        |e: &crate::prompt::Example| [Message::text(Role::User, &*e.input), Message::text(Role::Assistant, &*e.output)];
    body.examples.iter().flat_map(pair).collect()
}

fn warnings(prompt: &CompiledPrompt, body: &PromptBody) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in &prompt.undeclared {
        warnings.push(format!("rendering will fail: `{name}`: {}", prompt.undeclared_message(name)));
    }
    for variable in prompt.variables.iter().filter(|v| !prompt.uses(&v.name) && v.name != INPUT && v.name != CONTEXT) {
        warnings.push(format!("variable `{}` is declared, but nothing uses it", variable.name));
    }
    for (i, example) in body.examples.iter().enumerate() {
        let looks_like_template = |text: &str| Template::compile(text).is_ok_and(|t| t.placeholders().next().is_some());
        if looks_like_template(&example.input) || looks_like_template(&example.output) {
            warnings.push(format!("examples[{i}] has `{{{{ … }}}}` in it: examples are sent as they are written"));
        }
    }
    if prompt.system.is_none() && prompt.messages.is_empty() && prompt.examples.is_empty() {
        warnings.push("the prompt is empty: only the input is sent".to_owned());
    }
    warnings
}

/// Deepest nesting of content parts.
const MAX_DEPTH: usize = 16;

#[derive(Default)]
struct Compiler {
    problems: Vec<FieldProblem>,
    placeholders: BTreeSet<String>,
}

impl Compiler {
    fn problem(&mut self, field: &str, message: &str) {
        self.problems.push(FieldProblem { field: field.to_owned(), message: message.to_owned() });
    }

    fn template(&mut self, field: &str, text: &str) -> Option<Template> {
        match Template::compile(text) {
            Ok(template) => {
                self.placeholders.extend(template.placeholders().map(str::to_owned));
                Some(template)
            }
            Err(error) => {
                self.problem(field, &error.to_string());
                None
            }
        }
    }

    /// Compiles every text in a content; `type` and the like are texts without placeholders.
    fn content(&mut self, field: &str, content: &Value, depth: usize) -> Content {
        if depth > MAX_DEPTH {
            self.problem(field, "content parts nest too deeply");
            return Content::Fixed(Value::Null);
        }
        match content {
            Value::String(text) => self.template(field, text).map_or(Content::Fixed(Value::Null), Content::Text),
            Value::Array(items) => {
                let compile = |(i, item)| self.content(&format!("{field}[{i}]"), item, depth + 1);
                Content::List(items.iter().enumerate().map(compile).collect())
            }
            Value::Object(members) => {
                let compile = |(k, v): (&String, _)| (k.clone(), self.content(&format!("{field}.{k}"), v, depth + 1));
                Content::Map(members.iter().map(compile).collect())
            }
            other => Content::Fixed(other.clone()),
        }
    }

    fn variables(&mut self, body: &PromptBody) -> Vec<CompiledVariable> {
        let mut compiled: Vec<CompiledVariable> = Vec::with_capacity(body.variables.len());
        for (i, variable) in body.variables.iter().enumerate() {
            if body.variables[..i].iter().any(|v| v.name == variable.name) {
                self.problem(&format!("variables[{i}].name"), &format!("`{}` is declared twice", variable.name));
            }
            match CompiledVariable::compile(variable) {
                Ok(variable) => compiled.push(variable),
                Err(problems) => {
                    for (field, problem) in problems {
                        self.problem(&format!("variables[{i}]{field}"), &problem);
                    }
                }
            }
        }
        compiled
    }
}
