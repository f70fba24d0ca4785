//! From a canary's sums to its measures: bounds that hold at every look, with users or sessions as the unit.
//!
//! Every number is a ratio Σa/Σb over clusters with its cluster-robust standard error, and its bounds are those of an
//! asymptotic confidence sequence ([`llmops_stats::sequential::asymptotic`]) over the number of clusters. Pure: nothing is
//! read, nothing is written.

use llmops_domain::canary::{
    Arm, BURN_IN, CanaryPolicy, ClusterSums, Evidence, FEWEST_CLUSTERS, Guardrail, GuardrailMeasure, Guardrails,
    LatencyCounts, Measure, Measures, StageEvidence,
};
use llmops_stats::sequential::asymptotic::{self, AsymptoticOptions};

/// Clusters at which the bounds are narrowest: where harmful candidates are found out.
const TUNING: f64 = 200.0;
/// Chance that the net win rate's bound on one side is ever wrong: 2.5 % on each.
const NET_WIN: Risk = Risk { low: 0.025, high: 0.025 };
/// Chance that a guardrail is ever called broken though it is kept, and that it is ever called kept though it is not.
/// There are five of them, so all together break falsely in 2.5 % at most.
const GUARDRAIL: Risk = Risk { low: 0.005, high: 0.05 };
/// Share of answers beyond the 95th percentile.
const BEYOND_P95: f64 = 0.05;

/// One-sided error rates of a lower and an upper bound.
#[derive(Clone, Copy)]
struct Risk {
    low: f64,
    high: f64,
}

/// What a canary's pairs say.
pub fn measure(policy: &CanaryPolicy, evidence: &Evidence) -> Measures {
    let mut measures = Measures {
        net_win: rate(
            &evidence.net_win,
            1.0,
            NET_WIN,
            |value| if value < 0.0 { policy.abort.net_win_upper } else { 0.0 },
        ),
        loss_rate: rate(&evidence.loss, 1.0, NET_WIN, |_| policy.warn.loss_rate.0),
        ..Measures::default()
    };
    let pair_rates = [
        (Guardrail::ErrorRate, &evidence.error),
        (Guardrail::SoftFailures, &evidence.soft),
        (Guardrail::ScoreTolerance, &evidence.score_drop),
    ];
    for (guardrail, sums) in pair_rates {
        let Some(limit) = policy.limit(guardrail) else { continue };
        let tested = rate(sums, 1.0, GUARDRAIL, |_| limit);
        measures.guardrails.extend(tested.map(|tested| plain(guardrail, limit, tested)));
    }
    if let Some(limit) = policy.limit(Guardrail::Cost) {
        let answers = evidence.asked - evidence.errors;
        // Streams are often answered without counts of tokens: where few pairs have them by the time that all others are enough,
        // no canary waits for more.
        let are_few = evidence.cost.clusters < FEWEST_CLUSTERS && evidence.soft.clusters >= FEWEST_CLUSTERS;
        if answers >= BURN_IN && evidence.cost.b <= 0.0 || are_few && answers >= policy.min_samples.max(BURN_IN) {
            measures.unmeasured.push(Guardrail::Cost);
        }
        // What is added up is money: of how many answers, others know.
        let tested = rate(&evidence.cost, 0.0, GUARDRAIL, |_| limit).filter(|_| answers >= BURN_IN);
        measures.guardrails.extend(tested.map(|tested| plain(Guardrail::Cost, limit, tested)));
    }
    // Answers of a few users who ask most count for less; how much less is in the bounds.
    let effective = evidence.effective_answers();
    let is_known = evidence.soft.clusters >= FEWEST_CLUSTERS && evidence.asked - evidence.errors >= BURN_IN;
    let counts = (&evidence.latency_production, &evidence.latency_candidate);
    if is_known {
        measures.guardrails.extend(latency(&policy.guardrails, counts, (effective, effective)));
    }
    let known: Vec<Guardrail> =
        measures.guardrails.iter().map(|m| m.guardrail).chain(measures.unmeasured.clone()).collect();
    measures.awaited = Guardrail::ALL
        .into_iter()
        .filter(|guardrail| policy.limit(*guardrail).is_some() && !known.contains(guardrail))
        .collect();
    measures
}

/// What users saw at one stage says of the guardrails: the arms are different users, so their spreads add up. While
/// production answers too few of them to be compared with, the candidate's errors are measured alone.
pub fn measure_stage(rules: &Guardrails, seen: &StageEvidence) -> Vec<GuardrailMeasure> {
    let (production, candidate) = (&seen.production, &seen.candidate);
    if candidate.requests < BURN_IN {
        return Vec::new();
    }
    if production.requests < BURN_IN {
        return rules
            .limit(Guardrail::ErrorRate)
            .and_then(|limit| errors_alone(limit, candidate))
            .into_iter()
            .collect();
    }
    let mut measures = Vec::new();
    let share = |count: u64, of: u64| (count as f64 / of.max(1) as f64, of as f64);
    let rates = [
        (
            Guardrail::ErrorRate,
            share(candidate.errors, candidate.requests),
            share(production.errors, production.requests),
        ),
        (
            Guardrail::SoftFailures,
            share(candidate.soft_failures, candidate.answers()),
            share(production.soft_failures, production.answers()),
        ),
    ];
    for (guardrail, (of_candidate, n), (of_production, m)) in rates {
        let Some(limit) = rules.limit(guardrail) else { continue };
        if n < 1.0 || m < 1.0 {
            continue;
        }
        let se = (variance_of_share(of_candidate, n) + variance_of_share(of_production, m)).sqrt();
        let tested = bounds(harmonic(n, m), of_candidate - of_production, se, GUARDRAIL, limit);
        measures.extend(tested.map(|tested| plain(guardrail, limit, tested)));
    }
    measures.extend(rules.limit(Guardrail::Cost).and_then(|limit| cost_of_arms(limit, production, candidate)));
    let answers = (production.latency.count() as f64, candidate.latency.count() as f64);
    if answers.0.min(answers.1) >= BURN_IN as f64 {
        measures.extend(latency(rules, (&production.latency, &candidate.latency), answers));
    }
    measures
}

/// The share of an arm's requests without an answer, held against the limit as it is.
fn errors_alone(limit: f64, arm: &Arm) -> Option<GuardrailMeasure> {
    let n = arm.requests as f64;
    let rate = arm.errors as f64 / n;
    let tested = bounds(n, rate, variance_of_share(rate, n).sqrt(), GUARDRAIL, limit)?;
    Some(plain(Guardrail::ErrorRate, limit, tested))
}

/// With one more than were seen, so that none seen is not taken for none possible.
fn variance_of_share(share: f64, n: f64) -> f64 {
    (share * (1.0 - share) + 1.0 / n) / n
}

fn plain(guardrail: Guardrail, limit: f64, tested: Measure) -> GuardrailMeasure {
    GuardrailMeasure { guardrail, value: tested.value, limit, tested, bound: limit }
}

/// A ratio over clusters with its bounds. `prior` widens them as one cluster more would that lies off by so much.
fn rate(sums: &ClusterSums, prior: f64, risk: Risk, limit: impl Fn(f64) -> f64) -> Option<Measure> {
    if sums.clusters < FEWEST_CLUSTERS {
        return None;
    }
    let (value, variance) = (sums.ratio()?, sums.variance(prior)?);
    let mut measure = bounds(sums.clusters as f64, value, variance.sqrt(), risk, limit(value))?;
    // Observations, where b counts them; else clusters are all that is known.
    let n = if prior > 0.0 { sums.b } else { sums.clusters as f64 };
    let per_cluster = n / sums.clusters as f64;
    measure.n = whole(n);
    measure.needed = measure.needed.map(|clusters| whole(clusters as f64 * per_cluster));
    (prior == 0.0 || measure.n >= BURN_IN).then_some(measure)
}

/// Bounds of an estimate from `n` independent units, and how many it takes until the one that matters passes the limit.
fn bounds(n: f64, value: f64, se: f64, risk: Risk, limit: f64) -> Option<Measure> {
    let width = |n: f64, risk: f64| {
        let options = AsymptoticOptions { level: 1.0 - 2.0 * risk, tuning: TUNING, min_per_arm: 2 };
        asymptotic::estimated(whole(n), 0.0, 1.0, options).ok()?.interval.map(|interval| interval.high)
    };
    let low = value - se * width(n, risk.low)?;
    let high = value + se * width(n, risk.high)?;
    // A guardrail's estimate below its limit waits for its upper bound, one above it for its lower; a net win rate the
    // other way round, with the same risk on both sides.
    let awaited = if value <= limit { risk.high } else { risk.low };
    let gap = (value - limit).abs();
    let reached = |times: f64| width(n * times, awaited).is_some_and(|width| se / times.sqrt() * width < gap);
    let needed = (gap > 0.0).then(|| first(reached)).flatten().map(|times| whole(n * times));
    let n = whole(n);
    Some(Measure { n, clusters: n, value, low, high, needed })
}

/// The first multiple, from 1 to 1,000, that is enough.
fn first(enough: impl Fn(f64) -> bool) -> Option<f64> {
    let (mut low, mut high) = (1.0, 1000.0);
    if enough(low) {
        return Some(low);
    }
    if !enough(high) {
        return None;
    }
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The guardrail on latency. Slower than allowed is what takes longer than `limit` times production's 95th percentile, or
/// by more than the slack, whichever is more; the candidate's 95th percentile is beyond that if more than 5 % of its
/// answers are. The spread of production's own percentile counts as far as the candidate has answers there: in full where
/// 5 % of them are slower than allowed.
fn latency(
    rules: &Guardrails,
    (production, candidate): (&LatencyCounts, &LatencyCounts),
    (n, m): (f64, f64),
) -> Option<GuardrailMeasure> {
    let limit = rules.limit(Guardrail::LatencyP95)?;
    let (theirs, ours) = (production.quantile(1.0 - BEYOND_P95)?, candidate.quantile(1.0 - BEYOND_P95)?);
    let slack = rules.latency_slack.0.as_secs_f64() * 1000.0;
    let beyond = candidate.share_above((limit * theirs).max(theirs + slack))?;
    let density = (beyond / BEYOND_P95).min(1.0);
    let variance = variance_of_share(beyond, m) + density * density * BEYOND_P95 * (1.0 - BEYOND_P95) / n;
    let tested = bounds(harmonic(n, m), beyond, variance.sqrt(), GUARDRAIL, BEYOND_P95)?;
    Some(GuardrailMeasure { guardrail: Guardrail::LatencyP95, value: ours / theirs, limit, tested, bound: BEYOND_P95 })
}

/// The ratio of the arms' mean costs, with the spread of both.
fn cost_of_arms(limit: f64, production: &Arm, candidate: &Arm) -> Option<GuardrailMeasure> {
    let (n, m) = (candidate.priced as f64, production.priced as f64);
    if n.min(m) < BURN_IN as f64 || production.cost <= 0.0 {
        return None;
    }
    let spread = |arm: &Arm, n: f64| {
        let mean = arm.cost / n;
        (mean, (arm.cost_squares / n - mean * mean).max(0.0) / (n - 1.0))
    };
    let ((ours, our_variance), (theirs, their_variance)) = (spread(candidate, n), spread(production, m));
    let ratio = ours / theirs;
    let se = (our_variance + ratio * ratio * their_variance).sqrt() / theirs;
    Some(plain(Guardrail::Cost, limit, bounds(harmonic(n, m), ratio, se, GUARDRAIL, limit)?))
}

/// How many of each arm would say as much: the arms' sizes may differ a hundredfold.
fn harmonic(n: f64, m: f64) -> f64 {
    2.0 * n * m / (n + m)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, between 0 and 1e15")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_users_are_enough_for_every_guardrail() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let check = |users: u64, answers: u64, expected: &[Guardrail]| {
            let each = answers as f64 / users as f64;
            let sums = |a: f64, b: f64| ClusterSums {
                clusters: users,
                a: a * users as f64,
                b: b * users as f64,
                aa: a * a * users as f64,
                ab: a * b * users as f64,
                bb: b * b * users as f64,
            };
            let mut evidence = Evidence {
                asked: answers,
                error: sums(0.0, each),
                soft: sums(0.0, each),
                score_drop: sums(0.0, each),
                cost: sums(0.01 * each, 0.01 * each),
                ..Evidence::default()
            };
            for _ in 0..answers {
                evidence.latency_production.add(500.0);
                evidence.latency_candidate.add(500.0);
            }
            assert_eq!(measure(&policy, &evidence).awaited, expected, "{answers} answers of {users}");
        };
        let all = [Guardrail::ErrorRate, Guardrail::LatencyP95, Guardrail::Cost, Guardrail::ScoreTolerance];
        check(20, 500, &[]);
        check(25, 610, &[]);
        check(20, 20, &all);
        check(19, 500, &all);
    }

    #[test]
    fn costs_that_few_pairs_tell_are_not_waited_for() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let check = |answers: u64, counted: u64, expected: (bool, bool, bool)| {
            let sums = |a: f64, clusters: u64| {
                let n = clusters as f64;
                ClusterSums { clusters, a: a * n, b: n, aa: a * a * n, ab: a * n, bb: n }
            };
            let evidence =
                Evidence { asked: answers, soft: sums(0.0, answers), cost: sums(3.5, counted), ..Evidence::default() };
            let measures = measure(&policy, &evidence);
            let is_measured = measures.guardrails.iter().any(|measure| measure.guardrail == Guardrail::Cost);
            let is_in = |guardrails: &[Guardrail]| guardrails.contains(&Guardrail::Cost);
            let found = (is_measured, is_in(&measures.awaited), is_in(&measures.unmeasured));
            assert_eq!(found, expected, "{counted} of {answers}");
        };
        check(120, 120, (true, false, false));
        check(120, 19, (false, true, false));
        check(120, 0, (false, false, true));
        check(499, 19, (false, true, false));
        check(500, 19, (false, false, true));
        check(500, 20, (true, false, false));
    }

    #[test]
    fn without_enough_users_of_production_errors_are_measured_alone() {
        let policy = CanaryPolicy::with_judge("sim/judge");
        let check = |errors: u64, requests: u64, expected: Option<(bool, bool)>| {
            let arm = |requests, errors| Arm { requests, errors, ..Arm::default() };
            let seen = StageEvidence { production: arm(10, 0), candidate: arm(requests, errors) };
            let measured = measure_stage(&policy.guardrails, &seen);
            assert!(measured.iter().all(|m| m.guardrail == Guardrail::ErrorRate), "{measured:?}");
            let found = measured.first().map(|m| (m.is_broken(), m.tested.value <= m.bound));
            assert_eq!(found, expected, "{errors} of {requests}");
        };
        check(70, 70, Some((true, false)));
        check(0, 70, Some((false, true)));
        check(2, 70, Some((false, false)));
        check(29, 29, None);
    }
}
