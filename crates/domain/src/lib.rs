//! Types and pure decisions of llmops: prompts, datasets, runs, gate.
