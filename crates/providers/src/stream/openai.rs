//! OpenAI's `chat.completion.chunk`.

use llmops_domain::chat::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::{Piece, error_text};

#[derive(Debug, Default)]
pub(super) struct Reader {
    model_known: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Chunk {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    index: Option<u32>,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Call>>,
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
    arguments: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return Vec::new() };
        let mut pieces = Vec::new();
        if let Some(model) = chunk.model.filter(|model| !self.model_known && !model.is_empty()) {
            self.model_known = true;
            pieces.push(Piece::Model(model));
        }
        // The translated formats have one answer.
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index.unwrap_or(0) == 0) {
            let delta = choice.delta.unwrap_or_default();
            let texts = [delta.content, delta.refusal].into_iter().flatten().filter(|text| !text.is_empty());
            pieces.extend(texts.map(Piece::Text));
            for (position, call) in delta.tool_calls.into_iter().flatten().enumerate() {
                let index = call.index.unwrap_or(position);
                let function = call.function.unwrap_or_default();
                if let Some(name) = function.name {
                    pieces.push(Piece::Call { index, id: call.id.unwrap_or_else(|| format!("call_{index}")), name });
                }
                if let Some(text) = function.arguments.filter(|text| !text.is_empty()) {
                    pieces.push(Piece::Arguments { index, text });
                }
            }
            pieces.extend(choice.finish_reason.map(Piece::Finish));
        }
        if let Some(usage) = chunk.usage {
            let (prompt_tokens, completion_tokens) = (usage.prompt_tokens, usage.completion_tokens);
            pieces.push(Piece::Usage(Usage {
                prompt_tokens: prompt_tokens.unwrap_or(0),
                completion_tokens: completion_tokens.unwrap_or(0),
            }));
        }
        pieces.extend(chunk.error.filter(|error| !error.is_null()).map(|error| Piece::Error(error_text(&error))));
        pieces
    }
}
