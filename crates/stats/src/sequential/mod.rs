//! Inference that stays valid while the data are watched.
//!
//! | procedure | for | guarantee |
//! | --- | --- | --- |
//! | [`asymptotic`] | differences of means or rates, any data | time-uniform in the limit; decides nothing early |
//! | [`mixture`] | means in [0, 1], streamed moments are enough | time-uniform at every n |
//! | [`betting`] | means in [0, 1], every value seen once | time-uniform at every n, adapts to the variance |
//! | [`msprt`] | differences with a variance known or well estimated | time-uniform for known variance |
//! | [`group`] | a planned number of looks | exact α over those looks, narrowest at the end |
//!
//! A time-uniform (anytime-valid) interval may be looked at after every observation, and the experiment stopped
//! whenever it excludes 0: the chance of ever excluding the truth is at most 1 − level.

pub mod asymptotic;
pub mod betting;
pub mod group;
pub mod mixture;
pub mod msprt;
pub mod multinomial;

/// ρ² that makes a normal-mixture boundary narrowest near an intrinsic time `optimum` (Waudby-Smith et al., eq. 161;
/// Howard et al. 2021, §3.5), with the logarithmic approximation of Lambert's W.
pub(crate) fn rho_squared(alpha: f64, optimum: f64) -> f64 {
    let log = -2.0 * alpha.ln();
    (log + (log + 1.0).ln()) / optimum
}
