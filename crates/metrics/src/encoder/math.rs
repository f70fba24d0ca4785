//! The functions between the matrix products, written so that the compiler can use vectors.

use pulp::{Simd, WithSimd};

use super::matmul::dispatch;

/// Running sums that are kept apart so that they fit a vector.
const LANES: usize = 16;

/// A scaling of rows to mean 0 and variance 1, followed by a learned scale and shift.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Norm {
    /// Normalises every row of as many values as the scale has.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        dispatch(NormRows { norm: self, rows });
    }
}

struct NormRows<'a> {
    norm: &'a Norm,
    rows: &'a mut [f32],
}

impl WithSimd for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Norm { scale, shift, epsilon } = self.norm;
        for row in self.rows.chunks_exact_mut(scale.len().max(1)) {
            let count = row.len() as f32;
            let mean = sum(row, |value| value) / count;
            let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *value = (*value - mean) * factor * scale + shift;
            }
        }
    }
}

#[inline(always)]
fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += term(value);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&value| term(value)).sum::<f32>()
}

/// The sum of the products of two vectors.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The function between the two linear maps of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// `x · Φ(x)` with the exact normal distribution function.
    Gelu,
    /// The approximation of it by a hyperbolic tangent.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    pub(super) fn apply(self, values: &mut [f32]) {
        dispatch(Activate { activation: self, values });
    }
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        match self.activation {
            Activation::Gelu => {
                for value in self.values {
                    *value *= 0.5 + 0.5 * erf(*value * std::f32::consts::FRAC_1_SQRT_2);
                }
            }
            Activation::GeluTanh => {
                for value in self.values {
                    let inner = (2.0 / std::f32::consts::PI).sqrt() * (*value + 0.044_715 * *value * *value * *value);
                    // (1 + tanh(y)) / 2 is the logistic function of 2y.
                    *value /= 1.0 + exp((-2.0 * inner).min(80.0));
                }
            }
            Activation::Relu => {
                for value in self.values {
                    *value = value.max(0.0);
                }
            }
        }
    }
}

/// The error function by formula 7.1.26 of Abramowitz and Stegun: absolute error below 2e-7, which is less than the
/// rounding of the sums before it.
#[inline(always)]
fn erf(x: f32) -> f32 {
    const COEFFICIENTS: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let [a, b, c, d, e] = COEFFICIENTS;
    let series = t * (a + t * (b + t * (c + t * (d + t * e))));
    (1.0 - series * exp(-magnitude * magnitude)).copysign(x)
}

/// e^x to about one unit in the last place, from −87 to 88; below that, almost 0.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding and subtracting this rounds to a whole number, which then stands in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let series = 1.0
        + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest / 720.0)))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    series * power
}

/// Turns rows of `width` values, after scaling, into shares that sum to 1.
pub(super) fn softmax(rows: &mut [f32], width: usize, scale: f32) {
    dispatch(Softmax { rows, width, scale });
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    width: usize,
    scale: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for row in self.rows.chunks_exact_mut(self.width.max(1)) {
            let mut highest = [f32::NEG_INFINITY; LANES];
            let (chunks, rest) = row.as_chunks::<LANES>();
            for chunk in chunks {
                for (highest, &value) in highest.iter_mut().zip(chunk) {
                    *highest = if value > *highest { value } else { *highest };
                }
            }
            let highest = highest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            for value in &mut *row {
                *value = exp((*value - highest) * self.scale);
            }
            let factor = 1.0 / sum(row, |value| value);
            for value in row {
                *value *= factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximations_are_close() {
        for step in -8000_i16..=8000 {
            let x = f32::from(step) / 1000.0;
            let wide = f64::from(x * 10.0);
            let ours = f64::from(exp(x * 10.0));
            assert!((ours - wide.exp()).abs() <= 3e-6 * wide.exp() + 1e-37, "exp {wide}: {ours}");
            // The standard library has no error function to compare with, but its derivative is elementary.
            let slope = (f64::from(erf(x + 0.01)) - f64::from(erf(x - 0.01))) / 0.02;
            let exact = 2.0 / std::f64::consts::PI.sqrt() * (-f64::from(x).powi(2)).exp();
            assert!((slope - exact).abs() < 3e-4, "erf' {x}: {slope} instead of {exact}");
        }
        for (x, expected) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (9.0, 1.0)] {
            assert!((erf(x) - expected).abs() < 4e-7 && (erf(-x) + expected).abs() < 4e-7, "erf {x}");
        }
    }

    #[test]
    fn shares_sum_to_one() {
        let mut row: Vec<f32> = (0..37_u8).map(|at| f32::from(at) * 3.0 - 60.0).collect();
        softmax(&mut row, 37, 0.5);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((row[36] / row[35] - 1.5_f32.exp()).abs() < 1e-4);
    }
}
