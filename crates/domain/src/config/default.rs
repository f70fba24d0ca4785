//! The file that `llmops init` writes.

/// A commented `llmops.yaml` with every key. It runs offline, against the built-in simulator.
pub const DEFAULT_YAML: &str = include_str!("default.yaml");
