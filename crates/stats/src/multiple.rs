//! Corrections of p-values for many tests.

use crate::error::{Result, check_finite, check_unit};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A correction, with what it controls.
///
/// ```
/// assert_eq!(llmops_stats::multiple::Correction::Holm.to_string(), "Holm");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// p·m; controls the chance of any false rejection (family-wise error).
    Bonferroni,
    /// Step-down Bonferroni (Holm 1979, Scandinavian Journal of Statistics 6:65); the same control, never less powerful.
    Holm,
    /// Step-up (Benjamini & Hochberg 1995, JRSS B 57:289); controls the expected share of false rejections among the
    /// rejections (false discovery rate) for independent or positively dependent tests.
    BenjaminiHochberg,
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bonferroni => "Bonferroni",
            Self::Holm => "Holm",
            Self::BenjaminiHochberg => "Benjamini-Hochberg",
        })
    }
}

/// Adjusted p-values in the order given: reject where adjusted p ≤ α.
///
/// Sorted ascending p₍₁₎ … p₍ₘ₎: Bonferroni min(1, m·p); Holm the running maximum of (m − i + 1)·p₍ᵢ₎;
/// Benjamini-Hochberg the running minimum from the top of m·p₍ᵢ₎/i. No p-values give no adjusted ones.
///
/// Errors: a p-value that is not finite or outside [0, 1].
///
/// ```
/// use llmops_stats::multiple::{Correction, adjust};
/// let adjusted = adjust(&[0.01, 0.04, 0.03], Correction::Holm).unwrap();
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// ```
pub fn adjust(p_values: &[f64], correction: Correction) -> Result<Vec<f64>> {
    check_finite(p_values)?;
    for &p in p_values {
        check_unit("p-value", p)?;
    }
    let m = p_values.len() as f64;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    match correction {
        Correction::Bonferroni => {
            for (out, p) in adjusted.iter_mut().zip(p_values) {
                *out = (m * p).min(1.0);
            }
        }
        Correction::Holm => {
            let mut highest = 0.0_f64;
            for (i, &index) in order.iter().enumerate() {
                highest = highest.max(((m - i as f64) * p_values[index]).min(1.0));
                adjusted[index] = highest;
            }
        }
        Correction::BenjaminiHochberg => {
            let mut lowest = 1.0_f64;
            for (i, &index) in order.iter().enumerate().rev() {
                lowest = lowest.min(m * p_values[index] / (i + 1) as f64);
                adjusted[index] = lowest;
            }
        }
    }
    Ok(adjusted)
}
