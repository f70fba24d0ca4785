//! Matrix product of activations and packed weights.
//!
//! Weights are multiplied again and again, so they are laid out once in the order in which the inner loop reads them, for
//! the vector width of the processor at hand (`pulp` detects it at run time; without vector units the same code runs on
//! plain arrays). The inner loop keeps a tile of the result in registers.

use pulp::{Arch, Scalar128b, Simd, WithSimd};

/// Vectors in the width of a panel.
const VECTORS: usize = 2;

/// Rows of a tile where there are 32 vector registers, as with 512-bit vectors, and where there may be 16.
const TALL: usize = 12;
const SHORT: usize = 6;

/// Rows that are multiplied with one panel before the next: with 384 columns they fill half of a usual L2 cache.
const BLOCK: usize = 240;

/// Runs `operation` with the best vectors of this processor.
pub(super) fn dispatch<Op: WithSimd>(operation: Op) -> Op::Output {
    match Arch::new() {
        // The compiler turns short arrays into whatever vectors the target always has.
        Arch::Scalar => Scalar128b.vectorize(operation),
        #[allow(unreachable_patterns, reason = "some targets know no vectors")]
        arch => arch.dispatch(operation),
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        S::F32_LANES
    }
}

/// A matrix of `inner` rows and `columns` columns, in panels of as many columns as a tile is wide.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    panels: Vec<f32>,
    inner: usize,
    columns: usize,
    width: usize,
}

impl Packed {
    /// Lays out the matrix whose element in row k and column n is `at(k, n)`. The last panel is filled with zeros.
    pub(super) fn pack(&mut self, inner: usize, columns: usize, at: impl Fn(usize, usize) -> f32) {
        self.pack_for(dispatch(Lanes), inner, columns, at);
    }

    fn pack_for(&mut self, lanes: usize, inner: usize, columns: usize, at: impl Fn(usize, usize) -> f32) {
        self.width = VECTORS * lanes;
        self.inner = inner;
        self.columns = columns;
        self.panels.clear();
        self.panels.resize(columns.div_ceil(self.width) * self.width * inner, 0.0);
        for (panel, values) in self.panels.chunks_exact_mut((self.width * inner).max(1)).enumerate() {
            let first = panel * self.width;
            let last = columns.min(first + self.width);
            for (k, row) in values.chunks_exact_mut(self.width).enumerate() {
                for (value, n) in row.iter_mut().zip(first..last) {
                    *value = at(k, n);
                }
            }
        }
    }

    /// The matrix of a linear layer as checkpoints hold it: one row of `inner` weights for each output.
    pub(super) fn from_weights(weights: &[f32], inner: usize) -> Self {
        let mut packed = Self::default();
        packed.pack(inner, weights.len() / inner.max(1), |k, n| weights[n * inner + k]);
        packed
    }

    /// How many rows there are: as many as the values that a row of activations has.
    pub(super) fn inner(&self) -> usize {
        self.inner
    }

    /// How many columns there are.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }
}

/// Part of a matrix: rows of `columns` values, each `stride` after the one before.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Adds the product of `left` and `right` to `out`, whose rows begin every `stride` values. `tiles` is a buffer.
pub(super) fn multiply_add(left: Rows<'_>, right: &Packed, out: &mut [f32], stride: usize, tiles: &mut Vec<f32>) {
    dispatch(Multiply { left, right, out, stride, tiles });
}

struct Multiply<'a> {
    left: Rows<'a>,
    right: &'a Packed,
    out: &'a mut [f32],
    stride: usize,
    tiles: &'a mut Vec<f32>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::F32_LANES >= 16 { self.run::<S, TALL>(simd) } else { self.run::<S, SHORT>(simd) }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const HEIGHT: usize>(self, simd: S) {
        let Self { left, right, out, stride, tiles } = self;
        let inner = right.inner;
        if inner == 0 {
            return;
        }
        for first in (0..left.count).step_by(BLOCK) {
            let rows = BLOCK.min(left.count - first);
            interleave::<HEIGHT>(left, first, rows, inner, tiles);
            for (panel, weights) in right.panels.chunks_exact(right.width * inner).enumerate() {
                let column = panel * right.width;
                let columns = right.width.min(right.columns - column);
                for (tile, values) in tiles.chunks_exact(HEIGHT * inner).enumerate() {
                    let sums = product::<S, HEIGHT>(simd, values, weights);
                    let row = tile * HEIGHT;
                    for (offset, sum) in sums.iter().enumerate().take(rows - row) {
                        let start = (first + row + offset) * stride + column;
                        add::<S>(simd, &mut out[start..start + columns], sum);
                    }
                }
            }
        }
    }
}

/// Copies a block of rows so that the values of HEIGHT rows that meet the same weight are neighbours.
#[inline(always)]
fn interleave<const HEIGHT: usize>(left: Rows<'_>, first: usize, rows: usize, inner: usize, tiles: &mut Vec<f32>) {
    tiles.clear();
    tiles.resize(rows.div_ceil(HEIGHT) * HEIGHT * inner, 0.0);
    for (tile, values) in tiles.chunks_exact_mut(HEIGHT * inner).enumerate() {
        for offset in 0..HEIGHT.min(rows - tile * HEIGHT) {
            let start = (first + tile * HEIGHT + offset) * left.stride;
            let row = &left.values[start..start + inner];
            for (slot, &value) in values.chunks_exact_mut(HEIGHT).zip(row) {
                slot[offset] = value;
            }
        }
    }
}

#[inline(always)]
fn product<S: Simd, const HEIGHT: usize>(simd: S, values: &[f32], weights: &[f32]) -> [[S::f32s; VECTORS]; HEIGHT] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
    let (weights, _) = S::as_simd_f32s(weights);
    let (weights, _) = weights.as_chunks::<VECTORS>();
    let (values, _) = values.as_chunks::<HEIGHT>();
    for (values, weights) in values.iter().zip(weights) {
        for (sums, &value) in sums.iter_mut().zip(values) {
            let value = simd.splat_f32s(value);
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_e_f32s(value, weight, *sum);
            }
        }
    }
    sums
}

#[inline(always)]
fn add<S: Simd>(simd: S, out: &mut [f32], sums: &[S::f32s; VECTORS]) {
    let (vectors, rest) = S::as_mut_simd_f32s(out);
    let full = vectors.len();
    for (out, &sum) in vectors.iter_mut().zip(sums) {
        *out = simd.add_f32s(*out, sum);
    }
    if let (false, Some(sum)) = (rest.is_empty(), sums.get(full)) {
        // 16 lanes are the most that any vector has.
        let mut lanes = [0.0; 16];
        if let Some(first) = S::as_mut_simd_f32s(&mut lanes).0.first_mut() {
            *first = *sum;
        }
        for (out, lane) in rest.iter_mut().zip(lanes) {
            *out += lane;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, so that sums are exact in any order.
    fn value(seed: usize) -> f32 {
        let small = u8::try_from(seed * 7919 % 17).unwrap();
        f32::from(small) - 8.0
    }

    fn check<S: Simd>(simd: S) {
        for (rows, inner, columns) in [(1, 1, 1), (5, 3, 7), (13, 32, 33), (250, 48, 70), (2, 0, 3), (0, 4, 4)] {
            let left: Vec<f32> = (0..rows * inner).map(value).collect();
            let right: Vec<f32> = (0..columns * inner).map(|seed| value(seed + 3)).collect();
            let mut packed = Packed::default();
            packed.pack_for(S::F32_LANES, inner, columns, |k, n| right[n * inner + k]);
            let stride = columns + 2;
            let mut out = vec![1.0; rows * stride];
            let all = Rows { values: &left, stride: inner, count: rows };
            let mut tiles = Vec::new();
            simd.vectorize(Multiply { left: all, right: &packed, out: &mut out, stride, tiles: &mut tiles });
            for row in 0..rows {
                for column in 0..stride {
                    let term =
                        |k| if column < columns { left[row * inner + k] * right[column * inner + k] } else { 0.0 };
                    let sum: f32 = (0..inner).map(term).sum();
                    assert_eq!(out[row * stride + column], 1.0 + sum, "{rows}×{inner}×{columns} at {row}, {column}");
                }
            }
        }
    }

    struct Check;

    impl WithSimd for Check {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            check(simd);
        }
    }

    #[test]
    fn equals_the_definition() {
        dispatch(Check);
        check(Scalar128b);
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            check(simd);
        }
    }
}
