//! Wire types, error codes and the typed client of the llmops API.
