//! Means corrected for a judge's error by prediction-powered inference: labels on a few samples, the judge on all.
//!
//! A sample's mean composite is C; where it is labelled, people instead of the judge would have made it
//! Y = C + w · (human − judge), w being the judge's weight. [`ppi_scores`] takes the pairs (C, Y) of labelled samples and C
//! of the others.

use std::collections::BTreeMap;

use llmops_domain::calibration::{Corrected, JudgeCalibration};
use llmops_domain::id::CalibrationId;
use llmops_domain::run::{Estimate, Outcome, RunSpec, SampleResult};
use llmops_stats::bounded::Range;
use llmops_stats::cluster::{Part, weighted_mean};
use llmops_stats::moments::{Moments, PairMoments};
use llmops_stats::ppi::ppi_scores;

use super::super::aggregate::{category_name, category_weights, to_domain, within};
use super::LEVEL;
use crate::Error;

/// Labelled samples that every category needs for a correction of its own.
const MIN_LABELLED: u64 = 10;

/// One trial that the judge scored, in the order of samples.
pub(super) struct Unit {
    pub(super) ordinal: u64,
    pub(super) category: String,
    pub(super) judge: f64,
    pub(super) composite: Option<f64>,
    /// What people said; empty where nobody did.
    pub(super) people: Vec<f64>,
}

impl Unit {
    pub(super) fn of(result: SampleResult, judge: f64, people: Vec<f64>) -> Self {
        let composite = match &result.outcome {
            Outcome::Scored { composite, .. } => *composite,
            Outcome::Errored { .. } => None,
        };
        Self { ordinal: result.ordinal, category: result.category, judge, composite, people }
    }
}

/// One sample: means over its trials.
struct Sample<'a> {
    category: &'a str,
    judge: f64,
    composite: Option<f64>,
    /// Mean of human − judge over its labelled trials.
    error: Option<f64>,
}

fn samples(units: &[Unit]) -> Vec<Sample<'_>> {
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
        (n > 0).then(|| sum / f64::from(n))
    };
    units
        .chunk_by(|a, b| a.ordinal == b.ordinal)
        .filter_map(|trials| {
            let error = |unit: &Unit| unit.people.iter().sum::<f64>() / unit.people.len() as f64 - unit.judge;
            Some(Sample {
                category: category_name(trials.first()?.category.as_str()),
                judge: mean(&mut trials.iter().map(|unit| unit.judge))?,
                composite: mean(&mut trials.iter().filter_map(|unit| unit.composite)),
                error: mean(&mut trials.iter().filter(|unit| !unit.people.is_empty()).map(error)),
            })
        })
        .collect()
}

/// Pairs of labelled samples, and the others.
#[derive(Default)]
struct Split {
    labelled: PairMoments,
    others: Moments,
}

impl Split {
    /// `value` as the judge has it; `error` is what people would add.
    fn push(&mut self, value: f64, error: Option<f64>) -> Result<(), Error> {
        match error {
            Some(error) => self.labelled.push(value, value + error)?,
            None => self.others.push(value)?,
        }
        Ok(())
    }

    /// The corrected mean of values in this range.
    fn mean(&self, range: Range) -> Result<llmops_stats::Estimate, Error> {
        Ok(ppi_scores(&self.labelled, &self.others, range, LEVEL)?)
    }
}

/// What the corrections of one calibration are made from.
pub(super) struct Corrections<'a> {
    pub(super) units: &'a [Unit],
    pub(super) spec: &'a RunSpec,
    pub(super) metric: &'a str,
    pub(super) calibration: &'a CalibrationId,
}

impl Corrections<'_> {
    fn corrected(&self, raw: Estimate, corrected: &llmops_stats::Estimate, labelled: u64) -> Corrected {
        let corrected = within_unit(to_domain(corrected, true));
        Corrected { raw, corrected, labelled, calibration: self.calibration.clone() }
    }

    /// The mean of the metric over all samples.
    pub(super) fn metric_mean(&self) -> Result<Corrected, Error> {
        let (mut split, mut raw) = (Split::default(), Moments::new());
        for sample in samples(self.units) {
            split.push(sample.judge, sample.error)?;
            raw.push(sample.judge)?;
        }
        let raw = to_domain(&within(raw.mean_estimate(LEVEL)?, Range::UNIT), true);
        Ok(self.corrected(raw, &split.mean(Range::UNIT)?, split.labelled.n()))
    }

    /// The run's overall score. Nothing where the judge has no weight in it.
    pub(super) fn overall(
        &self,
        raw: Option<&Estimate>,
        notices: &mut Vec<String>,
    ) -> Result<Option<Corrected>, Error> {
        let total: f64 = self.spec.scoring.metrics.values().filter_map(|metric| metric.weight).sum();
        let own = self.spec.scoring.metrics.get(self.metric).and_then(|metric| metric.weight).unwrap_or(0.0);
        let (Some(raw), true) = (raw, own > 0.0 && total > 0.0) else { return Ok(None) };
        let samples = samples(self.units);
        let mut categories: BTreeMap<String, Split> = BTreeMap::new();
        for sample in &samples {
            if let Some(composite) = sample.composite {
                let error = sample.error.map(|error| error * own / total);
                categories.entry(sample.category.to_owned()).or_default().push(composite, error)?;
            }
        }
        let mut weights = category_weights(self.spec, categories.keys());
        weights.retain(|_, weight| *weight > 0.0);
        categories.retain(|name, _| weights.contains_key(name));
        let labelled: u64 = categories.values().map(|split| split.labelled.n()).sum();
        let fewest = categories.values().map(|split| split.labelled.n()).min().unwrap_or(0);
        if labelled < 2 {
            notices.push("No corrected overall score: fewer than 2 labelled samples count for it.".to_owned());
            return Ok(None);
        }
        let estimate = if fewest >= MIN_LABELLED || categories.len() == 1 {
            let parts = categories.iter().map(|(name, split)| Ok(Part::new(weights[name], &split.mean(Range::UNIT)?)));
            weighted_mean(&parts.collect::<Result<Vec<_>, Error>>()?, LEVEL)?
        } else {
            notices.push(format!(
                "The overall score is corrected over all categories together, as not each of them has {MIN_LABELLED} \
                 labelled samples: it is right when the labelled samples were drawn at random."
            ));
            pooled(&samples, &categories, &weights, own / total)?
        };
        Ok(Some(self.corrected(*raw, &estimate, labelled)))
    }
}

/// The correction over all categories together: each sample counts as much as it does in the overall score.
fn pooled(
    samples: &[Sample<'_>],
    categories: &BTreeMap<String, Split>,
    weights: &BTreeMap<String, f64>,
    judge_weight: f64,
) -> Result<llmops_stats::Estimate, Error> {
    let size = |split: &Split| (split.labelled.n() + split.others.n()) as f64;
    let all: f64 = categories.values().map(size).sum();
    let mut split = Split::default();
    let mut most = 0.0_f64;
    for sample in samples {
        if let (Some(composite), Some(own)) = (sample.composite, categories.get(sample.category)) {
            let share = weights[sample.category] * all / size(own);
            most = most.max(share);
            split.push(composite * share, sample.error.map(|error| error * judge_weight * share))?;
        }
    }
    split.mean(Range::new(0.0, most)?)
}

/// The overall score of another run, corrected by the mean error that a calibration found: the judge's error is taken to be
/// the same there.
pub(super) fn transported(overall: &Estimate, weight: f64, calibration: &JudgeCalibration) -> Option<Corrected> {
    let bias = calibration.bias;
    if bias.n < 2 || overall.n < 2 {
        return None;
    }
    let half = |estimate: &Estimate| (estimate.upper - estimate.value).max(estimate.value - estimate.lower);
    let margin = half(overall).hypot(weight * half(&bias));
    let value = overall.value - weight * bias.value;
    let corrected = Estimate { value, n: overall.n + bias.n, lower: value - margin, upper: value + margin };
    Some(Corrected {
        raw: *overall,
        corrected: within_unit(corrected),
        labelled: bias.n,
        calibration: calibration.id.clone(),
    })
}

/// Scores lie in [0, 1], and so does their mean.
fn within_unit(estimate: Estimate) -> Estimate {
    let clamp = |value: f64| value.clamp(0.0, 1.0);
    let Estimate { value, n, lower, upper } = estimate;
    Estimate { value: clamp(value), n, lower: clamp(lower), upper: clamp(upper) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Uniform numbers in [0, 1) from a seed (SplitMix64).
    struct Draw(u64);

    impl Draw {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn spec(judge_weight: f64, categories: &[(&str, f64)]) -> RunSpec {
        let mut metrics = json!({"judge": {"kind": "judge", "model": "sim/j", "weight": judge_weight}});
        if judge_weight < 1.0 {
            metrics["exact_match"] = json!({"kind": "exact_match", "weight": 1.0 - judge_weight});
        }
        let weights: BTreeMap<_, _> = categories.iter().copied().collect();
        serde_json::from_value(json!({
            "target": "t", "manifest": {"model": "sim/m"}, "manifest_id": "a".repeat(64), "dataset": "d", "dataset_version": "b".repeat(64),
            "category_weights": weights, "repeat": 1, "cache": true,
            "scoring": {"metrics": metrics, "pass_threshold": 0.7, "max_error_rate": 0.02},
        }))
        .unwrap()
    }

    /// A judge that is 0.2 too generous, always, and has the weight `own` beside a metric that is right.
    fn repetition(draw: &mut Draw, own: f64, labelled: usize, categories: &[(&str, f64)]) -> (f64, Corrected) {
        let spec = spec(own, categories);
        let mut units = Vec::new();
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for ordinal in 0..300 {
            let (category, _) = categories[ordinal % categories.len()];
            // Categories differ, so that their weights matter.
            let human = 0.1 + 0.2 * (ordinal % categories.len()) as f64 + 0.4 * draw.uniform();
            let other = draw.uniform().round();
            let composite = own * (human + 0.2) + (1.0 - own) * other;
            let people = if ordinal < labelled { vec![human] } else { Vec::new() };
            let sum = sums.entry(category).or_default();
            *sum = (sum.0 + composite, sum.1 + 1.0);
            units.push(Unit {
                ordinal: ordinal as u64,
                category: category.to_owned(),
                judge: human + 0.2,
                composite: Some(composite),
                people,
            });
        }
        let raw: f64 = categories.iter().map(|(name, weight)| weight * sums[name].0 / sums[name].1).sum();
        let raw = Estimate { value: raw, n: 300, lower: raw, upper: raw };
        let id = CalibrationId::from("c");
        let corrections = Corrections { units: &units, spec: &spec, metric: "judge", calibration: &id };
        let corrected = corrections.overall(Some(&raw), &mut Vec::new()).unwrap().unwrap();
        // What the overall score would be on endless samples, if people scored.
        let mean = |at: usize| own * (0.3 + 0.2 * at as f64) + (1.0 - own) * 0.5;
        (categories.iter().enumerate().map(|(at, (_, weight))| weight * mean(at)).sum(), corrected)
    }

    #[track_caller]
    fn covers(own: f64, labelled: usize, categories: &[(&str, f64)]) {
        let mut draw = Draw(20_261_126);
        let (mut covered, mut off, mut corrected_off) = (0, 0.0, 0.0);
        for _ in 0..2_000 {
            let (truth, found) = repetition(&mut draw, own, labelled, categories);
            covered += u32::from(found.corrected.lower <= truth && truth <= found.corrected.upper);
            off += (found.raw.value - truth) / 2_000.0;
            corrected_off += (found.corrected.value - truth) / 2_000.0;
        }
        assert!((off - 0.2 * own).abs() < 0.01, "the raw overall is off by {off}");
        assert!(corrected_off.abs() < 0.01, "the corrected overall is off by {corrected_off}");
        assert!(covered >= 1_870, "{covered} of 2000 intervals cover the truth");
    }

    #[test]
    fn a_generous_judge_is_corrected() {
        covers(1.0, 60, &[("all", 1.0)]);
        covers(0.5, 60, &[("all", 1.0)]);
        covers(1.0, 60, &[("a", 0.7), ("b", 0.3)]);
        // Too few labels for each category: corrected together.
        covers(1.0, 18, &[("a", 0.7), ("b", 0.3)]);
    }

    #[test]
    fn trials_of_one_sample_are_one_observation() {
        let unit = |ordinal: u64, judge: f64, people: &[f64]| Unit {
            ordinal,
            category: String::new(),
            judge,
            composite: Some(judge),
            people: people.to_vec(),
        };
        let units =
            [unit(0, 0.9, &[0.7]), unit(0, 0.7, &[]), unit(1, 0.5, &[0.2, 0.4]), unit(1, 0.5, &[]), unit(2, 0.8, &[])];
        let found: Vec<_> = samples(&units).iter().map(|s| (s.judge, s.error)).collect();
        let near = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(a == b, |(a, b)| (a - b).abs() < 1e-12);
        for ((judge, error), expected) in found.iter().zip([(0.8, Some(-0.2)), (0.5, Some(-0.2)), (0.8, None)]) {
            assert!((judge - expected.0).abs() < 1e-12 && near(*error, expected.1), "{judge} {error:?}");
        }
    }
}
