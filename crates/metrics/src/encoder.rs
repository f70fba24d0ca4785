//! Contextual embeddings of tokens, by BERT, RoBERTa, DistilBERT, MiniLM and their relatives, on the CPU.
//!
//! A model is a directory with `config.json`, `tokenizer.json` and `model.safetensors`, as the Hugging Face hub has them.
//! Families by `model_type`: `bert` (MiniLM among them), `roberta`, `xlm-roberta`, `camembert`, `distilbert`.
//!
//! Texts are handled as `bert_score` handles them: surrounding whitespace is removed, special tokens are added, and what
//! exceeds the model's length is cut off at the end. Work is spread over the threads of the current `rayon` pool.

#![expect(
    clippy::inline_always,
    reason = "only code that is inlined into a dispatched function is compiled for its vectors"
)]

mod loader;
mod math;
mod matmul;
mod model;
mod safetensors;

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use thiserror::Error;
use tokenizers::Tokenizer;

pub use loader::LoadError;
use matmul::{Packed, Rows, multiply_add};
use model::Model;

use crate::text::is_space;

/// Tokens that go through the model together: enough to fill the tiles of the matrix product, few enough for the cache.
const BATCH_TOKENS: usize = 480;

/// The text could not be tokenised, or its tokens are not in the model's vocabulary.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot tokenise: {0}")]
pub struct EncodeError(String);

impl EncodeError {
    /// An error with this reason.
    ///
    /// ```
    /// use llmops_metrics::encoder::EncodeError;
    ///
    /// assert_eq!(EncodeError::new("too odd").to_string(), "cannot tokenise: too odd");
    /// ```
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// A model that turns texts into embeddings of their tokens.
///
/// ```
/// use llmops_metrics::encoder::Encoder;
///
/// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
/// let embeddings = encoder.embed(&["Where is my order?"])?;
/// assert_eq!(embeddings[0].width(), encoder.width());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    /// Shared by encoders of several layers.
    model: Arc<Model>,
    tokenizer: Arc<Tokenizer>,
    /// The layer that embeddings are taken from: the last of `model`, or one before.
    layer: usize,
    layers: usize,
    max_tokens: usize,
    leading_space: bool,
    /// The special tokens around a text, which are not words of it.
    ends: (u32, u32),
}

impl Encoder {
    /// Loads a model from a directory. Its embeddings are the hidden states after `layer` layers; 0 are those before
    /// the first one, `None` those after the last. [`default_layer`] knows which one suits BERTScore best.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when a file is missing or broken, the model is of another family, or has fewer layers.
    ///
    /// ```
    /// use llmops_metrics::encoder::{Encoder, LoadError};
    ///
    /// assert!(matches!(Encoder::load("no/such/model".as_ref(), None), Err(LoadError::Io { .. })));
    /// ```
    pub fn load(directory: &Path, layer: Option<usize>) -> Result<Self, LoadError> {
        let loader::Loaded { model, tokenizer, layers, max_tokens, leading_space } = loader::load(directory, layer)?;
        let empty = tokenizer.encode("", true);
        let empty = empty.map_err(|error| LoadError::invalid(&directory.join("tokenizer.json"), error))?;
        let &[first, last] = empty.get_ids() else {
            return Err(LoadError::Unsupported("a tokenizer that does not put one token at each end".to_owned()));
        };
        let layer = model.layers.len();
        let (model, tokenizer) = (Arc::new(model), Arc::new(tokenizer));
        Ok(Self { model, tokenizer, layer, layers, max_tokens, leading_space, ends: (first, last) })
    }

    /// The same model with its embeddings taken from another layer, over the same weights in memory; `None` where that layer
    /// is not loaded.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let directory = "tests/fixtures/encoders/bert".as_ref();
    /// let encoder = Encoder::load(directory, None)?;
    /// let first = encoder.at(1).ok_or("not loaded")?;
    /// let alone = Encoder::load(directory, Some(1))?;
    /// assert_eq!(first.embed(&["the cat"])?, alone.embed(&["the cat"])?);
    /// assert!(alone.at(2).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn at(&self, layer: usize) -> Option<Self> {
        let (model, tokenizer) = (self.model.clone(), self.tokenizer.clone());
        (layer <= model.layers.len()).then(|| Self { model, tokenizer, layer, ..*self })
    }

    /// Values in the embedding of a token.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// assert_eq!(encoder.width(), 24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn width(&self) -> usize {
        self.model.width
    }

    /// The layer that the embeddings are taken from.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// assert_eq!(encoder.layer(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// How many layers the model has; of those above [`layer`](Self::layer), none need be loaded.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), Some(1))?;
    /// assert_eq!((encoder.layer(), encoder.layers()), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The most tokens of a text, special ones included; the rest is cut off.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// assert_eq!(encoder.max_tokens(), 32);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The ids of the special tokens that are put before and after a text.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let (first, last) = encoder.ends();
    /// assert_eq!(encoder.tokenize("")?, [first, last]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ends(&self) -> (u32, u32) {
        self.ends
    }

    /// The token ids of a text with the special tokens.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the tokeniser fails, which the usual ones never do, or does not fit the model.
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// assert_eq!(encoder.tokenize(" the cat ")?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        let stripped = text.trim_matches(is_space);
        let spaced;
        let text = if self.leading_space && !stripped.is_empty() {
            spaced = format!(" {stripped}");
            &spaced
        } else {
            stripped
        };
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|error| EncodeError(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        let known = self.model.words.len() / self.model.width.max(1);
        match ids.iter().find(|&&id| id as usize >= known) {
            Some(id) => Err(EncodeError(format!("token {id} of a vocabulary of {known}"))),
            None => Ok(ids),
        }
    }

    /// The embeddings of texts, in their order.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] as of [`tokenize`](Self::tokenize).
    ///
    /// ```
    /// # use llmops_metrics::encoder::Encoder;
    /// # let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
    /// let embeddings = encoder.embed(&["the cat", ""])?;
    /// assert_eq!(embeddings[0].ids().len(), 4);
    /// assert_eq!(embeddings[1].values().len(), 2 * encoder.width());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn embed<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<TokenEmbeddings>, EncodeError> {
        let sentences =
            texts.par_iter().map(|text| self.tokenize(text.as_ref())).collect::<Result<Vec<Vec<u32>>, _>>()?;
        let mut batches: Vec<Vec<&[u32]>> = Vec::new();
        let mut room = 0;
        for sentence in &sentences {
            match batches.last_mut() {
                Some(batch) if sentence.len() <= room => batch.push(sentence),
                _ => {
                    batches.push(vec![sentence]);
                    room = BATCH_TOKENS;
                }
            }
            room = room.saturating_sub(sentence.len());
        }
        let states: Vec<Vec<f32>> = batches.par_iter().map(|batch| self.model.forward(batch, self.layer)).collect();
        let mut embeddings = Vec::with_capacity(texts.len());
        for (batch, states) in batches.iter().zip(states) {
            let mut states = states.as_slice();
            for sentence in batch {
                let (of_sentence, rest) = states.split_at(sentence.len() * self.width());
                states = rest;
                embeddings.push(TokenEmbeddings::new(sentence.to_vec(), of_sentence.to_vec()));
            }
        }
        Ok(embeddings)
    }
}

/// The embeddings of one text's tokens.
///
/// ```
/// use llmops_metrics::encoder::Encoder;
///
/// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
/// let embeddings = encoder.embed(&["It arrives."])?;
/// assert!(embeddings[0].ids().len() > 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    ids: Vec<u32>,
    /// One row for each token.
    values: Vec<f32>,
    /// One over the length of each row, 0 for a row of zeros.
    inverse_norms: Vec<f32>,
}

impl TokenEmbeddings {
    fn new(ids: Vec<u32>, values: Vec<f32>) -> Self {
        let width = values.len() / ids.len().max(1);
        let inverse = |row: &[f32]| {
            let norm = math::dot(row, row).sqrt();
            if norm > 0.0 { 1.0 / norm } else { 0.0 }
        };
        let inverse_norms = values.chunks_exact(width.max(1)).map(inverse).collect();
        Self { ids, values, inverse_norms }
    }

    /// Puts together what [`ids`](Self::ids) and [`values`](Self::values) gave, for a cache; `None` when the number of
    /// values is not a multiple of the number of tokens or a value is not finite.
    ///
    /// ```
    /// use llmops_metrics::encoder::TokenEmbeddings;
    ///
    /// let embeddings = TokenEmbeddings::from_parts(vec![101, 102], vec![3.0, 4.0, 0.0, 5.0]).unwrap();
    /// assert_eq!(embeddings.width(), 2);
    /// assert!(TokenEmbeddings::from_parts(vec![1, 2], vec![1.0]).is_none());
    /// ```
    pub fn from_parts(ids: Vec<u32>, values: Vec<f32>) -> Option<Self> {
        let fits = !ids.is_empty() && !values.is_empty() && values.len().is_multiple_of(ids.len());
        (fits && values.iter().all(|value| value.is_finite())).then(|| Self::new(ids, values))
    }

    /// The token ids.
    ///
    /// ```
    /// use llmops_metrics::encoder::TokenEmbeddings;
    ///
    /// let embeddings = TokenEmbeddings::from_parts(vec![101, 102], vec![3.0, 4.0, 0.0, 5.0]).unwrap();
    /// assert_eq!(embeddings.ids(), [101, 102]);
    /// ```
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The values, token by token.
    ///
    /// ```
    /// use llmops_metrics::encoder::TokenEmbeddings;
    ///
    /// let embeddings = TokenEmbeddings::from_parts(vec![101, 102], vec![3.0, 4.0, 0.0, 5.0]).unwrap();
    /// assert_eq!(embeddings.values()[..2], [3.0, 4.0]);
    /// ```
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Values in the embedding of a token.
    ///
    /// ```
    /// use llmops_metrics::encoder::TokenEmbeddings;
    ///
    /// let embeddings = TokenEmbeddings::from_parts(vec![101, 102], vec![3.0, 4.0, 0.0, 5.0]).unwrap();
    /// assert_eq!(embeddings.width(), 2);
    /// ```
    pub fn width(&self) -> usize {
        self.values.len() / self.ids.len().max(1)
    }

    /// The mean over all tokens, special ones included, as sentence-transformers pools by default.
    ///
    /// ```
    /// use llmops_metrics::encoder::TokenEmbeddings;
    ///
    /// let embeddings = TokenEmbeddings::from_parts(vec![101, 102], vec![3.0, 4.0, 1.0, 0.0]).unwrap();
    /// assert_eq!(embeddings.mean(), [2.0, 2.0]);
    /// ```
    pub fn mean(&self) -> Vec<f32> {
        let mut mean = vec![0.0; self.width()];
        for row in self.values.chunks_exact(self.width().max(1)) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let tokens = self.ids.len().max(1) as f32;
        for value in &mut mean {
            *value /= tokens;
        }
        mean
    }

    /// For each token of this text the highest cosine with a token of `other`, and for each token of `other` the
    /// highest cosine with one of this; below 0 counts as 0.
    pub(crate) fn highest_cosines(&self, other: &Self) -> (Vec<f32>, Vec<f32>) {
        let (rows, columns) = (self.ids.len(), other.ids.len());
        let (mut of_rows, mut of_columns) = (vec![0.0_f32; rows], vec![0.0_f32; columns]);
        let width = self.width();
        if width != other.width() {
            return (of_rows, of_columns);
        }
        let mut packed = Packed::default();
        packed.pack(width, columns, |k, n| other.values[n * width + k] * other.inverse_norms[n]);
        let mut products = vec![0.0; rows * columns];
        let left = Rows { values: &self.values, stride: width, count: rows };
        multiply_add(left, &packed, &mut products, columns, &mut Vec::new());
        for ((row, inverse), highest) in products.chunks_exact(columns).zip(&self.inverse_norms).zip(&mut of_rows) {
            for (product, of_column) in row.iter().zip(&mut of_columns) {
                let cosine = product * inverse;
                *highest = highest.max(cosine);
                *of_column = of_column.max(cosine);
            }
        }
        (of_rows, of_columns)
    }
}

/// The layer that `bert_score` uses for a model by default, chosen by its authors for correlation with human judgement;
/// `None` for a model they did not measure, where the last layer is the natural choice. The name is the one on the
/// hub, with or without an owner.
///
/// ```
/// use llmops_metrics::encoder::default_layer;
///
/// assert_eq!(default_layer("roberta-large"), Some(17));
/// assert_eq!(default_layer("FacebookAI/roberta-large"), Some(17));
/// assert_eq!(default_layer("my-model"), None);
/// ```
pub fn default_layer(model: &str) -> Option<usize> {
    let name = model.rsplit('/').next().unwrap_or(model);
    DEFAULT_LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// Layers of `bert_score` 0.3.13 for the families that [`Encoder`] loads.
const DEFAULT_LAYERS: &[(&str, usize)] = &[
    ("bert-base-uncased", 9),
    ("bert-large-uncased", 18),
    ("bert-base-cased-finetuned-mrpc", 9),
    ("bert-base-multilingual-cased", 9),
    ("bert-base-chinese", 8),
    ("roberta-base", 10),
    ("roberta-large", 17),
    ("roberta-large-mnli", 19),
    ("roberta-base-openai-detector", 7),
    ("roberta-large-openai-detector", 15),
    ("distilroberta-base", 5),
    ("distilbert-base-uncased", 5),
    ("distilbert-base-uncased-distilled-squad", 4),
    ("distilbert-base-multilingual-cased", 5),
    ("xlm-roberta-base", 9),
    ("xlm-roberta-large", 17),
    ("scibert_scivocab_uncased", 8),
    ("scibert_scivocab_cased", 9),
    ("scibert_basevocab_uncased", 9),
    ("spanbert-base-cased", 8),
    ("spanbert-large-cased", 17),
    ("finbert", 10),
    ("unsup-simcse-bert-base-uncased", 10),
    ("unsup-simcse-bert-large-uncased", 18),
    ("unsup-simcse-roberta-base", 8),
    ("unsup-simcse-roberta-large", 13),
    ("sup-simcse-bert-base-uncased", 10),
    ("sup-simcse-bert-large-uncased", 18),
    ("sup-simcse-roberta-base", 10),
    ("sup-simcse-roberta-large", 16),
    ("bert-base-turkish-cased", 10),
    ("distilbert-base-turkish-cased", 4),
    ("bert_uncased_L-2_H-128_A-2", 1),
    ("bert_uncased_L-2_H-256_A-4", 1),
    ("bert_uncased_L-2_H-512_A-8", 1),
    ("bert_uncased_L-2_H-768_A-12", 2),
    ("bert_uncased_L-4_H-128_A-2", 3),
    ("bert_uncased_L-4_H-256_A-4", 3),
    ("bert_uncased_L-4_H-512_A-8", 3),
    ("bert_uncased_L-4_H-768_A-12", 3),
    ("bert_uncased_L-6_H-128_A-2", 5),
    ("bert_uncased_L-6_H-256_A-4", 5),
    ("bert_uncased_L-6_H-512_A-8", 5),
    ("bert_uncased_L-6_H-768_A-12", 5),
    ("bert_uncased_L-8_H-128_A-2", 7),
    ("bert_uncased_L-8_H-256_A-4", 7),
    ("bert_uncased_L-8_H-512_A-8", 6),
    ("bert_uncased_L-8_H-768_A-12", 7),
    ("bert_uncased_L-10_H-128_A-2", 8),
    ("bert_uncased_L-10_H-256_A-4", 8),
    ("bert_uncased_L-10_H-512_A-8", 9),
    ("bert_uncased_L-10_H-768_A-12", 8),
    ("bert_uncased_L-12_H-128_A-2", 10),
    ("bert_uncased_L-12_H-256_A-4", 11),
    ("bert_uncased_L-12_H-512_A-8", 10),
    ("bert_uncased_L-12_H-768_A-12", 9),
];
