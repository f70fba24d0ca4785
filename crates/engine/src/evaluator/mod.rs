//! `ContinuousEvaluator`: runs, from creation to results.
//!
//! A run is split into shards of (sample, trial) pairs. Whoever works on a run (this process, or several) leases shards,
//! and writes every pair's result as it comes; what has a result is never asked again. When no shard is left, the
//! results are aggregated from the store, in the order of the samples.

pub(crate) mod aggregate;
mod background;
mod calibration;
mod create;
mod ending;
mod execution;
mod judged;
mod local;
pub(crate) mod paired;
mod selection;
mod shard;
mod trace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use llmops_domain::compare::{self, RunComparison};
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::render::CompiledTarget;
use llmops_domain::run::{
    EvaluationFilter, EvaluationRun, RunResults, RunSpec, RunStatus, SampleResult, SampleSelection, ScoreDistribution,
};
use llmops_storage::{ResultCursor, ResultFilter, RunKey, StatusChange, StoreError, VersionKey, VersionSelector};
use tokio::sync::{OwnedSemaphorePermit, watch};

use self::execution::{Execution, Stop, StopReason};
use crate::cache::ResponseCache;
use crate::datasets::DatasetManager;
use crate::jobs::Job;
use crate::prompts::PromptRegistry;
use crate::scorers::{JudgeSetting, Scorers};
use crate::{Error, Services};

pub(crate) use self::aggregate::{share, to_domain, within};
pub(crate) use self::background::Joined;
pub use self::calibration::CalibrationRequest;
pub(crate) use self::local::{LocalRun, LocalRuns};

/// Longest wait for the look at the numbers of a run that has ended; a worker has it then.
const LAST_LOOK: Duration = Duration::from_secs(30);
/// The tag that makes a run the baseline of its dataset.
pub const BASELINE_TAG: &str = "env=production";

/// Which run is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunRef {
    /// An id, or a beginning of one that fits no other.
    Id(String),
    /// The newest run, however it stands.
    Latest,
    /// The run tagged `env=production`.
    Baseline,
}

impl From<&str> for RunRef {
    fn from(text: &str) -> Self {
        match text {
            "latest" => Self::Latest,
            "baseline" => Self::Baseline,
            id => Self::Id(id.to_owned()),
        }
    }
}

/// Manages evaluation runs: create_run, start_run, get_run, list_runs, cancel, compare_runs.
#[derive(Debug, Clone)]
pub struct ContinuousEvaluator {
    pub(crate) services: Arc<Services>,
    pub(crate) project: ProjectId,
    pub(crate) prompts: PromptRegistry,
    pub(crate) datasets: DatasetManager,
}

impl ContinuousEvaluator {
    /// One run. `latest` and `baseline` need no dataset where the project has only one answer.
    pub async fn get_run(&self, run: &RunRef, dataset: Option<&str>) -> Result<EvaluationRun, Error> {
        match run {
            RunRef::Id(id) => {
                let mut run = self.services.store.get_run(&self.project, id).await?;
                self.find_interrupted(std::slice::from_mut(&mut run)).await?;
                Ok(run)
            }
            RunRef::Latest => self.latest(dataset).await,
            RunRef::Baseline => {
                let dataset = match dataset {
                    Some(dataset) => dataset.to_owned(),
                    None => self.latest(None).await?.dataset,
                };
                self.baseline(&dataset).await?.ok_or_else(|| {
                    Error::not_found("baseline", dataset)
                        .with_hint("llmops baseline promote RUN makes a run the baseline")
                })
            }
        }
    }

    async fn latest(&self, dataset: Option<&str>) -> Result<EvaluationRun, Error> {
        let filter =
            EvaluationFilter { dataset: dataset.map(str::to_owned), limit: Some(1), ..EvaluationFilter::default() };
        let newest = self.list_runs(&filter).await?.pop();
        newest.ok_or_else(|| Error::not_found("run", "latest").with_hint("llmops eval makes one"))
    }

    /// The run of this dataset that was tagged `env=production` last.
    pub async fn baseline(&self, dataset: &str) -> Result<Option<EvaluationRun>, Error> {
        Ok(self.services.store.latest_baseline(&self.project, dataset, BASELINE_TAG).await?)
    }

    /// Makes a run the baseline of its dataset. A run without complete results needs `force`.
    pub async fn promote(&self, run: &RunRef, force: bool) -> Result<EvaluationRun, Error> {
        let run = self.get_run(run, None).await?;
        let unfit = match run.status {
            RunStatus::Completed if run.spec.is_partial() => Some("saw only a part of the samples".to_owned()),
            RunStatus::Completed => None,
            status => Some(format!("is {status}, not completed")),
        };
        if let Some(why) = unfit.filter(|_| !force) {
            return Err(Error::Conflict {
                message: format!("the run {} {why}", run.id),
                hint: Some("promote a completed run of all samples, or insist with --force".to_owned()),
            });
        }
        self.services.store.promote_baseline(&self.project, &run, BASELINE_TAG, self.services.clock.now()).await?;
        self.get_run(&RunRef::Id(run.id.0), None).await
    }

    /// Runs, newest first.
    pub async fn list_runs(&self, filter: &EvaluationFilter) -> Result<Vec<EvaluationRun>, Error> {
        let mut runs = self.services.store.list_runs(&self.project, filter).await?;
        self.find_interrupted(&mut runs).await?;
        Ok(runs)
    }

    /// Marks those of the runs that are running and that nobody works on. Who is killed keeps the shards until the lease ends, or
    /// until somebody on the same machine sees that there is no such process. One without any lease waits for a worker, or is
    /// about to end.
    async fn find_interrupted(&self, runs: &mut [EvaluationRun]) -> Result<(), Error> {
        if runs.iter().all(|run| run.status != RunStatus::Running) {
            return Ok(());
        }
        let now = self.services.clock.now();
        let leases = self.services.store.running_leases(&self.project).await?;
        for run in runs.iter_mut().filter(|run| run.status == RunStatus::Running) {
            let mut held = leases.iter().filter(|(id, ..)| *id == run.id).peekable();
            run.interrupted = self.services.runs.get(&run.id).is_none()
                && held.peek().is_some()
                && held.all(|(_, owner, until)| *until <= now || crate::owner::is_dead(owner));
        }
        Ok(())
    }

    /// Waits until the run has ended, at most `patience`, and answers how it stands. A run that is running with an error is one
    /// that this process worked on and could not finish, because the store took nothing any more.
    pub async fn wait(&self, run: &RunRef, patience: Duration) -> Result<EvaluationRun, Error> {
        let started = Instant::now();
        let present = self.get_run(run, None).await?;
        if let Some(local) = self.services.runs.get(&present.id) {
            let mut ended = local.ended.clone();
            // A timeout is no error: the caller asked how the run stands by then.
            let in_time = tokio::time::timeout(patience, ended.wait_for(|ended| *ended)).await.is_ok();
            let run = self.services.runs.explained(self.get_run(&RunRef::Id(present.id.0.clone()), None).await?);
            if run.status.is_final() && !in_time {
                // Its numbers are looked at now. A command that left with its status would take the alerts with it.
                let _ = tokio::time::timeout(LAST_LOOK, ended.wait_for(|ended| *ended)).await;
            }
            if !in_time || run.status.is_final() || run.error.is_some() {
                return Ok(run);
            }
        }
        let explained = self.services.runs.explained(present.clone());
        if present.status.is_final() || explained.error.is_some() {
            return Ok(explained);
        }
        self.wait_for_others(&present.id, patience.saturating_sub(started.elapsed())).await
    }

    /// Starts a pending run, or resumes one that stopped. Pairs with a result are not asked again; errored ones are. With a
    /// queue, workers take it from there; without one, this process works on it.
    pub async fn start_run(&self, id: &str) -> Result<EvaluationRun, Error> {
        let run = self.get_run(&RunRef::from(id), None).await?;
        if run.status == RunStatus::Completed || self.services.runs.get(&run.id).is_some() {
            return Ok(run);
        }
        if self.services.options.queue.is_some() {
            return self.enqueue(run).await;
        }
        let execution = self.execution(&run).await?;
        let started = self.prepare(&run, &execution.key).await?;
        self.spawn(execution, None);
        Ok(started)
    }

    /// Everything that this process needs to work on a run.
    async fn execution(&self, run: &EvaluationRun) -> Result<Execution, Error> {
        let prompt = self.prompt_of(&run.spec.manifest).await?;
        let key = self.services.store.run_key(&self.project, &run.id).await?;
        let (compiled, scorers, target, cache) = self.compile(&run.spec, prompt.as_ref()).await?;
        let selector = VersionSelector::from(&run.spec.dataset_version);
        scorers.note_spent(self.services.store.run_status(&key).await?.1);
        Ok(Execution {
            services: self.services.clone(),
            id: run.id.clone(),
            dataset: self.datasets.version(&run.spec.dataset, &selector).await?.key,
            key,
            spec: run.spec.clone(),
            compiled,
            target,
            scorers,
            chosen: run.spec.only.as_ref().map(SampleSelection::compile).transpose().map_err(Error::invalid)?,
            cache,
            owner: self.services.owner.clone(),
            held: shard::Held::default(),
            stop: Stop::default(),
        })
    }

    /// Works on a run in the background, as long as there is something to do for this process. False: it does already.
    fn spawn(&self, execution: Execution, place: Option<OwnedSemaphorePermit>) -> bool {
        let (execution, (end, ended)) = (Arc::new(execution), watch::channel(false));
        let id = execution.id.clone();
        if !self.services.runs.add(&id, LocalRun { execution: execution.clone(), ended }) {
            return false;
        }
        let evaluator = self.clone();
        tokio::spawn(async move {
            if let Err(error) = evaluator.execute(execution).await {
                tracing::error!(run = %id, %error, "the run could not be finished");
                if evaluator.services.options.queue.is_none() {
                    evaluator.services.runs.broke_off(&id, &error);
                }
            }
            evaluator.services.runs.remove(&id);
            // Nobody may be waiting any more.
            let _ = end.send(true);
            drop(place);
        });
        true
    }

    /// Gives back what a dead process held, forgets errors, and marks the run as running.
    async fn prepare(&self, run: &EvaluationRun, key: &RunKey) -> Result<EvaluationRun, Error> {
        let store = &self.services.store;
        if run.status != RunStatus::Pending {
            let leases = store.shard_summary(key).await?.leases;
            let dead: Vec<String> =
                leases.into_iter().map(|l| l.owner).filter(|owner| crate::owner::is_dead(owner)).collect();
            store.release_leases(key, &dead).await?;
            store.clear_errored(key).await?;
        }
        let change = StatusChange {
            from: run.status,
            to: RunStatus::Running,
            at: self.services.clock.now(),
            error: None,
            results: None,
        };
        Ok(store.update_run_status(&self.project, &run.id, change).await?)
    }

    async fn execute(&self, execution: Arc<Execution>) -> Result<(), Error> {
        let worked = match execution.scorers.prepare(&self.services.store, execution.dataset).await {
            Ok(()) => execution.clone().work().await,
            unprepared => unprepared,
        };
        match (worked, execution.stop.reason()) {
            (_, Some(StopReason::Ended)) => {
                self.release(&execution).await;
                Ok(())
            }
            (_, Some(StopReason::Leaving)) => {
                self.release(&execution).await;
                Ok(self.services.push_job(&self.project, &Job::Run { run: execution.id.clone() }, None).await?)
            }
            (_, Some(StopReason::Cancelled)) => {
                self.release(&execution).await;
                self.finish(&execution, RunStatus::Cancelled, None, None).await
            }
            (_, Some(StopReason::Unavailable(message))) => {
                self.release(&execution).await;
                let error = format!("gave up: the provider is unavailable: {message}");
                self.finish(&execution, RunStatus::Failed, Some(&error), None).await
            }
            // Nobody can say how the run stands. Whoever reaches the store again goes on.
            (Err(error @ Error::Store(StoreError::Unavailable(_))), None) => Err(error),
            (Err(error), None) => {
                self.release(&execution).await;
                self.finish(&execution, RunStatus::Failed, Some(&error.to_string()), None).await
            }
            (Ok(()), None) => execution.patiently(|| self.conclude(&execution)).await,
        }
    }

    /// Lets others (or a resumption) take this process's shards at once.
    async fn release(&self, execution: &Execution) {
        let owners = std::slice::from_ref(&execution.owner);
        if let Err(error) = self.services.store.release_leases(&execution.key, owners).await {
            tracing::warn!(run = %execution.id, %error, "could not give the leases back");
        }
    }

    async fn conclude(&self, execution: &Execution) -> Result<(), Error> {
        let summary = self.services.store.shard_summary(&execution.key).await?;
        if summary.done < summary.total {
            return Ok(());
        }
        let mut results = aggregate::aggregate(&self.services.store, &execution.key, &execution.spec).await?;
        execution.round_off(&mut results);
        results.corrected = self.transported(&execution.spec, &results).await?;
        let pairs = results.total_samples * u64::from(execution.spec.repeat);
        let rate = results.errored_trials as f64 / (pairs as f64).max(1.0);
        let limit = execution.spec.scoring.max_error_rate;
        if rate > limit {
            let error = format!(
                "{} of {pairs} trials errored ({:.1} %, at most {:.1} % may); most often: {}",
                results.errored_trials,
                rate * 100.0,
                limit * 100.0,
                most_frequent(&results)
            );
            return self.finish(execution, RunStatus::Failed, Some(&error), Some(&results)).await;
        }
        self.finish(execution, RunStatus::Completed, None, Some(&results)).await
    }

    async fn finish(
        &self,
        execution: &Execution,
        to: RunStatus,
        error: Option<&str>,
        results: Option<&RunResults>,
    ) -> Result<(), Error> {
        let change = StatusChange { from: RunStatus::Running, to, at: self.services.clock.now(), error, results };
        match self.services.store.update_run_status(&self.project, &execution.id, change).await {
            Ok(run) => {
                trace::run_ended(&self.services, &run);
                if let Some(queue) = &self.services.options.queue {
                    // Whoever takes the job later sees that the run has ended.
                    let _ = queue.withdraw(&Job::Run { run: execution.id.clone() }.name(&self.project)).await;
                }
                if to == RunStatus::Completed {
                    crate::alerts::review_run(&self.services, &self.project, &execution.id).await;
                }
                Ok(())
            }
            // Another worker of this run, or a person, was first.
            Err(StoreError::Transition(_) | StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Stops a run. What is on its way still ends on disk; the rest can be resumed.
    pub async fn cancel(&self, run: &RunRef) -> Result<EvaluationRun, Error> {
        let run = self.get_run(run, None).await?;
        if let Some(local) = self.services.runs.get(&run.id) {
            local.execution.stop.because(StopReason::Cancelled);
            return self.wait(&RunRef::Id(run.id.0), Duration::from_secs(30)).await;
        }
        let change = StatusChange {
            from: run.status,
            to: RunStatus::Cancelled,
            at: self.services.clock.now(),
            error: None,
            results: None,
        };
        Ok(self.services.store.update_run_status(&self.project, &run.id, change).await?)
    }

    /// Sample results, and the cursor of the next page.
    pub async fn results(
        &self,
        run: &RunId,
        filter: &ResultFilter,
        cursor: Option<&ResultCursor>,
        limit: u32,
    ) -> Result<(Vec<SampleResult>, Option<ResultCursor>), Error> {
        let key = self.services.store.run_key(&self.project, run).await?;
        Ok(self.services.store.list_results(&key, filter, cursor, limit).await?)
    }

    /// How the composites of a run's trials are spread.
    pub async fn distribution(&self, run: &RunId) -> Result<ScoreDistribution, Error> {
        let key = self.services.store.run_key(&self.project, run).await?;
        Ok(self.services.store.score_distribution(&key).await?)
    }

    /// Every trial of one sample.
    pub async fn results_of_sample(&self, run: &RunId, sample: &str) -> Result<Vec<SampleResult>, Error> {
        let key = self.services.store.run_key(&self.project, run).await?;
        let results = self.services.store.get_results_of_sample(&key, sample).await?;
        if results.is_empty() {
            return Err(Error::not_found("sample", sample)
                .with_hint(format!("llmops run show {run} lists samples; the run may not have reached this one")));
        }
        Ok(results)
    }

    /// What changed from one run to another.
    pub async fn compare_runs(&self, before: &RunRef, after: &RunRef) -> Result<RunComparison, Error> {
        let (before, after) = (self.get_run(before, None).await?, self.get_run(after, None).await?);
        let (comparison, _) = self.compare(&before, &after).await?;
        Ok(comparison)
    }

    pub(crate) async fn compare(
        &self,
        before: &EvaluationRun,
        after: &EvaluationRun,
    ) -> Result<(RunComparison, paired::Pairing), Error> {
        for run in [before, after] {
            if run.results.is_none() {
                return Err(Error::Conflict {
                    message: format!("the run {} has no results: it is {}", run.id, run.status),
                    hint: Some("finish it first: llmops eval --resume".to_owned()),
                });
            }
        }
        let store = &self.services.store;
        let keys = (store.run_key(&self.project, &before.id).await?, store.run_key(&self.project, &after.id).await?);
        let versions = self.versions_of(before, after).await?;
        let mut pairing = paired::pair(store, (&keys.0, &keys.1), versions, &after.spec.scoring).await?;
        let flips = std::mem::take(&mut pairing.flips);
        let comparison = compare::compare(before, after, pairing.evidence.clone(), flips);
        Ok((comparison, pairing))
    }

    /// The dataset versions of two runs, where they differ.
    async fn versions_of(
        &self,
        before: &EvaluationRun,
        after: &EvaluationRun,
    ) -> Result<Option<paired::Versions>, Error> {
        let [was, is] = [&before.spec, &after.spec];
        if was.dataset_version == is.dataset_version {
            return Ok(None);
        }
        Ok(Some((self.dataset_key(was).await?, self.dataset_key(is).await?)))
    }

    async fn dataset_key(&self, spec: &RunSpec) -> Result<VersionKey, Error> {
        let selector = VersionSelector::from(&spec.dataset_version);
        Ok(self.datasets.version(&spec.dataset, &selector).await?.key)
    }

    async fn prompt_of(&self, manifest: &Manifest) -> Result<Option<PromptVersion>, Error> {
        let (Some(name), Some(hash)) = (&manifest.prompt, &manifest.prompt_hash) else { return Ok(None) };
        let found = self.services.store.prompt_by_hash(&self.project, name, hash).await?;
        found.map(Some).ok_or_else(|| {
            Error::not_found("prompt", format!("{name}@{}", hash.short()))
                .with_hint("the version was deleted; push it again")
        })
    }

    async fn compile(&self, spec: &RunSpec, prompt: Option<&PromptVersion>) -> Result<Compiled, Error> {
        let cache = ResponseCache::new(self.services.store.clone(), self.project.clone(), spec.cache);
        let target = self.services.providers.resolve(&spec.manifest.model)?;
        let compiled = CompiledTarget::compile(spec.manifest.clone(), prompt.map(|p| &p.body))
            .map_err(|e| Error::invalid(e.to_string()))?;
        let judges = JudgeSetting::load(self, &spec.scoring, &cache).await?;
        let (own, models) = (&self.services.options.own_scorers, &self.services.models);
        let scorers = Scorers::compile(&spec.scoring, &judges, own, models, &self.services.outbound)?;
        Ok((compiled, scorers, target, cache))
    }
}

type Compiled = (CompiledTarget, Scorers, llmops_providers::Target, ResponseCache);

fn most_frequent(results: &RunResults) -> String {
    results.error_reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.clone()).unwrap_or_default()
}
