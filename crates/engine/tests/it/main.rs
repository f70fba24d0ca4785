//! The use cases over real stores, with scripted providers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adaptive;
mod alerts;
mod calibration;
mod canaries;
mod canary_simulation;
mod datasets;
mod deployments;
mod evaluate;
mod events;
mod experiments;
mod exposed;
mod feedback;
mod gate;
mod incidents;
mod jobs;
mod judges;
mod models;
mod observations;
mod peeking;
mod prompts;
mod questions;
mod records;
mod releases;
mod schedules;
mod scorers;
mod scripted;
mod verifier;
