//! The answer to an input that no script knows.

use super::draw::{Purpose, RequestKey};

/// Words of the input that are said again.
const MAX_WORDS: usize = 80;

const OPENERS: [&str; 4] = ["In short:", "To put it another way:", "As I understand it:", "In other words:"];

/// Words and what is said for them: the speaker changes, and some words have a plain synonym.
const SAID_FOR: [(&str, &str); 22] = [
    ("am", "are"),
    ("begin", "start"),
    ("big", "large"),
    ("buy", "purchase"),
    ("change", "modify"),
    ("fast", "quick"),
    ("find", "locate"),
    ("fix", "repair"),
    ("get", "obtain"),
    ("help", "assist"),
    ("i", "you"),
    ("mine", "yours"),
    ("my", "your"),
    ("need", "require"),
    ("quick", "fast"),
    ("show", "display"),
    ("small", "little"),
    ("start", "begin"),
    ("tell", "inform"),
    ("use", "employ"),
    ("want", "wish"),
    ("we", "you"),
];

/// Says `input` in other words: an opener drawn by the request, then the first 80 words with the speaker changed and
/// synonyms put in, ended by a full stop.
pub(super) fn paraphrase(key: RequestKey, input: &str) -> String {
    let mut text = OPENERS[key.index(Purpose::Opener, OPENERS.len())].to_owned();
    let mut words = input.split_whitespace();
    let opener = text.len();
    for word in words.by_ref().take(MAX_WORDS) {
        text.push(' ');
        text.push_str(&say(word));
    }
    if text.len() == opener {
        return "There is nothing to answer.".to_owned();
    }
    let more = words.next().is_some();
    text.truncate(text.trim_end_matches(['.', '?', '!', ',', ';', ':', '…']).len());
    text.push(if more { '…' } else { '.' });
    text
}

/// A word with what is said for it, its punctuation and capital kept.
fn say(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let lower = core.to_lowercase();
    let Ok(found) = SAID_FOR.binary_search_by(|(said, _)| (*said).cmp(lower.as_str())) else { return word.to_owned() };
    let mut said = SAID_FOR[found].1.to_owned();
    if lower != "i" && core.starts_with(char::is_uppercase) {
        said[..1].make_ascii_uppercase();
    }
    word.replacen(core, &said, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::user;

    #[test]
    fn says_it_in_other_words() {
        assert!(SAID_FOR.is_sorted());
        let check = |input: &str, expected: &str| {
            assert_eq!(paraphrase(RequestKey::new(0, &user("fixed")), input), expected);
        };
        check("How can I change my (small) plan?", "To put it another way: How can you modify your (little) plan.");
        check("Get help!", "To put it another way: Obtain assist.");
        check("¿Qué?  ok", "To put it another way: ¿Qué? ok.");
        check(" \n", "There is nothing to answer.");
        let long = "word ".repeat(500);
        assert!(paraphrase(RequestKey::new(0, &user("fixed")), &long).ends_with("word…"));
    }
}
