//! ROUGE: overlap of n-grams and of longest common subsequences.
//!
//! Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), in the variant that Google's `rouge_score`
//! computes and most published numbers use. Results equal those of `rouge_score` 0.1.2 with and without its stemmer.
//!
//! # Tokens
//!
//! The text is lower-cased, and its tokens are the runs of `[a-z0-9]`; everything else separates. A text in another
//! script therefore has no tokens and scores 0. With stemming, tokens of more than three characters go through the
//! Porter stemmer with NLTK's extensions.
//!
//! # Scores
//!
//! With `x` units in common, precision is `x` / candidate units, recall is `x` / reference units and F1 their harmonic
//! mean. A text without tokens, on either side, scores 0, also against itself.
//!
//! * **ROUGE-N**: the units are n-grams; each is common as often as it occurs on both sides.
//! * **ROUGE-L**: the units are tokens; common are those of the longest common subsequence.
//! * **ROUGE-Lsum**: as ROUGE-L line by line. For each reference line, common are the tokens that the longest common
//!   subsequence with any candidate line uses; no token is counted more often than it occurs on either side.
//!
//! # Speed
//!
//! [`Rouge::score`] is the simple call. For many pairs keep a [`RougeScratch`] and use [`Rouge::score_pair`], or prepare
//! a reference once with [`Rouge::prepare`] and score many candidates against it with [`Rouge::score_prepared`].

mod lcs;
mod porter;
mod tokens;

use crate::ngrams::{Ngrams, Vocabulary};
use crate::positions::{Positions, UNKNOWN};
use crate::score::Prf;
use lcs::Lcs;
use tokens::Tokens;

/// One variant of ROUGE.
///
/// ```
/// use llmops_metrics::rouge::{Rouge, RougeKind};
///
/// let both = Rouge::new(vec![RougeKind::N(1), RougeKind::L]);
/// let scores = both.score("b a", &["a b"]).unwrap();
/// assert_eq!((scores[0].f1, scores[1].f1), (1.0, 0.5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RougeKind {
    /// ROUGE-N for n-grams of this many tokens; 0 is read as 1.
    N(u8),
    /// ROUGE-L over the whole text.
    L,
    /// ROUGE-L over lines.
    Lsum,
}

/// Which variants to compute, and whether to stem.
///
/// ```
/// use llmops_metrics::rouge::{Rouge, RougeKind};
///
/// let rouge = Rouge::new(vec![RougeKind::N(1), RougeKind::L]).stemmed(true);
/// let scores = rouge.score("The dogs were jumping.", &["The dog jumped."]).unwrap();
/// assert_eq!((scores[0].precision, scores[0].recall), (0.75, 1.0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rouge {
    kinds: Vec<RougeKind>,
    stem: bool,
}

/// A reference that has been tokenised and indexed for one [`Rouge`].
///
/// It may be scored against by a [`Rouge`] with the same kinds and stemming; kinds that it was not prepared for give 0.
///
/// ```
/// use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
///
/// let rouge = Rouge::new(vec![RougeKind::L]);
/// let reference = rouge.prepare("a b c d");
/// let scores = rouge.score_prepared(&mut RougeScratch::default(), "a b", &reference);
/// assert_eq!((scores[0].precision, scores[0].recall), (1.0, 0.5));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RougeReference {
    vocabulary: Vocabulary,
    /// How often each token of the vocabulary occurs.
    counts: Vec<u32>,
    tokens: Vec<u32>,
    lines: Vec<usize>,
    /// n-grams for n = 2, 3, …
    ngrams: Vec<(Ngrams, Vec<u32>)>,
    positions: Positions,
}

/// Buffers that scoring reuses from pair to pair; one per thread.
///
/// ```
/// use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
///
/// let (rouge, mut scratch) = (Rouge::new(vec![RougeKind::L]), RougeScratch::default());
/// for (candidate, reference) in [("a b", "a b"), ("a b", "c")] {
///     let f1 = rouge.score_pair(&mut scratch, candidate, reference)[0].f1;
///     assert_eq!(f1, if reference == "c" { 0.0 } else { 1.0 });
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RougeScratch {
    text: Tokens,
    reference: RougeReference,
    candidate: Vec<u32>,
    grams: Vec<u32>,
    remaining: Vec<u32>,
    lcs: Lcs,
    line: Positions,
    union: Vec<u64>,
    left: Vec<(u32, u32)>,
}

impl Rouge {
    /// Computes these variants, without stemming; scores come in the same order.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeKind};
    ///
    /// let rouge = Rouge::new(vec![RougeKind::N(2)]);
    /// let scores = rouge.score("a b c", &["a b d"]).unwrap();
    /// assert_eq!(scores[0].f1, 0.5);
    /// ```
    #[must_use]
    pub fn new(kinds: Vec<RougeKind>) -> Self {
        Self { kinds, stem: false }
    }

    /// The four usual variants in this order: ROUGE-1, ROUGE-2, ROUGE-L, ROUGE-Lsum.
    ///
    /// ```
    /// use llmops_metrics::rouge::Rouge;
    ///
    /// assert_eq!(Rouge::usual().kinds().len(), 4);
    /// ```
    #[must_use]
    pub fn usual() -> Self {
        Self::new(vec![RougeKind::N(1), RougeKind::N(2), RougeKind::L, RougeKind::Lsum])
    }

    /// Whether tokens are stemmed.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeKind};
    ///
    /// let rouge = Rouge::new(vec![RougeKind::L]).stemmed(true);
    /// assert_eq!(rouge.score("happily", &["happily"]).unwrap()[0].f1, 1.0);
    /// ```
    #[must_use]
    pub fn stemmed(mut self, stem: bool) -> Self {
        self.stem = stem;
        self
    }

    /// The variants, in the order of the scores.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeKind};
    ///
    /// assert_eq!(Rouge::new(vec![RougeKind::L]).kinds(), [RougeKind::L]);
    /// ```
    pub fn kinds(&self) -> &[RougeKind] {
        &self.kinds
    }

    /// The scores against the best reference of each variant, the first one among equals by F1; `None` without
    /// references.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeKind};
    ///
    /// let rouge = Rouge::new(vec![RougeKind::L]);
    /// let scores = rouge.score("the cat", &["a dog", "the cat sat"]).unwrap();
    /// assert_eq!((scores[0].precision, scores[0].recall), (1.0, 2.0 / 3.0));
    /// assert!(rouge.score::<&str>("the cat", &[]).is_none());
    /// ```
    pub fn score<S: AsRef<str>>(&self, candidate: &str, references: &[S]) -> Option<Vec<Prf>> {
        self.score_with(&mut RougeScratch::default(), candidate, references)
    }

    /// [`score`](Self::score) with buffers that the caller keeps.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeScratch};
    ///
    /// let mut scratch = RougeScratch::default();
    /// let scores = Rouge::usual().score_with(&mut scratch, "a b", &["a b"]).unwrap();
    /// assert!(scores.iter().all(|score| score.f1 == 1.0));
    /// ```
    pub fn score_with<S: AsRef<str>>(
        &self,
        scratch: &mut RougeScratch,
        candidate: &str,
        references: &[S],
    ) -> Option<Vec<Prf>> {
        let mut scores = references.iter().map(|reference| self.score_pair(scratch, candidate, reference.as_ref()));
        let mut best = scores.next()?;
        for other in scores {
            for (best, other) in best.iter_mut().zip(other) {
                if other.f1 > best.f1 {
                    *best = other;
                }
            }
        }
        Some(best)
    }

    /// The scores of one pair.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
    ///
    /// let rouge = Rouge::new(vec![RougeKind::Lsum]);
    /// let scores = rouge.score_pair(&mut RougeScratch::default(), "b\na", "a\nb");
    /// assert_eq!(scores[0].f1, 1.0, "lines may come in any order");
    /// ```
    pub fn score_pair(&self, scratch: &mut RougeScratch, candidate: &str, reference: &str) -> Vec<Prf> {
        let mut prepared = std::mem::take(&mut scratch.reference);
        self.prepare_into(&mut scratch.text, reference, &mut prepared);
        let scores = self.score_prepared(scratch, candidate, &prepared);
        scratch.reference = prepared;
        scores
    }

    /// Tokenises and indexes a reference that many candidates will be compared with.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeScratch};
    ///
    /// let rouge = Rouge::usual();
    /// let reference = rouge.prepare("the cat sat");
    /// let mut scratch = RougeScratch::default();
    /// let scores: Vec<f64> =
    ///     ["the cat", "a dog"].map(|candidate| rouge.score_prepared(&mut scratch, candidate, &reference)[2].f1).to_vec();
    /// assert_eq!(scores, [0.8, 0.0]);
    /// ```
    pub fn prepare(&self, reference: &str) -> RougeReference {
        let mut prepared = RougeReference::default();
        self.prepare_into(&mut Tokens::default(), reference, &mut prepared);
        prepared
    }

    /// The scores against a reference from [`prepare`](Self::prepare) of the same configuration.
    ///
    /// ```
    /// use llmops_metrics::rouge::{Rouge, RougeScratch};
    ///
    /// let rouge = Rouge::usual();
    /// let scores = rouge.score_prepared(&mut RougeScratch::default(), "", &rouge.prepare(""));
    /// assert!(scores.iter().all(|score| score.f1 == 0.0), "no tokens, no overlap");
    /// ```
    pub fn score_prepared(&self, scratch: &mut RougeScratch, candidate: &str, reference: &RougeReference) -> Vec<Prf> {
        scratch.text.read(candidate, self.stem);
        scratch.candidate.clear();
        scratch.candidate.extend(scratch.text.iter().map(|token| reference.vocabulary.get(token)));
        let mut longest = None;
        let mut score = |kind: &RougeKind| match *kind {
            RougeKind::N(n) => scratch.ngram_score(n.max(1), reference),
            RougeKind::L => *longest.get_or_insert_with(|| scratch.lcs_score(reference)),
            // One line on each side: no union to take, and no token can be counted twice.
            RougeKind::Lsum if reference.lines.len() <= 1 && scratch.text.lines.len() <= 1 => {
                *longest.get_or_insert_with(|| scratch.lcs_score(reference))
            }
            RougeKind::Lsum => scratch.lines_score(reference),
        };
        self.kinds.iter().map(&mut score).collect()
    }

    fn prepare_into(&self, text: &mut Tokens, reference: &str, prepared: &mut RougeReference) {
        text.read(reference, self.stem);
        let RougeReference { vocabulary, counts, tokens, lines, ngrams, positions } = prepared;
        vocabulary.reset(text.len());
        tokens.clear();
        tokens.extend(text.iter().map(|token| vocabulary.intern(token)));
        lines.clone_from(&text.lines);
        counts.clear();
        counts.resize(vocabulary.len(), 0);
        for &token in &*tokens {
            counts[token as usize] += 1;
        }
        let longest =
            self.kinds.iter().filter_map(|kind| if let RougeKind::N(n) = kind { Some(*n) } else { None }).max();
        ngrams.resize_with(usize::from(longest.unwrap_or(0)).saturating_sub(1), Default::default);
        let mut grams = tokens.clone();
        for (level, (table, counts)) in ngrams.iter_mut().enumerate() {
            let shift = level + 1;
            table.reset(tokens.len());
            counts.clear();
            counts.resize(tokens.len(), 0);
            grams.truncate(tokens.len().saturating_sub(shift));
            for (gram, &last) in grams.iter_mut().zip(tokens.iter().skip(shift)) {
                *gram = table.intern(*gram, last);
                counts[*gram as usize] += 1;
            }
        }
        if self.kinds.iter().any(|kind| matches!(kind, RougeKind::L | RougeKind::Lsum)) {
            positions.build(tokens, vocabulary.len());
        } else {
            positions.build(&[], 0);
        }
    }
}

impl RougeScratch {
    fn ngram_score(&mut self, n: u8, reference: &RougeReference) -> Prf {
        let n = usize::from(n);
        let Some(counts) = (match n {
            1 => Some(&reference.counts),
            _ => reference.ngrams.get(n - 2).map(|(_, counts)| counts),
        }) else {
            return Prf::ZERO;
        };
        self.grams.clone_from(&self.candidate);
        for (level, (table, _)) in reference.ngrams.iter().enumerate().take(n - 1) {
            let shift = level + 1;
            self.grams.truncate(self.candidate.len().saturating_sub(shift));
            for (gram, &last) in self.grams.iter_mut().zip(self.candidate.iter().skip(shift)) {
                *gram = table.get(*gram, last);
            }
        }
        self.remaining.clone_from(counts);
        let mut common = 0;
        for &gram in &self.grams {
            if let Some(left) = self.remaining.get_mut(gram as usize).filter(|left| **left > 0) {
                *left -= 1;
                common += 1;
            }
        }
        let ngrams = |tokens: usize| (tokens + 1).saturating_sub(n);
        Prf::from_counts(common, ngrams(self.candidate.len()), ngrams(reference.tokens.len()))
    }

    fn lcs_score(&mut self, reference: &RougeReference) -> Prf {
        let length = self.lcs.length(&reference.positions, &self.candidate);
        Prf::from_counts(length, self.candidate.len(), reference.tokens.len())
    }

    fn lines_score(&mut self, reference: &RougeReference) -> Prf {
        // How often each token may still be counted, on either side.
        self.left.clear();
        self.left.extend(reference.counts.iter().map(|&count| (count, 0)));
        for &token in self.candidate.iter().filter(|&&token| token != UNKNOWN) {
            self.left[token as usize].1 += 1;
        }
        let mut common = 0;
        let mut start = 0;
        for &end in &reference.lines {
            let line = &reference.tokens[start..end];
            start = end;
            self.line.build(line, reference.vocabulary.len());
            self.union.clear();
            self.union.resize(line.len().div_ceil(64), 0);
            let mut from = 0;
            for &to in &self.text.lines {
                self.lcs.mark(&self.line, &self.candidate[from..to], &mut self.union);
                from = to;
            }
            for (at, &token) in line.iter().enumerate() {
                let (in_reference, in_candidate) = &mut self.left[token as usize];
                if self.union[at / 64] >> (at % 64) & 1 == 1 && *in_reference > 0 && *in_candidate > 0 {
                    *in_reference -= 1;
                    *in_candidate -= 1;
                    common += 1;
                }
            }
        }
        Prf::from_counts(common, self.candidate.len(), reference.tokens.len())
    }
}
