//! The wire of the llmops API: requests and answers, the closed table of error codes, and the typed [`Client`].
//!
//! Resources travel as the types of `llmops-domain`; what is here is what exists only on the wire.

pub mod access;
pub mod alerts;
pub mod applied;
pub mod canaries;
pub mod client;
pub mod config;
pub mod datasets;
pub mod deployments;
pub mod error;
pub mod events;
pub mod experiments;
pub mod feedback;
pub mod incidents;
pub mod judges;
pub mod models;
pub mod observations;
pub mod overview;
pub mod page;
pub mod prompts;
pub mod releases;
pub mod runs;
pub mod schedules;
pub mod workbench;

pub use client::{Client, ClientError};
pub use error::{ErrorBody, ErrorCode, Problem};
pub use page::Page;
