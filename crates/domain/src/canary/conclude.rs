//! When a canary would conclude.

use super::decide::{Check, CheckStatus, Conclusion, Phase, Situation, unmeasured_at_a_stage};
use super::policy::CanaryPolicy;

/// When a canary would conclude if every estimate stays as it is.
pub(super) fn conclusion(policy: &CanaryPolicy, situation: &Situation) -> Option<Conclusion> {
    let pace = situation.pairs as f64 / situation.elapsed_seconds.max(1) as f64;
    let least_time = policy.window.min.0.as_secs().saturating_sub(situation.elapsed_seconds);
    if let Phase::Exposure { seconds, requests, guardrails, .. } = &situation.phase {
        let (seconds, requests) = (*seconds, *requests);
        let is_open = |check: &Check| check.status == CheckStatus::Open;
        let unmeasured = unmeasured_at_a_stage(policy, &situation.measures, guardrails);
        // Without requests there is no pace, and when a guardrail will be kept nobody knows.
        if requests == 0 || unmeasured.iter().any(is_open) || guardrails.iter().any(|m| m.tested.value > m.bound) {
            return None;
        }
        let time = policy.stage.min.0.as_secs().saturating_sub(seconds);
        let missing = policy.stage.min_samples.saturating_sub(requests) as f64;
        let by_requests = missing * seconds.max(1) as f64 / requests as f64;
        return Some(Conclusion { pairs: 0, seconds: Some(time.max(whole(by_requests))) });
    }
    let measures = &situation.measures;
    let net = measures.net_win?;
    let pairs = if net.value < 0.0 {
        net.needed?.saturating_sub(net.n)
    } else if net.value > policy.promote.net_win.0 && measures.awaited.is_empty() {
        let mut missing = policy.min_samples.max(net.needed?).saturating_sub(situation.pairs);
        for measure in measures.guardrails.iter().filter(|measure| !measure.is_kept()) {
            missing = missing.max(measure.tested.needed?.saturating_sub(measure.tested.n));
        }
        missing
    } else {
        // Between nothing and what the policy wants, it would run until the window is over; and of what is not measured yet nobody
        // knows when it will be kept.
        return None;
    };
    let by_pace = (pace > 0.0).then(|| whole(pairs as f64 / pace));
    let seconds = by_pace.map(|seconds| if net.value < 0.0 { seconds } else { seconds.max(least_time) });
    Some(Conclusion { pairs, seconds })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1e15")]
fn whole(seconds: f64) -> u64 {
    seconds.clamp(0.0, 1e15).ceil() as u64
}
