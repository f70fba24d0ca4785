//! The command as people run it: the binary, real files, a real simulator in another process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alerts;
mod analyze;
mod canary;
mod config_errors;
mod db;
mod doctor;
mod experiments;
mod flywheel;
mod gate_story;
mod gateway;
mod import;
mod judge;
mod judges;
mod mcp;
mod mlflow;
mod observations;
mod ofrep;
mod operations;
mod power;
mod project;
mod promotion;
mod proxy;
mod readme;
mod resume;
mod schemas;
mod score;
mod serve;
mod some_samples;
