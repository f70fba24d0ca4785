//! Tests of the public interface: fixtures from reference implementations, invariants, simulations.

mod basics;
mod bootstrap;
mod degenerate;
mod support;
