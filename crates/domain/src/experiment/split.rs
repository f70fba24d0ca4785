//! Shares of traffic: fractions that sum to 1, or percentages that sum to 100.

/// How far a sum may be from 1 for the noise of binary digits alone.
const NOISE: f64 = 1e-9;

/// Shares that make no split.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// They sum to something else.
    #[error("the shares sum to {0}: expected fractions that sum to 1 or percentages that sum to 100")]
    Sum(f64),
    /// A share is negative, NaN or infinite.
    #[error("a share is {0}: expected a number from 0 to 1, or a percentage from 0 to 100")]
    Share(f64),
    /// There is none.
    #[error("there are no shares")]
    Empty,
}

/// Equal shares for `n` variants.
pub fn equal(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

/// Fractions that sum to 1 as they are; percentages that sum to 100 as fractions.
///
/// ```
/// # use llmops_domain::experiment::split::fractions;
/// assert_eq!(fractions(&[70.0, 30.0]), Ok(vec![0.7, 0.3]));
/// assert_eq!(fractions(&[0.5, 0.6]).unwrap_err().to_string(),
///     "the shares sum to 1.1: expected fractions that sum to 1 or percentages that sum to 100");
/// ```
///
/// # Errors
/// [`SplitError`] with the sum, or the share that is none.
pub fn fractions(shares: &[f64]) -> Result<Vec<f64>, SplitError> {
    if let Some(share) = shares.iter().find(|s| !s.is_finite() || **s < 0.0) {
        return Err(SplitError::Share(*share));
    }
    if shares.is_empty() {
        return Err(SplitError::Empty);
    }
    let sum: f64 = shares.iter().sum();
    if (sum - 1.0).abs() <= NOISE {
        return Ok(shares.to_vec());
    }
    if (sum - 100.0).abs() <= NOISE * 100.0 {
        return Ok(shares.iter().map(|share| share / 100.0).collect());
    }
    // Without the noise of the last binary digits.
    Err(SplitError::Sum((sum * 1e9).round() / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shares: &[f64], expected: &Result<Vec<f64>, SplitError>) {
        assert_eq!(&fractions(shares), expected, "{shares:?}");
    }

    #[test]
    fn fractions_and_percentages() {
        check(&[0.5, 0.3, 0.2], &Ok(vec![0.5, 0.3, 0.2]));
        check(&[50.0, 30.0, 20.0], &Ok(vec![0.5, 0.3, 0.2]));
        check(&[1.0, 0.0], &Ok(vec![1.0, 0.0]));
        check(&[0.1; 10], &Ok(vec![0.1; 10]));
        check(&[100.0 / 3.0; 3], &Ok(vec![100.0 / 3.0 / 100.0; 3]));
        check(&[0.5, 0.4], &Err(SplitError::Sum(0.9)));
        check(&[0.7, 0.4], &Err(SplitError::Sum(1.1)));
        check(&[60.0, 60.0], &Err(SplitError::Sum(120.0)));
        check(&[-0.5, 1.5], &Err(SplitError::Share(-0.5)));
        check(&[f64::INFINITY, 0.5], &Err(SplitError::Share(f64::INFINITY)));
        check(&[0.0, 0.0], &Err(SplitError::Sum(0.0)));
        check(&[], &Err(SplitError::Empty));
        assert!(matches!(fractions(&[f64::NAN]), Err(SplitError::Share(_))));
    }
}
