//! Canaries that are looked at after every pair: how often an equal candidate is promoted or aborted, a better one
//! promoted, a harmful one aborted, and how soon. Pairs are drawn from a seed, so the tests say the same everywhere.

use std::collections::BTreeMap;

use jiff::Timestamp;
use llmops::canary::measure::measure;
use llmops::domain::canary::{
    Action, CanaryPolicy, ClusterTotals, Evidence, PairStatus, PairVerdict, Phase, ShadowPair, Situation, decide,
};
use llmops_domain::canary::pair::SeenAnswer;

use crate::peeking::Draws;

/// Pairs that a canary sees at most.
const MOST_PAIRS: u64 = 2_000;

/// How candidates of one kind fare.
#[derive(Clone, Copy)]
struct Kind {
    /// Chance to win a pair.
    wins: f64,
    /// Chance to lose one.
    losses: f64,
    /// Chance of a request without an answer.
    errors: f64,
    /// How much slower it is.
    slower: f64,
    /// Users; none: every pair is somebody else's.
    users: Option<u64>,
    /// How much users differ: the share of them whose pairs all end alike.
    alike: f64,
}

const EQUAL: Kind = Kind { wins: 0.2, losses: 0.2, errors: 0.001, slower: 1.0, users: None, alike: 0.0 };
const BETTER: Kind = Kind { wins: 0.45, losses: 0.20, ..EQUAL };
const HARMFUL: Kind = Kind { wins: 0.10, losses: 0.30, ..EQUAL };

/// How many canaries ended how.
#[derive(Debug, Default)]
struct Tally {
    canaries: usize,
    promoted: usize,
    aborted: usize,
    /// Judged pairs at the abortion, sorted.
    aborted_at: Vec<u64>,
}

impl Tally {
    fn share(&self, count: usize) -> f64 {
        count as f64 / self.canaries as f64
    }

    fn median(pairs: &[u64]) -> u64 {
        pairs.get(pairs.len() / 2).copied().unwrap_or(0)
    }
}

/// Standard normal, by Box and Muller.
fn normal(draws: &mut Draws) -> f64 {
    let radius = (-2.0 * draws.next().max(1e-300).ln()).sqrt();
    radius * (std::f64::consts::TAU * draws.next()).cos()
}

fn draw(kind: Kind, number: u64, draws: &mut Draws) -> ShadowPair {
    let user = kind.users.map(|users| (draws.next() * users as f64).floor());
    let cluster = user.map_or_else(|| format!("req_{number}"), |user| format!("user_{user}"));
    // A user who is alike always has the same fate, which the user's number decides.
    let fate = match user {
        Some(user) if draws.next() < kind.alike => Draws(user.to_bits()).next(),
        _ => draws.next(),
    };
    let verdict = if fate < kind.wins {
        PairVerdict::Win
    } else if fate < kind.wins + kind.losses {
        PairVerdict::Loss
    } else {
        PairVerdict::Tie
    };
    let seen = |slower: f64, draws: &mut Draws| SeenAnswer {
        latency_ms: 800.0 * slower * (0.4 * normal(draws)).exp(),
        cost: Some(0.001 * (0.3 * normal(draws)).exp()),
        chars: 200,
        ..SeenAnswer::default()
    };
    let production = seen(1.0, draws);
    let candidate = (draws.next() >= kind.errors).then(|| seen(kind.slower, draws));
    let answered = candidate.is_some();
    let score = match verdict {
        PairVerdict::Win => 1.0,
        PairVerdict::Loss => 0.0,
        PairVerdict::Tie => 0.5,
    };
    ShadowPair {
        id: number.to_string(),
        at: Timestamp::UNIX_EPOCH,
        cluster,
        prompt_hash: 0,
        status: if answered { PairStatus::Judged } else { PairStatus::CandidateFailed },
        number: None,
        production,
        candidate,
        verdict: answered.then_some(verdict),
        flipped: false,
        production_score: answered.then_some(1.0 - score),
        candidate_score: answered.then_some(score),
        reasons: Vec::new(),
        error: None,
        judge_cost: 0.0,
        texts: None,
    }
}

/// One canary, looked at after every pair, a pair a minute.
fn play(policy: &CanaryPolicy, kind: Kind, seed: u64) -> (Action, u64) {
    let mut draws = Draws(seed);
    let mut clusters: BTreeMap<String, ClusterTotals> = BTreeMap::new();
    let mut evidence = Evidence::default();
    for number in 1..=MOST_PAIRS {
        let pair = draw(kind, number, &mut draws);
        evidence.add(clusters.entry(pair.cluster.clone()).or_default(), &pair);
        let situation = Situation {
            phase: Phase::Shadow,
            asked: evidence.asked,
            pairs: evidence.pairs(),
            wins: evidence.wins,
            losses: evidence.losses,
            ties: evidence.ties,
            unjudged: evidence.unjudged,
            elapsed_seconds: 86_400 + number * 60,
            spent: 0.0,
            production_changed: false,
            measures: measure(policy, &evidence),
        };
        let decision = decide(policy, &situation);
        if !decision.action.is_hold() {
            return (decision.action, evidence.pairs());
        }
    }
    (Action::Hold, evidence.pairs())
}

fn tally(policy: &CanaryPolicy, kind: Kind, canaries: usize) -> Tally {
    let mut tally = Tally { canaries, ..Tally::default() };
    for i in 0..canaries {
        match play(policy, kind, 1 + i as u64 * 1_000_003) {
            (Action::Promote, _) => tally.promoted += 1,
            (Action::Abort(_), pairs) => {
                tally.aborted += 1;
                tally.aborted_at.push(pairs);
            }
            _ => {}
        }
    }
    tally.aborted_at.sort_unstable();
    tally
}

/// The promises, over so many canaries of each kind.
fn check(canaries: usize, policy: &CanaryPolicy) {
    let equal = tally(policy, EQUAL, canaries);
    assert!(equal.share(equal.promoted) <= 0.02 && equal.share(equal.aborted) <= 0.05, "{equal:?}");
    let better = tally(policy, BETTER, canaries);
    assert!(better.share(better.promoted) >= 0.95 && better.aborted == 0, "{better:?}");
    let harmful = tally(policy, HARMFUL, canaries);
    assert!(harmful.share(harmful.aborted) >= 0.99, "{harmful:?}");
    assert!(Tally::median(&harmful.aborted_at) <= 150, "{harmful:?}");
}

#[test]
fn some_canaries_of_each_kind_end_as_promised() {
    check(60, &CanaryPolicy::with_judge("sim/judge"));
}

#[test]
#[ignore = "takes a minute"]
fn five_hundred_canaries_of_each_kind_end_as_promised() {
    check(500, &CanaryPolicy::with_judge("sim/judge"));
}

#[test]
#[ignore = "takes a minute"]
fn users_whose_pairs_end_alike_do_not_abort_an_equal_candidate() {
    let policy = CanaryPolicy::with_judge("sim/judge");
    let crowd = Kind { users: Some(60), alike: 0.8, ..EQUAL };
    let tally = tally(&policy, crowd, 300);
    assert!(tally.share(tally.promoted) <= 0.02 && tally.share(tally.aborted) <= 0.05, "{tally:?}");
}

#[test]
#[ignore = "takes a minute"]
fn a_policy_of_few_samples_keeps_the_promises_too() {
    let mut policy = CanaryPolicy::with_judge("sim/judge");
    policy.min_samples = 30;
    policy.guardrails.error_rate = None;
    let equal = tally(&policy, EQUAL, 500);
    assert!(equal.share(equal.promoted) <= 0.025 && equal.share(equal.aborted) <= 0.05, "{equal:?}");
}

#[test]
fn guardrails_find_out_a_candidate_that_only_the_judge_likes() {
    let policy = CanaryPolicy::with_judge("sim/judge");
    for kind in [Kind { errors: 0.08, ..BETTER }, Kind { slower: 2.0, ..BETTER }] {
        let tally = tally(&policy, kind, 30);
        assert_eq!((tally.aborted, tally.promoted), (30, 0), "{tally:?}");
    }
}
