//! The test of a comparison, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A test that is asked for instead of the one that the kind of the metric chooses. It is for one look at the data; what is
/// valid at every look stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TestChoice {
    /// Two-proportion z-test with the pooled variance.
    ZTest,
    /// Two-proportion z-test with both variances.
    ZTestUnpooled,
    /// Fisher's exact test.
    Fisher,
    /// Pearson's chi-squared test, without continuity correction.
    ChiSquared,
    /// Pearson's chi-squared test with Yates' correction.
    ChiSquaredYates,
    /// Welch's t-test on unit means.
    Welch,
    /// Student's t-test on unit means.
    Student,
    /// Mann-Whitney U test on unit means.
    MannWhitney,
    /// Difference of a quantile.
    Quantile,
    /// Difference of ratios by the delta method.
    Delta,
}

impl TestChoice {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ZTest,
        Self::ZTestUnpooled,
        Self::Fisher,
        Self::ChiSquared,
        Self::ChiSquaredYates,
        Self::Welch,
        Self::Student,
        Self::MannWhitney,
        Self::Quantile,
        Self::Delta,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZTest => "z-test",
            Self::ZTestUnpooled => "z-test-unpooled",
            Self::Fisher => "fisher",
            Self::ChiSquared => "chi-squared",
            Self::ChiSquaredYates => "chi-squared-yates",
            Self::Welch => "welch",
            Self::Student => "student",
            Self::MannWhitney => "mann-whitney",
            Self::Quantile => "quantile",
            Self::Delta => "delta",
        }
    }
}

impl std::str::FromStr for TestChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let folded = text.trim().to_lowercase().replace('_', "-");
        Self::ALL.into_iter().find(|choice| choice.name() == folded).ok_or_else(|| {
            let hint = crate::suggest::hint(text, Self::ALL.map(Self::name));
            format!("`{text}` is no test: {hint}")
        })
    }
}
