//! Comparison of lists.

use llmops_domain::run::MetricScore;
use llmops_domain::scoring::compare::{ItemSimilarity, ListMatchSpec, ListScore};
use llmops_metrics::Prf;
use llmops_metrics::chrf::{ChrfCounts, ChrfKind};
use llmops_metrics::exact_match::ExactMatch;
use llmops_metrics::levenshtein::levenshtein;
use llmops_metrics::rouge::{Rouge, RougeKind, RougeScratch};
use llmops_metrics::semantic_list::{list_items, match_lists};
use llmops_metrics::token_f1::token_f1;
use serde_json::json;

use super::shorten;

/// Items that a reason names.
const NAMED_ITEMS: usize = 10;

/// Which share is the score.
pub(super) fn share(which: ListScore, score: Prf) -> f64 {
    match which {
        ListScore::Precision => score.precision,
        ListScore::Recall => score.recall,
        ListScore::F1 => score.f1,
    }
}

/// The lists that an answer may agree with.
pub(super) fn expected_lists(list: &ListMatchSpec, references: &[String]) -> Vec<Vec<String>> {
    match references {
        [] => Vec::new(),
        items if list.items => vec![items.to_vec()],
        lists => lists.iter().map(|text| list_items(text)).collect(),
    }
}

/// Compares an answer's list with the expected ones by their letters; `None` where there is none.
pub(super) fn list_score(list: &ListMatchSpec, output: &str, references: &[String]) -> Option<MetricScore> {
    best_list(list, &list_items(output), &expected_lists(list, references), similarity(list.similarity))
}

/// The score by the list that agrees best.
pub(super) fn best_list(
    list: &ListMatchSpec,
    found: &[String],
    expected: &[Vec<String>],
    mut similar: impl FnMut(&str, &str) -> f64,
) -> Option<MetricScore> {
    let compare = |expected: &Vec<String>| {
        let matched = match_lists(found, expected, list.item_threshold, &mut similar);
        let left = |all: &[String], taken: &dyn Fn(usize) -> bool| -> Vec<String> {
            let left = all.iter().enumerate().filter(|(at, _)| !taken(*at));
            left.take(NAMED_ITEMS).map(|(_, item)| shorten(item)).collect()
        };
        let missing = left(expected, &|at| matched.pairs.iter().any(|(_, other)| *other == at));
        let extra = left(found, &|at| matched.pairs.iter().any(|(given, _)| *given == at));
        let mut reasons = Vec::new();
        if !missing.is_empty() {
            reasons.push(format!("missing: {}", missing.join(", ")));
        }
        if !extra.is_empty() {
            reasons.push(format!("not expected: {}", extra.join(", ")));
        }
        let Prf { precision, recall, f1 } = matched.score;
        MetricScore {
            score: share(list.score, matched.score),
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            detail: Some(json!({"precision": precision, "recall": recall, "f1": f1})),
        }
    };
    expected.iter().map(compare).reduce(|best, next| if next.score > best.score { next } else { best })
}

fn similarity(kind: ItemSimilarity) -> impl FnMut(&str, &str) -> f64 {
    let normalised = ExactMatch::normalised();
    let rouge = Rouge::new(vec![RougeKind::L]).stemmed(true);
    let mut scratch = RougeScratch::default();
    move |given, expected| match kind {
        // Items whose embeddings are at hand are compared elsewhere; the same letters mean the same.
        ItemSimilarity::Normalised | ItemSimilarity::Embeddings => normalised.score(given, &[expected]).unwrap_or(0.0),
        ItemSimilarity::Levenshtein => levenshtein(&given.to_lowercase(), &[expected.to_lowercase()]).unwrap_or(0.0),
        ItemSimilarity::TokenF1 => token_f1(given, &[expected]).unwrap_or(0.0),
        ItemSimilarity::RougeL => rouge.score_pair(&mut scratch, given, expected)[0].f1,
        ItemSimilarity::Chrf => {
            ChrfCounts::new(ChrfKind::Chrf, given, &[expected]).map_or(0.0, |counts| counts.score())
        }
    }
}
