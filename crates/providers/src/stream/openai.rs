//! OpenAI's `chat.completion.chunk`.

use serde::Deserialize;
use serde_json::Value;

use super::{Piece, error_text, goes_on, parsed};
use crate::openai::{after_refusal, thoughts};
use crate::text::{Arguments, Halves, Text};
use crate::translate::new_call_id;
use crate::usage::WireUsage;

#[derive(Debug, Default)]
pub(super) struct Reader {
    model_known: bool,
    fingerprint_known: bool,
    text: Halves,
    thoughts: Halves,
    has_refused: bool,
    /// The calls so far, in the order in which they began.
    calls: Vec<Known>,
}

/// A call that has begun.
#[derive(Debug)]
struct Known {
    /// Its number in the stream: some servers give every call the same one.
    number: Option<usize>,
    /// The id that it came with.
    id: Option<String>,
    arguments: Halves,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Chunk {
    model: Option<String>,
    system_fingerprint: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    /// Groq's place for the counts.
    x_groq: Option<Elsewhere>,
    error: Option<Value>,
    /// `error` in the flat errors of some servers.
    object: Option<String>,
    message: Option<Value>,
}

/// Counts that do not stand where the format has them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Elsewhere {
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    index: Option<u32>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    /// Moonshot's place for the counts.
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<Text>,
    refusal: Option<Text>,
    tool_calls: Option<Vec<Call>>,
    /// DeepSeek's name for what the model thinks, and OpenRouter's.
    reasoning_content: Option<Text>,
    reasoning: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Call {
    index: Option<usize>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<Arguments>,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let chunk: Chunk = match parsed(data) {
            Ok(chunk) => chunk,
            Err(pieces) => return pieces,
        };
        let mut pieces = Vec::new();
        if let Some(model) = chunk.model.filter(|model| !self.model_known && !model.is_empty()) {
            self.model_known = true;
            pieces.push(Piece::Model(model));
        }
        let fingerprint = chunk.system_fingerprint.filter(|text| !self.fingerprint_known && !text.is_empty());
        self.fingerprint_known |= fingerprint.is_some();
        pieces.extend(fingerprint.map(Piece::Fingerprint));
        let mut usage = chunk.usage.or(chunk.x_groq.and_then(|elsewhere| elsewhere.usage));
        // The translated formats have one answer.
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0) {
            let delta = choice.delta.unwrap_or_default();
            let thought = thoughts(delta.reasoning_content, delta.reasoning).map(|text| self.thoughts.join(text));
            pieces.extend(thought.filter(|text| !text.is_empty()).map(Piece::Thought));
            self.has_refused |= delta.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
            for text in [delta.content, delta.refusal].into_iter().flatten() {
                pieces.extend(Some(self.text.join(text)).filter(|text| !text.is_empty()).map(Piece::Text));
            }
            for call in delta.tool_calls.into_iter().flatten() {
                self.go_on(call, &mut pieces);
            }
            // Some servers say with every piece that there is no reason yet.
            let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            pieces.extend(reason.map(|reason| Piece::Finish(after_refusal(reason, self.has_refused))));
            usage = usage.or(choice.usage);
        }
        pieces.extend(usage.and_then(|usage| usage.after(None)).map(Piece::Usage));
        let flat = chunk.message.filter(|_| chunk.object.as_deref() == Some("error"));
        let error = chunk.error.filter(|error| !error.is_null()).or(flat);
        pieces.extend(error.map(|error| Piece::Error(error_text(&error))));
        pieces
    }

    /// More of a call, or its beginning: a name comes once, but some servers repeat it.
    fn go_on(&mut self, call: Call, pieces: &mut Vec<Piece>) {
        let function = call.function.unwrap_or_default();
        let id = call.id.filter(|id| !id.is_empty());
        let name = function.name.filter(|name| !name.is_empty());
        let piece = (call.index, id.as_deref());
        let known =
            self.calls.iter().rposition(|known| goes_on((known.number, known.id.as_deref()), piece, name.is_some()));
        let index = match (known, name) {
            (Some(at), _) => at,
            (None, Some(name)) => {
                let index = self.calls.len();
                pieces.push(Piece::Call { index, id: id.clone().unwrap_or_else(new_call_id), name });
                self.calls.push(Known { number: call.index, id, arguments: Halves::default() });
                index
            }
            (None, None) => return,
        };
        if let Some(Arguments(text)) = function.arguments {
            let text = self.calls[index].arguments.join(text);
            pieces.extend((!text.is_empty()).then_some(Piece::Arguments { index, text }));
        }
    }
}
