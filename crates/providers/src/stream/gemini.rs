//! Gemini's `streamGenerateContent`: every event is an answer of its own, with what is new.

use super::{Piece, error_text, parsed};
use crate::beside::{Citation, citations_of_gemini};
use crate::gemini::{Body, Candidate, finish_reason};
use crate::text::Halves;

#[derive(Debug, Default)]
pub(super) struct Reader {
    model_known: bool,
    calls: usize,
    text: Halves,
    thoughts: Halves,
    /// All of the text so far: what is cited is counted in it.
    said: String,
    cited: Vec<Citation>,
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
            self.go_on(candidate, &mut pieces);
        }
        if body.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            pieces.push(Piece::Finish("content_filter".to_owned()));
        }
        pieces.extend(body.usage_metadata.map(|usage| Piece::Usage(usage.total())));
        pieces.extend(body.error.map(|error| Piece::Error(error_text(&error))));
        pieces
    }

    /// More of the answer.
    fn go_on(&mut self, candidate: Candidate, pieces: &mut Vec<Piece>) {
        for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
            pieces.extend(part.picture().filter(|_| !part.thought).map(Piece::Picture));
            if let Some(text) = part.text {
                let halves = if part.thought { &mut self.thoughts } else { &mut self.text };
                let text = halves.join(text);
                if !part.thought {
                    self.said.push_str(&text);
                }
                let piece = if part.thought { Piece::Thought } else { Piece::Text };
                pieces.extend(Some(text).filter(|text| !text.is_empty()).map(piece));
            }
            if let Some(call) = part.function_call {
                let index = self.calls;
                self.calls += 1;
                let call = call.read(part.thought_signature.as_deref());
                pieces.push(Piece::Call { index, id: call.id, name: call.function.name });
                pieces.push(Piece::Arguments { index, text: call.function.arguments });
            }
        }
        let (grounding, taken) = (candidate.grounding_metadata, candidate.citation_metadata);
        for citation in citations_of_gemini(grounding.as_ref(), taken.as_ref(), &self.said) {
            // Some events say again what the ones before them said.
            if !self.cited.contains(&citation) {
                self.cited.push(citation.clone());
                pieces.push(Piece::Citation(citation));
            }
        }
        let reason = candidate.finish_reason.filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| finish_reason(&reason, self.calls > 0));
        pieces.extend(reason.map(Piece::Finish));
    }
}
