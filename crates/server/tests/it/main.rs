//! The API as its clients meet it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod access;
mod alerts;
mod audit;
mod document;
mod experiments;
mod feedback;
mod idempotency;
mod kept;
mod metrics;
mod otlp;
mod outage;
mod overview;
mod session;
mod support;
mod tenants;
