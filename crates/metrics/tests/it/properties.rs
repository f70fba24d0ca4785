//! What holds for every input.

use llmops_metrics::exact_match::ExactMatch;
use llmops_metrics::json_valid::{Wrapping, json_valid};
use llmops_metrics::levenshtein::{distance, levenshtein};
use llmops_metrics::refusal::refusal;
use llmops_metrics::rouge::Rouge;
use llmops_metrics::token_f1::{token_f1, token_prf};
use proptest::prelude::*;

/// Few words and line breaks, so that texts overlap, and now and then anything at all.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::collection::vec(prop_oneof!["[abc]", Just("\n".to_owned()), "the|running|é|K"], 0..40)
            .prop_map(|words| words.join(" ")),
        1 => ".{0,80}",
    ]
}

/// The textbook table.
fn slow_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (at, &b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

proptest! {
    #[test]
    fn scores_stay_in_range(candidate in text(), reference in text()) {
        for score in Rouge::usual().stemmed(true).score(&candidate, &[&reference]).unwrap() {
            for value in [score.precision, score.recall, score.f1] {
                prop_assert!((0.0..=1.0).contains(&value));
            }
        }
        for value in [levenshtein(&candidate, &[&reference]), token_f1(&candidate, &[&reference])] {
            prop_assert!((0.0..=1.0).contains(&value.unwrap()));
        }
        prop_assert!([0.0, 1.0].contains(&refusal(&candidate)));
        prop_assert!([0.0, 1.0].contains(&json_valid(&candidate, Wrapping::Fence)));
    }

    #[test]
    fn a_text_agrees_with_itself(text in text()) {
        prop_assert_eq!(levenshtein(&text, &[&text]), Some(1.0));
        prop_assert_eq!(token_f1(&text, &[&text]), Some(1.0));
        prop_assert_eq!(ExactMatch::normalised().score(&text, &[&text]), Some(1.0));
        if text.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
            let scores = Rouge::usual().score(&text, &[&text]).unwrap();
            prop_assert_eq!((scores[0].f1, scores[2].f1, scores[3].f1), (1.0, 1.0, 1.0));
        }
    }

    #[test]
    fn sides_may_be_swapped(left in text(), right in text()) {
        prop_assert_eq!(distance(&left, &right), distance(&right, &left));
        let (there, back) = (token_prf(&left, &right), token_prf(&right, &left));
        prop_assert_eq!((there.precision, there.recall, there.f1), (back.recall, back.precision, back.f1));
        let (there, back) = (Rouge::usual().score(&left, &[&right]).unwrap(), Rouge::usual().score(&right, &[&left]).unwrap());
        for (there, back) in there.iter().zip(&back).take(3) {
            prop_assert_eq!((there.precision, there.recall, there.f1), (back.recall, back.precision, back.f1));
        }
    }

    #[test]
    fn distance_equals_the_textbook(left in "[ab]{0,200}", right in "[abé]{0,200}") {
        prop_assert_eq!(distance(&left, &right), slow_distance(&left, &right));
    }
}
