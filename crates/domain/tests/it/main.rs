//! Tests of the public surface.

mod assignments;
mod config_files;
mod datasets;
mod prompt_files;
mod scorecard;
mod yaml_files;
