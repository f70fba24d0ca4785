//! Types and pure decisions of llmops.
//!
//! Nothing here reads the clock, the environment, the network or the disk: time, randomness and text are arguments. The one
//! exception is [`clock`], which the other crates ask.
//! Every decision (what a prompt renders to, whether a gate passes, what changed between two versions) is a function
//! from data to an answer with its reasons, so that it can be replayed and tested with a table.

pub mod access;
pub mod alert;
pub mod apply;
pub mod approval;
pub mod calibration;
pub mod canary;
pub mod chat;
pub mod clock;
pub mod compare;
pub mod config;
pub mod contract;
pub mod dataset;
pub mod dataset_lines;
pub mod dataset_schema;
pub mod deployment;
pub mod event;
pub mod experiment;
pub mod feedback;
pub mod gate;
pub mod genai_span;
pub mod hash;
mod html;
pub mod id;
pub mod incident;
pub mod json_path;
pub mod judge;
pub mod limits;
pub mod manifest;
pub mod meter;
pub mod near_duplicates;
pub mod net;
pub mod page;
pub mod post_process;
pub mod prompt;
pub mod prompt_diff;
pub mod prompt_file;
pub mod record;
pub mod redact;
pub mod release;
pub mod render;
pub mod review;
pub mod run;
pub mod schedule;
pub mod scorecard;
pub mod scoring;
pub mod soft_failure;
pub mod streaks;
pub mod suggest;
pub mod template;
pub mod traffic;
pub mod verifier;
pub mod yaml;
