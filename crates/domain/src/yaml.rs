//! YAML files that people write: read with positions, checked against a JSON Schema, every mistake with its line.
//!
//! A file becomes a [`Document`] (a JSON value and where each part of it stands), is checked against a [`Schema`] made
//! from the Rust type it is read into, and decoded. What is wrong comes back as [`Problem`]s, all of a file at once.

mod builder;
mod document;
mod expand;
mod problem;
mod scalar;
mod schema;
mod validate;

pub use document::{Document, Position, Unset};
pub use problem::Problem;
pub(crate) use problem::{escape, shorten};
pub use schema::Schema;
pub(crate) use schema::strict;
pub use validate::{validate, validate_value};
