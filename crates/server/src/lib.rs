//! The HTTP API of llmops.
