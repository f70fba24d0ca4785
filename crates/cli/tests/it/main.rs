//! The command as people run it: the binary, real files, a real simulator in another process.

mod config_errors;
mod gate_story;
mod project;
mod resume;
mod schemas;
