//! Tests of the public interface: fixtures from reference implementations, invariants, simulations.

mod basics;
mod bootstrap;
mod comparisons;
mod degenerate;
mod models;
mod properties;
mod simulations;
mod support;
