//! What is known of the judges of a run from their single judgements.

use std::collections::BTreeMap;

use llmops_domain::judge::JudgeDetail;
use llmops_domain::run::JudgeSummary;
use serde_json::Value;

use super::aggregate::share;
use crate::Error;

/// Counts of one judged metric.
#[derive(Default)]
pub(super) struct JudgeTotals {
    judges: Vec<String>,
    prompt: String,
    prompt_hash: String,
    comparisons: u64,
    flips: u64,
    debates: u64,
    agreed: u64,
    rounds: u64,
    spreads: f64,
    dropped: BTreeMap<String, u64>,
}

impl JudgeTotals {
    /// Takes up the detail of one score, where it is a judgement.
    pub(super) fn note(all: &mut BTreeMap<String, Self>, metric: &str, detail: &Value) {
        // Other scorers have details too; theirs name no judge.
        if detail.get("prompt_hash").is_none() {
            return;
        }
        let Ok(detail) = serde_json::from_value::<JudgeDetail>(detail.clone()) else { return };
        let totals = all.entry(metric.to_owned()).or_default();
        totals.judges = detail.judge.into_iter().chain(detail.judges).collect();
        totals.prompt = detail.prompt;
        totals.prompt_hash = detail.prompt_hash.to_string();
        if let Some(comparison) = detail.comparison {
            totals.comparisons += 1;
            totals.flips += u64::from(comparison.flipped);
        }
        if let Some(debate) = detail.debate {
            totals.debates += 1;
            totals.agreed += u64::from(debate.agreed);
            totals.rounds += debate.rounds.len() as u64;
            totals.spreads += debate.spread;
        }
        for dropped in detail.dropped {
            *totals.dropped.entry(dropped.judge).or_default() += 1;
        }
    }

    pub(super) fn finish(self) -> Result<JudgeSummary, Error> {
        let mean = |sum: f64| (self.debates > 0).then(|| sum / self.debates as f64);
        Ok(JudgeSummary {
            position_flips: share(self.flips, self.comparisons)?,
            agreed: share(self.agreed, self.debates)?,
            mean_rounds: mean(self.rounds as f64),
            mean_spread: mean(self.spreads),
            judges: self.judges,
            prompt: self.prompt,
            prompt_hash: self.prompt_hash,
            dropped: self.dropped,
        })
    }
}
