//! Text metrics for answers of language models.
//!
//! Everything here is a pure function of its arguments: no clock, no network, no global state. Scores lie in `[0, 1]`
//! and are never NaN; what empty, huge or non-ASCII input gives is written at each item.
//!
//! # Conventions
//!
//! * The **candidate** is the text under test, a **reference** is a text it is compared with.
//! * Where several references make sense, the score is that of the best one. An empty list of references gives `None`:
//!   a comparison that did not happen has no score.
//! * Yes-or-no metrics return `1.0` or `0.0`.
//! * Whatever can be compiled once (patterns, schemas, references) has a type that is built once and used often.
//!
//! # Map
//!
//! | module | metric |
//! | --- | --- |
//! | [`exact_match`] | equality, plain or after normalisation |
//! | [`contains`] | any or all of some strings occur |
//! | [`regex_match`] | a regular expression matches |
//! | [`json_valid`], [`json_schema`] | the answer is JSON; the JSON conforms to a schema |
//! | [`levenshtein`] | edit similarity |
//! | [`token_f1`] | token overlap with SQuAD's normalisation |
//! | [`rouge`] | ROUGE-N, ROUGE-L, ROUGE-Lsum |
//! | [`refusal`] | the model declined to answer |
//! | [`length`] | the answer's length is within limits |
//!
//! ```
//! use llmops_metrics::{rouge::{Rouge, RougeKind}, token_f1::token_f1};
//!
//! let references = ["The cat sat on the mat."];
//! assert_eq!(token_f1("the cat sat on a mat", &references), Some(1.0));
//!
//! let rouge = Rouge::new(vec![RougeKind::L]);
//! let scores = rouge.score("A cat sat.", &references).unwrap();
//! assert_eq!(scores[0].precision, 2.0 / 3.0);
//! ```

pub mod contains;
pub mod exact_match;
pub mod json_schema;
pub mod json_valid;
pub mod length;
pub mod levenshtein;
mod positions;
pub mod refusal;
pub mod regex_match;
pub mod rouge;
mod score;
mod text;
pub mod token_f1;

pub use score::{Prf, best_of};
