//! One suite, run on every backend.

mod cache;
mod datasets;
mod kill;
mod manifests;
mod opening;
mod prompts;
mod results;
mod runs;
mod shards;
mod support;
