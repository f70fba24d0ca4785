//! Bad answers: what the `quality` knob mixes in.

use super::draw::{Purpose, RequestKey};
use super::script::Script;

/// How an answer was made worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degradation {
    /// The answer to another question of the script, or beside the point.
    Wrong,
    /// The first third, as if the token limit had been met.
    Truncated,
    /// A polite refusal.
    Refused,
    /// Nothing.
    Empty,
    /// JSON that is not closed.
    Malformed,
}

const ALL: [Degradation; 5] =
    [Degradation::Wrong, Degradation::Truncated, Degradation::Refused, Degradation::Empty, Degradation::Malformed];

const BESIDE_THE_POINT: [&str; 4] = [
    "The museum opens at ten and closes at six, except on Mondays.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Version 4 of the protocol was never released to the public.",
    "Whisk the eggs with the milk, then fold in the flour.",
];

const REFUSAL: &str = "I'm sorry, but I can't help with that.";

/// Whether the answer to this request is bad, and how. A share `1 − quality` of requests is; raising the quality turns
/// bad answers good and never the other way.
pub(super) fn draw(key: RequestKey, quality: f64) -> Option<Degradation> {
    (key.unit(Purpose::Quality, 0) >= quality).then(|| ALL[key.index(Purpose::Degradation, ALL.len())])
}

/// The bad answer in place of `good`.
pub(super) fn apply(degradation: Degradation, key: RequestKey, script: &Script, good: &str) -> String {
    match degradation {
        Degradation::Wrong => wrong(key, script, good),
        Degradation::Truncated => third(good).to_owned(),
        Degradation::Refused => REFUSAL.to_owned(),
        Degradation::Empty => String::new(),
        Degradation::Malformed => {
            let quoted = serde_json::Value::from(good).to_string();
            format!("{{\"answer\": {}", quoted.trim_end_matches('"'))
        }
    }
}

fn wrong(key: RequestKey, script: &Script, good: &str) -> String {
    let lines = script.lines();
    if !lines.is_empty() {
        let first = key.index(Purpose::WrongAnswer, lines.len());
        let mut others = lines[first..].iter().chain(&lines[..first]).map(|line| &line.answer).take(8);
        if let Some(other) = others.find(|answer| !answer.is_empty() && *answer != good) {
            return other.clone();
        }
    }
    BESIDE_THE_POINT[key.index(Purpose::WrongAnswer, BESIDE_THE_POINT.len())].to_owned()
}

/// The first third of the characters.
fn third(text: &str) -> &str {
    let keep = text.chars().count() / 3;
    let end = text.char_indices().nth(keep).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::user;

    #[test]
    fn bad_answers() {
        let script = Script::parse("s", "{\"input\": \"a\", \"answer\": \"good one\"}").unwrap();
        let key = RequestKey::new(0, &user("x"));
        let check = |how, expected: &str| assert_eq!(apply(how, key, &script, "good one"), expected);
        check(Degradation::Truncated, "go");
        check(Degradation::Empty, "");
        check(Degradation::Refused, REFUSAL);
        check(Degradation::Malformed, "{\"answer\": \"good one");
        let wrong = apply(Degradation::Wrong, key, &script, "good one");
        assert!(BESIDE_THE_POINT.contains(&wrong.as_str()));
        assert_eq!(apply(Degradation::Wrong, key, &script, "another"), "good one");
        assert_eq!(third("ééé"), "é");
    }

    #[test]
    fn the_share_is_kept_and_monotonic() {
        let mut counts = [0; 3];
        for i in 0..10_000 {
            let key = RequestKey::new(5, &user(&i.to_string()));
            let bad: Vec<bool> = [0.6, 0.9, 1.0].iter().map(|quality| draw(key, *quality).is_some()).collect();
            assert!(bad.is_sorted_by(|lower, higher| lower >= higher), "{bad:?}");
            for (count, bad) in counts.iter_mut().zip(bad) {
                *count += u32::from(bad);
            }
        }
        assert!((3850..4150).contains(&counts[0]), "{counts:?}");
        assert!((900..1100).contains(&counts[1]), "{counts:?}");
        assert_eq!(counts[2], 0);
    }
}
