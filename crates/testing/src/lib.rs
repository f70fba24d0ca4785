//! Shared test support: stores on SQLite and PostgreSQL.

mod store;

pub use store::{Backend, TestStore, on_backends};
