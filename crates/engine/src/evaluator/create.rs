//! Creating a run: resolving what is asked for to what will be executed.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use llmops_api::runs::{CreateRun, TargetSpec};
use llmops_domain::id::RunId;
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptVersion;
use llmops_domain::run::{EvaluationRun, Progress, RunSpec, RunStatus};
use llmops_domain::scoring::{BertscoreSpec, MetricSpec, NAMES_OF_THE_WHOLE, PairwiseSpec, ScorerSpec, ScoringSpec};
use llmops_storage::{StoredVersion, VersionSelector};

use super::ContinuousEvaluator;
use super::shard::SHARD_PAIRS;
use crate::models::{DEFAULT_MODEL, Models};
use crate::scorers::pin_judges;
use crate::{Deployments, Error};

/// Most trials of a sample.
const MAX_REPEAT: u32 = 1_000;
/// Most scorers of a run.
const MAX_METRICS: usize = 100;
/// Largest weight of a category.
const HEAVIEST: f64 = 1e9;

impl ContinuousEvaluator {
    /// Creates a run: resolves the target to a manifest, the dataset to a version, and checks that every scorer can be
    /// built, so that a run that exists can be executed. Starts it unless told otherwise.
    pub async fn create_run(&self, request: CreateRun) -> Result<EvaluationRun, Error> {
        self.create_run_as(None, request).await
    }

    /// Checks that a run could be created, without creating it.
    pub(crate) async fn check_run(&self, request: CreateRun) -> Result<(), Error> {
        Box::pin(self.build(request)).await.map(drop)
    }

    /// Creates a run under an id that the caller decides, where it decides one.
    pub(crate) async fn create_run_as(&self, id: Option<RunId>, request: CreateRun) -> Result<EvaluationRun, Error> {
        let start = request.start;
        // Boxed: most callers have large futures of their own.
        let (mut run, shards) = Box::pin(self.build(request)).await?;
        run.id = id.unwrap_or(run.id);
        self.services.store.put_manifest(&self.project, &run.spec.manifest).await?;
        self.services.store.create_run(&self.project, &run, &shards).await?;
        if start { self.start_run(run.id.as_str()).await } else { Ok(run) }
    }

    /// The run, and the pairs of sample and trial that its shards hold.
    async fn build(&self, request: CreateRun) -> Result<(EvaluationRun, Vec<(u64, u64)>), Error> {
        check_numbers(&request)?;
        self.services.options.own_scorers.check(&request.scoring)?;
        let mut notices = request.notices;
        let mut scoring =
            resolve_models(self.with_debate(request.scoring), &self.services.models, &mut notices).await?;
        scoring.metrics.values_mut().for_each(|metric| metric.scorer.forget_secrets());
        let dataset = self.find_dataset(&request.dataset).await?;
        let (target, manifest, prompt) = self.resolve(request.target, &mut notices).await?;
        self.resolve_opponents(&dataset.version.dataset, &mut scoring, &mut notices).await?;
        pin_judges(&self.prompts, &mut scoring).await?;
        note_same_model(&manifest, &scoring, &mut notices);
        let count = dataset.version.sample_count;
        if count == 0 || request.limit == Some(0) {
            return Err(Error::invalid(format!("the dataset `{}` has no samples", dataset.version.dataset)));
        }
        let only = match request.only.filter(|only| !only.is_all()) {
            Some(only) => Some(self.resolve_selection(only).await?),
            None => None,
        };
        let (samples, end) = match &only {
            Some(only) => self.count_chosen(&dataset, only, request.limit).await?,
            None => request.limit.map_or((count, count), |limit| (limit.min(count), limit.min(count))),
        };
        let now = self.services.clock.now();
        let spec = RunSpec {
            suite: request.suite,
            target,
            manifest_id: manifest.id().map_err(|e| Error::invalid(e.to_string()))?,
            manifest,
            dataset: dataset.version.dataset.clone(),
            dataset_version: dataset.version.version.clone(),
            category_weights: request.category_weights,
            scoring,
            repeat: request.repeat,
            // One that leaves nothing out is none.
            limit: request.limit.filter(|limit| only.is_some() || *limit < count),
            only,
            cache: request.cache,
            notices,
        };
        self.try_out(&spec, prompt.as_ref()).await?;
        let shards = shards(end * u64::from(spec.repeat));
        let run = EvaluationRun {
            id: RunId::new(now.as_millisecond(), self.services.clock.random()),
            name: request.name.unwrap_or_else(|| format!("{} on {}", spec.target, spec.dataset)),
            description: request.description,
            dataset: spec.dataset.clone(),
            prompt_name: spec.manifest.prompt.clone(),
            prompt_version: spec.manifest.prompt_version.clone(),
            model_name: spec.manifest.model.clone(),
            metrics: spec.scoring.metrics.keys().cloned().collect(),
            status: RunStatus::Pending,
            interrupted: false,
            error: None,
            tags: request.tags,
            metadata: request.metadata,
            results: None,
            gate: None,
            progress: Progress { total: samples * u64::from(spec.repeat), ..Progress::default() },
            start_time: None,
            end_time: None,
            created_at: now,
            spec,
        };
        Ok((run, shards))
    }

    /// Builds everything once, which finds what would fail later.
    async fn try_out(&self, spec: &RunSpec, prompt: Option<&PromptVersion>) -> Result<(), Error> {
        let (_, _, model, _) = self.compile(spec, prompt).await?;
        // With a queue, whoever works on the run may have what is not here.
        if self.services.options.queue.is_some() {
            return Ok(());
        }
        let (target, name) = (&spec.target, &spec.manifest.model);
        let ready = model.ready().await;
        ready.map_err(|error| Error::invalid(format!("the target `{target}` on {name} cannot be asked: {error}")))
    }

    /// The name of a target, the manifest that it means, and its prompt.
    async fn resolve(
        &self,
        target: TargetSpec,
        notices: &mut Vec<String>,
    ) -> Result<(String, Manifest, Option<PromptVersion>), Error> {
        let only_named =
            TargetSpec { name: target.name.clone(), manifest: None, manifest_hash: None, ..target.clone() };
        let has_parts = only_named != TargetSpec { name: target.name.clone(), ..TargetSpec::default() };
        let deployments = Deployments::new(self.services.clone(), self.project.clone(), self.prompts.clone());
        let whole = (target.manifest.as_ref(), target.manifest_hash.as_deref());
        if let Some(manifest) = deployments.whole(whole, has_parts).await? {
            let prompt = self.prompt_of(&manifest).await?;
            return Ok((target.name, manifest, prompt));
        }
        let prompt = match &target.prompt {
            Some(reference) => Some(self.prompts.resolve(reference).await?),
            None => None,
        };
        let target = self.choose_model(target, notices).await?;
        let manifest = resolve_target(&target, prompt.as_ref())?;
        Ok((target.name, manifest, prompt))
    }

    /// Of several candidates the verifier takes the best one.
    async fn choose_model(&self, mut target: TargetSpec, notices: &mut Vec<String>) -> Result<TargetSpec, Error> {
        if target.candidates.is_empty() {
            return Ok(target);
        }
        for candidate in &target.candidates {
            self.services.providers.resolve(candidate)?;
        }
        let best = self.services.verifier().select_best_provider(&self.project, &target.candidates).await?;
        notices.push(format!("{best} was the best of the candidates {}", target.candidates.join(", ")));
        target.model = Some(best);
        Ok(target)
    }

    /// Adds the debate that was set for runs without one.
    fn with_debate(&self, mut scoring: ScoringSpec) -> ScoringSpec {
        let is_debate = |metric: &MetricSpec| matches!(metric.scorer, ScorerSpec::Debate(_));
        let evaluator = self.services.debate.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(evaluator) = evaluator
            && !scoring.metrics.values().any(is_debate)
        {
            let scorer = ScorerSpec::Debate(evaluator.spec().clone());
            let metric = MetricSpec { weight: None, threshold: Some(0.0), scorer };
            scoring.metrics.entry("debate".to_owned()).or_insert(metric);
        }
        scoring
    }

    /// Replaces `baseline` by the run it means now. Without a baseline there is nothing to compare with: the metric is left
    /// out, as the first run of a dataset could not be made otherwise.
    async fn resolve_opponents(
        &self,
        dataset: &str,
        scoring: &mut ScoringSpec,
        notices: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut left_out = Vec::new();
        for (name, metric) in &mut scoring.metrics {
            let ScorerSpec::Pairwise(spec) = &mut metric.scorer else { continue };
            if spec.against == PairwiseSpec::BASELINE {
                match self.baseline(dataset).await? {
                    Some(run) => spec.against = run.id.0,
                    None => left_out.push(name.clone()),
                }
            } else if spec.against != PairwiseSpec::REFERENCE {
                let run = self.services.store.get_run(&self.project, &spec.against).await;
                let run = run.map_err(|error| {
                    Error::invalid(format!("metric `{name}`, key `against`: {error}"))
                        .with_hint("write reference, baseline or the id of a run (llmops run list)")
                })?;
                spec.against = run.id.0;
            }
        }
        for name in left_out {
            scoring.metrics.shift_remove(&name);
            notices.push(format!(
                "`{name}` is left out: `{dataset}` has no baseline to compare with; the other weights are scaled up"
            ));
        }
        scale_weights(scoring);
        if scoring.metrics.is_empty() {
            let message = format!("no metric is left: `{dataset}` has no baseline to compare with");
            return Err(Error::invalid(message).with_hint(
                "evaluate with another metric first, and make that run the baseline: llmops baseline promote",
            ));
        }
        Ok(())
    }

    async fn find_dataset(&self, reference: &str) -> Result<StoredVersion, Error> {
        let (name, selector) = match reference.split_once('@') {
            None => (reference, VersionSelector::Latest),
            Some((name, version)) => (name, crate::datasets::read_version(version)?),
        };
        self.datasets.version(name, &selector).await
    }
}

/// Splits pair indices into shards.
fn shards(pairs: u64) -> Vec<(u64, u64)> {
    (0..pairs.div_ceil(SHARD_PAIRS)).map(|i| (i * SHARD_PAIRS, ((i + 1) * SHARD_PAIRS).min(pairs))).collect()
}

fn resolve_target(target: &TargetSpec, prompt: Option<&PromptVersion>) -> Result<Manifest, Error> {
    let model = target.model.as_deref().or_else(|| prompt.and_then(|p| p.body.model.as_deref())).ok_or_else(|| {
        Error::invalid(format!("the target `{}` names no model, and its prompt neither", target.name))
            .with_hint("write `model: provider/model` in the target")
    })?;
    let mut manifest = Manifest::resolve(prompt, model, &target.parameters);
    manifest.model_version.clone_from(&target.model_version);
    manifest.retriever_index_version.clone_from(&target.retriever_index_version);
    if target.system.is_some() {
        manifest.system.clone_from(&target.system);
    }
    Ok(manifest)
}

fn check_numbers(request: &CreateRun) -> Result<(), Error> {
    if !(1..=MAX_REPEAT).contains(&request.repeat) {
        return Err(Error::invalid(format!("repeat is {}: expected 1 to {MAX_REPEAT}", request.repeat)));
    }
    check_metrics(&request.scoring)?;
    check_category_weights(&request.category_weights)
}

/// Checks the names, the options of judges, and the weights.
fn check_metrics(scoring: &ScoringSpec) -> Result<(), Error> {
    if scoring.metrics.is_empty() || scoring.metrics.len() > MAX_METRICS {
        return Err(Error::invalid(format!("{} metrics: expected 1 to {MAX_METRICS}", scoring.metrics.len())));
    }
    for (name, metric) in &scoring.metrics {
        if NAMES_OF_THE_WHOLE.contains(&name.as_str()) {
            return Err(Error::invalid(format!(
                "metric `{name}`: reports call what is made of all metrics and samples so"
            ))
            .with_hint("choose another name"));
        }
        crate::scorers::check(name, &metric.scorer)?;
    }
    check_weights(scoring)
}

/// Finds the embedding models. Where a metric names one, it must be there. Where it names none (as the default metrics do)
/// and the default one is not to be had, the metric is left out, which is said, and the other weights are scaled up.
async fn resolve_models(
    mut scoring: ScoringSpec,
    models: &Models,
    notices: &mut Vec<String>,
) -> Result<ScoringSpec, Error> {
    let mut missing = Vec::new();
    for (name, metric) in &mut scoring.metrics {
        match &mut metric.scorer {
            ScorerSpec::Bertscore(BertscoreSpec { model, .. }) | ScorerSpec::EmbeddingSimilarity { model } => {
                match (models.find(model.as_deref().unwrap_or(DEFAULT_MODEL)).await, &model) {
                    (Ok(_), Some(_)) => {}
                    (Ok(_), None) => *model = Some(DEFAULT_MODEL.to_owned()),
                    (Err(error), Some(_)) => return Err(error.into()),
                    (Err(error), None) => missing.push((name.clone(), error)),
                }
            }
            _ => {}
        }
    }
    if missing.is_empty() {
        return Ok(scoring);
    }
    for (name, error) in missing {
        scoring.metrics.shift_remove(&name);
        notices.push(format!(
            "`{name}` is left out, for it names no model and the default one, {DEFAULT_MODEL}, is not to be had: {}",
            error.briefly()
        ));
    }
    if weight_of_all(&scoring) <= 0.0 {
        return Err(Error::invalid(format!("no metric with a weight is left: {}", notices.join("; ")))
            .with_hint("scoring.metrics.bertscore.model names a model: a folder or a name on the Hugging Face hub"));
    }
    if scale_weights(&mut scoring) {
        let weights = scoring.metrics.iter().filter_map(|(name, m)| Some(format!("{name} {:.3}", m.weight?)));
        notices.push(format!("the weights left were scaled to sum to 1: {}", weights.collect::<Vec<_>>().join(", ")));
    }
    Ok(scoring)
}

fn weight_of_all(scoring: &ScoringSpec) -> f64 {
    scoring.metrics.values().filter_map(|metric| metric.weight).sum()
}

/// Scales the weights to sum to 1, where there are any. False: they do already, or there is nothing to scale.
fn scale_weights(scoring: &mut ScoringSpec) -> bool {
    let sum = weight_of_all(scoring);
    let is_off = sum > 0.0 && (sum - 1.0).abs() > 1e-9;
    if is_off {
        scoring.metrics.values_mut().filter_map(|metric| metric.weight.as_mut()).for_each(|weight| *weight /= sum);
    }
    is_off
}

fn check_weights(scoring: &ScoringSpec) -> Result<(), Error> {
    let weights = || scoring.metrics.iter().filter_map(|(name, metric)| Some((name, metric, metric.weight?)));
    for (name, metric, weight) in weights() {
        if !(0.0..=1.0).contains(&weight) {
            return Err(Error::invalid(format!("the weight of `{name}` is {weight}: expected 0 to 1")));
        }
        if !metric.scorer.is_score() {
            return Err(Error::invalid(format!("`{name}` is a measurement and cannot have a weight")));
        }
    }
    let sum: f64 = weights().map(|(_, _, weight)| weight).sum();
    if weights().next().is_some() && (sum - 1.0).abs() > 1e-9 {
        return Err(Error::invalid(format!("the weights of the metrics sum to {sum}, not to 1")));
    }
    Ok(())
}

/// Weights of categories are scaled to sum to 1, whatever they are of: one below 0 would make others count more than whole.
fn check_category_weights(weights: &BTreeMap<String, f64>) -> Result<(), Error> {
    if let Some((name, weight)) = weights.iter().find(|(_, weight)| !(0.0..=HEAVIEST).contains(*weight)) {
        let message = format!("the weight of the category `{name}` is {weight}: expected 0 to {HEAVIEST}");
        return Err(Error::invalid(message));
    }
    if !weights.is_empty() && weights.values().all(|weight| *weight == 0.0) {
        return Err(Error::invalid("every category has the weight 0: expected one above it"));
    }
    Ok(())
}

fn note_same_model(manifest: &Manifest, scoring: &ScoringSpec, notices: &mut Vec<String>) {
    for (name, metric) in &scoring.metrics {
        if metric.scorer.judge_models().contains(&manifest.model.as_str()) {
            notices.push(format!(
                "`{name}` is judged by the model under test ({}): models favour their own answers; use another judge",
                manifest.model
            ));
        }
    }
}
