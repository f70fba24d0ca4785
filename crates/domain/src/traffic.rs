//! Live traffic in sums: what request records add up to, by hour.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{CallOutcome, RequestRecord};
use crate::run::Estimate;

/// Latencies are counted in classes that grow by this factor, so that a quantile is known to 2 %.
const GROWTH: f64 = 1.04;

/// The class of a latency: class `k` reaches from `1.04^(k-1)` to `1.04^k` ms; up to 1 ms is class 0.
pub fn latency_class(ms: f64) -> i64 {
    if ms.is_nan() || ms <= 1.0 {
        return 0;
    }
    // Below 1,000 for every duration that a call can have.
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a duration is small")]
    let class = (ms.ln() / GROWTH.ln()).ceil().min(1000.0) as i64;
    class
}

/// The middle of a class, in ms.
pub fn latency_of_class(class: i64) -> f64 {
    let power = i32::try_from(class.clamp(0, 1000)).unwrap_or(0);
    if power == 0 { 0.5 } else { f64::midpoint(GROWTH.powi(power - 1), GROWTH.powi(power)) }
}

/// The quantile of latencies counted by class, in ms; absent where nothing was counted. Classes must ascend.
pub fn latency_quantile(classes: &[(i64, u64)], q: f64) -> Option<f64> {
    let total: u64 = classes.iter().map(|(_, calls)| calls).sum();
    let rank = (q * total as f64).max(1.0);
    let mut seen = 0;
    let found = classes.iter().find(|(_, calls)| {
        seen += calls;
        seen as f64 >= rank
    });
    found.map(|(class, _)| latency_of_class(*class))
}

/// What calls add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrafficSums {
    /// Calls, whatever came of them.
    pub calls: u64,
    /// Calls that the gateway refused: wrong, or over a limit. They are in no share.
    #[serde(default)]
    pub refused: u64,
    /// Calls whose callers left before the end. They are in no share.
    #[serde(default)]
    pub cancelled: u64,
    /// Calls with a whole answer of a model: without those of the cache. Soft failures are a share of these.
    #[serde(default)]
    pub answered: u64,
    /// Calls whose caller got no whole answer, by no doing of its own.
    pub failed: u64,
    /// Answers that failed by content.
    pub soft_failed: u64,
    /// Calls with a price.
    pub priced: u64,
    /// USD of these.
    pub cost: f64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl TrafficSums {
    /// The sums of one call.
    pub fn of(record: &RequestRecord) -> Self {
        let usage = record.usage.bounded();
        let answered = record.outcome == CallOutcome::Ok && !record.cached;
        Self {
            calls: 1,
            refused: (record.outcome == CallOutcome::Refused).into(),
            cancelled: (record.outcome == CallOutcome::Cancelled).into(),
            answered: answered.into(),
            failed: record.outcome.is_failure().into(),
            soft_failed: (answered && !record.soft_failures.is_empty()).into(),
            priced: record.cost.is_some().into(),
            cost: record.cost.unwrap_or(0.0),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        }
    }

    /// Calls that failures are a share of: all but those that were refused, and those whose callers left.
    pub fn counted(&self) -> u64 {
        self.calls.saturating_sub(self.refused).saturating_sub(self.cancelled)
    }

    /// Adds another one's.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.cancelled += other.cancelled;
        self.answered += other.answered;
        self.failed += other.failed;
        self.soft_failed += other.soft_failed;
        self.priced += other.priced;
        self.cost += other.cost;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// What the calls of one hour add up to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrafficHour {
    /// When the hour begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The sums.
    #[serde(flatten)]
    pub sums: TrafficSums,
    /// Median latency in ms, to 2 %.
    pub p50_ms: Option<f64>,
    /// 95 % of calls were faster, in ms, to 2 %.
    pub p95_ms: Option<f64>,
}

/// Traffic of a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Traffic {
    /// From the beginning of this hour.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Up to now.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// What the calls add up to.
    pub sums: TrafficSums,
    /// Share of calls that failed, of those that were neither refused nor left by their callers; absent without such calls.
    pub failure_rate: Option<Estimate>,
    /// Share of answers that failed by content; absent without answers.
    pub soft_failure_rate: Option<Estimate>,
    /// Median latency in ms, to 2 %.
    pub p50_ms: Option<f64>,
    /// 95 % of calls were faster, in ms, to 2 %.
    pub p95_ms: Option<f64>,
    /// Hour by hour, without those that had no calls.
    pub hours: Vec<TrafficHour>,
}

/// The hours that a question about traffic is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrafficFilter {
    /// Of this deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Of this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Hours back from now, 1 to 2,160; default 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_two_percent() {
        for ms in [1.5, 12.0, 99.0, 840.0, 12_345.0, 600_000.0] {
            let told = latency_of_class(latency_class(ms));
            assert!((told / ms - 1.0).abs() <= 0.0201, "{ms} became {told}");
        }
        assert_eq!(latency_class(f64::NAN), 0);
        assert_eq!(latency_class(0.2), 0);
        assert_eq!(latency_class(f64::INFINITY), 1000);
    }

    #[test]
    fn quantiles_of_classes() {
        let check = |classes: &[(i64, u64)], q: f64, class: Option<i64>| {
            assert_eq!(latency_quantile(classes, q), class.map(latency_of_class), "{classes:?} {q}");
        };
        check(&[], 0.5, None);
        check(&[(7, 1)], 0.5, Some(7));
        check(&[(7, 1)], 0.95, Some(7));
        check(&[(10, 50), (20, 45), (30, 5)], 0.5, Some(10));
        check(&[(10, 50), (20, 45), (30, 5)], 0.95, Some(20));
        check(&[(10, 50), (20, 45), (30, 5)], 0.96, Some(30));
    }
}
