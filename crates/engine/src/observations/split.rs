//! What the units of an experiment should be split like, and which of its counts can tell whether they are.

use llmops_domain::experiment::Experiment;
use llmops_domain::experiment::assignment::has_known_shares;
use llmops_storage::ExposureCount;

use crate::analysis::Observed;

const EXPOSURES: &str = "exposures";

/// The split that is checked.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Split {
    /// The share that each variant should have; empty where nothing tells.
    pub(super) weights: Vec<f64>,
    /// Units of each variant that should have it, by what they are.
    pub(super) counts: Vec<(&'static str, Vec<u64>)>,
    /// Whether exposures are known of all observed units.
    pub(super) exposed: Option<Vec<u64>>,
    /// Whether units with a value of the target metric should have it.
    pub(super) outcomes: bool,
    /// What cannot be told.
    pub(super) notice: Option<String>,
}

/// What is to be checked of an experiment of which these units were observed.
///
/// Exposures are the better count, because whoever was not exposed could not be lost either; but few of them say nothing about
/// many observed units. While one split holds, both should have it. Once it changed, only exposures tell under which one a unit
/// came.
pub(super) fn split(experiment: &Experiment, exposures: &[ExposureCount], observed: &Observed) -> Split {
    let seen: Vec<u64> = observed.arms.iter().map(|arm| arm.units).collect();
    let all = exposed(experiment, exposures, |_| true);
    let (exposed, observed) = (all.iter().sum::<u64>(), seen.iter().sum::<u64>());
    let covers = exposed > 0 && exposed >= observed;
    let present = experiment.spec.weights();
    let is_same = |weights: &[f64]| weights.iter().zip(&present).all(|(a, b)| (a - b).abs() < 1e-9);
    if experiment.allocations.iter().all(|allocation| is_same(&allocation.weights)) {
        let mut counts = vec![(EXPOSURES, all.clone())];
        if !covers {
            counts.insert(0, ("observed units", seen));
        }
        return Split { weights: present, counts, exposed: covers.then_some(all), outcomes: true, notice: None };
    }
    if covers {
        return Split { exposed: Some(all), ..changed(experiment, exposures, exposed) };
    }
    let notice = (exposed > 0).then(|| {
        format!(
            "{} of {observed} observed units were recorded without being assigned, and the split changed: nothing tells under \
             which one they came",
            observed - exposed
        )
    });
    Split { notice, ..Split::default() }
}

/// What is to be checked where the split changed: the units of every stretch whose shares are known.
fn changed(experiment: &Experiment, exposures: &[ExposureCount], all: u64) -> Split {
    let allocations = &experiment.allocations;
    let known: Vec<bool> =
        allocations.iter().enumerate().map(|(epoch, a)| has_known_shares(&allocations[..epoch], a)).collect();
    let is_known = |epoch: usize| known.get(epoch).is_some_and(|known| *known);
    let counted = exposed(experiment, exposures, is_known);
    let checked = counted.iter().sum::<u64>();
    let notice = (checked < all).then(|| {
        format!(
            "{} of {all} units came after the split had changed while not all units were covered: which share of them each \
             variant should have is not known, so the split is checked without them",
            all - checked
        )
    });
    if checked == 0 {
        return Split { notice, ..Split::default() };
    }
    let mut weights = vec![0.0; experiment.spec.variants.len()];
    for (epoch, allocation) in allocations.iter().enumerate().filter(|(epoch, _)| is_known(*epoch)) {
        let units: u64 = exposures.iter().filter(|count| count.epoch == epoch).map(|count| count.units).sum();
        weights.iter_mut().zip(&allocation.weights).for_each(|(share, weight)| *share += units as f64 * weight);
    }
    Split { weights, counts: vec![(EXPOSURES, counted)], notice, ..Split::default() }
}

/// Exposed units of each variant under these allocations.
fn exposed(experiment: &Experiment, exposures: &[ExposureCount], of: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut units = vec![0; experiment.spec.variants.len()];
    for count in exposures.iter().filter(|count| of(count.epoch)) {
        if let Some(units) = units.get_mut(count.variant) {
            *units += count.units;
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use llmops_domain::experiment::ExperimentSpec;
    use llmops_domain::id::ExperimentId;
    use serde_json::json;

    use super::*;
    use crate::analysis::Arm;

    /// Experiments with a coverage whose first variant had these shares one after the other.
    fn experiment(coverage: f64, shares: &[f64]) -> Experiment {
        let of = |share: f64| -> ExperimentSpec {
            let spec: ExperimentSpec = serde_json::from_value(json!({
                "name": "e", "variants": [{"id": "a"}, {"id": "b"}], "metrics": ["m"], "seed": "s", "coverage": coverage,
                "traffic_split": {"a": share, "b": 1.0 - share},
            }))
            .unwrap();
            spec.checked().unwrap()
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let draft = Experiment::draft(ExperimentId::from("exp_1"), of(shares[0]), now);
        let started = draft.start(now).unwrap();
        shares[1..].iter().fold(started, |before, share| before.revise(of(*share), now).unwrap())
    }

    /// Exposures by epoch, and observed units.
    fn check(coverage: f64, shares: &[f64], exposed: &[[u64; 2]], seen: [u64; 2]) -> Split {
        let by_variant = |(epoch, units): (usize, &[u64; 2])| {
            let of = move |(variant, units): (usize, &u64)| ExposureCount { epoch, variant, day: 0, units: *units };
            units.iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let exposures: Vec<ExposureCount> = exposed.iter().enumerate().flat_map(by_variant).collect();
        let arms = seen.map(|units| Arm { units, ..Arm::default() }).to_vec();
        split(&experiment(coverage, shares), &exposures, &Observed { arms, ..Observed::default() })
    }

    #[test]
    fn exposures_count_where_they_are_of_all_units() {
        let covered = check(1.0, &[0.5], &[[900, 1100]], [700, 800]);
        assert_eq!((covered.exposed.is_some(), covered.outcomes), (true, true));
        assert_eq!(covered.counts, [("exposures", vec![900, 1100])]);
        let one = check(1.0, &[0.5], &[[1, 0]], [1000, 3000]);
        assert_eq!(one.counts, [("observed units", vec![1000, 3000]), ("exposures", vec![1, 0])]);
        assert_eq!((one.exposed, one.weights), (None, vec![0.5, 0.5]));
    }

    #[test]
    fn a_changed_split_is_checked_as_far_as_it_is_known() {
        let all = check(1.0, &[0.5, 0.8], &[[500, 500], [80, 20]], [300, 300]);
        assert_eq!((all.weights, all.outcomes, all.notice), (vec![580.0, 520.0], false, None));
        let partly = check(0.5, &[0.5, 0.8], &[[1027, 989], [589, 11]], [300, 300]);
        assert_eq!((partly.weights, partly.counts), (vec![1008.0, 1008.0], vec![("exposures", vec![1027, 989])]));
        insta::assert_snapshot!(partly.notice.unwrap(), @"600 of 2616 units came after the split had changed while not all units were covered: which share of them each variant should have is not known, so the split is checked without them");
        let unassigned = check(1.0, &[0.5, 0.9], &[], [1500, 1500]);
        assert_eq!((unassigned.weights, unassigned.notice), (vec![], None));
        let few = check(1.0, &[0.5, 0.9], &[[1, 0]], [1500, 1500]);
        assert!(few.weights.is_empty() && few.notice.unwrap().starts_with("2999 of 3000 observed units"));
    }
}
