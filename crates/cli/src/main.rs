//! The llmops command.
fn main() {}
