//! The one way from a prompt and its variables to messages. Evaluation, gateway, playground and canary use it alike.
//!
//! Messages come in this order: the system message, the few-shot examples as user and assistant in turn, then the
//! prompt's messages (or its content as the user). Where no template uses `input`, the input follows as the last user
//! message. A conversation that came with the sample is put before the last of these user messages. Where it ends with something
//! that is not the user's (calls of tools and their results, the beginning of an answer), what the user said last is the
//! input, and what follows stays behind the message that wraps it.
//!
//! `input` and `context` need no declaration; every other placeholder does. System, content and messages are templates;
//! examples, tools, names and ids are sent as they are written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::chat::{Message, Role};
use crate::post_process::PostProcessor;
use crate::prompt::PromptBody;
use crate::suggest;
use crate::template::{Template, TemplateError, TemplateProblem};

mod compile;
mod placed;
mod target;
mod variables;

pub use placed::{Placed, joined, place};
pub use target::CompiledTarget;
use variables::CompiledVariable;

/// The variable that holds what is asked.
pub const INPUT: &str = "input";
/// The variable that holds the passages to answer from, joined by blank lines.
pub const CONTEXT: &str = "context";

/// Something wrong with one field of a prompt, or with one of its variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldProblem {
    /// The field, such as `messages[1].content` or `variables[0].default`; the name of a variable in
    /// [`RenderError::Variables`].
    pub field: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

/// Why a prompt does not compile or render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The prompt itself is wrong: everything that was found.
    #[error("{}", lines(.0))]
    Prompt(Vec<FieldProblem>),
    /// The values do not fit the declared variables: everything that was found.
    #[error("{}", lines(.0))]
    Variables(Vec<FieldProblem>),
    /// One template failed on these values.
    #[error("{field}: {error}")]
    Template {
        /// Which, such as `system` or `messages[1].content`.
        field: String,
        /// Where and why.
        error: TemplateError,
    },
    /// There is no message at all.
    #[error("nothing to send: there is no prompt text, no input and no message")]
    Nothing,
}

fn lines(problems: &[FieldProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What to do with values that neither a declaration nor a placeholder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Leave them alone: a sample may carry more than one prompt needs.
    Ignore,
    /// Refuse them: a person who types one has misspelt another.
    Refuse,
}

/// A prompt, compiled once and rendered often.
#[derive(Debug, Clone)]
pub struct CompiledPrompt {
    system: Option<Template>,
    /// Examples, two messages each.
    examples: Vec<Message>,
    messages: Vec<CompiledMessage>,
    variables: Vec<CompiledVariable>,
    /// Placeholders without a declaration, sorted.
    undeclared: Vec<String>,
    /// All placeholders.
    placeholders: BTreeSet<String>,
    post_processor: PostProcessor,
    warnings: Vec<String>,
}

/// The messages of a prompt around a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The prompt's own messages.
    pub messages: Vec<Message>,
    /// Where a conversation stands among them.
    pub conversation_at: usize,
}

impl Frame {
    /// All messages: those before the input where a conversation stands, the input in the message that wraps it, with all of its
    /// parts, and the rest behind that.
    fn around(mut self, conversation: AroundInput) -> Vec<Message> {
        let at = self.conversation_at.min(self.messages.len());
        if let Some(message) = self.messages.get_mut(at) {
            message.name = message.name.take().or(conversation.name);
            if !conversation.parts.is_empty() {
                message.content = wrapped(&message.content, &conversation.parts);
            }
        } else {
            let beside: Vec<_> = conversation.parts.into_iter().filter(|part| text_of(part).is_none()).collect();
            if !beside.is_empty() {
                let name = conversation.name;
                self.messages.push(Message { content: beside.into(), name, ..Message::text(Role::User, "") });
            }
        }
        let behind = (at + 1).min(self.messages.len());
        self.messages.splice(behind..behind, conversation.after);
        self.messages.splice(at..at, conversation.before);
        self.messages
    }

    /// Leaves out what the prompt would have the user say where the user says nothing: providers refuse empty messages. The
    /// conversation follows what is left.
    fn drop_blank(&mut self) {
        let is_blank =
            |m: &Message| m.role == Role::User && m.content.as_str().is_some_and(|text| text.trim().is_empty());
        if self.messages.iter().any(is_blank) {
            self.messages.retain(|message| !is_blank(message));
            self.conversation_at = self.messages.len();
        }
    }
}

/// A conversation around what the user said last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AroundInput {
    /// What came before.
    pub before: Vec<Message>,
    /// What the user said last; none where the user says nothing.
    pub said: Option<String>,
    /// Its parts, where it comes in parts, images among them.
    pub parts: Vec<Value>,
    /// The name of the user who said it.
    pub name: Option<String>,
    /// What came after: calls of tools and their results, the beginning of an answer.
    pub after: Vec<Message>,
}

impl AroundInput {
    /// Splits a conversation. Where the user says nothing, all of it comes before.
    pub fn of(mut messages: Vec<Message>) -> Self {
        let Some((at, said)) = last_said(&messages) else {
            return Self { before: messages, ..Self::default() };
        };
        let after = messages.split_off(at + 1);
        let Message { content, name, .. } = messages.swap_remove(at);
        let parts = if let Value::Array(parts) = content { parts } else { Vec::new() };
        Self { before: messages, said: Some(said), parts, name, after }
    }
}

/// What is said in parts, in a message's rendered content.
fn wrapped(ours: &Value, parts: &[Value]) -> Value {
    let texts: Vec<_> = parts.iter().map(text_of).collect();
    let written = place(ours, &texts).into_iter().map(|placed| match placed {
        Placed::Ours(part) => part,
        Placed::Theirs(at) => parts[at].clone(),
        Placed::With(at, text) => {
            let mut part = parts[at].clone();
            part["text"] = text.into();
            part
        }
    });
    written.collect()
}

/// The text of a part that is one.
fn text_of(part: &Value) -> Option<&str> {
    part["text"].as_str().filter(|_| part["type"] == "text")
}

/// Where the user spoke last, and the text of it. The results of tools stand in messages of the user too, in one format.
fn last_said(messages: &[Message]) -> Option<(usize, String)> {
    let users = messages.iter().enumerate().rev().filter(|(_, message)| message.role == Role::User);
    users.into_iter().find_map(|(at, message)| Some((at, spoken(&message.content)?)))
}

/// The text of a content where a template may wrap it: the result of a tool may not, since it belongs to the call before it.
fn spoken(content: &Value) -> Option<String> {
    let parts = match content {
        Value::String(text) => return Some(text.clone()),
        Value::Array(parts) if !parts.is_empty() => parts,
        _ => return None,
    };
    let can_be_wrapped = |part: &Value| part["type"].as_str().is_some_and(|kind| kind != "tool_result");
    parts.iter().all(can_be_wrapped).then(|| joined(parts.iter().filter_map(text_of)))
}

/// A message whose content is a template; the rest of it is fixed.
#[derive(Debug, Clone)]
struct CompiledMessage {
    /// Where it stands in the prompt, for errors.
    field: String,
    /// Everything but the content.
    frame: Message,
    content: Content,
}

/// A message's content: text, or content parts with templates in them.
#[derive(Debug, Clone)]
enum Content {
    Fixed(Value),
    Text(Template),
    List(Vec<Content>),
    Map(Vec<(String, Content)>),
}

impl CompiledPrompt {
    /// Compiles a prompt.
    ///
    /// # Errors
    /// [`RenderError::Prompt`] with everything that is wrong with it.
    pub fn compile(body: &PromptBody) -> Result<Self, RenderError> {
        compile::compile(body).map_err(RenderError::Prompt)
    }

    /// What a person should know when pushing this prompt: placeholders that no variable declares, variables that
    /// nothing uses, examples that look like templates.
    pub fn push_warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a template of the prompt uses this variable.
    pub fn uses(&self, name: &str) -> bool {
        self.placeholders.contains(name)
    }

    /// The steps for the answers.
    pub fn post_processor(&self) -> &PostProcessor {
        &self.post_processor
    }

    /// Checks the values, fills in defaults and renders the prompt.
    ///
    /// # Errors
    /// When a placeholder is not declared, a required variable is missing, a value does not fit, or a template fails.
    pub fn render(&self, values: BTreeMap<String, Value>, extra: Extra) -> Result<Vec<Message>, RenderError> {
        self.messages(&self.bind(values, extra)?, &[])
    }

    /// Checks the values of the declared variables, turns them into their types without loss, and fills in defaults.
    /// Null counts as not given. What no declaration knows stays as it is.
    ///
    /// # Errors
    /// [`RenderError::Variables`] with everything that was found.
    pub fn bind(
        &self,
        mut values: BTreeMap<String, Value>,
        extra: Extra,
    ) -> Result<BTreeMap<String, Value>, RenderError> {
        let mut problems = Vec::new();
        let mut problem =
            |field: &str, message: String| problems.push(FieldProblem { field: field.to_owned(), message });
        for name in &self.undeclared {
            problem(name, self.undeclared_message(name));
        }
        for variable in &self.variables {
            let value = values.get(&variable.name).filter(|v| !v.is_null());
            let bound = match (value.map(|v| variable.accept(v)), &variable.default) {
                (Some(Ok(Cow::Borrowed(_))), _) => continue,
                (Some(Ok(Cow::Owned(value))), _) => Some(value),
                (Some(Err(message)), _) => {
                    problem(&variable.name, message);
                    continue;
                }
                (None, Some(default)) => Some(default.clone()),
                (None, None) if variable.required => {
                    problem(&variable.name, "it is required and has no value".to_owned());
                    continue;
                }
                (None, None) => None,
            };
            match bound {
                Some(value) => values.insert(variable.name.clone(), value),
                None => values.remove(&variable.name),
            };
        }
        if extra == Extra::Refuse {
            for name in values.keys().filter(|name| !self.knows(name)) {
                problem(name, self.unknown_message(name));
            }
        }
        if problems.is_empty() { Ok(values) } else { Err(RenderError::Variables(problems)) }
    }

    /// Renders the messages from values that [`Self::bind`] answered, with a conversation before the last user message.
    ///
    /// # Errors
    /// When a template fails, or there is nothing to send.
    pub fn messages(
        &self,
        bound: &BTreeMap<String, Value>,
        conversation: &[Message],
    ) -> Result<Vec<Message>, RenderError> {
        let before = AroundInput { before: conversation.to_vec(), ..AroundInput::default() };
        let messages = self.frame(bound, Asked::Something)?.around(before);
        if messages.is_empty() { Err(RenderError::Nothing) } else { Ok(messages) }
    }

    /// The prompt's own messages, and where a conversation belongs among them.
    fn frame(&self, bound: &BTreeMap<String, Value>, asked: Asked) -> Result<Frame, RenderError> {
        let mut messages = Vec::with_capacity(self.examples.len() + self.messages.len() + 2);
        if let Some(system) = &self.system {
            let text =
                system.render(bound).map_err(|error| RenderError::Template { field: "system".to_owned(), error })?;
            messages.push(Message::text(Role::System, text));
        }
        messages.extend_from_slice(&self.examples);
        let fixed = messages.len();
        let is_silent = asked == Asked::Nothing && !has_text(bound.get(INPUT));
        for message in &self.messages {
            messages.extend(if is_silent { message.render_silent(bound)? } else { Some(message.render(bound)?) });
        }
        if !self.uses(INPUT) {
            messages.extend(bound.get(INPUT).and_then(input_message));
        }
        // A conversation in which the user says nothing follows the prompt, as it does in calls.
        if asked == Asked::Nothing && self.uses(INPUT) {
            let conversation_at = messages.len();
            return Ok(Frame { messages, conversation_at });
        }
        let last_user = messages[fixed..].iter().rposition(|m| m.role == Role::User);
        let conversation_at = last_user.map_or(messages.len(), |i| fixed + i);
        Ok(Frame { messages, conversation_at })
    }

    fn declares(&self, name: &str) -> bool {
        self.variables.iter().any(|v| v.name == name)
    }

    fn knows(&self, name: &str) -> bool {
        name == INPUT || name == CONTEXT || self.uses(name) || self.declares(name)
    }

    /// Why no values make it render: it uses what it does not declare, so that nobody can give it.
    pub fn never_renders(&self) -> Option<String> {
        let told = |name: &String| format!("`{name}`: {}", self.undeclared_message(name));
        let all: Vec<String> = self.undeclared.iter().map(told).collect();
        (!all.is_empty()).then(|| format!("the prompt can never be rendered: {}", all.join("; ")))
    }

    fn undeclared_message(&self, name: &str) -> String {
        let hint = self.closest(name).map_or_else(
            || format!("add {{name: {name}, type: string}} to them"),
            |known| format!("did you mean `{known}`?"),
        );
        format!("the prompt uses it, but does not declare it under `variables`: {hint}")
    }

    fn unknown_message(&self, name: &str) -> String {
        match self.closest(name) {
            Some(known) => format!("the prompt has no such variable: did you mean `{known}`?"),
            None if self.variables.is_empty() => "the prompt has no variables".to_owned(),
            None => {
                let names: Vec<&str> = self.variables.iter().map(|v| v.name.as_str()).collect();
                format!("the prompt has no such variable: it has {}", names.join(", "))
            }
        }
    }

    /// The variable that was most likely meant.
    fn closest(&self, name: &str) -> Option<&str> {
        suggest::nearest(name, self.variables.iter().map(|v| v.name.as_str()).chain([INPUT, CONTEXT]))
    }
}

/// Whether somebody asks something in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// There is no conversation, or the user speaks in it.
    Something,
    /// Others speak, and the user does not: unless the input has a default, there is none.
    Nothing,
}

fn has_text(input: Option<&Value>) -> bool {
    input.is_some_and(|input| !input.is_null() && input != "")
}

/// The input as a message of its own; none where it is empty.
fn input_message(input: &Value) -> Option<Message> {
    let text = match input {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    (!text.is_empty()).then(|| Message::text(Role::User, text))
}

impl CompiledMessage {
    fn render(&self, bound: &BTreeMap<String, Value>) -> Result<Message, RenderError> {
        let content =
            self.content.render(bound).map_err(|error| RenderError::Template { field: self.field.clone(), error })?;
        Ok(Message { content, ..self.frame.clone() })
    }

    /// The same without an input; nothing where the user would say it and it cannot do without one: half of a question is none.
    fn render_silent(&self, bound: &BTreeMap<String, Value>) -> Result<Option<Message>, RenderError> {
        if self.frame.role != Role::User {
            return self.render(bound).map(Some);
        }
        let mut silent = bound.clone();
        silent.remove(INPUT);
        match self.render(&silent) {
            Err(RenderError::Template {
                error: TemplateError { problem: TemplateProblem::Missing(name), .. }, ..
            }) if name == INPUT => Ok(None),
            rendered => rendered.map(Some),
        }
    }
}

impl Content {
    fn render(&self, bound: &BTreeMap<String, Value>) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.render(bound)?),
            Self::List(items) => Value::Array(items.iter().map(|item| item.render(bound)).collect::<Result<_, _>>()?),
            Self::Map(members) => {
                let render = |(name, member): &(String, Self)| Ok((name.clone(), member.render(bound)?));
                Value::Object(members.iter().map(render).collect::<Result<_, _>>()?)
            }
        })
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "helpers take `json!` values as they are written")]
mod tests;
