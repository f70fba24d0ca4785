//! `ExperimentManager`: experiments and their life, and who gets which variant.

mod assign;
mod exposures;
pub(crate) mod live;
mod make;
mod questions;
mod review;

use std::sync::Arc;
use std::time::Duration;

use llmops_api::Problem;
use llmops_domain::config::OperationsConfig;
use llmops_domain::event::Event;
use llmops_domain::experiment::lifecycle::StepError;
use llmops_domain::experiment::{Experiment, ExperimentSpec, ExperimentStatus, InvalidExperiment, Variant};
use llmops_domain::id::{ExperimentId, ProjectId};
use llmops_domain::incident::IncidentFilter;
use llmops_domain::render::CompiledPrompt;
use llmops_storage::{StoreError, StoredExperiment};
use serde_json::{Map, Value};

pub use assign::Assigned;
pub use live::{Flag, Flags};
pub(crate) use review::review_due;

use crate::prompts::PromptRegistry;
use crate::{Deployments, Error, Services};

/// What experiments are judged by that do not say, and how often the server looks at them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentOptions {
    /// Units of each variant before a winner is named.
    pub min_samples: u64,
    /// Time between two looks at a running experiment.
    pub review_interval: Duration,
}

impl ExperimentOptions {
    /// The options of a configuration.
    pub fn new(operations: &OperationsConfig) -> Self {
        Self {
            min_samples: u64::from(operations.min_samples_for_significance),
            review_interval: operations.experiment_review_interval.0,
        }
    }
}

impl Default for ExperimentOptions {
    fn default() -> Self {
        Self::new(&OperationsConfig::default())
    }
}

/// Most open incidents that are looked at.
const MOST_INCIDENTS: u32 = 500;

/// Manages experiments: create, get, list, update, start, pause, resume, complete, cancel, assign_variant.
#[derive(Debug, Clone)]
pub struct ExperimentManager {
    pub(crate) services: Arc<Services>,
    pub(crate) project: ProjectId,
    pub(crate) prompts: PromptRegistry,
}

impl From<InvalidExperiment> for Error {
    fn from(invalid: InvalidExperiment) -> Self {
        let problem = |p: &llmops_domain::experiment::SpecProblem| Problem {
            line: None,
            field: Some(p.field.clone()),
            message: p.message.clone(),
        };
        let problems = invalid.problems.iter().map(problem).collect();
        Self::Invalid { message: invalid.to_string(), problems, hint: None }
    }
}

impl ExperimentManager {
    /// Makes a draft. What was left out is filled in; all mistakes come at once.
    pub async fn create(&self, spec: ExperimentSpec) -> Result<Experiment, Error> {
        self.create_noted(spec, Vec::new()).await
    }

    /// The same, with what a person should know.
    pub(crate) async fn create_noted(&self, spec: ExperimentSpec, notices: Vec<String>) -> Result<Experiment, Error> {
        let spec = spec.checked()?;
        let now = self.services.clock.now();
        let id = ExperimentId::new(now.as_millisecond(), self.services.clock.random());
        let mut experiment = Experiment::draft(id, spec, now);
        experiment.notices.extend(notices);
        self.services.store.create_experiment(&self.project, &experiment).await?;
        self.tell(&experiment).await?;
        Ok(experiment)
    }

    /// The experiment with this id, a beginning of it, or this key: of several with one key the one that is running or paused, else the
    /// newest.
    pub async fn get(&self, experiment: &str) -> Result<Experiment, Error> {
        Ok(self.stored(experiment).await?.experiment)
    }

    /// The same with its key in the store.
    pub(crate) async fn stored(&self, experiment: &str) -> Result<StoredExperiment, Error> {
        match self.services.store.get_experiment(&self.project, experiment).await {
            Ok(stored) => Ok(stored),
            Err(StoreError::NotFound { .. }) => {
                Err(Error::not_found("experiment", experiment).with_hint("llmops experiment list shows what exists"))
            }
            Err(StoreError::Ambiguous { .. }) => {
                Err(Error::invalid(format!("`{experiment}` fits several experiments"))
                    .with_hint("write more of the id"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Experiments, newest first, with a status and an id below `before` where these are given.
    pub async fn list(
        &self,
        status: Option<ExperimentStatus>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Experiment>, Error> {
        Ok(self.services.store.list_experiments(&self.project, status, before, limit).await?)
    }

    /// Starts a draft, or resumes what is paused. A draft's prompts and manifests are pinned: what is active later does not matter.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a running or paused experiment has the same key, or a part of the same namespace, and when a
    /// deployment that takes only what passed its gate would be answered by variants that did not, or one that takes only what a
    /// second key allows by variants at all.
    pub async fn start(&self, experiment: &str) -> Result<Experiment, Error> {
        let mut current = self.get(experiment).await?;
        self.refuse_in_an_incident(&current).await?;
        if current.status == ExperimentStatus::Draft {
            self.pin(&mut current).await?;
            Box::pin(self.deployments().let_variants_answer(&current)).await?;
            // A rule that is chosen after a look at the data is none: what the configuration says later changes nothing.
            current.spec.analysis.min_samples.get_or_insert(self.services.options.experiments.min_samples);
            let earlier = self.earlier(&current).await?;
            current.notices.extend(crate::analysis::plan_warning(&current.spec, earlier.as_ref()));
            current.notices.extend(self.never_ends(&current.spec));
        }
        self.step(&current, current.start(self.services.clock.now())).await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    /// [`Error::Conflict`] for what was started: it can be cancelled.
    pub async fn delete(&self, experiment: &str) -> Result<(), Error> {
        let current = self.get(experiment).await?;
        let conflict = |message| Error::Conflict {
            message,
            hint: Some(format!("llmops experiment cancel {} gives up what was started", current.id)),
        };
        match self.services.store.delete_draft(&self.project, &current).await {
            Err(StoreError::Conflict(message)) => Err(conflict(message)),
            done => Ok(done?),
        }
    }

    /// Says what keeps an experiment from ever being concluded.
    fn never_ends(&self, spec: &ExperimentSpec) -> Vec<String> {
        let mut notices = Vec::new();
        if spec.target_metric.is_none() {
            let lacks = if spec.metrics.is_empty() { "no metrics and no target_metric" } else { "no target_metric" };
            notices.push(format!("it can never name a winner: it has {lacks}, and while it runs they cannot be added"));
        }
        for variant in &spec.variants {
            // The application may call models by names of its own.
            let model = variant.model_name.as_ref().filter(|model| model.contains('/'));
            if let Some(error) = model.and_then(|model| self.services.providers.resolve(model).err()) {
                notices.push(format!("variant `{}` cannot be called here: {error}", variant.id));
            }
        }
        notices
    }

    fn deployments(&self) -> Deployments {
        Deployments::new(self.services.clone(), self.project.clone(), self.prompts.clone())
    }

    /// Pauses: no unit is added, and those that are in keep their variant.
    pub async fn pause(&self, experiment: &str) -> Result<Experiment, Error> {
        let current = self.get(experiment).await?;
        self.step(&current, current.pause(self.services.clock.now())).await
    }

    /// Goes on after a pause.
    pub async fn resume(&self, experiment: &str) -> Result<Experiment, Error> {
        let current = self.get(experiment).await?;
        self.refuse_in_an_incident(&current).await?;
        self.step(&current, current.resume(self.services.clock.now())).await
    }

    /// Refuses to give variants to users of a deployment while somebody looks into what is wrong with it.
    async fn refuse_in_an_incident(&self, experiment: &Experiment) -> Result<(), Error> {
        let open = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
        for incident in self.services.store.list_incidents(&self.project, &open, MOST_INCIDENTS).await? {
            let (name, environment) = (&incident.deployment, &incident.environment);
            let deployment = self.services.store.find_deployment(&self.project, name, environment).await?;
            if deployment
                .is_some_and(|deployment| deployment.settings.experiment.as_ref() == Some(&experiment.spec.key))
            {
                return Err(Error::Conflict {
                    message: format!(
                        "{name} in {environment}, whose users it would assign, is frozen by the incident {}",
                        incident.id
                    ),
                    hint: Some(format!("llmops incident close {name} ends it")),
                });
            }
        }
        Ok(())
    }

    /// Ends it, with the id or name of the variant that won, or without a winner.
    pub async fn complete(&self, experiment: &str, winner: Option<&str>) -> Result<Experiment, Error> {
        let current = self.get(experiment).await?;
        self.step(&current, current.complete(winner, self.services.clock.now())).await
    }

    /// Gives it up.
    pub async fn cancel(&self, experiment: &str) -> Result<Experiment, Error> {
        let current = self.get(experiment).await?;
        self.step(&current, current.cancel(self.services.clock.now())).await
    }

    /// Changes the fields that are given; null takes a field back to its default. What may change depends on the status: see
    /// [`Experiment::revise`]. With `revision`, only if it is still the present one.
    pub async fn update(
        &self,
        experiment: &str,
        changes: &Map<String, Value>,
        revision: Option<u64>,
    ) -> Result<Experiment, Error> {
        let current = self.get(experiment).await?;
        if let Some(expected) = revision.filter(|expected| *expected != current.revision) {
            let message = format!("experiment `{}` is at revision {}, not {expected}", current.id, current.revision);
            return Err(Error::Conflict { message, hint: Some("read it again".to_owned()) });
        }
        let spec = merge(&current.spec, changes)?.checked()?;
        let next = current.revise(spec, self.services.clock.now())?;
        self.save(next).await
    }

    /// Whether changes would move live traffic: the split or coverage of an experiment that is running or paused. With the revision that
    /// was looked at.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn moves_traffic(&self, experiment: &str, changes: &Map<String, Value>) -> Result<(bool, u64), Error> {
        let current = self.get(experiment).await?;
        let next = current.revise(merge(&current.spec, changes)?.checked()?, self.services.clock.now())?;
        let moves = current.status.is_live() && next.allocations.len() > current.allocations.len();
        Ok((moves, current.revision))
    }

    /// Waits until every exposure so far is stored.
    pub async fn flush(&self) {
        self.services.experiments.exposures.flush().await;
    }

    async fn step(&self, current: &Experiment, next: Result<Experiment, StepError>) -> Result<Experiment, Error> {
        let next = next.map_err(|error| match error {
            StepError::Step(step) => Error::Experiment(current.id.clone(), step),
            winner @ StepError::Winner { .. } => Error::invalid(winner.to_string()),
        })?;
        self.save(next).await
    }

    async fn save(&self, next: Experiment) -> Result<Experiment, Error> {
        match self.services.store.update_experiment(&self.project, &next).await {
            Err(StoreError::Conflict(message)) => {
                let hint = "llmops experiment list --status running shows what runs".to_owned();
                return Err(Error::Conflict { message, hint: Some(hint) });
            }
            done => done?,
        }
        self.services.experiments.refresh().await?;
        self.tell(&next).await?;
        Ok(next)
    }

    async fn tell(&self, experiment: &Experiment) -> Result<(), Error> {
        let event = Event::Experiment {
            experiment: experiment.id.0.clone(),
            name: experiment.spec.name.clone(),
            status: experiment.status.to_string(),
        };
        self.services.events.publish(&self.project, event).await.map(drop)
    }

    /// Writes down which versions the variants' prompts are, and whole ids of manifests.
    async fn pin(&self, experiment: &mut Experiment) -> Result<(), Error> {
        let mut problems = Vec::new();
        let mut notices = Vec::new();
        for (i, variant) in experiment.spec.variants.iter_mut().enumerate() {
            let mut problem = |field: &str, message: String| {
                problems.push(Problem { line: None, field: Some(format!("variants[{i}].{field}")), message });
            };
            if let Some(manifest) = &variant.manifest {
                match self.services.store.get_manifest(&self.project, manifest).await {
                    Ok((id, manifest)) => {
                        variant.manifest = Some(id.as_str().to_owned());
                        let deployments = self.deployments();
                        if let Some(why) = deployments.never_renders(&manifest).await? {
                            problem("manifest", why);
                        }
                    }
                    Err(error @ StoreError::Unavailable(_)) => return Err(error.into()),
                    Err(error) => problem("manifest", error.to_string()),
                }
            }
            if let Some(why) = self.pin_prompt(variant, &mut notices).await? {
                problem("prompt_name", why);
            }
        }
        experiment.notices.extend(notices);
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("experiment `{}` cannot start", experiment.id);
        Err(Error::Invalid { message, problems, hint: None })
    }

    /// Pins the prompt of a variant, or says why it can never be rendered.
    async fn pin_prompt(&self, variant: &mut Variant, notices: &mut Vec<String>) -> Result<Option<String>, Error> {
        let Some(name) = &variant.prompt_name else { return Ok(None) };
        let reference = match &variant.prompt_version {
            Some(version) => format!("{name}@{version}"),
            None => name.clone(),
        };
        match self.prompts.resolve(&reference).await {
            Ok(prompt) => {
                variant.prompt_version = Some(prompt.version.to_string());
                let compiled = CompiledPrompt::compile(&prompt.body).ok();
                return Ok(compiled.and_then(|compiled| compiled.never_renders()));
            }
            // The application may keep its prompts elsewhere, and only split its traffic here.
            Err(Error::NotFound { .. } | Error::Invalid { .. }) => notices
                .push(format!("variant `{}` names the prompt {reference}, which is not in the registry", variant.id)),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

/// The spec with the fields that are given replaced.
fn merge(spec: &ExperimentSpec, changes: &Map<String, Value>) -> Result<ExperimentSpec, Error> {
    let mut merged = match serde_json::to_value(spec) {
        Ok(Value::Object(object)) => object,
        Ok(_) => Map::new(),
        Err(e) => return Err(Error::Internal(format!("an experiment has no JSON form: {e}"))),
    };
    // Other variants have other shares.
    if changes.contains_key("variants") && !changes.contains_key("traffic_split") {
        merged.remove("traffic_split");
    }
    for (field, value) in changes {
        if value.is_null() {
            merged.remove(field);
        } else {
            merged.insert(field.clone(), value.clone());
        }
    }
    serde_json::from_value(Value::Object(merged)).map_err(|e| {
        Error::invalid(format!("the changes do not make an experiment: {e}"))
            .with_hint("status and winner change by start, pause, resume, complete and cancel")
    })
}
