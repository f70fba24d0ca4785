//! Tests over the project's own files: sizes, crate edges, documents, the demo project.

// `cfg(test)` tells clippy that helpers may unwrap, too.
#[cfg(test)]
mod tidy;
