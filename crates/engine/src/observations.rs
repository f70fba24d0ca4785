//! Recording what experiments measure, and their results.

mod split;

use std::sync::Arc;

use llmops_api::Problem;
use llmops_api::observations::{RecordedObservations, ResultsQuery};
use llmops_domain::experiment::assignment::Decision;
use llmops_domain::experiment::observation::{Observation, ObservationProblem};
use llmops_domain::experiment::result::ExperimentResult;
use llmops_domain::experiment::{Experiment, ExperimentStatus, MetricSpec};
use llmops_domain::suggest;
use llmops_stats::sketch::Sketch;
use llmops_storage::observations::{
    AllSums, MetricSums, NewObservation, ObservedExperiment, PARTS, Recorded, SliceChoice, Sums,
};
use llmops_storage::{ExposureCount, StoredExperiment};
use serde_json::Map;
use tokio::task::JoinHandle;

use crate::analysis::{Arm, ArmMetric, Horizon, Known, Observed, Plan, Quantiles, spread_of};
use crate::aside::compute;
use crate::experiments::{ExperimentManager, Flag};
use crate::{Error, Services};

/// Observations of one commit of an import.
const BATCH: usize = 4096;
/// Problems that are told one by one.
const MAX_PROBLEMS: usize = 100;
/// Largest size of a value. Sums are kept to 106 bits: what such a value leaves in a sum of squares is less than 1e-7.
const LARGEST: f64 = 1e12;
/// How far ahead of this clock an observation may be, for clocks that differ.
const AHEAD_MICROS: i64 = 24 * 3600 * 1_000_000;

/// An experiment that observations are recorded for.
struct Target {
    experiment: Experiment,
    /// Who gets what by hash, where the experiment is live.
    flag: Option<Arc<Flag>>,
    observed: Arc<ObservedExperiment>,
}

impl ExperimentManager {
    /// Records one value of one metric. The variant is the named one, or that of the unit; with both, a unit that was seen in
    /// another variant is left out of the results and named there. On return it is on disk.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] for drafts and cancelled experiments; [`Error::Invalid`] with everything that is wrong.
    pub async fn record_metric(
        &self,
        experiment: &str,
        observation: Observation,
    ) -> Result<RecordedObservations, Error> {
        self.record_one(experiment, observation, false).await
    }

    /// Records one value that somebody may think better of: with the same key, unit and metric again, the new value takes the
    /// place of the one before.
    ///
    /// # Errors
    /// As [`Self::record_metric`].
    pub(crate) async fn record_last_word(
        &self,
        experiment: &str,
        observation: Observation,
    ) -> Result<RecordedObservations, Error> {
        self.record_one(experiment, observation, true).await
    }

    async fn record_one(
        &self,
        experiment: &str,
        observation: Observation,
        replaces: bool,
    ) -> Result<RecordedObservations, Error> {
        let target = self.target(experiment).await?;
        let new = target.check(&self.services, observation);
        let new = new.map_err(|problems| {
            let problems = problems.iter().map(|p| problem(None, p)).collect();
            Error::Invalid { message: "the observation cannot be recorded".to_owned(), problems, hint: None }
        })?;
        let new = NewObservation { replaces, ..new };
        let unit = new.unit.clone();
        let recorded = self.services.store.record_observations(&target.observed, vec![new]).await?;
        if !recorded.unassigned.is_empty() {
            let message = format!("unit `{}` takes no part in experiment `{experiment}`", unit.unwrap_or_default());
            return Err(Error::invalid(message).with_hint("assign it first, or name the variant that it saw"));
        }
        let Recorded { accepted, duplicates, replaced, early, .. } = recorded;
        Ok(RecordedObservations { accepted, duplicates, replaced, early, ..Default::default() })
    }

    /// Begins to record many observations.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] for drafts and cancelled experiments.
    pub async fn import_observations(&self, experiment: &str) -> Result<ObservationImport, Error> {
        let target = self.target(experiment).await?;
        Ok(ObservationImport {
            services: self.services.clone(),
            target,
            waiting: Vec::with_capacity(BATCH),
            lines: Vec::with_capacity(BATCH),
            written: None,
            done: RecordedObservations::default(),
        })
    }

    /// The experiment that is measured under a name. A key means what it means to whoever is assigned: the one that is live, else the
    /// one that was completed last, whose outcomes may be known late. A draft of the same key has no units yet, and of one that was
    /// cancelled nobody asks any more.
    pub(crate) async fn measured(&self, name: &str) -> Result<StoredExperiment, Error> {
        let stored = self.stored(name).await?;
        let Experiment { status, spec, .. } = &stored.experiment;
        let is_aside = matches!(status, ExperimentStatus::Draft | ExperimentStatus::Cancelled) && spec.key == name;
        Ok(match self.flags().await?.by_key(name).filter(|_| is_aside) {
            Some(flag) => StoredExperiment { key: flag.key.clone(), experiment: flag.experiment.clone() },
            None => stored,
        })
    }

    async fn target(&self, experiment: &str) -> Result<Target, Error> {
        let flag = self.flags().await?.find(experiment).cloned();
        // Of what is over, another may have the key by now.
        let is_known =
            |flag: &&Arc<Flag>| flag.experiment.status.is_live() || flag.experiment.id.as_str() == experiment;
        let (key, experiment, flag) = if let Some(flag) = flag.as_ref().filter(is_known) {
            (flag.key.clone(), flag.experiment.clone(), Some(flag.clone()))
        } else {
            let StoredExperiment { key, experiment } = self.measured(experiment).await?;
            let flag = flag.filter(|flag| flag.experiment.id == experiment.id);
            (key, experiment, flag)
        };
        let refused = match experiment.status {
            ExperimentStatus::Draft => Some("is a draft, which nobody takes part in yet: start it first"),
            ExperimentStatus::Cancelled => Some("was cancelled: nothing is recorded any more"),
            ExperimentStatus::Running | ExperimentStatus::Paused | ExperimentStatus::Completed => None,
        };
        if let Some(why) = refused {
            return Err(Error::Conflict { message: format!("experiment `{}` {why}", experiment.id), hint: None });
        }
        let observed = Arc::new(ObservedExperiment::new(key, &experiment));
        Ok(Target { experiment, flag, observed })
    }

    /// What the experiment found so far. It reads sums and no observation, so it takes as long for ten as for ten million.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an experiment that measures nothing.
    pub async fn get_results(&self, experiment: &str, query: &ResultsQuery) -> Result<ExperimentResult, Error> {
        self.services.experiments.exposures.flush().await;
        let stored = self.measured(experiment).await?;
        self.results_of(&stored, query, true).await
    }

    /// The same of an experiment that was read before; the Bayesian view takes longer than all the rest.
    pub(crate) async fn results_of(
        &self,
        stored: &StoredExperiment,
        query: &ResultsQuery,
        bayes: bool,
    ) -> Result<ExperimentResult, Error> {
        let (plan, observed) = self.observed(stored, query).await?;
        self.judge(&stored.experiment, Plan { bayes, ..plan }, &Arc::new(observed)).await
    }

    /// What was observed, and how it is to be judged.
    pub(crate) async fn observed(
        &self,
        StoredExperiment { key, experiment }: &StoredExperiment,
        query: &ResultsQuery,
    ) -> Result<(Plan, Observed), Error> {
        let store = &self.services.store;
        let choice = SliceChoice { segments: query.by_segment, days: query.by_day };
        let (sums, exposures) = (store.observation_sums(key, choice).await?, store.exposure_counts(key).await?);
        self.read_sums(experiment, sums, exposures).await
    }

    /// The same from sums that were read or computed before.
    pub(crate) async fn read_sums(
        &self,
        experiment: &Experiment,
        sums: AllSums,
        exposures: Vec<ExposureCount>,
    ) -> Result<(Plan, Observed), Error> {
        let (plan, experiment) = (plan(&self.services, experiment)?, experiment.clone());
        compute(move || seen(plan, &experiment, sums, &exposures)).await
    }

    /// How far a metric scatters in the control of an experiment; nothing while it has too few units.
    pub(crate) async fn known_of(
        &self,
        StoredExperiment { key, experiment }: &StoredExperiment,
        metric: &MetricSpec,
    ) -> Result<Option<Known>, Error> {
        let sums = self.services.store.observation_sums(key, SliceChoice::default()).await?;
        let (plan, metric) = (plan(&self.services, experiment)?, metric.clone());
        let spread = compute(move || {
            let observed = observed(&plan, sums);
            let arm = observed.arms.get(plan.control).and_then(|arm| arm.metrics.get(&metric.name));
            arm.and_then(|arm| spread_of(&metric, arm))
        });
        let spread = spread.await?;
        Ok(spread.map(|spread| Known { spread, from: experiment.id.to_string() }))
    }
}

fn problem(line: Option<u64>, found: &ObservationProblem) -> Problem {
    Problem { line, field: Some(found.field.to_owned()), message: found.message.clone() }
}

impl Target {
    /// Completes and checks an observation.
    fn check(&self, services: &Services, observation: Observation) -> Result<NewObservation, Vec<ObservationProblem>> {
        let mut problems = observation.problems();
        let spec = &self.experiment.spec;
        let names = self.observed.names();
        if !names.contains(&observation.metric.as_str()) && !observation.metric.is_empty() {
            let hint = suggest::hint(&observation.metric, names.iter().copied());
            let message = format!("`{}` is no metric of this experiment: {hint}", observation.metric);
            problems.push(ObservationProblem::new("metric", message));
        }
        let variant = observation.variant.as_deref().map(|name| {
            spec.variant_index(name).ok_or_else(|| {
                let hint = suggest::hint(name, spec.variants.iter().map(|v| v.id.as_str()));
                ObservationProblem::new("variant", format!("`{name}` is no variant of this experiment: {hint}"))
            })
        });
        let variant = variant.transpose().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if problems.iter().all(|problem| problem.field != "value") {
            problems.extend(self.beyond(&observation.metric, observation.value));
        }
        let now = services.clock.now().as_microsecond();
        let at = observation.at.map_or(now, jiff::Timestamp::as_microsecond);
        if at > now + AHEAD_MICROS {
            problems.push(ObservationProblem::new("at", "it lies more than a day ahead"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let assigned = observation.unit.as_deref().filter(|_| variant.is_none()).and_then(|unit| {
            match self.flag.as_ref()?.assigner.decide(unit, &Map::new()) {
                Decision::Assigned(variant) => Some(variant),
                _ => None,
            }
        });
        // What is not sticky shows a unit what its hash says, whatever it was shown first.
        let sees = assigned.filter(|_| !spec.sticky);
        Ok(NewObservation {
            unit: observation.unit,
            variant: variant.or(sees),
            assigned,
            metric: observation.metric,
            value: observation.value,
            at,
            is_dated: observation.at.is_some(),
            key: observation.idempotency_key,
            replaces: false,
        })
    }
}

impl Target {
    /// What is wrong with a value of this metric: sums of squares of larger ones would swallow all others, also after they were
    /// taken out again, and each kind has its range.
    fn beyond(&self, metric: &str, value: f64) -> Option<ObservationProblem> {
        let kind = self.experiment.spec.metric(metric).map(MetricSpec::kind);
        let too_large = "expected at most 1e12 in size: choose a larger unit";
        let expected = kind.and_then(|kind| kind.refuses(value)).or((value.abs() > LARGEST).then_some(too_large))?;
        Some(ObservationProblem::new("value", format!("it is {value}: {expected}")))
    }
}

/// The lines of a batch, and what becomes of it.
type WrittenBatch = (Vec<u64>, JoinHandle<Result<Recorded, llmops_storage::StoreError>>);

/// Records many observations, batch by batch; what is wrong is refused with its line, and the rest is recorded.
pub struct ObservationImport {
    services: Arc<Services>,
    target: Target,
    waiting: Vec<NewObservation>,
    /// The line of each that waits.
    lines: Vec<u64>,
    /// The batch before, while it is being written.
    written: Option<WrittenBatch>,
    done: RecordedObservations,
}

impl ObservationImport {
    /// Adds an observation; where it `replaces`, its value takes the place of the one that the same observation had before.
    ///
    /// # Errors
    /// When the store is unavailable. Everything may be sent again: what has a key or a time counts once.
    pub async fn push(&mut self, line: u64, observation: Observation, replaces: bool) -> Result<(), Error> {
        match self.target.check(&self.services, observation) {
            Ok(new) => {
                self.waiting.push(NewObservation { replaces, ..new });
                self.lines.push(line);
            }
            Err(problems) => self.refuse(line, &problems),
        }
        if self.waiting.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Refuses a line.
    pub fn refuse(&mut self, line: u64, problems: &[ObservationProblem]) {
        self.done.refused += 1;
        let room = MAX_PROBLEMS.saturating_sub(self.done.problems.len());
        self.done.problems.extend(problems.iter().take(room).map(|found| problem(Some(line), found)));
    }

    /// Hands the batch over and waits for the one before, so that one is written while the next is read.
    async fn flush(&mut self) -> Result<(), Error> {
        let (batch, lines) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.lines));
        let (store, observed) = (self.services.store.clone(), self.target.observed.clone());
        let next = tokio::spawn(async move { store.record_observations(&observed, batch).await });
        let before = self.written.replace((lines, next));
        self.settle(before).await
    }

    async fn settle(&mut self, batch: Option<WrittenBatch>) -> Result<(), Error> {
        let Some((lines, written)) = batch else { return Ok(()) };
        let recorded =
            written.await.map_err(|e| Error::Internal(format!("a batch of observations was lost: {e}")))??;
        self.done.accepted += recorded.accepted;
        self.done.duplicates += recorded.duplicates;
        self.done.replaced += recorded.replaced;
        self.done.early += recorded.early;
        for place in recorded.unassigned {
            let message = "it takes no part in the experiment: assign it first, or name the variant that it saw";
            self.refuse(lines[place], &[ObservationProblem::new("unit", message)]);
        }
        Ok(())
    }

    /// Ends the import; everything is on disk.
    ///
    /// # Errors
    /// When the store is unavailable.
    pub async fn finish(mut self) -> Result<RecordedObservations, Error> {
        self.flush().await?;
        let last = self.written.take();
        self.settle(last).await?;
        self.done.problems.sort_by_key(|problem| problem.line);
        Ok(self.done)
    }
}

/// What was observed, with the split that it should have, and the plan that knows it.
fn seen(plan: Plan, experiment: &Experiment, sums: AllSums, exposures: &[ExposureCount]) -> (Plan, Observed) {
    let mut observed = observed(&plan, sums);
    let split = split::split(experiment, exposures, &observed);
    if let Some(exposed) = split.exposed {
        observed.counted = "exposures";
        observed.arms.iter_mut().zip(exposed).for_each(|(arm, units)| arm.units = units);
    }
    observed.counts = split.counts;
    observed.splits_outcomes = split.outcomes;
    observed.notices.extend(split.notice);
    observed.notices.extend(experiment.split_notices());
    (Plan { weights: split.weights, ..plan }, observed)
}

/// The plan, but for the split, which what was observed has a say in.
fn plan(services: &Services, experiment: &Experiment) -> Result<Plan, Error> {
    let spec = &experiment.spec;
    let target = spec.target_metric.clone().or_else(|| spec.metrics.first().map(|metric| metric.name.clone()));
    let Some(target) = target else {
        return Err(Error::invalid(format!("experiment `{}` measures nothing", experiment.id))
            .with_hint("give it metrics and a target_metric"));
    };
    let now = services.clock.now();
    Ok(Plan {
        name: experiment.id.to_string(),
        variants: spec.variants.iter().map(|variant| variant.id.clone()).collect(),
        control: spec.control_index(),
        weights: Vec::new(),
        retired: (0..).zip(spec.weights()).filter(|(_, share)| *share == 0.0).map(|(variant, _)| variant).collect(),
        metrics: spec.metrics.clone(),
        target,
        rules: spec.analysis.clone(),
        min_samples: spec.analysis.min_samples.unwrap_or(services.options.experiments.min_samples),
        test: None,
        elapsed: Some(experiment.running_time(now)),
        horizon: experiment.one_look.clone().map_or(Horizon::Ahead, |look| Horizon::Taken(Box::new(look))),
        bayes: true,
        now,
    })
}

fn arm_metric(sums: MetricSums) -> ArmMetric {
    ArmMetric {
        sums: sums.sums,
        observations: sums.observations,
        min: sums.min,
        max: sums.max,
        tally: sums.tally,
        histogram: sums.histogram,
        ..ArmMetric::default()
    }
}

fn observed(plan: &Plan, sums: AllSums) -> Observed {
    let count = plan.variants.len();
    let mut observed = Observed { arms: vec![Arm::default(); count], counted: "observed units", ..Observed::default() };
    for ((slice, variant, metric), sums) in sums {
        if variant >= count {
            continue;
        }
        match (sums, slice.split_once('/')) {
            (Sums::Units(units), None) if slice == "excluded" => {
                observed.excluded.units_in_several_variants = units.units;
                observed.excluded.examples = units.examples;
            }
            (Sums::Units(units), None) if slice == "early" => observed.excluded.early_observations = units.units,
            (Sums::Units(units), None) => observed.arms[variant].units = units.units,
            (Sums::Metric(sums), None) => {
                observed.arms[variant].metrics.entry(metric).or_default().merge(&arm_metric(sums));
            }
            (Sums::Sketch(sketch), Some(("part", part))) => {
                add_sketch(&mut observed.arms[variant], metric, part, sketch);
            }
            (Sums::Metric(sums), Some(("allocation", number))) => {
                let Ok(number) = number.parse() else { continue };
                let arms = observed.allocations.entry(number).or_insert_with(|| vec![Arm::default(); count]);
                arms[variant].metrics.insert(metric, arm_metric(sums));
            }
            (Sums::Metric(sums), Some((kind, name))) if sums.sums.units() > 0 => {
                let parts = if kind == "day" { &mut observed.days } else { &mut observed.segments };
                let arms = parts.entry(name.to_owned()).or_insert_with(|| vec![Arm::default(); count]);
                // A unit may have moved to an earlier day since, and took its numbers along but for the range.
                let data = ArmMetric { min: None, max: None, ..arm_metric(sums) };
                arms[variant].metrics.insert(metric, data);
            }
            _ => {}
        }
    }
    observed.winsorise(&plan.metrics);
    observed
}

fn add_sketch(arm: &mut Arm, metric: String, part: &str, sketch: Sketch) {
    let Some(part) = part.parse::<usize>().ok().filter(|part| (*part as u64) < PARTS) else { return };
    let data = arm.metrics.entry(metric).or_default();
    if let Quantiles::None = data.quantiles {
        data.quantiles = Quantiles::Sketches(Vec::new());
    }
    if let Quantiles::Sketches(parts) = &mut data.quantiles {
        parts.resize(parts.len().max(part + 1), Sketch::default());
        parts[part] = sketch;
    }
}
