//! The gateway between real sockets: a scripted provider on one side, a client that shows every byte on the other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod beside;
mod choices;
mod deployments;
mod faults;
mod fidelity;
mod records;
mod support;
mod translation;
mod wire;
