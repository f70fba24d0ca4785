//! Anthropic's blocks of a streamed answer.

use std::collections::VecDeque;

use llmops_providers::stream::Piece;
use serde_json::{Value, json};

use super::named;

/// Anthropic's blocks: one is open at a time. What comes while a call is open whose arguments are not whole yet waits, since
/// some providers write several calls at once.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Option<Open>,
    /// How far the arguments of the call that is open have come.
    arguments: Nesting,
    waiting: VecDeque<Waiting>,
    count: usize,
    /// Whether the caller wants to see what the model thinks.
    shows_thoughts: bool,
    pub(super) has_calls: bool,
}

/// How deep a text of JSON that comes in pieces is inside its objects and lists.
#[derive(Debug, Default)]
struct Nesting {
    has_begun: bool,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Nesting {
    fn add(&mut self, json: &str) {
        for byte in json.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.in_text,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => (self.has_begun, self.depth) = (true, self.depth + 1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether what began has ended.
    fn is_whole(&self) -> bool {
        self.has_begun && self.depth == 0
    }
}

/// A block that cannot begin yet.
#[derive(Debug)]
struct Waiting {
    what: Open,
    block: Value,
    /// What is in it so far.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thoughts,
    Call(usize),
}

impl Blocks {
    pub(super) fn new(shows_thoughts: bool) -> Self {
        Self { shows_thoughts, ..Self::default() }
    }

    pub(super) fn write(&mut self, said: Piece, out: &mut Vec<u8>) {
        match said {
            Piece::Text(text) => self.say(Open::Text, &text, out),
            Piece::Thought(text) if self.shows_thoughts => self.say(Open::Thoughts, &text, out),
            Piece::Call { index, id, name } => {
                self.has_calls = true;
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.begin(Open::Call(index), block, out);
            }
            Piece::Arguments { index, text } => self.go_on(Open::Call(index), &text, out),
            // The format has no words for the others in an answer, or they are no part of it.
            _ => {}
        }
    }

    /// Adds to a block of text or thoughts, which begins where the one before it is another one.
    fn say(&mut self, what: Open, text: &str, out: &mut Vec<u8>) {
        let current = self.waiting.back().map(|waiting| waiting.what).or(self.open);
        if current != Some(what) {
            let block = match what {
                // Nobody signed them: what the model thinks is no model's of Anthropic.
                Open::Thoughts => json!({"type": "thinking", "thinking": "", "signature": ""}),
                _ => json!({"type": "text", "text": ""}),
            };
            self.begin(what, block, out);
        }
        self.go_on(what, text, out);
    }

    /// Begins a block, as soon as there is room for it.
    fn begin(&mut self, what: Open, block: Value, out: &mut Vec<u8>) {
        self.waiting.push_back(Waiting { what, block, text: String::new() });
        self.advance(out);
    }

    /// Adds to a block that is open or waits. To one that was whole there is nothing to add.
    fn go_on(&mut self, what: Open, text: &str, out: &mut Vec<u8>) {
        if let Some(waiting) = self.waiting.iter_mut().rev().find(|waiting| waiting.what == what) {
            waiting.text.push_str(text);
        } else if self.open == Some(what) {
            self.delta(text, out);
            self.advance(out);
        }
    }

    /// Opens what waits, while nothing is open that more may come for.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.is_empty() && self.is_whole() {
            self.open_next(out);
        }
    }

    fn is_whole(&self) -> bool {
        !matches!(self.open, Some(Open::Call(_))) || self.arguments.is_whole()
    }

    fn open_next(&mut self, out: &mut Vec<u8>) {
        let Some(Waiting { what, block, text }) = self.waiting.pop_front() else { return };
        self.close(out);
        self.open = Some(what);
        let start = json!({"type": "content_block_start", "index": self.count, "content_block": block});
        named("content_block_start", &start, out);
        if !text.is_empty() {
            self.delta(&text, out);
        }
    }

    /// More of the block that is open.
    fn delta(&mut self, text: &str, out: &mut Vec<u8>) {
        let delta = match self.open {
            Some(Open::Text) => json!({"type": "text_delta", "text": text}),
            Some(Open::Thoughts) => json!({"type": "thinking_delta", "thinking": text}),
            _ => {
                self.arguments.add(text);
                json!({"type": "input_json_delta", "partial_json": text})
            }
        };
        let event = json!({"type": "content_block_delta", "index": self.count, "delta": delta});
        named("content_block_delta", &event, out);
    }

    /// Writes what waits still, and ends the last block.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        while !self.waiting.is_empty() {
            self.open_next(out);
        }
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            self.arguments = Nesting::default();
            named("content_block_stop", &json!({"type": "content_block_stop", "index": self.count}), out);
            self.count += 1;
        }
    }
}
