//! Anthropic's stream of content blocks.

use llmops_domain::chat::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::{Piece, error_text};
use crate::anthropic::{ANSWER_TOOL, WireUsage, finish_reason};

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
    usage: Usage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Beginning,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        #[serde(default)]
        delta: Stop,
        #[serde(default)]
        usage: Option<WireUsage>,
    },
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Beginning {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stop {
    stop_reason: Option<String>,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let Ok(event) = serde_json::from_slice::<Event>(data) else { return Vec::new() };
        match event {
            Event::MessageStart { message } => {
                self.usage = message.usage.total();
                vec![Piece::Model(message.model), Piece::Usage(self.usage)]
            }
            Event::ContentBlockStart { content_block } => self.begin(content_block),
            Event::ContentBlockDelta { delta } => self.go_on(delta),
            Event::MessageDelta { delta, usage } => {
                let reason = delta.stop_reason.map(|reason| finish_reason(reason, self.is_structured));
                let mut pieces: Vec<Piece> = reason.map(Piece::Finish).into_iter().collect();
                if let Some(usage) = usage.map(|usage| usage.total()) {
                    // The tokens read are told at the beginning, and by some servers at the end again.
                    self.usage.prompt_tokens = self.usage.prompt_tokens.max(usage.prompt_tokens);
                    self.usage.completion_tokens = usage.completion_tokens;
                    pieces.push(Piece::Usage(self.usage));
                }
                pieces
            }
            Event::Error { error } => vec![Piece::Error(error_text(&error))],
            Event::Other => Vec::new(),
        }
    }

    fn begin(&mut self, block: Beginning) -> Vec<Piece> {
        self.block = Block::Other;
        match block {
            Beginning::Text { text } if !text.is_empty() => vec![Piece::Text(text)],
            Beginning::ToolUse { name, .. } if name == ANSWER_TOOL => {
                (self.block, self.is_structured) = (Block::Answer, true);
                Vec::new()
            }
            Beginning::ToolUse { id, name } => {
                let index = self.calls;
                self.calls += 1;
                self.block = Block::Call(index);
                vec![Piece::Call { index, id, name }]
            }
            Beginning::Text { .. } | Beginning::Other => Vec::new(),
        }
    }

    fn go_on(&mut self, delta: Delta) -> Vec<Piece> {
        match (delta, self.block) {
            (Delta::Text { text }, _) if !text.is_empty() => vec![Piece::Text(text)],
            (Delta::InputJson { partial_json }, _) if partial_json.is_empty() => Vec::new(),
            (Delta::InputJson { partial_json }, Block::Call(index)) => {
                vec![Piece::Arguments { index, text: partial_json }]
            }
            (Delta::InputJson { partial_json }, Block::Answer) => vec![Piece::Text(partial_json)],
            _ => Vec::new(),
        }
    }
}
