//! Anthropic's stream of content blocks.

use llmops_domain::chat::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::{Piece, error_text};
use crate::anthropic::{ANSWER_TOOL, WireUsage, finish_reason};
use crate::text::{Halves, Text};

/// What the block under way is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Block {
    /// Text, or nothing that is handed on.
    #[default]
    Other,
    /// The call of a tool, at this place among the calls.
    Call(usize),
    /// The call that stands for a JSON schema: its input is the answer.
    Answer,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    block: Block,
    calls: usize,
    is_structured: bool,
    /// Of the text or the input of the block under way.
    halves: Halves,
    usage: Usage,
}

/// Every kind of event in one: serde reads what has a tag through a form that knows no halves of characters.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Start,
    content_block: Beginning,
    delta: Delta,
    usage: Option<WireUsage>,
    error: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Start {
    model: String,
    usage: WireUsage,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Beginning {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Text>,
    id: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Text>,
    partial_json: Option<Text>,
    stop_reason: Option<String>,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let Ok(event) = serde_json::from_slice::<Event>(data) else { return Vec::new() };
        match event.kind.as_str() {
            "message_start" => {
                self.usage = event.message.usage.total();
                vec![Piece::Model(event.message.model), Piece::Usage(self.usage)]
            }
            "content_block_start" => self.begin(event.content_block),
            "content_block_delta" => self.go_on(event.delta),
            "message_delta" => {
                let reason = event.delta.stop_reason.map(|reason| finish_reason(reason, self.is_structured));
                let mut pieces: Vec<Piece> = reason.map(Piece::Finish).into_iter().collect();
                if let Some(usage) = event.usage.map(|usage| usage.total()) {
                    // The tokens read are told at the beginning, and by some servers at the end again.
                    let completion_tokens = usage.completion_tokens;
                    self.usage = Usage { completion_tokens, ..self.usage.at_least(usage) };
                    pieces.push(Piece::Usage(self.usage));
                }
                pieces
            }
            "error" => vec![Piece::Error(error_text(&event.error))],
            "message_stop" => vec![Piece::End],
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, block: Beginning) -> Vec<Piece> {
        (self.block, self.halves) = (Block::Other, Halves::default());
        match block.kind.as_str() {
            "text" => self.text(block.text),
            "tool_use" if block.name == ANSWER_TOOL => {
                (self.block, self.is_structured) = (Block::Answer, true);
                Vec::new()
            }
            "tool_use" => {
                let index = self.calls;
                self.calls += 1;
                self.block = Block::Call(index);
                vec![Piece::Call { index, id: block.id, name: block.name }]
            }
            _ => Vec::new(),
        }
    }

    fn go_on(&mut self, delta: Delta) -> Vec<Piece> {
        match (delta.kind.as_str(), self.block) {
            ("text_delta", _) => self.text(delta.text),
            ("input_json_delta", Block::Answer) => self.text(delta.partial_json),
            ("input_json_delta", Block::Call(index)) => {
                let text = self.halves.join(delta.partial_json.unwrap_or_default());
                if text.is_empty() { Vec::new() } else { vec![Piece::Arguments { index, text }] }
            }
            _ => Vec::new(),
        }
    }

    fn text(&mut self, text: Option<Text>) -> Vec<Piece> {
        let text = self.halves.join(text.unwrap_or_default());
        if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] }
    }
}
