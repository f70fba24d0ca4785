//! Checks of a conversation over several turns.

use crate::check::Check;
use crate::levenshtein::levenshtein;

/// Who speaks.
///
/// ```
/// use llmops_metrics::conversation::Role;
///
/// assert_ne!(Role::User, Role::Assistant);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The instructions.
    System,
    /// The person.
    User,
    /// The application.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One message of a conversation.
///
/// ```
/// use llmops_metrics::conversation::{Message, Role};
///
/// let message = Message { role: Role::User, content: "My order is late." };
/// assert_eq!(message.role, Role::User);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'t> {
    /// Who speaks.
    pub role: Role,
    /// What is said; empty for a message that only calls tools.
    pub content: &'t str,
}

/// What a conversation has to fulfil. What is left at its default is not checked.
///
/// ```
/// use llmops_metrics::Check;
/// use llmops_metrics::conversation::{ConversationChecks, Message, Role};
///
/// let conversation = [
///     Message { role: Role::User, content: "My order is late." },
///     Message { role: Role::Assistant, content: "Which order is it?" },
///     Message { role: Role::User, content: "1234" },
///     Message { role: Role::Assistant, content: "Order 1234 arrives on Friday." },
/// ];
/// let checks = ConversationChecks {
///     max_turns: Some(3),
///     answered: true,
///     mentions: vec!["order 1234".into(), "friday".into()],
///     ..ConversationChecks::default()
/// };
/// assert_eq!(Check::share_passed(&checks.check(&conversation)), Some(1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationChecks {
    /// The fewest turns of the user: check `min_turns`.
    pub min_turns: Option<usize>,
    /// The most turns of the user: check `max_turns`.
    pub max_turns: Option<usize>,
    /// After each turn of the user, and before the next one, the assistant says something: check `answered`.
    pub answered: bool,
    /// No answer of the assistant is as similar as this, or more, to an earlier one (edit similarity): check
    /// `repetition`.
    pub max_similarity: Option<f64>,
    /// What the assistant has to say, each in the same answer as the one before or a later one, regardless of case:
    /// check `mentions`.
    pub mentions: Vec<String>,
    /// What the assistant must not say, regardless of case: check `forbidden`.
    pub forbidden: Vec<String>,
}

impl ConversationChecks {
    /// One check for each field that is set, in their order.
    ///
    /// ```
    /// use llmops_metrics::conversation::ConversationChecks;
    ///
    /// let checks = ConversationChecks { min_turns: Some(1), ..ConversationChecks::default() };
    /// assert!(!checks.check(&[])[0].passed);
    /// ```
    pub fn check(&self, messages: &[Message<'_>]) -> Vec<Check> {
        let turns = messages.iter().filter(|message| message.role == Role::User).count();
        let answers: Vec<&str> = messages
            .iter()
            .filter(|message| message.role == Role::Assistant && !message.content.trim().is_empty())
            .map(|message| message.content)
            .collect();
        let mut checks = Vec::new();
        if let Some(fewest) = self.min_turns {
            checks.push(Check::new("min_turns", turns >= fewest, format!("{turns} of at least {fewest}")));
        }
        if let Some(most) = self.max_turns {
            checks.push(Check::new("max_turns", turns <= most, format!("{turns} of at most {most}")));
        }
        if self.answered {
            let unanswered = unanswered(messages);
            let detail = unanswered.map(|turn| format!("turn {turn} has no answer")).unwrap_or_default();
            checks.push(Check::new("answered", unanswered.is_none(), detail));
        }
        if let Some(most) = self.max_similarity {
            let highest = highest_similarity(&answers);
            checks.push(Check::new("repetition", highest < most, format!("similarity up to {highest:.2}")));
        }
        if !self.mentions.is_empty() {
            let missing = first_missing(&answers, &self.mentions);
            let detail = missing.map(|mention| format!("not said, or too early: {mention}")).unwrap_or_default();
            checks.push(Check::new("mentions", missing.is_none(), detail));
        }
        if !self.forbidden.is_empty() {
            let said = |words: &&String| answers.iter().any(|answer| says(answer, words));
            let found = self.forbidden.iter().find(said);
            let detail = found.map(|words| format!("said: {words}")).unwrap_or_default();
            checks.push(Check::new("forbidden", found.is_none(), detail));
        }
        checks
    }
}

fn says(answer: &str, words: &str) -> bool {
    answer.to_lowercase().contains(&words.to_lowercase())
}

/// The number, from 1, of the first turn of the user that nothing was said to.
fn unanswered(messages: &[Message<'_>]) -> Option<usize> {
    let mut turn = 0;
    let mut open = false;
    for message in messages {
        match message.role {
            Role::User if open => return Some(turn),
            Role::User => {
                turn += 1;
                open = true;
            }
            Role::Assistant if !message.content.trim().is_empty() => open = false,
            _ => {}
        }
    }
    open.then_some(turn)
}

fn highest_similarity(answers: &[&str]) -> f64 {
    let similarities = answers.iter().enumerate().filter_map(|(at, answer)| levenshtein(answer, &answers[..at]));
    similarities.fold(0.0, f64::max)
}

/// The first of `mentions` that no answer has at or after the place of the one before.
fn first_missing<'m>(answers: &[&str], mentions: &'m [String]) -> Option<&'m String> {
    let mut from = 0;
    for mention in mentions {
        let Some(found) = answers.get(from..)?.iter().position(|answer| says(answer, mention)) else {
            return Some(mention);
        };
        from += found;
    }
    None
}
