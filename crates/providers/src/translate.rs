//! What Anthropic's and Gemini's formats have in common: the system text apart, then turns of parts that alternate.

use std::borrow::Cow;
use std::collections::BTreeMap;

use llmops_domain::chat::{ChatRequest, Message, Role};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::provider::ProviderError;
use crate::reasoning;

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
    /// A file in base 64.
    File {
        media_type: &'a str,
        data: &'a str,
        name: Option<&'a str>,
    },
    /// Sound in base 64, with OpenAI's name of its format.
    Audio {
        format: &'a str,
        data: &'a str,
    },
    /// A call that the model made. Its arguments are an object, as it was written: numbers of any size.
    ToolCall {
        id: &'a str,
        name: &'a str,
        arguments: Box<RawValue>,
    },
    /// What a tool answered.
    ToolResult {
        id: &'a str,
        name: &'a str,
        text: Cow<'a, str>,
    },
    /// What the model thought, in Anthropic's words.
    Thinking(&'a Value),
    /// What stands before it may be kept by the provider's cache, as Anthropic's `cache_control` says it.
    CacheMark(&'a Value),
}

/// The texts of all system and developer messages, joined by empty lines; `None` where there are none.
pub(crate) fn system(request: &ChatRequest) -> Option<String> {
    let texts: Vec<Cow<'_, str>> =
        request.messages.iter().filter(|message| is_system(message)).map(Message::as_text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// All other messages, those of one side in a row together. Empty texts are left out: providers refuse them.
///
/// # Errors
/// `Config` with the part of a message that has no counterpart.
pub(crate) fn turns(request: &ChatRequest) -> Result<Vec<Turn<'_>>, ProviderError> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| !is_system(message)) {
        let speaker = if message.role == Role::Assistant { Speaker::Assistant } else { Speaker::User };
        let parts = parts(&request.messages[..at], message)?;
        match turns.last_mut() {
            Some(last) if last.speaker == speaker => last.parts.extend(parts),
            _ => turns.push(Turn { speaker, parts }),
        }
    }
    turns.retain(|turn| !turn.parts.is_empty());
    Ok(turns)
}

pub(crate) fn is_system(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

fn parts<'a>(before: &'a [Message], message: &'a Message) -> Result<Vec<Part<'a>>, ProviderError> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let result = Part::ToolResult { id, name: called_name(before, id), text: message.as_text() };
        let mark = message.content.as_array().and_then(|parts| parts.iter().rev().find_map(cache_mark));
        return Ok(std::iter::once(result).chain(mark.map(Part::CacheMark)).collect());
    }
    let is_empty = |part: &Part<'_>| matches!(part, Part::Text(text) if text.is_empty());
    let mut parts = Vec::new();
    match &message.content {
        Value::Array(list) => {
            for part in list {
                let read = content_part(part)?;
                if !is_empty(&read) {
                    parts.push(read);
                    parts.extend(cache_mark(part).map(Part::CacheMark));
                }
            }
        }
        _ => parts.extend(Some(Part::Text(message.as_text())).filter(|part| !is_empty(part))),
    }
    parts.extend(message.tool_calls.iter().map(|call| Part::ToolCall {
        id: &call.id,
        name: &call.function.name,
        arguments: arguments_object(&call.function.arguments),
    }));
    Ok(parts)
}

/// Anthropic's mark for its cache, which clients of other formats write as well.
pub(crate) fn cache_mark(part: &Value) -> Option<&Value> {
    part.get("cache_control").filter(|mark| mark.is_object())
}

fn content_part(part: &Value) -> Result<Part<'_>, ProviderError> {
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
    if let Some(text) = text("/text").or_else(|| text("/refusal")) {
        return Ok(Part::Text(Cow::Borrowed(text)));
    }
    let read = match text("/type").unwrap_or("image_url") {
        "thinking" | "redacted_thinking" => Some(Part::Thinking(part)),
        "image_url" => text("/image_url/url").map(|url| match embedded(url) {
            Some((media_type, data)) => Part::ImageData { media_type, data },
            None => Part::ImageUrl(url),
        }),
        "file" => text("/file/file_data").and_then(embedded).map(|(media_type, data)| Part::File {
            media_type,
            data,
            name: text("/file/filename"),
        }),
        "input_audio" => text("/input_audio/data")
            .zip(text("/input_audio/format"))
            .map(|(data, format)| Part::Audio { format, data }),
        _ => None,
    };
    read.ok_or_else(|| {
        let kind = text("/type").unwrap_or_default();
        unsaid(format!(
            "`messages`: a content part of the type `{kind}` cannot be said to this model provider as it is: use text, \
             `image_url`, or a `file` with `file_data` as `data:TYPE;base64,…`"
        ))
    })
}

/// Media type and content of a `data:` address.
fn embedded(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// What a request says and the provider's format does not.
pub(crate) fn unsaid(message: impl Into<String>) -> ProviderError {
    ProviderError::Config(message.into())
}

/// The name of the function that the call `id` asked for: the last one, since some providers use ids again.
fn called_name<'a>(before: &'a [Message], id: &str) -> &'a str {
    let mut calls = before.iter().flat_map(|message| &message.tool_calls).rev();
    calls.find(|call| call.id == id).map_or("", |call| &call.function.name)
}

/// An id for a call whose provider gives none, unlike that of any other call.
pub(crate) fn new_call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
}

/// The arguments of a call as an object, as they were written. What is none, because the model wrote broken JSON, is kept
/// under a name of its own.
pub fn arguments_object(text: &str) -> Box<RawValue> {
    #[derive(Serialize)]
    struct Broken<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        arguments: &'a str,
    }
    let broken = || to_raw_value(&Broken { arguments: text.trim() }).ok();
    raw_object(text).or_else(broken).unwrap_or_else(|| RawValue::NULL.to_owned())
}

/// A JSON object, as it was written; nothing where the text is none.
pub(crate) fn raw_object(text: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<Box<RawValue>>(text).ok().filter(|raw| raw.get().starts_with('{'))
}

/// JSON without the white space between its parts. Unlike a value that is read and written, it keeps every number.
pub(crate) fn compact(raw: &RawValue) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let is_kept = |letter: &char| {
        let keeps = is_in_text || !letter.is_ascii_whitespace();
        if !is_escaped && *letter == '"' {
            is_in_text = !is_in_text;
        }
        is_escaped = is_in_text && *letter == '\\' && !is_escaped;
        keeps
    };
    raw.get().chars().filter(is_kept).collect()
}

/// A body: fields, and a list, where no field has its name.
///
/// # Errors
/// `Config` when something has no JSON form.
pub(crate) fn written<T: Serialize>(
    mut fields: Object,
    list: &'static str,
    items: &[T],
) -> Result<Vec<u8>, ProviderError> {
    if fields.get(list).is_none() {
        fields.put(list, items);
    }
    serde_json::to_vec(&fields).map_err(|error| unsaid(format!("the request cannot be written as JSON: {error}")))
}

/// Parts of a request as its caller wrote them: numbers of any size, with any number of digits. Where one is absent, what the
/// request has is meant.
#[derive(Debug, Clone, Default)]
pub struct AsWritten<'a> {
    /// The tools, as many as the request has.
    pub tools: Option<Vec<&'a RawValue>>,
    /// OpenAI's `response_format`.
    pub response_format: Option<&'a RawValue>,
}

impl AsWritten<'_> {
    /// The parameters of a tool's function.
    fn parameters(&self, at: usize) -> Option<Box<RawValue>> {
        #[derive(Deserialize)]
        struct Tool {
            function: Function,
        }
        #[derive(Deserialize)]
        struct Function {
            parameters: Option<Box<RawValue>>,
        }
        let tool: Tool = serde_json::from_str(self.tools.as_ref()?.get(at)?.get()).ok()?;
        tool.function.parameters
    }

    /// The schema of the answer.
    fn schema(&self) -> Option<Box<RawValue>> {
        #[derive(Deserialize)]
        struct Format {
            json_schema: Named,
        }
        #[derive(Deserialize)]
        struct Named {
            schema: Option<Box<RawValue>>,
        }
        let format: Format = serde_json::from_str(self.response_format?.get()).ok()?;
        format.json_schema.schema
    }
}

/// A function of OpenAI's `tools` list: name, description, schema of the parameters.
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    /// As it was written: numbers of any size.
    pub parameters: Option<Box<RawValue>>,
    pub cache_mark: Option<&'a Value>,
}

/// The functions among the request's tools.
pub(crate) fn functions<'a>(
    request: &'a ChatRequest,
    as_written: &AsWritten<'_>,
) -> impl Iterator<Item = Function<'a>> {
    request.tools.iter().enumerate().filter_map(|(at, tool)| {
        let function = tool.get("function")?;
        Some(Function {
            name: function.get("name")?.as_str()?,
            description: function.get("description").and_then(Value::as_str),
            parameters: as_written.parameters(at).or_else(|| function.get("parameters").map(raw)),
            cache_mark: cache_mark(tool).or_else(|| cache_mark(function)),
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

/// The tokens that the model may think for, as OpenAI's `reasoning_effort` says it; nothing where that is absent, or no word
/// that is known.
pub(crate) fn thinking_budget(request: &ChatRequest) -> Option<u32> {
    reasoning::budget(request.parameters.extra_body.get("reasoning_effort")?.as_str()?)
}

/// Whether OpenAI's `parallel_tool_calls` says that one tool at most may be called.
pub(crate) fn one_call_at_most(request: &ChatRequest) -> bool {
    request.parameters.extra_body.get("parallel_tool_calls").is_some_and(|parallel| parallel == false)
}

/// What `response_format` asks for.
pub(crate) enum Format {
    Text,
    Json,
    Schema(Box<RawValue>),
}

/// Reads OpenAI's `response_format`.
pub(crate) fn format(request: &ChatRequest, as_written: &AsWritten<'_>) -> Format {
    let Some(format) = &request.response_format else { return Format::Text };
    match format.get("type").and_then(Value::as_str) {
        Some("json_schema") => {
            let schema = as_written.schema().or_else(|| format.pointer("/json_schema/schema").map(raw));
            schema.map_or(Format::Json, Format::Schema)
        }
        Some("json_object") => Format::Json,
        _ => Format::Text,
    }
}

/// Any value as JSON. What has no JSON form, which nothing that a request is made of lacks, becomes null.
pub(crate) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A JSON object under construction, in the order of its fields: they are left out where there is no value, and each is kept as
/// it is written.
#[derive(Default)]
pub(crate) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        let value = raw(value);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(crate) fn put_some<T: Serialize>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.put(name, &value);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Lays `extra` over the fields: null removes a field, and an object is merged into an object.
    pub(crate) fn overlay<'a>(&mut self, extra: impl IntoIterator<Item = (&'a String, &'a Value)>) {
        for (name, value) in extra {
            let own = || serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(self.get(name)?.get()).ok();
            match value {
                Value::Null => {
                    self.remove(name);
                }
                Value::Object(more) => match own() {
                    Some(mut own) => {
                        own.extend(more.iter().map(|(name, value)| (name.clone(), raw(value))));
                        self.put(name, &own);
                    }
                    None => self.put(name, value),
                },
                _ => self.put(name, value),
            }
        }
    }

    /// Takes a field out; nothing where it is not there.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        serde_json::from_str(self.0.remove(at).1.get()).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields as values.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0.into_iter().map(|(name, value)| (name, json!(value))).collect()
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
