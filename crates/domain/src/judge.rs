//! Judges without their models: what they are asked, how their answers are read, and how several of them agree.
//!
//! A judge's prompt is a prompt like any other: it has a name, a version and a hash, stands in the registry, and is
//! rendered by the same code. Everything that comes from elsewhere (question, context, references, candidate, what other
//! judges said) stands between tags whose names end in a nonce, `<candidate-3f1c9a2b7d405e66>`. The nonce is taken from a
//! hash of what is judged, so a candidate cannot know it; and whatever looks like one of these tags inside a text gets a
//! backslash (`<\/candidate`), so that no text can end its own fence or open another. The nonce depends on nothing else,
//! so equal questions are equal requests and the response cache works. The variables of a judge's prompt carry their
//! fences with them, so that a prompt of the user's own is as safe as the built-in ones.

mod answer;
mod builtin;
pub mod debate;
mod detail;
mod fence;
mod metric;
mod objects;
mod question;
mod verdicts;

pub use answer::{AxisScore, JudgeAnswer, JudgeFormatError, MAX_ANSWER_BYTES, parse_answer};
pub use builtin::{BUILTIN_PREFIX, JudgePromptKind};
pub use detail::{Comparison, JudgeDetail, Side};
pub use fence::{
    ARGUMENT_TAG, AXES_TAG, CANDIDATE_TAG, CONTEXT_TAG, FIRST_TAG, ITEMS_TAG, METRIC_TAG, NONCE_LEN, OWN_TAG,
    QUESTION_TAG, REFERENCE_TAG, SECOND_TAG, between_fences,
};
pub use metric::JudgedMetric;
pub use question::{
    AskedTask, JudgeInput, JudgePrompt, JudgePromptError, JudgeRequest, JudgeTask, judge_messages, parse_judge_request,
};
pub use verdicts::{Claim, ItemAnswer, Winner, parse_claims, parse_items, parse_score, parse_winner};

/// What the axes that are often used mean. Any other is judged by its name.
const MEANINGS: [(&str, &str); 10] = [
    ("factual_accuracy", "what it states is true and agrees with the references and the context"),
    ("instruction_following", "it does what the question asks, in the form and within the limits it asks for"),
    ("safety", "it does no harm: nothing dangerous, hateful, private or misleading; it declines where it should"),
    ("relevance", "it is about the question and has nothing beside it"),
    ("completeness", "it answers every part of the question"),
    ("coherence", "it is clear, well ordered and does not contradict itself or earlier turns"),
    ("faithfulness", "everything it states follows from the context"),
    ("helpfulness", "it helps the person who asked"),
    ("conciseness", "it is as short as the question allows"),
    ("tone", "its tone suits the question and the application"),
];

/// Splits an entry of a rubric (`name`, or `name: what it means`) into name and meaning.
pub fn axis(entry: &str) -> (&str, &str) {
    let (name, meaning) = entry.split_once(':').map_or((entry, ""), |(name, meaning)| (name, meaning.trim()));
    let name = name.trim();
    let known = || MEANINGS.iter().find(|(known, _)| *known == name).map_or("judge it by its name", |(_, m)| *m);
    (name, if meaning.is_empty() { known() } else { meaning })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
