//! The comparison of two runs.

use std::collections::BTreeMap;

use super::{Change, NOTABLE_CHANGE, PairedEvidence, RunComparison, SampleChange};
use crate::run::{Estimate, EvaluationRun, RunResults};
use crate::scorecard::category_label;
use crate::scorecard::format::{count, number, percent, signed};
use crate::scoring::ScorerSpec;

/// Distance within which a change is not beyond [`NOTABLE_CHANGE`].
const SLACK: f64 = 1e-9;

/// Compares two runs. `paired` and `flips` come from the samples that both scored; flips are kept in their order, and may
/// be fewer than McNemar's test counted.
///
/// Where samples are shared, the changes of categories and of the overall score are those of the shared samples.
///
/// A score that moves by more than 5 points is a regression or an improvement. For latency and cost lower is better, and
/// the change is relative: more than 5 %. Raw rates that are neither good nor bad, such as refusals without an
/// expectation, are neither. Metrics, categories, `overall` and `pass_rate` are listed by their names.
pub fn compare(
    before: &EvaluationRun,
    after: &EvaluationRun,
    paired: Option<PairedEvidence>,
    flips: Vec<SampleChange>,
) -> RunComparison {
    let (was, is) = (before.results.as_ref(), after.results.as_ref());
    let mut metrics = both(was, is, |r| &r.metric_scores, |mean| Some(*mean));
    for (name, change) in &mut metrics {
        change.share(paired.as_ref().and_then(|p| p.metrics.get(name)));
    }
    let mut categories = both(was, is, |r| &r.categories, |c| c.score.map(|s| s.value));
    for (name, change) in &mut categories {
        change.share(paired.as_ref().and_then(|p| p.categories.get(name)).map(|e| &e.difference));
    }
    let overall = overall(was, is, paired.as_ref());
    let pass_rate = was.zip(is).map(|(was, is)| {
        let mut rate = change(was.pass_rate.value, is.pass_rate.value);
        rate.share(paired.as_ref().and_then(|p| p.pass_rate.as_ref()));
        rate
    });
    let mut notable = Notable::default();
    for (name, change) in &categories {
        notable.add(name, change, Direction::Higher);
    }
    for (name, change) in &metrics {
        let scorer = [after, before].iter().find_map(|run| run.spec.scoring.metrics.get(name)).map(|m| &m.scorer);
        notable.add(name, change, Direction::of(scorer));
    }
    for (name, change) in [("overall", &overall), ("pass_rate", &pass_rate)] {
        if let Some(change) = change {
            notable.add(name, change, Direction::Higher);
        }
    }
    let flipped = |passed: bool| {
        let counted =
            flips.iter().filter(|f| f.passed_before == Some(!passed) && f.passed_after == Some(passed)).count();
        let tested = paired.as_ref().and_then(|p| p.mcnemar.as_ref());
        tested.map_or(counted as u64, |m| if passed { m.newly_passed } else { m.newly_failed })
    };
    let (newly_failed, newly_passed) = (flipped(false), flipped(true));
    let summary = match pass_rate {
        Some(rate) => summary(overall.as_ref(), &rate, &notable, (newly_failed, newly_passed)),
        None => "One of the runs has no results.".to_owned(),
    };
    let mut metric_changes = metrics;
    metric_changes.extend(overall.map(|change| ("overall".to_owned(), change)));
    RunComparison {
        run1_id: before.id.clone(),
        run2_id: after.id.clone(),
        metric_changes,
        category_changes: categories,
        pass_rate_change: pass_rate.map_or(0.0, |c| c.change),
        pass_rate,
        regressions: notable.regressions,
        improvements: notable.improvements,
        flips,
        newly_failed,
        newly_passed,
        paired,
        summary,
    }
}

impl Change {
    /// Takes what the shared samples say, where there are any.
    fn share(&mut self, shared: Option<&Estimate>) {
        let Some(shared) = shared else { return };
        self.n = Some(shared.n);
        self.interval = (shared.n > 1).then_some([shared.lower, shared.upper]);
        if shared.n > 0 {
            self.change = shared.value;
        }
    }
}

fn change(before: f64, after: f64) -> Change {
    Change { before, after, change: after - before, interval: None, n: None }
}

/// The changes of what both runs have, where both numbers are finite.
fn both<T>(
    was: Option<&RunResults>,
    is: Option<&RunResults>,
    members: impl Fn(&RunResults) -> &BTreeMap<String, T>,
    value: impl Fn(&T) -> Option<f64>,
) -> BTreeMap<String, Change> {
    let Some((was, is)) = was.zip(is) else { return BTreeMap::new() };
    let number = |of: &RunResults, name: &str| members(of).get(name).and_then(&value).filter(|v| v.is_finite());
    members(was).keys().filter_map(|name| Some((name.clone(), change(number(was, name)?, number(is, name)?)))).collect()
}

/// The change of the overall score: where every category that counts has shared samples, the weighted mean of their changes. It
/// has an interval where each of them has one: the categories hold different samples, so the half-widths, times their
/// weights, add as squares.
fn overall(was: Option<&RunResults>, is: Option<&RunResults>, paired: Option<&PairedEvidence>) -> Option<Change> {
    let (was, is) = was.zip(is)?;
    let value = |of: &RunResults| of.overall.map(|o| o.value).filter(|v| v.is_finite());
    let mut overall = change(value(was)?, value(is)?);
    let Some(paired) = paired.filter(|_| same_weights(was, is)) else { return Some(overall) };
    let mut shared = Vec::new();
    for (name, category) in is.categories.iter().filter(|(_, category)| category.weight > 0.0) {
        let Some(difference) = paired.categories.get(name).map(|e| e.difference).filter(|d| d.n > 0) else {
            return Some(overall);
        };
        shared.push((category.weight, difference));
    }
    let n: u64 = shared.iter().map(|(_, difference)| difference.n).sum();
    if n > 0 {
        overall.change = shared.iter().map(|(weight, difference)| weight * difference.value).sum();
        overall.n = Some(n);
    }
    if n > 0 && shared.iter().all(|(_, difference)| difference.n > 1) {
        let width = |half: fn(&Estimate) -> f64| {
            shared.iter().map(|(weight, difference)| (weight * half(difference)).powi(2)).sum::<f64>().sqrt()
        };
        let (below, above) = (width(|d| d.value - d.lower), width(|d| d.upper - d.value));
        overall.interval = Some([overall.change - below, overall.change + above]);
    }
    Some(overall)
}

fn same_weights(was: &RunResults, is: &RunResults) -> bool {
    let weights = |of: &RunResults| of.categories.iter().map(|(n, c)| (n.clone(), c.weight)).collect::<Vec<_>>();
    weights(was) == weights(is)
}

/// Which way is better.
#[derive(Clone, Copy)]
enum Direction {
    Higher,
    /// Lower, with changes relative to the value before.
    Lower,
    Neither,
}

impl Direction {
    fn of(scorer: Option<&ScorerSpec>) -> Self {
        match scorer {
            Some(scorer) if scorer.is_measurement() => Self::Lower,
            Some(scorer) if !scorer.is_score() => Self::Neither,
            _ => Self::Higher,
        }
    }
}

#[derive(Default)]
struct Notable {
    regressions: Vec<String>,
    improvements: Vec<String>,
}

impl Notable {
    fn add(&mut self, name: &str, change: &Change, direction: Direction) {
        let gain = match direction {
            Direction::Higher => change.change,
            Direction::Neither => 0.0,
            // From nothing to something is beyond every share.
            Direction::Lower if change.before <= 0.0 => {
                -change.change.signum() * f64::from(u8::from(change.change != 0.0))
            }
            Direction::Lower => -change.change / change.before,
        };
        if gain < -NOTABLE_CHANGE - SLACK {
            self.regressions.push(name.to_owned());
        } else if gain > NOTABLE_CHANGE + SLACK {
            self.improvements.push(name.to_owned());
        }
    }
}

fn summary(overall: Option<&Change>, rate: &Change, notable: &Notable, (failed, passed): (u64, u64)) -> String {
    let score = overall.map_or("There is no overall score to compare".to_owned(), |change| {
        let (from, to) = (number(change.before), number(change.after));
        let is_of_all = (change.after - change.before - change.change).abs() < 5e-4;
        let shared = change.n.filter(|_| !is_of_all);
        let place = shared.map(|n| format!(" on the {} that both have", count(n, "sample"))).unwrap_or_default();
        format!("Overall went from {from} to {to} ({}{place})", signed(change.change))
    });
    let rates = format!("the pass rate from {} to {}", percent(rate.before), percent(rate.after));
    let named = |what: &str, names: &[String]| match names.len() {
        0 => format!("no {what}s"),
        n => {
            let labels: Vec<&str> = names.iter().map(|name| category_label(name)).collect();
            format!("{} ({})", count(n as u64, what), labels.join(", "))
        }
    };
    let (worse, better) = (named("regression", &notable.regressions), named("improvement", &notable.improvements));
    let flips = match (failed, passed) {
        (0, 0) => "no sample flipped".to_owned(),
        _ => format!(
            "{failed} newly failing and {passed} newly passing {}",
            if failed + passed == 1 { "sample" } else { "samples" }
        ),
    };
    format!("{score}, {rates}; {worse}, {better}; {flips}.")
}

#[cfg(test)]
mod tests;
