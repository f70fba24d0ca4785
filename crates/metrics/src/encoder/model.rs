//! The forward pass of BERT and its relatives.
//!
//! Sentences are laid one after another without padding: what is the same for every token (the linear maps, which are
//! nearly all of the work) runs over all of them at once, and attention runs sentence by sentence.

use super::math::{Activation, Norm, softmax};
use super::matmul::{Packed, Rows, multiply_add};

/// A linear map with bias.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weights: Packed,
    pub(super) bias: Vec<f32>,
}

/// One layer of the encoder.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Queries, keys and values as one map of three times the width.
    pub(super) projections: Linear,
    pub(super) attention: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
}

/// How positions are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// From 0.
    FromZero,
    /// RoBERTa: from this padding id plus 1; padding tokens have the padding id and do not count.
    AfterPadding(u32),
}

/// Weights and shape of an encoder.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) activation: Activation,
    pub(super) positions: Positions,
    pub(super) words: Vec<f32>,
    /// Position vectors, with the vector of the only token type added.
    pub(super) places: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
}

/// Buffers of a forward pass, one set for each thread.
#[derive(Default)]
struct Buffers {
    tiles: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    next: Vec<f32>,
    inner: Vec<f32>,
    scores: Vec<f32>,
    keys: Packed,
    values: Packed,
}

impl Model {
    /// How many position vectors remain for tokens.
    pub(super) fn capacity(&self) -> usize {
        let rows = self.places.len() / self.width.max(1);
        match self.positions {
            Positions::FromZero => rows,
            Positions::AfterPadding(padding) => rows.saturating_sub(padding as usize + 1),
        }
    }

    /// The hidden states after `depth` layers, one row of `width` values for each token of each sentence in turn.
    pub(super) fn forward(&self, sentences: &[&[u32]], depth: usize) -> Vec<f32> {
        let mut states = self.embed(sentences);
        let mut buffers = Buffers::default();
        for layer in self.layers.iter().take(depth) {
            self.attend(layer, sentences, &mut states, &mut buffers);
            let Buffers { tiles, inner, next, .. } = &mut buffers;
            layer.up.apply(&states, None, inner, tiles);
            self.activation.apply(inner);
            layer.down.apply(inner, Some(&states), next, tiles);
            layer.output_norm.apply(next);
            std::mem::swap(&mut states, next);
        }
        states
    }

    fn embed(&self, sentences: &[&[u32]]) -> Vec<f32> {
        let width = self.width;
        let mut states = Vec::with_capacity(sentences.iter().map(|sentence| sentence.len()).sum::<usize>() * width);
        for sentence in sentences {
            let mut counted = 0;
            for &token in *sentence {
                let place = match self.positions {
                    Positions::FromZero => counted,
                    Positions::AfterPadding(padding) if token == padding => padding as usize,
                    Positions::AfterPadding(padding) => padding as usize + 1 + counted,
                };
                counted += usize::from(self.positions != Positions::AfterPadding(token));
                let word = &self.words[token as usize * width..][..width];
                let place = &self.places[place * width..][..width];
                states.extend(word.iter().zip(place).map(|(word, place)| word + place));
            }
        }
        self.norm.apply(&mut states);
        states
    }

    fn attend(&self, layer: &Layer, sentences: &[&[u32]], states: &mut Vec<f32>, buffers: &mut Buffers) {
        let Buffers { tiles, projected, context, next, scores, keys, values, .. } = buffers;
        let width = self.width;
        layer.projections.apply(states, None, projected, tiles);
        let stride = 3 * width;
        let head_width = width / self.heads;
        context.clear();
        context.resize(states.len(), 0.0);
        let mut first = 0;
        for sentence in sentences {
            let length = sentence.len();
            let rows = &projected[first * stride..(first + length) * stride];
            for head in 0..self.heads {
                let column = head * head_width;
                keys.pack(head_width, length, |k, n| rows[n * stride + width + column + k]);
                values.pack(length, head_width, |k, n| rows[k * stride + 2 * width + column + n]);
                scores.clear();
                scores.resize(length * length, 0.0);
                let queries = Rows { values: &rows[column..], stride, count: length };
                multiply_add(queries, keys, scores, length, tiles);
                softmax(scores, length, 1.0 / (head_width as f32).sqrt());
                let shares = Rows { values: scores, stride: length, count: length };
                multiply_add(shares, values, &mut context[first * width + column..], width, tiles);
            }
            first += length;
        }
        layer.attention.apply(context, Some(states), next, tiles);
        layer.attention_norm.apply(next);
        std::mem::swap(states, next);
    }
}

impl Linear {
    /// Maps rows; `out` becomes the mapped rows plus bias, plus `residual` where given.
    fn apply(&self, rows: &[f32], residual: Option<&[f32]>, out: &mut Vec<f32>, tiles: &mut Vec<f32>) {
        let columns = self.weights.columns();
        let inner = self.weights.inner();
        let count = rows.len() / inner.max(1);
        out.clear();
        out.reserve(count * columns);
        match residual {
            Some(residual) => {
                for row in residual.chunks_exact(columns) {
                    out.extend(row.iter().zip(&self.bias).map(|(value, bias)| value + bias));
                }
            }
            None => (0..count).for_each(|_| out.extend_from_slice(&self.bias)),
        }
        multiply_add(Rows { values: rows, stride: inner, count }, &self.weights, out, columns, tiles);
    }
}
