//! chrF and chrF++: F-score of character n-grams, for chrF++ of word n-grams, too.
//!
//! Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015) and "chrF++: words helping character
//! n-grams" (2017), as `sacrebleu` computes them. Values are `sacrebleu`'s divided by 100.
//!
//! Characters are Unicode scalar values without whitespace, n from 1 to 6. For chrF++, words are separated at
//! whitespace and an ASCII punctuation mark at a word's end, or else at its start, is a word of its own; n is 1 and 2.
//! With P and R the means of the precisions and recalls of those orders that both texts have n-grams of:
//!
//! > chrF = (1 + β²) · P · R / (β² · P + R),  β = 2
//!
//! Where no order has n-grams on both sides, the score is 0; so an empty text scores 0, also against itself.

use std::iter::Sum;
use std::ops::AddAssign;

use crate::ngrams::{NgramCounts, Vocabulary};
use crate::text::{is_space, words};

/// The longest character n-grams.
const CHARACTER_ORDER: usize = 6;

/// The longest word n-grams of chrF++.
const WORD_ORDER: usize = 2;

/// The weight of recall against precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// Which of the two metrics.
///
/// ```
/// use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
///
/// let score = |kind| ChrfCounts::new(kind, "the cat sat", &["the cat sat down"]).unwrap().score();
/// assert_ne!(score(ChrfKind::Chrf), score(ChrfKind::ChrfPlusPlus));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChrfKind {
    /// Characters only.
    #[default]
    Chrf,
    /// Characters and words: chrF++.
    ChrfPlusPlus,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OrderCounts {
    candidate: usize,
    reference: usize,
    common: usize,
}

/// The counts that chrF is computed from; those of a corpus are the sum of those of its sentences.
///
/// ```
/// use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
///
/// let corpus: ChrfCounts = [("a cat", "a cat"), ("a dog", "a bird")]
///     .iter()
///     .filter_map(|(candidate, reference)| ChrfCounts::new(ChrfKind::Chrf, candidate, &[reference]))
///     .sum();
/// assert!(corpus.score() > 0.4 && corpus.score() < 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChrfCounts {
    orders: [OrderCounts; CHARACTER_ORDER + WORD_ORDER],
}

impl ChrfCounts {
    /// Counts one sentence against the reference that scores best, the first among equals; `None` without references.
    ///
    /// ```
    /// use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
    ///
    /// let counts = ChrfCounts::new(ChrfKind::Chrf, "cat", &["dog", "cats"]).unwrap();
    /// assert!(counts.score() > 0.5);
    /// ```
    pub fn new<S: AsRef<str>>(kind: ChrfKind, candidate: &str, references: &[S]) -> Option<Self> {
        let mut best: Option<(f64, Self)> = None;
        for reference in references {
            let counts = Self::of_pair(kind, candidate, reference.as_ref());
            let score = counts.score();
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, counts));
            }
        }
        best.map(|(_, counts)| counts)
    }

    fn of_pair(kind: ChrfKind, candidate: &str, reference: &str) -> Self {
        let mut counts = Self::default();
        let (characters, word_orders) = counts.orders.split_at_mut(CHARACTER_ORDER);
        compare(&letters(candidate), &letters(reference), characters);
        if kind == ChrfKind::ChrfPlusPlus {
            let reference = split_words(reference);
            let mut vocabulary = Vocabulary::default();
            vocabulary.reset(reference.len());
            let reference: Vec<u32> = reference.iter().map(|word| vocabulary.intern(word.as_bytes())).collect();
            let candidate: Vec<u32> =
                split_words(candidate).iter().map(|word| vocabulary.get(word.as_bytes())).collect();
            compare(&candidate, &reference, word_orders);
        }
        counts
    }

    /// The F-score of these counts.
    ///
    /// ```
    /// use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
    ///
    /// assert_eq!(ChrfCounts::new(ChrfKind::Chrf, "cat", &["cat"]).unwrap().score(), 1.0);
    /// assert_eq!(ChrfCounts::default().score(), 0.0);
    /// ```
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0_u32);
        for counts in self.orders.iter().filter(|counts| counts.candidate > 0 && counts.reference > 0) {
            precision += counts.common as f64 / counts.candidate as f64;
            recall += counts.common as f64 / counts.reference as f64;
            orders += 1;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        precision /= f64::from(orders);
        recall /= f64::from(orders);
        ((1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)).min(1.0)
    }
}

impl AddAssign for ChrfCounts {
    fn add_assign(&mut self, other: Self) {
        for (sum, counts) in self.orders.iter_mut().zip(other.orders) {
            sum.candidate += counts.candidate;
            sum.reference += counts.reference;
            sum.common += counts.common;
        }
    }
}

impl Sum for ChrfCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// chrF or chrF++ of one sentence for the best reference, as `sacrebleu.sentence_chrf`; `None` without references.
///
/// ```
/// use llmops_metrics::chrf::{sentence_chrf, ChrfKind};
///
/// let score = sentence_chrf(ChrfKind::Chrf, "The dog bit the man.", &["The dog had bit the man."]).unwrap();
/// assert!((score - 0.676_471).abs() < 1e-6);
/// ```
pub fn sentence_chrf<S: AsRef<str>>(kind: ChrfKind, candidate: &str, references: &[S]) -> Option<f64> {
    Some(ChrfCounts::new(kind, candidate, references)?.score())
}

/// chrF or chrF++ of a corpus of candidates, each with its references, as `sacrebleu.corpus_chrf`; `None` for an empty
/// corpus or when a candidate has no reference.
///
/// ```
/// use llmops_metrics::chrf::{corpus_chrf, ChrfKind};
///
/// let corpus = [("a cat", ["a cat"]), ("a dog", ["a dog"])];
/// let pairs = corpus.iter().map(|(candidate, references)| (*candidate, &references[..]));
/// assert_eq!(corpus_chrf(ChrfKind::ChrfPlusPlus, pairs), Some(1.0));
/// ```
pub fn corpus_chrf<'t, S: AsRef<str> + 't>(
    kind: ChrfKind,
    corpus: impl IntoIterator<Item = (&'t str, &'t [S])>,
) -> Option<f64> {
    let mut sum: Option<ChrfCounts> = None;
    for (candidate, references) in corpus {
        *sum.get_or_insert_default() += ChrfCounts::new(kind, candidate, references)?;
    }
    Some(sum?.score())
}

fn letters(text: &str) -> Vec<u32> {
    text.chars().filter(|&character| !is_space(character)).map(u32::from).collect()
}

fn compare(candidate: &[u32], reference: &[u32], orders: &mut [OrderCounts]) {
    let counts = NgramCounts::new(&[reference], orders.len());
    for (order, (sum, overlap)) in orders.iter_mut().zip(counts.compare(candidate)).enumerate() {
        sum.reference = reference.len().saturating_sub(order);
        // An order that the reference is too short for is left out, so the candidate's n-grams must not add up.
        sum.candidate = if sum.reference > 0 { overlap.candidate } else { 0 };
        sum.common = overlap.common;
    }
}

/// Words with the punctuation mark at their end, or else at their start, split off.
fn split_words(text: &str) -> Vec<&str> {
    let mut split = Vec::new();
    for word in words(text) {
        let mark = |character: &char| character.is_ascii_punctuation();
        if word.chars().nth(1).is_none() {
            split.push(word);
        } else if word.chars().next_back().is_some_and(|last| mark(&last)) {
            let (rest, last) = word.split_at(word.len() - 1);
            split.extend([rest, last]);
        } else if word.chars().next().is_some_and(|first| mark(&first)) {
            let (first, rest) = word.split_at(1);
            split.extend([first, rest]);
        } else {
            split.push(word);
        }
    }
    split
}
