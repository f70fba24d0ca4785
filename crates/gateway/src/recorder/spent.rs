//! What a call took: tokens that providers counted, or an estimate where they count none, and what they cost.

use llmops_domain::chat::Usage;
use llmops_domain::record::{CallAttempt, CallOutcome};
use llmops_providers::Target;

use super::Call;
use crate::answer::{self, Answer};

/// Characters of a token, roughly, where a provider counts none.
const CHARS_PER_TOKEN: usize = 4;

/// The sum of costs, as far as they are known.
pub(crate) fn plus(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(|a, b| a + b)
}

/// Tokens of a text, roughly.
fn tokens(chars: usize) -> u64 {
    chars.div_ceil(CHARS_PER_TOKEN) as u64
}

impl Call {
    /// What the call took: tokens, USD, and whether any of it is an estimate. `timed_out`: places of attempts that took too long.
    pub(super) fn spent(
        &self,
        answer: &Answer,
        outcome: CallOutcome,
        (attempts, timed_out): (&[CallAttempt], &[usize]),
    ) -> (Usage, Option<f64>, bool) {
        let (own, is_estimated) = self.own_usage(answer, outcome, attempts);
        let (unanswered, their_cost) = self.unanswered(attempts, timed_out);
        let usage = own.plus(self.discarded).plus(unanswered);
        (usage, plus(self.cost(own), their_cost), is_estimated || unanswered != Usage::default())
    }

    /// USD for the answer with these tokens, and for those that were discarded.
    fn cost(&self, usage: Usage) -> Option<f64> {
        let target = self.target.as_ref().filter(|_| !self.cached)?;
        plus(self.discarded_cost, target.cost(usage))
    }

    /// The provider's count, else an estimate from the text.
    fn own_usage(&self, answer: &Answer, outcome: CallOutcome, attempts: &[CallAttempt]) -> (Usage, bool) {
        if let Some(usage) = answer.usage {
            // What Anthropic counts at the beginning of a stream says nothing of one that stopped before its end.
            let has_stopped = matches!(outcome, CallOutcome::Cut | CallOutcome::Cancelled);
            let written = if has_stopped { tokens(answer.chars()) } else { 0 };
            let completion_tokens = usage.completion_tokens.max(written);
            return (Usage { completion_tokens, ..usage }, written > usage.completion_tokens);
        }
        // A provider that has begun to answer works on though its caller has left.
        let has_begun =
            |attempt: &CallAttempt| attempt.error.is_none() && attempt.status.is_some_and(|status| status < 400);
        let is_read = outcome == CallOutcome::Cancelled && attempts.last().is_some_and(has_begun);
        let is_refused = matches!(outcome, CallOutcome::Refused | CallOutcome::Unavailable) || self.status >= 400;
        let is_error = answer.error.is_some() && answer.chars() == 0;
        if is_error || (is_refused && !is_read) {
            return (Usage::default(), false);
        }
        (Usage::new(tokens(answer::prompt_chars(&self.request)), tokens(answer.chars())), true)
    }

    /// What those were asked who were given up before they answered: another one was faster, they took too long, or the caller
    /// left. They read it all the same, so it is estimated, and costs what the prompt costs with each.
    fn unanswered(&self, attempts: &[CallAttempt], timed_out: &[usize]) -> (Usage, Option<f64>) {
        let is_one = |at: usize, attempt: &CallAttempt| attempt.is_given_up() || timed_out.contains(&at);
        let mut models =
            attempts.iter().enumerate().filter(|(at, one)| is_one(*at, one)).map(|(_, one)| &*one.model).peekable();
        if models.peek().is_none() {
            return (Usage::default(), None);
        }
        let prompt = Usage::new(tokens(answer::prompt_chars(&self.request)), 0);
        models.fold((Usage::default(), None), |(usage, cost), model| {
            let theirs = self.target_of(model).and_then(|target| target.cost(prompt));
            (usage.plus(prompt), plus(cost, theirs))
        })
    }

    /// A model that was asked, by its name.
    fn target_of(&self, model: &str) -> Option<&Target> {
        let of_route = || self.route.as_ref()?.candidates.iter().find(|candidate| candidate.name == model);
        if self.model == model { self.target.as_ref() } else { of_route().map(|candidate| &candidate.target) }
    }
}
