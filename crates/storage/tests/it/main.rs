//! One suite, run on every backend.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod access;
mod cache;
mod calibrations;
mod canaries;
mod datasets;
mod deployments;
mod events;
mod experiments;
mod feedback;
mod incidents;
mod jobs;
mod kill;
mod manifests;
mod observations;
mod opening;
mod portable;
mod prompts;
mod records;
mod results;
mod review;
mod runs;
mod shards;
mod spending;
mod storm;
mod support;
