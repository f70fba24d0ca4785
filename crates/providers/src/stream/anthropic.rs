//! Anthropic's stream of content blocks.

use llmops_domain::chat::Usage;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Piece, error_text, parsed};
use crate::anthropic::{ANSWER_TOOL, finish_reason};
use crate::beside::{Citation, ThinkingBlock};
use crate::text::{Halves, Text};
use crate::translate::compact;
use crate::usage::WireUsage;

/// What the block under way is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Block {
    /// Text, or nothing that is handed on.
    #[default]
    Other,
    /// What the model thinks.
    Thoughts,
    /// The call of a tool, at this place among the calls.
    Call(usize),
    /// The call that stands for a JSON schema: its input is the answer.
    Answer,
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    block: Block,
    calls: usize,
    /// The input that the block under way began with, as long as no piece of it has come.
    input: Option<String>,
    is_structured: bool,
    /// Of the text or the input of the block under way.
    halves: Halves,
    /// The thoughts of the block under way, and what Anthropic knows them by.
    thoughts: String,
    signature: String,
    /// Characters of the text so far, and of those before the block under way.
    chars: usize,
    chars_before: usize,
    /// What the block under way refers to.
    citations: Vec<Value>,
    /// What was counted so far.
    usage: Option<Usage>,
}

/// Every kind of event in one: serde reads what has a tag through a form that knows no halves of characters.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Start>,
    content_block: Option<Beginning>,
    delta: Option<Delta>,
    usage: Option<WireUsage>,
    error: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Start {
    model: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Beginning {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Text>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Box<RawValue>>,
    thinking: Option<Text>,
    signature: Option<String>,
    data: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Text>,
    partial_json: Option<Text>,
    thinking: Option<Text>,
    signature: Option<String>,
    citation: Option<Value>,
    stop_reason: Option<String>,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let event: Event = match parsed(data) {
            Ok(event) => event,
            Err(pieces) => return pieces,
        };
        match event.kind.as_str() {
            "message_start" => {
                let message = event.message.unwrap_or_default();
                let mut pieces = vec![Piece::Model(message.model.unwrap_or_default())];
                pieces.extend(self.count(message.usage));
                pieces
            }
            "content_block_start" => self.begin(event.content_block.unwrap_or_default()),
            "content_block_delta" => self.go_on(event.delta.unwrap_or_default()),
            "content_block_stop" => self.stop(),
            "message_delta" => {
                let reason = event.delta.and_then(|delta| delta.stop_reason).filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| finish_reason(reason, self.is_structured));
                // Some servers leave out the end of a block.
                let mut pieces = self.stop();
                pieces.extend(reason.map(Piece::Finish));
                pieces.extend(self.count(event.usage));
                pieces
            }
            "error" => vec![Piece::Error(error_text(&event.error))],
            "message_stop" => vec![Piece::End],
            _ => Vec::new(),
        }
    }

    fn count(&mut self, usage: Option<WireUsage>) -> Option<Piece> {
        self.usage = usage?.after(self.usage);
        self.usage.map(Piece::Usage)
    }

    fn begin(&mut self, block: Beginning) -> Vec<Piece> {
        let mut pieces = self.stop();
        (self.block, self.halves) = (Block::Other, Halves::default());
        self.chars_before = self.chars;
        let name = block.name.unwrap_or_default();
        match block.kind.as_str() {
            "text" => pieces.extend(self.text(block.text)),
            "thinking" => {
                self.block = Block::Thoughts;
                self.signature = block.signature.unwrap_or_default();
                pieces.extend(self.think(block.thinking));
            }
            "redacted_thinking" => {
                let data = block.data.unwrap_or_default();
                pieces.push(Piece::Thinking(ThinkingBlock::RedactedThinking { data }));
            }
            "tool_use" => {
                self.input = Some(block.input.as_deref().map_or_else(|| "{}".to_owned(), compact));
                if name == ANSWER_TOOL {
                    (self.block, self.is_structured) = (Block::Answer, true);
                } else {
                    let index = self.calls;
                    self.calls += 1;
                    self.block = Block::Call(index);
                    pieces.push(Piece::Call { index, id: block.id.unwrap_or_default(), name });
                }
            }
            _ => {}
        }
        pieces
    }

    /// The end of a block: the input of a call without arguments never comes in pieces, and what a text refers to, or thoughts
    /// are known by, is all there.
    fn stop(&mut self) -> Vec<Piece> {
        let input = self.input.take();
        match self.block {
            Block::Call(index) => input.map(|text| Piece::Arguments { index, text }).into_iter().collect(),
            Block::Answer => input.map(Piece::Text).into_iter().collect(),
            Block::Thoughts => {
                let (thinking, signature) = (std::mem::take(&mut self.thoughts), std::mem::take(&mut self.signature));
                let block = ThinkingBlock::Thinking { thinking, signature };
                Some(block).filter(ThinkingBlock::is_signed).map(Piece::Thinking).into_iter().collect()
            }
            Block::Other => {
                let place = (self.chars_before, self.chars);
                let cited = std::mem::take(&mut self.citations).into_iter();
                cited.filter_map(|citation| Citation::of_anthropic(&citation, place)).map(Piece::Citation).collect()
            }
        }
    }

    fn go_on(&mut self, delta: Delta) -> Vec<Piece> {
        match (delta.kind.as_str(), self.block) {
            ("text_delta", _) => self.text(delta.text),
            ("thinking_delta", Block::Thoughts) => self.think(delta.thinking),
            ("signature_delta", Block::Thoughts) => {
                self.signature.push_str(&delta.signature.unwrap_or_default());
                Vec::new()
            }
            ("citations_delta", Block::Other) => {
                self.citations.extend(delta.citation);
                Vec::new()
            }
            ("input_json_delta", Block::Answer) => self.piece_of_input(delta.partial_json, Piece::Text),
            ("input_json_delta", Block::Call(index)) => {
                self.piece_of_input(delta.partial_json, |text| Piece::Arguments { index, text })
            }
            _ => Vec::new(),
        }
    }

    fn piece_of_input(&mut self, json: Option<Text>, piece: impl Fn(String) -> Piece) -> Vec<Piece> {
        let json = json.unwrap_or_default();
        // The pieces stand for all of the input.
        self.input = self.input.take().filter(|_| json.is_empty());
        let text = self.halves.join(json);
        if text.is_empty() { Vec::new() } else { vec![piece(text)] }
    }

    fn text(&mut self, text: Option<Text>) -> Vec<Piece> {
        let text = self.halves.join(text.unwrap_or_default());
        self.chars += text.chars().count();
        if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] }
    }

    fn think(&mut self, text: Option<Text>) -> Vec<Piece> {
        let text = self.halves.join(text.unwrap_or_default());
        self.thoughts.push_str(&text);
        if text.is_empty() { Vec::new() } else { vec![Piece::Thought(text)] }
    }
}
