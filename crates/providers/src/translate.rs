//! What Anthropic's and Gemini's formats have in common: the system text apart, then turns of parts that alternate.

use std::borrow::Cow;

use llmops_domain::chat::{ChatRequest, Message, Role};
use serde_json::{Map, Value};

/// Whose turn it is. Tool results belong to the user's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Assistant,
}

/// Consecutive messages of one side.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub speaker: Speaker,
    pub parts: Vec<Part<'a>>,
}

/// A piece of a turn.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Text(Cow<'a, str>),
    /// An image at an address.
    ImageUrl(&'a str),
    /// An image in base 64.
    ImageData {
        media_type: &'a str,
        data: &'a str,
    },
    /// A call that the model made.
    ToolCall {
        id: &'a str,
        name: &'a str,
        arguments: Value,
    },
    /// What a tool answered.
    ToolResult {
        id: &'a str,
        name: &'a str,
        text: Cow<'a, str>,
    },
}

/// The texts of all system and developer messages, joined by empty lines; `None` where there are none.
pub(crate) fn system(request: &ChatRequest) -> Option<String> {
    let texts: Vec<Cow<'_, str>> =
        request.messages.iter().filter(|message| is_system(message)).map(Message::as_text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// All other messages, those of one side in a row together. Empty texts are left out: providers refuse them.
pub(crate) fn turns(request: &ChatRequest) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in request.messages.iter().filter(|message| !is_system(message)) {
        let speaker = if message.role == Role::Assistant { Speaker::Assistant } else { Speaker::User };
        let parts = parts(request, message);
        match turns.last_mut() {
            Some(last) if last.speaker == speaker => last.parts.extend(parts),
            _ => turns.push(Turn { speaker, parts }),
        }
    }
    turns.retain(|turn| !turn.parts.is_empty());
    turns
}

fn is_system(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

fn parts<'a>(request: &'a ChatRequest, message: &'a Message) -> Vec<Part<'a>> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        return vec![Part::ToolResult { id, name: called_name(request, id), text: message.as_text() }];
    }
    let mut parts = match &message.content {
        Value::Array(list) => list.iter().filter_map(content_part).collect(),
        _ => vec![Part::Text(message.as_text())],
    };
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    parts.extend(message.tool_calls.iter().map(|call| Part::ToolCall {
        id: &call.id,
        name: &call.function.name,
        arguments: arguments(&call.function.arguments),
    }));
    parts
}

fn content_part(part: &Value) -> Option<Part<'_>> {
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        return Some(Part::Text(Cow::Borrowed(text)));
    }
    let url = part.pointer("/image_url/url")?.as_str()?;
    let embedded = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    Some(match embedded {
        Some((media_type, data)) => Part::ImageData { media_type, data },
        None => Part::ImageUrl(url),
    })
}

/// The name of the function that the call `id` asked for.
fn called_name<'a>(request: &'a ChatRequest, id: &str) -> &'a str {
    let mut calls = request.messages.iter().flat_map(|message| &message.tool_calls);
    calls.find(|call| call.id == id).map_or("", |call| &call.function.name)
}

/// Arguments as an object. What is none, because the model wrote broken JSON, is kept under a name of its own.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => object,
        _ => Value::Object(Map::from_iter([("arguments".to_owned(), text.into())])),
    }
}

/// A function of OpenAI's `tools` list: name, description, schema of the parameters.
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub parameters: Option<&'a Value>,
}

/// The functions among the request's tools.
pub(crate) fn functions(request: &ChatRequest) -> impl Iterator<Item = Function<'_>> {
    request.tools.iter().filter_map(|tool| {
        let function = tool.get("function")?;
        Some(Function {
            name: function.get("name")?.as_str()?,
            description: function.get("description").and_then(Value::as_str),
            parameters: function.get("parameters"),
        })
    })
}

/// Whether and which tool must be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    Auto,
    None,
    Required,
    Function(&'a str),
}

/// OpenAI's `tool_choice`, where a request has it; what is written in another format's words is left alone.
pub(crate) fn choice(request: &ChatRequest) -> Option<Choice<'_>> {
    let choice = request.parameters.extra_body.get("tool_choice")?;
    match choice.as_str() {
        Some("auto") => Some(Choice::Auto),
        Some("none") => Some(Choice::None),
        Some("required") => Some(Choice::Required),
        _ => Some(Choice::Function(choice.pointer("/function/name")?.as_str()?)),
    }
}

/// What `response_format` asks for.
pub(crate) enum Format<'a> {
    Text,
    Json,
    Schema(&'a Value),
}

/// Reads OpenAI's `response_format`.
pub(crate) fn format(request: &ChatRequest) -> Format<'_> {
    let Some(format) = &request.response_format else { return Format::Text };
    match format.get("type").and_then(Value::as_str) {
        Some("json_schema") => format.pointer("/json_schema/schema").map_or(Format::Json, Format::Schema),
        Some("json_object") => Format::Json,
        _ => Format::Text,
    }
}

/// A JSON object under construction: fields are left out where there is no value.
#[derive(Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(crate) fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Lays `extra` over the fields: null removes a field, and an object is merged into an object.
    pub(crate) fn overlay<'a>(&mut self, extra: impl IntoIterator<Item = (&'a String, &'a Value)>) {
        for (name, value) in extra {
            match (self.0.get_mut(name), value) {
                (_, Value::Null) => {
                    self.0.remove(name);
                }
                (Some(Value::Object(own)), Value::Object(more)) => own.extend(more.clone()),
                _ => self.put(name, value.clone()),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}
