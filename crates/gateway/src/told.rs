//! What a provider said, where the caller gets something else: a translation says more, or less.

use llmops_domain::chat::{ChatResponse, Usage};
use llmops_providers::beside::Beside;
use llmops_providers::stream::Piece;

use crate::answer::Answer;
use crate::write::listed;

/// What a provider said in an answer that was written in another format, where more may be said, or less.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    usage: Option<Usage>,
    model: Option<String>,
    fingerprint: Option<String>,
    has_finish_reason: bool,
    /// Why the model stopped, where the caller's format has no word for it.
    unlisted_reason: Option<String>,
}

impl Told {
    /// Of a whole answer. One that counts no tokens at all has no counts.
    pub(crate) fn of(answer: &ChatResponse, beside: &Beside) -> Self {
        Self {
            usage: counted(answer.usage),
            model: named(&answer.model),
            fingerprint: beside.fingerprint.clone(),
            has_finish_reason: answer.finish_reason.is_some(),
            unlisted_reason: answer.finish_reason.as_deref().and_then(unlisted),
        }
    }

    /// Of an answer of ours: it costs nothing, and no model gave it.
    pub(crate) fn free() -> Self {
        Self { usage: Some(Usage::default()), ..Self::default() }
    }

    /// More of a streamed answer.
    pub(crate) fn hear(&mut self, piece: &Piece) {
        match piece {
            Piece::Usage(usage) => self.usage = counted(*usage).or(self.usage),
            Piece::Model(model) => self.model = named(model).or(self.model.take()),
            Piece::Fingerprint(fingerprint) => self.fingerprint = Some(fingerprint.clone()),
            Piece::Finish(reason) => {
                self.has_finish_reason = true;
                self.unlisted_reason = unlisted(reason);
            }
            _ => {}
        }
    }

    /// Puts what the provider said in the place of what was written for the caller.
    pub(crate) fn correct(&self, answer: &mut Answer) {
        answer.usage = self.usage;
        answer.model.clone_from(&self.model);
        answer.fingerprint.clone_from(&self.fingerprint);
        let told = answer.finish_reason.take().filter(|_| self.has_finish_reason);
        answer.finish_reason = self.unlisted_reason.clone().or(told);
    }
}

/// A reason that the caller gets another one for.
fn unlisted(reason: &str) -> Option<String> {
    (listed(reason) != reason).then(|| reason.to_owned())
}

fn counted(usage: Usage) -> Option<Usage> {
    (usage != Usage::default()).then(|| usage.bounded())
}

fn named(model: &str) -> Option<String> {
    (!model.is_empty()).then(|| model.to_owned())
}
