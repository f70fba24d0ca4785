//! Integration tests: one file per metric, cases as data.

mod bertscore;
mod matches;
mod properties;
mod refusal;
mod rouge;
mod sacrebleu;
mod structure;
