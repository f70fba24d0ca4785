//! Statistical tests, intervals, sequential inference, power and drift detectors.
//!
//! Everything here is a pure function of its arguments: no clock, no environment, no disk, no threads. Procedures that
//! draw random numbers take a seed and give the same bits on every machine.
//!
//! Conventions, everywhere:
//!
//! * an **effect** is treatment − control, and functions take `(control, treatment)` in this order;
//! * a test returns a [`TestResult`] (method by name, n, statistic, p, effect, interval), an estimate an [`Estimate`];
//! * NaN and infinite inputs are refused with their index ([`StatsError::NotFinite`]); too few values, constant values
//!   and ties have a defined answer or a named error, and no result is ever NaN;
//! * intervals are two-sided, whatever the alternative of the p-value.
//!
//! # Map
//!
//! | module | what it has |
//! | --- | --- |
//! | [`moments`] | streaming, mergeable mean and variance of one and of two variables (Welford) |
//! | [`unit_sums`], [`exact`], [`sketch`], [`histogram`] | sums over units that can be taken back; quantiles and limits that merge |
//! | [`allocation`] | top-two Thompson sampling, and the analysis of data that were collected so |
//! | [`t_test`] | Welch, Student, paired; from values, moments or rates |
//! | [`proportion`], [`contingency`] | rates: two-proportion z, Wilson, Newcombe; chi-squared, Fisher's exact test |
//! | [`mann_whitney`], [`wilcoxon`], [`sign_test`] | tests by ranks and signs, with Hodges-Lehmann estimates |
//! | [`ordinal`] | rank tests of tallied values, the probability of superiority |
//! | [`mcnemar`] | paired yes-or-no outcomes: exact, mid-p, chi-squared |
//! | [`quantile`] | quantiles and their difference |
//! | [`bootstrap`], [`cluster`] | percentile, BCa and cluster bootstrap; clustered standard errors, weighted means |
//! | [`bounded`] | means of scores in a range, whose intervals have width at 0 % and 100 %, too |
//! | [`cuped`], [`ratio`], [`winsor`] | variance reduction, ratio metrics by the delta method, outliers |
//! | [`multiple`], [`srm`] | Holm, Bonferroni, Benjamini-Hochberg; sample-ratio mismatch |
//! | [`power`] | sample size, power and smallest effect for rates, means, pairs, flips |
//! | [`bayes`] | chance to win, expected loss, credible interval |
//! | [`sequential`] | inference that may be looked at any time: confidence sequences, mSPRT, group-sequential tests |
//! | [`agreement`] | kappa, alpha, rank correlation: people with people, a judge with people |
//! | [`ppi`] | a mean from few labels and many judge scores |
//! | [`drift`] | control charts, Page-Hinkley, ADWIN, PSI, KS, Jensen-Shannon |
//!
//! ```
//! use llmops_stats::{TestOptions, t_test};
//! let control = [0.61, 0.55, 0.70, 0.64, 0.58];
//! let treatment = [0.71, 0.66, 0.69, 0.80, 0.75];
//! let result = t_test::paired(&control, &treatment, TestOptions::default()).unwrap();
//! println!("{}: {:+.3}, {}, p = {:.3}", result.method, result.effect, result.interval.unwrap(), result.p_value);
//! ```

mod dist;
mod error;
mod ranks;
mod result;

pub mod agreement;
pub mod allocation;
pub mod bayes;
pub mod bootstrap;
pub mod bounded;
pub mod cluster;
pub mod contingency;
pub mod cuped;
pub mod drift;
pub mod exact;
pub mod histogram;
pub mod mann_whitney;
pub mod mcnemar;
pub mod moments;
pub mod multiple;
pub mod ordinal;
pub mod power;
pub mod ppi;
pub mod proportion;
pub mod quantile;
pub mod ratio;
pub mod sequential;
pub mod sign_test;
pub mod sketch;
pub mod srm;
pub mod t_test;
pub mod unit_sums;
pub mod wilcoxon;
pub mod winsor;

pub use error::{Result, StatsError};
pub use result::{Alternative, Estimate, Interval, Method, TestOptions, TestResult};
