//! The shape that every test, interval and estimate of this crate has.

use crate::error::{Result, check_open_unit};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which departure from the null hypothesis counts as evidence. Every effect of this crate is treatment − control.
///
/// ```
/// use llmops_stats::Alternative;
/// assert_eq!(Alternative::default(), Alternative::TwoSided);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// The effect differs from the null value.
    #[default]
    TwoSided,
    /// The effect is below the null value (the treatment is lower).
    Less,
    /// The effect is above the null value (the treatment is higher).
    Greater,
}

/// What a test is asked for: the alternative of its p-value and the level of its (always two-sided) interval.
///
/// ```
/// use llmops_stats::{Alternative, TestOptions};
/// let options = TestOptions { alternative: Alternative::Greater, ..TestOptions::default() };
/// assert_eq!(options.level, 0.95);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestOptions {
    /// Alternative hypothesis; two-sided unless said otherwise.
    pub alternative: Alternative,
    /// Confidence level of the interval, in (0, 1); 0.95 unless said otherwise.
    pub level: f64,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self { alternative: Alternative::TwoSided, level: 0.95 }
    }
}

impl TestOptions {
    /// The default with another alternative.
    ///
    /// ```
    /// use llmops_stats::{Alternative, TestOptions};
    /// assert_eq!(TestOptions::one_sided(Alternative::Less).alternative, Alternative::Less);
    /// ```
    pub fn one_sided(alternative: Alternative) -> Self {
        Self { alternative, ..Self::default() }
    }

    /// The default with another confidence level.
    ///
    /// ```
    /// assert_eq!(llmops_stats::TestOptions::at_level(0.9).level, 0.9);
    /// ```
    pub fn at_level(level: f64) -> Self {
        Self { level, ..Self::default() }
    }

    pub(crate) fn check(self) -> Result<Self> {
        check_open_unit("level", self.level)?;
        Ok(self)
    }
}

/// A confidence (or credible) interval with its level.
///
/// ```
/// use llmops_stats::Interval;
/// let interval = Interval { low: -0.1, high: 0.3, level: 0.95 };
/// assert!(interval.contains(0.0));
/// assert_eq!(interval.width(), 0.4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Nominal coverage, in (0, 1).
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies in the closed interval.
    ///
    /// ```
    /// assert!(llmops_stats::Interval { low: 0.0, high: 1.0, level: 0.95 }.contains(1.0));
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// `high − low`.
    ///
    /// ```
    /// assert_eq!(llmops_stats::Interval { low: 0.5, high: 1.0, level: 0.95 }.width(), 0.5);
    /// ```
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// Estimate ± z·se of a normally distributed estimate.
    ///
    /// Errors: a level outside (0, 1).
    ///
    /// ```
    /// let interval = llmops_stats::Interval::normal(1.0, 0.5, 0.95).unwrap();
    /// assert!((interval.high - 1.979_981_99).abs() < 1e-8);
    /// ```
    pub fn normal(estimate: f64, se: f64, level: f64) -> Result<Self> {
        check_open_unit("level", level)?;
        Ok(Self::around(estimate, crate::dist::normal_critical(level) * se, level))
    }

    pub(crate) fn around(centre: f64, margin: f64, level: f64) -> Self {
        Self { low: centre - margin, high: centre + margin, level }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.4}, {:.4}] ({}%)", self.low, self.high, (self.level * 1000.0).round() / 10.0)
    }
}

/// The outcome of a hypothesis test.
///
/// ```
/// use llmops_stats::{TestOptions, t_test};
/// let result = t_test::welch(&[0.1, 0.4, 0.2, 0.3], &[0.6, 0.9, 0.7, 0.8], TestOptions::default()).unwrap();
/// assert_eq!(result.method.to_string(), "Welch's t-test");
/// assert!(result.p_value < 0.05 && result.is_significant(0.05));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestResult {
    /// The procedure, by name; it says when a fallback was taken.
    pub method: Method,
    /// Observations that entered (pairs for paired tests, both arms together otherwise).
    pub n: u64,
    /// The test statistic, in the units the method defines.
    pub statistic: f64,
    /// Degrees of freedom, where the method has them.
    pub df: Option<f64>,
    /// Probability, under the null hypothesis, of a statistic at least as extreme; in [0, 1].
    pub p_value: f64,
    /// The alternative that the p-value is for.
    pub alternative: Alternative,
    /// The estimated effect, treatment − control, in the units of the data unless the method says otherwise.
    pub effect: f64,
    /// Two-sided interval of the effect, where the method has one.
    pub interval: Option<Interval>,
}

impl TestResult {
    /// Whether the null hypothesis is rejected at level `alpha` (p ≤ α).
    ///
    /// ```
    /// use llmops_stats::{TestOptions, sign_test};
    /// let result = sign_test::sign_test(&[1.0; 10], &[2.0; 10], TestOptions::default()).unwrap();
    /// assert!(result.is_significant(0.05));
    /// ```
    pub fn is_significant(&self, alpha: f64) -> bool {
        self.p_value <= alpha
    }
}

/// An estimate with its uncertainty. With too few observations for a standard error, value alone is given.
///
/// ```
/// let mean = llmops_stats::moments::Moments::from_slice(&[0.5]).unwrap().mean_estimate(0.95).unwrap();
/// assert_eq!(mean.value, 0.5);
/// assert!(mean.interval.is_none(), "one observation says nothing about its spread");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The procedure, by name.
    pub method: Method,
    /// Observations that entered.
    pub n: u64,
    /// The point estimate.
    pub value: f64,
    /// Standard error, when it can be estimated.
    pub se: Option<f64>,
    /// Degrees of freedom of the interval, where it is a t-interval.
    pub df: Option<f64>,
    /// Interval of the estimate, when it can be estimated.
    pub interval: Option<Interval>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Every procedure of the crate; `Display` gives the name that a report prints.
        ///
        /// ```
        /// use llmops_stats::Method;
        /// assert_eq!(Method::McNemarMidP.to_string(), "McNemar's test (mid-p)");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Method {
            $(#[doc = $text] $(#[$doc])* $name,)*
        }

        impl fmt::Display for Method {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

methods! {
    MeanT => "mean with t-interval",
    ClusterMean => "mean with cluster-robust standard error",
    WeightedMean => "weighted mean of independent estimates",
    BoundedMean => "mean of bounded values (t-interval with room for what was not seen)",
    BootstrapPercentile => "percentile bootstrap",
    BootstrapBca => "bias-corrected and accelerated bootstrap",
    ClusterBootstrapPercentile => "percentile cluster bootstrap",
    ClusterBootstrapBca => "bias-corrected and accelerated cluster bootstrap",
    BootstrapNormal => "normal approximation in place of the bootstrap (large n)",
    McNemarExact => "McNemar's test (exact)",
    McNemarMidP => "McNemar's test (mid-p)",
    McNemarChiSquared => "McNemar's test (chi-squared)",
    McNemarChiSquaredCorrected => "McNemar's test (chi-squared, continuity-corrected)",
    WilsonInterval => "Wilson score interval",
    NewcombeInterval => "Newcombe hybrid score interval",
    TwoProportionZPooled => "two-proportion z-test (pooled)",
    TwoProportionZUnpooled => "two-proportion z-test (unpooled)",
    ChiSquared => "chi-squared test of independence",
    ChiSquaredYates => "chi-squared test of independence (Yates-corrected)",
    FisherExact => "Fisher's exact test",
    SequentialSampleRatio => "sequential sample-ratio test (Dirichlet-multinomial)",
    SampleRatioMismatch => "sample-ratio-mismatch chi-squared test",
    WelchT => "Welch's t-test",
    StudentT => "Student's t-test",
    PairedT => "paired t-test",
    MannWhitneyExact => "Mann-Whitney U test (exact)",
    MannWhitneyAsymptotic => "Mann-Whitney U test (asymptotic)",
    WilcoxonExact => "Wilcoxon signed-rank test (exact)",
    WilcoxonAsymptotic => "Wilcoxon signed-rank test (asymptotic)",
    SignTest => "sign test (exact)",
    QuantileDifference => "difference of quantiles (order-statistic variance)",
    QuantileDifferenceClustered => "difference of quantiles (cluster-robust order-statistic variance)",
    Cuped => "CUPED-adjusted difference of means",
    RatioDelta => "difference of ratios (delta method)",
    RelativeDelta => "relative difference of means (delta method)",
    BayesNormal => "Bayesian difference of means (normal)",
    BayesBeta => "Bayesian difference of proportions (beta)",
    AsymptoticConfidenceSequence => "asymptotic confidence sequence",
    NormalMixture => "normal-mixture confidence sequence for bounded means",
    Betting => "betting confidence sequence for bounded means",
    Msprt => "mixture sequential probability ratio test",
    GroupSequential => "group-sequential test (O'Brien-Fleming-like spending)",
    CohenKappa => "Cohen's kappa",
    CohenKappaLinear => "Cohen's kappa (linear weights)",
    CohenKappaQuadratic => "Cohen's kappa (quadratic weights)",
    FleissKappa => "Fleiss' kappa",
    KrippendorffNominal => "Krippendorff's alpha (nominal)",
    KrippendorffOrdinal => "Krippendorff's alpha (ordinal)",
    KrippendorffInterval => "Krippendorff's alpha (interval)",
    Spearman => "Spearman's rank correlation",
    Ppi => "prediction-powered mean",
    PpiPlusPlus => "prediction-powered mean (power-tuned)",
    KolmogorovSmirnovExact => "two-sample Kolmogorov-Smirnov test (exact)",
    KolmogorovSmirnovAsymptotic => "two-sample Kolmogorov-Smirnov test (asymptotic)",
    PopulationStability => "population stability index (chi-squared test)",
    JensenShannon => "Jensen-Shannon distance (chi-squared test)",
}

/// The p-value of a statistic with a symmetric null distribution, from its upper-tail function.
pub(crate) fn symmetric_p(statistic: f64, alternative: Alternative, upper_tail: impl Fn(f64) -> f64) -> f64 {
    match alternative {
        Alternative::TwoSided => (2.0 * upper_tail(statistic.abs())).min(1.0),
        Alternative::Greater => upper_tail(statistic),
        Alternative::Less => upper_tail(-statistic),
    }
}
