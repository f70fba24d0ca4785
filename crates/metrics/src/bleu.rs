//! BLEU: precision of word n-grams with a penalty for brevity.
//!
//! Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation" (2002), as `sacrebleu` computes it by
//! default: tokeniser 13a, mixed case, n-grams up to four, exponential smoothing. Values are `sacrebleu`'s divided by 100.
//!
//! With `p_n` the share of the candidate's n-grams that occur in a reference (each as often as in the reference that
//! has most of it), `c` the candidate's length and `r` the closest reference length in tokens:
//!
//! > BLEU = exp(min(0, 1 − r / c)) · (p_1 · p_2 · p_3 · p_4)^(1/4)
//!
//! Smoothing puts `1 / (2^k · n-grams)` for the k-th order without a match. When nothing matches at all, the score is 0,
//! so an empty candidate scores 0, also against an empty reference.
//!
//! A corpus has its own BLEU, from the sums of its sentences' counts; it is not the mean of theirs.

use std::iter::Sum;
use std::ops::AddAssign;

use crate::ngrams::{NgramCounts, Vocabulary};
use crate::text::{is_space, words};

/// The longest n-grams that count.
const MAX_ORDER: usize = 4;

/// The counts that BLEU is computed from; those of a corpus are the sum of those of its sentences.
///
/// ```
/// use llmops_metrics::bleu::BleuCounts;
///
/// let corpus: BleuCounts = [("the cat sat on the mat", "the cat sat on a mat"), ("it rains", "it rains")]
///     .iter()
///     .filter_map(|(candidate, reference)| BleuCounts::new(candidate, &[reference]))
///     .sum();
/// assert_eq!(corpus.candidate_tokens, 8);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BleuCounts {
    /// Tokens in the candidate.
    pub candidate_tokens: usize,
    /// Tokens in the reference whose length is closest, the shorter one of two.
    pub reference_tokens: usize,
    /// The candidate's n-grams for n = 1 to 4.
    pub total: [usize; MAX_ORDER],
    /// Those of them that occur in a reference.
    pub correct: [usize; MAX_ORDER],
}

impl BleuCounts {
    /// Counts one sentence; `None` without references.
    ///
    /// ```
    /// use llmops_metrics::bleu::BleuCounts;
    ///
    /// let counts = BleuCounts::new("the cat sat", &["the cat sat down"]).unwrap();
    /// assert_eq!((counts.correct, counts.total), ([3, 2, 1, 0], [3, 2, 1, 0]));
    /// ```
    pub fn new<S: AsRef<str>>(candidate: &str, references: &[S]) -> Option<Self> {
        let references: Vec<String> = references.iter().map(|reference| tokenize_13a(reference.as_ref())).collect();
        let candidate = tokenize_13a(candidate);
        let mut vocabulary = Vocabulary::default();
        vocabulary.reset(references.iter().map(|reference| words(reference).count()).sum());
        let references: Vec<Vec<u32>> = references
            .iter()
            .map(|reference| words(reference).map(|word| vocabulary.intern(word.as_bytes())).collect())
            .collect();
        let candidate: Vec<u32> = words(&candidate).map(|word| vocabulary.get(word.as_bytes())).collect();
        let closest =
            references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(candidate.len()), length))?;
        let mut counts = Self { candidate_tokens: candidate.len(), reference_tokens: closest, ..Self::default() };
        let overlaps = NgramCounts::new(&references, MAX_ORDER);
        for (order, overlap) in overlaps.compare(&candidate).enumerate() {
            counts.total[order] = overlap.candidate;
            counts.correct[order] = overlap.common;
        }
        Some(counts)
    }

    /// BLEU over all four orders, as `sacrebleu.corpus_bleu`. 0 when the candidate is too short to have n-grams of
    /// every order.
    ///
    /// ```
    /// use llmops_metrics::bleu::BleuCounts;
    ///
    /// let counts = BleuCounts::new("a b", &["a b"]).unwrap();
    /// assert_eq!(counts.corpus_score(), 0.0);
    /// ```
    pub fn corpus_score(&self) -> f64 {
        self.score(false)
    }

    /// BLEU over those orders that the candidate has, as `sacrebleu.sentence_bleu`.
    ///
    /// ```
    /// use llmops_metrics::bleu::BleuCounts;
    ///
    /// let counts = BleuCounts::new("a b", &["a b"]).unwrap();
    /// assert_eq!(counts.sentence_score(), 1.0);
    /// ```
    pub fn sentence_score(&self) -> f64 {
        self.score(true)
    }

    fn score(&self, effective_order: bool) -> f64 {
        if self.correct.iter().all(|&correct| correct == 0) {
            return 0.0;
        }
        let orders = self.total.iter().take_while(|&&total| total > 0).count();
        if orders == 0 || (orders < MAX_ORDER && !effective_order) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut log_sum = 0.0;
        for (&correct, &total) in self.correct.iter().zip(&self.total).take(orders) {
            let hits = if correct == 0 {
                smoothing *= 2.0;
                1.0 / smoothing
            } else {
                correct as f64
            };
            log_sum += (hits / total as f64).ln();
        }
        let brevity = (1.0 - self.reference_tokens as f64 / self.candidate_tokens as f64).min(0.0);
        // The logarithms' rounding may lift a perfect score above 1.
        (brevity + log_sum / orders as f64).exp().min(1.0)
    }
}

impl AddAssign for BleuCounts {
    fn add_assign(&mut self, other: Self) {
        self.candidate_tokens += other.candidate_tokens;
        self.reference_tokens += other.reference_tokens;
        for order in 0..MAX_ORDER {
            self.total[order] += other.total[order];
            self.correct[order] += other.correct[order];
        }
    }
}

impl Sum for BleuCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// BLEU of one sentence against all its references together, as `sacrebleu.sentence_bleu`; `None` without references.
///
/// ```
/// use llmops_metrics::bleu::sentence_bleu;
///
/// let score = sentence_bleu("The dog bit the man.", &["The dog had bit the man."]).unwrap();
/// assert!((score - 0.511_508).abs() < 1e-6);
/// ```
pub fn sentence_bleu<S: AsRef<str>>(candidate: &str, references: &[S]) -> Option<f64> {
    Some(BleuCounts::new(candidate, references)?.sentence_score())
}

/// BLEU of a corpus of candidates, each with its references, as `sacrebleu.corpus_bleu`; `None` for an empty corpus or
/// when a candidate has no reference.
///
/// ```
/// use llmops_metrics::bleu::corpus_bleu;
///
/// let corpus = [("The dog bit the man.", ["The dog bit the man."]), ("It was late.", ["It was not late."])];
/// let score = corpus_bleu(corpus.iter().map(|(candidate, references)| (*candidate, &references[..]))).unwrap();
/// assert!((score - 0.735_894).abs() < 1e-6);
/// ```
pub fn corpus_bleu<'t, S: AsRef<str> + 't>(corpus: impl IntoIterator<Item = (&'t str, &'t [S])>) -> Option<f64> {
    let mut sum: Option<BleuCounts> = None;
    for (candidate, references) in corpus {
        *sum.get_or_insert_default() += BleuCounts::new(candidate, references)?;
    }
    Some(sum?.corpus_score())
}

/// The tokeniser of `mteval-v13a`, which WMT and `sacrebleu` use: four HTML entities are decoded, ASCII punctuation is
/// separated from words, period and comma unless they stand between digits, a dash after a digit.
///
/// ```
/// use llmops_metrics::bleu::tokenize_13a;
///
/// assert_eq!(tokenize_13a("It costs $1,000.50 (about 3-4 &amp; more)."), "It costs $ 1,000.50 ( about 3 - 4 & more ) .");
/// ```
pub fn tokenize_13a(text: &str) -> String {
    let mut line = text.trim_end_matches(is_space).replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if line.contains('&') {
        // One after another, so that `&amp;lt;` becomes `<`.
        for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            line = line.replace(entity, character);
        }
    }
    let mut characters = Vec::with_capacity(line.len() + line.len() / 4 + 2);
    characters.push(' ');
    for character in line.chars().chain([' ']) {
        if separates(character) {
            characters.extend([' ', character, ' ']);
        } else {
            characters.push(character);
        }
    }
    let stop = |character: char| matches!(character, '.' | ',');
    let digit = |character: char| character.is_ascii_digit();
    let after = respace(&characters, |first, second| (!digit(first) && stop(second)).then_some([false, true, true]));
    let before = respace(&after, |first, second| (stop(first) && !digit(second)).then_some([true, true, false]));
    let dashes = respace(&before, |first, second| (digit(first) && second == '-').then_some([false, true, true]));
    crate::text::collapse_whitespace(&dashes.into_iter().collect::<String>())
}

/// ASCII punctuation that is a token by itself wherever it stands.
fn separates(character: char) -> bool {
    matches!(character, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Walks over pairs of characters that do not overlap, from the left. Where `rule` accepts a pair, spaces go before,
/// between and after it as the answer says.
fn respace(characters: &[char], rule: impl Fn(char, char) -> Option<[bool; 3]>) -> Vec<char> {
    let mut out = Vec::with_capacity(characters.len() + characters.len() / 8);
    let mut at = 0;
    while at < characters.len() {
        let first = characters[at];
        if let Some(&second) = characters.get(at + 1)
            && let Some([before, between, after]) = rule(first, second)
        {
            let space = |wanted: bool| wanted.then_some(' ');
            out.extend(space(before).into_iter().chain([first]).chain(space(between)));
            out.extend([second].into_iter().chain(space(after)));
            at += 2;
        } else {
            out.push(first);
            at += 1;
        }
    }
    out
}
