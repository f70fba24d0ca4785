//! Makes logged decisions again, and shows where anything else comes out. Pure.

use std::collections::BTreeMap;

use llmops_domain::canary::{
    Action, CanaryPolicy, ClusterTotals, Decision, Evidence, LoggedDecision, Measure, Measures, ShadowPair, decide,
};
use serde::Serialize;

use super::measure::measure;

/// How far two numbers may be apart that were added up in the same order.
const NOISE: f64 = 1e-9;

/// A decision that was made again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// Its number in the log.
    pub number: u64,
    /// Requests that the candidate had been asked.
    pub asked: u64,
    /// What was decided.
    pub logged: Action,
    /// What is decided now.
    pub again: Action,
    /// Whether the numbers that it was made from were added up again from the pairs.
    pub from_pairs: bool,
    /// Where anything else comes out; empty where nothing does.
    pub differences: Vec<String>,
}

/// Makes every decision of a log again. Where the pairs that it rests on are there, its numbers are added up anew too.
pub fn replay(policy: &CanaryPolicy, log: &[LoggedDecision], pairs: &[ShadowPair]) -> Vec<Replayed> {
    let mut settled: Vec<(u64, &ShadowPair)> = pairs.iter().filter_map(|pair| Some((pair.number?, pair))).collect();
    settled.sort_by_key(|(number, _)| *number);
    let mut settled = settled.into_iter().peekable();
    let mut clusters: BTreeMap<&str, ClusterTotals> = BTreeMap::new();
    let mut evidence = Evidence::default();
    let mut replayed = Vec::with_capacity(log.len());
    // Of two decisions at the same moment the one with fewer pairs may have been written last.
    let mut log: Vec<&LoggedDecision> = log.iter().collect();
    log.sort_by_key(|entry| entry.situation.asked);
    for entry in log {
        let asked = entry.situation.asked;
        while let Some((_, pair)) = settled.next_if(|(number, _)| *number <= asked) {
            evidence.add(clusters.entry(&pair.cluster).or_default(), pair);
        }
        let from_pairs = asked > 0 && evidence.asked == asked;
        let mut situation = entry.situation.clone();
        let mut differences = Vec::new();
        if from_pairs {
            let again = measure(policy, &evidence);
            differences.extend(differing(&situation.measures, &again));
            if evidence.pairs() != situation.pairs {
                differences.push(format!("{} judged pairs, logged {}", evidence.pairs(), situation.pairs));
            }
            situation.measures = again;
        }
        let again = decide(policy, &situation);
        differences.extend(compare(&entry.decision, &again));
        let (logged, number) = (entry.decision.action, entry.number);
        replayed.push(Replayed { number, asked, logged, again: again.action, from_pairs, differences });
    }
    replayed
}

fn compare(logged: &Decision, again: &Decision) -> Vec<String> {
    if logged.action != again.action {
        return vec![format!("{} instead of {}: {}", again.action.describe(), logged.action.describe(), again.message)];
    }
    let changed = again.checks.iter().filter(|check| {
        logged.checks.iter().find(|other| other.name == check.name).is_none_or(|other| other.status != check.status)
    });
    changed.map(|check| format!("{} is {:?} now: {}", check.name, check.status, check.message)).collect()
}

fn differing(logged: &Measures, again: &Measures) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |name: &str, logged: Option<&Measure>, again: Option<&Measure>| match (logged, again) {
        (Some(logged), Some(again)) if !nearly(logged, again) => found.push(format!(
            "{name} is {:.6} ({:.6} to {:.6}), logged {:.6} ({:.6} to {:.6})",
            again.value, again.low, again.high, logged.value, logged.low, logged.high
        )),
        (Some(_), None) | (None, Some(_)) => found.push(format!("{name} is known only in one of the two")),
        _ => {}
    };
    check("net_win", logged.net_win.as_ref(), again.net_win.as_ref());
    check("loss_rate", logged.loss_rate.as_ref(), again.loss_rate.as_ref());
    for measure in &again.guardrails {
        let other = logged.guardrails.iter().find(|other| other.guardrail == measure.guardrail);
        check(measure.guardrail.as_str(), other.map(|other| &other.tested), Some(&measure.tested));
    }
    found
}

fn nearly(left: &Measure, right: &Measure) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= NOISE * (1.0 + a.abs().max(b.abs()));
    left.n == right.n && near(left.value, right.value) && near(left.low, right.low) && near(left.high, right.high)
}
