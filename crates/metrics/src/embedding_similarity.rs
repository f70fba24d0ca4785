//! Similarity of whole texts by the cosine of their embeddings.

use crate::encoder::{EncodeError, Encoder, TokenEmbeddings};

/// The cosine of the mean token embeddings of two texts; below 0 counts as 0, and so does a vector of zeros.
///
/// The mean runs over all tokens, special ones included, as in the models of sentence-transformers that pool so; the
/// encoder should end at its last layer. Symmetric, and 1 for a text and itself.
///
/// ```
/// use llmops_metrics::{embedding_similarity::cosine, encoder::TokenEmbeddings};
///
/// let a = TokenEmbeddings::from_parts(vec![1, 2], vec![1.0, 0.0, 3.0, 0.0]).unwrap();
/// let b = TokenEmbeddings::from_parts(vec![1], vec![1.0, 1.0]).unwrap();
/// assert!((cosine(&a, &b) - 0.5_f64.sqrt()).abs() < 1e-6);
/// ```
pub fn cosine(left: &TokenEmbeddings, right: &TokenEmbeddings) -> f64 {
    let (left, right) = (left.mean(), right.mean());
    if left.len() != right.len() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let norms = (dot(&left, &left) * dot(&right, &right)).sqrt();
    if norms > 0.0 { (dot(&left, &right) / norms).clamp(0.0, 1.0) } else { 0.0 }
}

/// The [`cosine`] with the most similar reference; `None` without references.
///
/// # Errors
///
/// [`EncodeError`] as of [`Encoder::tokenize`].
///
/// ```
/// use llmops_metrics::{embedding_similarity::embedding_similarity, encoder::Encoder};
///
/// let encoder = Encoder::load("tests/fixtures/encoders/bert".as_ref(), None)?;
/// let score = embedding_similarity(&encoder, "It arrives on Friday.", &["Delivery is on Friday."])?;
/// assert!(score.unwrap() > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn embedding_similarity<S: AsRef<str>>(
    encoder: &Encoder,
    candidate: &str,
    references: &[S],
) -> Result<Option<f64>, EncodeError> {
    let texts: Vec<&str> = [candidate].into_iter().chain(references.iter().map(AsRef::as_ref)).collect();
    let embeddings = encoder.embed(&texts)?;
    let Some((candidate, references)) = embeddings.split_first() else { return Ok(None) };
    Ok(references.iter().map(|reference| cosine(candidate, reference)).reduce(f64::max))
}
