//! Changes of a deployment: another manifest or other settings.

use llmops_api::deployments::{Deploy, Deployed};
use llmops_domain::approval::Approval;
use llmops_domain::deployment::{
    self, DEFAULT_ENVIRONMENT, Deployment, DeploymentAction, DeploymentChange, DeploymentSettings,
};
use llmops_domain::event::Event;
use llmops_domain::gate::GatedRun;
use llmops_domain::hash::ContentHash;
use llmops_domain::manifest::Manifest;
use llmops_domain::release::Release;

use super::settings::{check_settings, odd_fallbacks};
use super::{Deployments, check_names};
use crate::evaluator::BASELINE_TAG;
use crate::{Error, LlmOps, Releases, approvals};

/// What a deployment shall become.
struct Wish {
    environment: String,
    before: Option<Deployment>,
    manifest: Manifest,
    hash: ContentHash,
    settings: DeploymentSettings,
    /// The manifest that the safe mode would answer with, where it never answered here before: by its switch it comes to all users.
    prepared: Option<ContentHash>,
    /// The release whose experiment ends by it.
    interrupted: Option<Release>,
}

impl Wish {
    /// Whether another manifest answers.
    fn comes(&self) -> bool {
        self.before.as_ref().is_none_or(|before| before.manifest != self.hash)
    }

    /// Whether the variants of another experiment answer: other manifests, by the way of the settings.
    fn opens(&self) -> bool {
        let before = self.before.as_ref().and_then(|before| before.settings.experiment.as_ref());
        self.settings.experiment.is_some() && self.settings.experiment.as_ref() != before
    }

    fn promotes(&self) -> bool {
        self.comes() || self.opens()
    }

    fn changes_nothing(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.manifest == self.hash && before.settings == self.settings)
    }

    /// Whether a second key has to allow it. Who could take the demand away alone could do everything alone.
    fn asks_for_approval(&self, before: &DeploymentSettings) -> bool {
        let (was, will) = (before.require_approval, self.settings.require_approval);
        (was && !will) || (will && (self.promotes() || self.prepared.is_some()))
    }

    /// What a person should know about the settings that change.
    fn notices(&self) -> Vec<String> {
        let Some(before) = self.before.as_ref().map(|before| &before.settings) else { return Vec::new() };
        let mut notices = Vec::new();
        for (name, was, will) in [
            ("require_gate", before.require_gate, self.settings.require_gate),
            ("require_approval", before.require_approval, self.settings.require_approval),
        ] {
            if was && !will {
                notices.push(format!("`{name}` was on, and the new settings switch it off"));
            }
        }
        if let Some(key) = self.settings.experiment.as_ref().filter(|_| self.comes()) {
            notices.push(format!("the experiment {key} goes on: its variants answer the users that it assigns"));
        }
        notices.extend(self.interrupted.as_ref().map(interruption));
        notices
    }
}

pub(super) fn interruption(release: &Release) -> String {
    format!(
        "the experiment of the release {} ended, and the release waits: llmops release {}",
        release.id, release.deployment
    )
}

/// Whether a second key has allowed a change.
#[derive(Clone, Copy)]
enum Allowed<'a> {
    /// Where one is asked for, it is to be asked.
    NotYet,
    /// It has, or none is needed.
    Before,
    /// It has, over the manifest that was live then; absent: nothing was.
    Over(Option<&'a ContentHash>),
    /// It does so now, by this decision.
    By(&'a Approval),
}

impl Allowed<'_> {
    /// Refuses a manifest in place of another than the one that it was allowed over, and settings in place of others than those
    /// that they were made for.
    fn replaces(self, before: Option<&Deployment>, wanted: &ContentHash) -> Result<(), Error> {
        let approval = match self {
            Self::NotYet | Self::Before => return Ok(()),
            Self::Over(seen) => {
                let live = before.map(|before| &before.manifest);
                if live == seen || live == Some(wanted) {
                    return Ok(());
                }
                let message = "what is live changed since this was allowed".to_owned();
                return Err(Error::Conflict { message, hint: None });
            }
            Self::By(approval) => approval,
        };
        if approval.settings.is_none() {
            return Ok(());
        }
        let now = before.map(|before| approvals::hash_of(&before.settings)).transpose()?;
        approval.replaces(now.as_ref()).map_err(|error| approvals::refused(&error))
    }
}

/// The settings that hold afterwards. While the safe mode is on, it keeps what it answers with where new settings prepare
/// nothing: they are about something else.
fn settings_after(before: Option<&Deployment>, asked: Option<DeploymentSettings>) -> DeploymentSettings {
    match (before, asked) {
        (None, asked) => asked.unwrap_or_default(),
        (Some(before), None) => before.settings.clone(),
        (Some(before), Some(mut settings)) => {
            if before.safe_mode && !settings.safe_mode.is_prepared() {
                settings.safe_mode = before.settings.safe_mode.clone();
            }
            settings
        }
    }
}

impl Deployments {
    /// Points a deployment to a manifest, and makes the deployment where there is none. One that asks for a second key stays as
    /// it is until another key allows it.
    pub async fn deploy(&self, name: &str, request: Deploy) -> Result<Deployed, Error> {
        self.deploy_as(name, request, Allowed::NotYet).await
    }

    /// The same, allowed already.
    pub(crate) async fn deploy_approved(&self, name: &str, request: Deploy) -> Result<Deployed, Error> {
        self.deploy_as(name, request, Allowed::Before).await
    }

    /// The same, allowed over the manifest that was live then.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another one is live by now.
    pub(crate) async fn deploy_over(
        &self,
        name: &str,
        request: Deploy,
        seen: Option<&ContentHash>,
    ) -> Result<Deployed, Error> {
        self.deploy_as(name, request, Allowed::Over(seen)).await
    }

    /// Carries out a promotion that a second key allows now: the decision is written with the change, so that of several decisions
    /// one counts.
    pub(crate) async fn carry_out(&self, approval: &Approval) -> Result<Deployed, Error> {
        let request = Deploy {
            environment: Some(approval.environment.clone()),
            manifest_hash: Some(approval.manifest.to_string()),
            settings: approval.settings.clone(),
            reason: approval
                .reason
                .clone()
                .or_else(|| Some(format!("allowed by {}", self.services.store.actor().name))),
            ..Deploy::default()
        };
        self.deploy_as(&approval.deployment, request, Allowed::By(approval)).await
    }

    async fn deploy_as(&self, name: &str, request: Deploy, allowed: Allowed<'_>) -> Result<Deployed, Error> {
        check_names(name, request.environment.as_deref())?;
        let (asked, reason) = (request.settings.clone(), request.reason.clone());
        if let Some(settings) = &asked {
            check_settings(settings)?;
        }
        let wish = self.wish(name, request).await?;
        allowed.replaces(wish.before.as_ref(), &wish.hash)?;
        if let Some(deployment) = wish.before.clone().filter(|_| wish.changes_nothing()) {
            if let Allowed::By(approval) = allowed {
                self.services.store.decide_approval(&self.project, approval).await?;
            }
            let (manifest, previous) = (wish.manifest, Some(wish.hash));
            return Ok(Deployed {
                deployment,
                manifest,
                previous,
                changed: false,
                notices: Vec::new(),
                approval: None,
            });
        }
        if wish.promotes() {
            self.refuse_in_an_incident(name, &wish.environment).await?;
        }
        self.keep_names(&wish).await?;
        let gated = self.pass_gates(&wish).await?;
        let is_open = matches!(allowed, Allowed::NotYet);
        let unasked = wish.before.clone().filter(|before| is_open && wish.asks_for_approval(&before.settings));
        if let Some(before) = unasked {
            return self.ask_for_approval(before, wish.hash, asked, reason).await;
        }
        let action = if wish.comes() { DeploymentAction::Deploy } else { DeploymentAction::Configure };
        let previous = wish.before.as_ref().map(|before| before.manifest.clone());
        let mut notices = self.notices(previous.as_ref(), &wish.manifest).await?;
        notices.extend(wish.notices());
        if asked.is_some() || wish.comes() {
            notices.extend(odd_fallbacks(&wish.manifest, &wish.settings));
        }
        if let Some(settings) = &asked {
            notices.extend(self.absent_parts(settings).await?);
        }
        let Wish { environment, before, manifest, hash, settings, interrupted, .. } = wish;
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
        let deployment = self.change_as(next, (action, previous.clone(), reason), allowed).await?;
        self.interrupt(interrupted).await;
        self.follow_with_the_baseline(&deployment, &gated).await?;
        Ok(Deployed { deployment, manifest, previous, changed: true, notices, approval: None })
    }

    /// What a request makes of a deployment, if it could answer.
    async fn wish(&self, name: &str, request: Deploy) -> Result<Wish, Error> {
        let environment = request.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        let before = self.services.store.find_deployment(&self.project, name, &environment).await?;
        let settings = settings_after(before.as_ref(), request.settings.clone());
        let manifest = Box::pin(self.resolve(request, before.as_ref())).await?;
        if before.as_ref().map(|before| &before.manifest) != manifest.id().ok().as_ref() {
            Self::check_new(&manifest)?;
        }
        self.check(&manifest, &settings).await?;
        let hash = self.services.store.put_manifest(&self.project, &manifest).await?;
        let prepared =
            self.newly_prepared(name, before.as_ref(), &settings).await?.filter(|prepared| *prepared != hash);
        let release = match &before {
            Some(before) => self.releases().that_routes(before).await?,
            None => None,
        };
        let mut wish = Wish { environment, before, manifest, hash, settings, prepared, interrupted: None };
        if let Some(release) = release {
            let key = Some(release.experiment_key());
            if wish.comes() {
                // It compares with what is live no longer.
                wish.settings.experiment = wish.settings.experiment.take().filter(|named| Some(named) != key.as_ref());
            } else if wish.settings.experiment.is_none() {
                // The release named it, not the settings, and takes it away in its time.
                wish.settings.experiment.clone_from(&key);
            }
            wish.interrupted = Some(release).filter(|_| wish.settings.experiment != key);
        }
        Ok(wish)
    }

    /// The manifest that settings prepare for the safe mode, where they are the first to do so and it was never live.
    async fn newly_prepared(
        &self,
        name: &str,
        before: Option<&Deployment>,
        settings: &DeploymentSettings,
    ) -> Result<Option<ContentHash>, Error> {
        let Some(prepared) = &settings.safe_mode.manifest else { return Ok(None) };
        let Some(before) = before else { return Ok(Some(prepared.clone())) };
        if before.settings.safe_mode.manifest.as_ref() == Some(prepared) {
            return Ok(None);
        }
        let history = self.services.store.deployment_history(&self.project, name, &before.environment).await?;
        let was_live = deployment::ever_live(&history).into_iter().any(|live| live == *prepared);
        Ok((!was_live).then(|| prepared.clone()))
    }

    /// Refuses to hide the users of an experiment while it runs, or to show them: all who are in it would come a second time, under
    /// another name, and those who came before would stay as they are.
    async fn keep_names(&self, wish: &Wish) -> Result<(), Error> {
        let Some(before) = wish.before.as_ref().filter(|before| before.settings.hash_users != wish.settings.hash_users)
        else {
            return Ok(());
        };
        let Some(key) = before.settings.experiment.as_ref().filter(|_| !wish.opens()) else { return Ok(()) };
        if wish.settings.experiment.is_none() || !self.has_users(key).await? {
            return Ok(());
        }
        Err(Error::Conflict {
            message: format!(
                "`hash_users` cannot change while the experiment {key} runs: its users would come again under other names"
            ),
            hint: Some(format!(
                "llmops experiment complete {key}, or settings without it; llmops records erase --user ID takes away who is named \
                 in it"
            )),
        })
    }

    /// Refuses manifests that come to production without a passing run, where that is asked for. What was asked for before
    /// counts, too: else one command could take the demand away and deploy what it keeps out. Answers with the runs of the manifest
    /// that were gated.
    async fn pass_gates(&self, wish: &Wish) -> Result<Vec<GatedRun>, Error> {
        if wish.environment != DEFAULT_ENVIRONMENT {
            return Ok(Vec::new());
        }
        let own = self.gated_runs(&wish.hash).await?;
        let before = wish.before.as_ref().map(|before| &before.settings);
        let asking: Vec<_> = before.into_iter().chain([&wish.settings]).filter(|s| s.require_gate).collect();
        if asking.is_empty() {
            return Ok(own);
        }
        // What answers already was let through when it came.
        if wish.comes() {
            asking.iter().try_for_each(|settings| self.require_gate(&wish.hash, &own, settings))?;
        }
        for hash in self.coming_variants(wish).await?.into_iter().chain(wish.prepared.clone()) {
            let gated = self.gated_runs(&hash).await?;
            asking.iter().try_for_each(|settings| self.require_gate(&hash, &gated, settings))?;
        }
        Ok(own)
    }

    /// The manifests of variants that would answer and do not yet: all of an experiment that is new to the deployment, and of one that
    /// goes on those that another manifest makes others.
    async fn coming_variants(&self, wish: &Wish) -> Result<Vec<ContentHash>, Error> {
        let Some(key) = wish.settings.experiment.as_deref() else { return Ok(Vec::new()) };
        if wish.opens() {
            return self.manifests_of_variants(key, (&wish.hash, &wish.manifest)).await;
        }
        let Some(before) = wish.before.as_ref().filter(|_| wish.comes()) else { return Ok(Vec::new()) };
        let (hash, manifest) = self.manifest(before.manifest.as_str()).await?;
        let known = self.manifests_of_running_variants(key, (&hash, &manifest)).await?.unwrap_or_default();
        let next = self.manifests_of_running_variants(key, (&wish.hash, &wish.manifest)).await?.unwrap_or_default();
        Ok(next.into_iter().filter(|hash| !known.contains(hash)).collect())
    }

    /// What is live in production is what the next gate compares with: the run that let it through.
    async fn follow_with_the_baseline(&self, deployment: &Deployment, gated: &[GatedRun]) -> Result<(), Error> {
        let Ok(passing) = self.passing(gated, &deployment.settings) else { return Ok(()) };
        let now = self.services.clock.now();
        Ok(self.services.store.tag_run(&self.project, &passing.run, BASELINE_TAG, now).await?)
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

    pub(super) async fn change(
        &self,
        next: Deployment,
        action: DeploymentAction,
        from: Option<ContentHash>,
        reason: Option<String>,
    ) -> Result<Deployment, Error> {
        self.change_as(next, (action, from, reason), Allowed::Before).await
    }

    async fn change_as(
        &self,
        next: Deployment,
        (action, from, reason): (DeploymentAction, Option<ContentHash>, Option<String>),
        allowed: Allowed<'_>,
    ) -> Result<Deployment, Error> {
        let (next, change) = self.dated(next, (action, from, reason));
        let store = &self.services.store;
        match allowed {
            Allowed::By(approval) => {
                store.change_approved_deployment(&self.project, (&next, &change), approval).await?;
            }
            Allowed::NotYet | Allowed::Before | Allowed::Over(_) => {
                store.change_deployment(&self.project, &next, &change).await?;
            }
        }
        self.announce(&next, change).await?;
        Ok(next)
    }

    /// A deployment after a change by whoever acts now, and the change.
    pub(super) fn dated(
        &self,
        next: Deployment,
        (action, from, reason): (DeploymentAction, Option<ContentHash>, Option<String>),
    ) -> (Deployment, DeploymentChange) {
        let now = self.services.clock.now();
        let by = Some(self.services.store.actor().name.clone());
        let next = Deployment { revision: next.revision + 1, updated_at: now, updated_by: by, ..next };
        let change = DeploymentChange {
            revision: next.revision,
            action,
            from,
            to: next.manifest.clone(),
            at: now,
            by: next.updated_by.clone(),
            reason,
        };
        (next, change)
    }

    /// Tells those who watch the project.
    pub(super) async fn announce(&self, deployment: &Deployment, change: DeploymentChange) -> Result<(), Error> {
        let action = serde_json::to_value(change.action).ok().and_then(|v| v.as_str().map(str::to_owned));
        let news = Event::Deployment {
            deployment: deployment.name.clone(),
            environment: deployment.environment.clone(),
            action: action.unwrap_or_default(),
            manifest: Some(deployment.manifest.to_string()),
            previous: change.from.map(|hash| hash.to_string()),
        };
        self.services.events.publish(&self.project, news).await?;
        self.services.gateways.catch_up().await;
        Ok(())
    }

    pub(super) fn releases(&self) -> Releases {
        LlmOps { services: self.services.clone(), project: self.project.clone() }.releases()
    }

    /// Ends the experiment of a release whose deployment just changed. No user is assigned by it any more, so that what fails
    /// here does not undo the change.
    pub(super) async fn interrupt(&self, release: Option<Release>) {
        let Some(release) = release else { return };
        let id = release.id.clone();
        if let Err(error) = Box::pin(self.releases().interrupt(release)).await {
            tracing::warn!(release = %id, %error, "the experiment of a release could not be ended");
        }
    }

    /// What changes beside prompt and model.
    pub(super) async fn notices(&self, before: Option<&ContentHash>, after: &Manifest) -> Result<Vec<String>, Error> {
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
}
