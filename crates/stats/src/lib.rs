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
pub mod bayes;
pub mod bootstrap;
pub mod cluster;
pub mod contingency;
pub mod cuped;
pub mod drift;
pub mod mann_whitney;
pub mod mcnemar;
pub mod moments;
pub mod multiple;
pub mod power;
pub mod ppi;
pub mod proportion;
pub mod quantile;
pub mod ratio;
pub mod sequential;
pub mod sign_test;
pub mod srm;
pub mod t_test;
pub mod wilcoxon;
pub mod winsor;

pub use error::{Result, StatsError};
pub use result::{Alternative, Estimate, Interval, Method, TestOptions, TestResult};
