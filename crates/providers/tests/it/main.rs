//! Tests against servers in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connections;
mod http_app;
mod keys;
mod openai;
mod proxy;
mod registry;
mod retries;
mod simulator;
mod support;
mod translation;
