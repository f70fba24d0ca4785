//! Token overlap with the normalisation of SQuAD's evaluation script.

use std::collections::HashMap;

use crate::score::{Prf, best_of};
use crate::text::words;

/// The F1 of [`token_prf`] for the best reference; `None` without references.
///
/// ```
/// use llmops_metrics::token_f1::token_f1;
///
/// assert_eq!(token_f1("The Eiffel Tower!", &["an eiffel tower", "Big Ben"]), Some(1.0));
/// assert_eq!(token_f1("", &["the"]), Some(1.0), "both are empty after normalisation");
/// ```
pub fn token_f1<S: AsRef<str>>(candidate: &str, references: &[S]) -> Option<f64> {
    let candidate = normalise(candidate);
    best_of(references, |reference| overlap(&candidate, &normalise(reference)).f1)
}

/// Precision, recall and F1 over the multiset of normalised tokens.
///
/// With `c` tokens in common (each as often as it occurs on both sides), precision is `c` / candidate tokens and recall
/// `c` / reference tokens. Two texts without tokens agree (1); one without tokens and one with them do not (0), as in
/// SQuAD 2.0 (Rajpurkar et al. 2018).
///
/// ```
/// use llmops_metrics::token_f1::token_prf;
///
/// let score = token_prf("in Paris, France", "Paris");
/// assert_eq!((score.precision, score.recall), (1.0 / 3.0, 1.0));
/// ```
pub fn token_prf(candidate: &str, reference: &str) -> Prf {
    overlap(&normalise(candidate), &normalise(reference))
}

/// SQuAD's normalisation: lower case, ASCII punctuation removed (so that `don't` becomes `dont`), the words `a`, `an`
/// and `the` removed, whitespace collapsed.
///
/// ```
/// use llmops_metrics::token_f1::normalise;
///
/// assert_eq!(normalise("The  \"U.S.\" has a Congress."), "us has congress");
/// ```
pub fn normalise(text: &str) -> String {
    let lower: String = text.to_lowercase().chars().filter(|character| !character.is_ascii_punctuation()).collect();
    let mut normalised = String::with_capacity(lower.len());
    for word in words(&lower) {
        let length = normalised.len();
        if length > 0 {
            normalised.push(' ');
        }
        let before = normalised.len();
        push_without_articles(word, &mut normalised);
        if normalised.len() == before {
            normalised.truncate(length);
        }
    }
    normalised
}

/// Articles are found between word boundaries, not just between spaces: `the—cat` loses its article, and what stood
/// around it becomes separate tokens.
fn push_without_articles(word: &str, out: &mut String) {
    let start = out.len();
    let mut rest = word;
    while !rest.is_empty() {
        let run = rest.find(|character: char| !character.is_alphanumeric()).unwrap_or(rest.len());
        let (letters, after) = rest.split_at(run);
        let other = after.find(char::is_alphanumeric).unwrap_or(after.len());
        let (separator, next) = after.split_at(other);
        if !matches!(letters, "a" | "an" | "the") {
            out.push_str(letters);
        } else if out.len() > start {
            out.push(' ');
        }
        out.push_str(separator);
        rest = next;
    }
    while out.len() > start && out.ends_with(' ') {
        out.pop();
    }
}

fn overlap(candidate: &str, reference: &str) -> Prf {
    let (candidate_total, reference_total) = (words(candidate).count(), words(reference).count());
    if candidate_total == 0 && reference_total == 0 {
        return Prf::ONE;
    }
    let mut left: HashMap<&str, usize> = HashMap::with_capacity(reference_total);
    for word in words(reference) {
        *left.entry(word).or_default() += 1;
    }
    let mut common = 0;
    for word in words(candidate) {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    Prf::from_counts(common, candidate_total, reference_total)
}
