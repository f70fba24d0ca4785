//! Several judges, one score: panels and debates.
//!
//! In a debate every judge scores alone, then sees what the others said and may revise, for up to so many rounds or until
//! all agree. The consensus is the median: one judge among three or more that lies, or is fooled, cannot move it beyond
//! what an honest one says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{AxisScore, JudgeAnswer};

/// Fewest judges that a score may rest on.
pub const MIN_JUDGES: usize = 2;

/// When a debate ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DebateRules {
    /// Most rounds, the first included.
    pub rounds: u32,
    /// Judges agree when their scores lie no further apart.
    pub epsilon: f64,
}

/// How the scores of a panel become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PanelRule {
    /// Their mean.
    #[default]
    Mean,
    /// Their median.
    Median,
    /// 1 when most of the judges score at least `cutoff`, 0 when most score less, 0.5 where they are equally many.
    Majority,
}

/// What one judge said in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The judge.
    pub judge: String,
    /// Its overall score.
    pub score: f64,
    /// Its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Score and reason of each axis.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, AxisScore>,
}

impl Statement {
    /// A judge's answer as its statement.
    pub fn new(judge: &str, answer: &JudgeAnswer) -> Self {
        Self {
            judge: judge.to_owned(),
            score: answer.overall,
            reason: answer.reason.clone(),
            axes: answer.axes.clone(),
        }
    }
}

/// A judge that failed or left the format, and was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The judge.
    pub judge: String,
    /// The round, from 1.
    pub round: u32,
    /// A short stable reason, such as `judge: no JSON`.
    pub reason: String,
    /// The whole story.
    pub message: String,
}

/// The transcript of a debate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DebateRecord {
    /// What each judge said, round by round.
    pub rounds: Vec<Vec<Statement>>,
    /// Whether the scores of the last round lie no further apart than `epsilon`.
    pub agreed: bool,
    /// How far apart the scores of the first round lie (highest less lowest).
    pub first_spread: f64,
    /// How far apart those of the last round lie.
    pub spread: f64,
    /// Label of the prompt of the rounds after the first.
    pub debate_prompt: String,
    /// Its hash.
    pub debate_prompt_hash: crate::hash::ContentHash,
}

/// The middle of the scores; of an even number, midway between the middle two. None without scores.
///
/// ```
/// use llmops_domain::judge::debate::median;
///
/// assert_eq!(median(&[0.2, 0.8, 0.9]), Some(0.8));
/// assert_eq!(median(&[0.8, 0.6]), Some(0.7));
/// assert_eq!(median(&[]), None);
/// ```
pub fn median(scores: &[f64]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Highest less lowest; 0 without scores.
pub fn spread(scores: &[f64]) -> f64 {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    (highest - lowest).max(0.0)
}

/// The one score of a panel. None without scores.
pub fn combine(scores: &[f64], rule: PanelRule, cutoff: f64) -> Option<f64> {
    if scores.is_empty() {
        return None;
    }
    match rule {
        PanelRule::Mean => Some((scores.iter().sum::<f64>() / scores.len() as f64).clamp(0.0, 1.0)),
        PanelRule::Median => median(scores),
        PanelRule::Majority => {
            let pro = scores.iter().filter(|score| **score >= cutoff).count();
            Some(match (2 * pro).cmp(&scores.len()) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
        }
    }
}

impl DebateRules {
    /// Whether the judges agree.
    pub fn agree(&self, scores: &[f64]) -> bool {
        // The slack lets sums of decimals, such as 0.8 − 0.75, count as the 0.05 they stand for.
        spread(scores) <= self.epsilon + 1e-9
    }

    /// Whether there is another round after this one (from 1).
    pub fn goes_on(&self, round: u32, scores: &[f64]) -> bool {
        round < self.rounds && !self.agree(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_combine() {
        let check = |scores: &[f64], rule, expected| assert_eq!(combine(scores, rule, 0.5), expected, "{scores:?}");
        check(&[], PanelRule::Mean, None);
        check(&[1.0, 0.5], PanelRule::Mean, Some(0.75));
        check(&[1.0, 0.0, 0.25], PanelRule::Median, Some(0.25));
        check(&[0.5, 0.6, 0.1], PanelRule::Majority, Some(1.0));
        check(&[0.5, 0.1], PanelRule::Majority, Some(0.5));
        check(&[0.49, 0.1, 1.0], PanelRule::Majority, Some(0.0));
    }

    #[test]
    fn debates_end_by_agreement_or_rounds() {
        let rules = DebateRules { rounds: 3, epsilon: 0.05 };
        assert!(rules.goes_on(1, &[0.2, 0.9]) && rules.goes_on(2, &[0.2, 0.9]) && !rules.goes_on(3, &[0.2, 0.9]));
        assert!(!rules.goes_on(1, &[0.75, 0.8]) && !rules.goes_on(1, &[]) && rules.goes_on(1, &[0.74, 0.8]));
    }

    proptest::proptest! {
        #[test]
        fn a_minority_cannot_move_the_median_beyond_the_honest(
            honest in proptest::collection::vec(0.0..1.0_f64, 2..6),
            lies in proptest::collection::vec(0.0..1.0_f64, 0..5),
        ) {
            proptest::prop_assume!(lies.len() < honest.len());
            let all: Vec<f64> = honest.iter().chain(&lies).copied().collect();
            let consensus = median(&all).unwrap_or(f64::NAN);
            let lowest = honest.iter().copied().fold(1.0, f64::min);
            let highest = honest.iter().copied().fold(0.0, f64::max);
            proptest::prop_assert!((lowest..=highest).contains(&consensus));
        }
    }
}
