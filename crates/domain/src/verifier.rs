//! The verifier's decisions: how healthy a model's provider is, and which of several candidates is the best one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::providers::Price;

/// Weight of the newest call in the averages: about the last ten calls count.
const WEIGHT: f64 = 0.2;
/// A model that fails more often than this is not healthy.
const MOST_FAILURES: f64 = 0.5;
/// Nor is one whose last calls all failed.
const FAILURES_IN_A_ROW: u32 = 3;
/// Scores that differ by less are equal.
const TIE: f64 = 1e-9;

/// What calls of a model tell of its health. Errors of the request itself (a bad key, a prompt that is too long) are
/// errors of the caller and do not count, except that nobody with such a key gets an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Calls seen.
    pub calls: u64,
    /// Moving average of failures, 0 to 1.
    pub error_rate: f64,
    /// Moving average of the time to the whole answer, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Calls that failed since the last one that did not.
    pub failures_in_a_row: u32,
    /// When the last call ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_call_at: Option<Timestamp>,
    /// Why the last call that failed did.
    pub last_error: Option<String>,
}

impl Health {
    /// Adds a call: the milliseconds that it took, or why it failed.
    pub fn observe(&mut self, call: Result<f64, String>, at: Timestamp) {
        // The first call is all that is known.
        let weight = if self.calls == 0 { 1.0 } else { WEIGHT };
        let failed = f64::from(u8::from(call.is_err()));
        self.error_rate += weight * (failed - self.error_rate);
        self.calls = self.calls.saturating_add(1);
        self.last_call_at = Some(at);
        match call {
            Ok(latency) => {
                self.failures_in_a_row = 0;
                self.latency_ms = Some(self.latency_ms.map_or(latency, |known| known + WEIGHT * (latency - known)));
            }
            Err(error) => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                self.last_error = Some(error);
            }
        }
    }

    /// Whether calls may go there. What was never called is given the chance.
    pub fn is_healthy(&self) -> bool {
        self.failures_in_a_row < FAILURES_IN_A_ROW && (self.calls < 2 || self.error_rate <= MOST_FAILURES)
    }
}

/// Where a score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScoreSource {
    /// A person set it.
    User,
    /// It is the overall score of the latest completed run.
    Run,
}

/// How good a model's answers are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelScore {
    /// The model, as `provider/model`.
    pub model: String,
    /// The score, 0 to 1.
    pub score: f64,
    /// Where it comes from.
    pub source: ScoreSource,
    /// The run it comes from.
    pub run: Option<String>,
    /// Samples behind it.
    pub n: Option<u64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// When it was set or measured.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A model with all that a choice rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelStatus {
    /// The model, as `provider/model`.
    pub model: String,
    /// Whether calls may go there.
    pub healthy: bool,
    /// What its calls tell, in this process.
    pub health: Health,
    /// How good its answers are, where that is known.
    pub score: Option<ModelScore>,
    /// USD per million tokens, where the price table has it.
    pub price: Option<ModelPrice>,
}

/// USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelPrice {
    /// For tokens read.
    pub input: f64,
    /// For tokens written.
    pub output: f64,
}

impl From<Price> for ModelPrice {
    fn from(price: Price) -> Self {
        Self { input: price.input, output: price.output }
    }
}

/// The best of the candidates: of the healthy ones that with the highest score (unknown scores come last), then the
/// lowest latency (unknown last), then the lowest price (unknown last), then the one named first. None: nobody is healthy.
pub fn select_best(candidates: &[ModelStatus]) -> Option<&ModelStatus> {
    let mut best: Option<&ModelStatus> = None;
    for candidate in candidates.iter().filter(|candidate| candidate.healthy) {
        if best.is_none_or(|best| is_better(candidate, best)) {
            best = Some(candidate);
        }
    }
    best
}

/// The candidates' positions, the best first: healthy ones before others, then as [`select_best`] compares them. Those that
/// compare equal stay in their order.
pub fn rank(candidates: &[ModelStatus]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let goes_before = |one: &ModelStatus, other: &ModelStatus| {
        (one.healthy && !other.healthy) || (one.healthy == other.healthy && is_better(one, other))
    };
    // Insertion keeps equals in their order; there are few candidates.
    for end in 1..order.len() {
        let mut at = end;
        while at > 0 && goes_before(&candidates[order[at]], &candidates[order[at - 1]]) {
            order.swap(at, at - 1);
            at -= 1;
        }
    }
    order
}

fn is_better(one: &ModelStatus, other: &ModelStatus) -> bool {
    let score = |status: &ModelStatus| status.score.as_ref().map_or(-1.0, |score| score.score);
    let latency = |status: &ModelStatus| status.health.latency_ms.unwrap_or(f64::INFINITY);
    let price = |status: &ModelStatus| status.price.map_or(f64::INFINITY, |price| price.input + price.output);
    if (score(one) - score(other)).abs() > TIE {
        return score(one) > score(other);
    }
    latency(one).total_cmp(&latency(other)).then(price(one).total_cmp(&price(other))).is_lt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(calls: &[Result<f64, &str>]) -> Health {
        let mut health = Health::default();
        for call in calls {
            health.observe(call.map_err(str::to_owned), Timestamp::UNIX_EPOCH);
        }
        health
    }

    #[test]
    fn failures_make_unhealthy_and_answers_healthy_again() {
        let (ok, no) = (Ok(100.0), Err("503"));
        let check = |calls: &[Result<f64, &str>], expected: bool| {
            assert_eq!(health(calls).is_healthy(), expected, "{calls:?} {:?}", health(calls));
        };
        check(&[], true);
        check(&[no], true);
        check(&[no, no], false);
        check(&[ok, no, no], true);
        check(&[ok, no, no, no], false);
        check(&[ok, no, no, no, ok], true);
        check(&[no, no, no, no, no, no, ok], false);
        check(&[no, no, no, no, no, no, ok, ok, ok, ok], true);
    }

    #[test]
    fn ranks_put_the_healthy_first_and_keep_equals_in_order() {
        let status = |model: &str, healthy: bool, latency_ms: Option<f64>| ModelStatus {
            model: model.to_owned(),
            healthy,
            health: Health { latency_ms, ..Health::default() },
            score: None,
            price: None,
        };
        let all = [
            status("sick", false, Some(1.0)),
            status("slow", true, Some(9.0)),
            status("quick", true, Some(2.0)),
            status("unknown", true, None),
            status("unknown too", true, None),
        ];
        assert_eq!(rank(&all), [2, 1, 3, 4, 0]);
        assert_eq!(rank(&[]), Vec::<usize>::new());
    }

    #[test]
    fn averages_follow_the_calls() {
        let health = health(&[Ok(100.0), Ok(200.0), Err("503"), Ok(120.0)]);
        assert_eq!((health.calls, health.failures_in_a_row), (4, 0));
        assert_eq!(health.latency_ms, Some(120.0));
        assert!((health.error_rate - 0.16).abs() < 1e-12);
        assert_eq!(health.last_error.as_deref(), Some("503"));
    }

    #[test]
    fn the_best_is_healthy_then_good_then_quick_then_cheap() {
        let status = |model: &str, healthy, score: Option<f64>, latency_ms, price: Option<f64>| ModelStatus {
            model: model.to_owned(),
            healthy,
            health: Health { latency_ms, ..Health::default() },
            score: score.map(|score| ModelScore {
                model: model.to_owned(),
                score,
                source: ScoreSource::User,
                run: None,
                n: None,
                interval: None,
                at: Timestamp::UNIX_EPOCH,
            }),
            price: price.map(|price| ModelPrice { input: price, output: price }),
        };
        let check = |candidates: &[ModelStatus], expected: Option<&str>| {
            assert_eq!(select_best(candidates).map(|best| best.model.as_str()), expected);
        };
        let best = status("best", true, Some(0.9), Some(900.0), Some(9.0));
        let down = status("down", false, Some(1.0), Some(1.0), Some(0.0));
        let quick = status("quick", true, Some(0.8), Some(10.0), Some(5.0));
        let cheap = status("cheap", true, Some(0.8), Some(10.0), Some(1.0));
        let slow = status("slow", true, Some(0.8), None, None);
        let unknown = status("unknown", true, None, Some(1.0), Some(0.0));
        check(&[], None);
        check(std::slice::from_ref(&down), None);
        check(&[unknown.clone(), down, quick.clone(), best.clone()], Some("best"));
        check(&[unknown.clone(), slow.clone(), quick.clone(), cheap.clone()], Some("cheap"));
        check(&[unknown.clone(), slow.clone()], Some("slow"));
        check(&[unknown.clone(), status("other", true, None, Some(1.0), Some(0.0))], Some("unknown"));
    }
}
