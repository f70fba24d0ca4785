//! `Deployments`: what answers live traffic, and going back to what did.

mod rehearse;
mod resolve;
mod settings;
mod variants;

use std::sync::Arc;

use llmops_api::deployments::{Deploy, Deployed, Rollback, SoftFailureRate, SwitchSafeMode};
use llmops_domain::canary::LiveCanary;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::deployment::{
    self, DEFAULT_ENVIRONMENT, Deployment, DeploymentAction, DeploymentChange, DeploymentSettings, LiveDeployment,
};
use llmops_domain::event::Event;
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptBody;
use llmops_domain::render::CompiledTarget;
use llmops_domain::run::EvaluationFilter;
use llmops_domain::soft_failure::Guard;
use llmops_storage::StoreError;

use crate::canary::Canaries;
use crate::evaluator::BASELINE_TAG;
use crate::gate::PASSED_TAG;
use crate::prompts::PromptRegistry;
use crate::soft_failures::Guards;
use crate::{Error, Services};

/// Runs that are looked through for one of a manifest.
const PASSING_RUNS: u32 = 200;

/// Manages deployments: deploy, rollback, safe_mode, get, list, history, rehearse.
#[derive(Debug, Clone)]
pub struct Deployments {
    pub(crate) services: Arc<Services>,
    pub(crate) project: ProjectId,
    prompts: PromptRegistry,
}

impl Deployments {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId, prompts: PromptRegistry) -> Self {
        Self { services, project, prompts }
    }

    /// One deployment.
    pub async fn get(&self, name: &str, environment: Option<&str>) -> Result<Deployment, Error> {
        let environment = environment.unwrap_or(DEFAULT_ENVIRONMENT);
        let found = self.services.store.find_deployment(&self.project, name, environment).await?;
        found.ok_or_else(|| {
            Error::not_found("deployment", format!("{name} in {environment}"))
                .with_hint(format!("llmops deploy {name} --prompt NAME@VERSION --model PROVIDER/MODEL makes it"))
        })
    }

    /// Deployments by name and environment, after the pair `after`.
    pub async fn list(&self, after: Option<(&str, &str)>, limit: u32) -> Result<Vec<Deployment>, Error> {
        Ok(self.services.store.list_deployments(&self.project, after, limit).await?)
    }

    /// Every change of a deployment, oldest first.
    pub async fn history(&self, name: &str, environment: Option<&str>) -> Result<Vec<DeploymentChange>, Error> {
        let deployment = self.get(name, environment).await?;
        Ok(self.services.store.deployment_history(&self.project, name, &deployment.environment).await?)
    }

    /// How many of its answers failed softly, of late.
    pub async fn soft_failures(
        &self,
        name: &str,
        environment: Option<&str>,
        window: Option<HumanDuration>,
    ) -> Result<SoftFailureRate, Error> {
        let deployment = self.get(name, environment).await?;
        Guards::new(self.services.clone()).rate(&self.project, &deployment, window).await
    }

    /// A stored manifest by the beginning of its hash.
    pub async fn manifest(&self, prefix: &str) -> Result<(ContentHash, Manifest), Error> {
        Ok(self.services.store.get_manifest(&self.project, prefix).await?)
    }

    /// Points a deployment to a manifest, and makes the deployment where there is none. One that asks for a second key stays as
    /// it is until another key allows it.
    pub async fn deploy(&self, name: &str, request: Deploy) -> Result<Deployed, Error> {
        self.deploy_as(name, request, false).await
    }

    /// The same, allowed already.
    pub(crate) async fn deploy_approved(&self, name: &str, request: Deploy) -> Result<Deployed, Error> {
        self.deploy_as(name, request, true).await
    }

    async fn deploy_as(&self, name: &str, request: Deploy, approved: bool) -> Result<Deployed, Error> {
        check_names(name, request.environment.as_deref())?;
        let environment = request.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        let before = self.services.store.find_deployment(&self.project, name, &environment).await?;
        let mut notices = Vec::new();
        if let Some(sent) = &request.settings {
            settings::check_settings(sent)?;
            notices.extend(self.absent_parts(sent).await?);
        }
        let settings = request.settings.clone().or_else(|| before.as_ref().map(|d| d.settings.clone()));
        let settings = settings.unwrap_or_default();
        let reason = request.reason.clone();
        let manifest = Box::pin(self.resolve(request, before.as_ref())).await?;
        self.check(&manifest, &settings).await?;
        let hash = self.services.store.put_manifest(&self.project, &manifest).await?;
        // What answers already was let through when it came.
        let comes = before.as_ref().is_none_or(|d| d.manifest != hash);
        if comes && environment == DEFAULT_ENVIRONMENT && settings.require_gate {
            self.require_gate(&hash, &settings).await?;
        }
        let unchanged = before.as_ref().is_some_and(|d| d.manifest == hash && d.settings == settings);
        if let Some(deployment) = before.clone().filter(|_| unchanged) {
            let previous = Some(hash);
            return Ok(Deployed {
                deployment,
                manifest,
                previous,
                changed: false,
                notices: Vec::new(),
                approval: None,
            });
        }
        let action = if comes { DeploymentAction::Deploy } else { DeploymentAction::Configure };
        if action == DeploymentAction::Deploy {
            self.refuse_in_an_incident(name, &environment).await?;
        }
        // Who could take the demand away alone could do everything alone.
        let asks = |d: &Deployment| {
            d.settings.require_approval && (action == DeploymentAction::Deploy || !settings.require_approval)
        };
        if let Some(before) = before.clone().filter(|before| !approved && asks(before)) {
            return self.ask_for_approval(before, hash, settings, reason).await;
        }
        let previous = before.as_ref().map(|d| d.manifest.clone());
        let now = self.services.clock.now();
        let next = match before {
            Some(before) => Deployment { manifest: hash, settings, ..before },
            None => Deployment {
                name: name.to_owned(),
                environment,
                manifest: hash,
                revision: 0,
                safe_mode: false,
                settings,
                created_at: now,
                updated_at: now,
                updated_by: None,
            },
        };
        notices.extend(self.notices(previous.as_ref(), &manifest).await?);
        let deployment = self.change(next, action, previous.clone(), reason).await?;
        self.follow_with_the_baseline(&deployment).await?;
        Ok(Deployed { deployment, manifest, previous, changed: true, notices, approval: None })
    }

    /// What is live in production is what the next gate compares with: the run that let it through.
    async fn follow_with_the_baseline(&self, deployment: &Deployment) -> Result<(), Error> {
        if deployment.environment != DEFAULT_ENVIRONMENT {
            return Ok(());
        }
        if let Some(run) = self.passing_run(&deployment.manifest, &deployment.settings).await? {
            let now = self.services.clock.now();
            self.services.store.tag_run(&self.project, &run, BASELINE_TAG, now).await?;
        }
        Ok(())
    }

    /// Points a deployment to a manifest that was live before: the one before the present one, or the one named.
    pub async fn rollback(&self, name: &str, request: Rollback) -> Result<Deployed, Error> {
        let before = self.get(name, request.environment.as_deref()).await?;
        let history = self.services.store.deployment_history(&self.project, name, &before.environment).await?;
        let target = deployment::rollback_target(&history, request.to.as_deref()).map_err(|error| Error::Conflict {
            message: format!("cannot roll back {name} in {}: {error}", before.environment),
            hint: Some(format!("llmops history {name} lists what was live")),
        })?;
        let (hash, manifest) = self.services.store.get_manifest(&self.project, target.as_str()).await?;
        let previous = before.manifest.clone();
        let notices = self.notices(Some(&previous), &manifest).await?;
        let next = Deployment { manifest: hash, ..before };
        let deployment = self.change(next, DeploymentAction::Rollback, Some(previous.clone()), request.reason).await?;
        Ok(Deployed { deployment, manifest, previous: Some(previous), changed: true, notices, approval: None })
    }

    /// Switches the safe mode on or off.
    pub async fn safe_mode(&self, name: &str, request: SwitchSafeMode) -> Result<Deployment, Error> {
        let mut next = self.get(name, request.environment.as_deref()).await?;
        if let Some(answer) = request.answer {
            next.settings.safe_mode.answer = Some(answer);
            next.settings.safe_mode.manifest = None;
        }
        if request.on && !next.settings.safe_mode.is_prepared() {
            return Err(Error::Conflict {
                message: format!("{name} has no safe mode prepared"),
                hint: Some("name a fixed answer: llmops safe-mode NAME on --answer TEXT".to_owned()),
            });
        }
        if next.safe_mode == request.on {
            return Ok(next);
        }
        next.safe_mode = request.on;
        let action = if request.on { DeploymentAction::SafeModeOn } else { DeploymentAction::SafeModeOff };
        let manifest = next.manifest.clone();
        self.change(next, action, Some(manifest), request.reason).await
    }

    /// Changes how calls are handled, and nothing else.
    pub(crate) async fn configure(
        &self,
        before: Deployment,
        settings: DeploymentSettings,
        reason: String,
    ) -> Result<Deployment, Error> {
        let from = Some(before.manifest.clone());
        self.change(Deployment { settings, ..before }, DeploymentAction::Configure, from, Some(reason)).await
    }

    async fn change(
        &self,
        next: Deployment,
        action: DeploymentAction,
        from: Option<ContentHash>,
        reason: Option<String>,
    ) -> Result<Deployment, Error> {
        let now = self.services.clock.now();
        let next = Deployment { revision: next.revision + 1, updated_at: now, ..next };
        let change = DeploymentChange {
            revision: next.revision,
            action,
            from,
            to: next.manifest.clone(),
            at: now,
            by: next.updated_by.clone(),
            reason,
        };
        self.services.store.change_deployment(&self.project, &next, &change).await?;
        let action = serde_json::to_value(action).ok().and_then(|v| v.as_str().map(str::to_owned));
        let news = Event::Deployment {
            deployment: next.name.clone(),
            environment: next.environment.clone(),
            action: action.unwrap_or_default(),
            manifest: Some(next.manifest.to_string()),
            previous: change.from.map(|hash| hash.to_string()),
        };
        self.services.events.publish(&self.project, news).await?;
        Ok(next)
    }

    /// Refuses what could not answer.
    async fn check(&self, manifest: &Manifest, settings: &DeploymentSettings) -> Result<(), Error> {
        let mut problems = self.problems(manifest, settings).await?;
        if let Err(error) = Guard::compile(&settings.guard, None) {
            problems.push(error.to_string());
        }
        if let Err(error) = settings.limits.all() {
            problems.push(format!("limits.{error}"));
        }
        let judge = settings.guard.judge.as_ref().map(|judge| judge.model.as_str());
        if let Some(Err(error)) = judge.map(|model| self.services.providers.resolve(model)) {
            problems.push(format!("guard.judge: {error}"));
        }
        for fallback in &settings.fallbacks {
            if let Err(error) = self.services.providers.resolve(fallback) {
                problems.push(format!("fallbacks: {error}"));
            }
        }
        if let Some(hash) = &settings.safe_mode.manifest {
            self.manifest(hash.as_str()).await?;
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems.join("\n"))) }
    }

    /// What would go wrong if this manifest answered.
    async fn problems(&self, manifest: &Manifest, settings: &DeploymentSettings) -> Result<Vec<String>, Error> {
        let mut problems = Vec::new();
        if let Err(error) = self.services.providers.resolve(&manifest.model) {
            problems.push(error.to_string());
        }
        let document = serde_json::to_value(manifest).map_err(|e| Error::invalid(e.to_string()))?;
        for field in &settings.required_fields {
            match document.get(field) {
                None => problems.push(format!("required_fields: a manifest has no field `{field}`")),
                Some(value) if value.is_null() || *value == serde_json::json!([]) => {
                    problems.push(format!("the required field `{field}` is not set"));
                }
                Some(_) => {}
            }
        }
        if let (Some(prompt), None) = (&manifest.prompt, &manifest.prompt_hash) {
            problems.push(format!("the manifest names the prompt {prompt} without its hash: it would not be used"));
        }
        match self.prompt_body(manifest).await {
            Err(error @ (Error::NotFound { .. } | Error::Invalid { .. })) => problems.push(error.to_string()),
            Err(error) => return Err(error),
            Ok(body) => {
                if let Err(error) = CompiledTarget::compile(manifest.clone(), body.as_ref()) {
                    problems.push(error.to_string());
                }
            }
        }
        Ok(problems)
    }

    /// A manifest with its prompt, ready to render.
    pub(crate) async fn compiled(&self, manifest: Manifest) -> Result<CompiledTarget, Error> {
        let body = self.prompt_body(&manifest).await?;
        CompiledTarget::compile(manifest, body.as_ref()).map_err(|error| Error::invalid(error.to_string()))
    }

    /// The body of the prompt that a manifest names.
    pub(crate) async fn prompt_body(&self, manifest: &Manifest) -> Result<Option<PromptBody>, Error> {
        let (Some(name), Some(hash)) = (&manifest.prompt, &manifest.prompt_hash) else { return Ok(None) };
        Ok(Some(self.prompts.resolve(&format!("{name}@{}", hash.as_str())).await?.body))
    }

    /// What changes beside prompt and model.
    async fn notices(&self, before: Option<&ContentHash>, after: &Manifest) -> Result<Vec<String>, Error> {
        let Some(before) = before else { return Ok(Vec::new()) };
        let (_, before) = self.services.store.get_manifest(&self.project, before.as_str()).await?;
        let mut notices = Vec::new();
        if let (Some(prompt), None) = (before.prompt_label(), &after.prompt) {
            notices.push(format!("{prompt} is no longer used: the input goes to the model as it is"));
        }
        let (old, new) = (&before.retriever_index_version, &after.retriever_index_version);
        if old != new {
            let name = |index: &Option<String>| index.clone().unwrap_or_else(|| "none".to_owned());
            notices.push(format!(
                "the retriever's index changes from {} to {}: switch the retriever too, it does not follow by itself",
                name(old),
                name(new)
            ));
        }
        Ok(notices)
    }

    /// Refuses to promote anything while somebody looks into what is wrong.
    pub(crate) async fn refuse_in_an_incident(&self, name: &str, environment: &str) -> Result<(), Error> {
        match self.services.store.find_open_incident(&self.project, name, environment).await? {
            None => Ok(()),
            Some(incident) => Err(Error::Conflict {
                message: format!("{name} in {environment} is frozen by the incident {}", incident.id),
                hint: Some(format!("llmops incident close {name} ends it; llmops rollback {name} is possible")),
            }),
        }
    }

    /// Refuses a manifest without a passing run that is new enough.
    async fn require_gate(&self, hash: &ContentHash, settings: &DeploymentSettings) -> Result<(), Error> {
        if self.passing_run(hash, settings).await?.is_some() {
            return Ok(());
        }
        Err(Error::Conflict {
            message: format!(
                "the manifest {} has no completed run of the last {} that passed its gate",
                hash.short(),
                settings.gate_max_age
            ),
            hint: Some("evaluate exactly this prompt and model, then gate it: llmops eval && llmops gate".to_owned()),
        })
    }

    /// The newest run of a manifest that passed its gate, if it is new enough.
    pub(crate) async fn passing_run(
        &self,
        hash: &ContentHash,
        settings: &DeploymentSettings,
    ) -> Result<Option<RunId>, Error> {
        let age = jiff::SignedDuration::try_from(settings.gate_max_age.0).unwrap_or(jiff::SignedDuration::MAX);
        let filter = EvaluationFilter {
            tag: Some(PASSED_TAG.to_owned()),
            start_time: self.services.clock.now().checked_sub(age).ok(),
            limit: Some(PASSING_RUNS),
            ..EvaluationFilter::default()
        };
        let runs = self.services.store.list_runs(&self.project, &filter).await?;
        Ok(runs.into_iter().find(|run| run.spec.manifest_id == *hash).map(|run| run.id))
    }

    /// Everything that gateways answer from, in all projects. What cannot be read is left out, with a warning.
    pub(crate) async fn live(services: &Arc<Services>) -> Result<Vec<LiveDeployment>, Error> {
        let mut live = Vec::new();
        let mut canaries = Canaries::live(services).await?;
        for (project, deployment) in services.store.all_deployments().await? {
            let prompts = PromptRegistry::new(services.clone(), project.clone());
            let one = Self::new(services.clone(), project, prompts);
            let name = deployment.name.clone();
            match one.point(deployment).await {
                Ok(pointer) => {
                    let its = |(project, live): &(ProjectId, LiveCanary)| {
                        let (canary, deployment) = (&live.canary, &pointer.deployment);
                        *project == pointer.project
                            && canary.deployment == deployment.name
                            && canary.environment == deployment.environment
                            && canary.production == deployment.manifest
                    };
                    let canary = canaries.iter().position(its).map(|at| canaries.swap_remove(at).1);
                    live.push(LiveDeployment { canary, ..pointer });
                }
                // The store being away is no reason to forget deployments.
                Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
                Err(error) => tracing::error!(deployment = %name, %error, "a deployment cannot be served"),
            }
        }
        Ok(live)
    }

    async fn point(&self, deployment: Deployment) -> Result<LiveDeployment, Error> {
        let safe = deployment.settings.safe_mode.clone();
        let wanted = match safe.manifest.filter(|_| deployment.safe_mode) {
            Some(strict) => strict,
            None => deployment.manifest.clone(),
        };
        let (manifest_id, manifest) = self.services.store.get_manifest(&self.project, wanted.as_str()).await?;
        let prompt = self.prompt_body(&manifest).await?;
        let fixed = deployment.settings.safe_mode.manifest.is_none() && deployment.safe_mode;
        let fixed_answer = safe.answer.filter(|_| fixed);
        let variants = if deployment.safe_mode {
            Vec::new()
        } else {
            // A variant that cannot be read shall not take the deployment along.
            match self.variants(&deployment, (&manifest_id, &manifest)).await {
                Ok(variants) => variants,
                Err(error @ Error::Store(StoreError::Unavailable(_))) => return Err(error),
                Err(error) => {
                    tracing::error!(deployment = %deployment.name, %error, "an experiment does not answer");
                    Vec::new()
                }
            }
        };
        let project = self.project.clone();
        Ok(LiveDeployment { project, deployment, manifest, manifest_id, prompt, fixed_answer, variants, canary: None })
    }
}

/// A name stands in `model`, where `/` names a provider and `@` an environment.
fn check_names(name: &str, environment: Option<&str>) -> Result<(), Error> {
    for (what, text) in std::iter::once(("deployment", name)).chain(environment.map(|e| ("environment", e))) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 128 || !text.chars().all(fits) {
            return Err(Error::invalid(format!(
                "`{text}` cannot be the name of a {what}: use 1 to 128 letters, digits, `-`, `_` and `.`"
            )));
        }
    }
    Ok(())
}
