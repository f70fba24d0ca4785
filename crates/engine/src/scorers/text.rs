//! Scorers that compute: exact match, ROUGE, JSON, latency …

use std::cell::RefCell;

use llmops_domain::run::MetricScore;
use llmops_domain::scoring::{RefusalExpectation, ScorerSpec};
use llmops_metrics::contains::{Contains, Quantifier};
use llmops_metrics::exact_match::ExactMatch;
use llmops_metrics::json_schema::JsonSchema;
use llmops_metrics::json_valid::{Wrapping, json_valid};
use llmops_metrics::levenshtein::levenshtein;
use llmops_metrics::refusal::{refusal, refusal_rule};
use llmops_metrics::regex_match::RegexMatch;
use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
use llmops_metrics::token_f1::token_f1;

use super::agent::AgentScorer;
use super::compare::CompareScorer;
use super::{ScoreError, Scored};
use crate::Error;

thread_local! {
    static SCRATCH: RefCell<TextScratch> = RefCell::new(TextScratch::default());
}

/// Buffers that are used again from answer to answer, one set a thread.
#[derive(Default)]
pub(super) struct TextScratch {
    pub(super) rouge: RougeScratch,
}

impl TextScratch {
    /// Lends this thread's buffers.
    pub(super) fn with<T>(use_it: impl FnOnce(&mut Self) -> T) -> T {
        SCRATCH.with_borrow_mut(use_it)
    }
}

/// A compiled text scorer.
pub(super) enum TextScorer {
    ExactMatch(ExactMatch),
    Contains { how: Contains, values: Vec<String>, not: bool },
    Regex { pattern: RegexMatch, not: bool },
    JsonValid(Wrapping),
    JsonSchema(Box<JsonSchema>, Wrapping),
    Levenshtein,
    TokenF1,
    Rouge(Rouge),
    Latency,
    Cost { limited: bool },
    Assertions,
    Refusal(Option<RefusalExpectation>),
    Compare(CompareScorer),
    Agent(Box<AgentScorer>),
}

pub(super) fn wrapping(allow_fences: bool) -> Wrapping {
    if allow_fences { Wrapping::Fence } else { Wrapping::None }
}

fn rouge(kind: RougeKind, stem: bool) -> TextScorer {
    TextScorer::Rouge(Rouge::new(vec![kind]).stemmed(stem))
}

impl TextScorer {
    /// Compiles patterns and schemas.
    pub(super) fn compile(name: &str, spec: &ScorerSpec) -> Result<Self, Error> {
        Ok(match spec {
            ScorerSpec::ExactMatch { ignore_case, keep_whitespace } => Self::ExactMatch(ExactMatch {
                trim: !keep_whitespace,
                ignore_case: *ignore_case,
                ..ExactMatch::default()
            }),
            ScorerSpec::Contains { values, all, ignore_case, not } => Self::Contains {
                how: Contains {
                    quantifier: if *all { Quantifier::All } else { Quantifier::Any },
                    ignore_case: *ignore_case,
                },
                values: values.clone(),
                not: *not,
            },
            ScorerSpec::Regex { pattern, not } => Self::Regex {
                pattern: RegexMatch::new(pattern)
                    .map_err(|e| Error::invalid(format!("metric `{name}`: the pattern is wrong: {e}")))?,
                not: *not,
            },
            ScorerSpec::JsonValid { allow_fences } => Self::JsonValid(wrapping(*allow_fences)),
            ScorerSpec::JsonSchema { schema, allow_fences } => Self::JsonSchema(
                Box::new(
                    JsonSchema::new(schema)
                        .map_err(|e| Error::invalid(format!("metric `{name}`: the schema is wrong: {e}")))?,
                ),
                wrapping(*allow_fences),
            ),
            ScorerSpec::Levenshtein {} => Self::Levenshtein,
            ScorerSpec::TokenF1 {} => Self::TokenF1,
            ScorerSpec::Rouge1 { stem } => rouge(RougeKind::N(1), *stem),
            ScorerSpec::Rouge2 { stem } => rouge(RougeKind::N(2), *stem),
            ScorerSpec::RougeL { stem } => rouge(RougeKind::L, *stem),
            ScorerSpec::RougeLsum { stem } => rouge(RougeKind::Lsum, *stem),
            ScorerSpec::Latency { .. } => Self::Latency,
            ScorerSpec::Cost { max } => Self::Cost { limited: max.is_some() },
            ScorerSpec::Assertions {} => Self::Assertions,
            ScorerSpec::Refusal { expect } => Self::Refusal(*expect),
            other => match (CompareScorer::compile(name, other)?, AgentScorer::compile(name, other)?) {
                (Some(compare), _) => Self::Compare(compare),
                (None, Some(agent)) => Self::Agent(Box::new(agent)),
                (None, None) => return Err(Error::Internal(format!("`{name}` is no text scorer"))),
            },
        })
    }

    /// Scores one answer.
    pub(super) fn score(
        &self,
        name: &str,
        scored: Scored<'_>,
        scratch: &mut TextScratch,
    ) -> Result<MetricScore, ScoreError> {
        let (output, references) = (scored.output, scored.sample.expected_output.as_slice());
        let reference_needed = || super::no_reference(name, scored.sample);
        let needs_reference = |score: Option<f64>| score.map(plain).ok_or_else(reference_needed);
        match self {
            Self::ExactMatch(exact) => needs_reference(exact.score(output, references)),
            Self::Contains { how, values, not } => {
                let score = if values.is_empty() { how.score(output, references) } else { how.score(output, values) };
                needs_reference(score.map(|s| if *not { 1.0 - s } else { s }))
            }
            Self::Regex { pattern, not } => {
                let score = pattern.score(output);
                Ok(plain(if *not { 1.0 - score } else { score }))
            }
            Self::JsonValid(wrapping) => Ok(plain(json_valid(output, *wrapping))),
            Self::JsonSchema(schema, wrapping) => Ok(match schema.check(output, *wrapping) {
                Ok(_) => plain(1.0),
                Err(why) => MetricScore { score: 0.0, reason: Some(why.to_string()), detail: None },
            }),
            Self::Levenshtein => needs_reference(levenshtein(output, references)),
            Self::TokenF1 => needs_reference(token_f1(output, references)),
            Self::Rouge(rouge) => {
                if let Some(unseen) = references.iter().find(|reference| !has_rouge_token(reference)) {
                    return Err(no_rouge_token(name, unseen));
                }
                let best = references
                    .iter()
                    .map(|reference| rouge.score_pair(&mut scratch.rouge, output, reference)[0].f1)
                    .reduce(f64::max);
                needs_reference(best)
            }
            Self::Latency => Ok(plain(scored.response.latency_ms)),
            Self::Cost { limited } => match scored.cost {
                None if *limited => Err(super::no_price(name)),
                cost => Ok(plain(cost.unwrap_or_default())),
            },
            Self::Assertions => super::assertions::score(name, scored, scratch),
            Self::Refusal(expect) => Ok(score_refusal(*expect, output, references)),
            Self::Compare(compare) => compare.score(name, output, scored.sample)?.ok_or_else(reference_needed),
            Self::Agent(agent) => agent.score(name, scored),
        }
    }
}

/// Whether ROUGE sees anything of the text: its tokens are runs of ASCII letters and digits. Of nothing it sees nothing, rightly.
fn has_rouge_token(text: &str) -> bool {
    text.trim().is_empty() || text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

fn no_rouge_token(name: &str, reference: &str) -> ScoreError {
    let start: String = reference.trim().chars().take(40).collect();
    ScoreError::new(
        format!("{name}: the expected output has no letters a to z and no digits"),
        format!(
            "`{name}` sees only the letters a to z and digits, and the expected output `{start}` has none: use `chrf`, \
             `token_f1` or an embedding for this language"
        ),
    )
}

fn plain(score: f64) -> MetricScore {
    MetricScore { score, reason: None, detail: None }
}

fn score_refusal(expect: Option<RefusalExpectation>, output: &str, references: &[String]) -> MetricScore {
    let refused = refusal_rule(output);
    let wanted = match expect {
        None => return plain(refusal(output)),
        Some(RefusalExpectation::Refuse) => true,
        Some(RefusalExpectation::Answer) => false,
        Some(RefusalExpectation::Reference) => references.iter().any(|r| refusal_rule(r).is_some()),
    };
    let reason = match (wanted, refused.is_some()) {
        (true, false) => Some("answered what should be declined".to_owned()),
        (false, true) => Some("declined what should be answered".to_owned()),
        _ => None,
    };
    MetricScore { score: if reason.is_none() { 1.0 } else { 0.0 }, reason, detail: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rouge_sees_something_of() {
        let check = |text: &str, expected: bool| assert_eq!(has_rouge_token(text), expected, "{text}");
        check("free shipping", true);
        check("送料は30日間無料です。", true);
        check("送料は無料です。", false);
        check("Доставка бесплатна.", false);
        check("", true);
    }
}
