//! `Deployments`: what answers live traffic, and going back to what did.

mod back;
mod change;
mod rehearse;
mod resolve;
mod settings;
mod variants;

use std::sync::Arc;

use jiff::Timestamp;
use llmops_api::deployments::SoftFailureRate;
use llmops_domain::canary::LiveCanary;
use llmops_domain::config::duration::HumanDuration;
use llmops_domain::deployment::{
    DEFAULT_ENVIRONMENT, Deployment, DeploymentChange, DeploymentSettings, LiveDeployment,
};
use llmops_domain::gate::{self, GatedRun};
use llmops_domain::hash::ContentHash;
use llmops_domain::id::{ProjectId, RunId};
use llmops_domain::manifest::Manifest;
use llmops_domain::prompt::PromptBody;
use llmops_domain::release;
use llmops_domain::render::CompiledTarget;
use llmops_storage::StoreError;

pub use settings::senseless;

use crate::canary::Canaries;
use crate::prompts::PromptRegistry;
use crate::soft_failures::Guards;
use crate::{Error, Services};

/// What a safe mode says that is on and has nothing prepared.
const UNPREPARED_ANSWER: &str = "This service is not available at the moment.";

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

    /// Refuses what could not answer.
    async fn check(&self, manifest: &Manifest, settings: &DeploymentSettings) -> Result<(), Error> {
        let mut problems = self.problems(manifest, settings).await?;
        problems.extend(senseless(settings));
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
            let (_, strict) = self.manifest(hash.as_str()).await?;
            let why = self.never_renders(&strict).await?;
            problems.extend(why.map(|why| format!("safe_mode.manifest: {why}")));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems.join("\n"))) }
    }

    /// Refuses what no provider takes: of a manifest that comes, while one that is there keeps its place.
    pub(crate) fn check_new(manifest: &Manifest) -> Result<(), Error> {
        let problems = manifest.problems();
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
            problems.push(format!(
                "the manifest names the prompt {prompt} without its hash, so it would not be used: deploy {prompt}@VERSION"
            ));
        }
        match self.prompt_body(manifest).await {
            Err(error @ (Error::NotFound { .. } | Error::Invalid { .. })) => problems.push(error.to_string()),
            Err(error) => return Err(error),
            Ok(body) => match CompiledTarget::compile(manifest.clone(), body.as_ref()) {
                Ok(target) => problems.extend(target.prompt().never_renders()),
                Err(error) => problems.push(error.to_string()),
            },
        }
        Ok(problems)
    }

    /// Why no call to this manifest could be answered, whatever the caller says.
    pub(crate) async fn never_renders(&self, manifest: &Manifest) -> Result<Option<String>, Error> {
        Ok(self.compiled(manifest.clone()).await?.prompt().never_renders())
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

    /// Refuses a manifest that no run lets through.
    fn require_gate(&self, hash: &ContentHash, gated: &[GatedRun], settings: &DeploymentSettings) -> Result<(), Error> {
        self.passing(gated, settings).map(drop).map_err(|why| Error::Conflict {
            message: format!(
                "the manifest {} {why}; runs of the last {} count (require_gate)",
                hash.short(),
                settings.gate_max_age
            ),
            hint: Some(format!("evaluate exactly this manifest, then gate it: {}", release::gate_command(hash))),
        })
    }

    /// The runs of a manifest that were gated, newest first.
    async fn gated_runs(&self, hash: &ContentHash) -> Result<Vec<GatedRun>, Error> {
        Ok(self.services.store.gated_runs(&self.project, hash).await?)
    }

    /// The run by which a manifest passes, of those that are new enough for what settings ask for; else why none does.
    fn passing<'a>(&self, gated: &'a [GatedRun], settings: &DeploymentSettings) -> Result<&'a GatedRun, String> {
        let age = jiff::SignedDuration::try_from(settings.gate_max_age.0).unwrap_or(jiff::SignedDuration::MAX);
        gate::passing(gated, self.services.clock.now().checked_sub(age).unwrap_or(Timestamp::MIN))
    }

    /// The run by which a manifest passes, or why none does.
    pub(crate) async fn passing_run(
        &self,
        hash: &ContentHash,
        settings: &DeploymentSettings,
    ) -> Result<Result<RunId, String>, Error> {
        let gated = self.gated_runs(hash).await?;
        Ok(self.passing(&gated, settings).map(|passing| passing.run.clone()))
    }

    /// Everything that gateways answer from, in all projects. What cannot be read is left out, with a warning.
    pub(crate) async fn live(services: &Arc<Services>) -> Result<Vec<LiveDeployment>, Error> {
        let mut live = Vec::new();
        let mut canaries = Canaries::live(services).await?;
        for (project, deployment) in services.store.all_deployments().await? {
            let prompts = PromptRegistry::new(services.clone(), project.clone());
            let one = Self::new(services.clone(), project, prompts);
            let name = deployment.name.clone();
            // Who is assigned to a variant sees that, and no candidate; nor does anybody where that is not known.
            let is_assigned = !matches!(one.assigning(&deployment).await, Ok(None));
            match one.point(deployment).await {
                Ok(pointer) => {
                    let its = |(project, live): &(ProjectId, LiveCanary)| {
                        let (canary, deployment) = (&live.canary, &pointer.deployment);
                        *project == pointer.project
                            && canary.deployment == deployment.name
                            && canary.environment == deployment.environment
                            && canary.production == deployment.manifest
                    };
                    let mut canary = canaries.iter().position(its).map(|at| canaries.swap_remove(at).1);
                    if let Some(canary) = canary.as_mut().filter(|_| is_assigned) {
                        canary.exposure = None;
                    }
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
        let (wanted, fixed_answer) = match (deployment.safe_mode, safe.manifest) {
            (false, _) => (deployment.manifest.clone(), None),
            (true, Some(strict)) => (strict, None),
            // A safe mode that is on lets nothing through, also when there is nothing to answer with.
            (true, None) => {
                (deployment.manifest.clone(), Some(safe.answer.unwrap_or_else(|| UNPREPARED_ANSWER.to_owned())))
            }
        };
        let (manifest_id, manifest) = self.services.store.get_manifest(&self.project, wanted.as_str()).await?;
        let prompt = self.prompt_body(&manifest).await?;
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
    for (what, text) in std::iter::once(("a deployment", name)).chain(environment.map(|e| ("an environment", e))) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // In an address, `.` and `..` are the folder and the one above it.
        if text.is_empty() || text.len() > 128 || !text.chars().all(fits) || matches!(text, "." | "..") {
            return Err(Error::invalid(format!(
                "`{text}` cannot be the name of {what}: use 1 to 128 letters, digits, `-`, `_` and `.`, and not `.` or `..` alone"
            )));
        }
    }
    Ok(())
}
