//! `llmops.yaml`: one section a file.

pub mod duration;
pub mod providers;
