//! Whether a rate of soft failures is too high, or not what it was. Pure.

use llmops_api::deployments::SoftFailureRate;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::soft_failure::GuardAlert;
use llmops_stats::TestOptions;
use llmops_stats::proportion::{Rate, ZVariance, two_proportion_z, wilson};

/// Level of intervals.
const LEVEL: f64 = 0.95;
/// Largest p-value of a drift. Rates are looked at twice a minute: it must be far below what one look would ask for.
const DRIFT_P: f64 = 1e-6;
/// Smallest p-value at which a rate counts as what it was again.
const USUAL_P: f64 = 0.05;

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// A change of the rate, and not a limit that was passed.
    pub is_drift: bool,
    pub message: String,
    pub calls: u64,
    pub failed: u64,
    pub rate: f64,
    pub interval: [f64; 2],
    pub threshold: Option<f64>,
    /// Calls and soft failures of the time before.
    pub before: Option<(u64, u64)>,
}

/// A rate with its interval; without calls there is neither.
pub(super) fn rate(calls: u64, soft_failed: u64, window: HumanDuration) -> SoftFailureRate {
    let known = interval(calls, soft_failed);
    SoftFailureRate {
        calls,
        soft_failed,
        rate: known.map(|(rate, _)| rate),
        interval: known.map(|(_, interval)| interval),
        window,
    }
}

fn interval(calls: u64, failed: u64) -> Option<(f64, [f64; 2])> {
    let estimate = wilson(Rate::new(failed, calls).ok()?, LEVEL).ok()?;
    let interval = estimate.interval?;
    Some((estimate.value, [interval.low, interval.high]))
}

/// Whether the rate is within its limit again, or what it was. Between that and a finding nothing changes, so that a rate at the
/// limit is not told again and again.
pub(super) fn is_well(config: &GuardAlert, (calls, failed): (u64, u64), before: (u64, u64), is_drift: bool) -> bool {
    if calls == 0 {
        return false;
    }
    let (rate, usual) = (failed as f64 / calls as f64, before.1 as f64 / before.0.max(1) as f64);
    if is_drift {
        rate <= usual || (before.0 > 0 && p_value(before, (calls, failed)).is_some_and(|p| p > USUAL_P))
    } else {
        rate <= config.rate
    }
}

/// Looks at the calls and soft failures of a window and of the time before it. That fewer fail is no reason to tell anybody.
pub(super) fn review(config: &GuardAlert, (calls, failed): (u64, u64), before: (u64, u64)) -> Vec<Finding> {
    let Some((rate, interval)) = interval(calls, failed) else { return Vec::new() };
    let finding = |message: String, threshold: Option<f64>, before| Finding {
        is_drift: threshold.is_none(),
        message,
        calls,
        failed,
        rate,
        interval,
        threshold,
        before,
    };
    let shown = format!(
        "{:.1} % of {calls} answers failed softly (95 % interval {:.1} to {:.1} %)",
        rate * 100.0,
        interval[0] * 100.0,
        interval[1] * 100.0
    );
    let mut findings = Vec::new();
    if interval[0] > config.rate {
        let message = format!("{shown}, more than {:.1} %", config.rate * 100.0);
        findings.push(finding(message, Some(config.rate), None));
    }
    if config.drift && before.0 >= config.min_calls && drifted(before, (calls, failed)) {
        let usual = before.1 as f64 / before.0 as f64 * 100.0;
        findings.push(finding(format!("{shown}, instead of {usual:.1} % of {} before", before.0), None, Some(before)));
    }
    findings
}

/// Whether beyond doubt more fail than before.
fn drifted(before: (u64, u64), now: (u64, u64)) -> bool {
    let has_risen = u128::from(now.1) * u128::from(before.0) > u128::from(before.1) * u128::from(now.0);
    has_risen && p_value(before, now).is_some_and(|p| p <= DRIFT_P)
}

/// Of the rates being equal.
fn p_value(before: (u64, u64), now: (u64, u64)) -> Option<f64> {
    let (before, now) = (Rate::new(before.1, before.0).ok()?, Rate::new(now.1, now.0).ok()?);
    two_proportion_z(before, now, ZVariance::Pooled, TestOptions::default()).ok().map(|result| result.p_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(recent: (u64, u64), before: (u64, u64), expected: &[bool]) {
        let found = review(&GuardAlert::default(), recent, before);
        assert_eq!(found.iter().map(|f| f.is_drift).collect::<Vec<_>>(), expected, "{recent:?} {before:?}");
    }

    #[test]
    fn alerts_need_evidence() {
        check((0, 0), (0, 0), &[]);
        check((100, 5), (0, 0), &[]);
        // The interval of 9 of 100 begins at 4.8 %, that of 10 at 5.5 %.
        check((100, 9), (0, 0), &[]);
        check((100, 10), (0, 0), &[false]);
        check((100, 15), (0, 0), &[false]);
        check((1000, 40), (6000, 30), &[true]);
        check((1000, 5), (6000, 30), &[]);
        check((1000, 0), (6000, 300), &[]);
        check((60, 0), (120, 60), &[]);
        check((1000, 200), (6000, 30), &[false, true]);
        check((1000, 40), (10, 0), &[]);
    }

    #[test]
    fn what_is_well_again() {
        let check = |recent: (u64, u64), before: (u64, u64), expected: [bool; 2]| {
            let well = [false, true].map(|is_drift| is_well(&GuardAlert::default(), recent, before, is_drift));
            assert_eq!(well, expected, "{recent:?} {before:?}");
        };
        check((60, 0), (120, 60), [true, true]);
        check((3, 0), (120, 60), [true, true]);
        check((0, 0), (120, 60), [false, false]);
        check((100, 6), (600, 36), [false, true]);
        check((1000, 40), (6000, 30), [true, false]);
        check((1000, 8), (6000, 40), [true, true]);
        // Nobody knows what was usual.
        check((100, 20), (0, 0), [false, false]);
    }

    #[test]
    fn equal_rates_seldom_look_like_a_drift() {
        // A thousand pairs of windows of one rate, from a small generator of its own.
        let mut state = 7_u64;
        let mut failed = |calls: u64| {
            (0..calls)
                .filter(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) % 100 < 3
                })
                .count() as u64
        };
        let alarms = (0..1000).filter(|_| drifted((600, failed(600)), (100, failed(100)))).count();
        assert_eq!(alarms, 0);
    }

    #[test]
    fn messages_carry_n_and_interval() {
        let found = review(&GuardAlert::default(), (200, 40), (0, 0));
        insta::assert_snapshot!(
            found[0].message,
            @"20.0 % of 200 answers failed softly (95 % interval 15.0 to 26.1 %), more than 5.0 %"
        );
    }
}
