//! Gemini's `streamGenerateContent`: every event is an answer of its own, with what is new.

use super::{Piece, error_text, parsed};
use crate::gemini::{Body, finish_reason};
use crate::text::Halves;

#[derive(Debug, Default)]
pub(super) struct Reader {
    model_known: bool,
    calls: usize,
    text: Halves,
}

impl Reader {
    pub(super) fn read(&mut self, data: &[u8]) -> Vec<Piece> {
        let body: Body = match parsed(data) {
            Ok(body) => body,
            Err(pieces) => return pieces,
        };
        let mut pieces = Vec::new();
        if let Some(model) = body.model_version.filter(|_| !std::mem::replace(&mut self.model_known, true)) {
            pieces.push(Piece::Model(model));
        }
        for candidate in body.candidates.into_iter().take(1) {
            for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
                let text = part.text.filter(|_| !part.thought).map(|text| self.text.join(text));
                pieces.extend(text.filter(|text| !text.is_empty()).map(Piece::Text));
                if let Some(call) = part.function_call {
                    let index = self.calls;
                    self.calls += 1;
                    let call = call.read(part.thought_signature.as_deref());
                    pieces.push(Piece::Call { index, id: call.id, name: call.function.name });
                    pieces.push(Piece::Arguments { index, text: call.function.arguments });
                }
            }
            let reason = candidate.finish_reason.filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| finish_reason(&reason, self.calls > 0));
            pieces.extend(reason.map(Piece::Finish));
        }
        if body.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            pieces.push(Piece::Finish("content_filter".to_owned()));
        }
        pieces.extend(body.usage_metadata.map(|usage| Piece::Usage(usage.total())));
        pieces.extend(body.error.map(|error| Piece::Error(error_text(&error))));
        pieces
    }
}
