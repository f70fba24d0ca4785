//! What pairs add up to. Sums are kept by cluster (a user, a session), so that the spread between clusters is known
//! without reading a pair again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pair::{PairStatus, PairVerdict, ShadowPair};

/// Sums over clusters of two numbers a and b each: enough for the ratio Σa/Σb and its cluster-robust spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClusterSums {
    /// Clusters with b other than 0.
    pub clusters: u64,
    /// Σa
    pub a: f64,
    /// Σb
    pub b: f64,
    /// Σa²
    pub aa: f64,
    /// Σab
    pub ab: f64,
    /// Σb²
    pub bb: f64,
}

impl ClusterSums {
    /// Replaces what one cluster counted with.
    pub fn replace(&mut self, (old_a, old_b): (f64, f64), (new_a, new_b): (f64, f64)) {
        self.clusters += u64::from(old_b == 0.0 && new_b != 0.0);
        self.a += new_a - old_a;
        self.b += new_b - old_b;
        self.aa += new_a * new_a - old_a * old_a;
        self.ab += new_a * new_b - old_a * old_b;
        self.bb += new_b * new_b - old_b * old_b;
    }

    /// Adds the sums of other clusters; a cluster must not be in both.
    pub fn merge(&mut self, other: &Self) {
        self.clusters += other.clusters;
        self.a += other.a;
        self.b += other.b;
        self.aa += other.aa;
        self.ab += other.ab;
        self.bb += other.bb;
    }

    /// Σa/Σb; none of nothing.
    pub fn ratio(&self) -> Option<f64> {
        (self.b > 0.0).then(|| self.a / self.b)
    }

    /// Squared standard error of the ratio from the spread between clusters, G/(G−1) · Σ(a − R·b)²/(Σb)². `prior` is
    /// added to the sum: one cluster more that lies off by so much, so that no spread seen yet is not taken for none.
    pub fn variance(&self, prior: f64) -> Option<f64> {
        let ratio = self.ratio()?;
        if self.clusters < 2 {
            return None;
        }
        let residual = (self.aa - 2.0 * ratio * self.ab + ratio * ratio * self.bb).max(0.0);
        let clusters = self.clusters as f64;
        Some((residual * clusters / (clusters - 1.0) + prior) / (self.b * self.b))
    }
}

/// What the pairs of one cluster add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterTotals {
    asked: f64,
    errors: f64,
    judged: f64,
    wins: f64,
    losses: f64,
    scored: f64,
    /// Production's scores less the candidate's.
    score_drop: f64,
    answered: f64,
    /// Soft failures of the candidate less production's, at most one for each answer.
    soft_more: f64,
    cost_production: f64,
    cost_candidate: f64,
    chars_production: f64,
    chars_candidate: f64,
}

impl ClusterTotals {
    fn add(&mut self, pair: &ShadowPair) {
        self.asked += 1.0;
        match pair.verdict {
            Some(PairVerdict::Win) => self.wins += 1.0,
            Some(PairVerdict::Loss) => self.losses += 1.0,
            _ => {}
        }
        self.judged += count(pair.verdict.is_some());
        let Some(candidate) = &pair.candidate else {
            self.errors += 1.0;
            return;
        };
        let production = &pair.production;
        self.answered += 1.0;
        self.soft_more += count(!candidate.soft_failures.is_empty()) - count(!production.soft_failures.is_empty());
        self.chars_production += production.chars as f64;
        self.chars_candidate += candidate.chars as f64;
        // An estimate beside a count says how wrong the estimate is, not which answer is dearer.
        let is_counted = !production.usage_estimated && !candidate.usage_estimated;
        if let (Some(production), Some(candidate), true) = (production.cost, candidate.cost, is_counted) {
            self.cost_production += production;
            self.cost_candidate += candidate;
        }
        if let (Some(production), Some(candidate)) = (pair.production_score, pair.candidate_score) {
            self.scored += 1.0;
            self.score_drop += production - candidate;
        }
    }
}

fn count(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// All that a canary's pairs add up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// Requests that the candidate was asked.
    pub asked: u64,
    /// Of these, those that it did not answer.
    pub errors: u64,
    /// Answers that the judge could not compare.
    pub unjudged: u64,
    /// How many of them came last, without one between them that it could compare.
    #[serde(default)]
    pub unjudged_in_a_row: u64,
    /// Pairs won.
    pub wins: u64,
    /// Pairs lost.
    pub losses: u64,
    /// Pairs in which neither was better.
    pub ties: u64,
    /// Of the ties, those in which the order changed the judge's mind.
    pub flipped: u64,
    /// USD spent on candidate and judge.
    pub spent: f64,
    /// Wins less losses, by judged pairs.
    pub net_win: ClusterSums,
    /// Losses, by judged pairs.
    pub loss: ClusterSums,
    /// Errors, by requests asked.
    pub error: ClusterSums,
    /// Soft failures beyond production's, by answers.
    pub soft: ClusterSums,
    /// Drop of the score, by scored pairs.
    pub score_drop: ClusterSums,
    /// The candidate's cost, by production's, of pairs whose tokens the providers counted.
    pub cost: ClusterSums,
    /// The candidate's characters, by production's.
    pub length: ClusterSums,
    /// How long production took.
    pub latency_production: LatencyCounts,
    /// How long the candidate took.
    pub latency_candidate: LatencyCounts,
}

impl Evidence {
    /// Judged pairs.
    pub fn pairs(&self) -> u64 {
        self.wins + self.losses + self.ties
    }

    /// Adds a settled pair, whose cluster counted with `cluster` before. A pair that waits adds nothing.
    pub fn add(&mut self, cluster: &mut ClusterTotals, pair: &ShadowPair) {
        if pair.status == PairStatus::Waiting {
            return;
        }
        let old = *cluster;
        cluster.add(pair);
        self.replace(&old, cluster);
        self.asked += 1;
        self.errors += u64::from(pair.candidate.is_none());
        self.unjudged += u64::from(pair.status == PairStatus::Unjudged);
        match pair.status {
            PairStatus::Unjudged => self.unjudged_in_a_row += 1,
            PairStatus::Judged => self.unjudged_in_a_row = 0,
            _ => {}
        }
        self.flipped += u64::from(pair.flipped);
        self.spent += pair.spent();
        match pair.verdict {
            Some(PairVerdict::Win) => self.wins += 1,
            Some(PairVerdict::Loss) => self.losses += 1,
            Some(PairVerdict::Tie) => self.ties += 1,
            None => {}
        }
        if let Some(candidate) = &pair.candidate {
            self.latency_production.add(pair.production.latency_ms);
            self.latency_candidate.add(candidate.latency_ms);
        }
    }

    fn replace(&mut self, old: &ClusterTotals, new: &ClusterTotals) {
        self.net_win.replace((old.wins - old.losses, old.judged), (new.wins - new.losses, new.judged));
        self.loss.replace((old.losses, old.judged), (new.losses, new.judged));
        self.error.replace((old.errors, old.asked), (new.errors, new.asked));
        self.soft.replace((old.soft_more, old.answered), (new.soft_more, new.answered));
        self.score_drop.replace((old.score_drop, old.scored), (new.score_drop, new.scored));
        self.cost.replace((old.cost_candidate, old.cost_production), (new.cost_candidate, new.cost_production));
        self.length.replace((old.chars_candidate, old.chars_production), (new.chars_candidate, new.chars_production));
    }

    /// Adds what other clusters add up to; a cluster must not be in both.
    pub fn merge(&mut self, other: &Self) {
        self.asked += other.asked;
        self.errors += other.errors;
        self.unjudged += other.unjudged;
        // Which of them came last is not known any more: the more cautious is right.
        self.unjudged_in_a_row = self.unjudged_in_a_row.min(other.unjudged_in_a_row);
        self.wins += other.wins;
        self.losses += other.losses;
        self.ties += other.ties;
        self.flipped += other.flipped;
        self.spent += other.spent;
        self.net_win.merge(&other.net_win);
        self.loss.merge(&other.loss);
        self.error.merge(&other.error);
        self.soft.merge(&other.soft);
        self.score_drop.merge(&other.score_drop);
        self.cost.merge(&other.cost);
        self.length.merge(&other.length);
        self.latency_production.merge(&other.latency_production);
        self.latency_candidate.merge(&other.latency_candidate);
    }

    /// Pairs that are worth as much as independent ones, if those of a cluster say all the same: (Σm)²/Σm².
    pub fn effective_answers(&self) -> f64 {
        if self.soft.bb > 0.0 { self.soft.b * self.soft.b / self.soft.bb } else { 0.0 }
    }
}

/// Times by size, each known to 1 %. Two of them add up to that of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct LatencyCounts(BTreeMap<i32, u64>);

/// Ratio of the borders of a class.
const CLASS: f64 = 1.02;

impl LatencyCounts {
    /// Adds a time in milliseconds. What is no time is left out.
    pub fn add(&mut self, ms: f64) {
        if ms.is_finite() && ms >= 0.0 {
            *self.0.entry(class(ms)).or_default() += 1;
        }
    }

    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        for (class, count) in &other.0 {
            *self.0.entry(*class).or_default() += count;
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The time that this share of them stays within; none of none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.count() as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        let class = self.0.iter().find_map(|(class, count)| {
            seen += count;
            (seen as f64 >= wanted).then_some(*class)
        });
        // The middle of the class.
        class.map(|class| CLASS.powf(f64::from(class) - 0.5))
    }

    /// Share of them above a time; none of none.
    pub fn share_above(&self, ms: f64) -> Option<f64> {
        let all = self.count();
        let above: u64 = self.0.range(class(ms) + 1..).map(|(_, count)| count).sum();
        (all > 0).then(|| above as f64 / all as f64)
    }
}

/// The class of a time: those from 10 µs to 11 days are told apart.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a number within these bounds is small")]
fn class(ms: f64) -> i32 {
    (ms.clamp(0.01, 1e9).ln() / CLASS.ln()).ceil() as i32
}

/// What one arm of an exposure adds up to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Arm {
    /// Requests.
    pub requests: u64,
    /// Of these, those without an answer.
    pub errors: u64,
    /// Answers with a soft failure.
    pub soft_failures: u64,
    /// Answers whose cost is known, and no estimate.
    pub priced: u64,
    /// Their cost in USD.
    pub cost: f64,
    /// The squares of that.
    pub cost_squares: f64,
    /// How long answers took.
    pub latency: LatencyCounts,
}

impl Arm {
    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.soft_failures += other.soft_failures;
        self.priced += other.priced;
        self.cost += other.cost;
        self.cost_squares += other.cost_squares;
        self.latency.merge(&other.latency);
    }

    /// Requests with an answer.
    pub fn answers(&self) -> u64 {
        self.requests.saturating_sub(self.errors)
    }
}

/// What users saw at one stage of an exposure, in both arms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageEvidence {
    /// Those whom production answered.
    pub production: Arm,
    /// Those whom the candidate answered.
    pub candidate: Arm,
}

impl StageEvidence {
    /// Adds what others saw at the same stage.
    pub fn merge(&mut self, other: &Self) {
        self.production.merge(&other.production);
        self.candidate.merge(&other.candidate);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::canary::pair::SeenAnswer;

    fn pair(cluster: u8, verdict: i8, cost: f64) -> ShadowPair {
        let verdict = match verdict {
            1 => PairVerdict::Win,
            -1 => PairVerdict::Loss,
            _ => PairVerdict::Tie,
        };
        let seen = |cost: f64| SeenAnswer { cost: Some(cost), latency_ms: cost * 100.0, ..SeenAnswer::default() };
        ShadowPair {
            id: String::new(),
            at: Timestamp::UNIX_EPOCH,
            cluster: cluster.to_string(),
            prompt_hash: 0,
            status: PairStatus::Judged,
            number: None,
            production: seen(1.0),
            candidate: Some(seen(cost)),
            verdict: Some(verdict),
            flipped: false,
            production_score: Some(0.5),
            candidate_score: Some(0.5),
            reasons: Vec::new(),
            error: None,
            judge_cost: 0.0,
            texts: None,
        }
    }

    #[test]
    fn costs_are_compared_where_both_were_counted() {
        let check = |production: bool, candidate: bool, expected: (u64, f64)| {
            let mut uncounted = pair(1, 0, 3.0);
            uncounted.production.usage_estimated = production;
            uncounted.candidate.as_mut().unwrap().usage_estimated = candidate;
            let sums = gather(&[uncounted, pair(2, 0, 1.0)]);
            assert_eq!((sums.cost.clusters, sums.cost.a), expected, "{production} {candidate}");
            assert_eq!((sums.asked, sums.soft.clusters, sums.latency_candidate.count()), (2, 2, 2));
        };
        check(false, false, (2, 4.0));
        check(true, false, (1, 1.0));
        check(false, true, (1, 1.0));
        check(true, true, (1, 1.0));
    }

    fn gather(pairs: &[ShadowPair]) -> Evidence {
        let mut clusters: BTreeMap<String, ClusterTotals> = BTreeMap::new();
        let mut evidence = Evidence::default();
        for pair in pairs {
            evidence.add(clusters.entry(pair.cluster.clone()).or_default(), pair);
        }
        evidence
    }

    fn nearly(left: &ClusterSums, right: &ClusterSums) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        left.clusters == right.clusters
            && near(left.a, right.a)
            && near(left.aa, right.aa)
            && near(left.ab, right.ab)
            && near(left.bb, right.bb)
    }

    proptest! {
        #[test]
        fn the_order_of_pairs_does_not_matter_and_parts_add_up(
            drawn in prop::collection::vec((0_u8..12, -1_i8..=1, 0.1_f64..5.0), 1..80)
        ) {
            let pairs: Vec<ShadowPair> = drawn.iter().map(|(c, v, cost)| pair(*c, *v, *cost)).collect();
            let whole = gather(&pairs);
            let mut turned = pairs.clone();
            turned.reverse();
            let reversed = gather(&turned);
            prop_assert!(nearly(&whole.net_win, &reversed.net_win) && nearly(&whole.cost, &reversed.cost));
            let (even, odd): (Vec<_>, Vec<_>) =
                pairs.into_iter().partition(|p| p.cluster.parse::<u8>().unwrap() % 2 == 0);
            let mut merged = gather(&even);
            merged.merge(&gather(&odd));
            prop_assert!(nearly(&whole.net_win, &merged.net_win) && nearly(&whole.cost, &merged.cost));
            prop_assert_eq!((merged.pairs(), merged.asked), (whole.pairs(), whole.asked));
            prop_assert_eq!(&merged.latency_candidate, &whole.latency_candidate);
        }
    }

    #[test]
    fn pairs_of_one_user_count_as_one_cluster() {
        // Ten users who each say the same ten times know no more than ten users who say it once.
        let once: Vec<_> = (0..10).map(|i| pair(i, if i % 2 == 0 { 1 } else { -1 }, 1.0)).collect();
        let often: Vec<_> = once.iter().flat_map(|p| vec![p.clone(); 10]).collect();
        let variance = |pairs: &[ShadowPair]| gather(pairs).net_win.variance(0.0).unwrap();
        assert!((variance(&once) - variance(&often)).abs() < 1e-12);
        assert!((gather(&often).effective_answers() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_candidate_without_an_answer_is_an_error_and_nothing_else() {
        let mut failed = pair(1, 0, 1.0);
        failed.status = PairStatus::CandidateFailed;
        (failed.candidate, failed.verdict) = (None, None);
        let evidence = gather(&[failed, pair(2, 1, 1.0)]);
        assert_eq!((evidence.asked, evidence.errors, evidence.pairs()), (2, 1, 1));
        assert_eq!(evidence.error.ratio(), Some(0.5));
        assert_eq!(evidence.latency_candidate.count(), 1);
    }

    #[test]
    fn latencies_are_known_to_one_percent() {
        let mut counts = LatencyCounts::default();
        (1..=1000).for_each(|i| counts.add(f64::from(i)));
        let median = counts.quantile(0.5).unwrap();
        assert!((median / 500.0 - 1.0).abs() < 0.011, "{median}");
        let p95 = counts.quantile(0.95).unwrap();
        assert!((p95 / 950.0 - 1.0).abs() < 0.011, "{p95}");
        assert!((counts.share_above(950.0).unwrap() - 0.05).abs() < 0.02);
        assert_eq!(LatencyCounts::default().quantile(0.5), None);
        counts.add(f64::NAN);
        counts.add(-1.0);
        assert_eq!(counts.count(), 1000);
    }
}
