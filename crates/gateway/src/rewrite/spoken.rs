//! What the user said last, in the place where a prompt has its `{{ input }}`: in parts where it came in parts, each with all that
//! it has, in their order.

use std::borrow::Cow;

use llmops_domain::chat::Message;
use llmops_domain::render::{Placed, joined, place};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Said, to_json};
use crate::error::GatewayError;
use crate::request::Fields;

/// A message of the user that a template may wrap.
pub(super) struct Spoken<'a> {
    /// All of it.
    message: &'a RawValue,
    content: Content<'a>,
}

enum Content<'a> {
    Text(String),
    Parts(Vec<Part<'a>>),
}

/// A part of a content; `text` where it is one.
struct Part<'a> {
    raw: &'a RawValue,
    text: Option<String>,
}

/// Where the user spoke last, and what. The results of tools stand in messages of the user too, in one format.
pub(super) fn last_spoken<'a>(messages: &[(Said<'a>, &'a RawValue)]) -> Option<(usize, Spoken<'a>)> {
    let users = messages.iter().enumerate().rev().filter(|(_, (said, _))| said.role == "user");
    users.into_iter().find_map(|(at, (said, message))| {
        let content = Content::read(said.content?)?;
        Some((at, Spoken { message, content }))
    })
}

impl<'a> Content<'a> {
    /// The content where a template may wrap it: the result of a tool may not, since it belongs to the call before it.
    fn read(raw: &'a RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Read<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(default)]
            text: Option<String>,
        }
        if let Ok(text) = serde_json::from_str(raw.get()) {
            return Some(Self::Text(text));
        }
        let all: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        let mut parts = Vec::with_capacity(all.len());
        for raw in all {
            let read: Read<'_> = serde_json::from_str(raw.get()).ok()?;
            if read.kind == "tool_result" {
                return None;
            }
            parts.push(Part { raw, text: read.text.filter(|_| read.kind == "text") });
        }
        (!parts.is_empty()).then_some(Self::Parts(parts))
    }
}

impl Spoken<'_> {
    /// What `{{ input }}` stands for.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Content::Text(text) => Cow::Borrowed(text),
            Content::Parts(parts) => Cow::Owned(joined(parts.iter().filter_map(|part| part.text.as_deref()))),
        }
    }

    /// The message as the prompt's own one has it, which was rendered with the text of this one.
    pub(super) fn wrapped_by(&self, ours: &Message) -> Result<String, GatewayError> {
        let content = match &self.content {
            Content::Text(text) if ours.content == *text => None,
            Content::Text(_) => Some(to_json(&ours.content)?),
            Content::Parts(parts) => Some(in_parts(&ours.content, parts)?),
        };
        let mut message = match content {
            Some(content) => self.with_content(&content)?,
            None => self.message.get().to_owned(),
        };
        if let Some(name) = &ours.name {
            message = Fields::parse(message.as_bytes())?.with("name", &to_json(name)?);
        }
        Ok(message)
    }

    /// The parts that are no text, such as images, where no message of the prompt wraps them.
    pub(super) fn without_text(&self) -> Result<Option<String>, GatewayError> {
        let Content::Parts(parts) = &self.content else { return Ok(None) };
        let others: Vec<_> = parts.iter().filter(|part| part.text.is_none()).map(|part| part.raw.get()).collect();
        if others.is_empty() { Ok(None) } else { self.with_content(&format!("[{}]", others.join(","))).map(Some) }
    }

    fn with_content(&self, content: &str) -> Result<String, GatewayError> {
        Ok(Fields::parse(self.message.get().as_bytes())?.with("content", content))
    }
}

fn in_parts(ours: &Value, parts: &[Part<'_>]) -> Result<String, GatewayError> {
    let texts: Vec<_> = parts.iter().map(|part| part.text.as_deref()).collect();
    let written = place(ours, &texts).into_iter().map(|placed| match placed {
        Placed::Ours(part) => to_json(&part),
        Placed::Theirs(at) => Ok(parts[at].raw.get().to_owned()),
        Placed::With(at, text) => Ok(Fields::parse(parts[at].raw.get().as_bytes())?.with("text", &to_json(&text)?)),
    });
    Ok(format!("[{}]", written.collect::<Result<Vec<_>, _>>()?.join(",")))
}
