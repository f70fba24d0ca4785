//! BERTScore: similarity of contextual token embeddings.
//!
//! Zhang et al., "BERTScore: Evaluating Text Generation with BERT" (2020), as PyPI `bert_score` computes it. Each token of
//! the candidate is matched with the token of the reference whose embedding has the highest cosine, and the other way
//! round. With weights w (1, or inverse document frequencies; 0 for the special tokens at both ends):
//!
//! > precision = Σ w_i · max_j cos(x_i, y_j) / Σ w_i over candidate tokens, recall the same over reference tokens
//!
//! A highest cosine below 0 counts as 0. The reference does so wherever its batch has padding, and only there, so that its
//! scores of dissimilar short texts depend on what else is in the batch; here they do not.
//!
//! A text without tokens scores 0, also against itself. Where the weights of a side sum to 0, as with frequencies from a
//! single reference, its mean is 0; the reference implementation has NaN there.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use thiserror::Error;

use crate::encoder::{EncodeError, Encoder, TokenEmbeddings};
use crate::score::Prf;

/// Pairs that are embedded before they are compared; bounds the memory of [`BertScore::score_pairs`].
const CHUNK: usize = 256;

/// Inverse document frequencies of tokens over a set of references: `ln((n + 1) / (documents with the token + 1))`.
///
/// ```
/// use llmops_metrics::bertscore::Idf;
///
/// let idf = Idf::from_tokens([vec![101, 7, 102], vec![101, 8, 8, 102]]);
/// assert_eq!(idf.weight(101), 0.0, "in every document");
/// assert_eq!(idf.weight(8), 1.5_f64.ln());
/// assert_eq!(idf.weight(9), 3.0_f64.ln(), "in none");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Idf {
    documents: u64,
    with_token: HashMap<u32, u64>,
}

impl Idf {
    /// Counts the tokens of references; a text that occurs twice counts twice.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] as of [`Encoder::tokenize`].
    ///
    /// ```
    /// use llmops_metrics::{bertscore::Idf, encoder::Encoder};
    ///
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let idf = Idf::new(&encoder, &["the cat", "the dog"])?;
    /// assert_eq!(idf.weight(encoder.ends().0), 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<S: AsRef<str> + Sync>(encoder: &Encoder, references: &[S]) -> Result<Self, EncodeError> {
        let mut idf = Self::default();
        idf.count(encoder, references)?;
        Ok(idf)
    }

    /// Counts the tokens of more references, so that they need not be in memory together.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] as of [`Encoder::tokenize`]; nothing is counted then.
    ///
    /// ```
    /// use llmops_metrics::{bertscore::Idf, encoder::Encoder};
    ///
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let mut idf = Idf::default();
    /// idf.count(&encoder, &["the cat"])?;
    /// idf.count(&encoder, &["the dog"])?;
    /// assert_eq!(idf, Idf::new(&encoder, &["the cat", "the dog"])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count<S: AsRef<str> + Sync>(&mut self, encoder: &Encoder, references: &[S]) -> Result<(), EncodeError> {
        let tokens = references.par_iter().map(|text| encoder.tokenize(text.as_ref()));
        tokens.collect::<Result<Vec<_>, _>>()?.iter().for_each(|document| self.add(document));
        Ok(())
    }

    fn add(&mut self, document: &[u32]) {
        self.documents += 1;
        for &token in document.iter().collect::<HashSet<_>>() {
            *self.with_token.entry(token).or_default() += 1;
        }
    }

    /// Counts documents that are tokenised already.
    ///
    /// ```
    /// use llmops_metrics::bertscore::Idf;
    ///
    /// assert_eq!(Idf::from_tokens(Vec::<Vec<u32>>::new()).weight(5), 0.0);
    /// ```
    pub fn from_tokens<T: AsRef<[u32]>>(documents: impl IntoIterator<Item = T>) -> Self {
        let mut idf = Self::default();
        documents.into_iter().for_each(|document| idf.add(document.as_ref()));
        idf
    }

    /// The weight of a token.
    ///
    /// ```
    /// use llmops_metrics::bertscore::Idf;
    ///
    /// assert_eq!(Idf::from_tokens([[1]]).weight(2), 2.0_f64.ln());
    /// ```
    pub fn weight(&self, token: u32) -> f64 {
        let with_token = self.with_token.get(&token).copied().unwrap_or(0);
        ((self.documents + 1) as f64 / (with_token + 1) as f64).ln()
    }
}

/// The scores of unrelated texts under a model and layer, which rescaling moves to 0: `(x − b) / (1 − b)`.
///
/// Raw scores of a model lie in a narrow band near 1; rescaled ones spread over the range that people expect, and keep
/// their order. A rescaled score may be below 0 for texts that are less similar than chance; it is left so, as in
/// `bert_score`.
///
/// ```
/// use llmops_metrics::{Prf, bertscore::Baseline};
///
/// let baseline = Baseline::parse("LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.5,0.5,0.5\n", 1)?;
/// let score = baseline.rescale(Prf { precision: 0.75, recall: 1.0, f1: 0.9 });
/// assert_eq!((score.precision, score.recall), (0.5, 1.0));
/// # Ok::<(), llmops_metrics::bertscore::BaselineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// The baselines themselves.
    pub scores: Prf,
}

/// What is wrong with a baseline file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BaselineError {
    /// There is no line for the layer.
    #[error("the baseline file has no line for layer {0}")]
    NoLayer(usize),
    /// A line is something else.
    #[error("line {0} of the baseline file is not `layer,P,R,F` with three numbers below 1")]
    Line(usize),
}

impl Baseline {
    /// Reads a baseline file of `bert_score`: a header, then one line `layer,P,R,F` for each layer from 0. The item is
    /// that of the layer.
    ///
    /// # Errors
    ///
    /// [`BaselineError`] when a line is malformed, or there is none for the layer.
    ///
    /// ```
    /// use llmops_metrics::bertscore::Baseline;
    ///
    /// assert!(Baseline::parse("LAYER,P,R,F\n", 0).is_err());
    /// ```
    pub fn parse(file: &str, layer: usize) -> Result<Self, BaselineError> {
        Self::parse_all(file)?.get(layer).copied().ok_or(BaselineError::NoLayer(layer))
    }

    /// Reads the baselines of all layers, from 0.
    ///
    /// # Errors
    ///
    /// [`BaselineError`] for the first malformed line.
    ///
    /// ```
    /// use llmops_metrics::bertscore::Baseline;
    ///
    /// let layers = Baseline::parse_all("LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.5,0.5,0.5\n")?;
    /// assert_eq!(layers[1].scores.f1, 0.5);
    /// # Ok::<(), llmops_metrics::bertscore::BaselineError>(())
    /// ```
    pub fn parse_all(file: &str) -> Result<Vec<Self>, BaselineError> {
        let rows = file.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
        rows.map(|(at, line)| {
            let values = line
                .split(',')
                .skip(1)
                .map(|value| value.trim().parse::<f64>().ok().filter(|b| b.is_finite() && *b < 1.0));
            match values.collect::<Option<Vec<f64>>>().as_deref() {
                Some(&[precision, recall, f1]) => Ok(Self { scores: Prf { precision, recall, f1 } }),
                _ => Err(BaselineError::Line(at + 1)),
            }
        })
        .collect()
    }

    /// Rescales a score.
    ///
    /// ```
    /// use llmops_metrics::{Prf, bertscore::Baseline};
    ///
    /// assert_eq!(Baseline { scores: Prf::ZERO }.rescale(Prf::ONE), Prf::ONE);
    /// ```
    #[must_use]
    pub fn rescale(&self, score: Prf) -> Prf {
        let rescale = |value: f64, baseline: f64| (value - baseline) / (1.0 - baseline);
        Prf {
            precision: rescale(score.precision, self.scores.precision),
            recall: rescale(score.recall, self.scores.recall),
            f1: rescale(score.f1, self.scores.f1),
        }
    }
}

/// How BERTScore is computed from embeddings.
///
/// ```
/// use llmops_metrics::bertscore::BertScore;
///
/// let plain = BertScore::default();
/// assert!(plain.idf.is_none() && plain.baseline.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BertScore {
    /// Weights of tokens; without them every token but the special ones counts the same.
    pub idf: Option<Idf>,
    /// What unrelated texts score.
    pub baseline: Option<Baseline>,
}

impl BertScore {
    /// The score of embedded texts, both from `encoder`. This is where embeddings from a cache come in.
    ///
    /// ```
    /// use llmops_metrics::{bertscore::BertScore, encoder::Encoder};
    ///
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let embeddings = encoder.embed(&["It arrives on Friday.", "Friday is the day it arrives."])?;
    /// let score = BertScore::default().compare(encoder.ends(), &embeddings[0], &embeddings[1]);
    /// assert!(score.f1 > 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare(&self, ends: (u32, u32), candidate: &TokenEmbeddings, reference: &TokenEmbeddings) -> Prf {
        let empty = |text: &TokenEmbeddings| text.ids().len() <= 2;
        let score = if empty(candidate) || empty(reference) {
            Prf::ZERO
        } else {
            let (of_candidate, of_reference) = candidate.highest_cosines(reference);
            let precision = self.mean(ends, candidate.ids(), &of_candidate);
            Prf::new(precision, self.mean(ends, reference.ids(), &of_reference))
        };
        self.baseline.map_or(score, |baseline| baseline.rescale(score))
    }

    fn mean(&self, ends: (u32, u32), ids: &[u32], cosines: &[f32]) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (&id, &cosine) in ids.iter().zip(cosines) {
            let weight = match &self.idf {
                Some(idf) => idf.weight(id),
                None => f64::from(u8::from(id != ends.0 && id != ends.1)),
            };
            sum += weight * f64::from(cosine);
            total += weight;
        }
        // Rounding of single precision may lift the cosine of equal vectors above 1.
        if total > 0.0 { (sum / total).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The scores of many pairs (candidate, reference). Texts that occur repeatedly are embedded once for each 256
    /// pairs; memory does not grow with the number of pairs but for their scores.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] as of [`Encoder::tokenize`].
    ///
    /// ```
    /// use llmops_metrics::{bertscore::BertScore, encoder::Encoder};
    ///
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let scores = BertScore::default().score_pairs(&encoder, &[("the same", "the same"), ("", "something")])?;
    /// assert!(scores[0].f1 > 0.999 && scores[1].f1 == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn score_pairs(&self, encoder: &Encoder, pairs: &[(&str, &str)]) -> Result<Vec<Prf>, EncodeError> {
        let mut scores = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(CHUNK) {
            let mut index: HashMap<&str, usize> = HashMap::new();
            let mut texts: Vec<&str> = Vec::new();
            for text in pairs.iter().flat_map(|&(candidate, reference)| [candidate, reference]) {
                index.entry(text).or_insert_with(|| {
                    texts.push(text);
                    texts.len() - 1
                });
            }
            let embeddings = encoder.embed(&texts)?;
            let compare = |(candidate, reference): &(&str, &str)| {
                self.compare(encoder.ends(), &embeddings[index[candidate]], &embeddings[index[reference]])
            };
            scores.par_extend(pairs.par_iter().map(compare));
        }
        Ok(scores)
    }

    /// The best precision, the best recall and the best F1 over the references, each by itself as in `bert_score`;
    /// `None` without references.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] as of [`Encoder::tokenize`].
    ///
    /// ```
    /// use llmops_metrics::{bertscore::BertScore, encoder::Encoder};
    ///
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let score = BertScore::default().score(&encoder, "the cat", &["a dog", "the cat"])?;
    /// assert!(score.unwrap().f1 > 0.999);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn score<S: AsRef<str>>(
        &self,
        encoder: &Encoder,
        candidate: &str,
        references: &[S],
    ) -> Result<Option<Prf>, EncodeError> {
        let pairs: Vec<(&str, &str)> = references.iter().map(|reference| (candidate, reference.as_ref())).collect();
        Ok(self.score_pairs(encoder, &pairs)?.into_iter().reduce(|best, score| Prf {
            precision: best.precision.max(score.precision),
            recall: best.recall.max(score.recall),
            f1: best.f1.max(score.f1),
        }))
    }
}
