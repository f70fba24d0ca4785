//! From sample results to the results of a run: one pass in the order of the samples, whatever order they came in, so
//! that a resumed run ends with the same numbers to the last bit.

use std::collections::BTreeMap;

use llmops_domain::run::{CategoryResult, Estimate, LatencySummary, Outcome, RunResults, RunSpec, Spend};
use llmops_domain::scorecard::format::count;
use llmops_stats::bounded::{self, Range};
use llmops_stats::cluster::{self, ClusterMean, Part};
use llmops_stats::proportion::{self, Rate};
use llmops_storage::{Measured, RunKey, Store};

use super::judged::JudgeTotals;
use crate::Error;
use crate::scorers::BUDGET_REASON;

/// Results read at a time.
const PAGE: u32 = 2_000;
/// Level of all intervals.
pub(super) const LEVEL: f64 = 0.95;
/// Name of the category of samples without one.
const UNCATEGORIZED: &str = "uncategorized";

/// The category that samples count in whose own is this.
pub(crate) fn category_name(own: &str) -> &str {
    if own.is_empty() { UNCATEGORIZED } else { own }
}

/// Reads the sample results of a run and aggregates them.
pub(super) async fn aggregate(store: &Store, run: &RunKey, spec: &RunSpec) -> Result<RunResults, Error> {
    let mut totals = Totals::default();
    let mut after = None;
    loop {
        let page = store.stream_measured(run, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.ordinal, last.trial));
        for measured in page {
            totals.add(measured)?;
        }
    }
    totals.finish(spec)
}

/// Sum and number of one metric over the trials of the present sample.
type TrialSum = (f64, u64);

#[derive(Default)]
struct CategoryTotals {
    composite: ClusterMean,
    passes: ClusterMean,
    samples: u64,
    failed: u64,
    errored: u64,
    errored_samples: u64,
}

/// The sample that is being read: its trials stand together.
#[derive(Default)]
struct Present {
    ordinal: Option<u64>,
    category: String,
    metrics: BTreeMap<String, TrialSum>,
    composite: TrialSum,
    passed: u64,
    scored: u64,
    errored: u64,
}

#[derive(Default)]
struct Totals {
    present: Present,
    samples: u64,
    passed_samples: u64,
    failed_samples: u64,
    errored_samples: u64,
    errored_trials: u64,
    trials_per_sample: u64,
    passes: ClusterMean,
    metrics: BTreeMap<String, ClusterMean>,
    categories: BTreeMap<String, CategoryTotals>,
    failure_reasons: BTreeMap<String, u64>,
    error_reasons: BTreeMap<String, u64>,
    /// Trials that a metric has no score of, by metric and reason.
    unscored: BTreeMap<String, BTreeMap<String, u64>>,
    judges: BTreeMap<String, JudgeTotals>,
    spend: Spend,
    latencies: Vec<f32>,
}

impl Totals {
    fn add(&mut self, measured: Measured) -> Result<(), Error> {
        if self.present.ordinal != Some(measured.ordinal) {
            self.close_sample()?;
            self.present.ordinal = Some(measured.ordinal);
            category_name(&measured.category).clone_into(&mut self.present.category);
        }
        self.spend.target_cost += measured.cost;
        self.spend.judge_cost += measured.judge_cost;
        self.spend.prompt_tokens += measured.usage.prompt_tokens;
        self.spend.completion_tokens += measured.usage.completion_tokens;
        self.spend.cached += u64::from(measured.cached);
        match measured.outcome {
            Outcome::Errored { reason, .. } => {
                self.present.errored += 1;
                *self.error_reasons.entry(reason).or_default() += 1;
            }
            Outcome::Scored { scores, composite, passed, failures, unscored } => {
                if !measured.cached {
                    #[expect(clippy::cast_possible_truncation, reason = "milliseconds to six digits are plenty")]
                    self.latencies.push(measured.latency_ms as f32);
                }
                self.present.scored += 1;
                self.present.passed += u64::from(passed);
                if let Some(composite) = composite {
                    self.present.composite.0 += composite;
                    self.present.composite.1 += 1;
                }
                for (name, score) in scores {
                    if let Some(detail) = &score.detail {
                        JudgeTotals::note(&mut self.judges, &name, detail);
                    }
                    let sum = self.present.metrics.entry(name).or_default();
                    sum.0 += score.score;
                    sum.1 += 1;
                }
                for (name, why) in unscored {
                    *self.unscored.entry(name).or_default().entry(why.reason).or_default() += 1;
                }
                for reason in failures {
                    *self.failure_reasons.entry(reason).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    fn close_sample(&mut self) -> Result<(), Error> {
        let present = std::mem::take(&mut self.present);
        if present.ordinal.is_none() {
            return Ok(());
        }
        self.samples += 1;
        self.errored_trials += present.errored;
        self.trials_per_sample = self.trials_per_sample.max(present.scored);
        let category = self.categories.entry(present.category).or_default();
        category.samples += 1;
        category.errored += present.errored;
        category.errored_samples += u64::from(present.errored > 0 && present.passed == present.scored);
        if present.scored == 0 {
            self.errored_samples += 1;
            return Ok(());
        }
        if present.passed == present.scored {
            self.passed_samples += 1;
        } else {
            self.failed_samples += 1;
            category.failed += 1;
        }
        push(&mut self.passes, (present.passed as f64, present.scored))?;
        push(&mut category.passes, (present.passed as f64, present.scored))?;
        if present.composite.1 > 0 {
            push(&mut category.composite, present.composite)?;
        }
        for (name, sum) in present.metrics {
            push(self.metrics.entry(name).or_default(), sum)?;
        }
        Ok(())
    }

    fn finish(mut self, spec: &RunSpec) -> Result<RunResults, Error> {
        self.close_sample()?;
        let single = self.trials_per_sample <= 1;
        let weights = category_weights(spec, self.categories.keys());
        let overall = self.overall(&weights)?;
        let categories = std::mem::take(&mut self.categories)
            .into_iter()
            .map(|(name, totals)| {
                let weight = weights.get(&name).copied().unwrap_or(0.0);
                Ok((name, totals.finish(weight, single)?))
            })
            .collect::<Result<_, Error>>()?;
        let mut metric_details = BTreeMap::new();
        for (name, mean) in &self.metrics {
            let is_score = spec.scoring.metrics.get(name).is_none_or(|m| !m.scorer.is_measurement());
            if let Some(estimate) = estimate(mean, is_score.then_some(Range::UNIT))? {
                // No call takes less than no time, or pays.
                let lower = estimate.lower.max(0.0);
                metric_details.insert(name.clone(), Estimate { lower, ..estimate });
            }
        }
        let mut notices = spec.notices.clone();
        if let Some(trials) = self.error_reasons.get(BUDGET_REASON) {
            let limit = spec.scoring.max_judge_cost.unwrap_or_default();
            notices.push(format!(
                "the judges spent their {limit} USD (scoring.max_judge_cost): {trials} trials were errored, not judged"
            ));
        }
        notices.extend(self.unscored.iter().map(|(name, reasons)| unscored(name, reasons)));
        let judges = std::mem::take(&mut self.judges)
            .into_iter()
            .map(|(name, totals)| Ok((name, totals.finish()?)))
            .collect::<Result<_, Error>>()?;
        Ok(RunResults {
            total_samples: self.samples,
            passed_samples: self.passed_samples,
            failed_samples: self.failed_samples,
            errored_samples: self.errored_samples,
            errored_trials: self.errored_trials,
            pass_rate: pass_rate(&self.passes, single)?.unwrap_or(Estimate::exact(0.0, 0)),
            metric_scores: metric_details.iter().map(|(name, e)| (name.clone(), e.value)).collect(),
            metric_details,
            categories,
            overall,
            corrected: None,
            failure_reasons: self.failure_reasons,
            error_reasons: self.error_reasons,
            notices,
            judges,
            spend: self.spend,
            latency: summarize(self.latencies),
        })
    }

    /// The weighted mean of the categories. None when a category that counts has no score: leaving it out would make
    /// runs look better the more of them fails to be answered.
    fn overall(&self, weights: &BTreeMap<String, f64>) -> Result<Option<Estimate>, Error> {
        let mut parts = Vec::new();
        for (name, weight) in weights.iter().filter(|(_, weight)| **weight > 0.0) {
            let Some(totals) = self.categories.get(name) else { continue };
            if totals.composite.clusters() == 0 {
                return Ok(None);
            }
            // One sample of a category does not tell its spread, but that of the range is a limit.
            parts.push(Part::new(*weight, &bounded(&of_samples(&totals.composite)?, Range::UNIT)));
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let mean = cluster::weighted_mean(&parts, LEVEL)?;
        let interval = mean.interval.filter(|_| mean.n > 1);
        let mean = llmops_stats::Estimate { interval, ..mean };
        Ok(Some(to_domain(&mean, true)))
    }
}

/// What a reader should know of a metric that some trials have no score of.
fn unscored(name: &str, reasons: &BTreeMap<String, u64>) -> String {
    let trials: u64 = reasons.values().sum();
    let most = reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.as_str()).unwrap_or_default();
    format!("`{name}` is reported only and has no score of {}; most often: {most}", count(trials, "trial"))
}

impl CategoryTotals {
    fn finish(self, weight: f64, single: bool) -> Result<CategoryResult, Error> {
        Ok(CategoryResult {
            score: estimate(&self.composite, Some(Range::UNIT))?,
            pass_rate: pass_rate(&self.passes, single)?,
            weight,
            samples: self.samples,
            failed: self.failed,
            errored: self.errored,
            errored_samples: Some(self.errored_samples),
        })
    }
}

/// Weights of the categories that are there, scaled to sum to 1.
pub(super) fn category_weights<'a>(spec: &RunSpec, present: impl Iterator<Item = &'a String>) -> BTreeMap<String, f64> {
    let given = &spec.category_weights;
    let mut weights: BTreeMap<String, f64> = present
        .map(|name| (name.clone(), if given.is_empty() { 1.0 } else { given.get(name).copied().unwrap_or(0.0) }))
        .collect();
    let sum: f64 = weights.values().sum();
    if sum > 0.0 {
        for weight in weights.values_mut() {
            *weight /= sum;
        }
    }
    weights
}

fn push(mean: &mut ClusterMean, (sum, size): TrialSum) -> Result<(), Error> {
    Ok(mean.push(sum, size)?)
}

/// The mean of clusters, whose values lie in a range or anywhere; nothing where there are none.
pub(super) fn estimate(mean: &ClusterMean, range: Option<Range>) -> Result<Option<Estimate>, Error> {
    if mean.clusters() == 0 {
        return Ok(None);
    }
    let found = of_samples(mean)?;
    let found = match range {
        Some(range) => within(found, range),
        None => found,
    };
    Ok(Some(to_domain(&found, range == Some(Range::UNIT))))
}

/// The mean of clusters with n of them: trials of one sample are no independent observations.
fn of_samples(mean: &ClusterMean) -> Result<llmops_stats::Estimate, Error> {
    Ok(llmops_stats::Estimate { n: mean.clusters(), ..mean.estimate(LEVEL)? })
}

/// The mean of values in a range; as it is where a score leaves it.
fn bounded(mean: &llmops_stats::Estimate, range: Range) -> llmops_stats::Estimate {
    bounded::mean(mean, range, LEVEL).unwrap_or_else(|_| mean.clone())
}

/// The mean with an interval that has width also where all values are the same; a single value has none.
pub(crate) fn within(mean: llmops_stats::Estimate, range: Range) -> llmops_stats::Estimate {
    if mean.n < 2 { mean } else { bounded(&mean, range) }
}

/// Wilson's interval where every sample has one trial, else that of a mean of scores.
pub(super) fn pass_rate(passes: &ClusterMean, single: bool) -> Result<Option<Estimate>, Error> {
    if !single || passes.clusters() == 0 {
        return estimate(passes, Some(Range::UNIT));
    }
    let trials = passes.observations();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of passed trials")]
    let passed = (passes.mean().unwrap_or(0.0) * trials as f64).round() as u64;
    share(passed, trials)
}

/// A share with Wilson's interval; nothing of nothing.
pub(crate) fn share(part: u64, whole: u64) -> Result<Option<Estimate>, Error> {
    if whole == 0 {
        return Ok(None);
    }
    Ok(Some(to_domain(&proportion::wilson(Rate::new(part, whole)?, LEVEL)?, true)))
}

/// A statistics estimate as the API shows it; scores keep to [0, 1].
pub(crate) fn to_domain(estimate: &llmops_stats::Estimate, bounded: bool) -> Estimate {
    let (lower, upper) = estimate.interval.map_or((estimate.value, estimate.value), |i| (i.low, i.high));
    let clamp = |x: f64| if bounded { x.clamp(0.0, 1.0) } else { x };
    Estimate { value: estimate.value, n: estimate.n, lower: clamp(lower), upper: clamp(upper) }
}

fn summarize(mut latencies: Vec<f32>) -> Option<LatencySummary> {
    latencies.sort_unstable_by(f32::total_cmp);
    let n = latencies.len();
    let at = |share: f64| -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the list")]
        let index = ((n as f64 * share).ceil() as usize).clamp(1, n) - 1;
        f64::from(latencies[index])
    };
    (n > 0).then(|| LatencySummary {
        n: n as u64,
        mean_ms: latencies.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64,
        p50_ms: at(0.50),
        p95_ms: at(0.95),
    })
}
