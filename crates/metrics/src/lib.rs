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
//! | [`language`] | the answer is written in an accepted language |
//! | [`bleu`], [`chrf`] | BLEU, chrF, chrF++ |
//! | [`numeric_match`] | the answer's number is close to the expected one |
//! | [`json_fields`] | share of JSON fields that are right |
//! | [`semantic_list`] | lists with similar items |
//! | [`tool_call`], [`trajectory`] | the tools that were called, with what, in which order |
//! | [`conversation`] | checks over several turns |
//! | [`bertscore`], [`embedding_similarity`] | similarity by the embeddings of an [`encoder`] |
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

pub mod bertscore;
pub mod bleu;
mod check;
pub mod chrf;
pub mod contains;
pub mod conversation;
pub mod embedding_similarity;
pub mod encoder;
pub mod exact_match;
pub mod json_fields;
pub mod json_schema;
pub mod json_valid;
pub mod language;
pub mod length;
pub mod levenshtein;
mod matching;
mod ngrams;
pub mod numeric_match;
mod positions;
pub mod refusal;
pub mod regex_match;
pub mod rouge;
mod score;
pub mod semantic_list;
mod text;
pub mod token_f1;
pub mod tool_call;
pub mod trajectory;

pub use check::Check;
pub use score::{Prf, best_of};
